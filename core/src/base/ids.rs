use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A text that is not an id in hexadecimal.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not {0} hexadecimal digits")]
pub struct ParseIdError(usize);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The id's size in bytes.
            pub const LEN: usize = $len;

            /// The bytes of the id.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        /// As their bytes. All are keys or hashes, so the first eight nearly always tell: maps by them compare numbers.
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                let head = |id: &Self| id.0.first_chunk().map(|head| u64::from_be_bytes(*head));
                head(self).cmp(&head(other)).then_with(|| self.0.cmp(&other.0))
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl From<[u8; $len]> for $name {
            fn from(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = std::array::TryFromSliceError;

            fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
                bytes.try_into().map(Self)
            }
        }

        /// All of it, in lower-case hexadecimal.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        /// The first four bytes, in lower-case hexadecimal.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let digits = text.as_bytes();
                if digits.len() != 2 * $len {
                    return Err(ParseIdError(2 * $len));
                }
                let mut bytes = [0; $len];
                for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
                    let nibble = |digit: u8| (digit as char).to_digit(16).ok_or(ParseIdError(2 * $len));
                    *byte = (nibble(pair[0])? << 4 | nibble(pair[1])?) as u8;
                }
                Ok(Self(bytes))
            }
        }
    };
}

id! {
    /// A DHT node's place in the 160-bit Kademlia key space (BEP 5).
    NodeId, 20
}
id! {
    /// What is looked up in the DHT: 160 bits, in the same space as [`NodeId`] (BEP 5).
    InfoHash, 20
}
id! {
    /// A device: its Ed25519 public key, which signs its records and messages.
    DeviceId, 32
}
id! {
    /// A member: an Ed25519 public key that certifies the keys of the member's devices.
    MemberId, 32
}
id! {
    /// A meeting, derived from its code; never on the wire in clear.
    MeetingId, 16
}

impl NodeId {
    /// The XOR distance to a point in the key space, as big-endian bytes: comparing them compares distances.
    pub fn distance(&self, to: &[u8; 20]) -> [u8; 20] {
        std::array::from_fn(|i| self.0[i] ^ to[i])
    }
}

/// Which run of a device: greater at every process start, so that a restarted device is told from its past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    #[test]
    fn hex_round_trip() {
        let id = NodeId(std::array::from_fn(|i| i as u8 * 13));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("zz".parse::<NodeId>(), Err(ParseIdError(40)));
        assert!("g".repeat(40).parse::<NodeId>().is_err());
        assert!("é".repeat(20).parse::<NodeId>().is_err());
    }

    quickcheck! {
        fn order_is_that_of_the_bytes(a: Vec<u8>, b: Vec<u8>, alike: usize) -> bool {
            let id = |bytes: &[u8]| MemberId(std::array::from_fn(|i| bytes.get(i).copied().unwrap_or(0)));
            let (a, mut b) = (id(&a), id(&b));
            b.0[..alike % 33].copy_from_slice(&a.0[..alike % 33]);
            a.cmp(&b) == a.0.cmp(&b.0) && a.partial_cmp(&b) == a.0.partial_cmp(&b.0)
        }
    }

    #[test]
    fn distance_is_symmetric() {
        let (a, b) = (NodeId([0x0f; 20]), NodeId([0xf1; 20]));
        assert_eq!(a.distance(&b.0), b.distance(&a.0));
        assert_eq!(a.distance(&a.0), [0; 20]);
    }
}
