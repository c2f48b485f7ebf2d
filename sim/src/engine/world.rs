use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use folkmoot_core::base::{Time, UnixTime, Wake};

use super::host::Sending;
use super::{
    Clock, Draws, End, EventQueue, Fate, Host, HostCx, HostId, Kind, Place, Record, Slab, Tape, Trace,
};
use crate::net::{
    BoxId, DropReason, Gateway, Glance, LinkRules, Network, Next, Outcome, Passage, RealmId, Stack, Strategy,
    Verdict, packet_size,
};

/// Hosts, the network between them, and virtual time. Everything that happens in it is a function of the seed.
pub struct World {
    now: Time,
    epoch: UnixTime,
    draws: Draws,
    queue: EventQueue<Happening>,
    packets: Slab<Packet>,
    seats: Vec<Seat>,
    network: Network,
    severed: BTreeSet<(HostId, HostId)>,
    /// The largest packets that a host knows to pass to an address, as ICMP told it.
    path_mtus: BTreeMap<(HostId, IpAddr), usize>,
    trace: Trace,
    /// Packets with their ways, if somebody wants to see them.
    tape: Option<Box<Tape>>,
    counts: Counts,
    handshakes: BTreeSet<[u8; 32]>,
    violations: Vec<Violation>,
}

/// A program, or the world itself, broke its contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When.
    pub at: Time,
    /// Which host's program; `None` is the world.
    pub host: Option<HostId>,
    /// What it did.
    pub what: String,
}

/// Packets so far. At any time `sent + duplicated = delivered + dropped + in flight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sent by hosts.
    pub sent: u64,
    /// Made twice by links.
    pub duplicated: u64,
    /// Delivered to hosts.
    pub delivered: u64,
    /// Dropped, by [`DropReason::ALL`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Events handled: packets at hops, and wakes.
    pub events: u64,
}

/// Traffic of one host so far, in datagrams and bytes of payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostCounts {
    /// Datagrams sent, by [`Kind::ALL`].
    pub sent: [u64; Kind::ALL.len()],
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Datagrams received.
    pub received: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Calls of [`Host::on_wake`].
    pub wakes: u64,
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

#[derive(Clone, Debug)]
struct Packet {
    origin: HostId,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
    /// The address it was sent to, whatever boxes made of it since.
    sent_to: IpAddr,
    /// The largest fragment it may be in, if its sender was told that the whole does not pass. Fragments stay together: they
    /// are delayed, lost and delivered as one.
    fragment: Option<usize>,
}

struct Seat {
    name: String,
    addrs: Vec<IpAddr>,
    program: Option<Box<dyn Host>>,
    asleep: bool,
    clock: Clock,
    wake_at: Option<Time>,
    counts: HostCounts,
}

impl Packet {
    /// The size of what passes a link at once.
    fn passing(&self) -> usize {
        let whole = packet_size(self.to, self.bytes.len());
        self.fragment.map_or(whole, |fragment| fragment.min(whole))
    }

    fn glance(&self) -> Glance {
        Glance { kind: Kind::of(&self.bytes), fragmented: self.fragment.is_some() }
    }
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
            seats: Vec::new(),
            network: Network::new(),
            severed: BTreeSet::new(),
            path_mtus: BTreeMap::new(),
            trace,
            tape: None,
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
        self.turn(host, |program, cx| program.start(cx));
    }

    /// Kills the program of a machine, as SIGKILL or a power cut does: it says goodbye to nobody. What it sent before is
    /// on its way.
    pub fn kill(&mut self, host: HostId) {
        let seat = &mut self.seats[host.0 as usize];
        (seat.asleep, seat.wake_at) = (false, None);
        if seat.program.take().is_some() {
            self.note(host, Fate::Stopped);
        }
    }

    /// Closes the lid: the program stands still and hears nothing, while its clock goes on.
    pub fn suspend(&mut self, host: HostId) {
        self.seats[host.0 as usize].asleep = true;
    }

    /// Opens the lid. A wake that was due meanwhile comes at once.
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
        self.seats[host.0 as usize].clock = clock;
        if !self.seats[host.0 as usize].asleep {
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
        let (mut sends, mut faults) = (Vec::new(), Vec::new());
        let mut cx =
            HostCx { now, unix, id, addrs: &seat.addrs, draws, sends: &mut sends, faults: &mut faults };
        call(program.as_mut(), &mut cx);
        let wake = program.next_wake();
        seat.program = Some(program);
        self.violations.extend(faults.into_iter().map(|what| Violation { at: now, host: Some(id), what }));
        for Sending { from, to, bytes } in sends {
            self.send(Packet { origin: id, from, to, bytes, sent_to: to.ip(), fragment: None });
        }
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

    fn send(&mut self, mut packet: Packet) {
        let (origin, len) = (packet.origin, packet.bytes.len());
        let known = self.path_mtus.get(&(origin, packet.to.ip())).copied();
        packet.fragment = known.filter(|mtu| *mtu < packet_size(packet.to, len));
        let size = packet.passing();
        let counts = &mut self.seats[origin.0 as usize].counts;
        counts.sent[Kind::of(&packet.bytes) as usize] += 1;
        counts.sent_bytes += len as u64;
        self.counts.sent += 1;
        self.handshakes.extend(client_random(&packet.bytes));
        self.record(&packet, None, Fate::Sent);
        let handle = self.packets.insert(packet);
        if let Some((tape, packet)) = self.tape.as_mut().zip(self.packets.get(handle)) {
            tape.sent(handle, self.now, origin, (packet.from, packet.to), &packet.bytes);
        }
        match self.network.leave(self.now, &self.draws, origin, size) {
            Some((realm, passage)) => {
                self.pass(handle, passage, |packet| Happening::AtRealm { packet, realm });
            }
            None => self.drop_packet(handle, DropReason::NoRoute),
        }
    }

    /// Lets a packet arrive, or arrive twice, or not.
    fn pass(&mut self, handle: u32, passage: Passage, happening: impl Fn(u32) -> Happening) {
        match passage {
            Passage::Dropped(reason) => self.drop_packet(handle, reason),
            Passage::TooBig(mtu) => self.refuse_size(handle, mtu),
            Passage::Arrives(at, again) => {
                self.queue.push(at, happening(handle));
                if let Some((at, packet)) = again.zip(self.packets.get(handle).cloned()) {
                    self.counts.duplicated += 1;
                    self.record(&packet, None, Fate::Duplicated);
                    let copy = self.packets.insert(packet);
                    self.tape.iter_mut().for_each(|tape| tape.copied(handle, copy));
                    self.queue.push(at, happening(copy));
                }
            }
        }
    }

    /// Drops a packet that is too big, and tells its sender (RFC 1191, RFC 8201), which sends fragments to that address from then
    /// on. The message takes no time.
    fn refuse_size(&mut self, handle: u32, mtu: u16) {
        if let Some(packet) = self.packets.get(handle) {
            self.path_mtus.insert((packet.origin, packet.sent_to), usize::from(mtu));
        }
        self.drop_packet(handle, DropReason::TooBig);
    }

    /// Delivers a packet to everyone in the realm but its sender, each through a link of its own.
    fn multicast(&mut self, handle: u32, realm: RealmId) {
        let Some(packet) = self.packets.get(handle).cloned() else { return };
        let mut hosts = self.network.neighbours(realm, packet.origin).into_iter();
        let Some(first) = hosts.next() else { return self.drop_packet(handle, DropReason::NoRoute) };
        for host in hosts {
            self.counts.duplicated += 1;
            self.record(&packet, None, Fate::Duplicated);
            let copy = self.packets.insert(packet.clone());
            self.tape.iter_mut().for_each(|tape| tape.copied(handle, copy));
            self.deliver(copy, realm, host);
        }
        self.deliver(handle, realm, first);
    }

    fn deliver(&mut self, handle: u32, realm: RealmId, host: HostId) {
        let size = self.packets.get(handle).map_or(0, Packet::passing);
        let passage = self.network.carry(self.now, &self.draws, realm, Next::Host(host), size);
        self.pass(handle, passage, |packet| Happening::AtHost { packet, host });
    }

    fn at_realm(&mut self, handle: u32, realm: RealmId) -> Option<HostId> {
        let packet = self.packets.get_mut(handle)?;
        if packet.to.ip().is_multicast() {
            self.multicast(handle, realm);
            return None;
        }
        let glance = packet.glance();
        let addresses = (&mut packet.from, &mut packet.to);
        let routed = self.network.route(self.now, &self.draws, realm, glance, addresses);
        if let Some(tape) = &mut self.tape
            && let Some(at) = self.network.way_through(realm, routed, packet.to)
        {
            tape.passed(handle, self.now, Place::Box(at), (packet.from, packet.to));
            self.network.nat(at).iter().for_each(|nat| tape.look(self.now, at, nat));
        }
        let next = match routed {
            Ok(next) => next,
            Err(reason) => {
                self.drop_packet(handle, reason);
                return None;
            }
        };
        let size = packet.passing();
        let passage = self.network.carry(self.now, &self.draws, realm, next, size);
        self.pass(handle, passage, |packet| match next {
            Next::Host(host) => Happening::AtHost { packet, host },
            Next::Box(at) => Happening::AtBox { packet, at },
            Next::Realm(realm) => Happening::AtRealm { packet, realm },
        });
        None
    }

    fn at_box(&mut self, handle: u32, at: BoxId) -> Option<HostId> {
        let packet = self.packets.get_mut(handle)?;
        let glance = packet.glance();
        if let Some(tape) = &mut self.tape {
            tape.passed(handle, self.now, Place::Box(at), (packet.from, packet.to));
            self.network.nat(at).iter().for_each(|nat| tape.look(self.now, at, nat));
        }
        match self.network.enter(self.now, at, glance, (&mut packet.from, &mut packet.to)) {
            Ok(realm) => self.at_realm(handle, realm),
            Err(reason) => {
                self.drop_packet(handle, reason);
                None
            }
        }
    }

    fn at_host(&mut self, handle: u32, host: HostId) -> Option<HostId> {
        let seat = &mut self.seats[host.0 as usize];
        let origin = self.packets.get(handle)?.origin;
        if let Some((tape, packet)) = self.tape.as_mut().zip(self.packets.get(handle)) {
            tape.passed(handle, self.now, Place::Host(host), (packet.from, packet.to));
        }
        if seat.program.is_none() || seat.asleep {
            self.drop_packet(handle, DropReason::HostDown);
            return None;
        }
        if self.severed.contains(&(origin, host)) {
            self.drop_packet(handle, DropReason::Partitioned);
            return None;
        }
        let packet = self.packets.remove(handle)?;
        self.tape.iter_mut().for_each(|tape| tape.ended(handle, self.now, End::Delivered(host)));
        seat.counts.received += 1;
        seat.counts.received_bytes += packet.bytes.len() as u64;
        self.counts.delivered += 1;
        self.record(&packet, Some(host), Fate::Delivered);
        self.turn(host, |program, cx| program.handle_datagram(cx, packet.to, packet.from, &packet.bytes));
        Some(host)
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

    fn drop_packet(&mut self, handle: u32, reason: DropReason) {
        if let Some(packet) = self.packets.remove(handle) {
            self.tape.iter_mut().for_each(|tape| tape.ended(handle, self.now, End::Dropped(reason)));
            self.counts.dropped[reason as usize] += 1;
            self.record(&packet, None, Fate::Dropped(reason));
        }
    }

    fn record(&mut self, packet: &Packet, to: Option<HostId>, fate: Fate) {
        let (kind, len) = (Kind::of(&packet.bytes), packet.bytes.len() as u32);
        let digest = Record::digest_of(&packet.bytes);
        self.trace.add(Record { at: self.now, from: packet.origin, to, kind, fate, len, digest });
    }

    fn note(&mut self, host: HostId, fate: Fate) {
        let (at, kind, len) = (self.now, Kind::Other, 0);
        self.trace.add(Record { at, from: host, to: None, kind, fate, len, digest: 0 });
    }
}

/// The random of a DTLS ClientHello (RFC 9147, sections 4 and 5): a plaintext handshake record whose first message it is.
fn client_random(payload: &[u8]) -> Option<[u8; 32]> {
    const HANDSHAKE: u8 = 22;
    const CLIENT_HELLO: u8 = 1;
    let is_hello = payload.first() == Some(&HANDSHAKE) && payload.get(13) == Some(&CLIENT_HELLO);
    // After 13 bytes of record header, 12 of message header and 2 of version.
    payload.get(27..59).filter(|_| is_hello)?.try_into().ok()
}

impl Counts {
    /// How many packets were dropped for `reason`.
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }
}

impl HostCounts {
    /// Datagrams sent, of all kinds.
    pub fn sent_all(&self) -> u64 {
        self.sent.iter().sum()
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

/// `12.345678s h3: …`.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Some(host) => write!(f, "{} {host}: {}", self.at, self.what),
            None => write!(f, "{}: {}", self.at, self.what),
        }
    }
}

#[cfg(test)]
mod tests;
