use std::collections::BTreeMap;
use std::time::Duration;

use super::errand::Outcome;
use super::machine::Dht;
use super::{Event, Item, NotStored};
use crate::base::{Cx, InfoHash, Time};
use crate::limits;

/// When to store again what is to stay: nodes keep an item for two hours (BEP 44). Not all at once.
const AGAIN: (Duration, Duration) = (Duration::from_secs(54 * 60), Duration::from_secs(66 * 60));

/// The same after nobody took it.
const RETRY: Duration = Duration::from_secs(60);

/// Items that are to stay in the network, and when each is stored next.
#[derive(Debug, Default)]
pub(super) struct Keep {
    items: BTreeMap<InfoHash, (Time, Item)>,
}

impl Keep {
    /// When the next is stored.
    pub(super) fn next_due(&self) -> Option<Time> {
        self.items.values().map(|(due, _)| *due).min()
    }

    /// The memory taken beyond its own size, in bytes, but for values.
    pub(super) fn footprint(&self) -> usize {
        self.items.len() * size_of::<(InfoHash, Time, Item)>() * 3 / 2
    }
}

impl Dht {
    /// Stores an item as [`Dht::put_immutable`] and [`Dht::put_mutable`] do, and again about every hour until
    /// [`Dht::release_item`]. Each time ends with [`Event::Stored`] or [`Event::NotStored`]; after the latter it is tried again in
    /// a minute, unless there is a newer version: that is not overwritten, and this one is kept no longer.
    ///
    /// More than [`limits::DHT_KEPT_ITEMS`] are refused with [`NotStored::Busy`]. Of one target the last one given is kept.
    pub fn keep_item(&mut self, cx: &mut Cx<'_>, item: Item) -> InfoHash {
        let target = item.target();
        if self.keep.items.len() >= limits::DHT_KEPT_ITEMS && !self.keep.items.contains_key(&target) {
            self.tell(Event::NotStored { target, why: NotStored::Busy });
            return target;
        }
        self.keep.items.insert(target, (cx.now, item));
        self.store_kept(cx);
        target
    }

    /// No longer stores an item again. The nodes that hold it forget it after two hours or so.
    pub fn release_item(&mut self, target: InfoHash) {
        self.keep.items.remove(&target);
    }

    /// Stores again what is due.
    pub(super) fn store_kept(&mut self, cx: &mut Cx<'_>) {
        let mut due = Vec::new();
        for (at, item) in self.keep.items.values_mut().filter(|(at, _)| *at <= cx.now) {
            *at = cx.now + cx.rng.between(AGAIN.0, AGAIN.1);
            due.push(item.clone());
        }
        for item in due {
            self.put(cx, item, None);
        }
    }

    /// An item is stored, or not.
    pub(super) fn on_put_over(&mut self, now: Time, target: InfoHash, outcome: &Outcome) {
        match outcome {
            Outcome::NotStored(NotStored::Superseded { .. }) => self.release_item(target),
            Outcome::NotStored(_) => {
                if let Some((due, _)) = self.keep.items.get_mut(&target) {
                    *due = (*due).min(now + RETRY);
                }
            }
            Outcome::Stored { .. } | Outcome::Sought { .. } => {}
        }
    }
}
