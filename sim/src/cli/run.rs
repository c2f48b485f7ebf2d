//! `moot-sim run`.

use std::io::{self, BufWriter, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use folkmoot_sim::scenario::{self, NAMES, play_twice};
use folkmoot_sim::{Tier, Trace};
use folkmoot_sim_entropy::seeded;
use serde_json::json;

use super::tell::{Telling, replay, tell, tell_json};
use super::{Done, TierName};

/// Runs one scenario and tells what came of it
#[derive(clap::Args)]
pub(super) struct Arguments {
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
    /// Plays it twice, and shows the first packet in which both differ, if they do
    #[arg(long, conflicts_with = "trace")]
    twice: bool,
    /// What secures the links: DTLS, or a stand-in that costs a fiftieth
    #[arg(long, value_enum, default_value_t = TierName::Real)]
    tier: TierName,
}

pub(super) fn run(arguments: &Arguments) -> Done {
    let Arguments { scenario: name, seed, json, events, trace, twice, tier } = arguments;
    let (name, seed, tier) = (name.as_str(), *seed, Tier::from(*tier));
    let how = Telling { json: *json, events: *events || *json, trace: *trace };
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
    let play = |trace| seeded(seed, || scenario::run_traced(&scenario, seed, tier, trace));
    let played = catch_unwind(AssertUnwindSafe(|| match (twice, how.trace) {
        (true, _) => play_twice(play),
        (false, true) => (play(Trace::keeping()), None),
        (false, false) => (play(Trace::new()), None),
    }));
    let Ok((outcome, parting)) = played else {
        if how.json {
            writeln!(out, "{}", json!({"event": "broken", "what": "a panic; see stderr"}))?;
        }
        eprintln!("replay with: {}", replay(name, seed, tier));
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
        eprintln!("replay with: {}", replay(name, seed, tier));
    }
    if let Some(parting) = &parting {
        eprintln!("{parting}");
    }
    Ok(outcome.is_good() && parting.is_none())
}
