use std::fmt;
use std::iter::FusedIterator;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{COOKIE, HEADER, MAX_TEXT, TransactionId};

/// One attribute of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its type.
    pub kind: AttributeType,
    /// Its value, without padding.
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The attribute that starts at `at`, and where the next one does; `None` if it does not end within `bytes`.
    pub(super) fn split(bytes: &'a [u8], at: usize) -> Option<(Self, usize)> {
        let (&[t0, t1, l0, l1], rest) = bytes.get(at..)?.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let padded = length.next_multiple_of(4);
        if padded > rest.len() {
            return None;
        }
        let kind = AttributeType(u16::from_be_bytes([t0, t1]));
        Some((Self { kind, value: rest.get(..length)? }, at + 4 + padded))
    }
}

/// An iterator over the attributes of a message; made by [`Message::attributes`](super::Message::attributes).
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Attributes<'a> {
    /// Those of the message `bytes`, header included.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: HEADER }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let (attribute, next) = Attribute::split(self.bytes, self.at)?;
        self.at = next;
        Some(attribute)
    }
}

impl FusedIterator for Attributes<'_> {}

/// The type of an attribute: a registered number or one of our own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeType(pub u16);

/// Lists every named type once, for the constants and for `Debug`.
macro_rules! types {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        impl AttributeType {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// The name in its standard, or `None` if this codec has no name for it.
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

types! {
    /// The sender's view of our address, in clear (RFC 8489 §14.1).
    MAPPED_ADDRESS = 0x0001, "MAPPED-ADDRESS";
    /// Where an old server answers from (RFC 3489 §11.2.3).
    SOURCE_ADDRESS = 0x0004, "SOURCE-ADDRESS";
    /// Where else an old server could answer from (RFC 3489 §11.2.2).
    CHANGED_ADDRESS = 0x0005, "CHANGED-ADDRESS";
    /// Whose credentials the message uses (RFC 8489 §14.3).
    USERNAME = 0x0006, "USERNAME";
    /// HMAC-SHA1 over what precedes it (RFC 8489 §14.5).
    MESSAGE_INTEGRITY = 0x0008, "MESSAGE-INTEGRITY";
    /// Why a request failed (RFC 8489 §14.8).
    ERROR_CODE = 0x0009, "ERROR-CODE";
    /// What the sender did not understand (RFC 8489 §14.9).
    UNKNOWN_ATTRIBUTES = 0x000a, "UNKNOWN-ATTRIBUTES";
    /// Where a long-term credential holds (RFC 8489 §14.9).
    REALM = 0x0014, "REALM";
    /// Against replay of long-term credentials (RFC 8489 §14.10).
    NONCE = 0x0015, "NONCE";
    /// HMAC-SHA256 over what precedes it (RFC 8489 §14.6).
    MESSAGE_INTEGRITY_SHA256 = 0x001c, "MESSAGE-INTEGRITY-SHA256";
    /// How the key is made of the password (RFC 8489 §14.12).
    PASSWORD_ALGORITHM = 0x001d, "PASSWORD-ALGORITHM";
    /// A hash in place of a user name (RFC 8489 §14.4).
    USERHASH = 0x001e, "USERHASH";
    /// The sender's view of our address, hidden from NATs that rewrite what looks like one (RFC 8489 §14.2).
    XOR_MAPPED_ADDRESS = 0x0020, "XOR-MAPPED-ADDRESS";
    /// What a peer-reflexive candidate found by this check would rank (RFC 8445 §16.1).
    PRIORITY = 0x0024, "PRIORITY";
    /// The controlling agent wants this pair (RFC 8445 §16.1).
    USE_CANDIDATE = 0x0025, "USE-CANDIDATE";
    /// XOR-MAPPED-ADDRESS before it was a standard.
    XOR_MAPPED_ADDRESS_OLD = 0x8020, "XOR-MAPPED-ADDRESS (0x8020)";
    /// What runs there, for people (RFC 8489 §14.14).
    SOFTWARE = 0x8022, "SOFTWARE";
    /// Whom to ask instead (RFC 8489 §14.15).
    ALTERNATE_SERVER = 0x8023, "ALTERNATE-SERVER";
    /// CRC-32 over what precedes it; always last (RFC 8489 §14.7).
    FINGERPRINT = 0x8028, "FINGERPRINT";
    /// The sender is the controlled agent (RFC 8445 §16.1).
    ICE_CONTROLLED = 0x8029, "ICE-CONTROLLED";
    /// The sender is the controlling agent (RFC 8445 §16.1).
    ICE_CONTROLLING = 0x802a, "ICE-CONTROLLING";
}

impl AttributeType {
    /// Whether who does not know it must not go on (RFC 8489 §14): the lower half of the numbers.
    pub const fn is_comprehension_required(self) -> bool {
        self.0 < 0x8000
    }

    /// Whether it closes a message: only [`Builder`](super::Builder)'s own methods write those.
    pub(super) const fn is_closing(self) -> bool {
        matches!(self, Self::MESSAGE_INTEGRITY | Self::MESSAGE_INTEGRITY_SHA256 | Self::FINGERPRINT)
    }
}

impl fmt::Debug for AttributeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#06x}", self.0),
        }
    }
}

/// Why a request failed (RFC 8489 §14.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode<'a> {
    /// From 300 to 699; the hundreds are the class.
    pub code: u16,
    /// For people; empty if it was too long or not UTF-8.
    pub reason: &'a str,
}

impl<'a> ErrorCode<'a> {
    pub(super) fn decode(value: &'a [u8]) -> Option<Self> {
        let (&[_, _, class, number], reason) = value.split_first_chunk()?;
        // The upper five bits of the class are reserved, and to be ignored.
        let (class, number) = (u16::from(class & 7), u16::from(number));
        if !(3..=6).contains(&class) || number > 99 {
            return None;
        }
        let reason =
            if reason.len() <= MAX_TEXT { std::str::from_utf8(reason).unwrap_or_default() } else { "" };
        Some(Self { code: class * 100 + number, reason })
    }
}

/// Reads an address, un-XORed if the transaction id is given (RFC 8489 §14.1, §14.2).
pub(super) fn decode_address(value: &[u8], xor: Option<TransactionId>) -> Option<SocketAddr> {
    let (&[_, family, p0, p1], ip) = value.split_first_chunk()?;
    let port = u16::from_be_bytes([p0, p1]);
    let ip: IpAddr = match family {
        1 => Ipv4Addr::from(<[u8; 4]>::try_from(ip).ok()?).into(),
        2 => Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?).into(),
        _ => return None,
    };
    let addr = SocketAddr::new(ip, port);
    Some(match xor {
        Some(id) => xor_address(addr, id),
        None => addr,
    })
}

/// Writes the value of an XOR-MAPPED-ADDRESS into `out`, and tells its length.
pub(super) fn encode_xored_address(addr: SocketAddr, id: TransactionId) -> ([u8; 20], usize) {
    let addr = xor_address(addr, id);
    let mut out = [0; 20];
    let [p0, p1] = addr.port().to_be_bytes();
    match addr.ip() {
        IpAddr::V4(ip) => {
            out[..4].copy_from_slice(&[0, 1, p0, p1]);
            out[4..8].copy_from_slice(&ip.octets());
            (out, 8)
        }
        IpAddr::V6(ip) => {
            out[..4].copy_from_slice(&[0, 2, p0, p1]);
            out[4..].copy_from_slice(&ip.octets());
            (out, 20)
        }
    }
}

/// Hides an address, or brings it back.
fn xor_address(addr: SocketAddr, TransactionId(id): TransactionId) -> SocketAddr {
    let ip: IpAddr = match addr.ip() {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() ^ COOKIE).into(),
        IpAddr::V6(ip) => {
            let low = id.iter().fold(0, |low, byte| low << 8 | u128::from(*byte));
            Ipv6Addr::from_bits(ip.to_bits() ^ (u128::from(COOKIE) << 96 | low)).into()
        }
    };
    SocketAddr::new(ip, addr.port() ^ (COOKIE >> 16) as u16)
}
