//! What a node was given and what it said, as a file: to see on another machine why a join failed, or what a node did.
//!
//! A [`Recorder`] writes it while the node runs, [`Trace`] reads it, and [`Replay`] runs it again in a node of its own. A list of
//! `(Time, Input)` with the configuration and the entropy of a run *is* the run: a full trace replays to the last byte, and
//! says so by comparing every output with a digest of what it was.
//!
//! A **full** trace holds everything: the meeting codes, the seeds of the device's keys, addresses, and what was said and heard. A
//! **redacted** one holds none of these: what came and went is told by kind, size and time, addresses are
//! replaced, one for one, by ones reserved for documentation, and ids and names by numbers. It cannot be replayed, only told.
//!
//! A file is two lines of text, of which the first names format and release and the second says what is in it, and then frames:
//! length and CRC-32 of what follows, four bytes each, little-endian; one [`Item`] in CBOR. Each way out of it that is known to the
//! recorder ends with [`Item::End`].

mod config;
mod glance;
mod item;
mod reader;
mod recorder;
mod redact;
mod replay;
#[cfg(test)]
mod tests;

pub use glance::{Glance, Kind};
pub use item::{End, Item, Start};
pub use reader::{Extent, Flaw, Trace};
pub use recorder::Recorder;
pub use replay::{Replay, Step, Verdict};

/// How the first line begins; then come the format's version, the extent and the release.
pub const MAGIC: &str = "folkmoot trace ";
/// The version of the format.
pub const VERSION: u32 = 1;
/// Bytes of a trace, if the shell does not want another limit: an hour of a busy meeting of ten, days of a quiet one.
pub const LIMIT: u64 = 64 * 1024 * 1024;

/// The largest frame. A datagram is below it, and so is what a node keeps of the DHT.
const MAX_FRAME: usize = 128 * 1024;
