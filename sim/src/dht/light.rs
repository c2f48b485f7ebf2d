use std::time::Duration;

use super::ambient::K;
use crate::engine::{Draws, Subject};

/// A DHT of which every node's routing table is stored, in 32 bits an entry, while nodes come and go: to see what a
/// network does to tables over hours. No bytes, no datagrams; a question is answered within the second in which it is asked.
///
/// A node that leaves is replaced by a new one, so there are always as many. Each asks one of those that it knows every ten
/// seconds, as a serving node of ours does, drops who is gone, and fills free places with who is named and there.
#[derive(Debug)]
pub struct Light {
    draws: Draws,
    drawn: u64,
    half_life: Duration,
    second: u64,
    /// Departures owed, in millionths: they seldom come to a whole number a second.
    owed: u64,
    ids: Vec<u64>,
    /// Counts the nodes that were at a place before.
    generations: Vec<u8>,
    /// Which entry of its table each asks next.
    turns: Vec<u16>,
    buckets: usize,
    /// [`K`] entries for each bucket of each node.
    tables: Vec<Entry>,
    counts: LightCounts,
}

/// What happened in a light network so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LightCounts {
    /// Questions asked, answered or not.
    pub questions: u64,
    /// Of these: to a node that was gone.
    pub unanswered: u64,
    /// Nodes that left, each with one that came.
    pub departures: u64,
}

/// A lookup in a light network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LightLookup {
    /// Nodes asked.
    pub questions: u32,
    /// Of these: gone.
    pub unanswered: u32,
    /// How many of the eight nodes closest to the target answered.
    pub recall: u32,
}

/// A node as another one remembers it: the place in 24 bits, and in 8 which of the nodes that were there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry(u32);

impl Entry {
    const NONE: Self = Self(u32::MAX);

    fn place(self) -> usize {
        (self.0 >> 8) as usize
    }
}

const DRAW: Subject = Subject::Scenario(0x1160);
/// A node asks one of those it knows so often, in seconds.
const REFRESH: u64 = 10;
/// Of those named in an answer to that, so many are tried.
const TRIED: usize = 3;

impl Light {
    /// A network of at most 16 million nodes with complete tables, whose nodes leave so that half are gone after
    /// `half_life`.
    pub fn new(seed: u64, nodes: u32, half_life: Duration) -> Self {
        let nodes = nodes.clamp(16, 0x00ff_fffe);
        let draws = Draws::new(seed);
        let mut ids: Vec<u64> = (0..u64::from(nodes)).map(|index| draws.at(DRAW, index << 1 | 1)).collect();
        ids.sort_unstable();
        // In the last bucket are all who share as many bits or more: few.
        let buckets = nodes.ilog2() as usize;
        let count = nodes as usize;
        let mut light = Self {
            draws,
            drawn: 0,
            half_life,
            second: 0,
            owed: 0,
            ids,
            generations: vec![0; count],
            turns: vec![0; count],
            buckets,
            tables: vec![Entry::NONE; count * buckets * K],
            counts: LightCounts::default(),
        };
        (0..count).for_each(|place| light.fill(place));
        light
    }

    /// Lets a second pass.
    pub fn step(&mut self) {
        let nodes = self.ids.len() as u64;
        // ln 2 in millionths: of n nodes, n ln 2 / T leave in a second.
        self.owed += nodes * 693_147 / self.half_life.as_secs().max(1);
        while self.owed >= 1_000_000 {
            self.owed -= 1_000_000;
            let place = self.below(nodes) as usize;
            self.replace(place);
        }
        for place in ((self.second % REFRESH)..nodes).step_by(REFRESH as usize) {
            self.refresh(place as usize);
        }
        self.second += 1;
    }

    /// How many seconds have passed.
    pub fn second(&self) -> u64 {
        self.second
    }

    /// What happened so far.
    pub fn counts(&self) -> LightCounts {
        self.counts
    }

    /// Entries in all tables, and how many of them are of nodes that are gone.
    pub fn entries(&self) -> (u64, u64) {
        let known = self.tables.iter().filter(|entry| **entry != Entry::NONE);
        known.fold((0, 0), |(all, gone), entry| (all + 1, gone + u64::from(!self.is_there(*entry))))
    }

    /// The bytes that the network takes.
    pub fn bytes(&self) -> usize {
        self.ids.len() * (8 + 1 + 2) + self.tables.len() * size_of::<Entry>()
    }

    /// Looks up so many random targets, each from a random node: the closest known is asked next, until the eight closest
    /// that answer have answered.
    pub fn look_up(&mut self, lookups: u32) -> Vec<LightLookup> {
        let mut sorted: Vec<(u64, u32)> = self.ids.iter().zip(0..).map(|(id, place)| (*id, place)).collect();
        sorted.sort_unstable();
        (0..lookups)
            .map(|_| {
                let (target, from) = (self.draw(), self.below(self.ids.len() as u64) as usize);
                let (answered, questions, unanswered) = self.search(from, target);
                let near = sorted.partition_point(|(id, _)| *id < target);
                // Those who share the longest beginning with a target are next to it in order, on one side or the other.
                let around = near.saturating_sub(64)..(near + 64).min(sorted.len());
                let mut closest: Vec<u32> = sorted[around].iter().map(|(_, place)| *place).collect();
                closest.sort_unstable_by_key(|place| self.ids[*place as usize] ^ target);
                let recall =
                    closest.iter().take(K).filter(|place| answered.contains(&(**place as usize))).count();
                LightLookup { questions, unanswered, recall: recall as u32 }
            })
            .collect()
    }

    /// The eight closest that answered, how many were asked, and how many of them were gone.
    fn search(&mut self, from: usize, target: u64) -> (Vec<usize>, u32, u32) {
        let mut candidates = self.answer(from, target);
        let (mut asked, mut gone): (Vec<Entry>, Vec<Entry>) = (Vec::new(), Vec::new());
        loop {
            candidates.sort_unstable_by_key(|entry| self.ids[entry.place()] ^ target);
            candidates.dedup();
            let next = candidates
                .iter()
                .filter(|entry| !gone.contains(entry))
                .take(K)
                .find(|entry| !asked.contains(entry));
            let Some(next) = next.copied() else { break };
            asked.push(next);
            if self.is_there(next) {
                candidates.extend(self.answer(next.place(), target));
            } else {
                gone.push(next);
            }
        }
        let alive = candidates.iter().filter(|entry| !gone.contains(entry)).take(K);
        (alive.map(|entry| entry.place()).collect(), asked.len() as u32, gone.len() as u32)
    }

    /// A node leaves, and another one comes to its place: it finds those around it, and they it.
    fn replace(&mut self, place: usize) {
        self.counts.departures += 1;
        self.ids[place] = self.draw();
        self.generations[place] = self.generations[place].wrapping_add(1);
        self.table(place).fill(Entry::NONE);
        let (own, entrance) = (self.ids[place], self.below(self.ids.len() as u64) as usize);
        let (neighbours, questions, unanswered) = self.search(entrance, own);
        self.counts.questions += u64::from(questions);
        self.counts.unanswered += u64::from(unanswered);
        for other in neighbours.into_iter().chain([entrance]).filter(|other| *other != place) {
            self.learn(place, self.entry(other));
            self.learn(other, self.entry(place));
            for named in self.answer(other, own) {
                self.try_out(place, named);
            }
        }
    }

    /// A node asks the next of those it knows, for something in a bucket at random.
    fn refresh(&mut self, place: usize) {
        let size = self.buckets * K;
        let from = usize::from(self.turns[place]);
        let table = &self.tables[place * size..][..size];
        let Some(slot) = (0..size).map(|step| (from + step) % size).find(|slot| table[*slot] != Entry::NONE)
        else {
            return;
        };
        let entry = table[slot];
        self.turns[place] = ((slot + 1) % size) as u16;
        self.counts.questions += 1;
        if !self.is_there(entry) {
            self.counts.unanswered += 1;
            self.table(place)[slot] = Entry::NONE;
            return;
        }
        let bucket = self.below(self.buckets as u64) as u32;
        let target = (self.ids[place] ^ 1 << (63 - bucket)) ^ (self.draw() & (u64::MAX >> 1 >> bucket));
        self.learn(entry.place(), self.entry(place));
        for named in self.answer(entry.place(), target).into_iter().take(TRIED) {
            self.try_out(place, named);
        }
    }

    /// A node asks somebody it was told of, if there is a place for it.
    fn try_out(&mut self, place: usize, named: Entry) {
        if named.place() == place || !self.has_place(place, named) {
            return;
        }
        self.counts.questions += 1;
        if self.is_there(named) {
            self.learn(place, named);
        } else {
            self.counts.unanswered += 1;
        }
    }

    /// What a node answers to a question for a target: the eight closest that it knows. Only the bucket of the target and
    /// the ones beside it are looked at.
    fn answer(&self, place: usize, target: u64) -> Vec<Entry> {
        let bucket = self.bucket(place, target);
        let size = self.buckets * K;
        let table = &self.tables[place * size..][..size];
        let known =
            |bucket: usize| table[bucket * K..][..K].iter().filter(|entry| **entry != Entry::NONE).copied();
        let mut named: Vec<Entry> = known(bucket).collect();
        let closest_first =
            |named: &mut [Entry]| named.sort_unstable_by_key(|entry| self.ids[entry.place()] ^ target);
        closest_first(&mut named);
        if named.len() < K {
            let from = named.len();
            (bucket + 1..self.buckets).for_each(|bucket| named.extend(known(bucket)));
            closest_first(&mut named[from..]);
        }
        for bucket in (0..bucket).rev() {
            if named.len() >= K {
                break;
            }
            let from = named.len();
            named.extend(known(bucket));
            closest_first(&mut named[from..]);
        }
        named.truncate(K);
        named
    }

    /// Fills a table with random nodes of those who belong into each bucket, while ids are in order.
    fn fill(&mut self, place: usize) {
        for bucket in 0..self.buckets {
            let (own, is_last) = (self.ids[place], bucket + 1 == self.buckets);
            let (first, shared) =
                if is_last { (own, bucket) } else { (own ^ 1 << (63 - bucket), bucket + 1) };
            let rest = u64::MAX.checked_shr(shared as u32).unwrap_or(0);
            let from = self.ids.partition_point(|id| *id < first & !rest);
            let count = self.ids[from..].partition_point(|id| *id <= first | rest);
            if count <= K {
                (from..from + count)
                    .filter(|other| *other != place)
                    .for_each(|other| self.learn(place, self.entry(other)));
            } else {
                // Distinct, and spread over all that fit: one of each eighth.
                for eighth in 0..K {
                    let (low, high) = (count * eighth / K, count * (eighth + 1) / K);
                    let other = from + low + self.below((high - low) as u64) as usize;
                    if other != place {
                        self.table(place)[bucket * K + eighth] = self.entry(other);
                    }
                }
            }
        }
    }

    /// A node remembers another one, if there is a place for it.
    fn learn(&mut self, place: usize, other: Entry) {
        let bucket = self.bucket(place, self.ids[other.place()]);
        let entries = &mut self.table(place)[bucket * K..][..K];
        if !entries.contains(&other)
            && let Some(free) = entries.iter_mut().find(|entry| **entry == Entry::NONE)
        {
            *free = other;
        }
    }

    fn has_place(&self, place: usize, other: Entry) -> bool {
        let bucket = self.bucket(place, self.ids[other.place()]);
        let entries = &self.tables[(place * self.buckets + bucket) * K..][..K];
        !entries.contains(&other) && entries.contains(&Entry::NONE)
    }

    fn bucket(&self, place: usize, id: u64) -> usize {
        ((self.ids[place] ^ id).leading_zeros() as usize).min(self.buckets - 1)
    }

    fn table(&mut self, place: usize) -> &mut [Entry] {
        let size = self.buckets * K;
        &mut self.tables[place * size..][..size]
    }

    fn entry(&self, place: usize) -> Entry {
        Entry((place as u32) << 8 | u32::from(self.generations[place]))
    }

    fn is_there(&self, entry: Entry) -> bool {
        self.entry(entry.place()) == entry
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.draws.at(DRAW, self.drawn << 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn recall(light: &mut Light) -> u32 {
        light.look_up(50).iter().map(|lookup| lookup.recall).sum()
    }

    #[test]
    fn at_rest_everybody_is_found_and_nobody_is_gone() {
        let mut light = Light::new(1, 3_000, HOUR);
        let (entries, gone) = light.entries();
        assert!(entries > 3_000 * 60 && gone == 0);
        assert!(recall(&mut light) > 50 * 7, "{}", recall(&mut light));
    }

    /// Half leave in an hour, and the others keep their tables: lookups find as many as before.
    #[test]
    fn tables_follow_those_who_come_and_go() {
        let mut light = Light::new(2, 2_000, HOUR);
        (0..1_800).for_each(|_| light.step());
        let counts = light.counts();
        assert!((600..800).contains(&counts.departures), "{counts:?}");
        let (entries, gone) = light.entries();
        assert!(gone > 0 && gone * 4 < entries, "{gone} of {entries}");
        assert!(recall(&mut light) > 50 * 7 - 25, "{}", recall(&mut light));
        let mut again = Light::new(2, 2_000, HOUR);
        (0..1_800).for_each(|_| again.step());
        again.look_up(100);
        assert_eq!(again.counts(), counts, "a seed is a run");
    }
}
