use std::time::Duration;

/// What one lookup came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Until the first of the eight live nodes closest to the target answered; `None` if none did.
    pub first: Option<Duration>,
    /// Questions sent until then; all of them if none did.
    pub questions_to_first: u32,
    /// Until the looker called it done.
    pub end: Duration,
    /// Questions sent for it, with repetitions, and pings where the policy sends them.
    pub questions: u32,
    /// How many of the eight live nodes closest to the target had answered by the end.
    pub recall: u32,
    /// How many answers led to the first of those eight, with its own.
    pub hops: u32,
}

/// Many lookups in numbers: times in milliseconds, the rest in tenths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many.
    pub lookups: usize,
    /// How many of them found none of the eight closest.
    pub failed: usize,
    /// To the first holder: median and 95th percentile.
    pub first: (u64, u64),
    /// Questions until then, on average, in tenths.
    pub questions_to_first: u64,
    /// To the end: median and 95th percentile.
    pub end: (u64, u64),
    /// Questions, on average, in tenths.
    pub questions: u64,
    /// Recall, on average, in hundredths of a node.
    pub recall: u64,
    /// Hops, on average, in tenths.
    pub hops: u64,
}

impl Summary {
    /// Of these lookups. One that never found a holder counts as having taken until its end.
    pub fn of(samples: &[Sample]) -> Self {
        let mean = |scale: u64, what: fn(&Sample) -> u32| {
            let sum: u64 = samples.iter().map(|sample| u64::from(what(sample))).sum();
            (sum * scale + samples.len() as u64 / 2) / samples.len().max(1) as u64
        };
        let percentiles = |what: fn(&Sample) -> Duration| {
            let mut all: Vec<u64> = samples.iter().map(|sample| what(sample).as_millis() as u64).collect();
            all.sort_unstable();
            let at =
                |percent: usize| all.get(all.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0);
            (at(50), at(95))
        };
        Self {
            lookups: samples.len(),
            failed: samples.iter().filter(|sample| sample.first.is_none()).count(),
            first: percentiles(|sample| sample.first.unwrap_or(sample.end)),
            questions_to_first: mean(10, |sample| sample.questions_to_first),
            end: percentiles(|sample| sample.end),
            questions: mean(10, |sample| sample.questions),
            recall: mean(100, |sample| sample.recall),
            hops: mean(10, |sample| sample.hops),
        }
    }
}
