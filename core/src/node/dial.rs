//! Forming, replacing and losing links.

use std::net::SocketAddr;
use std::time::Duration;

use super::Node;
use super::api::{DisconnectReason, Event, MeetingHandle, Progress, Stage, Trouble};
use super::converse::end_of;
use super::links::{Arrival, Dial, Peer, PeerState};
use crate::base::{DeviceId, Incarnation, Scope};
use crate::limits;
use crate::meeting::Record;
use crate::meeting::hello::End;
use crate::meeting::{Keys, Ufrag};
use crate::peer::{CloseReason, Fingerprint, IceCredentials, Link, LinkConfig, Role, SnapToken};

/// HELLO must be done this long after the link is secure.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Links beyond this many show their NATs less often that they are in use.
const CROWD: usize = 8;

impl Node {
    /// A sign that a device is there and wants us, or can be had: starts a link unless there is one.
    pub(super) fn want(&mut self, device: DeviceId) {
        let Some(incarnation) = self.newest_record(device).map(|(_, record)| record.details().incarnation)
        else {
            return;
        };
        if !self.admit(device, incarnation) {
            return;
        }
        let forming = self.links.forming();
        let Some(peer) = self.links.peers.get_mut(&device) else { return };
        match peer.state {
            PeerState::Dialed(_) => {}
            PeerState::Away | PeerState::Retry(_) | PeerState::Queued if forming >= limits::FORMING => {
                peer.state = PeerState::Queued;
            }
            PeerState::Away | PeerState::Retry(_) | PeerState::Queued => {
                let number = peer.highest.map_or(0, |n| n.saturating_add(1));
                self.dial(device, None, number);
            }
        }
    }

    /// Makes sure that there is an entry for this run of a device, and drops what belonged to an earlier one; `false` if
    /// there is no room.
    fn admit(&mut self, device: DeviceId, incarnation: Incarnation) -> bool {
        match self.links.peers.get(&device).map(|peer| peer.incarnation >= incarnation) {
            Some(true) => return true,
            Some(false) => self.drop_link(device, DisconnectReason::Restarted),
            None if self.links.peers.len() >= limits::LINKS && !self.forget_peer() => return false,
            None => {}
        }
        self.links.peers.insert(device, Peer::new(incarnation));
        true
    }

    /// Makes room by forgetting a device that is away.
    fn forget_peer(&mut self) -> bool {
        let away = self.links.peers.iter().find(|(_, peer)| matches!(peer.state, PeerState::Away));
        let away = away.map(|(&device, _)| device);
        away.is_some_and(|device| self.links.peers.remove(&device).is_some())
    }

    /// Builds dial number `number` to a device, with the keys of `via` or of the first meeting we share.
    fn dial(&mut self, device: DeviceId, via: Option<MeetingHandle>, number: u16) {
        let Some((first, record)) = self.newest_record(device) else { return };
        let record = record.clone();
        let via = via.unwrap_or(first);
        let Some(open) = self.meetings.get(&via).and_then(|attendance| attendance.open()) else { return };
        let credentials = Credentials::new(&open.keys, self.me.end(), end_of(&record), number);
        let remotes = self.remotes(device, &record);
        let role = if self.me.device < device { Role::Client } else { Role::Server };
        let fingerprint = Fingerprint(*record.fingerprint());
        let Ok(snap) = SnapToken::try_from(record.details().snap.as_slice()) else {
            tracing::debug!(?device, "its record has no SNAP token");
            return self.attempt_failed(device);
        };
        let crowd = self.links.peers.len() > CROWD;
        let config = LinkConfig {
            sockets: self.sockets.clone(),
            remotes: remotes.clone(),
            keep_alive: Duration::from_secs(if crowd { 3 } else { 1 }),
            pulse: Duration::from_millis(if crowd { 5_000 } else { 2_500 }),
            ..LinkConfig::new(role, credentials.local, credentials.remote, fingerprint, snap)
        };
        let link = match Link::new(&mut self.context.cx(), &self.me.endpoint, config) {
            Ok(link) => link,
            Err(error) => {
                tracing::debug!(?device, %error, "no link can be made");
                return self.attempt_failed(device);
            }
        };
        let deadline = self.context.now + self.connect_timeout;
        self.links.install(
            device,
            Dial::new(link, number, via, (credentials.ufrag, *record.fingerprint()), deadline),
            &remotes,
        );
        self.touched.insert(device);
        let progress = Progress::Checking { name: record.details().name.clone(), candidates: remotes.len() };
        self.tell_shared(device, progress);
    }

    /// Where a device may be reached, the likeliest first: what a round trip proved, then what its record says.
    pub(super) fn remotes(&self, device: DeviceId, record: &Record) -> Vec<SocketAddr> {
        let proven = self.links.peers.get(&device).and_then(|peer| peer.proven);
        let ours: Vec<Scope> = self.sockets.iter().flat_map(|s| &s.addrs).map(|&ip| Scope::of(ip)).collect();
        let mut remotes: Vec<SocketAddr> = proven.into_iter().collect();
        for candidate in &record.details().candidates {
            let address = candidate.addr;
            // Another machine's loopback is not ours, unless all we have is loopback.
            let loopback = Scope::of(address.ip()) == Scope::Loopback;
            let reachable = self.sockets.iter().any(|socket| socket.reaches(address));
            let foreign_loopback = loopback && ours.iter().any(|&scope| scope != Scope::Loopback);
            if reachable && !foreign_loopback && !remotes.contains(&address) && address.port() >= 1024 {
                remotes.push(address);
            }
        }
        remotes
    }

    /// An ICE check came whose USERNAME names us and a device we know, and whose integrity is proven.
    ///
    /// Credentials are per attempt and per incarnation, so the check itself says whether one side has restarted or
    /// redialed, and the other follows at once.
    pub(super) fn verified_check(&mut self, device: DeviceId, via: MeetingHandle, check: Check, at: Arrival) {
        if check.ours.incarnation != self.me.incarnation {
            // Meant for our past: answer with who we are now.
            return self.knock_member(via, at.from);
        }
        let Some(record) = self.record(via, device) else { return };
        if check.theirs.incarnation != record.details().incarnation {
            if check.theirs.incarnation > record.details().incarnation {
                self.knock_member(via, at.from);
            }
            return;
        }
        let incarnation = record.details().incarnation;
        if !self.admit(device, incarnation) {
            return;
        }
        let replaces = match self.links.dial(device) {
            // A number that was used up cannot be taken again: the other end may be in the middle of it.
            None => self.links.peers.get(&device).is_some_and(|peer| Some(check.ours.n) > peer.highest),
            Some(dial) => {
                let theirs = (check.ours.n, std::cmp::Reverse(self.meeting_id(via)));
                theirs > (dial.number, std::cmp::Reverse(self.meeting_id(dial.via)))
            }
        };
        if replaces {
            self.drop_link(device, DisconnectReason::Closed);
            if let Some(peer) = self.links.peers.get_mut(&device) {
                peer.proven = Some(at.from);
            }
            self.dial(device, Some(via), check.ours.n);
        }
    }

    /// Something authentic came from a device, outside any link: its link should know.
    pub(super) fn sign_of_life(&mut self, device: DeviceId, from: SocketAddr) {
        let now = self.context.now;
        let Some(peer) = self.links.peers.get_mut(&device) else { return };
        peer.heard = Some(now);
        peer.proven = Some(from);
        let mut claimed = false;
        if let Some(dial) = peer.dial_mut()
            && !dial.secured
        {
            dial.link.rekick(&mut self.context.cx(), from);
            claimed = true;
        }
        if claimed {
            self.links.claim(device, from);
            self.touched.insert(device);
        }
    }

    /// The link died below us.
    pub(super) fn link_closed(&mut self, device: DeviceId, reason: CloseReason) {
        let reason = match reason {
            CloseReason::Silent => DisconnectReason::Silent,
            _ => DisconnectReason::Closed,
        };
        let lost = self.links.dial(device).is_some_and(Dial::is_greeted);
        self.drop_link(device, reason);
        if lost {
            // The first attempt to get it back costs nobody anything, so it does not wait.
            self.want(device);
        } else {
            self.attempt_failed(device);
        }
    }

    /// A step of an attempt took too long.
    pub(super) fn dial_timed_out(&mut self, device: DeviceId) {
        self.drop_link(device, DisconnectReason::Silent);
        self.attempt_failed(device);
    }

    /// Plans the next attempt, or gives up until there is a sign of life.
    fn attempt_failed(&mut self, device: DeviceId) {
        let now = self.context.now;
        let Some(peer) = self.links.peers.get_mut(&device) else { return };
        let attempt = peer.failures;
        peer.failures += 1;
        match self.reconnect.delay(attempt) {
            Some(delay) => peer.state = PeerState::Retry(now + delay),
            None => {
                peer.state = PeerState::Away;
                peer.failures = 0;
                let stage = std::mem::replace(&mut peer.reached, Stage::Checks);
                if let Some((meeting, record)) = self.newest_record(device) {
                    let name = record.details().name.clone();
                    self.context.trouble(Some(meeting), Trouble::NoPath { name, stage });
                }
            }
        }
        self.dial_queued();
    }

    /// Takes a link away and tells the meetings that had it.
    pub(super) fn drop_link(&mut self, device: DeviceId, reason: DisconnectReason) {
        let Some(mut dial) = self.links.uninstall(device) else { return };
        dial.link.close(&mut self.context.cx());
        for &meeting in &dial.greeted {
            self.part(device, meeting, reason);
        }
    }

    /// A member is no longer connected in one meeting.
    pub(super) fn part(&mut self, device: DeviceId, meeting: MeetingHandle, reason: DisconnectReason) {
        let me = self.me.device;
        let Some(open) = self.meetings.get_mut(&meeting).and_then(|attendance| attendance.open_mut()) else {
            return;
        };
        if !open.present.remove(&device) {
            return;
        }
        open.log.unlinked(device);
        open.company_changed(&self.context.cx(), me);
        let Some(person) = open.roster.get_any(device) else { return };
        let member = person.record.member();
        self.context.event(Event::Disconnected { meeting, member, device, reason });
    }

    /// Starts links that waited for their turn.
    pub(super) fn dial_queued(&mut self) {
        let free = limits::FORMING.saturating_sub(self.links.forming());
        let queued =
            |(&device, peer): (&DeviceId, &Peer)| matches!(peer.state, PeerState::Queued).then_some(device);
        let devices: Vec<_> = self.links.peers.iter().filter_map(queued).take(free).collect();
        for device in devices {
            self.want(device);
        }
    }

    /// Does what is due on links.
    pub(super) fn wake_links(&mut self) {
        let now = self.context.now;
        let mut late = Vec::new();
        let mut again = Vec::new();
        for (&device, peer) in &mut self.links.peers {
            match &mut peer.state {
                PeerState::Dialed(dial) if dial.deadline.is_some_and(|at| at <= now) => late.push(device),
                PeerState::Dialed(dial) if dial.link.next_wake().is_some_and(|wake| wake.at <= now) => {
                    dial.link.on_wake(&mut self.context.cx());
                    self.touched.insert(device);
                }
                PeerState::Retry(at) if *at <= now => again.push(device),
                _ => {}
            }
        }
        for device in late {
            self.dial_timed_out(device);
        }
        for device in again {
            self.want(device);
        }
    }

    /// The path to a device is secure: HELLO comes next.
    pub(super) fn link_secured(&mut self, device: DeviceId) {
        let deadline = self.context.now + HELLO_TIMEOUT;
        let Some(peer) = self.links.peers.get_mut(&device) else { return };
        peer.reached = Stage::Hello;
        let Some(dial) = peer.dial_mut() else { return };
        dial.secured = true;
        dial.deadline = Some(deadline);
        if let Some((_, record)) = self.newest_record(device) {
            let name = record.details().name.clone();
            self.tell_shared(device, Progress::Greeting { name });
        }
        self.greet(device);
        self.dial_queued();
    }

    /// A path to a device is found: DTLS comes next.
    pub(super) fn path_found(&mut self, device: DeviceId, remote: SocketAddr) {
        self.links.prove(device, remote);
        let Some(peer) = self.links.peers.get_mut(&device) else { return };
        peer.reached = peer.reached.max(Stage::Dtls);
        peer.proven = Some(remote);
        if let Some((_, record)) = self.newest_record(device) {
            let name = record.details().name.clone();
            self.tell_shared(device, Progress::Securing { name });
        }
    }

    /// Tells every meeting shared with a device what is being done about it.
    fn tell_shared(&mut self, device: DeviceId, progress: Progress) {
        for (&handle, attendance) in &mut self.meetings {
            if let Some(open) = attendance.open_mut()
                && open.roster.get(device).is_some()
                && !open.present.contains(&device)
            {
                open.status(&mut self.context, handle, progress.clone());
            }
        }
    }
}

/// What a verified check's USERNAME says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) ours: Ufrag,
    pub(super) theirs: Ufrag,
}

/// Both ends' ICE credentials for one dial.
struct Credentials {
    ufrag: Ufrag,
    local: IceCredentials,
    remote: IceCredentials,
}

impl Credentials {
    fn new(keys: &Keys, me: End, them: End, number: u16) -> Self {
        let ours = keys.ufrag(me.device, me.incarnation, them.device, number);
        let theirs = keys.ufrag(them.device, them.incarnation, me.device, number);
        Self {
            ufrag: ours,
            // A check names its receiver first and is keyed with the receiver's password.
            local: IceCredentials { ufrag: ours.to_string(), pwd: keys.check_password(&ours, &theirs) },
            remote: IceCredentials { ufrag: theirs.to_string(), pwd: keys.check_password(&theirs, &ours) },
        }
    }
}
