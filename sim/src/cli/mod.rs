//! The command line: one file a verb, and what they share.

mod dht;
mod field;
mod grow;
mod list;
mod matrix;
mod nat;
mod picture;
mod play;
mod progress;
mod quiet;
mod replay;
mod report;
mod run;
mod shrink;
mod subject;
mod sweep;
mod tell;
mod tiers;
mod world;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use folkmoot_sim::Tier;
use folkmoot_sim::scenario::UnknownScenario;

/// Runs whole Folkmoot nodes in virtual time. A scenario and a seed make a run, everywhere the same.
#[derive(Parser)]
#[command(name = "moot-sim", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Arguments),
    Sweep(sweep::Arguments),
    Dht(dht::Arguments),
    Tiers(tiers::Arguments),
    Grow(grow::Arguments),
    Quiet(quiet::Arguments),
    Nat(nat::Arguments),
    World(world::Arguments),
    Replay(replay::Arguments),
    Report(report::Arguments),
    Shrink(shrink::Arguments),
    Matrix(matrix::Arguments),
    List(list::Arguments),
}

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Sweep(arguments) => sweep::run(&arguments),
        Command::Dht(arguments) => dht::run(&arguments),
        Command::Tiers(arguments) => tiers::run(&arguments),
        Command::Grow(arguments) => grow::run(&arguments),
        Command::Quiet(arguments) => quiet::run(&arguments),
        Command::Nat(arguments) => nat::run(&arguments),
        Command::World(arguments) => world::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Shrink(arguments) => shrink::run(&arguments),
        Command::Matrix(arguments) => matrix::run(&arguments),
        Command::List(arguments) => list::run(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(Failure::Input(what)) => {
            eprintln!("moot-sim: {what}");
            ExitCode::from(2)
        }
        // Whoever reads our output has had enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Output(error)) => {
            eprintln!("moot-sim: cannot write: {error}");
            ExitCode::from(1)
        }
    }
}

/// [`Tier`], as it is written.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TierName {
    Stub,
    Real,
}

impl From<TierName> for Tier {
    fn from(name: TierName) -> Self {
        match name {
            TierName::Stub => Self::Stub,
            TierName::Real => Self::Real,
        }
    }
}

/// Whether all went well, or why there is no result.
type Done = Result<bool, Failure>;

/// Why there is no result.
#[derive(Debug)]
enum Failure {
    /// What was asked for cannot be: a sentence.
    Input(String),
    /// Nothing can be written.
    Output(io::Error),
}

impl From<UnknownScenario> for Failure {
    fn from(error: UnknownScenario) -> Self {
        Self::Input(error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }
}
