//! HELLO, and telling each other who is there and who was.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Node;
use super::api::{DisconnectReason, Event, MeetingHandle};
use super::encounter::Introduction;
use super::links::Peer;
use crate::base::DeviceId;
use crate::limits;
use crate::meeting::hello::{self, End};
use crate::meeting::{Change, Person, Presence, Record};
use crate::peer::Channel;
use crate::wire::frame;
use crate::wire::frame::control::{Control, Digest, Hello, MAX_DIGESTS, MAX_LIST, VERSION};

/// A member who has been away and silent for this long is told of as one who was there: whoever is new need not look
/// for it, and it knocks when it is back.
const LOST: Duration = Duration::from_secs(60);

/// Of more members than this, who is told gets digests, and asks for the records that it lacks. In a large meeting nearly all
/// that is told is known: when a hundred meet, 10,000 links would otherwise carry a hundred records each way. So many
/// records fit into three packets, which is not worth a round trip.
const FEW: usize = 8;

impl Node {
    /// Sends our HELLO for every meeting we share with a device and have not greeted it in.
    pub(super) fn greet(&mut self, device: DeviceId) {
        let Some(peer) = self.links.peers.get_mut(&device) else { return };
        let incarnation = peer.incarnation;
        let Some(dial) = peer.dial_mut().filter(|dial| dial.secured) else { return };
        let me = self.me.end();
        for (&handle, attendance) in &self.meetings {
            let Some(open) = attendance.open() else { continue };
            let Some(person) = open.roster.get(device) else { continue };
            let details = person.record.details();
            if details.incarnation != incarnation || dial.greeting.contains_key(&handle) {
                continue;
            }
            dial.greeting.insert(handle, details.serial);
            let mac = hello::prove(&open.keys, &me, &End::of(&person.record));
            let record = open.own.encode().as_slice();
            let hello = Control::Hello(Hello { version: VERSION, capabilities: 0, record, mac });
            let frame = frame::enclose(attendance.number, &hello.encode());
            // A control channel without room for a HELLO is dead; the deadline sees to it.
            let _ = dial.link.send(&mut self.context.cx(), Channel::Control, &frame);
        }
        self.touched.insert(device);
    }

    pub(super) fn hello(&mut self, device: DeviceId, number: u16, hello: &Hello<'_>) {
        let now = self.context.now;
        let me = self.me.end();
        let Some(peer) = self.links.peers.get(&device) else { return };
        let Some(dial) = peer.dial() else { return };
        let them = End { device, fingerprint: dial.ends.fingerprint, incarnation: peer.incarnation };
        let mut meetings =
            self.meetings.values().filter_map(|attendance| Some((attendance.handle, attendance.open()?)));
        let proven = meetings.find(|(_, open)| hello::verify(&open.keys, &them, &me, &hello.mac));
        // A HELLO for a meeting we are not in, or are just leaving, is no offence.
        let Some((handle, open)) = proven else { return };
        let record = match open.roster.decode(open.keys.id(), hello.record) {
            Ok(record) if End::of(&record) == them => record,
            _ => return self.misbehaved(device),
        };
        let serial = record.details().serial;
        if dial.greeted.get(&handle).is_some_and(|&greeted| greeted >= serial) {
            return;
        }
        // Who greets again has left and come back: what it knew of us is gone.
        let again = dial.greeted.contains_key(&handle);
        if again {
            self.part(device, handle, DisconnectReason::Left);
        }
        let Some(peer) = self.links.peers.get_mut(&device) else { return };
        let was_missed = peer.failures > 0 || peer.searches > 0;
        peer.start_over();
        let Some(dial) = peer.dial_mut() else { return };
        if again || dial.greeting.get(&handle).is_some_and(|&known| known < serial) {
            dial.retire(handle);
        }
        dial.retired.remove(&number);
        dial.numbers.retain(|_, meeting| *meeting != handle);
        dial.numbers.insert(number, handle);
        dial.greeted.insert(handle, serial);
        dial.greeted_at.get_or_insert(now);
        dial.deadline = None;
        self.meet(handle, record, Introduction::Hello);
        self.greet(device);
        self.connected(device, handle);
        if was_missed {
            self.vouch_for(device, handle);
        }
        self.replay_early(device);
    }

    /// Both HELLOs are done: the member is in the meeting for us, and we for it.
    fn connected(&mut self, device: DeviceId, handle: MeetingHandle) {
        let me = self.me.device;
        let path = self.path(device);
        let Some(attendance) = self.meetings.get_mut(&handle) else { return };
        let since_join = self.context.now - attendance.joined;
        let Some(open) = attendance.open_mut() else { return };
        let Some(person) = open.roster.get(device) else { return };
        let (member, name) = (person.record.member(), person.record.details().name.clone());
        let incarnation = person.record.details().incarnation;
        open.present.insert(device);
        if let Some((_, remote)) = self.links.dial(device).and_then(|dial| dial.link.remote_path()) {
            open.rendezvous.proved(remote.ip());
        }
        open.company_changed(&self.context.cx(), me);
        open.log.linked(&mut self.context.cx(), device, incarnation);
        self.stirred.insert(handle);
        self.context.event(Event::Connected { meeting: handle, member, device, name, path, since_join });
        self.release(handle);
        self.introduce_all(device, handle);
    }

    /// Tells a member who has just been greeted of everyone else who is there, and of those who were: what they said may
    /// still be going round, and whose record is not known is not believed.
    fn introduce_all(&mut self, device: DeviceId, handle: MeetingHandle) {
        let now = self.context.now;
        let Some(open) = self.meetings.get(&handle).and_then(|attendance| attendance.open()) else { return };
        let is_away = |device| self.links.peers.get(&device).is_none_or(Peer::is_away);
        let is_lost = |person: &Person| {
            person.presence != Presence::Here
                || (now - person.heard >= LOST && is_away(person.record.device()))
        };
        let others = open.roster.everyone().filter(|person| person.record.device() != device);
        let (gone, here): (Vec<_>, Vec<_>) = others.partition(|person| is_lost(person));
        let records = |people: Vec<&Person>| people.iter().map(|p| p.record.clone()).collect::<Vec<_>>();
        let gone = records(gone);
        if here.len() > FEW {
            let digests: Vec<_> = here.into_iter().map(|person| person.record.digest()).collect();
            self.offer(device, handle, &digests);
        } else {
            let here = records(here);
            self.tell(device, handle, &here);
        }
        for records in gone.chunks(MAX_LIST) {
            let records = records.iter().map(|record| record.encode().as_slice()).collect();
            self.say_control(device, handle, &Control::Departed(records));
        }
    }

    /// A device that could not be reached for a while is there again: others may miss it too, and each may wait for the other's sign of life.
    fn vouch_for(&mut self, device: DeviceId, handle: MeetingHandle) {
        let Some(digest) = self.record(handle, device).map(Record::digest) else { return };
        let present = self.present(handle);
        // Those after it, in a circle: whoever comes back to several is vouched for by them to the same few.
        let after = present.iter().filter(|other| **other > device).chain(&present);
        let few: BTreeSet<_> = after.filter(|other| **other != device).take(FEW).copied().collect();
        for other in few {
            self.offer(other, handle, &[digest]);
        }
    }

    /// Tells one member of others.
    fn tell(&mut self, device: DeviceId, handle: MeetingHandle, records: &[Record]) {
        for records in records.chunks(MAX_LIST) {
            let records = records.iter().map(|record| record.encode().as_slice()).collect();
            self.say_control(device, handle, &Control::Members(records));
        }
    }

    /// Tells one member of others, who it probably knows, by the digests of their records.
    pub(super) fn offer(&mut self, device: DeviceId, handle: MeetingHandle, digests: &[Digest]) {
        for digests in digests.chunks(MAX_DIGESTS) {
            let Some(dial) = self.links.dial_mut(device) else { return };
            dial.offered += digests.len();
            self.say_control(device, handle, &Control::Known(digests.to_vec()));
        }
    }

    /// Tells every member who is connected, but the one who told us, of a record that is news. Whom a member told of, others
    /// in a large meeting have heard of from that member too: it has time.
    pub(super) fn spread(&mut self, handle: MeetingHandle, record: &Record, by: Option<DeviceId>) {
        let now = self.context.now;
        let Some(open) = self.meetings.get_mut(&handle).and_then(|attendance| attendance.open_mut()) else {
            return;
        };
        if let Some(by) = by.filter(|_| open.present.len() > FEW) {
            open.news.add(now, record.device(), by);
            if open.news.is_due(now) {
                self.pass_on(handle);
            }
            return;
        }
        for device in self.present(handle) {
            if Some(device) != by && device != record.device() {
                self.tell(device, handle, std::slice::from_ref(record));
            }
        }
    }

    pub(super) fn say_control(&mut self, device: DeviceId, handle: MeetingHandle, control: &Control<'_>) {
        let Some(number) = self.meetings.get(&handle).map(|attendance| attendance.number) else { return };
        let Some(dial) = self.links.dial_mut(device).filter(|dial| dial.is_about(handle)) else { return };
        let frame = frame::enclose(number, &control.encode());
        // What does not fit is told again with the next HELLO; a control channel this full is about to die.
        let _ = dial.link.send(&mut self.context.cx(), Channel::Control, &frame);
        self.touched.insert(device);
    }

    pub(super) fn members_told(&mut self, by: DeviceId, handle: MeetingHandle, records: &[&[u8]]) {
        for bytes in records {
            let open = self.meetings.get_mut(&handle).and_then(|attendance| attendance.open_mut());
            let Some(open) = open else { return };
            let known =
                Record::claimed_device(bytes).is_some_and(|device| open.roster.get_any(device).is_some());
            if let Some(person) = open.roster.holds(bytes).filter(|person| person.presence == Presence::Here)
            {
                let device = person.record.device();
                open.news.confirm(device, by);
                self.reconsider(device);
                continue;
            }
            // Anyone with the code can make devices up, so one member may tell of so many and no more.
            let Some(dial) = self.links.dial_mut(by) else { return };
            if !known && dial.introduced >= limits::INTRODUCTIONS {
                self.counters.over_introduced += 1;
                continue;
            }
            match open.roster.decode(open.keys.id(), bytes) {
                Ok(record) => {
                    dial.introduced += usize::from(!known);
                    let also = open.missing.got(&record.digest());
                    let device = record.device();
                    self.meet(handle, record, Introduction::Member(by));
                    let attendance = self.meetings.get_mut(&handle);
                    if let Some(open) = attendance.and_then(|attendance| attendance.open_mut()) {
                        also.for_each(|other| open.news.confirm(device, other));
                    }
                }
                Err(_) => self.counters.bad_records += 1,
            }
        }
    }

    /// A member says whom it knows: as if it had sent those of the records that are held here, and the others are asked for, if
    /// nobody else has been asked for them.
    pub(super) fn members_known(&mut self, by: DeviceId, handle: MeetingHandle, digests: Vec<Digest>) {
        let now = self.context.now;
        let Some(open) = self.meetings.get_mut(&handle).and_then(|attendance| attendance.open_mut()) else {
            return;
        };
        let mut lacking: BTreeSet<_> = digests.into_iter().collect();
        lacking.remove(&open.own.digest());
        let held = open.roster.everyone().filter(|person| lacking.remove(&person.record.digest()));
        let (here, gone): (Vec<_>, Vec<_>) = held.partition(|person| person.presence == Presence::Here);
        let here: Vec<_> = here.into_iter().map(|person| person.record.device()).collect();
        let gone: Vec<_> = gone.into_iter().map(|person| person.record.clone()).collect();
        here.iter().for_each(|device| open.news.confirm(*device, by));
        let ask = open.missing.told(now, by, lacking);
        // Nearly everyone, in a large meeting.
        let missed: Vec<_> = here.into_iter().filter(|device| !open.present.contains(device)).collect();
        missed.into_iter().for_each(|device| self.reconsider(device));
        gone.into_iter().for_each(|record| self.meet(handle, record, Introduction::Member(by)));
        if !ask.is_empty() {
            self.say_control(by, handle, &Control::Want(ask));
        }
    }

    /// A member asks for records: it gets as many as it was told of.
    pub(super) fn members_wanted(&mut self, by: DeviceId, handle: MeetingHandle, digests: &[Digest]) {
        let Some(open) = self.meetings.get(&handle).and_then(|attendance| attendance.open()) else { return };
        let Some(dial) = self.links.dial_mut(by) else { return };
        let wanted: BTreeSet<_> = digests.iter().copied().collect();
        let records = open.roster.present().map(|person| &person.record);
        let records = records.filter(|record| wanted.contains(&record.digest())).take(dial.offered);
        let records: Vec<_> = records.cloned().collect();
        dial.offered -= records.len();
        self.tell(by, handle, &records);
    }

    pub(super) fn departed_told(&mut self, by: DeviceId, handle: MeetingHandle, records: &[&[u8]]) {
        let now = self.context.now;
        for bytes in records {
            let Some(open) = self.meetings.get_mut(&handle).and_then(|attendance| attendance.open_mut())
            else {
                return;
            };
            let known =
                Record::claimed_device(bytes).is_none_or(|device| open.roster.get_any(device).is_some());
            let Some(dial) = self.links.dial_mut(by) else { return };
            // Only of those nobody else has told of: the teller may be the one who lost them.
            if known || Record::claimed_device(bytes) == Some(self.me.device) {
                continue;
            }
            if dial.introduced >= limits::INTRODUCTIONS {
                self.counters.over_introduced += 1;
                continue;
            }
            dial.introduced += 1;
            match open.roster.decode(open.keys.id(), bytes) {
                Ok(record) => {
                    let device = record.device();
                    if open.roster.insert_departed(now, record.clone()) == Change::New {
                        open.log.learn(&mut self.context.cx(), device);
                        open.log.forget(device);
                        self.acquaint(handle, device);
                        self.spread_departed(handle, &record, by);
                    }
                }
                Err(_) => self.counters.bad_records += 1,
            }
        }
    }

    /// Tells every member who is connected, but one, of somebody who is gone and was not known here: from us they get what
    /// it said, and perhaps nobody else tells them whose it is.
    fn spread_departed(&mut self, handle: MeetingHandle, record: &Record, but: DeviceId) {
        let gone = Control::Departed(vec![record.encode().as_slice()]);
        for device in self.present(handle) {
            if device != but && device != record.device() {
                self.say_control(device, handle, &gone);
            }
        }
    }

    pub(super) fn member_left(&mut self, device: DeviceId, handle: MeetingHandle) {
        if let Some(open) = self.meetings.get_mut(&handle).and_then(|attendance| attendance.open_mut()) {
            open.roster.left(device);
            open.log.forget(device);
        }
        self.part(device, handle, DisconnectReason::Left);
        if self.links.dial_mut(device).is_some_and(|dial| dial.retire(handle)) {
            self.drop_link(device, DisconnectReason::Left);
        }
    }
}
