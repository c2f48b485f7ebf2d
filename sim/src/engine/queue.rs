use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use folkmoot_core::base::Time;

/// The finest slots are 2^12 µs = 4.096 ms wide.
const WIDTH_BITS: u32 = 12;
/// A slot of one level is as wide as a whole turn of the level below, 2^8 slots.
const TURN_BITS: u32 = 8;
const SLOTS: usize = 1 << TURN_BITS;
/// Enough for all times there are: slots are 4 ms, 1 s, 268 s, 19 h, 203 days, 143 years and 36,534 years wide.
const LEVELS: usize = 7;
/// What a slot has room for is kept for the next one if it is no more than this, in events.
const SPARE_ROOM: usize = 4_096;
/// So many of these are kept.
const SPARES: usize = 64;

/// The event queue: totally ordered by time, then by the order of insertion, and no slower with millions pending.
///
/// A hierarchy of wheels. An event waits in the coarsest slot that it does not share with the present moment, and goes down a
/// level when the present reaches that slot; the events of the finest slot are sorted. So all that happens to an event are a
/// few copies from list to list, and the ends of these lists stay in the cache: where a heap jumps through all its memory, this
/// runs through it.
///
/// Lists are in the order of insertion, and an event can only be put into a finer slot once the coarser one around it was
/// emptied. So a stable sort is all it takes for events of the same time to stay in order.
#[derive(Debug)]
pub struct EventQueue<T> {
    /// The finest slot (time / 4.096 ms) that was reached.
    cursor: u64,
    /// Its events, the next one last.
    current: Vec<Entry<T>>,
    /// What was pushed into it, or before it, since it was reached. Comes after what is in `current` of the same time.
    late: BinaryHeap<Late<T>>,
    levels: Box<[Level<T>; LEVELS]>,
    spares: Vec<Vec<Entry<T>>>,
    pushed: u64,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry<T> {
    at: Time,
    event: T,
}

#[derive(Clone, Copy, Debug)]
struct Late<T> {
    entry: Entry<T>,
    seq: u64,
}

#[derive(Debug)]
struct Level<T> {
    slots: [Vec<Entry<T>>; SLOTS],
    /// A bit for each slot that is not empty.
    occupied: [u64; SLOTS / 64],
}

impl<T: Copy> EventQueue<T> {
    /// An empty queue.
    pub fn new() -> Self {
        Self {
            cursor: 0,
            current: Vec::new(),
            late: BinaryHeap::new(),
            levels: Box::new(std::array::from_fn(|_| Level::new())),
            spares: Vec::new(),
            pushed: 0,
            len: 0,
        }
    }

    /// Adds an event. Among events of the same time, the one pushed first comes first.
    #[inline]
    pub fn push(&mut self, at: Time, event: T) {
        self.len += 1;
        let entry = Entry { at, event };
        if slot_of(at) > self.cursor {
            self.place(entry);
        } else {
            self.late.push(Late { entry, seq: self.pushed });
            self.pushed += 1;
        }
    }

    /// When the next event is due. Takes `&mut self` because finding out may move the wheels on.
    pub fn next_at(&mut self) -> Option<Time> {
        self.advance();
        let current = self.current.last().map(|entry| entry.at);
        current.into_iter().chain(self.late.peek().map(|late| late.entry.at)).min()
    }

    /// Takes the next event.
    #[inline]
    pub fn pop(&mut self) -> Option<(Time, T)> {
        self.advance();
        let entry = match (self.current.last(), self.late.peek()) {
            (Some(entry), Some(late)) if late.entry.at < entry.at => self.late.pop()?.entry,
            (Some(_), _) => self.current.pop()?,
            (None, _) => self.late.pop()?.entry,
        };
        self.len -= 1;
        Some((entry.at, entry.event))
    }

    /// How many events are pending.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts an event that is due after the current slot where it waits.
    #[inline]
    fn place(&mut self, entry: Entry<T>) {
        let slot = slot_of(entry.at);
        let level = (slot ^ self.cursor).ilog2() / TURN_BITS;
        let index = digit(slot, level);
        let level = &mut self.levels[level as usize];
        let list = &mut level.slots[index];
        if list.capacity() == 0
            && let Some(spare) = self.spares.pop()
        {
            *list = spare;
        }
        list.push(entry);
        level.occupied[index / 64] |= 1 << (index % 64);
    }

    /// Makes `current` or `late` hold the next event, if there is any.
    #[inline]
    fn advance(&mut self) {
        while self.current.is_empty() && self.late.is_empty() && self.len > 0 {
            self.turn();
        }
    }

    /// Moves on to the next slot that is not empty, on the finest level that has one.
    fn turn(&mut self) {
        let next = (0u32..)
            .zip(self.levels.iter())
            .find_map(|(n, level)| Some((n, level.after(digit(self.cursor, n))?)));
        let Some((n, index)) = next else { return };
        let shift = n * TURN_BITS;
        let above = self.cursor >> (shift + TURN_BITS);
        self.cursor = ((above << TURN_BITS) | index as u64) << shift;
        let level = &mut self.levels[n as usize];
        level.occupied[index / 64] &= !(1 << (index % 64));
        let mut list = std::mem::take(&mut level.slots[index]);
        if n == 0 {
            std::mem::swap(&mut self.current, &mut list);
        } else {
            for entry in list.drain(..) {
                if slot_of(entry.at) == self.cursor {
                    self.current.push(entry);
                } else {
                    self.place(entry);
                }
            }
        }
        self.current.reverse();
        self.current.sort_by_key(|entry| Reverse(entry.at));
        if (1..=SPARE_ROOM).contains(&list.capacity()) && self.spares.len() < SPARES {
            self.spares.push(list);
        }
    }
}

impl<T: Copy> Default for EventQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Level<T> {
    fn new() -> Self {
        Self { slots: [const { Vec::new() }; SLOTS], occupied: [0; SLOTS / 64] }
    }

    /// The next slot that is not empty, after one.
    fn after(&self, index: usize) -> Option<usize> {
        let start = index + 1;
        (start / 64..SLOTS / 64).find_map(|word| {
            let mask = if word == start / 64 { !0 << (start % 64) } else { !0 };
            let bits = self.occupied[word] & mask;
            (bits != 0).then(|| word * 64 + bits.trailing_zeros() as usize)
        })
    }
}

fn slot_of(at: Time) -> u64 {
    at.as_micros() >> WIDTH_BITS
}

/// Which slot of a level a time is in.
fn digit(slot: u64, level: u32) -> usize {
    (slot >> (level * TURN_BITS)) as usize % SLOTS
}

/// Reversed, because [`BinaryHeap`] pops the greatest.
impl<T> Ord for Late<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.entry.at, other.seq).cmp(&(self.entry.at, self.seq))
    }
}

impl<T> PartialOrd for Late<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Late<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Late<T> {}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;
    use crate::engine::{Draws, Subject};

    /// Does the same to a queue and to a plain heap, and compares everything they say.
    fn agree(steps: impl Iterator<Item = (bool, u64)>) {
        let (mut queue, mut plain) = (EventQueue::new(), BinaryHeap::new());
        let (mut now, mut pushed) = (0, 0u64);
        for (pop, ahead) in steps {
            if pop {
                let expected = plain.pop().map(|Reverse((at, seq))| (Time::from_micros(at), seq));
                assert_eq!(queue.next_at(), expected.map(|(at, _)| at));
                assert_eq!(queue.pop(), expected);
                now = expected.map_or(now, |(at, _)| at.as_micros());
            } else {
                queue.push(Time::from_micros(now + ahead), pushed);
                plain.push(Reverse((now + ahead, pushed)));
                pushed += 1;
            }
            assert_eq!(queue.len(), plain.len());
        }
        while let Some(Reverse((at, seq))) = plain.pop() {
            assert_eq!(queue.pop(), Some((Time::from_micros(at), seq)));
        }
        assert_eq!(queue.pop(), None);
        assert!(queue.is_empty());
    }

    quickcheck! {
        fn pops_as_a_plain_heap_does(steps: Vec<(bool, u32, u8)>) -> bool {
            // The shift spreads the delays from microseconds to an hour: all levels.
            agree(steps.into_iter().map(|(pop, ahead, shift)| (pop, u64::from(ahead) >> (shift % 32))));
            true
        }
    }

    #[test]
    fn a_long_mixed_run_pops_as_a_plain_heap_does() {
        let draws = Draws::new(1);
        agree((0..60_000).map(|i| {
            let draw = |of: u64| draws.below(Subject::Scenario(0), 4 * i + of, 1 << 32);
            let ahead = match draw(0) % 10 {
                0 => 0,
                1..=6 => 20_000 + draw(1) % 180_000,
                7..=8 => draw(1) % 5_000_000,
                _ => draw(1) % 900_000_000,
            };
            (draw(2) % 100 < 48, ahead)
        }));
    }

    #[test]
    fn turns_of_all_levels_are_told_apart() {
        let turns = (0..LEVELS as u32).map(|level| 1u64 << (WIDTH_BITS + level * TURN_BITS));
        let mut times: Vec<u64> = turns.flat_map(|turn| [turn - 1, turn, turn + 5, 2 * turn + 5]).collect();
        times.extend([0, 5, 5]);
        let mut queue = EventQueue::new();
        for at in times.iter().rev() {
            queue.push(Time::from_micros(*at), *at);
        }
        times.sort_unstable();
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, at)| at).collect();
        assert_eq!(order, times);
    }

    #[test]
    fn what_comes_at_one_time_stays_in_order_through_all_levels() {
        let far = Time::from_micros(1 << 40);
        let mut queue = EventQueue::new();
        (0..5).for_each(|n| queue.push(far, n));
        // Each brings the present closer, so that the next ones of `far` go into finer slots.
        for (before, n) in [(1u64 << 30, 5), (1 << 22, 6), (1 << 14, 7), (100, 8), (1, 9)] {
            let step = Time::from_micros((1 << 40) - before);
            queue.push(step, 99);
            assert_eq!(queue.pop(), Some((step, 99)));
            queue.push(far, n);
        }
        assert_eq!(queue.pop(), Some((far, 0)));
        queue.push(far, 10);
        let rest: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, n)| n).collect();
        assert_eq!(rest, (1..=10).collect::<Vec<_>>());
    }

    #[test]
    fn the_end_of_time_is_a_time() {
        let mut queue = EventQueue::new();
        queue.push(Time::from_micros(u64::MAX), 'z');
        queue.push(Time::ZERO, 'a');
        assert_eq!(queue.pop(), Some((Time::ZERO, 'a')));
        assert_eq!(queue.pop(), Some((Time::from_micros(u64::MAX), 'z')));
        queue.push(Time::from_micros(u64::MAX), 'y');
        assert_eq!(queue.pop(), Some((Time::from_micros(u64::MAX), 'y')));
    }
}
