//! `moot-mutants`: plants bugs in the node, one at a time, and tells which property of the simulator finds each, and
//! after how many seeds. `sim/mutants` builds and runs it; built otherwise there is nothing to plant.

#[cfg(not(mutants))]
fn main() -> std::process::ExitCode {
    eprintln!("moot-mutants: built without its bugs; run sim/mutants");
    std::process::ExitCode::from(2)
}

#[cfg(mutants)]
fn main() -> std::process::ExitCode {
    if hunt::all() { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::from(1) }
}

#[cfg(mutants)]
mod hunt {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use folkmoot_core::base::mutant::{Mutant, plant};
    use folkmoot_sim::Tier;
    use folkmoot_sim::scenario::{self, Options, Outcome, Property};
    use folkmoot_sim_entropy::seeded;

    /// Where each is looked for. The seeds are those of every sweep, from 0 on.
    const SCENARIOS: [&str; 8] = [
        "open-four",
        "symmetric",
        "restart",
        "two-meetings",
        "forged-peers",
        "storm",
        "asleep",
        "through-members",
    ];
    /// After so many seeds a bug counts as missed.
    const SEEDS: u64 = 30;
    /// So many of them must be good without a bug.
    const CONTROL: u64 = 5;

    /// A rule that was broken, and how.
    type Wrong = (Property, String);

    /// The property that a bug has been planted for, if it is to be that one and no other that finds it.
    fn found_by(mutant: Mutant) -> Option<Property> {
        Some(match mutant {
            Mutant::KeepToItself => Property::Passage,
            Mutant::TellPassword => Property::Secret,
            Mutant::LongAnswers => Property::Amplify,
            _ => return None,
        })
    }

    /// Whether all were found, and nothing where there was nothing.
    pub(super) fn all() -> bool {
        std::panic::set_hook(Box::new(|_| {}));
        let mut well = true;
        for name in SCENARIOS {
            let seeds = if is_slow(name) { 1 } else { CONTROL };
            for seed in 0..seeds {
                for (property, what) in play(None, name, seed) {
                    println!("without a bug, {name} seed {seed}: {property} {what}");
                    well = false;
                }
            }
        }
        println!("| planted bug | found after | in | by | as |\n|---|---|---|---|---|");
        for mutant in Mutant::ALL {
            let wanted = found_by(mutant);
            // One seed of each scenario in turn, as a sweep over all of them has it; of slow ones one seed says what many do.
            let tries = (0..SEEDS).flat_map(|seed| SCENARIOS.map(|name| (name, seed)));
            let tries = tries.filter(|(name, seed)| !is_slow(name) || *seed == 0);
            let found = (1..).zip(tries).find_map(|(runs, (name, seed))| {
                let wrong = play(Some(mutant), name, seed);
                let wrong =
                    wrong.into_iter().find(|(property, _)| wanted.is_none_or(|wanted| wanted == *property));
                Some((runs, name, seed, wrong?))
            });
            match &found {
                Some((runs, name, seed, (property, what))) => {
                    println!("| {mutant:?} | run {runs} | {name}, seed {seed} | {property} | {what} |");
                }
                None => println!("| {mutant:?} | **never** | | | |"),
            }
            well &= found.is_some();
        }
        well
    }

    fn is_slow(name: &str) -> bool {
        name == "forged-peers"
    }

    /// What is wrong with a run, the first thing first.
    fn play(mutant: Option<Mutant>, name: &str, seed: u64) -> Vec<Wrong> {
        let run = || {
            seeded(seed, || {
                plant(mutant);
                let scenario = scenario::find(name, seed).expect("a scenario of the library");
                wrong(scenario::run(&scenario, seed, Options { tier: Tier::Stub, ..Options::default() }))
            })
        };
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| vec![(Property::Panic, "a panic".into())])
    }

    fn wrong(outcome: Outcome) -> Vec<Wrong> {
        let mut wrong: Vec<_> =
            outcome.problems.list.into_iter().map(|problem| (problem.property, problem.what)).collect();
        // Of what did not come in time it says how much; the first of it says more.
        if let (Some((property, what)), Some(pending)) =
            (wrong.first_mut(), outcome.pending.into_iter().next())
            && property.id().starts_with('L')
        {
            *what = pending;
        }
        wrong
    }
}
