//! Who is known to be in a meeting.

use std::collections::BTreeMap;

use super::Record;
use crate::base::{DeviceId, Time};
use crate::limits;

/// The devices known in one meeting, each by the newest record of it.
#[derive(Debug, Default)]
pub struct Roster {
    people: BTreeMap<DeviceId, Person>,
}

/// A device in a meeting.
#[derive(Clone, Debug)]
pub struct Person {
    /// The newest record.
    pub record: Record,
    /// When the device last gave a sign of life in this meeting, or was first told of.
    pub heard: Time,
    /// Whether it has left.
    pub left: bool,
}

/// What a record changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A device nobody had told of.
    New,
    /// A device that was known, in a new run.
    Restarted,
    /// New particulars of a run that was known, or one that had left and is back.
    Updated,
    /// Nothing: the same or older.
    Known,
    /// Nothing: the roster is full ([`limits::ROSTER`]).
    Full,
}

impl Change {
    /// Whether others in the meeting should be told.
    pub fn is_news(self) -> bool {
        matches!(self, Self::New | Self::Restarted | Self::Updated)
    }
}

impl Roster {
    /// Takes in a record.
    pub fn insert(&mut self, now: Time, record: Record) -> Change {
        if let Some(person) = self.people.get_mut(&record.device()) {
            if !record.is_newer_than(&person.record) {
                return Change::Known;
            }
            let restarted = record.details().incarnation > person.record.details().incarnation;
            *person = Person { record, heard: now, left: false };
            return if restarted { Change::Restarted } else { Change::Updated };
        }
        if self.people.len() >= limits::ROSTER && !self.evict() {
            return Change::Full;
        }
        self.people.insert(record.device(), Person { record, heard: now, left: false });
        Change::New
    }

    /// Notes a sign of life.
    pub fn heard(&mut self, now: Time, device: DeviceId) {
        if let Some(person) = self.people.get_mut(&device) {
            person.heard = now;
        }
    }

    /// Notes that a device showed itself; whether it had been counted as gone.
    pub fn revive(&mut self, now: Time, device: DeviceId) -> bool {
        let Some(person) = self.people.get_mut(&device) else { return false };
        person.heard = now;
        std::mem::take(&mut person.left)
    }

    /// Notes that a device left; a newer record, or the device itself, brings it back.
    pub fn left(&mut self, device: DeviceId) {
        if let Some(person) = self.people.get_mut(&device) {
            person.left = true;
        }
    }

    /// A device that is known and has not left.
    pub fn get(&self, device: DeviceId) -> Option<&Person> {
        self.people.get(&device).filter(|person| !person.left)
    }

    /// A device that is known, here or gone.
    pub fn get_any(&self, device: DeviceId) -> Option<&Person> {
        self.people.get(&device)
    }

    /// Everyone who is known, here or gone.
    pub fn everyone(&self) -> impl Iterator<Item = &Person> {
        self.people.values()
    }

    /// Whether `bytes` are the very record that is held of some device. It was verified when it came, and members tell
    /// each other of everyone: in a meeting of 50 all but one in a hundred records told are known to the byte.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        let person = Record::claimed_device(bytes).and_then(|device| self.get_any(device));
        person.is_some_and(|person| person.record.encode() == bytes)
    }

    /// Everyone who has not left.
    pub fn present(&self) -> impl Iterator<Item = &Person> {
        self.people.values().filter(|person| !person.left)
    }

    /// Forgets the one who left first.
    fn evict(&mut self) -> bool {
        let gone =
            self.people.iter().filter(|(_, person)| person.left).min_by_key(|(_, person)| person.heard);
        let gone = gone.map(|(&device, _)| device);
        gone.is_some_and(|device| self.people.remove(&device).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Incarnation, MeetingId, UnixTime};
    use crate::meeting::{Details, Keyring};

    fn record(device: u8, incarnation: u64, serial: u32) -> Record {
        let details = Details {
            incarnation: Incarnation(incarnation),
            serial,
            time: UnixTime::default(),
            snap: [0; 26],
            nat: 0,
            candidates: Vec::new(),
            name: String::new(),
        };
        Record::sign(MeetingId::default(), &Keyring::new(&[device; 32], &[0; 32]), [0; 32], details)
    }

    #[test]
    fn only_the_record_held_is_known_to_the_byte() {
        let mut roster = Roster::default();
        let (old, new) = (record(1, 5, 1), record(1, 5, 2));
        roster.insert(Time::ZERO, old.clone());
        assert!(roster.holds(old.encode()));
        assert!(!roster.holds(new.encode()) && !roster.holds(record(2, 5, 1).encode()));
        let mut altered = *old.encode();
        altered[Record::SIZE - 1] ^= 1;
        assert!(!roster.holds(&altered) && !roster.holds(&altered[..40]) && !roster.holds(&[]));
        roster.insert(Time::ZERO, new.clone());
        assert!(roster.holds(new.encode()) && !roster.holds(old.encode()));
    }

    #[test]
    fn the_newest_record_counts() {
        let mut roster = Roster::default();
        let device = record(1, 0, 0).device();
        assert_eq!(roster.insert(Time::ZERO, record(1, 5, 1)), Change::New);
        assert_eq!(roster.insert(Time::ZERO, record(1, 5, 1)), Change::Known);
        assert_eq!(roster.insert(Time::ZERO, record(1, 4, 9)), Change::Known);
        assert_eq!(roster.insert(Time::ZERO, record(1, 5, 2)), Change::Updated);
        assert_eq!(roster.insert(Time::ZERO, record(1, 6, 1)), Change::Restarted);
        assert_eq!(
            roster.get(device).map(|person| person.record.details().incarnation),
            Some(Incarnation(6))
        );
    }

    #[test]
    fn who_left_is_gone_until_a_newer_record() {
        let mut roster = Roster::default();
        let device = record(1, 0, 0).device();
        roster.insert(Time::ZERO, record(1, 5, 1));
        roster.left(device);
        assert!(roster.get(device).is_none());
        assert_eq!(roster.insert(Time::ZERO, record(1, 5, 1)), Change::Known, "gossip that is late");
        assert!(roster.get(device).is_none());
        assert_eq!(roster.insert(Time::ZERO, record(1, 6, 1)), Change::Restarted);
        assert!(roster.get(device).is_some());
    }
}
