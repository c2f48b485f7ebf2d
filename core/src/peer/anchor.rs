use std::time::{Duration, Instant};

use crate::base::Time;

/// str0m's type for a moment. It is named here and nowhere else.
pub(super) type Moment = Instant;

/// Translates between our [`Time`] and str0m's [`Moment`], which only a clock can make.
///
/// Which moment the clock showed never matters: str0m is told every moment by us, so only the distances between them
/// count, and those are ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchor {
    base: Moment,
    at: Time,
}

/// Beyond this, a moment is "never"; str0m says a hundred years when it is idle.
const HORIZON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl Anchor {
    /// How far away "never" is.
    pub(super) const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

    /// An anchor that calls `at` whatever the clock shows.
    #[allow(
        clippy::disallowed_methods,
        reason = "the one reading of a clock; only distances from it are used"
    )]
    pub(super) fn new(at: Time) -> Self {
        Self { base: Instant::now(), at }
    }

    /// An anchor that calls `moment` `at`.
    pub(super) fn at(moment: Moment, at: Time) -> Self {
        Self { base: moment, at }
    }

    /// `time` for str0m.
    pub(super) fn moment(&self, time: Time) -> Moment {
        self.base.checked_add(time - self.at).unwrap_or(self.base)
    }

    /// A moment of str0m's, rounded up to the microsecond so that it has come once our time has; `None` if it is too
    /// far away to be meant.
    pub(super) fn time(&self, moment: Moment, now: Time) -> Option<Time> {
        let nanos = moment.saturating_duration_since(self.base).as_nanos();
        let micros = u64::try_from(nanos.div_ceil(1_000)).ok()?;
        let time = self.at + Duration::from_micros(micros);
        (time - now < HORIZON).then_some(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let start = Time::from_millis(7);
        let anchor = Anchor::new(start);
        let later = start + Duration::from_micros(1_234_567);
        assert_eq!(anchor.time(anchor.moment(later), start), Some(later));
        assert_eq!(anchor.time(anchor.moment(start), start), Some(start));
    }

    #[test]
    fn rounds_up_and_knows_never() {
        let anchor = Anchor::new(Time::ZERO);
        let moment = anchor.moment(Time::ZERO) + Duration::from_nanos(1);
        assert_eq!(anchor.time(moment, Time::ZERO), Some(Time::from_micros(1)));
        let never = anchor.moment(Time::ZERO) + Duration::from_secs(100 * 365 * 86_400);
        assert_eq!(anchor.time(never, Time::ZERO), None);
    }
}
