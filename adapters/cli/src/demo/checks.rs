use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use folkmoot::{AddressSource, DisconnectReason, Event, MemberId};

use super::{FRIENDS, NAMES, greeting};

/// What must happen, and what has.
#[derive(Debug, Default)]
pub(super) struct Checks {
    ids: BTreeMap<MemberId, usize>,
    bound: Vec<SocketAddr>,
    placed: BTreeSet<usize>,
    connected: BTreeSet<(usize, usize)>,
    heard: BTreeSet<(usize, usize)>,
    delivered: BTreeSet<(usize, usize)>,
    /// Who saw whom leave.
    parted: BTreeSet<(usize, usize)>,
    left: BTreeSet<usize>,
}

impl Checks {
    /// Number `who` goes by this id, and has one socket.
    pub(super) fn expect(&mut self, who: usize, id: MemberId, bound: &[SocketAddr]) {
        self.ids.insert(id, who);
        self.bound.extend(bound.first());
    }

    pub(super) fn who(&self, member: &MemberId) -> Option<usize> {
        self.ids.get(member).copied()
    }

    /// Takes in what happened to `who`.
    ///
    /// # Errors
    ///
    /// If it should not have.
    pub(super) fn take(&mut self, who: usize, event: &Event) -> Result<(), String> {
        let me = NAMES[who];
        match event {
            Event::Address { public, source: AddressSource::Stun(_) } => {
                if self.bound.get(who) != Some(public) {
                    return Err(format!("{me} was told that its address is {public}"));
                }
                self.placed.insert(who);
            }
            Event::Connected { member, .. } => {
                let other = self.friend(who, member)?;
                if !self.connected.insert((who, other)) {
                    return Err(format!("{me} was connected with {} twice", NAMES[other]));
                }
            }
            Event::Disconnected { member, reason, .. } => {
                let other = self.friend(who, member)?;
                if !self.left.contains(&other)
                    && *reason != DisconnectReason::Left
                    && *reason != DisconnectReason::Ours
                {
                    return Err(format!("{me} lost {}: {reason:?}", NAMES[other]));
                }
                self.parted.insert((who, other));
            }
            Event::Message { from, text, .. } => {
                let other = self.friend(who, from)?;
                if *text != greeting(other) {
                    return Err(format!("{me} heard something that was not said: {text}"));
                }
                if !self.heard.insert((who, other)) {
                    return Err(format!("{me} heard {} twice", NAMES[other]));
                }
            }
            Event::Delivered { to, .. } => {
                let other = self.friend(who, to)?;
                self.delivered.insert((who, other));
            }
            Event::Left { .. } => {
                self.left.insert(who);
            }
            Event::Status { .. }
            | Event::Trouble { .. }
            | Event::Address { .. }
            | Event::Joined { .. }
            | Event::Sent { .. } => {}
        }
        Ok(())
    }

    /// The number of a member, who must share a meeting with `who`.
    fn friend(&self, who: usize, member: &MemberId) -> Result<usize, String> {
        match self.who(member) {
            Some(other) if who < FRIENDS && other < FRIENDS && who != other => Ok(other),
            Some(other) => Err(format!("{} and {} met, and should not", NAMES[who], NAMES[other])),
            None => Err(format!("{} met a stranger", NAMES[who])),
        }
    }

    pub(super) fn has_met_all(&self, who: usize) -> bool {
        pairs().filter(|pair| pair.0 == who).all(|pair| self.connected.contains(&pair))
    }

    pub(super) fn has_left(&self, who: usize) -> bool {
        self.left.contains(&who)
    }

    /// Whether all has happened that must before anyone leaves.
    pub(super) fn is_complete(&self) -> bool {
        self.missing().is_empty()
    }

    /// Whether everyone who stayed saw `who` leave.
    pub(super) fn is_missed(&self, who: usize) -> bool {
        pairs()
            .filter(|pair| pair.1 == who && !self.left.contains(&pair.0))
            .all(|pair| self.parted.contains(&pair))
    }

    /// What has not happened.
    pub(super) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        let mut lacks = |set: &BTreeSet<(usize, usize)>, what: &str| {
            let lacking = pairs().filter(|pair| !set.contains(pair));
            missing.extend(lacking.map(|(who, other)| format!("{} {what} {}", NAMES[who], NAMES[other])));
        };
        lacks(&self.connected, "is not connected with");
        lacks(&self.heard, "has not heard");
        lacks(&self.delivered, "does not know of being heard by");
        let unplaced = (0..NAMES.len()).filter(|who| !self.placed.contains(who));
        missing.extend(unplaced.map(|who| format!("{} does not know its address", NAMES[who])));
        missing
    }
}

/// All ordered pairs of those who share a meeting.
fn pairs() -> impl Iterator<Item = (usize, usize)> {
    (0..FRIENDS).flat_map(|a| (0..FRIENDS).filter(move |&b| a != b).map(move |b| (a, b)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use folkmoot::{DeviceId, MeetingHandle, Path, UnixTime};

    use super::*;

    const M: MeetingHandle = MeetingHandle(0);

    fn id(who: usize) -> MemberId {
        MemberId([who as u8; 32])
    }

    fn checks() -> Checks {
        let mut checks = Checks::default();
        (0..NAMES.len())
            .for_each(|who| checks.expect(who, id(who), &[([127, 0, 0, 1], 1_000 + who as u16).into()]));
        checks
    }

    fn connected(with: usize) -> Event {
        let (member, device, since_join) = (id(with), DeviceId([0; 32]), Duration::ZERO);
        Event::Connected { meeting: M, member, device, name: String::new(), path: Path::Lan, since_join }
    }

    fn message(from: usize, text: &str) -> Event {
        let (from, device, at) = (id(from), DeviceId([0; 32]), UnixTime::default());
        let (name, text) = (String::new(), text.to_owned());
        Event::Message { meeting: M, from, device, name, seq: 0, at, text, history: false }
    }

    #[test]
    fn complete_is_when_nothing_is_missing() {
        let mut checks = checks();
        assert_eq!(checks.missing().len(), 3 * 6 + 4);
        for (who, other) in pairs() {
            checks.take(who, &connected(other)).unwrap();
            checks.take(who, &message(other, &greeting(other))).unwrap();
            checks.take(who, &Event::Delivered { meeting: M, seq: 0, to: id(other) }).unwrap();
        }
        let source = AddressSource::Stun(([127, 0, 0, 1], 3478).into());
        for who in 0..NAMES.len() {
            assert!(!checks.is_complete());
            let public = ([127, 0, 0, 1], 1_000 + who as u16).into();
            checks.take(who, &Event::Address { public, source }).unwrap();
        }
        assert!(checks.is_complete());
    }

    #[test]
    fn what_must_not_happen_is_an_error() {
        let stray = [
            (3, connected(0)),
            (0, connected(3)),
            (0, connected(0)),
            (0, connected(9)),
            (3, message(0, "hello from ada")),
            (0, message(1, "something else")),
            (
                0,
                Event::Address {
                    public: ([127, 0, 0, 1], 9).into(),
                    source: AddressSource::Stun(([127, 0, 0, 1], 1).into()),
                },
            ),
        ];
        for (who, event) in stray {
            assert!(checks().take(who, &event).is_err(), "{event:?}");
        }
        let mut checks = checks();
        checks.take(0, &message(1, "hello from bea")).unwrap();
        assert!(checks.take(0, &message(1, "hello from bea")).is_err(), "twice");
    }
}
