//! `moot-sim dht light`.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use clap::Args;
use folkmoot_sim::dht::{Light, LightLookup};

use super::super::Done;

/// Lets a network with stored routing tables live while nodes come and go, and shows what becomes of the tables
#[derive(Args)]
pub(super) struct Arguments {
    /// Nodes at any time
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(16..=16_000_000))]
    nodes: u32,
    /// Minutes to simulate
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    minutes: u32,
    /// Minutes after which half of the nodes have left
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    half_life: u32,
}

pub(super) fn run(arguments: &Arguments) -> Done {
    let Arguments { nodes, minutes, half_life } = *arguments;
    let mut out = io::stdout().lock();
    let began = Instant::now();
    let mut light = Light::new(1, nodes, Duration::from_secs(60 * u64::from(half_life)));
    let bytes = light.bytes();
    let each = bytes / nodes as usize;
    writeln!(out, "{nodes} nodes in {:.2} s, {bytes} bytes, {each} a node", began.elapsed().as_secs_f64())?;
    writeln!(out, "minute  known  gone  questions a lookup  unanswered  recall of 8")?;
    let began = Instant::now();
    let marks = [0, 1, 2, 5, 10, 20, 30, 60, 120, 240, 480, 960, 1_920, 3_840, 7_680, 10_000];
    for minute in 0..=minutes {
        if marks.contains(&minute) || minute == minutes {
            let (entries, gone) = light.entries();
            let lookups = light.look_up(200);
            let mean = |of: fn(&LightLookup) -> u32| {
                f64::from(lookups.iter().map(of).sum::<u32>()) / lookups.len().max(1) as f64
            };
            writeln!(
                out,
                "{minute:>6}  {:>5.1}  {:>3.1}%  {:>18.1}  {:>10.1}  {:>11.2}",
                entries as f64 / f64::from(nodes),
                gone as f64 * 100.0 / entries.max(1) as f64,
                mean(|lookup| lookup.questions),
                mean(|lookup| lookup.unanswered),
                mean(|lookup| lookup.recall)
            )?;
        }
        if minute < minutes {
            (0..60).for_each(|_| light.step());
        }
    }
    let (counts, wall) = (light.counts(), began.elapsed().as_secs_f64());
    writeln!(
        out,
        "{} questions, {} of them unanswered, {} departures; {} s simulated in {wall:.1} s",
        counts.questions,
        counts.unanswered,
        counts.departures,
        light.second()
    )?;
    Ok(true)
}
