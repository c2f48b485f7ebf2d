mod shard;

use std::time::Duration;

use folkmoot_core::base::Time;
use folkmoot_core::dht::Dht;

use super::plan::Plan;
pub use shard::Shard;

/// A DHT of production machines and nothing else: each joins through the protocol, with the bytes that it sends on the
/// internet.
///
/// It is a world of its own beside [`World`](crate::World), because a hundred thousand hosts that are all the same need
/// no names, links and boxes: a seat is a machine, when it is to be woken, and a counter.
///
/// Its machines are dealt out to [shards](Shard), which may run at once: nothing arrives sooner than the shortest way takes
/// (5 ms in the internet), so for that long no shard can concern another. Then all hand over what they sent to each other. How many
/// shards there are is always the same, so what happens does not depend on how many run at once.
#[derive(Debug)]
pub struct Swarm {
    plan: Plan,
    now: Time,
    /// The last moment before what was sent is handed over.
    round_ends: Time,
    shards: Vec<Shard>,
}

/// Runs the shards of a swarm. A library has no threads; who has some makes a crew of them.
pub trait Crew {
    /// Calls [`Shard::run_until`] of each, in any order or at once, and returns when all have returned. They must be left in
    /// the order in which they are.
    fn run(&mut self, shards: &mut Vec<Shard>, until: Time);
}

/// One after the other.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

impl Crew for Alone {
    fn run(&mut self, shards: &mut Vec<Shard>, until: Time) {
        shards.iter_mut().for_each(|shard| shard.run_until(until));
    }
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

impl SwarmCounts {
    fn add(&mut self, other: &Self) {
        let Self { events, sent, sent_bytes, lost, astray, bootstrapped, hash } = other;
        self.events += events;
        self.sent += sent;
        self.sent_bytes += sent_bytes;
        self.lost += lost;
        self.astray += astray;
        self.bootstrapped += bootstrapped;
        self.note(*hash);
    }

    fn note(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }
}

/// How many shards there are. More than most machines have processors for, so that these are busy to the end.
const SHARDS: u32 = 16;

impl Swarm {
    /// A swarm in which nobody has joined yet.
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            now: Time::ZERO,
            round_ends: Time::ZERO + (plan.shortest_passage() - Duration::from_micros(1)),
            shards: (0..SHARDS).map(|number| Shard::new(plan, number)).collect(),
        }
    }

    /// When all lookups are over.
    pub fn end(&self) -> Time {
        self.plan.ends_at()
    }

    /// Handles all that happens up to `until`.
    pub fn run_until(&mut self, until: Time, crew: &mut impl Crew) {
        while self.now < until {
            self.now = until.min(self.round_ends);
            crew.run(&mut self.shards, self.now);
            if self.now == self.round_ends {
                self.hand_over();
                self.round_ends += self.plan.shortest_passage();
            }
        }
    }

    /// The moment.
    pub fn now(&self) -> Time {
        self.now
    }

    /// How many have joined.
    pub fn joined(&self) -> usize {
        self.shards.iter().map(|shard| shard.machines().count()).sum()
    }

    /// What happened so far.
    pub fn counts(&self) -> SwarmCounts {
        let mut all = SwarmCounts::default();
        self.shards.iter().for_each(|shard| all.add(shard.counts()));
        all
    }

    /// How many searches are over.
    pub fn searched(&self) -> usize {
        self.shards.iter().map(|shard| shard.found().len()).sum()
    }

    /// The searches that are over, in the order in which they began.
    pub fn found(&self) -> Vec<Found> {
        let mut all: Vec<_> = self.shards.iter().flat_map(Shard::found).collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        all.into_iter().map(|(number, found)| Found { stored: self.stored(*number), ..*found }).collect()
    }

    /// Looks at every machine.
    pub fn census(&self) -> Census {
        let sorted = |of: fn(&Dht) -> usize| {
            let mut all: Vec<usize> = self.shards.iter().flat_map(Shard::machines).map(of).collect();
            all.sort_unstable();
            all
        };
        Census { known: sorted(|dht| dht.nodes().count()), bytes: sorted(Dht::footprint) }
    }

    /// How many nodes stored what lookup `number` is for.
    fn stored(&self, number: u32) -> usize {
        let announcer = &self.shards[(self.plan.announcer(number) % SHARDS) as usize];
        announcer.stored(&self.plan.topic(number))
    }

    fn hand_over(&mut self) {
        for from in 0..self.shards.len() {
            for to in 0..self.shards.len() {
                // Lists that were emptied go back, to be filled again.
                let sent = std::mem::take(&mut self.shards[from].sent[to]);
                self.shards[from].sent[to] = std::mem::replace(&mut self.shards[to].received[from], sent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Site;
    use super::*;

    /// The last one first.
    struct Otherwise;

    impl Crew for Otherwise {
        fn run(&mut self, shards: &mut Vec<Shard>, until: Time) {
            shards.iter_mut().rev().for_each(|shard| shard.run_until(until));
        }
    }

    /// Who is announced is found, in a network that formed itself; and a seed is a run, whoever runs the shards, and however
    /// often it is stopped.
    #[test]
    fn a_swarm_forms_and_finds() {
        let plan = Plan { seed: 4, nodes: 120, lookups: 20, site: Site::Internet };
        let mut swarm = Swarm::new(plan);
        swarm.run_until(swarm.end(), &mut Alone);
        let (census, counts) = (swarm.census(), swarm.counts());
        assert_eq!((swarm.joined(), counts.bootstrapped, counts.astray), (120, 120, 0));
        assert!(census.known[0] >= 8, "{census:?}");
        assert_eq!(swarm.found().len(), 20);
        let found = swarm.found().iter().filter(|found| found.first.is_some()).count();
        assert_eq!(found, 20, "{:?}", swarm.found());
        let mut again = Swarm::new(plan);
        while again.now() < again.end() {
            let until = again.now() + Duration::from_micros(333_333);
            again.run_until(until.min(again.end()), &mut Otherwise);
        }
        assert_eq!((again.counts(), again.found()), (counts, swarm.found()));
    }
}
