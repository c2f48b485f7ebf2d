use std::net::SocketAddr;
use std::time::Duration;

use super::rpc::LookupId;
use super::table::K;
use crate::base::{Rng, Time};
use crate::wire::krpc::Contact;

/// When to announce again what was accepted: 10 minutes, give or take 2, so that not all come at once.
const AGAIN: (Duration, Duration) = (Duration::from_secs(8 * 60), Duration::from_secs(12 * 60));

/// When to announce again after a round in which too few accepted; doubled each time.
const RETRY: Duration = Duration::from_secs(1);

/// A round begins so long after the one before, at least.
const FOLLOWING: Duration = Duration::from_millis(500);

/// When to look again after a storing node named nodes closer to the topic than the ones we announced to, or after we moved; doubled each
/// time, so that a node that is named and never answers does not keep us busy.
const MOVED: Duration = Duration::from_secs(2);

/// Polls in a row without an answer after which a node no longer counts as storing us.
const MISSES: u8 = 3;

/// How often to announce again to a node that accepted and then does not name us. Some say yes and store nothing.
const UNLISTED: u8 = 3;

/// Not more often than this.
const UNLISTED_PAUSE: Duration = Duration::from_secs(5);

/// A topic that is kept announced: the nodes that store us, and the rounds in which they are found.
///
/// A round is a lookup in each address family, in whose course nodes that will stay among the closest are announced
/// to early; it is complete when the lookups are, and every announcement is answered or given up.
#[derive(Debug)]
pub(super) struct Topic {
    hash: [u8; 20],
    /// Where the peer is, if not at the port that our questions come from.
    port: Option<u16>,
    storers: Vec<Storer>,
    /// Whose turn it is to be polled.
    turn: usize,
    /// Lookups of the round that still run.
    lookups: Vec<LookupId>,
    /// Nodes close to the topic that did not answer in this round.
    silent: Vec<SocketAddr>,
    in_round: bool,
    /// When the next round begins; `None` until there is anybody to ask.
    next_round: Option<Time>,
    began: Option<Time>,
    /// Rounds in a row in which too few accepted.
    failures: u32,
    /// Rounds in a row that began before their time.
    moves: u32,
}

/// A node that gave us a token.
#[derive(Clone, Debug)]
struct Storer {
    contact: Contact,
    token: Vec<u8>,
    state: State,
    /// Whether it was announced to in this round.
    announced: bool,
    announced_at: Time,
    misses: u8,
    unlisted: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It gave a token.
    Known,
    /// To be announced to.
    Due,
    /// Announced to, no answer yet.
    Sent,
    Accepted,
}

impl Topic {
    pub(super) fn new(hash: [u8; 20], port: Option<u16>) -> Self {
        Self {
            hash,
            port,
            storers: Vec::new(),
            turn: 0,
            lookups: Vec::new(),
            silent: Vec::new(),
            in_round: false,
            next_round: None,
            began: None,
            failures: 0,
            moves: 0,
        }
    }

    /// The port that is announced, if it is not the one our questions come from.
    pub(super) fn port(&self) -> Option<u16> {
        self.port
    }

    /// The memory taken, in bytes.
    pub(super) fn footprint(&self) -> usize {
        let tokens: usize = self.storers.iter().map(|storer| storer.token.capacity()).sum();
        let lists = self.lookups.capacity() * size_of::<LookupId>()
            + self.silent.capacity() * size_of::<SocketAddr>();
        size_of::<Self>() + self.storers.capacity() * size_of::<Storer>() + tokens + lists
    }

    /// When the next round is due; `None` while one runs, or nobody is there to be asked.
    pub(super) fn next_round(&self) -> Option<Time> {
        self.next_round.filter(|_| !self.in_round)
    }

    /// Whether a round runs.
    pub(super) fn is_in_round(&self) -> bool {
        self.in_round
    }

    /// Begins the next round no later than `at`.
    pub(super) fn hasten(&mut self, at: Time) {
        self.next_round = Some(self.next_round.map_or(at, |next| next.min(at)));
    }

    /// How many nodes accepted.
    pub(super) fn accepted(&self) -> usize {
        self.storers.iter().filter(|storer| storer.state == State::Accepted).count()
    }

    /// A round begins, with these lookups; with none there is nobody to ask, and it must be hastened once there is.
    pub(super) fn begin_round(&mut self, now: Time, lookups: Vec<LookupId>) {
        self.next_round = None;
        self.in_round = !lookups.is_empty();
        let in_time = self.began.is_none_or(|began| now - began >= AGAIN.0);
        self.moves = if in_time { 0 } else { self.moves + 1 };
        self.began = Some(now);
        self.lookups = lookups;
        self.silent.clear();
        self.storers.iter_mut().for_each(|storer| storer.announced = false);
    }

    /// A node answered `get_peers` with a token.
    pub(super) fn on_token(&mut self, contact: Contact, token: &[u8]) {
        match self.storer(contact.addr) {
            Some(storer) if storer.contact.id == contact.id => storer.token = token.to_vec(),
            Some(storer) => *storer = Storer::new(contact, token),
            None => self.storers.push(Storer::new(contact, token)),
        }
    }

    /// This node is to be announced to in this round.
    pub(super) fn request(&mut self, addr: SocketAddr) {
        if let Some(storer) = self.storer(addr).filter(|storer| !storer.announced) {
            storer.announced = true;
            storer.state = State::Due;
        }
    }

    /// A lookup of this round ended: the nodes closest to the topic in one family, and those close to it that were silent.
    pub(super) fn on_lookup_done(
        &mut self,
        id: LookupId,
        ipv4: bool,
        closest: &[Contact],
        silent: impl Iterator<Item = SocketAddr>,
    ) {
        self.lookups.retain(|lookup| *lookup != id);
        self.silent.extend(silent);
        let stays =
            |addr: SocketAddr| addr.is_ipv4() != ipv4 || closest.iter().any(|contact| contact.addr == addr);
        // One that is asked just now may as well answer; it goes with the next round.
        self.storers.retain(|storer| stays(storer.contact.addr) || storer.state == State::Sent);
        closest.iter().for_each(|contact| self.request(contact.addr));
    }

    /// The next announcement to send: to whom, with which token. To be confirmed by [`Topic::on_sent`].
    pub(super) fn due(&self) -> Option<(Contact, &[u8])> {
        let due = self.storers.iter().find(|storer| storer.state == State::Due)?;
        Some((due.contact, &due.token))
    }

    /// The token that a node gave.
    pub(super) fn token(&self, addr: SocketAddr) -> Option<(Contact, &[u8])> {
        let storer = self.storers.iter().find(|storer| storer.contact.addr == addr)?;
        Some((storer.contact, &storer.token))
    }

    pub(super) fn on_sent(&mut self, now: Time, addr: SocketAddr) {
        if let Some(storer) = self.storer(addr) {
            storer.state = State::Sent;
            storer.announced_at = now;
        }
    }

    pub(super) fn on_accepted(&mut self, addr: SocketAddr) {
        if let Some(storer) = self.storer(addr) {
            storer.state = State::Accepted;
            storer.misses = 0;
        }
    }

    /// A node refused, or cannot be sent to, or did not answer an announcement.
    pub(super) fn on_refused(&mut self, addr: SocketAddr) {
        if let Some(storer) = self.storer(addr).filter(|storer| storer.state != State::Accepted) {
            storer.state = State::Known;
        }
    }

    /// The node whose turn it is to be asked for peers: one that stores us, or if there is none one that may soon.
    pub(super) fn next_poll(&mut self) -> Option<Contact> {
        let count = self.storers.len();
        let mut places = (self.turn..count).chain(0..self.turn.min(count));
        let stores =
            |place: &usize| self.storers.get(*place).is_some_and(|storer| storer.state == State::Accepted);
        let place = places.clone().find(stores).or_else(|| places.next())?;
        self.turn = place + 1;
        self.storers.get(place).map(|storer| storer.contact)
    }

    /// A storing node answered a poll. `listed` tells whether it named our own address, if that can be told.
    pub(super) fn on_polled(
        &mut self,
        now: Time,
        contact: Contact,
        token: Option<&[u8]>,
        listed: Option<bool>,
    ) {
        let Some(storer) = self.storer(contact.addr) else { return };
        storer.misses = 0;
        let changed = storer.contact.id != contact.id;
        if let Some(token) = token {
            if changed {
                *storer = Storer::new(contact, token);
            }
            storer.token = token.to_vec();
        }
        if listed == Some(true) {
            storer.unlisted = 0;
        } else if changed
            || (listed == Some(false)
                && storer.state == State::Accepted
                && storer.unlisted < UNLISTED
                && now - storer.announced_at >= UNLISTED_PAUSE)
        {
            storer.unlisted = storer.unlisted.saturating_add(1);
            storer.state = State::Due;
        }
    }

    /// A storing node named others. If some of them are closer to the topic than those we announced to, the network has
    /// changed: look again soon.
    pub(super) fn on_named(&mut self, named: impl Iterator<Item = Contact>) {
        let distance = |contact: &Contact| contact.id.distance(&self.hash);
        for contact in named {
            let closer = |storer: &&Storer| {
                storer.contact.addr.is_ipv4() == contact.addr.is_ipv4()
                    && distance(&storer.contact) < distance(&contact)
            };
            let known = self
                .storers
                .iter()
                .any(|storer| storer.contact.addr == contact.addr || storer.contact.id == contact.id)
                || self.silent.contains(&contact.addr);
            if !known && self.storers.iter().filter(closer).count() < K {
                return self.look_again();
            }
        }
    }

    /// The nodes near the topic have moved, as somebody says: begins the next round soon, or later the more often this happens.
    fn look_again(&mut self) {
        self.follow(9);
    }

    /// Our address is another one: begins the next round soon, and never much later, for nobody looks for us where we are until then.
    pub(super) fn moved(&mut self) {
        self.follow(3);
    }

    /// Begins a round so long after the last one began, twice as long for each that came before its time, so many times at most.
    fn follow(&mut self, doublings: u32) {
        let pause = MOVED * (1 << self.moves.min(doublings));
        self.hasten(self.began.unwrap_or_default() + pause);
    }

    /// A storing node did not answer a poll.
    pub(super) fn on_poll_unanswered(&mut self, now: Time, addr: SocketAddr) {
        let Some(storer) = self.storer(addr) else { return };
        storer.misses = storer.misses.saturating_add(1);
        if storer.misses >= MISSES && storer.state == State::Accepted {
            self.storers.retain(|storer| storer.contact.addr != addr);
            self.silent.push(addr);
            self.hasten(now + RETRY);
        }
    }

    /// Ends the round if nothing of it is open, and returns how many nodes accepted. `enough` of them let the next one
    /// wait.
    pub(super) fn finish_round(&mut self, now: Time, rng: &mut Rng, enough: usize) -> Option<usize> {
        let open = |storer: &Storer| matches!(storer.state, State::Due | State::Sent);
        if !self.in_round || !self.lookups.is_empty() || self.storers.iter().any(open) {
            return None;
        }
        self.in_round = false;
        let accepted = self.accepted();
        if accepted > 0 && accepted >= enough {
            self.failures = 0;
            self.hasten(now + rng.between(AGAIN.0, AGAIN.1));
        } else {
            self.hasten(now + RETRY * (1 << self.failures.min(9)));
            self.failures += 1;
        }
        // What was wished for while this round ran may be overdue by now, and begins with the next wake.
        self.next_round = self.next_round.map(|at| at.max(now + FOLLOWING));
        Some(accepted)
    }

    /// Forgets who stores us, and announces anew: our address has changed.
    pub(super) fn restart(&mut self, now: Time) {
        *self = Self::new(self.hash, self.port);
        self.hasten(now);
    }

    fn storer(&mut self, addr: SocketAddr) -> Option<&mut Storer> {
        self.storers.iter_mut().find(|storer| storer.contact.addr == addr)
    }
}

impl Storer {
    fn new(contact: Contact, token: &[u8]) -> Self {
        Self {
            contact,
            token: token.to_vec(),
            state: State::Known,
            announced: false,
            announced_at: Time::ZERO,
            misses: 0,
            unlisted: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What others say makes us look again ever more rarely; where we are ourselves is said within 16 s.
    #[test]
    fn our_own_moves_are_announced_soon_however_often_we_move() {
        let mut topic = Topic::new([1; 20], None);
        let mut now = Time::ZERO;
        for _ in 0..12 {
            topic.begin_round(now, Vec::new());
            topic.moved();
            let next = topic.next_round().unwrap();
            assert!(next - now <= Duration::from_secs(16), "{:?}", next - now);
            now = next;
        }
        topic.begin_round(now, Vec::new());
        topic.look_again();
        assert!(topic.next_round().unwrap() - now > Duration::from_secs(600));
    }

    /// Found by fuzzing: a round that was wished for while another ran was due at once when that one ended, after all that is
    /// due had been begun.
    #[test]
    fn what_was_wished_for_during_a_round_follows_it() {
        let mut topic = Topic::new([1; 20], None);
        topic.begin_round(Time::ZERO, vec![LookupId::default()]);
        topic.hasten(Time::ZERO);
        assert_eq!(topic.next_round(), None, "a round runs");
        topic.on_lookup_done(LookupId::default(), true, &[], [].into_iter());
        let now = Time::from_millis(511);
        assert_eq!(topic.finish_round(now, &mut Rng::new([0; 32]), 8), Some(0));
        assert_eq!(topic.next_round(), Some(now + FOLLOWING));
    }
}
