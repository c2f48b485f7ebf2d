use std::collections::VecDeque;
use std::ops::Range;

use crate::wire::frame::log::Have;

/// How much of our log a device has taken in.
#[derive(Debug)]
pub(super) struct Confirmed {
    /// The first entry that admits it.
    first: u64,
    /// The first entry it has neither taken in nor gone on without.
    pub(super) next: u64,
    /// What it went on without, and would still take in.
    missing: Vec<Range<u64>>,
    /// What it has taken in, but the application was not told of.
    pub(super) untold: VecDeque<Range<u64>>,
}

impl Confirmed {
    /// A device that is admitted from entry `first` on.
    pub(super) fn new(first: u64) -> Self {
        Self { first, next: first, missing: Vec::new(), untold: VecDeque::new() }
    }

    /// Whether the device was admitted before entry `seq` and has confirmed nothing.
    pub(super) fn is_waiting(&self, seq: u64) -> bool {
        self.next == self.first && self.first < seq
    }

    /// The first entry that the device would still take in.
    pub(super) fn lacks(&self) -> u64 {
        self.missing.first().map_or(self.next, |gap| gap.start)
    }

    /// Takes in what the device says it holds. A run that has less than one before it had confirms nothing.
    pub(super) fn handle_have(&mut self, have: &Have) {
        if have.start == have.next || have.next < self.next {
            return;
        }
        for gap in std::mem::take(&mut self.missing) {
            let (still, filled) = split(gap, &have.missing);
            self.missing.extend(still);
            self.untold.extend(filled);
        }
        if have.next > self.next {
            // What it got and dropped before it could tell us cannot be told from what it went on without for good.
            let taken = have.start.max(self.next)..have.next;
            let (missing, _) = split(self.next..taken.start, &have.missing);
            self.missing.extend(missing);
            self.next = taken.end;
            self.untold.push_back(taken);
        }
    }
}

/// Splits what lies in some `gaps`, which are in order, from what does not.
fn split(range: Range<u64>, gaps: &[Range<u64>]) -> (Vec<Range<u64>>, Vec<Range<u64>>) {
    let (mut within, mut between, mut from) = (Vec::new(), Vec::new(), range.start);
    for gap in gaps {
        let gap = gap.start.clamp(from, range.end)..gap.end.clamp(from, range.end);
        between.push(from..gap.start);
        from = gap.end;
        within.push(gap);
    }
    between.push(from..range.end);
    within.retain(|part| !part.is_empty());
    between.retain(|part| !part.is_empty());
    (within, between)
}
