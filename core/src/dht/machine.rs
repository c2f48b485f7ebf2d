use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use super::errand::{Errand, ErrandId};
use super::health::{Health, Outcomes};
use super::item_server::Gifts;
use super::item_store::ItemStore;
use super::keep::Keep;
use super::lan::Lan;
use super::limiter::{Limiter, Refusal};
use super::lookup::Lookup;
use super::rate::{Bucket, Rate};
use super::recent::Recent;
use super::rpc::{LookupId, Purpose, Rpc};
use super::search::Search;
use super::snapshot::Saved;
use super::store::Store;
use super::tokens::Tokens;
use super::topic::Topic;
use super::upkeep::{Overlay, Unverified};
use super::{Config, Counters, Event, Known, Mode, Snapshot, Stats};
use crate::base::{Cx, InfoHash, NodeId, Scope, SocketId, SocketInfo, Time, Wake};
use crate::limits;
use crate::wire::krpc::{self, Body, Call, Capabilities, Contact, ErrorCode, Message, Query, Reject};

/// What we send as our software: two letters, and two bytes of version.
pub(super) const VERSION: &[u8; 4] = b"FM\x00\x01";

/// Questions that we send to the internet. Home routers break above some 100 small datagrams a second.
const PACE: Rate = Rate::new(50, 100);

/// A node of the Mainline DHT: see the [module](super).
#[derive(Debug)]
pub struct Dht {
    /// Whether our ids stay what they are, whatever our address.
    pub(super) id_is_fixed: bool,
    pub(super) mode: Mode,
    /// Whether the rules about addresses are for local ones too.
    pub(super) strict: bool,
    /// What we say in every message that we can do.
    pub(super) capabilities: Capabilities,
    /// Whether an unsolicited query from the internet has reached us.
    pub(super) reachable: bool,
    pub(super) sockets: Vec<SocketInfo>,
    v4: Overlay,
    v6: Overlay,
    pub(super) lan: Lan,
    pub(super) rpc: Rpc,
    pacer: Bucket,
    /// When the pacer lets the next question pass, if one waits for that.
    paced: Option<Time>,
    /// Boxed, as is whatever is rare and large: a tree makes room for eleven at once.
    pub(super) lookups: BTreeMap<LookupId, Box<Lookup>>,
    pub(super) last_lookup: LookupId,
    pub(super) topics: BTreeMap<InfoHash, Topic>,
    pub(super) errands: BTreeMap<ErrandId, Errand>,
    pub(super) last_errand: ErrandId,
    pub(super) searches: BTreeMap<InfoHash, Search>,
    pub(super) keep: Keep,
    pub(super) unverified: Unverified,
    pub(super) tokens: Tokens,
    pub(super) store: Store,
    pub(super) items: ItemStore,
    pub(super) gifts: Gifts,
    /// The storage is not swept before.
    pub(super) sweep_at: Time,
    limiter: Limiter,
    pub(super) contacted: Recent,
    pub(super) proven: Recent,
    /// Whether the owner was told that we are part of the network.
    pub(super) is_up: bool,
    pub(super) outcomes: Outcomes,
    /// What the owner was told of our health.
    pub(super) health: Health,
    events: VecDeque<Event>,
    pub(super) counters: Counters,
}

impl Dht {
    /// A node that has no socket yet, and knows nobody but whom it may ask again after an earlier run.
    pub fn new(config: Config, cx: &mut Cx<'_>) -> Self {
        let id = config.id.unwrap_or_else(|| NodeId(cx.rng.array()));
        let (mut v4, mut v6) = match config.saved {
            Some(Snapshot { v4, v6 }) => {
                let restored = |saved: Saved| Overlay::restored(config.id.unwrap_or(saved.id), saved);
                (restored(v4), restored(v6))
            }
            None => (Overlay::new(id), Overlay::new(id)),
        };
        [&mut v4, &mut v6].into_iter().for_each(|overlay| overlay.table.strict = config.strict);
        Self {
            id_is_fixed: config.id.is_some(),
            mode: config.mode,
            strict: config.strict,
            capabilities: config.capabilities,
            reachable: false,
            sockets: Vec::new(),
            v4,
            v6,
            lan: Lan::new(config.lan),
            rpc: Rpc::new(),
            pacer: Bucket::default(),
            paced: None,
            lookups: BTreeMap::new(),
            last_lookup: LookupId::default(),
            topics: BTreeMap::new(),
            errands: BTreeMap::new(),
            last_errand: ErrandId::default(),
            searches: BTreeMap::new(),
            keep: Keep::default(),
            unverified: Unverified::default(),
            tokens: Tokens::new(cx.rng),
            store: Store::default(),
            items: ItemStore::default(),
            gifts: Gifts::default(),
            sweep_at: cx.now,
            limiter: Limiter::default(),
            contacted: Recent::new(limits::DHT_CONTACTED),
            proven: Recent::new(limits::DHT_PROVEN),
            is_up: false,
            outcomes: Outcomes::default(),
            health: Health::default(),
            events: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Our place in the key space of one address family; each follows from our address there (BEP 42).
    pub fn id(&self, ipv4: bool) -> NodeId {
        self.overlay(ipv4).table.own()
    }

    /// These are all the sockets there are now. Where they differ from those before, everything is announced and looked
    /// up anew.
    pub fn set_sockets(&mut self, cx: &mut Cx<'_>, sockets: &[SocketInfo]) {
        if self.sockets == sockets {
            return;
        }
        self.sockets = sockets.to_vec();
        self.relocate(cx);
        self.pump(cx);
        self.examine();
    }

    /// The machine slept: nothing that was under way or known of the network is to be relied on.
    pub fn woke(&mut self, cx: &mut Cx<'_>) {
        self.relocate(cx);
        self.pump(cx);
    }

    /// A datagram arrived. `local` is the address of ours that it came to, where that is known; the answer leaves from
    /// there.
    pub fn handle_datagram(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        local: Option<IpAddr>,
        from: SocketAddr,
        bytes: &[u8],
    ) {
        self.counters.received_bytes += bytes.len() as u64;
        if self.events.len() >= limits::DHT_EVENTS {
            self.counters.dropped_undrained += 1;
        } else if !self.sockets.iter().any(|known| known.id == socket && known.reaches(from)) {
            self.counters.dropped_socket += 1;
        } else if from.port() == 0 || Scope::of(from.ip()) == Scope::Unusable {
            self.counters.dropped_address += 1;
        } else if self.is_own(from) {
            self.counters.dropped_own += 1;
        } else if bytes.len() < krpc::MIN_MESSAGE {
            self.counters.dropped_malformed += 1;
        } else {
            self.handle_message(cx, Origin { socket, local, from, size: bytes.len() }, Message::parse(bytes));
        }
    }

    /// Time passed.
    pub fn on_wake(&mut self, cx: &mut Cx<'_>) {
        self.on_overdue(cx);
        self.keep_up(cx);
        self.store_kept(cx);
        self.pump(cx);
        self.examine();
    }

    /// When [`Dht::on_wake`] is due.
    pub fn next_wake(&self) -> Option<Wake> {
        let rounds = self.topics.values().filter_map(Topic::next_round).min();
        let wakes = [
            (self.rpc.next_due(), "dht.answer"),
            (self.paced, "dht.pace"),
            (rounds, "dht.announce"),
            (self.keep.next_due(), "dht.keep"),
            (self.unverified.next_due(), "dht.verify"),
            (self.next_expiry().map(|at| at.max(self.sweep_at)), "dht.expire"),
            (self.v4.next_wake(), "dht.upkeep"),
            (self.v6.next_wake(), "dht.upkeep"),
        ];
        wakes
            .into_iter()
            .fold(None, |first, (at, why)| Wake::earliest(first, at.map(|at| Wake::new(at, why))))
    }

    /// What there is to tell.
    pub fn pop_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if event.is_none() && self.events.capacity() > 0 {
            self.events = VecDeque::new();
        }
        event
    }

    /// What has happened so far, and what is there now.
    pub fn stats(&self) -> Stats {
        let (stored_topics, stored_peers) = self.store.sizes();
        Stats {
            counters: self.counters,
            nodes_v4: self.v4.table.len(),
            nodes_v6: self.v6.table.len(),
            size_v4: self.v4.census.size(),
            size_v6: self.v6.census.size(),
            in_flight: self.rpc.len(),
            lookups: self.lookups.len(),
            topics: self.topics.len(),
            stored_topics,
            stored_peers,
            stored_items: self.items.len(),
            banned: self.limiter.banned(),
            server: self.mode == Mode::Server || (self.mode == Mode::Auto && self.reachable),
            health: self.health(),
        }
    }

    /// Whether there is nobody to ask: no node is known, not even from an earlier run, no address to enter by, and nobody on the
    /// local network has answered, if that is [asked](Config::lan).
    pub fn is_cut_off(&self) -> bool {
        [&self.v4, &self.v6].iter().all(|overlay| overlay.is_cut_off())
            && !self.counts_on_lan(self.v4.attempts())
    }

    /// The memory that this machine takes, in bytes: its own size, and what it has allocated, with the room kept in lists.
    /// What the allocator adds for itself is not known here, nor how full a tree's nodes are; they are taken to be two
    /// thirds full.
    pub fn footprint(&self) -> usize {
        let sockets: usize =
            self.sockets.iter().map(|socket| socket.addrs.capacity() * size_of::<IpAddr>()).sum();
        size_of::<Self>()
            + self.sockets.capacity() * size_of::<SocketInfo>()
            + sockets
            + self.v4.footprint()
            + self.v6.footprint()
            + self.rpc.footprint()
            + self.unverified.footprint()
            + self.contacted.footprint()
            + self.proven.footprint()
            + self.limiter.footprint()
            + self.keep.footprint()
            + self.store.footprint()
            + self.items.footprint()
            + self.lookups.values().map(|lookup| lookup.footprint()).sum::<usize>()
            + self.topics.values().map(Topic::footprint).sum::<usize>()
            + self.errands.values().map(Errand::footprint).sum::<usize>()
            + self.events.capacity() * size_of::<Event>()
    }

    /// The nodes in the routing tables: what they all have in common is that they answered us.
    pub fn nodes(&self) -> impl Iterator<Item = Contact> {
        self.v4.table.iter().chain(self.v6.table.iter())
    }

    /// The nodes in the routing tables at this moment, with what is known of them: IPv4 first, each the farthest bucket first.
    pub fn table(&self, now: Time) -> impl Iterator<Item = Known> {
        self.v4.table.known(now).chain(self.v6.table.known(now))
    }

    /// At most `most` nodes of the routing tables, those closest to us first.
    pub fn known_nodes(&self, most: usize) -> Vec<Contact> {
        let mut nodes: Vec<_> = self.nodes().collect();
        nodes.sort_by_key(|contact| contact.id.distance(self.id(contact.addr.is_ipv4()).as_bytes()));
        nodes.truncate(most);
        nodes
    }

    /// Our address, as the majority of those who answered lately see it.
    pub fn observed(&self, ipv4: bool) -> Option<SocketAddr> {
        self.overlay(ipv4).votes.public()
    }

    pub(super) fn overlay(&self, ipv4: bool) -> &Overlay {
        if ipv4 { &self.v4 } else { &self.v6 }
    }

    pub(super) fn overlay_mut(&mut self, ipv4: bool) -> &mut Overlay {
        if ipv4 { &mut self.v4 } else { &mut self.v6 }
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Sends whatever may be sent now, until there is nothing left to ask or no more may be asked.
    pub(super) fn pump(&mut self, cx: &mut Cx<'_>) {
        self.paced = None;
        self.begin_rounds(cx);
        self.pump_lookups(cx);
        self.pump_announces(cx);
        self.pump_errands(cx);
        self.pump_unverified(cx);
        self.finish_rounds(cx);
    }

    /// The socket through which a question to `to` leaves: one that is bound where such addresses are, or any of the
    /// family.
    pub(super) fn route(&self, to: SocketAddr) -> Option<&SocketInfo> {
        let to_loopback = Scope::of(to.ip()) == Scope::Loopback;
        let fits = |socket: &&SocketInfo| {
            socket.addrs.iter().any(|addr| (Scope::of(*addr) == Scope::Loopback) == to_loopback)
        };
        let reaching = || self.sockets.iter().filter(|socket| socket.reaches(to));
        reaching().find(fits).or_else(|| reaching().next())
    }

    /// Whether a question to `to` may be sent at this moment. If not, [`Dht::next_wake`] tells when to try again.
    pub(super) fn may_ask(&mut self, now: Time, to: SocketAddr) -> bool {
        if !self.rpc.has_room() {
            return false;
        }
        if Scope::of(to.ip()).is_local() || self.pacer.has(PACE, now) {
            return true;
        }
        self.paced = Some(self.pacer.ready_at(PACE));
        false
    }

    /// Sends a question, if there is a socket for it, and not too many are under way. Whether it did.
    pub(super) fn ask(
        &mut self,
        cx: &mut Cx<'_>,
        to: SocketAddr,
        expected: Option<NodeId>,
        call: Call<'_>,
        purpose: Purpose,
        again: bool,
    ) -> bool {
        let socket = self.route(to).filter(|_| self.rpc.has_room()).map(|socket| socket.id);
        let Some(socket) = socket else { return false };
        if !Scope::of(to.ip()).is_local() {
            self.pacer.take(PACE, cx.now);
        }
        // Every eighth refresh does not say that we are read-only: who then asks us something proves that it can.
        let is_probe = purpose == Purpose::Refresh && cx.rng.below(8) == 0 && self.mode == Mode::Auto;
        let read_only = !self.serves(to.ip()) && !is_probe;
        let tid = self.rpc.begin(cx.now, cx.rng, (socket, to), expected, purpose, again);
        let body = Body::Query(Query { id: self.id(to.is_ipv4()), read_only, call });
        let message = Message { tid: &tid, version: Some(VERSION), capabilities: self.capabilities, body };
        let bytes = message.encode();
        self.counters.sent_bytes += bytes.len() as u64;
        cx.transmit(socket, None, to, bytes);
        // Who cannot become reachable any more, or is, need not tell an unsolicited question.
        if self.mode == Mode::Auto && !self.reachable {
            self.contacted.insert(cx.now, to.ip());
        }
        self.counters.sent += 1;
        true
    }

    /// Whether we answer questions of this address.
    pub(super) fn serves(&self, ip: IpAddr) -> bool {
        match self.mode {
            Mode::Server => true,
            Mode::Auto => self.reachable || Scope::of(ip).is_local(),
            Mode::ReadOnly => false,
        }
    }

    /// Whether an address is one of our own.
    pub(super) fn is_own(&self, addr: SocketAddr) -> bool {
        self.overlay(addr.is_ipv4()).votes.public() == Some(addr)
            || self.sockets.iter().any(|socket| socket.is_at(addr))
    }

    fn handle_message(&mut self, cx: &mut Cx<'_>, origin: Origin, message: Result<Message<'_>, Reject<'_>>) {
        let own_id = self.id(origin.from.is_ipv4());
        match message {
            Ok(Message { tid, body: Body::Query(query), .. }) => {
                if query.id == own_id {
                    self.counters.dropped_own += 1;
                } else if self.admits(cx, origin.from) {
                    self.on_query(cx, &origin, tid, &query);
                }
            }
            Ok(Message { tid, version, capabilities, body: Body::Response(response) }) => {
                if response.id == own_id {
                    self.counters.dropped_own += 1;
                } else if self.on_lan_answer(cx, &origin, tid) {
                    self.examine();
                } else if let Some(pending) = self.settle(cx, &origin, tid) {
                    self.counters.responses += 1;
                    if pending.purpose == Purpose::Probe && !pending.is_late {
                        let version = version.and_then(|version| version.try_into().ok());
                        let (addr, id, rtt) = (pending.to, response.id, cx.now - pending.sent);
                        self.tell(Event::Pong { addr, id, rtt, version, observed: response.ip });
                    }
                    self.on_response(cx, &pending, &response, capabilities);
                    self.pump(cx);
                    self.examine();
                }
            }
            Ok(Message { tid, body: Body::Error(error), .. }) => {
                if let Some(pending) = self.settle(cx, &origin, tid) {
                    self.counters.errors += 1;
                    self.on_error(cx, &pending, &error);
                    self.pump(cx);
                    self.examine();
                }
            }
            Err(Reject::Query { tid, .. }) => {
                if self.admits(cx, origin.from) {
                    self.counters.queries += 1;
                    self.refuse(cx, &origin, tid, ErrorCode::Protocol);
                }
            }
            Err(_) => self.counters.dropped_malformed += 1,
        }
    }

    /// Whether a question from this address is to be answered; if not, it is counted.
    fn admits(&mut self, cx: &Cx<'_>, from: SocketAddr) -> bool {
        let ip = from.ip();
        let is_exempt = self.is_exempt(ip);
        let Self { limiter, proven, v4, v6, .. } = self;
        let table = if from.is_ipv4() { &v4.table } else { &v6.table };
        let is_proven = || proven.contains(ip) || table.at(from).is_some();
        if !is_exempt && let Err(refusal) = limiter.admit(cx.now, ip, is_proven) {
            *match refusal {
                Refusal::Banned => &mut self.counters.dropped_banned,
                Refusal::Ip => &mut self.counters.dropped_rate_ip,
                Refusal::Prefix => &mut self.counters.dropped_rate_prefix,
                Refusal::Global => &mut self.counters.dropped_rate_global,
            } += 1;
            return false;
        }
        let may_prove = self.mode == Mode::Auto && !self.reachable && !Scope::of(ip).is_local();
        if may_prove && !self.contacted.contains(ip) {
            self.reachable = true;
            self.contacted = Recent::new(limits::DHT_CONTACTED);
        }
        if !self.serves(ip) {
            self.counters.dropped_read_only += 1;
            return false;
        }
        true
    }

    /// Whether an address has shown that it receives what we send, or needs not.
    pub(super) fn is_proven(&self, ip: IpAddr) -> bool {
        self.is_exempt(ip) || self.proven.contains(ip)
    }

    /// Whether the rules about addresses are not for this one.
    pub(super) fn is_exempt(&self, ip: IpAddr) -> bool {
        !self.strict && Scope::of(ip).is_local()
    }
}

/// Where a datagram came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) socket: SocketId,
    pub(super) local: Option<IpAddr>,
    pub(super) from: SocketAddr,
    /// The datagram's length in bytes.
    pub(super) size: usize,
}

/// Whether what `source` names can be worth contacting. What a node of the internet says of private networks is not
/// about ours, and low ports belong to services that a flood of questions could be turned against.
pub(super) fn is_plausible(source: IpAddr, named: SocketAddr) -> bool {
    let scope = Scope::of(named.ip());
    scope != Scope::Unusable
        && scope >= Scope::of(source)
        && named.port() != 0
        && (scope.is_local() || named.port() >= 1_024)
}
