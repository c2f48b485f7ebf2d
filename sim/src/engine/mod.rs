//! What moves the world: virtual time, one totally ordered event queue, addressed randomness, and the trace.

mod clock;
mod digest;
mod draw;
mod host;
mod queue;
mod slab;
mod tape;
mod trace;
mod watch;
mod world;

pub use clock::Clock;
pub use digest::TraceHash;
pub use draw::{Chance, Draws, Subject};
pub use host::{Host, HostCx, HostId};
pub use queue::EventQueue;
pub use slab::Slab;
pub use tape::{End, Entry, Flight, Hop, Place, Tape};
pub use trace::{CHECKPOINT, Fate, Kind, Record, Trace};
pub use watch::Watch;
pub use world::{Counts, HostCounts, Violation, World};
