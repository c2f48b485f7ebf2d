use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::rpc::{Pending, Tid, Unmatched};
use crate::base::{SocketId, Time};
use crate::limits;

/// How long an answer may come after its question was given up: a phone on a bad link queues for this long, and some nodes
/// wait as long themselves before they give up. After that its sender is of no use.
const LATE: Duration = Duration::from_secs(10);

/// Questions that were given up, in case an answer comes yet.
///
/// Such an answer has to be right in everything, as one in time has, and counts once. What it is good for is what it would
/// have been good for, as far as that is not over; the round trip is no sample of how long to wait for others.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    /// The oldest first; at most [`limits::DHT_GIVEN_UP`].
    questions: VecDeque<(Time, Tid, Box<Pending>)>,
}

impl GivenUp {
    /// A question is given up at this moment.
    pub(super) fn add(&mut self, now: Time, tid: Tid, question: Box<Pending>) {
        if self.questions.len() >= limits::DHT_GIVEN_UP {
            self.questions.pop_front();
        }
        self.questions.push_back((now + LATE, tid, question));
    }

    /// The question that an answer belongs to, which is then settled.
    pub(super) fn settle(
        &mut self,
        now: Time,
        tid: Tid,
        socket: SocketId,
        from: SocketAddr,
    ) -> Result<Pending, Unmatched> {
        self.expire(now);
        let is_it = |(_, of, _): &(Time, Tid, Box<Pending>)| *of == tid;
        let place = self.questions.iter().position(is_it).ok_or(Unmatched::Tid)?;
        let question = self.questions.get(place).ok_or(Unmatched::Tid)?.2.as_ref();
        if question.to != from || question.socket != socket {
            return Err(Unmatched::Source);
        }
        let (.., question) = self.questions.remove(place).ok_or(Unmatched::Tid)?;
        Ok(*question)
    }

    /// Forgets those for which it is too late.
    pub(super) fn expire(&mut self, now: Time) {
        while self.questions.front().is_some_and(|(until, ..)| *until <= now) {
            self.questions.pop_front();
        }
        if self.questions.is_empty() && self.questions.capacity() > 0 {
            self.questions = VecDeque::new();
        }
    }

    /// The memory taken beyond its own size, in bytes.
    pub(super) fn footprint(&self) -> usize {
        self.questions.capacity() * size_of::<(Time, Tid, Box<Pending>)>()
            + self.questions.len() * size_of::<Pending>()
    }
}
