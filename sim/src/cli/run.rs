//! `moot-sim run`.

use std::io::{self, BufWriter, Write};
use std::time::Instant;

use folkmoot_sim::Tier;
use folkmoot_sim::scenario::{NAMES, Options};
use serde_json::json;

use super::play::{play, twice};
use super::subject::{Subject, seed_of};
use super::tell::{Telling, tell, tell_json};
use super::{Done, TierName, picture};

/// Runs one scenario and tells what came of it
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Which: `moot-sim list` shows those there are by name; or a file with one
    #[arg(default_value = NAMES[0].0)]
    scenario: String,
    /// What is drawn is a function of it: 0 unless given, here or in a file
    #[arg(long, value_parser = seed_of)]
    seed: Option<u64>,
    /// NDJSON; the last line is {"event":"done","hash":…}
    #[arg(long)]
    json: bool,
    /// Also prints what the nodes tell their applications
    #[arg(long)]
    events: bool,
    /// Also prints every packet
    #[arg(long)]
    trace: bool,
    /// Plays it twice, and shows the first packet in which both differ, if they do
    #[arg(long, conflicts_with_all = ["trace", "report", "pcap"])]
    twice: bool,
    /// What secures the links: DTLS, or a stand-in that costs a fiftieth
    #[arg(long, value_enum, default_value_t = TierName::Real)]
    tier: TierName,
    #[command(flatten)]
    pictures: picture::Pictures,
}

pub(super) fn run(arguments: &Arguments) -> Done {
    let Arguments { scenario, seed, json, events, trace, twice, tier, pictures } = arguments;
    let subject = Subject::read(scenario, *seed)?;
    let tape = pictures.need_tape();
    let options = Options { keep_records: *trace, tier: Tier::from(*tier), tape, ..Options::default() };
    let how = Telling { json: *json, events: *events || *json, twice: *twice };
    tell_run(&mut BufWriter::new(io::stdout().lock()), &subject, options, how, pictures)
}

/// Runs a scenario, tells of it and draws it.
pub(super) fn tell_run(
    out: &mut impl Write,
    subject: &Subject,
    options: Options,
    how: Telling,
    pictures: &picture::Pictures,
) -> Done {
    let Subject { scenario, seed, .. } = subject;
    if how.json {
        let (name, line) = (&scenario.name, scenario.to_string());
        writeln!(out, "{}", json!({"v": 1, "event": "scenario", "name": name, "seed": seed, "line": line}))?;
    } else {
        writeln!(out, "{scenario}\nseed {seed}")?;
    }
    out.flush()?;
    let start = Instant::now();
    let played = match how.twice {
        true => twice(scenario, *seed, options.tier),
        false => play(scenario, *seed, options).map(|outcome| (outcome, None)),
    };
    let Some((outcome, parting)) = played else {
        if how.json {
            writeln!(
                out,
                "{}",
                json!({"event": "broken", "property": "S-panic", "what": "a panic; see stderr"})
            )?;
        }
        out.flush()?;
        eprintln!("replay with: {}", subject.replay(options.tier));
        return Ok(false);
    };
    pictures.write(&outcome)?;
    if how.json {
        tell_json(out, &outcome, how)?
    } else {
        tell(out, &outcome, how, start.elapsed())?
    }
    out.flush()?;
    if !outcome.is_good() {
        eprintln!("{}", subject.advice(options.tier));
    }
    if let Some(parting) = &parting {
        eprintln!("{parting}");
    }
    Ok(outcome.is_good() && parting.is_none())
}
