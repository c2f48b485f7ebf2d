//! What has to happen sometimes. A generator that never brings these about is blind to what follows from them, so a
//! sweep says in the end which of them it has not reached.

use std::collections::BTreeSet;
use std::fmt;

use folkmoot_core::node::{DisconnectReason, Event, Path, Trouble};

use super::run::Outcome;
use super::script::{Act, Scenario};
use crate::engine::Clock;
use crate::net::{Behavior, BoxRules, DropReason, Gateway, Verdict, Why};

/// All marks: an id that stays, and what it means.
pub const MARKS: [(&str, &str); 71] = [
    ("open", "a member on the internet itself was connected"),
    ("firewall", "a member behind a firewall was connected"),
    ("stacked", "a member behind two boxes was connected"),
    ("nat-eim-eif", "a member behind such a NAT was connected"),
    ("nat-eim-adf", "a member behind such a NAT was connected"),
    ("nat-eim-apdf", "a member behind such a NAT was connected"),
    ("nat-adm-eif", "a member behind such a NAT was connected"),
    ("nat-adm-adf", "a member behind such a NAT was connected"),
    ("nat-adm-apdf", "a member behind such a NAT was connected"),
    ("nat-apdm-eif", "a member behind such a NAT was connected"),
    ("nat-apdm-adf", "a member behind such a NAT was connected"),
    ("nat-apdm-apdf", "a member behind such a NAT was connected"),
    ("oracle-stable", "two connected since both keep one external endpoint"),
    ("oracle-lenient", "two connected since one is stable and lenient"),
    ("oracle-hears-anyone", "two connected since one hears anyone"),
    ("oracle-same-network", "two connected within one network"),
    ("oracle-udp-blocked", "two did not connect since one has no UDP"),
    ("oracle-unknown-port", "two did not connect since a port was unknown"),
    ("oracle-both-unstable", "two did not connect since both change ports"),
    ("oracle-no-hairpin", "two did not connect since their common NAT sends nothing back inside"),
    ("oracle-neighbours", "two connected of whom one is right behind the NAT that both are behind"),
    ("oracle-no-common-family", "two did not connect since one has IPv4 only and the other IPv6 only"),
    ("oracle-policy", "two did not connect since a box lets not all pass"),
    ("path-lan", "a connection within one network"),
    ("path-v4", "a connection over IPv4"),
    ("path-v6", "a connection over IPv6"),
    ("gone-left", "a member left, and others were told"),
    ("gone-silent", "a member fell silent"),
    ("gone-restarted", "a member's node was started anew"),
    ("gone-closed", "a connection failed below the node"),
    ("trouble-nobody", "a node said that nobody is found"),
    ("trouble-no-path", "a node said that no path to somebody works"),
    ("trouble-stun-silent", "a node said that no STUN server answers"),
    ("trouble-bootstrap-silent", "a node said that no bootstrap host answers"),
    ("trouble-not-announced", "a node said that nobody took its announcement"),
    ("drop-lost", "a link lost a packet"),
    ("drop-queue-full", "a link's queue was full"),
    ("drop-too-big", "a packet was larger than the MTU, and its sender was told"),
    ("drop-no-mapping", "a NAT had no mapping for a packet"),
    ("drop-filtered", "a filter did not admit a packet"),
    ("drop-no-hairpin", "a NAT sent nothing back inside"),
    ("drop-udp-blocked", "a box let no UDP pass"),
    ("drop-partitioned", "a packet was stopped by a partition"),
    ("drop-host-down", "a packet came to who is off or asleep"),
    ("drop-black-hole", "a packet was larger than the MTU, and nobody was told"),
    ("drop-corrupt", "a packet was damaged"),
    ("drop-policy", "a box did not let a kind of packet pass"),
    ("drop-rate-limited", "a box let no more packets pass"),
    ("drop-exhausted", "a NAT had no room for a mapping"),
    ("duplicated", "a link duplicated a packet"),
    ("history", "a newcomer was told what had been said before"),
    ("late", "something was heard after what its author said later"),
    ("passed-on", "something was heard from others than its author"),
    ("through-members", "something was heard from one to whom nobody there can connect"),
    ("to-nobody", "something was said while alone, and delivered later"),
    ("crash", "a member was killed and came back"),
    ("sleep", "a member slept for half a minute and came back"),
    ("leave", "a member left and came back"),
    ("sever", "two were cut off from each other and came together again"),
    ("rebinding", "a NAT restarted, and its members stayed or came back"),
    ("dht-churn", "a DHT node was killed"),
    ("move", "a member was carried to another network, and back"),
    ("unplug", "a member had no network for a while"),
    ("twin", "an earlier run of an identity went on beside the one after it"),
    ("renumber", "a NAT got another address"),
    ("clock", "a clock was set, and it was the wrong time"),
    ("disk", "something became of a disk"),
    ("saved", "a member started again with what was on its disk"),
    ("mute", "a member did not hear another one for a while, which heard it"),
    ("hostile", "there were DHT nodes that mean no good"),
    ("better-than-oracle", "two connected of whom the oracle says that they cannot"),
];

/// Marks that a run, or many, have reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks(BTreeSet<&'static str>);

impl Marks {
    /// What a run has reached.
    pub(super) fn of(scenario: &Scenario, verdicts: &[Vec<Verdict>], pairs: &Pairs, run: &Outcome) -> Self {
        let mut marks = Self::default();
        for (a, b) in &pairs.connected {
            marks.home(&scenario.homes[*a].boxes);
            marks.verdict(verdicts[*a][*b], true);
        }
        for (a, row) in verdicts.iter().enumerate() {
            for (b, verdict) in row.iter().enumerate().filter(|(b, _)| *b != a) {
                if !pairs.connected.contains(&(a, b)) {
                    marks.verdict(*verdict, false);
                }
            }
        }
        for noted in &run.events {
            marks.event(&noted.event);
        }
        for (reason, count) in DropReason::ALL.into_iter().zip(run.counts.dropped) {
            if count > 0 {
                marks.drop(reason);
            }
        }
        marks.reach_if("duplicated", run.counts.duplicated > 0);
        marks.reach_if("late", pairs.late);
        marks.reach_if("passed-on", pairs.passed_on);
        marks.reach_if("through-members", pairs.through);
        marks.reach_if("to-nobody", pairs.said_alone);
        if run.is_good() {
            marks.survived(scenario);
        }
        marks
    }

    /// Adds what another run has reached.
    pub fn join(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// Whether a mark is reached.
    pub fn has(&self, id: &str) -> bool {
        self.0.contains(id)
    }

    /// The marks that are not reached.
    pub fn missing(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        MARKS.into_iter().filter(|(id, _)| !self.0.contains(id))
    }

    fn reach(&mut self, id: &'static str) {
        debug_assert!(MARKS.iter().any(|(known, _)| *known == id), "{id}");
        self.0.insert(id);
    }

    fn reach_if(&mut self, id: &'static str, reached: bool) {
        if reached {
            self.reach(id);
        }
    }

    fn home(&mut self, boxes: &[Gateway]) {
        let rules: Vec<_> = boxes.iter().map(|gateway| gateway.v4).collect();
        self.reach(match &rules[..] {
            [] => "open",
            [BoxRules::Firewall { .. }] => "firewall",
            [BoxRules::Nat(nat)] => {
                let cells = [
                    ["nat-eim-eif", "nat-eim-adf", "nat-eim-apdf"],
                    ["nat-adm-eif", "nat-adm-adf", "nat-adm-apdf"],
                    ["nat-apdm-eif", "nat-apdm-adf", "nat-apdm-apdf"],
                ];
                let index = |behavior| match behavior {
                    Behavior::EndpointIndependent => 0,
                    Behavior::AddressDependent => 1,
                    Behavior::AddressAndPortDependent => 2,
                };
                cells[index(nat.mapping)][index(nat.filtering)]
            }
            [BoxRules::UdpBlocked] => return,
            _ => "stacked",
        });
    }

    fn verdict(&mut self, verdict: Verdict, connected: bool) {
        if connected && !verdict.direct {
            return self.reach("better-than-oracle");
        }
        if connected != verdict.direct {
            return;
        }
        self.reach(match verdict.why {
            Why::SameNetwork => "oracle-same-network",
            Why::BothStable => "oracle-stable",
            Why::StableAndLenient => "oracle-lenient",
            Why::OneHearsAnyone => "oracle-hears-anyone",
            Why::UdpBlocked => "oracle-udp-blocked",
            Why::UnknownPort => "oracle-unknown-port",
            Why::BothUnstable => "oracle-both-unstable",
            Why::NoCommonFamily => "oracle-no-common-family",
            Why::Policy => "oracle-policy",
            Why::NoHairpin => "oracle-no-hairpin",
            Why::Neighbours => "oracle-neighbours",
            Why::UnknownAddress | Why::NoRendezvous | Why::BlackHole => return,
        });
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Connected { path, .. } => match path {
                Path::Lan => self.reach("path-lan"),
                Path::V4 => self.reach("path-v4"),
                Path::V6 => self.reach("path-v6"),
                Path::Mapped | Path::Predicted | Path::Relay => {}
            },
            Event::Disconnected { reason, .. } => match reason {
                DisconnectReason::Left => self.reach("gone-left"),
                DisconnectReason::Silent => self.reach("gone-silent"),
                DisconnectReason::Restarted => self.reach("gone-restarted"),
                DisconnectReason::Closed => self.reach("gone-closed"),
                DisconnectReason::Misbehaved | DisconnectReason::Ours => {}
            },
            Event::Message { history: true, .. } => self.reach("history"),
            Event::Trouble { trouble, .. } => match trouble {
                Trouble::Nobody(_) => self.reach("trouble-nobody"),
                Trouble::NoPath { .. } => self.reach("trouble-no-path"),
                Trouble::StunSilent(_) => self.reach("trouble-stun-silent"),
                Trouble::BootstrapSilent { .. } => self.reach("trouble-bootstrap-silent"),
                Trouble::NotAnnounced => self.reach("trouble-not-announced"),
                _ => {}
            },
            _ => {}
        }
    }

    fn drop(&mut self, reason: DropReason) {
        self.reach(match reason {
            DropReason::Lost => "drop-lost",
            DropReason::QueueFull => "drop-queue-full",
            DropReason::TooBig => "drop-too-big",
            DropReason::NoMapping => "drop-no-mapping",
            DropReason::Filtered => "drop-filtered",
            DropReason::NoHairpin => "drop-no-hairpin",
            DropReason::UdpBlocked => "drop-udp-blocked",
            DropReason::Partitioned => "drop-partitioned",
            DropReason::HostDown => "drop-host-down",
            DropReason::BlackHole => "drop-black-hole",
            DropReason::Corrupt => "drop-corrupt",
            DropReason::Policy => "drop-policy",
            DropReason::RateLimited => "drop-rate-limited",
            DropReason::Exhausted => "drop-exhausted",
            _ => return,
        });
    }

    /// Faults that all members got over.
    fn survived(&mut self, scenario: &Scenario) {
        self.reach_if("hostile", scenario.infrastructure.hostile.count() > 0);
        let (mut at, mut slept) = (std::time::Duration::ZERO, None);
        for step in &scenario.steps {
            at += step.after;
            match step.act {
                Act::Crash(_) => self.reach("crash"),
                Act::Suspend(_) => slept = Some(at),
                Act::Resume(_) => {
                    let long =
                        slept.take().is_some_and(|from| at >= from + std::time::Duration::from_secs(30));
                    self.reach_if("sleep", long);
                }
                Act::Leave(..) => self.reach("leave"),
                Act::Sever(..) => self.reach("sever"),
                Act::Reboot(_) => self.reach("rebinding"),
                Act::DhtDown(_) => self.reach("dht-churn"),
                Act::Move(..) => self.reach("move"),
                Act::Unplug(_) => self.reach("unplug"),
                Act::Renumber(_) => self.reach("renumber"),
                Act::SetClock(_, clock) => self.reach_if("clock", clock != Clock::default()),
                Act::Harm(..) => self.reach("disk"),
                Act::Twin(_) => self.reach("twin"),
                Act::StartSaved(_) => self.reach("saved"),
                Act::Mute(..) => self.reach("mute"),
                _ => {}
            }
        }
    }
}

/// What the checker has seen of pairs.
#[derive(Clone, Debug, Default)]
pub(super) struct Pairs {
    /// Who told its application that it is connected to whom.
    pub(super) connected: BTreeSet<(usize, usize)>,
    /// Whether something was heard from somebody else than its author.
    pub(super) passed_on: bool,
    /// A message was heard after one that its author said later.
    pub(super) late: bool,
    /// Whether something was heard from somebody who cannot be connected to.
    pub(super) through: bool,
    /// Whether something that was said to nobody was delivered.
    pub(super) said_alone: bool,
}

/// The ids.
impl fmt::Display for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().copied().collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_distinct() {
        assert_eq!(MARKS.iter().map(|(id, _)| id).collect::<BTreeSet<_>>().len(), MARKS.len());
    }
}
