//! What every machine stands on: time, randomness, wake-ups, backoff, the outbox, addresses and ids.
//!
//! Nothing in here knows a protocol.

mod addr;
mod backoff;
mod crc32c;
mod cx;
mod ids;
pub mod mutant;
mod outbox;
mod rng;
#[cfg(feature = "rtc")]
mod signer;
mod time;
mod wake;

pub use addr::{Host, HostError, Prefix, Scope};
pub use backoff::Backoff;
pub(crate) use crc32c::crc32c;
pub use cx::Cx;
pub use ids::{DeviceId, Incarnation, InfoHash, MeetingId, MemberId, NodeId};
pub use outbox::{Outbox, SocketId, SocketInfo, Transmit};
pub use rng::Rng;
#[cfg(feature = "rtc")]
pub use signer::{Signature, Signer, verify};
pub use time::{Time, UnixTime};
pub use wake::Wake;
