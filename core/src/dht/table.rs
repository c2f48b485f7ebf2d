use std::net::SocketAddr;
use std::time::Duration;

use super::nearest::{Nearest, NodeList, distance};
use super::packed::Packed;
use crate::base::{NodeId, Prefix, Rng, Scope, Time};
use crate::wire::krpc::Contact;

/// Nodes in a bucket, and nodes returned for a target (the `K` of Kademlia).
pub(super) const K: usize = 8;

/// Nodes in reserve for a bucket: more than fall out of it between two refreshes.
const SPARES: usize = 4;

/// A node that answered within this time is good (BEP 5).
const GOOD: Duration = Duration::from_secs(15 * 60);

/// Unanswered questions after which a node is bad: replaced as soon as there is another for its place.
const BAD: u8 = 2;

/// Unanswered questions after which a node is dropped even if nothing replaces it.
const HOPELESS: u8 = 5;

/// The routing table of one address family: the nodes that answered us, more of them the closer to us (BEP 5).
///
/// Bucket `i` holds nodes whose ids share exactly `i` leading bits with ours; the last bucket those that share at least
/// as many. Only the last is ever split.
#[derive(Debug)]
pub(super) struct Table {
    own: NodeId,
    /// Whether local addresses have to be of different networks too.
    pub(super) strict: bool,
    buckets: Vec<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// In use; at most [`K`].
    entries: Packed,
    /// Answered us while the bucket was full; at most [`SPARES`], the fastest first.
    spares: Packed,
    /// When a node of it last answered, or when it was last refreshed.
    touched: Time,
}

/// A node that answered us at least once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) contact: Contact,
    pub(super) answered: Time,
    pub(super) rtt: Duration,
    /// Questions unanswered since.
    pub(super) failures: u8,
}

/// A node in a routing table, for people who look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its id and address.
    pub contact: Contact,
    /// Its bucket: how many leading bits its id shares with ours; of the last bucket, how many at least.
    pub bucket: usize,
    /// How long its last answer took.
    pub rtt: Duration,
    /// How long ago that was.
    pub quiet: Duration,
    /// Questions unanswered since.
    pub failures: u8,
}

/// What became of a node that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// It was known.
    Known,
    /// It is in the table now.
    Added,
    /// Its bucket is full of nodes at least as good; it waits there.
    Spare {
        /// A node of that bucket not heard of for long: ask it whether it is still there.
        doubt: Option<Contact>,
    },
    /// It shares its address or network with a node that is there.
    Refused,
}

impl Table {
    pub(super) fn new(own: NodeId) -> Self {
        Self { own, strict: false, buckets: vec![Bucket::new(Time::ZERO)] }
    }

    /// Our own place, which the buckets are about.
    pub(super) fn own(&self) -> NodeId {
        self.own
    }

    /// The same nodes as another id of ours sorts them; of those that crowd a bucket now the fastest are kept.
    pub(super) fn rebase(&mut self, now: Time, own: NodeId) {
        let strict = self.strict;
        let buckets = std::mem::replace(self, Self { strict, ..Self::new(own) }).buckets;
        let mut fastest_first: Vec<Entry> = buckets.iter().flat_map(|bucket| bucket.entries.iter()).collect();
        fastest_first.sort_by_key(|entry| (entry.failures, entry.rtt));
        let spares = buckets.iter().flat_map(|bucket| bucket.spares.iter());
        fastest_first.into_iter().chain(spares).for_each(|entry| {
            self.place(now, entry);
        });
    }

    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.entries.len()).sum()
    }

    /// How many of them are not bad.
    pub(super) fn alive(&self) -> usize {
        self.entries().filter(|entry| entry.failures < BAD).count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buckets.iter().all(|bucket| bucket.entries.is_empty())
    }

    /// At most `most` nodes that are not bad, the surest first: those asked in vain last, and of the others those heard of
    /// most lately first.
    pub(super) fn lasting(&self, most: usize) -> Vec<Contact> {
        let mut lasting: Vec<Entry> = self.entries().filter(|entry| entry.failures < BAD).collect();
        lasting.sort_by_key(|entry| (entry.failures, std::cmp::Reverse(entry.answered)));
        lasting.into_iter().take(most).map(|entry| entry.contact).collect()
    }

    /// All nodes with what is known of them, the farthest bucket first.
    pub(super) fn known(&self, now: Time) -> impl Iterator<Item = Known> {
        let buckets = self.buckets.iter().enumerate();
        buckets.flat_map(|(bucket, nodes)| nodes.entries.iter().map(move |entry| (bucket, entry))).map(
            move |(bucket, Entry { contact, answered, rtt, failures })| Known {
                contact,
                bucket,
                rtt,
                quiet: now - answered,
                failures,
            },
        )
    }

    /// All nodes, the farthest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = Contact> {
        self.entries().map(|entry| entry.contact)
    }

    /// The node at an address.
    pub(super) fn at(&self, addr: SocketAddr) -> Option<Contact> {
        self.buckets.iter().find_map(|bucket| bucket.entries.at(addr))
    }

    /// Whether this very node is there.
    pub(super) fn contains(&self, contact: &Contact) -> bool {
        let bucket = self.buckets.get(self.index(&contact.id));
        bucket.is_some_and(|bucket| bucket.entries.iter().any(|entry| entry.contact == *contact))
    }

    /// Whether this node, if it answered, would be added.
    pub(super) fn wants(&self, contact: &Contact) -> bool {
        let index = self.index(&contact.id);
        let room = self.buckets.get(index).is_some_and(|bucket| {
            bucket.entries.len() < K || bucket.entries.iter().any(|entry| entry.failures >= BAD)
        });
        contact.id != self.own
            && (room || index + 1 == self.buckets.len())
            && !self.contains(contact)
            && !self.is_crowded(contact)
    }

    /// A node answered a question of ours.
    pub(super) fn answered(&mut self, now: Time, contact: Contact, rtt: Duration) -> Answered {
        if contact.id == self.own {
            return Answered::Refused;
        }
        let entry = Entry { contact, answered: now, rtt, failures: 0 };
        let index = self.index(&contact.id);
        let Some(bucket) = self.buckets.get_mut(index) else { return Answered::Refused };
        if let Some((at, known)) = find(&bucket.entries, |known| known.contact.id == contact.id) {
            if known.contact.addr == contact.addr {
                bucket.entries.set(at, entry);
                bucket.touched = now;
                return Answered::Known;
            }
            // The same id from elsewhere: whoever was first stays for as long as it is there.
            if known.failures < BAD {
                return Answered::Refused;
            }
            self.remove(known.contact.addr);
        }
        // The same address with another id: it was restarted, or it lies. Either way the old node is gone.
        self.remove(contact.addr);
        self.place(now, entry)
    }

    /// A question to `addr`, asked at `asked`, remained without an answer. Returns the node if it should be asked again
    /// at once, because another waits for its place.
    pub(super) fn failed(&mut self, addr: SocketAddr, asked: Time) -> Option<Contact> {
        let (bucket, at, mut entry) = self.buckets.iter_mut().find_map(|bucket| {
            let (at, entry) = find(&bucket.entries, |entry| entry.contact.addr == addr)?;
            Some((bucket, at, entry))
        })?;
        if entry.answered >= asked {
            return None;
        }
        entry.failures = entry.failures.saturating_add(1);
        if entry.failures >= HOPELESS || (entry.failures >= BAD && !bucket.spares.is_empty()) {
            bucket.entries.remove(at);
            bucket.promote();
            return None;
        }
        bucket.entries.set(at, entry);
        (!bucket.spares.is_empty()).then_some(entry.contact)
    }

    /// Removes whatever node is at an address.
    pub(super) fn remove(&mut self, addr: SocketAddr) {
        for bucket in &mut self.buckets {
            let is_there = |entry: &Entry| entry.contact.addr == addr;
            if let Some((at, _)) = find(&bucket.spares, is_there) {
                bucket.spares.remove(at);
            }
            if let Some((at, _)) = find(&bucket.entries, is_there) {
                bucket.entries.remove(at);
                bucket.promote();
            }
        }
    }

    /// The nodes closest to a point, the closest first; none that failed twice. At most `most`.
    ///
    /// Nodes of the target's own bucket are closest; then come all the deeper buckets, whose nodes differ from the
    /// target in the same first bit; then the shallower ones in turn. So only few need to be compared.
    pub(super) fn closest(&self, target: &[u8; 20], most: usize) -> Vec<Contact> {
        let mut found: Vec<Contact> = Vec::with_capacity(most + K);
        for group in self.near_to_far(target) {
            let from = found.len();
            if from >= most {
                break;
            }
            let live =
                group.iter().flat_map(|bucket| bucket.entries.iter()).filter(|entry| entry.failures < BAD);
            found.extend(live.map(|entry| entry.contact));
            if let Some(added) = found.get_mut(from..) {
                added.sort_unstable_by_key(|contact| distance(&contact.id, target));
            }
        }
        found.truncate(most);
        found
    }

    /// The same for an answer: of those whose address, in compact form, is useful, and at most [`K`].
    pub(super) fn nearest(
        &self,
        target: &[u8; 20],
        most: usize,
        is_useful: impl Fn(&[u8]) -> bool,
    ) -> NodeList {
        let mut nearest = Nearest::new(target, most);
        for group in self.near_to_far(target) {
            if !nearest.settle() {
                break;
            }
            let nodes = group.iter().flat_map(|bucket| bucket.entries.on_the_wire());
            nodes
                .filter(|(node, failures)| *failures < BAD && node.get(NodeId::LEN..).is_some_and(&is_useful))
                .for_each(|(node, _)| nearest.offer(node));
        }
        nearest.list()
    }

    /// The buckets in groups, each farther from a point than those before.
    fn near_to_far(&self, target: &[u8; 20]) -> impl Iterator<Item = &[Bucket]> {
        let home = self.index(&NodeId(*target));
        let deeper = self.buckets.get(home + 1..).unwrap_or_default();
        let shallower = self.buckets.get(..home).unwrap_or_default().iter().rev().map(std::slice::from_ref);
        [self.buckets.get(home..=home).unwrap_or_default(), deeper].into_iter().chain(shallower)
    }

    /// Whether there is a node in the target's own bucket: one that shares more of the target's bits than we do.
    pub(super) fn leads_to(&self, target: &[u8; 20]) -> bool {
        let home = self.index(&NodeId(*target));
        home + 1 == self.buckets.len() || self.buckets.get(home).is_some_and(|home| !home.entries.is_empty())
    }

    /// The node whose last answer is oldest: the one to ask next, if only to see whether it is still there.
    pub(super) fn stalest(&self) -> Option<Contact> {
        self.entries().min_by_key(|entry| entry.answered).map(|entry| entry.contact)
    }

    /// A random id in the bucket that was not touched for longest, which counts as touched from now on.
    pub(super) fn refresh_target(&mut self, now: Time, rng: &mut Rng) -> NodeId {
        let last = self.buckets.len() - 1;
        let oldest = self.buckets.iter_mut().enumerate().min_by_key(|(_, bucket)| bucket.touched);
        let Some((index, bucket)) = oldest else { return self.own };
        bucket.touched = now;
        let random = rng.array::<20>();
        let shared = if index == last { index } else { index + 1 };
        let mut id: [u8; 20] = std::array::from_fn(|byte| {
            let bits = shared.saturating_sub(byte * 8).min(8);
            let mask = !(0xff_u16 >> bits) as u8;
            self.own.0.get(byte).map_or(0, |own| own & mask) | random.get(byte).map_or(0, |any| any & !mask)
        });
        // Exactly `index` bits in common: the next one differs.
        if index < last
            && let Some(byte) = id.get_mut(index / 8)
        {
            *byte ^= 0x80 >> (index % 8);
        }
        NodeId(id)
    }

    /// The memory taken beyond the table's own size, in bytes.
    pub(super) fn footprint(&self) -> usize {
        let nodes = |bucket: &Bucket| bucket.entries.footprint() + bucket.spares.footprint();
        self.buckets.capacity() * size_of::<Bucket>() + self.buckets.iter().map(nodes).sum::<usize>()
    }

    /// Puts a node that is not there where it belongs.
    fn place(&mut self, now: Time, entry: Entry) -> Answered {
        if entry.contact.id == self.own || self.is_crowded(&entry.contact) {
            return Answered::Refused;
        }
        loop {
            let index = self.index(&entry.contact.id);
            let splits = index + 1 == self.buckets.len() && index + 1 < 160;
            let Some(bucket) = self.buckets.get_mut(index) else { return Answered::Refused };
            if bucket.admit(entry) {
                bucket.touched = now;
                return Answered::Added;
            }
            if !splits {
                return Answered::Spare { doubt: bucket.keep_spare(now, entry) };
            }
            self.split(now);
        }
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        self.buckets.iter().flat_map(|bucket| bucket.entries.iter())
    }

    /// The bucket an id belongs to.
    fn index(&self, id: &NodeId) -> usize {
        shared_bits(&self.own, id).min(self.buckets.len() - 1)
    }

    /// One node per address, and in a bucket one per network: who owns many addresses gets few places. Not so for
    /// local ones.
    fn is_crowded(&self, contact: &Contact) -> bool {
        let ip = contact.addr.ip();
        if !self.strict && Scope::of(ip).is_local() {
            return false;
        }
        let prefix = Prefix::of(ip);
        let other = |entry: &Entry| entry.contact.addr != contact.addr;
        let bucket = self.buckets.get(self.index(&contact.id));
        let near = bucket.into_iter().flat_map(|bucket| bucket.entries.iter());
        self.entries().filter(other).any(|entry| entry.contact.addr.ip() == ip)
            || near.filter(other).any(|entry| Prefix::of(entry.contact.addr.ip()) == prefix)
    }

    fn split(&mut self, now: Time) {
        let shared = self.buckets.len() - 1;
        let Some(last) = self.buckets.last_mut() else { return };
        let own = self.own;
        let stays = |entry: &Entry| shared_bits(&own, &entry.contact.id) == shared;
        let mut deeper = Bucket::new(now);
        deeper.entries = last.entries.split_off(stays);
        deeper.spares = last.spares.split_off(stays);
        last.promote();
        deeper.promote();
        self.buckets.reserve_exact(1);
        self.buckets.push(deeper);
    }
}

impl Bucket {
    fn new(now: Time) -> Self {
        Self { entries: Packed::default(), spares: Packed::default(), touched: now }
    }

    /// Takes a node in if there is room, or in place of a bad one.
    fn admit(&mut self, entry: Entry) -> bool {
        if self.entries.len() < K {
            self.entries.push(entry);
            return true;
        }
        let bad = self.entries.iter().enumerate().filter(|(_, entry)| entry.failures >= BAD);
        match bad.max_by_key(|(_, entry)| entry.failures) {
            Some((at, _)) => {
                self.entries.set(at, entry);
                true
            }
            None => false,
        }
    }

    /// Keeps a node in reserve, and names the one not heard of for longest if that is long.
    fn keep_spare(&mut self, now: Time, entry: Entry) -> Option<Contact> {
        if let Some((at, _)) = find(&self.spares, |spare| spare.contact.id == entry.contact.id) {
            self.spares.remove(at);
        }
        let slower = find(&self.spares, |spare| spare.rtt > entry.rtt);
        self.spares.insert(slower.map_or(self.spares.len(), |(at, _)| at), entry);
        self.spares.remove(SPARES);
        let stalest = self.entries.iter().min_by_key(|entry| entry.answered)?;
        (now - stalest.answered > GOOD).then_some(stalest.contact)
    }

    /// Fills free places from the reserve, the fastest first.
    fn promote(&mut self) {
        while self.entries.len() < K
            && let Some(spare) = self.spares.remove(0)
        {
            self.entries.push(spare);
        }
    }
}

fn find(nodes: &Packed, is_it: impl Fn(&Entry) -> bool) -> Option<(usize, Entry)> {
    nodes.iter().enumerate().find(|(_, entry)| is_it(entry))
}

/// How many leading bits two ids share: 0 to 160.
fn shared_bits(a: &NodeId, b: &NodeId) -> usize {
    let distance = a.distance(b.as_bytes());
    let zeros = distance.iter().take_while(|&&byte| byte == 0).count();
    zeros * 8 + distance.get(zeros).map_or(0, |byte| byte.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;
    use crate::wire::krpc::contacts;

    const RTT: Duration = Duration::from_millis(100);

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    /// A node in a /24 of its own.
    fn node(n: u32, first: u8, rng: &mut Rng) -> Contact {
        let mut id = NodeId(rng.array());
        id.0[0] = first;
        Contact { id, addr: (std::net::Ipv4Addr::from(0x0800_0001 + (n << 8)), 6881).into() }
    }

    /// A table of the id 0, with nodes at random.
    fn filled(nodes: u32, seed: u8) -> (Table, Rng) {
        let (mut table, mut rng) = (Table::new(NodeId([0; 20])), Rng::new([seed; 32]));
        for n in 0..nodes {
            let first = rng.u64() as u8;
            let contact = node(n, first, &mut rng);
            table.answered(at(1), contact, RTT);
        }
        (table, rng)
    }

    /// Every entry where it belongs, no bucket over its size, no address twice.
    fn is_sound(table: &Table) -> bool {
        let in_place = table.buckets.iter().enumerate().all(|(index, bucket)| {
            let fits = |entry: &Entry| table.index(&entry.contact.id) == index;
            bucket.entries.len() <= K
                && bucket.spares.len() <= SPARES
                && bucket.entries.iter().chain(bucket.spares.iter()).all(|entry| fits(&entry))
        });
        let mut addrs: Vec<_> = table.iter().map(|contact| contact.addr).collect();
        addrs.sort();
        addrs.dedup();
        in_place && addrs.len() == table.len()
    }

    quickcheck! {
        fn sound_when_our_id_changes(seed: u8, nodes: u8, own: u64) -> bool {
            let (mut table, _) = filled(u32::from(nodes) * 4, seed);
            let (before, mut id) = (table.len(), NodeId([0; 20]));
            id.0[..8].copy_from_slice(&own.to_be_bytes());
            table.rebase(at(2), id);
            let few = before <= K;
            table.own() == id && is_sound(&table) && (!few || table.len() == before) && table.len() >= before.min(K)
        }

        fn closest_are_closest(seed: u8, target: u64, nodes: u8) -> bool {
            let (table, _) = filled(u32::from(nodes) * 4, seed);
            let mut target_id = [0; 20];
            target_id[..8].copy_from_slice(&(target >> (seed % 64)).to_be_bytes());
            let mut all: Vec<_> = table.iter().collect();
            all.sort_by_key(|contact| contact.id.distance(&target_id));
            all.truncate(K);
            let named: Vec<_> = contacts::<4>(table.nearest(&target_id, K, |_| true).as_bytes()).collect();
            is_sound(&table) && table.closest(&target_id, K) == all && named == all
        }

        fn refresh_targets_fall_into_their_bucket(seed: u8) -> bool {
            let (mut table, mut rng) = filled(600, seed);
            (0..table.buckets.len()).all(|_| {
                let before: Vec<_> = table.buckets.iter().map(|bucket| bucket.touched).collect();
                let target = table.refresh_target(at(50), &mut rng);
                let index = table.index(&target);
                before[index] < at(50) && table.buckets[index].touched == at(50)
            })
        }

        fn churn_keeps_the_table_sound(steps: Vec<(u16, u8, u8)>, seed: u8) -> bool {
            let (mut table, mut rng) = filled(100, seed);
            for (step, (n, first, what)) in steps.into_iter().enumerate() {
                let now = at(10 + step as u64 * 60);
                let contact = node(u32::from(n) % 300, first >> (what % 8), &mut rng);
                match what % 3 {
                    0 => drop(table.failed(contact.addr, now)),
                    1 => table.remove(contact.addr),
                    _ => drop(table.answered(now, contact, RTT)),
                }
                if !is_sound(&table) {
                    return false;
                }
            }
            true
        }
    }

    #[test]
    fn the_far_half_has_one_bucket_and_the_near_one_splits() {
        let (table, _) = filled(2_000, 3);
        assert!(table.buckets.len() > 5);
        assert!(table.buckets[..5].iter().all(|bucket| bucket.entries.len() == K));
        assert!(table.len() < 100);
    }

    #[test]
    fn a_good_node_stays_a_silent_one_is_asked_twice_and_replaced() {
        let (mut table, mut rng) = (Table::new(NodeId([0; 20])), Rng::new([1; 32]));
        // One near node, so that the far bucket is not the last one.
        let near = node(100, 0, &mut rng);
        table.answered(at(0), near, RTT);
        let far: Vec<_> = (0..9).map(|n| node(n, 0x80, &mut rng)).collect();
        for contact in &far[..8] {
            assert_eq!(table.answered(at(0), *contact, RTT), Answered::Added);
        }
        assert_eq!(table.answered(at(60), far[8], RTT), Answered::Spare { doubt: None });
        for contact in &far[1..8] {
            assert_eq!(table.answered(at(900), *contact, RTT), Answered::Known);
        }
        assert_eq!(table.answered(at(1000), far[8], RTT), Answered::Spare { doubt: Some(far[0]) });
        assert_eq!(table.failed(far[0].addr, at(1001)), Some(far[0]), "once more");
        assert!(table.contains(&far[0]));
        assert_eq!(table.failed(far[0].addr, at(1003)), None);
        assert!(!table.contains(&far[0]) && table.contains(&far[8]));
    }

    #[test]
    fn a_late_timeout_does_not_count_against_a_node_that_answered_since() {
        let (mut table, mut rng) = (Table::new(NodeId([0; 20])), Rng::new([1; 32]));
        let contact = node(0, 0x80, &mut rng);
        table.answered(at(10), contact, RTT);
        assert!((0..9).all(|_| table.failed(contact.addr, at(9)).is_none()));
        assert_eq!(table.len(), 1);
        assert!((0..9).all(|_| table.failed(contact.addr, at(11)).is_none()));
        assert!(table.is_empty());
    }

    #[test]
    fn ids_and_addresses_cannot_be_taken_over() {
        let (mut table, mut rng) = (Table::new(NodeId([0; 20])), Rng::new([1; 32]));
        let original = node(0, 0x80, &mut rng);
        table.answered(at(0), original, RTT);
        let thief = Contact { addr: node(1, 0, &mut rng).addr, ..original };
        assert_eq!(table.answered(at(1), thief, RTT), Answered::Refused);
        assert!(table.contains(&original));
        let restarted = Contact { id: node(0, 0x81, &mut rng).id, ..original };
        assert_eq!(table.answered(at(2), restarted, RTT), Answered::Added);
        assert_eq!(table.iter().collect::<Vec<_>>(), [restarted]);
    }

    #[test]
    fn asked_to_be_strict_local_addresses_are_as_others() {
        let (mut table, mut rng) = (Table::new(NodeId([0; 20])), Rng::new([1; 32]));
        table.strict = true;
        table.rebase(at(0), NodeId([1; 20]));
        let mut other = |addr: &str| Contact { addr: addr.parse().unwrap(), ..node(0, 0x82, &mut rng) };
        assert_eq!(table.answered(at(0), other("127.0.0.1:1"), RTT), Answered::Added);
        assert_eq!(table.answered(at(0), other("127.0.0.1:2"), RTT), Answered::Refused);
        assert_eq!(table.answered(at(0), other("127.0.0.2:1"), RTT), Answered::Refused);
        assert_eq!(table.answered(at(0), other("127.0.1.1:1"), RTT), Answered::Added);
    }

    #[test]
    fn one_node_per_address_and_network_but_not_locally() {
        let (mut table, mut rng) = (Table::new(NodeId([0; 20])), Rng::new([1; 32]));
        let first = node(0, 0x80, &mut rng);
        table.answered(at(0), first, RTT);
        let mut other = |addr: &str, bits| Contact { addr: addr.parse().unwrap(), ..node(0, bits, &mut rng) };
        assert_eq!(table.answered(at(0), other("8.0.0.1:7000", 1), RTT), Answered::Refused);
        assert_eq!(table.answered(at(0), other("8.0.0.9:6881", 0x81), RTT), Answered::Refused);
        assert_eq!(table.answered(at(0), other("8.0.1.9:6881", 0x81), RTT), Answered::Added);
        for port in 1..=5 {
            let contact = other(&format!("127.0.0.1:{port}"), 0x82);
            assert!(table.wants(&contact));
            assert_eq!(table.answered(at(0), contact, RTT), Answered::Added);
        }
    }
}
