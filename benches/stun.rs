//! STUN: reading and writing against `stun-types`, which is sans-IO and reads in place too. Both do the same work in a row
//! of the same group: the messages of RFC 5769, FINGERPRINT checked, passwords fresh as in ICE.
//!
//! `stun-types` checks FINGERPRINT while it parses, so our rows ask for it too. It can keep the state of a key for
//! further messages; `verify, key kept` is that, and we have nothing like it, because in our protocol each pair of devices
//! has a password of its own.

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{Criterion, criterion_group, criterion_main};
use folkmoot_core::wire::stun::{AttributeType, Builder, Fingerprint, Message, TransactionId};
use stun_types::attribute::{self as rival_attribute, RawAttribute, Username, XorMappedAddress};
use stun_types::message::{self as rival, IntegrityAlgorithm, MessageWrite as _, MessageWriteExt as _};

const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
const USERNAME: &str = "evtj:h6vY";
const ID: [u8; 12] = *b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";
const PRIORITY: [u8; 4] = [0x6e, 0x00, 0x01, 0xff];
const TIE_BREAKER: [u8; 8] = [0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36];

fn public() -> SocketAddr {
    ([192, 0, 2, 1], 32_853).into()
}

/// The check of RFC 5769 §2.1, without SOFTWARE.
fn write_check() -> Vec<u8> {
    Builder::binding_request(TransactionId(ID))
        .attribute(AttributeType::PRIORITY, &PRIORITY)
        .attribute(AttributeType::ICE_CONTROLLED, &TIE_BREAKER)
        .username(USERNAME)
        .integrity_sha1(PASSWORD.as_bytes())
        .finish_with_fingerprint()
}

fn rival_request() -> rival::MessageWriteVec {
    let kind = rival::MessageType::from_class_method(rival::MessageClass::Request, rival::BINDING);
    let mut id = [0; 16];
    id[4..].copy_from_slice(&ID);
    rival::Message::builder(kind, u128::from_be_bytes(id).into(), rival::MessageWriteVec::new())
}

fn rival_key() -> rival::IntegrityKey {
    rival::ShortTermCredentials::new(PASSWORD.to_owned()).make_key()
}

fn rival_write_check() -> Vec<u8> {
    let mut message = rival_request();
    let raw = |kind, value| RawAttribute::new(rival_attribute::AttributeType::new(kind), value);
    message.add_attribute(&raw(AttributeType::PRIORITY.0, &PRIORITY)).unwrap();
    message.add_attribute(&raw(AttributeType::ICE_CONTROLLED.0, &TIE_BREAKER)).unwrap();
    message.add_attribute(&Username::new(USERNAME).unwrap()).unwrap();
    message.add_message_integrity_with_key(&rival_key(), IntegrityAlgorithm::Sha1).unwrap();
    message.add_fingerprint().unwrap();
    message.finish()
}

fn stun(c: &mut Criterion) {
    let check = write_check();
    assert_eq!(check, rival_write_check(), "both write the same bytes");
    let response = Builder::binding_success(TransactionId(ID)).xor_mapped_address(public());
    let response = response.integrity_sha1(PASSWORD.as_bytes()).finish_with_fingerprint();

    let mut group = c.benchmark_group("stun: read a response's address");
    group.bench_function("folkmoot", |b| {
        b.iter(|| {
            let message = Message::parse(black_box(&response)).unwrap();
            assert_eq!(message.fingerprint(), Fingerprint::Right);
            message.mapped_address().unwrap()
        });
    });
    group.bench_function("stun-types", |b| {
        b.iter(|| {
            let message = rival::Message::from_bytes(black_box(&response)).unwrap();
            message.attribute::<XorMappedAddress>().unwrap().addr(message.transaction_id())
        });
    });
    group.finish();

    let mut group = c.benchmark_group("stun: read a check's username and verify it");
    group.bench_function("folkmoot", |b| {
        b.iter(|| {
            let message = Message::parse(black_box(&check)).unwrap();
            assert_eq!(message.fingerprint(), Fingerprint::Right);
            assert!(message.verify_sha1(black_box(PASSWORD).as_bytes()));
            message.username().unwrap().len()
        });
    });
    let rival_verify = |key: &rival::IntegrityKey| {
        let message = rival::Message::from_bytes(black_box(&check)).unwrap();
        message.validate_integrity_with_key(key).unwrap();
        message.attribute::<Username>().unwrap().username().len()
    };
    group.bench_function("stun-types", |b| b.iter(|| rival_verify(black_box(&rival_key()))));
    let kept = rival_key();
    group.bench_function("stun-types, key kept", |b| b.iter(|| rival_verify(black_box(&kept))));
    group.finish();

    let mut group = c.benchmark_group("stun: write a bare request");
    group.bench_function("folkmoot", |b| {
        b.iter(|| Builder::binding_request(black_box(TransactionId(ID))).finish());
    });
    group.bench_function("stun-types", |b| b.iter(|| black_box(rival_request()).finish()));
    group.finish();

    let mut group = c.benchmark_group("stun: write a check");
    group.bench_function("folkmoot", |b| b.iter(write_check));
    group.bench_function("stun-types", |b| b.iter(rival_write_check));
    group.finish();
}

criterion_group!(benches, stun);
criterion_main!(benches);
