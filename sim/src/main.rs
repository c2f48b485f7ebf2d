//! `moot-sim`: runs the simulator's scenarios.
//!
//! Exit codes: 0 if all went well, 1 if a run went wrong, 2 if the command line did.

#![expect(
    clippy::disallowed_methods,
    reason = "the command, unlike the library, may have threads and look at a clock: one run per thread, timed from outside"
)]

use std::collections::BTreeMap;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use folkmoot_sim::scenario::{self, NAMES, Options, Outcome, UnknownScenario};
use serde_json::json;

/// Runs whole Folkmoot nodes in virtual time. A scenario and a seed make a run, everywhere the same.
#[derive(Parser)]
#[command(name = "moot-sim", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one scenario and tells what came of it
    Run {
        /// Which; `moot-sim list` shows them
        #[arg(default_value = NAMES[0].0)]
        scenario: String,
        /// What is drawn is a function of it
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// NDJSON; the last line is {"event":"done","hash":…}
        #[arg(long)]
        json: bool,
        /// Also prints what the nodes tell their applications
        #[arg(long)]
        events: bool,
        /// Also prints every packet
        #[arg(long)]
        trace: bool,
    },
    /// Runs a scenario, or all of them, with many seeds
    Sweep {
        /// Which; all if not given
        scenario: Option<String>,
        /// From the first up to, but without, the last
        #[arg(long, default_value = "0..20", value_parser = parse_seeds)]
        seeds: std::ops::Range<u64>,
        /// How many runs at once
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
        jobs: u16,
    },
    /// Shows the scenarios
    List,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run { scenario, seed, json, events, trace } => {
            let how = Telling { json, events: events || json, trace };
            run_one(&scenario, seed, how)
        }
        Command::Sweep { scenario, seeds, jobs } => sweep(scenario.as_deref(), seeds, jobs),
        Command::List => list(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(Failure::Unknown(error)) => {
            eprintln!("moot-sim: {error}");
            ExitCode::from(2)
        }
        // Whoever reads our output has had enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Output(error)) => {
            eprintln!("moot-sim: cannot write: {error}");
            ExitCode::from(1)
        }
    }
}

/// Why there is no result.
enum Failure {
    Unknown(UnknownScenario),
    Output(io::Error),
}

impl From<UnknownScenario> for Failure {
    fn from(error: UnknownScenario) -> Self {
        Self::Unknown(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// What a run tells.
#[derive(Clone, Copy)]
struct Telling {
    json: bool,
    events: bool,
    trace: bool,
}

fn run_one(name: &str, seed: u64, how: Telling) -> Result<bool, Failure> {
    let scenario = scenario::find(name, seed)?;
    let mut out = BufWriter::new(io::stdout().lock());
    if how.json {
        writeln!(
            out,
            "{}",
            json!({"v": 1, "event": "scenario", "name": name, "seed": seed, "line": scenario.to_string()})
        )?;
    } else {
        writeln!(out, "{scenario}\nseed {seed}")?;
    }
    out.flush()?;
    let start = Instant::now();
    let options = Options { keep_records: how.trace };
    let Ok(outcome) = catch_unwind(AssertUnwindSafe(|| scenario::run(&scenario, seed, options))) else {
        if how.json {
            writeln!(out, "{}", json!({"event": "broken", "what": "a panic; see stderr"}))?;
        }
        eprintln!("replay with: {}", replay(name, seed));
        return Ok(false);
    };
    let wall = start.elapsed();
    if how.json {
        tell_json(&mut out, &outcome, how)?
    } else {
        tell(&mut out, &outcome, how, wall)?
    }
    out.flush()?;
    if !outcome.is_good() {
        eprintln!("replay with: {}", replay(name, seed));
    }
    Ok(outcome.is_good())
}

fn tell(out: &mut impl Write, outcome: &Outcome, how: Telling, wall: Duration) -> io::Result<()> {
    for record in &outcome.records {
        writeln!(out, "{record}")?;
    }
    if how.events {
        for noted in &outcome.events {
            writeln!(out, "{} member {}: {:?}", noted.at, noted.member, noted.event)?;
        }
    }
    write!(out, "{outcome}")?;
    for figure in &outcome.figures {
        writeln!(out, "{:<28} {}", figure.name, figure.value)?;
    }
    let counts = outcome.counts;
    let dropped: u64 = counts.dropped.iter().sum();
    let simulated = outcome.ended.saturating_since(outcome.began);
    writeln!(
        out,
        "{} packets, {dropped} of them dropped; {} events; {:.3} s simulated in {:.3} s",
        counts.sent,
        counts.events,
        simulated.as_secs_f64(),
        wall.as_secs_f64()
    )?;
    writeln!(out, "{} {}", if outcome.is_good() { "good" } else { "BAD" }, outcome.hash)
}

/// Nothing in here depends on the machine or its clock: two runs print the same bytes.
fn tell_json(out: &mut impl Write, outcome: &Outcome, how: Telling) -> io::Result<()> {
    for record in &outcome.records {
        writeln!(out, "{}", json!({"event": "packet", "text": record.to_string()}))?;
    }
    if how.events {
        for noted in &outcome.events {
            let (ms, text) = (noted.at.as_millis(), format!("{:?}", noted.event));
            writeln!(out, "{}", json!({"event": "told", "ms": ms, "member": noted.member, "text": text}))?;
        }
    }
    for problem in &outcome.problems.list {
        let line = json!({"event": "broken", "ms": problem.at.as_millis(), "what": problem.what});
        writeln!(out, "{line}")?;
    }
    for pending in &outcome.pending {
        writeln!(out, "{}", json!({"event": "pending", "what": pending}))?;
    }
    for figure in &outcome.figures {
        writeln!(out, "{}", json!({"event": "figure", "name": figure.name, "value": figure.value}))?;
    }
    let done = json!({
        "event": "done",
        "good": outcome.is_good(),
        "ms": outcome.ended.as_millis(),
        "packets": outcome.counts.sent,
        "records": outcome.records_count,
        "hash": outcome.hash.to_string(),
    });
    writeln!(out, "{done}")
}

/// The one command that does a run again.
fn replay(name: &str, seed: u64) -> String {
    format!("moot-sim run {name} --seed {seed} --events")
}

/// What a sweep knows of one scenario.
#[derive(Default)]
struct Tally {
    good: usize,
    bad: Vec<u64>,
    figures: BTreeMap<&'static str, Vec<u64>>,
    simulated: Duration,
}

fn sweep(scenario: Option<&str>, seeds: std::ops::Range<u64>, jobs: u16) -> Result<bool, Failure> {
    if let Some(name) = scenario {
        scenario::about(name)?;
    }
    let names = NAMES.iter().map(|(name, _)| *name).filter(|name| scenario.is_none_or(|only| only == *name));
    let runs: Vec<_> = names.flat_map(|name| seeds.clone().map(move |seed| (name, seed))).collect();
    let (next, start, is_terminal) = (AtomicUsize::new(0), Instant::now(), io::stderr().is_terminal());
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    std::thread::scope(|scope| {
        let (results, received) = mpsc::channel();
        for _ in 0..jobs {
            let (results, next, runs) = (results.clone(), &next, &runs);
            scope.spawn(move || {
                while let Some(&(name, seed)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let run =
                        || scenario::find(name, seed).map(|it| scenario::run(&it, seed, Options::default()));
                    let outcome = catch_unwind(AssertUnwindSafe(run)).ok().and_then(Result::ok);
                    if results.send((name, seed, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(results);
        for (done, (name, seed, outcome)) in (1..).zip(received) {
            tallies.entry(name).or_default().add(name, seed, outcome);
            if is_terminal {
                eprint!("\r{done} of {} runs ", runs.len());
            }
        }
    });
    if is_terminal {
        eprintln!("\r{} runs in {:.1} s", runs.len(), start.elapsed().as_secs_f64());
    }
    let mut out = BufWriter::new(io::stdout().lock());
    for (name, tally) in &tallies {
        tally.print(&mut out, name)?;
    }
    out.flush()?;
    Ok(tallies.values().all(|tally| tally.bad.is_empty()))
}

impl Tally {
    fn add(&mut self, name: &str, seed: u64, outcome: Option<Outcome>) {
        let Some(outcome) = outcome else {
            eprintln!("\r{name} seed {seed}: a panic; replay with: {}", replay(name, seed));
            return self.bad.push(seed);
        };
        if outcome.is_good() {
            self.good += 1;
        } else {
            eprintln!("\r{name} seed {seed}: replay with: {}\n{outcome}", replay(name, seed));
            self.bad.push(seed);
        }
        self.simulated += outcome.ended.saturating_since(outcome.began);
        for figure in outcome.figures {
            self.figures.entry(figure.name).or_default().push(figure.value);
        }
    }

    fn print(&self, out: &mut impl Write, name: &str) -> io::Result<()> {
        let (good, bad, seconds) = (self.good, self.bad.len(), self.simulated.as_secs());
        writeln!(out, "{name}: {good} good, {bad} bad, {seconds} s simulated")?;
        if !self.bad.is_empty() {
            writeln!(out, "  bad seeds: {:?}", self.bad.iter().take(50).collect::<Vec<_>>())?;
        }
        for (figure, values) in &self.figures {
            let mut values = values.clone();
            values.sort_unstable();
            let at = |percent: usize| values[(values.len() - 1) * percent / 100];
            let (p50, p90, p99, most) = (at(50), at(90), at(99), at(100));
            writeln!(out, "  {figure:<28} p50 {p50:<8} p90 {p90:<8} p99 {p99:<8} max {most}")?;
        }
        Ok(())
    }
}

fn list() -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    for (name, about) in NAMES {
        writeln!(out, "{name:<20} {about}")?;
    }
    Ok(true)
}

fn parse_seeds(text: &str) -> Result<std::ops::Range<u64>, String> {
    let (first, last) = text.split_once("..").ok_or("write A..B, as in 0..1000")?;
    let number =
        |digits: &str| digits.trim().parse::<u64>().map_err(|_| format!("`{digits}` is not a number"));
    let range = number(first)?..number(last)?;
    if range.is_empty() { Err("there is no seed in that range".into()) } else { Ok(range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
        assert_eq!(parse_seeds("3..7"), Ok(3..7));
        assert!(parse_seeds("7..3").is_err() && parse_seeds("7").is_err() && parse_seeds("a..b").is_err());
    }
}
