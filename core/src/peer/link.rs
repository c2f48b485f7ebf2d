use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use str0m::channel::ChannelId;
use str0m::net::{Protocol, Receive, Transmit};
use str0m::{Event as RtcEvent, Input, Output, Reason, Rtc, RtcError};

use super::anchor::Anchor;
use super::config::{LinkConfig, LinkError, Role};
use super::endpoint::Endpoint;
use super::entropy;
use super::event::{Channel, CloseReason, Counters, Event, MAX_MESSAGE, SendError};
use super::paths::{Kick, Paths, normalised};
use super::pulse::{self, Beat, Pulse};
use super::setup::{self, PULSE};
use super::tail::{Sight, Tail};
use crate::base::mutant::{Mutant, is_planted};
use crate::base::{Cx, SocketId, Time, Wake};
use crate::limits;

/// One connection to one device, from the first check to its end.
///
/// A link is for one attempt: it does not restart. Whoever wants another makes another, with new credentials.
pub struct Link {
    rtc: Box<Rtc>,
    anchor: Anchor,
    role: Role,
    state: State,
    paths: Paths,
    path: Option<Path>,
    streams: [ChannelId; 4],
    /// Which channels have refused a message.
    blocked: [bool; 3],
    pulse: Pulse,
    tail: Tail,
    /// When str0m wants to be called, and why.
    due: Option<Wake>,
    pace: Duration,
    /// How many more checks may go out at our pace instead of str0m's.
    haste: u16,
    events: VecDeque<Event>,
    /// What `events` holds, in bytes.
    backlog: usize,
    counters: Counters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No path yet.
    Checking,
    /// A path, and a DTLS handshake on it.
    Handshaking,
    /// The channels work.
    Secured,
    /// Over.
    Closed,
}

/// Our socket, and where the other end is.
type Path = (SocketId, SocketAddr);

/// The largest DTLS datagram that str0m has room for.
const MAX_DATAGRAM: usize = 2_000;

/// str0m's own distance between checks.
const SLOW_PACE: Duration = Duration::from_millis(50);

/// Each address is worth this many checks at our pace.
const HASTE: u16 = 4;

/// Enough for 12 addresses.
const MAX_HASTE: u16 = 48;

/// How often str0m may say "now" after it was called, before we make it wait.
const MAX_ROUNDS: usize = 8;

/// What an event takes beside the bytes in it.
const EVENT_SIZE: usize = 64;

/// The type of a STUN Binding request (RFC 8489 §5).
const BINDING_REQUEST: [u8; 2] = [0, 1];

impl Link {
    /// Begins: the first check goes out at once.
    pub fn new(cx: &mut Cx<'_>, endpoint: &Endpoint, config: LinkConfig) -> Result<Self, LinkError> {
        if config.sockets.is_empty() {
            return Err(LinkError::NoSocket);
        }
        if !config.local.is_well_formed() || !config.remote.is_well_formed() {
            return Err(LinkError::Credentials);
        }
        let anchor = Anchor::new(cx.now);
        let paths = Paths::new(&config.sockets);
        let loan = entropy::lend(cx.rng);
        let mut rtc = Box::new(setup::new_rtc(endpoint, &config, anchor.moment(cx.now)));
        let streams = setup::start(&mut rtc, endpoint, &config, &paths)?;
        drop(loan);
        let mut link = Self {
            rtc,
            anchor,
            role: config.role,
            state: State::Checking,
            paths,
            path: None,
            streams,
            blocked: [false; 3],
            pulse: Pulse::new(cx.now, config.tempo.pulse, config.role),
            tail: Tail::default(),
            due: None,
            pace: config.pace,
            haste: 0,
            events: VecDeque::new(),
            backlog: 0,
            counters: Counters::default(),
        };
        for remote in config.remotes {
            link.learn(cx.now, remote);
        }
        link.tick(cx);
        for (stream, limit) in link.streams.into_iter().zip(limits::LINK_SEND_BUFFER) {
            if let Some(mut stream) = link.rtc.channel(stream) {
                stream.set_buffered_amount_low_threshold(limit / 2);
            }
        }
        Ok(link)
    }

    /// A datagram that belongs to this link came from `from` to `socket`, at our address `local`.
    pub fn handle_datagram(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        local: Option<IpAddr>,
        from: SocketAddr,
        bytes: &[u8],
    ) {
        if self.state == State::Closed {
            return;
        }
        let from = normalised(from);
        let is_stun = matches!(bytes.first(), Some(0..=3));
        let is_dtls = matches!(bytes.first(), Some(20..=63));
        let Some(to) = self.paths.stand_in(socket).filter(|_| is_stun || is_dtls) else {
            self.counters.foreign += 1;
            return;
        };
        if self.backlog > limits::LINK_BACKLOG {
            self.counters.backlog += 1;
            return;
        }
        if bytes.len() > MAX_DATAGRAM {
            self.counters.malformed += 1;
            return;
        }
        let Ok(receive) = Receive::new(Protocol::Udp, from, to, bytes) else {
            self.counters.malformed += 1;
            return;
        };
        let input = Input::Receive(self.anchor.moment(cx.now), receive);
        if !self.paths.is_proven(from) {
            // DTLS begins in clear: the ClientHello of another, taken for the other end's, would spoil the handshake.
            let forgotten = is_planted(Mutant::ForgetReflexive) && !self.paths.knows(from);
            if !is_stun || forgotten || !self.rtc.accepts(&input) {
                self.counters.unproven += 1;
                return;
            }
            if !self.paths.prove(from, cx.now) {
                self.counters.sources += 1;
                return;
            }
        }
        if is_stun && self.paths.is_parked(from) && self.rtc.accepts(&input) {
            let kick = self.paths.renew(from, cx.now);
            self.apply(kick);
        }
        self.paths.heard(cx.now, from, socket, local);
        self.run(cx, Some(input), Some((socket, from)));
        if bytes.starts_with(&BINDING_REQUEST) && self.state == State::Checking {
            // RFC 8445 §7.3.1.4 wants a check back at once; str0m keeps to the pair's own schedule.
            self.rekick(cx, from);
        }
        if is_dtls
            && let Some((_, path)) = self.path
            && self.paths.deserted(path, from, cx.now)
        {
            // The other end moved. str0m would send to where it was for another half minute.
            let kick = self.paths.renew(path, cx.now);
            if self.apply(kick) {
                self.tick(cx);
            }
        }
    }

    /// Another address of the other end; `false` if it is known, useless, or one too many.
    pub fn add_remote(&mut self, cx: &mut Cx<'_>, addr: SocketAddr) -> bool {
        let added = self.state != State::Closed && self.learn(cx.now, addr);
        if added {
            self.tick(cx);
        }
        added
    }

    /// A sign of life from `addr`: it is checked at once, unless a check went there in the last 250 ms or it is the path
    /// in use. An unknown address is added.
    pub fn rekick(&mut self, cx: &mut Cx<'_>, addr: SocketAddr) {
        let addr = normalised(addr);
        if !self.paths.knows(addr) {
            self.add_remote(cx, addr);
        } else if self.path.is_none_or(|(_, path)| path != addr) {
            let kick = self.paths.kick(addr, cx.now);
            if self.apply(kick) {
                self.tick(cx);
            }
        }
    }

    /// Sends a message. What is accepted arrives, in order, unless the link closes.
    pub fn send(&mut self, cx: &mut Cx<'_>, channel: Channel, bytes: &[u8]) -> Result<(), SendError> {
        match self.state {
            State::Closed => return Err(SendError::Closed),
            State::Checking | State::Handshaking => return Err(SendError::NotReady),
            State::Secured => {}
        }
        if bytes.is_empty() {
            return Err(SendError::Empty);
        }
        if bytes.len() > MAX_MESSAGE {
            return Err(SendError::TooLarge);
        }
        if bytes.len() > self.room(channel) || !self.write(channel as usize, bytes) {
            self.blocked[channel as usize] = true;
            return Err(SendError::Full);
        }
        self.tail.sent(cx.now, bytes.len(), self.pulse.rtt());
        self.tick(cx);
        Ok(())
    }

    /// How many bytes the channel accepts now; if fewer than [`MAX_MESSAGE`], [`Event::Writable`] follows once it is
    /// more.
    pub fn room(&mut self, channel: Channel) -> usize {
        let room = limits::LINK_SEND_BUFFER[channel as usize].saturating_sub(self.buffered(channel));
        self.blocked[channel as usize] |= room < MAX_MESSAGE;
        room
    }

    /// How many bytes were accepted on the channel and not yet acknowledged by the other end.
    pub fn buffered(&mut self, channel: Channel) -> usize {
        self.rtc.channel(self.streams[channel as usize]).map_or(0, |mut stream| stream.buffered_amount())
    }

    /// What is due.
    pub fn on_wake(&mut self, cx: &mut Cx<'_>) {
        let Some(wake) = self.next_wake().filter(|wake| wake.at <= cx.now) else { return };
        if wake.why == "link.haste" {
            self.haste = self.haste.saturating_sub(1);
        }
        // Where only a ping is due, str0m is called with it, and not before it too.
        let now = self.anchor.moment(cx.now);
        let is_ping = wake.why == "link.pulse" && self.due.is_none_or(|due| due.at > cx.now);
        self.run(cx, (!is_ping).then_some(Input::Timeout(now)), None);
    }

    /// When [`Link::on_wake`] is due; later than the time of the last call.
    pub fn next_wake(&self) -> Option<Wake> {
        match self.state {
            State::Closed => None,
            State::Secured => {
                let pulse = Some(Wake::new(self.pulse.next(), "link.pulse"));
                let tail = self.tail.due().map(|at| Wake::new(at, "link.tail"));
                Wake::earliest(self.due, Wake::earliest(pulse, tail))
            }
            State::Checking | State::Handshaking => self.due,
        }
    }

    /// Whether [`Link::pop_event`] has something to tell.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// What happened, oldest first.
    pub fn pop_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.backlog -= size(&event);
        Some(event)
    }

    /// Says goodbye (SCTP SHUTDOWN and DTLS close_notify, sent once) and ends the link, without an event. What was not
    /// acknowledged is lost: see [`Link::buffered`].
    pub fn close(&mut self, cx: &mut Cx<'_>) {
        if self.state != State::Closed {
            self.hang_up(cx);
            self.state = State::Closed;
        }
    }

    /// Whether the link is over.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether the channels work.
    pub fn is_secured(&self) -> bool {
        self.state == State::Secured
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The path in use: our socket, and where the other end is.
    pub fn remote_path(&self) -> Option<(SocketId, SocketAddr)> {
        self.path
    }

    /// The round-trip time, averaged over the pulse's pings.
    pub fn rtt(&self) -> Option<Duration> {
        self.pulse.rtt()
    }

    /// What was dropped so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Time passed, or something was changed: lets str0m act on it.
    fn tick(&mut self, cx: &mut Cx<'_>) {
        let now = self.anchor.moment(cx.now);
        self.run(cx, Some(Input::Timeout(now)), None);
    }

    /// One mutation of str0m and a full drain, if there is an input, then the pulse.
    fn run(&mut self, cx: &mut Cx<'_>, input: Option<Input<'_>>, arrival: Option<Path>) {
        let loan = entropy::lend(cx.rng);
        let fed = input.map_or(Ok(()), |input| self.pump(cx, input, arrival));
        let end = fed.and_then(|()| self.beat(cx));
        drop(loan);
        if let Err(reason) = end {
            if matches!(reason, CloseReason::Silent | CloseReason::Misbehaved) {
                self.hang_up(cx);
            }
            self.rtc.disconnect();
            self.state = State::Closed;
            self.push(Event::Closed { reason });
        }
    }

    fn beat(&mut self, cx: &mut Cx<'_>) -> Result<(), CloseReason> {
        if self.state != State::Secured {
            return Ok(());
        }
        if self.tail.due().is_some_and(|due| due <= cx.now) {
            let outstanding = Channel::ALL.map(|channel| self.buffered(channel)).iter().sum();
            match self.tail.look(cx.now, outstanding, self.pulse.rtt()) {
                // On a slow path a pong may wait behind our own data for longer than silence is borne.
                Some(Sight::Progress) => self.pulse.heard(cx.now),
                // Three, each in a packet of its own: so many reports make SCTP send again what they say is missing.
                Some(Sight::Stalled) => (0..3).try_for_each(|_| self.beat_once(cx, &pulse::EMPTY))?,
                None => {}
            }
        }
        let beat = self.pulse.beat(cx.now, cx.rng);
        if let Some((_, path)) = self.path
            && beat.is_some()
        {
            for candidate in self.paths.park(cx.now, path) {
                self.rtc.direct_api().invalidate_candidate(&candidate);
            }
        }
        match beat {
            None => Ok(()),
            Some(Beat::Dead) => Err(CloseReason::Silent),
            Some(Beat::Ping(ping)) => self.beat_once(cx, &ping),
            Some(Beat::Doubt(ping)) => {
                for remote in self.paths.remotes().collect::<Vec<_>>() {
                    let kick = self.paths.renew(remote, cx.now);
                    self.apply(kick);
                }
                self.beat_once(cx, &ping)
            }
        }
    }

    fn beat_once(&mut self, cx: &mut Cx<'_>, pulse: &[u8; 9]) -> Result<(), CloseReason> {
        self.write(PULSE, pulse);
        let now = self.anchor.moment(cx.now);
        self.pump(cx, Input::Timeout(now), None)
    }

    /// str0m's contract: one mutation, then a drain until it names the next moment. Where that has come already, again.
    fn pump(&mut self, cx: &mut Cx<'_>, input: Input<'_>, arrival: Option<Path>) -> Result<(), CloseReason> {
        self.feed(input)?;
        for _ in 0..MAX_ROUNDS {
            let Some(at) = self.drain(cx, arrival)? else {
                self.due = None;
                return Ok(());
            };
            if at > cx.now {
                self.due = Some(self.hurried(cx.now, at));
                return Ok(());
            }
            self.feed(Input::Timeout(self.anchor.moment(cx.now)))?;
        }
        self.due = Some(Wake::new(cx.now + Duration::from_millis(1), "link.late"));
        Ok(())
    }

    fn feed(&mut self, input: Input<'_>) -> Result<(), CloseReason> {
        match self.rtc.handle_input(input) {
            Ok(()) => Ok(()),
            // A record that DTLS refuses may be anyone's; the association has not lost its state by it.
            Err(RtcError::Dtls(_)) if self.rtc.is_alive() => {
                self.counters.dtls += 1;
                Ok(())
            }
            Err(error) => Err(self.reason(&error)),
        }
    }

    /// When str0m wants to be called next, having sent and told everything; `None` is never.
    fn drain(&mut self, cx: &mut Cx<'_>, arrival: Option<Path>) -> Result<Option<Time>, CloseReason> {
        let mut end = Ok(());
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Transmit(transmit)) => self.transmit(cx, transmit),
                Ok(Output::Event(event)) if end.is_ok() => end = self.on_event(cx.now, event, arrival),
                Ok(Output::Event(_)) => {}
                Ok(Output::Timeout(at)) => return end.map(|()| self.anchor.time(at, cx.now)),
                Err(error) => return end.and(Err(self.reason(&error))),
            }
        }
    }

    fn on_event(&mut self, now: Time, event: RtcEvent, arrival: Option<Path>) -> Result<(), CloseReason> {
        match event {
            RtcEvent::IceConnectionStateChange(ice)
                if ice.is_connected() && self.state == State::Checking =>
            {
                self.state = State::Handshaking;
                self.haste = 0;
                if let Some(path) = arrival {
                    self.moved(path);
                }
                if self.role == Role::Client {
                    // Not earlier: a ClientHello that waits for a path is retransmitted all the same, into a queue.
                    self.rtc.direct_api().start_dtls(true).map_err(|_| CloseReason::Handshake)?;
                }
            }
            RtcEvent::Connected => {
                self.state = State::Secured;
                self.pulse.start(now);
                self.push(Event::Secured);
            }
            RtcEvent::ChannelOpen(id, _) if !self.streams.contains(&id) => {
                return Err(CloseReason::Misbehaved);
            }
            RtcEvent::ChannelData(data) => {
                self.pulse.heard(now);
                let stream = self.streams.iter().position(|id| *id == data.id);
                match stream.and_then(|stream| Channel::ALL.get(stream)) {
                    Some(channel) => self.push(Event::Data { channel: *channel, bytes: data.data }),
                    None if stream == Some(PULSE) => match self.pulse.message(now, &data.data) {
                        Ok(Some(pong)) => {
                            self.write(PULSE, &pong);
                        }
                        Ok(None) => {}
                        Err(()) => self.counters.pulse += 1,
                    },
                    None => return Err(CloseReason::Misbehaved),
                }
            }
            RtcEvent::ChannelBufferedAmountLow(id) => {
                let channels = self.streams.iter().zip(Channel::ALL).zip(&mut self.blocked);
                let low = channels.into_iter().find(|((stream, _), _)| **stream == id);
                if let Some(((_, channel), blocked)) = low
                    && std::mem::take(blocked)
                {
                    self.push(Event::Writable { channel });
                }
            }
            RtcEvent::ChannelClose(_) | RtcEvent::Closed => return Err(CloseReason::Remote),
            _ => {}
        }
        Ok(())
    }

    fn transmit(&mut self, cx: &mut Cx<'_>, transmit: Transmit) {
        let to = transmit.destination;
        let Some((socket, local)) = self.paths.resolve(transmit.source, to) else { return };
        let bytes = Vec::from(transmit.contents);
        if bytes.starts_with(&BINDING_REQUEST) {
            self.paths.checked(to, cx.now);
        } else if matches!(bytes.first(), Some(20..=63)) {
            self.moved((socket, to));
        }
        cx.transmit(socket, local, to, bytes);
    }

    fn moved(&mut self, path: Path) {
        let remote = path.1;
        match self.path.replace(path) {
            None => self.push(Event::PathFound { remote }),
            Some(before) if before != path => self.push(Event::PathChanged { remote }),
            Some(_) => {}
        }
    }

    /// The wake for str0m's `at`; earlier if what it waits for is only that its pace allows the next check.
    fn hurried(&self, now: Time, at: Time) -> Wake {
        let why = match self.rtc.last_timeout_reason() {
            Reason::Ice if self.haste > 0 && self.pace < SLOW_PACE && at == now + SLOW_PACE => {
                return Wake::new(now + self.pace.max(Duration::from_millis(1)), "link.haste");
            }
            Reason::Ice => "link.ice",
            Reason::DTLS => "link.dtls",
            Reason::Sctp => "link.sctp",
            _ => "link.other",
        };
        Wake::new(at, why)
    }

    fn learn(&mut self, now: Time, addr: SocketAddr) -> bool {
        let Some(candidate) = self.paths.add(addr, now) else { return false };
        self.rtc.add_remote_candidate(candidate);
        self.hurry();
        true
    }

    fn apply(&mut self, kick: Option<Kick>) -> bool {
        let Some(Kick { adopt, forget, learn }) = kick else { return false };
        if let Some(candidate) = adopt {
            self.rtc.add_remote_candidate(candidate);
        }
        self.rtc.direct_api().invalidate_candidate(&forget);
        self.rtc.add_remote_candidate(learn);
        self.hurry();
        true
    }

    fn hurry(&mut self) {
        self.haste = (self.haste + HASTE).min(MAX_HASTE);
    }

    fn write(&mut self, stream: usize, bytes: &[u8]) -> bool {
        let stream = self.streams.get(stream).and_then(|id| self.rtc.channel(*id));
        stream.is_some_and(|mut stream| stream.write(true, bytes).unwrap_or(false))
    }

    fn hang_up(&mut self, cx: &mut Cx<'_>) {
        let _loan = entropy::lend(cx.rng);
        if self.rtc.close().is_ok() {
            // Whatever it says now, it is over.
            let _ = self.drain(cx, None);
        }
    }

    fn push(&mut self, event: Event) {
        self.backlog += size(&event);
        self.events.push_back(event);
    }

    fn reason(&self, error: &RtcError) -> CloseReason {
        tracing::debug!(%error, state = ?self.state, "link failed");
        match error {
            RtcError::RemoteSdp(_) => CloseReason::Impostor,
            _ if self.state == State::Secured => CloseReason::Failed,
            _ => CloseReason::Handshake,
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { role, state, path, .. } = self;
        write!(f, "Link({role:?}, {state:?}, {path:?})")
    }
}

fn size(event: &Event) -> usize {
    let bytes = if let Event::Data { bytes, .. } = event { bytes.len() } else { 0 };
    EVENT_SIZE + bytes
}
