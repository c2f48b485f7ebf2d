//! How far something is: one line on standard error that is written over, where that is a terminal.

use std::fmt::Display;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

/// Writes the line, and ends it when it is dropped.
pub(super) struct Progress {
    began: Instant,
    shown: Option<Instant>,
    is_terminal: bool,
}

/// Nobody reads faster.
const PAUSE: Duration = Duration::from_millis(100);

impl Progress {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), shown: None, is_terminal: io::stderr().is_terminal() }
    }

    /// So much of `all` is done, which `what` says in words.
    pub(super) fn show(&mut self, done: u64, all: u64, what: impl Display) {
        let is_early = self.shown.is_some_and(|shown| shown.elapsed() < PAUSE) && done < all;
        if self.is_terminal && !is_early {
            self.shown = Some(Instant::now());
            // What stands there may be longer.
            eprint!("\r{}\x1b[K", line(done, all, what, self.began.elapsed()));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            eprintln!();
        }
    }
}

/// `[=====     ] 120 of 200 runs, 12 s`.
fn line(done: u64, all: u64, what: impl Display, took: Duration) -> String {
    const WIDTH: u64 = 30;
    let full = (u128::from(done.min(all)) * u128::from(WIDTH) / u128::from(all.max(1))) as usize;
    let (full, empty) = ("=".repeat(full), " ".repeat(WIDTH as usize - full));
    format!("[{full}{empty}] {what}, {:.0} s ", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let line = |done, all| line(done, all, "some", Duration::from_secs(12));
        assert_eq!(line(0, 200), format!("[{}] some, 12 s ", " ".repeat(30)));
        assert_eq!(line(100, 200), format!("[{}{}] some, 12 s ", "=".repeat(15), " ".repeat(15)));
        for (done, all) in [(200, 200), (u64::MAX, u64::MAX), (3, 0), (5, 4)] {
            assert_eq!(line(done, all).len(), line(0, 1).len());
        }
    }
}
