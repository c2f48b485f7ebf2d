//! One meeting this node is in.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::api::{MeetingHandle, Progress, RequestId, Tag};
use super::context::Context;
use super::gossip::News;
use super::missing::Missing;
use crate::base::{Cx, DeviceId, Time, UnixTime, Wake};
use crate::limits;
use crate::log::Log;
use crate::meeting::knock::Replays;
use crate::meeting::rendezvous::Rendezvous;
use crate::meeting::{CandidateKind, Epoch, EpochKeys, Keys, Record, Roster};

/// After this long alone, the user is told why that might be; and again each time as long.
pub(super) const NOBODY: Duration = Duration::from_secs(60);
/// How often it is checked which epochs count. A minute late is nothing beside the two hours of overlap.
const EPOCH_CHECK: Duration = Duration::from_secs(60);
/// Alone for this long, the neighbouring days count too: somebody's clock may be wrong.
const LONELY: Duration = Duration::from_secs(20);
/// How long a leaving member waits for its farewell to be acknowledged.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// A meeting, from the join to the farewell.
#[derive(Debug)]
pub(super) struct Attendance {
    pub(super) handle: MeetingHandle,
    /// This node's number for the meeting on every link.
    pub(super) number: u16,
    pub(super) joined: Time,
    pub(super) phase: Phase,
    pub(super) held: Held,
}

/// What was said before there was anyone to say it to. A member gets what was said since it is one, so this is said once
/// the first is here.
#[derive(Debug, Default)]
pub(super) struct Held {
    messages: VecDeque<(Tag, String)>,
    bytes: usize,
}

/// What is kept of a meeting that was left, until this run ends: whoever comes back goes on where it was.
#[derive(Debug)]
pub(super) struct Parted {
    pub(super) log: Log,
    pub(super) roster: Roster,
    /// What was said and nobody was there to hear.
    pub(super) held: Held,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// The shell is stretching the code.
    Deriving(RequestId),
    /// In.
    Open(Box<Open>),
    /// On the way out, at the latest by then.
    Leaving(Time),
}

/// What there is of a meeting once its keys are known.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) keys: Keys,
    pub(super) epochs: Vec<EpochKeys>,
    pub(super) rendezvous: Rendezvous,
    pub(super) roster: Roster,
    pub(super) replays: Replays,
    pub(super) log: Log,
    /// Our own record, as others should have it.
    pub(super) own: Record,
    /// Devices connected in this meeting.
    pub(super) present: BTreeSet<DeviceId>,
    /// Whom the others are about to be told of.
    pub(super) news: News,
    /// Whom they told of, of whom nothing more is known yet.
    pub(super) missing: Missing,
    epochs_checked: Time,
    nobody_told: Time,
    last_status: Option<Progress>,
}

impl Held {
    /// Keeps one; `false` if that would be too much.
    pub(super) fn push(&mut self, tag: Tag, text: String) -> bool {
        let bytes = self.bytes + text.len();
        let fits = self.messages.len() < limits::LOG_UNDELIVERED && bytes <= limits::LOG_UNDELIVERED_BYTES;
        if fits {
            self.bytes = bytes;
            self.messages.push_back((tag, text));
        }
        fits
    }

    /// Gives all back, in order.
    pub(super) fn take(&mut self) -> VecDeque<(Tag, String)> {
        std::mem::take(self).messages
    }
}

impl Attendance {
    /// Whether what is said now must wait for someone to say it to.
    pub(super) fn holds_back(&self) -> bool {
        let has_audience = self.open().is_some_and(|open| open.log.has_audience());
        !has_audience || !self.held.messages.is_empty()
    }

    pub(super) fn open(&self) -> Option<&Open> {
        match &self.phase {
            Phase::Open(open) => Some(open),
            _ => None,
        }
    }

    pub(super) fn open_mut(&mut self) -> Option<&mut Open> {
        match &mut self.phase {
            Phase::Open(open) => Some(open),
            _ => None,
        }
    }

    pub(super) fn next_wake(&self) -> Option<Wake> {
        match &self.phase {
            Phase::Deriving(_) => None,
            Phase::Leaving(at) => Some(Wake::new(*at, "meeting.farewell")),
            Phase::Open(open) => open.next_wake(),
        }
    }
}

impl Open {
    pub(super) fn new(cx: &mut Cx<'_>, keys: Keys, log: Log, roster: Roster, own: Record) -> Self {
        let mut open = Self {
            keys,
            epochs: Vec::new(),
            rendezvous: Rendezvous::new(cx),
            roster,
            replays: Replays::default(),
            log,
            own,
            present: BTreeSet::new(),
            news: News::default(),
            missing: Missing::default(),
            epochs_checked: cx.now,
            nobody_told: cx.now,
            last_status: None,
        };
        open.refresh_epochs(cx.now, cx.unix);
        open
    }

    /// Sets the epochs that count now.
    pub(super) fn refresh_epochs(&mut self, now: Time, unix: UnixTime) {
        self.epochs_checked = now;
        let alone_for = self.rendezvous.alone_since().map_or(Duration::ZERO, |since| now - since);
        let active = Epoch::active(unix, alone_for);
        self.epochs = active.into_iter().map(|epoch| self.keys.epoch(epoch)).collect();
        self.rendezvous.set_topics(self.epochs.iter().map(|epoch| epoch.topic).collect());
    }

    /// The device that asks the DHT for everyone: the smallest of those connected, so that all agree without a word. There is
    /// one for each address family, since each has a DHT of its own, and who has only one family is named only there. Of a family counts
    /// an address that others have seen: many have one of IPv6 from which nothing gets out.
    pub(super) fn company_changed(&mut self, cx: &Cx<'_>, me: DeviceId) {
        let has = |record: &Record, ipv4| {
            let mut seen =
                record.details().candidates.iter().filter(|it| it.kind == CandidateKind::Reflexive);
            seen.any(|candidate| candidate.addr.is_ipv4() == ipv4)
        };
        let is_first = |ipv4| {
            let mut smaller = self.present.iter().take_while(|device| **device < me);
            let known = |device| self.roster.get(device).is_some_and(|person| has(&person.record, ipv4));
            has(&self.own, ipv4) && !smaller.any(|device| known(*device))
        };
        let entry_point =
            self.present.first().is_none_or(|&first| me < first) || is_first(true) || is_first(false);
        let was_alone = self.rendezvous.alone_since().is_some();
        self.rendezvous.set_company(cx, self.present.len(), entry_point);
        if !was_alone && self.rendezvous.alone_since().is_some() {
            self.nobody_told = cx.now;
        }
    }

    /// Tells the application what is going on in this meeting, once.
    pub(super) fn status(&mut self, context: &mut Context, handle: MeetingHandle, progress: Progress) {
        if self.last_status.as_ref() != Some(&progress) {
            self.last_status = Some(progress.clone());
            context.status(Some(handle), progress);
        }
    }

    /// Does what is due; gives back how many seconds nobody has been there, if that is to be told.
    pub(super) fn on_wake(&mut self, cx: &mut Cx<'_>) -> Option<u64> {
        if cx.now >= self.next_epoch_check() {
            self.refresh_epochs(cx.now, cx.unix);
        }
        self.rendezvous.on_wake(cx);
        self.log.on_wake(cx);
        let since = self.rendezvous.alone_since()?;
        if cx.now < self.nobody_told + NOBODY {
            return None;
        }
        self.nobody_told = cx.now;
        Some((cx.now - since).as_secs())
    }

    fn next_epoch_check(&self) -> Time {
        let lonely = self.rendezvous.alone_since().map(|since| since + LONELY);
        let regular = self.epochs_checked + EPOCH_CHECK;
        lonely.filter(|&lonely| lonely > self.epochs_checked).map_or(regular, |lonely| lonely.min(regular))
    }

    fn next_wake(&self) -> Option<Wake> {
        let epochs = Some(Wake::new(self.next_epoch_check(), "meeting.epochs"));
        let alone = self.rendezvous.alone_since().is_some();
        let nobody = alone.then(|| Wake::new(self.nobody_told + NOBODY, "meeting.nobody"));
        let gossip = Wake::earliest(self.news.next_wake(), self.missing.next_wake());
        let own = Wake::earliest(gossip, Wake::earliest(epochs, nobody));
        Wake::earliest(own, Wake::earliest(self.rendezvous.next_wake(), self.log.next_wake()))
    }
}
