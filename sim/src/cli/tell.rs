//! What a run is told as.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use folkmoot_sim::scenario::{Company, Outcome, Property};
use serde_json::json;

/// What of a run is told.
#[derive(Clone, Copy)]
pub(super) struct Telling {
    pub(super) json: bool,
    pub(super) events: bool,
    /// Whether it is played twice, to see whether both are the same.
    pub(super) twice: bool,
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
    if outcome.cast.len() > 1 {
        writeln!(out, "by the oracle {}", Company::of(&outcome.verdicts))?;
    }
    write!(out, "{outcome}")?;
    for figure in &outcome.figures {
        writeln!(out, "{:<28} {}", figure.name, figure.value)?;
    }
    for (property, worst) in worst(outcome) {
        writeln!(out, "{:<28} {worst} ms at most", property.id())?;
    }
    for line in &outcome.dump {
        writeln!(out, "{line}")?;
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
        let line = json!({"event": "broken", "ms": problem.at.as_millis(), "property": problem.property.id(), "what": problem.what});
        writeln!(out, "{line}")?;
    }
    for pending in &outcome.pending {
        writeln!(out, "{}", json!({"event": "pending", "what": pending}))?;
    }
    for figure in &outcome.figures {
        writeln!(out, "{}", json!({"event": "figure", "name": figure.name, "value": figure.value}))?;
    }
    for (property, worst) in worst(outcome) {
        writeln!(out, "{}", json!({"event": "wait", "property": property.id(), "worst_ms": worst}))?;
    }
    for line in &outcome.dump {
        writeln!(out, "{}", json!({"event": "dump", "text": line}))?;
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

/// The longest wait, in milliseconds, for each thing that had to come.
fn worst(outcome: &Outcome) -> BTreeMap<Property, u128> {
    let mut worst = BTreeMap::new();
    for sample in &outcome.samples {
        let took = sample.took.as_millis();
        worst.entry(sample.property).and_modify(|it: &mut u128| *it = took.max(*it)).or_insert(took);
    }
    worst
}
