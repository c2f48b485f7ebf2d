use std::collections::BTreeMap;
use std::net::IpAddr;

use super::item_store::Putter;
use super::machine::{Dht, Origin};
use super::nearest::NodeList;
use super::rate::{Bucket, Rate};
use super::source::Source;
use super::{Item, ItemError, ItemId, MutableItem, Salt, Value};
use crate::base::{Cx, InfoHash, NodeId, Time};
use crate::limits;
use crate::wire::krpc::{self, ErrorCode, PutMutable, Response, Want};

/// No answer that holds an item is longer, in bytes: a value of 1000, its signature, and no nodes.
pub(super) const LONGEST_WITH_ITEM: usize = 1_280;

/// Items given to one network beyond what its addresses have proven.
const GIFTS_PER_NETWORK: Rate = Rate::new(1, 1);

/// And in all: 10 kB/s, of answers that have [`LONGEST_WITH_ITEM`] bytes at most.
const GIFTS: Rate = Rate::new(7, 7);

/// Items for those who have not proven that they receive what we send, where 3.5 times their question is not enough. A
/// stranger's first question may well be this one, so it is answered, and so rarely that it is no weapon.
#[derive(Debug, Default)]
pub(super) struct Gifts {
    networks: BTreeMap<Source, Bucket>,
    all: Bucket,
}

impl Gifts {
    fn take(&mut self, now: Time, ip: IpAddr) -> bool {
        if self.networks.len() >= limits::DHT_GIFTS {
            self.networks.retain(|_, bucket| !bucket.is_full(now));
        }
        let network = Source::of(ip).network();
        let granted = self.networks.get(&network).is_none_or(|bucket| bucket.has(GIFTS_PER_NETWORK, now))
            && self.all.has(GIFTS, now);
        if granted {
            self.networks.entry(network).or_default().take(GIFTS_PER_NETWORK, now);
            self.all.take(GIFTS, now);
        }
        granted
    }
}

/// The answering side of items (BEP 44).
impl Dht {
    pub(super) fn answer_item(
        &mut self,
        cx: &mut Cx<'_>,
        origin: &Origin,
        tid: &[u8],
        target: InfoHash,
        seq: Option<i64>,
        want: Option<Want>,
    ) {
        let ip = origin.from.ip();
        let own = self.id(origin.from.is_ipv4());
        let has_room = self.items.has_room(&own, &target, self.putter(ip));
        self.counters.tokens_withheld += u64::from(!has_room);
        let token = has_room.then(|| self.tokens.issue(cx.now, ip, &target));
        let mut room = self.room(origin, tid.len(), true);
        let mut longest = self.longest(origin);
        let held = self.items.get(&target);
        // Who has this one already, or a newer one, is only told the number.
        let is_news = |item: &Item| seq.is_none() || item.seq() > seq || item.seq().is_none();
        let number = krpc::Item { seq: held.and_then(Item::seq), ..krpc::Item::default() };
        // `3:seqi` number `e`
        room = room.saturating_sub(if number.seq.is_some() { 26 } else { 0 });
        let mut item = number;
        if let Some(held) = held.filter(|item| is_news(item)) {
            if held.answer_len() <= room {
                room -= held.answer_len();
                item = held.as_answer();
            } else if self.is_proven(ip) || self.gifts.take(cx.now, ip) {
                (room, longest) = (0, LONGEST_WITH_ITEM);
                item = held.as_answer();
            } else {
                self.counters.items_withheld += 1;
            }
        }
        let (nodes, nodes6) = self.nodes_for(origin, &NodeId(target.0), want, &mut room);
        let response = Response {
            nodes: nodes.as_ref().map(NodeList::as_bytes),
            nodes6: nodes6.as_ref().map(NodeList::as_bytes),
            token: token.as_ref().map(|token| token.as_slice()),
            item,
            ..Response::default()
        };
        let bytes = self.encoded(origin, tid, response);
        self.send_within(cx, origin, bytes, longest);
    }

    pub(super) fn on_put(
        &mut self,
        cx: &mut Cx<'_>,
        origin: &Origin,
        tid: &[u8],
        token: &[u8],
        value: &[u8],
        mutable: Option<&PutMutable<'_>>,
    ) {
        match self.put_in_store(cx, origin, token, value, mutable) {
            Ok(()) => {
                self.counters.stored += 1;
                self.answer(cx, origin, tid, Response::default());
            }
            Err(code) => {
                self.counters.store_full += u64::from(code == ErrorCode::Server);
                self.refuse(cx, origin, tid, code);
            }
        }
    }

    /// What is cheap to check comes first, the signature last.
    fn put_in_store(
        &mut self,
        cx: &Cx<'_>,
        origin: &Origin,
        token: &[u8],
        value: &[u8],
        mutable: Option<&PutMutable<'_>>,
    ) -> Result<(), ErrorCode> {
        let ip = origin.from.ip();
        let value = Value::bencoded(value).map_err(code)?;
        let salt = Salt::new(mutable.map_or(&[], |item| item.salt)).map_err(code)?;
        let target = match mutable {
            None => Item::Immutable(value.clone()).target(),
            Some(item) => ItemId::Mutable { key: *item.key, salt: salt.clone() }.target(),
        };
        if !self.tokens.verify(cx.now, ip, &target, token) {
            self.counters.bad_tokens += 1;
            return Err(ErrorCode::Protocol);
        }
        self.proven.insert(cx.now, ip);
        let item = match mutable {
            None => Item::Immutable(value),
            Some(put) => {
                MutableItem::verified(*put.key, salt, put.seq, value, *put.signature).map_err(code)?.into()
            }
        };
        let own = self.id(origin.from.is_ipv4());
        self.items.put(cx.now, &own, self.putter(ip), item, mutable.and_then(|put| put.cas))
    }

    fn putter(&self, ip: IpAddr) -> Putter {
        Putter { source: Source::of(ip), is_exempt: self.is_exempt(ip) }
    }
}

fn code(error: ItemError) -> ErrorCode {
    match error {
        ItemError::ValueTooBig => ErrorCode::ValueTooBig,
        ItemError::SaltTooBig => ErrorCode::SaltTooBig,
        ItemError::BadSignature => ErrorCode::BadSignature,
        ItemError::NotBencoded | ItemError::NegativeSeq | ItemError::Another => ErrorCode::Protocol,
    }
}
