//! Where members live: homes, and networks that they share.

use std::time::Duration;

use super::{Class, Classes, Record};
use crate::engine::{Chance, Clock};
use crate::net::{
    Behavior, BoxRules, Gateway, Hairpin, Law, LinkRules, Loss, NatRules, PortRule, Rate, Stack,
};
use crate::scenario::script::{Home, Place, Site};

/// Of a home bytes 1 to 7, which say no times, are parameters too.
impl Record {
    pub(super) fn home(&self, classes: Classes, sites: usize) -> Home {
        let mut boxes: Vec<Gateway> = match self.below(0, 20) {
            0..5 => Vec::new(),
            5..7 => vec![BoxRules::FIREWALL.into()],
            18.. if classes.has(Class::Stacked) => {
                [1, 2].map(|n| BoxRules::Nat(self.nat(n, classes)).into()).into()
            }
            _ => vec![BoxRules::Nat(self.nat(1, classes)).into()],
        };
        let place = match sites {
            1.. if classes.has(Class::Shared) && self.0[1].is_multiple_of(2) => {
                Place::Site(u16::from(self.0[1] / 2) % sites as u16)
            }
            _ => Place::Internet,
        };
        let mut stack = Stack::V4;
        if classes.has(Class::Families) {
            let v6 = |boxes: &mut Vec<Gateway>, rules| {
                boxes.iter_mut().for_each(|gateway| gateway.v6 = Some(rules));
            };
            match self.0[2] % 8 {
                0..3 => {}
                // Looks as if it were there, and swallows everything.
                3 => {
                    v6(&mut boxes, BoxRules::UdpBlocked);
                    stack = Stack::Dual;
                }
                4 if place == Place::Internet => {
                    v6(&mut boxes, BoxRules::FIREWALL);
                    stack = Stack::V6;
                }
                5 if place == Place::Internet => {
                    let nat = BoxRules::Nat(self.nat(1, classes));
                    boxes = vec![Gateway::CLAT, Gateway::nat64(nat, BoxRules::FIREWALL)];
                    stack = Stack::Dual;
                }
                _ => {
                    v6(&mut boxes, BoxRules::FIREWALL);
                    stack = Stack::Dual;
                }
            }
        }
        let law = self.bounded(self.law(classes), classes, stack == Stack::V4);
        Home { boxes, link: LinkRules::both(law), stack, place }
    }

    /// What the clock of a member shows who lives there: right to the hour.
    pub(super) fn clock(&self, classes: Classes) -> Clock {
        if !classes.has(Class::Clock) {
            return Clock::default();
        }
        let ahead_ms = (i64::from(self.0[4]) - 128) * 28_000;
        let drift_ppm = [0, 0, 100, -100, 500, -500, 0, 0][usize::from(self.0[5] % 8)];
        Clock { ahead_ms: if self.0[5] & 8 == 0 { ahead_ms } else { 0 }, drift_ppm }
    }

    /// A household's network, an office's, or what a carrier has behind its NAT; perhaps within one of those before it.
    pub(super) fn site(&self, classes: Classes, before: usize) -> Site {
        let nat = self.nat(1, classes);
        let hairpin =
            [Hairpin::None, Hairpin::None, Hairpin::External, Hairpin::Internal][usize::from(self.0[10] % 4)];
        let rules = match self.0[8] % 8 {
            0 => BoxRules::FIREWALL,
            _ => BoxRules::Nat(NatRules { hairpin, ..nat }),
        };
        let has_v6 = classes.has(Class::Families) && self.0[8] & 8 == 0;
        let gateway = Gateway { v6: has_v6.then_some(BoxRules::FIREWALL), ..Gateway::new(rules) };
        let place = match before {
            1.. if self.0[12].is_multiple_of(3) => Place::Site(u16::from(self.0[12] / 3) % before as u16),
            _ => Place::Internet,
        };
        let link = LinkRules::both(Law::delay(1 + self.below(6, 20)));
        Site { link, place, multicast: self.0[11].is_multiple_of(2), ..Site::behind([gateway]) }
    }

    fn nat(&self, n: usize, classes: Classes) -> NatRules {
        const KINDS: [Behavior; 3] =
            [Behavior::EndpointIndependent, Behavior::AddressDependent, Behavior::AddressAndPortDependent];
        let byte = u64::from(self.0[8 + n]);
        // Most NATs are endpoint-independent.
        let strict = classes.has(Class::Strict) && byte % 4 == 0;
        let mapping = if strict { KINDS[(byte / 4 % 3) as usize] } else { KINDS[0] };
        let filtering = KINDS[(byte / 12 % 3) as usize];
        let ports = [PortRule::Preserve, PortRule::Sequential(1), PortRule::Random][(byte / 36 % 3) as usize];
        let forgetful = classes.has(Class::Forgetful);
        let lifetime = Duration::from_secs(if forgetful { 30 } else { [60, 120, 300][(byte % 3) as usize] });
        NatRules { ports, lifetime, inbound_refresh: byte & 128 != 0, ..NatRules::new(mapping, filtering) }
    }

    fn law(&self, classes: Classes) -> Law {
        let mut law =
            Law { jitter: Duration::from_millis(self.below(3, 20)), ..Law::delay(1 + self.below(4, 80)) };
        let (chance, what) = (self.0[13], self.0[14]);
        if classes.has(Class::Burst) && what % 4 == 0 {
            let [enter, leave] = [Chance::ratio(5, 1_000), Chance::percent(20)];
            law.loss = Loss::Bursty { enter, leave, inside: Chance::percent(60) };
        } else if classes.has(Class::Loss) && what % 4 == 1 {
            law.loss = Loss::Independent(Chance::ratio(u32::from(chance) * 40 / 256, 1_000));
        }
        if classes.has(Class::Duplicate) && what / 4 % 4 == 0 {
            law.duplicate = Chance::percent(2);
        }
        if classes.has(Class::Reorder) && what / 16 % 4 == 0 {
            law.reorder = Chance::percent(3);
            law.held = Duration::from_millis(1 + self.below(7, 60));
        }
        law
    }

    /// The same link, where it passes no large packets, or few at a time; `narrowest` is whether fragments may be that small.
    fn bounded(&self, law: Law, classes: Classes, narrowest: bool) -> Law {
        let mut law = law;
        if classes.has(Class::Narrow) && self.0[6].is_multiple_of(3) {
            let (mtu, icmp) = match self.0[6] / 3 % 8 {
                0 if narrowest => (576, true),
                1 if narrowest => (1_200, true),
                2 => (1_280, false),
                3 => (1_280, true),
                4 => (1_400, false),
                _ => (1_492, true),
            };
            (law.mtu, law.icmp) = (Some(mtu), icmp);
        }
        if classes.has(Class::Slow) && self.0[7].is_multiple_of(3) {
            let bits_per_second = [256_000, 1_000_000, 10_000_000][usize::from(self.0[7] / 3 % 3)];
            let milliseconds = [50, 200, 1_000][usize::from(self.0[7] / 9 % 3)];
            let queue = (bits_per_second * milliseconds / 8_000).max(3_000);
            law.rate = Some(Rate { bits_per_second, queue });
        }
        law
    }
}
