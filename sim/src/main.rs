//! `moot-sim`: runs the simulator's scenarios. Each verb has a file of its own in `cli`.
//!
//! Exit codes: 0 if all went well, 1 if a run went wrong, 2 if the command line did.

#![expect(
    clippy::disallowed_methods,
    reason = "the command, unlike the library, may have threads, files and a clock: one run per thread, timed from outside"
)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
