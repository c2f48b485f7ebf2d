use std::net::SocketAddr;
use std::ops::Range;

use folkmoot_core::wire::krpc::Contact;

use super::address::Addresses;
use crate::engine::{Chance, Draws, Subject};

/// Nodes in a bucket, and nodes named in an answer.
pub const K: usize = 8;

/// A DHT of which nothing is stored but where its nodes are: eight bytes a node, so that millions fit behind any
/// scenario.
///
/// All else is computed when somebody asks: a node's address from its id, whether it is alive from a draw, and its
/// routing table from who there is. Every bucket is complete: [`K`] random nodes of those that belong there, dead
/// ones among them in the same share as everywhere, or all of them if there are no more.
#[derive(Debug)]
pub struct Ambient {
    draws: Draws,
    addresses: Addresses,
    dead: Chance,
    /// The first 64 bits of every node's id, in order.
    ids: Vec<u64>,
}

/// A node of an [`Ambient`] network: its place among all ids in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(u32);

const DEAD: Subject = Subject::Scenario(0xa3b0);
const MARKED: Subject = Subject::Scenario(0xa3b2);
const VACANT: Subject = Subject::Scenario(0xa3b3);
const PICK: Subject = Subject::Scenario(0xa3b1);

/// The nodes are sorted in so many parts, each small enough for a fast cache.
const PARTS_BITS: u32 = 16;

impl Ambient {
    /// A network of `nodes` nodes, of which `dead` do not answer. What it is like is a function of the seed; the nodes
    /// alive at a lower share of dead ones are alive or dead at a higher one, and never the other way round.
    pub fn new(seed: u64, nodes: u32, dead: Chance) -> Self {
        Self::with_unbound(seed, nodes, dead, Chance::NEVER)
    }

    /// The same, but of so many nodes the ids do not follow from their addresses (BEP 42).
    pub fn with_unbound(seed: u64, nodes: u32, dead: Chance, unbound: Chance) -> Self {
        let addresses = Addresses::new(seed, unbound);
        Self { draws: Draws::new(seed), addresses, dead, ids: sorted_ids(addresses, nodes) }
    }

    /// How many nodes there are, dead ones too.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The bytes that the network takes.
    pub fn bytes(&self) -> usize {
        self.ids.capacity() * size_of::<u64>()
    }

    /// A node at random, by number; perhaps a dead one.
    pub fn any(&self, number: u64) -> Option<Place> {
        let last = self.ids.len().checked_sub(1)? as u64;
        Some(Place(self.draws.below(PICK, number ^ 1 << 63, last + 1) as u32))
    }

    /// Live nodes at random: `count` of them, by number.
    pub fn some_live(&self, number: u64, count: usize) -> Vec<Place> {
        let tries = (number << 20..).map_while(|index| self.any(index)).take(count * 1_000);
        tries.filter(|place| self.is_live(*place)).take(count).collect()
    }

    /// A node's id and address.
    pub fn contact(&self, place: Place) -> Contact {
        let id = self.id(place);
        Contact { id: self.addresses.whole(id), addr: self.addresses.of(id) }
    }

    /// The node at an address.
    pub fn find(&self, addr: SocketAddr) -> Option<Place> {
        let SocketAddr::V4(v4) = addr else { return None };
        let id = self.addresses.id_at(self.addresses.keys(), *v4.ip());
        let at = self.lower_bound(id);
        (self.ids.get(at) == Some(&id) && self.addresses.of(id) == addr).then_some(Place(at as u32))
    }

    /// Whether a node answers.
    pub fn is_live(&self, place: Place) -> bool {
        !self.draws.happens(DEAD, self.id(place), self.dead)
    }

    /// Whether a node is one of a share that is chosen at random, and independently of who is dead.
    pub fn is_marked(&self, place: Place, share: Chance) -> bool {
        self.draws.happens(MARKED, self.id(place), share)
    }

    /// An address in the internet where nobody is.
    pub fn vacant(&self, number: u64) -> SocketAddr {
        let tries = (0..).map(|n| self.draws.at(VACANT, number ^ n << 56));
        let addrs = tries.map(|draw| {
            SocketAddr::from((
                [80 + (draw >> 32) as u8 % 40, (draw >> 16) as u8, (draw >> 8) as u8, draw as u8],
                7_000,
            ))
        });
        addrs
            .into_iter()
            .find(|addr| self.find(*addr).is_none())
            .unwrap_or_else(|| ([80, 0, 0, 1], 7_000).into())
    }

    /// How many nodes share the first `bits` bits with a target.
    pub fn sharing_with(&self, target: &[u8; 20], bits: u32) -> usize {
        self.sharing(head(target), bits.min(64)).len()
    }

    /// A number of a node's own, whatever the number of nodes: to address draws with.
    pub fn id(&self, place: Place) -> u64 {
        self.ids[place.0 as usize]
    }

    /// How far a node is from a target: in the first 64 bits, which is enough to tell any two nodes apart.
    pub fn distance(&self, place: Place, target: &[u8; 20]) -> u64 {
        self.id(place) ^ head(target)
    }

    /// The live nodes closest to a target, the closest first.
    pub fn closest_live(&self, target: &[u8; 20], count: usize) -> Vec<Place> {
        let mut found = Vec::new();
        for bits in (0..=64).rev() {
            found = places(self.sharing(head(target), bits)).filter(|place| self.is_live(*place)).collect();
            if found.len() >= count {
                break;
            }
        }
        found.sort_unstable_by_key(|place| self.distance(*place, target));
        found.truncate(count);
        found
    }

    /// What a node answers to a question for a target: the [`K`] nodes of its routing table that are closest to it,
    /// the closest first.
    pub fn answer(&self, place: Place, target: &[u8; 20]) -> Vec<Place> {
        let mut named = Vec::with_capacity(2 * K);
        let shared = (self.id(place) ^ head(target)).leading_zeros();
        // The target's own bucket; then all deeper ones, whose nodes differ from the target in the same first bit; then
        // the shallower ones in turn.
        let groups = std::iter::once(shared..shared + 1)
            .chain(std::iter::once(shared + 1..64))
            .chain((0..shared.min(64)).rev().map(|bucket| bucket..bucket + 1));
        for group in groups {
            let from = named.len();
            if from >= K {
                break;
            }
            for bucket in group {
                if bucket >= 64 || self.sharing(self.id(place), bucket).len() <= 1 {
                    break;
                }
                self.bucket(place, bucket, &mut named);
            }
            named[from..].sort_unstable_by_key(|place| self.distance(*place, target));
        }
        named.truncate(K);
        named
    }

    /// The complete routing table of a node that is not of this network, as a list: of every bucket as many live nodes as
    /// `size` says.
    pub fn table_for(&self, own: &[u8; 20], size: impl Fn(u32) -> usize) -> Vec<Place> {
        let (own, mut table) = (head(own), Vec::new());
        for bucket in 0..64 {
            let range = self.sharing(own ^ 1 << (63 - bucket), bucket + 1);
            let live = |pick: &usize| self.is_live(Place(*pick as u32));
            if range.len() <= 4 * size(bucket) {
                table.extend(range.filter(live).take(size(bucket)).map(|pick| Place(pick as u32)));
            } else {
                table.extend(self.picks(own ^ u64::from(bucket), range, size(bucket), live));
            }
        }
        table
    }

    /// The nodes in one bucket of a node's table: those that share exactly so many bits with it.
    fn bucket(&self, place: Place, shared: u32, into: &mut Vec<Place>) {
        let own = self.id(place);
        let range = self.sharing(own ^ 1 << (63 - shared), shared + 1);
        if range.len() <= K {
            into.extend(places(range));
        } else {
            into.extend(self.picks(own ^ u64::from(shared), range, K, |_| true));
        }
    }

    /// So many distinct nodes of a range, which must hold clearly more that are wanted.
    fn picks(
        &self,
        key: u64,
        range: Range<usize>,
        count: usize,
        wanted: impl Fn(&usize) -> bool,
    ) -> Vec<Place> {
        let mut picks: Vec<Place> = Vec::with_capacity(count);
        let tries =
            (0..).map(|n| range.start + self.draws.below(PICK, key ^ n << 8, range.len() as u64) as usize);
        for pick in tries.take(64 * count).filter(wanted) {
            let pick = Place(pick as u32);
            if !picks.contains(&pick) {
                picks.push(pick);
            }
            if picks.len() == count {
                break;
            }
        }
        picks
    }

    /// The nodes that share the first `bits` bits with an id.
    fn sharing(&self, id: u64, bits: u32) -> Range<usize> {
        let rest = u64::MAX.checked_shr(bits).unwrap_or(0);
        let end = (id | rest).checked_add(1).map_or(self.ids.len(), |next| self.lower_bound(next));
        self.lower_bound(id & !rest)..end
    }

    /// The first node whose id is not below `id`. Ids are even over the key space, so it is close to where it should be.
    fn lower_bound(&self, id: u64) -> usize {
        let count = self.ids.len();
        let guess = ((u128::from(id) * count as u128) >> 64) as usize;
        let (mut low, mut high, mut step) = (guess, guess, 16);
        while low > 0 && self.ids[low - 1] >= id {
            low = low.saturating_sub(step);
            step *= 2;
        }
        step = 16;
        while high < count && self.ids[high] < id {
            high = (high + step).min(count);
            step *= 2;
        }
        low + self.ids[low..high].partition_point(|other| *other < id)
    }
}

/// The first 64 bits of a target.
fn head(target: &[u8; 20]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *target;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn places(range: Range<usize>) -> impl Iterator<Item = Place> {
    range.map(|place| Place(place as u32))
}

/// The ids of the first `nodes` addresses, in order: dealt out to parts by their first bits, and then sorted part by part.
fn sorted_ids(addresses: Addresses, nodes: u32) -> Vec<u64> {
    let keys = addresses.keys();
    let mut dealt: Vec<u64> =
        addresses.all().take(nodes as usize).map(|ip| addresses.id_at(keys, ip)).collect();
    if dealt.len() < 1 << PARTS_BITS {
        dealt.sort_unstable();
        return dealt;
    }
    let part = |id: u64| (id >> (64 - PARTS_BITS)) as usize;
    let mut ends = vec![0usize; 1 << PARTS_BITS];
    dealt.iter().for_each(|id| ends[part(*id)] += 1);
    let mut next = 0;
    for end in &mut ends {
        next += std::mem::replace(end, next);
    }
    let mut ids = vec![0; dealt.len()];
    for id in dealt {
        let end = &mut ends[part(id)];
        ids[*end] = id;
        *end += 1;
    }
    let mut rest = ids.as_mut_slice();
    let mut begin = 0;
    for end in ends {
        let (these, others) = rest.split_at_mut(end - begin);
        these.sort_unstable();
        (rest, begin) = (others, end);
    }
    ids
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    fn target(draws: &Draws, index: u64) -> [u8; 20] {
        let mut target = [0; 20];
        target.copy_from_slice(&draws.bytes(Subject::Scenario(1), index)[..20]);
        target
    }

    #[test]
    fn the_same_nodes_however_they_are_sorted() {
        let addresses = Addresses::new(1, Chance::NEVER);
        let mut plain: Vec<u64> =
            addresses.all().take(70_000).map(|ip| addresses.id_at(addresses.keys(), ip)).collect();
        plain.sort_unstable();
        assert_eq!(sorted_ids(addresses, 70_000), plain);
    }

    quickcheck! {
        fn bounds_are_those_of_a_plain_search(seed: u64, ids: Vec<u64>, id: u64) -> bool {
            let ambient = Ambient::new(seed, 1_000, Chance::NEVER);
            ids.into_iter().chain([id, 0, u64::MAX, ambient.ids[17], ambient.ids[999]]).all(|id| {
                ambient.lower_bound(id) == ambient.ids.partition_point(|other| *other < id)
            })
        }
    }

    #[test]
    fn a_node_is_found_where_it_says_it_is() {
        let ambient = Ambient::new(3, 5_000, Chance::NEVER);
        for place in places(0..5_000) {
            assert_eq!(ambient.find(ambient.contact(place).addr), Some(place));
        }
        assert_eq!(ambient.find(([1, 2, 3, 4], 5).into()), None);
    }

    /// Answers are sound: at most 8 nodes, distinct, in order, never the node itself; and nobody who shares more bits
    /// with the target than the node does is passed over for somebody who shares fewer.
    #[test]
    fn answers_are_what_a_complete_table_gives() {
        let ambient = Ambient::new(5, 3_000, Chance::NEVER);
        let draws = Draws::new(9);
        for index in 0..500 {
            let target = target(&draws, index);
            let place = ambient.any(index).unwrap();
            let named = ambient.answer(place, &target);
            assert_eq!(named.len(), K);
            assert!(!named.contains(&place));
            let distances: Vec<u64> = named.iter().map(|named| ambient.distance(*named, &target)).collect();
            assert!(distances.is_sorted());
            assert!(distances.windows(2).all(|pair| pair[0] != pair[1]));
            let shared = ambient.distance(place, &target).leading_zeros();
            let closer = ambient.sharing(head(&target), shared + 1).len();
            let named_closer = distances.iter().filter(|d| d.leading_zeros() > shared).count();
            assert_eq!(named_closer, closer.min(K));
            assert_eq!(ambient.answer(place, &target), named, "always the same");
        }
    }

    #[test]
    fn the_closest_live_are_those_of_a_plain_search() {
        let ambient = Ambient::new(5, 3_000, Chance::percent(45));
        let draws = Draws::new(9);
        for index in 0..50 {
            let target = target(&draws, index);
            let mut plain: Vec<Place> = places(0..3_000).filter(|place| ambient.is_live(*place)).collect();
            plain.sort_unstable_by_key(|place| ambient.distance(*place, &target));
            plain.truncate(8);
            assert_eq!(ambient.closest_live(&target, 8), plain);
        }
        let live = places(0..3_000).filter(|place| ambient.is_live(*place)).count();
        assert!((1_550..1_750).contains(&live), "{live} of 3000 are alive at 45 % dead");
    }
}
