//! `moot dht stats` and `table`: what a node sees that enters the DHT for a moment.

use std::time::{Duration, Instant};

use folkmoot::core::dht::Size;
use smol::Timer;

use super::args::GuestOptions;
use super::guest;
use super::lines::{NodeLine, StatsLine, TableLine, dropped};
use crate::exit::Exit;

/// How long after entering the answers that still come are waited for.
const SETTLE: Duration = Duration::from_millis(700);

pub(super) fn stats(options: &GuestOptions, started: Instant) -> Exit {
    guest::run(options, started, async |guest| {
        let entered = guest.report.seconds();
        Timer::after(SETTLE.min(guest.left())).await;
        let (stats, observed) = (guest.dht.stats().await?, guest.dht.observed().await?);
        let counters = &stats.counters;
        let mut text = format!(
            "entered with {} in {entered:.1} s\n\
             health           {}\n\
             nodes known      {} IPv4, {} IPv6\n\
             questions        {} sent, {} answered, {} refused, {} without an answer, {} open\n\
             asked by others  {}",
            nodes(guest.entered_with),
            stats.health,
            stats.nodes_v4,
            stats.nodes_v6,
            counters.sent,
            counters.responses,
            counters.errors,
            counters.timeouts,
            stats.in_flight,
            counters.queries,
        );
        for addr in &observed {
            text.push_str(&format!("\nseen by others   at {addr}"));
        }
        for (family, size) in [("IPv4", stats.size_v4), ("IPv6", stats.size_v6)] {
            if let Some(Size { nodes, error }) = size {
                text.push_str(&format!(
                    "\nnetwork          about {nodes} nodes, give or take {error} ({family})"
                ));
            }
        }
        for (_, why, count) in dropped(counters) {
            text.push_str(&format!("\ndropped          {count} {why}"));
        }
        guest.report.result("stats", StatsLine::new(&stats, &observed), text)?;
        Ok(Exit::Success)
    })
}

pub(super) fn table(options: &GuestOptions, started: Instant) -> Exit {
    guest::run(options, started, async |guest| {
        Timer::after(SETTLE.min(guest.left())).await;
        let known = guest.dht.table().await?;
        if !guest.report.is_json() {
            guest.report.note("bits  id                                        round trip  address");
        }
        for node in &known {
            // The table keeps whole milliseconds.
            let rtt = match node.rtt.as_millis() {
                0 => "< 1 ms".to_owned(),
                ms => format!("{ms} ms"),
            };
            let doubt = if node.failures > 0 { "  (silent lately)" } else { "" };
            let text =
                format!("{:>6}  {}  {:>10}  {}{doubt}", node.bucket, node.contact.id, rtt, node.contact.addr);
            guest.report.result("node", NodeLine::new(node), text)?;
        }
        if guest.report.is_json() {
            guest.report.result("table", TableLine { nodes: known.len() }, "")?;
        } else {
            guest.report.note(nodes(known.len()));
        }
        Ok(Exit::Success)
    })
}

fn nodes(n: usize) -> String {
    format!("{n} {}", if n == 1 { "node" } else { "nodes" })
}
