//! What one DHT machine takes in memory, by the allocator's own count: with a full routing table after hours in a network of
//! 100,000 nodes, or as many as the environment variable `NODES` says. `Dht::footprint` has to agree.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use folkmoot_core::base::{Cx, NodeId, Outbox, Rng, SocketId, SocketInfo, Time, UnixTime};
use folkmoot_core::dht::{Config, Dht, Mode, Stats};
use folkmoot_core::wire::krpc::{Body, Call, Capabilities, Contact, Message, Query, Response, write_contact};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Nodes that answer at once and know the whole network. Each is in a network of its own.
struct World {
    /// Sorted; the address follows from the place.
    ids: Vec<NodeId>,
}

impl World {
    fn new(nodes: u32) -> Self {
        let mut rng = Rng::new([1; 32]);
        let mut ids: Vec<NodeId> = (0..nodes).map(|_| NodeId(rng.array())).collect();
        ids.sort();
        Self { ids }
    }

    fn node(&self, n: usize) -> Contact {
        let ip = Ipv4Addr::from(0x0b00_0001 + ((n as u32) << 8));
        Contact { id: self.ids[n], addr: (ip, 6_881).into() }
    }

    fn at(&self, addr: SocketAddr) -> Option<Contact> {
        let SocketAddr::V4(addr) = addr else { return None };
        let n = (u32::from(*addr.ip()).checked_sub(0x0b00_0001)? >> 8) as usize;
        (n < self.ids.len()).then(|| self.node(n))
    }

    /// The eight closest: they are all in the smallest part of the key space around the target that holds as many.
    fn closest(&self, target: &[u8; 20]) -> Vec<u8> {
        let target_bits = u64::from_be_bytes(target[..8].try_into().unwrap());
        let (mut from, mut to) = (0, self.ids.len());
        for bit in 0..64 {
            let mask = !(u64::MAX >> bit >> 1);
            let lowest = NodeId(padded(target_bits & mask, 0));
            let highest = NodeId(padded(target_bits | !mask, 0xff));
            let part =
                (self.ids.partition_point(|id| *id < lowest), self.ids.partition_point(|id| *id <= highest));
            if part.1 - part.0 < 8 {
                break;
            }
            (from, to) = part;
        }
        let mut nodes: Vec<usize> = (from..to).collect();
        nodes.sort_by_key(|&n| self.ids[n].distance(target));
        let mut compact = Vec::new();
        nodes.iter().take(8).for_each(|&n| write_contact(&mut compact, &self.node(n)));
        compact
    }

    /// A machine of this network that has been up for some time, and is asked now and then.
    fn citizen(&self, seed: u8, mode: Mode, hours: u64) -> Citizen {
        let mut citizen = Citizen::new(seed, mode);
        let host = self.node(usize::from(seed) * 97);
        citizen.with(|dht, cx| dht.bootstrap(cx, &[host.addr]));
        let mut next_question = citizen.now;
        loop {
            while let Some(sent) = citizen.out.pop() {
                self.answer(&mut citizen, sent.to, &sent.bytes);
            }
            while citizen.dht.pop_event().is_some() {}
            let wake = citizen.dht.next_wake().unwrap().at;
            let next = wake.min(next_question);
            if next > Time::from_millis(hours * 3_600_000) {
                return citizen;
            }
            citizen.now = citizen.now.max(next);
            if next_question <= citizen.now {
                next_question = citizen.now + Duration::from_secs(1);
                let node = self.node(citizen.rng.below(self.ids.len() as u64) as usize);
                let target = NodeId(citizen.rng.array());
                citizen.ask(node, Call::FindNode { target, want: None });
            }
            citizen.with(|dht, cx| dht.on_wake(cx));
        }
    }

    fn answer(&self, citizen: &mut Citizen, to: SocketAddr, bytes: &[u8]) {
        let Some(node) = self.at(to) else { return };
        let Ok(Message { tid, body: Body::Query(query), .. }) = Message::parse(bytes) else { return };
        let target = match query.call {
            Call::FindNode { target, .. } => Some(target.0),
            Call::GetPeers { info_hash, .. } => Some(info_hash.0),
            _ => None,
        };
        let nodes = target.map(|target| self.closest(&target));
        let response = Response {
            id: node.id,
            nodes: nodes.as_deref(),
            ip: Some(citizen.addr),
            token: Some(b"aoeusnth"),
            ..Response::default()
        };
        let answer = Message {
            tid,
            version: None,
            capabilities: Capabilities::default(),
            body: Body::Response(response),
        }
        .encode();
        citizen.now += Duration::from_micros(500);
        citizen.receive(node.addr, &answer);
    }
}

fn padded(high: u64, rest: u8) -> [u8; 20] {
    let mut id = [rest; 20];
    id[..8].copy_from_slice(&high.to_be_bytes());
    id
}

/// One machine, and what it is lent.
struct Citizen {
    dht: Box<Dht>,
    rng: Rng,
    out: Outbox,
    now: Time,
    addr: SocketAddr,
}

impl Citizen {
    fn new(seed: u8, mode: Mode) -> Self {
        let mut rng = Rng::new([seed; 32]);
        let mut out = Outbox::default();
        let now = Time::from_millis(1);
        let addr = SocketAddr::from(([9, seed, 0, 1], 6_881));
        let mut cx = Cx { now, unix: UnixTime::default(), rng: &mut rng, out: &mut out };
        let mut dht = Box::new(Dht::new(Config { mode, ..Config::default() }, &mut cx));
        dht.set_sockets(&mut cx, &[SocketInfo { id: SocketId(0), bound: addr, addrs: vec![addr.ip()] }]);
        Self { dht, rng, out, now, addr }
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Dht, &mut Cx<'_>) -> T) -> T {
        let mut cx = Cx { now: self.now, unix: UnixTime::default(), rng: &mut self.rng, out: &mut self.out };
        act(&mut self.dht, &mut cx)
    }

    fn receive(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.with(|dht, cx| dht.handle_datagram(cx, SocketId(0), None, from, bytes));
    }

    fn ask(&mut self, node: Contact, call: Call<'_>) {
        let query = Query { id: node.id, read_only: false, call };
        let bytes = Message {
            tid: b"aaaa",
            version: None,
            capabilities: Capabilities::default(),
            body: Body::Query(query),
        }
        .encode();
        self.receive(node.addr, &bytes);
    }
}

/// What the allocator holds for a machine, which is what comes back when it is dropped; and what it says itself.
fn measured(citizen: Citizen) -> (usize, usize, Stats) {
    let Citizen { dht, rng, out, .. } = citizen;
    drop((rng, out));
    let (own_account, stats) = (dht.footprint(), dht.stats());
    let with = ALLOCATOR.current_usage();
    drop(dht);
    (with - ALLOCATOR.current_usage(), own_account, stats)
}

#[test]
fn with_a_full_table() {
    let nodes = std::env::var("NODES").map_or(100_000, |nodes| nodes.parse().expect("NODES is a number"));
    let world = World::new(nodes);
    for (name, mode) in [("server", Mode::Server), ("client", Mode::ReadOnly)] {
        let (bytes, own_account, stats) = measured(world.citizen(1, mode, 2));
        println!("{name}: {bytes} bytes, {own_account} by its own account, with {} nodes", stats.nodes_v4);
        assert!(stats.nodes_v4 > 100);
        assert!(bytes <= 12 * 1_024, "{bytes}");
        assert!(bytes.abs_diff(own_account) * 20 <= bytes, "{bytes} is not {own_account}");
    }
}
