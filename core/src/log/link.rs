use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::Duration;

use super::store::{Held, Store};
use crate::base::{DeviceId, Incarnation, Time};
use crate::limits;
use crate::wire::frame::log::{Have, Haves, LogId, MAX_HAVES};

/// How soon an author is told that its entries came: several that come together are confirmed together.
pub(super) const CONFIRM: Duration = Duration::from_millis(20);
/// How soon everyone is told of entries that another member passed on: several may be about to.
const SPARE: Duration = Duration::from_millis(100);
/// How soon all others are told what changed.
const GOSSIP: Duration = Duration::from_secs(1);
/// How long after entries were thrown away, for want of room or of their author's acquaintance, they are asked for.
const AGAIN: Duration = Duration::from_secs(1);
/// At most so often is a log sent again from where the other one stands: asking for it is cheap, sending is not.
const REWIND: Duration = Duration::from_millis(500);
/// How long others' entries are kept back: their author's own link, or another member, normally delivers them.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// By how much the members of a meeting differ in their patience, for each: so that mostly one passes an entry on, and
/// its receiver can say so before the next would.
const PATIENCE_SPREAD: Duration = Duration::from_millis(250);
const MAX_PATIENCE_SPREAD: Duration = Duration::from_secs(4);

/// What one linked device holds, and what there is to tell and to send it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) device: DeviceId,
    pub(super) incarnation: Incarnation,
    /// When it had told all that it holds; nothing is sent to it before.
    since: Option<Time>,
    patience: Duration,
    peers: BTreeMap<LogId, Peer>,
    /// Logs that it is yet to be told of for the first time; `None` once it has been told all.
    introduce: Option<VecDeque<LogId>>,
    /// Logs that changed since it was told, and when it is to be told.
    tell: BTreeSet<LogId>,
    tell_at: Option<Time>,
    tell_due: bool,
    /// Logs of which entries that the device sent were thrown away, and when they are to be asked for.
    ask: BTreeSet<LogId>,
    ask_at: Option<Time>,
    ask_due: bool,
    /// Logs of which it is to be proved that we may have them.
    pub(super) prove: VecDeque<LogId>,
    /// Logs with entries to send now, and later.
    ready: VecDeque<LogId>,
    later: BTreeMap<LogId, Time>,
}

/// What is to be sent of a log next.
#[derive(Debug)]
pub(super) struct Due {
    /// Begins with one that is held.
    pub(super) entries: Range<u64>,
    pub(super) at: Time,
    /// Whether it went on without these.
    is_late: bool,
}

/// One log, as far as it concerns a linked device.
#[derive(Clone, Debug, Default)]
struct Peer {
    /// What the device holds: `start..next`.
    start: u64,
    next: u64,
    /// What it went on without, and since when we know.
    missing: Vec<Range<u64>>,
    missed: Time,
    /// The first entry of that which was not sent over this link.
    filled: u64,
    /// `next` in what the device said when the link was made.
    initial: Option<u64>,
    /// The first entry not sent over this link.
    sent: u64,
    /// When sending from where the device stands, as it asked, began or may begin.
    rewound: Option<Time>,
    proved: bool,
}

impl Peer {
    /// What we hold of what the device went on without, and was not sent.
    fn late(&self, held: &Held, admitted: u64) -> Option<Range<u64>> {
        self.missing.iter().find_map(|gap| {
            let first = held.first_of(gap.start.max(admitted).max(self.filled)..gap.end)?;
            Some(first..gap.end)
        })
    }

    /// What we hold of what comes after all that the device has or was sent, and whether nothing lies between.
    fn rest(&self, held: &Held, admitted: u64) -> Option<(Range<u64>, bool)> {
        let lacks = if self.start < self.next { self.next.max(admitted) } else { admitted };
        let from = lacks.max(self.sent);
        let first = held.first_of(from..u64::MAX)?;
        Some((first..u64::MAX, first == from))
    }
}

impl Link {
    /// A link that was just made, with one of `links`.
    pub(super) fn new(
        (device, incarnation): (DeviceId, Incarnation),
        store: &Store,
        links: usize,
        spread: impl FnOnce(Duration, Duration) -> Duration,
    ) -> Self {
        let most =
            PATIENCE_SPREAD.saturating_mul(u32::try_from(links).unwrap_or(u32::MAX)).min(MAX_PATIENCE_SPREAD);
        let mut link = Self {
            device,
            incarnation,
            since: None,
            patience: PATIENCE + spread(Duration::ZERO, most),
            peers: BTreeMap::new(),
            introduce: None,
            tell: BTreeSet::new(),
            tell_at: None,
            tell_due: false,
            ask: BTreeSet::new(),
            ask_at: None,
            ask_due: false,
            prove: VecDeque::new(),
            ready: VecDeque::new(),
            later: BTreeMap::new(),
        };
        link.introduce = Some(store.ids().filter(|log| link.cares_for(*log)).collect());
        link
    }

    /// Whether the device has any use for the log: not for those of its own earlier runs.
    fn cares_for(&self, log: LogId) -> bool {
        log.device != self.device || log.incarnation == self.incarnation
    }

    /// Takes in what the device says it holds of a log. `false` if it speaks of too many.
    pub(super) fn heard(&mut self, have: &Have, now: Time) -> bool {
        if self.peers.len() >= limits::LOGS_OF_PEER && !self.peers.contains_key(&have.log) {
            return false;
        }
        let introduction = self.since.is_none();
        let peer = self
            .peers
            .entry(have.log)
            .or_insert_with(|| Peer { initial: introduction.then_some(have.next), ..Peer::default() });
        peer.start = have.start;
        peer.next = have.next;
        let was_known = |gap: &Range<u64>| {
            peer.missing.iter().any(|known| known.start <= gap.start && gap.end <= known.end)
        };
        if !have.missing.iter().all(was_known) {
            peer.missed = now;
        }
        peer.missing.clone_from(&have.missing);
        if have.again {
            (peer.sent, peer.filled) = (0, 0);
            if peer.rewound.is_none_or(|last| now >= last) {
                peer.rewound = Some(peer.rewound.map_or(now, |last| now.max(last + REWIND)));
            }
        }
        true
    }

    /// The device has told all that it holds. `true` the first time.
    pub(super) fn heard_all(&mut self, now: Time) -> bool {
        let first = self.since.is_none();
        self.since.get_or_insert(now);
        first
    }

    /// How long ago the device had told all that it holds.
    pub(super) fn age(&self, now: Time) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now - since)
    }

    /// What the device held of a log when the link was made: the first entry it did not.
    pub(super) fn initial(&self, log: LogId) -> Option<u64> {
        self.peers.get(&log)?.initial
    }

    /// The oldest entry of a log that the device holds, if it holds any.
    pub(super) fn oldest(&self, log: LogId) -> Option<u64> {
        self.peers.get(&log).filter(|peer| peer.start < peer.next).map(|peer| peer.start)
    }

    /// Whether the device holds an entry of a log at or after `next` and before `seq`, so that it may help.
    pub(super) fn holds_between(&self, log: LogId, next: u64, seq: u64) -> bool {
        self.peers.get(&log).is_some_and(|peer| peer.start.max(next) < peer.next.min(seq))
    }

    /// Notes that entries of `log`, which came from `from`, are to be confirmed.
    pub(super) fn tell_of(&mut self, log: LogId, from: DeviceId, now: Time) {
        if !self.cares_for(log) {
            return;
        }
        let delay = match self.device {
            device if device == log.device => CONFIRM,
            _ if from != log.device => SPARE,
            _ => GOSSIP,
        };
        self.tell.insert(log);
        earlier(&mut self.tell_at, now + delay);
    }

    /// Notes that entries of `log`, which the device sent, were thrown away.
    pub(super) fn refuse(&mut self, log: LogId, now: Time) {
        if self.ask.len() < limits::LOGS_OF_PEER {
            self.ask.insert(log);
            earlier(&mut self.ask_at, now + AGAIN);
        }
    }

    /// The device `author` is known from now on: what was thrown away of it is welcome.
    pub(super) fn welcome(&mut self, author: DeviceId, now: Time) {
        if self.ask.iter().any(|log| log.device == author) {
            earlier(&mut self.ask_at, now + CONFIRM);
        }
    }

    /// What waits to be told waits no longer.
    pub(super) fn hurry(&mut self) {
        self.tell_due |= !self.tell.is_empty();
    }

    /// The next part of what there is to tell, at most `room` logs.
    pub(super) fn haves(
        &mut self,
        store: &Store,
        room: usize,
        now: Time,
        is_welcome: impl Fn(LogId) -> bool,
    ) -> Option<Haves> {
        let room = room.min(MAX_HAVES);
        let have = |log| {
            let held = store.get(log);
            let (start, next) = held.map_or((0, 0), |held| (held.start(), held.next()));
            let missing = held.map_or(Vec::new(), |held| held.missing().to_vec());
            Have { log, start, next, again: false, missing }
        };
        if let Some(left) = &mut self.introduce {
            if room == 0 {
                return None;
            }
            let logs = left.drain(..room.min(left.len())).map(have).collect();
            let more = !left.is_empty();
            if !more {
                self.introduce = None;
            }
            return Some(Haves { logs, more });
        }
        let mut logs = Vec::new();
        while self.tell_due && logs.len() < room {
            match self.tell.pop_first() {
                Some(log) => logs.push(have(log)),
                None => self.tell_due = false,
            }
        }
        while self.ask_due && logs.len() < room {
            match self.ask.iter().copied().find(|log| is_welcome(*log)) {
                Some(log) => {
                    self.ask.remove(&log);
                    logs.push(Have { again: true, ..have(log) });
                }
                None => {
                    self.ask_due = false;
                    if !self.ask.is_empty() {
                        earlier(&mut self.ask_at, now + AGAIN);
                    }
                }
            }
        }
        (!logs.is_empty()).then_some(Haves { logs, more: false })
    }

    /// Notes, once, that the device is to see the proof that we may have a log: it has more of it than we and joined
    /// after us, so it does not know.
    pub(super) fn consider_proof(&mut self, log: LogId, held: &Held) {
        if let Some(peer) = self.peers.get_mut(&log)
            && let Some(admission) = &held.admission
            && !peer.proved
            && peer.start > admission.seq
            && peer.next > held.next()
        {
            peer.proved = true;
            self.prove.push_back(log);
        }
    }

    /// What to send next of a log that is held, and when: `None` if the device has it all, or may not have it.
    pub(super) fn due(&self, log: LogId, held: &Held, is_ours: bool) -> Option<Due> {
        let since = self.since.filter(|_| log.device != self.device)?;
        let admitted = *held.admitted.get(&self.device)?;
        let unknown = Peer::default();
        let peer = self.peers.get(&log).unwrap_or(&unknown);
        // It told at once of all that it went on without, so one of those who have it is to be first.
        let late = peer.late(held, admitted).and_then(|entries| {
            let got = held.get(entries.start)?.got.max(peer.missed);
            let at = if is_ours { since } else { self.patience_ends(got, since) };
            Some(Due { entries, at, is_late: true })
        });
        let rest = peer.rest(held, admitted).and_then(|(entries, is_next)| {
            let at = match (is_ours, is_next) {
                (true, true) => since,
                // Others may still have what we dropped of our log. If not, the device is to go on where we do.
                (true, false) => self.patience_ends(since, since),
                // If we came later than what it lacks, it waits even longer for whoever has that: see `Log::wait_before`.
                (false, _) => self.patience_ends(held.get(entries.start)?.got, since),
            };
            Some(Due { entries, at, is_late: false })
        });
        let mut due = rest.into_iter().chain(late).min_by_key(|due| due.at)?;
        due.at = peer.rewound.map_or(due.at, |rewound| due.at.max(rewound));
        Some(due)
    }

    /// Until when an entry of another author that came at `got` is kept back.
    fn patience_ends(&self, got: Time, since: Time) -> Time {
        got.max(since) + self.patience
    }

    /// Whether an entry that came at `got` may go along with one that is due.
    pub(super) fn may_go_along(&self, got: Time, is_ours: bool, now: Time) -> bool {
        is_ours || self.since.is_some_and(|since| self.patience_ends(got, since) <= now)
    }

    /// Notes that the first `count` of what was due were sent.
    pub(super) fn sent(&mut self, log: LogId, due: &Due, count: u64) {
        let peer = self.peers.entry(log).or_default();
        *if due.is_late { &mut peer.filled } else { &mut peer.sent } = due.entries.start + count;
    }

    /// Plans when entries of a log are sent.
    pub(super) fn schedule(&mut self, log: LogId, held: &Held, is_ours: bool, now: Time) {
        let due = self.due(log, held, is_ours);
        self.later.remove(&log);
        self.ready.retain(|ready| *ready != log);
        match due {
            None => {}
            Some(due) if due.at > now => {
                self.later.insert(log, due.at);
            }
            // Ours is news to the device, and nobody else is expected to bring it.
            Some(_) if is_ours => self.ready.push_front(log),
            Some(_) => self.ready.push_back(log),
        }
    }

    /// Whether there may be something to tell or to send now.
    pub(super) fn is_ready(&self) -> bool {
        self.introduce.is_some()
            || self.tell_due
            || self.ask_due
            || !self.prove.is_empty()
            || !self.ready.is_empty()
    }

    /// The log to send from next.
    pub(super) fn next_ready(&self) -> Option<LogId> {
        self.ready.front().copied()
    }

    /// Gives up sending from a log that was forgotten.
    pub(super) fn drop_ready(&mut self, log: LogId) {
        self.ready.retain(|ready| *ready != log);
    }

    pub(super) fn on_wake(&mut self, now: Time) {
        if self.tell_at.is_some_and(|at| at <= now) {
            self.tell_at = None;
            self.tell_due = true;
        }
        if self.ask_at.is_some_and(|at| at <= now) {
            self.ask_at = None;
            self.ask_due = true;
        }
        let due: Vec<_> = self.later.iter().filter(|(_, at)| **at <= now).map(|(log, _)| *log).collect();
        for log in due {
            self.later.remove(&log);
            self.ready.push_back(log);
        }
    }

    pub(super) fn next_wake(&self) -> Option<Time> {
        self.later.values().copied().chain(self.tell_at).chain(self.ask_at).min()
    }
}

/// Sets a deadline, unless it is earlier already.
fn earlier(deadline: &mut Option<Time>, at: Time) {
    *deadline = Some(deadline.map_or(at, |due| due.min(at)));
}
