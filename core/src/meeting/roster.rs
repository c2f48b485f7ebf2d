//! Who is known to be in a meeting.

use std::collections::BTreeMap;

use super::{Keys, Record, RecordError};
use crate::base::{DeviceId, MeetingId, Time};
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
    /// Whether it has proved itself to us since this run of it began: by answering a knock, by a check, by its HELLO.
    /// Anyone with the code can make devices up; these are the ones that exist.
    pub met: bool,
    /// Whether it is in the meeting, as far as we know.
    pub presence: Presence,
}

/// Whether a device is in the meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is, or was when somebody last said so.
    Here,
    /// A member has lost it. Another member may know better, and the device itself does.
    Lost,
    /// It said goodbye. Only a newer record of it says otherwise.
    Left,
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
    /// Takes in a record that says of its device that it is here.
    pub fn insert(&mut self, now: Time, record: Record) -> Change {
        self.take_in(now, record, Presence::Here)
    }

    /// Takes in a record of a device that a member has lost or seen leave; only news if nobody had told of it.
    pub fn insert_departed(&mut self, now: Time, record: Record) -> Change {
        match self.people.get(&record.device()) {
            Some(_) => Change::Known,
            None => self.take_in(now, record, Presence::Lost),
        }
    }

    fn take_in(&mut self, now: Time, record: Record, presence: Presence) -> Change {
        if let Some(person) = self.people.get_mut(&record.device()) {
            if !record.is_newer_than(&person.record) {
                let back = person.presence == Presence::Lost && presence == Presence::Here;
                if back {
                    person.presence = Presence::Here;
                }
                return if back { Change::Updated } else { Change::Known };
            }
            let restarted = record.details().incarnation > person.record.details().incarnation;
            let met = person.met && !restarted;
            *person = Person { record, heard: now, met, presence };
            return if restarted { Change::Restarted } else { Change::Updated };
        }
        if self.people.len() >= limits::ROSTER && !self.evict() {
            return Change::Full;
        }
        self.people.insert(record.device(), Person { record, heard: now, met: false, presence });
        Change::New
    }

    /// Notes that a device proved itself; whether it had been counted as lost.
    pub fn met(&mut self, now: Time, device: DeviceId) -> bool {
        let Some(person) = self.people.get_mut(&device) else { return false };
        person.heard = now;
        person.met = true;
        let back = person.presence == Presence::Lost;
        if back {
            person.presence = Presence::Here;
        }
        back
    }

    /// What is left of it once we have left the meeting ourselves: everyone is known, and nobody is known to be there.
    pub fn left_behind(mut self) -> Self {
        for person in self.people.values_mut().filter(|person| person.presence == Presence::Here) {
            person.presence = Presence::Lost;
        }
        self
    }

    /// Notes that a device said goodbye.
    pub fn left(&mut self, device: DeviceId) {
        if let Some(person) = self.people.get_mut(&device) {
            person.presence = Presence::Left;
        }
    }

    /// A device that is here.
    pub fn get(&self, device: DeviceId) -> Option<&Person> {
        self.people.get(&device).filter(|person| person.presence == Presence::Here)
    }

    /// A device that is known, here or gone.
    pub fn get_any(&self, device: DeviceId) -> Option<&Person> {
        self.people.get(&device)
    }

    /// Whether `bytes` are the very record that is held of some device. It was verified when it came, and members tell
    /// each other of everyone: in a meeting of 50 all but one in a hundred records told are known to the byte.
    pub fn holds(&self, bytes: &[u8]) -> Option<&Person> {
        let person = Record::claimed_device(bytes).and_then(|device| self.get_any(device))?;
        (person.record.encode() == bytes).then_some(person)
    }

    /// As [`Record::decode`], of the meeting that this is the roster of. What a record says that is held of its device is not
    /// verified again.
    ///
    /// # Errors
    ///
    /// Those of [`Record::decode`].
    pub fn decode(&self, meeting: MeetingId, bytes: &[u8]) -> Result<Record, RecordError> {
        let held = Record::claimed_device(bytes).and_then(|device| self.get_any(device));
        Record::decode_beside(held.map(|person| &person.record), meeting, bytes)
    }

    /// As [`Record::open`], with the same shortcut as [`Roster::decode`].
    ///
    /// # Errors
    ///
    /// Those of [`Record::open`].
    pub fn open(&self, keys: &Keys, sealed: &[u8]) -> Result<Record, RecordError> {
        self.decode(keys.id(), &Record::unseal(keys, sealed)?)
    }

    /// Everyone who is known, here or gone.
    pub fn everyone(&self) -> impl Iterator<Item = &Person> {
        self.people.values()
    }

    /// Everyone who is here.
    pub fn present(&self) -> impl Iterator<Item = &Person> {
        self.everyone().filter(|person| person.presence == Presence::Here)
    }

    /// Forgets somebody who will be missed the least: who is gone, then who never proved to exist; of those the one not
    /// heard of for the longest.
    fn evict(&mut self) -> bool {
        let missed = |person: &Person| (person.presence == Presence::Here, person.met);
        let candidates = self.people.iter().filter(|(_, person)| missed(person) != (true, true));
        let least = candidates.min_by_key(|(_, person)| (missed(person), person.heard));
        let least = least.map(|(&device, _)| device);
        least.is_some_and(|device| self.people.remove(&device).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Incarnation, UnixTime};
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
    fn a_record_that_is_held_is_known_to_the_byte() {
        let mut roster = Roster::default();
        let (old, new) = (record(1, 5, 1), record(1, 5, 2));
        roster.insert(Time::ZERO, old.clone());
        let holds = |roster: &Roster, bytes: &[u8]| roster.holds(bytes).is_some();
        assert!(holds(&roster, old.encode()));
        assert!(!holds(&roster, new.encode()) && !holds(&roster, record(2, 5, 1).encode()));
        let mut altered = *old.encode();
        altered[Record::SIZE - 1] ^= 1;
        assert!(!holds(&roster, &altered) && !holds(&roster, &altered[..40]) && !holds(&roster, &[]));
        roster.insert(Time::ZERO, new.clone());
        assert!(holds(&roster, new.encode()) && !holds(&roster, old.encode()));
    }

    #[test]
    fn what_differs_from_the_record_held_is_verified() {
        let (here, elsewhere) = (MeetingId::default(), MeetingId([1; 16]));
        let mut roster = Roster::default();
        let (old, new) = (record(1, 5, 1), record(1, 5, 2));
        assert_eq!(roster.decode(here, old.encode()), Ok(old.clone()));
        roster.insert(Time::ZERO, old.clone());
        for good in [&old, &new, &record(2, 5, 1)] {
            assert_eq!(roster.decode(here, good.encode()).as_ref(), Ok(good));
        }
        assert_eq!(roster.decode(elsewhere, new.encode()), Err(RecordError::Signature));
        for at in 0..Record::SIZE {
            let mut altered = *new.encode();
            altered[at] ^= 1;
            let plainly = Record::decode(here, &altered);
            assert!(plainly.is_err(), "byte {at}");
            assert_eq!(roster.decode(here, &altered), plainly, "byte {at}");
        }
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
        assert!(!roster.met(Time::ZERO, device), "a check that is late");
        assert!(roster.get(device).is_none());
        assert_eq!(roster.insert(Time::ZERO, record(1, 6, 1)), Change::Restarted);
        assert!(roster.get(device).is_some());
    }

    #[test]
    fn who_was_lost_is_back_when_anyone_knows_better() {
        let mut roster = Roster::default();
        let device = record(1, 0, 0).device();
        assert_eq!(roster.insert_departed(Time::ZERO, record(1, 5, 1)), Change::New);
        assert!(roster.get(device).is_none());
        assert_eq!(roster.insert(Time::ZERO, record(1, 5, 1)), Change::Updated);
        assert_eq!(roster.insert_departed(Time::ZERO, record(1, 5, 1)), Change::Known);
        assert!(roster.get(device).is_some());
    }

    #[test]
    fn the_made_up_give_way_to_the_real() {
        let mut roster = Roster::default();
        let real = record(1, 0, 0);
        roster.insert(Time::ZERO, real.clone());
        roster.met(Time::ZERO, real.device());
        for n in 0..limits::ROSTER as u64 {
            let mut made_up = real.clone();
            made_up.pretend_device(DeviceId(std::array::from_fn(|i| {
                n.to_be_bytes().get(i).copied().unwrap_or(7)
            })));
            roster.insert(Time::from_millis(n), made_up);
        }
        assert_eq!(roster.insert(Time::from_millis(9_999), record(2, 5, 1)), Change::New);
        assert!(roster.get(real.device()).is_some());
    }
}
