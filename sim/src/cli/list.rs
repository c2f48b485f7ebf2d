//! `moot-sim list`.

use std::io::{self, Write as _};

use folkmoot_sim::scenario::NAMES;

use super::Done;

/// Shows the scenarios
#[derive(clap::Args)]
pub(super) struct Arguments {}

pub(super) fn run(_: &Arguments) -> Done {
    let mut out = io::stdout().lock();
    for (name, about) in NAMES {
        writeln!(out, "{name:<20} {about}")?;
    }
    Ok(true)
}
