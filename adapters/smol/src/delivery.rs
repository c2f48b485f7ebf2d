//! The way of events from the node to the applications: none is lost, and none piles up.

use std::collections::VecDeque;
use std::time::Duration;

use async_channel::{Sender, TrySendError};
use async_io::Timer;
use folkmoot_core::node::{Event, MeetingHandle, Trouble};

/// Events that one meeting may have waiting for the application. When they are not read, the node stands still.
pub(crate) const MAX_EVENTS: usize = 1_024;

/// Events about the node as a whole that a meeting joined later is still told of.
const MAX_BACKLOG: usize = 16;

/// The meetings of a node, each with the channel to its application.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    meetings: Vec<Meeting>,
    backlog: Vec<Event>,
    undelivered: VecDeque<(MeetingHandle, Event)>,
}

#[derive(Debug)]
struct Meeting {
    handle: MeetingHandle,
    events: Sender<Event>,
    abandoned: bool,
}

impl Delivery {
    /// A meeting is joined. It is told first what the node is up to.
    pub(crate) fn add(&mut self, handle: MeetingHandle, events: Sender<Event>) {
        self.undelivered.extend(self.backlog.iter().map(|event| (handle, event.clone())));
        self.meetings.push(Meeting { handle, events, abandoned: false });
    }

    /// Takes in an event; [`Delivery::deliver`] sends it on its way.
    pub(crate) fn push(&mut self, event: Event) {
        match meeting_of(&event) {
            Some(handle) => self.undelivered.push_back((handle, event)),
            None => {
                self.undelivered.extend(self.meetings.iter().map(|meeting| (meeting.handle, event.clone())));
                self.remember(event);
            }
        }
    }

    /// Keeps what a meeting joined later should know of the node: its addresses, its troubles, and what it does now.
    fn remember(&mut self, event: Event) {
        let is_status = |event: &Event| matches!(event, Event::Status { .. });
        self.backlog.retain(|old| *old != event && !(is_status(old) && is_status(&event)));
        if self.backlog.len() == MAX_BACKLOG {
            self.backlog.remove(0);
        }
        self.backlog.push(event);
    }

    /// Delivers until all are, or one has to wait for its application; whether all are.
    pub(crate) fn deliver(&mut self) -> bool {
        while let Some((handle, event)) = self.undelivered.pop_front() {
            let is_last = is_last(&event);
            // Whose meeting is gone is not waited for.
            let Some(at) = self.meetings.iter().position(|meeting| meeting.handle == handle) else {
                continue;
            };
            if let Err(TrySendError::Full(event)) = self.meetings[at].events.try_send(event) {
                self.undelivered.push_front((handle, event));
                return false;
            }
            if is_last {
                // Its channel closes, so the application sees the end after all that came before.
                self.meetings.remove(at);
            }
        }
        true
    }

    /// Waits until the application that is waited for has read, or gone.
    pub(crate) async fn room(&self) {
        let waited_for = self.undelivered.front().map(|(handle, _)| handle);
        let Some(meeting) = self.meetings.iter().find(|meeting| Some(&meeting.handle) == waited_for) else {
            return;
        };
        while meeting.events.is_full() && !meeting.events.is_closed() {
            // A channel does not tell when it has room without being given something. Whoever left a thousand events
            // unread is in no hurry.
            Timer::after(Duration::from_millis(10)).await;
        }
    }

    /// A meeting that its application let go of without leaving, each one once.
    pub(crate) fn abandoned(&mut self) -> Option<MeetingHandle> {
        let meeting =
            self.meetings.iter_mut().find(|meeting| meeting.events.is_closed() && !meeting.abandoned)?;
        meeting.abandoned = true;
        Some(meeting.handle)
    }

    /// Whether there is no meeting.
    pub(crate) fn is_empty(&self) -> bool {
        self.meetings.is_empty()
    }
}

/// Whether nothing can follow in that meeting: it was left, or could not be joined in the first place.
fn is_last(event: &Event) -> bool {
    match event {
        Event::Left { .. } => true,
        Event::Trouble { trouble, .. } => {
            matches!(trouble, Trouble::AlreadyJoined | Trouble::TooManyMeetings(_))
        }
        _ => false,
    }
}

/// Which meeting an event belongs to; `None` is all.
fn meeting_of(event: &Event) -> Option<MeetingHandle> {
    match *event {
        Event::Status { meeting, .. } | Event::Trouble { meeting, .. } => meeting,
        Event::Address { .. } => None,
        Event::Joined { meeting, .. }
        | Event::Connected { meeting, .. }
        | Event::Disconnected { meeting, .. }
        | Event::Message { meeting, .. }
        | Event::Sent { meeting, .. }
        | Event::Delivered { meeting, .. }
        | Event::Left { meeting } => Some(meeting),
    }
}

#[cfg(test)]
mod tests {
    use folkmoot_core::node::{Progress, Tag};

    use super::*;

    const A: MeetingHandle = MeetingHandle(1);
    const B: MeetingHandle = MeetingHandle(2);

    fn sent(meeting: MeetingHandle, seq: u64) -> Event {
        Event::Sent { meeting, tag: Tag(seq), seq }
    }

    fn status(progress: Progress) -> Event {
        Event::Status { meeting: None, progress }
    }

    #[test]
    fn a_full_channel_stops_and_loses_nothing() {
        let mut delivery = Delivery::default();
        let (events, app) = async_channel::bounded(2);
        delivery.add(A, events);
        (0..5).for_each(|seq| delivery.push(sent(A, seq)));
        delivery.push(Event::Left { meeting: A });
        let mut got = Vec::new();
        while !delivery.deliver() {
            got.extend(app.try_recv());
        }
        got.extend(std::iter::from_fn(|| app.try_recv().ok()));
        let mut expected: Vec<_> = (0..5).map(|seq| sent(A, seq)).collect();
        expected.push(Event::Left { meeting: A });
        assert_eq!(got, expected);
        assert!(app.is_closed() && delivery.is_empty(), "after the last event the channel ends");
    }

    #[test]
    fn an_abandoned_meeting_is_told_once_and_holds_nobody_up() {
        let mut delivery = Delivery::default();
        let (events, app) = async_channel::bounded(1);
        delivery.add(A, events);
        (0..3).for_each(|seq| delivery.push(sent(A, seq)));
        assert!(!delivery.deliver());
        drop(app);
        assert!(delivery.deliver());
        assert_eq!(delivery.abandoned(), Some(A));
        assert_eq!(delivery.abandoned(), None);
    }

    #[test]
    fn who_joins_later_is_told_what_the_node_is_up_to() {
        let mut delivery = Delivery::default();
        let (first, first_app) = async_channel::unbounded();
        delivery.add(A, first);
        delivery.push(status(Progress::Bootstrapping));
        delivery.push(Event::Trouble { meeting: None, trouble: Trouble::StunSilent(3) });
        delivery.push(sent(A, 0));
        delivery.push(status(Progress::Bootstrapped { nodes: 8 }));
        let (second, second_app) = async_channel::unbounded();
        delivery.add(B, second);
        assert!(delivery.deliver());
        assert_eq!(first_app.len(), 4);
        let told: Vec<_> = std::iter::from_fn(|| second_app.try_recv().ok()).collect();
        let trouble = Event::Trouble { meeting: None, trouble: Trouble::StunSilent(3) };
        assert_eq!(told, [trouble, status(Progress::Bootstrapped { nodes: 8 })]);
    }
}
