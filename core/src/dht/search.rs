use std::net::SocketAddr;

use super::Event;
use super::lookup::{Goal, Pace};
use super::machine::Dht;
use super::rpc::{LookupId, Purpose};
use crate::base::{Cx, InfoHash, NodeId, Scope};
use crate::limits;
use crate::wire::krpc::{Bloom, Call, Scrape};

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

/// About how many announced a topic, as the nodes say that store it (BEP 33). A node can say what it likes; those that have no
/// reason to lie do not always answer such a question, so the truth is rather higher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headcount {
    /// Peers that have all there is of the torrent.
    pub seeds: u64,
    /// The others.
    pub others: u64,
    /// How many nodes told.
    pub nodes: usize,
}

/// What the nodes told of how many there are, put together: who announced to all of them counts once.
#[derive(Debug, Default)]
struct Tally {
    seeds: Bloom,
    others: Bloom,
    nodes: usize,
}

impl Tally {
    fn add(&mut self, scrape: Scrape<'_>) {
        scrape.seeds.into_iter().for_each(|filter| self.seeds.merge(filter));
        scrape.peers.into_iter().for_each(|filter| self.others.merge(filter));
        self.nodes += usize::from(scrape != Scrape::default());
    }

    fn count(&self) -> Headcount {
        let [seeds, others] = [&self.seeds, &self.others].map(|filter| filter.estimate().round() as u64);
        Headcount { seeds, others, nodes: self.nodes }
    }
}

/// The search for the peers of a topic: one lookup in each address family.
#[derive(Debug)]
pub(super) struct Search {
    lookups: Vec<LookupId>,
    /// Nodes that named peers.
    holders: usize,
    /// Nodes that answered the lookups that are over.
    answered: usize,
    /// If that was asked for.
    tally: Option<Box<Tally>>,
}

/// Asking without being found.
impl Dht {
    /// Searches the peers of a topic, without announcing anything. They are told of in [`Event::Peers`] as nodes name them,
    /// and the end in [`Event::Sought`]; at once if more than [`limits::DHT_SEARCHES`] are under way, or nobody is known.
    pub fn find_peers(&mut self, cx: &mut Cx<'_>, topic: InfoHash) {
        self.search(cx, topic, None);
    }

    /// The same, asking also how many there are: [`Event::Sought`] tells. An answer is longer by half a kilobyte then.
    pub fn count_peers(&mut self, cx: &mut Cx<'_>, topic: InfoHash) {
        let mut tally = Tally::default();
        if let Some((seeds, others)) = self.store.filters(&topic) {
            tally.add(Scrape { seeds: Some(seeds.as_bytes()), peers: Some(others.as_bytes()) });
        }
        self.search(cx, topic, Some(tally.into()));
    }

    fn search(&mut self, cx: &mut Cx<'_>, topic: InfoHash, tally: Option<Box<Tally>>) {
        if let Some(search) = self.searches.get_mut(&topic) {
            search.tally = search.tally.take().or(tally);
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
            let count = tally.map(|tally| tally.count());
            return self.tell(Event::Sought { topic, holders: 0, answered: 0, count });
        }
        self.searches.insert(topic, Search { lookups, holders: 0, answered: 0, tally });
        self.report_stored(topic);
        self.pump(cx);
    }

    /// Asks whether a node is there: [`Event::Pong`] or [`Event::Silent`] tells.
    pub fn ping(&mut self, cx: &mut Cx<'_>, addr: SocketAddr) {
        let usable = Scope::of(addr.ip()) != Scope::Unusable && addr.port() != 0;
        let sent = usable && self.ask(cx, addr, None, Call::Ping, Purpose::Probe, false);
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

    /// Whether nodes are to be asked how many there are.
    pub(super) fn is_counting(&self, topic: &InfoHash) -> bool {
        self.searches.get(topic).is_some_and(|search| search.tally.is_some())
    }

    /// A node answered a step of a search, and may have named peers.
    pub(super) fn on_search_step(&mut self, topic: InfoHash, found: bool, scrape: Scrape<'_>) {
        if let Some(search) = self.searches.get_mut(&topic) {
            search.holders += usize::from(found);
            search.tally.iter_mut().for_each(|tally| tally.add(scrape));
        }
    }

    /// A lookup of a search is over, in which so many nodes answered.
    pub(super) fn on_searched(&mut self, topic: InfoHash, id: LookupId, progress: Progress) {
        let Some(search) = self.searches.get_mut(&topic) else { return };
        search.lookups.retain(|lookup| *lookup != id);
        search.answered += progress.answered;
        if search.lookups.is_empty() {
            let Search { holders, answered, .. } = *search;
            let count = search.tally.as_ref().map(|tally| tally.count());
            self.searches.remove(&topic);
            self.tell(Event::Sought { topic, holders, answered, count });
        }
    }

    /// Begins every search anew: our addresses have changed.
    pub(super) fn restart_searches(&mut self, cx: &mut Cx<'_>) {
        for (topic, search) in std::mem::take(&mut self.searches) {
            self.search(cx, topic, search.tally);
        }
    }
}
