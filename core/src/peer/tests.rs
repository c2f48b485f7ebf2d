//! Two links in a network of memory and virtual time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use quickcheck::quickcheck;
use sha2::{Digest, Sha256};

use super::*;
use crate::base::{Cx, Outbox, Rng, SocketId, SocketInfo, Time, Transmit, UnixTime};
use crate::limits;

const A: usize = 0;
const B: usize = 1;
const SOCKET: SocketId = SocketId(3);
const RTT: Duration = Duration::from_millis(100);

fn ms(ms: u64) -> Time {
    Time::from_millis(ms)
}

/// A datagram's journey: when it left, from which end, to where, how long it is.
type Record = (Time, usize, SocketAddr, usize);

/// Two hosts, `A` at 10.0.0.1:4000 and `B` at 10.0.0.2:4000, and the wire between them.
struct Net {
    now: Time,
    ends: [End; 2],
    wire: BTreeMap<(Time, u64), (usize, SocketAddr, Vec<u8>)>,
    sent: u64,
    rng: Rng,
    delay: Duration,
    /// How long a byte takes to leave `A`, and until when it is busy with those it has.
    uplink: Duration,
    busy: Time,
    /// Out of a thousand.
    loss: u64,
    /// Nothing passes.
    cut: bool,
    trace: Vec<Record>,
}

struct End {
    rng: Rng,
    out: Outbox,
    endpoint: Endpoint,
    link: Option<Link>,
    events: Vec<(Time, Event)>,
    /// Says hello on the control channel as soon as it can.
    greets: bool,
}

impl End {
    fn new(seed: u64, device: u8) -> Self {
        let mut entropy = [device; 32];
        entropy[..8].copy_from_slice(&seed.to_be_bytes());
        let mut rng = Rng::new(entropy);
        let endpoint = Endpoint::new(&[device; 32], &mut rng);
        Self { rng, out: Outbox::default(), endpoint, link: None, events: Vec::new(), greets: true }
    }
}

fn addr(end: usize) -> SocketAddr {
    ([10, 0, 0, 1 + end as u8], 4_000).into()
}

fn credentials(end: usize) -> IceCredentials {
    IceCredentials { ufrag: format!("ufrag{end}"), pwd: format!("password0password0passw{end}") }
}

impl Net {
    fn new(seed: u64) -> Self {
        Self {
            now: ms(1_000),
            ends: [End::new(seed, 1), End::new(seed, 2)],
            wire: BTreeMap::new(),
            sent: 0,
            rng: Rng::new([seed as u8; 32]),
            delay: RTT / 2,
            uplink: Duration::ZERO,
            busy: Time::ZERO,
            loss: 0,
            cut: false,
            trace: Vec::new(),
        }
    }

    /// What `end` would need to know; `A` is the client.
    fn config(&self, end: usize) -> LinkConfig {
        let other = &self.ends[1 - end].endpoint;
        let role = if end == A { Role::Client } else { Role::Server };
        let (local, remote) = (credentials(end), credentials(1 - end));
        let mut config = LinkConfig::new(role, local, remote, other.fingerprint(), other.snap());
        config.sockets =
            vec![SocketInfo { id: SOCKET, bound: ([0, 0, 0, 0], 4_000).into(), addrs: Vec::new() }];
        config.remotes = vec![addr(1 - end)];
        config
    }

    fn start(&mut self, end: usize) {
        self.start_with(end, self.config(end));
    }

    fn start_with(&mut self, end: usize, config: LinkConfig) {
        let link = self.with(end, |end, cx| Link::new(cx, end.endpoint, config));
        self.ends[end].link = Some(link.unwrap());
        self.settle(end);
    }

    /// Both at once.
    fn connected(seed: u64) -> Self {
        let mut net = Self::new(seed);
        net.start(A);
        net.start(B);
        net.run(Duration::from_secs(1));
        assert!(net.link(A).is_secured() && net.link(B).is_secured());
        net
    }

    fn with<T>(&mut self, end: usize, f: impl FnOnce(&mut LinkEnd<'_>, &mut Cx<'_>) -> T) -> T {
        let End { rng, out, endpoint, link, .. } = &mut self.ends[end];
        let mut cx = Cx { now: self.now, unix: UnixTime::default(), rng, out };
        f(&mut LinkEnd { endpoint, link }, &mut cx)
    }

    /// Calls the link of `end`, and does what it then wants.
    fn call<T>(&mut self, end: usize, f: impl FnOnce(&mut Link, &mut Cx<'_>) -> T) -> T {
        let result = self.with(end, |end, cx| f(end.link.as_mut().unwrap(), cx));
        self.settle(end);
        result
    }

    fn settle(&mut self, end: usize) {
        let now = self.now;
        while let Some(event) = self.ends[end].link.as_mut().and_then(Link::pop_event) {
            let greets = self.ends[end].greets && event == Event::Secured;
            self.ends[end].events.push((now, event));
            if greets {
                self.with(end, |end, cx| {
                    end.link.as_mut().unwrap().send(cx, Channel::Control, b"hello").unwrap();
                });
            }
        }
        while let Some(Transmit { socket, to, bytes, .. }) = self.ends[end].out.pop() {
            assert_eq!(socket, SOCKET);
            self.trace.push((now, end, to, bytes.len()));
            self.post(end, to, bytes);
        }
        let wake = self.ends[end].link.as_ref().and_then(Link::next_wake);
        assert!(wake.is_none_or(|wake| wake.at > now), "{wake:?} at {now}");
    }

    fn post(&mut self, from: usize, to: SocketAddr, bytes: Vec<u8>) {
        let lost = self.rng.below(1_000) < self.loss;
        if !lost && !self.cut {
            self.sent += 1;
            let mut leaves = self.now;
            if from == A {
                self.busy = self.busy.max(self.now) + self.uplink * bytes.len() as u32;
                leaves = self.busy;
            }
            self.wire.insert((leaves + self.delay, self.sent), (from, to, bytes));
        }
    }

    fn run(&mut self, span: Duration) {
        self.run_until(self.now + span, |_| false);
    }

    /// Runs until `end` or until `done`.
    fn run_until(&mut self, end: Time, done: impl Fn(&Self) -> bool) {
        let mut calls = 0;
        while !done(self) {
            let wake = |net: &Self, end: usize| {
                net.ends[end].link.as_ref().and_then(Link::next_wake).map(|wake| wake.at)
            };
            let wire = self.wire.keys().next().map(|(at, _)| *at);
            let Some(next) = [wire, wake(self, A), wake(self, B)].into_iter().flatten().min() else { break };
            if next > end {
                break;
            }
            self.now = next;
            calls += 1;
            assert!(calls < 1_000_000, "hot loop");
            if let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= next) {
                let (from, to, bytes) = entry.remove();
                if to == addr(1 - from) && self.ends[1 - from].link.is_some() {
                    self.call(1 - from, |link, cx| {
                        link.handle_datagram(cx, SOCKET, None, addr(from), &bytes);
                    });
                }
                continue;
            }
            for end in [A, B] {
                if wake(self, end).is_some_and(|at| at <= next) {
                    self.call(end, |link, cx| link.on_wake(cx));
                }
            }
        }
        if self.now < end && !done(self) {
            self.now = end;
        }
    }

    fn link(&self, end: usize) -> &Link {
        self.ends[end].link.as_ref().unwrap()
    }

    /// When `end` saw an event.
    fn when(&self, end: usize, of: impl Fn(&Event) -> bool) -> Option<Time> {
        self.ends[end].events.iter().find(|(_, event)| of(event)).map(|(at, _)| *at)
    }

    fn first_data(&self, end: usize) -> Option<Time> {
        self.when(end, |event| matches!(event, Event::Data { .. }))
    }

    fn closed(&self, end: usize) -> Option<(Time, CloseReason)> {
        self.ends[end].events.iter().find_map(|(at, event)| match event {
            Event::Closed { reason } => Some((*at, *reason)),
            _ => None,
        })
    }

    /// Takes out what was received on a channel.
    fn received(&mut self, end: usize, on: Channel) -> Vec<Vec<u8>> {
        let mut received = Vec::new();
        self.ends[end].events.retain(|(_, event)| match event {
            Event::Data { channel, bytes } if *channel == on => {
                received.push(bytes.clone());
                false
            }
            _ => true,
        });
        received
    }
}

struct LinkEnd<'a> {
    endpoint: &'a Endpoint,
    link: &'a mut Option<Link>,
}

fn hash(trace: &[Record]) -> String {
    let mut hash = Sha256::new();
    for (at, end, to, length) in trace {
        hash.update(format!("{at} {end} {to} {length}\n"));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 2.5 round trips to the server's first data, 3 to the client's, and what ICE's own timers add.
#[test]
fn first_data_comes_in_two_and_a_half_round_trips() {
    let mut net = Net::new(1);
    net.start(A);
    net.start(B);
    net.run(Duration::from_secs(2));
    let since = |at: Option<Time>| at.unwrap() - ms(1_000);
    let at_server = since(net.first_data(B));
    let at_client = since(net.first_data(A));
    println!("first data: at the server {at_server:?}, at the client {at_client:?}");
    assert!(at_server <= RTT * 5 / 2 + Duration::from_millis(20), "{at_server:?}");
    assert!(at_client <= RTT * 3 + Duration::from_millis(20), "{at_client:?}");
    assert_eq!(net.link(A).remote_path(), Some((SOCKET, addr(B))));
    assert_eq!(net.link(B).remote_path(), Some((SOCKET, addr(A))));
    assert_eq!(net.link(A).rtt(), Some(RTT));
    let order = |end: usize| net.ends[end].events.iter().map(|(_, event)| event.clone()).collect::<Vec<_>>();
    for end in [A, B] {
        let hello = Event::Data { channel: Channel::Control, bytes: b"hello".to_vec() };
        let remote = addr(1 - end);
        assert_eq!(order(end), [Event::PathFound { remote }, Event::Secured, hello]);
        assert_eq!(net.link(end).counters(), Counters::default());
    }
}

/// The client's first data, over many seeds at a loss: sorted, in milliseconds; panics if a link fails.
fn connect_times(loss: u64, seeds: u64) -> Vec<u64> {
    let mut times = Vec::new();
    for seed in 0..seeds {
        let mut net = Net::new(seed);
        net.loss = loss;
        net.start(A);
        net.start(B);
        net.run_until(ms(61_000), |net| net.first_data(A).is_some() && net.first_data(B).is_some());
        let last = net.first_data(A).max(net.first_data(B));
        let both = net.first_data(A).and(net.first_data(B)).and(last);
        let Some(both) = both else {
            panic!("seed {seed}: {:?} {:?}", net.ends[A].events, net.ends[B].events)
        };
        times.push((both - ms(1_000)).as_millis() as u64);
    }
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{loss} ‰ loss: p50 {} p90 {} p99 {} max {} ms", at(50), at(90), at(99), at(100));
    times
}

#[test]
fn connects_at_five_percent_loss() {
    let times = connect_times(50, 100);
    assert!(times[50] <= 330 && times[90] <= 1_000 && times[99] <= 2_500, "{times:?}");
}

#[test]
fn connects_at_ten_percent_loss() {
    let times = connect_times(100, 100);
    assert!(times[50] <= 600 && times[90] <= 1_200 && times[99] <= 4_000, "{times:?}");
}

#[test]
fn connects_when_one_end_is_late() {
    for (first, late) in [(A, B), (B, A)] {
        let mut net = Net::new(2);
        net.start(first);
        net.run(Duration::from_secs(10));
        net.start(late);
        net.run(Duration::from_secs(2));
        let last = net.first_data(A).max(net.first_data(B)).unwrap();
        println!("late {late}: {:?} after its start", last - ms(11_000));
        assert!(last - ms(11_000) <= RTT * 7 / 2 + Duration::from_millis(20), "{:?}", last - ms(11_000));
    }
}

/// The late end cannot be heard at first (its NAT lets nothing in); the early one is told by other means that it lives.
#[test]
fn a_hint_saves_waiting_for_the_next_check() {
    let mut net = Net::new(3);
    let mut config = net.config(B);
    config.remotes.clear();
    net.start(A);
    net.run(Duration::from_millis(10_020));
    net.start_with(B, config);
    net.run(Duration::from_millis(60));
    let hinted = net.now;
    net.call(A, |link, cx| link.rekick(cx, addr(B)));
    net.run(Duration::from_secs(2));
    let last = net.first_data(A).max(net.first_data(B)).unwrap();
    assert!(last - hinted <= RTT * 7 / 2 + Duration::from_millis(20), "{:?}", last - hinted);
}

#[test]
fn dead_addresses_cost_little() {
    let mut net = Net::new(4);
    for end in [A, B] {
        let mut config = net.config(end);
        config.remotes = (1..=9).map(|n| ([10, 9, 9, n], 4_000).into()).collect();
        config.remotes.push(addr(1 - end));
        net.start_with(end, config);
    }
    net.run(Duration::from_secs(2));
    let first = net.first_data(B).unwrap() - ms(1_000);
    println!("first data behind 9 dead addresses: {first:?}");
    assert!(first <= RTT * 5 / 2 + Duration::from_millis(80), "{first:?}");
    net.run(Duration::from_secs(58));
    let dead: Vec<_> = net.trace.iter().filter(|(_, _, to, _)| *to != addr(A) && *to != addr(B)).collect();
    // 0, 100, 300, 700 and 1,500 ms after the first; then a path is there, and they are checked no more.
    assert!((2 * 9 * 4..=2 * 9 * 6).contains(&dead.len()), "{} checks", dead.len());
    assert!(dead.iter().all(|(at, ..)| *at < ms(1_000) + Duration::from_secs(5)));
}

#[test]
fn a_path_that_comes_to_life_late_is_taken_when_the_first_dies() {
    let mut net = Net::connected(12);
    let (first, second) = (addr(B), SocketAddr::from(([10, 9, 9, 9], 4_000)));
    net.call(A, |link, cx| link.add_remote(cx, second));
    net.run(Duration::from_secs(20));
    let late = |net: &Net| net.trace.iter().filter(|(_, _, to, _)| *to == second).count();
    let before = late(&net);
    assert!(before <= 7, "it never answered: {before} checks");
    net.run(Duration::from_secs(20));
    assert_eq!(late(&net), before);
    // Nothing comes any more from where it was: whatever is known is tried again before the link is given up.
    net.cut = true;
    net.run(Duration::from_secs(8));
    assert!(late(&net) > before, "{first} is dead and {second} was not tried");
}

#[test]
fn knows_an_impostor() {
    for deceived in [A, B] {
        let mut net = Net::new(5);
        let mut config = net.config(deceived);
        config.fingerprint = Fingerprint([7; 32]);
        net.start_with(deceived, config);
        net.start(1 - deceived);
        net.run(Duration::from_secs(45));
        assert_eq!(net.when(deceived, |event| *event == Event::Secured), None);
        assert_eq!(net.closed(deceived).map(|(_, reason)| reason), Some(CloseReason::Impostor));
        assert_eq!(net.first_data(A), None);
        assert_eq!(net.first_data(B), None);
    }
}

#[test]
fn a_wrong_password_finds_no_path() {
    for wrong in [A, B] {
        let mut net = Net::new(6);
        let mut config = net.config(wrong);
        config.local.pwd = "something0else0entirely0".into();
        net.start_with(wrong, config);
        net.start(1 - wrong);
        net.run(Duration::from_secs(45));
        assert_eq!(net.first_data(A), None);
        assert_eq!(net.first_data(B), None);
        assert!(!net.link(A).is_secured() && !net.link(B).is_secured());
    }
}

/// Two links may be told of one address, and DTLS begins in clear: what belongs to another must not be taken for the
/// beginning of our own handshake.
#[test]
fn the_hello_of_another_is_not_ours() {
    let mut other = Net::new(17);
    other.start(A);
    other.start(B);
    let is_hello = |bytes: &[u8]| bytes.first() == Some(&22);
    other.run_until(ms(2_000), |net| net.wire.values().any(|(_, _, bytes)| is_hello(bytes)));
    let (_, _, hello) = other.wire.values().find(|(_, _, bytes)| is_hello(bytes)).unwrap().clone();
    let mut net = Net::new(7);
    net.start(B);
    net.call(B, |link, cx| link.handle_datagram(cx, SOCKET, None, addr(A), &hello));
    assert_eq!(net.link(B).counters().unproven, 1);
    net.start(A);
    net.run(Duration::from_secs(1));
    assert!(net.link(A).is_secured() && net.link(B).is_secured());
}

#[test]
fn what_cannot_work_is_refused() {
    let mut net = Net::new(7);
    let refused = |net: &mut Net, change: &dyn Fn(&mut LinkConfig)| {
        let mut config = net.config(A);
        change(&mut config);
        net.with(A, |end, cx| Link::new(cx, end.endpoint, config).err())
    };
    assert_eq!(refused(&mut net, &|config| config.sockets.clear()), Some(LinkError::NoSocket));
    assert_eq!(refused(&mut net, &|config| config.local.pwd = "short".into()), Some(LinkError::Credentials));
    assert_eq!(refused(&mut net, &|config| config.remote.ufrag.push(':')), Some(LinkError::Credentials));
    let own = net.ends[A].endpoint.snap();
    assert_eq!(refused(&mut net, &|config| config.snap = own), Some(LinkError::Snap));
}

/// K1: with the predecessors of these versions a DTLS 1.3 client died after 40 s.
#[test]
fn lives_through_five_idle_minutes() {
    let mut net = Net::connected(8);
    let before = net.trace.len();
    net.run(Duration::from_secs(300));
    println!("{} packets in 300 idle seconds", net.trace.len() - before);
    assert!(net.trace.len() - before < 300 * 5 / 2);
    for end in [A, B] {
        assert_eq!(net.closed(end), None);
        net.call(end, |link, cx| link.send(cx, Channel::Log, b"still here")).unwrap();
    }
    net.run(Duration::from_secs(1));
    assert_eq!(net.received(A, Channel::Log), [b"still here"]);
    assert_eq!(net.received(B, Channel::Log), [b"still here"]);
}

#[test]
fn idle_links_survive_loss() {
    for seed in 0..10 {
        let mut net = Net::connected(seed);
        net.loss = 100;
        net.run(Duration::from_secs(300));
        assert_eq!((net.closed(A), net.closed(B)), (None, None), "seed {seed}");
    }
}

#[test]
fn silence_is_noticed() {
    let mut net = Net::connected(9);
    net.run(Duration::from_secs(20));
    net.cut = true;
    let cut = net.now;
    net.run(Duration::from_secs(60));
    for end in [A, B] {
        let (at, reason) = net.closed(end).unwrap();
        assert_eq!(reason, CloseReason::Silent);
        assert!(at - cut <= Duration::from_secs(11), "{:?}", at - cut);
        assert!(net.link(end).next_wake().is_none());
    }
}

/// One end is replaced by a fresh process, with the same credentials: ICE notices nothing.
#[test]
fn a_restart_is_noticed() {
    for restarted in [A, B] {
        let mut net = Net::connected(10);
        net.ends[restarted].endpoint = Endpoint::new(&[restarted as u8 + 1; 32], &mut Rng::new([9; 32]));
        net.ends[restarted].events.clear();
        let restart = net.now;
        net.start(restarted);
        net.run(Duration::from_secs(15));
        let (at, reason) = net.closed(1 - restarted).unwrap();
        println!("restart of {restarted} noticed after {:?}: {reason}", at - restart);
        assert!(at - restart <= Duration::from_secs(12), "{:?}", at - restart);
    }
}

#[test]
fn goodbye_is_heard() {
    let mut net = Net::connected(11);
    net.call(A, |link, cx| link.close(cx));
    let closed = net.now;
    net.run(Duration::from_secs(5));
    assert_eq!(net.closed(A), None);
    assert_eq!(net.closed(B), Some((closed + RTT / 2, CloseReason::Remote)));
    let refused = net.call(B, |link, cx| link.send(cx, Channel::Log, b"?"));
    assert_eq!(refused, Err(SendError::Closed));
}

#[test]
fn the_largest_message_passes_and_a_larger_is_refused() {
    let mut net = Net::new(12);
    net.start(A);
    assert_eq!(net.call(A, |link, cx| link.send(cx, Channel::Log, b"?")), Err(SendError::NotReady));
    let mut net = Net::connected(12);
    let message = (0..MAX_MESSAGE).map(|i| (i * 7) as u8).collect::<Vec<_>>();
    for channel in Channel::ALL {
        net.call(B, |link, cx| link.send(cx, channel, &message)).unwrap();
        assert_eq!(net.call(B, |link, cx| link.send(cx, channel, &[])), Err(SendError::Empty));
    }
    let too_large = vec![0; MAX_MESSAGE + 1];
    let refused = net.call(B, |link, cx| link.send(cx, Channel::Bulk, &too_large));
    assert_eq!(refused, Err(SendError::TooLarge));
    net.run(Duration::from_secs(5));
    for channel in Channel::ALL {
        let mut received = net.received(A, channel);
        if channel == Channel::Control {
            assert_eq!(received.remove(0), b"hello");
        }
        assert!(received == [message.as_slice()], "{channel:?}");
    }
}

#[test]
fn a_megabyte_arrives_in_order_through_a_bounded_buffer() {
    let mut net = Net::connected(13);
    net.loss = 10;
    let limit = limits::LINK_SEND_BUFFER[Channel::Bulk as usize];
    let (mut next, mut refused, mut writable) = (0u32, 0, 0);
    let blocks = 64;
    let began = net.now;
    while next < blocks {
        let block = [next.to_be_bytes().as_slice(), &vec![next as u8; MAX_MESSAGE - 4]].concat();
        match net.call(A, |link, cx| link.send(cx, Channel::Bulk, &block)) {
            Ok(()) => next += 1,
            Err(SendError::Full) => {
                refused += 1;
                assert!(net.call(A, |link, _| link.room(Channel::Bulk)) < MAX_MESSAGE);
                // A full channel is no reason for another to be.
                net.call(A, |link, cx| link.send(cx, Channel::Control, b"meanwhile")).unwrap();
                net.ends[A].events.clear();
                net.run_until(net.now + Duration::from_secs(60), |net| {
                    net.when(A, |event| *event == Event::Writable { channel: Channel::Bulk }).is_some()
                });
                writable += 1;
                assert!(net.call(A, |link, _| link.room(Channel::Bulk)) >= limit / 2);
            }
            Err(error) => panic!("{error}"),
        }
    }
    net.run_until(net.now + Duration::from_secs(120), |net| {
        net.ends[A].link.as_ref().is_some_and(|_| {
            let bulk = |event: &Event| matches!(event, Event::Data { channel: Channel::Bulk, .. });
            net.ends[B].events.iter().filter(|(_, event)| bulk(event)).count() == blocks as usize
        })
    });
    println!("1 MiB at 1 % loss in {:?}; {refused} refusals", net.now - began);
    assert!(refused > 0 && refused == writable);
    let received = net.received(B, Channel::Bulk);
    let order = received.iter().map(|block| u32::from_be_bytes(block[..4].try_into().unwrap()));
    assert!(order.eq(0..blocks));
    net.run(Duration::from_secs(5));
    assert_eq!(net.call(A, |link, _| link.room(Channel::Bulk)), limit);
}

/// A pong waits behind our own data, for longer than silence is borne: acknowledgements are a sign of life too.
#[test]
fn a_slow_path_is_not_a_dead_one() {
    let mut net = Net::connected(18);
    let block = vec![1; MAX_MESSAGE];
    let mut sent = 0;
    let mut fill = |net: &mut Net| {
        while net.call(A, |link, cx| link.send(cx, Channel::Bulk, &block)).is_ok() {
            sent += 1;
        }
    };
    for _ in 0..30 {
        // Opens the congestion window.
        fill(&mut net);
        net.run(Duration::from_millis(50));
    }
    net.run(Duration::from_secs(2));
    net.uplink = Duration::from_micros(60);
    fill(&mut net);
    let pong = net.busy - net.now;
    net.run(Duration::from_secs(60));
    println!("{pong:?} of data in flight");
    assert!(pong > Duration::from_secs(10));
    assert_eq!((net.closed(A), net.closed(B)), (None, None));
    assert_eq!(net.received(B, Channel::Bulk).len(), sent);
}

/// The composer does not take what arrives: the link drops datagrams rather than hold everything, and recovers.
#[test]
fn what_is_not_taken_is_bounded() {
    let mut net = Net::connected(14);
    let block = vec![1; MAX_MESSAGE];
    let mut sent = 0;
    for _ in 0..2_000 {
        if net.with(A, |end, cx| end.link.as_mut().unwrap().send(cx, Channel::Bulk, &block)).is_ok() {
            sent += 1;
        }
        net.settle(A);
        // As `run`, but nobody takes B's events.
        net.now += RTT / 2;
        while let Some(((_, _), (from, _, bytes))) = net.wire.pop_first() {
            let to = 1 - from;
            net.with(to, |end, cx| {
                end.link.as_mut().unwrap().handle_datagram(cx, SOCKET, None, addr(from), &bytes);
            });
            while let Some(Transmit { to: addr, bytes, .. }) = net.ends[to].out.pop() {
                net.post(to, addr, bytes);
            }
            if net.link(B).counters().backlog > 20 {
                break;
            }
        }
        net.call(A, |link, cx| link.on_wake(cx));
        net.with(B, |end, cx| end.link.as_mut().unwrap().on_wake(cx));
        if net.link(B).counters().backlog > 20 {
            break;
        }
    }
    assert!(net.link(B).counters().backlog > 20);
    assert!(sent * MAX_MESSAGE > limits::LINK_BACKLOG);
    net.settle(B);
    net.run(Duration::from_secs(60));
    assert_eq!(net.received(B, Channel::Bulk).len(), sent);
}

/// Random bytes, and real datagrams damaged, from the other end's address and from a stranger's.
///
/// While DTLS shakes hands its first messages are in clear, and who is on the path can spoil that attempt: so until both
/// are secured, damaged DTLS comes from the stranger only, and the stranger repeats no check of ours.
#[test]
fn garbage_changes_nothing() {
    for seed in 0..6 {
        let mut net = Net::new(seed);
        let mut rng = Rng::new([seed as u8 + 100; 32]);
        net.start(A);
        net.start(B);
        let mut real: Vec<Vec<u8>> = Vec::new();
        for round in 0..400 {
            let secured = net.link(A).is_secured() && net.link(B).is_secured();
            real.extend(net.wire.values().map(|(_, _, bytes)| bytes.clone()));
            real.drain(..real.len().saturating_sub(40));
            for end in [A, B] {
                let bytes = damaged(&mut rng, &real);
                if !secured && real.contains(&bytes) {
                    continue;
                }
                let harmless = secured || !matches!(bytes.first(), Some(20..=63));
                let from =
                    if harmless && rng.below(2) == 0 { addr(1 - end) } else { ([10, 0, 0, 9], 9).into() };
                net.call(end, |link, cx| link.handle_datagram(cx, SOCKET, None, from, &bytes));
            }
            net.run(Duration::from_millis(if round < 200 { 3 } else { 40 }));
        }
        for end in [A, B] {
            assert_eq!(net.closed(end), None, "seed {seed}");
            net.call(end, |link, cx| link.send(cx, Channel::Log, b"unharmed")).unwrap();
        }
        net.run(Duration::from_secs(5));
        for end in [A, B] {
            assert_eq!(net.received(end, Channel::Log), [b"unharmed"], "seed {seed}");
            let counters = net.link(end).counters();
            assert!(counters.foreign > 0 && counters.malformed > 0 && counters.unproven > 0, "{counters:?}");
        }
    }
}

fn damaged(rng: &mut Rng, real: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = match rng.choose(real) {
        Some(bytes) if rng.below(3) != 0 => bytes.clone(),
        _ => (0..=rng.below(120)).map(|_| rng.u64() as u8).collect(),
    };
    let at = rng.below(bytes.len() as u64) as usize;
    match rng.below(4) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes.truncate(at),
        2 => bytes[0] = *rng.choose(&[0, 1, 20, 22, 23, 25, 26, 44, 47, 63]).unwrap(),
        _ => {}
    }
    bytes
}

quickcheck! {
    /// A link that hears nothing but noise says nothing about it and stays.
    fn noise_is_harmless(datagrams: Vec<Vec<u8>>) -> bool {
        let mut net = Net::new(15);
        net.start(B);
        for bytes in &datagrams {
            net.call(B, |link, cx| link.handle_datagram(cx, SOCKET, None, addr(A), bytes));
        }
        !net.link(B).is_closed() && net.ends[B].events.is_empty()
    }
}

/// The other end's address changes under a live link (its NAT forgot the mapping): the path follows.
#[test]
fn the_path_follows_a_new_mapping() {
    let mut net = Net::connected(16);
    let moved: SocketAddr = ([10, 0, 0, 7], 7).into();
    let mut until = net.now + Duration::from_secs(40);
    // From now on what A sends comes from elsewhere, and only what is sent there reaches A.
    while net.now < until {
        let Some(next) = [
            net.wire.keys().next().map(|(at, _)| *at),
            net.link(A).next_wake().map(|wake| wake.at),
            net.link(B).next_wake().map(|wake| wake.at),
        ]
        .into_iter()
        .flatten()
        .min() else {
            break;
        };
        net.now = next;
        while let Some(entry) = net.wire.first_entry().filter(|entry| entry.key().0 <= next) {
            let (from, to, bytes) = entry.remove();
            let (end, source) = if from == A { (B, moved) } else { (A, addr(B)) };
            if from == A || to == moved {
                net.call(end, |link, cx| link.handle_datagram(cx, SOCKET, None, source, &bytes));
            }
        }
        for end in [A, B] {
            if net.link(end).next_wake().is_some_and(|wake| wake.at <= next) {
                net.call(end, |link, cx| link.on_wake(cx));
            }
        }
        if net.link(A).is_closed() || net.link(B).is_closed() {
            until = net.now;
        }
    }
    assert_eq!((net.closed(A), net.closed(B)), (None, None));
    assert_eq!(net.link(B).remote_path(), Some((SOCKET, moved)));
}

/// Everything but the contents: times, ends, lengths.
fn scenario(seed: u64) -> Vec<Record> {
    let mut net = Net::new(seed);
    net.loss = 30;
    net.start(A);
    net.run(Duration::from_millis(20));
    net.start(B);
    net.run(Duration::from_secs(8));
    for round in 0..20 {
        for end in [A, B] {
            let _ = net.call(end, |link, cx| link.send(cx, Channel::Log, &vec![round; 900]));
        }
        net.run(Duration::from_millis(300));
    }
    net.run(Duration::from_secs(10));
    net.trace
}

/// The hash is printed so that two processes can be compared.
#[test]
fn same_seed_same_trace() {
    for seed in 0..4 {
        let (first, second) = (scenario(seed), scenario(seed));
        let difference = first.iter().zip(&second).position(|(a, b)| a != b);
        assert_eq!(first.len(), second.len(), "seed {seed}");
        assert_eq!(difference, None, "seed {seed}: {:?}", difference.map(|at| (first[at], second[at])));
        println!("trace of seed {seed}: {} records, {}", first.len(), hash(&first));
    }
    assert_ne!(hash(&scenario(1)), hash(&scenario(2)));
}
