//! Where an arriving datagram belongs. No state is made, and nothing is answered, before a message's integrity is
//! proven.

use super::dial::Check;
use super::encounter::Acquaintance;
use super::links::Arrival;
use super::{MeetingHandle, Node};
use crate::base::DeviceId;
use crate::meeting::Ufrag;
use crate::wire::demux::{self, Kind};
use crate::wire::stun::{Class, Message};

/// Datagrams that were dropped, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Of no protocol spoken here, or to a socket that is gone.
    pub unknown: u64,
    /// STUN that does not parse.
    pub malformed_stun: u64,
    /// STUN requests that prove nothing: no or another meeting's USERNAME, wrong integrity.
    pub unproven_stun: u64,
    /// STUN responses nobody waits for.
    pub unexpected_stun: u64,
    /// DTLS from an address that no link knows.
    pub stray_dtls: u64,
    /// Knocks that were answered before, from elsewhere or too long ago to be repeated.
    pub replayed_knocks: u64,
    /// Records, in knocks or passed on by members, that do not verify or are too old.
    pub bad_records: u64,
    /// Devices beyond those that one member may be the first to tell of.
    pub over_introduced: u64,
    /// Anything, because the shell does not drain what there is.
    pub unread: u64,
    /// Inputs whose time was earlier than one before.
    pub time_went_back: u64,
    /// Wakes that were not later than the time they were asked for at.
    pub late_wakes: u64,
}

impl Node {
    pub(super) fn datagram(&mut self, at: Arrival, bytes: &[u8]) {
        if !self.sockets.iter().any(|socket| socket.id == at.socket) {
            self.counters.unknown += 1;
            return;
        }
        match demux::classify(bytes) {
            Kind::Stun => match Message::parse(bytes) {
                Ok(message) => self.stun_message(at, &message, bytes),
                Err(_) => self.counters.malformed_stun += 1,
            },
            Kind::Dtls => self.dtls(at, bytes),
            Kind::Krpc => {
                let mut cx = self.context.cx();
                self.dht.handle_datagram(&mut cx, at.socket, at.local, at.from, bytes);
            }
            Kind::ChannelData | Kind::Unknown => self.counters.unknown += 1,
        }
    }

    fn stun_message(&mut self, at: Arrival, message: &Message<'_>, bytes: &[u8]) {
        match message.class() {
            Class::Success | Class::Error => {
                if self.stun.handle(&mut self.context.cx(), at.socket, at.from, message) {
                    return;
                }
                if self.knock_answered(at, message) {
                    return;
                }
                let links = self.links.by_address(at.from);
                if links.is_empty() {
                    self.counters.unexpected_stun += 1;
                }
                for device in links {
                    self.feed(device, at, bytes);
                }
            }
            Class::Request => self.stun_request(at, message, bytes),
            Class::Indication => {
                for device in self.links.by_address(at.from) {
                    self.feed(device, at, bytes);
                }
            }
        }
    }

    fn stun_request(&mut self, at: Arrival, message: &Message<'_>, bytes: &[u8]) {
        let Some(username) = message.username() else {
            self.counters.unproven_stun += 1;
            return;
        };
        if let Some(meeting) = self.knocked(username) {
            return self.knock(meeting, at, message);
        }
        let Some((ours, theirs)) = Ufrag::parse_username(username.as_bytes()) else {
            self.counters.unproven_stun += 1;
            return;
        };
        // Most checks are of a link that is there. It may outlive the meeting that its keys come from.
        if let Some(device) = self.links.by_ufrag(&ours) {
            let ends = self.links.dial(device).map(|dial| &dial.ends);
            if ends.is_some_and(|ends| ends.theirs == theirs && message.verify_sha1(ends.password.as_bytes()))
            {
                self.answered(device, at.from);
                self.feed(device, at, bytes);
            } else {
                self.counters.unproven_stun += 1;
            }
            return;
        }
        let check = Check { ours, theirs };
        let Some((device, via)) = self.read_check(&check, message) else {
            self.counters.unproven_stun += 1;
            return;
        };
        self.verified_check(device, via, check, at);
        if self.links.by_ufrag(&ours) == Some(device) {
            self.answered(device, at.from);
            self.feed(device, at, bytes);
        }
    }

    /// The meeting whose knock ufrag this is.
    fn knocked(&self, username: &str) -> Option<MeetingHandle> {
        self.meetings.iter().find_map(|(&handle, attendance)| {
            let open = attendance.open()?;
            let ours = open.epochs.iter().any(|epoch| epoch.knock_ufrag == username);
            ours.then_some(handle)
        })
    }

    /// Verifies the integrity of an ICE check: which device sent it, by which meeting's keys.
    fn read_check(&self, check: &Check, message: &Message<'_>) -> Option<(DeviceId, MeetingHandle)> {
        let Acquaintance { meeting, device, pair } = self.tags.get(&check.ours.tag)?;
        let keys = &self.meetings.get(meeting)?.open()?.keys;
        let password = keys.check_password(pair, &check.ours, &check.theirs);
        message.verify_sha1(password.as_bytes()).then_some((*device, *meeting))
    }

    fn dtls(&mut self, at: Arrival, bytes: &[u8]) {
        if let Some(owner) = self.links.owner(at.from) {
            return self.feed(owner, at, bytes);
        }
        // Nobody has proved to be there yet; the wrong links drop what they cannot decrypt.
        let links = self.links.by_address(at.from);
        if links.is_empty() {
            self.counters.stray_dtls += 1;
        }
        links.into_iter().for_each(|device| self.feed(device, at, bytes));
    }

    /// Hands a datagram to a link.
    fn feed(&mut self, device: DeviceId, at: Arrival, bytes: &[u8]) {
        if let Some(dial) = self.links.dial_mut(device) {
            dial.link.handle_datagram(&mut self.context.cx(), at.socket, at.local, at.from, bytes);
            if dial.link.has_events() {
                self.touched.insert(device);
            }
        }
    }
}
