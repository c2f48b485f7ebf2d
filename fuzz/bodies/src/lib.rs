//! What each fuzz target does with its bytes.
//!
//! A target panics if something that always holds does not. libFuzzer calls them through the one-liners in
//! `fuzz/fuzz_targets`, and `cargo test` calls them with every file of the committed corpora.

mod bencode;
mod bytes;
mod code;
mod demux;
mod dht;
mod frames;
mod knock;
mod krpc;
mod log;
mod node;
mod port_control;
mod record;
mod scenario;
mod snapshot;
mod stun;

pub use bencode::bencode;
pub use code::code;
pub use demux::demux;
pub use dht::dht;
pub use frames::{frame_control, frame_log};
pub use knock::knock;
pub use krpc::krpc;
pub use log::log;
pub use node::node;
pub use port_control::port_control;
pub use record::record;
pub use scenario::scenario;
pub use snapshot::dht_snapshot;
pub use stun::{stun_client, stun_parse};

/// What a target does with bytes.
pub type Body = fn(&[u8]);

/// Every target by its name, which is also that of its file in `fuzz/fuzz_targets` and its folder in `fuzz/corpus`.
pub const TARGETS: &[(&str, Body)] = &[
    ("bencode", bencode),
    ("code", code),
    ("demux", demux),
    ("dht", dht),
    ("dht_snapshot", dht_snapshot),
    ("frame_control", frame_control),
    ("frame_log", frame_log),
    ("knock", knock),
    ("krpc", krpc),
    ("log", log),
    ("node", node),
    ("port_control", port_control),
    ("record", record),
    ("scenario", scenario),
    ("stun_client", stun_client),
    ("stun_parse", stun_parse),
];
