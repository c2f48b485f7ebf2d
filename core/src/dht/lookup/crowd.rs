//! What a lookup does about those who gather around its target: who counts, who is suspected, and whom it asks because others
//! vouch for them.

use super::candidate::{Candidate, State};
use super::{Goal, Lookup, UNBOUND};
use crate::dht::Size;
use crate::dht::table::K;

/// How many nodes may be within a distance at which one is expected on average: so many, and so many more for each that is
/// expected. By chance that is exceeded once in a million lookups, and once in a few thousand if there are twice as many
/// nodes as estimated.
const CROWD: (f64, f64) = (UNBOUND as f64, 4.0);

/// Beyond the distance at which so many are expected nobody is passed over for being one of a crowd: who knows the rule could
/// take each place that it leaves just before somebody honest does.
const CLOSE: f64 = 1.0;

/// Whoever answered within the distance at which so many are expected belongs to the result, and not only the [`K`] closest: so
/// nobody takes the places of the honest ones there, of whom it is as good as certain that there are some.
pub(super) const REGION: f64 = K as f64;

/// Of more nodes that answered within a distance than this, counted like [`CROWD`], some are suspected to have chosen their
/// places, even if they keep them below that. By chance it is so in one lookup of seventy, and in one of twenty if the network
/// is a quarter larger than estimated.
const SUSPECT: (f64, f64) = (UNBOUND as f64, 1.5);

/// Then everybody is asked up to the distance at which so many are expected: those beyond the region know of honest ones within
/// whom its crowd does not name.
pub(super) const SURROUNDINGS: f64 = 3.0 * REGION;

/// How many times as many of the closest are asked and announced to where somebody crowds around the target. Two who each
/// see another part of the honest nodes there have some in common then.
pub(super) const WIDER: usize = 2;

/// Who is beyond the distance at which so many are expected vouches for those it names. It knows few of the many around the
/// target, and of a crowd among them only its share; the crowd itself, which names nobody else, vouches for nobody.
pub(super) const FAR: f64 = 8.0 * REGION;

/// How many of those vouched for are asked where a crowd is suspected: nearly all that there are, as each of them knows of some
/// whom the crowd keeps to itself.
const ALL_VOUCHED: usize = 4 * K;

/// Whether more are around the target than chance puts there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspicion {
    None,
    /// By an estimate that is young, and another is on its way.
    Open,
    Confirmed,
}

impl Lookup {
    /// How many nodes there are, if that was not known before.
    pub(in crate::dht) fn learn_size(&mut self, size: Option<Size>) {
        if let (None, Some(size)) = (self.nodes, size) {
            self.nodes = Some(size.nodes as f64);
            self.at_most = (size.nodes + size.error) as f64;
            self.examine();
        }
    }

    /// The estimate of how many nodes there are is young: the network may have grown since, and then nobody crowds.
    pub(in crate::dht) fn doubt_size(&mut self) {
        self.is_young = true;
    }

    /// Whether too many nodes are around the target by an estimate that is young: the end waits for another.
    pub(in crate::dht) fn wants_survey(&self) -> bool {
        self.suspicion == Suspicion::Open
    }

    /// A random point was looked up, and there are so many nodes by that; or nothing can be said.
    pub(in crate::dht) fn on_survey(&mut self, size: Option<Size>) {
        if let (Suspicion::Open, Some(nodes)) = (self.suspicion, self.nodes) {
            if let Some(size) = size {
                self.nodes = Some(nodes.max(size.nodes as f64));
                self.at_most = self.at_most.max((size.nodes + size.error) as f64);
            }
            (self.is_young, self.suspicion) = (false, Suspicion::None);
            self.examine();
        }
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.suspicion == Suspicion::Confirmed
    }

    /// The closest `most` that count; if a crowd is suspected, all within [`SURROUNDINGS`].
    pub(super) fn best(&self, most: usize, counts: impl Fn(&Candidate) -> bool) -> Vec<&Candidate> {
        self.best_within(if self.is_suspect() && most >= K { SURROUNDINGS } else { 0.0 }, most, counts)
    }

    /// The closest `most` that count, [`WIDER`] where somebody crowds, or makes up ids while nobody knows how many to expect; and
    /// all others within the distance at which so many are expected; of those beyond [`UNBOUND`] whose ids do not follow from
    /// their addresses, and of a crowd, only as many as it takes for want of others. Those come last.
    pub(super) fn best_within(
        &self,
        within: f64,
        most: usize,
        counts: impl Fn(&Candidate) -> bool,
    ) -> Vec<&Candidate> {
        let (mut best, mut unbound, mut passed_over) = (Vec::with_capacity(most), 0, Vec::new());
        let (mut wanted, mut near, mut made_up) = (most, 0, 0);
        for candidate in &self.candidates {
            let expected = self.expected(candidate.share);
            let is_crowd =
                |near: usize| expected.is_some_and(|nodes| near as f64 + 1.0 > CROWD.0 + CROWD.1 * nodes);
            // Who crowds is seen by all who may be there, whichever count; or while nobody knows how many to expect, by the ids
            // that are made up.
            if !matches!(candidate.state, State::Waiting | State::Lost | State::Failed) {
                made_up += usize::from(!candidate.is_bound);
                if is_crowd(near) || expected.is_none() && made_up > UNBOUND {
                    wanted = most * WIDER;
                }
                near += 1;
            }
            if !counts(candidate) || self.is_left_out(candidate) {
                continue;
            }
            if best.len() >= wanted && expected.is_none_or(|nodes| nodes > within) {
                return best;
            }
            // Whoever makes up ids takes no place from those whose ids are bound, and the other way round.
            let alike = if candidate.is_bound { best.len() - unbound } else { unbound };
            let is_passed_over = expected.is_some_and(|nodes| nodes < CLOSE) && is_crowd(alike);
            if !is_passed_over && (candidate.is_bound || unbound < UNBOUND * most / K) {
                unbound += usize::from(!candidate.is_bound);
                best.push(candidate);
            } else {
                passed_over.push(candidate);
            }
        }
        let free = most.saturating_sub(best.len());
        best.extend(passed_over.into_iter().take(free));
        best
    }

    /// Whom a path asks because somebody vouches for them, and those whom it asked.
    pub(super) fn vouched_of(&self, path: usize) -> impl Iterator<Item = &Candidate> {
        let most = match self.pace.vouched {
            0 => 0,
            _ if self.is_suspect() => ALL_VOUCHED,
            few => few,
        };
        let counts = move |known: &&Candidate| {
            known.is_vouched
                && known.is_of(path)
                && !matches!(known.state, State::Waiting | State::Failed)
                && !self.is_left_out(known)
        };
        self.candidates.iter().filter(counts).take(most / self.pace.paths)
    }

    /// Whether anybody could have made up a node with such an id at such a distance.
    pub(super) fn is_doubtful(&self, is_bound: bool, share: f64) -> bool {
        !is_bound || self.expected(share).is_some_and(|nodes| nodes < CLOSE)
    }

    /// How many nodes are expected within a distance, given as a share of the key space.
    pub(super) fn expected(&self, share: f64) -> Option<f64> {
        self.nodes.map(|nodes| nodes * share)
    }

    /// Looks whether to suspect a crowd; a suspicion that is confirmed remains.
    pub(super) fn examine(&mut self) {
        if self.suspicion == Suspicion::None && self.looks_suspect() {
            self.suspicion = if self.is_young { Suspicion::Open } else { Suspicion::Confirmed };
        }
    }

    /// Whether more answered from around the target than chance puts there. Those whose ids anybody can make up do not count:
    /// they get few places anyway. Around ourselves and around random points nothing is stored, so nobody is worth suspecting.
    fn looks_suspect(&self) -> bool {
        if self.nodes.is_none() || self.goal == Goal::Neighbours {
            return false;
        }
        let counts = |known: &&Candidate| known.is_bound && known.state == State::Answered;
        let answered = self.candidates.iter().filter(counts);
        let mut counted = (1..).zip(answered.map(|known| self.at_most * known.share));
        counted.any(|(count, nodes)| f64::from(count) > SUSPECT.0 + SUSPECT.1 * nodes)
    }
}
