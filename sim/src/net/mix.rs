//! What networks people are in: three mixes, fitted to what was published.
//!
//! No study gives a joint distribution of mapping, filtering, port rule and access. The shares are judgement within the published
//! ranges; those of [`Mix::World`] were moved until its sum came near the published rates of success, and the other two were
//! written around it. So agreement with those rates is by construction and proves nothing about the world; what a run shows is
//! whether nodes do what is possible in it.

use std::fmt;
use std::time::Duration;

use folkmoot_core::base::Time;

use super::{
    Behavior, BoxRules, Gateway, Hairpin, LinkRules, NatRules, Network, Outcome, Pooling, PortRule, RealmId,
    Stack, Strategy, Verdict,
};
use crate::engine::{Draws, HostId, Subject};

/// A mix of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Kinder than the world.
    Kind,
    /// As near to the world as the studies allow.
    World,
    /// Harsher, with more phones and offices; anchored on nothing.
    Harsh,
}

/// How an endpoint gets to the internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// A home router.
    Home,
    /// A phone.
    Mobile,
    /// An office.
    Office,
}

/// What an endpoint's network does, where it counts: the columns of the mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A public address.
    Open,
    /// A public address behind a firewall.
    Firewall,
    /// A NAT with this mapping and filtering.
    Nat(Behavior, Behavior),
    /// A NAT with a new port for every remote endpoint, and predictable ports.
    Sequential,
    /// No UDP.
    Blocked,
}

/// Somebody drawn from a mix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// How it gets to the internet.
    pub access: Access,
    /// What its network does.
    pub class: Class,
    /// The boxes between it and the internet, innermost first.
    pub boxes: Vec<Gateway>,
    /// Its address families.
    pub stack: Stack,
    /// Whether its router opens ports on request.
    pub opens_ports: bool,
}

/// A row: of one in a thousand, how many are open, behind a firewall, EIM+EIF, EIM+ADF, ADM+APDF, APDM with ports in sequence,
/// APDM with random ports, blocked (EIM+APDF takes the rest); have IPv6; open ports on request.
struct Row {
    access: Access,
    weight: u64,
    classes: [u64; 8],
    v6: u64,
    opens_ports: u64,
}

const EI: Behavior = Behavior::EndpointIndependent;
const AD: Behavior = Behavior::AddressDependent;
const APD: Behavior = Behavior::AddressAndPortDependent;
const CLASSES: [Class; 8] = [
    Class::Open,
    Class::Firewall,
    Class::Nat(EI, EI),
    Class::Nat(EI, AD),
    Class::Nat(AD, APD),
    Class::Sequential,
    Class::Nat(APD, APD),
    Class::Blocked,
];

impl Mix {
    /// All, by name.
    pub const ALL: [(&str, Self); 3] = [("kind", Self::Kind), ("world", Self::World), ("harsh", Self::Harsh)];

    fn rows(self) -> [Row; 3] {
        let row = |access, weight, classes, v6, opens_ports| Row { access, weight, classes, v6, opens_ports };
        let (home, mobile, office) = (Access::Home, Access::Mobile, Access::Office);
        match self {
            Self::Kind => [
                row(home, 650, [30, 30, 140, 80, 10, 10, 30, 10], 500, 350),
                row(mobile, 250, [10, 20, 200, 60, 10, 40, 120, 20], 650, 0),
                row(office, 100, [30, 100, 30, 30, 20, 40, 220, 80], 250, 20),
            ],
            Self::World => [
                row(home, 600, [20, 20, 100, 80, 10, 20, 50, 20], 450, 250),
                row(mobile, 280, [10, 20, 140, 60, 20, 70, 200, 30], 550, 0),
                row(office, 120, [20, 80, 20, 30, 20, 50, 270, 120], 200, 10),
            ],
            Self::Harsh => [
                row(home, 450, [10, 10, 50, 50, 20, 40, 120, 40], 250, 100),
                row(mobile, 400, [0, 20, 60, 40, 30, 100, 360, 50], 350, 0),
                row(office, 150, [10, 60, 10, 20, 20, 60, 360, 200], 100, 0),
            ],
        }
    }

    /// Endpoint number `n`.
    pub fn endpoint(self, draws: &Draws, n: u64) -> Endpoint {
        let mut dice = Dice { draws, next: n * DRAWS_EACH };
        let rows = self.rows();
        let mut at = dice.below(1_000);
        let row = rows.iter().find(|row| {
            let found = at < row.weight;
            at = at.saturating_sub(row.weight);
            found
        });
        let row = row.unwrap_or(&rows[0]);
        let mut at = dice.below(1_000);
        let class = CLASSES.iter().zip(row.classes).find(|(_, share)| {
            let found = at < *share;
            at = at.saturating_sub(*share);
            found
        });
        let class = class.map_or(Class::Nat(EI, APD), |(class, _)| *class);
        let has_v6 = dice.is(row.v6) && class != Class::Blocked;
        let opens_ports = dice.is(row.opens_ports);
        let boxes = dice.boxes(row.access, class, has_v6);
        let stack = if has_v6 { Stack::Dual } else { Stack::V4 };
        Endpoint { access: row.access, class, boxes, stack, opens_ports }
    }
}

/// The draws of one endpoint.
struct Dice<'a> {
    draws: &'a Draws,
    next: u64,
}

/// No endpoint needs more draws than this, so that each has its own.
const DRAWS_EACH: u64 = 32;

impl Dice<'_> {
    fn below(&mut self, bound: u64) -> u64 {
        self.next += 1;
        self.draws.below(Subject::Scenario(0x4d49_5800), self.next, bound)
    }

    /// Whether something is so that is for `permille` of a thousand.
    fn is(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }

    fn boxes(&mut self, access: Access, class: Class, has_v6: bool) -> Vec<Gateway> {
        let with = |rules: BoxRules| {
            let gateway = Gateway::new(rules);
            if has_v6 { gateway.with_v6(BoxRules::FIREWALL) } else { gateway }
        };
        let nat = match class {
            Class::Open => return Vec::new(),
            Class::Firewall => return vec![with(BoxRules::FIREWALL)],
            Class::Blocked => return vec![Gateway::new(BoxRules::UdpBlocked)],
            Class::Sequential => {
                let ports = PortRule::Sequential(1 + self.below(2) as i16);
                NatRules { ports, others: 1, ..self.aged(NatRules::new(APD, APD)) }
            }
            Class::Nat(mapping, filtering) => {
                let ports = if mapping == EI { PortRule::Preserve } else { PortRule::Random };
                NatRules { ports, ..self.aged(NatRules::new(mapping, filtering)) }
            }
        };
        let mut boxes = vec![match access {
            Access::Home | Access::Office => with(BoxRules::Nat(nat)),
            // A phone's NAT is the carrier's.
            Access::Mobile => {
                let pool = 1 + self.below(64) as u8;
                let pooling =
                    if self.is(900) || nat.mapping == EI { Pooling::Paired } else { Pooling::Arbitrary };
                with(BoxRules::Nat(NatRules { pooling, ..nat })).with_pool(pool)
            }
        }];
        if access == Access::Home {
            let plain = |rules: BoxRules| match has_v6 {
                true => Gateway::new(rules).with_v6(BoxRules::Router),
                false => Gateway::new(rules),
            };
            if self.is(80) {
                boxes.push(plain(BoxRules::Nat(self.aged(NatRules::new(EI, APD)))));
            }
            if self.is(150) {
                let strict = self.is(110);
                let rules = if strict { NatRules::new(APD, APD) } else { NatRules::new(EI, EI) };
                let carrier = NatRules { ports: PortRule::Block(2_048), ..self.aged(rules) };
                boxes.push(plain(BoxRules::Nat(carrier)).with_pool(1 + self.below(64) as u8));
            }
        }
        boxes
    }

    /// Ages, refresh and hairpin, as they are spread among devices.
    fn aged(&mut self, rules: NatRules) -> NatRules {
        let lifetime = match self.below(100) {
            0..20 => 30,
            20..40 => 60,
            40..65 => 120,
            65..80 => 180,
            _ => 300,
        };
        NatRules {
            lifetime: Duration::from_secs(lifetime),
            inbound_refresh: self.is(500),
            hairpin: if self.is(250) { Hairpin::External } else { Hairpin::None },
            ..rules
        }
    }
}

/// What nodes may be able to do, each with all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Technique {
    /// Punching holes over IPv4.
    V4,
    /// And over IPv6.
    V6,
    /// And foreseeing the ports of NATs that count. Not in the node yet.
    Prediction,
    /// And asking routers to open ports. Not in the node yet.
    PortMapping,
    /// And trying many ports at once. Not in the node yet.
    Birthday,
}

impl Technique {
    /// All, in order.
    pub const ALL: [Self; 5] = [Self::V4, Self::V6, Self::Prediction, Self::PortMapping, Self::Birthday];
}

/// Whether two endpoints can connect by a technique and those before it, by the classes alone: no carrier in front of a home
/// router, no end of a mapping. What the published fit was computed with.
pub fn predicts(technique: Technique, a: &Endpoint, b: &Endpoint) -> bool {
    use Technique::{Birthday, PortMapping, Prediction, V6};
    if a.class == Class::Blocked || b.class == Class::Blocked {
        return false;
    }
    let opened = |x: &Endpoint| technique >= PortMapping && x.opens_ports;
    let (a_class, b_class) = (a.behaviour(opened(a)), b.behaviour(opened(b)));
    let stable = |x: (Behavior, Behavior)| x.0 == EI;
    let lenient = |x: (Behavior, Behavior)| x.1 != APD;
    let punched = match (stable(a_class), stable(b_class)) {
        (true, true) => true,
        (true, false) => lenient(a_class),
        (false, true) => lenient(b_class),
        (false, false) => false,
    };
    let counts = |x: &Endpoint| x.class == Class::Sequential;
    let foreseen = match (stable(a_class), stable(b_class)) {
        (true, false) => counts(b),
        (false, true) => counts(a),
        (false, false) => counts(a) && counts(b),
        (true, true) => true,
    };
    punched
        || technique >= V6 && a.stack.has_v6() && b.stack.has_v6()
        || technique >= Prediction && foreseen
        || technique >= Birthday && (stable(a_class) || stable(b_class))
}

/// What the oracles say of two endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The table.
    pub verdict: Verdict,
    /// Packets.
    pub packets: Outcome,
}

/// What the oracles say of two endpoints that use these address families, if they have them.
pub fn judge(draws: &Draws, pair: [&Endpoint; 2], stack: Stack) -> Judgement {
    let mut network = Network::new();
    let hosts = [HostId(0), HostId(1)];
    for (host, endpoint) in hosts.into_iter().zip(pair) {
        let boxes = endpoint.boxes.iter().rev();
        let link = LinkRules::default;
        let realm = boxes.fold(RealmId::INTERNET, |realm, rules| network.add_box(realm, *rules, link()).1);
        let wants = if stack == Stack::Dual { endpoint.stack } else { stack };
        network.add_host(host, realm, link(), (wants, 1));
    }
    let packets = network.try_pair(Time::ZERO, draws, hosts, Strategy::Ordinary);
    Judgement { verdict: network.can_connect(hosts[0], hosts[1]), packets }
}

impl Endpoint {
    fn behaviour(&self, opened: bool) -> (Behavior, Behavior) {
        match self.class {
            Class::Open => (EI, EI),
            Class::Nat(..) | Class::Sequential if opened => (EI, EI),
            Class::Firewall => (EI, APD),
            Class::Nat(mapping, filtering) => (mapping, filtering),
            Class::Sequential => (APD, APD),
            Class::Blocked => (APD, APD),
        }
    }

    /// Whether it is behind a NAT, and one that lets UDP pass.
    pub fn is_natted(&self) -> bool {
        matches!(self.class, Class::Nat(..) | Class::Sequential)
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, mix)| mix == self).map_or("?", |(name, _)| name))
    }
}

impl fmt::Display for Technique {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "punching, IPv4",
            Self::V6 => "+ IPv6",
            Self::Prediction => "+ port prediction",
            Self::PortMapping => "+ port mapping",
            Self::Birthday => "+ birthday",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Successes among `count` random pairs.
    fn share(mix: Mix, technique: Technique, only: impl Fn(&Endpoint, &Endpoint) -> bool) -> f64 {
        let draws = Draws::new(1);
        let pairs = (0..20_000).map(|n| (mix.endpoint(&draws, 2 * n), mix.endpoint(&draws, 2 * n + 1)));
        let pairs: Vec<_> = pairs.filter(|(a, b)| only(a, b)).collect();
        pairs.iter().filter(|(a, b)| predicts(technique, a, b)).count() as f64 / pairs.len() as f64
    }

    #[test]
    fn both_oracles_say_the_same_of_strangers() {
        for (_, mix) in Mix::ALL {
            let draws = Draws::new(2);
            for n in 0..300 {
                let pair = [mix.endpoint(&draws, 2 * n), mix.endpoint(&draws, 2 * n + 1)];
                for stack in [Stack::V4, Stack::Dual] {
                    let judgement = judge(&draws, [&pair[0], &pair[1]], stack);
                    let wanders = |it: &Endpoint| {
                        it.boxes.iter().any(|rules| {
                        matches!(rules.v4, BoxRules::Nat(nat) if nat.pooling == Pooling::Arbitrary)
                    })
                    };
                    // Who appears from several addresses may appear from the right one by chance.
                    let lucky = judgement.packets > Outcome::Never && pair.iter().any(wanders);
                    let agrees = judgement.verdict.direct == (judgement.packets == Outcome::Always);
                    assert!(agrees || lucky, "{mix} pair {n}, {stack}: {judgement:?} of {pair:#?}");
                }
            }
        }
    }

    #[test]
    fn the_fit_is_the_published_one() {
        let any = |_: &Endpoint, _: &Endpoint| true;
        let homes = |a: &Endpoint, b: &Endpoint| a.access == Access::Home && b.access == Access::Home;
        let near = |is: f64, should: f64| assert!((is - should).abs() < 0.012, "{is} instead of {should}");
        near(share(Mix::World, Technique::V4, any), 0.699);
        near(share(Mix::World, Technique::V6, any), 0.741);
        near(share(Mix::World, Technique::Prediction, any), 0.777);
        near(share(Mix::World, Technique::PortMapping, any), 0.810);
        near(share(Mix::World, Technique::Birthday, any), 0.912);
        near(share(Mix::World, Technique::V4, homes), 0.840);
        near(share(Mix::Kind, Technique::V4, any), 0.822);
        near(share(Mix::Harsh, Technique::V4, any), 0.416);
    }
}
