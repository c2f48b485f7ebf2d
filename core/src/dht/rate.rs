use std::time::Duration;

use crate::base::Time;

/// So many per second on average, so many at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    per_second: u32,
    burst: u32,
}

impl Rate {
    pub(super) const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst }
    }

    fn interval(self) -> Duration {
        Duration::from_secs(1) / self.per_second
    }

    fn slack(self) -> Duration {
        self.interval() * (self.burst - 1)
    }
}

/// A token bucket, kept as the one moment at which it will be full (the generic cell rate algorithm).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    full_at: Time,
}

impl Bucket {
    /// When the next token can be taken: `now` or earlier if one is there.
    pub(super) fn ready_at(self, rate: Rate) -> Time {
        self.full_at.saturating_sub(rate.slack())
    }

    pub(super) fn has(self, rate: Rate, now: Time) -> bool {
        self.ready_at(rate) <= now
    }

    /// Takes a token, on credit if there is none.
    pub(super) fn take(&mut self, rate: Rate, now: Time) {
        self.full_at = self.full_at.max(now) + rate.interval();
    }

    pub(super) fn is_full(self, now: Time) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_then_average() {
        let (rate, mut bucket) = (Rate::new(10, 5), Bucket::default());
        let mut taken = 0;
        for ms in 0..10_000 {
            let now = Time::from_millis(ms);
            while bucket.has(rate, now) {
                bucket.take(rate, now);
                taken += 1;
            }
            assert!(bucket.ready_at(rate) > now);
            if ms == 0 {
                assert_eq!(taken, 5);
            }
        }
        assert_eq!(taken, 5 + 99);
        assert!(bucket.is_full(Time::from_millis(10_500)));
    }

    #[test]
    fn credit_is_paid_back() {
        let (rate, mut bucket, now) = (Rate::new(10, 1), Bucket::default(), Time::ZERO);
        (0..3).for_each(|_| bucket.take(rate, now));
        assert_eq!(bucket.ready_at(rate), Time::from_millis(300));
    }
}
