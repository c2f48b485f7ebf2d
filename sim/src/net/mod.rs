//! The network: links, NATs and firewalls in RFC 4787's words, the address realms between them, and the oracle.

mod addresses;
mod drop;
mod explain;
mod gateway;
mod kernel;
mod link;
mod middlebox;
mod mix;
mod nat;
mod nat_rules;
mod network;
mod oracle;
mod packet_oracle;
mod preset;
mod probe;

pub(crate) use addresses::router;
pub use drop::DropReason;
pub(crate) use gateway::Glance;
pub use gateway::{Gate, Gateway, Policy, Stack};
pub use kernel::{KernelBoxError, probe_kernel_box};
pub use link::{Law, Link, LinkId, LinkRules, Loss, Passage, Rate, Shape};
pub use middlebox::{BoxRules, Firewall, Middlebox};
pub use mix::{Access, Class, Endpoint, Judgement, Mix, Technique, judge, predicts};
pub use nat::{CONTROL_PORT, Nat, PortControl};
pub(crate) use nat::{mapped, u16_at, u32_at};
pub use nat_rules::{Behavior, Full, Hairpin, NatRules, Pooling, PortRule};
pub use network::{BoxId, Network, RealmId};
pub(crate) use network::{Next, packet_size};
pub use oracle::{NEEDED_MTU, Verdict, Why, can_connect_directly};
pub use packet_oracle::{Outcome, Strategy};
pub use preset::{PRESETS, Preset, UnknownPreset, preset};
pub use probe::{ProbeError, Probed, probe};
