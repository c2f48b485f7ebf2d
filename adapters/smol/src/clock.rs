use std::time::{Duration, Instant, SystemTime};

use folkmoot_core::base::{Time, UnixTime};

/// The clocks of the machine: monotonic time that goes on while the machine sleeps, and the wall clock.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// How much longer the machine has been up than awake, when last looked.
    slept: Duration,
    slept_at_start: Duration,
    /// What the wall clock would show at `Time::ZERO` if it had never been set.
    wall_at_start: UnixTime,
}

/// What a look at the clocks found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// The machine slept since the last look.
    pub(crate) woke: bool,
    /// The wall clock was set since the last look.
    pub(crate) set: bool,
}

/// Shorter sleeps, and smaller steps of the wall clock, are none: clocks are read one after the other, and a disciplined clock
/// is nudged all the time.
const NOTICEABLE: Duration = Duration::from_secs(2);

impl Clock {
    /// Clocks whose [`Time::ZERO`] is now.
    pub(crate) fn start() -> Self {
        let slept = slept();
        Self { start: Instant::now(), slept, slept_at_start: slept, wall_at_start: wall() }
    }

    /// The time since the start. Goes on while the machine sleeps, by what `check` found.
    pub(crate) fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed() + self.slept.saturating_sub(self.slept_at_start)
    }

    /// The wall clock.
    pub(crate) fn unix(&self) -> UnixTime {
        wall()
    }

    /// The moment of the runtime's timers at which [`Clock::now`] will show `at`, if the machine does not sleep. What is
    /// more than an hour away is put at an hour: not every platform's `Instant` reaches as far as [`Time`].
    pub(crate) fn instant(&self, at: Time) -> Instant {
        Instant::now() + at.saturating_since(self.now()).min(Duration::from_secs(3_600))
    }

    /// Looks whether the machine slept or the wall clock was set; to be called every few seconds.
    pub(crate) fn check(&mut self) -> Changes {
        self.compare(slept(), wall())
    }

    fn compare(&mut self, slept: Duration, wall: UnixTime) -> Changes {
        let woke = slept.saturating_sub(self.slept) >= NOTICEABLE;
        self.slept = slept.max(self.slept);
        let expected = self.wall_at_start + self.now().saturating_since(Time::ZERO);
        let set = wall.abs_diff(expected) >= NOTICEABLE;
        if set {
            let age = self.now().as_millis();
            self.wall_at_start = UnixTime::from_millis(wall.as_millis().saturating_sub(age));
        }
        Changes { woke, set }
    }
}

fn wall() -> UnixTime {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_millis(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}

/// How long the machine has slept since it was booted: `Instant` stands still meanwhile, the boot clock does not.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn slept() -> Duration {
    use rustix::time::{ClockId, Timespec, clock_gettime};
    let duration = |t: Timespec| {
        Duration::new(t.tv_sec.try_into().unwrap_or_default(), t.tv_nsec.try_into().unwrap_or_default())
    };
    duration(clock_gettime(ClockId::Boottime)).saturating_sub(duration(clock_gettime(ClockId::Monotonic)))
}

/// Elsewhere a sleep shows only as a step of the wall clock.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn slept() -> Duration {
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_clock_changes_nothing() {
        let mut clock = Clock::start();
        assert_eq!(clock.check(), Changes::default());
        assert!(clock.now() < Time::from_millis(60_000));
    }

    #[test]
    fn a_sleep_moves_time_on() {
        let mut clock = Clock::start();
        let hour = Duration::from_secs(3_600);
        let (slept, wall) = (clock.slept + hour, clock.unix() + hour);
        assert_eq!(clock.compare(slept, wall), Changes { woke: true, set: false });
        assert!(clock.now() >= Time::ZERO + hour);
        assert_eq!(clock.compare(slept, wall), Changes::default());
    }

    #[test]
    fn a_set_clock_is_told_once() {
        let mut clock = Clock::start();
        let (slept, wall) = (clock.slept, clock.unix() + Duration::from_secs(86_400));
        assert_eq!(clock.compare(slept, wall), Changes { woke: false, set: true });
        assert_eq!(clock.compare(slept, wall), Changes::default());
        assert!(clock.compare(slept, clock.unix()).set, "and back");
    }
}
