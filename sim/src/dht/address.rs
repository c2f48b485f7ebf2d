use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use folkmoot_core::base::{NodeId, Scope};

use crate::engine::{Chance, Draws, Subject};

/// What of an address decides the beginning of an id (BEP 42).
const MASK: u32 = 0x030f_3fff;

/// Addresses and ids of nodes that nobody stores, each computed from the other.
///
/// A node's address is a keyed permutation of its number, and its id follows from the address as BEP 42 wants it: 21 bits
/// are a checksum of the address. Of the bits that are free, 32 hold the address in another permutation, so that eight
/// bytes of id are all there is to know of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    draws: Draws,
    /// How many have ids that begin as they please: those of software that does not know BEP 42.
    unbound: Chance,
}

/// The draws of this module.
const NUMBER: Subject = Subject::Scenario(0xadd0);
const PLACE: Subject = Subject::Scenario(0xadd1);
const FREE: Subject = Subject::Scenario(0xadd2);
const TAIL: Subject = Subject::Scenario(0xadd3);
const UNBOUND: Subject = Subject::Scenario(0xadd4);

impl Addresses {
    pub(crate) fn new(seed: u64, unbound: Chance) -> Self {
        Self { draws: Draws::new(seed), unbound }
    }

    /// All addresses there are, in the order of their numbers: those of the internet.
    pub(crate) fn all(self) -> impl Iterator<Item = Ipv4Addr> + Clone {
        let (draws, all) = (self.draws, 0..=u32::MAX);
        let keys = keys(&draws, NUMBER);
        all.map(move |number| Ipv4Addr::from(permute(keys, number))).filter(|ip| is_global(*ip))
    }

    /// The first 64 bits of the id of the node at an address.
    pub(crate) fn id_at(self, keys: [u32; ROUNDS], ip: Ipv4Addr) -> u64 {
        let free = self.draws.at(FREE, u32::from(ip).into());
        let number = u64::from(u32::from(ip));
        let beginning = match self.draws.happens(UNBOUND, number, self.unbound) {
            true => self.draws.at(UNBOUND, !number) as u32,
            false => prefix(ip, free as u8),
        };
        let bound = u64::from(beginning >> 11) << 43;
        let place = u64::from(permute(keys, u32::from(ip))) << 8;
        bound | (free >> 61) << 40 | place | free >> 8 & 0xff
    }

    /// What [`Addresses::id_at`] needs, once for all.
    pub(crate) fn keys(self) -> [u32; ROUNDS] {
        keys(&self.draws, PLACE)
    }

    /// Where the node with this id is.
    pub(crate) fn of(self, id: u64) -> SocketAddr {
        let ip = Ipv4Addr::from(restore(self.keys(), (id >> 8) as u32));
        let free = self.draws.at(FREE, u32::from(ip).into());
        // Not a low port: those belong to services, and nobody asks there.
        SocketAddr::from((ip, 1_024 + (free >> 16) as u16 % 64_000))
    }

    /// All of an id.
    pub(crate) fn whole(self, id: u64) -> NodeId {
        let ip = restore(self.keys(), (id >> 8) as u32);
        let free = self.draws.at(FREE, ip.into());
        let (a, b) = (self.draws.at(TAIL, id), self.draws.at(TAIL, !id));
        let mut whole = [0; NodeId::LEN];
        whole[..8].copy_from_slice(&id.to_be_bytes());
        whole[8..16].copy_from_slice(&a.to_be_bytes());
        whole[16..].copy_from_slice(&(b as u32).to_be_bytes());
        whole[19] = whole[19] & 0xf8 | free as u8 & 7;
        NodeId(whole)
    }
}

/// Which addresses allow ids that begin in a certain way (BEP 42): the rule backwards.
#[derive(Debug)]
pub struct Prefixes {
    /// The bits of an address that count, and the three chosen ones, sorted by what an id must begin with.
    inputs: Vec<u32>,
    /// Where those of each beginning start.
    starts: Vec<u32>,
}

impl Prefixes {
    /// All of them: 40 MB.
    pub fn all() -> Self {
        let input = |n: u32| (n & 7) << 29 | spread(n >> 3);
        let beginning = |input: u32| prefix(Ipv4Addr::from(input & MASK), (input >> 29) as u8) >> 11;
        let all: Vec<(u32, u32)> = (0..1 << 23).map(input).map(|input| (beginning(input), input)).collect();
        let mut starts = vec![0u32; (1 << 21) + 1];
        all.iter().for_each(|(beginning, _)| starts[*beginning as usize + 1] += 1);
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let (mut next, mut inputs) = (starts.clone(), vec![0; 1 << 23]);
        for (beginning, input) in all {
            let at = &mut next[beginning as usize];
            inputs[*at as usize] = input;
            *at += 1;
        }
        Self { inputs, starts }
    }

    /// An address that allows ids which share the first 21 bits with a topic, and what such an id must end with.
    pub(crate) fn address(&self, topic: &[u8; 20], random: u64) -> (Ipv4Addr, u8) {
        let beginning = (u32::from_be_bytes([topic[0], topic[1], topic[2], topic[3]]) >> 11) as usize;
        let fitting = &self.inputs[self.starts[beginning] as usize..self.starts[beginning + 1] as usize];
        let input = fitting.get(random as usize % fitting.len().max(1)).copied().unwrap_or_default();
        // What does not count is free; the first byte is to be that of a public address.
        let free = (random >> 32) as u32 & !MASK & 0x3fff_ffff | 0x1000_0000;
        (Ipv4Addr::from(input & MASK | free), (input >> 29) as u8)
    }
}

/// 20 bits to where the mask has its ones.
fn spread(number: u32) -> u32 {
    (number & 0xff) | (number >> 8 & 0x3f) << 8 | (number >> 14 & 0xf) << 16 | (number >> 18 & 3) << 24
}

/// What an id must begin with at an address, in its upper 21 bits (BEP 42). Written from the BEP and without the core's,
/// so that the two check each other.
pub(crate) fn prefix(ip: Ipv4Addr, seed: u8) -> u32 {
    let bytes = (u32::from(ip) & MASK | u32::from(seed & 7) << 29).to_be_bytes();
    !bytes.iter().fold(!0, |crc, byte| CRC[usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}

/// CRC-32C (Castagnoli), a byte at a time.
const CRC: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

fn is_global(ip: Ipv4Addr) -> bool {
    Scope::of(IpAddr::V4(ip)) == Scope::Global
}

/// Rounds of the permutation.
const ROUNDS: usize = 4;

fn keys(draws: &Draws, subject: Subject) -> [u32; ROUNDS] {
    std::array::from_fn(|round| draws.at(subject, round as u64) as u32)
}

/// A permutation of all 32-bit numbers (Luby and Rackoff), which looks random and is no cipher.
fn permute(keys: [u32; ROUNDS], number: u32) -> u32 {
    let (left, right) = keys
        .iter()
        .fold((number >> 16, number & 0xffff), |(left, right), key| (right, left ^ scramble(right ^ key)));
    left << 16 | right
}

fn restore(keys: [u32; ROUNDS], permuted: u32) -> u32 {
    let (left, right) = keys
        .iter()
        .rev()
        .fold((permuted >> 16, permuted & 0xffff), |(left, right), key| (right ^ scramble(left ^ key), left));
    left << 16 | right
}

fn scramble(half: u32) -> u32 {
    let mixed = half.wrapping_mul(0x9e37_79b1);
    (mixed ^ mixed >> 15).wrapping_mul(0x85eb_ca6b) >> 16
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    quickcheck! {
        fn a_permutation_can_be_undone(seed: u64, number: u32) -> bool {
            let keys = keys(&Draws::new(seed), PLACE);
            restore(keys, permute(keys, number)) == number
        }
    }

    /// The vectors of BEP 42.
    #[test]
    fn prefixes() {
        let cases = [
            ([124, 31, 75, 21], 1, 0x5f_bfbf),
            ([21, 75, 31, 124], 86, 0x5a_3ce9),
            ([65, 23, 51, 170], 22, 0xa5_d432),
            ([84, 124, 73, 14], 65, 0x1b_0321),
            ([43, 213, 53, 83], 90, 0xe5_6f6c),
        ];
        for (ip, seed, expected) in cases {
            assert_eq!(prefix(ip.into(), seed) >> 11, expected >> 3, "{ip:?}");
        }
    }

    #[test]
    fn address_and_id_follow_from_each_other() {
        let addresses = Addresses::new(7, Chance::NEVER);
        let keys = addresses.keys();
        let mut ids: Vec<u64> = Vec::new();
        for ip in addresses.all().take(10_000) {
            assert!(is_global(ip));
            let id = addresses.id_at(keys, ip);
            assert_eq!(addresses.of(id).ip(), IpAddr::V4(ip));
            let whole = addresses.whole(id);
            assert_eq!(whole.0[..8], id.to_be_bytes());
            assert_eq!(prefix(ip, whole.0[19]) >> 11, (id >> 43) as u32);
            ids.push(id);
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 10_000, "all distinct");
        // Even in the first bits: a chi-square test over 16 equal parts, with 15 degrees of freedom.
        let mut parts = [0i64; 16];
        ids.iter().for_each(|id| parts[(id >> 60) as usize] += 1);
        let chi: i64 = parts.iter().map(|part| (part - 625).pow(2)).sum::<i64>() / 625;
        assert!(chi < 38, "{parts:?}");
    }

    #[test]
    fn of_so_many_the_ids_are_made_up() {
        let addresses = Addresses::new(7, Chance::percent(30));
        let keys = addresses.keys();
        let follows = |ip: &Ipv4Addr| {
            let id = addresses.id_at(keys, *ip);
            assert_eq!(addresses.of(id).ip(), IpAddr::V4(*ip), "the address follows from any id");
            prefix(*ip, addresses.whole(id).0[19]) >> 11 == (id >> 43) as u32
        };
        let follow = addresses.all().take(10_000).filter(follows).count();
        assert!((6_900..7_100).contains(&follow), "{follow} of 10,000");
    }
}
