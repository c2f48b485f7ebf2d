use std::time::Duration;

/// How many of the latest round trips are remembered.
const SAMPLES: usize = 128;

/// With fewer than this many, the first guess stands.
const ENOUGH: usize = 8;

/// Who has not answered when so many of a hundred have is slow.
const PERCENTILE: usize = 85;

/// Before anything is measured.
const FIRST_GUESS: Duration = Duration::from_millis(350);

const LEAST: Duration = Duration::from_millis(150);
const MOST: Duration = Duration::from_millis(700);

/// The round trips measured lately, and from them how long to wait for an answer before asking somebody else too.
#[derive(Debug)]
pub(super) struct Rtt {
    millis: Vec<u16>,
    next: usize,
    /// The percentile of them, once they are enough.
    slow: Option<u16>,
}

impl Rtt {
    pub(super) fn new() -> Self {
        Self { millis: Vec::with_capacity(SAMPLES), next: 0, slow: None }
    }

    pub(super) fn sample(&mut self, rtt: Duration) {
        let millis = u16::try_from(rtt.as_millis()).unwrap_or(u16::MAX);
        let oldest = self.millis.get_mut(self.next).map(|oldest| std::mem::replace(oldest, millis));
        if oldest.is_none() {
            self.millis.push(millis);
        }
        self.next = (self.next + 1) % SAMPLES;
        // One above it instead of another above it, or one below it instead of another below it, leaves it where it is.
        let is_same =
            |slow: u16| oldest.is_some_and(|oldest| oldest.cmp(&slow) == millis.cmp(&slow) && oldest != slow);
        if self.millis.len() >= ENOUGH && !self.slow.is_some_and(is_same) {
            let mut sorted = self.millis.clone();
            let (_, &mut slow, _) = sorted.select_nth_unstable(self.millis.len() * PERCENTILE / 100);
            self.slow = Some(slow);
        }
    }

    pub(super) fn footprint(&self) -> usize {
        self.millis.capacity() * size_of::<u16>()
    }

    /// The 85th percentile, within bounds: who has not answered by then is not waited for before others are asked.
    pub(super) fn stall(&self) -> Duration {
        self.slow.map_or(FIRST_GUESS, |slow| Duration::from_millis(slow.into()).clamp(LEAST, MOST))
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    #[test]
    fn follows_the_85th_percentile_within_bounds() {
        let mut rtt = Rtt::new();
        let fed = |rtt: &mut Rtt, millis: &[u64]| {
            millis.iter().for_each(|&ms| rtt.sample(Duration::from_millis(ms)));
            rtt.stall().as_millis()
        };
        assert_eq!(fed(&mut rtt, &[1; 7]), 350);
        assert_eq!(fed(&mut rtt, &[1]), 150);
        assert_eq!(fed(&mut rtt, &(0..128).map(|i| 200 + i).collect::<Vec<_>>()), 308);
        assert_eq!(fed(&mut rtt, &[90_000; 128]), 700);
        assert_eq!(rtt.millis.len(), SAMPLES);
    }

    quickcheck! {
        /// Whatever leaves and comes, it is the percentile of the latest.
        fn is_that_of_the_latest(millis: Vec<u8>) -> bool {
            // Of few different values, so that many are the same as the percentile.
            let all = || millis.iter().map(|ms| 300 + u64::from(ms % 16)).cycle().take(millis.len() * 4);
            let mut rtt = Rtt::new();
            all().enumerate().all(|(n, ms)| {
                rtt.sample(Duration::from_millis(ms));
                let mut latest: Vec<u64> = all().take(n + 1).skip((n + 1).saturating_sub(SAMPLES)).collect();
                latest.sort_unstable();
                let slow = latest[latest.len() * PERCENTILE / 100];
                rtt.stall().as_millis() == if n + 1 < ENOUGH { 350 } else { slow.into() }
            })
        }
    }
}
