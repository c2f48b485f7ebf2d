use std::net::IpAddr;

use crate::base::{NodeId, Rng, Scope, crc32c};

/// The bits of an address that an id is bound to: the more, the closer to its beginning, so that who owns a whole
/// network still cannot choose ids freely (BEP 42).
const V4_MASK: u32 = 0x030f_3fff;
/// Of the upper half of an IPv6 address.
const V6_MASK: u64 = 0x0103_070f_1f3f_7fff;

/// The leading bits of an id that are given by the address.
const BOUND: u32 = 0xffff_f800;

/// A random id among those that `ip` allows (BEP 42).
pub(super) fn bound_to(ip: IpAddr, rng: &mut Rng) -> NodeId {
    let mut id: [u8; NodeId::LEN] = rng.array();
    let [a, b, c, .., seed] = &mut id;
    let [first, second, third, _] = prefix(ip, *seed).to_be_bytes();
    (*a, *b, *c) = (first, second, third & 0xf8 | *c & 0x07);
    NodeId(id)
}

/// Whether a node at `ip` may have this id (BEP 42); at a local address, any.
pub(super) fn is_bound(id: &NodeId, ip: IpAddr) -> bool {
    let [a, b, c, .., seed] = id.0;
    Scope::of(ip).is_local() || (u32::from_be_bytes([a, b, c, 0]) ^ prefix(ip, seed)) & BOUND == 0
}

/// What the id must begin with, as far as [`BOUND`] goes. Three bits are the node's to choose, so that eight nodes can
/// live at one address; the id's last byte shows them.
fn prefix(ip: IpAddr, seed: u8) -> u32 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => crc32c(&(u32::from(ip) & V4_MASK | u32::from(seed & 7) << 29).to_be_bytes()),
        IpAddr::V6(ip) => {
            let upper = (u128::from(ip) >> 64) as u64;
            crc32c(&(upper & V6_MASK | u64::from(seed & 7) << 61).to_be_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// The vectors of BEP 42, and one of libtorrent's for IPv6.
    #[test]
    fn vectors() {
        let cases = [
            ("124.31.75.21", "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401", 0x5fbf_bdb2),
            ("21.75.31.124", "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256", 0x5a3c_e9b0),
            ("65.23.51.170", "a5d43220bc8f112a3d426c84764f8c2a1150e616", 0xa5d4_344a),
            ("84.124.73.14", "1b0321dd1bb1fe518101ceef99462b947a01ff41", 0x1b03_217b),
            ("43.213.53.83", "e56f6cbf5b7c4be0237986d5243b87aa6d51305a", 0xe56f_6972),
            (
                "2001:b829:2123:be84:e16c:d6ae:5290:49f1",
                "0a8ad123be84e16cd6ae529049f1f1bbe9ebb304",
                0x0a8a_d1aa,
            ),
        ];
        for (addr, id, crc) in cases {
            let id: NodeId = id.parse().unwrap();
            assert_eq!(prefix(ip(addr), id.0[19]), crc, "{addr}");
            assert!(is_bound(&id, ip(addr)), "{addr}");
            assert!(!is_bound(&id, ip("8.8.8.8")), "{addr}");
            let flipped = |bit: usize| {
                let mut other = id;
                other.0[bit / 8] ^= 0x80 >> (bit % 8);
                is_bound(&other, ip(addr))
            };
            let free: Vec<usize> = (0..160).filter(|&bit| flipped(bit)).collect();
            assert_eq!(free, (21..157).collect::<Vec<_>>(), "{addr}");
        }
    }

    /// Computed with another implementation of the same rule.
    #[test]
    fn more_of_ipv6() {
        assert_eq!(prefix(ip("2001:db8::1"), 0), 0x7c89_c9bd);
        assert_eq!(prefix(ip("2001:db8:1234:5678::1"), 5), 0x4eef_e00d);
        assert_eq!(prefix(ip("2a01:4f8:c0c:1234::1"), 7), 0x74a8_4d60);
    }

    #[test]
    fn what_is_made_is_bound_and_differs() {
        let mut rng = Rng::new([1; 32]);
        for addr in ["8.8.8.8", "203.0.113.77", "2a01:4f8:c0c:1234::1", "::ffff:8.8.8.8"] {
            let ids = [(); 9].map(|()| bound_to(ip(addr), &mut rng));
            assert!(ids.iter().all(|id| is_bound(id, ip(addr))), "{addr}");
            assert_ne!(ids[0], ids[1], "{addr}");
        }
        assert!(is_bound(&NodeId([1; 20]), ip("192.168.1.1")), "a local address allows any");
        assert!(is_bound(&bound_to(ip("8.8.8.8"), &mut rng), ip("::ffff:8.8.8.8")));
    }
}
