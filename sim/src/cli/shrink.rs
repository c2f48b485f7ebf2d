//! `moot-sim shrink`.

use std::cell::Cell;
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;

use folkmoot_sim::Tier;
use folkmoot_sim::scenario::{self, Options, Property};

use super::play::{play, wrong};
use super::subject::{Subject, seed_of};
use super::{Done, Failure, TierName};

/// Makes a failing scenario small: what is left out of it, one thing after the other, is not needed for the same
/// property to fail
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// NAME/SEED, a file, or a whole scenario
    what: String,
    /// Instead of the seed that is written
    #[arg(long, value_parser = seed_of)]
    seed: Option<u64>,
    /// How many runs it may take
    #[arg(long, default_value_t = 2_000)]
    runs: usize,
    /// Writes what is left to a file, for sim/tests/regressions
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// What secures the links: DTLS, or a stand-in that costs a fiftieth
    #[arg(long, value_enum, default_value_t = TierName::Stub)]
    tier: TierName,
}

pub(super) fn run(arguments: &Arguments) -> Done {
    let subject = Subject::read(&arguments.what, arguments.seed)?;
    let tier = Tier::from(arguments.tier);
    let Some((property, small, runs)) = shrink(&subject, tier, arguments.runs) else {
        return Err(Failure::Input("that run is good: there is nothing to shrink".into()));
    };
    let mut out = BufWriter::new(io::stdout().lock());
    writeln!(out, "{property}: {}", property.about())?;
    writeln!(out, "after {runs} runs, {} statements of {} are left:\n", lines(&small), lines(&subject))?;
    writeln!(out, "{}", small.scenario.to_text())?;
    if let Some(outcome) = play(&small.scenario, small.seed, Options { tier, ..Options::default() }) {
        writeln!(out, "{outcome}")?;
    }
    writeln!(out, "{}", small.replay(tier))?;
    if let Some(path) = &arguments.keep {
        let text = format!(
            "# {}\nfails {property}\nseed {}\n{}",
            subject.line,
            small.seed,
            small.scenario.to_text()
        );
        std::fs::write(path, text)
            .map_err(|error| Failure::Input(format!("cannot write {}: {error}", path.display())))?;
    }
    Ok(true)
}

fn lines(subject: &Subject) -> usize {
    subject.scenario.to_text().lines().count()
}

/// The property that fails, the least that still fails so, and after how many runs. `None` if all is good.
pub(super) fn shrink(subject: &Subject, tier: Tier, budget: usize) -> Option<(Property, Subject, usize)> {
    let options = Options { tier, ..Options::default() };
    let property = wrong(play(&subject.scenario, subject.seed, options).as_ref())?;
    let runs = Cell::new(1);
    let small = scenario::shrink(&subject.scenario, budget, |scenario| {
        runs.set(runs.get() + 1);
        wrong(play(scenario, subject.seed, options).as_ref()) == Some(property)
    });
    Some((property, Subject::whole(small, subject.seed), runs.get()))
}
