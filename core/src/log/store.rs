use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use super::entry::Entry;
use crate::base::{DeviceId, Time};
use crate::limits;
use crate::wire::frame::log::{Admission, LogId, MAX_MISSING};

/// All logs of a meeting that are held, ours among them, within the limits on their number and size.
#[derive(Debug)]
pub(super) struct Store {
    me: LogId,
    logs: BTreeMap<LogId, Held>,
    /// Of devices whose oldest logs were forgotten: runs up to this one are not taken in again, or what was in them
    /// would be shown twice.
    forgotten: BTreeMap<DeviceId, u64>,
    entries: usize,
    bytes: usize,
    /// The entries that were not shown yet, in the order in which they came.
    unread: VecDeque<(LogId, u64)>,
    unread_bytes: usize,
}

/// What is held of one log: `start..next`, and of what is before that whatever came.
#[derive(Debug)]
pub(super) struct Held {
    entries: BTreeMap<u64, Entry>,
    /// From here on there is no gap.
    start: u64,
    /// The first entry after all that are held.
    next: u64,
    /// What was gone on without, in order, all before `start`: still welcome.
    missing: Vec<Range<u64>>,
    bytes: usize,
    /// From which entry on a device may have the log, for the devices that it is known of.
    pub(super) admitted: BTreeMap<DeviceId, u64>,
    /// The proof that we may have the log.
    pub(super) admission: Option<Admission>,
    /// Entries before this one were said before we were connected to anyone who has them.
    head: u64,
    /// The entries that were not shown yet.
    unread: BTreeSet<u64>,
    /// The newest entry shown: those before it come late.
    shown: u64,
}

/// An entry for the application.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) log: LogId,
    pub(super) seq: u64,
    pub(super) entry: Entry,
    pub(super) history: bool,
}

impl Store {
    pub(super) fn new(me: LogId) -> Self {
        let mut logs = BTreeMap::new();
        logs.insert(me, Held::new(0, 0));
        Self {
            me,
            logs,
            forgotten: BTreeMap::new(),
            entries: 0,
            bytes: 0,
            unread: VecDeque::new(),
            unread_bytes: 0,
        }
    }

    pub(super) fn get(&self, log: LogId) -> Option<&Held> {
        self.logs.get(&log)
    }

    pub(super) fn get_mut(&mut self, log: LogId) -> Option<&mut Held> {
        self.logs.get_mut(&log)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = LogId> + '_ {
        self.logs.keys().copied()
    }

    /// Whether another entry may be taken in before the application has drained some.
    pub(super) fn has_room(&self) -> bool {
        self.unread.len() < limits::LOG_UNREAD && self.unread_bytes < limits::LOG_UNREAD_BYTES
    }

    /// Whether so much was drained that what was thrown away may be asked for again.
    pub(super) fn has_ample_room(&self) -> bool {
        self.unread.len() <= limits::LOG_UNREAD / 2 && self.unread_bytes <= limits::LOG_UNREAD_BYTES / 2
    }

    /// Whether a log that is not ours may be taken in.
    pub(super) fn accepts(&self, log: LogId) -> bool {
        log.device != self.me.device
            && self.forgotten.get(&log.device).is_none_or(|&run| log.incarnation.0 > run)
    }

    /// Begins to hold a log from entry `start` on, of which those before `head` are history, forgetting another log if there are
    /// too many. `false` if that cannot be.
    pub(super) fn begin(
        &mut self,
        log: LogId,
        start: u64,
        head: u64,
        keep: impl Fn(DeviceId) -> bool,
    ) -> bool {
        let runs: Vec<_> = self.logs.keys().filter(|held| held.device == log.device).copied().collect();
        if let Some(&oldest) = runs.first()
            && runs.len() >= limits::LOG_RUNS
            && (log < oldest || !self.forget(oldest))
        {
            return false;
        }
        if self.logs.len() >= limits::LOGS {
            let stalest = self
                .logs
                .iter()
                .filter(|(id, held)| **id != self.me && !keep(id.device) && held.is_shown())
                .min_by_key(|(_, held)| held.newest())
                .map(|(id, _)| *id);
            if !stalest.is_some_and(|stalest| self.forget(stalest)) {
                return false;
            }
        }
        self.logs.insert(log, Held::new(start, head));
        true
    }

    /// Forgets a log, unless something in it was not shown yet.
    fn forget(&mut self, log: LogId) -> bool {
        if log == self.me || !self.logs.get(&log).is_some_and(Held::is_shown) {
            return false;
        }
        if let Some(held) = self.logs.remove(&log) {
            self.entries -= held.entries.len();
            self.bytes -= held.bytes;
            let run = self.forgotten.entry(log.device).or_default();
            *run = log.incarnation.0.max(*run);
        }
        true
    }

    /// Adds an entry of a log that is held: the next, or one that is missing. An entry of ours counts as shown.
    pub(super) fn insert(&mut self, log: LogId, seq: u64, entry: Entry) {
        let Some(held) = self.logs.get_mut(&log) else { return };
        let memory = entry.memory();
        for device in &entry.admits {
            if held.admitted.len() < limits::LOG_DEVICES || held.admitted.contains_key(device) {
                let first = held.admitted.entry(*device).or_insert(seq);
                *first = seq.min(*first);
            }
        }
        let is_first = held.admission.as_ref().is_none_or(|admission| seq < admission.seq);
        if is_first && log != self.me && entry.admits.contains(&self.me.device) {
            held.admission = Some(entry.admission(seq));
        }
        if log != self.me {
            self.unread.push_back((log, seq));
            self.unread_bytes += memory;
            held.unread.insert(seq);
        }
        held.insert(seq, entry);
        held.bytes += memory;
        self.entries += 1;
        self.bytes += memory;
    }

    /// The next entry to show.
    pub(super) fn pop_unread(&mut self) -> Option<Unread> {
        let (log, seq) = self.unread.pop_front()?;
        let held = self.logs.get_mut(&log)?;
        let entry = held.get(seq)?.clone();
        held.unread.remove(&seq);
        self.unread_bytes -= entry.memory();
        let history = seq < held.head || seq < held.shown;
        held.shown = held.shown.max(seq);
        Some(Unread { log, seq, entry, history })
    }

    /// Drops the oldest entries of the largest logs until the limits hold: those that were shown, and of our own those
    /// before `confirmed`. The largest first, so that who says most loses most.
    pub(super) fn make_room(&mut self, confirmed: u64) {
        while self.entries > limits::LOG_ENTRIES || self.bytes > limits::LOG_BYTES {
            let me = self.me;
            let dispensable = |id: LogId, held: &Held| {
                let oldest = held.entries.first_key_value();
                oldest.is_some_and(
                    |(seq, _)| if id == me { *seq < confirmed } else { !held.unread.contains(seq) },
                )
            };
            let largest = self
                .logs
                .iter_mut()
                .filter(|(id, held)| dispensable(**id, held))
                .max_by_key(|(_, held)| held.bytes);
            let Some((_, held)) = largest else { return };
            let Some((seq, entry)) = held.entries.pop_first() else { return };
            held.start = held.start.max(seq + 1);
            held.bytes -= entry.memory();
            self.bytes -= entry.memory();
            self.entries -= 1;
        }
    }

    /// Entries and bytes held.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        let entries = self.logs.values().map(|held| held.entries.len()).sum::<usize>();
        let bytes =
            self.logs.values().flat_map(|held| held.entries.values()).map(Entry::memory).sum::<usize>();
        assert_eq!((entries, bytes), (self.entries, self.bytes), "the accounts are wrong");
        (entries, bytes)
    }
}

impl Held {
    fn new(start: u64, head: u64) -> Self {
        Self {
            entries: BTreeMap::new(),
            start,
            next: start,
            missing: Vec::new(),
            bytes: 0,
            admitted: BTreeMap::new(),
            admission: None,
            head,
            unread: BTreeSet::new(),
            shown: 0,
        }
    }

    /// Goes on at `start`: nobody who is here has what lies between. That is still welcome, unless much is missing already.
    pub(super) fn skip_to(&mut self, start: u64) {
        if self.missing.len() < MAX_MISSING && self.next < start {
            self.missing.push(self.next..start);
        }
        (self.start, self.next) = (start, start);
    }

    fn insert(&mut self, seq: u64, entry: Entry) {
        self.entries.insert(seq, entry);
        if seq == self.next {
            self.next += 1;
            return;
        }
        let mut left = Vec::new();
        for gap in self.missing.drain(..) {
            left.extend([gap.start..gap.end.min(seq), gap.start.max(seq + 1)..gap.end]);
        }
        left.retain(|gap| !gap.is_empty());
        self.missing = left;
        while self.start > 0 && self.entries.contains_key(&(self.start - 1)) {
            self.start -= 1;
        }
    }

    /// What was gone on without.
    pub(super) fn missing(&self) -> &[Range<u64>] {
        &self.missing
    }

    /// Whether an entry is missing and may come now: not if that would leave too many gaps.
    pub(super) fn may_fill(&self, seq: u64) -> bool {
        let mut gaps = self.missing.iter();
        gaps.any(|gap| {
            let is_at_edge = seq == gap.start || seq + 1 == gap.end;
            gap.contains(&seq) && (is_at_edge || self.missing.len() < MAX_MISSING)
        })
    }

    /// The oldest entry from which on there is no gap; [`Held::next`] if none is held.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// The first entry not held.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn get(&self, seq: u64) -> Option<&Entry> {
        self.entries.get(&seq)
    }

    /// The first entry of some that is held.
    pub(super) fn first_of(&self, range: Range<u64>) -> Option<u64> {
        let mut held = (!range.is_empty()).then(|| self.entries.range(range)).into_iter().flatten();
        held.next().map(|(seq, _)| *seq)
    }

    /// The entries from the first of some on, up to the first that is not held.
    pub(super) fn run(&self, range: Range<u64>) -> impl Iterator<Item = &Entry> {
        let seqs = range.start..;
        self.entries
            .range(range)
            .zip(seqs)
            .take_while(|((seq, _), next)| *seq == next)
            .map(|((_, entry), _)| entry)
    }

    /// When the newest entry held came.
    pub(super) fn newest(&self) -> Option<Time> {
        self.entries.values().next_back().map(|entry| entry.got)
    }

    fn is_shown(&self) -> bool {
        self.unread.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Incarnation, UnixTime};

    fn log(device: u16, run: u64) -> LogId {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&device.to_be_bytes());
        LogId { device: DeviceId(id), incarnation: Incarnation(run) }
    }

    fn entry(got: u64) -> Entry {
        let (at, got) = (UnixTime::default(), Time::from_millis(got));
        Entry { at, text: "x".into(), admits: [].into(), signature: [0; 64], got }
    }

    #[test]
    fn beyond_the_limit_the_stalest_log_is_forgotten_for_good() {
        let mut store = Store::new(log(0, 1));
        let all = u16::try_from(limits::LOGS).unwrap();
        for device in 1..all {
            assert!(store.begin(log(device, 5), 0, 0, |_| false));
            store.insert(log(device, 5), 0, entry(10_000 - u64::from(device)));
        }
        assert!(!store.begin(log(all, 5), 0, 0, |_| false), "nothing was shown yet");
        while store.pop_unread().is_some() {}
        let stalest = log(all - 1, 5);
        assert!(!store.begin(log(all, 5), 0, 0, |_| true), "all are linked");
        assert!(store.begin(log(all, 5), 0, 0, |device| device != stalest.device));
        assert!(store.get(stalest).is_none());
        assert!(!store.accepts(stalest), "or it would be shown twice");
        assert!(!store.accepts(log(all - 1, 4)));
        assert!(store.accepts(log(all - 1, 6)));
        assert_eq!(store.ids().count(), limits::LOGS);
        store.size();
    }

    #[test]
    fn who_says_most_loses_most() {
        let mut store = Store::new(log(0, 1));
        for (device, count) in [(1, 10), (2, limits::LOG_ENTRIES)] {
            assert!(store.begin(log(device, 1), 0, 0, |_| false));
            for n in 0..count {
                store.insert(log(device, 1), n as u64, entry(n as u64));
                store.pop_unread();
                store.make_room(0);
            }
        }
        assert_eq!(store.get(log(1, 1)).unwrap().start(), 0);
        assert_eq!(store.get(log(2, 1)).unwrap().start(), 10);
        assert_eq!(store.size().0, limits::LOG_ENTRIES);
    }
}
