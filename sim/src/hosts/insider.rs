//! A member who means no good.

mod mischief;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use folkmoot_core::base::{
    Cx, DeviceId, Incarnation, MemberId, Outbox, Rng, SocketInfo, Time, Transmit, Wake,
};
use folkmoot_core::meeting::hello::{self, End};
use folkmoot_core::meeting::{
    Candidate, CandidateKind, Code, Details, Epoch, Keyring, Keys, Record, Roster, Ufrag, knock,
};
use folkmoot_core::peer::{
    Channel, Endpoint, Event, Fingerprint, IceCredentials, Link, LinkConfig, Role, Security, SnapToken,
};
use folkmoot_core::wire::demux::{self, Kind};
use folkmoot_core::wire::frame;
use folkmoot_core::wire::frame::control::{Control, Hello, VERSION};
use folkmoot_core::wire::stun::{Class, Message, TransactionId};

pub use mischief::Mischief;
use mischief::Mischiefs;

use super::node::derive;
use super::sockets;
use crate::engine::{Host, HostCx};

/// How often something is done to everyone.
const BEAT: Duration = Duration::from_millis(50);
/// How long an answer to a knock, or a link that it leads to, is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// Datagrams sent in one call.
const OUTBOX: usize = 1_024;
/// The number by which its frames name the meeting.
const MEETING: u16 = 1;

/// A member who knows the code, knocks at the doors it was told of, links to who answers, proves that it is a member, and then
/// [does what no member may](Mischief). Cut off, it comes back.
#[derive(Debug)]
pub struct Insider {
    code: Code,
    seed: [u8; 32],
    port: u16,
    security: Security,
    doors: Vec<SocketAddr>,
    victims: Vec<SocketAddr>,
    mischief: Mischief,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    keys: Keys,
    keyring: Keyring,
    endpoint: Endpoint,
    sockets: Vec<SocketInfo>,
    rng: Rng,
    out: Outbox,
    port: u16,
    peers: BTreeMap<SocketAddr, Peer>,
    mischiefs: Mischiefs,
    beat: Time,
}

/// Somebody behind one of the doors.
#[derive(Debug, Default)]
struct Peer {
    knock: Option<TransactionId>,
    /// Nothing is tried anew before.
    not_before: Time,
    record: Option<Record>,
    link: Option<Link>,
    /// The number of the link's dial.
    number: u16,
    greeted: bool,
}

impl Insider {
    /// Somebody with the device and member key of `seed`, who knocks at `doors`, and names `victims` as addresses of members.
    pub fn new(
        (code, seed): (Code, [u8; 32]),
        (port, security): (u16, Security),
        doors: Vec<SocketAddr>,
        victims: Vec<SocketAddr>,
        mischief: Mischief,
    ) -> Self {
        Self { code, seed, port, security, doors, victims, mischief, running: None }
    }

    /// Who that is.
    pub fn identity(seed: &[u8; 32]) -> (DeviceId, MemberId) {
        let keyring = Keyring::new(seed, seed);
        (keyring.device(), keyring.member())
    }

    /// How often it was let in, and did something to whoever let it in.
    pub fn deeds(&self) -> u64 {
        self.running.as_ref().map_or(0, |running| running.mischiefs.done())
    }

    fn with(&mut self, host: &mut HostCx<'_>, act: impl FnOnce(&mut Running, &HostCx<'_>)) {
        let Some(running) = &mut self.running else { return };
        act(running, host);
        while let Some(transmit) = running.out.pop() {
            sockets::transmit(host, self.port, transmit);
        }
    }
}

macro_rules! cx {
    ($running:expr, $host:expr) => {
        Cx { now: $host.now, unix: $host.unix, rng: &mut $running.rng, out: &mut $running.out }
    };
}

impl Host for Insider {
    fn start(&mut self, cx: &mut HostCx<'_>) {
        let mut rng = Rng::new(cx.entropy(0));
        let keys = Keys::derive(&derive(&self.code));
        let keyring = Keyring::new(&self.seed, &self.seed);
        let mischiefs = Mischiefs::new(self.mischief, &keys, &keyring, self.victims.clone());
        self.running = Some(Running {
            endpoint: Endpoint::with_security(&self.seed, &mut rng, self.security),
            keys,
            keyring,
            sockets: sockets::sockets(cx.addrs, self.port),
            port: self.port,
            rng,
            out: Outbox::new(OUTBOX),
            peers: self.doors.iter().map(|door| (*door, Peer::default())).collect(),
            mischiefs,
            beat: cx.now + BEAT,
        });
    }

    fn handle_datagram(&mut self, cx: &mut HostCx<'_>, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        if to.port() == self.port {
            self.with(cx, |running, host| running.datagram(host, (to, from), bytes));
        }
    }

    fn on_wake(&mut self, cx: &mut HostCx<'_>) {
        self.with(cx, Running::wake);
    }

    fn next_wake(&self) -> Option<Wake> {
        let running = self.running.as_ref()?;
        let links = running.peers.values().filter_map(|peer| peer.link.as_ref()?.next_wake());
        links.chain([Wake::new(running.beat, "insider.beat")]).min_by_key(|wake| wake.at)
    }
}

impl Running {
    fn datagram(&mut self, host: &HostCx<'_>, (to, from): (SocketAddr, SocketAddr), bytes: &[u8]) {
        if !self.peers.contains_key(&from) {
            return;
        }
        if demux::classify(bytes) == Kind::Stun
            && let Ok(message) = Message::parse(bytes)
        {
            match message.class() {
                Class::Success if self.is_answer(from, &message) => return self.opened(host, from, &message),
                Class::Request => self.follow(host, from, &message),
                _ => {}
            }
        }
        let Some(link) = self.peers.get_mut(&from).and_then(|peer| peer.link.as_mut()) else { return };
        let socket = sockets::socket_for(to);
        link.handle_datagram(&mut cx!(self, host), socket, Some(to.ip()), from, bytes);
        self.drain(host, from);
    }

    fn is_answer(&self, from: SocketAddr, message: &Message<'_>) -> bool {
        self.peers.get(&from).is_some_and(|peer| peer.knock == Some(message.transaction_id()))
    }

    /// Somebody has answered a knock, and may dial as we do.
    fn opened(&mut self, host: &HostCx<'_>, from: SocketAddr, message: &Message<'_>) {
        let epoch = self.keys.epoch(Epoch::of(host.unix));
        let answer = knock::verify_answer(&self.keys, &epoch, &Roster::default(), message);
        let (Ok((record, _)), Some(peer)) = (answer, self.peers.get_mut(&from)) else { return };
        peer.knock = None;
        if peer.record.as_ref().is_none_or(|known| End::of(known) != End::of(&record)) {
            (peer.link, peer.number) = (None, 0);
        }
        peer.record = Some(record);
        if peer.link.is_none() {
            let number = peer.number;
            self.dial(host, from, number);
        }
    }

    /// A check says at which number of a dial the other end is.
    fn follow(&mut self, host: &HostCx<'_>, from: SocketAddr, message: &Message<'_>) {
        let named = message.username().and_then(|name| Ufrag::parse_username(name.as_bytes()));
        let Some(peer) = self.peers.get(&from) else { return };
        let (Some((ours, _)), Some(record)) = (named, &peer.record) else { return };
        let is_ours = ours.tag == self.keys.pair_tag(self.keyring.device(), record.device());
        if is_ours && (ours.n > peer.number || peer.link.is_none()) {
            self.dial(host, from, ours.n);
        }
    }

    fn dial(&mut self, host: &HostCx<'_>, to: SocketAddr, number: u16) {
        let me = self.end();
        let Some(record) = self.peers.get(&to).and_then(|peer| peer.record.clone()) else { return };
        let them = End::of(&record);
        let ours = self.keys.ufrag(me.device, me.incarnation, them.device, number);
        let theirs = self.keys.ufrag(them.device, them.incarnation, me.device, number);
        let Some(pair) = self.keyring.signer().agree(them.device.as_bytes()) else { return };
        let password = |to: &Ufrag, from: &Ufrag| self.keys.check_password(&pair, to, from);
        let local = IceCredentials { ufrag: ours.to_string(), pwd: password(&ours, &theirs) };
        let remote = IceCredentials { ufrag: theirs.to_string(), pwd: password(&theirs, &ours) };
        let role = if me.device < them.device { Role::Client } else { Role::Server };
        let Ok(snap) = SnapToken::try_from(record.details().snap.as_slice()) else { return };
        let config = LinkConfig {
            sockets: self.sockets.clone(),
            remotes: vec![to],
            ..LinkConfig::new(role, local, remote, Fingerprint(them.fingerprint), snap)
        };
        let link = Link::new(&mut cx!(self, host), &self.endpoint, config).ok();
        if let Some(peer) = self.peers.get_mut(&to) {
            (peer.link, peer.number, peer.greeted) = (link, number, false);
            peer.not_before = host.now + PATIENCE;
        }
        self.drain(host, to);
    }

    /// Sees to the events of a link.
    fn drain(&mut self, host: &HostCx<'_>, at: SocketAddr) {
        let me = self.end();
        let Some(peer) = self.peers.get_mut(&at) else { return };
        let (Some(link), Some(record)) = (&mut peer.link, &peer.record) else { return };
        while let Some(event) = link.pop_event() {
            match event {
                Event::Secured => {
                    let own = own_record((&self.keys, &self.keyring, &self.endpoint), host, self.port, at);
                    let mac = hello::prove(&self.keys, &me, &End::of(record));
                    let hello = Hello { version: VERSION, capabilities: 0, record: own.encode(), mac };
                    let frame = frame::enclose(MEETING, &Control::Hello(hello).encode());
                    let _ = link.send(&mut cx!(self, host), Channel::Control, &frame);
                    peer.greeted = true;
                    self.mischiefs.linked(&mut cx!(self, host), End::of(record));
                }
                Event::Data { channel: Channel::Log, bytes } => {
                    if let Some((_, body)) = frame::open(&bytes) {
                        self.mischiefs.heard(&mut cx!(self, host), End::of(record), body);
                    }
                }
                Event::Closed { .. } => {
                    self.mischiefs.unlinked(End::of(record));
                    peer.greeted = false;
                    peer.not_before = host.now + PATIENCE;
                }
                _ => {}
            }
        }
        if link.is_closed() {
            peer.number = peer.number.saturating_add(1);
            peer.link = None;
        }
    }

    fn wake(&mut self, host: &HostCx<'_>) {
        let doors: Vec<_> = self.peers.keys().copied().collect();
        for at in doors.iter().copied() {
            if let Some(link) = self.peers.get_mut(&at).and_then(|peer| peer.link.as_mut()) {
                link.on_wake(&mut cx!(self, host));
                self.drain(host, at);
            }
        }
        if self.beat > host.now {
            return;
        }
        self.beat = host.now + BEAT;
        for at in doors {
            let Some(peer) = self.peers.get_mut(&at) else { continue };
            match (&mut peer.link, &peer.record) {
                (Some(link), Some(record)) if peer.greeted => {
                    self.mischiefs.act(&mut cx!(self, host), End::of(record), |cx, channel, body| {
                        let frame = frame::enclose(MEETING, body);
                        link.room(channel) >= frame.len() && link.send(cx, channel, &frame).is_ok()
                    });
                    self.drain(host, at);
                }
                _ if peer.not_before <= host.now => self.knock(host, at),
                _ => {}
            }
        }
    }

    fn knock(&mut self, host: &HostCx<'_>, at: SocketAddr) {
        let own = own_record((&self.keys, &self.keyring, &self.endpoint), host, self.port, at);
        let id = TransactionId(self.rng.array());
        let epoch = self.keys.epoch(Epoch::of(host.unix));
        let request = knock::request(&epoch, id, &own.seal(&self.keys, &mut self.rng));
        let socket = sockets::socket_for(at);
        self.out.push(Transmit { socket, local: None, to: at, bytes: request });
        if let Some(peer) = self.peers.get_mut(&at) {
            (peer.knock, peer.not_before) = (Some(id), host.now + PATIENCE);
        }
    }

    fn end(&self) -> End {
        End { device: self.keyring.device(), fingerprint: self.endpoint.fingerprint().0, incarnation: RUN }
    }
}

/// Its only run.
const RUN: Incarnation = Incarnation(1);

/// What it says of itself to somebody: to each under another name, although the serial number is the same.
fn own_record(
    (keys, keyring, endpoint): (&Keys, &Keyring, &Endpoint),
    host: &HostCx<'_>,
    port: u16,
    to: SocketAddr,
) -> Record {
    let here = SocketAddr::new(host.addr(), port);
    let details = Details {
        incarnation: RUN,
        serial: 1,
        time: host.unix,
        snap: *endpoint.snap().as_bytes(),
        nat: 0,
        candidates: vec![Candidate { kind: CandidateKind::Host, addr: here }],
        name: format!("friend of {}", to.ip()),
    };
    Record::sign(keys.id(), keyring, endpoint.fingerprint().0, details)
}
