//! Who a node has to do with, and who of them is due: a node of a large meeting is called for one link at a time, and must not
//! look at all others each time.

use std::collections::BTreeMap;

use super::links::Peer;
use crate::base::{DeviceId, Time, Wake};

/// Devices, and when each wants to be called.
#[derive(Debug, Default)]
pub(super) struct Peers {
    all: BTreeMap<DeviceId, Slot>,
    /// When whom, and why, as far as it is known: those in `changed` may be due at another time.
    due: BTreeMap<(Time, DeviceId), &'static str>,
    /// Who has been in someone's hands since it was asked for its next wake.
    changed: Vec<DeviceId>,
}

#[derive(Debug)]
struct Slot {
    peer: Peer,
    /// What `due` has of it.
    planned: Option<Wake>,
    is_changed: bool,
}

impl Peers {
    pub(super) fn get(&self, device: &DeviceId) -> Option<&Peer> {
        self.all.get(device).map(|slot| &slot.peer)
    }

    pub(super) fn get_mut(&mut self, device: &DeviceId) -> Option<&mut Peer> {
        let slot = self.all.get_mut(device)?;
        if !std::mem::replace(&mut slot.is_changed, true) {
            self.changed.push(*device);
        }
        Some(&mut slot.peer)
    }

    pub(super) fn insert(&mut self, device: DeviceId, peer: Peer) {
        self.remove(&device);
        self.all.insert(device, Slot { peer, planned: None, is_changed: true });
        self.changed.push(device);
    }

    pub(super) fn remove(&mut self, device: &DeviceId) -> Option<Peer> {
        let slot = self.all.remove(device)?;
        if let Some(planned) = slot.planned {
            self.due.remove(&(planned.at, *device));
        }
        Some(slot.peer)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &DeviceId> {
        self.all.keys()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Peer> {
        self.all.values().map(|slot| &slot.peer)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&DeviceId, &Peer)> {
        self.all.iter().map(|(device, slot)| (device, &slot.peer))
    }

    /// Who is due at `now`, in the order of their ids.
    pub(super) fn due(&self, now: Time) -> Vec<DeviceId> {
        let planned = self.due.keys().take_while(|(at, _)| *at <= now).map(|(_, device)| device);
        let is_settled = |device: &&DeviceId| self.all.get(device).is_some_and(|slot| !slot.is_changed);
        let is_due = |device: &&DeviceId| {
            let wake = self.all.get(device).and_then(|slot| slot.peer.next_wake());
            wake.is_some_and(|wake| wake.at <= now)
        };
        let changed = self.changed.iter().filter(is_due);
        let mut due: Vec<_> = planned.filter(is_settled).chain(changed).copied().collect();
        due.sort_unstable();
        // Who was removed and is back stands among the changed twice.
        due.dedup();
        due
    }

    /// The earliest wake of all. Asks those that changed, now that what they hold is still at hand.
    pub(super) fn next_wake(&mut self) -> Option<Wake> {
        self.plan();
        let ((at, _), why) = self.due.first_key_value()?;
        Some(Wake::new(*at, why))
    }

    fn plan(&mut self) {
        for device in self.changed.drain(..) {
            let Some(slot) = self.all.get_mut(&device) else { continue };
            slot.is_changed = false;
            let wake = slot.peer.next_wake();
            if wake != slot.planned {
                if let Some(planned) = slot.planned {
                    self.due.remove(&(planned.at, device));
                }
                self.due.extend(wake.map(|wake| ((wake.at, device), wake.why)));
            }
            slot.planned = wake;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quickcheck::quickcheck;

    use super::*;
    use crate::base::Incarnation;
    use crate::node::links::PeerState;

    fn device(n: u8) -> DeviceId {
        DeviceId([n % 8; 32])
    }

    quickcheck! {
        /// Whatever is done to whom, the plan says what asking everybody would.
        fn plans_what_everybody_says(steps: Vec<(u8, u8, u16)>) -> bool {
            let (mut peers, mut now) = (Peers::default(), Time::ZERO);
            steps.into_iter().all(|(kind, who, at)| {
                let (who, at) = (device(who), now + Duration::from_millis(at.into()));
                match kind % 5 {
                    0 => peers.insert(who, Peer::new(Incarnation(0))),
                    1 => { peers.remove(&who); }
                    2 => peers.get_mut(&who).into_iter().for_each(|peer| peer.state = PeerState::Retry(at)),
                    3 => peers.get_mut(&who).into_iter().for_each(|peer| peer.state = PeerState::Away),
                    _ => now = at,
                }
                let wakes = |peers: &Peers| -> Vec<_> {
                    peers.iter().filter_map(|(device, peer)| Some((*device, peer.next_wake()?.at))).collect()
                };
                let all = wakes(&peers);
                let earliest = all.iter().map(|(_, at)| *at).min();
                let expected: Vec<_> =
                    all.into_iter().filter(|(_, at)| *at <= now).map(|(device, _)| device).collect();
                let unplanned = peers.due(now) == expected;
                let is_earliest = peers.next_wake().map(|wake| wake.at) == earliest;
                unplanned && is_earliest && peers.due(now) == expected
            })
        }
    }
}
