use folkmoot_core::base::Rng;
use folkmoot_core::meeting::Code;

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

pub(crate) fn parse_code(typed: &str, weak_allowed: bool) -> Result<Code, Error> {
    Ok(if weak_allowed { Code::new_weak(typed) } else { Code::new(typed) }?)
}
