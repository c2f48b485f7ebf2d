use std::sync::OnceLock;

use folkmoot_core::dht::{Author, Item, MutableItem, Salt, Value};
use folkmoot_core::wire::krpc::{self, Body, Call, Capabilities, Message, PutMutable, Query};

use super::{World, addr, id};
use crate::bytes::Bytes;

/// Items (BEP 44), of which there are few, so that the same one comes up again: one of two authors, salts and kinds each.
impl World {
    /// The owner asks for an item, or has one stored.
    pub(super) fn seek_or_put(&mut self, bytes: &mut Bytes<'_>) {
        let (what, item) = (bytes.u8(), item(bytes));
        let (newer_than, cas) = (seq(what >> 4), seq(what >> 2));
        self.with(|dht, cx| match item {
            item if what & 1 == 0 => dht.get(cx, item.id(), newer_than),
            Item::Immutable(value) => drop(dht.put_immutable(cx, value)),
            Item::Mutable(item) => drop(dht.put_mutable(cx, item, cas)),
        });
    }

    /// Somebody asks for an item, and stores one with the token that comes with the answer: the same, or, with what that
    /// token is not good for, another one.
    pub(super) fn put_to_node(&mut self, bytes: &mut Bytes<'_>) {
        let (from, how, item) = (addr(bytes), bytes.u8(), item(bytes));
        let target = item.target();
        self.flush();
        self.receive(from, &query(bytes, Call::Get { target, seq: seq(how), want: None }));
        let Some(reply) = self.out.pop() else { return };
        let Ok(Message { body: Body::Response(response), .. }) = Message::parse(&reply.bytes) else { return };
        assert_eq!(reply.to, from);
        let Some(token) = response.token.map(<[u8]>::to_vec) else { return };
        let by = if how & 0x10 == 0 { from } else { addr(bytes) };
        let put = if how & 0x20 == 0 { item.clone() } else { self::item(bytes) };
        let mut signature = krpc_item(&put).signature.copied();
        if how & 0x40 != 0
            && let Some(signature) = &mut signature
        {
            signature[usize::from(bytes.u8() % 64)] ^= 1;
        }
        let mutable = match &put {
            Item::Immutable(_) => None,
            Item::Mutable(put) => signature.as_ref().map(|signature| PutMutable {
                key: put.key(),
                signature,
                seq: put.seq(),
                salt: put.salt().as_bytes(),
                cas: seq(how >> 2),
            }),
        };
        let value = put.value().as_bencoded();
        let before = self.dht.stats();
        let call = Call::Put { token: &token, target: None, value, mutable };
        self.receive(by, &query(bytes, call));
        let after = self.dht.stats();
        let is_forged =
            by.ip() != from.ip() || put.target() != target || how & 0x40 != 0 && put.seq().is_some();
        assert!(
            !is_forged || after.counters.stored == before.counters.stored,
            "{put:?} of {by} with {from}'s token"
        );
        assert!(after.stored_items <= before.stored_items + 1);
    }
}

/// What an answer to the question says of an item, if that was asked for: mostly the one that was meant.
pub(super) fn answered(question: &[u8], bytes: &mut Bytes<'_>) -> Option<Item> {
    let Ok(Message { body: Body::Query(Query { call: Call::Get { target, .. }, .. }), .. }) =
        Message::parse(question)
    else {
        return None;
    };
    let how = bytes.u8();
    let any = item(bytes);
    // The version, or the form, is any that fits the target; now and then one that does not.
    let meant = items().iter().find(|item| item.target() == target).cloned();
    match meant {
        _ if how.is_multiple_of(8) => Some(any),
        Some(meant) if how % 8 < 7 => Some(if any.target() == target { any } else { meant }),
        _ => None,
    }
}

/// An item as an answer has it.
pub(super) fn krpc_item(item: &Item) -> krpc::Item<'_> {
    let (key, signature) = match item {
        Item::Immutable(_) => (None, None),
        Item::Mutable(item) => (Some(item.key()), Some(item.signature())),
    };
    krpc::Item { value: Some(item.value().as_bencoded()), key, signature, seq: item.seq() }
}

fn item(bytes: &mut Bytes<'_>) -> Item {
    items()[usize::from(bytes.u8())].clone()
}

/// All there are. To sign one takes longer than many steps.
fn items() -> &'static [Item] {
    static ITEMS: OnceLock<Vec<Item>> = OnceLock::new();
    ITEMS.get_or_init(|| (0..=u8::MAX).map(numbered).collect())
}

fn numbered(n: u8) -> Item {
    let value = match n & 3 {
        0 => Value::bytes(&[n >> 4]),
        1 => Value::bytes(&[n; 900]),
        2 => Value::bencoded(b"d1:ai1ee"),
        _ => Value::bytes(b""),
    };
    let value = value.expect("it is short enough, and bencoded");
    if n & 4 == 0 {
        return Item::Immutable(value);
    }
    let salt = Salt::new(if n & 8 == 0 { b"" } else { b"salt" }).expect("it is short enough");
    let author = Author::new([1 + (n >> 7); 32]);
    MutableItem::sign(&author, salt, i64::from(n >> 4 & 7), value).expect("no number below zero").into()
}

/// One of a few sequence numbers, or none.
fn seq(n: u8) -> Option<i64> {
    (n & 3 != 0).then(|| i64::from(n & 3))
}

fn query(bytes: &mut Bytes<'_>, call: Call<'_>) -> Vec<u8> {
    let body = Body::Query(Query { id: id(bytes), read_only: bytes.u8() & 1 != 0, call });
    Message { tid: b"tt", version: None, capabilities: Capabilities::NONE, body }.encode()
}
