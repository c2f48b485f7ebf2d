//! `moot-sim sweep`.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use folkmoot_sim::Tier;
use folkmoot_sim::scenario::{self, NAMES, Options, Outcome};
use folkmoot_sim_entropy::seeded;

use super::tell::replay;
use super::{Done, TierName};

/// Runs a scenario, or all of them, with many seeds
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Which; all if not given
    scenario: Option<String>,
    /// From the first up to, but without, the last
    #[arg(long, default_value = "0..20", value_parser = parse_seeds)]
    seeds: std::ops::Range<u64>,
    /// How many runs at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// What secures the links: DTLS, or a stand-in that costs a fiftieth
    #[arg(long, value_enum, default_value_t = TierName::Stub)]
    tier: TierName,
}

pub(super) fn run(arguments: &Arguments) -> Done {
    let Arguments { scenario, seeds, jobs, tier } = arguments;
    sweep(scenario.as_deref(), seeds.clone(), *jobs, (*tier).into())
}

/// What a sweep knows of one scenario.
#[derive(Default)]
struct Tally {
    good: usize,
    bad: Vec<u64>,
    figures: BTreeMap<&'static str, Vec<u64>>,
    simulated: Duration,
}

fn sweep(scenario: Option<&str>, seeds: std::ops::Range<u64>, jobs: u16, tier: Tier) -> Done {
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
                    let options = Options { tier, ..Options::default() };
                    let play = |it| seeded(seed, || scenario::run(&it, seed, options));
                    let run = || scenario::find(name, seed).map(play);
                    let outcome = catch_unwind(AssertUnwindSafe(run)).ok().and_then(Result::ok);
                    if results.send((name, seed, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(results);
        for (done, (name, seed, outcome)) in (1..).zip(received) {
            tallies.entry(name).or_default().add(name, seed, tier, outcome);
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
    fn add(&mut self, name: &str, seed: u64, tier: Tier, outcome: Option<Outcome>) {
        let Some(outcome) = outcome else {
            eprintln!("\r{name} seed {seed}: a panic; replay with: {}", replay(name, seed, tier));
            return self.bad.push(seed);
        };
        if outcome.is_good() {
            self.good += 1;
        } else {
            eprintln!("\r{name} seed {seed}: replay with: {}\n{outcome}", replay(name, seed, tier));
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

pub(super) fn parse_seeds(text: &str) -> Result<std::ops::Range<u64>, String> {
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
    fn ranges_of_seeds() {
        assert_eq!(parse_seeds("3..7"), Ok(3..7));
        assert!(parse_seeds("7..3").is_err() && parse_seeds("7").is_err() && parse_seeds("a..b").is_err());
    }
}
