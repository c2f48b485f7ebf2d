//! Scenarios drawn whole: who takes part, from where, over what links, and which faults befall them.

use super::record::{Class, Kind, Record, SECOND};
use super::script::Scenario;
use crate::engine::{Draws, Subject};

/// By which generation scenarios are drawn unless another is asked for. By another a seed means another scenario, and all can still be
/// drawn, so that what they found can be run again.
pub const GENERATION: u32 = 1;
/// The last generation there is: it knows all kinds of faults.
pub const LATEST: u32 = 2;

/// Up to six members behind anything, and up to 24 things that happen to them. In the end everyone is here and nothing is
/// broken any more; then everything owed must come.
pub(super) fn storm(draws: &Draws, generation: u32) -> Scenario {
    let mut drawing = Drawing::new(draws, generation, 0);
    let members = 2 + drawing.below(5);
    let things = 4 + drawing.below(20);
    let mut records = drawing.world(members);
    let kinds = drawing.kinds(&records[0]);
    records.extend((0..things).map(|_| drawing.thing(&kinds, members, 4)));
    Record::scenario(&records)
}

/// Four to eight members behind anything, and for half an hour something happens to them every few seconds. Every few minutes
/// all is mended, and everything owed must come.
pub(super) fn gale(draws: &Draws, generation: u32) -> Scenario {
    let mut drawing = Drawing::new(draws, generation, 1 << 32);
    let members = match generation {
        1 => 4 + drawing.below(5),
        // Large meetings cost much more a minute, and small ones find most of what there is to find.
        _ => [4, 4, 4, 5, 5, 6, 6, 7, 8][drawing.below(9) as usize],
    };
    let mut records = drawing.world(members);
    let kinds = drawing.kinds(&records[0]);
    for _ in 0..6 {
        // Waits of up to 12 s: on average a thing every 2 s, of which a part is said; of the first generation a part is not enabled.
        records.extend((0..100).map(|_| drawing.thing(&kinds, members, 3)));
        records.push(drawing.record(Kind::Calm));
    }
    Record::scenario(&records)
}

/// What happens how often: in the first generation, whether it is enabled or not.
const FIRST: [(Kind, u64); 10] = [
    (Kind::Say, 40),
    (Kind::Crash, 15),
    (Kind::Sleep, 9),
    (Kind::Leave, 7),
    (Kind::Sever, 9),
    (Kind::Split, 4),
    (Kind::Relink, 5),
    (Kind::Reboot, 5),
    (Kind::Dht, 3),
    (Kind::Stun, 3),
];

/// In the second, of what is enabled. That something is said comes on top.
const SECOND_KINDS: [(Kind, u64); 16] = [
    (Kind::Crash, 15),
    (Kind::Sleep, 9),
    (Kind::Leave, 7),
    (Kind::Sever, 9),
    (Kind::Split, 4),
    (Kind::Relink, 8),
    (Kind::Reboot, 5),
    (Kind::Dht, 3),
    (Kind::Stun, 3),
    (Kind::Move, 8),
    (Kind::Renumber, 4),
    (Kind::Unplug, 6),
    (Kind::Clock, 4),
    (Kind::Disk, 4),
    (Kind::Entries, 3),
    (Kind::Mute, 5),
];

/// Draws records: random bytes, of which those that say what and who are chosen.
struct Drawing {
    draws: Draws,
    generation: u32,
    index: u64,
}

impl Drawing {
    fn new(draws: &Draws, generation: u32, index: u64) -> Self {
        Self { draws: *draws, generation, index }
    }

    /// What the draws are for: of numbers, or of bytes.
    fn subject(&self, bytes: bool) -> Subject {
        Subject::Scenario(2 * self.generation + u32::from(bytes))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.index += 1;
        self.draws.below(self.subject(false), self.index, bound)
    }

    fn record(&mut self, kind: Kind) -> Record {
        self.index += 1;
        let mut bytes = [0; Record::SIZE];
        bytes.copy_from_slice(&self.draws.bytes(self.subject(true), self.index)[..Record::SIZE]);
        bytes[0] = Record::byte_of(kind);
        Record(bytes)
    }

    /// The record about the whole, the networks that are shared, and the homes.
    fn world(&mut self, members: u64) -> Vec<Record> {
        let mut world = self.record(Kind::Home);
        if self.generation > 1 {
            world.0[0] |= SECOND;
            // A world in which nothing can happen says nothing.
            while self.kinds(&world).len() < 3 {
                world = self.record(Kind::Home);
                world.0[0] |= SECOND;
            }
        }
        let mut records = vec![world];
        let has = |class| world.classes().has(class);
        if has(Class::Shared) || has(Class::Move) {
            let sites = 1 + self.below(3);
            records.extend((0..sites).map(|_| self.record(Kind::Site)));
        }
        records.extend((0..members).map(|_| self.record(Kind::Home)));
        records
    }

    /// What can happen in a world, and how often it does.
    fn kinds(&self, world: &Record) -> Vec<(Kind, u64)> {
        if self.generation == 1 {
            return FIRST.to_vec();
        }
        let classes = world.classes();
        let is_enabled = |kind: Kind| kind.class().is_some_and(|class| classes.has(class));
        let mut kinds: Vec<_> = SECOND_KINDS.into_iter().filter(|(kind, _)| is_enabled(*kind)).collect();
        let all: u64 = kinds.iter().map(|(_, weight)| weight).sum();
        kinds.push((Kind::Say, 1 + all / 2));
        kinds
    }

    /// Something that happens. Waits are of the first `magnitudes`.
    fn thing(&mut self, kinds: &[(Kind, u64)], members: u64, magnitudes: u64) -> Record {
        let mut point = self.below(kinds.iter().map(|(_, weight)| weight).sum());
        let kind = kinds.iter().find(|(_, weight)| {
            let found = point < *weight;
            point = point.saturating_sub(*weight);
            found
        });
        let mut record = self.record(kind.map_or(Kind::Say, |(kind, _)| *kind));
        (record.0[1], record.0[2]) = (self.below(members) as u8, self.below(members) as u8);
        record.0[3] = record.0[3] & !3 | self.below(magnitudes) as u8;
        record
    }
}
