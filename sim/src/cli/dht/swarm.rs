//! `moot-sim dht --nodes N`.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use clap::Args;
use folkmoot_sim::dht::{Found, Plan, Site, Swarm};
use serde_json::json;

use super::super::Done;
use super::super::progress::Progress;
use super::super::subject::seed_of;
use super::threads::Threads;

#[derive(Args)]
// It would be a second group of this name, beside that of the command it is part of.
#[group(skip)]
pub(super) struct Arguments {
    /// Production machines that form a network, from nothing, each through the protocol
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(16..=3_900_000))]
    nodes: u32,
    /// Topics that one of them announces and another one then searches
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    lookups: u32,
    /// What happens is a function of it
    #[arg(long, default_value_t = 0, value_parser = seed_of)]
    seed: u64,
    /// How many threads share the work; what happens is the same with any number
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=16))]
    jobs: u16,
    /// One JSON object; wall time and memory are in "machine", all else is the same everywhere
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Done {
    let Arguments { nodes, lookups, seed, jobs, json } = *arguments;
    let began = Instant::now();
    let mut swarm = Swarm::new(Plan { seed, nodes, lookups, site: Site::Internet });
    let (end, mut crew, mut progress) = (swarm.end(), Threads::new(jobs), Progress::new());
    while swarm.now() < end {
        swarm.run_until((swarm.now() + Duration::from_millis(500)).min(end), &mut crew);
        let (now, joined, searched) = (swarm.now(), swarm.joined(), swarm.searched());
        let what = format_args!("{now}: {joined} of {nodes} joined, {searched} searches done");
        progress.show(now.as_micros(), end.as_micros(), what);
    }
    let wall = began.elapsed();
    drop(progress);
    let mut out = io::stdout().lock();
    if json {
        tell_json(&mut out, &swarm, nodes, wall)?
    } else {
        tell(&mut out, &swarm, wall)?
    }
    let found = swarm.found().iter().filter(|found| found.first.is_some()).count();
    // Of what was announced at 8 nodes or so, with 2 % of datagrams lost, next to all must be found.
    Ok(swarm.counts().bootstrapped >= u64::from(nodes) && found * 1_000 >= lookups as usize * 995)
}

/// The value below which so many percent are.
fn percentile<T: Copy + Default>(sorted: &[T], percent: usize) -> T {
    sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
}

/// Times to the first answer that names the announcer, and to the end, in milliseconds and in order.
fn times(found: &[Found]) -> (Vec<u64>, Vec<u64>) {
    let millis = |time: Duration| time.as_millis() as u64;
    let mut first: Vec<u64> = found.iter().filter_map(|found| found.first).map(millis).collect();
    let mut end: Vec<u64> = found.iter().map(|found| millis(found.end)).collect();
    first.sort_unstable();
    end.sort_unstable();
    (first, end)
}

fn tell(out: &mut impl Write, swarm: &Swarm, wall: Duration) -> io::Result<()> {
    let (counts, census, found) = (swarm.counts(), swarm.census(), swarm.found());
    let (first, end) = times(&found);
    let seconds = wall.as_secs_f64();
    let stored: usize = found.iter().map(|found| found.stored).sum();
    writeln!(
        out,
        "{} production machines, {} of them part of the network",
        swarm.joined(),
        counts.bootstrapped
    )?;
    let (least, middle, most) =
        (percentile(&census.known, 0), percentile(&census.known, 50), percentile(&census.known, 100));
    writeln!(out, "nodes known to each        least {least}, median {middle}, most {most}")?;
    writeln!(out, "searches that found        {} of {}", first.len(), found.len())?;
    writeln!(out, "nodes that stored, mean    {:.2}", stored as f64 / found.len().max(1) as f64)?;
    writeln!(
        out,
        "to the first, ms           p50 {} p95 {}",
        percentile(&first, 50),
        percentile(&first, 95)
    )?;
    writeln!(out, "to the end, ms             p50 {} p95 {}", percentile(&end, 50), percentile(&end, 95))?;
    writeln!(
        out,
        "datagrams                  {} of {} bytes on average, {} of them lost",
        counts.sent,
        counts.sent_bytes / counts.sent.max(1),
        counts.lost
    )?;
    writeln!(
        out,
        "bytes a machine            median {}, p99 {}, most {}",
        percentile(&census.bytes, 50),
        percentile(&census.bytes, 99),
        percentile(&census.bytes, 100)
    )?;
    if let Some(peak) = peak_memory() {
        let each = peak / swarm.joined().max(1) as u64;
        writeln!(
            out,
            "peak memory of the process {:.2} GiB: {each} bytes a machine",
            peak as f64 / f64::from(1 << 30)
        )?;
    }
    writeln!(
        out,
        "{} events, {:.0} a second; {:.1} s simulated in {seconds:.1} s",
        counts.events,
        counts.events as f64 / seconds,
        swarm.now().as_millis() as f64 / 1_000.0
    )?;
    writeln!(out, "hash {:016x}", counts.hash)
}

fn tell_json(out: &mut impl Write, swarm: &Swarm, nodes: u32, wall: Duration) -> io::Result<()> {
    let (counts, census, found) = (swarm.counts(), swarm.census(), swarm.found());
    let (first, end) = times(&found);
    let spread = |sorted: &[usize]| json!({"p0": percentile(sorted, 0), "p50": percentile(sorted, 50), "p99": percentile(sorted, 99), "p100": percentile(sorted, 100)});
    let line = json!({
        "v": 1,
        "event": "swarm",
        "nodes": nodes,
        "bootstrapped": counts.bootstrapped,
        "known": spread(&census.known),
        "bytes": spread(&census.bytes),
        "searches": found.len(),
        "found": first.len(),
        "first_ms": {"p50": percentile(&first, 50), "p95": percentile(&first, 95)},
        "end_ms": {"p50": percentile(&end, 50), "p95": percentile(&end, 95)},
        "datagrams": counts.sent,
        "datagram_bytes": counts.sent_bytes,
        "lost": counts.lost,
        "events": counts.events,
        "simulated_ms": swarm.now().as_millis(),
        "hash": format!("{:016x}", counts.hash),
        "machine": {"wall_ms": wall.as_millis() as u64, "peak_bytes": peak_memory()},
    });
    writeln!(out, "{line}")
}

/// The most memory that this process ever had, in bytes; known on Linux.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1_024)
}
