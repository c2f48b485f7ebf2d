//! The matrix of what has to be tried: a row for each dimension, with its cases or with the reason why it has none yet.

mod around;
mod cases;
mod places;

use std::fmt;

use super::script::Scenario;

/// How often a row is run: with every change, every night, every week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// With every change.
    Change,
    /// Every night.
    Night,
    /// Every week.
    Week,
}

/// A dimension of what has to be tried.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its id: a letter for the kind, and a number.
    pub id: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// From which level on it is run.
    pub level: Level,
    /// Whether there is something to run.
    pub state: State,
}

/// Whether a row can be run.
#[derive(Clone, Copy, Debug)]
pub enum State {
    /// All of it.
    Whole(Make),
    /// All of it, the rest by something else: what by what.
    Shared(Make, &'static str),
    /// Some of it: what is missing.
    Part(Make, &'static str),
    /// By something else: what.
    Elsewhere(&'static str),
    /// Not yet: why.
    NotYet(&'static str),
}

/// Makes the cases of a row at a level.
pub type Make = fn(Level) -> Vec<Case>;

/// A scenario of a row, and with how many seeds it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What is run.
    pub what: What,
    /// With how many seeds.
    pub seeds: u64,
}

impl Case {
    /// The same, with something else about a scenario that is the same for every seed.
    fn with(mut self, change: impl FnOnce(&mut Scenario)) -> Self {
        if let What::Fixed(scenario) = &mut self.what {
            change(scenario);
        }
        self
    }
}

/// What a case runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A scenario that is the same for every seed.
    Fixed(Box<Scenario>),
    /// One of the library, by name, with what it leaves open drawn from each seed.
    Drawn(&'static str),
    /// The same, drawn as the latest generation draws it.
    DrawnLately(&'static str),
}

impl Row {
    /// Its cases at a level; none if it is for higher levels, or not yet.
    pub fn cases(&self, level: Level) -> Vec<Case> {
        match self.state {
            State::Whole(make) | State::Shared(make, _) | State::Part(make, _) if level >= self.level => {
                make(level)
            }
            _ => Vec::new(),
        }
    }

    /// What of it is missing, if anything is.
    pub fn missing(&self) -> Option<&'static str> {
        match self.state {
            State::Whole(_) | State::Shared(..) | State::Elsewhere(_) => None,
            State::Part(_, why) | State::NotYet(why) => Some(why),
        }
    }
}

/// `P`, `N`, `W`.
impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Change => "P",
            Self::Night => "N",
            Self::Week => "W",
        })
    }
}

/// All rows.
#[rustfmt::skip]
pub const ROWS: [Row; 33] = {
    use Level::{Change as P, Night as N};
    use State::{Elsewhere, NotYet, Part, Shared, Whole};
    const fn row(id: &'static str, level: Level, about: &'static str, state: State) -> Row {
        Row { id, about, level, state }
    }
    [
        row("N1", P, "pairs of NATs by RFC 4787, open hosts, firewalls, UDP blocked; either side first",
            Whole(cases::nat_pairs)),
        row("N2", P, "how NATs choose ports", Part(cases::port_rules, "ports are not predicted yet")),
        row("N3", P, "NATs behind NATs",
            Part(places::stacked, "no machine is in a VPN and in its own network at once")),
        row("N4", P, "mappings that expire while nothing is said", Whole(cases::expiry)),
        row("N5", P, "NATs that restart and get other addresses, members that move, while connecting and after",
            Part(places::rebinding, "nothing is transferred yet that a change could interrupt")),
        row("N6", N, "NATs that run out of mappings", Whole(cases::exhaustion)),
        row("V1", P, "IPv6, dual stack, NAT64, broken IPv6", Whole(places::families)),
        row("U1", P, "UDP blocked, small MTU, slow links", Whole(cases::udp_policy)),
        row("Q1", P, "loss, independent and in bursts", Whole(cases::loss)),
        row("Q2", P, "jitter, reordering, duplication", Whole(cases::disorder)),
        row("Q3", N, "bandwidth",
            Part(cases::bandwidth, "messages are few and small, and nothing is transferred that they could wait behind")),
        row("Q4", P, "latency", Whole(cases::latency)),
        row("C1", P, "how many members, behind NATs of all mixes of the world", Whole(cases::members)),
        row("C2", P, "churn, crowds that come at once, rolling restarts", Whole(cases::churn)),
        row("C3", P, "crashes and restarts",
            Part(cases::restarts, "shells keep whom the DHT knew, and no messages; of two runs of an identity it is the earlier that comes second")),
        row("C4", P, "partitions", Whole(cases::partitions)),
        row("C5", P, "members between two who cannot connect",
            Part(cases::between, "members pass on messages and relay no packets yet")),
        row("T1", P, "clocks that are wrong, drift and jump; machines that sleep", Whole(around::clocks)),
        row("T2", P, "joining when the meeting's place in the DHT changes", Whole(around::midnight)),
        row("S1", P, "STUN servers that are dead or lie", Whole(around::stun)),
        row("D1", P, "DHT nodes that are dead, or behind NATs",
            Shared(around::dht_health, "big DHTs by `moot-sim dht`")),
        row("D2", N, "DHT nodes that are hostile",
            Shared(around::dht_hostile, "large answers, and nodes that choose whom to deceive, by `moot-sim dht attack`")),
        row("D3", P, "no way into the DHT", Whole(around::no_way_in)),
        row("X1", P, "floods of STUN, DTLS, KRPC and noise, from made-up addresses",
            Shared(around::floods, "floods by members by row X2, and what one costs by `moot-sim dht attack`")),
        row("X2", P, "members who mean no good", Whole(around::insiders)),
        row("F1", P, "transfers", NotYet("nodes transfer nothing yet")),
        row("K1", N, "a day of little", Whole(cases::soak)),
        row("R1", P, "what failed once",
            Elsewhere("`cargo test`: sim/tests/regressions and the fuzz corpora")),
        row("M1", P, "planted bugs", Elsewhere("the tests of the mutants")),
        row("W1", N, "mixes of the world's NATs", Elsewhere("`moot-sim world`")),
        row("E1", N, "the stand-in for DTLS against DTLS", Elsewhere("`moot-sim tiers`")),
        row("Z1", P, "everything at once, drawn as the first generation drew it", Whole(cases::storms)),
        row("Z2", N, "everything at once, with networks that are shared, moves, clocks, disks and hostile surroundings",
            Whole(cases::late_storms)),
    ]
};

/// The row of that id.
pub fn row(id: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.id.eq_ignore_ascii_case(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_written_and_read_back() {
        let mut ids: Vec<_> = ROWS.iter().map(|row| row.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), ROWS.len());
        for row in &ROWS {
            let cases = row.cases(Level::Week);
            assert_eq!(
                cases.is_empty(),
                matches!(row.state, State::NotYet(_) | State::Elsewhere(_)),
                "{}",
                row.id
            );
            for case in cases {
                assert!(case.seeds > 0);
                match case.what {
                    What::Fixed(scenario) => assert_eq!(scenario.to_string().parse(), Ok(*scenario)),
                    What::Drawn(name) | What::DrawnLately(name) => {
                        assert!(crate::scenario::about(name).is_ok(), "{name}")
                    }
                }
            }
        }
    }
}
