//! `moot-sim tiers`.

use std::io::{self, BufWriter, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use folkmoot_sim::stub::{Answers, Case, difference};

use super::Done;
use super::sweep::parse_seeds;

/// Plays whole nodes over DTLS and over its stand-in, and tells how far they agree
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// From the first up to, but without, the last
    #[arg(long, default_value = "0..200", value_parser = parse_seeds)]
    seeds: std::ops::Range<u64>,
    /// How many runs at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
}

/// What is lost, in percent.
const LOSSES: [u32; 4] = [0, 1, 5, 10];
/// How far the means may differ, in permille.
const TOLERANCE: i64 = 100;

pub(super) fn run(arguments: &Arguments) -> Done {
    let Arguments { seeds, jobs } = arguments;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut agreed = true;
    writeln!(
        out,
        "two members, 100 ms round trip; milliseconds from the code to connected, stand-in / DTLS (difference)\n"
    )?;
    writeln!(out, "| loss | seeds | connected | outcomes unequal | mean | p50 | p90 | p99 |")?;
    writeln!(out, "|---|---|---|---|---|---|---|---|")?;
    for loss in LOSSES {
        let answers = play(&[Case::loss(loss)], seeds, *jobs);
        row(&mut out, &format!("{loss} %"), &answers)?;
        out.flush()?;
        agreed &= agrees(&answers);
    }
    // Fewer seeds of many pairs.
    let few = seeds.start..seeds.end.min(seeds.start + seeds.clone().count().div_ceil(20) as u64);
    let answers = play(&Case::nat_pairs(), &few, *jobs);
    row(&mut out, "0 %, 36 pairs of NATs", &answers)?;
    agreed &= agrees(&answers);
    writeln!(out, "\n{}", if agreed { "they agree" } else { "they DIFFER" })?;
    out.flush()?;
    Ok(agreed)
}

/// What can work works in both, and takes as long.
fn agrees(answers: &Answers) -> bool {
    let times = [answers.mean(), answers.percentile(50)];
    answers.unequal() == 0 && times.iter().all(|times| difference(*times).abs() <= TOLERANCE)
}

fn row(out: &mut impl io::Write, what: &str, answers: &Answers) -> io::Result<()> {
    let (seeds, connected, unequal) = (answers.seeds(), answers.connected(), answers.unequal());
    write!(out, "| {what} | {seeds} | {connected} | {unequal} |")?;
    let times = [answers.mean(), answers.percentile(50), answers.percentile(90), answers.percentile(99)];
    for times in times {
        let [stub, real] = times.map(|time| Duration::as_secs_f64(&time) * 1e3);
        write!(out, " {stub:.0} / {real:.0} ({:+.1} %) |", difference(times) as f64 / 10.0)?;
    }
    writeln!(out)
}

fn play(cases: &[Case], seeds: &std::ops::Range<u64>, jobs: u16) -> Answers {
    let count = seeds.end - seeds.start;
    let next = AtomicU64::new(0);
    let (results, received) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let (results, next) = (results.clone(), &next);
            scope.spawn(move || {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get((n / count) as usize) else { return };
                    if results.send(case.play(seeds.start + n % count)).is_err() {
                        return;
                    }
                }
            });
        }
    });
    drop(results);
    let mut answers = Answers::default();
    received.into_iter().for_each(|times| answers.add(times));
    answers
}
