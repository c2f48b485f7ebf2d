use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::errand::ErrandId;
use super::late::GivenUp;
use super::lookup::Goal;
use super::rtt::Rtt;
use crate::base::{InfoHash, NodeId, Rng, SocketId, Time};
use crate::limits;

/// The transaction ids we choose: 4 random bytes. Not guessable from outside, and the one length that every
/// implementation answers to.
pub(super) type Tid = [u8; 4];

/// When a question counts as unanswered.
const TIMEOUT: Duration = Duration::from_secs(2);

/// When an answer is not waited for any more, in percent of when it stalls: where many are dead, and where nobody is. Six of
/// seven who are alive have answered when a question stalls. Where a quarter is dead, two of three who stall are, and waiting
/// mostly gains nothing; where nobody is, the slow are all that is missing.
const LOST: (u32, u32) = (140, 220);

/// From this share of silence on, in thousandths, many are dead.
const MANY_DEAD: u32 = 200;

/// The questions that are under way.
#[derive(Debug)]
pub(super) struct Rpc {
    /// Boxed, since a tree makes room for eleven at once.
    pending: BTreeMap<Tid, Box<Pending>>,
    /// The next moment at which each becomes something else.
    due: BTreeSet<(Time, Tid)>,
    given_up: GivenUp,
    rtt: Rtt,
    /// The share of questions lately that remained without an answer, in thousandths.
    silence: u32,
}

/// A question that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) to: SocketAddr,
    pub(super) socket: SocketId,
    /// Who should be there, if known.
    pub(super) expected: Option<NodeId>,
    pub(super) purpose: Purpose,
    /// Whether it is the repetition of one that stalled.
    pub(super) again: bool,
    pub(super) sent: Time,
    /// Whether it had been given up when its answer came.
    pub(super) is_late: bool,
    due: Time,
    stall: Duration,
    stage: Stage,
}

/// What a question is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To see whether a node is there.
    Ping,
    /// The same for our owner, who is told.
    Probe,
    /// To keep a part of the routing table fresh.
    Refresh,
    /// A step of a lookup, which may have ended by the time the answer comes.
    Lookup(LookupId, Goal),
    /// To have a topic stored.
    Announce(InfoHash),
    /// To have an item stored.
    Put(ErrandId),
    /// To learn of new peers from a node that stores a topic.
    Poll(InfoHash),
}

/// The name of a lookup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LookupId(pub(super) u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Fresh,
    Stalled,
    Lost,
}

/// What a question has become because no answer came.
#[derive(Clone, Copy, Debug)]
pub(super) enum Overdue {
    /// Most would have answered by now.
    Stalled(Pending),
    /// Nearly all would have.
    Lost(Pending),
    /// No answer is waited for any more.
    Dead(Pending),
}

/// Why an answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unmatched {
    /// No question has this transaction id.
    Tid,
    /// The question went to another address or port, or through another socket.
    Source,
}

impl Rpc {
    pub(super) fn new() -> Self {
        Self {
            pending: BTreeMap::new(),
            due: BTreeSet::new(),
            given_up: GivenUp::default(),
            rtt: Rtt::new(),
            silence: MANY_DEAD,
        }
    }

    /// How many questions are under way.
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < limits::DHT_IN_FLIGHT
    }

    /// Notes a question, and chooses its transaction id.
    pub(super) fn begin(
        &mut self,
        now: Time,
        rng: &mut Rng,
        (socket, to): (SocketId, SocketAddr),
        expected: Option<NodeId>,
        purpose: Purpose,
        again: bool,
    ) -> Tid {
        self.given_up.expire(now);
        let mut tid = rng.array();
        while self.pending.contains_key(&tid) {
            tid = rng.array();
        }
        let (stall, stage) = (self.rtt.stall(), Stage::Fresh);
        let due = now + stall;
        let is_late = false;
        let pending = Pending { to, socket, expected, purpose, again, sent: now, is_late, due, stall, stage };
        self.pending.insert(tid, Box::new(pending));
        self.due.insert((due, tid));
        tid
    }

    /// The question that an answer belongs to, which is then settled. A question is only settled by an answer for which
    /// everything is right, so a forged one cannot cancel it. It may have been given up, if not long ago ([`Pending::is_late`]).
    pub(super) fn settle(
        &mut self,
        now: Time,
        tid: &[u8],
        socket: SocketId,
        from: SocketAddr,
    ) -> Result<Pending, Unmatched> {
        let tid = Tid::try_from(tid).map_err(|_| Unmatched::Tid)?;
        let Some(&pending) = self.pending.get(&tid).map(|pending| &**pending) else {
            return self.given_up.settle(now, tid, socket, from);
        };
        if pending.to != from || pending.socket != socket {
            return Err(Unmatched::Source);
        }
        self.pending.remove(&tid);
        self.due.remove(&(pending.due, tid));
        self.trim();
        self.rtt.sample(now - pending.sent);
        self.silence -= self.silence / 32;
        Ok(pending)
    }

    /// The next question that has waited too long at `now`.
    pub(super) fn overdue(&mut self, now: Time) -> Option<Overdue> {
        let &(due, tid) = self.due.first().filter(|(due, _)| *due <= now)?;
        self.due.remove(&(due, tid));
        let lost = LOST.1 - (LOST.1 - LOST.0) * self.silence.min(MANY_DEAD) / MANY_DEAD;
        let pending = self.pending.get_mut(&tid)?;
        let (stage, after, overdue): (_, _, fn(Pending) -> Overdue) = match pending.stage {
            Stage::Fresh => (Stage::Stalled, pending.stall * lost / 100, Overdue::Stalled),
            Stage::Stalled => (Stage::Lost, TIMEOUT, Overdue::Lost),
            Stage::Lost => {
                self.silence += (1_000 - self.silence) / 32;
                let mut dead = self.pending.remove(&tid)?;
                self.trim();
                let overdue = Overdue::Dead(*dead);
                dead.is_late = true;
                self.given_up.add(now, tid, dead);
                return Some(overdue);
            }
        };
        pending.stage = stage;
        pending.due = pending.sent + after;
        self.due.insert((pending.due, tid));
        Some(overdue(**pending))
    }

    /// When the next question will have waited too long.
    pub(super) fn next_due(&self) -> Option<Time> {
        self.due.first().map(|&(due, _)| due)
    }

    /// The memory taken beyond its own size, in bytes.
    pub(super) fn footprint(&self) -> usize {
        let tree = size_of::<(Tid, Box<Pending>)>() + size_of::<(Time, Tid)>();
        self.pending.len() * (size_of::<Pending>() + tree * 3 / 2)
            + self.given_up.footprint()
            + self.rtt.footprint()
    }

    /// Forgets all questions; what they were for is asked anew.
    pub(super) fn clear(&mut self) {
        (self.pending, self.due, self.given_up) = Default::default();
    }

    /// A tree that was emptied keeps room for eleven.
    fn trim(&mut self) {
        if self.pending.is_empty() {
            (self.pending, self.due) = Default::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKET: SocketId = SocketId(0);

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    fn peer(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    #[test]
    fn only_the_right_answer_settles() {
        let (mut rpc, mut rng) = (Rpc::new(), Rng::new([0; 32]));
        let tid = rpc.begin(at(0), &mut rng, (SOCKET, peer(1)), None, Purpose::Ping, false);
        assert_eq!(rpc.settle(at(1), &tid[..3], SOCKET, peer(1)).err(), Some(Unmatched::Tid));
        assert_eq!(rpc.settle(at(1), b"none", SOCKET, peer(1)).err(), Some(Unmatched::Tid));
        assert_eq!(rpc.settle(at(1), &tid, SOCKET, peer(2)).err(), Some(Unmatched::Source));
        assert_eq!(rpc.settle(at(1), &tid, SocketId(1), peer(1)).err(), Some(Unmatched::Source));
        assert!(rpc.settle(at(1), &tid, SOCKET, peer(1)).is_ok());
        assert_eq!(rpc.settle(at(1), &tid, SOCKET, peer(1)).err(), Some(Unmatched::Tid));
        assert_eq!((rpc.len(), rpc.next_due()), (0, None));
    }

    #[test]
    fn the_slow_are_waited_for_longer_where_nobody_is_dead() {
        let (mut rpc, mut rng) = (Rpc::new(), Rng::new([0; 32]));
        let mut lost_after = |answers: u32, silent: u32| {
            let mut now = at(0);
            for n in 0..answers + silent {
                let tid = rpc.begin(now, &mut rng, (SOCKET, peer(1)), None, Purpose::Ping, false);
                now += Duration::from_millis(350);
                if n < answers {
                    rpc.settle(now, &tid, SOCKET, peer(1)).unwrap();
                }
            }
            now += Duration::from_secs(10);
            while rpc.overdue(now).is_some() {}
            rpc.begin(now, &mut rng, (SOCKET, peer(1)), None, Purpose::Ping, false);
            assert!(matches!(rpc.overdue(now + Duration::from_millis(350)), Some(Overdue::Stalled(_))));
            let lost = rpc.next_due().unwrap() - now;
            while rpc.overdue(now + Duration::from_secs(10)).is_some() {}
            lost.as_millis()
        };
        assert_eq!(lost_after(0, 0), 490, "at first, many are taken to be dead");
        assert!((720..=770).contains(&lost_after(200, 0)));
        assert_eq!(lost_after(0, 100), 490);
    }

    #[test]
    fn slow_then_lost_then_dead() {
        let (mut rpc, mut rng) = (Rpc::new(), Rng::new([0; 32]));
        rpc.begin(at(0), &mut rng, (SOCKET, peer(1)), None, Purpose::Ping, false);
        assert!(rpc.overdue(at(349)).is_none());
        assert!(matches!(rpc.overdue(at(350)), Some(Overdue::Stalled(_))));
        assert!(rpc.overdue(at(350)).is_none());
        assert!(rpc.overdue(at(489)).is_none());
        assert!(matches!(rpc.overdue(at(490)), Some(Overdue::Lost(_))));
        assert_eq!(rpc.next_due(), Some(at(2_000)));
        assert!(matches!(rpc.overdue(at(2_000)), Some(Overdue::Dead(_))));
        assert_eq!((rpc.len(), rpc.next_due()), (0, None));
    }

    #[test]
    fn an_answer_that_is_late_has_to_be_right_and_counts_once_and_for_a_while() {
        let (mut rpc, mut rng) = (Rpc::new(), Rng::new([0; 32]));
        let late = rpc.begin(at(0), &mut rng, (SOCKET, peer(1)), None, Purpose::Ping, false);
        let too_late = rpc.begin(at(0), &mut rng, (SOCKET, peer(2)), None, Purpose::Ping, false);
        let stall = rpc.rtt.stall();
        while rpc.overdue(at(2_000)).is_some() {}
        assert_eq!((rpc.len(), rpc.next_due()), (0, None));
        assert_eq!(rpc.settle(at(2_001), &late, SOCKET, peer(2)).err(), Some(Unmatched::Source));
        assert_eq!(rpc.settle(at(2_001), &late, SocketId(1), peer(1)).err(), Some(Unmatched::Source));
        let settled = rpc.settle(at(11_999), &late, SOCKET, peer(1)).unwrap();
        assert!(settled.is_late && settled.to == peer(1));
        assert_eq!(rpc.settle(at(11_999), &late, SOCKET, peer(1)).err(), Some(Unmatched::Tid), "once");
        assert_eq!(rpc.settle(at(12_000), &too_late, SOCKET, peer(2)).err(), Some(Unmatched::Tid));
        assert_eq!(rpc.rtt.stall(), stall, "others are not waited for any longer");
    }

    #[test]
    fn those_given_up_are_bounded_and_forgotten() {
        let (mut rpc, mut rng) = (Rpc::new(), Rng::new([0; 32]));
        let mut ask =
            |rpc: &mut Rpc, now| rpc.begin(now, &mut rng, (SOCKET, peer(1)), None, Purpose::Ping, false);
        let tids: Vec<Tid> = (0..limits::DHT_GIVEN_UP + 5).map(|_| ask(&mut rpc, at(0))).collect();
        while rpc.overdue(at(2_000)).is_some() {}
        let answered = tids.iter().filter(|tid| rpc.settle(at(2_001), &tid[..], SOCKET, peer(1)).is_ok());
        assert_eq!(answered.count(), limits::DHT_GIVEN_UP);
        while rpc.overdue(at(9_000)).is_some() {}
        ask(&mut rpc, at(20_000));
        assert_eq!(rpc.given_up.footprint(), 0);
    }
}
