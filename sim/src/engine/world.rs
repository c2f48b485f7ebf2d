use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use folkmoot_core::base::{Time, UnixTime, Wake};

use self::packets::Packet;
use super::host::Sending;
use super::{Clock, Draws, EventQueue, Fate, Host, HostCx, HostId, Kind, Record, Slab, Tape, Trace, Watch};
use crate::net::{BoxId, Gateway, LinkRules, Network, Outcome, RealmId, Stack, Strategy, Verdict};

mod counts;
mod packets;

pub use counts::{Counts, HostCounts, Violation};

/// Hosts, the network between them, and virtual time. Everything that happens in it is a function of the seed.
pub struct World {
    now: Time,
    epoch: UnixTime,
    draws: Draws,
    queue: EventQueue<Happening>,
    packets: Slab<Packet>,
    /// Empty between calls: room for what a program sends in one.
    sends: Vec<Sending>,
    seats: Vec<Seat>,
    network: Network,
    severed: BTreeSet<(HostId, HostId)>,
    /// The largest packets that a host knows to pass to an address, as ICMP told it.
    path_mtus: BTreeMap<(HostId, IpAddr), usize>,
    trace: Trace,
    /// Packets with their ways, if somebody wants to see them.
    tape: Option<Box<Tape>>,
    watch: Option<Box<dyn Watch>>,
    counts: Counts,
    handshakes: BTreeSet<[u8; 32]>,
    violations: Vec<Violation>,
}

/// What the queue holds: small, and copied.
#[derive(Clone, Copy, Debug)]
enum Happening {
    /// A packet came to a realm's router.
    AtRealm { packet: u32, realm: RealmId },
    /// A packet came to the outside of a box.
    AtBox { packet: u32, at: BoxId },
    /// A packet came to a host.
    AtHost { packet: u32, host: HostId },
    /// A program's wake; stale unless its time is still the one the seat remembers.
    Wake { host: HostId },
}

struct Seat {
    name: String,
    addrs: Vec<IpAddr>,
    program: Option<Box<dyn Host>>,
    asleep: bool,
    /// Its clock was set while it slept.
    is_clock_set: bool,
    clock: Clock,
    wake_at: Option<Time>,
    counts: HostCounts,
}

impl World {
    /// An empty world. The wall clock starts at noon of 2026-01-15 UTC; see [`World::set_epoch`].
    pub fn new(seed: u64) -> Self {
        Self::with_trace(seed, Trace::new())
    }

    /// An empty world that writes to the given trace.
    pub fn with_trace(seed: u64, trace: Trace) -> Self {
        Self {
            now: Time::ZERO,
            epoch: UnixTime::from_millis(1_768_478_400_000),
            draws: Draws::new(seed),
            queue: EventQueue::new(),
            packets: Slab::new(),
            sends: Vec::new(),
            seats: Vec::new(),
            network: Network::new(),
            severed: BTreeSet::new(),
            path_mtus: BTreeMap::new(),
            trace,
            tape: None,
            watch: None,
            counts: Counts::default(),
            handshakes: BTreeSet::new(),
            violations: Vec::new(),
        }
    }

    /// Sets what the wall clock showed at virtual time zero.
    pub fn set_epoch(&mut self, epoch: UnixTime) {
        self.epoch = epoch;
    }

    /// Attaches a NAT or firewall to a realm, and gives the realm inside it.
    pub fn add_box(
        &mut self,
        outer: RealmId,
        rules: impl Into<Gateway>,
        link: LinkRules,
    ) -> (BoxId, RealmId) {
        self.network.add_box(outer, rules.into(), link)
    }

    /// Attaches a machine with one IPv4 address to a realm. Nothing runs on it until [`World::start`].
    pub fn add_host(&mut self, name: impl Into<String>, realm: RealmId, link: LinkRules) -> HostId {
        self.add_machine(name, realm, link, (Stack::V4, 1))
    }

    /// Attaches a machine with an address of each family of `stack` that the realm has.
    pub fn add_stacked(
        &mut self,
        name: impl Into<String>,
        realm: RealmId,
        link: LinkRules,
        stack: Stack,
    ) -> HostId {
        self.add_machine(name, realm, link, (stack, 1))
    }

    /// Attaches a machine with several IPv4 addresses.
    pub fn add_multihomed(
        &mut self,
        name: impl Into<String>,
        realm: RealmId,
        link: LinkRules,
        addresses: usize,
    ) -> HostId {
        self.add_machine(name, realm, link, (Stack::V4, addresses.max(1)))
    }

    fn add_machine(
        &mut self,
        name: impl Into<String>,
        realm: RealmId,
        link: LinkRules,
        addresses: (Stack, usize),
    ) -> HostId {
        let id = HostId(self.seats.len() as u32);
        let addrs = self.network.add_host(id, realm, link, addresses);
        self.seats.push(Seat {
            name: name.into(),
            addrs,
            program: None,
            asleep: false,
            is_clock_set: false,
            clock: Clock::default(),
            wake_at: None,
            counts: HostCounts::default(),
        });
        id
    }

    /// Starts a program on a machine; one that runs there already is killed first.
    pub fn start(&mut self, host: HostId, program: impl Host) {
        self.kill(host);
        self.seats[host.0 as usize].program = Some(Box::new(program));
        self.note(host, Fate::Started);
        if let Some(watch) = &mut self.watch {
            watch.started(self.now, host);
        }
        self.turn(host, |program, cx| program.start(cx));
    }

    /// Kills the program of a machine, as SIGKILL or a power cut does: it says goodbye to nobody. What it sent before is
    /// on its way.
    pub fn kill(&mut self, host: HostId) {
        let seat = &mut self.seats[host.0 as usize];
        (seat.asleep, seat.is_clock_set, seat.wake_at) = (false, false, None);
        if seat.program.take().is_some() {
            self.note(host, Fate::Stopped);
        }
    }

    /// Closes the lid: the program stands still and hears nothing, while its clock goes on.
    pub fn suspend(&mut self, host: HostId) {
        self.seats[host.0 as usize].asleep = true;
    }

    /// Opens the lid. A wake that was due meanwhile comes at once, and a program whose clock was set is told.
    pub fn resume(&mut self, host: HostId) {
        let now = self.now;
        let seat = &mut self.seats[host.0 as usize];
        if std::mem::take(&mut seat.asleep)
            && let Some(at) = &mut seat.wake_at
            && *at <= now
        {
            *at = now;
            self.queue.push(now, Happening::Wake { host });
        }
        if std::mem::take(&mut self.seats[host.0 as usize].is_clock_set) {
            self.turn(host, |program, cx| program.on_clock(cx));
        }
    }

    /// Carries a machine to another realm, where it gets new addresses; its program is told. What is under way to the old ones
    /// is lost.
    pub fn move_host(&mut self, host: HostId, realm: RealmId, stack: Stack) {
        self.seats[host.0 as usize].addrs = self.network.move_host(host, realm, stack);
        self.tell_addresses(host);
    }

    /// Pulls a machine's cable: it has no addresses any more, and its program is told. [`World::move_host`] plugs it in.
    pub fn unplug(&mut self, host: HostId) {
        self.network.detach(host);
        self.seats[host.0 as usize].addrs.clear();
        self.tell_addresses(host);
    }

    /// Sets a machine's wall clock wrong, or right again; its program is told, as by a kernel that reports steps. What it does
    /// after it was restarted goes by that clock too.
    pub fn set_clock(&mut self, host: HostId, clock: Clock) {
        let seat = &mut self.seats[host.0 as usize];
        seat.clock = clock;
        if seat.asleep {
            seat.is_clock_set = true;
        } else {
            self.turn(host, |program, cx| program.on_clock(cx));
        }
    }

    /// What a machine's wall clock shows.
    pub fn unix_at(&self, host: HostId) -> UnixTime {
        self.seats[host.0 as usize].clock.show(self.unix(), self.now.saturating_since(Time::ZERO))
    }

    /// A program that sleeps learns it when it wakes, from whoever wakes it.
    fn tell_addresses(&mut self, host: HostId) {
        if !self.seats[host.0 as usize].asleep {
            self.turn(host, |program, cx| program.on_addresses(cx));
        }
    }

    /// Lets nothing pass from any of `a` to any of `b`, while the way back is open.
    pub fn sever_one_way(&mut self, a: &[HostId], b: &[HostId]) {
        self.severed.extend(a.iter().flat_map(|a| b.iter().map(move |b| (*a, *b))));
    }

    /// Lets nothing pass from any of `a` to any of `b` and back.
    pub fn sever(&mut self, a: &[HostId], b: &[HostId]) {
        for (a, b) in a.iter().flat_map(|a| b.iter().map(move |b| (*a, *b))) {
            self.severed.extend([(a, b), (b, a)]);
        }
    }

    /// Lets everything pass again from any of `a` to any of `b` and back.
    pub fn rejoin(&mut self, a: &[HostId], b: &[HostId]) {
        for (a, b) in a.iter().flat_map(|a| b.iter().map(move |b| (*a, *b))) {
            self.severed.remove(&(a, b));
            self.severed.remove(&(b, a));
        }
    }

    /// Ends all partitions.
    pub fn heal(&mut self) {
        self.severed.clear();
    }

    /// Handles the next event, and says which host's program was called, if one was. `None` if nothing is pending.
    pub fn step(&mut self) -> Option<Option<HostId>> {
        let (at, happening) = self.queue.pop()?;
        self.now = self.now.max(at);
        self.counts.events += 1;
        Some(match happening {
            Happening::AtRealm { packet, realm } => self.at_realm(packet, realm),
            Happening::AtBox { packet, at } => self.at_box(packet, at),
            Happening::AtHost { packet, host } => self.at_host(packet, host),
            Happening::Wake { host } => self.wake(host, at),
        })
    }

    /// When the next event is due.
    pub fn next_at(&mut self) -> Option<Time> {
        self.queue.next_at()
    }

    /// Handles all events up to and including those at `until`, and moves the clock there.
    pub fn run_until(&mut self, until: Time) {
        while self.next_at().is_some_and(|at| at <= until) {
            self.step();
        }
        self.now = self.now.max(until);
    }

    /// As [`World::run_until`], for a length of time.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// Moves the clock to `to`, if that is later. Events before it must have been handled.
    pub fn advance_to(&mut self, to: Time) {
        debug_assert!(self.queue.next_at().is_none_or(|at| at >= to));
        self.now = self.now.max(to);
    }

    /// Calls the program of a host, if it runs, is awake and is an `H`; what it sends is sent.
    pub fn with<H: Host, R>(
        &mut self,
        host: HostId,
        call: impl FnOnce(&mut H, &mut HostCx<'_>) -> R,
    ) -> Option<R> {
        if self.seats[host.0 as usize].asleep {
            return None;
        }
        let mut result = None;
        self.turn(host, |program, cx| {
            let program: &mut dyn Any = program;
            result = program.downcast_mut::<H>().map(|program| call(program, cx));
        });
        result
    }

    /// The program of a host, if it runs and is an `H`.
    pub fn program<H: Host>(&self, host: HostId) -> Option<&H> {
        let program: &dyn Any = self.seats[host.0 as usize].program.as_deref()?;
        program.downcast_ref()
    }

    /// As [`World::program`], to take something out of it. What the program should react to goes through
    /// [`World::with`].
    pub fn program_mut<H: Host>(&mut self, host: HostId) -> Option<&mut H> {
        let program: &mut dyn Any = self.seats[host.0 as usize].program.as_deref_mut()?;
        program.downcast_mut()
    }

    /// The moment.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The wall clock.
    pub fn unix(&self) -> UnixTime {
        self.epoch + self.now.saturating_since(Time::ZERO)
    }

    /// The randomness of this world.
    pub fn draws(&self) -> Draws {
        self.draws
    }

    /// The network, to be asked and changed.
    pub fn network(&mut self) -> &mut Network {
        &mut self.network
    }

    /// Whether two hosts can connect directly, and why.
    pub fn can_connect(&self, a: HostId, b: HostId) -> Verdict {
        self.network.can_connect(a, b)
    }

    /// The same for two whom multicast in one network reaches, without anybody outside; `None` if it does not.
    pub fn can_connect_nearby(&self, a: HostId, b: HostId) -> Option<Verdict> {
        self.network.can_connect_nearby(a, b)
    }

    /// Why two hosts can connect directly at this moment or not, in words.
    pub fn explain(&self, a: HostId, b: HostId) -> String {
        self.network.explain(self.now, &self.draws, [a, b])
    }

    /// Lets two hosts try, in copies of all boxes with all that they remember at this moment.
    pub fn try_pair(&self, a: HostId, b: HostId, strategy: Strategy) -> Outcome {
        self.network.try_pair(self.now, &self.draws, [a, b], strategy)
    }

    /// The addresses of a host, as it sees them.
    pub fn addrs(&self, host: HostId) -> &[IpAddr] {
        &self.seats[host.0 as usize].addrs
    }

    /// The name of a host.
    pub fn name(&self, host: HostId) -> &str {
        &self.seats[host.0 as usize].name
    }

    /// How many hosts there are.
    pub fn hosts(&self) -> usize {
        self.seats.len()
    }

    /// Whether a program runs on a host, asleep or not.
    pub fn is_up(&self, host: HostId) -> bool {
        self.seats[host.0 as usize].program.is_some()
    }

    /// All packets so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The traffic of a host so far, over all its programs.
    pub fn host_counts(&self, host: HostId) -> HostCounts {
        self.seats[host.0 as usize].counts
    }

    /// How many DTLS handshakes were begun so far, told by the random of their ClientHello.
    pub fn handshakes(&self) -> usize {
        self.handshakes.len()
    }

    /// What happened so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Records every packet of some hosts from now on, with its way through the network.
    pub fn set_tape(&mut self, tape: Tape) {
        self.tape = Some(Box::new(tape));
    }

    /// What was recorded since [`World::set_tape`]. Nothing is from now on.
    pub fn take_tape(&mut self) -> Option<Tape> {
        self.tape.take().map(|tape| *tape)
    }

    /// Has somebody look at every packet from now on, instead of who did before.
    pub fn set_watch(&mut self, watch: impl Watch) {
        self.watch = Some(Box::new(watch));
    }

    /// Who has looked on since [`World::set_watch`], if it is a `W`; from now on nobody does.
    pub fn take_watch<W: Watch>(&mut self) -> Option<W> {
        let watch: Box<dyn Any> = self.watch.take()?;
        watch.downcast().ok().map(|watch| *watch)
    }

    /// Who broke the contract so far.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Whether every packet is accounted for: sent or duplicated, and now delivered, dropped or in flight.
    pub fn is_conserved(&self) -> bool {
        let dropped: u64 = self.counts.dropped.iter().sum();
        self.counts.sent + self.counts.duplicated
            == self.counts.delivered + dropped + self.packets.len() as u64
    }

    /// One call of a program, and what follows from it.
    fn turn(&mut self, id: HostId, call: impl FnOnce(&mut dyn Host, &mut HostCx<'_>)) {
        let (now, unix, draws) = (self.now, self.unix_at(id), self.draws);
        let seat = &mut self.seats[id.0 as usize];
        let Some(mut program) = seat.program.take() else { return };
        let (mut sends, mut faults) = (std::mem::take(&mut self.sends), Vec::new());
        let mut cx =
            HostCx { now, unix, id, addrs: &seat.addrs, draws, sends: &mut sends, faults: &mut faults };
        call(program.as_mut(), &mut cx);
        let wake = program.next_wake();
        seat.program = Some(program);
        self.violations.extend(faults.into_iter().map(|what| Violation { at: now, host: Some(id), what }));
        for sending in sends.drain(..) {
            self.send(id, sending);
        }
        self.sends = sends;
        self.schedule(id, wake);
    }

    /// A wake that is due by now, because a datagram came at the very same moment, comes at once.
    fn schedule(&mut self, host: HostId, wake: Option<Wake>) {
        let seat = &mut self.seats[host.0 as usize];
        let at = wake.map(|wake| wake.at.max(self.now));
        if at != seat.wake_at {
            seat.wake_at = at;
            if let Some(at) = at {
                self.queue.push(at, Happening::Wake { host });
            }
        }
    }

    /// After [`Host::on_wake`] the next wake must be later than now: reported, and put off so that time goes on.
    fn forbid_hot_loop(&mut self, host: HostId) {
        let seat = &mut self.seats[host.0 as usize];
        if seat.wake_at != Some(self.now) {
            return;
        }
        let why = seat.program.as_ref().and_then(|program| program.next_wake()).map_or("?", |wake| wake.why);
        let what = format!("was woken and asks to be woken at once again ({why}): a hot loop");
        self.violations.push(Violation { at: self.now, host: Some(host), what });
        let at = self.now + Duration::from_millis(1);
        seat.wake_at = Some(at);
        self.queue.push(at, Happening::Wake { host });
    }

    fn wake(&mut self, host: HostId, at: Time) -> Option<HostId> {
        let seat = &mut self.seats[host.0 as usize];
        if seat.asleep || seat.wake_at != Some(at) {
            return None;
        }
        seat.wake_at = None;
        seat.counts.wakes += 1;
        self.turn(host, |program, cx| program.on_wake(cx));
        self.forbid_hot_loop(host);
        Some(host)
    }

    fn note(&mut self, host: HostId, fate: Fate) {
        let (at, kind, len) = (self.now, Kind::Other, 0);
        self.trace.add(Record { at, from: host, to: None, kind, fate, len, digest: 0 });
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now)
            .field("hosts", &self.seats.len())
            .field("pending", &self.queue.len())
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
