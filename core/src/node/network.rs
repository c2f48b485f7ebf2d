//! The machine's network as the node sees it: sockets, public addresses, the DHT's and the STUN servers' word.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::Node;
use super::api::{AddressSource, DisconnectReason, Event, MeetingHandle, Network, Progress, Stage, Trouble};
use super::dial::Urgency;
use super::hosts::Purpose;
use crate::base::{DeviceId, Scope, SocketInfo, Time};
use crate::dht;
use crate::limits;
use crate::meeting::rendezvous::Source;
use crate::meeting::{Candidate, CandidateKind, Record};
use crate::stun;

/// A record is signed anew this often, so that knocks are never near the two hours after which they are void.
pub(super) const RECORD_LIFE: Duration = Duration::from_secs(30 * 60);

/// A member that falls silent or cannot be reached may mean that our NAT has restarted and shows us at another address
/// (RFC 4787 §4.1 leaves it free to). However many there are, STUN servers are asked about it no more often than this.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// The public addresses that observers told us.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// By observer kind and family, so that each can only ever hold one.
    public: BTreeMap<(bool, bool), SocketAddr>,
    /// What each STUN server said last, by family. One that says the same again tells nothing new, even if behind our NAT two
    /// see two addresses: else each round would be news to all members, who would try to reach us anew for it.
    told: BTreeMap<SocketAddr, SocketAddr>,
    /// When STUN servers were last asked because of a member.
    doubted: Option<Time>,
}

/// What an observation means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Known,
    New,
    /// The same observer saw us elsewhere before.
    Moved,
}

impl Addresses {
    /// Takes in an observation.
    fn observe(&mut self, public: SocketAddr, source: AddressSource) -> Seen {
        let (mut by_stun, mut before) = (false, None);
        if let AddressSource::Stun(server) = source {
            by_stun = true;
            if self.told.len() >= limits::STUN_SERVERS {
                self.told.retain(|of, _| *of == server);
            }
            before = self.told.insert(server, public);
            if before == Some(public) {
                return Seen::Known;
            }
        }
        match self.public.insert((by_stun, public.is_ipv4()), public) {
            _ if before.is_some() => Seen::Moved,
            known if known == Some(public) => Seen::Known,
            _ => Seen::New,
        }
    }

    fn has_stun(&self) -> bool {
        self.public.keys().any(|&(by_stun, _)| by_stun)
    }

    pub(super) fn publics(&self) -> impl Iterator<Item = SocketAddr> {
        self.public.values().copied()
    }
}

impl Node {
    pub(super) fn network(&mut self, network: Network) {
        match network {
            Network::Sockets(sockets) => self.set_sockets(sockets),
            Network::Woke => {
                self.dht.woke(&mut self.context.cx());
                self.start_over();
            }
        }
    }

    fn set_sockets(&mut self, sockets: Vec<SocketInfo>) {
        if sockets == self.sockets {
            return;
        }
        if sockets.is_empty() {
            self.context.trouble(None, Trouble::NoSocket);
        }
        let first = self.sockets.is_empty();
        for gone in self.sockets.iter().filter(|old| sockets.iter().all(|new| new.id != old.id)) {
            self.stun.forget_socket(self.context.now, gone.id);
        }
        self.sockets = sockets;
        self.own_addresses.clear();
        self.dht.set_sockets(&mut self.context.cx(), &self.sockets);
        self.addresses = Addresses::default();
        if first {
            let addresses = self.hosts.seek(&mut self.context, Purpose::Bootstrap);
            if self.hosts.count(Purpose::Bootstrap) > 0 || !self.dht.is_cut_off() {
                self.context.status(None, Progress::Bootstrapping);
            }
            self.bootstrap(&addresses);
        }
        self.start_over();
    }

    /// Nothing that was alive is known to be: look again, everywhere, at once.
    fn start_over(&mut self) {
        let servers = self.hosts.seek(&mut self.context, Purpose::Stun);
        self.probe(&servers);
        self.refresh_records();
        let known: Vec<DeviceId> = self.links.peers.keys().copied().collect();
        for device in known {
            self.drop_link(device, DisconnectReason::Silent);
            if let Some(peer) = self.links.peers.get_mut(&device) {
                peer.start_over();
            }
            self.want(device, Urgency::InTurn);
        }
        for attendance in self.meetings.values_mut() {
            if let Some(open) = attendance.open_mut() {
                open.rendezvous.hurry(&self.context.cx());
            }
        }
    }

    pub(super) fn bootstrap(&mut self, addresses: &[SocketAddr]) {
        if !addresses.is_empty() {
            self.dht.bootstrap(&mut self.context.cx(), addresses);
        }
    }

    /// A member is out of reach: perhaps since we have another public address now, of which nobody would hear otherwise.
    pub(super) fn doubt_addresses(&mut self) {
        let now = self.context.now;
        if self.addresses.doubted.is_some_and(|at| now < at + ASK_AGAIN) {
            return;
        }
        self.addresses.doubted = Some(now);
        let servers = self.hosts.seek(&mut self.context, Purpose::Stun);
        self.probe(&servers);
    }

    fn probe(&mut self, servers: &[SocketAddr]) {
        for socket in &self.sockets {
            let servers: Vec<SocketAddr> = servers.iter().copied().filter(|&s| socket.reaches(s)).collect();
            if !servers.is_empty() {
                self.stun.probe(&mut self.context.cx(), socket.id, &servers);
            }
        }
    }

    /// A host name of the user's has been looked up.
    pub(super) fn resolved(&mut self, purpose: Purpose, addresses: &[SocketAddr]) {
        let names = self.hosts.unresolved(purpose);
        if !names.is_empty() {
            let stage = match purpose {
                Purpose::Bootstrap => Stage::Bootstrap,
                Purpose::Stun => Stage::Candidates,
            };
            self.context.trouble(None, Trouble::Unresolved { names: names.join(", "), stage });
        }
        match purpose {
            Purpose::Bootstrap => self.bootstrap(addresses),
            Purpose::Stun => self.probe(addresses),
        }
    }

    pub(super) fn drain_stun(&mut self) {
        while let Some(event) = self.stun.pop_event() {
            match event {
                stun::Event::Mapped { server, public, .. } => {
                    self.observed(public, AddressSource::Stun(server))
                }
                // One family's servers may be out of reach without harm.
                stun::Event::RoundOver { answered: 0, asked, .. } if !self.addresses.has_stun() => {
                    self.context.trouble(None, Trouble::StunSilent(asked));
                }
                stun::Event::RoundOver { .. } | stun::Event::Failed { .. } => {}
            }
        }
    }

    pub(super) fn drain_dht(&mut self) {
        while let Some(event) = self.dht.pop_event() {
            match event {
                dht::Event::Bootstrapped { nodes } => {
                    self.context.status(None, Progress::Bootstrapped { nodes })
                }
                dht::Event::BootstrapSilent { asked: 0, remembered: 0 } => {
                    self.context.trouble(None, Trouble::NoBootstrap);
                }
                dht::Event::BootstrapSilent { asked: hosts, remembered: nodes } => {
                    self.context.trouble(None, Trouble::BootstrapSilent { hosts, nodes });
                }
                // The node's own progress and troubles say the same, of the meeting.
                dht::Event::Health(_) => {}
                dht::Event::Observed { public } => self.observed(public, AddressSource::Dht),
                dht::Event::Announced { topic, nodes } => {
                    self.for_topic(topic, |node, handle| {
                        node.status_alone(handle, Progress::Announced { nodes });
                        node.on_announced(handle, topic);
                    });
                }
                dht::Event::NotAnnounced { topic } => {
                    self.for_topic(topic, |node, handle| {
                        node.context.trouble(Some(handle), Trouble::NotAnnounced);
                    });
                }
                // The node keeps no items of its own, and asks nothing for anybody else.
                dht::Event::Sought { .. }
                | dht::Event::Pong { .. }
                | dht::Event::Silent { .. }
                | dht::Event::Item { .. }
                | dht::Event::ItemSought { .. }
                | dht::Event::Stored { .. }
                | dht::Event::NotStored { .. } => {}
                dht::Event::Peers { topic, from, peers } => {
                    self.for_topic(topic, |node, handle| {
                        let source = from.map_or(Source::OurStore, |from| Source::Dht(from.ip()));
                        node.rumour(handle, source, &peers);
                    });
                }
            }
        }
    }

    fn for_topic(&mut self, topic: crate::base::InfoHash, mut what: impl FnMut(&mut Self, MeetingHandle)) {
        let meets_there =
            |open: &super::attendance::Open| open.epochs.iter().any(|epoch| epoch.topic == topic);
        let handle = self
            .meetings
            .iter()
            .find(|(_, attendance)| attendance.open().is_some_and(meets_there))
            .map(|(&handle, _)| handle);
        if let Some(handle) = handle {
            what(self, handle);
        }
    }

    /// Says what is being done in a meeting where nobody is yet.
    fn status_alone(&mut self, handle: MeetingHandle, progress: Progress) {
        if let Some(open) = self.meetings.get_mut(&handle).and_then(|attendance| attendance.open_mut())
            && open.present.is_empty()
        {
            open.status(&mut self.context, handle, progress);
        }
    }

    fn observed(&mut self, public: SocketAddr, source: AddressSource) {
        if Scope::of(public.ip()) == Scope::Unusable {
            return;
        }
        match self.addresses.observe(public, source) {
            Seen::Known => return,
            Seen::New => {}
            // DHT nodes that are asked nothing do not notice, and go on naming us where nobody is.
            Seen::Moved => self.dht.moved(&mut self.context.cx()),
        }
        self.context.event(Event::Address { public, source });
        self.refresh_records();
    }

    /// Where this node may be reached, the likeliest first.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let hosts: Vec<SocketAddr> = self
            .sockets
            .iter()
            .flat_map(|socket| socket.addrs.iter().map(|&ip| SocketAddr::new(ip, socket.bound.port())))
            .collect();
        let only_loopback = hosts.iter().all(|host| Scope::of(host.ip()) == Scope::Loopback);
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut add = |kind, address: SocketAddr| {
            let usable = match Scope::of(address.ip()) {
                Scope::Loopback => only_loopback,
                Scope::Private | Scope::Global => true,
                // A link-local address means nothing without the name of an interface, and that differs by machine.
                Scope::Link | Scope::Unusable => false,
            };
            if usable && candidates.iter().all(|candidate| candidate.addr != address) {
                candidates.push(Candidate { kind, addr: address });
            }
        };
        let is_seen = |host: &SocketAddr| self.addresses.publics().any(|public| public == *host);
        for host in hosts {
            add(if is_seen(&host) { CandidateKind::Reflexive } else { CandidateKind::Host }, host);
        }
        self.addresses.publics().for_each(|public| add(CandidateKind::Reflexive, public));
        candidates
    }

    /// Signs our records anew where they no longer say how things are, and tells the members.
    pub(super) fn refresh_records(&mut self) {
        let candidates = self.candidates();
        let moved = candidates != self.signed_candidates;
        let unix = self.context.unix();
        let mut renewed: Vec<(MeetingHandle, Record)> = Vec::new();
        for (&handle, attendance) in &mut self.meetings {
            let Some(open) = attendance.open_mut() else { continue };
            if moved || open.own.details().time.abs_diff(unix) >= RECORD_LIFE {
                open.own = self.me.record(open.keys.id(), unix, &candidates);
                open.company_changed(&self.context.cx(), self.me.device);
                renewed.push((handle, open.own.clone()));
            }
        }
        self.records_signed = self.context.now;
        self.signed_candidates = candidates;
        for (handle, record) in renewed {
            self.spread(handle, &record, None);
        }
    }

    /// When the records are due to be signed anew.
    pub(super) fn records_due(&self) -> Time {
        self.records_signed + RECORD_LIFE
    }
}
