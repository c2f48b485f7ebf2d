//! Bytes ↔ types, and nothing else: no state, no time, no policy.

pub mod bencode;
pub mod demux;
#[cfg(feature = "rtc")]
pub mod frame;
pub mod krpc;
pub mod stun;
