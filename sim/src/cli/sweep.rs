//! `moot-sim sweep`.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use folkmoot_sim::Tier;
use folkmoot_sim::scenario::{self, GENERATION, LATEST, Marks, NAMES, Options, Outcome, Property};
use serde_json::json;

use super::play::{play, wrong};
use super::progress::Progress;
use super::subject::{Subject, seed_of};
use super::{Done, Failure, TierName};

/// Runs a scenario, or all of them, with many seeds
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Which; all if not given
    scenario: Option<String>,
    /// How scenarios are drawn that are drawn whole: 2 knows all kinds of faults
    #[arg(long, default_value_t = GENERATION, value_parser = clap::value_parser!(u32).range(1..=i64::from(LATEST)))]
    generation: u32,
    /// From the first up to, but without, the last
    #[arg(long, default_value = "0..20", value_parser = parse_seeds)]
    seeds: std::ops::Range<u64>,
    /// How many runs at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// NDJSON: a line for every failure, and one with the summary of each scenario
    #[arg(long)]
    json: bool,
    /// Writes every scenario that failed to a file in this directory
    #[arg(long, value_name = "DIR")]
    fail_dir: Option<PathBuf>,
    /// What secures the links: DTLS, or a stand-in that costs a fiftieth
    #[arg(long, value_enum, default_value_t = TierName::Stub)]
    tier: TierName,
}

pub(super) fn run(arguments: &Arguments) -> Done {
    let Arguments { scenario, generation, seeds, jobs, json, fail_dir, tier } = arguments;
    if let Some(name) = scenario {
        scenario::about(name)?;
    }
    let names = NAMES.iter().map(|(name, _)| *name);
    let names = names.filter(|name| scenario.as_deref().is_none_or(|only| only == *name));
    let runs: Vec<_> = names.flat_map(|name| seeds.clone().map(move |seed| (name, seed))).collect();
    let make = |&(name, seed): &(&'static str, u64)| {
        Subject::drawn(*generation, name, seed).ok().map(|subject| (name.to_owned(), subject))
    };
    let how = Sweeping { jobs: *jobs, tier: (*tier).into(), json: *json, fail_dir: fail_dir.clone() };
    let sweep = Sweep::over(&runs, make, &how)?;
    sweep.finish(&how)
}

/// How a sweep is done.
pub(super) struct Sweeping {
    pub(super) jobs: u16,
    pub(super) tier: Tier,
    pub(super) json: bool,
    pub(super) fail_dir: Option<PathBuf>,
}

/// What many runs came to.
#[derive(Default)]
pub(super) struct Sweep {
    pub(super) tallies: BTreeMap<String, Tally>,
    marks: Marks,
    took: Duration,
}

/// What is known of the runs under one name.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) good: usize,
    /// How to do those again that failed.
    pub(super) bad: Vec<String>,
    figures: BTreeMap<&'static str, Vec<u64>>,
    /// Milliseconds, by what had to come.
    waits: BTreeMap<Property, Vec<u64>>,
    simulated: Duration,
    hard_minutes: u64,
}

impl Sweep {
    /// Runs what `make` makes of each of `runs`, each on a thread of its own, and tells of failures as they come.
    pub(super) fn over<R: Sync>(
        runs: &[R],
        make: impl Fn(&R) -> Option<(String, Subject)> + Sync,
        how: &Sweeping,
    ) -> Result<Self, Failure> {
        let (next, start, mut progress) = (AtomicUsize::new(0), Instant::now(), Progress::new());
        if let Some(directory) = &how.fail_dir {
            let failed = |error| Failure::Input(format!("cannot make {}: {error}", directory.display()));
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        let options = Options { tier: how.tier, ..Options::default() };
        let mut sweep = Self::default();
        std::thread::scope(|scope| -> Result<(), Failure> {
            let (results, received) = mpsc::channel();
            for _ in 0..how.jobs {
                let (results, next, make) = (results.clone(), &next, &make);
                scope.spawn(move || {
                    while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let Some((name, subject)) = make(run) else { continue };
                        let outcome = play(&subject.scenario, subject.seed, options);
                        if results.send((name, subject, outcome)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(results);
            for (done, (name, subject, outcome)) in (1..).zip(received) {
                sweep.add(name, &subject, outcome, how)?;
                let all = runs.len();
                progress.show(done, all as u64, format_args!("{done} of {all} runs"));
            }
            Ok(())
        })?;
        sweep.took = start.elapsed();
        Ok(sweep)
    }

    fn add(
        &mut self,
        name: String,
        subject: &Subject,
        outcome: Option<Outcome>,
        how: &Sweeping,
    ) -> Result<(), Failure> {
        let tally = self.tallies.entry(name).or_default();
        if let Some(property) = wrong(outcome.as_ref()) {
            let again = subject.replay(how.tier);
            let what = outcome.as_ref().map(Outcome::to_string).unwrap_or_default();
            if how.json {
                let line =
                    json!({"event": "failed", "property": property.id(), "what": what, "replay": again});
                println!("{line}");
            } else {
                eprintln!("\r{property}: {}\n{what}{}", property.about(), subject.advice(how.tier));
            }
            if let Some(directory) = &how.fail_dir {
                let name = subject.scenario.name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
                let path = directory.join(format!("{name}-{}.scn", subject.seed));
                let text = format!("fails {property}\nseed {}\n{}", subject.seed, subject.scenario.to_text());
                let failed = |error| Failure::Input(format!("cannot write {}: {error}", path.display()));
                std::fs::write(&path, text).map_err(failed)?;
            }
            tally.bad.push(again);
        } else {
            tally.good += 1;
        }
        let Some(outcome) = outcome else { return Ok(()) };
        tally.simulated += outcome.ended.saturating_since(outcome.began);
        tally.hard_minutes += outcome.hard_minutes;
        for figure in &outcome.figures {
            tally.figures.entry(figure.name).or_default().push(figure.value);
        }
        for sample in &outcome.samples {
            tally.waits.entry(sample.property).or_default().push(sample.took.as_millis() as u64);
        }
        self.marks.join(&outcome.marks);
        Ok(())
    }

    /// Prints the summary; whether all was good.
    pub(super) fn finish(&self, how: &Sweeping) -> Done {
        let mut out = BufWriter::new(io::stdout().lock());
        for (name, tally) in &self.tallies {
            if how.json { tally.print_json(&mut out, name)? } else { tally.print(&mut out, name)? }
        }
        let all = self.tallies.values();
        let (good, bad) = all.clone().fold((0, 0), |(g, b), tally| (g + tally.good, b + tally.bad.len()));
        let simulated: Duration = all.clone().map(|tally| tally.simulated).sum();
        let hard: u64 = all.map(|tally| tally.hard_minutes).sum();
        let waits = self.worst_waits();
        let missing: Vec<_> = self.marks.missing().map(|(id, _)| id).collect();
        if how.json {
            let worst: BTreeMap<_, _> =
                waits.iter().map(|(property, worst)| (property.id(), worst)).collect();
            let line = json!({
                "event": "done", "good": good, "bad": bad, "simulated_hours": hours(simulated),
                "hard_hours": hard as f64 / 60.0, "worst_ms": worst, "never": missing,
            });
            writeln!(out, "{line}")?;
        } else {
            writeln!(
                out,
                "\n{good} good, {bad} bad; {:.1} hours simulated in {:.1} s, of which {:.1} hours of meetings of four or \
                 more with a fault a minute",
                hours(simulated),
                self.took.as_secs_f64(),
                hard as f64 / 60.0
            )?;
            for property in Property::of_liveness() {
                let worst = match waits.get(&property) {
                    Some(worst) => format!("{:.3} s", *worst as f64 / 1e3),
                    None => "never came".into(),
                };
                writeln!(out, "worst {property:<16} {worst:>11}  {}", property.about())?;
            }
            writeln!(
                out,
                "never reached: {}",
                if missing.is_empty() { "nothing".into() } else { missing.join(" ") }
            )?;
        }
        out.flush()?;
        Ok(bad == 0)
    }

    fn worst_waits(&self) -> BTreeMap<Property, u64> {
        let mut worst = BTreeMap::new();
        for (property, values) in self.tallies.values().flat_map(|tally| &tally.waits) {
            let most = values.iter().copied().max().unwrap_or(0);
            worst.entry(*property).and_modify(|it: &mut u64| *it = most.max(*it)).or_insert(most);
        }
        worst
    }
}

impl Tally {
    fn print(&self, out: &mut impl Write, name: &str) -> io::Result<()> {
        let (good, bad, hours) = (self.good, self.bad.len(), hours(self.simulated));
        writeln!(out, "{name}: {good} good, {bad} bad, {hours:.2} hours simulated")?;
        for again in self.bad.iter().take(10) {
            writeln!(out, "  bad: {again}")?;
        }
        for (name, values) in self.values() {
            let [p50, p90, p99, most] = percentiles(&values);
            writeln!(out, "  {name:<28} p50 {p50:<8} p90 {p90:<8} p99 {p99:<8} max {most}")?;
        }
        Ok(())
    }

    fn print_json(&self, out: &mut impl Write, name: &str) -> io::Result<()> {
        let values: BTreeMap<_, _> =
            self.values().map(|(name, values)| (name, json!(percentiles(&values)))).collect();
        let line = json!({
            "event": "scenario", "name": name, "good": self.good, "bad": self.bad,
            "simulated_s": self.simulated.as_secs(), "p50_p90_p99_max": values,
        });
        writeln!(out, "{line}")
    }

    fn values(&self) -> impl Iterator<Item = (String, Vec<u64>)> {
        let waits = self.waits.iter().map(|(property, values)| (format!("{property} ms"), values.clone()));
        waits.chain(self.figures.iter().map(|(name, values)| ((*name).to_owned(), values.clone())))
    }
}

fn percentiles(values: &[u64]) -> [u64; 4] {
    let mut values = values.to_vec();
    values.sort_unstable();
    [50, 90, 99, 100].map(|percent| values.get((values.len() - 1) * percent / 100).copied().unwrap_or(0))
}

fn hours(time: Duration) -> f64 {
    time.as_secs_f64() / 3_600.0
}

pub(super) fn parse_seeds(text: &str) -> Result<std::ops::Range<u64>, String> {
    let (first, last) = text.split_once("..").ok_or("write A..B, as in 0..1000")?;
    let range = seed_of(first.trim())?..seed_of(last.trim())?;
    if range.is_empty() { Err("there is no seed in that range".into()) } else { Ok(range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_seeds() {
        assert_eq!(parse_seeds("3..7"), Ok(3..7));
        assert_eq!(parse_seeds("0x10..0x11"), Ok(16..17));
        assert!(parse_seeds("7..3").is_err() && parse_seeds("7").is_err() && parse_seeds("a..b").is_err());
        assert!(parse_seeds("0..99999999999999999999").unwrap_err().contains("seeds are 0 to"));
    }

    #[test]
    fn percentiles_of_few() {
        assert_eq!(percentiles(&[7]), [7; 4]);
        assert_eq!(percentiles(&(1..=101).collect::<Vec<_>>()), [51, 91, 100, 101]);
    }
}
