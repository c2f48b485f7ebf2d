use std::net::SocketAddr;

use super::attribute::encode_xored_address;
use super::{
    AttributeType, COOKIE_BYTES, Class, HEADER, MAX_ATTRIBUTES, MAX_MESSAGE, MAX_TEXT, MAX_USERNAME, Method,
    TransactionId, integrity,
};

/// What the closing attributes can take up: both integrities and a fingerprint. Kept free, so that they always fit.
const CLOSING: usize = (4 + 20) + (4 + 32) + (4 + 4);

/// Builds a message. Attributes come first; [`integrity_sha1`](Self::integrity_sha1) and its kin seal it; then it is
/// finished. Every message built parses.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    bytes: Vec<u8>,
    id: TransactionId,
    attributes: usize,
}

impl Builder {
    /// Bytes that all attributes together can take, each with 4 bytes of its own header and padding to a multiple of four.
    pub const ROOM: usize = MAX_MESSAGE - HEADER - CLOSING;

    /// A message without attributes.
    pub fn new(class: Class, method: Method, id: TransactionId) -> Self {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend((class.bits() | method.bits()).to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(COOKIE_BYTES);
        bytes.extend(id.0);
        Self { bytes, id, attributes: 0 }
    }

    /// A Binding request.
    pub fn binding_request(id: TransactionId) -> Self {
        Self::new(Class::Request, Method::BINDING, id)
    }

    /// A Binding success response to the request with that id.
    pub fn binding_success(id: TransactionId) -> Self {
        Self::new(Class::Success, Method::BINDING, id)
    }

    /// A Binding error response to the request with that id.
    ///
    /// `code` is brought into 300 to 699, of `reason` at most [`MAX_TEXT`] bytes are sent.
    pub fn binding_error(id: TransactionId, code: u16, reason: &str) -> Self {
        let code = code.clamp(300, 699);
        let mut value = vec![0, 0, (code / 100) as u8, (code % 100) as u8];
        value.extend(prefix(reason, MAX_TEXT).as_bytes());
        Self::new(Class::Error, Method::BINDING, id).attribute(AttributeType::ERROR_CODE, &value)
    }

    /// Appends an attribute of any type.
    ///
    /// One that does not fit into what is left of [`ROOM`](Self::ROOM), or exceeds [`MAX_ATTRIBUTES`], is left out whole; so
    /// is one of the types that only this builder's closing methods may write.
    pub fn attribute(mut self, kind: AttributeType, value: &[u8]) -> Self {
        let end = self.bytes.len() + 4 + value.len().next_multiple_of(4);
        if end <= HEADER + Self::ROOM && self.attributes < MAX_ATTRIBUTES && !kind.is_closing() {
            self.attributes += 1;
            append(&mut self.bytes, kind, value);
        }
        self
    }

    /// Appends USERNAME; of a longer text than [`MAX_USERNAME`] bytes nothing.
    pub fn username(self, username: &str) -> Self {
        if username.len() > MAX_USERNAME {
            return self;
        }
        self.attribute(AttributeType::USERNAME, username.as_bytes())
    }

    /// Appends SOFTWARE; of a longer text the first [`MAX_TEXT`] bytes.
    pub fn software(self, software: &str) -> Self {
        self.attribute(AttributeType::SOFTWARE, prefix(software, MAX_TEXT).as_bytes())
    }

    /// Appends XOR-MAPPED-ADDRESS: where we see the other at.
    pub fn xor_mapped_address(self, addr: SocketAddr) -> Self {
        let (value, length) = encode_xored_address(addr, self.id);
        self.attribute(AttributeType::XOR_MAPPED_ADDRESS, &value[..length])
    }

    /// Appends UNKNOWN-ATTRIBUTES, for an error 420.
    pub fn unknown_attributes(self, kinds: impl IntoIterator<Item = AttributeType>) -> Self {
        let value: Vec<u8> = kinds.into_iter().flat_map(|kind| kind.0.to_be_bytes()).collect();
        self.attribute(AttributeType::UNKNOWN_ATTRIBUTES, &value)
    }

    /// Seals the message with MESSAGE-INTEGRITY, as ICE does; for `key` see
    /// [`Message::verify_sha1`](super::Message::verify_sha1).
    pub fn integrity_sha1(mut self, key: &[u8]) -> Sealed {
        append_sha1(&mut self.bytes, key);
        Sealed { bytes: self.bytes }
    }

    /// Seals the message with MESSAGE-INTEGRITY-SHA256.
    pub fn integrity_sha256(mut self, key: &[u8]) -> Sealed {
        append_sha256(&mut self.bytes, key);
        Sealed { bytes: self.bytes }
    }

    /// Seals the message with both, for a receiver of which it is not known whether it has the newer one
    /// (RFC 8489 §9.1.2).
    pub fn integrity_both(mut self, key: &[u8]) -> Sealed {
        append_sha1(&mut self.bytes, key);
        append_sha256(&mut self.bytes, key);
        Sealed { bytes: self.bytes }
    }

    /// The message as it is.
    pub fn finish(self) -> Vec<u8> {
        Sealed { bytes: self.bytes }.finish()
    }

    /// The message with a FINGERPRINT at its end.
    pub fn finish_with_fingerprint(self) -> Vec<u8> {
        Sealed { bytes: self.bytes }.finish_with_fingerprint()
    }
}

/// A message whose integrity is computed: nothing more can be added but a fingerprint.
#[derive(Clone, Debug)]
#[must_use]
pub struct Sealed {
    bytes: Vec<u8>,
}

impl Sealed {
    /// The message.
    pub fn finish(mut self) -> Vec<u8> {
        set_length(&mut self.bytes);
        self.bytes
    }

    /// The message with a FINGERPRINT at its end, as ICE wants it.
    pub fn finish_with_fingerprint(mut self) -> Vec<u8> {
        let crc = integrity::fingerprint(&self.bytes, self.bytes.len());
        append(&mut self.bytes, AttributeType::FINGERPRINT, &crc.to_be_bytes());
        self.finish()
    }
}

fn append_sha1(bytes: &mut Vec<u8>, key: &[u8]) {
    let tag = integrity::sha1(bytes, bytes.len(), key);
    append(bytes, AttributeType::MESSAGE_INTEGRITY, &tag);
}

fn append_sha256(bytes: &mut Vec<u8>, key: &[u8]) {
    let tag = integrity::sha256(bytes, bytes.len(), key);
    append(bytes, AttributeType::MESSAGE_INTEGRITY_SHA256, &tag);
}

/// Appends an attribute that is known to fit.
fn append(bytes: &mut Vec<u8>, kind: AttributeType, value: &[u8]) {
    let padded = value.len().next_multiple_of(4);
    bytes.extend(kind.0.to_be_bytes());
    bytes.extend((value.len() as u16).to_be_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len() + padded - value.len(), 0);
}

fn set_length(bytes: &mut [u8]) {
    let length = (bytes.len() - HEADER) as u16;
    if let Some(field) = bytes.get_mut(2..4) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

/// As much of `text` as fits into `limit` bytes without cutting a character.
fn prefix(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}
