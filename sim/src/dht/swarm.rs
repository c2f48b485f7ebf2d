use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use folkmoot_core::base::{Cx, InfoHash, Outbox, Rng, SocketId, SocketInfo, Time, UnixTime};
use folkmoot_core::dht::{Config, Dht, Event, Mode};

use super::law::Law;
use super::plan::Plan;
use super::trail::Trail;
use crate::engine::{EventQueue, Slab};

/// A DHT of production machines and nothing else: each joins through the protocol, with the bytes that it sends on the
/// internet.
///
/// It is a world of its own beside [`World`](crate::World), because a hundred thousand hosts that are all the same need
/// no names, links and boxes: a seat is a machine, when it is to be woken, and a counter.
#[derive(Debug)]
pub struct Swarm {
    plan: Plan,
    law: Law,
    now: Time,
    /// In the order in which they join.
    seats: Vec<Seat>,
    queue: EventQueue<Happening>,
    packets: Slab<Packet>,
    out: Outbox,
    counts: SwarmCounts,
    /// The lookups under way, by topic.
    quests: BTreeMap<InfoHash, Quest>,
    /// Who searches what just now.
    seekers: BTreeMap<u32, InfoHash>,
    done: Vec<Found>,
}

/// What happened in a swarm so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwarmCounts {
    /// Events handled: datagrams that arrived, wakes, joins.
    pub events: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Bytes of payload sent.
    pub sent_bytes: u64,
    /// Datagrams lost on the way.
    pub lost: u64,
    /// Datagrams to an address where nobody is.
    pub astray: u64,
    /// Machines that said that they are part of the network.
    pub bootstrapped: u64,
    /// A hash over every datagram that arrived: when, from where, to where, how long.
    pub hash: u64,
}

/// How a topic was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Nodes that stored the announcement.
    pub stored: usize,
    /// From the beginning of the search to the first answer that names the announcer; `None` if none did.
    pub first: Option<Duration>,
    /// To the end of the search.
    pub end: Duration,
    /// Questions that the seeker sent for it.
    pub questions: u32,
    /// How many answers it took to the first that names a peer.
    pub hops: Option<u32>,
}

/// What the machines of a swarm look like at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    /// Nodes in the routing table of each machine, in order.
    pub known: Vec<usize>,
    /// Bytes of each machine, in order; see [`Dht::footprint`].
    pub bytes: Vec<usize>,
}

#[derive(Debug)]
struct Seat {
    dht: Dht,
    /// The wake that is in the queue, if one is. It may come earlier than need be, and never later.
    wake: Option<Time>,
    /// How often the machine was called: each call has randomness of its own, so that no generator is kept.
    turns: u32,
}

#[derive(Debug)]
struct Packet {
    from: u32,
    to: u32,
    bytes: Vec<u8>,
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
    announcer: u32,
    stored: usize,
    began: Time,
    first: Option<Duration>,
    trail: Trail,
}

const SOCKET: SocketId = SocketId(0);
impl Swarm {
    /// A swarm in which nobody has joined yet.
    pub fn new(plan: Plan) -> Self {
        let mut queue = EventQueue::new();
        if plan.nodes > 0 {
            queue.push(Time::ZERO, Happening::Join(0));
        }
        for number in 0..plan.lookups {
            queue.push(plan.announces_at(number), Happening::Announce(number));
            queue.push(plan.searches_at(number), Happening::Search(number));
        }
        Self {
            plan,
            law: Law::new(plan.seed),
            now: Time::ZERO,
            seats: Vec::with_capacity(plan.nodes as usize),
            queue,
            packets: Slab::new(),
            out: Outbox::default(),
            counts: SwarmCounts::default(),
            quests: BTreeMap::new(),
            seekers: BTreeMap::new(),
            done: Vec::new(),
        }
    }

    /// When all lookups are over.
    pub fn end(&self) -> Time {
        self.plan.ends_at()
    }

    /// Handles all that happens up to `until`.
    pub fn run_until(&mut self, until: Time) {
        while self.queue.next_at().is_some_and(|at| at <= until) {
            let Some((at, happening)) = self.queue.pop() else { break };
            self.now = at;
            self.counts.events += 1;
            match happening {
                Happening::Join(number) => self.join(number),
                Happening::Arrival(handle) => self.arrive(handle),
                Happening::Wake(seat) => self.wake(seat),
                Happening::Announce(number) => self.announce(number),
                Happening::Search(number) => self.search(number),
            }
        }
        self.now = self.now.max(until);
    }

    /// The moment.
    pub fn now(&self) -> Time {
        self.now
    }

    /// How many have joined.
    pub fn joined(&self) -> usize {
        self.seats.len()
    }

    /// What happened so far.
    pub fn counts(&self) -> SwarmCounts {
        self.counts
    }

    /// The searches that are over, in the order in which they ended.
    pub fn found(&self) -> &[Found] {
        &self.done
    }

    /// Looks at every machine.
    pub fn census(&self) -> Census {
        let sorted = |of: fn(&Dht) -> usize| {
            let mut all: Vec<usize> = self.seats.iter().map(|seat| of(&seat.dht)).collect();
            all.sort_unstable();
            all
        };
        Census { known: sorted(|dht| dht.nodes().count()), bytes: sorted(Dht::footprint) }
    }

    fn join(&mut self, number: u32) {
        let (bound, hosts) = (self.plan.address(number), self.plan.hosts(number));
        let (mut rng, mut out) = (Rng::new(self.plan.entropy(number, 0)), Outbox::default());
        let config = Config { mode: Mode::Server, ..Config::default() };
        let mut cx = Cx { now: self.now, unix: unix(self.now), rng: &mut rng, out: &mut out };
        self.seats.push(Seat { dht: Dht::new(config, &mut cx), wake: None, turns: 1 });
        self.turn(number, |dht, cx| {
            dht.set_sockets(cx, &[SocketInfo { id: SOCKET, bound, addrs: vec![bound.ip()] }]);
            dht.bootstrap(cx, &hosts);
        });
        if number + 1 < self.plan.nodes {
            self.queue.push(self.plan.joins_at(number + 1), Happening::Join(number + 1));
        }
    }

    fn arrive(&mut self, handle: u32) {
        let Some(Packet { from, to, bytes }) = self.packets.remove(handle) else { return };
        let word =
            (u64::from(from) << 32 | u64::from(to)) ^ (bytes.len() as u64) << 24 ^ self.now.as_micros();
        self.counts.hash = (self.counts.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        let from = self.plan.address(from);
        if let Some(quest) = self.seekers.get(&to).and_then(|topic| self.quests.get_mut(topic)) {
            quest.trail.received(from, &bytes);
        }
        self.turn(to, |dht, cx| dht.handle_datagram(cx, SOCKET, None, from, &bytes));
    }

    fn wake(&mut self, number: u32) {
        let seat = &mut self.seats[number as usize];
        if seat.wake != Some(self.now) {
            return;
        }
        seat.wake = None;
        if seat.dht.next_wake().is_some_and(|wake| wake.at <= self.now) {
            self.turn(number, |dht, cx| dht.on_wake(cx));
        } else {
            self.schedule(number);
        }
    }

    fn announce(&mut self, number: u32) {
        let (topic, announcer) = (self.plan.topic(number), self.plan.announcer(number));
        let trail = Trail::new(topic, std::iter::empty());
        self.quests.insert(topic, Quest { announcer, stored: 0, began: self.now, first: None, trail });
        self.turn(announcer, |dht, cx| dht.announce(cx, topic));
    }

    fn search(&mut self, number: u32) {
        let (topic, seeker) = (self.plan.topic(number), self.plan.seeker(number));
        let Some(quest) = self.quests.get_mut(&topic) else { return };
        quest.began = self.now;
        quest.trail = Trail::new(topic, self.seats[seeker as usize].dht.nodes().map(|contact| contact.addr));
        self.seekers.insert(seeker, topic);
        self.turn(seeker, |dht, cx| dht.find_peers(cx, topic));
    }

    /// One call of a machine, and what follows from it.
    fn turn(&mut self, number: u32, call: impl FnOnce(&mut Dht, &mut Cx<'_>)) {
        let seat = &mut self.seats[number as usize];
        let entropy = self.plan.entropy(number, seat.turns);
        seat.turns += 1;
        let mut rng = Rng::new(entropy);
        let unix = unix(self.now);
        call(&mut seat.dht, &mut Cx { now: self.now, unix, rng: &mut rng, out: &mut self.out });
        while let Some(event) = self.seats[number as usize].dht.pop_event() {
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
                if let Some(quest) = self.quests.get_mut(&topic).filter(|quest| quest.announcer == number) {
                    quest.stored = nodes;
                }
            }
            Event::Peers { topic, peers, .. } => {
                if let Some(quest) = self.quests.get_mut(&topic)
                    && quest.announcer != number
                    && peers.contains(&self.plan.address(quest.announcer))
                {
                    quest.first.get_or_insert(self.now - quest.began);
                }
            }
            Event::Sought { topic, .. } => {
                if let Some(Quest { stored, first, began, trail, .. }) = self.quests.remove(&topic) {
                    let (questions, hops) = (trail.questions(), trail.hops());
                    self.done.push(Found { stored, first, end: self.now - began, questions, hops });
                    self.seekers.retain(|_, sought| *sought != topic);
                }
            }
            _ => {}
        }
    }

    fn transmit(&mut self, from: u32, to: SocketAddr, bytes: Vec<u8>) {
        let index = self.counts.sent;
        self.counts.sent += 1;
        self.counts.sent_bytes += bytes.len() as u64;
        if let Some(quest) = self.seekers.get(&from).and_then(|topic| self.quests.get_mut(topic)) {
            quest.trail.sent(&bytes);
        }
        let Some(to) = self.plan.number(to).filter(|number| (*number as usize) < self.seats.len()) else {
            self.counts.astray += 1;
            return;
        };
        match self.plan.passage(&self.law, index, from, to) {
            None => self.counts.lost += 1,
            Some(time) => {
                let handle = self.packets.insert(Packet { from, to, bytes });
                self.queue.push(self.now + time, Happening::Arrival(handle));
            }
        }
    }

    /// Puts the next wake of a machine into the queue, unless one that is no later is there.
    fn schedule(&mut self, number: u32) {
        let seat = &mut self.seats[number as usize];
        let Some(wake) = seat.dht.next_wake() else { return };
        let at = wake.at.max(self.now);
        if seat.wake.is_none_or(|earlier| at < earlier) {
            seat.wake = Some(at);
            self.queue.push(at, Happening::Wake(number));
        }
    }
}

/// Noon of 2026-01-15 UTC, and so long after.
fn unix(now: Time) -> UnixTime {
    UnixTime::from_millis(1_768_478_400_000) + now.saturating_since(Time::ZERO)
}

#[cfg(test)]
mod tests {
    use super::super::plan::Site;
    use super::*;

    /// Who is announced is found, in a network that formed itself; and a seed is a run.
    #[test]
    fn a_swarm_forms_and_finds() {
        let plan = Plan { seed: 4, nodes: 120, lookups: 20, site: Site::Internet };
        let run = || {
            let mut swarm = Swarm::new(plan);
            swarm.run_until(swarm.end());
            swarm
        };
        let swarm = run();
        let (census, counts) = (swarm.census(), swarm.counts());
        assert_eq!((swarm.joined(), counts.bootstrapped, counts.astray), (120, 120, 0));
        assert!(census.known[0] >= 8, "{census:?}");
        assert_eq!(swarm.found().len(), 20);
        let found = swarm.found().iter().filter(|found| found.first.is_some()).count();
        assert_eq!(found, 20, "{:?}", swarm.found());
        assert_eq!(run().counts(), counts);
    }
}
