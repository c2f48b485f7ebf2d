use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;
use crate::base::{InfoHash, NodeId};

/// A network with so few places is never too heavy: it may be a household that is in some meetings, and a flood with an address
/// in each of thousands of networks has but one place in each.
pub(super) const MODEST: usize = 8;

/// Who takes how many places in a storage: each source, and each network; and in which topics each network has them.
///
/// Where there is no room, whoever has most gives way, with what belongs here least: what is farthest from our id.
#[derive(Debug, Default)]
pub(super) struct Shares {
    sources: BTreeMap<Source, u32>,
    networks: BTreeMap<Source, u32>,
    /// The networks again, those with most last.
    weights: BTreeSet<(u32, Source)>,
    held: BTreeMap<(Source, InfoHash), u32>,
}

impl Shares {
    /// A place more.
    pub(super) fn add(&mut self, source: Source, hash: InfoHash) {
        *self.sources.entry(source).or_default() += 1;
        *self.held.entry((source.network(), hash)).or_default() += 1;
        let weight = self.networks.entry(source.network()).or_default();
        self.weights.remove(&(*weight, source.network()));
        *weight += 1;
        self.weights.insert((*weight, source.network()));
    }

    /// A place less.
    pub(super) fn remove(&mut self, source: Source, hash: InfoHash) {
        let network = source.network();
        less(&mut self.sources, source);
        less(&mut self.held, (network, hash));
        let weight = self.of_network(network) as u32;
        self.weights.remove(&(weight, network));
        less(&mut self.networks, network);
        if weight > 1 {
            self.weights.insert((weight - 1, network));
        }
    }

    /// How many places a source has.
    pub(super) fn of(&self, source: Source) -> usize {
        self.sources.get(&source).map_or(0, |share| *share as usize)
    }

    /// How many places a network has.
    pub(super) fn of_network(&self, network: Source) -> usize {
        self.networks.get(&network).map_or(0, |share| *share as usize)
    }

    /// How many of them in one topic.
    pub(super) fn of_network_in(&self, network: Source, hash: InfoHash) -> usize {
        self.held.get(&(network, hash)).map_or(0, |share| *share as usize)
    }

    /// The network with most places, if it has more than another would with one more, and more than [`MODEST`].
    pub(super) fn heavier_than(&self, network: Source) -> Option<Source> {
        let &(weight, heaviest) = self.weights.last()?;
        (weight as usize > MODEST.max(self.of_network(network) + 1)).then_some(heaviest)
    }

    /// The topics in which a network has places, in order.
    pub(super) fn topics_of(&self, network: Source) -> impl Iterator<Item = InfoHash> {
        let all = (network, InfoHash([0; 20]))..=(network, InfoHash([0xff; 20]));
        self.held.range(all).map(|((_, hash), _)| *hash)
    }

    /// How many places there are.
    #[cfg(test)]
    pub(super) fn total(&self) -> usize {
        let total = |counts: Vec<u32>| counts.iter().sum::<u32>();
        let sources = total(self.sources.values().copied().collect());
        assert_eq!(sources, total(self.networks.values().copied().collect()));
        assert_eq!(sources, total(self.held.values().copied().collect()));
        assert_eq!(sources, total(self.weights.iter().map(|(weight, _)| *weight).collect()));
        assert_eq!(self.weights.len(), self.networks.len());
        sources as usize
    }

    /// The memory taken beyond its own size, in bytes. A tree is taken to be two thirds full.
    pub(super) fn footprint(&self) -> usize {
        let counts =
            (self.sources.len() + self.networks.len() + self.weights.len()) * size_of::<(Source, u32)>();
        (counts + self.held.len() * size_of::<((Source, InfoHash), u32)>()) * 3 / 2
    }
}

/// The key farthest from `own`, of those that `range` tells in order between two bounds.
pub(super) fn farthest<'a, I: Iterator<Item = &'a InfoHash>>(
    own: &NodeId,
    range: impl Fn(InfoHash, InfoHash) -> I,
) -> Option<InfoHash> {
    let (mut low, mut high) = ([0; 20], [0xff; 20]);
    for bit in 0..160 {
        let (byte, mask) = (bit / 8, 0x80 >> (bit % 8));
        let own_bit = own.0.get(byte)? & mask;
        // First the half in which this bit is not ours, which is farther.
        let set = |key: &mut [u8; 20], to: u8| {
            if let Some(byte) = key.get_mut(byte) {
                *byte = *byte & !mask | to;
            }
        };
        set(&mut low, own_bit ^ mask);
        set(&mut high, own_bit ^ mask);
        let mut there = range(InfoHash(low), InfoHash(high));
        match (there.next(), there.next()) {
            (Some(only), None) => return Some(*only),
            (Some(_), Some(_)) => {}
            (None, _) => {
                set(&mut low, own_bit);
                set(&mut high, own_bit);
            }
        }
    }
    range(InfoHash(low), InfoHash(high)).next().copied()
}

fn less<K: Ord>(counts: &mut BTreeMap<K, u32>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    fn hash(n: u16) -> InfoHash {
        let mut hash = [0; 20];
        [hash[0], hash[19]] = n.to_be_bytes();
        InfoHash(hash)
    }

    quickcheck! {
        fn farthest_is_farthest(own: u16, keys: Vec<u16>) -> bool {
            let own = NodeId(hash(own).0);
            let keys: BTreeSet<InfoHash> = keys.into_iter().map(hash).collect();
            let expected = keys.iter().max_by_key(|key| own.distance(&key.0)).copied();
            farthest(&own, |low, high| keys.range(low..=high)) == expected
        }

        fn what_is_added_and_removed_leaves_nothing(places: Vec<(u8, u8)>) -> bool {
            let source = |n: u8| Source::of([8, 8, n / 8, n % 8].into());
            let mut shares = Shares::default();
            places.iter().for_each(|&(n, topic)| shares.add(source(n), hash(topic.into())));
            let all = shares.total() == places.len();
            let least = shares.heavier_than(Source::of([9, 9, 9, 9].into()));
            let heaviest = shares.weights.last().copied();
            let is_heaviest = least == heaviest.filter(|(weight, _)| *weight as usize > MODEST).map(|(_, network)| network);
            places.iter().for_each(|&(n, topic)| shares.remove(source(n), hash(topic.into())));
            all && is_heaviest && shares.total() == 0 && shares.footprint() == 0
        }
    }
}
