//! `moot-sim grow`.

use std::io::{self, BufWriter, Write as _};
use std::time::{Duration, Instant};

use folkmoot_sim::mesh::{Home, Mesh};
use folkmoot_sim::net::{Law, LinkRules};
use serde_json::json;

use super::subject::seed_of;
use super::{Done, TierName};

/// Tells what meetings of many members cost, in time, traffic and memory
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// How many members
    #[arg(long, value_delimiter = ',', default_value = "2,4,8,20,50,100", value_parser = clap::value_parser!(u16).range(2..=500))]
    members: Vec<u16>,
    /// How long they meet, in simulated seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// What is drawn is a function of it
    #[arg(long, default_value_t = 1, value_parser = seed_of)]
    seed: u64,
    /// What secures the links: DTLS, or a stand-in that costs a fiftieth
    #[arg(long, value_enum, default_value_t = TierName::Stub)]
    tier: TierName,
    /// NDJSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Done {
    let Arguments { members, seconds, seed, tier, json } = arguments;
    let mut out = BufWriter::new(io::stdout().lock());
    if !json {
        writeln!(
            out,
            "| members | links | all connected after | wall time | CPU time | events | packets | KiB of memory a member |"
        )?;
        writeln!(out, "|---|---|---|---|---|---|---|---|")?;
    }
    let mut all_whole = true;
    let mut remarks = Vec::new();
    for &count in members {
        let link = LinkRules::both(Law::delay(25));
        let homes: Vec<Home> = vec![(link, None); count.into()];
        let (memory, start, busy) = (resident(), Instant::now(), cpu_time());
        let mut mesh = Mesh::begin(*seed, (*tier).into(), &homes, link);
        let whole = mesh.run_until_whole(Duration::from_secs(*seconds));
        mesh.run_until(Duration::from_secs(*seconds));
        let (wall, cpu) = (start.elapsed(), cpu_time().zip(busy).map(|(now, before)| now - before));
        let grown = resident().saturating_sub(memory) / u64::from(count);
        let alive = mesh.connections() == usize::from(count) * usize::from(count - 1);
        all_whole &= whole.is_some() && alive && mesh.lost() == 0;
        let (links, counts) = (u32::from(count) * u32::from(count - 1) / 2, mesh.world().counts());
        let (events, packets, lost) = (counts.events, counts.sent, mesh.lost());
        let whole = whole.map(|whole| whole.as_millis() as u64);
        if *json {
            writeln!(
                out,
                "{}",
                json!({
                    "members": count, "links": links, "whole_ms": whole, "alive": alive, "lost": lost,
                    "simulated_s": seconds, "wall_ms": wall.as_millis() as u64,
                    "cpu_ms": cpu.map(|cpu| cpu.as_millis() as u64),
                    "events": events, "packets": packets, "kib_a_member": grown,
                })
            )?;
        } else {
            let whole = whole.map_or("never".into(), |ms| format!("{:.1} s", ms as f64 / 1e3));
            let wall = wall.as_secs_f64();
            let cpu_s = cpu.map_or("?".into(), |cpu| format!("{:.2} s", cpu.as_secs_f64()));
            writeln!(
                out,
                "| {count} | {links} | {whole} | {wall:.2} s | {cpu_s} | {events} | {packets} | {grown} |"
            )?;
        }
        let goal = GOALS.iter().find(|goal| (goal.0, goal.1, MINUTE) == (count, *tier, *seconds));
        if let (Some((.., goal)), Some(cpu)) = (goal, cpu) {
            let reached = if cpu.as_secs() < *goal { "reached" } else { "NOT reached" };
            remarks.push(format!("{count} members for a minute in {goal} s of CPU time: {reached}"));
        }
        out.flush()?;
    }
    if !json {
        remarks.iter().try_for_each(|remark| writeln!(out, "{remark}"))?;
    }
    Ok(all_whole)
}

/// Members, what secures their links, and how many seconds of one core their first minute is meant to take. It is told and not
/// asserted: how fast a machine is, is no property of this program.
const GOALS: [(u16, TierName, u64); 2] = [(100, TierName::Stub, 10), (50, TierName::Real, 60)];
/// In seconds.
const MINUTE: u64 = 60;

/// How long this process has kept a processor busy, where the system tells, in the hundredths of a second that it counts.
fn cpu_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name comes in parentheses, and may have anything in it. After it, user and system time are fields 12 and 13.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().ok());
    ticks.sum::<Option<u64>>().map(|ticks| Duration::from_millis(ticks * 10))
}

/// How much memory this process has, in KiB, where the system tells; else 0.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
