use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use folkmoot_core::base::{InfoHash, Time};

use super::law::Law;
use super::looker::Looker;
use super::lookups::Conditions;
use super::sample::Sample;
use super::scene::Scene;

/// A lookup of the production machine, answer by answer.
#[derive(Clone, Debug)]
pub struct Walk {
    /// What it came to.
    pub sample: Sample,
    /// The answers, in the order in which they came.
    pub steps: Vec<Step>,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// After the lookup began.
    pub at: Duration,
    /// Since the first question to that node.
    pub rtt: Duration,
    /// How many leading bits the node's id shares with the target: the logarithm of the distance is 160 less these.
    pub shared: u32,
}

/// The answers to a lookup that is under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Steps {
    began: Time,
    asked: BTreeMap<SocketAddr, Time>,
    taken: Vec<Step>,
}

/// Looks up the random targets of [`compare`](super::compare), with the production machine alone, in the first network.
pub fn walks(conditions: Conditions) -> Vec<Walk> {
    let ambient = conditions.network(conditions.seed);
    let law = Law::new(conditions.seed);
    let mut walks = Vec::new();
    for number in 1..=u64::from(conditions.lookers) {
        let mut looker = Looker::new(Scene::peaceful(&ambient), law, number);
        looker.join();
        looker.run_for(conditions.stay);
        for index in 0..u64::from(conditions.targets) {
            let sample = looker.look_up(InfoHash(Conditions::target(conditions.seed, number, index)));
            walks.extend(sample.map(|sample| Walk { sample, steps: looker.steps().to_vec() }));
        }
    }
    walks
}

impl Steps {
    pub(super) fn new(began: Time) -> Self {
        Self { began, ..Self::default() }
    }

    pub(super) fn asked(&mut self, node: SocketAddr, now: Time) {
        self.asked.entry(node).or_insert(now);
    }

    pub(super) fn answered(&mut self, node: SocketAddr, now: Time, shared: u32) {
        let asked = self.asked.get(&node).copied().unwrap_or(self.began);
        let (at, rtt) = (now.saturating_since(self.began), now.saturating_since(asked));
        self.taken.push(Step { at, rtt, shared });
    }

    pub(super) fn taken(&self) -> &[Step] {
        &self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_comes_near_its_target() {
        let stay = Duration::from_secs(60);
        let conditions = Conditions {
            seed: 3,
            networks: 1,
            nodes: 2_000,
            dead: 0,
            unbound: 0,
            lookers: 1,
            targets: 5,
            stay,
        };
        let walks = walks(conditions);
        assert!(walks.len() >= 4);
        for Walk { sample, steps } in walks {
            assert!(steps.len() >= 8 && steps.len() <= sample.questions as usize, "{steps:?}");
            assert!(
                steps.iter().all(|step| step.rtt <= step.at && step.at <= sample.end && !step.rtt.is_zero())
            );
            // Eight of 2,000 share eight bits or so.
            assert!(steps.iter().any(|step| step.shared >= 8), "{steps:?}");
        }
    }
}
