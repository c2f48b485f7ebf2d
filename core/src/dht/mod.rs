//! A node of the BitTorrent Mainline DHT, as a machine without I/O (BEP 5, 32, 33, 42, 43, 44).
//!
//! [`Dht`] takes part in both overlays, IPv4 and IPv6, through whatever sockets it is given. It asks
//! (bootstrap, lookup, announce, poll, get, put) and it answers (routing, peers, items); whether it answers strangers is
//! [`Mode`].
//!
//! What follows from the attacks this network has seen:
//!
//! - Only a node that answered *us* enters the routing table. One that asked us is checked 90 s later, when a NAT
//!   would have closed the hole its own question opened; at once only while we know next to nobody.
//! - An answer counts only if its transaction id, address, port and socket are those of a question that is pending, or
//!   was given up within the last 10 s; and once.
//! - Our id follows from our address, and of the nodes closest to a target at most half may have ids that do not
//!   follow from theirs, while there are others: who wants to surround a topic needs addresses that happen to fit.
//! - A topic that is kept announced is looked up along two paths that share no node, and one that ends elsewhere than the
//!   other adds its own closest nodes to those announced to. Where more nodes are around it than chance puts there, all of
//!   them and their surroundings are asked and announced to ([`Counters::alarms`] counts the plainest cases).
//! - One host that means well suffices to enter by, even if the others are hostile and answer first.
//! - A write token is a MAC over the address and the topic it was given for.
//! - To an address that has not proven that it receives what we send, an answer is at most 3.5 times as long as
//!   the question, but for items, which such addresses get at a trickle. Nothing is answered to garbage.
//! - Every table is bounded ([`crate::limits`]), and every drop is counted by reason ([`Counters`]).
//!
//! None of the rules about addresses (one node per address and network, rates, ports, the 90 s) applies to loopback
//! and private ones, so that a DHT of a few nodes on one machine or one LAN forms within a few round trips; unless
//! [`Config::strict`] asks for it.

mod announce;
mod capable;
mod census;
mod client;
mod config;
mod errand;
mod event;
mod health;
mod hosts;
mod item;
mod item_client;
mod item_server;
mod item_store;
mod keep;
mod lan;
mod late;
mod limiter;
mod lookup;
mod machine;
mod nearest;
mod node_id;
mod packed;
mod rate;
mod recent;
mod remembered;
mod reply;
mod rpc;
mod rtt;
mod search;
mod server;
mod shares;
mod sip;
mod snapshot;
mod source;
mod stats;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod tokens;
mod topic;
mod upkeep;
mod votes;

/// What joining may cost at most, for 95 of 100 nodes, in datagrams sent and received: from the first to the moment at which a
/// topic is announced and eight nodes are known. The simulator holds us to it, in networks of 10,000 and 100,000 nodes of which
/// a quarter are dead.
pub const JOIN_DATAGRAMS: u64 = 300;

/// The same in bytes of payload.
pub const JOIN_BYTES: u64 = 60_000;

pub use self::census::Size;
pub use self::config::{Config, Mode};
pub use self::event::{Event, NotStored};
pub use self::health::{Health, Level, Reason, Reasons};
pub use self::item::{Author, Item, ItemError, ItemId, MAX_SALT, MAX_VALUE, MutableItem, Salt, Value};
pub use self::lan::LAN_GROUP;
pub use self::machine::Dht;
pub use self::search::{Headcount, Progress};
pub use self::snapshot::{Snapshot, SnapshotError};
pub use self::stats::{Counters, Stats};
pub use self::table::Known;
pub use crate::wire::krpc::{Capabilities, Contact};
