//! Of whom to ask for the records that members have told of by their digests: of one at a time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::Node;
use super::api::MeetingHandle;
use crate::base::{DeviceId, Time, Wake};
use crate::wire::frame::control::{Control, Digest, MAX_DIGESTS};

/// How long whoever was asked for a record has for it, before another is asked. When a hundred meet, everyone is told of everyone
/// by many at once, and would get each record six times.
const PATIENCE: Duration = Duration::from_secs(1);

/// So many who could be asked next are remembered, of each record.
const OTHERS: usize = 8;

/// What others hold and this node does not.
#[derive(Debug, Default)]
pub(super) struct Missing {
    asked: BTreeMap<Digest, Asked>,
    /// Nobody is overdue before this.
    due: Option<Time>,
}

#[derive(Debug)]
struct Asked {
    until: Time,
    /// Who holds it too, the first to tell of it first.
    others: VecDeque<DeviceId>,
}

impl Missing {
    /// `by` told of records that are not held here: gives back those to ask it for now.
    pub(super) fn told(
        &mut self,
        now: Time,
        by: DeviceId,
        lacking: impl IntoIterator<Item = Digest>,
    ) -> Vec<Digest> {
        let mut ask = Vec::new();
        for digest in lacking {
            match self.asked.get_mut(&digest) {
                Some(asked) if asked.others.len() < OTHERS && !asked.others.contains(&by) => {
                    asked.others.push_back(by);
                }
                Some(_) => {}
                None => {
                    // Who makes up more than this makes nobody else's wait: they are asked for and not remembered.
                    if self.asked.len() < MAX_DIGESTS {
                        let until = now + PATIENCE;
                        self.asked.insert(digest, Asked { until, others: VecDeque::new() });
                        self.due.get_or_insert(until);
                    }
                    ask.push(digest);
                }
            }
        }
        ask
    }

    /// It is held now: gives back who else is known to hold it.
    pub(super) fn got(&mut self, digest: &Digest) -> impl Iterator<Item = DeviceId> + use<> {
        let asked = self.asked.remove(digest);
        self.due = self.due.filter(|_| !self.asked.is_empty());
        asked.into_iter().flat_map(|asked| asked.others)
    }

    /// Who is to be asked for what instead of those who let us wait. What nobody else who is there has told of is forgotten: whoever
    /// tells of it next is asked.
    fn overdue(
        &mut self,
        now: Time,
        is_there: impl Fn(&DeviceId) -> bool,
    ) -> BTreeMap<DeviceId, Vec<Digest>> {
        let mut next = BTreeMap::<_, Vec<_>>::new();
        self.asked.retain(|digest, asked| {
            if asked.until > now {
                return true;
            }
            let other = std::iter::from_fn(|| asked.others.pop_front()).find(&is_there);
            asked.until = now + PATIENCE;
            other.iter().for_each(|other| next.entry(*other).or_default().push(*digest));
            other.is_some()
        });
        self.due = self.asked.values().map(|asked| asked.until).min();
        next
    }

    pub(super) fn is_due(&self, now: Time) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    pub(super) fn next_wake(&self) -> Option<Wake> {
        self.due.map(|due| Wake::new(due, "meeting.missing"))
    }
}

impl Node {
    /// Asks others for what was asked for and has not come.
    pub(super) fn ask_others(&mut self, handle: MeetingHandle) {
        let now = self.context.now;
        let Some(open) = self.meetings.get_mut(&handle).and_then(|attendance| attendance.open_mut()) else {
            return;
        };
        // By a knock, or because they left, some have become known otherwise.
        open.roster.everyone().for_each(|person| drop(open.missing.got(&person.record.digest())));
        for (other, digests) in open.missing.overdue(now, |device| open.present.contains(device)) {
            self.say_control(other, handle, &Control::Want(digests));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Digest = [1; 8];
    const TWO: Digest = [2; 8];

    fn device(n: u8) -> DeviceId {
        DeviceId([n; 32])
    }

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    #[test]
    fn one_is_asked_and_another_if_it_does_not_answer() {
        let mut missing = Missing::default();
        assert_eq!(missing.told(at(0), device(1), [ONE]), [ONE]);
        assert_eq!(missing.told(at(10), device(2), [ONE, TWO]), [TWO]);
        assert!(missing.told(at(20), device(3), [ONE, TWO]).is_empty());
        assert!(missing.told(at(30), device(3), [ONE]).is_empty(), "told twice, counted once");
        assert_eq!(missing.next_wake().map(|wake| wake.at), Some(at(1_000)));
        assert!(!missing.is_due(at(999)) && missing.is_due(at(1_000)));
        assert_eq!(missing.overdue(at(1_000), |_| true), [(device(2), vec![ONE])].into());
        assert_eq!(missing.overdue(at(1_010), |_| true), [(device(3), vec![TWO])].into());
        assert_eq!(
            missing.overdue(at(2_010), |_| true),
            [(device(3), vec![ONE])].into(),
            "and of TWO nobody else told"
        );
        assert!(missing.overdue(at(9_000), |_| true).is_empty() && missing.next_wake().is_none());
        assert_eq!(missing.told(at(9_000), device(4), [ONE]), [ONE]);
    }

    #[test]
    fn who_is_gone_is_not_asked() {
        let mut missing = Missing::default();
        (1..5).for_each(|n| drop(missing.told(at(0), device(n), [ONE])));
        let asked = missing.overdue(at(1_000), |other| *other == device(4));
        assert_eq!(asked, [(device(4), vec![ONE])].into());
    }

    #[test]
    fn what_came_is_asked_for_no_more() {
        let mut missing = Missing::default();
        missing.told(at(0), device(1), [ONE]);
        missing.told(at(0), device(2), [ONE]);
        assert_eq!(missing.got(&ONE).collect::<Vec<_>>(), [device(2)]);
        assert!(missing.next_wake().is_none() && missing.got(&ONE).next().is_none());
    }

    #[test]
    fn made_up_digests_take_bounded_room() {
        let mut missing = Missing::default();
        let made_up = |n: u32| std::array::from_fn(|at| n.to_be_bytes()[at % 4]);
        for n in 0..4 * MAX_DIGESTS as u32 {
            assert_eq!(missing.told(at(0), device(1), [made_up(n)]).len(), 1);
        }
        (2..200).for_each(|n| drop(missing.told(at(1), device(n), [made_up(0)])));
        assert_eq!(missing.asked.len(), MAX_DIGESTS);
        assert_eq!(missing.asked[&made_up(0)].others.len(), OTHERS);
        assert_eq!(missing.told(at(1), device(1), [ONE]), [ONE], "what is true is asked for all the same");
    }
}
