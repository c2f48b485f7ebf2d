use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::Item;
use crate::base::{InfoHash, NodeId, Scope, Time};
use crate::limits;
use crate::wire::krpc::ErrorCode;

/// How long an item stays without being put again. Publishers come back every hour (BEP 44).
const TTL: Duration = Duration::from_secs(2 * 60 * 60);

/// The items that others put here (BEP 44).
#[derive(Debug, Default)]
pub(super) struct ItemStore {
    items: BTreeMap<InfoHash, Kept>,
    expiry: BTreeSet<(Time, InfoHash)>,
    per_ip: BTreeMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Kept {
    item: Item,
    expires: Time,
    /// Who put it first: it takes a place of theirs.
    from: IpAddr,
}

impl ItemStore {
    /// Stores an item, or keeps the one there for longer. `cas` is the sequence number that must be stored so far, if one
    /// is. The closer to `own` an item belongs, the less likely it gives way when there is no room.
    ///
    /// # Errors
    ///
    /// What to tell the author.
    pub(super) fn put(
        &mut self,
        now: Time,
        own: &NodeId,
        from: IpAddr,
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
        if !self.has_room(own, &target, from) {
            return Err(ErrorCode::Server);
        }
        if self.items.len() >= limits::DHT_STORED_ITEMS
            && let Some(farthest) = self.farthest(own)
        {
            self.remove(farthest);
        }
        *self.per_ip.entry(from).or_default() += 1;
        self.expiry.insert((expires, target));
        self.items.insert(target, Kept { item, expires, from });
        Ok(())
    }

    pub(super) fn get(&self, target: &InfoHash) -> Option<&Item> {
        self.items.get(target).map(|kept| &kept.item)
    }

    /// Whether an item that belongs at `target` would be stored for `from`.
    pub(super) fn has_room(&self, own: &NodeId, target: &InfoHash, from: IpAddr) -> bool {
        let share = self.per_ip.get(&from).copied().unwrap_or(0);
        let has_share = share < limits::DHT_ITEMS_PER_IP || Scope::of(from).is_local();
        let displaces =
            || self.farthest(own).is_some_and(|farthest| own.distance(&target.0) < own.distance(&farthest.0));
        self.items.contains_key(target)
            || (has_share && (self.items.len() < limits::DHT_STORED_ITEMS || displaces()))
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

    pub(super) fn footprint(&self) -> usize {
        0
    }

    fn farthest(&self, own: &NodeId) -> Option<InfoHash> {
        self.items.keys().max_by_key(|target| own.distance(&target.0)).copied()
    }

    fn remove(&mut self, target: InfoHash) {
        let Some(kept) = self.items.remove(&target) else { return };
        self.expiry.remove(&(kept.expires, target));
        if let Some(share) = self.per_ip.get_mut(&kept.from) {
            *share -= 1;
            if *share == 0 {
                self.per_ip.remove(&kept.from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dht::{Author, MutableItem, Salt, Value};

    const OWN: NodeId = NodeId([0; 20]);

    fn ip(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(0x0800_0000 + n).into()
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
        assert_eq!((store.len(), store.per_ip.len(), store.next_expiry()), (0, 0, None));
    }

    #[test]
    fn an_address_has_its_share() {
        let mut store = ItemStore::default();
        let stored = (0..100).filter(|&n| store.put(Time::ZERO, &OWN, ip(1), fixed(n), None).is_ok()).count();
        assert_eq!(stored, limits::DHT_ITEMS_PER_IP);
        assert_eq!(store.put(Time::ZERO, &OWN, ip(1), fixed(0), None), Ok(()), "what it has stays its own");
        assert_eq!(store.put(Time::ZERO, &OWN, ip(1), fixed(99), None), Err(ErrorCode::Server));
        assert_eq!(store.put(Time::ZERO, &OWN, ip(2), fixed(99), None), Ok(()));
    }

    #[test]
    fn a_flood_leaves_what_belongs_here() {
        let mut store = ItemStore::default();
        for n in 0..3_000 {
            let _ = store.put(Time::ZERO, &OWN, ip(n), fixed(n), None);
        }
        assert_eq!((store.len(), store.expiry.len()), (limits::DHT_STORED_ITEMS, limits::DHT_STORED_ITEMS));
        assert_eq!(store.per_ip.values().sum::<usize>(), store.len());
        let mut targets: Vec<InfoHash> = (0..3_000).map(|n| fixed(n).target()).collect();
        targets.sort();
        assert!(targets[..limits::DHT_STORED_ITEMS].iter().all(|target| store.get(target).is_some()));
    }
}
