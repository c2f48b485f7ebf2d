//! What is said on links: HELLO, membership, messages.

use super::Node;
use std::time::Duration;

use super::api::{DisconnectReason, Event, MeetingHandle, Path};
use super::encounter::Introduction;
use super::links::Peer;
use crate::base::{DeviceId, MemberId, Scope};
use crate::limits;
use crate::log;
use crate::meeting::hello::{self, End};
use crate::meeting::rendezvous::Source;
use crate::meeting::{Change, Person, Record};
use crate::peer::{self, Channel, MAX_MESSAGE};
use crate::wire::frame;
use crate::wire::frame::control::{Control, Hello, MAX_LIST, VERSION};

/// A member who has been away and silent for this long is told of as one who was there: whoever is new need not look
/// for it, and it knocks when it is back.
const LOST: Duration = Duration::from_secs(60);

impl Node {
    /// Takes what a link has to say, until it has nothing more.
    pub(super) fn drain_link(&mut self, device: DeviceId) {
        while let Some(event) = self.links.dial_mut(device).and_then(|dial| dial.link.pop_event()) {
            match event {
                peer::Event::PathFound { remote } => self.path_found(device, remote),
                peer::Event::PathChanged { remote } => self.links.prove(device, remote),
                peer::Event::Secured => self.link_secured(device),
                peer::Event::Data { channel, bytes } => self.frame(device, channel, &bytes),
                peer::Event::Writable { .. } => self.pump(device),
                peer::Event::Closed { reason } => self.link_closed(device, reason),
            }
        }
    }

    /// Sends our HELLO for every meeting we share with a device and have not greeted it in.
    pub(super) fn greet(&mut self, device: DeviceId) {
        let Some(peer) = self.links.peers.get_mut(&device) else { return };
        let incarnation = peer.incarnation;
        let Some(dial) = peer.dial_mut().filter(|dial| dial.secured) else { return };
        let me = self.me.end();
        for (&handle, attendance) in &self.meetings {
            let number = attendance.number;
            let Some(open) = attendance.open() else { continue };
            let Some(person) = open.roster.get(device) else { continue };
            if person.record.details().incarnation != incarnation || !dial.greeting.insert(handle) {
                continue;
            }
            let mac = hello::prove(&open.keys, &me, &end_of(&person.record));
            let record = open.own.encode().as_slice();
            let hello = Control::Hello(Hello { version: VERSION, capabilities: 0, record, mac });
            let frame = frame::enclose(number, &hello.encode());
            // A control channel without room for a HELLO is dead; the deadline sees to it.
            let _ = dial.link.send(&mut self.context.cx(), Channel::Control, &frame);
        }
        self.touched.insert(device);
    }

    fn frame(&mut self, device: DeviceId, channel: Channel, bytes: &[u8]) {
        let Some((number, body)) = frame::open(bytes) else { return self.misbehaved(device) };
        match channel {
            Channel::Control => match Control::parse(body) {
                Ok(control) => self.control(device, number, control),
                Err(_) => self.misbehaved(device),
            },
            Channel::Log => self.log_frame(device, number, body, bytes),
            Channel::Bulk => {}
        }
    }

    fn control(&mut self, device: DeviceId, number: u16, control: Control<'_>) {
        if let Control::Hello(hello) = control {
            return self.hello(device, number, &hello);
        }
        let Some(handle) = self.greeted_meeting(device, number) else { return };
        match control {
            Control::Hello(_) | Control::Unknown(_) => {}
            Control::Members(records) => self.members_told(device, handle, &records),
            Control::Departed(records) => self.departed_told(handle, &records),
            Control::Addresses(addresses) => self.rumour(handle, Source::Member, &addresses),
            Control::Leave => self.member_left(device, handle),
        }
    }

    /// The meeting that the other end means by a number: only one whose HELLO it has proved.
    fn greeted_meeting(&self, device: DeviceId, number: u16) -> Option<MeetingHandle> {
        self.links.dial(device)?.numbers.get(&number).copied()
    }

    fn hello(&mut self, device: DeviceId, number: u16, hello: &Hello<'_>) {
        let me = self.me.end();
        let proven = self.meetings.iter().find_map(|(&handle, attendance)| {
            let open = attendance.open()?;
            let record = Record::decode(open.keys.id(), hello.record).ok()?;
            let theirs = end_of(&record);
            let same = record.device() == device && hello::verify(&open.keys, &theirs, &me, &hello.mac);
            same.then_some((handle, record))
        });
        // A HELLO for a meeting we are not in, or are just leaving, is no offence.
        let Some((handle, record)) = proven else { return };
        let Some(peer) = self.links.peers.get_mut(&device) else { return };
        let same_end = peer.incarnation == record.details().incarnation;
        let Some(dial) = peer.dial_mut() else { return };
        if !same_end || dial.fingerprint != *record.fingerprint() {
            return self.misbehaved(device);
        }
        dial.numbers.insert(number, handle);
        if !dial.greeted.insert(handle) {
            return;
        }
        dial.deadline = None;
        peer.failures = 0;
        self.meet(handle, record, Introduction::Hello);
        self.greet(device);
        self.connected(device, handle);
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
        open.company_changed(&self.context.cx(), me);
        open.log.linked(&mut self.context.cx(), device, incarnation);
        self.stirred.insert(handle);
        self.context.event(Event::Connected { meeting: handle, member, device, name, path, since_join });
        self.introduce_all(device, handle);
        self.release(handle);
    }

    /// Tells a member who has just been greeted of everyone else who is there, and of those who were: what they said may
    /// still be going round, and whose record is not known is not believed.
    fn introduce_all(&mut self, device: DeviceId, handle: MeetingHandle) {
        let now = self.context.now;
        let Some(open) = self.meetings.get(&handle).and_then(|attendance| attendance.open()) else { return };
        let is_lost = |person: &Person| {
            let away = self.links.peers.get(&person.record.device()).is_none_or(Peer::is_away);
            away && now - person.heard >= LOST
        };
        let others = open.roster.everyone().filter(|person| person.record.device() != device);
        let (gone, here): (Vec<_>, Vec<_>) = others.partition(|person| person.left || is_lost(person));
        let records = |people: Vec<&Person>| people.iter().map(|p| p.record.clone()).collect::<Vec<_>>();
        let (gone, here) = (records(gone), records(here));
        for records in gone.chunks(MAX_LIST) {
            let records = records.iter().map(|record| record.encode().as_slice()).collect();
            self.say_control(device, handle, &Control::Departed(records));
        }
        for records in here.chunks(MAX_LIST) {
            self.tell(device, handle, records);
        }
    }

    /// Tells one member of others.
    fn tell(&mut self, device: DeviceId, handle: MeetingHandle, records: &[Record]) {
        let records = records.iter().map(|record| record.encode().as_slice()).collect();
        self.say_control(device, handle, &Control::Members(records));
    }

    /// Tells every member who is connected, but one, of a record that is news.
    pub(super) fn spread(&mut self, handle: MeetingHandle, record: &Record, but: Option<DeviceId>) {
        for device in self.present(handle) {
            if Some(device) != but && device != record.device() {
                self.tell(device, handle, std::slice::from_ref(record));
            }
        }
    }

    pub(super) fn say_control(&mut self, device: DeviceId, handle: MeetingHandle, control: &Control<'_>) {
        let Some(number) = self.meetings.get(&handle).map(|attendance| attendance.number) else { return };
        let Some(dial) = self.links.dial_mut(device).filter(|dial| dial.greeted.contains(&handle)) else {
            return;
        };
        let frame = frame::enclose(number, &control.encode());
        // What does not fit is told again with the next HELLO; a control channel this full is about to die.
        let _ = dial.link.send(&mut self.context.cx(), Channel::Control, &frame);
        self.touched.insert(device);
    }

    fn members_told(&mut self, by: DeviceId, handle: MeetingHandle, records: &[&[u8]]) {
        for bytes in records {
            let Some(open) = self.meetings.get(&handle).and_then(|attendance| attendance.open()) else {
                return;
            };
            if open.roster.holds(bytes) {
                continue;
            }
            match Record::decode(open.keys.id(), bytes) {
                Ok(record) => self.meet(handle, record, Introduction::Member(by)),
                Err(_) => self.counters.bad_records += 1,
            }
        }
    }

    fn departed_told(&mut self, handle: MeetingHandle, records: &[&[u8]]) {
        let now = self.context.now;
        for bytes in records {
            let Some(open) = self.meetings.get_mut(&handle).and_then(|attendance| attendance.open_mut())
            else {
                return;
            };
            match Record::decode(open.keys.id(), bytes) {
                Ok(record) if record.device() == self.me.device => {}
                Ok(record) => {
                    let device = record.device();
                    // Only of those nobody else has told of: the teller may be the one who lost them.
                    if open.roster.get_any(device).is_none() && open.roster.insert(now, record) == Change::New
                    {
                        open.roster.left(device);
                        open.log.learn(&mut self.context.cx(), device);
                        open.log.forget(device);
                    }
                }
                Err(_) => self.counters.bad_records += 1,
            }
        }
    }

    fn member_left(&mut self, device: DeviceId, handle: MeetingHandle) {
        if let Some(open) = self.meetings.get_mut(&handle).and_then(|attendance| attendance.open_mut()) {
            open.roster.left(device);
            open.log.forget(device);
        }
        self.part(device, handle, DisconnectReason::Left);
        let Some(dial) = self.links.dial_mut(device) else { return };
        dial.numbers.retain(|_, meeting| *meeting != handle);
        dial.greeted.remove(&handle);
        dial.greeting.remove(&handle);
        if dial.greeted.is_empty() {
            self.drop_link(device, DisconnectReason::Left);
        }
    }

    /// The other end broke a rule that no version of ours breaks.
    fn misbehaved(&mut self, device: DeviceId) {
        self.drop_link(device, DisconnectReason::Misbehaved);
    }

    fn log_frame(&mut self, device: DeviceId, number: u16, body: &[u8], whole: &[u8]) {
        let Some(handle) = self.greeted_meeting(device, number) else {
            let Some(dial) = self.links.dial_mut(device) else { return };
            if dial.early.len() < limits::EARLY_FRAMES {
                dial.early.push(whole.to_vec());
            } else {
                self.misbehaved(device);
            }
            return;
        };
        let Some(open) = self.meetings.get_mut(&handle).and_then(|attendance| attendance.open_mut()) else {
            return;
        };
        match open.log.handle_frame(&mut self.context.cx(), device, body) {
            Ok(()) => {
                self.stirred.insert(handle);
            }
            Err(error) => {
                tracing::debug!(?device, %error, "log");
                // Who passes on what a third one signed twice is not to blame.
                if error.culprit(device) == device {
                    self.misbehaved(device);
                }
            }
        }
    }

    /// Log frames that came before the HELLO they need.
    fn replay_early(&mut self, device: DeviceId) {
        let early = self.links.dial_mut(device).map(|dial| std::mem::take(&mut dial.early));
        for bytes in early.unwrap_or_default() {
            self.frame(device, Channel::Log, &bytes);
        }
    }

    /// Tells the application what the log has for it, and sends what it has for others.
    pub(super) fn drain_log(&mut self, handle: MeetingHandle) {
        loop {
            let Some(open) = self.meetings.get_mut(&handle).and_then(|attendance| attendance.open_mut())
            else {
                return;
            };
            if self.context.is_clogged() {
                break;
            }
            let Some(event) = open.log.pop_event() else { break };
            let who = |device| {
                open.roster.get_any(device).map(|p| (p.record.member(), p.record.details().name.clone()))
            };
            match event {
                log::Event::Message { log, seq, at, text, history } => {
                    let device = log.device;
                    // An author may be long gone and known by its log alone.
                    let (from, name) = who(device).unwrap_or((MemberId(device.0), String::new()));
                    let meeting = handle;
                    self.context.event(Event::Message {
                        meeting,
                        from,
                        device,
                        name,
                        seq,
                        at,
                        text,
                        history,
                    });
                }
                log::Event::Delivered { seq, to } => {
                    if let Some((to, _)) = who(to) {
                        self.context.event(Event::Delivered { meeting: handle, seq, to });
                    }
                }
            }
        }
        for device in self.present(handle) {
            self.pump(device);
        }
    }

    /// Sends a device what the logs of our common meetings have for it, as far as the channel has room.
    pub(super) fn pump(&mut self, device: DeviceId) {
        let Some(dial) = self.links.dial_mut(device) else { return };
        let mut sent = false;
        for &handle in &dial.greeted {
            let Some(attendance) = self.meetings.get_mut(&handle) else { continue };
            let number = attendance.number;
            let Some(open) = attendance.open_mut() else { continue };
            while dial.link.room(Channel::Log) >= MAX_MESSAGE {
                let budget = MAX_MESSAGE - frame::ENVELOPE;
                let Some(body) = open.log.pull(&mut self.context.cx(), device, budget) else { break };
                let frame = frame::enclose(number, &body);
                if dial.link.send(&mut self.context.cx(), Channel::Log, &frame).is_err() {
                    break;
                }
                sent = true;
            }
        }
        if sent {
            self.touched.insert(device);
        }
    }

    /// Everyone connected in a meeting.
    pub(super) fn present(&self, handle: MeetingHandle) -> Vec<DeviceId> {
        let open = self.meetings.get(&handle).and_then(|attendance| attendance.open());
        open.map(|open| open.present.iter().copied().collect()).unwrap_or_default()
    }

    /// How a device's datagrams travel.
    pub(super) fn path(&self, device: DeviceId) -> Path {
        match self.links.dial(device).and_then(|dial| dial.link.remote_path()) {
            Some((_, remote)) if Scope::of(remote.ip()).is_local() => Path::Lan,
            Some((_, remote)) if remote.is_ipv6() => Path::V6,
            _ => Path::V4,
        }
    }
}

/// The end of a link that a record is about.
pub(super) fn end_of(record: &Record) -> End {
    End {
        device: record.device(),
        fingerprint: *record.fingerprint(),
        incarnation: record.details().incarnation,
    }
}
