//! Forming, replacing and losing links.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::time::Duration;

use super::Node;
use super::api::{DisconnectReason, Event, MeetingHandle, Progress, Stage, Trouble};
use super::links::{Arrival, Dial, Ends, Peer, PeerState};
use crate::base::mutant::{Mutant, is_planted};
use crate::base::{DeviceId, Incarnation, Prefix, Scope};
use crate::limits;
use crate::meeting::hello::End;
use crate::meeting::{Candidate, Presence, Record, Ufrag};
use crate::peer::{CloseReason, Fingerprint, IceCredentials, Link, LinkConfig, Role, SnapToken, Tempo};

/// An attempt that nobody answers ends after this long, unless less is allowed for a whole one. It is longer than the
/// usual wait between attempts, so that two who begin at different times overlap.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// An attempt that nobody has answered no longer keeps others waiting after this long.
const SLOT_TIMEOUT: Duration = Duration::from_secs(3);
/// HELLO must be done this long after the link is secure.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// A link that lasted this long was a good one: when it is lost, the first attempt to get it back does not wait.
const GOOD_LINK: Duration = Duration::from_secs(10);
/// Links beyond this many send less of their own accord.
const CROWD: usize = 8;
/// Of so many attempts at a device in another network, one tries its private addresses.
const LONG_SHOT: usize = 4;
/// A device that was given up is looked for again after this long, then after twice as long each time, at most
/// [`SEARCH_DOUBLINGS`] times twice, with up to half as much jitter.
const SEARCH: Duration = Duration::from_secs(60);
/// The same while nobody is connected, for the first [`LONG_ALONE`]: whoever it is may be the only one we can reach.
const SEARCH_ALONE: Duration = Duration::from_secs(20);
const LONG_ALONE: Duration = Duration::from_secs(600);
const SEARCH_DOUBLINGS: u32 = 4;
/// How long nothing is had to do with a device that broke a rule; each further time twice as long.
const SHUN: Duration = Duration::from_secs(5);
const SHUN_DOUBLINGS: u32 = 6;

/// How urgently a link is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// The device has just shown itself: at once.
    Now,
    /// Somebody told of it, or it was there before: when it is its turn.
    InTurn,
}

impl Node {
    /// A device is there, or should be: starts a link unless there is one.
    pub(super) fn want(&mut self, device: DeviceId, urgency: Urgency) {
        let now = self.context.now;
        let Some(incarnation) = self.newest_record(device).map(|(_, record)| record.details().incarnation)
        else {
            // In no meeting of ours any more.
            return self.links.let_go(device);
        };
        if !self.admit(device, incarnation) {
            return;
        }
        let full = self.links.forming() >= limits::FORMING;
        let no_socket = self.sockets.is_empty();
        let Some(peer) = self.links.peers.get_mut(&device) else { return };
        match peer.state {
            PeerState::Dialed(_) => {}
            // Counting attempts that cannot be made would give up on everyone.
            _ if no_socket => peer.state = PeerState::Away,
            _ if peer.shunned_until > now => peer.state = PeerState::Retry(peer.shunned_until),
            _ if full && urgency == Urgency::InTurn => peer.state = PeerState::Queued,
            _ => {
                let number = peer.highest.map_or(0, |n| n.saturating_add(1));
                self.dial(device, None, number);
            }
        }
    }

    /// Others are in touch with a device: worth another try, if we gave it up, and another check of each address if we are at it. Once the way
    /// is clear again, nothing else may happen between the two.
    pub(super) fn reconsider(&mut self, device: DeviceId) {
        match self.links.dial(device) {
            Some(dial) if dial.secured => return,
            Some(_) => {}
            None if self.links.peers.get(&device).is_some_and(Peer::is_away) => {
                return self.want(device, Urgency::InTurn);
            }
            None => return,
        }
        let Some((_, record)) = self.newest_record(device) else { return };
        for remote in self.remotes(device, record) {
            self.look_at(device, remote);
        }
    }

    /// Makes sure that there is an entry for this run of a device, and drops what belonged to an earlier one; `false` if
    /// there is no room.
    fn admit(&mut self, device: DeviceId, incarnation: Incarnation) -> bool {
        match self
            .links
            .peers
            .get(&device)
            .map(|peer| peer.incarnation >= incarnation || is_planted(Mutant::OldRun))
        {
            Some(true) => return true,
            Some(false) => self.drop_link(device, DisconnectReason::Restarted),
            None if self.links.peers.len() >= limits::LINKS && !self.links.evict() => return false,
            None => {}
        }
        self.links.peers.insert(device, Peer::new(incarnation));
        true
    }

    /// Builds dial number `number` to a device, with the keys of `via` or of the first meeting we share.
    fn dial(&mut self, device: DeviceId, via: Option<MeetingHandle>, number: u16) {
        let Some((first, record)) = self.newest_record(device) else { return };
        let record = record.clone();
        let via = via.unwrap_or(first);
        let Some(open) = self.meetings.get(&via).and_then(|attendance| attendance.open()) else { return };
        let (me, them) = (self.me.end(), End::of(&record));
        let ours = open.keys.ufrag(me.device, me.incarnation, them.device, number);
        let theirs = open.keys.ufrag(them.device, them.incarnation, me.device, number);
        let Some(acquaintance) = self.tags.get(&ours.tag) else { return };
        let password = |to: &Ufrag, from: &Ufrag| open.keys.check_password(&acquaintance.pair, to, from);
        // A check names its receiver first and is keyed with the receiver's password.
        let local = IceCredentials { ufrag: ours.to_string(), pwd: password(&ours, &theirs) };
        let remote = IceCredentials { ufrag: theirs.to_string(), pwd: password(&theirs, &ours) };
        let role = if self.me.device < device { Role::Client } else { Role::Server };
        let Ok(snap) = SnapToken::try_from(record.details().snap.as_slice()) else {
            tracing::debug!(?device, "its record has no SNAP token");
            return self.attempt_failed(device);
        };
        let remotes = self.remotes(device, &record);
        let crowd = self.links.peers.len() > CROWD;
        let ends = Ends { ours, theirs, password: local.pwd.clone(), fingerprint: *record.fingerprint() };
        let config = LinkConfig {
            sockets: self.sockets.clone(),
            remotes: remotes.clone(),
            tempo: if crowd { Tempo::CROWDED } else { Tempo::LIVELY },
            ..LinkConfig::new(role, local, remote, Fingerprint(ends.fingerprint), snap)
        };
        let link = match Link::new(&mut self.context.cx(), &self.me.endpoint, config) {
            Ok(link) => link,
            Err(error) => {
                tracing::debug!(?device, %error, "no link can be made");
                return self.attempt_failed(device);
            }
        };
        let now = self.context.now;
        let deadline = now + self.connect_timeout.min(ANSWER_TIMEOUT);
        let dial = Dial::new(link, number, via, ends, now, deadline, now + SLOT_TIMEOUT);
        self.links.install(device, dial, &remotes);
        self.touched.insert(device);
        let progress = Progress::Checking { name: record.details().name.clone(), candidates: remotes.len() };
        self.tell_shared(device, progress);
    }

    /// Where a device may be reached, the likeliest first: what a round trip proved, then what its record says.
    pub(super) fn remotes(&self, device: DeviceId, record: &Record) -> Vec<SocketAddr> {
        let peer = self.links.peers.get(&device);
        let proven = peer.and_then(|peer| peer.proven);
        let mut remotes: Vec<SocketAddr> = proven.into_iter().collect();
        // Private addresses of elsewhere are those of a network that both are in, or of a stranger here: they are tried first, and
        // then now and then.
        let failures = peer.map_or(0, |peer| peer.failures);
        let met_outside = proven.is_some_and(|addr| Scope::of(addr.ip()) == Scope::Global);
        let skips_private = (met_outside || !failures.is_multiple_of(LONG_SHOT)) && self.is_elsewhere(record);
        let only_loopback =
            self.sockets.iter().flat_map(|s| &s.addrs).all(|&ip| Scope::of(ip) == Scope::Loopback);
        for candidate in &record.details().candidates {
            let address = candidate.addr;
            // Another machine's loopback is not ours, unless all we have is loopback.
            let foreign = Scope::of(address.ip()) == Scope::Loopback && !only_loopback;
            let skipped = skips_private && Scope::of(address.ip()).is_local();
            let sendable = self.sockets.iter().any(|socket| socket.reaches(address));
            if sendable && !foreign && !skipped && self.is_in_range(address) && !remotes.contains(&address) {
                remotes.push(address);
            }
        }
        remotes
    }

    /// Whether a device is in another network, by the public addresses of both.
    fn is_elsewhere(&self, record: &Record) -> bool {
        let publics = |candidates: &[Candidate]| {
            let addrs = candidates.iter().map(|candidate| candidate.addr.ip());
            addrs.filter(|ip| Scope::of(*ip) == Scope::Global).collect::<Vec<_>>()
        };
        let (ours, theirs) = (publics(&self.signed_candidates), publics(&record.details().candidates));
        let of_both = || theirs.iter().flat_map(|b| ours.iter().map(move |a| (a, b)));
        of_both().any(|(a, b)| a.is_ipv4() == b.is_ipv4())
            && !of_both().any(|(a, b)| Prefix::of(*a) == Prefix::of(*b))
    }

    /// Whether an address that somebody names may be sent to at all: no well-known port, loopback or private only
    /// where we have such an address ourselves, and not our own: a private address that two networks use is here ours.
    pub(super) fn is_in_range(&self, address: SocketAddr) -> bool {
        let scope = Scope::of(address.ip());
        let mut ours = self.sockets.iter().flat_map(|socket| &socket.addrs);
        address.port() >= 1024
            && scope != Scope::Unusable
            && (!scope.is_local() || ours.any(|&ip| Scope::of(ip) == scope))
            && !self.sockets.iter().any(|socket| socket.is_at(address))
    }

    /// An ICE check came whose USERNAME names us and a device we know, and whose integrity is proven: it is from that
    /// device.
    ///
    /// Credentials are per attempt and per incarnation, so the check itself says whether one side has restarted or
    /// redialed, and the other follows at once.
    pub(super) fn verified_check(&mut self, device: DeviceId, via: MeetingHandle, check: Check, at: Arrival) {
        let now = self.context.now;
        if check.ours.incarnation != self.me.incarnation {
            // Meant for our past: answer with who we are now.
            return self.knock_member(via, at.from);
        }
        let Some(open) = self.meetings.get_mut(&via).and_then(|attendance| attendance.open_mut()) else {
            return;
        };
        let Some(person) = open.roster.get_any(device) else { return };
        let incarnation = person.record.details().incarnation;
        if check.theirs.incarnation > incarnation {
            return self.knock_member(via, at.from);
        }
        if check.theirs.incarnation < incarnation || person.presence == Presence::Left {
            return;
        }
        open.roster.met(now, device);
        if !self.admit(device, incarnation) {
            return;
        }
        let Some(peer) = self.links.peers.get_mut(&device).filter(|peer| peer.shunned_until <= now) else {
            return;
        };
        let (highest, number) = (peer.highest, check.ours.n);
        let Some(dial) = peer.dial() else {
            peer.proven = Some(at.from);
            if highest.is_none_or(|highest| number > highest) {
                self.dial(device, Some(via), number);
            } else {
                // That number is used up: the other end may be in the middle of it. It follows ours.
                self.want(device, Urgency::Now);
            }
            return;
        };
        let (current, current_via) = (dial.number, dial.via);
        let rank = |number, via| (number, Reverse(self.meeting_id(via)));
        if rank(number, via) > rank(current, current_via) {
            self.drop_link(device, DisconnectReason::Closed);
            if let Some(peer) = self.links.peers.get_mut(&device) {
                peer.proven = Some(at.from);
            }
            self.dial(device, Some(via), number);
        } else {
            // The other end is behind, and follows ours; but it is there now.
            self.look_at(device, at.from);
        }
    }

    /// A device may be at an address: its link looks there at once.
    pub(super) fn look_at(&mut self, device: DeviceId, address: SocketAddr) {
        let Some(dial) = self.links.dial_mut(device).filter(|dial| !dial.secured) else { return };
        dial.link.rekick(&mut self.context.cx(), address);
        self.links.claim(device, address);
        self.touched.insert(device);
    }

    /// Something authentic came from a device over the dial under way.
    pub(super) fn answered(&mut self, device: DeviceId, from: SocketAddr) {
        let (now, timeout) = (self.context.now, self.connect_timeout);
        self.links.prove(device, from);
        let Some(peer) = self.links.peers.get_mut(&device) else { return };
        peer.heard = Some(now);
        if let Some(dial) = peer.dial_mut().filter(|dial| !dial.answered) {
            dial.answered = true;
            if !dial.secured {
                let end = dial.since + timeout;
                dial.deadline = Some(end);
                dial.slot = Some(end);
            }
        }
    }

    /// A path to a device is found: DTLS comes next.
    pub(super) fn path_found(&mut self, device: DeviceId, remote: SocketAddr) {
        self.answered(device, remote);
        let Some(peer) = self.links.peers.get_mut(&device) else { return };
        peer.reached = peer.reached.max(Stage::Dtls);
        peer.proven = Some(remote);
        if let Some((_, record)) = self.newest_record(device) {
            let name = record.details().name.clone();
            self.tell_shared(device, Progress::Securing { name });
        }
    }

    /// The path to a device is secure: HELLO comes next.
    pub(super) fn link_secured(&mut self, device: DeviceId) {
        let deadline = self.context.now + HELLO_TIMEOUT;
        let Some(peer) = self.links.peers.get_mut(&device) else { return };
        peer.reached = Stage::Hello;
        let Some(dial) = peer.dial_mut() else { return };
        dial.secured = true;
        dial.slot = None;
        dial.deadline = Some(deadline);
        self.slots_freed = true;
        if let Some((_, record)) = self.newest_record(device) {
            let name = record.details().name.clone();
            self.tell_shared(device, Progress::Greeting { name });
        }
        self.greet(device);
    }

    /// The link died below us.
    pub(super) fn link_closed(&mut self, device: DeviceId, reason: CloseReason) {
        let now = self.context.now;
        let was_good =
            self.links.dial(device).and_then(|dial| dial.greeted_at).is_some_and(|at| now - at >= GOOD_LINK);
        let reason = match reason {
            CloseReason::Silent => DisconnectReason::Silent,
            CloseReason::Misbehaved => DisconnectReason::Misbehaved,
            CloseReason::Remote | CloseReason::Impostor | CloseReason::Handshake | CloseReason::Failed => {
                DisconnectReason::Closed
            }
        };
        self.drop_link(device, reason);
        if was_good && reason == DisconnectReason::Silent {
            self.doubt_addresses();
        }
        if was_good {
            self.want(device, Urgency::Now);
        } else {
            self.attempt_failed(device);
        }
    }

    /// The other end broke a rule that no version of ours breaks.
    pub(super) fn misbehaved(&mut self, device: DeviceId) {
        let now = self.context.now;
        self.drop_link(device, DisconnectReason::Misbehaved);
        if let Some(peer) = self.links.peers.get_mut(&device) {
            peer.shunned_until = now + SHUN * 2_u32.pow(peer.offences.min(SHUN_DOUBLINGS));
            peer.offences += 1;
            peer.state = PeerState::Retry(peer.shunned_until);
        }
    }

    /// Plans the next attempt. When all are spent the user is told, and it is looked for ever more rarely.
    fn attempt_failed(&mut self, device: DeviceId) {
        let now = self.context.now;
        self.slots_freed = true;
        let newest =
            self.newest_record(device).map(|(meeting, record)| (meeting, record.details().name.clone()));
        let Some((meeting, name)) = newest else { return self.links.let_go(device) };
        let met =
            self.meetings.get(&meeting).and_then(|a| a.open()?.roster.get(device)).is_some_and(|p| p.met);
        if met {
            self.doubt_addresses();
        }
        let lonely = |since| now - since < LONG_ALONE;
        let alone =
            self.meetings.get(&meeting).and_then(|a| a.open()?.rendezvous.alone_since()).is_some_and(lonely);
        let Some(peer) = self.links.peers.get_mut(&device) else { return };
        let attempt = peer.failures;
        peer.failures += 1;
        // Who never proved to exist gets a second chance and no third.
        if let Some(delay) = self.reconnect.delay(attempt).filter(|_| met || attempt == 0) {
            peer.state = PeerState::Retry(now + delay);
            return;
        }
        let wait = if alone { SEARCH_ALONE } else { SEARCH * 2_u32.pow(peer.searches.min(SEARCH_DOUBLINGS)) };
        peer.state = PeerState::Retry(now + wait + self.context.rng.between(Duration::ZERO, wait / 2));
        peer.searches += 1;
        if peer.searches == 1 {
            let stage = std::mem::replace(&mut peer.reached, Stage::Checks);
            self.context.trouble(Some(meeting), Trouble::NoPath { name, stage });
        }
    }

    /// Takes a link away and tells the meetings that had it.
    pub(super) fn drop_link(&mut self, device: DeviceId, reason: DisconnectReason) {
        let Some(mut dial) = self.links.uninstall(device) else { return };
        self.slots_freed = true;
        dial.link.close(&mut self.context.cx());
        for &meeting in dial.greeted.keys() {
            self.part(device, meeting, reason);
        }
    }

    /// A member is no longer connected in one meeting.
    pub(super) fn part(&mut self, device: DeviceId, meeting: MeetingHandle, reason: DisconnectReason) {
        if is_planted(Mutant::KeepDeparted) && reason == DisconnectReason::Left {
            return;
        }
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

    /// Starts links that waited for their turn, to those who exist for certain first.
    pub(super) fn dial_queued(&mut self) {
        self.slots_freed = false;
        let free = limits::FORMING.saturating_sub(self.links.forming());
        let mut queued: Vec<(bool, DeviceId)> = Vec::new();
        for (&device, peer) in self.links.peers.iter() {
            if matches!(peer.state, PeerState::Queued) {
                queued.push((peer.heard.is_none(), device));
            }
        }
        queued.sort_unstable();
        for (_, device) in queued.into_iter().take(free) {
            self.want(device, Urgency::InTurn);
        }
    }

    /// Does what is due on links.
    pub(super) fn wake_links(&mut self) {
        let now = self.context.now;
        let mut late = Vec::new();
        let mut again = Vec::new();
        let mut unanswered = false;
        for device in self.links.peers.due(now) {
            let Some(peer) = self.links.peers.get_mut(&device) else { continue };
            match &mut peer.state {
                PeerState::Dialed(dial) => {
                    if dial.deadline.is_some_and(|at| at <= now) {
                        late.push(device);
                        continue;
                    }
                    if dial.slot.is_some_and(|at| at <= now) {
                        dial.slot = None;
                        self.slots_freed = true;
                        // It may know us by an address of before our NAT restarted. Who was given up has been asked about.
                        unanswered |= !dial.answered && peer.searches == 0;
                    }
                    if dial.link.next_wake().is_some_and(|wake| wake.at <= now) {
                        dial.link.on_wake(&mut self.context.cx());
                        if dial.link.has_events() {
                            self.touched.insert(device);
                        }
                    }
                }
                PeerState::Retry(at) if *at <= now => again.push(device),
                PeerState::Retry(_) | PeerState::Queued | PeerState::Away => {}
            }
        }
        if unanswered {
            self.doubt_addresses();
        }
        for device in late {
            self.drop_link(device, DisconnectReason::Silent);
            self.attempt_failed(device);
        }
        for device in again {
            self.want(device, Urgency::InTurn);
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
