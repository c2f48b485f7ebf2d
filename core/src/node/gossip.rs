//! Whom a member told of is passed on to the others a little later, with whoever was told of meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Node;
use super::api::MeetingHandle;
use crate::base::{DeviceId, Time, Wake};
use crate::limits;
use crate::wire::frame::control::Digest;

/// How long news are gathered. When a hundred meet, everyone is told of everyone within three seconds: one by one that would be a packet for
/// each pair and each teller. Who is told late loses nothing else, since the teller tells the others too, and who is
/// told of knocks by itself.
const GATHER: Duration = Duration::from_millis(200);

/// What is to be passed on.
#[derive(Debug, Default)]
pub(super) struct News {
    /// When, if there is anything.
    due: Option<Time>,
    /// Whom it is about, and who need not be told: they told us.
    told: BTreeMap<DeviceId, BTreeSet<DeviceId>>,
}

impl News {
    /// `by` told of a device. So many cannot wait longer than until now.
    pub(super) fn add(&mut self, now: Time, device: DeviceId, by: DeviceId) {
        self.told.entry(device).or_default().insert(by);
        let due = *self.due.get_or_insert(now + GATHER);
        self.due = Some(if self.told.len() < limits::ROSTER { due } else { now });
    }

    /// `by` told of a device too.
    pub(super) fn confirm(&mut self, device: DeviceId, by: DeviceId) {
        if let Some(tellers) = self.told.get_mut(&device) {
            tellers.insert(by);
        }
    }

    /// Whether it is time to pass them on.
    pub(super) fn is_due(&self, now: Time) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    pub(super) fn next_wake(&self) -> Option<Wake> {
        self.due.map(|due| Wake::new(due, "meeting.news"))
    }

    fn take(&mut self) -> BTreeMap<DeviceId, BTreeSet<DeviceId>> {
        std::mem::take(self).told
    }
}

impl Node {
    /// Passes on what was gathered: to each who is connected, whom it did not tell of itself.
    pub(super) fn pass_on(&mut self, handle: MeetingHandle) {
        let Some(open) = self.meetings.get_mut(&handle).and_then(|attendance| attendance.open_mut()) else {
            return;
        };
        let news: Vec<_> = open.news.take().into_iter().collect();
        let news: Vec<(DeviceId, Digest, BTreeSet<DeviceId>)> = news
            .into_iter()
            .filter_map(|(device, tellers)| Some((device, open.roster.get(device)?.record.digest(), tellers)))
            .collect();
        for to in self.present(handle) {
            let lacking = news.iter().filter(|(device, _, tellers)| *device != to && !tellers.contains(&to));
            let digests: Vec<_> = lacking.map(|(_, digest, _)| *digest).collect();
            self.offer(to, handle, &digests);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(n: u16) -> DeviceId {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&n.to_be_bytes());
        DeviceId(id)
    }

    #[test]
    fn gathers_from_the_first_on() {
        let mut news = News::default();
        assert!(news.next_wake().is_none() && !news.is_due(Time::from_millis(9_999)));
        news.add(Time::from_millis(100), device(1), device(7));
        news.add(Time::from_millis(250), device(2), device(7));
        assert!(!news.is_due(Time::from_millis(299)));
        assert!(news.is_due(Time::from_millis(300)));
        assert_eq!(news.next_wake().map(|wake| wake.at), Some(Time::from_millis(300)));
        assert_eq!(news.take().len(), 2);
        assert!(news.next_wake().is_none() && news.take().is_empty());
    }

    #[test]
    fn remembers_who_told() {
        let mut news = News::default();
        news.confirm(device(1), device(6));
        assert!(news.next_wake().is_none());
        news.add(Time::ZERO, device(1), device(7));
        news.confirm(device(1), device(8));
        assert_eq!(news.take(), [(device(1), [device(7), device(8)].into())].into());
    }

    #[test]
    fn so_many_do_not_wait() {
        let mut news = News::default();
        (1..limits::ROSTER as u16).for_each(|n| news.add(Time::ZERO, device(n), device(9)));
        assert!(!news.is_due(Time::ZERO));
        news.add(Time::ZERO, device(0), device(9));
        assert!(news.is_due(Time::ZERO));
    }
}
