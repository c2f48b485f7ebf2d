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
    use folkmoot_sim::scenario::{self, Options};
    use folkmoot_sim_entropy::seeded;

    /// Where each is looked for. The seeds are those of every sweep, from 0 on.
    const SCENARIOS: [&str; 7] =
        ["open-four", "symmetric", "restart", "two-meetings", "forged-peers", "storm", "asleep"];
    /// After so many seeds a bug counts as missed.
    const SEEDS: u64 = 30;
    /// So many of them must be good without a bug.
    const CONTROL: u64 = 5;

    /// Whether all were found, and nothing where there was nothing.
    pub(super) fn all() -> bool {
        std::panic::set_hook(Box::new(|_| {}));
        let mut well = true;
        for name in SCENARIOS {
            let seeds = if name == "forged-peers" { 1 } else { CONTROL };
            for (seed, what) in (0..seeds).filter_map(|seed| Some((seed, play(None, name, seed)?))) {
                println!("without a bug, {name} seed {seed}: {what}");
                well = false;
            }
        }
        println!("| planted bug | found after | in | as |\n|---|---|---|---|");
        for mutant in Mutant::ALL {
            // One seed of each scenario in turn, as a sweep over all of them has it.
            let tries = (0..SEEDS).flat_map(|seed| SCENARIOS.map(|name| (name, seed)));
            // The large meeting is slow, and one seed of it says what many do.
            let tries = tries.filter(|(name, seed)| *name != "forged-peers" || *seed == 0);
            let found = (1..)
                .zip(tries)
                .find_map(|(runs, (name, seed))| Some((runs, name, seed, play(Some(mutant), name, seed)?)));
            match &found {
                Some((runs, name, seed, what)) => {
                    println!("| {mutant:?} | run {runs} | {name}, seed {seed} | {what} |");
                }
                None => println!("| {mutant:?} | **never** | | |"),
            }
            well &= found.is_some();
        }
        well
    }

    /// The first thing that is wrong with a run, if anything is.
    fn play(mutant: Option<Mutant>, name: &str, seed: u64) -> Option<String> {
        let run = || {
            seeded(seed, || {
                plant(mutant);
                let scenario = scenario::find(name, seed).expect("a scenario of the library");
                scenario::run(&scenario, seed, Options { tier: Tier::Stub, ..Options::default() })
            })
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Err(_) => Some("a panic".into()),
            Ok(outcome) if outcome.is_good() => None,
            Ok(outcome) => {
                let broken = outcome.problems.list.first().map(|problem| problem.what.clone());
                Some(broken.or_else(|| outcome.pending.first().cloned()).unwrap_or_default())
            }
        }
    }
}
