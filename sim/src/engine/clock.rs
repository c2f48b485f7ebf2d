use std::time::Duration;

use folkmoot_core::base::UnixTime;

/// How a machine's wall clock differs from the true time. Timers are not affected: they go by another clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// So many milliseconds ahead; behind if negative.
    pub ahead_ms: i64,
    /// And so many microseconds more each second; fewer if negative.
    pub drift_ppm: i32,
}

impl Clock {
    /// What it shows when the true time is `truth`, so long after the world began.
    pub(super) fn show(self, truth: UnixTime, since: Duration) -> UnixTime {
        let drifted =
            i128::try_from(since.as_micros()).unwrap_or(0) * i128::from(self.drift_ppm) / 1_000_000_000;
        let shown = i128::from(truth.as_millis()) + i128::from(self.ahead_ms) + drifted;
        UnixTime::from_millis(u64::try_from(shown.max(0)).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_go_wrong_as_they_are_told() {
        let truth = UnixTime::from_millis(1_000_000);
        let hour = Duration::from_secs(3_600);
        let show = |ahead_ms, drift_ppm| Clock { ahead_ms, drift_ppm }.show(truth, hour).as_millis();
        assert_eq!(show(0, 0), 1_000_000);
        assert_eq!(show(-5_000, 0), 995_000);
        assert_eq!(show(0, 500), 1_001_800);
        assert_eq!(show(0, -500), 998_200);
        assert_eq!(show(-2_000_000, 0), 0, "there is no time before 1970");
    }
}
