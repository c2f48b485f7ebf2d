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
    stall: Duration,
}

impl Rtt {
    pub(super) fn new() -> Self {
        Self { millis: Vec::with_capacity(SAMPLES), next: 0, stall: FIRST_GUESS }
    }

    pub(super) fn sample(&mut self, rtt: Duration) {
        let millis = u16::try_from(rtt.as_millis()).unwrap_or(u16::MAX);
        match self.millis.get_mut(self.next) {
            Some(oldest) => *oldest = millis,
            None => self.millis.push(millis),
        }
        self.next = (self.next + 1) % SAMPLES;
        if self.millis.len() >= ENOUGH {
            let mut sorted = self.millis.clone();
            let (_, &mut most, _) = sorted.select_nth_unstable(self.millis.len() * PERCENTILE / 100);
            self.stall = Duration::from_millis(most.into()).clamp(LEAST, MOST);
        }
    }

    pub(super) fn footprint(&self) -> usize {
        self.millis.capacity() * size_of::<u16>()
    }

    /// The 85th percentile, within bounds: who has not answered by then is not waited for before others are asked.
    pub(super) fn stall(&self) -> Duration {
        self.stall
    }
}

#[cfg(test)]
mod tests {
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
}
