//! `moot-sim report`.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use folkmoot_core::node::{Event, Path};
use folkmoot_sim::Tier;
use folkmoot_sim::net::preset;
use folkmoot_sim::report::{Cell, Grown, Joins, Section, grid, growth, joins, page};
use folkmoot_sim::scenario::{Options, Outcome, Scenario};

use super::picture::write;
use super::play::play;
use super::{Done, Failure};

/// Draws how pairs of networks connect, and how long joining takes by loss
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Where index.html and the pictures go
    directory: PathBuf,
    /// How many runs for each pair of networks, and ten times as many for each loss
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    seeds: u32,
    /// Also draws what `moot-sim grow --json` printed
    #[arg(long, value_name = "FILE")]
    grow: Option<PathBuf>,
}

/// The networks of the grid.
const NETWORKS: [&str; 10] = [
    "open",
    "firewall",
    "home-cone",
    "home-restricted",
    "home",
    "home-symmetric",
    "home-cgn",
    "mobile",
    "mobile-symmetric",
    "hotel",
];
/// The losses of the curves, in per cent.
const LOSSES: [u32; 4] = [0, 5, 10, 20];

pub(super) fn run(arguments: &Arguments) -> Done {
    let Arguments { directory, seeds, grow } = arguments;
    let grown = grow.as_deref().map(read_growth).transpose()?;
    std::fs::create_dir_all(directory)
        .map_err(|error| Failure::Input(format!("cannot make {}: {error}", directory.display())))?;
    let mut cells = Vec::new();
    for a in NETWORKS {
        let row: Result<Vec<_>, Failure> = NETWORKS.iter().map(|b| cell(a, b, *seeds)).collect();
        cells.push(row?);
    }
    let names = NETWORKS.map(str::to_owned);
    let curves: Result<Vec<_>, Failure> = LOSSES.iter().map(|loss| curve(*loss, seeds * 10)).collect();
    let mut sections = vec![
        Section {
            title: "NAT × NAT".into(),
            about: "Two members, each behind its network. Pointing at a cell shows the oracle's reason."
                .into(),
            picture: grid(&names, &cells),
        },
        Section {
            title: "Join times".into(),
            about: "Two members behind home routers, with loss on both links in both directions.".into(),
            picture: joins(&curves?),
        },
    ];
    sections.extend(grown.map(|rows| Section {
        title: "Growth".into(),
        about: "Everyone is connected to everyone, so links grow with the square of the members.".into(),
        picture: growth(&rows),
    }));
    for (name, section) in ["grid.svg", "joins.svg", "growth.svg"].iter().zip(&sections) {
        write(&directory.join(name), &section.picture)?;
    }
    let about = "Simulated, with the stand-in for DTLS. The same seeds give the same pictures.";
    write(&directory.join("index.html"), page("How members connect", about, &sections))?;
    writeln!(io::stdout(), "{}", directory.join("index.html").display())?;
    Ok(true)
}

/// Reads NDJSON as `moot-sim grow` prints it.
fn read_growth(path: &std::path::Path) -> Result<Vec<Grown>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Input(format!("cannot read {}: {error}", path.display())))?;
    let row = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).ok()?;
        let field = |name| value.get(name).and_then(serde_json::Value::as_f64);
        Some(Grown {
            members: field("members")?,
            wall_ms: field("wall_ms")?,
            events: field("events")?,
            packets: field("packets")?,
        })
    };
    let lines = text.lines().enumerate();
    lines
        .map(|(n, line)| {
            let what = || format!("{}, line {}: no line of moot-sim grow --json", path.display(), n + 1);
            row(line).ok_or_else(|| Failure::Input(what()))
        })
        .collect()
}

fn cell(a: &str, b: &str, seeds: u32) -> Result<Cell, Failure> {
    let scenario = pair([a, b], "")?;
    let mut cell = Cell { runs: seeds, ..Cell::default() };
    let mut times = Vec::new();
    for seed in 0..u64::from(seeds) {
        let outcome = outcome(&scenario, seed)?;
        let verdict = outcome.verdicts[0][1];
        cell.oracle = (verdict.direct, format!("{a} and {b}: {verdict}"));
        if let Some((took, path)) = met(&outcome) {
            times.push(took);
            cell.technique = technique(path).into();
        }
    }
    times.sort_unstable();
    cell.connected = times.len() as u32;
    cell.median = times.get(times.len() / 2).copied();
    Ok(cell)
}

fn curve(loss: u32, seeds: u32) -> Result<Joins, Failure> {
    let link = if loss == 0 { String::new() } else { format!(" loss {loss}%") };
    let scenario = pair(["home", "home"], &link)?;
    let mut times = Vec::new();
    for seed in 0..u64::from(seeds) {
        times.extend(met(&outcome(&scenario, seed)?).map(|met| met.0));
    }
    Ok(Joins { loss, times, runs: seeds as usize })
}

/// Two members start, join, and have twenty seconds.
fn pair(names: [&str; 2], link: &str) -> Result<Scenario, Failure> {
    let text = format!("members 2 open link 12ms{link}\nstart all\njoin all\n+20s heal\n");
    let mut scenario = Scenario::parse(&text).map_err(|flaw| Failure::Input(flaw.to_string()))?.scenario;
    for (home, name) in scenario.homes.iter_mut().zip(names) {
        let preset = preset(name).map_err(|error| Failure::Input(error.to_string()))?;
        (home.boxes, home.stack) = (preset.boxes, preset.stack);
    }
    Ok(scenario)
}

fn outcome(scenario: &Scenario, seed: u64) -> Result<Outcome, Failure> {
    let outcome = play(scenario, seed, Options { tier: Tier::Stub, ..Options::default() });
    outcome.ok_or_else(|| Failure::Input(format!("seed {seed} panicked, see above: {scenario}")))
}

/// When both were connected, after the join, and how.
fn met(outcome: &Outcome) -> Option<(Duration, Path)> {
    let first = |who: usize| {
        outcome.events.iter().filter(|noted| noted.member == who).find_map(|noted| match &noted.event {
            Event::Connected { path, .. } => Some((noted.at.saturating_since(outcome.began), *path)),
            _ => None,
        })
    };
    let (a, b) = (first(0)?, first(1)?);
    Some((a.0.max(b.0), a.1))
}

fn technique(path: Path) -> &'static str {
    match path {
        Path::Lan => "lan",
        Path::V4 => "direct",
        Path::V6 => "v6",
        Path::Mapped => "mapped",
        Path::Predicted => "predicted",
        Path::Relay => "relay",
    }
}
