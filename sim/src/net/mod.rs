//! The network: links, NATs and firewalls in RFC 4787's words, the address realms between them, and the oracle.

mod addresses;
mod drop;
mod gateway;
mod link;
mod middlebox;
mod nat;
mod network;
mod oracle;

pub use drop::DropReason;
pub(crate) use gateway::Glance;
pub use gateway::{Gate, Gateway, Policy, Stack};
pub use link::{Law, Link, LinkId, LinkRules, Loss, Passage, Rate, Shape};
pub use middlebox::{BoxRules, Firewall, Middlebox};
pub use nat::{Behavior, Hairpin, Nat, NatRules, Pooling, PortRule};
pub use network::{BoxId, Network, RealmId};
pub(crate) use network::{Next, packet_size};
pub use oracle::{NEEDED_MTU, Verdict, Why, can_connect_directly};
