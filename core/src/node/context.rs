use std::collections::VecDeque;

use super::api::{Event, MeetingHandle, Output, Progress, Request, RequestId, RequestKind, Trouble};
use crate::base::{Cx, Outbox, Rng, Time, UnixTime};
use crate::limits;

/// What every part of the node uses: the time, the randomness, and the three ways out.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) now: Time,
    pub(super) rng: Rng,
    pub(super) out: Outbox,
    /// The wall clock when it was last set, and when that was.
    clock: (UnixTime, Time),
    requests: VecDeque<Request>,
    events: VecDeque<Event>,
    next_request: u64,
}

impl Context {
    pub(super) fn new(entropy: [u8; 32], now: Time, unix: UnixTime) -> Self {
        Self {
            now,
            rng: Rng::new(entropy),
            out: Outbox::default(),
            clock: (unix, now),
            requests: VecDeque::new(),
            events: VecDeque::new(),
            next_request: 0,
        }
    }

    pub(super) fn cx(&mut self) -> Cx<'_> {
        let unix = self.unix();
        Cx { now: self.now, unix, rng: &mut self.rng, out: &mut self.out }
    }

    pub(super) fn unix(&self) -> UnixTime {
        let (unix, at) = self.clock;
        unix + (self.now - at)
    }

    pub(super) fn set_clock(&mut self, unix: UnixTime) {
        self.clock = (unix, self.now);
    }

    pub(super) fn request(&mut self, kind: RequestKind) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.requests.push_back(Request { id, kind });
        id
    }

    pub(super) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(super) fn status(&mut self, meeting: Option<MeetingHandle>, progress: Progress) {
        self.event(Event::Status { meeting, progress });
    }

    pub(super) fn trouble(&mut self, meeting: Option<MeetingHandle>, trouble: Trouble) {
        self.event(Event::Trouble { meeting, trouble });
    }

    /// Whether the shell has fallen behind so far that nothing more may be read.
    pub(super) fn is_clogged(&self) -> bool {
        self.events.len() + self.requests.len() >= limits::EVENTS
    }

    pub(super) fn pop(&mut self) -> Option<Output> {
        if let Some(transmit) = self.out.pop() {
            return Some(Output::Transmit(transmit));
        }
        if let Some(request) = self.requests.pop_front() {
            return Some(Output::Request(request));
        }
        self.events.pop_front().map(Output::Event)
    }
}
