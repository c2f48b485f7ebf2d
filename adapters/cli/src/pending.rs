use std::collections::{BTreeMap, BTreeSet};

use folkmoot::{Event, MemberId, Tag, Trouble};
use serde_json::Value;

/// Messages with a number kept in mind at most. Older ones are forgotten: then a terminal that ends does not wait for them.
const MAX: usize = 1_024;

/// So many messages under way are enough: the input waits.
const ENOUGH: usize = 256;

/// What was said and is under way.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    connected: BTreeSet<MemberId>,
    /// Neither with a number yet nor refused, by tag: no more than the node holds for who comes first.
    unsent: BTreeMap<u64, Said>,
    /// Who was there when it was said, is still there, and has not confirmed it; by number.
    awaited: BTreeMap<u64, BTreeSet<MemberId>>,
    /// What was said of late, by number.
    texts: BTreeMap<u64, String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Said {
    /// What the caller named it by.
    pub(crate) id: Value,
    pub(crate) text: String,
}

impl Pending {
    /// Something was given to the node.
    pub(crate) fn said(&mut self, tag: Tag, id: Value, text: String) {
        self.unsent.insert(tag.0, Said { id, text });
    }

    /// What belongs to a message that got its number.
    pub(crate) fn sent(&mut self, tag: Tag, seq: u64) -> Said {
        let said = self.unsent.remove(&tag.0).unwrap_or_default();
        insert(&mut self.texts, seq, said.text.clone());
        if !self.connected.is_empty() {
            insert(&mut self.awaited, seq, self.connected.clone());
        }
        said
    }

    /// The text of a message said not too long ago.
    pub(crate) fn text(&self, seq: u64) -> Option<&str> {
        self.texts.get(&seq).map(String::as_str)
    }

    /// Follows what happens.
    pub(crate) fn follow(&mut self, event: &Event) {
        match event {
            Event::Connected { member, .. } => {
                self.connected.insert(*member);
            }
            Event::Disconnected { member, .. } => {
                self.connected.remove(member);
                self.awaited.values_mut().for_each(|awaited| {
                    awaited.remove(member);
                });
            }
            Event::Delivered { seq, to, .. } => {
                if let Some(awaited) = self.awaited.get_mut(seq) {
                    awaited.remove(to);
                }
            }
            // It does not say what was refused: the node takes things in order, so it is the last.
            Event::Trouble {
                trouble: Trouble::TooMuchQueued | Trouble::BadMessage(_) | Trouble::NotJoined,
                ..
            } => {
                self.unsent.pop_last();
            }
            _ => return,
        }
        self.awaited.retain(|_, awaited| !awaited.is_empty());
    }

    /// Whether nobody is there.
    pub(crate) fn is_alone(&self) -> bool {
        self.connected.is_empty()
    }

    /// Whether all that was said has arrived with everyone who was there and still is.
    pub(crate) fn is_empty(&self) -> bool {
        self.unsent.is_empty() && self.awaited.is_empty()
    }

    /// Whether more should be said now. Alone, one always may: nothing would make room, and the node says when it is too much.
    pub(crate) fn has_room(&self) -> bool {
        self.connected.is_empty() || self.unsent.len() + self.awaited.len() < ENOUGH
    }
}

fn insert<T>(map: &mut BTreeMap<u64, T>, key: u64, value: T) {
    map.insert(key, value);
    if map.len() > MAX {
        map.pop_first();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use folkmoot::{DeviceId, DisconnectReason, MeetingHandle, Path};

    use super::*;

    const M: MeetingHandle = MeetingHandle(0);
    const DEVICE: DeviceId = DeviceId([0; 32]);
    const ADA: MemberId = MemberId([1; 32]);
    const BEA: MemberId = MemberId([2; 32]);

    fn connected(member: MemberId) -> Event {
        let (name, since_join) = (String::new(), Duration::ZERO);
        Event::Connected { meeting: M, member, device: DEVICE, name, path: Path::Lan, since_join }
    }

    fn delivered(seq: u64, to: MemberId) -> Event {
        Event::Delivered { meeting: M, seq, to }
    }

    fn with(members: &[MemberId]) -> Pending {
        let mut pending = Pending::default();
        members.iter().for_each(|member| pending.follow(&connected(*member)));
        pending
    }

    #[test]
    fn arrived_is_when_all_who_were_there_have_it() {
        let mut pending = with(&[ADA, BEA]);
        pending.said(Tag(7), "x".into(), "hello".into());
        assert!(!pending.is_empty());
        assert_eq!(pending.sent(Tag(7), 0), Said { id: "x".into(), text: "hello".into() });
        assert_eq!(pending.text(0), Some("hello"));
        pending.follow(&delivered(0, ADA));
        assert!(!pending.is_empty());
        pending.follow(&delivered(0, BEA));
        assert!(pending.is_empty());
        assert_eq!(pending.text(0), Some("hello"), "for those who come back and confirm it then");
    }

    #[test]
    fn who_goes_or_comes_is_not_waited_for() {
        let mut pending = with(&[ADA, BEA]);
        pending.said(Tag(0), Value::Null, "hello".into());
        pending.sent(Tag(0), 0);
        pending.follow(&connected(MemberId([3; 32])));
        pending.follow(&delivered(0, ADA));
        let reason = DisconnectReason::Left;
        pending.follow(&Event::Disconnected { meeting: M, member: BEA, device: DEVICE, reason });
        assert!(pending.is_empty());
    }

    #[test]
    fn what_was_said_alone_waits_for_who_comes_first() {
        let mut pending = Pending::default();
        (0..1_000).for_each(|n| pending.said(Tag(n), Value::Null, n.to_string()));
        assert!(!pending.is_empty() && pending.has_room());
        pending.follow(&Event::Trouble { meeting: Some(M), trouble: Trouble::TooMuchQueued });
        pending.follow(&connected(ADA));
        for n in 0..999 {
            assert_eq!(pending.sent(Tag(n), n).text, n.to_string());
            pending.follow(&delivered(n, ADA));
        }
        assert!(pending.is_empty(), "the last one was refused");
    }

    #[test]
    fn it_stays_bounded() {
        let mut pending = with(&[ADA]);
        for n in 0..5_000 {
            pending.said(Tag(n), Value::Null, String::new());
            pending.sent(Tag(n), n);
        }
        assert_eq!((pending.awaited.len(), pending.texts.len()), (MAX, MAX));
        assert!(!pending.has_room());
    }
}
