//! The sans-IO core of Folkmoot: people who share a meeting code find each other over the BitTorrent Mainline
//! DHT and connect directly over WebRTC, with no server of anyone's in the path.
//!
//! Nothing here does I/O. A machine is handed the time, a datagram or a command, and answers with what to send,
//! what to ask for and when to be woken. Start at [`node::Node`] for the whole, or at one of the machines.
//!
//! Imports only go down this list:
//!
//! | module | what it is |
//! |---|---|
//! | [`trace`] | what a node was given and said, as a file, and the same run again |
//! | [`node`] | the composer: [`node::Input`] in, [`node::Output`] out; the one place that wires machines together |
//! | [`meeting`] | code → keys, rendezvous, knocks, HELLO, membership |
//! | [`stun`], [`dht`], [`peer`], [`log`] | machines that never import each other |
//! | [`wire`] | bytes ↔ types, nothing else |
//! | [`base`] | time, randomness, deadlines, backoff, outbox, addresses, ids |
//!
//! Without the feature `rtc` the crate is a DHT and STUN library: `node`, `meeting`, `log` and `peer` are gone,
//! and with them every WebRTC dependency. What cryptography remains is hashes, and Ed25519 for the DHT's signed items: a
//! node that cannot check them cannot store them.

pub mod base;
pub mod dht;
pub mod limits;
#[cfg(feature = "rtc")]
pub mod log;
#[cfg(feature = "rtc")]
pub mod meeting;
#[cfg(feature = "rtc")]
pub mod node;
#[cfg(feature = "rtc")]
pub mod peer;
pub mod stun;
#[cfg(feature = "rtc")]
pub mod trace;
pub mod wire;
