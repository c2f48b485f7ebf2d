//! What a meeting costs in which nobody says anything: packets a minute, and what nodes come to hold. Each has a budget.

use std::time::Duration;

use folkmoot_core::base::Time;

use crate::engine::Kind;
use crate::hosts::NodeHost;
use crate::mesh::Mesh;
use crate::scenario::{Problem, Property, weight};

/// What was measured, and what of it is over its budget.
#[derive(Clone, Debug)]
pub struct Quiet {
    /// Datagrams that each end of a link sends in a minute, of ICE, DTLS and what is in it: the mean.
    pub link: f64,
    /// Datagrams of the DHT that a member sends in a minute: the mean.
    pub dht: f64,
    /// The most that a node took to be written down, in bytes, at the beginning and at the end.
    pub weights: [usize; 2],
    /// What is over its budget.
    pub problems: Vec<Problem>,
}

/// The time that a meeting has to form, and to finish what it began.
const FORMING: Duration = Duration::from_secs(120);

/// Datagrams a minute from each end of a link. A check of the path in use every five seconds (RFC 7675) and an answer to the other end's are
/// 24; a ping every 2.5 s from the two ends in turn, so that who is gone is noticed after ten, the pong, and their acknowledgements are the rest.
pub const LINK_BUDGET: f64 = 80.0;

/// Datagrams a minute for a member's part in a DHT as small as that of a [`Mesh`]: lookups and announcements of its topics, upkeep of
/// its tables, answers.
pub const DHT_BUDGET: f64 = 20.0;

/// By how much more a node may take to be written down in the end, in hundredths: numbers have more digits, and how the DHT looks
/// from one place changes, but nothing may be collected.
pub const GROWTH_PERCENT: usize = 10;

/// Lets a meeting that has just begun be quiet for a while.
pub fn watch(mesh: &mut Mesh, time: Duration) -> Quiet {
    mesh.run_until(FORMING);
    let before = Reading::of(mesh);
    mesh.run_until(FORMING + time);
    let after = Reading::of(mesh);
    let members = mesh.hosts().count() as f64;
    let minutes = time.as_secs_f64() / 60.0;
    let ends = (mesh.connections() as f64).max(1.0);
    let quiet = Quiet {
        link: (after.links - before.links) as f64 / minutes / ends,
        dht: (after.dht - before.dht) as f64 / minutes / members.max(1.0),
        weights: [before.weight, after.weight],
        problems: Vec::new(),
    };
    quiet.judge(mesh.world().now())
}

impl Quiet {
    /// Holds the figures against the budgets.
    fn judge(mut self, at: Time) -> Self {
        let [before, after] = self.weights;
        let over = [
            (
                self.link > LINK_BUDGET,
                Property::Idle,
                format!("{:.1} packets a minute from each end of a link", self.link),
            ),
            (
                self.dht > DHT_BUDGET,
                Property::Idle,
                format!("{:.1} packets of the DHT a minute from each member", self.dht),
            ),
            (
                after * 100 > before * (100 + GROWTH_PERCENT),
                Property::Memory,
                format!("a node that took {before} bytes to write down takes {after} after a quiet time"),
            ),
        ];
        let over = over.into_iter().filter(|(is_over, ..)| *is_over);
        self.problems.extend(over.map(|(_, property, what)| Problem { at, property, what }));
        self
    }
}

/// How things stand at a moment.
struct Reading {
    links: u64,
    dht: u64,
    weight: usize,
}

impl Reading {
    fn of(mesh: &Mesh) -> Self {
        let world = mesh.world();
        let sent =
            |kind: Kind| mesh.hosts().map(|host| world.host_counts(host).sent[kind as usize]).sum::<u64>();
        let nodes = mesh.hosts().filter_map(|host| world.program(host).and_then(NodeHost::node));
        Self {
            links: sent(Kind::Stun) + sent(Kind::Dtls),
            dht: sent(Kind::Krpc),
            weight: nodes.map(weight).max().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Behavior, BoxRules, Law, LinkRules};
    use crate::stub::Tier;

    #[test]
    fn a_quiet_meeting_keeps_to_its_budget() {
        let link = LinkRules::both(Law::delay(20));
        let nat = BoxRules::nat(Behavior::EndpointIndependent, Behavior::AddressAndPortDependent);
        let mut mesh = Mesh::begin(1, Tier::Stub, &[(link, Some(nat)); 3], link);
        let quiet = watch(&mut mesh, Duration::from_secs(5 * 60));
        assert_eq!(mesh.connections(), 6);
        assert!(quiet.problems.is_empty(), "{quiet:#?}");
        assert!(quiet.link > 1.0 && quiet.dht > 0.1, "something has to be sent: {quiet:#?}");
    }

    #[test]
    fn what_is_over_its_budget_is_told() {
        let quiet = |link, dht, after| {
            let quiet = Quiet { link, dht, weights: [1_000, after], problems: Vec::new() }.judge(Time::ZERO);
            quiet.problems.into_iter().map(|problem| problem.property).collect::<Vec<_>>()
        };
        assert_eq!(quiet(LINK_BUDGET, DHT_BUDGET, 1_100), []);
        assert_eq!(quiet(LINK_BUDGET + 1.0, 0.0, 1_000), [Property::Idle]);
        assert_eq!(quiet(0.0, DHT_BUDGET + 1.0, 1_000), [Property::Idle]);
        assert_eq!(quiet(0.0, 0.0, 1_101), [Property::Memory]);
    }
}
