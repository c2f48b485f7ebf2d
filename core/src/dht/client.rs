use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Bound::{Excluded, Unbounded};

use super::Event;
use super::census::{self, Census, Size};
use super::errand::Errand;
use super::lookup::{Goal, Lookup, Pace};
use super::machine::{Dht, Origin, is_plausible};
use super::rpc::{LookupId, Overdue, Pending, Purpose, Unmatched};
use super::table::Answered;
use crate::base::{Cx, InfoHash, Scope};
use crate::wire::krpc::{Call, Capabilities, Contact, ErrorReply, Response, Want};

/// Nodes of our table that a lookup starts from, and half of those that it starts from if they lead nowhere.
const STARTS: usize = 8;

/// The asking side: lookups, and what answers lead to.
impl Dht {
    /// The question that an answer belongs to; if there is none, the answer is counted as dropped.
    pub(super) fn settle(&mut self, cx: &Cx<'_>, origin: &Origin, tid: &[u8]) -> Option<Pending> {
        match self.rpc.settle(cx.now, tid, origin.socket, origin.from) {
            Ok(pending) => {
                self.proven.insert(cx.now, pending.to.ip());
                self.outcomes.add(true);
                self.counters.late += u64::from(pending.is_late);
                Some(pending)
            }
            Err(Unmatched::Tid) => {
                self.counters.dropped_unknown_tid += 1;
                None
            }
            Err(Unmatched::Source) => {
                self.counters.dropped_wrong_source += 1;
                None
            }
        }
    }

    pub(super) fn on_response(
        &mut self,
        cx: &mut Cx<'_>,
        pending: &Pending,
        response: &Response<'_>,
        capabilities: Capabilities,
    ) {
        let contact = Contact { id: response.id, addr: pending.to };
        let is_another = pending.expected.is_some_and(|expected| expected != contact.id);
        if is_another {
            self.counters.id_changes += 1;
        }
        // Who names itself anew at each question has no place in the table, but locally it is a program started again.
        let local = Scope::of(contact.addr.ip()).is_local();
        if is_another && !local {
            // Or it is whom we know, and somebody named it by another id: then it is not to blame.
            let overlay = self.overlay_mut(contact.addr.is_ipv4());
            if !overlay.table.contains(&contact) {
                overlay.table.remove(contact.addr);
                self.on_removed(cx, contact.addr.is_ipv4());
            }
            self.unverified.met(cx.now, contact, false);
            self.on_unanswered(cx, pending);
            return;
        }
        self.remember(cx, contact, pending);
        self.overlay_mut(contact.addr.is_ipv4()).capable.on_answer(cx.now, contact, capabilities);
        if let Some(seen) = response.ip {
            self.on_vote(cx, contact.addr, seen);
        }
        match pending.purpose {
            Purpose::Ping | Purpose::Probe => {}
            Purpose::Refresh => self.on_refreshed(cx, contact, response),
            Purpose::Lookup(id, goal) => self.on_step(id, goal, contact, response),
            Purpose::Announce(topic) => {
                if let Some(topic) = self.topics.get_mut(&topic) {
                    topic.on_accepted(contact.addr);
                }
            }
            Purpose::Put(id) => {
                if let Some(errand) = self.errands.get_mut(&id) {
                    errand.on_stored(contact.addr);
                }
            }
            Purpose::Poll(topic) => self.on_polled(cx, topic, contact, response),
        }
    }

    pub(super) fn on_error(&mut self, cx: &mut Cx<'_>, pending: &Pending, error: &ErrorReply<'_>) {
        match pending.purpose {
            Purpose::Put(id) => {
                if let Some(errand) = self.errands.get_mut(&id) {
                    errand.on_refused(pending.to, Some(error.code), pending.again);
                }
            }
            _ => self.on_unanswered(cx, pending),
        }
    }

    /// Deals with every question that has waited too long.
    pub(super) fn on_overdue(&mut self, cx: &mut Cx<'_>) {
        while let Some(overdue) = self.rpc.overdue(cx.now) {
            match overdue {
                Overdue::Stalled(pending) => self.on_stalled(cx, &pending),
                Overdue::Lost(pending) => {
                    if let Some(lookup) = self.lookup_of(&pending) {
                        lookup.on_lost(pending.to);
                    }
                }
                Overdue::Dead(pending) => self.on_dead(cx, &pending),
            }
        }
    }

    /// A question remained without an answer for good.
    pub(super) fn on_dead(&mut self, cx: &mut Cx<'_>, pending: &Pending) {
        self.counters.timeouts += 1;
        self.outcomes.add(false);
        self.overlay_mut(pending.to.is_ipv4()).capable.forget(pending.to);
        if !pending.again {
            let overlay = self.overlay_mut(pending.to.is_ipv4());
            if !overlay.table.is_empty() {
                overlay.remembered.forget(pending.to);
            }
            let doubt = match is_about_items(pending.purpose) {
                true => overlay.table.at(pending.to),
                false => overlay.table.failed(pending.to, pending.sent),
            };
            if let Some(doubt) = doubt {
                self.unverified.doubt(cx.now, doubt);
            }
            self.on_removed(cx, pending.to.is_ipv4());
        }
        self.on_unanswered(cx, pending);
    }

    /// Begins a lookup. `None` if there is nobody to ask, or too much is under way.
    pub(super) fn begin_lookup(
        &mut self,
        target: [u8; 20],
        (goal, pace): (Goal, Pace),
        ipv4: bool,
    ) -> Option<LookupId> {
        if self.lookups.len() >= crate::limits::DHT_LOOKUPS {
            return None;
        }
        let overlay = self.overlay_mut(ipv4);
        let (start, spares) =
            (overlay.table.starts(&target, STARTS), overlay.table.spare_starts(&target, 2 * STARTS));
        // The hosts everybody starts from are spared once there are others to ask. In a network that is as new as we are,
        // those others may all be on our side of it, and know nobody on the target's.
        let has_lead = start.len() >= 3 && overlay.table.leads_to(&target);
        let seeds: Vec<SocketAddr> = match goal {
            _ if !has_lead => overlay.hosts.iter().collect(),
            Goal::Neighbours => overlay.entry().into_iter().collect(),
            _ => Vec::new(),
        };
        // After a restart, also those who were there before it: a fresh answer is worth more, so they come second.
        let start = [start, overlay.leads(&target)].concat();
        if !self.sockets.iter().any(|socket| socket.bound.is_ipv4() == ipv4)
            || (start.is_empty() && seeds.is_empty())
        {
            return None;
        }
        // On a machine or a local network every answer is quick, and a stranger is nobody to be wary of.
        let is_local = |addr: SocketAddr| Scope::of(addr.ip()).is_local();
        let is_near = start.iter().map(|contact| contact.addr).chain(seeds.iter().copied()).all(is_local);
        let pace = if is_near { Pace::CALM } else { pace };
        let (size, is_young) = (self.credible_size(ipv4), self.overlay(ipv4).is_young());
        self.last_lookup.0 += 1;
        self.counters.lookups += 1;
        let mut lookup = Lookup::new(target, (goal, pace), ipv4, size, start, seeds);
        lookup.spare_starts(spares);
        if is_young {
            lookup.doubt_size();
        }
        self.lookups.insert(self.last_lookup, lookup.into());
        Some(self.last_lookup)
    }

    /// Takes every lookup as far as it goes now.
    pub(super) fn pump_lookups(&mut self, cx: &mut Cx<'_>) {
        let mut last = LookupId::default();
        while let Some((&id, _)) = self.lookups.range((Excluded(last), Unbounded)).next() {
            last = id;
            let Some(mut lookup) = self.lookups.remove(&id) else { continue };
            if lookup.wants_survey() && !self.is_surveying(cx, lookup.is_ipv4()) {
                lookup.on_survey(None);
            }
            while let Some((addr, expected)) = lookup.next() {
                if self.route(addr).is_none() || self.is_own(addr) {
                    lookup.on_failed(addr);
                    continue;
                }
                if !self.may_ask(cx.now, addr) {
                    break;
                }
                lookup.on_asked(addr);
                let call = self.lookup_call(&lookup);
                self.ask(cx, addr, expected, call, Purpose::Lookup(id, lookup.goal()), false);
            }
            if !lookup.is_done() {
                self.lookups.insert(id, lookup);
                continue;
            }
            self.count(&lookup);
            match lookup.goal() {
                Goal::Neighbours => {
                    self.on_neighbours_found(cx, id, lookup.is_ipv4());
                    // Those who waited for it are to go on.
                    if self.overlay(lookup.is_ipv4()).survey == Some(id) {
                        last = LookupId::default();
                    }
                }
                Goal::Search(topic) => self.on_searched(topic, id, lookup.progress()),
                Goal::Peers(topic) => {
                    let closest: Vec<Contact> = lookup.closest().collect();
                    if let Some(topic) = self.topics.get_mut(&topic) {
                        topic.on_lookup_done(id, lookup.is_ipv4(), &closest, lookup.silent());
                    }
                }
                Goal::Item(errand) => {
                    let closest: Vec<Contact> = lookup.closest().collect();
                    if let Some(errand) = self.errands.get_mut(&errand) {
                        errand.on_lookup_done(id, &closest);
                    }
                }
            }
        }
        if self.lookups.is_empty() {
            self.lookups = BTreeMap::new();
        }
    }

    /// Learns from a lookup that ended whether somebody surrounds its target; and how large the network is, if nobody but us
    /// chose the target: who knows which topics are looked up could crowd around each of them, and make us believe that it is
    /// as crowded everywhere.
    fn count(&mut self, lookup: &Lookup) {
        let ipv4 = lookup.is_ipv4();
        let (all, credible) = (lookup.distances(), lookup.credible_distances());
        let is_alarming = self.overlay(ipv4).census.is_alarming(&all);
        self.counters.alarms += u64::from(is_alarming);
        if lookup.goal() == Goal::Neighbours {
            let (target, is_ours) = (lookup.target().0, lookup.target() == self.id(ipv4));
            self.overlay_mut(ipv4).census.add(target, is_ours, &credible);
            let size = self.credible_size(ipv4);
            // Where the network has grown, the latest alone is right; if it is wrong by chance, nobody is suspected for that.
            let latest = Census::of(target, &credible).size();
            let most = [size, latest].into_iter().flatten().max_by_key(|size| size.nodes + size.error);
            for other in self.lookups.values_mut().filter(|other| other.is_ipv4() == ipv4) {
                other.learn_size(size);
                if !is_ours {
                    other.on_survey(most);
                }
            }
        }
    }

    /// Whether a random point is being looked up, from now on if need be, for those who doubt how large the network is.
    fn is_surveying(&mut self, cx: &mut Cx<'_>, ipv4: bool) -> bool {
        let is_running = |id| self.lookups.contains_key(&id);
        if !self.overlay(ipv4).survey.is_some_and(is_running) {
            let survey = self.begin_lookup(cx.rng.array(), (Goal::Neighbours, Pace::SWIFT), ipv4);
            self.overlay_mut(ipv4).on_survey_begun(survey);
        }
        self.overlay(ipv4).survey.is_some()
    }

    /// How many nodes there are, if that can be told and is worth telling.
    fn credible_size(&self, ipv4: bool) -> Option<Size> {
        self.overlay(ipv4).census.size().filter(|size| size.nodes >= census::FEW)
    }

    /// Tells of the peers that `source` named.
    pub(super) fn report_peers(
        &mut self,
        topic: InfoHash,
        source: SocketAddr,
        peers: impl Iterator<Item = SocketAddr>,
    ) -> bool {
        let (peers, refused): (Vec<_>, Vec<_>) = peers.partition(|peer| is_plausible(source.ip(), *peer));
        self.counters.refused_contacts += refused.len() as u64;
        let found = !peers.is_empty();
        if found && (self.topics.contains_key(&topic) || self.searches.contains_key(&topic)) {
            self.tell(Event::Peers { topic, from: Some(source), peers });
        }
        found
    }

    /// The nodes of a family that `source` named and that may be contacted.
    pub(super) fn named(&mut self, source: SocketAddr, response: &Response<'_>, ipv4: bool) -> Vec<Contact> {
        let own_id = self.id(ipv4);
        let (named, refused): (Vec<_>, Vec<_>) =
            response.contacts().filter(|contact| contact.addr.is_ipv4() == ipv4).partition(|contact| {
                is_plausible(source.ip(), contact.addr) && contact.id != own_id && !self.is_own(contact.addr)
            });
        self.counters.refused_contacts += refused.len() as u64;
        named
    }

    fn lookup_call(&self, lookup: &Lookup) -> Call<'static> {
        // The family of the transport is what comes unasked, and in a lookup all room in the answer is for it.
        let want: Option<Want> = None;
        match lookup.goal() {
            Goal::Neighbours => Call::FindNode { target: lookup.target(), want },
            Goal::Peers(info_hash) => Call::GetPeers { info_hash, want, scrape: false },
            Goal::Search(info_hash) => {
                Call::GetPeers { info_hash, want, scrape: self.is_counting(&info_hash) }
            }
            Goal::Item(errand) => {
                let seq = self.errands.get(&errand).and_then(Errand::seq);
                Call::Get { target: InfoHash(lookup.target().0), seq, want }
            }
        }
    }

    fn on_step(&mut self, id: LookupId, goal: Goal, contact: Contact, response: &Response<'_>) {
        let named = self.named(contact.addr, response, contact.addr.is_ipv4());
        match goal {
            Goal::Peers(topic) => {
                self.report_peers(topic, contact.addr, response.peers());
            }
            Goal::Search(topic) => {
                let found = self.report_peers(topic, contact.addr, response.peers());
                self.on_search_step(topic, found, response.scrape);
            }
            Goal::Item(errand) => self.on_item_step(errand, contact, response),
            Goal::Neighbours => {}
        }
        let Some(lookup) = self.lookups.get_mut(&id) else { return };
        lookup.on_answer(contact, named);
        if let (Goal::Peers(topic), Some(token)) = (goal, response.token)
            && let Some(topic) = self.topics.get_mut(&topic)
        {
            topic.on_token(contact, token);
            if lookup.is_among_closest(contact.addr) {
                topic.request(contact.addr);
            }
        }
    }

    /// A node answered: it is alive, and has a place in the table if there is one.
    fn remember(&mut self, cx: &mut Cx<'_>, contact: Contact, pending: &Pending) {
        self.unverified.forget(contact.addr);
        if self.overlay_mut(contact.addr.is_ipv4()).hosts.on_answer(contact.addr) {
            self.on_host(cx, pending);
        }
        let overlay = self.overlay_mut(contact.addr.is_ipv4());
        overlay.remembered.forget(contact.addr);
        match overlay.table.answered(cx.now, contact, cx.now - pending.sent) {
            Answered::Added => self.on_added(cx, contact.addr.is_ipv4()),
            Answered::Spare { doubt: Some(doubt) } => self.unverified.doubt(cx.now, doubt),
            Answered::Known | Answered::Spare { doubt: None } | Answered::Refused => {}
        }
    }

    fn on_stalled(&mut self, cx: &mut Cx<'_>, pending: &Pending) {
        self.overlay_mut(pending.to.is_ipv4()).remembered.on_late(pending.to);
        let again = match pending.purpose {
            Purpose::Lookup(id, _) => {
                let Some(lookup) = self.lookups.get_mut(&id) else { return };
                lookup.on_stall(pending.to);
                let is_worth_it = lookup.is_worth_another(pending.to);
                self.lookups.get(&id).filter(|_| is_worth_it).map(|lookup| self.lookup_call(lookup))
            }
            Purpose::Poll(info_hash) => Some(Call::GetPeers { info_hash, want: None, scrape: false }),
            // Whoever is not known to be there is not asked twice: its address may have been made up.
            Purpose::Ping if !self.is_known(pending.to) => None,
            Purpose::Ping | Purpose::Probe => Some(Call::Ping),
            Purpose::Announce(topic) => {
                if !pending.again && self.may_ask(cx.now, pending.to) {
                    self.announce_to(cx, topic, pending.to, true);
                }
                return;
            }
            Purpose::Put(id) => {
                if !pending.again && self.may_ask(cx.now, pending.to) {
                    self.put_to(cx, id, pending.to, true);
                }
                return;
            }
            Purpose::Refresh => None,
        };
        if let Some(call) = again.filter(|_| !pending.again)
            && self.may_ask(cx.now, pending.to)
        {
            self.ask(cx, pending.to, pending.expected, call, pending.purpose, true);
        }
    }

    fn is_known(&self, addr: SocketAddr) -> bool {
        self.is_exempt(addr.ip()) || self.overlay(addr.is_ipv4()).table.at(addr).is_some()
    }

    /// Nothing of use came, or will come.
    fn on_unanswered(&mut self, cx: &mut Cx<'_>, pending: &Pending) {
        // Of what is late, this was noted when it was given up.
        if pending.is_late {
            return;
        }
        match pending.purpose {
            Purpose::Ping | Purpose::Refresh => {}
            Purpose::Probe if pending.again => {}
            Purpose::Probe => self.tell(Event::Silent { addr: pending.to }),
            Purpose::Lookup(..) => {
                if let Some(lookup) = self.lookup_of(pending) {
                    lookup.on_failed(pending.to);
                }
            }
            Purpose::Announce(topic) => {
                if let Some(topic) = self.topics.get_mut(&topic) {
                    topic.on_refused(pending.to);
                }
            }
            Purpose::Put(id) => {
                if let Some(errand) = self.errands.get_mut(&id) {
                    errand.on_refused(pending.to, None, pending.again);
                }
            }
            Purpose::Poll(_) if pending.again => {}
            Purpose::Poll(topic) => {
                if let Some(topic) = self.topics.get_mut(&topic) {
                    topic.on_poll_unanswered(cx.now, pending.to);
                }
            }
        }
    }

    fn lookup_of(&mut self, pending: &Pending) -> Option<&mut Lookup> {
        match pending.purpose {
            Purpose::Lookup(id, _) => self.lookups.get_mut(&id).map(|lookup| &mut **lookup),
            _ => None,
        }
    }
}

/// Whether a question is one that many nodes do not know: they say nothing to it, and may be the best of nodes otherwise. So
/// their silence is a reason to ask them something that all know, and no more.
fn is_about_items(purpose: Purpose) -> bool {
    matches!(purpose, Purpose::Put(_) | Purpose::Lookup(_, Goal::Item(_)))
}
