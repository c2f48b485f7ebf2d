//! `moot`: type a code and be in the meeting.

mod args;
mod demo;
mod dht;
mod env;
mod exit;
mod human;
mod input;
mod join;
mod json;
mod new;
mod pending;
mod signals;
mod text;
mod ui;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Instant;

use clap::{CommandFactory as _, Parser as _};
use folkmoot::Stage;
use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command};
use crate::env::Env;
use crate::exit::Exit;

fn main() -> ExitCode {
    let started = Instant::now();
    let env = Env::read();
    if env.debug {
        log_to_stderr();
    }
    match Cli::try_parse() {
        Ok(cli) => run(cli, &env, started).into(),
        Err(error) => refuse(&error).into(),
    }
}

fn run(cli: Cli, env: &Env, started: Instant) -> Exit {
    match cli.command {
        Some(Command::New { no_qr }) => new::run(no_qr),
        Some(Command::Demo) => demo::run(),
        Some(Command::Dht(command)) => dht::run(command, started),
        Some(Command::Join { code, options }) => join::run(&code, &options.or(cli.options), env, started),
        None if cli.code.is_empty() && env.meeting_code.is_none() && cli.options == Default::default() => {
            // A bare `moot` is someone who wants to know what it does.
            let _ = Cli::command().print_help();
            Exit::Usage
        }
        None => join::run(&cli.code, &cli.options, env, started),
    }
}

/// The command line cannot be understood, or asks for help. A program that asked for JSON gets it here too.
fn refuse(error: &clap::Error) -> Exit {
    let _ = error.print();
    if !error.use_stderr() {
        return Exit::Success;
    }
    if std::env::args_os().any(|arg| arg == "--json") {
        let text = error.to_string();
        let what = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let _ = ui::print(&json::error(0, Stage::Io, what.into(), "see `moot --help`"));
    }
    Exit::Usage
}

/// What `RUST_LOG` asks for, else everything of ours.
fn log_to_stderr() {
    let ours = || EnvFilter::new("warn,moot=debug,folkmoot=debug,folkmoot_core=debug");
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| ours()))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}
