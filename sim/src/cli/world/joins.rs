//! How two strangers came together who can: at the first attempt, and after how many round trips.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use folkmoot_core::node::{Event, Progress};
use folkmoot_sim::scenario::Outcome;
use serde_json::{Value, json};

/// How one pair came together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Join {
    /// From joining until both said that they are connected.
    took: Duration,
    /// The round trip between the two.
    rtt: Duration,
    /// Whether neither had to try a second time.
    at_first: bool,
}

/// How all pairs did of whom the oracle says that they can. By the number of the pair, so that sums are the same in every run.
#[derive(Debug, Default)]
pub(super) struct Joins {
    all: BTreeMap<u64, Join>,
    /// Pairs that were played twice, and the most by which they differed.
    twice: u64,
    apart: Duration,
    /// Pairs that came together once and not again.
    lost: u64,
}

/// Of those who come together, so many of a hundred do at the first attempt. In the field it was 97.6 (Trautwein et al., of hole
/// punching in IPFS).
const AT_FIRST: f64 = 95.0;
/// Joining takes no more round trips than this, on top of what does not depend on distance: into the DHT, a lookup, the
/// announcement, a knock, checks, DTLS, SCTP and HELLO, some of them with servers that are nearer than the other one.
const ROUND_TRIPS: f64 = 8.0;
/// What the order of hash tables may change of a join; an honest zero, but for the clock's granularity.
const APART: Duration = Duration::from_millis(1);
/// Fewer pairs say nothing.
const ENOUGH: usize = 30;

impl Join {
    /// How it went; `None` if they did not connect. Each is so far from the middle of the internet.
    pub(super) fn of(outcome: &Outcome, [a, b]: [Duration; 2]) -> Option<Self> {
        let mut took = Duration::ZERO;
        let mut at_first = true;
        for who in 0..2 {
            let own = || outcome.events.iter().filter(|noted| noted.member == who);
            let connected = own().find(|noted| matches!(noted.event, Event::Connected { .. }))?;
            took = took.max(connected.at.saturating_since(outcome.began));
            let attempts = own().take_while(|noted| noted.at <= connected.at).filter(|noted| {
                matches!(noted.event, Event::Status { progress: Progress::Checking { .. }, .. })
            });
            at_first &= attempts.count() <= 1;
        }
        Some(Self { took, rtt: 2 * (a + b), at_first })
    }
}

impl Joins {
    /// Adds a pair, and how it went the second time if there was one.
    pub(super) fn add(&mut self, number: u64, join: Join, again: Option<Join>) {
        self.all.insert(number, join);
        if number < super::AGAIN {
            self.twice += 1;
            match again {
                Some(again) => self.apart = self.apart.max(again.took.abs_diff(join.took)),
                None => self.lost += 1,
            }
        }
    }

    /// Of those at the first attempt, in percent.
    fn at_first(&self) -> f64 {
        let first = self.all.values().filter(|join| join.at_first).count();
        100.0 * first as f64 / self.all.len().max(1) as f64
    }

    /// The line that fits best: seconds without any distance, and round trips. By Theil and Sen (the median of all slopes between
    /// two pairs), which those few who had to wait for something do not move.
    fn line(&self) -> (f64, f64) {
        let points: Vec<_> =
            self.all.values().map(|join| (join.rtt.as_secs_f64(), join.took.as_secs_f64())).collect();
        let mut slopes = Vec::new();
        for (n, (x, y)) in points.iter().enumerate() {
            let others = points[n + 1..].iter().filter(|(other, _)| (other - x).abs() > 0.01);
            slopes.extend(others.map(|(other, took)| (took - y) / (other - x)));
        }
        let slope = median(slopes);
        (median(points.iter().map(|(x, y)| y - slope * x).collect()), slope)
    }

    /// What is not as it must be, a sentence each.
    pub(super) fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        if self.all.len() >= ENOUGH && self.at_first() < AT_FIRST {
            let share = self.at_first();
            broken.push(format!("only {share:.1} % come together at the first attempt, not {AT_FIRST:.0} %"));
        }
        let (_, trips) = self.line();
        if self.all.len() >= ENOUGH && trips > ROUND_TRIPS {
            broken.push(format!("joining costs {trips:.1} round trips, not {ROUND_TRIPS:.0} at most"));
        }
        if self.apart > APART || self.lost > 0 {
            broken.push(format!(
                "the order of hash tables changes joins by up to {:?}, and {} to none",
                self.apart, self.lost
            ));
        }
        broken
    }

    /// As one object.
    pub(super) fn json(&self) -> Value {
        let (base, trips) = self.line();
        json!({
            "event": "joins", "pairs": self.all.len(), "at_first_percent": self.at_first(), "base_s": base,
            "round_trips": trips, "twice": self.twice, "apart_us": self.apart.as_micros() as u64,
        })
    }
}

impl fmt::Display for Joins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (base, trips) = self.line();
        let took = |join: &Join| join.took.as_secs_f64();
        let quantile = |share: f64| {
            let mut all: Vec<_> = self.all.values().map(took).collect();
            all.sort_by(f64::total_cmp);
            all.get((share * all.len().saturating_sub(1) as f64).round() as usize).copied().unwrap_or(0.0)
        };
        writeln!(
            f,
            "{} pairs who can connect: {:.1} % at the first attempt; from joining to connected {:.2} s (p50), {:.2} s (p90), \
             {:.2} s (max)",
            self.all.len(),
            self.at_first(),
            quantile(0.5),
            quantile(0.9),
            quantile(1.0)
        )?;
        writeln!(
            f,
            "that is {base:.2} s and {trips:.1} times the round trip between the two, by the line that fits best"
        )?;
        write!(
            f,
            "{} of them under another order of all hash tables: {:?} apart at most",
            self.twice, self.apart
        )
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(rtt: u64, took: u64, at_first: bool) -> Join {
        Join { took: Duration::from_millis(took), rtt: Duration::from_millis(rtt), at_first }
    }

    #[test]
    fn what_is_slow_or_needs_a_second_attempt_is_told() {
        let mut joins = Joins::default();
        for n in 0..100 {
            // Some wait long, for reasons of their own.
            let late = if n % 10 == 3 { 20_000 } else { 0 };
            joins.add(100 + n, join(10 * n, 300 + 50 * n + late, n % 50 != 7), None);
        }
        let (base, trips) = joins.line();
        assert!((base - 0.3).abs() < 0.05 && (trips - 5.0).abs() < 0.1, "{base} {trips}");
        assert!(joins.broken().is_empty() && joins.at_first() == 98.0, "{joins}");
        joins.add(1, join(10, 350, true), Some(join(10, 353, true)));
        assert_eq!(joins.broken(), ["the order of hash tables changes joins by up to 3ms, and 0 to none"]);
        let mut bad = Joins::default();
        (0..100).for_each(|n| bad.add(100 + n, join(10 * n, 300 + 100 * n, n % 10 != 0), None));
        assert_eq!(bad.broken().len(), 2, "{bad}");
    }
}
