use std::fmt;

use thiserror::Error;
use unicode_normalization::UnicodeNormalization as _;

/// A meeting code, normalised: all spellings of one code are equal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(String);

/// Why a text is no meeting code.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CodeError {
    /// There is nothing in it.
    #[error("the meeting code is empty")]
    Empty,
    /// It is shorter than [`Code::MIN_CHARS`].
    #[error("the meeting code has {0} character{s}; it needs at least {min}", s = if *.0 == 1 { "" } else { "s" }, min = Code::MIN_CHARS)]
    TooShort(usize),
    /// It is longer than [`Code::MAX_CHARS`].
    #[error("the meeting code has {0} characters; it may have {max}", max = Code::MAX_CHARS)]
    TooLong(usize),
}

impl Code {
    /// The fewest characters a code may have after normalisation, unless a weak one is allowed.
    pub const MIN_CHARS: usize = 6;
    /// The most characters a code may have after normalisation.
    pub const MAX_CHARS: usize = 256;

    /// The salt of [`Code::stretch`]'s Argon2id; the same for all codes.
    pub const SALT: &'static [u8] = b"folkmoot/1";
    /// Memory of the Argon2id, in KiB.
    pub const MEMORY_KIB: u32 = 64 * 1024;
    /// Passes of the Argon2id.
    pub const PASSES: u32 = 3;
    /// Lanes of the Argon2id.
    pub const LANES: u32 = 1;

    /// Normalises what a person typed: NFKC, trimmed, lower case, and each run of spaces, `-` and `_` one `-`.
    ///
    /// # Errors
    ///
    /// If nothing is left, or fewer than [`Code::MIN_CHARS`] or more than [`Code::MAX_CHARS`] characters.
    pub fn new(typed: &str) -> Result<Self, CodeError> {
        let code = Self::new_weak(typed)?;
        match code.0.chars().count() {
            n if n < Self::MIN_CHARS => Err(CodeError::TooShort(n)),
            _ => Ok(code),
        }
    }

    /// As [`Code::new`], but any length that is not zero will do.
    ///
    /// # Errors
    ///
    /// If nothing is left, or more than [`Code::MAX_CHARS`] characters.
    pub fn new_weak(typed: &str) -> Result<Self, CodeError> {
        let mut code = String::new();
        let is_gap = |c: char| c.is_whitespace() || c == '-' || c == '_';
        // Lower-casing can denormalise, so NFKC comes last.
        let lower: String = typed.nfkc().collect::<String>().to_lowercase();
        for word in lower.nfkc().collect::<String>().split(is_gap).filter(|word| !word.is_empty()) {
            if !code.is_empty() {
                code.push('-');
            }
            code.push_str(word);
        }
        match code.chars().count() {
            0 => Err(CodeError::Empty),
            n if n > Self::MAX_CHARS => Err(CodeError::TooLong(n)),
            _ => Ok(Self(code)),
        }
    }

    /// The normalised code.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Stretches the code into the meeting's master secret with the given Argon2id, which the shell runs off its
    /// event loop: `argon2id(password, salt, memory_kib, passes, lanes)` gives 32 bytes.
    pub fn stretch<E>(
        &self,
        argon2id: impl FnOnce(&[u8], &[u8], u32, u32, u32) -> Result<[u8; 32], E>,
    ) -> Result<Master, E> {
        argon2id(self.0.as_bytes(), Self::SALT, Self::MEMORY_KIB, Self::PASSES, Self::LANES).map(Master)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Codes are secrets and stay out of logs.
impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}

/// The master secret of a meeting: the stretched code.
#[derive(Clone, PartialEq, Eq)]
pub struct Master(pub [u8; 32]);

impl fmt::Debug for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Master(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_code_are_equal() {
        let code = Code::new("acid-tulip-seven").unwrap();
        for spelling in [
            "  Acid Tulip  seven ",
            "ACID_tulip--seven",
            "acid\u{a0}tulip\u{2003}seven",
            "ａｃｉｄ-tulip-seven",
        ] {
            assert_eq!(Code::new(spelling).as_ref(), Ok(&code), "{spelling:?}");
        }
        assert_eq!(Code::new("ABC123XYZ").unwrap().as_str(), "abc123xyz");
    }

    #[test]
    fn what_is_no_code() {
        assert_eq!(Code::new(" -_- "), Err(CodeError::Empty));
        assert_eq!(Code::new("abc"), Err(CodeError::TooShort(3)));
        assert_eq!(Code::new_weak("abc").unwrap().as_str(), "abc");
        assert_eq!(Code::new(&"x".repeat(300)), Err(CodeError::TooLong(300)));
    }
}
