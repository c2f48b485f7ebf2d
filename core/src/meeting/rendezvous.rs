//! When to ask the DHT who is there, and whom of those it names to knock: the schedule and the budgets.
//!
//! The DHT says anything to anyone, so what it names are rumours. Everything sent on their strength is bounded here:
//! a forged answer must not turn members into a weapon.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::base::mutant::{Mutant, is_planted};
use crate::base::{Cx, InfoHash, Prefix, Scope, Time, Wake};
use crate::limits;
use crate::wire::stun::TransactionId;

/// Asking the DHT: twice a second in the first minute of being alone.
const POLL_FORMING: Duration = Duration::from_millis(500);
/// Every 2 s after that, and whenever this node is the entry point of a settled meeting.
const POLL_STEADY: Duration = Duration::from_secs(2);
/// Every 10 s once alone for ten minutes.
const POLL_PATIENT: Duration = Duration::from_secs(10);
const FORMING: Duration = Duration::from_secs(60);
const STEADY: Duration = Duration::from_secs(600);

/// When an address is asked, counted from the first knock: four tries, then it is left alone. One that was asked in vain gets a single one from
/// then on, so that whoever is behind a NAT that must be opened from both sides is asked again soon, among many who have gone.
const TRIES: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(500), Duration::from_millis(1_500), Duration::from_millis(3_500)];
/// How long an address that did not answer is left alone. Two groups that could not reach each other for a while become one again
/// only by this, so it is no longer than [`ALLOWANCE`] needs, which bounds all of it.
const COOLING: Duration = Duration::from_secs(30);
/// The same while nobody is connected: then what the DHT still names may be the only way to anyone.
const COOLING_ALONE: Duration = Duration::from_secs(20);
/// The least time between two knocks into one network (/24, /64): two a second.
const PREFIX_GAP: Duration = Duration::from_millis(500);
/// New addresses taken from one answer of a DHT node or one member's gossip.
pub(super) const MAX_NEW_PER_ROUND: usize = 16;
/// Unanswered knocks at once: four each at 37 new addresses, one each at 28 more, and [`RESERVED`]. Who answers gives back what was meant for it,
/// and one comes back every [`ALLOWANCE_REFILL`]. With about 560 bytes each, forged answers draw at most 108 kB from a member at once, and 560
/// bytes a second from then on.
pub(super) const ALLOWANCE: i32 = 48 * TRIES.len() as i32;
const ALLOWANCE_REFILL: Duration = Duration::from_secs(1);
/// Below this an address that was never asked gets a single knock, too: what is left reaches four times as many, and who moves leaves dozens
/// of addresses behind, of which one is right.
const SCARCE: i32 = ALLOWANCE / 4;
/// So much of it is for members who show themselves, and is not spent on hearsay: who is there just now comes before who may be.
const RESERVED: i32 = 4 * TRIES.len() as i32;

/// What the composer is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Keep us announced under a topic, starting now.
    Announce(InfoHash),
    /// No longer.
    Forget(InfoHash),
    /// Ask one DHT node of those that store the topic.
    Poll(InfoHash),
    /// Knock at an address: the `attempt`-th time, from 0; all attempts are one transaction.
    Knock {
        /// Where.
        to: SocketAddr,
        /// Which transaction.
        transaction: TransactionId,
        /// Which try.
        attempt: usize,
    },
}

/// Who named an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A DHT node at this address.
    Dht(IpAddr),
    /// Our own DHT node's storage: the address announced itself to us, so a datagram of its came from there.
    OurStore,
    /// A member, over a link.
    Member,
}

/// What was thrown away, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Addresses nobody may be sent to on hearsay: ports below 1024, out of the teller's scope, unusable.
    pub refused: u64,
    /// Addresses beyond the budget of a round or the allowance.
    pub over_budget: u64,
}

/// The rendezvous of one meeting.
#[derive(Debug)]
pub struct Rendezvous {
    topics: Vec<InfoHash>,
    mode: Mode,
    next_poll: Time,
    turn: usize,
    doors: BTreeMap<SocketAddr, Door>,
    /// Hosts at which members have proved to be.
    familiar: BTreeSet<IpAddr>,
    /// No knock is due before this.
    knock_at: Option<Time>,
    networks: BTreeMap<Prefix, Time>,
    /// What is left of [`ALLOWANCE`]; less than nothing if it was not enough for all tries of a new address.
    allowance: i32,
    refilled: Time,
    actions: VecDeque<Action>,
    counters: Counters,
}

/// How eagerly the DHT is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nobody is connected, since then.
    Alone(Time),
    /// This node asks for the whole meeting.
    EntryPoint,
    /// Another member asks.
    Quiet,
}

/// An address that was named to us.
#[derive(Clone, Copy, Debug)]
struct Door {
    transaction: TransactionId,
    first: Time,
    /// How many knocks have been sent.
    sent: usize,
    /// How many may be.
    tries: usize,
    /// When the next is due; `None` once it answered or all were sent.
    due: Option<Time>,
    answered: bool,
    /// It took nothing of the allowance.
    free: bool,
    /// Our network has changed since: it may be asked again at once.
    is_rested: bool,
}

impl Rendezvous {
    /// A rendezvous that begins now, alone.
    pub fn new(cx: &Cx<'_>) -> Self {
        Self {
            topics: Vec::new(),
            mode: Mode::Alone(cx.now),
            next_poll: cx.now,
            turn: 0,
            doors: BTreeMap::new(),
            familiar: BTreeSet::new(),
            knock_at: None,
            networks: BTreeMap::new(),
            allowance: ALLOWANCE,
            refilled: cx.now,
            actions: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Sets the topics of the epochs that count now.
    pub fn set_topics(&mut self, topics: Vec<InfoHash>) {
        let gone = self.topics.iter().filter(|old| !topics.contains(old)).map(|&t| Action::Forget(t));
        let new = topics.iter().filter(|new| !self.topics.contains(new)).map(|&t| Action::Announce(t));
        self.actions.extend(gone.chain(new));
        self.topics = topics;
    }

    /// Says how many members are connected, and whether this node is the one that asks for all of them.
    pub fn set_company(&mut self, cx: &Cx<'_>, connected: usize, entry_point: bool) {
        let mode = match (connected, self.mode) {
            (0, Mode::Alone(since)) => Mode::Alone(since),
            (0, _) => Mode::Alone(cx.now),
            _ if entry_point => Mode::EntryPoint,
            _ => Mode::Quiet,
        };
        if mode != self.mode {
            self.mode = mode;
            self.next_poll = cx.now + self.poll_interval(cx.now).unwrap_or_default();
        }
    }

    /// Since when nobody has been connected, if so.
    pub fn alone_since(&self) -> Option<Time> {
        match self.mode {
            Mode::Alone(since) => Some(since),
            _ => None,
        }
    }

    /// Whether this node asks the DHT for all of a settled meeting.
    pub fn is_entry_point(&self) -> bool {
        self.mode == Mode::EntryPoint
    }

    /// A member has proved to be at this host. Its ports may be knocked at, one at a time, whatever the allowance: after its NAT restarted a few
    /// times, most of those that the DHT names are stale, and a host that proved to take part is nobody who could be hurt by it.
    pub fn proved(&mut self, host: IpAddr) {
        if self.familiar.len() < limits::DOORS {
            self.familiar.insert(host);
        }
    }

    fn is_knocking_at(&self, host: IpAddr) -> bool {
        self.doors.iter().any(|(address, door)| address.ip() == host && door.due.is_some())
    }

    /// Asks the DHT at once, for instance because the network changed. Any address may be asked again; that some were asked in vain is not
    /// forgotten, lest all of the allowance go to them.
    pub fn hurry(&mut self, cx: &Cx<'_>) {
        self.next_poll = cx.now;
        self.doors.retain(|_, door| door.due.is_some() || !door.answered);
        self.doors.values_mut().for_each(|door| door.is_rested = true);
    }

    /// Our address is stored under a topic: whoever looked while we did is stored there by now too, and neither has found the other.
    pub fn announced(&mut self, cx: &Cx<'_>, topic: InfoHash) {
        if let (Mode::Alone(_), Some(interval)) = (self.mode, self.poll_interval(cx.now)) {
            self.next_poll = cx.now + interval;
            self.actions.push_back(Action::Poll(topic));
        }
    }

    /// Takes in addresses that somebody named, and gives back those that are new and will be knocked.
    pub fn rumour(&mut self, cx: &mut Cx<'_>, source: Source, addresses: &[SocketAddr]) -> Vec<SocketAddr> {
        self.refill(cx.now);
        let (possible, refused): (Vec<_>, Vec<_>) =
            addresses.iter().copied().partition(|address| may_be_knocked(*address, source));
        self.counters.refused += refused.len() as u64;
        let mut taken = Vec::new();
        for address in self.in_turn(cx.now, possible) {
            let free = self.familiar.contains(&address.ip()) && !self.is_knocking_at(address.ip());
            let over = taken.len() >= MAX_NEW_PER_ROUND
                || (self.allowance <= RESERVED && !free)
                || !self.make_room(cx.now);
            if over {
                self.counters.over_budget += 1;
                continue;
            }
            let in_vain = self.doors.get(&address).is_some_and(|door| !door.answered);
            let tries = if in_vain || self.allowance < SCARCE { 1 } else { TRIES.len() };
            self.knock_at_door(cx, address, tries, free);
            taken.push(address);
        }
        self.knock_due(cx.now);
        taken
    }

    /// Knocks at an address from which somebody proved to know the code. The allowance counts all the same: a member can
    /// forge the address it sends from.
    pub fn knock_member(&mut self, cx: &mut Cx<'_>, address: SocketAddr) {
        self.refill(cx.now);
        let under_way = self.doors.get(&address).is_some_and(|door| door.due.is_some());
        if under_way || self.allowance <= 0 || !self.make_room(cx.now) {
            return;
        }
        self.knock_at_door(cx, address, TRIES.len(), false);
        self.knock_due(cx.now);
    }

    fn knock_at_door(&mut self, cx: &mut Cx<'_>, address: SocketAddr, tries: usize, free: bool) {
        let (transaction, first, due) = (TransactionId::random(cx.rng), cx.now, Some(cx.now));
        let door = Door { transaction, first, sent: 0, tries, due, answered: false, free, is_rested: false };
        self.allowance -= door.cost();
        self.doors.insert(address, door);
        self.knock_at = Some(cx.now);
    }

    /// As [`Rendezvous::knock_member`], for somebody who knocks again although it was answered; not if it was asked a moment
    /// ago.
    pub fn knock_back(&mut self, cx: &mut Cx<'_>, address: SocketAddr) {
        let cooling = self.cooling();
        if self.doors.get(&address).is_none_or(|door| door.is_cold(cx.now, cooling)) {
            self.knock_member(cx, address);
        }
    }

    /// Where we knocked, if this may be the answer: one from that host, with that transaction. The port may be another one, since a NAT whose
    /// mapping depends on where it sends to (RFC 4787, section 4.1) has one of its own for us.
    pub fn asked(&self, from: SocketAddr, transaction: TransactionId) -> Option<SocketAddr> {
        let is_it = |door: &Door| door.transaction == transaction && door.sent > 0;
        if self.doors.get(&from).is_some_and(is_it) {
            return Some(from);
        }
        let mut of_host = self.doors.iter().filter(|(address, _)| address.ip() == from.ip());
        of_host.find(|(_, door)| is_it(door)).map(|(address, _)| *address)
    }

    /// A knock of ours at that address was answered: no more are needed.
    pub fn answered(&mut self, asked: SocketAddr) {
        if let Some(door) = self.doors.get_mut(&asked)
            && !door.answered
        {
            door.answered = true;
            door.due = None;
            self.allowance = (self.allowance + door.cost()).min(ALLOWANCE);
        }
    }

    /// A knock of ours came back to us: the address it went to is our own. Says which that is.
    pub fn met_ourselves(&mut self, transaction: TransactionId) -> Option<SocketAddr> {
        let (&address, _) = self.doors.iter().find(|(_, door)| door.transaction == transaction)?;
        self.answered(address);
        Some(address)
    }

    /// How many addresses are being knocked.
    pub fn knocking(&self) -> usize {
        self.doors.values().filter(|door| door.due.is_some()).count()
    }

    /// What was thrown away.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Does what is due.
    pub fn on_wake(&mut self, cx: &mut Cx<'_>) {
        self.knock_due(cx.now);
        if self.next_poll > cx.now {
            return;
        }
        if let Some(interval) = self.poll_interval(cx.now) {
            self.next_poll = cx.now + interval;
            if !self.topics.is_empty() {
                self.turn = (self.turn + 1) % self.topics.len();
                self.actions.push_back(Action::Poll(self.topics[self.turn]));
            }
        }
    }

    /// When something is due next.
    pub fn next_wake(&self) -> Option<Wake> {
        let poll = (self.mode != Mode::Quiet).then(|| Wake::new(self.next_poll, "rendezvous.poll"));
        Wake::earliest(poll, self.knock_at.map(|at| Wake::new(at, "rendezvous.knock")))
    }

    /// Whether there is something to do.
    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// What to do next.
    pub fn pop_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn poll_interval(&self, now: Time) -> Option<Duration> {
        match self.mode {
            Mode::Alone(since) if now - since < FORMING => Some(POLL_FORMING),
            Mode::Alone(since) if now - since >= STEADY => Some(POLL_PATIENT),
            Mode::Alone(_) | Mode::EntryPoint => Some(POLL_STEADY),
            Mode::Quiet => None,
        }
    }

    fn cooling(&self) -> Duration {
        match self.mode {
            Mode::Alone(_) => COOLING_ALONE,
            Mode::EntryPoint | Mode::Quiet => COOLING,
        }
    }

    fn knock_due(&mut self, now: Time) {
        if self.knock_at.is_none_or(|at| at > now) {
            return;
        }
        for (&to, door) in &mut self.doors {
            if door.due.is_none_or(|due| due > now) {
                continue;
            }
            if !Scope::of(to.ip()).is_local() {
                let prefix = Prefix::of(to.ip());
                let free = self.networks.get(&prefix).map_or(now, |&last| last + PREFIX_GAP);
                if free > now {
                    door.due = Some(free);
                    continue;
                }
                self.networks.insert(prefix, now);
            }
            let attempt = door.sent;
            self.actions.push_back(Action::Knock { to, transaction: door.transaction, attempt });
            door.sent += 1;
            let next = TRIES.iter().take(door.tries).nth(door.sent);
            door.due = next.map(|&after| (door.first + after).max(now + PREFIX_GAP));
            if is_planted(Mutant::KnockForever) {
                door.due = Some(now + Duration::from_millis(500));
            }
        }
        self.networks.retain(|_, &mut last| last + PREFIX_GAP > now);
        self.knock_at = self.doors.values().filter_map(|door| door.due).min();
    }

    fn refill(&mut self, now: Time) {
        let periods = (now - self.refilled).as_micros() / ALLOWANCE_REFILL.as_micros();
        let periods = u32::try_from(periods).unwrap_or(u32::MAX);
        self.refilled += ALLOWANCE_REFILL.saturating_mul(periods);
        self.allowance = self.allowance.saturating_add_unsigned(periods).min(ALLOWANCE);
    }

    /// Those of some addresses that may be tried now, in the order in which they share the allowance.
    ///
    /// It is scarce where members behind NATs that change their port are announced under many, and where members who move leave
    /// addresses behind, for as long as the DHT names them. So hosts take turns, not ports, one address of each before a second of
    /// any: first those that were never asked, then those that were asked the longest ago, whoever has dozens of stale ports. Of a host the
    /// addresses that were never asked come first, for who is there was announced there lately.
    fn in_turn(&self, now: Time, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let asked = |address: &SocketAddr| self.doors.get(address).map(|door| door.first);
        let mut hosts: BTreeMap<IpAddr, (Option<Time>, usize)> = BTreeMap::new();
        for (address, door) in &self.doors {
            let (last, _) = hosts.entry(address.ip()).or_default();
            *last = (*last).max(Some(door.first));
        }
        let cooling = self.cooling();
        addresses.retain(|address| self.doors.get(address).is_none_or(|door| door.is_cold(now, cooling)));
        addresses.sort_by_key(asked);
        let mut ranked: Vec<_> = addresses
            .into_iter()
            .map(|address| {
                let (last, before) = hosts.entry(address.ip()).or_default();
                *before += 1;
                ((*before, *last, asked(&address).is_some()), address)
            })
            .collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, address)| address).collect()
    }

    /// Drops the door that has been quiet the longest if there are too many.
    fn make_room(&mut self, now: Time) -> bool {
        if self.doors.len() < limits::DOORS {
            return true;
        }
        let cooling = self.cooling();
        self.doors.retain(|_, door| !door.is_cold(now, cooling));
        let oldest =
            self.doors.iter().filter(|(_, door)| door.due.is_none()).min_by_key(|(_, door)| door.first);
        if let Some((&address, _)) = oldest
            && self.doors.len() >= limits::DOORS
        {
            self.doors.remove(&address);
        }
        self.doors.len() < limits::DOORS
    }
}

impl Door {
    /// What it takes of the allowance.
    fn cost(&self) -> i32 {
        if self.free { 0 } else { self.tries as i32 }
    }

    /// Whether enough time has passed to try it anew.
    fn is_cold(&self, now: Time, cooling: Duration) -> bool {
        self.due.is_none() && (self.is_rested || now - self.first >= cooling)
    }
}

/// A DHT node may name addresses of its own scope or wider: one on the internet has no business naming our neighbours.
fn may_be_knocked(address: SocketAddr, source: Source) -> bool {
    let scope = Scope::of(address.ip());
    let told_from = match source {
        Source::Dht(ip) => Scope::of(ip),
        Source::OurStore => Scope::Loopback,
        Source::Member => Scope::Link,
    };
    address.port() >= 1024 && scope != Scope::Unusable && scope >= told_from
}
