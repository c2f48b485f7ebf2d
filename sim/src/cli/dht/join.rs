//! `moot-sim dht join`.

use std::io::{self, Write as _};

use clap::Args;
use folkmoot_core::dht::{JOIN_BYTES, JOIN_DATAGRAMS};
use folkmoot_sim::dht::joinings;

use super::super::Done;

/// Shows what joining takes: until a topic is announced and eight nodes are known
#[derive(Args)]
pub(super) struct Arguments {
    /// How many machines join, each on its own
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    machines: u64,
}

pub(super) fn run(arguments: &Arguments) -> Done {
    let mut out = io::stdout().lock();
    let mut keeps = true;
    writeln!(
        out,
        "the budget: {JOIN_DATAGRAMS} datagrams and {JOIN_BYTES} bytes, both ways, for 95 of 100 machines"
    )?;
    for nodes in [10_000, 100_000] {
        let all = joinings(1, nodes, arguments.machines);
        let percentiles = |of: &dyn Fn(usize) -> u64| {
            let mut sorted: Vec<u64> = (0..all.len()).map(of).collect();
            sorted.sort_unstable();
            [50, 95, 100].map(|percent| {
                sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0)
            })
        };
        let datagrams = percentiles(&|at| all[at].datagrams());
        let bytes = percentiles(&|at| all[at].bytes());
        let sent = percentiles(&|at| all[at].traffic.sent);
        let millis = percentiles(&|at| all[at].time.as_millis() as u64);
        writeln!(
            out,
            "{nodes} nodes, 25 % dead: {} of {} machines within a minute",
            all.len(),
            arguments.machines
        )?;
        for (what, [p50, p95, most]) in
            [("datagrams", datagrams), ("bytes", bytes), ("datagrams sent", sent), ("milliseconds", millis)]
        {
            writeln!(out, "  {what:<16} p50 {p50:<8} p95 {p95:<8} most {most}")?;
        }
        let all_did = all.len() as u64 == arguments.machines;
        keeps &= all_did && datagrams[1] <= JOIN_DATAGRAMS && bytes[1] <= JOIN_BYTES;
    }
    Ok(keeps)
}
