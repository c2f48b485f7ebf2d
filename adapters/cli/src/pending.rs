use std::collections::{BTreeMap, BTreeSet};

use folkmoot::{Event, MemberId, Tag};
use serde_json::Value;

/// Messages kept in mind at most. Older ones are forgotten: then a terminal that ends does not wait for them.
const MAX: usize = 1_024;

/// So many undelivered messages, while someone is there to receive them, are enough: the input waits.
const ENOUGH: usize = 256;

/// What was said and has not arrived with everyone who is connected.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    connected: BTreeSet<MemberId>,
    unsent: BTreeMap<u64, Said>,
    undelivered: BTreeMap<u64, Undelivered>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Said {
    /// What the caller named it by.
    pub(crate) id: Value,
    pub(crate) text: String,
}

#[derive(Debug)]
struct Undelivered {
    text: String,
    to: BTreeSet<MemberId>,
}

impl Pending {
    /// Something was given to the node.
    pub(crate) fn said(&mut self, tag: Tag, id: Value, text: String) {
        self.unsent.insert(tag.0, Said { id, text });
        if self.unsent.len() > MAX {
            self.unsent.pop_first();
        }
    }

    /// What belongs to a message that got its number.
    pub(crate) fn sent(&mut self, tag: Tag, seq: u64) -> Said {
        let said = self.unsent.remove(&tag.0).unwrap_or_default();
        self.undelivered.insert(seq, Undelivered { text: said.text.clone(), to: BTreeSet::new() });
        if self.undelivered.len() > MAX {
            self.undelivered.pop_first();
        }
        said
    }

    /// The text of a message that has not arrived everywhere.
    pub(crate) fn text(&self, seq: u64) -> Option<&str> {
        self.undelivered.get(&seq).map(|undelivered| undelivered.text.as_str())
    }

    /// Follows what happens; to be told of each event after it was shown.
    pub(crate) fn follow(&mut self, event: &Event) {
        match event {
            Event::Connected { member, .. } => {
                self.connected.insert(*member);
            }
            Event::Disconnected { member, .. } => {
                self.connected.remove(member);
            }
            Event::Delivered { seq, to, .. } => {
                if let Some(undelivered) = self.undelivered.get_mut(seq) {
                    undelivered.to.insert(*to);
                }
            }
            _ => return,
        }
        let Self { connected, undelivered, .. } = self;
        // While nobody is there, all waits.
        undelivered.retain(|_, u| u.to.is_empty() || !connected.is_subset(&u.to));
    }

    /// Whether nothing waits to be delivered.
    pub(crate) fn is_empty(&self) -> bool {
        self.unsent.is_empty() && self.undelivered.is_empty()
    }

    /// Whether more should be said. Alone, one may always: the node says when it is too much.
    pub(crate) fn has_room(&self) -> bool {
        self.connected.is_empty() || self.unsent.len() + self.undelivered.len() < ENOUGH
    }
}

#[cfg(test)]
mod tests {
    use folkmoot::{DeviceId, MeetingHandle, Path};

    use super::*;

    const M: MeetingHandle = MeetingHandle(0);
    const ADA: MemberId = MemberId([1; 32]);
    const BEA: MemberId = MemberId([2; 32]);

    fn connected(member: MemberId) -> Event {
        let (device, name, since_join) = (DeviceId([0; 32]), String::new(), std::time::Duration::ZERO);
        Event::Connected { meeting: M, member, device, name, path: Path::Lan, since_join }
    }

    fn delivered(seq: u64, to: MemberId) -> Event {
        Event::Delivered { meeting: M, seq, to }
    }

    #[test]
    fn delivered_is_when_all_who_are_there_have_it() {
        let mut pending = Pending::default();
        pending.said(Tag(7), "x".into(), "hello".into());
        assert!(!pending.is_empty());
        assert_eq!(pending.sent(Tag(7), 0), Said { id: "x".into(), text: "hello".into() });
        assert_eq!(pending.text(0), Some("hello"));
        [connected(ADA), connected(BEA), delivered(0, ADA)].iter().for_each(|event| pending.follow(event));
        assert!(!pending.is_empty());
        pending.follow(&delivered(0, BEA));
        assert!(pending.is_empty());
    }

    #[test]
    fn who_goes_is_not_waited_for() {
        let mut pending = Pending::default();
        pending.said(Tag(0), Value::Null, "hello".into());
        pending.sent(Tag(0), 0);
        let gone = Event::Disconnected {
            meeting: M,
            member: BEA,
            device: DeviceId([0; 32]),
            reason: folkmoot::DisconnectReason::Left,
        };
        [connected(ADA), connected(BEA), delivered(0, ADA), gone]
            .iter()
            .for_each(|event| pending.follow(event));
        assert!(pending.is_empty());
    }

    #[test]
    fn it_stays_bounded() {
        let mut pending = Pending::default();
        for n in 0..5_000 {
            pending.said(Tag(n), Value::Null, String::new());
        }
        assert_eq!(pending.unsent.len(), MAX);
        assert!(pending.has_room(), "alone");
        pending.follow(&connected(ADA));
        assert!(!pending.has_room());
    }
}
