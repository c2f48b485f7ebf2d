//! Scenarios drawn whole: who takes part, from where, over what links, and which faults befall them.

use super::record::{Kind, Record};
use super::script::Scenario;
use crate::engine::{Draws, Subject};

/// Counts the changes of how scenarios are drawn: by another generation a seed means another scenario.
pub const GENERATION: u32 = 1;

/// Up to six members behind anything, and up to 24 things that happen to them. In the end everyone is here and nothing is
/// broken any more; then everything owed must come.
pub(super) fn storm(draws: &Draws) -> Scenario {
    let mut drawing = Drawing { draws: *draws, index: 0 };
    let members = 2 + drawing.below(5);
    let things = 4 + drawing.below(20);
    let mut records = drawing.homes(members);
    records.extend((0..things).map(|_| drawing.thing(members, 4)));
    Record::scenario(&records)
}

/// Four to eight members behind anything, and for half an hour something happens to them every few seconds. Every few minutes
/// all is mended, and everything owed must come.
pub(super) fn gale(draws: &Draws) -> Scenario {
    let mut drawing = Drawing { draws: *draws, index: 1 << 32 };
    let members = 4 + drawing.below(5);
    let mut records = drawing.homes(members);
    for _ in 0..6 {
        // Waits of up to 12 s: on average a thing every 2 s, of which a part is said and a part not enabled.
        records.extend((0..100).map(|_| drawing.thing(members, 3)));
        records.push(drawing.record(Kind::Calm));
    }
    Record::scenario(&records)
}

/// Draws records: random bytes, of which those that say what and who are chosen.
struct Drawing {
    draws: Draws,
    index: u64,
}

impl Drawing {
    fn below(&mut self, bound: u64) -> u64 {
        self.index += 1;
        self.draws.below(Subject::Scenario(2), self.index, bound)
    }

    fn record(&mut self, kind: Kind) -> Record {
        self.index += 1;
        let mut bytes = [0; Record::SIZE];
        bytes.copy_from_slice(&self.draws.bytes(Subject::Scenario(3), self.index)[..Record::SIZE]);
        bytes[0] = Record::byte_of(kind);
        Record(bytes)
    }

    /// The record about the whole, and the homes.
    fn homes(&mut self, members: u64) -> Vec<Record> {
        (0..=members).map(|_| self.record(Kind::Home)).collect()
    }

    /// Something that happens: half of the time something is said. Waits are of the first `magnitudes`.
    fn thing(&mut self, members: u64, magnitudes: u64) -> Record {
        let kind = match self.below(100) {
            0..40 => Kind::Say,
            40..55 => Kind::Crash,
            55..64 => Kind::Sleep,
            64..71 => Kind::Leave,
            71..80 => Kind::Sever,
            80..84 => Kind::Split,
            84..89 => Kind::Relink,
            89..94 => Kind::Reboot,
            94..97 => Kind::Dht,
            _ => Kind::Stun,
        };
        let mut record = self.record(kind);
        (record.0[1], record.0[2]) = (self.below(members) as u8, self.below(members) as u8);
        record.0[3] = record.0[3] & !3 | self.below(magnitudes) as u8;
        record
    }
}
