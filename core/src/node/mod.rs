//! The composer: [`Input`] in, [`Output`] out. The one place that wires the machines to each other.
//!
//! | file | what it decides |
//! |---|---|
//! | `dispatch` | where a datagram belongs |
//! | `network` | sockets, public addresses, what the DHT and STUN say |
//! | `command` | what the application asks for |
//! | `encounter` | knocks and records: who is there |
//! | `dial`, `links` | forming, replacing, losing links |
//! | `membership` | HELLO, who is there and who was |
//! | `gossip` | when others are told of it |
//! | `missing` | who is asked for what others told of |
//! | `converse` | frames and messages |
//! | `attendance` | what there is of one meeting |

mod api;
mod attendance;
mod command;
mod context;
mod converse;
mod dial;
mod dispatch;
mod encounter;
mod gossip;
mod hosts;
mod links;
mod me;
mod membership;
mod missing;
mod network;
mod peers;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

pub use api::{
    AddressSource, Answer, Command, Config, DisconnectReason, Event, Identity, Input, MeetingHandle,
    MemberState, MemberView, Network, Output, Path, Progress, Request, RequestId, RequestKind, Stage, Tag,
    Trouble,
};
pub use dispatch::Counters;

use crate::base::{Backoff, DeviceId, MeetingId, MemberId, SocketInfo, Time, UnixTime, Wake};
use crate::dht::Dht;
use crate::meeting::{Candidate, PairTag};
use crate::peer::SnapToken;
use crate::stun;
use attendance::{Attendance, Parted, Phase};
use context::Context;
use encounter::Acquaintance;
use hosts::Hosts;
use links::{Arrival, Links};
use me::Me;
use network::Addresses;

/// Rounds of "do what is due, hear what follows" in one call. Three do; more would be a loop that feeds itself.
const MAX_ROUNDS: usize = 8;

/// A whole node: DHT, STUN, links, meetings. Does no I/O: a shell hands it what happens and does what it says.
///
/// ```text
/// loop {
///     match node.poll() {
///         Output::Transmit(t) => send it,
///         Output::Request(r)  => do it elsewhere, answer with Input::Answer,
///         Output::Event(e)    => show it,
///         Output::Idle(wake)  => wait for a datagram, a command, an answer, or the wake; node.handle(now, it)
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Node {
    context: Context,
    me: Me,
    sockets: Vec<SocketInfo>,
    addresses: Addresses,
    /// Addresses at which we met ourselves.
    own_addresses: BTreeSet<SocketAddr>,
    hosts: Hosts,
    stun: stun::Client,
    dht: Dht,
    links: Links,
    meetings: BTreeMap<MeetingHandle, Attendance>,
    /// By which tag in an ICE USERNAME a device means us, and by which meeting's key.
    tags: BTreeMap<PairTag, Acquaintance>,
    /// Logs of meetings that were left, in case we come back: our messages' numbers must go on. And who was there: what
    /// they said is still in the logs, and is passed on with the word of whose it is.
    parted: BTreeMap<MeetingId, Parted>,
    /// Links that were moved and not drained since.
    touched: BTreeSet<DeviceId>,
    /// Meetings whose log was moved and not drained since.
    stirred: BTreeSet<MeetingHandle>,
    /// Whether a link that waits for its turn may have it.
    slots_freed: bool,
    /// When something is due next, as it was after the last input.
    wake: Option<Wake>,
    records_signed: Time,
    /// The candidates our records name.
    signed_candidates: Vec<Candidate>,
    reconnect: Backoff,
    connect_timeout: Duration,
    counters: Counters,
}

impl Node {
    /// A node that starts at `now`. `entropy` is 32 fresh bytes from the operating system, never stored and never used
    /// again; tell it its sockets next, with [`Network::Sockets`].
    pub fn new(config: Config, entropy: [u8; 32], now: Time, unix: UnixTime) -> Self {
        let mut context = Context::new(entropy, now, unix);
        let mut cx = context.cx();
        let me = Me::new(&mut cx, &config.identity, config.incarnation, config.name, config.security);
        let dht = Dht::new(config.dht, &mut cx);
        let mut node = Self {
            me,
            sockets: Vec::new(),
            addresses: Addresses::default(),
            own_addresses: BTreeSet::new(),
            hosts: Hosts::new(config.bootstrap, config.stun),
            stun: stun::Client::default(),
            dht,
            links: Links::default(),
            meetings: BTreeMap::new(),
            tags: BTreeMap::new(),
            parted: BTreeMap::new(),
            touched: BTreeSet::new(),
            slots_freed: false,
            stirred: BTreeSet::new(),
            wake: None,
            records_signed: now,
            signed_candidates: Vec::new(),
            reconnect: config.reconnect,
            connect_timeout: config.connect_timeout,
            counters: Counters::default(),
            context,
        };
        node.wake = node.earliest_wake();
        node
    }

    /// Takes in what happened. May be called any number of times before the next drain.
    pub fn handle(&mut self, now: Time, input: Input<'_>) {
        if now < self.context.now {
            self.counters.time_went_back += 1;
        }
        self.context.now = self.context.now.max(now);
        match input {
            Input::Tick => {}
            Input::Datagram { .. } if self.context.is_clogged() => self.counters.unread += 1,
            Input::Datagram { socket, local, from, bytes } => {
                self.datagram(Arrival { socket, local, from }, bytes)
            }
            Input::Command(command) => self.command(command),
            Input::Network(network) => self.network(network),
            Input::Clock(unix) => self.clock(unix),
            Input::Answer(id, Answer::Derived(master)) => self.derived(id, &master),
            Input::Answer(id, Answer::Resolved(addresses)) => {
                if let Some(purpose) = self.hosts.resolved(self.context.now, id, &addresses) {
                    self.resolved(purpose, &addresses);
                }
            }
        }
        self.settle();
    }

    /// What the node wants; to be called until it is [`Output::Idle`].
    pub fn poll(&mut self) -> Output {
        self.context.pop().unwrap_or_else(|| Output::Idle(self.next_wake()))
    }

    /// This device.
    pub fn device(&self) -> DeviceId {
        self.me.device
    }

    /// This member.
    pub fn member(&self) -> MemberId {
        self.me.member
    }

    /// Everyone else who is known in a meeting and has not left; empty if it is not joined.
    pub fn members(&self, meeting: MeetingHandle) -> Vec<MemberView> {
        let open = self.meetings.get(&meeting).and_then(|attendance| attendance.open());
        let present =
            open.into_iter().flat_map(|open| open.roster.present().map(move |person| (open, person)));
        present
            .map(|(open, person)| {
                let device = person.record.device();
                let connected = open.present.contains(&device);
                let peer = self.links.peers.get(&device);
                let dial = peer.and_then(links::Peer::dial).filter(|_| connected);
                MemberView {
                    member: person.record.member(),
                    device,
                    name: person.record.details().name.clone(),
                    state: match peer {
                        _ if connected => MemberState::Connected,
                        Some(peer) if !peer.is_away() => MemberState::Connecting,
                        _ => MemberState::Away,
                    },
                    path: dial.map(|_| self.path(device)),
                    rtt: dial.and_then(|dial| dial.link.rtt()),
                    last_seen: Some(person.heard),
                }
            })
            .collect()
    }

    /// The token with which this run's SCTP associations start: what a replay of it needs beside its entropy.
    pub fn token(&self) -> SnapToken {
        self.me.endpoint.snap()
    }

    /// What was dropped, by reason.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The DHT node within.
    pub fn dht(&self) -> &Dht {
        &self.dht
    }

    fn clock(&mut self, unix: UnixTime) {
        self.context.set_clock(unix);
        for attendance in self.meetings.values_mut() {
            if let Some(open) = attendance.open_mut() {
                open.refresh_epochs(self.context.now, unix);
            }
        }
        self.refresh_records();
    }

    /// Does what is due, and lets every machine that moved say what it has to say, until nothing is due any more.
    fn settle(&mut self) {
        for _ in 0..MAX_ROUNDS {
            // Most inputs are datagrams, and come when nothing is due. What one of them makes due is seen after the drain.
            if self.is_due() {
                self.wake_due();
            }
            self.drain();
            self.wake = self.earliest_wake();
            if !self.is_due() {
                break;
            }
        }
    }

    fn is_due(&self) -> bool {
        self.wake.is_some_and(|wake| wake.at <= self.context.now)
    }

    fn drain(&mut self) {
        self.drain_stun();
        self.drain_dht();
        let acting =
            |attendance: &&Attendance| attendance.open().is_some_and(|open| open.rendezvous.has_actions());
        let handles: Vec<MeetingHandle> =
            self.meetings.values().filter(acting).map(|attendance| attendance.handle).collect();
        for handle in handles {
            self.act(handle);
        }
        while !self.touched.is_empty() || !self.stirred.is_empty() || self.slots_freed {
            if self.slots_freed {
                self.dial_queued();
            }
            while let Some(device) = self.touched.pop_first() {
                self.drain_link(device);
            }
            while let Some(handle) = self.stirred.pop_first() {
                self.drain_log(handle);
            }
        }
        self.settle_farewells();
    }

    fn wake_due(&mut self) {
        let now = self.context.now;
        self.stun.on_wake(&mut self.context.cx());
        if self.dht.next_wake().is_some_and(|wake| wake.at <= now) {
            self.dht.on_wake(&mut self.context.cx());
        }
        self.hosts.on_wake(&mut self.context);
        self.wake_links();
        if self.records_due() <= now {
            self.refresh_records();
        }
        let mut lonely = Vec::new();
        let mut newsy = Vec::new();
        let mut missing = Vec::new();
        for (&handle, attendance) in &mut self.meetings {
            let Phase::Open(open) = &mut attendance.phase else { continue };
            if open.news.is_due(now) {
                newsy.push(handle);
            }
            if open.missing.is_due(now) {
                missing.push(handle);
            }
            if open.log.next_wake().is_some_and(|wake| wake.at <= now) {
                self.stirred.insert(handle);
            }
            if let Some(seconds) = open.on_wake(&mut self.context.cx()) {
                lonely.push((handle, seconds));
            }
        }
        for (handle, seconds) in lonely {
            self.context.trouble(Some(handle), Trouble::Nobody(seconds));
        }
        for handle in newsy {
            self.pass_on(handle);
        }
        for handle in missing {
            self.ask_others(handle);
        }
    }

    fn earliest_wake(&mut self) -> Option<Wake> {
        let machines =
            [self.stun.next_wake(), self.dht.next_wake(), self.hosts.next_wake(), self.links.next_wake()];
        let meetings = self.meetings.values().map(Attendance::next_wake);
        let records = (!self.meetings.is_empty()).then(|| Wake::new(self.records_due(), "records"));
        machines.into_iter().chain(meetings).fold(records, Wake::earliest)
    }

    fn next_wake(&mut self) -> Option<Wake> {
        let wake = self.wake?;
        if wake.at > self.context.now {
            return Some(wake);
        }
        // A hot loop would burn the machine; a millisecond late burns nothing.
        debug_assert!(false, "{} is due at {}, not after {}", wake.why, wake.at, self.context.now);
        self.counters.late_wakes += 1;
        Some(Wake { at: self.context.now + Duration::from_millis(1), ..wake })
    }
}
