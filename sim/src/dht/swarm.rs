use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use folkmoot_core::base::{Cx, InfoHash, Outbox, Rng, SocketId, SocketInfo, Time, UnixTime};
use folkmoot_core::dht::{Config, Dht, Event, Mode};

use super::law::Law;
use crate::engine::{Draws, EventQueue, Slab, Subject};

/// A DHT of production machines and nothing else: each joins through the protocol, with the bytes that it sends on the
/// internet.
///
/// It is a world of its own beside [`World`](crate::World), because a hundred thousand hosts that are all the same need
/// no names, links and boxes: a seat is a machine, when it is to be woken, and a counter.
#[derive(Debug)]
pub struct Swarm {
    rules: SwarmRules,
    law: Law,
    draws: Draws,
    now: Time,
    /// In the order in which they join.
    seats: Vec<Seat>,
    queue: EventQueue<Happening>,
    packets: Slab<Packet>,
    out: Outbox,
    counts: SwarmCounts,
    /// The lookups under way, by topic.
    quests: BTreeMap<InfoHash, Quest>,
    done: Vec<Found>,
}

/// How large a swarm is and what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwarmRules {
    /// What happens is a function of it.
    pub seed: u64,
    /// How many machines join.
    pub nodes: u32,
    /// How many topics are announced by one and then searched by another, once all are there.
    pub lookups: u32,
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
}

const SOCKET: SocketId = SocketId(0);
const PORT: u16 = 6_881;

/// So many are there from the beginning.
const FOUNDERS: u32 = 16;
/// The network doubles in this time while it grows.
const DOUBLING: Duration = Duration::from_secs(10);
/// From the last join to the first lookup.
const SETTLING: Duration = Duration::from_secs(30);
/// Between two lookups, and between announcing and searching.
const PAUSE: Duration = Duration::from_millis(20);
const REST: Duration = Duration::from_secs(10);
/// After the last.
const ENDING: Duration = Duration::from_secs(15);

const TURN: u32 = 0x5a00_0000;
const TOPIC: Subject = Subject::Scenario(0x5a01);
const SEAT: Subject = Subject::Scenario(0x5a02);

impl Swarm {
    /// A swarm in which nobody has joined yet.
    pub fn new(rules: SwarmRules) -> Self {
        let mut queue = EventQueue::new();
        if rules.nodes > 0 {
            queue.push(Time::ZERO, Happening::Join(0));
        }
        let first_lookup = join_time(rules.nodes) + SETTLING;
        for number in 0..rules.lookups {
            queue.push(first_lookup + PAUSE * number, Happening::Announce(number));
            queue.push(first_lookup + PAUSE * number + REST, Happening::Search(number));
        }
        Self {
            rules,
            law: Law::new(rules.seed),
            draws: Draws::new(rules.seed),
            now: Time::ZERO,
            seats: Vec::with_capacity(rules.nodes as usize),
            queue,
            packets: Slab::new(),
            out: Outbox::default(),
            counts: SwarmCounts::default(),
            quests: BTreeMap::new(),
            done: Vec::new(),
        }
    }

    /// When all lookups are over.
    pub fn end(&self) -> Time {
        join_time(self.rules.nodes) + SETTLING + PAUSE * self.rules.lookups + REST + ENDING
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
        let bound = address(number);
        let (mut rng, mut out) = (Rng::new(self.entropy(number, 0)), Outbox::default());
        let config = Config { mode: Mode::Server, ..Config::default() };
        let mut cx = Cx { now: self.now, unix: self.unix(), rng: &mut rng, out: &mut out };
        self.seats.push(Seat { dht: Dht::new(config, &mut cx), wake: None, turns: 1 });
        // Three of those who have been there for some time; the founders ask each other.
        let earlier = number.saturating_sub(number / 16);
        let hosts: Vec<SocketAddr> = match number {
            0..FOUNDERS => (0..number).map(address).collect(),
            _ => (0..3).map(|host| address(self.pick(number, host, earlier))).collect(),
        };
        self.turn(number, |dht, cx| {
            dht.set_sockets(cx, &[SocketInfo { id: SOCKET, bound, addrs: vec![bound.ip()] }]);
            dht.bootstrap(cx, &hosts);
        });
        if number + 1 < self.rules.nodes {
            self.queue.push(join_time(number + 1), Happening::Join(number + 1));
        }
    }

    fn arrive(&mut self, handle: u32) {
        let Some(Packet { from, to, bytes }) = self.packets.remove(handle) else { return };
        let word =
            (u64::from(from) << 32 | u64::from(to)) ^ (bytes.len() as u64) << 24 ^ self.now.as_micros();
        self.counts.hash = (self.counts.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        self.turn(to, |dht, cx| dht.handle_datagram(cx, SOCKET, None, address(from), &bytes));
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
        let (topic, announcer) = (self.topic(number), self.pick(number, 10, self.rules.nodes));
        let quest = Quest { announcer, stored: 0, began: self.now, first: None };
        self.quests.insert(topic, quest);
        self.turn(announcer, |dht, cx| dht.announce(cx, topic));
    }

    fn search(&mut self, number: u32) {
        let (topic, seeker) = (self.topic(number), self.pick(number, 11, self.rules.nodes));
        let Some(quest) = self.quests.get_mut(&topic) else { return };
        quest.began = self.now;
        self.turn(seeker, |dht, cx| dht.find_peers(cx, topic));
    }

    /// One call of a machine, and what follows from it.
    fn turn(&mut self, number: u32, call: impl FnOnce(&mut Dht, &mut Cx<'_>)) {
        let seat = &mut self.seats[number as usize];
        let entropy = self.draws.bytes(Subject::Host(TURN ^ number), seat.turns.into());
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
                    && peers.contains(&address(quest.announcer))
                {
                    quest.first.get_or_insert(self.now - quest.began);
                }
            }
            Event::Sought { topic, .. } => {
                if let Some(Quest { stored, first, began, .. }) = self.quests.remove(&topic) {
                    self.done.push(Found { stored, first, end: self.now - began });
                }
            }
            _ => {}
        }
    }

    fn transmit(&mut self, from: u32, to: SocketAddr, bytes: Vec<u8>) {
        let index = self.counts.sent;
        self.counts.sent += 1;
        self.counts.sent_bytes += bytes.len() as u64;
        match number(to).filter(|number| (*number as usize) < self.seats.len()) {
            None => self.counts.astray += 1,
            Some(_) if self.law.loses(index) => self.counts.lost += 1,
            Some(to) => {
                let rtt = self.law.rtt(from.min(to).into(), from.max(to).into());
                let handle = self.packets.insert(Packet { from, to, bytes });
                self.queue.push(self.now + rtt / 2, Happening::Arrival(handle));
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

    fn unix(&self) -> UnixTime {
        unix(self.now)
    }

    fn entropy(&self, number: u32, turn: u64) -> [u8; 32] {
        self.draws.bytes(Subject::Host(TURN ^ number), turn)
    }

    fn pick(&self, number: u32, what: u64, among: u32) -> u32 {
        self.draws.below(SEAT, u64::from(number) << 8 | what, among.into()) as u32
    }

    fn topic(&self, number: u32) -> InfoHash {
        let mut topic = InfoHash([0; 20]);
        topic.0.copy_from_slice(&self.draws.bytes(TOPIC, number.into())[..20]);
        topic
    }
}

/// Noon of 2026-01-15 UTC, and so long after.
fn unix(now: Time) -> UnixTime {
    UnixTime::from_millis(1_768_478_400_000) + now.saturating_since(Time::ZERO)
}

/// When machine `number` joins: all founders at once, then so many that the network doubles in [`DOUBLING`].
fn join_time(number: u32) -> Time {
    let Some(octave) = (number / FOUNDERS).checked_ilog2() else { return Time::ZERO };
    let begin = FOUNDERS << octave;
    let within = DOUBLING.as_micros() as u64 * u64::from(number - begin) / u64::from(begin);
    Time::ZERO + DOUBLING * octave + Duration::from_micros(within)
}

/// Each machine is alone in its /24, and neighbours in number are strangers. Distinct below 3.9 million.
fn address(number: u32) -> SocketAddr {
    let (first, rest) = (20 + number % 60, number / 60);
    let last = 10 + number % 200;
    let ip = Ipv4Addr::new(first as u8, rest as u8, (rest >> 8) as u8, last as u8);
    SocketAddr::from((ip, PORT))
}

/// The other way round.
fn number(addr: SocketAddr) -> Option<u32> {
    let IpAddr::V4(ip) = addr.ip() else { return None };
    let [first, low, high, _] = ip.octets();
    let rest = u32::from(high) << 8 | u32::from(low);
    let number = rest * 60 + u32::from(first).checked_sub(20)?;
    (address(number) == addr).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_numbers() {
        for n in (0..3_900_000).step_by(997) {
            assert_eq!(number(address(n)), Some(n));
        }
        assert_eq!(number(([8, 8, 8, 8], PORT).into()), None);
        assert_eq!(number(([30, 8, 8, 8], 1).into()), None);
    }

    #[test]
    fn it_doubles_every_ten_seconds() {
        let at = |number| join_time(number).as_millis();
        assert_eq!(
            [at(0), at(31), at(32), at(48), at(64), at(16 << 7)],
            [0, 9_375, 10_000, 15_000, 20_000, 70_000]
        );
        assert!((0..5_000).map(join_time).is_sorted());
    }

    /// Who is announced is found, in a network that formed itself; and a seed is a run.
    #[test]
    fn a_swarm_forms_and_finds() {
        let rules = SwarmRules { seed: 4, nodes: 120, lookups: 20 };
        let run = || {
            let mut swarm = Swarm::new(rules);
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
