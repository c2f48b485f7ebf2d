use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use folkmoot_core::base::NodeId;
use folkmoot_core::wire::krpc::Contact;

use super::address::Prefixes;
use crate::engine::{Chance, Draws, Subject};

/// Who in a network is hostile.
#[derive(Debug)]
pub enum Foes {
    /// Nobody.
    None,
    /// Each node with the same probability, wherever it is; all of them do the same.
    Crowd {
        /// How many.
        share: Chance,
        /// What they do.
        way: Way,
    },
    /// Nodes placed around one topic.
    Sybils(Sybils),
}

/// What a hostile node answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Nothing.
    Drop,
    /// Nodes next to the target, and peers, at addresses where nobody is.
    Lie,
    /// Its allies, under ids made up next to the target. They answer, take announcements, and keep nothing.
    Themselves,
    /// What is right, but of what they take they keep nothing.
    Patience,
    /// Nodes next to the target, and peers, all at the address of somebody who has nothing to do with it.
    Victim(IpAddr),
}

/// Nodes with ids around a topic, at addresses in different networks, that want it to be announced to them and nowhere else.
#[derive(Debug)]
pub struct Sybils {
    topic: [u8; 20],
    nodes: Vec<Sybil>,
    places: BTreeMap<SocketAddr, usize>,
    draws: Draws,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sybil {
    pub(super) number: u64,
    pub(super) id: NodeId,
    addr: SocketAddr,
}

const SYBIL: Subject = Subject::Scenario(0x5b10);

impl Sybils {
    /// `count` of them around a topic, closer than anybody honest is. With `prefixes` the attacker has addresses from which
    /// such ids follow (BEP 42): out of some millions, as only a large botnet has. Without, the ids are made up.
    pub fn new(seed: u64, topic: [u8; 20], count: usize, prefixes: Option<&Prefixes>) -> Self {
        // At least 40 bits in common.
        let draws = Draws::new(seed);
        let within = |index: usize| draws.at(SYBIL, head(&topic) ^ !(index as u64)) >> 40;
        let distances: Vec<u64> = (0..count).map(within).collect();
        Self::at_distances(seed, topic, &distances, prefixes)
    }

    /// One at each of these distances from a topic, in the first 64 bits.
    pub fn at_distances(seed: u64, topic: [u8; 20], distances: &[u64], prefixes: Option<&Prefixes>) -> Self {
        let draws = Draws::new(seed);
        let mut nodes: Vec<Sybil> = Vec::with_capacity(distances.len());
        let mut index = 0;
        while let Some(distance) = distances.get(nodes.len()) {
            let number = draws.at(SYBIL, head(&topic) ^ index);
            index += 1;
            let mut id = NodeId(topic);
            id.0[..8].copy_from_slice(&(head(&topic) ^ distance).to_be_bytes());
            let (ip, seed) = match prefixes {
                Some(prefixes) => prefixes.address(&id.0, number),
                None => (
                    Ipv4Addr::from((number as u32 % 0xa0 + 0x18) << 24 | (number >> 8) as u32 & 0x00ff_ffff),
                    0,
                ),
            };
            if ip.is_private() || ip.is_loopback() || ip.is_link_local() {
                continue;
            }
            id.0[8..16].copy_from_slice(&draws.at(SYBIL, !number).to_be_bytes());
            if prefixes.is_some() {
                id.0[19] = id.0[19] & 0xf8 | seed;
            }
            let addr = SocketAddr::from((ip, 6_881));
            let network =
                |addr: SocketAddr| addr.to_string().rsplit_once('.').map(|(network, _)| network.to_owned());
            if nodes.iter().all(|other| network(other.addr) != network(addr)) {
                nodes.push(Sybil { number, id, addr });
            }
        }
        let places = nodes.iter().enumerate().map(|(place, sybil)| (sybil.addr, place)).collect();
        Self { topic, nodes, places, draws }
    }

    /// What they are around.
    pub fn topic(&self) -> [u8; 20] {
        self.topic
    }

    pub(super) fn at(&self, addr: SocketAddr) -> Option<Sybil> {
        self.places.get(&addr).map(|place| self.nodes[*place])
    }

    /// Eight of them, as one of them names them.
    pub(super) fn some(&self, number: u64) -> Vec<Contact> {
        let first = self.draws.below(SYBIL, number, self.nodes.len() as u64) as usize;
        let picked = self.nodes.iter().cycle().skip(first).take(8.min(self.nodes.len()));
        picked.map(|sybil| Contact { id: sybil.id, addr: sybil.addr }).collect()
    }

    /// Puts some of them in place of honest nodes of an answer. They are as well known as those: of all who share more than
    /// `shared` bits with the topic, which are they and `honest` others, each of the eight places is theirs with their share.
    pub(super) fn mix_in(&self, number: u64, shared: u32, honest: usize, named: &mut Vec<Contact>) {
        let fits = |sybil: &&Sybil| (head(&sybil.id.0) ^ head(&self.topic)).leading_zeros() > shared;
        let fitting: Vec<&Sybil> = self.nodes.iter().filter(fits).collect();
        let (theirs, all) = (fitting.len() as u64, (fitting.len() + honest) as u64);
        let taken = (0..8).filter(|slot| self.draws.below(SYBIL, number ^ slot << 60, all.max(1)) < theirs);
        let taken = taken.count().min(fitting.len());
        named.truncate(8 - taken);
        let first = self.draws.below(SYBIL, number, theirs.max(1)) as usize;
        let picked = fitting.iter().cycle().skip(first).take(taken);
        named.extend(picked.map(|sybil| Contact { id: sybil.id, addr: sybil.addr }));
    }
}

/// The first 64 bits.
fn head(topic: &[u8; 20]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *topic;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use folkmoot_core::base::Prefix;

    use super::super::address::prefix;
    use super::*;

    #[test]
    fn sybils_are_around_their_topic_and_strangers_to_each_other() {
        let prefixes = Prefixes::all();
        for (index, prefixes) in [None, Some(&prefixes)].into_iter().cycle().take(10).enumerate() {
            let topic = [index as u8 ^ 0x5a; 20];
            let sybils = Sybils::new(3, topic, 64, prefixes);
            let networks: BTreeSet<Prefix> =
                sybils.nodes.iter().map(|sybil| Prefix::of(sybil.addr.ip())).collect();
            assert_eq!((sybils.nodes.len(), networks.len()), (64, 64));
            for sybil in &sybils.nodes {
                assert_eq!(sybil.id.0[..5], topic[..5]);
                let IpAddr::V4(ip) = sybil.addr.ip() else { panic!("{}", sybil.addr) };
                let beginning = u32::from_be_bytes([topic[0], topic[1], topic[2], topic[3]]) >> 11;
                let follows = prefix(ip, sybil.id.0[19]) >> 11 == beginning;
                assert_eq!(follows, prefixes.is_some(), "{}", sybil.addr);
                assert_eq!(sybils.at(sybil.addr).map(|it| it.id), Some(sybil.id));
            }
        }
    }

    #[test]
    fn they_are_as_well_known_as_their_number_says() {
        let sybils = Sybils::new(3, [7; 20], 64, None);
        let honest = Contact { id: NodeId([9; 20]), addr: ([9, 9, 9, 9], 9).into() };
        let taken = |among: usize| {
            let count = |number: u64| {
                let mut named = vec![honest; 8];
                sybils.mix_in(number << 8, 13, among, &mut named);
                assert_eq!(named.len(), 8);
                named.iter().filter(|contact| **contact != honest).count()
            };
            (0..500).map(count).sum::<usize>()
        };
        assert_eq!(taken(0), 4_000, "where there is nobody else");
        assert!((1_850..2_150).contains(&taken(64)), "{} of 4000", taken(64));
        assert!(taken(100_000) < 20);
    }
}
