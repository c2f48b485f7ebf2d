use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::announce::announcement;
use super::machine::{Dht, Origin, VERSION};
use super::rpc::{Purpose, Tid};
use crate::base::{Cx, InfoHash, Scope, SocketInfo, Time};
use crate::wire::krpc::{Body, Call, Message, Query};

/// Where nodes of a local network listen for those who do not know anybody yet: an address that is for use within one
/// organisation (RFC 2365), and a port that nobody else is known to use on it. IPv4 only.
pub const LAN_GROUP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 192, 70, 77)), 6_770);

/// How long answers are taken; on a local network all have come by then.
const PATIENCE: Duration = Duration::from_secs(2);

/// Nodes of the local network that are entered by. One suffices.
const HOSTS: usize = 8;

/// Attempts after which we do not count on the local network any more: it was asked at once, after half a second and after
/// one and a half. It is asked on all the same, ever more rarely.
const ATTEMPTS: u32 = 3;

/// Addresses of ours from which it is asked.
const INTERFACES: usize = 8;

/// Entering by whoever is on the local network.
///
/// While we know nobody, a `ping` goes to [`LAN_GROUP`] with every attempt to enter. Who hears it treats it like any `ping`: it
/// answers, and looks at who asks. Who answers from a local address becomes one of the hosts to enter by; and it is told of our
/// topics, and asked for theirs, wherever in the DHT they belong. For two behind one router know each other's addresses from outside by the
/// DHT, and by those many routers let nobody back in (RFC 4787, section 6).
#[derive(Debug)]
pub(super) struct Lan {
    pub(super) is_asked: bool,
    /// The last question, and until when it may be answered.
    question: Option<(Tid, Time)>,
    /// Who answered.
    hosts: Vec<SocketAddr>,
}

impl Lan {
    pub(super) fn new(is_asked: bool) -> Self {
        Self { is_asked, question: None, hosts: Vec::new() }
    }

    /// Whether this answers our question.
    fn is_answer(&self, now: Time, tid: &[u8], from: SocketAddr) -> bool {
        self.question.is_some_and(|(asked, until)| asked == tid && now < until)
            && from.is_ipv4()
            && Scope::of(from.ip()).is_local()
    }

    /// We may be on another network now. Returns whom we entered this one by.
    pub(super) fn leave(&mut self) -> Vec<SocketAddr> {
        self.question = None;
        std::mem::take(&mut self.hosts)
    }
}

impl Dht {
    /// Whether the local network may still tell where to enter.
    pub(super) fn counts_on_lan(&self, attempts: u32) -> bool {
        self.lan.is_asked && attempts < ATTEMPTS
    }

    /// Asks who is there.
    pub(super) fn ask_lan(&mut self, cx: &mut Cx<'_>) {
        let tid: Tid = cx.rng.array();
        let query = Query {
            id: self.id(true),
            read_only: !self.serves(IpAddr::from([10, 0, 0, 1])),
            call: Call::Ping,
        };
        let (capabilities, body) = (self.capabilities, Body::Query(query));
        let bytes = Message { tid: &tid, version: Some(VERSION), capabilities, body }.encode();
        let from = self.sockets.iter().flat_map(|socket| interfaces(socket).map(|addr| (socket.id, addr)));
        for (socket, addr) in from.take(INTERFACES) {
            cx.transmit(socket, Some(addr), LAN_GROUP, bytes.clone());
            self.counters.sent += 1;
            self.counters.sent_bytes += bytes.len() as u64;
        }
        self.lan.question = Some((tid, cx.now + PATIENCE));
    }

    /// If this is an answer from the local network, enters by whoever gave it.
    pub(super) fn on_lan_answer(&mut self, cx: &mut Cx<'_>, origin: &Origin, tid: &[u8]) -> bool {
        let from = origin.from;
        if !self.lan.is_answer(cx.now, tid, from) {
            return false;
        }
        self.counters.responses += 1;
        if self.lan.hosts.len() < HOSTS && !self.lan.hosts.contains(&from) {
            self.lan.hosts.push(from);
            self.bootstrap(cx, &[from]);
            let topics: Vec<_> = self.topics.keys().copied().collect();
            for topic in topics {
                self.ask_for_peers(cx, topic, from, None);
            }
        }
        true
    }

    /// Asks all neighbours for the peers of a topic; they are announced to once they answer.
    pub(super) fn ask_neighbours(&mut self, cx: &mut Cx<'_>, topic: InfoHash) {
        for host in self.lan.hosts.clone() {
            self.ask_for_peers(cx, topic, host, None);
        }
    }

    /// Announces us to a neighbour who gave a token for it.
    pub(super) fn announce_nearby(
        &mut self,
        cx: &mut Cx<'_>,
        topic: InfoHash,
        host: SocketAddr,
        token: &[u8],
    ) {
        let Some(bound) = self.route(host).map(|socket| socket.bound.port()) else { return };
        // Who stores us as one of the closest is announced to with the others.
        let kept = self.topics.get(&topic).filter(|kept| kept.token(host).is_none());
        let Some(port) = kept.map(|kept| kept.port()) else { return };
        if self.lan.hosts.contains(&host) {
            let call = announcement(topic, port, bound, token);
            self.ask(cx, host, None, call, Purpose::Announce(topic), false);
        }
    }
}

/// The addresses of a socket on local networks; those of loopback only if there are no others.
fn interfaces(socket: &SocketInfo) -> impl Iterator<Item = IpAddr> {
    let of_scope = |wanted: &'static [Scope]| {
        let fits = move |addr: &&IpAddr| addr.is_ipv4() && wanted.contains(&Scope::of(**addr));
        socket.addrs.iter().filter(fits).copied()
    };
    let is_alone = socket.bound.ip().is_loopback();
    of_scope(if is_alone { &[Scope::Loopback] } else { &[Scope::Private, Scope::Link] })
}
