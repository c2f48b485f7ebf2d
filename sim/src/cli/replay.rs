//! `moot-sim replay`.

use std::io::{self, BufWriter, Write as _};

use folkmoot_core::base::Time;
use folkmoot_sim::scenario::Options;

use super::run::tell_run;
use super::subject::{Subject, seed_of};
use super::tell::Telling;
use super::{Done, Failure, TierName, field, picture};

/// Does a run again: that of a line another verb printed, of a scenario in a file or in quotes, or of a trace that `moot join
/// --trace` wrote
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// NAME/SEED, a file with a scenario or a trace, or a whole scenario
    what: String,
    /// Instead of the seed that is written
    #[arg(long, value_parser = seed_of)]
    seed: Option<u64>,
    /// Leaves a fault out, with everything else drawn as before: -fault7
    #[arg(long, allow_hyphen_values = true, value_name = "-faultN")]
    what_if: Vec<String>,
    /// Stops at that time, and says how things are then
    #[arg(long, value_name = "SECONDS")]
    until: Option<String>,
    /// Prints the scenario, a statement a line, and does not run it
    #[arg(long)]
    print: bool,
    /// NDJSON; the last line is {"event":"done","hash":…}
    #[arg(long)]
    json: bool,
    /// Also prints what the nodes tell their applications
    #[arg(long)]
    events: bool,
    /// Also prints every packet
    #[arg(long)]
    trace: bool,
    /// What secures the links: DTLS, or a stand-in that costs a fiftieth
    #[arg(long, value_enum, default_value_t = TierName::Stub)]
    tier: TierName,
    #[command(flatten)]
    pictures: picture::Pictures,
}

pub(super) fn run(arguments: &Arguments) -> Done {
    if let Some(trace) = field::read(&arguments.what)? {
        return field::run(&mut BufWriter::new(io::stdout()), &trace, arguments.json, arguments.trace);
    }
    let mut subject = Subject::read(&arguments.what, arguments.seed)?;
    for what in &arguments.what_if {
        subject.leave_out(what)?;
    }
    let mut out = BufWriter::new(io::stdout().lock());
    if arguments.print {
        write!(out, "seed {}\n{}", subject.seed, subject.scenario.to_text())?;
        return Ok(true);
    }
    let until = arguments.until.as_deref().map(time).transpose()?;
    let Arguments { json, events, trace, .. } = *arguments;
    let options = Options {
        keep_records: trace,
        tier: arguments.tier.into(),
        until,
        tape: arguments.pictures.need_tape(),
    };
    tell_run(
        &mut out,
        &subject,
        options,
        Telling { json, events: events || json, twice: false },
        &arguments.pictures,
    )
}

/// Seconds of simulated time, as a run prints them: `12.4` or `12.4s`.
fn time(text: &str) -> Result<Time, Failure> {
    let seconds = text.strip_suffix('s').unwrap_or(text).parse::<f64>().ok();
    let seconds = seconds.filter(|seconds| (0.0..1e9).contains(seconds));
    let micros = seconds.map(|seconds| (seconds * 1e6).round() as u64);
    micros
        .map(Time::from_micros)
        .ok_or_else(|| Failure::Input(format!("`{text}` is no time: write seconds, such as 12.4")))
}
