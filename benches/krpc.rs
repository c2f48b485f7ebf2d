//! KRPC: reading and writing against two bencode crates of the field, on the three shapes of message that a DHT node sees most.
//! All read into the fields a node needs, and write from them. `interop/rivals` reads against the whole field.
//!
//! `bt_bencode` reads in place as we do. `serde_bencode` cannot borrow; its rows read into owned fields, which is how the DHT
//! crates that build on it use it. When writing, our row also makes the list of values from addresses; the rivals' are ready.

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use folkmoot_core::base::{InfoHash, NodeId};
use folkmoot_core::wire::krpc::{
    Body, Call, Capabilities, Contact, Message, Query, Response, Values, Want, write_contact,
};
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteBuf, Bytes};

const ID: NodeId = NodeId(*b"abcdefghij0123456789");
const TOPIC: InfoHash = InfoHash(*b"mnopqrstuvwxyz123456");
const TID: &[u8] = b"aaaa";
const VERSION: &[u8] = b"FM01";
const TOKEN: &[u8] = b"aoeusnth";

/// What the rivals read and write: keys in sorted order, generic over owned and borrowed strings.
#[derive(Serialize, Deserialize)]
struct Fields<S> {
    #[serde(skip_serializing_if = "Option::is_none")]
    a: Option<Arguments<S>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    q: Option<S>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r: Option<Results<S>>,
    t: S,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<S>,
    y: S,
}

#[derive(Serialize, Deserialize)]
struct Arguments<S> {
    id: S,
    #[serde(skip_serializing_if = "Option::is_none")]
    info_hash: Option<S>,
    #[serde(skip_serializing_if = "Option::is_none")]
    want: Option<Vec<S>>,
}

#[derive(Serialize, Deserialize)]
struct Results<S> {
    id: S,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<S>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<S>,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Vec<S>>,
}

fn addr(n: u8) -> SocketAddr {
    ([198, 51, 100, n], 6_881).into()
}

fn krpc(c: &mut Criterion) {
    let mut nodes = Vec::new();
    (0..8).for_each(|n| write_contact(&mut nodes, &Contact { id: NodeId([n; 20]), addr: addr(n) }));
    let peers: Vec<SocketAddr> = (0..50).map(addr).collect();
    let values = values_of(&peers);

    let want = Some(Want { v4: true, v6: true });
    let query =
        Query { id: ID, read_only: false, call: Call::GetPeers { info_hash: TOPIC, want, scrape: false } };
    let reply = Response { id: ID, nodes: Some(&nodes), token: Some(TOKEN), ..Response::default() };
    let values = Some(Values::of(&values));
    for (shape, body, peers) in [
        ("get_peers", Body::Query(query), [].as_slice()),
        ("reply with 8 nodes", Body::Response(reply.clone()), &[]),
        ("reply with 8 nodes and 50 values", Body::Response(Response { values, ..reply }), &peers),
    ] {
        shape_of(
            c,
            shape,
            &Message { tid: TID, version: Some(VERSION), capabilities: Capabilities::NONE, body },
            peers,
        );
    }
}

fn values_of(peers: &[SocketAddr]) -> Vec<u8> {
    let mut values = Vec::new();
    peers.iter().for_each(|peer| Values::push(&mut values, *peer));
    values
}

/// Writes a message whose values are `peers`, if there are any.
fn write(message: &Message<'_>, peers: &[SocketAddr]) -> Vec<u8> {
    let values = values_of(peers);
    let mut message = message.clone();
    if let Body::Response(response) = &mut message.body {
        response.values = (!peers.is_empty()).then_some(Values::of(&values));
    }
    message.encode()
}

fn shape_of(c: &mut Criterion, shape: &str, message: &Message<'_>, peers: &[SocketAddr]) {
    let datagram = message.encode();
    assert_eq!(write(message, peers), datagram);
    let borrowed: Fields<&Bytes> = bt_bencode::from_slice(&datagram).unwrap();
    let owned: Fields<ByteBuf> = serde_bencode::from_bytes(&datagram).unwrap();
    assert_eq!(bt_bencode::to_vec(&borrowed).unwrap(), datagram, "all write the same bytes");
    assert_eq!(serde_bencode::to_bytes(&owned).unwrap(), datagram, "all write the same bytes");

    let mut group = c.benchmark_group(format!("krpc: read {shape}"));
    group.throughput(Throughput::Bytes(datagram.len() as u64));
    group.bench_function("folkmoot", |b| b.iter(|| count(&Message::parse(black_box(&datagram)).unwrap())));
    group.bench_function("bt_bencode", |b| {
        b.iter(|| rival_count(&bt_bencode::from_slice::<Fields<&Bytes>>(black_box(&datagram)).unwrap()));
    });
    group.bench_function("serde_bencode", |b| {
        b.iter(|| rival_count(&serde_bencode::from_bytes::<Fields<ByteBuf>>(black_box(&datagram)).unwrap()));
    });
    group.finish();

    let mut group = c.benchmark_group(format!("krpc: write {shape}"));
    group.throughput(Throughput::Bytes(datagram.len() as u64));
    group.bench_function("folkmoot", |b| b.iter(|| write(black_box(message), peers)));
    group.bench_function("bt_bencode", |b| b.iter(|| bt_bencode::to_vec(black_box(&borrowed)).unwrap()));
    group.bench_function("serde_bencode", |b| b.iter(|| serde_bencode::to_bytes(black_box(&owned)).unwrap()));
    group.finish();
}

/// The values in a message, each looked at: ours are walked over only now.
fn count(message: &Message<'_>) -> usize {
    match &message.body {
        Body::Response(response) => response.peers().count(),
        Body::Query(_) | Body::Error(_) => 0,
    }
}

fn rival_count<S: AsRef<[u8]>>(fields: &Fields<S>) -> usize {
    let values = fields.r.as_ref().and_then(|results| results.values.as_ref());
    values.map_or(0, |values| values.iter().filter(|value| value.as_ref().len() == 6).count())
}

criterion_group!(benches, krpc);
criterion_main!(benches);
