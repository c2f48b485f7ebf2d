use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::capable::Capable;
use super::census::Census;
use super::hosts::Hosts;
use super::lookup::{Goal, Pace};
use super::machine::Dht;
use super::node_id;
use super::remembered::Remembered;
use super::rpc::{LookupId, Pending, Purpose};
use super::snapshot::Saved;
use super::table::{K, Table};
use super::votes::Votes;
use super::{Event, Mode};
use crate::base::{Cx, NodeId, Scope, Time};
use crate::limits;
use crate::wire::krpc::{Call, Contact, Response, Want};

/// A node met by its question is asked something after this time: by then the hole that its question opened in its NAT
/// is closed, and an answer proves that it is reachable.
const VERIFY_AFTER: Duration = Duration::from_secs(90);

/// Between two attempts to enter the network, at first; doubled each time.
const BOOTSTRAP_RETRY: Duration = Duration::from_millis(500);
const BOOTSTRAP_RETRY_MOST: Duration = Duration::from_secs(30);

/// From this attempt on the owner is told of the silence: 1.5 s after the first.
const SILENT_ATTEMPTS: u32 = 2;

/// One question each, to the node heard of longest ago: this keeps a table of 90 nodes good within 15 minutes.
const REFRESH_SERVER: Duration = Duration::from_secs(10);
const REFRESH_CLIENT: Duration = Duration::from_secs(30);

/// Of those whom the answer to such a question names, so many of each family are asked whether they are there.
const MET_AT_REFRESH: usize = 3;

/// How often we look for the nodes around us, or around a random point: one after the other.
const NEIGHBOURS: Duration = Duration::from_secs(15 * 60);

/// The same at first while we know few, because the network is small or as new as we are; doubled each time.
const NEIGHBOURS_FEW: Duration = Duration::from_secs(1);
const FEW: usize = 2 * K;

/// Between looking for the nodes around us and looking for those around a random point, which tells how large the network is
/// where nobody can have expected us; and back. Sooner until so many such points tell.
const SURVEY: Duration = Duration::from_secs(60);
const SURVEYS: u32 = 8;

/// And after that lookup if our id changed in its course.
const NEIGHBOURS_OF_NEW_ID: Duration = Duration::from_millis(100);

/// How often one of the nodes of an earlier run is asked whether it is still there: the whole table in three minutes.
const ASK_REMEMBERED: Duration = Duration::from_secs(1);

/// Nodes of an earlier run that a lookup begins with, and for how many attempts to enter: a minute.
const LEADS: usize = 32;
const MANY_ATTEMPTS: u32 = 7;

/// What is removed from the storage in one go, and when the next go may be.
const SWEEP: usize = 1_024;
const SWEEP_PAUSE: Duration = Duration::from_millis(100);

/// What we know of the network in one address family. The two families are two networks (BEP 32).
#[derive(Debug)]
pub(super) struct Overlay {
    pub(super) table: Table,
    pub(super) votes: Votes,
    pub(super) census: Census,
    pub(super) capable: Capable,
    /// Whom an earlier run knew.
    pub(super) remembered: Remembered,
    /// Where to enter.
    pub(super) hosts: Hosts,
    /// Attempts to enter in a row without an answer.
    attempts: u32,
    /// Lookups for the nodes around us in a row after which we still knew few.
    few: u32,
    /// The lookup that makes us known to the nodes around us, or that of a random point.
    neighbours: Option<LookupId>,
    /// Whether the next is that of a random point, and how many of those there were.
    is_survey_next: bool,
    surveys: u32,
    /// The latest of those that a lookup waited for.
    pub(super) survey: Option<LookupId>,
    /// Whether our id changed in its course.
    rebound: bool,
    /// When to enter, or look for the nodes around us again.
    neighbours_at: Option<Time>,
    refresh_at: Option<Time>,
}

impl Overlay {
    pub(super) fn new(id: NodeId) -> Self {
        Self {
            table: Table::new(id),
            votes: Votes::default(),
            census: Census::default(),
            capable: Capable::default(),
            remembered: Remembered::default(),
            hosts: Hosts::default(),
            attempts: 0,
            few: 0,
            neighbours: None,
            is_survey_next: false,
            surveys: 0,
            survey: None,
            rebound: false,
            neighbours_at: None,
            refresh_at: None,
        }
    }

    /// As an earlier run left it, but with an empty table: nobody is known to be there still.
    pub(super) fn restored(id: NodeId, saved: Saved) -> Self {
        let (votes, remembered) = (Votes::restored(&saved.votes), Remembered::new(saved.nodes));
        Self { votes, remembered, ..Self::new(id) }
    }

    /// Nodes of an earlier run for a lookup to begin with. Many of them may be gone, and of so many some answer; unless it is
    /// us who are offline, and then so many each time would only cost.
    pub(super) fn leads(&self, target: &[u8; 20]) -> Vec<Contact> {
        self.remembered.closest(target, if self.attempts <= MANY_ATTEMPTS { LEADS } else { K })
    }

    /// Whether there is nobody to ask.
    pub(super) fn is_cut_off(&self) -> bool {
        self.table.is_empty() && self.hosts.is_empty() && self.remembered.is_empty()
    }

    /// Attempts to enter in a row without an answer.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Whether fewer random points than [`SURVEYS`] tell how large the network is.
    pub(super) fn is_young(&self) -> bool {
        self.surveys < SURVEYS
    }

    /// A lookup of a random point has begun, out of turn; or none can.
    pub(super) fn on_survey_begun(&mut self, survey: Option<LookupId>) {
        self.survey = survey;
        self.surveys += u32::from(survey.is_some());
    }

    /// Where a lookup for the nodes around us, or around some point, begins beside the nodes we know.
    pub(super) fn entry(&mut self) -> Option<SocketAddr> {
        self.hosts.take_turn(self.few == 0)
    }

    /// The memory taken beyond its own size, in bytes.
    pub(super) fn footprint(&self) -> usize {
        self.hosts.footprint()
            + self.table.footprint()
            + self.votes.footprint()
            + self.census.footprint()
            + self.capable.footprint()
            + self.remembered.footprint()
    }

    pub(super) fn next_wake(&self) -> Option<Time> {
        [self.neighbours_at, self.refresh_at, self.remembered.ask_at, self.hosts.next_due()]
            .into_iter()
            .flatten()
            .min()
    }
}

/// Nodes to be asked whether they are there: those met by their question, and those in doubt.
#[derive(Debug, Default)]
pub(super) struct Unverified {
    /// When to ask whom, the next first.
    nodes: Vec<(Time, Contact)>,
}

impl Unverified {
    /// A node asked us something, or is somebody else than we thought.
    pub(super) fn met(&mut self, now: Time, contact: Contact, at_once: bool) {
        self.add(contact, if at_once { now } else { now + VERIFY_AFTER });
    }

    /// A node in the table may be gone, or was named and may be of use: ask it now.
    pub(super) fn doubt(&mut self, now: Time, contact: Contact) {
        self.add(contact, now);
    }

    pub(super) fn forget(&mut self, addr: SocketAddr) {
        self.nodes.retain(|(_, contact)| contact.addr != addr);
    }

    pub(super) fn next_due(&self) -> Option<Time> {
        self.nodes.first().map(|&(due, _)| due)
    }

    /// The memory taken beyond its own size, in bytes.
    pub(super) fn footprint(&self) -> usize {
        self.nodes.capacity() * size_of::<(Time, Contact)>()
    }

    fn add(&mut self, contact: Contact, due: Time) {
        let waits = || self.nodes.iter().any(|(_, waiting)| waiting.addr == contact.addr);
        if self.nodes.len() < limits::DHT_UNVERIFIED && !waits() {
            let place = self.nodes.partition_point(|&(waiting, _)| waiting <= due);
            self.nodes.insert(place, (due, contact));
        }
    }

    fn take_due(&mut self, now: Time) -> Option<Contact> {
        if self.next_due().is_none_or(|due| due > now) {
            return None;
        }
        let (_, contact) = self.nodes.remove(0);
        if self.nodes.is_empty() {
            self.nodes = Vec::new();
        }
        Some(contact)
    }
}

/// Entering the network and staying in it.
impl Dht {
    /// Asks these addresses, in parallel, for the nodes around us; again, ever more rarely, while we know nobody. May be
    /// called at any time; at most [`limits::DHT_BOOTSTRAP`] addresses are kept.
    pub fn bootstrap(&mut self, cx: &mut Cx<'_>, hosts: &[SocketAddr]) {
        for &host in hosts {
            let usable = Scope::of(host.ip()) != Scope::Unusable && host.port() != 0 && !self.is_own(host);
            let overlay = self.overlay_mut(host.is_ipv4());
            if !usable || !overlay.hosts.add(host) {
                continue;
            }
            overlay.attempts = 0;
            match overlay.neighbours {
                Some(id) => {
                    if let Some(lookup) = self.lookups.get_mut(&id) {
                        lookup.add_seed(host);
                    }
                }
                None => overlay.neighbours_at = Some(cx.now),
            }
        }
        self.on_grown(cx.now);
        self.keep_up(cx);
        self.pump(cx);
    }

    /// Our addresses have changed: nothing that was said of them is valid, nobody knows us at the new ones, and what is
    /// under way may never be answered. The routing tables are kept: they are where to begin.
    pub(super) fn relocate(&mut self, cx: &mut Cx<'_>) {
        self.rpc.clear();
        self.lookups.clear();
        let lan = self.lan.leave();
        for ipv4 in [true, false] {
            let has_socket = self.sockets.iter().any(|socket| socket.bound.is_ipv4() == ipv4);
            let own = self.sockets.clone();
            let is_own = |host: SocketAddr| own.iter().any(|socket| socket.is_at(host));
            let overlay = self.overlay_mut(ipv4);
            overlay.votes.clear();
            overlay.census.clear();
            overlay.hosts.restart(|host| !is_own(host) && !lan.contains(&host));
            overlay.attempts = 0;
            overlay.few = 0;
            overlay.neighbours = None;
            (overlay.is_survey_next, overlay.surveys) = (false, 0);
            overlay.neighbours_at = has_socket.then_some(cx.now);
            self.bind_id(cx, ipv4);
        }
        self.topics.values_mut().for_each(|topic| topic.restart(cx.now));
        self.restart_errands();
        self.restart_searches(cx);
        self.keep_up(cx);
    }

    /// Does what is due at this moment to stay part of the network.
    pub(super) fn keep_up(&mut self, cx: &mut Cx<'_>) {
        for ipv4 in [true, false] {
            self.seek_neighbours(cx, ipv4);
            self.refresh(cx, ipv4);
            self.ask_remembered(cx, ipv4);
            self.ask_hosts(cx, ipv4);
        }
        if self.sweep_at <= cx.now && self.next_expiry().is_some_and(|at| at <= cx.now) {
            self.store.expire(cx.now, SWEEP);
            self.items.expire(cx.now, SWEEP);
            self.sweep_at = cx.now + SWEEP_PAUSE;
        }
    }

    /// When the next of what is stored expires.
    pub(super) fn next_expiry(&self) -> Option<Time> {
        self.store.next_expiry().into_iter().chain(self.items.next_expiry()).min()
    }

    /// The lookup for the nodes around us has ended.
    pub(super) fn on_neighbours_found(&mut self, cx: &mut Cx<'_>, id: LookupId, ipv4: bool) {
        let overlay = self.overlay_mut(ipv4);
        if overlay.neighbours != Some(id) {
            return;
        }
        overlay.neighbours = None;
        if overlay.table.is_empty() {
            return;
        }
        overlay.attempts = 0;
        overlay.few = if overlay.table.len() < FEW { overlay.few + 1 } else { 0 };
        let is_rebound = std::mem::take(&mut overlay.rebound);
        let is_surveyed = !overlay.is_young();
        overlay.is_survey_next = overlay.few == 0 && !is_rebound && !(is_surveyed && overlay.is_survey_next);
        let pause = match overlay.few {
            _ if is_rebound => NEIGHBOURS_OF_NEW_ID,
            0 if !is_surveyed => SURVEY,
            0 => NEIGHBOURS,
            few => NEIGHBOURS.min(NEIGHBOURS_FEW * (1 << (few - 1).min(12))),
        };
        overlay.neighbours_at = Some(cx.now + pause);
        if !self.is_up {
            self.is_up = true;
            self.tell(Event::Bootstrapped { nodes: self.nodes().count() });
        }
    }

    /// A node has entered the table.
    pub(super) fn on_added(&mut self, cx: &mut Cx<'_>, ipv4: bool) {
        let overlay = self.overlay_mut(ipv4);
        let nodes = overlay.table.len();
        overlay.refresh_at.get_or_insert(cx.now + REFRESH_SERVER);
        if !overlay.remembered.is_empty() {
            overlay.remembered.ask_at.get_or_insert(cx.now + ASK_REMEMBERED);
        }
        overlay.hosts.on_entered(cx.now);
        if nodes == 1 && overlay.neighbours.is_none() {
            overlay.neighbours_at = Some(cx.now);
            self.seek_neighbours(cx, ipv4);
        }
        if nodes <= K {
            self.on_grown(cx.now);
        }
    }

    /// A node may have left the table. If that was the last one, we are to enter anew.
    pub(super) fn on_removed(&mut self, cx: &mut Cx<'_>, ipv4: bool) {
        let overlay = self.overlay_mut(ipv4);
        if overlay.table.is_empty() && overlay.refresh_at.take().is_some() {
            overlay.neighbours_at = Some(cx.now);
            let is_alone = self.nodes().next().is_none();
            self.is_up &= !is_alone;
            self.seek_neighbours(cx, ipv4);
        }
    }

    pub(super) fn on_refreshed(&mut self, cx: &mut Cx<'_>, source: Contact, response: &Response<'_>) {
        let ipv4 = source.addr.is_ipv4();
        for contact in self.named(source.addr, response, ipv4).into_iter().take(MET_AT_REFRESH) {
            if self.overlay(ipv4).table.wants(&contact) {
                self.unverified.doubt(cx.now, contact);
            }
        }
        if self.is_missing(!ipv4) {
            let mut others = self.named(source.addr, response, !ipv4);
            others.retain(|contact| self.overlay(!ipv4).table.wants(contact));
            others.iter().take(MET_AT_REFRESH).for_each(|contact| self.unverified.doubt(cx.now, *contact));
        }
    }

    /// Whether we could be part of the network of this family and know next to nobody there: who entered by the other one
    /// finds it through those who are part of both (BEP 32).
    fn is_missing(&self, ipv4: bool) -> bool {
        // From private IPv4 addresses NATs lead out; from private IPv6 addresses hardly ever anything does.
        let least = if ipv4 { Scope::Private } else { Scope::Global };
        let leads_out = |ip: &IpAddr| ip.is_ipv4() == ipv4 && Scope::of(*ip) >= least;
        let mut sockets = self.sockets.iter().filter(|socket| socket.bound.is_ipv4() == ipv4);
        self.overlay(ipv4).table.len() < K && sockets.any(|socket| socket.addrs.iter().any(leads_out))
    }

    pub(super) fn on_vote(&mut self, cx: &mut Cx<'_>, from: SocketAddr, seen: SocketAddr) {
        let votes = &mut self.overlay_mut(from.is_ipv4()).votes;
        let before = votes.public();
        match votes.vote(from, seen) {
            Ok(Some(public)) => {
                if before.is_some() {
                    self.topics.values_mut().for_each(|topic| topic.hasten(cx.now));
                }
                self.tell(Event::Observed { public });
                self.bind_id(cx, from.is_ipv4());
            }
            Ok(None) => {}
            Err(_) => self.counters.refused_votes += 1,
        }
    }

    /// Takes an id that our address allows (BEP 42), if it is known and ours is not one. Others are about to find us
    /// elsewhere, so we look for the nodes around the new place.
    fn bind_id(&mut self, cx: &mut Cx<'_>, ipv4: bool) {
        let voted = self.observed(ipv4).map(|public| public.ip());
        let bound = self.sockets.iter().flat_map(|socket| &socket.addrs);
        let global = bound.copied().find(|ip| ip.is_ipv4() == ipv4 && Scope::of(*ip) == Scope::Global);
        let Some(ip) = voted.or(global) else { return };
        if self.id_is_fixed || node_id::is_bound(&self.id(ipv4), ip) {
            return;
        }
        let id = node_id::bound_to(ip, cx.rng);
        let overlay = self.overlay_mut(ipv4);
        overlay.table.rebase(cx.now, id);
        overlay.is_survey_next = false;
        if overlay.neighbours.is_some() {
            overlay.rebound = true;
        } else if !overlay.table.is_empty() {
            overlay.neighbours_at = Some(cx.now);
            self.seek_neighbours(cx, ipv4);
        }
    }

    /// Asks those who are to be asked whether they are there.
    pub(super) fn pump_unverified(&mut self, cx: &mut Cx<'_>) {
        while let Some(contact) = self.unverified.take_due(cx.now) {
            if self.may_ask(cx.now, contact.addr) {
                self.ask(cx, contact.addr, Some(contact.id), Call::Ping, Purpose::Ping, false);
            } else {
                // Not before the pacer lets something pass; of what else waits for it, this matters least.
                self.unverified.add(contact, cx.now + Duration::from_secs(1));
            }
        }
    }

    fn seek_neighbours(&mut self, cx: &mut Cx<'_>, ipv4: bool) {
        let own = self.id(ipv4).0;
        let has_lan = ipv4 && self.lan.is_asked && self.sockets.iter().any(|socket| socket.bound.is_ipv4());
        let overlay = self.overlay_mut(ipv4);
        if overlay.neighbours_at.is_none_or(|at| at > cx.now) {
            return;
        }
        let before = overlay.neighbours.take();
        overlay.rebound = false;
        overlay.neighbours_at = None;
        let entering = overlay.table.is_empty();
        let (attempts, asked, remembered) = (overlay.attempts, overlay.hosts.len(), overlay.remembered.len());
        if entering {
            overlay.attempts += 1;
            let pause = (BOOTSTRAP_RETRY * (1 << attempts.min(10))).min(BOOTSTRAP_RETRY_MOST);
            overlay.neighbours_at = (has_lan || asked + remembered > 0).then_some(cx.now + pause);
            if has_lan {
                self.ask_lan(cx);
            }
        }
        if let Some(before) = before {
            self.lookups.remove(&before);
        }
        let overlay = self.overlay_mut(ipv4);
        let is_survey = overlay.is_survey_next && !entering;
        overlay.surveys += u32::from(is_survey);
        let target = if is_survey { cx.rng.array() } else { own };
        let begun = self.begin_lookup(target, (Goal::Neighbours, Pace::CALM), ipv4);
        let overlay = self.overlay_mut(ipv4);
        overlay.neighbours = begun;
        if begun.is_none() {
            overlay.neighbours_at = match entering {
                true => overlay.neighbours_at.filter(|_| has_lan),
                false => Some(cx.now + NEIGHBOURS),
            };
        }
        let is_last_hope = has_lan && !self.counts_on_lan(attempts + 1) && self.counts_on_lan(attempts);
        if is_last_hope && self.is_cut_off() {
            self.tell(Event::BootstrapSilent { asked, remembered });
        }
        if begun.is_some() && attempts >= SILENT_ATTEMPTS && self.nodes().next().is_none() {
            self.tell(Event::BootstrapSilent { asked, remembered });
        }
    }

    /// Asks the next node of an earlier run whether it is still there, if the table has a place for it. Not while nobody
    /// has answered: then we are offline, and they are all there is to come back by.
    fn ask_remembered(&mut self, cx: &mut Cx<'_>, ipv4: bool) {
        let overlay = self.overlay_mut(ipv4);
        if overlay.remembered.ask_at.is_none_or(|at| at > cx.now) {
            return;
        }
        overlay.remembered.ask_at = None;
        if overlay.table.is_empty() {
            return;
        }
        let next =
            std::iter::from_fn(|| overlay.remembered.take()).find(|contact| overlay.table.wants(contact));
        let Some(contact) = next else { return };
        overlay.remembered.ask_at = Some(cx.now + ASK_REMEMBERED);
        if self.is_own(contact.addr) {
            return;
        }
        if self.may_ask(cx.now, contact.addr) {
            self.ask(cx, contact.addr, Some(contact.id), Call::Ping, Purpose::Ping, false);
        } else {
            self.overlay_mut(ipv4).remembered.put_back(contact);
        }
    }

    /// Asks the hosts that have not answered yet whether they are there.
    fn ask_hosts(&mut self, cx: &mut Cx<'_>, ipv4: bool) {
        for host in self.overlay_mut(ipv4).hosts.take_due(cx.now) {
            if self.route(host).is_some() && self.may_ask(cx.now, host) {
                self.ask(cx, host, None, Call::Ping, Purpose::Ping, false);
            }
        }
    }

    /// A host has answered that had not yet. If it was not asked for the nodes around us, it is now.
    pub(super) fn on_host(&mut self, cx: &Cx<'_>, pending: &Pending) {
        let host = pending.to;
        let overlay = self.overlay_mut(host.is_ipv4());
        let lookup = match (pending.purpose, overlay.neighbours) {
            (Purpose::Lookup(id, _), Some(neighbours)) if id == neighbours => return,
            (_, neighbours) => neighbours,
        };
        match lookup.and_then(|id| self.lookups.get_mut(&id)) {
            Some(lookup) => lookup.add_seed(host),
            None => {
                let overlay = self.overlay_mut(host.is_ipv4());
                overlay.hosts.is_late(host);
                overlay.is_survey_next = false;
                overlay.neighbours_at = Some(cx.now);
            }
        }
    }

    fn refresh(&mut self, cx: &mut Cx<'_>, ipv4: bool) {
        let serves = self.mode == Mode::Server || self.reachable;
        let overlay = self.overlay_mut(ipv4);
        if overlay.refresh_at.is_none_or(|at| at > cx.now) {
            return;
        }
        let Some(stalest) = overlay.table.stalest() else {
            overlay.refresh_at = None;
            return;
        };
        overlay.refresh_at = Some(cx.now + if serves { REFRESH_SERVER } else { REFRESH_CLIENT });
        let target = overlay.table.refresh_target(cx.now, cx.rng);
        if self.may_ask(cx.now, stalest.addr) {
            let want = self.is_missing(!ipv4).then_some(Want { v4: true, v6: true });
            let call = Call::FindNode { target, want };
            self.ask(cx, stalest.addr, Some(stalest.id), call, Purpose::Refresh, false);
        }
    }
}
