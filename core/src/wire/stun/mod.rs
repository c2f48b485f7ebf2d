//! STUN messages (RFC 8489): parsed in place without allocation, built so that emitting cannot fail.
//!
//! Reading takes two steps. [`Message::parse`] checks the frame: header, lengths, order of the closing attributes.
//! Accessors then look single values up; a value that is malformed reads as absent. Nothing a message says is to be
//! believed before [`Message::verify_sha1`] or [`Message::verify_sha256`] has said so, or, in an answer to a request of
//! ours to a public server, before its [`TransactionId`] and source have been compared.

mod attribute;
mod build;
mod integrity;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;

use thiserror::Error;

pub use attribute::{Attribute, AttributeType, Attributes, ErrorCode};
pub use build::{Builder, Sealed};
pub use integrity::{Fingerprint, long_term_key_md5, long_term_key_sha256, userhash};

use crate::base::Rng;

/// Bytes of the header (RFC 8489 §5).
pub const HEADER: usize = 20;

/// Bytes of the largest message read or built. It is what fits an Ethernet frame; RFC 8489 §6.1 asks to stay below the
/// path's MTU, and a longer message would arrive in fragments, if at all.
pub const MAX_MESSAGE: usize = 1_500;

/// The most attributes of a message read or built, not counting those that close it. Real ones have a dozen; each costs
/// a step of every look-up.
pub const MAX_ATTRIBUTES: usize = 32;

/// Bytes of the longest USERNAME (RFC 8489 §14.3).
pub const MAX_USERNAME: usize = 508;

/// Bytes of the longest SOFTWARE, and of the longest reason phrase of an ERROR-CODE (RFC 8489 §14.8, §14.14).
pub const MAX_TEXT: usize = 763;

const COOKIE: u32 = 0x2112_a442;
const COOKIE_BYTES: [u8; 4] = COOKIE.to_be_bytes();

/// Whether `datagram` has a whole header with the magic cookie, which tells STUN from all else on the socket.
pub(super) fn has_cookie(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER && datagram.get(4..8) == Some(&COOKIE_BYTES)
}

/// A STUN message whose frame is sound, borrowed from the datagram it came in.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    class: Class,
    method: Method,
    id: TransactionId,
    /// Where the attributes that count end: at the first closing attribute, or at the end of the message.
    body_end: usize,
    /// Where the closing attributes start.
    sha1_at: Option<usize>,
    sha256_at: Option<usize>,
    fingerprint_at: Option<usize>,
}

impl<'a> Message<'a> {
    /// Reads a datagram that is one STUN message and nothing else.
    ///
    /// Padding may hold anything (RFC 8489 §14). Attributes after MESSAGE-INTEGRITY are ignored, but for
    /// MESSAGE-INTEGRITY-SHA256 and FINGERPRINT; after MESSAGE-INTEGRITY-SHA256, but for FINGERPRINT (§14.5, §14.6).
    ///
    /// # Errors
    /// The first reason found why the bytes are no STUN message.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (header, _) = bytes.split_first_chunk::<HEADER>().ok_or(ParseError::TooShort)?;
        let [t0, t1, l0, l1, c0, c1, c2, c3, id @ ..] = *header;
        let kind = u16::from_be_bytes([t0, t1]);
        if t0 > 3 {
            return Err(ParseError::NotStun);
        }
        if [c0, c1, c2, c3] != COOKIE_BYTES {
            return Err(ParseError::BadCookie);
        }
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if length % 4 != 0 {
            return Err(ParseError::UnalignedLength);
        }
        if HEADER + length != bytes.len() {
            return Err(ParseError::LengthMismatch);
        }
        if bytes.len() > MAX_MESSAGE {
            return Err(ParseError::TooLong);
        }
        let (class, method) = (Class::of(kind), Method::of(kind));
        let mut message = Self {
            bytes,
            class,
            method,
            id: TransactionId(id),
            body_end: bytes.len(),
            sha1_at: None,
            sha256_at: None,
            fingerprint_at: None,
        };
        message.scan()?;
        Ok(message)
    }

    /// Checks that the attributes fill the message exactly, and notes where the closing ones are.
    fn scan(&mut self) -> Result<(), ParseError> {
        let mut at = HEADER;
        let mut count = 0;
        while at < self.bytes.len() {
            if self.fingerprint_at.is_some() {
                return Err(ParseError::AfterFingerprint);
            }
            let (attribute, next) = Attribute::split(self.bytes, at).ok_or(ParseError::AttributePastEnd)?;
            match attribute.kind {
                AttributeType::MESSAGE_INTEGRITY if self.sha1_at.is_none() && self.sha256_at.is_none() => {
                    if attribute.value.len() != 20 {
                        return Err(ParseError::BadIntegrityLength);
                    }
                    self.sha1_at = Some(at);
                }
                AttributeType::MESSAGE_INTEGRITY_SHA256 if self.sha256_at.is_none() => {
                    if !matches!(attribute.value.len(), 16 | 20 | 24 | 28 | 32) {
                        return Err(ParseError::BadIntegrityLength);
                    }
                    self.sha256_at = Some(at);
                }
                AttributeType::FINGERPRINT => {
                    if attribute.value.len() != 4 {
                        return Err(ParseError::BadFingerprintLength);
                    }
                    self.fingerprint_at = Some(at);
                }
                _ => count += 1,
            }
            if count > MAX_ATTRIBUTES {
                return Err(ParseError::TooManyAttributes);
            }
            at = next;
        }
        let closing = [self.sha1_at, self.sha256_at, self.fingerprint_at];
        self.body_end = closing.into_iter().flatten().min().unwrap_or(self.bytes.len());
        Ok(())
    }

    /// The datagram.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Request, indication, success or error.
    pub fn class(&self) -> Class {
        self.class
    }

    /// What the message is about; ours are all [`Method::BINDING`].
    pub fn method(&self) -> Method {
        self.method
    }

    /// What ties a response to its request.
    pub fn transaction_id(&self) -> TransactionId {
        self.id
    }

    /// The attributes in front of the closing ones, in order.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.bytes.get(..self.body_end).unwrap_or(self.bytes))
    }

    /// The value of the first attribute of a type, raw and without padding. Closing attributes are not found here:
    /// they are for [`verify_sha1`](Self::verify_sha1), [`verify_sha256`](Self::verify_sha256) and
    /// [`fingerprint`](Self::fingerprint).
    pub fn attribute(&self, kind: AttributeType) -> Option<&'a [u8]> {
        self.attributes().find(|attribute| attribute.kind == kind).map(|attribute| attribute.value)
    }

    /// USERNAME: at most [`MAX_USERNAME`] bytes of UTF-8 (RFC 8489 §14.3).
    pub fn username(&self) -> Option<&'a str> {
        self.text(AttributeType::USERNAME, MAX_USERNAME)
    }

    /// SOFTWARE: at most [`MAX_TEXT`] bytes of UTF-8 (RFC 8489 §14.14). For people; nothing may depend on it.
    pub fn software(&self) -> Option<&'a str> {
        self.text(AttributeType::SOFTWARE, MAX_TEXT)
    }

    fn text(&self, kind: AttributeType, limit: usize) -> Option<&'a str> {
        let value = self.attribute(kind).filter(|value| value.len() <= limit)?;
        std::str::from_utf8(value).ok()
    }

    /// The sender's view of our address: XOR-MAPPED-ADDRESS (RFC 8489 §14.2), else its pre-standard number 0x8020, else
    /// the MAPPED-ADDRESS of RFC 3489 servers, which some NATs rewrite.
    pub fn mapped_address(&self) -> Option<SocketAddr> {
        let xored = |kind| attribute::decode_address(self.attribute(kind)?, Some(self.id));
        xored(AttributeType::XOR_MAPPED_ADDRESS)
            .or_else(|| xored(AttributeType::XOR_MAPPED_ADDRESS_OLD))
            .or_else(|| attribute::decode_address(self.attribute(AttributeType::MAPPED_ADDRESS)?, None))
    }

    /// ALTERNATE-SERVER: whom to ask instead, in an error 300 (RFC 8489 §14.15).
    pub fn alternate_server(&self) -> Option<SocketAddr> {
        attribute::decode_address(self.attribute(AttributeType::ALTERNATE_SERVER)?, None)
    }

    /// ERROR-CODE (RFC 8489 §14.8).
    pub fn error_code(&self) -> Option<ErrorCode<'a>> {
        ErrorCode::decode(self.attribute(AttributeType::ERROR_CODE)?)
    }

    /// UNKNOWN-ATTRIBUTES: what the sender of an error 420 did not understand (RFC 8489 §14.9).
    pub fn unknown_attributes(&self) -> impl Iterator<Item = AttributeType> + use<'a> {
        let value = self.attribute(AttributeType::UNKNOWN_ATTRIBUTES).unwrap_or_default();
        value.as_chunks::<2>().0.iter().map(|bytes| AttributeType(u16::from_be_bytes(*bytes)))
    }

    /// The comprehension-required attributes that are not in `understood`, in order. A request that has one is to be
    /// answered with an error 420, a response that has one is a failure (RFC 8489 §6.3.1, §6.3.3).
    pub fn not_understood<'u>(
        &self,
        understood: &'u [AttributeType],
    ) -> impl Iterator<Item = AttributeType> + use<'a, 'u> {
        self.attributes()
            .map(|attribute| attribute.kind)
            .filter(|kind| kind.is_comprehension_required() && !understood.contains(kind))
    }

    /// Whether the message carries a MESSAGE-INTEGRITY, right or wrong.
    pub fn has_sha1(&self) -> bool {
        self.sha1_at.is_some()
    }

    /// Whether the message carries a MESSAGE-INTEGRITY-SHA256, right or wrong.
    pub fn has_sha256(&self) -> bool {
        self.sha256_at.is_some()
    }

    /// Whether MESSAGE-INTEGRITY is there and was made with `key` (RFC 8489 §14.5): the password of a short-term
    /// credential as it is, [`long_term_key_md5`] or [`long_term_key_sha256`] of a long-term one. Takes the same time
    /// wherever a wrong value differs.
    pub fn verify_sha1(&self, key: &[u8]) -> bool {
        self.sha1_at.is_some_and(|at| integrity::verify_sha1(self.bytes, at, key))
    }

    /// As [`verify_sha1`](Self::verify_sha1), for MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.6). A truncated value never
    /// verifies: only a usage that says so may truncate, and neither ours nor ICE's does.
    pub fn verify_sha256(&self, key: &[u8]) -> bool {
        self.sha256_at.is_some_and(|at| integrity::verify_sha256(self.bytes, at, key))
    }

    /// What FINGERPRINT says (RFC 8489 §14.7).
    pub fn fingerprint(&self) -> Fingerprint {
        match self.fingerprint_at {
            None => Fingerprint::Absent,
            Some(at) if integrity::fingerprint_is_right(self.bytes, at) => Fingerprint::Right,
            Some(_) => Fingerprint::Wrong,
        }
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {:?} ", self.method, self.class, self.id)?;
        f.debug_list().entries(self.attributes().map(|attribute| attribute.kind)).finish()
    }
}

/// Why bytes are no STUN message.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParseError {
    /// There are fewer than [`HEADER`] bytes.
    #[error("shorter than a header")]
    TooShort,
    /// The first byte is not 0 to 3: it belongs to another protocol (RFC 7983), or to a method that RFC 8489 §18.2 reserves
    /// so that it cannot be taken for one.
    #[error("the first byte is not 0 to 3")]
    NotStun,
    /// The magic cookie is missing.
    #[error("no magic cookie")]
    BadCookie,
    /// The length in the header is not a multiple of four.
    #[error("the length is not a multiple of four")]
    UnalignedLength,
    /// The datagram is not as long as the header says.
    #[error("the length does not match the datagram")]
    LengthMismatch,
    /// There are more than [`MAX_MESSAGE`] bytes.
    #[error("longer than {MAX_MESSAGE} bytes")]
    TooLong,
    /// There are more than [`MAX_ATTRIBUTES`] attributes.
    #[error("more than {MAX_ATTRIBUTES} attributes")]
    TooManyAttributes,
    /// An attribute ends after the message does.
    #[error("an attribute ends after the message does")]
    AttributePastEnd,
    /// MESSAGE-INTEGRITY is not 20 bytes, or MESSAGE-INTEGRITY-SHA256 not 16 to 32 in steps of four.
    #[error("an integrity attribute has an impossible length")]
    BadIntegrityLength,
    /// FINGERPRINT is not 4 bytes.
    #[error("FINGERPRINT is not 4 bytes")]
    BadFingerprintLength,
    /// An attribute follows FINGERPRINT, which has to be the last.
    #[error("FINGERPRINT is not the last attribute")]
    AfterFingerprint,
}

/// Request, indication, success or error (RFC 8489 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Wants a response.
    Request,
    /// Wants none.
    Indication,
    /// A response: done.
    Success,
    /// A response: not done.
    Error,
}

impl Class {
    fn of(kind: u16) -> Self {
        match (kind & 0x0100 != 0, kind & 0x0010 != 0) {
            (false, false) => Self::Request,
            (false, true) => Self::Indication,
            (true, false) => Self::Success,
            (true, true) => Self::Error,
        }
    }

    /// The class bits of a message type.
    fn bits(self) -> u16 {
        match self {
            Self::Request => 0x0000,
            Self::Indication => 0x0010,
            Self::Success => 0x0100,
            Self::Error => 0x0110,
        }
    }

    /// Whether it answers a request.
    pub fn is_response(self) -> bool {
        matches!(self, Self::Success | Self::Error)
    }
}

/// What a message is about. The field has 12 bits; all methods above 255 are reserved, so that a message's first byte tells
/// it from other protocols (RFC 8489 §5, §18.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method(pub u8);

impl Method {
    /// "What address do you see me at?", and every connectivity check of ICE.
    pub const BINDING: Self = Self(1);

    /// The method in a message type whose first byte is at most 3.
    fn of(kind: u16) -> Self {
        Self((kind & 0x000f | kind >> 1 & 0x0070 | kind >> 2 & 0x0080) as u8)
    }

    /// The method bits of a message type.
    fn bits(self) -> u16 {
        let number = u16::from(self.0);
        number & 0x000f | (number & 0x0070) << 1 | (number & 0x0080) << 2
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BINDING => f.write_str("Binding"),
            Self(number) => write!(f, "Method({number:#04x})"),
        }
    }
}

/// What ties a response to its request: 96 bits, to be unguessable (RFC 8489 §5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub [u8; 12]);

impl TransactionId {
    /// A fresh one.
    pub fn random(rng: &mut Rng) -> Self {
        Self(rng.array())
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
