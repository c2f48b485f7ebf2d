use std::time::Duration;

use super::Tier;
use crate::engine::Chance;
use crate::mesh::{Home, Mesh};
use crate::net::{Behavior, BoxRules, Law, LinkRules, Loss};

/// What both tiers are asked: two members, and how their worlds differ from the plainest.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What is lost between them, in percent, each way.
    pub loss: u32,
    /// The NATs they are behind; none is the open internet.
    pub nats: [Option<BoxRules>; 2],
}

/// What both tiers answered, seed by seed: how long after the join two members were connected, if they were.
#[derive(Clone, Debug, Default)]
pub struct Answers(Vec<[Option<Duration>; 2]>);

/// How long two members may look for each other. Longer than a handshake may take, and than it takes to try again.
const PATIENCE: Duration = Duration::from_secs(90);

impl Case {
    /// The open internet at so much loss.
    pub const fn loss(percent: u32) -> Self {
        Self { loss: percent, nats: [None; 2] }
    }

    /// Every pair of a kind of NAT and another, or none.
    pub fn nat_pairs() -> Vec<Self> {
        use Behavior::{
            AddressAndPortDependent as Port, AddressDependent as Address, EndpointIndependent as Any,
        };
        let kinds = [(Any, Any), (Any, Address), (Any, Port), (Address, Port), (Port, Port)];
        let kinds = kinds.map(|(mapping, filtering)| Some(BoxRules::nat(mapping, filtering)));
        let kinds: Vec<_> = [None].into_iter().chain(kinds).collect();
        let pairs = kinds.iter().flat_map(|a| kinds.iter().map(move |b| [*a, *b]));
        pairs.map(|nats| Self { loss: 0, nats }).collect()
    }

    /// Plays one seed in both tiers.
    pub fn play(&self, seed: u64) -> [Option<Duration>; 2] {
        Tier::ALL.map(|tier| self.play_in(tier, seed))
    }

    fn play_in(&self, tier: Tier, seed: u64) -> Option<Duration> {
        let loss = Loss::Independent(Chance::percent(self.loss));
        // Each way has one lossy half: a member's way out.
        let link = LinkRules { up: Law { loss, ..Law::delay(25) }, down: Law::delay(25) };
        let homes: [Home; 2] = self.nats.map(|nat| (link, nat));
        Mesh::begin(seed, tier, &homes, LinkRules::both(Law::delay(10))).run_until_whole(PATIENCE)
    }
}

impl Answers {
    /// Notes what came of a seed.
    pub fn add(&mut self, times: [Option<Duration>; 2]) {
        self.0.push(times);
    }

    /// How many seeds there are.
    pub fn seeds(&self) -> usize {
        self.0.len()
    }

    /// How many seeds connected in one tier and not in the other.
    pub fn unequal(&self) -> usize {
        self.0.iter().filter(|[stub, real]| stub.is_some() != real.is_some()).count()
    }

    /// How many seeds connected in both tiers.
    pub fn connected(&self) -> usize {
        self.0.iter().filter(|times| times.iter().all(Option::is_some)).count()
    }

    /// The time within which so many percent of what connected did, in the stub's tier and in the real one.
    pub fn percentile(&self, percent: usize) -> [Duration; 2] {
        [0, 1].map(|tier| {
            let mut times: Vec<_> = self.0.iter().filter_map(|times| times[tier]).collect();
            times.sort_unstable();
            let last = times.len().saturating_sub(1);
            times.get(last * percent / 100).copied().unwrap_or_default()
        })
    }

    /// The mean of what connected, in the stub's tier and in the real one.
    pub fn mean(&self) -> [Duration; 2] {
        [0, 1].map(|tier| {
            let times = self.0.iter().filter_map(|times| times[tier]);
            times.clone().sum::<Duration>() / (times.count() as u32).max(1)
        })
    }
}

/// By how many permille the stub differs from what is real.
pub fn difference([stub, real]: [Duration; 2]) -> i64 {
    let (stub, real) = (stub.as_micros() as i64, real.as_micros() as i64);
    (stub - real) * 1_000 / real.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A handful of seeds; `moot-sim tiers` plays hundreds.
    #[test]
    fn both_tiers_agree() {
        for case in [Case::loss(0), Case::loss(5)] {
            let mut answers = Answers::default();
            (0..6).for_each(|seed| answers.add(case.play(seed)));
            assert_eq!((answers.unequal(), answers.connected()), (0, 6), "{case:?}");
            if case.loss == 0 {
                assert!(difference(answers.mean()).abs() <= 100, "{:?}", answers.mean());
            }
        }
    }

    #[test]
    fn differences_are_those_of_the_stub() {
        let ms = Duration::from_millis;
        assert_eq!(difference([ms(110), ms(100)]), 100);
        assert_eq!(difference([ms(95), ms(100)]), -50);
        let mut answers = Answers::default();
        for n in 1..=4 {
            answers.add([Some(ms(n)), Some(ms(2 * n))]);
        }
        answers.add([None, Some(ms(9))]);
        assert_eq!((answers.seeds(), answers.connected(), answers.unequal()), (5, 4, 1));
        assert_eq!(answers.percentile(50), [ms(2), ms(6)]);
        assert_eq!(answers.percentile(100), [ms(4), ms(9)]);
    }
}
