//! What the application asks for.

use super::Node;
use super::api::{
    Command, DisconnectReason, Event, MeetingHandle, Progress, RequestId, RequestKind, Tag, Trouble,
};
use super::attendance::{Attendance, FAREWELL, Held, Open, Parted, Phase};
use super::links::Peer;
use crate::base::DeviceId;
use crate::base::mutant::{Mutant, is_planted};
use crate::limits;
use crate::log::{AppendError, Log, MAX_TEXT};
use crate::meeting::Keys;
use crate::meeting::{Code, Master, Roster};
use crate::peer::Channel;
use crate::wire::frame::control::Control;

impl Node {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Join { meeting, code } => self.join(meeting, code),
            Command::Say { meeting, tag, text } => self.say(meeting, tag, text),
            Command::Leave { meeting } => self.leave(meeting),
        }
    }

    fn join(&mut self, handle: MeetingHandle, code: Code) {
        if self.meetings.contains_key(&handle) {
            return self.context.trouble(Some(handle), Trouble::AlreadyJoined);
        }
        if self.meetings.len() >= limits::MEETINGS {
            return self.context.trouble(Some(handle), Trouble::TooManyMeetings(limits::MEETINGS));
        }
        if self.hosts.is_cut_off() && self.dht.is_cut_off() {
            self.context.trouble(None, Trouble::NoBootstrap);
        }
        self.context.status(Some(handle), Progress::Deriving);
        let request = self.context.request(RequestKind::Derive(code));
        let number =
            (0..=u16::MAX).find(|n| self.meetings.values().all(|a| a.number != *n)).unwrap_or_default();
        let attendance = Attendance {
            handle,
            number,
            joined: self.context.now,
            phase: Phase::Deriving(request),
            held: Held::default(),
        };
        self.meetings.insert(handle, attendance);
    }

    /// The code is stretched: the search can begin.
    pub(super) fn derived(&mut self, id: RequestId, master: &Master) {
        let waiting =
            |attendance: &Attendance| matches!(attendance.phase, Phase::Deriving(request) if request == id);
        let Some(handle) = self.meetings.values().find(|a| waiting(a)).map(|a| a.handle) else { return };
        let keys = Keys::derive(master);
        let known =
            |attendance: &Attendance| attendance.open().is_some_and(|open| open.keys.id() == keys.id());
        if self.meetings.values().any(known) {
            // The same code under another handle: two of us on one link could not be told apart.
            self.meetings.remove(&handle);
            return self.context.trouble(Some(handle), Trouble::AlreadyJoined);
        }
        let own = self.me.record(keys.id(), self.context.unix(), &self.signed_candidates);
        let fresh = || Parted {
            log: Log::new(keys.id(), self.me.signer().clone(), self.me.incarnation),
            roster: Roster::default(),
            held: Held::default(),
        };
        let Parted { log, roster, held } = self.parted.remove(&keys.id()).unwrap_or_else(fresh);
        let open = Open::new(&mut self.context.cx(), keys, log, roster, own);
        let topic = open.epochs.first().map(|epoch| epoch.topic).unwrap_or_default();
        let mut lately = Held::default();
        if let Some(attendance) = self.meetings.get_mut(&handle) {
            attendance.phase = Phase::Open(Box::new(open));
            lately = std::mem::replace(&mut attendance.held, held);
        }
        self.context.event(Event::Joined { meeting: handle, topic });
        for (tag, text) in lately.take() {
            self.hold(handle, tag, text);
        }
        self.act(handle);
    }

    fn say(&mut self, handle: MeetingHandle, tag: Tag, text: String) {
        let attendance = self.meetings.get_mut(&handle);
        let Some(attendance) = attendance.filter(|a| !matches!(a.phase, Phase::Leaving(_))) else {
            return self.context.trouble(Some(handle), Trouble::NotJoined);
        };
        if !(1..=MAX_TEXT).contains(&text.len()) {
            return self.context.trouble(Some(handle), Trouble::BadMessage(text.len()));
        }
        if attendance.holds_back() {
            self.hold(handle, tag, text);
        } else {
            self.append(handle, tag, &text);
        }
    }

    /// Keeps what is said until there is someone to say it to.
    fn hold(&mut self, handle: MeetingHandle, tag: Tag, text: String) {
        let attendance = self.meetings.get_mut(&handle);
        if attendance.is_some_and(|attendance| !attendance.held.push(tag, text)) {
            self.context.trouble(Some(handle), Trouble::TooMuchQueued);
        }
    }

    /// Says what had to wait for someone to say it to.
    pub(super) fn release(&mut self, handle: MeetingHandle) {
        let held = self.meetings.get_mut(&handle).map(|attendance| attendance.held.take());
        for (tag, text) in held.unwrap_or_default() {
            self.append(handle, tag, &text);
        }
    }

    fn append(&mut self, handle: MeetingHandle, tag: Tag, text: &str) {
        let Some(open) = self.meetings.get_mut(&handle).and_then(|attendance| attendance.open_mut()) else {
            return;
        };
        let bytes = text.len();
        let mut appended = open.log.append(&mut self.context.cx(), text);
        if appended == Err(AppendError::TooMuchQueued) {
            // Who is gone for good must not silence who is here.
            let away = |device: &DeviceId| self.links.peers.get(device).is_none_or(Peer::is_away);
            let gone: Vec<DeviceId> =
                open.roster.everyone().map(|p| p.record.device()).filter(away).collect();
            gone.into_iter().for_each(|device| open.log.forget(device));
            appended = open.log.append(&mut self.context.cx(), text);
        }
        match appended {
            Ok(seq) => {
                let seq = if is_planted(Mutant::RepeatNumber) { seq.saturating_sub(1) } else { seq };
                self.context.event(Event::Sent { meeting: handle, tag, seq });
                self.stirred.insert(handle);
            }
            Err(AppendError::TooMuchQueued) => self.context.trouble(Some(handle), Trouble::TooMuchQueued),
            Err(AppendError::Empty | AppendError::TooLong(_)) => {
                self.context.trouble(Some(handle), Trouble::BadMessage(bytes));
            }
        }
    }

    fn leave(&mut self, handle: MeetingHandle) {
        let Some(attendance) = self.meetings.get(&handle) else {
            return self.context.trouble(Some(handle), Trouble::NotJoined);
        };
        for topic in attendance.open().into_iter().flat_map(|open| &open.epochs).map(|epoch| epoch.topic) {
            self.dht.forget(topic);
        }
        // Acknowledgements that wait for company would never be sent.
        if let Some(open) = self.meetings.get_mut(&handle).and_then(|attendance| attendance.open_mut()) {
            open.log.hurry();
        }
        self.drain_log(handle);
        for device in self.devices_about(handle) {
            self.say_control(device, handle, &Control::Leave);
        }
        for device in self.present(handle) {
            self.part(device, handle, DisconnectReason::Ours);
        }
        let leaving = Phase::Leaving(self.context.now + FAREWELL);
        let left = self.meetings.get_mut(&handle).map(|attendance| {
            (std::mem::replace(&mut attendance.phase, leaving), std::mem::take(&mut attendance.held))
        });
        if let Some((Phase::Open(open), held)) = left {
            let parted = Parted { log: open.log, roster: open.roster.left_behind(), held };
            self.parted.insert(open.keys.id(), parted);
            while self.parted.len() > limits::MEETINGS {
                self.parted.pop_first();
            }
        }
        self.forget_tags(handle);
        self.drop_strangers();
        self.settle_farewells();
    }

    /// Stops looking for those with whom we share no meeting any more, but for those who are just being told goodbye.
    fn drop_strangers(&mut self) {
        let known: Vec<DeviceId> = self.links.peers.keys().copied().collect();
        for device in known {
            if self.newest_record(device).is_none() {
                if self.links.dial(device).is_some_and(|dial| dial.greeting.is_empty()) {
                    self.drop_link(device, DisconnectReason::Ours);
                }
                self.links.let_go(device);
            }
        }
    }

    /// Ends the meetings whose farewells are through, or have waited long enough.
    pub(super) fn settle_farewells(&mut self) {
        let now = self.context.now;
        let leaving: Vec<(MeetingHandle, bool)> = self
            .meetings
            .values()
            .filter_map(|attendance| match attendance.phase {
                Phase::Leaving(at) => Some((attendance.handle, at <= now)),
                _ => None,
            })
            .collect();
        for (handle, late) in leaving {
            let in_it: Vec<DeviceId> = self.devices_about(handle);
            let links = &mut self.links;
            let mut untold = |&device: &DeviceId| {
                links.dial_mut(device).is_some_and(|dial| dial.link.buffered(Channel::Control) > 0)
            };
            if !late && in_it.iter().any(&mut untold) {
                continue;
            }
            for device in in_it {
                self.leave_link(device, handle);
            }
            self.meetings.remove(&handle);
            self.context.event(Event::Left { meeting: handle });
        }
    }

    /// Devices on whose link a meeting has come up.
    fn devices_about(&self, handle: MeetingHandle) -> Vec<DeviceId> {
        let about = |device: &DeviceId| self.links.dial(*device).is_some_and(|dial| dial.is_about(handle));
        self.links.peers.keys().copied().filter(about).collect()
    }

    /// Takes one meeting off a link, and the link down if it was the last.
    fn leave_link(&mut self, device: DeviceId, handle: MeetingHandle) {
        if self.links.dial_mut(device).is_some_and(|dial| dial.retire(handle)) {
            self.drop_link(device, DisconnectReason::Ours);
        }
    }
}
