use std::net::SocketAddr;

use super::Event;
use super::lookup::{Goal, Pace};
use super::machine::Dht;
use super::rpc::{LookupId, Purpose};
use crate::base::{Cx, InfoHash, NodeId, Scope};
use crate::limits;
use crate::wire::krpc::Call;

/// How far a lookup has come, for people who wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Nodes asked.
    pub asked: usize,
    /// Nodes that answered.
    pub answered: usize,
    /// Of those, the one closest to the target.
    pub closest: Option<NodeId>,
}

/// The search for the peers of a topic: one lookup in each address family.
#[derive(Debug)]
pub(super) struct Search {
    lookups: Vec<LookupId>,
    /// Nodes that named peers.
    holders: usize,
    /// Nodes that answered the lookups that are over.
    answered: usize,
}

/// Asking without being found.
impl Dht {
    /// Searches the peers of a topic, without announcing anything. They are told of in [`Event::Peers`] as nodes name them,
    /// and the end in [`Event::Sought`]; at once if more than [`limits::DHT_SEARCHES`] are under way, or nobody is known.
    pub fn find_peers(&mut self, cx: &mut Cx<'_>, topic: InfoHash) {
        if self.searches.contains_key(&topic) {
            return;
        }
        let begun = match self.searches.len() < limits::DHT_SEARCHES {
            true => {
                [true, false].map(|ipv4| self.begin_lookup(topic.0, (Goal::Search(topic), Pace::SWIFT), ipv4))
            }
            false => [None, None],
        };
        let lookups: Vec<LookupId> = begun.into_iter().flatten().collect();
        if lookups.is_empty() {
            return self.tell(Event::Sought { topic, holders: 0, answered: 0 });
        }
        self.searches.insert(topic, Search { lookups, holders: 0, answered: 0 });
        self.report_stored(topic);
        self.pump(cx);
    }

    /// Asks whether a node is there: [`Event::Pong`] or [`Event::Silent`] tells.
    pub fn ping(&mut self, cx: &mut Cx<'_>, addr: SocketAddr) {
        let usable = Scope::of(addr.ip()) != Scope::Unusable && addr.port() != 0;
        let sent =
            usable && self.rpc.has_room() && self.ask(cx, addr, None, Call::Ping, Purpose::Probe, false);
        if !sent {
            self.tell(Event::Silent { addr });
        }
    }

    /// How far the lookups have come that are under way for a topic or an item, in both address families together.
    /// `None` if there is none.
    pub fn progress(&self, target: InfoHash) -> Option<Progress> {
        let of_target = |goal| !matches!(goal, Goal::Neighbours);
        let lookups = self
            .lookups
            .values()
            .filter(|lookup| of_target(lookup.goal()) && lookup.target() == NodeId(target.0));
        lookups.map(|lookup| lookup.progress()).reduce(|one, other| {
            let nearer = |id: &NodeId| id.distance(&target.0);
            Progress {
                asked: one.asked + other.asked,
                answered: one.answered + other.answered,
                closest: one.closest.into_iter().chain(other.closest).min_by_key(nearer),
            }
        })
    }

    /// A node named peers of a topic that is searched.
    pub(super) fn on_search_step(&mut self, topic: InfoHash, found: bool) {
        if let Some(search) = self.searches.get_mut(&topic) {
            search.holders += usize::from(found);
        }
    }

    /// A lookup of a search is over, in which so many nodes answered.
    pub(super) fn on_searched(&mut self, topic: InfoHash, id: LookupId, progress: Progress) {
        let Some(search) = self.searches.get_mut(&topic) else { return };
        search.lookups.retain(|lookup| *lookup != id);
        search.answered += progress.answered;
        if search.lookups.is_empty() {
            let Search { holders, answered, .. } = *search;
            self.searches.remove(&topic);
            self.tell(Event::Sought { topic, holders, answered });
        }
    }

    /// Begins every search anew: our addresses have changed.
    pub(super) fn restart_searches(&mut self, cx: &mut Cx<'_>) {
        for topic in std::mem::take(&mut self.searches).into_keys() {
            self.find_peers(cx, topic);
        }
    }
}
