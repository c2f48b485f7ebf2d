//! The routing table of one address family, and the life of a node in it (BEP 5). Whoever is in it has answered us.
//!
//! ```text
//!                 ┌─ there is a place for it, if only a bad one's ──▶ IN USE
//!   it answers ───┼─ all places are others' ────────────────────────▶ SPARE
//!                 └─ its id, address or network is there already ───▶ refused
//!
//!      ┌──────────────── answers ◀────────┬────────────────────┐
//!      ▼                                  │                    │
//!   IN USE ──── is silent ───▶ IN DOUBT, silent once ──▶ BAD, silent twice ──▶ gone: silent five times,
//!      ▲                                                                      or somebody takes its place
//!      │
//!    SPARE ──── four others are faster ──▶ gone
//! ```
//!
//! - The fastest spare comes into use when a place is free. One in use that was quiet for a quarter of an hour is asked whether
//!   it is there as soon as there is a spare for its place, and at once again if it is silent: so nobody has to make way for
//!   another who was not asked twice.
//! - A bad one is named to nobody and asked by no lookup, but keeps its place while nobody else wants it: when we are offline
//!   all are silent.
//! - Wherever it is, a node is gone when somebody else answers from its address.
//!
//! `table/tests.rs` has a test for each arrow; their names begin with `life`.

mod bucket;

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::time::Duration;

use self::bucket::{Bucket, find};
use super::nearest::{Nearest, NodeList, distance};
use super::node_id;
use crate::base::{NodeId, Prefix, Rng, Scope, Time};
use crate::wire::krpc::Contact;

/// Nodes in a bucket, and nodes returned for a target (the `K` of Kademlia).
pub(super) const K: usize = 8;

/// Unanswered questions after which a node is bad: replaced as soon as there is another for its place.
const BAD: u8 = 2;

/// Unanswered questions after which a node is dropped even if nothing replaces it.
const HOPELESS: u8 = 5;

/// Among so many nodes closest to a target are those that a lookup starts from, and while they are so few, all of them are.
const WIDE: usize = 6 * K;
const FEW: usize = 2 * K;

/// What a start is worth that is one bit closer: in some 120 ms, the time that an answer takes, a lookup gets four bits closer.
const BIT: Duration = Duration::from_millis(30);

/// To be faster than this is no merit: most starts would be liars otherwise, if only those answer at once.
const NO_FASTER: Duration = Duration::from_millis(60);

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

/// A node that answered us at least once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) contact: Contact,
    pub(super) answered: Time,
    pub(super) rtt: Duration,
    /// Questions unanswered since.
    pub(super) failures: u8,
}

impl Entry {
    pub(super) fn is_bad(&self) -> bool {
        self.failures >= BAD
    }

    fn is_hopeless(&self) -> bool {
        self.failures >= HOPELESS
    }
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
        self.entries().filter(|entry| !entry.is_bad()).count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buckets.iter().all(|bucket| bucket.entries.is_empty())
    }

    /// At most `most` nodes that are not bad, the surest first: those asked in vain last, and of the others those heard of
    /// most lately first.
    pub(super) fn lasting(&self, most: usize) -> Vec<Contact> {
        let mut lasting: Vec<Entry> = self.entries().filter(|entry| !entry.is_bad()).collect();
        lasting.sort_by_key(|entry| (entry.failures, Reverse(entry.answered)));
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
        let room = self.buckets.get(index).is_some_and(Bucket::has_room);
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
            if !known.is_bad() {
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
        let (index, bucket, at, entry) =
            self.buckets.iter_mut().enumerate().find_map(|(index, bucket)| {
                let (at, entry) = find(&bucket.entries, |entry| entry.contact.addr == addr)?;
                Some((index, bucket, at, entry))
            })?;
        let again = if entry.answered >= asked { None } else { bucket.failed(at, entry) };
        self.promote(index);
        again
    }

    /// Removes whatever node is at an address.
    pub(super) fn remove(&mut self, addr: SocketAddr) {
        let is_there = |entry: &Entry| entry.contact.addr == addr;
        for index in 0..self.buckets.len() {
            let Some(bucket) = self.buckets.get_mut(index) else { return };
            if let Some((at, _)) = find(&bucket.spares, is_there) {
                bucket.spares.remove(at);
            }
            if let Some((at, _)) = find(&bucket.entries, is_there) {
                bucket.entries.remove(at);
                self.promote(index);
            }
        }
    }

    /// Those from where a lookup reaches a point soonest, of [`WIDE`] that are closest to it: at most `most`, the closest
    /// first. All that are closest, while there are few.
    pub(super) fn starts(&self, target: &[u8; 20], most: usize) -> Vec<Contact> {
        let mut near = self.closest(target, WIDE);
        if near.len() <= FEW {
            return near.into_iter().map(|entry| entry.contact).collect();
        }
        near.sort_by_cached_key(|Entry { contact, rtt, .. }| {
            let (distance, rest) = distance(&contact.id, target);
            (*rtt.max(&NO_FASTER) + BIT * (u128::BITS - distance.leading_zeros()), distance, rest)
        });
        let mut starts = bound_first(near, most / 2);
        starts.truncate(most);
        starts.sort_unstable_by_key(|contact| distance(&contact.id, target));
        starts
    }

    /// More to start from, if those lead nowhere: first those whose ids nobody can have made up.
    pub(super) fn spare_starts(&self, target: &[u8; 20], most: usize) -> Vec<Contact> {
        let mut spares = bound_first(self.closest(target, WIDE), most / 4);
        spares.truncate(most);
        spares
    }

    /// The nodes closest to a point, the closest first; none that failed twice. At most `most`.
    ///
    /// Nodes of the target's own bucket are closest; then come all the deeper buckets, whose nodes differ from the
    /// target in the same first bit; then the shallower ones in turn. So only few need to be compared.
    pub(super) fn closest(&self, target: &[u8; 20], most: usize) -> Vec<Entry> {
        let mut found: Vec<Entry> = Vec::with_capacity(most + K);
        for group in self.near_to_far(target) {
            let from = found.len();
            if from >= most {
                break;
            }
            let entries = group.iter().flat_map(|bucket| bucket.entries.iter());
            found.extend(entries.filter(|entry| !entry.is_bad()));
            if let Some(added) = found.get_mut(from..) {
                added.sort_unstable_by_key(|entry| distance(&entry.contact.id, target));
            }
        }
        found.truncate(most);
        found
    }

    /// The closest for an answer: of those whose address, in compact form, is useful, and at most [`K`].
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

    /// A random id in the bucket that lacks most nodes, or if none does in the one that was not touched for longest; which
    /// counts as touched from now on. That the last bucket is not full means nothing: it is what is left.
    pub(super) fn refresh_target(&mut self, now: Time, rng: &mut Rng) -> NodeId {
        let last = self.buckets.len() - 1;
        let neediest = self.buckets.iter_mut().enumerate().min_by_key(|(index, bucket)| {
            let needs = if *index == last { 0 } else { bucket.needs(now) };
            (Reverse(needs), bucket.touched)
        });
        let Some((index, bucket)) = neediest else { return self.own };
        bucket.seek(now);
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
        if self.is_barred(&entry.contact) {
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

    /// Fills the free places of a bucket from its reserve, the fastest first. Who may not come into use any more, because of
    /// who did meanwhile, is forgotten.
    fn promote(&mut self, index: usize) {
        while let Some(spare) = self.buckets.get_mut(index).and_then(Bucket::take_spare) {
            if !self.is_barred(&spare.contact)
                && let Some(bucket) = self.buckets.get_mut(index)
            {
                bucket.entries.push(spare);
            }
        }
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        self.buckets.iter().flat_map(|bucket| bucket.entries.iter())
    }

    /// The bucket an id belongs to.
    fn index(&self, id: &NodeId) -> usize {
        shared_bits(&self.own, id).min(self.buckets.len() - 1)
    }

    /// Whether a node may not be in use beside those who are.
    fn is_barred(&self, contact: &Contact) -> bool {
        let bucket = self.buckets.get(self.index(&contact.id));
        let is_known = |entry: Entry| entry.contact.id == contact.id;
        contact.id == self.own
            || bucket.is_some_and(|bucket| bucket.entries.iter().any(is_known))
            || self.is_crowded(contact)
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
        self.buckets.reserve_exact(1);
        self.buckets.push(deeper);
        [shared, shared + 1].into_iter().for_each(|index| self.promote(index));
    }
}

/// The same, but those whose ids do not follow from their addresses (BEP 42) come last, all but the first `unbound`. Liars
/// answer under ids made up for each target, and where they once were many a table is full of them.
fn bound_first(entries: Vec<Entry>, unbound: usize) -> Vec<Contact> {
    let mut left = unbound;
    let (mut first, last): (Vec<Contact>, Vec<Contact>) =
        entries.into_iter().map(|entry| entry.contact).partition(|contact| {
            let is_bound = node_id::is_bound(&contact.id, contact.addr.ip());
            let is_first = is_bound || left > 0;
            left -= usize::from(is_first && !is_bound);
            is_first
        });
    first.extend(last);
    first
}

/// How many leading bits two ids share: 0 to 160.
fn shared_bits(a: &NodeId, b: &NodeId) -> usize {
    let distance = a.distance(b.as_bytes());
    let zeros = distance.iter().take_while(|&&byte| byte == 0).count();
    zeros * 8 + distance.get(zeros).map_or(0, |byte| byte.leading_zeros() as usize)
}

#[cfg(test)]
mod tests;
