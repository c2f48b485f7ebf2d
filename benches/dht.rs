//! The DHT machine alone: questions in, answers out, no socket. Its table is filled as in life: it enters a network of 2,000
//! made-up nodes and keeps whoever answers.
//!
//! What the answer needs of the datagram's way through the machine is all in it: reading, the limits, the table, the token,
//! writing. The rivals are measured through sockets (`interop/throughput.py`), since theirs cannot be had without.

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use folkmoot_core::base::{Cx, InfoHash, NodeId, Outbox, Rng, SocketId, SocketInfo, Time, UnixTime};
use folkmoot_core::dht::{Config, Dht, Mode};
use folkmoot_core::wire::krpc::{Body, Call, Capabilities, Contact, Message, Query, Response, write_contact};

const SOCKET: SocketId = SocketId(0);
const NODES: usize = 2_000;
const TOPIC: InfoHash = InfoHash(*b"mnopqrstuvwxyz123456");

/// How many questions are prepared, each for another target.
const QUESTIONS: usize = 1_024;

struct Server {
    dht: Dht,
    rng: Rng,
    out: Outbox,
    now: Time,
}

impl Server {
    /// One that knows as many of the `nodes` as its table holds.
    fn in_network(nodes: &[Contact]) -> Self {
        let (mut rng, mut out) = (Rng::new([1; 32]), Outbox::default());
        let now = Time::from_millis(1);
        let mut cx = Cx { now, unix: UnixTime::default(), rng: &mut rng, out: &mut out };
        let dht = Dht::new(
            Config { id: Some(NodeId([0x5a; 20])), mode: Mode::Server, ..Config::default() },
            &mut cx,
        );
        let mut server = Self { dht, rng, out, now };
        let bound = SocketAddr::from(([198, 51, 100, 1], 6_881));
        let socket = SocketInfo { id: SOCKET, bound, addrs: vec![bound.ip()] };
        server.with(|dht, cx| dht.set_sockets(cx, &[socket]));
        let entries: Vec<SocketAddr> = nodes.iter().take(32).map(|node| node.addr).collect();
        server.with(|dht, cx| dht.bootstrap(cx, &entries));
        // Ten minutes, in which it refreshes one bucket after the other.
        while server.now < Time::from_millis(600_000) {
            while let Some(question) = server.out.pop() {
                let Some(node) = nodes.iter().find(|node| node.addr == question.to) else { continue };
                let answer = answer_of(nodes, node, &question.bytes);
                server.with(|dht, cx| dht.handle_datagram(cx, SOCKET, None, node.addr, &answer));
            }
            while server.dht.pop_event().is_some() {}
            server.now += Duration::from_millis(20);
            server.with(Dht::on_wake);
        }
        while server.out.pop().is_some() {}
        server
    }

    fn with(&mut self, act: impl FnOnce(&mut Dht, &mut Cx<'_>)) {
        let Self { dht, rng, out, now } = self;
        act(dht, &mut Cx { now: *now, unix: UnixTime::default(), rng, out });
    }

    /// What it says to a datagram.
    fn ask(&mut self, from: SocketAddr, question: &[u8]) -> Option<Vec<u8>> {
        self.with(|dht, cx| dht.handle_datagram(cx, SOCKET, None, from, question));
        self.out.pop().map(|transmit| transmit.bytes)
    }
}

/// Nodes all over the key space, each in a network of its own.
fn network() -> Vec<Contact> {
    let mut rng = Rng::new([2; 32]);
    let addr = |n: usize| SocketAddr::from(([20, (n >> 8) as u8, n as u8, 1], 6_881));
    (0..NODES).map(|n| Contact { id: NodeId(rng.array()), addr: addr(n) }).collect()
}

/// What `node` answers to a question of ours: the 8 closest nodes there are.
fn answer_of(nodes: &[Contact], node: &Contact, question: &[u8]) -> Vec<u8> {
    let Ok(Message { tid, body: Body::Query(query), .. }) = Message::parse(question) else {
        unreachable!("it asks what can be read");
    };
    let target = match query.call {
        Call::FindNode { target, .. } => target,
        Call::GetPeers { info_hash, .. } => NodeId(info_hash.0),
        _ => node.id,
    };
    let mut closest: Vec<&Contact> = nodes.iter().collect();
    closest.select_nth_unstable_by_key(8, |contact| contact.id.distance(target.as_bytes()));
    let mut compact = Vec::new();
    closest.iter().take(8).for_each(|contact| write_contact(&mut compact, contact));
    let response = Response { id: node.id, nodes: Some(&compact), ..Response::default() };
    Message { tid, version: None, capabilities: Capabilities::NONE, body: Body::Response(response) }.encode()
}

/// Questions with targets all over the key space, from nodes that are read-only, so that nobody has to be asked back.
fn questions(call: impl Fn(NodeId) -> Call<'static>) -> Vec<Vec<u8>> {
    let mut rng = Rng::new([3; 32]);
    let mut question = || {
        let (id, target) = (NodeId(rng.array()), NodeId(rng.array()));
        let body = Body::Query(Query { id, read_only: true, call: call(target) });
        Message { tid: &rng.array::<4>(), version: Some(b"XX00"), capabilities: Capabilities::NONE, body }
            .encode()
    };
    (0..QUESTIONS).map(|_| question()).collect()
}

fn machine(c: &mut Criterion) {
    let mut server = Server::in_network(&network());
    println!("{} nodes in the table", server.dht.stats().nodes_v4);
    assert!(server.dht.stats().nodes_v4 >= 50, "the table is filled");

    let neighbour = SocketAddr::from(([192, 168, 1, 9], 6_881));
    let target = |target: NodeId| InfoHash(target.0);
    let mut group = c.benchmark_group("dht: answer");
    group.throughput(Throughput::Elements(1));
    for (method, questions) in [
        ("ping", questions(|_| Call::Ping)),
        ("find_node", questions(|target| Call::FindNode { target, want: None })),
        ("get_peers", questions(|id| Call::GetPeers { info_hash: target(id), want: None, scrape: false })),
        ("get", questions(|id| Call::Get { target: target(id), seq: None, want: None })),
    ] {
        let mut index = 0;
        group.bench_function(method, |b| {
            b.iter(|| {
                index = (index + 1) % QUESTIONS;
                server.ask(neighbour, black_box(&questions[index])).unwrap()
            });
        });
    }

    // Through all the limits that strangers meet: 1,000 of them a second, each of another network.
    let questions = questions(|target| Call::FindNode { target, want: None });
    let mut index = 0_usize;
    group.bench_function("find_node of strangers", |b| {
        b.iter(|| {
            index += 1;
            server.now += Duration::from_millis(1);
            let from = SocketAddr::from(([60, (index >> 8) as u8, index as u8, 1], 6_881));
            server.ask(from, black_box(&questions[index % QUESTIONS])).unwrap()
        });
    });

    // A topic with as many peers as an answer holds.
    for n in 0..50_u8 {
        let from = SocketAddr::new(IpAddr::from([192, 168, 2, n]), 6_881);
        announce(&mut server, from);
    }
    let call = Call::GetPeers { info_hash: TOPIC, want: None, scrape: false };
    let body = Body::Query(Query { id: NodeId([9; 20]), read_only: true, call });
    let question =
        Message { tid: b"aaaa", version: Some(b"XX00"), capabilities: Capabilities::NONE, body }.encode();
    group.bench_function("get_peers, 50 peers", |b| {
        b.iter(|| server.ask(neighbour, black_box(&question)).unwrap())
    });
    group.finish();
}

fn announce(server: &mut Server, from: SocketAddr) {
    let mut ask = |call| {
        let body = Body::Query(Query { id: NodeId([7; 20]), read_only: true, call });
        server
            .ask(
                from,
                &Message { tid: b"aaaa", version: None, capabilities: Capabilities::NONE, body }.encode(),
            )
            .unwrap()
    };
    let answer = ask(Call::GetPeers { info_hash: TOPIC, want: None, scrape: false });
    let Ok(Message { body: Body::Response(Response { token: Some(token), .. }), .. }) =
        Message::parse(&answer)
    else {
        unreachable!("there is room for this topic");
    };
    let call = Call::AnnouncePeer { info_hash: TOPIC, port: 6_881, implied_port: false, token, seed: false };
    let answer = ask(call);
    assert!(matches!(Message::parse(&answer), Ok(Message { body: Body::Response(_), .. })));
}

criterion_group!(benches, machine);
criterion_main!(benches);
