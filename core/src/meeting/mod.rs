//! Everything that makes the machines into "type a code and you are in".

mod code;

pub use code::{Code, CodeError, Master};

/// The longest name of a member, in bytes of UTF-8; longer ones are cut at a character boundary.
pub const MAX_NAME: usize = 48;
