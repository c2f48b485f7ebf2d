mod candidate;
mod crowd;

use std::net::SocketAddr;

use self::candidate::{Candidate, State, network};
use self::crowd::{FAR, REGION, SURROUNDINGS, Suspicion};
use super::census;
use super::errand::ErrandId;
use super::node_id;
use super::table::K;
use super::{Progress, Size};
use crate::base::{InfoHash, NodeId};
use crate::limits;
use crate::wire::krpc::Contact;

/// How many of the [`K`] closest may have an id that does not follow from their address (BEP 42), while others are there.
/// Many honest nodes have such ids, so they are not left out; but whoever surrounds a target with made-up ids gets no
/// more than these places.
const UNBOUND: usize = K / 2;

/// Questions of a lookup that may go to nodes whose ids do not follow from their addresses: fewer than
/// [`limits::DHT_CANDIDATES`], so that whoever makes up ever closer ones does not use up all of them.
const UNBOUND_ASKED: usize = limits::DHT_CANDIDATES / 5;

/// Answers that may lie between us and a node. Each one halves the distance to the target several times over; a world
/// that goes on for longer is made up.
const HOPS: u8 = 16;

/// How many nodes a path that ended elsewhere than the others adds to the result.
const SHARE: usize = K / 2;

/// How many nodes of one network, or with one id, are kept in mind while one of them is dealt with.
const WAITING: usize = 2;

/// How a lookup weighs speed against packets. Each figure is the outcome of trying several in the simulator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Paths with no node in common; whoever misleads one of them does not touch the others.
    paths: usize,
    /// Questions under way on all paths together, not counting those that stall, to nodes closer than the one to be asked, while
    /// only getting closer. So a node that is closer than all others is asked at once.
    seeking: usize,
    /// The same once a node among the closest has answered: nearly all who are asked from then on have to be asked anyway,
    /// so asking them one after the other would only take longer.
    ending: usize,
    /// Of the nodes that others vouch for (see [`FAR`]), so many of the closest are asked, whoever is closer: where a crowd
    /// that keeps the usual distances surrounds the target, it alone would be asked else. In peace they, too, know of close ones
    /// that those who are closer do not name, because they name others.
    vouched: usize,
    /// One more is asked for so many under way in the end, because some are dead; 0 for none.
    doubt: usize,
}

impl Pace {
    /// Nobody waits for this one.
    pub(super) const CALM: Self = Self { paths: 1, seeking: 4, ending: 8, vouched: 0, doubt: 0 };
    /// Somebody waits.
    pub(super) const SWIFT: Self = Self { paths: 1, seeking: 5, ending: 14, vouched: 6, doubt: 2 };
    /// The same along two paths that share no node.
    pub(super) const PAIRED: Self = Self { paths: 2, seeking: 6, ending: 10, doubt: 4, ..Self::SWIFT };
}

/// An iterative lookup (Kademlia): asks the closest nodes it knows for closer ones, until the [`K`] closest that are
/// alive have answered.
///
/// It decides whom to ask next and when it is done, and knows neither time nor datagrams. Of what liars do to lookups:
///
/// - An answer adds [`K`] nodes at most, and a path keeps its share of the memory, so nobody crowds out what others named.
/// - Nodes of one network, or with one id, are asked one at a time, the next only when the one before was silent. Whoever
///   names its own network over and over leads nowhere, and naming a node that does not exist does not hide one that does.
/// - Of nodes so close that hardly anybody is expected there, only as many count as may be there by chance. Whoever crowds
///   around a target gets those places, and the lookup goes on, wider, among the nodes around it.
/// - Who keeps more distance from each other is harder to tell from chance. If there are only somewhat more nodes around the
///   target than expected, all of them and their surroundings are asked, and are part of the result: nobody is chosen, so
///   nobody takes the place of another.
/// - Whoever keeps the usual distances is not told from chance at all. So those whom somebody far away vouches for ([`FAR`]) are
///   asked, too: a crowd that names only itself does not end the lookup.
/// - Who knows many liars may start among them, and they name only each other. If that leaves too few whose ids follow from their
///   addresses, the lookup starts from more nodes.
/// - Of several paths ([`Pace`]), one that ended elsewhere than the others contributes its own closest to the result.
#[derive(Debug)]
pub(super) struct Lookup {
    target: [u8; 20],
    goal: Goal,
    ipv4: bool,
    pace: Pace,
    /// How many nodes there are, by estimate.
    nodes: Option<f64>,
    /// A standard error more: by an estimate that is not ripe yet only those are suspected of whom there are far too many.
    at_most: f64,
    /// Whether the estimate is young, so that whom it makes suspect has to wait for another.
    is_young: bool,
    suspicion: Suspicion,
    /// The closest first.
    candidates: Vec<Candidate>,
    /// More nodes to start from, if none of the first answers in time, or they lead only to liars.
    spare_starts: Vec<Contact>,
    /// Addresses to start from whose ids are not known; each is asked once.
    seeds: Vec<(SocketAddr, State)>,
    /// How many addresses were asked, and how many of them were candidates.
    asked: (usize, usize),
    /// How many of the candidates asked had ids that do not follow from their addresses.
    unbound_asked: usize,
    /// How many answers came.
    answered: usize,
}

/// What a lookup is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// Getting to know the nodes around us, through `find_node`.
    Neighbours,
    /// Peers, and the nodes that store them, through `get_peers`.
    Peers(InfoHash),
    /// Peers, through `get_peers`.
    Search(InfoHash),
    /// An item, and the nodes that store it, through `get`.
    Item(ErrandId),
}

impl Lookup {
    /// A lookup that starts from nodes of the own table, and from addresses.
    pub(super) fn new(
        target: [u8; 20],
        (goal, pace): (Goal, Pace),
        ipv4: bool,
        size: Option<Size>,
        start: Vec<Contact>,
        seeds: impl IntoIterator<Item = SocketAddr>,
    ) -> Self {
        let seeds = seeds.into_iter().map(|addr| (addr, State::New)).collect();
        let candidates = Vec::new();
        let mut lookup = Self {
            target,
            goal,
            ipv4,
            pace,
            nodes: None,
            at_most: 0.0,
            is_young: false,
            suspicion: Suspicion::None,
            candidates,
            spare_starts: Vec::new(),
            seeds,
            asked: (0, 0),
            unbound_asked: 0,
            answered: 0,
        };
        lookup.learn_size(size);
        for (nth, contact) in start.into_iter().enumerate() {
            lookup.consider(contact, (nth % pace.paths, 0), true);
        }
        lookup
    }

    /// The memory taken, in bytes.
    pub(super) fn footprint(&self) -> usize {
        let seeds = self.seeds.capacity() * size_of::<(SocketAddr, State)>();
        let spares = self.spare_starts.capacity() * size_of::<Contact>();
        size_of::<Self>() + self.candidates.capacity() * size_of::<Candidate>() + seeds + spares
    }

    pub(super) fn target(&self) -> NodeId {
        NodeId(self.target)
    }

    pub(super) fn goal(&self) -> Goal {
        self.goal
    }

    pub(super) fn is_ipv4(&self) -> bool {
        self.ipv4
    }

    /// How far it has come.
    pub(super) fn progress(&self) -> Progress {
        let mut answered = self.candidates.iter().filter(|candidate| candidate.state == State::Answered);
        let closest = answered.next().map(|candidate| candidate.contact.id);
        Progress { asked: self.asked.0, answered: self.answered, closest }
    }

    /// Also starts from these if, when the first question stalls, nobody has answered; or once hardly anybody but liars is known.
    pub(super) fn spare_starts(&mut self, contacts: Vec<Contact>) {
        self.spare_starts = contacts;
    }

    /// Also starts from this address.
    pub(super) fn add_seed(&mut self, addr: SocketAddr) {
        if !self.seeds.iter().any(|seed| seed.0 == addr) {
            self.seeds.push((addr, State::New));
        }
    }

    /// Whom to ask next, and the id expected there; to be confirmed by [`Lookup::on_asked`]. `None` while enough are
    /// asked, or nobody is left.
    pub(super) fn next(&self) -> Option<(SocketAddr, Option<NodeId>)> {
        if let Some(seed) = self.seeds.iter().find(|seed| seed.1 == State::New) {
            return Some((seed.0, None));
        }
        if self.asked.1 >= limits::DHT_CANDIDATES {
            return None;
        }
        let mut paths: Vec<(usize, usize)> =
            (0..self.pace.paths).map(|path| (self.under_way(path), path)).collect();
        paths.sort_unstable();
        let next = paths.into_iter().find_map(|(under_way, path)| self.next_of(path, under_way))?;
        Some((next.addr, Some(next.id)))
    }

    pub(super) fn on_asked(&mut self, addr: SocketAddr) {
        let is_it = |known: &Candidate| known.contact.addr == addr && known.state == State::New;
        if let Some(at) = self.candidates.iter().position(is_it) {
            let paths = (0..self.pace.paths).min_by_key(|path| {
                let is_named = self.candidates.get(at).is_some_and(|known| known.is_named_by(*path));
                (!is_named, self.under_way(*path))
            });
            if let Some(known) = self.candidates.get_mut(at) {
                (known.state, known.path) = (State::Asked, paths.unwrap_or(known.path));
                self.unbound_asked += usize::from(!known.is_bound);
            }
            self.asked.1 += 1;
        }
        self.asked.0 += 1;
        self.set(addr, State::Asked, |state| state == State::New);
    }

    /// A node answered and named these; who it is may only be known now. Again if it answers twice.
    pub(super) fn on_answer(&mut self, contact: Contact, named: impl IntoIterator<Item = Contact>) {
        self.answered += 1;
        let (mut path, mut hops) = (self.candidates.len() % self.pace.paths, 0);
        let is_it = |known: &Candidate| known.contact.addr == contact.addr;
        let (mut named_by, mut is_vouched) = (1 << path, false);
        if let Some(known) = self.candidates.iter().find(|known| is_it(known)) {
            (path, hops, named_by, is_vouched) = (known.path, known.hops, known.named_by, known.is_vouched);
        }
        self.seeds.retain(|seed| seed.0 != contact.addr);
        let network = network(&contact);
        let is_rival = |known: &Candidate| {
            known.contact.id == contact.id || (network.is_some() && known.network == network)
        };
        self.candidates.retain(|known| !(is_it(known) || is_rival(known) && known.state == State::Waiting));
        self.insert(contact, (State::Answered, path, named_by, hops), is_vouched);
        let is_far = self.expected(census::share(&contact.id.distance(&self.target))) > Some(FAR);
        let mut named: Vec<Contact> = named.into_iter().collect();
        named.sort_by_cached_key(|contact| contact.id.distance(&self.target));
        named.into_iter().take(K).for_each(|contact| self.consider(contact, (path, hops + 1), is_far));
        self.fall_back();
        self.examine();
    }

    pub(super) fn on_stall(&mut self, addr: SocketAddr) {
        self.set(addr, State::Stalled, |state| state == State::Asked);
        self.fall_back();
    }

    pub(super) fn on_lost(&mut self, addr: SocketAddr) {
        self.set(addr, State::Lost, |state| matches!(state, State::Asked | State::Stalled));
        self.make_way(addr);
    }

    pub(super) fn on_failed(&mut self, addr: SocketAddr) {
        self.set(addr, State::Failed, |state| !matches!(state, State::Answered | State::Waiting));
        self.make_way(addr);
        self.fall_back();
    }

    /// Whether a node is among the [`K`] closest of all that are known and not given up.
    pub(super) fn is_among_closest(&self, addr: SocketAddr) -> bool {
        let alive = |known: &Candidate| !matches!(known.state, State::Failed | State::Waiting);
        self.best_within(0.0, K, alive).iter().any(|candidate| candidate.contact.addr == addr)
    }

    /// Whether a node that stalls is worth a second question: if it is one of the [`K`] closest, whose answers are what
    /// the lookup is for, since one of 25 questions gets lost or its answer does; and if there is nobody else to ask.
    pub(super) fn is_worth_another(&self, addr: SocketAddr) -> bool {
        let hopeful = |known: &Candidate| {
            matches!(known.state, State::New | State::Asked | State::Stalled | State::Answered)
        };
        let is_seed = || self.seeds.iter().any(|seed| seed.0 == addr);
        self.best(K, hopeful).iter().any(|known| known.contact.addr == addr)
            || (is_seed() && self.next().is_none())
    }

    /// Whether nothing that could still change the result is waited for.
    pub(super) fn is_done(&self) -> bool {
        // A stalled node among the closest is waited for, although others are asked in its stead already.
        let waits = |state| matches!(state, State::New | State::Asked | State::Stalled);
        let alive = |known: &Candidate| waits(known.state) || known.state == State::Answered;
        let exhausted = self.asked.1 >= limits::DHT_CANDIDATES;
        let is_open = |known: &&Candidate| waits(known.state) && !(exhausted && known.state == State::New);
        let is_awaited = |known: &Candidate| known.state != State::Stalled && is_open(&known);
        self.suspicion != Suspicion::Open
            && !self.seeds.iter().any(|seed| waits(seed.1))
            && !self.best(K, alive).iter().any(is_open)
            && !(0..self.pace.paths).any(|path| self.vouched_of(path).any(is_awaited))
            && !self
                .of_paths(alive)
                .any(|(own, differs)| own.iter().take(if differs { SHARE } else { 1 }).any(is_open))
    }

    /// The closest nodes that answered: [`K`], and the closest of a path that ended elsewhere than the others, even if
    /// those are closer.
    pub(super) fn closest(&self) -> impl Iterator<Item = Contact> {
        let answered = |known: &Candidate| known.state == State::Answered;
        let within = if self.is_suspect() { SURROUNDINGS } else { REGION };
        let mut closest = self.best_within(within, K, answered);
        let of_paths = self.of_paths(answered).filter(|(_, differs)| *differs).flat_map(|(own, _)| own);
        for candidate in of_paths {
            if !closest.iter().any(|known| known.contact.addr == candidate.contact.addr) {
                closest.push(candidate);
            }
        }
        closest.into_iter().map(|candidate| candidate.contact)
    }

    /// How far from the target those are who answered, as shares of the key space, the closest first; whatever their ids
    /// are worth.
    pub(super) fn distances(&self) -> Vec<f64> {
        let answered = self.candidates.iter().filter(|candidate| candidate.state == State::Answered);
        answered.map(|candidate| candidate.share).take(K).collect()
    }

    /// The same of those who tell how large the network is: nobody if there are fewer than [`K`]. If most of the closest have
    /// ids that anybody could have made up, only of the others, as far as the lookup was after them: [`UNBOUND`] at least.
    pub(super) fn credible_distances(&self) -> Vec<f64> {
        let answered = |known: &Candidate| known.state == State::Answered;
        let closest = || self.candidates.iter().filter(|known| answered(known)).take(K);
        let mut credible: Vec<f64> = if closest().filter(|known| !known.is_bound).count() > UNBOUND {
            let best = self.best(K, answered).into_iter().filter(|known| known.is_bound);
            best.map(|known| known.share).take(K).collect()
        } else {
            closest().map(|known| known.share).collect()
        };
        if closest().count() < K {
            credible.clear();
        }
        credible.sort_unstable_by(f64::total_cmp);
        credible
    }

    /// The addresses that were asked and did not answer.
    pub(super) fn silent(&self) -> impl Iterator<Item = SocketAddr> {
        let silent = |candidate: &&Candidate| matches!(candidate.state, State::Lost | State::Failed);
        self.candidates.iter().filter(silent).map(|candidate| candidate.contact.addr)
    }

    /// Questions of a path that are under way and do not stall.
    fn under_way(&self, path: usize) -> usize {
        let is_asked = |known: &&Candidate| known.path == path && known.state == State::Asked;
        self.candidates.iter().filter(is_asked).count()
    }

    /// Whom a path asks next.
    fn next_of(&self, path: usize, under_way: usize) -> Option<Contact> {
        let Pace { paths, seeking, ending, doubt, .. } = self.pace;
        // The best that may yet be, or already were, of use: everybody but the slow and the failed.
        let counts = |known: &Candidate| {
            known.is_of(path) && matches!(known.state, State::New | State::Asked | State::Answered)
        };
        let closest = self.best(K, counts);
        let is_ending = closest.iter().any(|known| known.state == State::Answered);
        let (mut closer, alpha) = (0, if is_ending { ending } else { seeking } / paths);
        for known in &closest {
            match known.state {
                State::Asked => closer += 1,
                State::New => return (closer < alpha).then_some(known.contact),
                _ => {}
            }
        }
        if !is_ending || under_way >= alpha {
            return None;
        }
        if let Some(next) = self.vouched_of(path).find(|known| known.state == State::New) {
            return Some(next.contact);
        }
        let reach = K / paths + closer.checked_div(doubt).unwrap_or(0);
        let spare = self.best(reach, counts).into_iter().find(|known| known.state == State::New)?;
        Some(spare.contact)
    }

    /// The closest of each path, and whether they are part of the result even if others are closer: a path that has heard
    /// of some of the closest of all agrees with the others, and has no more to say.
    fn of_paths<'a>(
        &'a self,
        counts: impl Fn(&Candidate) -> bool + Copy + 'a,
    ) -> impl Iterator<Item = (Vec<&'a Candidate>, bool)> + 'a {
        let all = self.best(K, counts);
        let paths = if self.pace.paths > 1 { self.pace.paths } else { 0 };
        (0..paths).map(move |path| {
            let own = self.best(SHARE, |known| known.is_of(path) && counts(known));
            let heard_of = all.iter().filter(|known| known.is_named_by(path)).count();
            (own, heard_of < SHARE.min(all.len() / 2))
        })
    }

    /// Takes a node that was named into account, if there is room and reason.
    fn consider(&mut self, contact: Contact, (path, hops): (usize, u8), is_vouched: bool) {
        if let Some(known) = self.candidates.iter_mut().find(|known| known.contact == contact) {
            known.named_by |= 1 << path;
            known.is_vouched |= is_vouched;
            return;
        }
        if hops > HOPS {
            return;
        }
        let network = network(&contact);
        let (mut waiting, mut is_free) = (0, true);
        for known in &self.candidates {
            let is_rival = known.contact.addr == contact.addr
                || known.contact.id == contact.id
                || (network.is_some() && known.network == network);
            match known.state {
                _ if !is_rival => {}
                State::Answered => return,
                State::Waiting => waiting += 1,
                State::Lost | State::Failed => {}
                State::New | State::Asked | State::Stalled => is_free = false,
            }
        }
        if waiting >= WAITING {
            return;
        }
        // Those of doubtful worth take half of the room at most, whatever their number.
        let is_bound = node_id::is_bound(&contact.id, contact.addr.ip());
        let is_doubtful = self.is_doubtful(is_bound, census::share(&contact.id.distance(&self.target)));
        let of_path = |known: &&Candidate| known.path == path;
        let alike = |known: &&Candidate| of_path(known) && self.is_doubtful(known.is_bound, known.share);
        let room = limits::DHT_CANDIDATES / self.pace.paths;
        let crowded = is_doubtful && self.candidates.iter().filter(alike).count() >= room / 2;
        if crowded || self.candidates.iter().filter(of_path).count() >= room {
            // The farthest that was not asked yet makes room for one that is closer.
            let is_spare = |known: &Candidate| {
                of_path(&known)
                    && (!crowded || self.is_doubtful(known.is_bound, known.share))
                    && matches!(known.state, State::New | State::Waiting)
            };
            let Some(farthest) = self.candidates.iter().rposition(is_spare) else { return };
            let distance = |contact: &Contact| contact.id.distance(&self.target);
            if self
                .candidates
                .get(farthest)
                .is_none_or(|known| distance(&known.contact) <= distance(&contact))
            {
                return;
            }
            self.candidates.remove(farthest);
        }
        let state = if is_free { State::New } else { State::Waiting };
        self.insert(contact, (state, path, 1 << path, hops), is_vouched);
    }

    /// Whether it is not asked, because too many like it were.
    fn is_left_out(&self, known: &Candidate) -> bool {
        known.state == State::New && !known.is_bound && self.unbound_asked >= UNBOUND_ASKED
    }

    /// Starts from more nodes if nobody has answered, or hardly anybody but liars is left.
    fn fall_back(&mut self) {
        if self.answered == 0 || self.is_misled() {
            for (nth, contact) in std::mem::take(&mut self.spare_starts).into_iter().enumerate() {
                self.consider(contact, (nth % self.pace.paths, 0), true);
            }
        }
    }

    /// Whether there are fewer than [`K`] whose ids follow from their addresses, answered or still to be heard of, and more
    /// others than are let in: who started among liars, who name only each other, is led nowhere else.
    fn is_misled(&self) -> bool {
        if self.spare_starts.is_empty() {
            return false;
        }
        let is_hope = |known: &&Candidate| matches!(known.state, State::New | State::Asked | State::Answered);
        let bound = self.candidates.iter().filter(|known| known.is_bound);
        let unbound = self.candidates.iter().filter(|known| !known.is_bound);
        bound.filter(is_hope).count() < K && unbound.count() > UNBOUND
    }

    /// Whoever waited for the node at this address is next.
    fn make_way(&mut self, addr: SocketAddr) {
        let is_it = |known: &&Candidate| known.contact.addr == addr && known.state != State::Waiting;
        let Some(&gone) = self.candidates.iter().find(is_it) else { return };
        if !matches!(gone.state, State::Lost | State::Failed) {
            return;
        }
        let waits = |known: &&mut Candidate| {
            known.state == State::Waiting
                && (known.contact.addr == addr
                    || known.contact.id == gone.contact.id
                    || (gone.network.is_some() && known.network == gone.network))
        };
        if let Some(next) = self.candidates.iter_mut().find(waits) {
            next.state = State::New;
        }
    }

    fn insert(
        &mut self,
        contact: Contact,
        (state, path, named_by, hops): (State, usize, u8, u8),
        is_vouched: bool,
    ) {
        let is_bound = node_id::is_bound(&contact.id, contact.addr.ip());
        let network = network(&contact);
        let candidate = Candidate {
            contact,
            share: census::share(&contact.id.distance(&self.target)),
            network,
            is_bound,
            state,
            path,
            named_by,
            is_vouched,
            hops,
        };
        let distance = contact.id.distance(&self.target);
        let at = self.candidates.partition_point(|known| known.contact.id.distance(&self.target) < distance);
        self.candidates.insert(at, candidate);
    }

    fn set(&mut self, addr: SocketAddr, to: State, from: impl Fn(State) -> bool) {
        let candidates = self.candidates.iter_mut().filter(|candidate| candidate.contact.addr == addr);
        let seeds = self.seeds.iter_mut().filter(|seed| seed.0 == addr);
        let states = candidates.map(|candidate| &mut candidate.state).chain(seeds.map(|seed| &mut seed.1));
        states.filter(|state| from(**state)).for_each(|state| *state = to);
    }
}

#[cfg(test)]
mod tests;
