//! `moot-sim list`.

use std::io::{self, Write as _};

use folkmoot_sim::scenario::{self, NAMES};

use super::Done;
use super::subject::seed_of;

/// Shows the scenarios, or one of them as text
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Writes this one as text, to be changed and run from a file
    #[arg(long, value_name = "NAME")]
    text: Option<String>,
    /// What the scenario leaves open is drawn from it
    #[arg(long, default_value_t = 0, requires = "text", value_parser = seed_of)]
    seed: u64,
}

pub(super) fn run(arguments: &Arguments) -> Done {
    let mut out = io::stdout().lock();
    if let Some(name) = &arguments.text {
        let scenario = scenario::find(name, arguments.seed)?;
        write!(out, "# {}\n{}", scenario::about(name)?, scenario.to_text())?;
        return Ok(true);
    }
    for (name, about) in NAMES {
        writeln!(out, "{name:<20} {about}")?;
    }
    Ok(true)
}
