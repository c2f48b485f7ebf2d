//! What is said on links: frames in, and the logs' frames out.

use super::Node;
use super::api::{Event, MeetingHandle, Path};
use crate::base::mutant::{Mutant, is_planted};
use crate::base::{DeviceId, MemberId, Scope};
use crate::limits;
use crate::log;
use crate::meeting::rendezvous::Source;
use crate::peer::{self, Channel, MAX_MESSAGE};
use crate::wire::frame;
use crate::wire::frame::control::Control;

impl Node {
    /// Takes what a link has to say, until it has nothing more.
    pub(super) fn drain_link(&mut self, device: DeviceId) {
        while let Some(event) = self.links.dial_mut(device).and_then(|dial| dial.link.pop_event()) {
            match event {
                peer::Event::PathFound { remote } => self.path_found(device, remote),
                peer::Event::PathChanged { remote } => self.answered(device, remote),
                peer::Event::Secured => self.link_secured(device),
                peer::Event::Data { channel, bytes } => self.frame(device, channel, &bytes),
                peer::Event::Writable { .. } => self.pump(device),
                peer::Event::Closed { reason } => self.link_closed(device, reason),
            }
        }
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
            Control::Known(digests) => self.members_known(device, handle, digests),
            Control::Want(digests) => self.members_wanted(device, handle, &digests),
            Control::Departed(records) => self.departed_told(device, handle, &records),
            Control::Addresses(addresses) => self.rumour(handle, Source::Member, &addresses),
            Control::Leave => self.member_left(device, handle),
        }
    }

    /// The meeting that the other end means by a number: only one whose HELLO it has proved.
    fn greeted_meeting(&self, device: DeviceId, number: u16) -> Option<MeetingHandle> {
        self.links.dial(device)?.numbers.get(&number).copied()
    }

    fn log_frame(&mut self, device: DeviceId, number: u16, body: &[u8], whole: &[u8]) {
        let Some(handle) = self.greeted_meeting(device, number) else {
            let Some(dial) = self.links.dial_mut(device) else { return };
            let bytes = whole.len() + dial.early.iter().map(Vec::len).sum::<usize>();
            if dial.retired.contains(&number) {
                // On its way when one of us left.
            } else if bytes <= limits::EARLY_BYTES {
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
    pub(super) fn replay_early(&mut self, device: DeviceId) {
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
                    let device = if is_planted(Mutant::WrongAuthor) { self.me.device } else { log.device };
                    if is_planted(Mutant::SwallowMessage) && seq % 5 == 1 {
                        continue;
                    }
                    // An author may be long gone and known by its log alone.
                    let (from, name) = who(device).unwrap_or((MemberId(device.0), String::new()));
                    let meeting = self.told_in(handle);
                    let told = Event::Message { meeting, from, device, name, seq, at, text, history };
                    if is_planted(Mutant::TellTwice) {
                        self.context.event(told.clone());
                    }
                    self.context.event(told);
                    if !history {
                        self.reconsider(device);
                    }
                }
                log::Event::Delivered { seq, to } => {
                    if let Some((to, _)) = who(to) {
                        self.context.event(Event::Delivered { meeting: handle, seq, to });
                    }
                }
            }
        }
        let open = self.meetings.get(&handle).and_then(|attendance| attendance.open());
        let ready: Vec<_> = open.into_iter().flat_map(|open| open.log.ready()).collect();
        for device in ready {
            self.pump(device);
        }
    }

    /// The meeting itself, but for a planted bug.
    fn told_in(&self, handle: MeetingHandle) -> MeetingHandle {
        let other = self.meetings.keys().copied().find(|other| *other != handle);
        other.filter(|_| is_planted(Mutant::WrongMeeting)).unwrap_or(handle)
    }

    /// Sends a device what the logs of our common meetings have for it, as far as the channel has room.
    pub(super) fn pump(&mut self, device: DeviceId) {
        let Some(dial) = self.links.dial_mut(device) else { return };
        let mut sent = false;
        for &handle in dial.greeted.keys() {
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
