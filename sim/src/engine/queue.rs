use std::cmp::Ordering;
use std::collections::BinaryHeap;

use folkmoot_core::base::Time;

/// Slots in the ring.
const SLOTS: u64 = 1 << 16;
/// A slot is 2^12 µs = 4.096 ms wide, so the ring reaches 268 s ahead.
const WIDTH_BITS: u32 = 12;
/// The end of a list.
const NIL: u32 = u32::MAX;

/// The event queue: totally ordered by time, then by the order of insertion, and no slower with millions pending.
///
/// Events of the current 4 ms wait in a small heap; those of the next 268 s in a ring of slots, each an unsorted list,
/// with a two-level bitmap to find the next one that is not empty; later ones in a big heap. Nearly every event of a
/// network is in the ring, where pushing costs the same at any load.
#[derive(Debug)]
pub struct EventQueue<T> {
    /// The slot (time / 4.096 ms) whose events are in `current`.
    cursor: u64,
    current: BinaryHeap<Entry<T>>,
    heads: Box<[u32]>,
    occupied: Bitmap,
    cells: Vec<Cell<T>>,
    free: u32,
    far: BinaryHeap<Entry<T>>,
    pushed: u64,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry<T> {
    at: Time,
    seq: u64,
    event: T,
}

#[derive(Clone, Copy, Debug)]
struct Cell<T> {
    entry: Entry<T>,
    next: u32,
}

impl<T: Copy> EventQueue<T> {
    /// An empty queue.
    pub fn new() -> Self {
        Self {
            cursor: 0,
            current: BinaryHeap::new(),
            heads: vec![NIL; SLOTS as usize].into_boxed_slice(),
            occupied: Bitmap::new(),
            cells: Vec::new(),
            free: NIL,
            far: BinaryHeap::new(),
            pushed: 0,
            len: 0,
        }
    }

    /// Adds an event. Among events of the same time, the one pushed first comes first.
    pub fn push(&mut self, at: Time, event: T) {
        let entry = Entry { at, seq: self.pushed, event };
        self.pushed += 1;
        self.len += 1;
        let slot = slot_of(at);
        if slot <= self.cursor {
            self.current.push(entry);
        } else if slot - self.cursor < SLOTS {
            self.push_ring(slot, entry);
        } else {
            self.far.push(entry);
        }
    }

    /// When the next event is due. Takes `&mut self` because finding out may move the ring on.
    pub fn next_at(&mut self) -> Option<Time> {
        self.advance();
        self.current.peek().map(|entry| entry.at)
    }

    /// Takes the next event.
    pub fn pop(&mut self) -> Option<(Time, T)> {
        self.advance();
        let entry = self.current.pop()?;
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

    fn push_ring(&mut self, slot: u64, entry: Entry<T>) {
        let index = (slot % SLOTS) as usize;
        let cell = Cell { entry, next: self.heads[index] };
        let handle = if self.free == NIL {
            self.cells.push(cell);
            (self.cells.len() - 1) as u32
        } else {
            let handle = self.free;
            self.free = std::mem::replace(&mut self.cells[handle as usize], cell).next;
            handle
        };
        self.heads[index] = handle;
        self.occupied.set(index);
    }

    /// Makes `current` hold the next event, if there is any.
    fn advance(&mut self) {
        if !self.current.is_empty() {
            return;
        }
        let near =
            self.occupied.next(((self.cursor + 1) % SLOTS) as usize).map(|steps| self.cursor + 1 + steps);
        let far = self.far.peek().map(|entry| slot_of(entry.at));
        let Some(slot) = near.into_iter().chain(far).min() else { return };
        self.cursor = slot;
        let mut due = std::mem::take(&mut self.current).into_vec();
        if near == Some(slot) {
            self.take_slot((slot % SLOTS) as usize, &mut due);
        }
        while let Some(entry) = self.far.peek().filter(|entry| slot_of(entry.at) == slot) {
            due.push(*entry);
            self.far.pop();
        }
        self.current = due.into();
    }

    fn take_slot(&mut self, index: usize, into: &mut Vec<Entry<T>>) {
        let mut handle = std::mem::replace(&mut self.heads[index], NIL);
        self.occupied.clear(index);
        while handle != NIL {
            let cell = &mut self.cells[handle as usize];
            into.push(cell.entry);
            let next = std::mem::replace(&mut cell.next, self.free);
            self.free = handle;
            handle = next;
        }
    }
}

impl<T: Copy> Default for EventQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

fn slot_of(at: Time) -> u64 {
    at.as_micros() >> WIDTH_BITS
}

/// Reversed, because [`BinaryHeap`] pops the greatest.
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.seq).cmp(&(self.at, self.seq))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

/// Which slots are not empty: a bit each, and above them a bit for each word that is not zero.
#[derive(Debug)]
struct Bitmap {
    words: Box<[u64; 1024]>,
    summary: [u64; 16],
}

impl Bitmap {
    fn new() -> Self {
        Self { words: Box::new([0; 1024]), summary: [0; 16] }
    }

    fn set(&mut self, bit: usize) {
        self.words[bit / 64] |= 1 << (bit % 64);
        self.summary[bit / 4096] |= 1 << (bit / 64 % 64);
    }

    fn clear(&mut self, bit: usize) {
        let word = &mut self.words[bit / 64];
        *word &= !(1 << (bit % 64));
        if *word == 0 {
            self.summary[bit / 4096] &= !(1 << (bit / 64 % 64));
        }
    }

    /// How many steps from `start` the next bit set is, going round.
    fn next(&self, start: usize) -> Option<u64> {
        let bit = self.at_or_after(start).or_else(|| self.at_or_after(0))?;
        Some((bit as u64).wrapping_sub(start as u64) % SLOTS)
    }

    fn at_or_after(&self, start: usize) -> Option<usize> {
        let word = start / 64;
        let here = self.words[word] & (!0 << (start % 64));
        if here != 0 {
            return Some(word * 64 + here.trailing_zeros() as usize);
        }
        let from = word + 1;
        (from / 64..16).find_map(|group| {
            let mask = if group == from / 64 { !0 << (from % 64) } else { !0 };
            let words = self.summary[group] & mask;
            (words != 0).then(|| {
                let word = group * 64 + words.trailing_zeros() as usize;
                word * 64 + self.words[word].trailing_zeros() as usize
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

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
            // The shift spreads the delays from microseconds to an hour: current slot, ring and far heap.
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
    fn slots_a_full_turn_apart_are_not_mixed_up() {
        let turn = SLOTS << WIDTH_BITS;
        let mut queue = EventQueue::new();
        for at in [2 * turn + 5, turn + 5, 5, turn - 1, turn, 0] {
            queue.push(Time::from_micros(at), at);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, at)| at).collect();
        assert_eq!(order, [0, 5, turn - 1, turn, turn + 5, 2 * turn + 5]);
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
