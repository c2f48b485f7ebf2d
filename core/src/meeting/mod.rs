//! Everything that makes the machines into "type a code and you are in".

mod base64;
mod code;
pub mod hello;
mod identity;
mod keys;
pub mod knock;
mod record;
pub mod rendezvous;
mod roster;
mod words;

pub use code::{Code, CodeError, Master};
pub use identity::{Certificate, Keyring};
pub use keys::{Epoch, EpochKeys, Keys, PairTag, Ufrag};
pub use record::{Candidate, CandidateKind, Details, Record, RecordError};
pub use roster::{Change, Person, Presence, Roster};
pub use words::{Strength, words_starting};

/// The longest name of a member, in bytes of UTF-8; longer ones are cut at a character boundary.
pub const MAX_NAME: usize = 48;
