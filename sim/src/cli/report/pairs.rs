//! Two members, each behind its network.

use std::time::Duration;

use folkmoot_core::node::{Event, Path};
use folkmoot_sim::Tier;
use folkmoot_sim::net::{Stack, preset};
use folkmoot_sim::report::{Cell, Joins};
use folkmoot_sim::scenario::{Options, Outcome, Scenario};

use crate::cli::Failure;
use crate::cli::play::play;
use crate::cli::progress::Progress;

/// Lets members behind each of these networks meet members behind each other one.
pub(super) fn cells(networks: &[&str], seeds: u32) -> Result<Vec<Vec<Cell>>, Failure> {
    let (mut progress, mut done, all) = (Progress::new(), 0, networks.len() * networks.len());
    let mut next = |a: &str, b: &str| {
        progress.show(done, all as u64, format_args!("{a} and {b}"));
        done += 1;
        cell(a, b, seeds)
    };
    let mut row = |a: &&str| networks.iter().map(|b| next(a, b)).collect();
    networks.iter().map(&mut row).collect()
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

pub(super) fn curve(loss: u32, seeds: u32) -> Result<Joins, Failure> {
    let link = if loss == 0 { String::new() } else { format!(" loss {loss}%") };
    let scenario = pair(["home", "home"], &link)?;
    let (mut times, mut progress) = (Vec::new(), Progress::new());
    for seed in 0..u64::from(seeds) {
        progress.show(seed, seeds.into(), format_args!("join times at {loss} % loss"));
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
    // Who has IPv6 alone finds nobody in a DHT that has none.
    if scenario.homes.iter().any(|home| home.stack != Stack::V4) {
        scenario.infrastructure.stack = Stack::Dual;
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
