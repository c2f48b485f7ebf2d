//! What a run is told as.

use std::io::{self, Write};
use std::time::Duration;

use folkmoot_sim::Tier;
use folkmoot_sim::scenario::Outcome;
use serde_json::json;

/// What of a run is told.
#[derive(Clone, Copy)]
pub(super) struct Telling {
    pub(super) json: bool,
    pub(super) events: bool,
    pub(super) trace: bool,
}

pub(super) fn tell(out: &mut impl Write, outcome: &Outcome, how: Telling, wall: Duration) -> io::Result<()> {
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
    writeln!(out, "{} {}", if outcome.is_good() { "good" } else { "BAD" }, outcome.whole)
}

/// Nothing in here depends on the machine or its clock: two runs print the same bytes.
pub(super) fn tell_json(out: &mut impl Write, outcome: &Outcome, how: Telling) -> io::Result<()> {
    for record in &outcome.records {
        writeln!(out, "{}", json!({"event": "packet", "text": format!("{record:#}")}))?;
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
        "hash": outcome.whole.to_string(),
    });
    writeln!(out, "{done}")
}

/// The one command that does a run again.
pub(super) fn replay(name: &str, seed: u64, tier: Tier) -> String {
    format!("moot-sim run {name} --seed {seed} --tier {tier} --events")
}
