use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::HEADER;

/// What the FINGERPRINT of a message says (RFC 8489 §14.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fingerprint {
    /// There is none.
    Absent,
    /// It fits the message.
    Right,
    /// It does not: the message was damaged, or is not STUN.
    Wrong,
}

/// The key of a long-term credential with the MD5 algorithm, all that RFC 5389 knew: MD5 of `username:realm:password`
/// (RFC 8489 §18.5.1.1). The texts must have gone through OpaqueString (RFC 8265) before.
pub fn long_term_key_md5(username: &str, realm: &str, password: &str) -> [u8; 16] {
    hash_joined::<Md5>(&[username, realm, password]).into()
}

/// As [`long_term_key_md5`], with the SHA-256 algorithm (RFC 8489 §18.5.1.2).
pub fn long_term_key_sha256(username: &str, realm: &str, password: &str) -> [u8; 32] {
    hash_joined::<Sha256>(&[username, realm, password]).into()
}

/// The value of USERHASH: SHA-256 of `username:realm` (RFC 8489 §14.4).
pub fn userhash(username: &str, realm: &str) -> [u8; 32] {
    hash_joined::<Sha256>(&[username, realm]).into()
}

fn hash_joined<D: Digest>(parts: &[&str]) -> sha2::digest::Output<D> {
    let mut hash = D::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            hash.update(b":");
        }
        hash.update(part);
    }
    hash.finalize()
}

/// The HMAC-SHA1 for an attribute that starts at `at`: over all before it, with the length as if the message ended with it.
pub(super) fn sha1(message: &[u8], at: usize, key: &[u8]) -> [u8; 20] {
    mac::<Hmac<Sha1>>(message, at, 20, key).finalize().into_bytes().into()
}

/// The HMAC-SHA256 for an attribute that starts at `at`.
pub(super) fn sha256(message: &[u8], at: usize, key: &[u8]) -> [u8; 32] {
    mac::<Hmac<Sha256>>(message, at, 32, key).finalize().into_bytes().into()
}

pub(super) fn verify_sha1(message: &[u8], at: usize, key: &[u8]) -> bool {
    verify::<Hmac<Sha1>>(message, at, 20, key)
}

pub(super) fn verify_sha256(message: &[u8], at: usize, key: &[u8]) -> bool {
    verify::<Hmac<Sha256>>(message, at, 32, key)
}

fn verify<M: Mac + KeyInit>(message: &[u8], at: usize, size: usize, key: &[u8]) -> bool {
    let length = message.get(at + 2..at + 4).map(|l| usize::from(l[0]) << 8 | usize::from(l[1]));
    let tag = message.get(at + 4..at + 4 + size);
    // `verify_slice` compares in constant time.
    length == Some(size) && tag.is_some_and(|tag| mac::<M>(message, at, size, key).verify_slice(tag).is_ok())
}

fn mac<M: Mac + KeyInit>(message: &[u8], at: usize, size: usize, key: &[u8]) -> M {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(&header_until(message, at + 4 + size));
    mac.update(message.get(HEADER..at).unwrap_or_default());
    mac
}

pub(super) fn fingerprint_is_right(message: &[u8], at: usize) -> bool {
    message.get(at + 4..at + 8) == Some(&fingerprint(message, at).to_be_bytes())
}

/// The value of a FINGERPRINT that starts at `at`.
pub(super) fn fingerprint(message: &[u8], at: usize) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header_until(message, at + 8));
    crc.update(message.get(HEADER..at).unwrap_or_default());
    crc.finalize() ^ 0x5354_554e
}

/// The header, with the length it would have if the message ended at `end`.
fn header_until(message: &[u8], end: usize) -> [u8; HEADER] {
    let mut header = message.first_chunk().copied().unwrap_or([0; HEADER]);
    let length = u16::try_from(end - HEADER).unwrap_or(u16::MAX);
    header[2..4].copy_from_slice(&length.to_be_bytes());
    header
}
