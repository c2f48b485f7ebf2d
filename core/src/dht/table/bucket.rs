use std::time::Duration;

use super::{Entry, K};
use crate::base::Time;
use crate::dht::packed::Packed;
use crate::wire::krpc::Contact;

/// Nodes in reserve for a bucket: more than fall out of it between two refreshes.
pub(super) const SPARES: usize = 4;

/// A node that answered within this time is good (BEP 5).
const GOOD: Duration = Duration::from_secs(15 * 60);

/// How long nobody is sought for a bucket after somebody was, however many it lacks: of its part of the key space there may be
/// no more.
const SOUGHT: Duration = Duration::from_secs(5 * 60);

/// The nodes whose ids share the same number of bits with ours.
#[derive(Debug)]
pub(super) struct Bucket {
    /// In use; at most [`K`].
    pub(super) entries: Packed,
    /// Answered us while the bucket was full; at most [`SPARES`], the fastest first.
    pub(super) spares: Packed,
    /// When a node of it last answered, or when it was last refreshed.
    pub(super) touched: Time,
    /// When nodes for it were last sought.
    sought: Option<Time>,
}

impl Bucket {
    pub(super) fn new(now: Time) -> Self {
        Self { entries: Packed::default(), spares: Packed::default(), touched: now, sought: None }
    }

    /// How many nodes it could use more, if some may be sought at this moment.
    pub(super) fn needs(&self, now: Time) -> usize {
        let rests = self.sought.is_some_and(|sought| now - sought < SOUGHT);
        let live = self.entries.iter().filter(|entry| !entry.is_bad()).count();
        if rests { 0 } else { K.saturating_sub(live) }
    }

    /// Nodes for it are sought now.
    pub(super) fn seek(&mut self, now: Time) {
        (self.touched, self.sought) = (now, Some(now));
    }

    /// Whether there is a place for another, if need be a bad one's.
    pub(super) fn has_room(&self) -> bool {
        self.entries.len() < K || self.entries.iter().any(|entry| entry.is_bad())
    }

    /// Takes a node in if there is room, or in place of a bad one.
    pub(super) fn admit(&mut self, entry: Entry) -> bool {
        if self.entries.len() < K {
            self.entries.push(entry);
            return true;
        }
        let bad = self.entries.iter().enumerate().filter(|(_, entry)| entry.is_bad());
        match bad.max_by_key(|(_, entry)| entry.failures) {
            Some((at, _)) => {
                self.entries.set(at, entry);
                true
            }
            None => false,
        }
    }

    /// Keeps a node in reserve, and names the one not heard of for longest if that is long.
    pub(super) fn keep_spare(&mut self, now: Time, entry: Entry) -> Option<Contact> {
        if let Some((at, _)) = find(&self.spares, |spare| spare.contact.id == entry.contact.id) {
            self.spares.remove(at);
        }
        let slower = find(&self.spares, |spare| spare.rtt > entry.rtt);
        self.spares.insert(slower.map_or(self.spares.len(), |(at, _)| at), entry);
        self.spares.remove(SPARES);
        let stalest = self.entries.iter().min_by_key(|entry| entry.answered)?;
        (now - stalest.answered > GOOD).then_some(stalest.contact)
    }

    /// The node at a place did not answer. Returns it if it should be asked again at once, because another waits for its
    /// place.
    pub(super) fn failed(&mut self, at: usize, mut entry: Entry) -> Option<Contact> {
        entry.failures = entry.failures.saturating_add(1);
        let is_awaited = !self.spares.is_empty();
        if entry.is_hopeless() || (entry.is_bad() && is_awaited) {
            self.entries.remove(at);
            return None;
        }
        self.entries.set(at, entry);
        is_awaited.then_some(entry.contact)
    }

    /// Takes the fastest out of the reserve, if there is a free place.
    pub(super) fn take_spare(&mut self) -> Option<Entry> {
        if self.entries.len() < K { self.spares.remove(0) } else { None }
    }
}

pub(super) fn find(nodes: &Packed, is_it: impl Fn(&Entry) -> bool) -> Option<(usize, Entry)> {
    nodes.iter().enumerate().find(|(_, entry)| is_it(entry))
}
