use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Item;
use super::shares::{Shares, farthest};
use super::source::Source;
use crate::base::{InfoHash, NodeId, Time};
use crate::limits;
use crate::wire::krpc::ErrorCode;

/// How long an item stays without being put again. Publishers come back every hour (BEP 44).
const TTL: Duration = Duration::from_secs(2 * 60 * 60);

/// The items that others put here (BEP 44).
#[derive(Debug, Default)]
pub(super) struct ItemStore {
    /// Boxed, since a tree makes room for eleven at once.
    items: BTreeMap<InfoHash, Box<Kept>>,
    expiry: BTreeSet<(Time, InfoHash)>,
    shares: Shares,
}

#[derive(Debug)]
struct Kept {
    item: Item,
    expires: Time,
    /// Who put it first: it takes a place of theirs.
    from: Source,
}

/// Who puts an item.
#[derive(Clone, Copy, Debug)]
pub(super) struct Putter {
    pub(super) source: Source,
    /// Whether the shares of addresses and networks are not for it.
    pub(super) is_exempt: bool,
}

impl ItemStore {
    /// Stores an item, or keeps the one there for longer. `cas` is the sequence number that must be stored so far, if one
    /// is. When there is no room, whoever has most items here gives way, and where all have as many, what belongs
    /// farthest from `own`.
    ///
    /// # Errors
    ///
    /// What to tell the author.
    pub(super) fn put(
        &mut self,
        now: Time,
        own: &NodeId,
        from: Putter,
        item: Item,
        cas: Option<i64>,
    ) -> Result<(), ErrorCode> {
        let target = item.target();
        let expires = now + TTL;
        if let Some(kept) = self.items.get_mut(&target) {
            if cas.is_some_and(|cas| kept.item.seq() != Some(cas)) {
                return Err(ErrorCode::CasMismatch);
            }
            let is_same = kept.item.value() == item.value();
            if item.seq() < kept.item.seq() || (item.seq() == kept.item.seq() && !is_same) {
                return Err(ErrorCode::SeqTooLow);
            }
            self.expiry.remove(&(kept.expires, target));
            self.expiry.insert((expires, target));
            kept.item = item;
            kept.expires = expires;
            return Ok(());
        }
        if let Some(victim) = self.place_for(own, &target, from).ok_or(ErrorCode::Server)? {
            self.remove(victim);
        }
        self.shares.add(from.source, target);
        self.expiry.insert((expires, target));
        self.items.insert(target, Box::new(Kept { item, expires, from: from.source }));
        Ok(())
    }

    pub(super) fn get(&self, target: &InfoHash) -> Option<&Item> {
        self.items.get(target).map(|kept| &kept.item)
    }

    /// Whether an item that belongs at `target` would be stored for `from`.
    pub(super) fn has_room(&self, own: &NodeId, target: &InfoHash, from: Putter) -> bool {
        self.items.contains_key(target) || self.place_for(own, target, from).is_some()
    }

    /// Removes what is not valid any more, at most `most` items.
    pub(super) fn expire(&mut self, now: Time, most: usize) {
        for _ in 0..most {
            match self.expiry.first() {
                Some(&(expires, target)) if expires <= now => self.remove(target),
                _ => return,
            }
        }
    }

    /// When the next item expires.
    pub(super) fn next_expiry(&self) -> Option<Time> {
        self.expiry.first().map(|&(expires, _)| expires)
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// The memory taken beyond its own size, in bytes. A tree is taken to be two thirds full.
    pub(super) fn footprint(&self) -> usize {
        let tree = size_of::<(InfoHash, Box<Kept>)>() + size_of::<(Time, InfoHash)>();
        let items: usize = self.items.values().map(|kept| size_of::<Kept>() + kept.item.footprint()).sum();
        self.items.len() * tree * 3 / 2 + items + self.shares.footprint()
    }

    /// What has to give way to a new item: nothing while there is room. `None` if it is not to be stored.
    fn place_for(&self, own: &NodeId, target: &InfoHash, from: Putter) -> Option<Option<InfoHash>> {
        let network = from.source.network();
        let has_share = from.is_exempt
            || (self.shares.of(from.source) < limits::DHT_ITEMS_PER_IP
                && self.shares.of_network(network) < limits::DHT_ITEMS_PER_NETWORK);
        if !has_share {
            return None;
        }
        if self.items.len() < limits::DHT_STORED_ITEMS {
            return Some(None);
        }
        let far = |hash: &InfoHash| own.distance(&hash.0);
        let heaviest = self.shares.heavier_than(network);
        let theirs = heaviest.and_then(|network| self.shares.topics_of(network).max_by_key(far));
        let farthest = || farthest(own, |low, high| self.items.range(low..=high).map(|(hash, _)| hash));
        // Only what is farther from us, and of nobody who would then have less here.
        let may_displace = |hash: &InfoHash| {
            let share = self.items.get(hash).map_or(0, |kept| self.shares.of_network(kept.from.network()));
            far(hash) > far(target) && share > self.shares.of_network(network)
        };
        theirs.or_else(|| farthest().filter(may_displace)).map(Some)
    }

    fn remove(&mut self, target: InfoHash) {
        if let Some(kept) = self.items.remove(&target) {
            self.expiry.remove(&(kept.expires, target));
            self.shares.remove(kept.from, target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dht::{Author, MutableItem, Salt, Value};

    const OWN: NodeId = NodeId([0; 20]);

    fn ip(n: u32) -> Putter {
        let ip = std::net::Ipv4Addr::from(0x0800_0000 + n);
        Putter { source: Source::of(ip.into()), is_exempt: false }
    }

    fn fixed(n: u32) -> Item {
        Item::Immutable(Value::bytes(&n.to_be_bytes()).unwrap())
    }

    fn mutable(seq: i64, value: &str) -> Item {
        let value = Value::bytes(value.as_bytes()).unwrap();
        MutableItem::sign(&Author::new([1; 32]), Salt::default(), seq, value).unwrap().into()
    }

    #[test]
    fn sequence_numbers_and_compare_and_swap() {
        let mut store = ItemStore::default();
        let mut put = |item, cas| store.put(Time::ZERO, &OWN, ip(1), item, cas);
        assert_eq!(put(mutable(4, "a"), Some(9)), Ok(()), "nothing there to compare with");
        assert_eq!(put(mutable(4, "a"), None), Ok(()), "the same again");
        assert_eq!(put(mutable(4, "b"), None), Err(ErrorCode::SeqTooLow));
        assert_eq!(put(mutable(3, "b"), None), Err(ErrorCode::SeqTooLow));
        assert_eq!(put(mutable(5, "b"), Some(3)), Err(ErrorCode::CasMismatch));
        assert_eq!(put(mutable(5, "b"), Some(4)), Ok(()));
        assert_eq!(put(mutable(6, "c"), Some(4)), Err(ErrorCode::CasMismatch));
        assert_eq!(put(mutable(7, "c"), None), Ok(()));
        let target = mutable(0, "").target();
        assert_eq!((store.len(), store.get(&target)), (1, Some(&mutable(7, "c"))));
    }

    #[test]
    fn expired_unless_put_again() {
        let mut store = ItemStore::default();
        let hour = |n: u64| Time::from_millis(n * 3_600_000);
        store.put(hour(0), &OWN, ip(1), fixed(1), None).unwrap();
        store.put(hour(0), &OWN, ip(1), fixed(2), None).unwrap();
        store.put(hour(1), &OWN, ip(2), fixed(2), None).unwrap();
        store.expire(hour(2), 9);
        assert_eq!(
            (store.get(&fixed(1).target()), store.len(), store.next_expiry()),
            (None, 1, Some(hour(3)))
        );
        store.expire(hour(3), 9);
        assert_eq!((store.len(), store.shares.total(), store.next_expiry()), (0, 0, None));
    }

    #[test]
    fn an_address_has_its_share() {
        let mut store = ItemStore::default();
        let stored = (0..100).filter(|&n| store.put(Time::ZERO, &OWN, ip(1), fixed(n), None).is_ok()).count();
        assert_eq!(stored, limits::DHT_ITEMS_PER_IP);
        assert_eq!(store.put(Time::ZERO, &OWN, ip(1), fixed(0), None), Ok(()), "what it has stays its own");
        assert_eq!(store.put(Time::ZERO, &OWN, ip(1), fixed(99), None), Err(ErrorCode::Server));
        assert_eq!(store.put(Time::ZERO, &OWN, ip(2), fixed(99), None), Ok(()));
        let of_network =
            (100..200).filter(|&n| store.put(Time::ZERO, &OWN, ip(n), fixed(n), None).is_ok()).count();
        assert_eq!(of_network, limits::DHT_ITEMS_PER_NETWORK - limits::DHT_ITEMS_PER_IP - 1);
        let local = Putter { is_exempt: true, ..ip(1) };
        assert_eq!(store.put(Time::ZERO, &OWN, local, fixed(999), None), Ok(()));
    }

    #[test]
    fn whoever_has_most_gives_way() {
        let mut store = ItemStore::default();
        let networks = (limits::DHT_STORED_ITEMS / limits::DHT_ITEMS_PER_NETWORK + 1) as u32;
        for n in 0..limits::DHT_STORED_ITEMS as u32 {
            store.put(Time::ZERO, &OWN, ip(((n % networks) << 8) | (n / networks)), fixed(n), None).unwrap();
        }
        // However far from us they belong, others find room until they have as much.
        let stored = (1_000..2_000)
            .filter(|&n| store.put(Time::ZERO, &OWN, ip((99 << 8) | (n % 60)), fixed(n), None).is_ok());
        assert!(stored.count() >= limits::DHT_STORED_ITEMS / (networks as usize + 1) - 1);
        assert_eq!(store.len(), limits::DHT_STORED_ITEMS);
        assert_eq!(store.shares.total(), store.len());
    }

    #[test]
    fn a_flood_leaves_what_belongs_here() {
        let mut store = ItemStore::default();
        for n in 0..3_000 {
            let _ = store.put(Time::ZERO, &OWN, ip(n << 8), fixed(n), None);
        }
        assert_eq!((store.len(), store.expiry.len()), (limits::DHT_STORED_ITEMS, limits::DHT_STORED_ITEMS));
        assert_eq!(store.shares.total(), store.len());
        let mut targets: Vec<InfoHash> = (0..3_000).map(|n| fixed(n).target()).collect();
        targets.sort();
        assert!(targets[..limits::DHT_STORED_ITEMS].iter().all(|target| store.get(target).is_some()));
    }
}
