use std::net::SocketAddr;

use super::Progress;
use super::errand::ErrandId;
use super::node_id;
use super::table::K;
use crate::base::{InfoHash, NodeId, Prefix, Scope};
use crate::limits;
use crate::wire::krpc::Contact;

/// Questions under way at once, not counting those that stall.
const ALPHA: usize = 4;

/// The same while nobody who holds what is looked for is found yet: then speed is worth packets.
const ALPHA_SEARCHING: usize = 6;

/// How many of the [`K`] closest may have an id that does not follow from their address (BEP 42), while others are there.
/// Many honest nodes have such ids, so they are not left out; but whoever surrounds a target with made-up ids gets no
/// more than these places.
const UNBOUND: usize = K / 2;

/// An iterative lookup (Kademlia): asks the closest nodes it knows for closer ones, until the [`K`] closest that are
/// alive have answered.
///
/// It decides whom to ask next and when it is done, and knows neither time nor datagrams.
#[derive(Debug)]
pub(super) struct Lookup {
    target: [u8; 20],
    goal: Goal,
    ipv4: bool,
    /// The closest first.
    candidates: Vec<Candidate>,
    /// Addresses to start from whose ids are not known; each is asked once.
    seeds: Vec<(SocketAddr, State)>,
    found: bool,
    asked: usize,
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

#[derive(Clone, Copy, Debug)]
struct Candidate {
    contact: Contact,
    /// Whether its id follows from its address.
    is_bound: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not asked yet.
    New,
    /// Asked lately.
    Asked,
    /// Slower than most: somebody else is asked too, but the end still waits for it.
    Stalled,
    /// Much slower: not waited for any more. A late answer is still welcome.
    Lost,
    Answered,
    /// It did not answer, or is somebody else now.
    Failed,
}

impl Lookup {
    /// A lookup that starts from nodes of the own table, and from addresses.
    pub(super) fn new(
        target: [u8; 20],
        goal: Goal,
        ipv4: bool,
        start: Vec<Contact>,
        seeds: impl IntoIterator<Item = SocketAddr>,
    ) -> Self {
        let seeds = seeds.into_iter().map(|addr| (addr, State::New)).collect();
        let mut lookup =
            Self { target, goal, ipv4, candidates: Vec::new(), seeds, found: false, asked: 0, answered: 0 };
        start.into_iter().for_each(|contact| lookup.on_named(contact));
        lookup
    }

    /// The memory taken, in bytes.
    pub(super) fn footprint(&self) -> usize {
        let seeds = self.seeds.capacity() * size_of::<(SocketAddr, State)>();
        size_of::<Self>() + self.candidates.capacity() * size_of::<Candidate>() + seeds
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
        Progress { asked: self.asked, answered: self.answered, closest }
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
        let under_way = self.candidates.iter().filter(|candidate| candidate.state == State::Asked).count();
        let searching = self.goal != Goal::Neighbours && !self.found;
        if under_way >= if searching { ALPHA_SEARCHING } else { ALPHA } {
            return None;
        }
        // The best that may yet be, or already were, of use: everybody but the slow and the failed.
        let contenders = self.best(|state| !matches!(state, State::Stalled | State::Lost | State::Failed));
        let unasked = contenders.into_iter().find(|candidate| candidate.state == State::New)?;
        Some((unasked.contact.addr, Some(unasked.contact.id)))
    }

    /// A node was named. Of addresses in the internet, one of each network is considered.
    pub(super) fn on_named(&mut self, contact: Contact) {
        let local = Scope::of(contact.addr.ip()).is_local();
        let prefix = Prefix::of(contact.addr.ip());
        let clashes = |known: &Candidate| {
            known.contact.addr == contact.addr
                || known.contact.id == contact.id
                || (!local && Prefix::of(known.contact.addr.ip()) == prefix)
        };
        if self.candidates.iter().any(clashes) {
            return;
        }
        self.insert(contact, State::New);
    }

    pub(super) fn on_asked(&mut self, addr: SocketAddr) {
        self.asked += 1;
        self.set(addr, State::Asked, |_| true);
    }

    /// A node answered; who it is may only be known now. Call this before [`Lookup::on_named`] for what it named.
    pub(super) fn on_answer(&mut self, contact: Contact, found: bool) {
        self.found |= found;
        self.answered += 1;
        self.seeds.retain(|seed| seed.0 != contact.addr);
        self.candidates.retain(|known| known.contact.addr != contact.addr && known.contact.id != contact.id);
        self.insert(contact, State::Answered);
    }

    pub(super) fn on_stall(&mut self, addr: SocketAddr) {
        self.set(addr, State::Stalled, |state| state == State::Asked);
    }

    pub(super) fn on_lost(&mut self, addr: SocketAddr) {
        self.set(addr, State::Lost, |state| matches!(state, State::Asked | State::Stalled));
    }

    pub(super) fn on_failed(&mut self, addr: SocketAddr) {
        self.set(addr, State::Failed, |state| state != State::Answered);
    }

    /// Whether a node is among the [`K`] closest of all that are known and not given up.
    pub(super) fn is_among_closest(&self, addr: SocketAddr) -> bool {
        self.best(|state| state != State::Failed).iter().any(|candidate| candidate.contact.addr == addr)
    }

    /// Whether nothing that could still change the result is waited for.
    pub(super) fn is_done(&self) -> bool {
        let waits = |state| matches!(state, State::New | State::Asked | State::Stalled);
        // A stalled node among the closest is waited for, although others are asked in its stead already.
        let alive = |state| !matches!(state, State::Lost | State::Failed);
        !self.seeds.iter().any(|seed| waits(seed.1))
            && !self.best(alive).iter().any(|candidate| waits(candidate.state))
    }

    /// The closest nodes that answered; at most [`K`].
    pub(super) fn closest(&self) -> impl Iterator<Item = Contact> {
        self.best(|state| state == State::Answered).into_iter().map(|candidate| candidate.contact)
    }

    /// The addresses that were asked and did not answer.
    pub(super) fn silent(&self) -> impl Iterator<Item = SocketAddr> {
        let silent = |candidate: &&Candidate| matches!(candidate.state, State::Lost | State::Failed);
        self.candidates.iter().filter(silent).map(|candidate| candidate.contact.addr)
    }

    /// The [`K`] closest in a state that counts; of those beyond [`UNBOUND`] whose ids do not follow from their
    /// addresses, only as many as it takes for want of others. Those come last.
    fn best(&self, counts: impl Fn(State) -> bool) -> Vec<&Candidate> {
        let (mut best, mut unbound, mut passed_over) = (Vec::with_capacity(K), 0, Vec::new());
        for candidate in self.candidates.iter().filter(|candidate| counts(candidate.state)) {
            if best.len() == K {
                return best;
            }
            if candidate.is_bound || unbound < UNBOUND {
                unbound += usize::from(!candidate.is_bound);
                best.push(candidate);
            } else {
                passed_over.push(candidate);
            }
        }
        let free = K - best.len();
        best.extend(passed_over.into_iter().take(free));
        best
    }

    fn insert(&mut self, contact: Contact, state: State) {
        let is_bound = node_id::is_bound(&contact.id, contact.addr.ip());
        let candidate = Candidate { contact, is_bound, state };
        let distance = contact.id.distance(&self.target);
        let at = self.candidates.partition_point(|known| known.contact.id.distance(&self.target) < distance);
        self.candidates.insert(at, candidate);
        self.candidates.truncate(limits::DHT_CANDIDATES);
    }

    fn set(&mut self, addr: SocketAddr, to: State, from: impl Fn(State) -> bool) {
        let candidates = self.candidates.iter_mut().filter(|candidate| candidate.contact.addr == addr);
        let seeds = self.seeds.iter_mut().filter(|seed| seed.0 == addr);
        let states = candidates.map(|candidate| &mut candidate.state).chain(seeds.map(|seed| &mut seed.1));
        states.filter(|state| from(**state)).for_each(|state| *state = to);
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;
    use crate::base::Rng;

    fn contact(distance: u8) -> Contact {
        let mut id = [0; 20];
        id[19] = distance;
        Contact { id: NodeId(id), addr: ([127, 0, 0, 1], 1_000 + u16::from(distance)).into() }
    }

    fn lookup(start: &[u8]) -> Lookup {
        let start = start.iter().map(|&distance| contact(distance)).collect();
        Lookup::new([0; 20], Goal::Neighbours, true, start, [])
    }

    fn ask(lookup: &mut Lookup) -> Vec<u16> {
        std::iter::from_fn(|| {
            let (addr, _) = lookup.next()?;
            lookup.on_asked(addr);
            Some(addr.port() - 1_000)
        })
        .collect()
    }

    #[test]
    fn the_closest_first_and_four_at_a_time() {
        let mut lookup = lookup(&[9, 3, 7, 1, 5]);
        assert_eq!(ask(&mut lookup), [1, 3, 5, 7]);
        lookup.on_answer(contact(3), false);
        lookup.on_named(contact(2));
        assert_eq!(ask(&mut lookup), [2]);
        assert!(!lookup.is_done());
        for distance in [1, 2, 5, 7] {
            lookup.on_answer(contact(distance), false);
        }
        assert_eq!(ask(&mut lookup), [9]);
        lookup.on_failed(contact(9).addr);
        assert!(lookup.is_done());
        let closest: Vec<_> = lookup.closest().map(|contact| contact.id.0[19]).collect();
        assert_eq!(closest, [1, 2, 3, 5, 7]);
    }

    #[test]
    fn a_stalled_node_makes_room_and_is_waited_for_until_it_is_lost() {
        let mut lookup = lookup(&(1..=20).collect::<Vec<_>>());
        assert_eq!(ask(&mut lookup), [1, 2, 3, 4]);
        lookup.on_stall(contact(1).addr);
        assert_eq!(ask(&mut lookup), [5]);
        (2..=9).for_each(|distance| {
            lookup.on_answer(contact(distance), false);
            ask(&mut lookup);
        });
        assert!(!lookup.is_done());
        lookup.on_lost(contact(1).addr);
        assert!(lookup.is_done());
        lookup.on_answer(contact(1), false);
        assert_eq!(lookup.closest().next(), Some(contact(1)), "late, and still used");
    }

    #[test]
    fn seeds_are_asked_at_once_and_become_candidates() {
        let seeds = (1..=10).map(|distance| contact(distance).addr);
        let mut lookup = Lookup::new([0; 20], Goal::Neighbours, true, Vec::new(), seeds);
        assert_eq!(ask(&mut lookup).len(), 10);
        (1..=9).for_each(|distance| lookup.on_answer(contact(distance), false));
        assert!(!lookup.is_done());
        lookup.on_lost(contact(10).addr);
        assert!(lookup.is_done());
        assert_eq!(lookup.closest().count(), K);
    }

    /// A node of the internet, whose id follows from its address or does not.
    fn node(distance: u8, is_bound: bool) -> Contact {
        let ip = [8, distance, 1, 1].into();
        let mut id = NodeId([distance; 20]);
        if is_bound {
            id = node_id::bound_to(ip, &mut Rng::new([distance; 32]));
        }
        assert_eq!(node_id::is_bound(&id, ip), is_bound);
        Contact { id, addr: (ip, 6881).into() }
    }

    /// Everybody named answers. Returns the result, how many were asked, and how many of the result have bound ids.
    fn result_of(nodes: &[Contact]) -> (Vec<Contact>, usize, usize) {
        let mut lookup = Lookup::new([0; 20], Goal::Neighbours, true, nodes.to_vec(), []);
        let mut asked = 0;
        while let Some((addr, _)) = lookup.next() {
            lookup.on_asked(addr);
            asked += 1;
            lookup.on_answer(*nodes.iter().find(|node| node.addr == addr).unwrap(), false);
        }
        assert!(lookup.is_done());
        let closest: Vec<Contact> = lookup.closest().collect();
        let bound = closest.iter().filter(|node| node_id::is_bound(&node.id, node.addr.ip())).count();
        (closest, asked, bound)
    }

    #[test]
    fn made_up_ids_cannot_surround_a_target() {
        let surrounding: Vec<Contact> = (1..=64)
            .map(|distance| {
                let mut made_up = node(distance, false);
                made_up.id.0[..19].fill(0);
                made_up
            })
            .collect();
        let honest: Vec<Contact> = (100..120).map(|n| node(n, true)).collect();
        let (closest, asked, bound) = result_of(&[surrounding.clone(), honest].concat());
        assert_eq!((closest.len(), asked, bound), (8, 8, 4));
        assert!(
            surrounding[..4].iter().all(|node| closest.contains(node)),
            "the closest of them have a place"
        );
        let few: Vec<Contact> = (100..102).map(|n| node(n, true)).collect();
        let (closest, _, bound) = result_of(&[surrounding, few].concat());
        assert_eq!((closest.len(), bound), (8, 2), "for want of others");
    }

    #[test]
    fn where_most_ids_are_bound_the_closest_are_the_result() {
        let nodes: Vec<Contact> = (1..=40).map(|n| node(n, n % 10 != 0)).collect();
        let (mut closest, _, bound) = result_of(&nodes);
        let mut expected = nodes;
        expected.sort_by_key(|node| node.id);
        closest.sort_by_key(|node| node.id);
        assert_eq!(closest, expected[..8]);
        assert!(bound >= 4);
    }

    #[test]
    fn one_node_of_a_network() {
        let mut lookup = lookup(&[]);
        for last in 1..=9 {
            let addr = ([8, 8, 8, last], 6881).into();
            lookup.on_named(Contact { addr, ..contact(last) });
        }
        assert_eq!(ask(&mut lookup).len(), 1);
    }

    quickcheck! {
        /// Whatever the nodes do, a lookup never asks one twice, stays bounded, and comes to its end.
        fn it_ends(seed: u8, searching: bool) -> bool {
            let mut rng = Rng::new([seed; 32]);
            let any = |rng: &mut Rng| {
                let id = NodeId(rng.array());
                Contact { addr: ([10, id.0[0], id.0[1], id.0[2]], 6881).into(), id }
            };
            let goal = if searching { Goal::Peers(InfoHash([0; 20])) } else { Goal::Neighbours };
            let mut lookup = Lookup::new([0; 20], goal, true, vec![any(&mut rng)], []);
            let (mut asked, mut under_way) = (Vec::new(), Vec::new());
            while !lookup.is_done() {
                while let Some((addr, id)) = lookup.next() {
                    assert!(!asked.contains(&addr), "asked twice");
                    lookup.on_asked(addr);
                    asked.push(addr);
                    under_way.push(Contact { id: id.unwrap(), addr });
                }
                assert!(!under_way.is_empty(), "waits for nothing");
                let contact = under_way.swap_remove(rng.below(under_way.len() as u64) as usize);
                match rng.below(4) {
                    0 => lookup.on_lost(contact.addr),
                    _ => {
                        lookup.on_answer(contact, rng.below(9) == 0);
                        // Fewer names the longer it takes, or a world without end would keep it going.
                        (asked.len()..60).take(8).for_each(|_| lookup.on_named(any(&mut rng)));
                    }
                }
                assert!(lookup.candidates.len() <= limits::DHT_CANDIDATES);
            }
            lookup.next().is_none() || !under_way.is_empty()
        }
    }
}
