//! `moot-sim dht lookups`.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use folkmoot_sim::dht::{Comparison, Conditions, compare};
use serde_json::json;

use super::super::Done;
use super::super::subject::seed_of;

/// The published table.
const PUBLISHED: &str = include_str!("../../../snapshots/lookups.md");

/// Compares the lookups of the production machine with those of other implementations
#[derive(Args)]
pub(super) struct Arguments {
    /// Fewer of them, for whoever tunes the machine in a development build
    #[arg(long)]
    quick: bool,
    /// Fails if the table differs from the published one (sim/snapshots/lookups.md)
    #[arg(long, conflicts_with = "quick")]
    check: bool,
    /// What the networks are like is a function of it
    #[arg(long, conflicts_with = "check", value_parser = seed_of)]
    seed: Option<u64>,
    /// So many of a hundred nodes have ids that do not follow from their addresses, as of software that does not know BEP 42
    #[arg(long, value_name = "PERCENT", default_value_t = 0, conflicts_with = "check", value_parser = clap::value_parser!(u32).range(0..=100))]
    unbound: u32,
    /// A JSON object for each row
    #[arg(long, conflicts_with = "check")]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Done {
    let Arguments { quick, check, seed, unbound, json } = *arguments;
    let comparisons = [25, 45].map(|dead| {
        let published = Conditions::published(dead);
        let conditions = Conditions { seed: seed.unwrap_or(published.seed), unbound, ..published };
        let stay = Duration::from_secs(1_800);
        compare(match quick {
            true => Conditions { networks: 1, lookers: 4, targets: 50, stay, ..conditions },
            false => conditions,
        })
    });
    let mut out = io::stdout().lock();
    if json {
        for comparison in &comparisons {
            rows_as_json(&mut out, comparison)?;
        }
        return Ok(true);
    }
    let table = table_of(&comparisons);
    if !check {
        write!(out, "{table}")?;
        return Ok(true);
    }
    super::same_as_published(&mut out, &table, PUBLISHED, ("lookups", "sim/snapshots/lookups.md"))
}

fn table_of(comparisons: &[Comparison]) -> String {
    let mut table = String::from(HEAD);
    for comparison in comparisons {
        table += &format!("\n{comparison}");
    }
    let unmet: Vec<String> = comparisons.iter().flat_map(Comparison::unmet).collect();
    table += "\n### Goals\n\n";
    table += "Ours at 25 % dead: at most 380 ms to the first holder, 750 ms to the end, 55 questions; at 45 %: 450 ms, 1.0 s, \
              65\nquestions; medians of the times. At least 7.5 of the 8 closest. No other policy, from equal starts, both faster and cheaper: to\nthe first holder, by the questions until then, or to the end, by all questions.\n\n";
    if unmet.is_empty() {
        table += "All are reached.\n";
    }
    unmet.iter().for_each(|what| table += &format!("- NOT REACHED: {what}\n"));
    table
}

const HEAD: &str = "\
# Lookups

Made by `moot-sim dht lookups`; `.ci/run` checks that it still says the same. Simulated, not measured on the internet.

The network: node ids are random, and follow from the nodes' addresses (BEP 42). Round trips are lognormal with a median of 120 ms
and a σ of 0.6, the same between two nodes each time; 2 % of datagrams are lost in each direction. Every node has a complete
routing table of buckets of 8, whose entries are dead in the stated share, and answers with the 8 closest that it has.

Ours is the production machine with its real bytes, which joined an hour before and has done nothing else since. The others are
modelled after their source, without what their ticks and sockets cost. They look up the same targets, over the same round trips:
from equal starts, which are the nodes that our machine knows, of which each takes as many as its code does; and, for information,
from a complete table in their own shape with no dead node in it (buckets of 20, of libtorrent 128, 64, 32, 16, 8), from which
nobody starts in reality. `libtorrent, impatient` ends when it only waits for nodes silent for more than 1 s, which the real one does not.

Times are median / 95th percentile. The first holder is the first of the 8 live nodes closest to the target that answers.
Questions count repetitions, and the pings that mainline sends with each; not the announcements after the lookup. Recall is how
many of those 8 had answered by the end. Hops are the answers that led to the first holder, its own included.
";

fn rows_as_json(out: &mut impl Write, comparison: &Comparison) -> io::Result<()> {
    for row in &comparison.rows {
        let (policy, start) = match row.rival {
            None => ("Folkmoot".to_owned(), "our table".to_owned()),
            Some((rival, start)) => (rival.to_string(), start.to_string()),
        };
        let summary = &row.summary;
        let line = json!({
            "nodes": comparison.conditions.nodes,
            "dead_percent": comparison.conditions.dead,
            "unbound_percent": comparison.conditions.unbound,
            "policy": policy,
            "start": start,
            "lookups": summary.lookups,
            "failed": summary.failed,
            "first_ms": {"p50": summary.first.0, "p95": summary.first.1},
            "questions_to_first_tenths": summary.questions_to_first,
            "end_ms": {"p50": summary.end.0, "p95": summary.end.1},
            "questions_tenths": summary.questions,
            "recall_hundredths": summary.recall,
            "hops_tenths": summary.hops,
        });
        writeln!(out, "{line}")?;
    }
    Ok(())
}
