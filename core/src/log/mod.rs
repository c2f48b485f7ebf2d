//! Each device's append-only signed log of messages: delivery, acknowledgement, catch-up.
//!
//! What a device says in a meeting during one run is one log: entries numbered from 0, each signed together with its
//! place. Members tell each other what they hold, and send what the other lacks and may have: authors at once, everyone
//! else after some patience, so that a lost link, or an author who is gone, is made up for by any member.
//!
//! **Who may have what.** A first-time joiner gets what was said while it was a member. It is the author who decides:
//! an entry names the devices that its author got to know since the entry before, and they may have that entry and
//! all later ones. Since that is signed with the entry, every holder knows it, and nobody can change it. A device that
//! starts anew gets the same again, as history. To a member who joined later, and so cannot know, a device
//! proves its admission with the entry that admits it, its text hashed.
//!
//! **Exactly once.** Only the entry that comes next is taken in, so an author's messages come in order and once. Where the
//! author dropped what is next, its log having outgrown the limits, and nobody else has it, one goes on where it does. So one does after a while
//! with a member who came later than what is next, and so may not have it, if the author itself cannot be reached: what follows would wait for
//! ever. For that, an author admits again, with whoever is new, all who have confirmed nothing so far.
//! What was gone on without stays welcome: members tell each other of such gaps, who has what is missing sends it, and it comes as history.

mod confirmed;
mod entry;
mod link;
mod store;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use thiserror::Error;

use crate::base::mutant::{Mutant, is_planted};
use crate::base::{Cx, DeviceId, Incarnation, MeetingId, Signer, Time, UnixTime, Wake};
use crate::limits;
use crate::wire::frame::log::{self as wire, Admission, Entries, Frame, Have, Haves, MAX_ADMITS};
pub use crate::wire::frame::log::{LogId, MAX_BODY, MAX_TEXT};
use confirmed::Confirmed;
use entry::Entry;
use link::Link;
use store::{Store, Unread};

/// The size up to which entries are put into one frame, in bytes. One that is larger goes alone.
const BATCH: usize = 12 * 1024;

/// How long others have to send what the author of a log no longer has.
const STALLED: Duration = Duration::from_secs(6);

/// How long the author of a log, or another member, has to bring what lies before the oldest entry of a member that came later. Longer than an
/// attempt to connect takes, since what comes after that comes out of order.
const ABANDONED: Duration = Duration::from_secs(15);

/// All logs of one meeting, as far as this device holds them.
#[derive(Debug)]
pub struct Log {
    meeting: MeetingId,
    me: LogId,
    signer: Signer,
    store: Store,
    /// The members' devices; `true` of those that our messages wait for.
    devices: BTreeMap<DeviceId, bool>,
    /// Those of them that our next entry admits, in the order in which we got to know them.
    newcomers: Vec<DeviceId>,
    links: BTreeMap<DeviceId, Link>,
    confirmed: BTreeMap<DeviceId, Confirmed>,
    /// Devices that confirmed more than the application was told.
    unreported: BTreeSet<DeviceId>,
    /// No link is due before this.
    due: Option<Time>,
    counters: Counters,
}

/// What the application may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A device said something. Comes once for each message, in its author's order but for history; never for one's own.
    Message {
        /// The log it is in: who said it.
        log: LogId,
        /// Its number in the log.
        seq: u64,
        /// When, by its author's clock.
        at: UnixTime,
        /// What.
        text: String,
        /// Whether it was said before we were connected to anyone who has it, or comes after what was said later.
        history: bool,
    },
    /// A device has taken in what we said. Comes once for each message and device, in order but for what came late; not for what it got and
    /// dropped before it could tell us.
    Delivered {
        /// The message's number.
        seq: u64,
        /// Who has it.
        to: DeviceId,
    },
}

/// Why something cannot be said.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum AppendError {
    /// There is nothing in it.
    #[error("the message is empty")]
    Empty,
    /// It is longer than [`MAX_TEXT`].
    #[error("the message has {0} bytes; it may have {MAX_TEXT}")]
    TooLong(usize),
    /// Too much waits for devices that have not confirmed it.
    #[error("too many messages wait for members who are away")]
    TooMuchQueued,
}

/// A rule of the protocol that was broken. Mere untidiness (duplicates, gaps, logs of strangers) is ignored and counted.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Misbehaved {
    /// The frame cannot be read.
    #[error("a malformed frame")]
    Malformed,
    /// The frame holds something that its alleged author did not sign.
    #[error("a forged entry")]
    Forged,
    /// The frame claims that entries of ours exist that we never wrote.
    #[error("entries of ours that we never wrote")]
    Unwritten,
    /// The author of the log signed two entries with one number. Who sent the frame need not know.
    #[error("two entries {1} of one log")]
    Equivocated(LogId, u64),
}

impl Misbehaved {
    /// Whose fault it is, of a frame that came from `sender`.
    pub fn culprit(&self, sender: DeviceId) -> DeviceId {
        match self {
            Self::Malformed | Self::Forged | Self::Unwritten => sender,
            Self::Equivocated(log, _) => log.device,
        }
    }
}

/// What was ignored, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames of unknown kinds.
    pub unknown_frames: u64,
    /// Frames from devices that are not linked.
    pub unlinked: u64,
    /// Entries that we have.
    pub duplicates: u64,
    /// Entries that are not those that come next.
    pub gaps: u64,
    /// Entries of devices that are not known as members'; asked for again once they are.
    pub strangers: u64,
    /// Entries for which there was no room; asked for again.
    pub no_room: u64,
    /// Entries of logs that are not wanted: our own, those forgotten, and those beyond the limit on logs.
    pub unwanted: u64,
    /// Items of lists that speak of too many logs.
    pub too_many_logs: u64,
    /// Devices beyond the limit.
    pub too_many_devices: u64,
}

impl Log {
    /// The logs of `meeting`, all empty; `signer` is this device's key and `incarnation` its run.
    pub fn new(meeting: MeetingId, signer: Signer, incarnation: Incarnation) -> Self {
        let me = LogId { device: DeviceId(signer.public()), incarnation };
        Self {
            meeting,
            me,
            signer,
            store: Store::new(me),
            devices: BTreeMap::new(),
            newcomers: Vec::new(),
            links: BTreeMap::new(),
            confirmed: BTreeMap::new(),
            unreported: BTreeSet::new(),
            due: None,
            counters: Counters::default(),
        }
    }

    /// Our own log.
    pub fn id(&self) -> LogId {
        self.me
    }

    /// What was ignored so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// `device` is a member's. What we say from now on is for it too, whether it is linked or not; its logs are welcome.
    ///
    /// To be called as soon as a device is known (its record verified), linked or not. Again after [`Log::forget`]:
    /// then what we say waits for it again.
    pub fn learn(&mut self, cx: &mut Cx<'_>, device: DeviceId) {
        if device == self.me.device {
            return;
        }
        if let Some(expected) = self.devices.get_mut(&device) {
            *expected = true;
            return;
        }
        if self.devices.len() >= limits::LOG_DEVICES {
            self.counters.too_many_devices += 1;
            return;
        }
        self.devices.insert(device, true);
        self.newcomers.push(device);
        self.links.values_mut().for_each(|link| link.welcome(device, cx.now));
        self.plan();
    }

    /// `device` is not expected back: what we say does not wait for it. It may still have everything if it comes.
    pub fn forget(&mut self, device: DeviceId) {
        if let Some(expected) = self.devices.get_mut(&device) {
            *expected = false;
        }
    }

    /// Whether there is a device that what we say is for. If not, nobody who comes later would get it.
    pub fn has_audience(&self) -> bool {
        self.devices.values().any(|&expected| expected)
    }

    /// Says something, and gives its number.
    ///
    /// # Errors
    ///
    /// See [`AppendError`].
    pub fn append(&mut self, cx: &mut Cx<'_>, text: &str) -> Result<u64, AppendError> {
        match text.len() {
            0 => return Err(AppendError::Empty),
            1..=MAX_TEXT => {}
            len => return Err(AppendError::TooLong(len)),
        }
        let (waiting, bytes) = self.waiting();
        if waiting >= limits::LOG_UNDELIVERED || bytes + text.len() > limits::LOG_UNDELIVERED_BYTES {
            return Err(AppendError::TooMuchQueued);
        }
        let seq = self.store.get(self.me).map_or(0, |own| own.next());
        let mut admits: Vec<_> = self.newcomers.drain(..self.newcomers.len().min(MAX_ADMITS)).collect();
        for device in &admits {
            self.confirmed.insert(*device, Confirmed::new(seq));
        }
        if !admits.is_empty() {
            // Who is new may not pass on what came before, and those to whom that has not come could begin nowhere.
            let waiting = self.confirmed.iter().filter(|(_, confirmed)| confirmed.is_waiting(seq));
            let unlinked =
                waiting.map(|(device, _)| *device).filter(|device| !self.links.contains_key(device));
            admits.extend(unlinked.take(MAX_ADMITS - admits.len()).collect::<Vec<_>>());
        }
        let entry = Entry::write((self.meeting, self.me, seq), &self.signer, (cx.now, cx.unix), text, admits);
        self.store.insert(self.me, seq, entry);
        self.store.make_room(self.confirmed_by_all());
        self.schedule_everywhere(self.me, cx.now);
        self.plan();
        Ok(seq)
    }

    /// How many of our messages wait for some device that is expected to confirm them.
    pub fn undelivered(&self) -> usize {
        self.waiting().0
    }

    fn waiting(&self) -> (usize, usize) {
        let confirmed = self.confirmed_by_all();
        let waiting =
            self.store.get(self.me).into_iter().flat_map(|own| own.run(own.start().max(confirmed)..u64::MAX));
        let memory = waiting.map(Entry::memory);
        memory.fold((0, 0), |(count, bytes), memory| (count + 1, bytes + memory))
    }

    /// The first entry of ours that some device we wait for has not confirmed.
    fn confirmed_by_all(&self) -> u64 {
        let expected = |device| self.devices.get(device).copied().unwrap_or(false);
        let confirmed =
            self.confirmed.iter().filter(|(device, _)| expected(device)).map(|(_, it)| it.lacks());
        confirmed.min().unwrap_or_else(|| self.store.get(self.me).map_or(0, |own| own.next()))
    }

    /// A link to a member's device was made, and its HELLO verified: its log channel is empty in both directions.
    pub fn linked(&mut self, cx: &mut Cx<'_>, device: DeviceId, incarnation: Incarnation) {
        if device == self.me.device {
            return;
        }
        self.learn(cx, device);
        let links = self.links.len() + 1;
        let link =
            Link::new((device, incarnation), &self.store, links, |low, high| cx.rng.between(low, high));
        self.links.insert(device, link);
        self.plan();
    }

    /// The link to a device is gone, and with it whatever was under way.
    pub fn unlinked(&mut self, device: DeviceId) {
        self.links.remove(&device);
    }

    /// What is batched (acknowledgements above all) is to be pulled now: there may be no later.
    pub fn hurry(&mut self) {
        self.links.values_mut().for_each(Link::hurry);
    }

    /// Takes in a frame of the log channel.
    ///
    /// # Errors
    ///
    /// If it breaks a rule of the protocol. What it held up to there is taken in.
    pub fn handle_frame(&mut self, cx: &mut Cx<'_>, from: DeviceId, bytes: &[u8]) -> Result<(), Misbehaved> {
        if !self.links.contains_key(&from) {
            self.counters.unlinked += 1;
            return Ok(());
        }
        let taken = match Frame::parse(bytes).map_err(|_| Misbehaved::Malformed)? {
            Frame::Have(haves) => self.handle_have(cx.now, from, &haves),
            Frame::Entries(frame) => self.handle_entries(cx.now, from, &frame),
            Frame::Admission(log, admission) => self.handle_admission(cx.now, from, log, &admission),
            Frame::Unknown(_) => {
                self.counters.unknown_frames += 1;
                Ok(())
            }
        };
        self.plan();
        taken
    }

    fn handle_have(&mut self, now: Time, from: DeviceId, haves: &Haves) -> Result<(), Misbehaved> {
        for have in &haves.logs {
            if have.log == self.me {
                self.handle_confirmation(from, have)?;
            }
            let Some(link) = self.links.get_mut(&from) else { return Ok(()) };
            if !link.heard(have, now) {
                self.counters.too_many_logs += 1;
                continue;
            }
            self.schedule(from, have.log, now);
        }
        if !haves.more && self.links.get_mut(&from).is_some_and(|link| link.heard_all(now)) {
            let logs: Vec<_> = self.store.ids().collect();
            logs.into_iter().for_each(|log| self.schedule(from, log, now));
        }
        Ok(())
    }

    fn handle_confirmation(&mut self, from: DeviceId, have: &Have) -> Result<(), Misbehaved> {
        if self.store.get(self.me).is_some_and(|own| have.next > own.next()) {
            return Err(Misbehaved::Unwritten);
        }
        if let Some(confirmed) = self.confirmed.get_mut(&from) {
            confirmed.handle_have(have);
            self.unreported.insert(from);
        }
        Ok(())
    }

    fn handle_entries(&mut self, now: Time, from: DeviceId, frame: &Entries<'_>) -> Result<(), Misbehaved> {
        let log = frame.log;
        let count = frame.entries.len() as u64;
        if !self.store.accepts(log) {
            self.counters.unwanted += count;
            return Ok(());
        }
        if !self.devices.contains_key(&log.device) {
            self.counters.strangers += count;
            self.refuse(from, log, now);
            return Ok(());
        }
        let mut has_news = false;
        let result = frame.entries.iter().zip(frame.from..).try_for_each(|(entry, seq)| {
            has_news |= self.handle_entry((now, from), log, seq, entry)?;
            Ok(())
        });
        if has_news {
            self.store.make_room(self.confirmed_by_all());
            self.links.values_mut().for_each(|link| link.tell_of(log, from, now));
            self.schedule_everywhere(log, now);
        }
        match result {
            Ok(()) | Err(Stop::Refused) => Ok(()),
            Err(Stop::Misbehaved(misbehaved)) => Err(misbehaved),
        }
    }

    /// Takes an entry in. `false` if it was there.
    fn handle_entry(
        &mut self,
        (now, from): (Time, DeviceId),
        log: LogId,
        seq: u64,
        entry: &wire::Entry<'_>,
    ) -> Result<bool, Stop> {
        let place = (self.meeting, log, seq);
        let held = self.store.get(log);
        let next = held.map(|held| held.next());
        let is_late = held.is_some_and(|held| held.may_fill(seq));
        if next.is_some_and(|next| seq < next) && !is_late {
            self.counters.duplicates += 1;
            let differs = held.and_then(|held| held.get(seq)).is_some_and(|held| !held.says(entry));
            return match differs.then(|| Entry::verify(place, entry, now)) {
                None => Ok(false),
                Some(None) => Err(Stop::Misbehaved(Misbehaved::Forged)),
                Some(Some(_)) => Err(Stop::Misbehaved(Misbehaved::Equivocated(log, seq))),
            };
        }
        let admits_us = entry.admits.contains(&self.me.device);
        let wait = self.wait_before((now, from), log, seq, next, admits_us);
        if !is_late && wait != Some(Duration::ZERO) {
            self.counters.gaps += 1;
            self.refuse(from, log, now + wait.unwrap_or_default());
            return Err(Stop::Refused);
        }
        if !self.store.has_room() {
            self.counters.no_room += 1;
            self.refuse(from, log, now);
            return Err(Stop::Refused);
        }
        let entry = Entry::verify(place, entry, now).ok_or(Stop::Misbehaved(Misbehaved::Forged))?;
        if next.is_none() {
            let links = &self.links;
            let head = links.values().filter_map(|link| link.initial(log)).max().unwrap_or(0);
            // Its author begins where we may have it, unless it has no more. Others may know of a later entry that admits us again.
            let is_rest = links.get(&from).is_some_and(|sender| sender.oldest(log) == Some(seq));
            let start = if is_rest || from != log.device { 0 } else { seq };
            if !self.store.begin(log, start, head, |device| links.contains_key(&device)) {
                self.counters.unwanted += 1;
                return Err(Stop::Refused);
            }
        }
        if let Some(held) = self.store.get_mut(log).filter(|held| seq > held.next()) {
            held.skip_to(seq);
        }
        self.store.insert(log, seq, entry);
        Ok(true)
    }

    /// How much longer the rest of a log is waited for until it is gone on with at entry `seq`, which `from` sent: not at all if that comes
    /// next, or is the first that we may have. `None` if it never is.
    ///
    /// Otherwise it must be the oldest that its sender says it has. Its author is believed if nobody else who is linked says that he has what
    /// lies between; but for who only says so and never sends it, nobody waits for long. Of others the author, who may be on the way, knows
    /// better, so they are believed later.
    fn wait_before(
        &self,
        (now, from): (Time, DeviceId),
        log: LogId,
        seq: u64,
        next: Option<u64>,
        admits_us: bool,
    ) -> Option<Duration> {
        let sender = self.links.get(&from)?;
        let is_author = from == log.device;
        let is_oldest = sender.oldest(log) == Some(seq);
        match next {
            Some(next) if seq == next => return Some(Duration::ZERO),
            // Who has earlier entries than the one that admits us knows which that is; others may know it only of a later one.
            None if admits_us && (is_author || !is_oldest || seq == 0) => return Some(Duration::ZERO),
            None if !admits_us && !is_author => return None,
            _ if !is_oldest => return None,
            _ => {}
        }
        let from_where = next.unwrap_or(0);
        if is_author && !self.links.values().any(|link| link.holds_between(log, from_where, seq)) {
            return Some(Duration::ZERO);
        }
        let newest = self.store.get(log).and_then(|held| held.newest());
        let idle = newest.map_or(Duration::MAX, |newest| now - newest).min(sender.age(now));
        Some(if is_author { STALLED } else { ABANDONED }.saturating_sub(idle))
    }

    fn handle_admission(
        &mut self,
        now: Time,
        from: DeviceId,
        log: LogId,
        admission: &Admission,
    ) -> Result<(), Misbehaved> {
        let meeting = self.meeting;
        let Some(held) = self.store.get_mut(log) else { return Ok(()) };
        if held.admitted.contains_key(&from) || !admission.admits.contains(&from) {
            return Ok(());
        }
        if !entry::verify_admission(meeting, log, admission) {
            return Err(Misbehaved::Forged);
        }
        if held.admitted.len() < limits::LOG_DEVICES {
            held.admitted.insert(from, admission.seq);
            self.schedule(from, log, now);
        }
        Ok(())
    }

    /// The next frame for a linked device, of at most `max_bytes`; `None` if there is none, or none so small. A channel
    /// that has room for [`MAX_BODY`] bytes has room for any frame.
    ///
    /// To be called for every device of [`Log::ready`] with room in its channel, until it gives `None`, after any other call.
    pub fn pull(&mut self, cx: &mut Cx<'_>, device: DeviceId, max_bytes: usize) -> Option<Vec<u8>> {
        let frame = self.next_frame(cx, device, max_bytes);
        // One link changed. If it was the first that was due and is no more, one wake too early is cheaper than to ask them all.
        let due = self.links.get(&device).and_then(Link::next_wake);
        self.due = self.due.into_iter().chain(due).min();
        frame
    }

    /// The linked devices for which [`Log::pull`] has something.
    pub fn ready(&self) -> impl Iterator<Item = DeviceId> {
        self.links.iter().filter(|(_, link)| link.is_ready()).map(|(device, _)| *device)
    }

    fn next_frame(&mut self, cx: &mut Cx<'_>, device: DeviceId, max_bytes: usize) -> Option<Vec<u8>> {
        let link = self.links.get_mut(&device)?;
        let room = max_bytes.saturating_sub(Haves::HEADER) / Have::SIZE;
        let is_welcome = |log: LogId| self.store.has_ample_room() && self.devices.contains_key(&log.device);
        if let Some(haves) = link.haves(&self.store, room, cx.now, is_welcome) {
            return Some(Frame::Have(haves).encode());
        }
        while let Some(log) = link.prove.front().copied() {
            let admission = self.store.get(log).and_then(|held| held.admission.clone());
            let frame = admission.map(|admission| Frame::Admission(log, admission).encode());
            if frame.as_ref().is_some_and(|frame| frame.len() > max_bytes) {
                return None;
            }
            link.prove.pop_front();
            if frame.is_some() {
                return frame;
            }
        }
        while let Some(log) = link.next_ready() {
            let is_ours = log == self.me;
            let kept = !is_ours && is_planted(Mutant::KeepToItself);
            let Some(held) = self.store.get(log).filter(|_| !kept) else {
                link.drop_ready(log);
                continue;
            };
            let Some(due) = link.due(log, held, is_ours).filter(|due| due.at <= cx.now) else {
                link.schedule(log, held, is_ours, cx.now);
                continue;
            };
            let from = due.entries.start;
            let mut size = Entries::HEADER;
            let mut entries = Vec::new();
            for entry in held.run(due.entries.clone()) {
                let most = if entries.is_empty() { max_bytes } else { max_bytes.min(BATCH) };
                size += entry.wire_size();
                if size > most || !link.may_go_along(entry.got, is_ours, cx.now) {
                    break;
                }
                entries.push(entry.to_wire());
            }
            if entries.is_empty() {
                return None;
            }
            link.sent(log, &due, entries.len() as u64);
            if is_planted(Mutant::EarlyDelivered)
                && is_ours
                && let Some(confirmed) = self.confirmed.get_mut(&device)
            {
                let sent = confirmed.next.max(from)..from + entries.len() as u64;
                confirmed.next = sent.end.max(confirmed.next);
                confirmed.untold.push_back(sent);
                self.unreported.insert(device);
            }
            link.schedule(log, held, is_ours, cx.now);
            return Some(Frame::Entries(Entries { log, from, entries }).encode());
        }
        None
    }

    /// The next thing for the application. While it is not drained, and much waits, no entries are taken in.
    pub fn pop_event(&mut self) -> Option<Event> {
        while let Some(to) = self.unreported.first().copied() {
            let untold = self.confirmed.get_mut(&to).map(|confirmed| &mut confirmed.untold);
            match untold.and_then(|untold| Some((untold.front_mut()?.next(), untold))) {
                Some((Some(seq), _)) => return Some(Event::Delivered { seq, to }),
                Some((None, untold)) => _ = untold.pop_front(),
                None => _ = self.unreported.remove(&to),
            }
        }
        let Unread { log, seq, entry, history } = self.store.pop_unread()?;
        Some(Event::Message { log, seq, at: entry.at, text: entry.text.into(), history })
    }

    /// Time has come for something: [`Log::pull`] has more to give.
    pub fn on_wake(&mut self, cx: &mut Cx<'_>) {
        if self.due.is_some_and(|due| due <= cx.now) {
            self.links.values_mut().for_each(|link| link.on_wake(cx.now));
            self.plan();
        }
    }

    /// When [`Log::on_wake`] is to be called.
    pub fn next_wake(&self) -> Option<Wake> {
        Some(Wake::new(self.due?, "log.sync"))
    }

    fn plan(&mut self) {
        self.due = self.links.values().filter_map(Link::next_wake).min();
    }

    fn refuse(&mut self, from: DeviceId, log: LogId, now: Time) {
        if let Some(link) = self.links.get_mut(&from) {
            link.refuse(log, now);
        }
    }

    fn schedule(&mut self, device: DeviceId, log: LogId, now: Time) {
        if let Some(link) = self.links.get_mut(&device)
            && let Some(held) = self.store.get(log)
        {
            link.consider_proof(log, held);
            link.schedule(log, held, log == self.me, now);
        }
    }

    fn schedule_everywhere(&mut self, log: LogId, now: Time) {
        let Some(held) = self.store.get(log) else { return };
        for link in self.links.values_mut() {
            link.consider_proof(log, held);
            link.schedule(log, held, log == self.me, now);
        }
    }
}

/// Why the rest of a frame is not taken in.
enum Stop {
    Refused,
    Misbehaved(Misbehaved),
}
