use std::fmt;

use super::run::Outcome;
use crate::engine::{Record, Trace};

/// Where two runs of what should be one part.
#[derive(Clone, Debug)]
pub struct Parting {
    /// The number of the first record that differs.
    pub number: u64,
    /// What precedes it, in both.
    pub common: Vec<Record>,
    /// The record in either; `None` is a run's end. Both are `None` if they did not differ when they were looked at closely.
    pub records: [Option<Record>; 2],
}

/// So many records before the first difference are shown.
const CONTEXT: usize = 5;

/// Plays a run twice, and says where both part, if they do. `play` is told what the trace is to keep; only if the runs
/// differ they are played again, to keep the records around the first difference, which their checkpoints tell.
pub fn play_twice(play: impl Fn(Trace) -> Outcome) -> (Outcome, Option<Box<Parting>>) {
    let [one, other] = [(); 2].map(|()| play(Trace::new()));
    if one.whole == other.whole {
        return (one, None);
    }
    let window = Trace::parting(&one.checkpoints, &other.checkpoints);
    let [a, b] = [(); 2].map(|()| play(Trace::keeping_some(window.clone())).records);
    let at = Trace::first_difference(&a, &b);
    let parting = Parting {
        number: window.start + at.unwrap_or(a.len()) as u64,
        common: at.map_or(Vec::new(), |at| a[at.saturating_sub(CONTEXT)..at].to_vec()),
        records: at.map_or([None; 2], |at| [a.get(at).copied(), b.get(at).copied()]),
    };
    (one, Some(Box::new(parting)))
}

impl fmt::Display for Parting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.records == [None; 2] {
            return write!(f, "two runs differ near record {}, but not when looked at again", self.number);
        }
        writeln!(f, "two runs part at record {}:", self.number)?;
        self.common.iter().try_for_each(|record| writeln!(f, "  both  {record:#}"))?;
        let line = |record: Option<Record>| record.map_or("(the end)".into(), |record| format!("{record:#}"));
        let [one, other] = self.records.map(line);
        write!(f, "  one   {one}\n  other {other}")
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use folkmoot_sim_entropy::seeded;

    use super::*;
    use crate::Tier;
    use crate::scenario;

    #[test]
    fn a_run_that_is_not_a_function_of_its_seed_is_caught() {
        let scenario = scenario::find("first-data", 1).unwrap();
        let play = |seed, trace| seeded(seed, || scenario::run_traced(&scenario, seed, Tier::Stub, trace));
        assert!(play_twice(|trace| play(1, trace)).1.is_none());
        // Something that outlives the run, as a clock does: the second and fourth run are another.
        let runs = Cell::new(0);
        let (_, parting) = play_twice(|trace| {
            runs.set(runs.get() + 1);
            play(1 + runs.get() % 2, trace)
        });
        let parting = parting.unwrap();
        assert_ne!(parting.records[0], parting.records[1]);
        let said = parting.to_string();
        assert!(said.contains("part at record") && said.contains("\n  other "), "{said}");
    }

    #[test]
    fn a_difference_that_goes_away_is_told_too() {
        let mut scenario = scenario::find("first-data", 1).unwrap();
        scenario.steps.truncate(1);
        scenario.steps[0].after = Duration::ZERO;
        let runs = Cell::new(0);
        let (_, parting) = play_twice(|trace| {
            runs.set(runs.get() + 1);
            scenario::run_traced(&scenario, u64::from(runs.get() == 1), Tier::Stub, trace)
        });
        assert!(parting.unwrap().to_string().contains("not when looked at again"));
    }
}
