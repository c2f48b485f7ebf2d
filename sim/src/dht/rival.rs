use std::fmt;
use std::time::Duration;

use folkmoot_core::base::Time;

use super::ambient::{Ambient, K, Place};
use super::law::Law;
use super::sample::Sample;
use crate::engine::EventQueue;

/// How another implementation looks things up, modelled after its source: whom it asks next, how long it waits, and
/// when it is done. What costs it more time in reality (ticks, one datagram per tick, start from bootstrap hosts) is
/// left out, in its favour, but for timers that are part of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rival {
    /// Crate `mainline` 8: all of the 20 closest at once, each pinged as well; 2 s; done when nothing is under way.
    Mainline,
    /// k-rpc, of bittorrent-dht 11: 16 at once of the 20 closest; 2 to 2.5 s; done when nothing is under way.
    KRpc,
    /// libtorrent 2: five at once among the closest; after 1 s without an answer one more, after 15 s given up; done when
    /// the eight closest have answered and none closer is waited for.
    Libtorrent,
    /// What libtorrent's would be if its end did not wait for who is silent for more than 1 s.
    LibtorrentImpatient,
}

impl Rival {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Mainline, Self::KRpc, Self::Libtorrent, Self::LibtorrentImpatient];

    /// How many nodes of bucket `index` its routing table holds.
    pub fn bucket(self, index: u32) -> usize {
        match self {
            Self::Mainline | Self::KRpc => 20,
            Self::Libtorrent | Self::LibtorrentImpatient => (128 >> index.min(4)).max(8),
        }
    }

    /// From how many nodes of its table it starts, and how many closest ones it is about.
    fn width(self) -> usize {
        match self {
            Self::Mainline | Self::KRpc => 20,
            Self::Libtorrent | Self::LibtorrentImpatient => 8,
        }
    }
}

impl fmt::Display for Rival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mainline => "mainline",
            Self::KRpc => "k-rpc",
            Self::Libtorrent => "libtorrent",
            Self::LibtorrentImpatient => "libtorrent, impatient",
        })
    }
}

/// A lookup as a rival does it.
#[derive(Debug)]
pub struct Model<'a> {
    rival: Rival,
    ambient: &'a Ambient,
    law: Law,
    /// Tells its draws from those of other lookups.
    number: u64,
    target: [u8; 20],
    now: Time,
    /// The closest first.
    candidates: Vec<Candidate>,
    queue: EventQueue<Happening>,
    /// Questions and pings under way.
    in_flight: u32,
    /// How many libtorrent lets be under way.
    branch: usize,
    sent: u64,
    questions: u32,
    holders: Vec<Place>,
    /// When the first holder answered, how many answers led there, and how many questions had been asked.
    first: Option<(Time, u32, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    place: Place,
    distance: u64,
    hops: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Asked,
    /// Asked a second ago (libtorrent).
    Slow,
    Answered,
    Failed,
}

#[derive(Clone, Copy, Debug)]
enum Happening {
    Answer(Place),
    Slow(Place),
    GivenUp(Place),
    /// A ping was answered or given up.
    Pinged,
}

const SOFT: Duration = Duration::from_secs(1);
const HARD: Duration = Duration::from_secs(15);
const TIMEOUT: Duration = Duration::from_secs(2);
/// k-rpc looks for timeouts at every tick, and gives up at the fifth.
const TICK: u64 = 500_000;
/// What k-rpc has under way at most.
const CONCURRENCY: u32 = 16;
/// What libtorrent keeps.
const RESULTS: usize = 100;

impl<'a> Model<'a> {
    /// A lookup for `target`. `number` tells its draws from those of others, and `looker` says whose round trips it has.
    /// It starts from those of the `table` that are closest.
    pub fn run(
        rival: Rival,
        (ambient, law): (&'a Ambient, Law),
        (looker, number): (u64, u64),
        table: &[Place],
        target: [u8; 20],
    ) -> Sample {
        let holders = ambient.closest_live(&target, K);
        let mut model = Self {
            rival,
            ambient,
            law,
            number,
            target,
            now: Time::ZERO,
            candidates: Vec::new(),
            queue: EventQueue::new(),
            in_flight: 0,
            branch: 5,
            sent: 0,
            questions: 0,
            holders,
            first: None,
        };
        let mut start = table.to_vec();
        start.sort_unstable_by_key(|place| ambient.distance(*place, &target));
        start.truncate(rival.width());
        start.iter().for_each(|place| model.insert(*place, 1, State::New));
        while !model.pump(looker) {
            let Some((at, happening)) = model.queue.pop() else { break };
            model.now = at;
            model.handle(happening);
        }
        let answered = |holder: &&Place| model.state(**holder) == Some(State::Answered);
        Sample {
            first: model.first.map(|(at, ..)| at - Time::ZERO),
            questions_to_first: model.first.map_or(model.questions, |(_, _, questions)| questions),
            end: model.now - Time::ZERO,
            questions: model.questions,
            recall: model.holders.iter().filter(answered).count() as u32,
            hops: model.first.map_or(0, |(_, hops, _)| hops),
        }
    }

    /// Asks whomever the policy wants to ask now, and says whether the lookup is done.
    fn pump(&mut self, looker: u64) -> bool {
        match self.rival {
            Rival::Mainline | Rival::KRpc => {
                let most = if self.rival == Rival::KRpc { CONCURRENCY } else { u32::MAX };
                let width = self.rival.width();
                let new =
                    self.candidates.iter().take(width).filter(|candidate| candidate.state == State::New);
                for place in new.map(|candidate| candidate.place).collect::<Vec<_>>() {
                    if self.in_flight >= most {
                        break;
                    }
                    self.ask(looker, place);
                }
                self.in_flight == 0
            }
            Rival::Libtorrent | Rival::LibtorrentImpatient => {
                let (mut wanted, mut waited_for, mut at) = (self.rival.width(), 0, 0);
                while wanted > 0 && waited_for < self.branch && at < self.candidates.len() {
                    let candidate = self.candidates[at];
                    match candidate.state {
                        State::Answered => wanted -= 1,
                        State::Asked | State::Slow => waited_for += 1,
                        State::Failed => {}
                        State::New => {
                            self.ask(looker, candidate.place);
                            waited_for += 1;
                        }
                    }
                    at += 1;
                }
                let slow = |candidate: &&Candidate| candidate.state == State::Slow;
                if self.rival == Rival::LibtorrentImpatient {
                    waited_for -= self.candidates[..at].iter().filter(slow).count();
                }
                (wanted == 0 && waited_for == 0) || self.in_flight == 0
            }
        }
    }

    fn handle(&mut self, happening: Happening) {
        match happening {
            Happening::Answer(place) => {
                let Some(index) = self.index(place) else { return };
                let candidate = &mut self.candidates[index];
                match candidate.state {
                    State::Asked => {}
                    State::Slow => self.branch -= 1,
                    State::New | State::Answered | State::Failed => return,
                }
                candidate.state = State::Answered;
                let hops = candidate.hops;
                self.in_flight -= 1;
                if self.first.is_none() && self.holders.contains(&place) {
                    self.first = Some((self.now, hops, self.questions));
                }
                for named in self.ambient.answer(place, &self.target) {
                    self.insert(named, hops + 1, State::New);
                }
            }
            Happening::Slow(place) => {
                if self.set(place, State::Asked, State::Slow) {
                    self.branch += 1;
                }
            }
            Happening::GivenUp(place) => {
                if self.set(place, State::Slow, State::Failed) {
                    self.branch = (self.branch - 1).max(1);
                    self.in_flight -= 1;
                } else if self.set(place, State::Asked, State::Failed) {
                    self.in_flight -= 1;
                }
            }
            Happening::Pinged => self.in_flight -= 1,
        }
    }

    fn ask(&mut self, looker: u64, place: Place) {
        self.set(place, State::New, State::Asked);
        self.in_flight += 1;
        if let Some(rtt) = self.round_trip(looker, place) {
            self.queue.push(self.now + rtt, Happening::Answer(place));
        }
        match self.rival {
            Rival::Mainline => {
                self.queue.push(self.now + TIMEOUT, Happening::GivenUp(place));
                self.in_flight += 1;
                let pinged = self.round_trip(looker, place).filter(|rtt| *rtt < TIMEOUT).unwrap_or(TIMEOUT);
                self.queue.push(self.now + pinged, Happening::Pinged);
            }
            Rival::KRpc => {
                let phase = self.law.phase(self.number, TICK);
                let ticks = (self.now.as_micros() + phase) / TICK + 5;
                self.queue.push(Time::from_micros(ticks * TICK - phase), Happening::GivenUp(place));
            }
            Rival::Libtorrent | Rival::LibtorrentImpatient => {
                self.queue.push(self.now + SOFT, Happening::Slow(place));
                self.queue.push(self.now + HARD, Happening::GivenUp(place));
            }
        }
    }

    /// A question to a node, and how long its answer takes if there is one.
    fn round_trip(&mut self, looker: u64, place: Place) -> Option<Duration> {
        let index = self.number << 40 | self.sent << 1;
        self.sent += 1;
        self.questions += 1;
        let arrives = self.ambient.is_live(place) && !self.law.loses(index) && !self.law.loses(index | 1);
        arrives.then(|| self.law.rtt(looker, self.ambient.id(place)))
    }

    fn insert(&mut self, place: Place, hops: u32, state: State) {
        let distance = self.ambient.distance(place, &self.target);
        let at = self.candidates.partition_point(|known| known.distance < distance);
        if self.candidates.get(at).is_some_and(|known| known.place == place) {
            return;
        }
        self.candidates.insert(at, Candidate { place, distance, hops, state });
        let is_libtorrent = matches!(self.rival, Rival::Libtorrent | Rival::LibtorrentImpatient);
        if is_libtorrent && self.candidates.len() > RESULTS {
            let dropped = self.candidates.split_off(RESULTS);
            let asked = dropped.iter().filter(|it| matches!(it.state, State::Asked | State::Slow)).count();
            self.in_flight -= asked as u32;
        }
    }

    fn index(&self, place: Place) -> Option<usize> {
        let distance = self.ambient.distance(place, &self.target);
        self.candidates.binary_search_by_key(&distance, |candidate| candidate.distance).ok()
    }

    fn state(&self, place: Place) -> Option<State> {
        self.index(place).map(|index| self.candidates[index].state)
    }

    fn set(&mut self, place: Place, from: State, to: State) -> bool {
        let Some(index) = self.index(place) else { return false };
        let candidate = &mut self.candidates[index];
        let is_so = candidate.state == from;
        if is_so {
            candidate.state = to;
        }
        is_so
    }
}
