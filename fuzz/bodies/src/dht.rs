mod items;

use std::net::SocketAddr;
use std::time::Duration;

use folkmoot_core::base::{Cx, InfoHash, NodeId, Outbox, Rng, Scope, SocketId, SocketInfo, Time, UnixTime};
use folkmoot_core::dht::{Config, Counters, Dht, Event, Level, Mode, Snapshot};
use folkmoot_core::limits;
use folkmoot_core::wire::krpc::{
    Body, Call, Capabilities, Contact, Message, Query, Response, Values, write_contact,
};

use crate::bytes::Bytes;

/// Steps in one run: beyond that the fuzzer only grows slower.
const MAX_STEPS: usize = 128;

/// A node among others that ask and answer what they like: every datagram is accounted for, nothing grows without limit,
/// nothing goes to where nobody is, and there is no hot loop.
pub fn dht(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let first = bytes.u8();
    let mode = [Mode::Auto, Mode::Server, Mode::ReadOnly][usize::from(first % 3)];
    let mut world = World::new(mode, first & 0x80 != 0);
    for _ in 0..MAX_STEPS {
        if bytes.is_empty() {
            break;
        }
        world.step(&mut bytes);
        world.settle();
    }
    // All questions come to an end.
    let end = world.now + Duration::from_secs(30);
    world.pass(end);
    world.check();
}

struct World {
    mode: Mode,
    dht: Dht,
    now: Time,
    rng: Rng,
    out: Outbox,
    /// The last questions it asked.
    asked: Vec<(SocketAddr, Vec<u8>)>,
    received: u64,
}

impl World {
    fn new(mode: Mode, strict: bool) -> Self {
        let (mut rng, mut out) = (Rng::new([0; 32]), Outbox::default());
        let capabilities = Capabilities(u32::from(strict));
        let config = Config { id: Some(NodeId([0x55; 20])), mode, strict, capabilities, ..Config::default() };
        let mut cx = Cx { now: Time::ZERO, unix: UnixTime::default(), rng: &mut rng, out: &mut out };
        let mut dht = Dht::new(config, &mut cx);
        dht.set_sockets(&mut cx, &[socket(0)]);
        Self { mode, dht, now: Time::ZERO, rng, out, asked: Vec::new(), received: 0 }
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Dht, &mut Cx<'_>) -> T) -> T {
        let unix = UnixTime::default();
        act(&mut self.dht, &mut Cx { now: self.now, unix, rng: &mut self.rng, out: &mut self.out })
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let step = bytes.u8();
        match if step < 228 { step % 12 } else { step } {
            0..=2 => self.answer(bytes),
            3 | 4 => self.question(bytes),
            5 => {
                let from = addr(bytes);
                let len = usize::from(bytes.u8());
                self.receive(from, bytes.slice(len));
            }
            6 => {
                let end = self.now + Duration::from_millis(bytes.u16().into());
                self.pass(end);
            }
            7 => {
                let end = self.now + Duration::from_secs(u64::from(bytes.u8()) * 4);
                self.pass(end);
            }
            8 => {
                let hosts = [addr(bytes), addr(bytes)];
                self.with(|dht, cx| dht.bootstrap(cx, &hosts));
            }
            9 => {
                let hash = topic(bytes);
                self.with(|dht, cx| dht.announce(cx, hash));
            }
            10 => {
                let hash = topic(bytes);
                self.with(|dht, cx| dht.poll(cx, hash));
                if bytes.u8().is_multiple_of(4) {
                    self.dht.forget(hash);
                }
            }
            228..=231 => self.seek_or_put(bytes),
            232..=239 => self.put_to_node(bytes),
            240..=244 => {
                let hash = topic(bytes);
                self.with(|dht, cx| dht.find_peers(cx, hash));
                let _ = self.dht.progress(hash);
            }
            245..=248 => {
                let to = addr(bytes);
                self.with(|dht, cx| dht.ping(cx, to));
            }
            249..=251 => {
                let (hash, port) = (topic(bytes), bytes.u16().max(1));
                self.with(|dht, cx| dht.announce_port(cx, hash, port));
            }
            252.. => self.restart(),
            _ => {
                let sockets = [socket(bytes.u8() % 3)];
                self.with(|dht, cx| dht.set_sockets(cx, &sockets));
            }
        }
    }

    /// The node is started again from what it kept.
    fn restart(&mut self) {
        let kept = self.dht.snapshot();
        let saved = Snapshot::decode(&kept.encode()).expect("what it wrote");
        // Left out is whom it would not contact on its own.
        assert!(saved.nodes().all(|node| kept.nodes().any(|other| other == node)));
        let config = Config { mode: self.mode, saved: Some(saved.clone()), ..Config::default() };
        self.dht = self.with(|_, cx| Dht::new(config, cx));
        (self.received, self.asked) = (0, Vec::new());
        assert!(self.dht.nodes().next().is_none(), "nobody is known before he has answered");
        assert_eq!(self.dht.snapshot().nodes().count(), saved.nodes().count());
        self.with(|dht, cx| dht.set_sockets(cx, &[socket(0)]));
    }

    fn receive(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.received += 1;
        self.with(|dht, cx| dht.handle_datagram(cx, SocketId(0), None, from, datagram));
    }

    /// Someone answers a question of the node, or somebody else's.
    fn answer(&mut self, bytes: &mut Bytes<'_>) {
        let which = usize::from(bytes.u8());
        let Some((to, question)) = self.asked.get(which % self.asked.len().max(1)).cloned() else { return };
        let tid = Message::parse(&question).map(|question| question.tid.to_vec());
        let tid = tid.expect("the node asks in KRPC");
        let flags = bytes.u8();
        let mut nodes = Vec::new();
        for _ in 0..flags % 16 {
            write_contact(&mut nodes, &Contact { id: id(bytes), addr: v4(bytes) });
        }
        let mut values = Vec::new();
        for _ in 0..bytes.u8() % 8 {
            Values::push(&mut values, addr(bytes));
        }
        let item = items::answered(&question, bytes);
        let response = Response {
            item: item.as_ref().map(items::krpc_item).unwrap_or_default(),
            id: id(bytes),
            nodes: Some(&nodes),
            values: (flags & 0x10 != 0).then_some(Values::of(&values)),
            token: (flags & 0x20 != 0).then_some(&b"token"[..]),
            ip: (flags & 0x40 != 0).then(|| addr(bytes)),
            ..Response::default()
        };
        let answer = Message {
            tid: &tid,
            version: None,
            capabilities: Capabilities::NONE,
            body: Body::Response(response),
        }
        .encode();
        let from = if flags & 0x80 != 0 && bytes.u8().is_multiple_of(8) { addr(bytes) } else { to };
        self.receive(from, &answer);
    }

    /// Someone asks the node something.
    fn question(&mut self, bytes: &mut Bytes<'_>) {
        let from = addr(bytes);
        let (kind, hash) = (bytes.u8(), topic(bytes));
        let token = bytes.slice(8);
        let call = match kind % 5 {
            0 => Call::Ping,
            1 => Call::FindNode { target: NodeId(hash.0), want: None },
            2 => Call::GetPeers { info_hash: hash, want: None, scrape: kind & 0x20 != 0 },
            3 => Call::AnnouncePeer {
                info_hash: hash,
                port: 1_024 + u16::from(kind),
                implied_port: kind > 99,
                seed: kind & 0x40 != 0,
                token,
            },
            _ if kind & 0x08 == 0 => return self.announce_to_node(from, hash, kind > 99),
            _ if kind & 0x10 == 0 => Call::Get { target: hash, seq: (kind > 99).then_some(0), want: None },
            _ => Call::Other { method: token, target: (kind > 99).then_some(NodeId(hash.0)), want: None },
        };
        let query = Query { id: id(bytes), read_only: kind & 0x40 != 0, call };
        self.receive(
            from,
            &Message {
                tid: b"tt",
                version: None,
                capabilities: Capabilities::NONE,
                body: Body::Query(query),
            }
            .encode(),
        );
    }

    /// Someone asks for a token, and announces with it.
    fn announce_to_node(&mut self, from: SocketAddr, info_hash: InfoHash, implied_port: bool) {
        let say = |call| {
            let query = Query { id: NodeId([7; 20]), read_only: false, call };
            Message { tid: b"tt", version: None, capabilities: Capabilities::NONE, body: Body::Query(query) }
                .encode()
        };
        self.flush();
        self.receive(from, &say(Call::GetPeers { info_hash, want: None, scrape: false }));
        let Some(reply) = self.out.pop() else { return };
        let Ok(Message { body: Body::Response(Response { token: Some(token), .. }), .. }) =
            Message::parse(&reply.bytes)
        else {
            return;
        };
        assert_eq!(reply.to, from);
        let call = Call::AnnouncePeer { info_hash, port: 4_000, implied_port, seed: false, token };
        self.receive(from, &say(call));
    }

    /// Lets time pass, in all the steps that the node asks for.
    fn pass(&mut self, end: Time) {
        while let Some(wake) = self.dht.next_wake().filter(|wake| wake.at <= end) {
            self.now = self.now.max(wake.at);
            self.settle();
        }
        self.now = end;
    }

    /// Does what is due, and looks at what came of it.
    fn settle(&mut self) {
        if self.dht.next_wake().is_some_and(|wake| wake.at <= self.now) {
            self.with(|dht, cx| dht.on_wake(cx));
            let wake = self.dht.next_wake();
            assert!(wake.is_none_or(|wake| wake.at > self.now), "a hot loop at {:?}: {wake:?}", self.now);
        }
        self.flush();
        while let Some(event) = self.dht.pop_event() {
            match event {
                Event::Peers { peers, .. } => assert!(!peers.is_empty()),
                Event::Announced { nodes, .. } => assert!(nodes > 0),
                Event::Bootstrapped { nodes } => assert!(nodes > 0),
                Event::Stored { nodes, .. } => assert!(nodes > 0),
                Event::Item { .. } | Event::ItemSought { .. } | Event::NotStored { .. } => {}
                Event::Health(health) => {
                    assert_eq!(
                        health.level == Level::Online,
                        health.reasons.iter().next().is_none(),
                        "{health}"
                    );
                }
                Event::BootstrapSilent { .. } | Event::NotAnnounced { .. } | Event::Observed { .. } => {}
                Event::Sought { .. } | Event::Pong { .. } | Event::Silent { .. } => {}
            }
        }
        self.check();
    }

    fn flush(&mut self) {
        while let Some(datagram) = self.out.pop() {
            assert!(
                datagram.to.port() != 0 && Scope::of(datagram.to.ip()) != Scope::Unusable,
                "{}",
                datagram.to
            );
            let message = Message::parse(&datagram.bytes).expect("the node speaks KRPC");
            if let Body::Query(_) = message.body {
                self.asked.push((datagram.to, datagram.bytes));
            }
        }
        self.asked.drain(..self.asked.len().saturating_sub(64));
    }

    fn check(&self) {
        let stats = self.dht.stats();
        assert_eq!(accounted(&stats.counters), self.received, "{:?}", stats.counters);
        assert!(stats.in_flight <= limits::DHT_IN_FLIGHT, "{} in flight", stats.in_flight);
        assert!(stats.lookups <= limits::DHT_LOOKUPS, "{} lookups", stats.lookups);
        assert!(stats.topics <= limits::DHT_TOPICS && stats.banned <= limits::DHT_BANS);
        assert!(stats.stored_topics <= limits::DHT_STORED_TOPICS);
        assert!(stats.stored_peers <= limits::DHT_STORED_PEERS);
        assert!(stats.stored_items <= limits::DHT_STORED_ITEMS);
        // What the limits allow is far more than a run can fill.
        assert!(self.dht.footprint() < 1_000_000, "{}", self.dht.footprint());
        assert_eq!(stats.health, self.dht.health());
        assert!(stats.nodes_v4 + stats.nodes_v6 == self.dht.nodes().count());
    }
}

/// The datagrams that have been counted, each once.
fn accounted(c: &Counters) -> u64 {
    let said = c.queries + c.responses + c.errors;
    let sender = c.dropped_address + c.dropped_own + c.dropped_wrong_source + c.dropped_unknown_tid;
    let rates = c.dropped_banned + c.dropped_rate_ip + c.dropped_rate_prefix + c.dropped_rate_global;
    let rest = c.dropped_malformed + c.dropped_read_only + c.dropped_socket + c.dropped_undrained;
    said + sender + rates + rest
}

fn socket(n: u8) -> SocketInfo {
    let ip = [192, 168, 1, n].into();
    SocketInfo { id: SocketId(0), bound: SocketAddr::new(ip, 6_881), addrs: vec![ip] }
}

/// One of 256 topics.
fn topic(bytes: &mut Bytes<'_>) -> InfoHash {
    let mut hash = [0x51; 20];
    hash[0] = bytes.u8();
    InfoHash(hash)
}

/// An id at any distance from the node's.
fn id(bytes: &mut Bytes<'_>) -> NodeId {
    let mut id = [0x55; 20];
    let at = usize::from(bytes.u8() % 20);
    id[at] ^= bytes.u8();
    NodeId(id)
}

/// Mostly an address of the internet.
fn v4(bytes: &mut Bytes<'_>) -> SocketAddr {
    let [network, host, port] = bytes.array();
    let ip = match network {
        0..=0xbf => [81, network, host, 1],
        0xc0..=0xdf => [192, 168, 1, host],
        0xe0..=0xef => [127, 0, 0, host],
        _ => [network, 0, 0, host],
    };
    (ip, u16::from(port) * 257).into()
}

/// As [`v4`], and now and then of IPv6.
fn addr(bytes: &mut Bytes<'_>) -> SocketAddr {
    let addr = v4(bytes);
    if addr.port() == 0x0606 {
        SocketAddr::new([0x2001_u16, 0xdb8, 0, 0, 0, 0, 0, 6].into(), 6_881)
    } else {
        addr
    }
}
