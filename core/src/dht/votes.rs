use std::net::SocketAddr;

use super::source::Source;
use crate::base::Scope;

/// How many of the latest votes count.
pub(super) const MAX_VOTES: usize = 32;

/// How many networks of different owners (an IPv4 /16, an IPv6 /32) must agree on an address of the internet.
const NETWORKS: usize = 3;

/// Our address by the `ip` in answers (BEP 42): every node that answers has one vote, and the majority of the latest
/// decides.
#[derive(Debug, Default)]
pub(super) struct Votes {
    /// The latest last.
    latest: Vec<Vote>,
    /// The addresses that they are for, which are mostly one.
    seen: Vec<SocketAddr>,
    public: Option<SocketAddr>,
    is_disputed: bool,
    /// The votes of an earlier run: they count from the first fresh vote on that agrees with their majority, and are
    /// forgotten at the first that does not, because then we are elsewhere.
    earlier: Option<Box<Votes>>,
}

#[derive(Clone, Copy, Debug)]
struct Vote {
    voter: Source,
    /// 0 for voters of the internet: there, many nodes at one address have one vote.
    port: u16,
    is_local: bool,
    /// Its place in the list of addresses.
    seen: u8,
}

impl Votes {
    /// No vote yet, but those of an earlier run: who saw us where, the latest last.
    pub(super) fn restored(votes: &[(SocketAddr, SocketAddr)]) -> Self {
        let mut earlier = Self::default();
        for &(voter, seen) in votes {
            // One that cannot be true is none.
            let _ = earlier.vote(voter, seen);
        }
        Self { earlier: earlier.public.is_some().then(|| Box::new(earlier)), ..Self::default() }
    }

    /// The votes for our address, to be kept for a later run: who saw us where, the latest last.
    pub(super) fn lasting(&self) -> Vec<(SocketAddr, SocketAddr)> {
        let votes = if self.public.is_none() { self.earlier.as_deref().unwrap_or(self) } else { self };
        let agreeing = votes
            .latest
            .iter()
            .filter_map(|vote| Some((vote, votes.seen_by(vote).filter(|seen| Some(*seen) == votes.public)?)));
        agreeing.map(|(vote, seen)| (SocketAddr::new(vote.voter.ip(), vote.port), seen)).collect()
    }

    /// Our address, as far as it is agreed on.
    pub(super) fn public(&self) -> Option<SocketAddr> {
        self.public
    }

    /// Counts a vote, instead of an earlier one of the same voter. Returns our address if that changes it.
    ///
    /// # Errors
    ///
    /// If the vote cannot be true: what a node of the internet sees of us is an address of the internet, and of its own
    /// family.
    pub(super) fn vote(&mut self, from: SocketAddr, seen: SocketAddr) -> Result<Option<SocketAddr>, Absurd> {
        let (voter_scope, seen_scope) = (Scope::of(from.ip()), Scope::of(seen.ip()));
        let plausible = from.is_ipv4() == seen.is_ipv4()
            && seen.port() != 0
            && seen_scope != Scope::Unusable
            && voter_scope.is_local() == seen_scope.is_local();
        if !plausible {
            return Err(Absurd);
        }
        self.weigh_earlier(voter_scope, seen);
        let is_local = voter_scope.is_local();
        let (voter, port) = (Source::of(from.ip()), if is_local { from.port() } else { 0 });
        self.latest.retain(|vote| (vote.voter, vote.port) != (voter, port));
        if self.latest.len() >= MAX_VOTES {
            self.latest.remove(0);
        }
        let seen = self.place_of(seen);
        self.latest.push(Vote { voter, port, is_local, seen });
        let winner = self.winner();
        self.is_disputed = winner.is_none() && self.latest.len() >= MAX_VOTES / 2;
        if winner.is_none() || winner == self.public {
            return Ok(None);
        }
        self.public = winner;
        Ok(winner)
    }

    /// Forgets everything: we are elsewhere. What an earlier run saw is kept until somebody sees us now.
    pub(super) fn clear(&mut self) {
        *self = Self { earlier: self.earlier.take(), ..Self::default() };
    }

    /// Takes the votes of an earlier run in, or forgets them, whichever this vote of our own time calls for. What is seen
    /// on a local network says nothing about an address of the internet.
    fn weigh_earlier(&mut self, voter: Scope, seen: SocketAddr) {
        let is_comparable = |earlier: &mut Box<Self>| {
            earlier.public.is_some_and(|public| Scope::of(public.ip()).is_local() == voter.is_local())
        };
        if let Some(earlier) = self.earlier.take_if(is_comparable)
            && earlier.public == Some(seen)
        {
            // Before what was seen in this run: so little of it that there is room for all.
            let Self { latest, seen: known, .. } =
                std::mem::replace(self, Self { public: self.public, ..*earlier });
            for vote in latest {
                if self.latest.len() >= MAX_VOTES {
                    self.latest.remove(0);
                }
                let seen = known.get(usize::from(vote.seen)).map_or(vote.seen, |seen| self.place_of(*seen));
                self.latest.push(Vote { seen, ..vote });
            }
        }
    }

    fn seen_by(&self, vote: &Vote) -> Option<SocketAddr> {
        self.seen.get(usize::from(vote.seen)).copied()
    }

    /// Whether many have voted, and no address has a majority.
    pub(super) fn is_disputed(&self) -> bool {
        self.is_disputed
    }

    /// The memory taken beyond its own size, in bytes.
    pub(super) fn footprint(&self) -> usize {
        let lists =
            self.latest.capacity() * size_of::<Vote>() + self.seen.capacity() * size_of::<SocketAddr>();
        lists + self.earlier.as_ref().map_or(0, |earlier| size_of::<Self>() + earlier.footprint())
    }

    /// Where an address is in the list, or is put there instead of one that no vote is for any more.
    fn place_of(&mut self, addr: SocketAddr) -> u8 {
        let is_free = |place: usize| !self.latest.iter().any(|vote| usize::from(vote.seen) == place);
        let known = self.seen.iter().position(|seen| *seen == addr);
        let free = || (0..self.seen.len()).find(|&place| is_free(place));
        let place = known.or_else(free).unwrap_or(self.seen.len());
        match self.seen.get_mut(place) {
            Some(seen) => *seen = addr,
            None => self.seen.push(addr),
        }
        // There are no more of them than votes.
        place as u8
    }

    /// Votes from the internet count more than any number of local ones.
    fn winner(&self) -> Option<SocketAddr> {
        let is_local = self.latest.iter().all(|vote| vote.is_local);
        let counted = || self.latest.iter().filter(|vote| is_local || !vote.is_local);
        let has_won = |place: &usize| {
            let agreeing = || counted().filter(|vote| usize::from(vote.seen) == *place);
            let owners = || agreeing().map(|vote| vote.voter.owner());
            agreeing().count() * 2 > counted().count() && (is_local || are_different(owners()))
        };
        let winner = (0..self.seen.len()).find(has_won)?;
        self.seen.get(winner).copied()
    }
}

/// Whether [`NETWORKS`] of them are different.
fn are_different(owners: impl Iterator<Item = Source>) -> bool {
    let mut known = [None; NETWORKS];
    for owner in owners {
        if let Some(place) = known.iter_mut().find(|known| known.is_none_or(|known| known == owner)) {
            *place = Some(owner);
        }
    }
    known.iter().all(Option::is_some)
}

/// A vote that cannot be true.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Absurd;

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn three_networks_and_a_majority() {
        let (ours, lie) = (addr("198.51.100.1:7000"), addr("198.51.100.66:7000"));
        let mut votes = Votes::default();
        assert_eq!(votes.vote(addr("8.1.0.1:1"), ours), Ok(None));
        assert_eq!(votes.vote(addr("8.1.0.2:1"), ours), Ok(None), "of the same network");
        assert_eq!(votes.vote(addr("8.1.0.2:2"), ours), Ok(None), "the same voter");
        assert_eq!(votes.vote(addr("8.2.0.1:1"), ours), Ok(None));
        assert_eq!(votes.vote(addr("8.3.0.1:1"), ours), Ok(Some(ours)));
        assert_eq!(votes.vote(addr("8.4.0.1:1"), ours), Ok(None), "no change");
        for n in 0..4 {
            assert_eq!(votes.vote(addr(&format!("9.{n}.0.1:1")), lie), Ok(None), "no majority");
        }
        assert_eq!(votes.public(), Some(ours));
        let moved = (5..60).find_map(|n| votes.vote(addr(&format!("9.{n}.0.1:1")), lie).unwrap());
        assert_eq!(moved, Some(lie), "we are elsewhere now");
        assert!(votes.latest.len() <= MAX_VOTES);
    }

    /// Votes of three networks for `ours`, kept by an earlier run.
    fn restored(ours: SocketAddr) -> Votes {
        let mut before = Votes::default();
        for n in 1..=3 {
            before.vote(addr(&format!("8.{n}.0.1:1")), ours).unwrap();
        }
        Votes::restored(&before.lasting())
    }

    #[test]
    fn earlier_votes_wait_for_one_of_now() {
        let ours = addr("198.51.100.1:7000");
        let mut votes = restored(ours);
        assert_eq!(votes.public(), None, "not on their own");
        assert_eq!(votes.lasting().len(), 3, "and they are not lost meanwhile");
        votes.clear();
        assert_eq!(
            votes.vote(addr("192.168.0.1:1"), addr("192.168.0.7:7000")),
            Ok(Some(addr("192.168.0.7:7000")))
        );
        assert_eq!(votes.vote(addr("8.9.0.1:1"), ours), Ok(Some(ours)));
        assert_eq!(votes.lasting().len(), 4);
    }

    #[test]
    fn earlier_votes_are_gone_with_the_first_contradiction() {
        let (ours, moved) = (addr("198.51.100.1:7000"), addr("203.0.113.5:7000"));
        let mut votes = restored(ours);
        assert_eq!(votes.vote(addr("8.9.0.1:1"), moved), Ok(None));
        assert_eq!(votes.vote(addr("8.1.0.1:1"), ours), Ok(None), "the earlier ones count no more");
        assert_eq!(votes.vote(addr("8.2.0.1:1"), moved), Ok(None));
        assert_eq!(votes.vote(addr("8.3.0.1:1"), moved), Ok(Some(moved)));
    }

    #[test]
    fn one_voter_is_enough_on_a_local_network() {
        let mut votes = Votes::default();
        let ours = addr("127.0.0.1:7000");
        assert_eq!(votes.vote(addr("127.0.0.1:6881"), ours), Ok(Some(ours)));
        assert_eq!(votes.vote(addr("127.0.0.1:6882"), ours), Ok(None));
    }

    #[test]
    fn absurd_votes() {
        let mut votes = Votes::default();
        let cases = [
            ("8.1.0.1:1", "192.168.1.1:7000"),
            ("8.1.0.1:1", "[2001:db8::1]:7000"),
            ("8.1.0.1:1", "198.51.100.1:0"),
            ("8.1.0.1:1", "224.0.0.1:7000"),
            ("127.0.0.1:1", "198.51.100.1:7000"),
        ];
        for (from, seen) in cases {
            assert_eq!(votes.vote(addr(from), addr(seen)), Err(Absurd), "{from} {seen}");
        }
    }
}
