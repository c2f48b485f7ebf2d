//! A network of machines in memory, in virtual time.

mod families;
mod health;
mod items;
mod lan;
mod quirks;
mod restart;
mod search;
mod server;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::store::Announcement;
use super::*;
use crate::base::{Cx, InfoHash, NodeId, Outbox, Rng, SocketId, SocketInfo, Time, UnixTime};
use crate::limits;
use crate::wire::krpc::{Body, Call, Capabilities, ErrorCode, Message, Query, Response};

const SOCKET: SocketId = SocketId(3);
const TOPIC: InfoHash = InfoHash(*b"a topic of our tests");

struct Host {
    dht: Dht,
    rng: Rng,
    addr: SocketAddr,
    events: Vec<(Time, Event)>,
    is_alive: bool,
}

struct World {
    now: Time,
    rng: Rng,
    hosts: Vec<Host>,
    /// Datagrams under way, by arrival.
    wire: BTreeMap<(Time, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sent: u64,
    loss_percent: u64,
    delay: Duration,
    /// Whatever is sent to other addresses ends here.
    strays: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
}

impl World {
    fn new(seed: u8) -> Self {
        Self {
            now: Time::from_millis(1),
            rng: Rng::new([seed; 32]),
            hosts: Vec::new(),
            wire: BTreeMap::new(),
            sent: 0,
            loss_percent: 0,
            delay: Duration::from_millis(10),
            strays: Vec::new(),
        }
    }

    fn add(&mut self, addr: SocketAddr, config: Config) -> usize {
        let mut rng = self.rng.fork();
        let mut out = Outbox::default();
        let mut cx = Cx { now: self.now, unix: UnixTime::default(), rng: &mut rng, out: &mut out };
        let dht = Dht::new(config, &mut cx);
        self.hosts.push(Host { dht, rng, addr, events: Vec::new(), is_alive: true });
        let host = self.hosts.len() - 1;
        let socket = SocketInfo { id: SOCKET, bound: addr, addrs: vec![addr.ip()] };
        self.with(host, |dht, cx| dht.set_sockets(cx, &[socket]));
        host
    }

    /// Nodes on one private network; the first is what the others enter through.
    fn private(seed: u8, nodes: u8) -> Self {
        let mut world = Self::new(seed);
        for n in 0..nodes {
            let host = world.add(([127, 0, 0, 1], 6_000 + u16::from(n)).into(), Config::default());
            world.enter(host);
        }
        world
    }

    /// Nodes of the internet, each in a network of its own.
    fn public(seed: u8, nodes: u8) -> Self {
        let mut world = Self::new(seed);
        for n in 0..nodes {
            let addr = ([8, n, 0, 1], 6_881).into();
            let host = world.add(addr, Config { mode: Mode::Server, ..Config::default() });
            world.enter(host);
        }
        world
    }

    fn enter(&mut self, host: usize) {
        let first = self.hosts[0].addr;
        self.with(host, |dht, cx| dht.bootstrap(cx, &[first]));
    }

    fn with<T>(&mut self, host: usize, act: impl FnOnce(&mut Dht, &mut Cx<'_>) -> T) -> T {
        let mut out = Outbox::default();
        let Host { dht, rng, addr, events, .. } = &mut self.hosts[host];
        let mut cx = Cx { now: self.now, unix: UnixTime::default(), rng, out: &mut out };
        let result = act(dht, &mut cx);
        events.extend(std::iter::from_fn(|| dht.pop_event()).map(|event| (self.now, event)));
        let from = *addr;
        while let Some(transmit) = out.pop() {
            assert_eq!(transmit.socket, SOCKET);
            let holds_item = transmit.bytes.windows(3).any(|part| part == b"1:v");
            assert!(transmit.bytes.len() <= if holds_item { 1_280 } else { 1_024 });
            assert!(crate::wire::bencode::is_canonical(&transmit.bytes));
            self.sent += 1;
            if transmit.to == LAN_GROUP {
                let others = self.hosts.iter().map(|host| host.addr).filter(|addr| *addr != from);
                for other in others.collect::<Vec<_>>() {
                    self.sent += 1;
                    let arrival = (self.now + self.delay, self.sent);
                    self.wire.insert(arrival, (from, other, transmit.bytes.clone()));
                }
            }
            if !self.hosts.iter().any(|host| host.addr == transmit.to) {
                self.strays.push((from, transmit.to, transmit.bytes));
            } else if self.rng.below(100) >= self.loss_percent {
                self.wire.insert((self.now + self.delay, self.sent), (from, transmit.to, transmit.bytes));
            }
        }
        result
    }

    fn deliver(&mut self, host: usize, from: SocketAddr, bytes: &[u8]) {
        let local = Some(self.hosts[host].addr.ip());
        self.with(host, |dht, cx| dht.handle_datagram(cx, SOCKET, local, from, bytes));
    }

    /// Runs until `end`, or until `done`. Returns whether it was done.
    fn run_until(&mut self, end: Time, done: impl Fn(&Self) -> bool) -> bool {
        loop {
            if done(self) {
                return true;
            }
            let wake = |host: &Host| host.dht.next_wake().filter(|_| host.is_alive).map(|wake| wake.at);
            let next_wake = self.hosts.iter().filter_map(wake).min();
            let arrival = self.wire.first_key_value().map(|(&(at, _), _)| at);
            let Some(next) = next_wake.into_iter().chain(arrival).min().filter(|next| *next <= end) else {
                self.now = end;
                return done(self);
            };
            self.now = self.now.max(next);
            while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let (from, to, bytes) = entry.remove();
                if let Some(host) = self.hosts.iter().position(|host| host.addr == to && host.is_alive) {
                    self.deliver(host, from, &bytes);
                }
            }
            for host in 0..self.hosts.len() {
                let due = self.hosts[host].dht.next_wake().is_some_and(|wake| wake.at <= self.now);
                if due && self.hosts[host].is_alive {
                    self.with(host, |dht, cx| dht.on_wake(cx));
                    let wake = self.hosts[host].dht.next_wake();
                    assert!(
                        wake.is_none_or(|wake| wake.at > self.now),
                        "a hot loop: {wake:?} at {}",
                        self.now
                    );
                }
            }
        }
    }

    fn run(&mut self, how_long: Duration) {
        self.run_until(self.now + how_long, |_| false);
    }

    fn announce(&mut self, host: usize) {
        self.with(host, |dht, cx| dht.announce(cx, TOPIC));
    }

    fn knows_peer(&self, host: usize, peer: usize) -> bool {
        let named = |event: &Event| matches!(event, Event::Peers { peers, .. } if peers.contains(&self.hosts[peer].addr));
        self.hosts[host].events.iter().any(|(_, event)| named(event))
    }

    fn has(&self, host: usize, event: impl Fn(&Event) -> bool) -> bool {
        self.hosts[host].events.iter().any(|(_, told)| event(told))
    }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn fifty_nodes_enter_through_one_and_find_each_other() {
    let mut world = World::private(1, 50);
    let up = |world: &World| {
        (0..50).all(|host| world.has(host, |event| matches!(event, Event::Bootstrapped { .. })))
    };
    assert!(world.run_until(world.now + Duration::from_millis(500), up), "in 50 one-way trips");
    world.run(secs(5));
    assert!(world.hosts.iter().all(|host| host.dht.stats().nodes_v4 >= 8));
    world.announce(7);
    world.announce(31);
    let stored = |event: &Event| matches!(event, Event::Announced { nodes: 8.., .. });
    assert!(
        world.run_until(world.now + secs(1), |world| [7, 31].into_iter().all(|host| world.has(host, stored)))
    );
    world.with(7, |dht, cx| assert!(dht.poll(cx, TOPIC)));
    assert!(world.run_until(world.now + secs(1), |world| world.knows_peer(7, 31)));
    world.announce(44);
    assert!(
        world.run_until(world.now + secs(1), |world| world.knows_peer(44, 7) && world.knows_peer(44, 31))
    );
}

#[test]
fn a_public_network_with_loss_and_dead_nodes() {
    for seed in 0..4 {
        let mut world = World::public(seed, 60);
        world.run(secs(60));
        assert!(world.hosts.iter().all(|host| host.dht.stats().nodes_v4 >= 8));
        world.loss_percent = 5;
        for host in (3..60).step_by(4) {
            world.hosts[host].is_alive = false;
        }
        world.announce(8);
        let stored = |world: &World| world.has(8, |event| matches!(event, Event::Announced { .. }));
        assert!(world.run_until(world.now + secs(20), stored), "seed {seed}");
        world.announce(20);
        assert!(world.run_until(world.now + secs(20), |world| world.knows_peer(20, 8)), "seed {seed}");
        let found = |world: &World| world.knows_peer(8, 20);
        let polled = (0..100).any(|_| {
            world.with(8, |dht, cx| dht.poll(cx, TOPIC));
            world.run_until(world.now + Duration::from_millis(500), found)
        });
        assert!(polled, "seed {seed}");
    }
}

#[test]
fn what_nobody_announced_is_not_found() {
    let mut world = World::private(2, 20);
    world.run(secs(1));
    world.announce(5);
    world.run(secs(30));
    for _ in 0..20 {
        world.with(5, |dht, cx| dht.poll(cx, TOPIC));
        world.run(secs(1));
    }
    let (own, peers) = (world.hosts[5].addr, (0..20).filter(|&peer| world.knows_peer(5, peer)).count());
    assert!(peers <= 1 && (peers == 0 || world.knows_peer(5, 5)), "only {own}");
}

/// Bootstrap, lookup, and announcement through one node, which had nobody in its table: how many round trips?
#[test]
fn a_lone_node_serves_a_meeting_within_a_few_round_trips() {
    let mut world = World::new(3);
    world.add(([127, 0, 0, 1], 6_000).into(), Config::default());
    for n in 1..=3 {
        let host = world.add(([127, 0, 0, 1], 6_000 + n).into(), Config::default());
        world.enter(host);
        world.announce(host);
    }
    let all = |world: &World| {
        (1..=3).all(|host| {
            world.has(host, |event| matches!(event, Event::Announced { .. }))
                && (1..=3).all(|peer| peer == host || world.knows_peer(host, peer))
        })
    };
    // One round trip for the token, one for the announcement; those who announce to each other see it even earlier.
    for _ in 0..4 {
        world.run_until(world.now + world.delay * 2, all);
        for host in 1..=3 {
            world.with(host, |dht, cx| dht.poll(cx, TOPIC));
        }
    }
    assert!(world.run_until(world.now, all), "within four round trips");
}

/// Fifty members who start within a second, through one node that knows nobody: on one machine, where each of them is
/// a node of the network, and in the internet, where none of them is known to be reachable.
#[test]
fn fifty_members_who_start_together_know_of_each_other() {
    for (local, most_sent) in [(true, 8_000), (false, 1_000)] {
        let mut world = World::new(22);
        let addr = |n: u8| {
            SocketAddr::from(if local {
                ([127, 0, 0, 1], 6_000 + u16::from(n))
            } else {
                ([8, n, 0, 1], 6_881)
            })
        };
        world.delay = Duration::from_millis(25);
        world.add(addr(0), Config { mode: Mode::Server, ..Config::default() });
        for n in 1..=50 {
            let host = world.add(addr(n), Config::default());
            world.enter(host);
            world.announce(host);
            world.run(Duration::from_millis(20));
        }
        for _ in 0..4 {
            world.run(Duration::from_millis(500));
            (1..=50).for_each(|host| assert!(world.with(host, |dht, cx| dht.poll(cx, TOPIC))));
        }
        let all_known = |host| (1..=50).all(|peer| peer == host || world.knows_peer(host, peer));
        assert!((1..=50).all(all_known), "local {local}");
        assert!(world.sent <= most_sent, "{} datagrams, local {local}", world.sent);
    }
}

#[test]
fn silence_is_told_and_a_late_host_is_found() {
    let mut world = World::new(4);
    let host = world.add(([127, 0, 0, 1], 6_000).into(), Config::default());
    let late = SocketAddr::from(([127, 0, 0, 1], 6_001));
    world.with(host, |dht, cx| dht.bootstrap(cx, &[late]));
    world.announce(host);
    let silent =
        |world: &World| world.has(host, |event| *event == Event::BootstrapSilent { asked: 1, remembered: 0 });
    assert!(world.run_until(world.now + secs(2), silent));
    world.run(secs(20));
    world.add(late, Config::default());
    let stored = |world: &World| world.has(host, |event| matches!(event, Event::Announced { nodes: 1, .. }));
    assert!(world.run_until(world.now + secs(30), stored));
    // And lost again, and found again.
    world.hosts[1].is_alive = false;
    assert!(world.run_until(world.now + secs(600), |world| world.hosts[host].dht.stats().nodes_v4 == 0));
    world.hosts[1].is_alive = true;
    world.hosts[host].events.clear();
    let up = |world: &World| world.has(host, |event| matches!(event, Event::Bootstrapped { nodes: 1 }));
    assert!(world.run_until(world.now + secs(60), up));
}

#[test]
fn a_storing_node_that_restarts_with_another_id_is_announced_to_again() {
    let mut world = World::private(5, 2);
    world.announce(1);
    world.run(secs(1));
    assert_eq!(world.hosts[0].dht.stats().stored_peers, 1);
    let addr = world.hosts[0].addr;
    world.hosts[0].is_alive = false;
    world.hosts[0].addr = ([127, 0, 0, 9], 9).into();
    world.run(Duration::from_millis(100));
    let again = world.add(addr, Config::default());
    for _ in 0..6 {
        world.with(1, |dht, cx| dht.poll(cx, TOPIC));
        world.run(Duration::from_millis(500));
    }
    assert_eq!(world.hosts[again].dht.stats().stored_peers, 1);
    let known = world.hosts[1].dht.known_nodes(9);
    assert_eq!(known.iter().map(|contact| contact.id).collect::<Vec<_>>(), [world.hosts[again].dht.id(true)]);
}

#[test]
fn announced_again_and_forgotten() {
    let mut world = World::private(6, 12);
    world.run(secs(1));
    world.announce(3);
    world.run(secs(3_600));
    let rounds =
        world.hosts[3].events.iter().filter(|(_, event)| matches!(event, Event::Announced { .. })).count();
    assert!((5..=9).contains(&rounds), "{rounds} rounds in an hour");
    let storing = |world: &World| world.hosts.iter().filter(|host| host.dht.stats().stored_peers > 0).count();
    assert!(storing(&world) >= 8);
    world.hosts[3].dht.forget(TOPIC);
    world.run(secs(2_400));
    assert_eq!(storing(&world), 0);
}

#[test]
fn a_new_socket_is_announced() {
    let mut world = World::private(7, 3);
    world.run(secs(1));
    world.announce(2);
    world.run(secs(1));
    let moved = SocketAddr::from(([127, 0, 0, 1], 7_777));
    world.hosts[2].addr = moved;
    let socket = SocketInfo { id: SOCKET, bound: moved, addrs: vec![moved.ip()] };
    world.with(2, |dht, cx| dht.set_sockets(cx, &[socket]));
    world.announce(1);
    assert!(world.run_until(world.now + secs(3), |world| world.knows_peer(1, 2)));
    assert!(world.has(2, |event| *event == Event::Observed { public: moved }));
}

#[test]
fn after_a_sleep_everything_is_announced_anew() {
    let mut world = World::private(21, 6);
    world.run(secs(1));
    world.announce(2);
    world.run(secs(5));
    let stored = |event: &Event| matches!(event, Event::Announced { nodes: 5, .. });
    assert!(world.has(2, stored));
    world.hosts[2].events.clear();
    world.with(2, |dht, cx| dht.poll(cx, TOPIC));
    world.with(2, |dht, cx| dht.woke(cx));
    assert!(world.run_until(world.now + secs(1), |world| world.has(2, stored)));
}

#[test]
fn our_address_is_told_once() {
    let mut world = World::public(8, 20);
    world.run(secs(600));
    for host in &world.hosts[1..] {
        let observed: Vec<_> =
            host.events.iter().filter(|(_, event)| matches!(event, Event::Observed { .. })).collect();
        assert!(matches!(observed[..], [(_, Event::Observed { public })] if *public == host.addr));
    }
}

/// The id follows from the address, once that is known (BEP 42), and from a new one when it changes.
#[test]
fn our_id_follows_our_address() {
    let mut world = World::public(23, 40);
    let is_bound = |world: &World, host: usize| {
        let host = &world.hosts[host];
        node_id::is_bound(&host.dht.id(true), host.addr.ip())
    };
    assert!((0..40).all(|host| is_bound(&world, host)), "the socket has a public address");

    // Behind a NAT only the votes tell.
    let inside: SocketAddr = "192.168.1.2:6881".parse().unwrap();
    let outside = |n: u8| SocketAddr::from(([9, n, 9, 9], 6_881));
    let natted = world.add(inside, Config::default());
    let translate = |world: &mut World, n| world.hosts[natted].addr = outside(n);
    let first = world.hosts[natted].dht.id(true);
    translate(&mut world, 1);
    assert!(!is_bound(&world, natted), "a chance of one in two million");
    world.enter(natted);
    world.announce(natted);
    world.run(secs(30));
    assert!(is_bound(&world, natted));
    let second = world.hosts[natted].dht.id(true);
    assert_ne!(first, second);
    let known = |world: &World| world.hosts[natted].dht.known_nodes(99);
    let before = known(&world);
    assert!(before.len() >= 16, "two full buckets at least, in a network of 40: {}", before.len());

    // A new address: it is announced, and the table stays of use.
    translate(&mut world, 2);
    let stored = |world: &World| {
        let peers = world.hosts[..40].iter().flat_map(|host| host.dht.store.peers(&TOPIC));
        peers.filter(|peer| *peer == outside(2)).count()
    };
    for _ in 0..1_200 {
        world.with(natted, |dht, cx| dht.poll(cx, TOPIC));
        world.run(secs(1));
        if stored(&world) >= 8 && is_bound(&world, natted) {
            break;
        }
    }
    assert!(is_bound(&world, natted) && stored(&world) >= 8);
    assert_ne!(world.hosts[natted].dht.id(true), second);
    let after = known(&world);
    let kept = before.iter().filter(|contact| after.contains(contact)).count();
    assert!(kept * 2 > before.len(), "{kept} of {} kept", before.len());

    // What the owner fixed stays.
    let fixed = NodeId([7; 20]);
    let host = world.add(outside(3), Config { id: Some(fixed), mode: Mode::Server, ..Config::default() });
    world.enter(host);
    world.run(secs(30));
    assert_eq!((world.hosts[host].dht.id(true), is_bound(&world, host)), (fixed, false));
}

#[test]
fn every_answer_tells_the_asker_its_address() {
    let mut world = World::public(24, 9);
    world.run(secs(9));
    let stranger = Stranger::new("198.51.100.1:7000");
    let find = Call::FindNode { target: NodeId(TOPIC.0), want: None };
    for call in
        [Call::Ping, find, GET, Call::Other { method: b"x", target: Some(NodeId(TOPIC.0)), want: None }]
    {
        let answer = stranger.ask(&mut world, true, call).1.unwrap();
        assert_eq!(response(&answer).ip, Some(stranger.addr));
    }
    let unknown = Call::Other { method: b"x", target: None, want: None };
    let answer = stranger.ask(&mut world, true, unknown).1.unwrap();
    let Body::Error(refusal) = Message::parse(&answer).unwrap().body else { panic!() };
    assert_eq!((refusal.code, refusal.ip), (204, Some(stranger.addr)));
}

#[test]
fn idle_nodes_are_quiet() {
    let mut world = World::public(9, 30);
    world.run(secs(3_600));
    let before = world.sent;
    world.run(secs(3_600));
    let per_node = (world.sent - before) / 30;
    assert!(per_node < 3_600 / 2, "{per_node} datagrams an hour");
}

/// A client of our own making, to say what a machine would not.
struct Stranger {
    addr: SocketAddr,
    id: NodeId,
}

impl Stranger {
    fn new(addr: &str) -> Self {
        Self { addr: addr.parse().unwrap(), id: NodeId([0x55; 20]) }
    }

    /// Sends a query, and returns the length of it and the answer to it.
    fn ask(&self, world: &mut World, read_only: bool, call: Call<'_>) -> (usize, Option<Vec<u8>>) {
        let body = Body::Query(Query { id: self.id, read_only, call });
        let query = Message { tid: b"tidy", version: None, capabilities: Capabilities::NONE, body }.encode();
        world.strays.clear();
        world.deliver(0, self.addr, &query);
        let answers = world.strays.iter().filter(|(_, to, bytes)| {
            *to == self.addr && !matches!(Message::parse(bytes).unwrap().body, Body::Query(_))
        });
        let mut answers: Vec<_> = answers.map(|(.., bytes)| bytes.clone()).collect();
        assert!(answers.len() <= 1);
        (query.len(), answers.pop())
    }
}

fn response(bytes: &[u8]) -> Response<'_> {
    let message = Message::parse(bytes).unwrap();
    assert_eq!((message.tid, message.version), (&b"tidy"[..], Some(&b"FM\x00\x01"[..])));
    match message.body {
        Body::Response(response) => response,
        other => panic!("{other:?}"),
    }
}

const GET: Call<'static> = Call::GetPeers { info_hash: TOPIC, want: None, scrape: false };

#[test]
fn a_token_is_good_for_its_address_and_topic_only() {
    let mut world = World::public(10, 1);
    let [ada, eve] = ["198.51.100.1:7000", "203.0.113.9:7000"].map(Stranger::new);
    let answer = ada.ask(&mut world, true, GET).1.unwrap();
    let token = response(&answer).token.unwrap().to_vec();
    let call = |info_hash, port, implied_port| Call::AnnouncePeer {
        info_hash,
        port,
        implied_port,
        seed: false,
        token: &token,
    };
    let refused = |bytes: Option<Vec<u8>>| {
        let bytes = bytes.unwrap();
        matches!(Message::parse(&bytes).unwrap().body, Body::Error(error) if error.code == ErrorCode::Protocol as i64)
    };
    assert!(refused(eve.ask(&mut world, true, call(TOPIC, 7, true)).1));
    assert!(refused(ada.ask(&mut world, true, call(InfoHash([9; 20]), 7, true)).1));
    assert_eq!(world.hosts[0].dht.stats().counters.bad_tokens, 2);
    response(&ada.ask(&mut world, true, call(TOPIC, 9, true)).1.unwrap());
    response(&ada.ask(&mut world, true, call(TOPIC, 9, false)).1.unwrap());
    let answer = eve.ask(&mut world, true, GET).1.unwrap();
    let mut peers: Vec<_> = response(&answer).peers().map(|peer| peer.to_string()).collect();
    peers.sort();
    assert_eq!(peers, ["198.51.100.1:7000", "198.51.100.1:9"]);
}

#[test]
fn answers_to_the_unproven_are_no_weapon() {
    let mut world = World::public(11, 40);
    world.run(secs(60));
    // Many peers of both kinds, so that there would be much to say.
    for n in 0..200 {
        let peer = SocketAddr::from(([9, n, 1, 1], 4_000));
        let now = world.now;
        let new = Announcement { topic: TOPIC, peer, is_seed: false, is_exempt: false };
        let home = world.hosts[0].dht.home(true);
        world.hosts[0].dht.store.insert(now, &home, new).unwrap();
    }
    let stranger = Stranger::new("198.51.100.1:7000");
    let target = NodeId(TOPIC.0);
    let both = Some(crate::wire::krpc::Want { v4: true, v6: true });
    let calls = [
        Call::Ping,
        GET,
        Call::GetPeers { info_hash: TOPIC, want: both, scrape: false },
        Call::FindNode { target, want: None },
        Call::FindNode { target, want: both },
        Call::Get { target: TOPIC, seq: None, want: None },
        Call::Other { method: b"x", target: Some(target), want: None },
        Call::Other { method: b"x", target: None, want: None },
    ];
    for call in calls {
        let (asked, answer) = stranger.ask(&mut world, true, call.clone());
        let answered = answer.unwrap().len();
        assert!(answered * 2 <= asked * 7, "{answered} bytes for {asked}: {call:?}");
    }
    let short = stranger.ask(&mut world, true, GET).1.unwrap();
    let short = response(&short);
    assert!(
        short.peers().count() >= 8 && short.contacts().count() >= 2,
        "and of use all the same: {short:?}"
    );
    let now = world.now;
    world.hosts[0].dht.proven.insert(now, stranger.addr.ip());
    let long = stranger.ask(&mut world, true, GET).1.unwrap();
    let long = response(&long);
    assert_eq!((long.peers().count(), long.contacts().count()), (50, 8));
}

#[test]
fn a_read_only_node_is_silent_until_an_unsolicited_query_reaches_it() {
    let mut world = World::new(12);
    world.add("8.1.1.1:6881".parse().unwrap(), Config::default());
    world.add("8.2.2.2:6881".parse().unwrap(), Config::default());
    world.hosts[1].is_alive = false;
    let known = world.hosts[1].addr;
    world.with(0, |dht, cx| dht.bootstrap(cx, &[known]));
    let asked = Message::parse(&world.wire.first_key_value().unwrap().1.2).unwrap().body.clone();
    assert!(matches!(asked, Body::Query(Query { read_only: true, .. })));
    // One that we asked before proves nothing: its question may use the hole that ours opened.
    let solicited = Stranger { addr: "8.2.2.2:9999".parse().unwrap(), id: NodeId([1; 20]) };
    assert_eq!(solicited.ask(&mut world, true, Call::Ping).1, None);
    assert!(!world.hosts[0].dht.stats().server);
    let stranger = Stranger::new("198.51.100.1:7000");
    assert!(stranger.ask(&mut world, true, Call::Ping).1.is_some());
    assert!(world.hosts[0].dht.stats().server);
    assert!(solicited.ask(&mut world, true, Call::Ping).1.is_some());

    let mut world = World::new(13);
    world.add("8.1.1.1:6881".parse().unwrap(), Config { mode: Mode::ReadOnly, ..Config::default() });
    assert_eq!(stranger.ask(&mut world, true, Call::Ping).1, None);
    assert_eq!(world.hosts[0].dht.stats().counters.dropped_read_only, 1);
}

#[test]
fn one_met_by_its_question_is_verified_ninety_seconds_later() {
    let mut world = World::public(14, 10);
    world.run(secs(100));
    let nodes = world.hosts[0].dht.nodes().count();
    let stranger = Stranger::new("198.51.100.1:7000");
    stranger.ask(&mut world, false, GET).1.unwrap();
    world.strays.clear();
    world.run(secs(89));
    assert!(world.strays.is_empty());
    world.run(secs(2));
    let (_, to, bytes) = world.strays[0].clone();
    assert_eq!(to, stranger.addr);
    let message = Message::parse(&bytes).unwrap();
    assert!(matches!(message.body, Body::Query(Query { call: Call::Ping, .. })));
    assert_eq!(world.hosts[0].dht.nodes().count(), nodes, "not before it has answered");
    let body = Body::Response(Response { id: stranger.id, ..Response::default() });
    let answer = Message { tid: message.tid, version: None, capabilities: Capabilities::NONE, body }.encode();
    let elsewhere = SocketAddr::new(stranger.addr.ip(), 7_001);
    world.deliver(0, elsewhere, &answer);
    assert_eq!(world.hosts[0].dht.nodes().count(), nodes);
    let answered = world.hosts[0].dht.stats().counters.responses;
    world.deliver(0, stranger.addr, &answer);
    assert_eq!(world.hosts[0].dht.nodes().count(), nodes + 1);
    let counters = world.hosts[0].dht.stats().counters;
    assert_eq!((counters.dropped_wrong_source, counters.responses), (1, answered + 1));
    // Who is read-only is not asked at all.
    Stranger::new("203.0.113.1:7000").ask(&mut world, true, Call::Ping).1.unwrap();
    world.strays.clear();
    world.run(secs(100));
    assert!(world.strays.iter().all(|(_, to, _)| *to == stranger.addr));
}

#[test]
fn garbage_meets_silence_and_is_counted() {
    let mut world = World::public(15, 1);
    let own = world.hosts[0].addr;
    let own_id = world.hosts[0].dht.id(true);
    let other: SocketAddr = "198.51.100.1:7000".parse().unwrap();
    let ping = |id| {
        let body = Body::Query(Query { id, read_only: true, call: Call::Ping });
        Message { tid: b"tidy", version: None, capabilities: Capabilities::NONE, body }.encode()
    };
    type Count = fn(&Counters) -> u64;
    let cases: [(SocketAddr, &[u8], Count); 8] = [
        (other, b"", |counters| counters.dropped_malformed),
        (other, b"d1:t2:aa1:y1:qx", |counters| counters.dropped_malformed),
        (other, &[0xff; 1_500], |counters| counters.dropped_malformed),
        (other, b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re", |counters| counters.dropped_unknown_tid),
        ("198.51.100.1:0".parse().unwrap(), &ping(NodeId([1; 20])), |counters| counters.dropped_address),
        ("224.0.0.1:7000".parse().unwrap(), &ping(NodeId([1; 20])), |counters| counters.dropped_address),
        (own, &ping(NodeId([1; 20])), |counters| counters.dropped_own),
        (other, &ping(own_id), |counters| counters.dropped_own),
    ];
    for (from, bytes, counter) in cases {
        let before = counter(&world.hosts[0].dht.stats().counters);
        world.deliver(0, from, bytes);
        assert_eq!(counter(&world.hosts[0].dht.stats().counters), before + 1, "{}", bytes.escape_ascii());
    }
    assert!(world.strays.is_empty());
    let mut world_socket = World::public(15, 1);
    world_socket.with(0, |dht, cx| dht.handle_datagram(cx, SocketId(9), None, other, &ping(NodeId([1; 20]))));
    assert_eq!(world_socket.hosts[0].dht.stats().counters.dropped_socket, 1);
    // A query that lacks something is told so, and nothing more.
    world.deliver(0, other, b"d1:ade1:q4:ping1:t2:aa1:y1:qe");
    let (_, _, bytes) = world.strays.pop().unwrap();
    assert!(matches!(Message::parse(&bytes).unwrap().body, Body::Error(error) if error.code == 203));
}

#[test]
fn a_flood_changes_nothing_but_counters() {
    let mut world = World::public(16, 20);
    world.run(secs(120));
    let mut rng = Rng::new([77; 32]);
    let nodes: Vec<_> = world.hosts[0].dht.nodes().collect();
    for n in 0..40_000_u64 {
        let [a, b, c, ..] = rng.array::<8>();
        let from: SocketAddr = ([a % 200 + 11, b, c, 1], 6_881).into();
        let call = match n % 3 {
            0 => Call::Ping,
            1 => GET,
            _ => Call::FindNode { target: NodeId(rng.array()), want: None },
        };
        let body = Body::Query(Query { id: NodeId(rng.array()), read_only: false, call });
        let query = Message { tid: b"tidy", version: None, capabilities: Capabilities::NONE, body }.encode();
        world.deliver(0, from, &query);
        if n % 10 == 0 {
            world.run(Duration::from_millis(1));
            world.strays.clear();
        }
    }
    let dht = &world.hosts[0].dht;
    let stats = dht.stats();
    assert!(stats.counters.dropped_rate_global > 20_000);
    assert!(stats.in_flight <= limits::DHT_IN_FLIGHT);
    assert_eq!((stats.stored_peers, stats.stored_topics), (0, 0));
    assert_eq!(dht.nodes().collect::<Vec<_>>(), nodes);
}

#[test]
fn a_liar_cannot_make_us_ask_a_victim() {
    let mut world = World::new(17);
    world.add("8.1.1.1:6881".parse().unwrap(), Config::default());
    let liar = Stranger::new("198.51.100.1:7000");
    world.with(0, |dht, cx| dht.bootstrap(cx, &[liar.addr]));
    world.announce(0);
    let mut nodes = Vec::new();
    let victims =
        ["203.0.113.5:53", "203.0.113.5:123", "127.0.0.1:6881", "192.168.1.1:6881", "203.0.113.5:0"];
    let alike = ["203.0.113.5:2000", "203.0.113.5:2001", "203.0.113.6:2002", "203.0.113.7:2003"];
    for (n, addr) in victims.iter().chain(&alike).enumerate() {
        let contact = Contact { id: NodeId([n as u8; 20]), addr: addr.parse().unwrap() };
        crate::wire::krpc::write_contact(&mut nodes, &contact);
    }
    let mut values = Vec::new();
    victims.iter().for_each(|peer| crate::wire::krpc::Values::push(&mut values, peer.parse().unwrap()));
    for (_, _, bytes) in std::mem::take(&mut world.strays) {
        let values = Some(crate::wire::krpc::Values::of(&values));
        let response = Response { id: liar.id, nodes: Some(&nodes), values, ..Response::default() };
        let tid = Message::parse(&bytes).unwrap().tid;
        let answer =
            Message { tid, version: None, capabilities: Capabilities::NONE, body: Body::Response(response) }
                .encode();
        world.deliver(0, liar.addr, &answer);
    }
    world.run(Duration::from_millis(100));
    let asked: Vec<SocketAddr> =
        world.strays.iter().map(|(_, to, _)| *to).filter(|to| *to != liar.addr).collect();
    // Two lookups are under way, and of one network each asks one node.
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|addr| alike.contains(&addr.to_string().as_str())), "{asked:?}");
    assert!(!world.has(0, |event| matches!(event, Event::Peers { .. })));
    assert_eq!(world.hosts[0].dht.stats().counters.refused_contacts, 5 + 5 + 5);
}

#[test]
fn answers_leave_from_where_the_question_came_to() {
    let mut world = World::public(18, 1);
    let mut out = Outbox::default();
    let Host { dht, rng, .. } = &mut world.hosts[0];
    let mut cx = Cx { now: world.now, unix: UnixTime::default(), rng, out: &mut out };
    let local: IpAddr = "8.0.0.77".parse().unwrap();
    let query = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping2:roi1e1:t2:aa1:y1:qe";
    dht.handle_datagram(&mut cx, SOCKET, Some(local), "198.51.100.1:7000".parse().unwrap(), query);
    let answer = out.pop().unwrap();
    assert_eq!((answer.socket, answer.local), (SOCKET, Some(local)));
}

#[test]
fn both_families_are_announced_to_and_hold_items() {
    let mut world = World::new(19);
    let v6 = |n: u16| SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, n], 6_881));
    world.add(([127, 0, 0, 1], 6_000).into(), Config::default());
    let six = world.add(v6(1), Config::default());
    let dual = world.add(([127, 0, 0, 1], 6_002).into(), Config::default());
    let sockets = [
        SocketInfo { id: SOCKET, bound: ([127, 0, 0, 1], 6_002).into(), addrs: vec![[127, 0, 0, 1].into()] },
        SocketInfo { id: SocketId(4), bound: v6(2), addrs: vec![v6(2).ip()] },
    ];
    let mut out = Outbox::default();
    let hosts = [world.hosts[0].addr, world.hosts[six].addr];
    let Host { dht, rng, .. } = &mut world.hosts[dual];
    let mut cx = Cx { now: world.now, unix: UnixTime::default(), rng, out: &mut out };
    dht.set_sockets(&mut cx, &sockets);
    dht.bootstrap(&mut cx, &hosts);
    dht.announce(&mut cx, TOPIC);
    dht.put_immutable(&mut cx, Value::bytes(b"of both").unwrap());
    let asked: Vec<_> = std::iter::from_fn(|| out.pop()).map(|sent| (sent.socket, sent.to)).collect();
    assert!(asked.contains(&(SOCKET, hosts[0])) && asked.contains(&(SocketId(4), hosts[1])));
    assert_eq!(asked.len(), 6, "to enter, for the topic, and for the item, in each");
}

#[test]
fn an_owner_that_does_not_read_loses_datagrams_and_no_memory() {
    let mut world = World::private(20, 2);
    world.run(secs(1));
    world.announce(1);
    world.run(secs(1));
    let stranger = Stranger::new("127.0.0.1:9000");
    let Host { dht, rng, .. } = &mut world.hosts[1];
    let mut out = Outbox::default();
    let mut cx = Cx { now: world.now, unix: UnixTime::default(), rng, out: &mut out };
    for port in 1..3_000_u16 {
        let token = dht.tokens.issue(cx.now, stranger.addr.ip(), &TOPIC);
        let call =
            Call::AnnouncePeer { info_hash: TOPIC, port, implied_port: false, seed: false, token: &token };
        let body = Body::Query(Query { id: stranger.id, read_only: true, call });
        let query = Message { tid: b"tidy", version: None, capabilities: Capabilities::NONE, body }.encode();
        dht.handle_datagram(&mut cx, SOCKET, None, stranger.addr, &query);
    }
    assert!(dht.stats().counters.dropped_undrained > 1_000);
    assert!(std::iter::from_fn(|| dht.pop_event()).count() <= limits::DHT_EVENTS);
}
