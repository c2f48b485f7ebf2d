use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use folkmoot_core::base::{Cx, InfoHash, Outbox, Rng, SocketId, SocketInfo, Time, UnixTime};
use folkmoot_core::dht::{Config, Dht, Event, Mode};

use super::super::law::Law;
use super::super::plan::Plan;
use super::super::trail::Trail;
use super::{Found, SHARDS, SwarmCounts};
use crate::engine::{EventQueue, Slab};

/// A share of a swarm's machines: one in sixteen.
#[derive(Debug)]
pub struct Shard {
    plan: Plan,
    law: Law,
    now: Time,
    /// The number of the first seat; those of the others follow in steps of `SHARDS`.
    first: u32,
    /// In the order in which they join.
    seats: Vec<Seat>,
    queue: EventQueue<Happening>,
    packets: Slab<Packet>,
    out: Outbox,
    counts: SwarmCounts,
    /// What was sent since the last handover, by the shard where it goes.
    pub(super) sent: Vec<Vec<Passing>>,
    /// What came with the last handover, by the shard that it is from.
    pub(super) received: Vec<Vec<Passing>>,
    /// The searches under way, by seeker and topic.
    quests: BTreeMap<(u32, InfoHash), Quest>,
    /// How many nodes stored what is announced from here.
    stored: BTreeMap<InfoHash, usize>,
    /// The searches that are over, with their numbers. What was [stored](Found::stored) is known elsewhere.
    found: Vec<(u32, Found)>,
}

#[derive(Debug)]
struct Seat {
    dht: Dht,
    /// The wake that is in the queue, if one is. It may come earlier than need be, and never later.
    wake: Option<Time>,
    /// How often the machine was called: each call has randomness of its own, so that no generator is kept.
    turns: u32,
    /// Datagrams sent.
    sent: u32,
}

#[derive(Debug)]
struct Packet {
    from: u32,
    to: u32,
    bytes: Vec<u8>,
}

/// A datagram that arrives at this moment.
#[derive(Debug)]
pub(super) struct Passing {
    at: Time,
    packet: Packet,
}

#[derive(Clone, Copy, Debug)]
enum Happening {
    Join(u32),
    Arrival(u32),
    Wake(u32),
    Announce(u32),
    Search(u32),
}

#[derive(Debug)]
struct Quest {
    number: u32,
    announcer: SocketAddr,
    began: Time,
    first: Option<Duration>,
    trail: Trail,
}

const SOCKET: SocketId = SocketId(0);

impl Shard {
    /// Shard number `first`, in which nobody has joined yet.
    pub(super) fn new(plan: Plan, first: u32) -> Self {
        let mut queue = EventQueue::new();
        if first < plan.nodes {
            queue.push(plan.joins_at(first), Happening::Join(first));
        }
        for number in 0..plan.lookups {
            if plan.announcer(number) % SHARDS == first {
                queue.push(plan.announces_at(number), Happening::Announce(number));
            }
            if plan.seeker(number) % SHARDS == first {
                queue.push(plan.searches_at(number), Happening::Search(number));
            }
        }
        let lists = || (0..SHARDS).map(|_| Vec::new()).collect();
        Self {
            plan,
            law: Law::new(plan.seed),
            now: Time::ZERO,
            first,
            seats: Vec::with_capacity(plan.nodes.saturating_sub(first).div_ceil(SHARDS) as usize),
            queue,
            packets: Slab::new(),
            out: Outbox::default(),
            counts: SwarmCounts::default(),
            sent: lists(),
            received: lists(),
            quests: BTreeMap::new(),
            stored: BTreeMap::new(),
            found: Vec::new(),
        }
    }

    /// Handles all that happens here up to `until`.
    pub fn run_until(&mut self, until: Time) {
        for Passing { at, packet } in self.received.iter_mut().flat_map(|list| list.drain(..)) {
            debug_assert!(at > self.now, "a datagram arrived before it was handed over");
            self.queue.push(at, Happening::Arrival(self.packets.insert(packet)));
        }
        while self.queue.next_at().is_some_and(|at| at <= until) {
            let Some((at, happening)) = self.queue.pop() else { break };
            self.now = at;
            self.counts.events += 1;
            match happening {
                Happening::Join(number) => self.join(number),
                Happening::Arrival(handle) => self.arrive(handle),
                Happening::Wake(number) => self.wake(number),
                Happening::Announce(number) => self.announce(number),
                Happening::Search(number) => self.search(number),
            }
        }
        self.now = until;
    }

    pub(super) fn machines(&self) -> impl ExactSizeIterator<Item = &Dht> {
        self.seats.iter().map(|seat| &seat.dht)
    }

    pub(super) fn counts(&self) -> &SwarmCounts {
        &self.counts
    }

    pub(super) fn found(&self) -> &[(u32, Found)] {
        &self.found
    }

    pub(super) fn stored(&self, topic: &InfoHash) -> usize {
        self.stored.get(topic).copied().unwrap_or_default()
    }

    fn join(&mut self, number: u32) {
        let (bound, hosts) = (self.plan.address(number), self.plan.hosts(number));
        let (mut rng, mut out) = (Rng::new(self.plan.entropy(number, 0)), Outbox::default());
        let config = Config { mode: Mode::Server, ..Config::default() };
        let mut cx = Cx { now: self.now, unix: unix(self.now), rng: &mut rng, out: &mut out };
        self.seats.push(Seat { dht: Dht::new(config, &mut cx), wake: None, turns: 1, sent: 0 });
        self.turn(number, |dht, cx| {
            dht.set_sockets(cx, &[SocketInfo { id: SOCKET, bound, addrs: vec![bound.ip()] }]);
            dht.bootstrap(cx, &hosts);
        });
        let next = number + SHARDS;
        if next < self.plan.nodes {
            self.queue.push(self.plan.joins_at(next), Happening::Join(next));
        }
    }

    fn arrive(&mut self, handle: u32) {
        let Some(Packet { from, to, bytes }) = self.packets.remove(handle) else { return };
        if self.place(to) >= self.seats.len() {
            self.counts.astray += 1;
            return;
        }
        let word = (u64::from(from) << 32 | u64::from(to)) ^ (bytes.len() as u64) << 24;
        self.counts.note(word ^ self.now.as_micros());
        let from = self.plan.address(from);
        for quest in self.quests_of(to) {
            quest.trail.received(from, &bytes);
        }
        self.turn(to, |dht, cx| dht.handle_datagram(cx, SOCKET, None, from, &bytes));
    }

    fn wake(&mut self, number: u32) {
        let now = self.now;
        let seat = self.seat(number);
        if seat.wake != Some(now) {
            return;
        }
        seat.wake = None;
        if seat.dht.next_wake().is_some_and(|wake| wake.at <= now) {
            self.turn(number, |dht, cx| dht.on_wake(cx));
        } else {
            self.schedule(number);
        }
    }

    fn announce(&mut self, number: u32) {
        let topic = self.plan.topic(number);
        self.turn(self.plan.announcer(number), |dht, cx| dht.announce(cx, topic));
    }

    fn search(&mut self, number: u32) {
        let (topic, seeker) = (self.plan.topic(number), self.plan.seeker(number));
        let announcer = self.plan.address(self.plan.announcer(number));
        let trail = Trail::new(topic, self.seat(seeker).dht.nodes().map(|contact| contact.addr));
        let quest = Quest { number, announcer, began: self.now, first: None, trail };
        self.quests.insert((seeker, topic), quest);
        self.turn(seeker, |dht, cx| dht.find_peers(cx, topic));
    }

    /// One call of a machine, and what follows from it.
    fn turn(&mut self, number: u32, call: impl FnOnce(&mut Dht, &mut Cx<'_>)) {
        let place = self.place(number);
        let seat = &mut self.seats[place];
        let mut rng = Rng::new(self.plan.entropy(number, seat.turns));
        seat.turns += 1;
        let unix = unix(self.now);
        call(&mut seat.dht, &mut Cx { now: self.now, unix, rng: &mut rng, out: &mut self.out });
        while let Some(event) = self.seats[place].dht.pop_event() {
            self.hear(number, event);
        }
        while let Some(transmit) = self.out.pop() {
            self.transmit(number, transmit.to, transmit.bytes);
        }
        self.schedule(number);
    }

    fn hear(&mut self, number: u32, event: Event) {
        match event {
            Event::Bootstrapped { .. } => self.counts.bootstrapped += 1,
            Event::Announced { topic, nodes } => {
                self.stored.insert(topic, nodes);
            }
            Event::Peers { topic, peers, .. } => {
                if let Some(quest) = self.quests.get_mut(&(number, topic))
                    && peers.contains(&quest.announcer)
                {
                    quest.first.get_or_insert(self.now - quest.began);
                }
            }
            Event::Sought { topic, .. } => {
                if let Some(quest) = self.quests.remove(&(number, topic)) {
                    let Quest { number, first, began, trail, .. } = quest;
                    let (questions, hops) = (trail.questions(), trail.hops());
                    let end = self.now - began;
                    self.found.push((number, Found { stored: 0, first, end, questions, hops }));
                }
            }
            _ => {}
        }
    }

    fn transmit(&mut self, from: u32, to: SocketAddr, bytes: Vec<u8>) {
        self.counts.sent += 1;
        self.counts.sent_bytes += bytes.len() as u64;
        for quest in self.quests_of(from) {
            quest.trail.sent(&bytes);
        }
        let seat = self.seat(from);
        let index = u64::from(from) << 32 | u64::from(seat.sent);
        seat.sent += 1;
        let Some(to) = self.plan.number(to) else {
            self.counts.astray += 1;
            return;
        };
        match self.plan.passage(&self.law, index, from, to) {
            None => self.counts.lost += 1,
            Some(time) => self.sent[(to % SHARDS) as usize]
                .push(Passing { at: self.now + time, packet: Packet { from, to, bytes } }),
        }
    }

    /// Puts the next wake of a machine into the queue, unless one that is no later is there.
    fn schedule(&mut self, number: u32) {
        let now = self.now;
        let seat = self.seat(number);
        let Some(wake) = seat.dht.next_wake() else { return };
        let at = wake.at.max(now);
        if seat.wake.is_none_or(|earlier| at < earlier) {
            seat.wake = Some(at);
            self.queue.push(at, Happening::Wake(number));
        }
    }

    /// Where among the seats a machine is.
    fn place(&self, number: u32) -> usize {
        ((number - self.first) / SHARDS) as usize
    }

    fn seat(&mut self, number: u32) -> &mut Seat {
        let place = self.place(number);
        &mut self.seats[place]
    }

    /// What a machine searches.
    fn quests_of(&mut self, seeker: u32) -> impl Iterator<Item = &mut Quest> {
        let topics = (seeker, InfoHash([0; 20]))..=(seeker, InfoHash([0xff; 20]));
        self.quests.range_mut(topics).map(|(_, quest)| quest)
    }
}

/// Noon of 2026-01-15 UTC, and so long after.
fn unix(now: Time) -> UnixTime {
    UnixTime::from_millis(1_768_478_400_000) + now.saturating_since(Time::ZERO)
}
