use std::net::SocketAddr;

use super::errand::{Errand, ErrandId, Outcome, Task};
use super::lookup::{Goal, Pace};
use super::machine::Dht;
use super::rpc::Purpose;
use super::{Event, Item, ItemId, MutableItem, NotStored, Value};
use crate::base::{Cx, InfoHash};
use crate::limits;
use crate::wire::krpc::{Call, Contact, PutMutable, Response};

/// Items of our own (BEP 44).
impl Dht {
    /// Searches an item. Each version found that is newer than those before is told of at once in [`Event::Item`], and the
    /// end of the search in [`Event::ItemSought`]. With `newer_than`, versions up to that sequence number are of no
    /// interest and mostly not even sent.
    ///
    /// Nodes close to the item that hold an older version than the newest are given that one.
    pub fn get(&mut self, cx: &mut Cx<'_>, id: ItemId, newer_than: Option<i64>) {
        let mut errand = Errand::new(id, Task::Get { newer_than });
        let target = errand.target();
        let is_wanted = |item: &&Item| item.seq().is_none() || item.seq() > newer_than;
        if let Some(item) = self.items.get(&target).filter(is_wanted).cloned() {
            errand.on_own(item.clone());
            self.tell(Event::Item { target, item, from: None });
        }
        self.set_out(cx, errand);
    }

    /// Stores a value at the eight nodes closest to its hash, which is returned: once, and for about two hours; see
    /// [`Dht::keep_item`]. The outcome comes as [`Event::Stored`] or [`Event::NotStored`].
    pub fn put_immutable(&mut self, cx: &mut Cx<'_>, value: Value) -> InfoHash {
        self.put(cx, Item::Immutable(value), None)
    }

    /// Stores an item at the eight nodes closest to its target, which is returned: once, and for about two hours; see
    /// [`Dht::keep_item`]. The outcome comes as [`Event::Stored`] or
    /// [`Event::NotStored`].
    ///
    /// With `cas`, nodes that hold another sequence number than this refuse; that settles who was first when several
    /// hold the author's key.
    pub fn put_mutable(&mut self, cx: &mut Cx<'_>, item: MutableItem, cas: Option<i64>) -> InfoHash {
        self.put(cx, item.into(), cas)
    }

    pub(super) fn put(&mut self, cx: &mut Cx<'_>, item: Item, cas: Option<i64>) -> InfoHash {
        let errand = Errand::new(item.id(), Task::Put { item, cas });
        let target = errand.target();
        self.set_out(cx, errand);
        target
    }

    fn set_out(&mut self, cx: &mut Cx<'_>, errand: Errand) {
        let target = errand.target();
        if self.errands.len() >= limits::DHT_ERRANDS {
            let outcome = match errand.task {
                Task::Get { .. } => Outcome::Sought { found: false, answered: 0 },
                Task::Put { .. } => Outcome::NotStored(NotStored::Busy),
            };
            self.on_put_over(cx.now, target, &outcome);
            return self.tell(told(target, outcome));
        }
        self.last_errand.0 += 1;
        self.errands.insert(self.last_errand, errand);
        self.start(self.last_errand);
        self.pump(cx);
    }

    /// Begins every errand anew: our addresses have changed.
    pub(super) fn restart_errands(&mut self) {
        let ids: Vec<ErrandId> = self.errands.keys().copied().collect();
        ids.into_iter().for_each(|id| self.start(id));
    }

    fn start(&mut self, id: ErrandId) {
        let Some(errand) = self.errands.get(&id) else { return };
        let target = errand.target();
        if errand.is_satisfied() {
            return;
        }
        let lookups =
            [true, false].map(|ipv4| self.begin_lookup(target.0, (Goal::Item(id), Pace::SWIFT), ipv4));
        if let Some(errand) = self.errands.get_mut(&id) {
            errand.restart(lookups.into_iter().flatten().collect());
        }
    }

    /// A node answered a step of an errand's lookup.
    pub(super) fn on_item_step(&mut self, id: ErrandId, contact: Contact, response: &Response<'_>) {
        let Some(errand) = self.errands.get_mut(&id) else { return };
        let target = errand.target();
        match errand.on_answer(contact, response) {
            Ok(Some(item)) => {
                if errand.is_satisfied() {
                    for lookup in std::mem::take(&mut errand.lookups) {
                        self.lookups.remove(&lookup);
                    }
                }
                if matches!(errand.task, Task::Get { .. }) {
                    self.tell(Event::Item { target, item, from: Some(contact.addr) });
                }
            }
            Ok(None) => {}
            Err(_) => self.counters.bad_items += 1,
        }
    }

    /// Takes every errand as far as it goes now.
    pub(super) fn pump_errands(&mut self, cx: &mut Cx<'_>) {
        let ids: Vec<ErrandId> = self.errands.keys().copied().collect();
        for id in ids {
            let Some(errand) = self.errands.get_mut(&id) else { continue };
            let target = errand.target();
            if let Some(outcome) = errand.turn() {
                let is_end = matches!(outcome, Outcome::NotStored(_));
                self.on_put_over(cx.now, target, &outcome);
                self.tell(told(target, outcome));
                if is_end {
                    self.errands.remove(&id);
                    continue;
                }
            }
            while let Some(addr) = self.errands.get(&id).and_then(Errand::due) {
                if !self.may_ask(cx.now, addr) {
                    return;
                }
                let sent = self.put_to(cx, id, addr, false);
                if let Some(errand) = self.errands.get_mut(&id) {
                    if sent { errand.on_sent(addr) } else { errand.on_refused(addr, None, false) }
                }
            }
            if let Some(errand) = self.errands.get(&id).filter(|errand| errand.is_over()) {
                let outcome = errand.outcome();
                self.errands.remove(&id);
                if let Some(outcome) = outcome {
                    self.on_put_over(cx.now, target, &outcome);
                    self.tell(told(target, outcome));
                }
            }
        }
    }

    /// Sends one `put`.
    pub(super) fn put_to(&mut self, cx: &mut Cx<'_>, id: ErrandId, addr: SocketAddr, again: bool) -> bool {
        let put = self.errands.get(&id).and_then(|errand| errand.put_for(addr));
        let Some((contact, token, item, cas)) = put else { return false };
        let (token, item) = (token.to_vec(), item.clone());
        let mutable = match &item {
            Item::Immutable(_) => None,
            Item::Mutable(item) => Some(PutMutable {
                key: item.key(),
                signature: item.signature(),
                seq: item.seq(),
                salt: item.salt().as_bytes(),
                cas,
            }),
        };
        let target = Some(item.target());
        let call = Call::Put { token: &token, target, value: item.value().as_bencoded(), mutable };
        self.ask(cx, addr, Some(contact.id), call, Purpose::Put(id), again)
    }
}

fn told(target: InfoHash, outcome: Outcome) -> Event {
    match outcome {
        Outcome::Sought { found, answered } => Event::ItemSought { target, found, answered },
        Outcome::Stored { nodes } => Event::Stored { target, nodes },
        Outcome::NotStored(why) => Event::NotStored { target, why },
    }
}
