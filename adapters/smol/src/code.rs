use folkmoot_core::base::{InfoHash, Rng};
use folkmoot_core::meeting::{Code, Epoch, Keys};

use crate::clock::Clock;
use crate::derive;
use crate::error::Error;
use crate::profile;

/// A new code, drawn by the operating system's randomness: [`Code::generate`].
///
/// # Errors
///
/// If there is no randomness.
pub fn generate_code() -> Result<Code, Error> {
    Ok(Code::generate(&mut Rng::new(profile::entropy()?)))
}

/// 32 secret bytes, drawn by the operating system's randomness: for an [`Author`](folkmoot_core::dht::Author) of items, say.
///
/// # Errors
///
/// If there is no randomness.
pub fn generate_secret() -> Result<[u8; 32], Error> {
    profile::entropy()
}

/// Where in the DHT the members of a code's meeting announce themselves today. Takes 0.1 s and 64 MiB, on a thread of its own.
///
/// # Errors
///
/// If there is no memory for it.
pub async fn todays_topic(code: &Code) -> Result<InfoHash, Error> {
    let code = code.clone();
    let master = smol::unblock(move || derive::stretch(&code)).await.map_err(Error::Derive)?;
    Ok(Keys::derive(&master).epoch(Epoch::of(Clock::start().unix())).topic)
}

pub(crate) fn parse_code(typed: &str, weak_allowed: bool) -> Result<Code, Error> {
    Ok(if weak_allowed { Code::new_weak(typed) } else { Code::new(typed) }?)
}
