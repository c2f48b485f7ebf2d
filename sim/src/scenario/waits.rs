//! How long things took that had to come. The checker says what is owed; this remembers since when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use folkmoot_core::base::Time;

use super::property::Property;

/// How long something took that had to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What.
    pub property: Property,
    /// From the moment at which nothing stood in its way any more.
    pub took: Duration,
}

/// Who owes a connection, or its end, to whom in which meeting.
pub(super) type Pair = (usize, usize, u8);

/// What is owed, since when.
#[derive(Debug, Default)]
pub(super) struct Waits {
    connections: BTreeMap<Pair, Time>,
    ends: BTreeMap<Pair, (Time, Property)>,
    /// Since when two can meet.
    able: BTreeMap<Pair, Time>,
    /// Since when there have been members between two who cannot meet.
    joined: BTreeMap<Pair, Time>,
    /// Since when somebody could have found somebody.
    finds: BTreeMap<(usize, u8), Time>,
    /// Since when somebody has had to be told that something is wrong.
    words: BTreeMap<(usize, u8), Time>,
    /// Which runs of the two have been connected.
    met: BTreeMap<Pair, BTreeSet<(u32, u32)>>,
    pub(super) samples: Vec<Sample>,
}

impl Waits {
    /// Whether a connection is owed now.
    pub(super) fn connection(&mut self, now: Time, pair: Pair, owed: bool) {
        keep(&mut self.connections, pair, now, owed);
    }

    /// Whether the end of a connection is owed now.
    pub(super) fn end(&mut self, now: Time, pair: Pair, owed: Option<Property>) {
        match owed {
            Some(property) => drop(self.ends.entry(pair).or_insert((now, property))),
            None => drop(self.ends.remove(&pair)),
        }
    }

    /// Whether two can meet now, in a meeting that both are in.
    pub(super) fn able(&mut self, now: Time, pair: Pair, able: bool) {
        keep(&mut self.able, pair, now, able);
    }

    /// Whether two who cannot meet now have members between them, in a meeting that all are in.
    pub(super) fn joined(&mut self, now: Time, pair: Pair, joined: bool) {
        keep(&mut self.joined, pair, now, joined);
    }

    /// Whether somebody is in a meeting, alone, and could find somebody.
    pub(super) fn find(&mut self, now: Time, who: usize, meeting: u8, owed: bool) {
        keep(&mut self.finds, (who, meeting), now, owed);
    }

    /// Whether somebody is to be told, in a meeting, that something is wrong.
    pub(super) fn word(&mut self, now: Time, who: usize, meeting: u8, owed: bool) {
        keep(&mut self.words, (who, meeting), now, owed);
    }

    /// Two are connected.
    pub(super) fn connected(&mut self, at: Time, pair: Pair, runs: (u32, u32)) {
        let property = self.property(pair, runs);
        if let Some(since) = self.connections.remove(&pair) {
            self.sample(property, since, at);
        }
        if let Some(since) = self.finds.remove(&(pair.0, pair.2)) {
            self.sample(Property::Find, since, at);
        }
        self.met.entry(pair).or_default().insert(runs);
    }

    /// Two are no longer connected.
    pub(super) fn disconnected(&mut self, at: Time, pair: Pair) {
        if let Some((since, property)) = self.ends.remove(&pair) {
            self.sample(property, since, at);
        }
    }

    /// Somebody has heard what was said at `said`. The author is the first of the two.
    pub(super) fn heard(&mut self, at: Time, said: Time, pair: Pair) {
        if let Some(able) = self.able.get(&pair) {
            self.sample(Property::Hear, said.max(*able), at);
        } else if let Some(joined) = self.joined.get(&pair) {
            self.sample(Property::Passage, said.max(*joined), at);
        }
    }

    /// An author, the first of the two, knows that the other has what was said at `said`.
    pub(super) fn acknowledged(&mut self, at: Time, said: Time, pair: Pair) {
        if let Some(able) = self.able.get(&pair) {
            self.sample(Property::Acknowledge, said.max(*able), at);
        }
    }

    /// Somebody is told that something is wrong.
    pub(super) fn told(&mut self, at: Time, who: usize) {
        let words = std::mem::take(&mut self.words).into_iter();
        let (told, rest): (BTreeMap<_, _>, _) = words.partition(|((of, _), _)| *of == who);
        self.words = rest;
        for since in told.into_values() {
            self.sample(Property::Told, since, at);
        }
    }

    /// Which property a connection of two runs is owed by.
    pub(super) fn property(&self, pair: Pair, runs: (u32, u32)) -> Property {
        let met = self.met.get(&pair).is_some_and(|met| met.contains(&runs));
        if met { Property::Return } else { Property::Connect }
    }

    fn sample(&mut self, property: Property, since: Time, at: Time) {
        self.samples.push(Sample { property, took: at.saturating_since(since) });
    }
}

/// Remembers since when something holds, for as long as it does.
fn keep<K: Ord>(since: &mut BTreeMap<K, Time>, what: K, now: Time, holds: bool) {
    if holds {
        since.entry(what).or_insert(now);
    } else {
        since.remove(&what);
    }
}
