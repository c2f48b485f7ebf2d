use std::net::SocketAddr;

use super::table::K;
use crate::base::{InfoHash, NodeId, Prefix, Scope};
use crate::limits;
use crate::wire::krpc::Contact;

/// Questions under way at once, not counting those that stall.
const ALPHA: usize = 4;

/// The same while nobody who holds what is looked for is found yet: then speed is worth packets.
const ALPHA_SEARCHING: usize = 6;

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
}

/// What a lookup is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// Getting to know the nodes around us, through `find_node`.
    Neighbours,
    /// Peers, and the nodes that store them, through `get_peers`.
    Peers(InfoHash),
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    contact: Contact,
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
        let mut lookup = Self { target, goal, ipv4, candidates: Vec::new(), seeds, found: false };
        start.into_iter().for_each(|contact| lookup.on_named(contact));
        lookup
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
        let searching = matches!(self.goal, Goal::Peers(_)) && !self.found;
        if under_way >= if searching { ALPHA_SEARCHING } else { ALPHA } {
            return None;
        }
        let unasked = self.contenders().find(|candidate| candidate.state == State::New)?;
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
        self.insert(Candidate { contact, state: State::New });
    }

    pub(super) fn on_asked(&mut self, addr: SocketAddr) {
        self.set(addr, State::Asked, |_| true);
    }

    /// A node answered; who it is may only be known now. Call this before [`Lookup::on_named`] for what it named.
    pub(super) fn on_answer(&mut self, contact: Contact, found: bool) {
        self.found |= found;
        self.seeds.retain(|seed| seed.0 != contact.addr);
        self.candidates.retain(|known| known.contact.addr != contact.addr && known.contact.id != contact.id);
        self.insert(Candidate { contact, state: State::Answered });
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
        let mut alive = self.candidates.iter().filter(|candidate| candidate.state != State::Failed);
        alive.by_ref().take(K).any(|candidate| candidate.contact.addr == addr)
    }

    /// Whether nothing that could still change the result is waited for.
    pub(super) fn is_done(&self) -> bool {
        let waits = |state| matches!(state, State::New | State::Asked | State::Stalled);
        // A stalled node among the closest is waited for, although others are asked in its stead already.
        let alive = |candidate: &&Candidate| !matches!(candidate.state, State::Lost | State::Failed);
        !self.seeds.iter().any(|seed| waits(seed.1))
            && !self.candidates.iter().filter(alive).take(K).any(|candidate| waits(candidate.state))
    }

    /// The closest nodes that answered, the closest first; at most [`K`].
    pub(super) fn closest(&self) -> impl Iterator<Item = Contact> {
        let answered = self.candidates.iter().filter(|candidate| candidate.state == State::Answered);
        answered.map(|candidate| candidate.contact).take(K)
    }

    /// The addresses that were asked and did not answer.
    pub(super) fn silent(&self) -> impl Iterator<Item = SocketAddr> {
        let silent = |candidate: &&Candidate| matches!(candidate.state, State::Lost | State::Failed);
        self.candidates.iter().filter(silent).map(|candidate| candidate.contact.addr)
    }

    /// The [`K`] closest that may yet be, or already were, of use: everybody but the slow and the failed.
    fn contenders(&self) -> impl Iterator<Item = &Candidate> {
        let slow = |state| matches!(state, State::Stalled | State::Lost | State::Failed);
        self.candidates.iter().filter(move |candidate| !slow(candidate.state)).take(K)
    }

    fn insert(&mut self, candidate: Candidate) {
        let distance = candidate.contact.id.distance(&self.target);
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
