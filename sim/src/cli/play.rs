//! A run on a thread of its own, so that no run leaves anything behind for the next, and a panic is told like any failure.

use std::panic::{AssertUnwindSafe, catch_unwind};

use folkmoot_sim::Tier;
use folkmoot_sim::scenario::{self, Options, Outcome, Parting, Property, Scenario, play_twice};
use folkmoot_sim_entropy::seeded;

/// Runs a scenario; `None` if it panicked.
pub(super) fn play(scenario: &Scenario, seed: u64, options: Options) -> Option<Outcome> {
    let run = || seeded(seed, || scenario::run(scenario, seed, options));
    catch_unwind(AssertUnwindSafe(run)).ok()
}

/// Runs it twice, and says where the two part if they do.
pub(super) fn twice(scenario: &Scenario, seed: u64, tier: Tier) -> Option<(Outcome, Option<Box<Parting>>)> {
    let run = |trace| seeded(seed, || scenario::run_traced(scenario, seed, tier, trace));
    catch_unwind(AssertUnwindSafe(|| play_twice(run))).ok()
}

/// What was wrong with a run first; a panic before all.
pub(super) fn wrong(outcome: Option<&Outcome>) -> Option<Property> {
    match outcome {
        None => Some(Property::Panic),
        Some(outcome) => outcome.first_problem().map(|problem| problem.property),
    }
}
