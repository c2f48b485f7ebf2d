//! DTLS 1.3 without its arithmetic: the tier of simulation at which a hundred whole nodes meet in seconds.
//!
//! [`SimDtls`] stands below SCTP where DTLS stands, and does what can be told from outside as DTLS does it: the same
//! flights of the same records and sizes, the same timers with the same jitter, the same answers to what is lost, repeated or
//! reordered, the certificate of the other end held against its fingerprint, and every record under a tag that nobody without
//! the same handshake can make. What is left out is elliptic curves: that the other end *owns* the key of its certificate
//! is believed, not proved, and the tag withstands accidents, not cryptanalysis. It belongs to the simulator alone.
//!
//! `moot-sim tiers` plays both against each other and prints how far they agree.

mod agreement;
mod channel;
mod record;
#[cfg(test)]
mod tests;
mod tier;
mod timers;

pub use agreement::{Answers, Case, difference};
pub use channel::SimDtls;
pub use tier::Tier;
