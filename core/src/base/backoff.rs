use std::time::Duration;

/// Waits between attempts: a list of delays, then no more.
///
/// Both policies people ask for are such lists: three attempts five seconds apart, and 1-2-4 seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    delays: Vec<Duration>,
}

impl Backoff {
    /// `attempts` attempts, each `delay` after the one before.
    pub fn fixed(attempts: usize, delay: Duration) -> Self {
        Self { delays: vec![delay; attempts] }
    }

    /// `attempts` attempts, the first after `first`, each further one after twice the wait before it.
    pub fn doubling(attempts: u32, first: Duration) -> Self {
        Self { delays: (0..attempts).map(|n| first.saturating_mul(1 << n.min(20))).collect() }
    }

    /// The wait before attempt number `attempt` (from 0), or `None` once all are spent.
    pub fn delay(&self, attempt: usize) -> Option<Duration> {
        self.delays.get(attempt).copied()
    }

    /// How many attempts there are.
    pub fn attempts(&self) -> usize {
        self.delays.len()
    }
}

/// One attempt after each delay, which is counted from the attempt before.
impl FromIterator<Duration> for Backoff {
    fn from_iter<I: IntoIterator<Item = Duration>>(delays: I) -> Self {
        Self { delays: delays.into_iter().collect() }
    }
}

impl Default for Backoff {
    /// Three attempts, five seconds apart.
    fn default() -> Self {
        Self::fixed(3, Duration::from_secs(5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_policies() {
        let secs = |b: &Backoff| (0..4).map(|n| b.delay(n).map(|d| d.as_secs())).collect::<Vec<_>>();
        assert_eq!(secs(&Backoff::default()), [Some(5), Some(5), Some(5), None]);
        assert_eq!(secs(&Backoff::doubling(3, Duration::from_secs(1))), [Some(1), Some(2), Some(4), None]);
        let listed = [1, 2, 4].map(Duration::from_secs).into_iter().collect::<Backoff>();
        assert_eq!(listed, Backoff::doubling(3, Duration::from_secs(1)));
    }
}
