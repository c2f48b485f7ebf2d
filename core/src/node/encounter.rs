//! Meeting people: knocks, records, and what follows from learning that somebody is there.

use std::net::SocketAddr;

use super::Node;
use super::api::{MeetingHandle, Progress};
use super::dial::Urgency;
use super::links::Arrival;
use crate::base::{DeviceId, InfoHash, MeetingId};
use crate::limits;
use crate::meeting::Change;
use crate::meeting::Record;
use crate::meeting::knock::{self, Seen};
use crate::meeting::rendezvous::{Action, Source};
use crate::wire::frame::control::{Control, MAX_LIST};
use crate::wire::stun::{Message, TransactionId};

/// How we came to hold a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Introduction {
    /// It came with a knock from there. Whoever sent that once heard a knock of the device's, and may not be it.
    Knock(SocketAddr),
    /// It came with the answer to a knock of ours: the device is there.
    Answer(SocketAddr),
    /// Its device showed it in its HELLO.
    Hello,
    /// A member passed it on.
    Member(DeviceId),
}

/// A device that may send us ICE checks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acquaintance {
    pub(super) meeting: MeetingHandle,
    pub(super) device: DeviceId,
    /// What only the two devices know.
    pub(super) pair: [u8; 32],
}

impl Node {
    /// A knock: somebody claims to know the code, and says who and where.
    pub(super) fn knock(&mut self, handle: MeetingHandle, at: Arrival, message: &Message<'_>) {
        let unix = self.context.unix();
        let Some(open) = self.meetings.get_mut(&handle).and_then(|attendance| attendance.open_mut()) else {
            return;
        };
        let Ok(knock) = knock::verify_request(&open.epochs, message) else {
            self.counters.unproven_stun += 1;
            return;
        };
        match open.replays.check(at.from, knock.id) {
            Seen::New => {}
            Seen::Again(answer) => {
                let answer = answer.to_vec();
                let mut cx = self.context.cx();
                cx.transmit(at.socket, at.local, at.from, answer);
                // Our answer was lost, or comes from another port than was asked, as our NAT has it: then only a knock of our own
                // can tell who we are.
                open.rendezvous.knock_back(&mut cx, at.from);
                return self.act(handle);
            }
            Seen::Replay => {
                self.counters.replayed_knocks += 1;
                return;
            }
        }
        let Ok(record) = knock.open(&open.keys, &open.roster, unix) else {
            self.counters.bad_records += 1;
            return;
        };
        if record.device() == self.me.device {
            // Our own knock, because the DHT named us or a router sent it back: where it went is where we are.
            if let Some(own) = open.rendezvous.met_ourselves(knock.id)
                && self.own_addresses.len() < limits::OWN_ADDRESSES
            {
                self.own_addresses.insert(own);
            }
            return;
        }
        let Some(epoch) = open.epochs.iter().find(|epoch| epoch.epoch == knock.epoch) else { return };
        let mut cx = self.context.cx();
        let answer = knock::answer(epoch, knock.id, at.from, &open.own.seal(&open.keys, cx.rng));
        open.replays.insert(at.from, knock.id, answer.clone());
        cx.transmit(at.socket, at.local, at.from, answer);
        self.meet(handle, record, Introduction::Knock(at.from));
    }

    /// Perhaps the answer to a knock of ours; whether it was one.
    pub(super) fn knock_answered(&mut self, at: Arrival, message: &Message<'_>) -> bool {
        let id = message.transaction_id();
        let expecting = self.meetings.iter().find_map(|(&handle, attendance)| {
            Some((handle, attendance.open()?.rendezvous.asked(at.from, id)?))
        });
        let Some((handle, asked)) = expecting else { return false };
        let Some(open) = self.meetings.get_mut(&handle).and_then(|attendance| attendance.open_mut()) else {
            return true;
        };
        let verify = |epoch| knock::verify_answer(&open.keys, epoch, &open.roster, message).ok();
        let verified = open.epochs.iter().find_map(verify);
        let Some((record, _)) = verified else {
            self.counters.unproven_stun += 1;
            return true;
        };
        open.rendezvous.answered(asked);
        if record.device() != self.me.device {
            self.meet(handle, record, Introduction::Answer(at.from));
        }
        true
    }

    /// Somebody is in a meeting: all that follows from it.
    pub(super) fn meet(&mut self, handle: MeetingHandle, record: Record, how: Introduction) {
        let device = record.device();
        let now = self.context.now;
        if device == self.me.device {
            return;
        }
        let Some(open) = self.meetings.get_mut(&handle).and_then(|attendance| attendance.open_mut()) else {
            return;
        };
        let mut change = open.roster.insert(now, record.clone());
        let in_person = matches!(how, Introduction::Answer(_) | Introduction::Hello);
        if in_person && open.roster.met(now, device) && change == Change::Known {
            change = Change::Updated;
        }
        if change == Change::Full {
            return;
        }
        if change.is_news() {
            open.log.learn(&mut self.context.cx(), device);
            if open.present.contains(&device) {
                open.company_changed(&self.context.cx(), self.me.device);
            }
            self.acquaint(handle, device);
            let told_by = match how {
                Introduction::Member(by) => Some(by),
                _ => None,
            };
            self.spread(handle, &record, told_by);
        }
        // Old news say nothing about now, and who has left is left alone.
        let current = self.record(handle, device).is_some_and(|newest| !newest.is_newer_than(&record));
        if !current {
            return;
        }
        match how {
            Introduction::Answer(from) => {
                self.want(device, Urgency::Now);
                if let Some(peer) = self.links.peers.get_mut(&device) {
                    peer.heard = Some(now);
                    peer.proven = Some(from);
                }
                self.look_at(device, from);
            }
            // A record that is news was hardly overheard: losing no time is worth a few checks to where it came from.
            Introduction::Knock(from) if change.is_news() => {
                self.want(device, Urgency::Now);
                self.look_at(device, from);
            }
            Introduction::Knock(from) if self.links.dial(device).is_none() => self.knock_member(handle, from),
            Introduction::Member(_) if change.is_news() => self.want(device, Urgency::InTurn),
            Introduction::Knock(_) | Introduction::Hello | Introduction::Member(_) => {}
        }
        if change.is_news() {
            self.add_candidates(device, &record);
        }
        self.greet(device);
    }

    /// Makes sure that a device's ICE checks will be recognised.
    pub(super) fn acquaint(&mut self, handle: MeetingHandle, device: DeviceId) {
        let Some(open) = self.meetings.get(&handle).and_then(|attendance| attendance.open()) else { return };
        let tag = open.keys.pair_tag(self.me.device, device);
        if self.tags.contains_key(&tag) {
            return;
        }
        let Some(pair) = self.me.signer().agree(device.as_bytes()) else { return };
        // The roster may have forgotten somebody to take this one in.
        self.tags.retain(|_, known| known.meeting != handle || open.roster.get_any(known.device).is_some());
        self.tags.insert(tag, Acquaintance { meeting: handle, device, pair });
    }

    /// Tells a link that is being formed of addresses that its record has come to hold.
    fn add_candidates(&mut self, device: DeviceId, record: &Record) {
        let remotes = self.remotes(device, record);
        let Some(dial) = self.links.dial_mut(device).filter(|dial| !dial.secured) else { return };
        for &remote in &remotes {
            dial.link.add_remote(&mut self.context.cx(), remote);
        }
        for remote in remotes {
            self.links.claim(device, remote);
        }
        self.touched.insert(device);
    }

    /// Addresses that may be members', as somebody says.
    pub(super) fn rumour(&mut self, handle: MeetingHandle, source: Source, addresses: &[SocketAddr]) {
        let unknown = addresses.iter().copied().filter(|&a| self.is_in_range(a) && !self.is_known(handle, a));
        // An unknown port of our own NAT is a neighbour's, or more likely one that it gave us for a while: last of all.
        let is_foreign = |a: &SocketAddr| self.addresses.publics().all(|public| public.ip() != a.ip());
        let (foreign, ours): (Vec<_>, Vec<_>) = unknown.partition(is_foreign);
        let unknown = [foreign, ours].concat();
        let Some(open) = self.meetings.get_mut(&handle).and_then(|attendance| attendance.open_mut()) else {
            return;
        };
        let taken = open.rendezvous.rumour(&mut self.context.cx(), source, &unknown);
        if taken.is_empty() {
            return;
        }
        let knocking = Progress::Knocking { addresses: open.rendezvous.knocking() };
        if open.present.is_empty() {
            open.status(&mut self.context, handle, knocking);
        }
        let asks_for_all = matches!(source, Source::Dht(_)) && open.rendezvous.is_entry_point();
        if asks_for_all {
            for device in self.present(handle) {
                for addresses in taken.chunks(MAX_LIST) {
                    self.say_control(device, handle, &Control::Addresses(addresses.to_vec()));
                }
            }
        }
        self.act(handle);
    }

    /// Whether an address is ours as others see us, or that of a device connected in the meeting.
    fn is_known(&self, handle: MeetingHandle, address: SocketAddr) -> bool {
        let is_ours =
            self.own_addresses.contains(&address) || self.addresses.publics().any(|public| public == address);
        let open = self.meetings.get(&handle).and_then(|attendance| attendance.open());
        let connected = || {
            let owner = self.links.owner(address)?;
            open?.present.contains(&owner).then_some(())
        };
        is_ours || connected().is_some()
    }

    /// Knocks at an address that has just proved to know the code, because its idea of us is out of date.
    pub(super) fn knock_member(&mut self, handle: MeetingHandle, address: SocketAddr) {
        let Some(open) = self.meetings.get_mut(&handle).and_then(|attendance| attendance.open_mut()) else {
            return;
        };
        open.rendezvous.knock_member(&mut self.context.cx(), address);
        self.act(handle);
    }

    /// A topic of a meeting is announced.
    pub(super) fn on_announced(&mut self, handle: MeetingHandle, topic: InfoHash) {
        let Some(open) = self.meetings.get_mut(&handle).and_then(|attendance| attendance.open_mut()) else {
            return;
        };
        open.rendezvous.announced(&self.context.cx(), topic);
        self.act(handle);
    }

    /// Does what a meeting's rendezvous asks for.
    pub(super) fn act(&mut self, handle: MeetingHandle) {
        loop {
            let Some(open) = self.meetings.get_mut(&handle).and_then(|attendance| attendance.open_mut())
            else {
                return;
            };
            let Some(action) = open.rendezvous.pop_action() else { return };
            let mut cx = self.context.cx();
            match action {
                Action::Announce(topic) => self.dht.announce(&mut cx, topic),
                Action::Forget(topic) => self.dht.forget(topic),
                Action::Poll(topic) => {
                    self.dht.poll(&mut cx, topic);
                }
                Action::Knock { to, transaction, .. } => self.send_knock(handle, to, transaction),
            }
        }
    }

    fn send_knock(&mut self, handle: MeetingHandle, to: SocketAddr, transaction: TransactionId) {
        let Some(socket) = self.sockets.iter().find(|socket| socket.reaches(to)).map(|socket| socket.id)
        else {
            return;
        };
        let Some(open) = self.meetings.get(&handle).and_then(|attendance| attendance.open()) else { return };
        let Some(epoch) = open.epochs.first() else { return };
        let mut cx = self.context.cx();
        let request = knock::request(epoch, transaction, &open.own.seal(&open.keys, cx.rng));
        cx.transmit(socket, None, to, request);
    }

    /// What a device says of itself in one meeting.
    pub(super) fn record(&self, handle: MeetingHandle, device: DeviceId) -> Option<&Record> {
        Some(&self.meetings.get(&handle)?.open()?.roster.get(device)?.record)
    }

    /// The newest that is known of a device in the meetings we share, and of those the meeting both ends name first.
    pub(super) fn newest_record(&self, device: DeviceId) -> Option<(MeetingHandle, &Record)> {
        let records = self.meetings.iter().filter_map(|(&handle, attendance)| {
            let open = attendance.open()?;
            Some((handle, open.keys.id(), &open.roster.get(device)?.record))
        });
        let newest =
            records.max_by_key(|(_, id, record)| (record.details().incarnation, std::cmp::Reverse(*id)));
        newest.map(|(handle, _, record)| (handle, record))
    }

    pub(super) fn meeting_id(&self, handle: MeetingHandle) -> Option<MeetingId> {
        Some(self.meetings.get(&handle)?.open()?.keys.id())
    }

    /// Forgets by which tags the devices of a meeting were known.
    pub(super) fn forget_tags(&mut self, handle: MeetingHandle) {
        self.tags.retain(|_, known| known.meeting != handle);
    }
}
