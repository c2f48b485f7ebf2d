//! Whose datagram is it: everything a node does shares one socket, and the first byte tells them apart (RFC 7983).

use super::stun;

/// What a datagram claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// STUN: a first byte of 0 to 3, a whole header and the magic cookie (RFC 8489 §5).
    Stun,
    /// A DTLS record: a first byte of 20 to 63.
    Dtls,
    /// A datagram relayed over a channel: a first byte of 64 to 79, and a whole 4-byte header (RFC 8656 §12.4).
    ChannelData,
    /// A KRPC message: a bencoded dictionary, which starts with `d` (BEP 5).
    Krpc,
    /// None of these.
    Unknown,
}

/// What `datagram` claims to be, by its first bytes. That it is well formed is for its parser to find out.
pub fn classify(datagram: &[u8]) -> Kind {
    match datagram {
        [0..=3, ..] if stun::has_cookie(datagram) => Kind::Stun,
        [20..=63, ..] => Kind::Dtls,
        [64..=79, _, _, _, ..] => Kind::ChannelData,
        [b'd', ..] => Kind::Krpc,
        _ => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_first_byte() {
        let kind_of = |first: u8| {
            let mut datagram = [0; 20];
            datagram[0] = first;
            datagram[4..8].copy_from_slice(&0x2112_a442_u32.to_be_bytes());
            classify(&datagram)
        };
        for first in 0..=u8::MAX {
            let expected = match first {
                0..=3 => Kind::Stun,
                20..=63 => Kind::Dtls,
                64..=79 => Kind::ChannelData,
                100 => Kind::Krpc,
                _ => Kind::Unknown,
            };
            assert_eq!(kind_of(first), expected, "first byte {first}");
        }
    }

    #[test]
    fn a_header_must_be_whole() {
        let mut binding = [0; 20];
        binding[1] = 1;
        assert_eq!(classify(&binding), Kind::Unknown, "no cookie");
        binding[4..8].copy_from_slice(&0x2112_a442_u32.to_be_bytes());
        assert_eq!(classify(&binding), Kind::Stun);
        assert_eq!(classify(&binding[..19]), Kind::Unknown);
        assert_eq!(classify(&[0x40, 0, 0]), Kind::Unknown);
        assert_eq!(classify(&[0x40, 0, 0, 0]), Kind::ChannelData);
        assert_eq!(classify(b"d"), Kind::Krpc);
        assert_eq!(classify(b""), Kind::Unknown);
    }
}
