use std::net::IpAddr;

use sha1::{Digest, Sha1};

/// Bits of a filter.
const BITS: u16 = 2_048;

/// A set of IP addresses of which only the size can be told, roughly: how a node says how many announced a topic to it
/// without saying who (BEP 33).
///
/// Filters of several nodes are merged before anything is estimated, so that who announced to all of them counts once.
#[derive(Clone, PartialEq, Eq)]
pub struct Bloom([u8; Self::LEN]);

impl Bloom {
    /// The size of a filter in bytes.
    pub const LEN: usize = 256;

    /// The filter with these bytes.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The filter's bytes. Bit `i` is bit `i % 8` of byte `i / 8`, the lowest first.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Adds an address.
    pub fn insert(&mut self, ip: IpAddr) {
        let hash = match ip {
            IpAddr::V4(ip) => Sha1::digest(ip.octets()),
            IpAddr::V6(ip) => Sha1::digest(ip.octets()),
        };
        let [a, b, c, d, ..] = hash.0;
        for bit in [u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])] {
            let bit = usize::from(bit % BITS);
            if let Some(byte) = self.0.get_mut(bit / 8) {
                *byte |= 1 << (bit % 8);
            }
        }
    }

    /// Adds all that another filter holds.
    pub fn merge(&mut self, other: &[u8; Self::LEN]) {
        self.0.iter_mut().zip(other).for_each(|(byte, other)| *byte |= other);
    }

    /// About how many addresses it holds. From some 6000 on it is full and says no more.
    pub fn estimate(&self) -> f64 {
        let bits = f64::from(BITS);
        let zeros: u32 = self.0.iter().map(|byte| byte.count_zeros()).sum();
        // A filter without a single zero could hold any number; it counts as having one.
        let zeros = f64::from(zeros).clamp(1.0, bits - 1.0);
        if self.is_empty() { 0.0 } else { (zeros / bits).ln() / (2.0 * (-1.0 / bits).ln_1p()) }
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }
}

impl Default for Bloom {
    fn default() -> Self {
        Self([0; Self::LEN])
    }
}

impl std::fmt::Debug for Bloom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bloom(about {:.0})", self.estimate())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    /// BEP 33's vector: 256 IPv4 addresses and 1000 IPv6 ones.
    #[test]
    fn the_vector_of_bep33() {
        let v4 = (0..=255).map(|last| IpAddr::from(Ipv4Addr::new(192, 0, 2, last)));
        let v6 = (0..=0x3e7).map(|last| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)));
        let (mut bloom, mut half) = (Bloom::default(), Bloom::default());
        v4.for_each(|ip| bloom.insert(ip));
        v6.for_each(|ip| half.insert(ip));
        bloom.merge(half.as_bytes());
        let expected = "F6C3F5EAA07FFD91BDE89F777F26FB2BFF37BDB8FB2BBAA2FD3DDDE7BACFFF75EE7CCBAE\
                        FE5EEDB1FBFAFF67F6ABFF5E43DDBCA3FD9B9FFDF4FFD3E9DFF12D1BDF59DB53DBE9FA5B\
                        7FF3B8FDFCDE1AFB8BEDD7BE2F3EE71EBBBFE93BCDEEFE148246C2BC5DBFF7E7EFDCF24F\
                        D8DC7ADFFD8FFFDFDDFFF7A4BBEEDF5CB95CE81FC7FCFF1FF4FFFFDFE5F7FDCBB7FD79B3\
                        FA1FC77BFE07FFF905B7B7FFC7FEFEFFE0B8370BB0CD3F5B7F2BD93FEB4386CFDD6F7FD5\
                        BFAF2E9EBFFFFEECD67ADBF7C67F17EFD5D75EBA6FFEBA7FFF47A91EB1BFBB53E8ABFB57\
                        62ABE8FF237279BFEFBFEEF5FFC5FEBFDFE5ADFFADFEE1FB737FFFFBFD9F6AEFFEEE76B6\
                        FD8F72EF";
        let hex: String = bloom.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(hex, expected);
        assert!((bloom.estimate() - 1224.9308).abs() < 0.0001, "{}", bloom.estimate());
    }

    #[test]
    fn empty_and_full() {
        assert_eq!(Bloom::default().estimate(), 0.0);
        let full = Bloom::from_bytes([0xff; Bloom::LEN]);
        assert!(full.estimate() > 7_000.0 && full.estimate().is_finite(), "{}", full.estimate());
        let mut one = Bloom::default();
        one.insert([8, 8, 8, 8].into());
        assert!((0.9..1.1).contains(&one.estimate()), "{}", one.estimate());
    }
}
