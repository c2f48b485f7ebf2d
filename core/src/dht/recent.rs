use std::net::IpAddr;
use std::time::Duration;

use super::source::Source;
use crate::base::Time;

/// A source is remembered for at least this long, and less than twice as long, unless there are too many.
const GENERATION: Duration = Duration::from_secs(5 * 60);

/// Sources of lately, in two generations: those of the present one, and those of the one before. What is not seen again
/// is forgotten with its generation, so this takes memory only while there is traffic.
#[derive(Debug)]
pub(super) struct Recent {
    /// Sorted.
    young: Vec<Source>,
    /// Sorted.
    old: Vec<Source>,
    began: Time,
    limit: usize,
}

impl Recent {
    /// Remembers at least the last `limit / 2` sources, and at most `limit`.
    pub(super) fn new(limit: usize) -> Self {
        Self { young: Vec::new(), old: Vec::new(), began: Time::ZERO, limit }
    }

    pub(super) fn insert(&mut self, now: Time, ip: IpAddr) {
        let source = Source::of(ip);
        let is_over = now >= self.began + GENERATION;
        let Err(mut place) = self.young.binary_search(&source) else {
            if is_over {
                self.turn(now);
                self.young.push(source);
            }
            return;
        };
        if is_over || self.young.len() >= self.limit / 2 {
            self.turn(now);
            place = 0;
        }
        if self.young.len() == self.young.capacity() {
            // By half of what there is, not by as much again.
            self.young.reserve_exact(8 + self.young.len() / 2);
        }
        self.young.insert(place, source);
    }

    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        let source = Source::of(ip);
        self.young.binary_search(&source).is_ok() || self.old.binary_search(&source).is_ok()
    }

    /// Begins a new generation.
    fn turn(&mut self, now: Time) {
        let is_recent = now < self.began + GENERATION * 2;
        self.old = std::mem::take(&mut self.young);
        if !is_recent {
            self.old.clear();
        }
        self.old.shrink_to_fit();
        self.began = now;
    }

    /// The memory taken beyond its own size, in bytes.
    pub(super) fn footprint(&self) -> usize {
        (self.young.capacity() + self.old.capacity()) * size_of::<Source>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn minute(n: u64) -> Time {
        Time::from_millis(n * 60_000)
    }

    #[test]
    fn the_oldest_go_first() {
        let mut recent = Recent::new(4);
        [1, 2, 1, 3].into_iter().for_each(|last| recent.insert(minute(1), ip(last)));
        assert!([1, 2, 3].into_iter().all(|last| recent.contains(ip(last))));
        [4, 5].into_iter().for_each(|last| recent.insert(minute(1), ip(last)));
        assert!(!recent.contains(ip(1)) && [3, 4, 5].into_iter().all(|last| recent.contains(ip(last))));
        assert!(recent.footprint() <= 2 * 8 * 8);
    }

    #[test]
    fn forgotten_unless_seen_again() {
        let mut recent = Recent::new(100);
        recent.insert(minute(20), ip(1));
        recent.insert(minute(24), ip(2));
        recent.insert(minute(25), ip(2));
        assert!(recent.contains(ip(1)) && recent.contains(ip(2)));
        recent.insert(minute(30), ip(3));
        assert!(!recent.contains(ip(1)) && recent.contains(ip(2)));
        recent.insert(minute(90), ip(4));
        assert!(!recent.contains(ip(2)) && !recent.contains(ip(3)) && recent.contains(ip(4)));
    }
}
