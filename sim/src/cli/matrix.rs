//! `moot-sim matrix`.

use std::io::{self, Write as _};
use std::path::PathBuf;

use folkmoot_sim::scenario::LATEST;
use folkmoot_sim::scenario::matrix::{Level, ROWS, State, What, row};

use super::subject::{Subject, seed_of};
use super::sweep::{Sweep, Sweeping};
use super::{Done, Failure, TierName};

/// Runs the matrix of what has to be tried, and lists what of it cannot be tried yet
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// P with every change, N every night, W every week
    #[arg(long, value_enum, default_value_t = LevelName::P, ignore_case = true)]
    level: LevelName,
    /// The same as `--level N`: more seeds, meetings of up to 100, days of little
    #[arg(long, conflicts_with = "level")]
    nightly: bool,
    /// Only this row, at any level
    #[arg(long)]
    row: Option<String>,
    /// The first seed; a commit's hash after 0x makes fresh ones
    #[arg(long, default_value = "0", value_parser = seed_of)]
    seed: u64,
    /// How many runs at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Shows the rows, and runs nothing
    #[arg(long)]
    list: bool,
    /// NDJSON
    #[arg(long)]
    json: bool,
    /// Writes every scenario that failed to a file in this directory
    #[arg(long, value_name = "DIR")]
    fail_dir: Option<PathBuf>,
    /// What secures the links: DTLS, or a stand-in that costs a fiftieth
    #[arg(long, value_enum, default_value_t = TierName::Stub)]
    tier: TierName,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum LevelName {
    P,
    N,
    W,
}

impl From<LevelName> for Level {
    fn from(name: LevelName) -> Self {
        match name {
            LevelName::P => Self::Change,
            LevelName::N => Self::Night,
            LevelName::W => Self::Week,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Done {
    let seed = arguments.seed;
    let mut level = Level::from(if arguments.nightly { LevelName::N } else { arguments.level });
    let rows: Vec<_> = match &arguments.row {
        None => ROWS.iter().collect(),
        Some(id) => {
            let known = || ROWS.map(|row| row.id).join(" ");
            let found = row(id)
                .ok_or_else(|| Failure::Input(format!("there is no row `{id}`: there are {}", known())))?;
            level = level.max(found.level);
            vec![found]
        }
    };
    if arguments.list {
        let mut out = io::stdout().lock();
        for row in rows {
            let state = match row.state {
                State::Whole(_) => "ready".into(),
                State::Shared(_, what) => format!("ready; elsewhere: {what}"),
                State::Part(_, why) => format!("partly: {why}"),
                State::Elsewhere(what) => format!("elsewhere: {what}"),
                State::NotYet(why) => format!("NOT YET: {why}"),
            };
            let runs: u64 = row.cases(row.level).iter().map(|case| case.seeds).sum();
            writeln!(out, "{} {} {:>5} runs  {}\n             {state}", row.id, row.level, runs, row.about)?;
        }
        return Ok(true);
    }
    let mut runs = Vec::new();
    for row in &rows {
        for case in row.cases(level) {
            runs.extend((0..case.seeds).map(|n| (row.id, case.what.clone(), seed.wrapping_add(n))));
        }
    }
    if !arguments.json {
        println!("{} runs of level {level}; again with --seed {seed}", runs.len());
    }
    let make = |(id, what, seed): &(&'static str, What, u64)| {
        let subject = match what {
            What::Fixed(scenario) => Subject::whole((**scenario).clone(), *seed),
            What::Drawn(name) => Subject::named(name, *seed).ok()?,
            What::DrawnLately(name) => Subject::drawn(LATEST, name, *seed).ok()?,
        };
        Some(((*id).to_owned(), subject))
    };
    let fail_dir = arguments.fail_dir.clone();
    let how = Sweeping { jobs: arguments.jobs, tier: arguments.tier.into(), json: arguments.json, fail_dir };
    let good = Sweep::over(&runs, make, &how)?.finish(&how)?;
    if !arguments.json {
        let mut out = io::stdout().lock();
        let missing: Vec<_> = rows.iter().filter_map(|row| row.missing().map(|why| (row, why))).collect();
        let not_at_all = rows.iter().filter(|row| matches!(row.state, State::NotYet(_))).count();
        let parts = missing.len() - not_at_all;
        writeln!(out, "not yet, of {} rows: all of {not_at_all}, a part of {parts}", rows.len())?;
        for (row, why) in missing {
            writeln!(out, "  {} {}: {why}", row.id, row.about)?;
        }
    }
    Ok(good)
}
