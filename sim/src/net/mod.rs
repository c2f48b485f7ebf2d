//! The network: links, NATs and firewalls in RFC 4787's words, the address realms between them, and the oracle.

mod addresses;
mod link;
mod middlebox;
mod nat;
mod network;
mod oracle;

pub use link::{Law, Link, LinkId, LinkRules, Loss, Passage, Rate};
pub use middlebox::{BoxRules, Firewall, Middlebox};
pub use nat::{Behavior, Hairpin, Nat, NatRules, Pooling, PortRule};
pub use network::{BoxId, DropReason, Network, RealmId};
pub(crate) use network::{Next, packet_size};
pub use oracle::{Verdict, Why, can_connect_directly};
