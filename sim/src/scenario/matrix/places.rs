//! The cases about where members are: behind what, together or apart, and on the move.

use std::time::Duration;

use super::cases::{
    ALL, APD, BACK, CONNECT, EI, TALK, TOLD, drawn, fault, fixed, home, law, meet, meet_and, nightly, say,
    settle, start, usual,
};
use super::{Case, Level};
use crate::net::{BoxRules, Gateway, Hairpin, Law, LinkRules, NatRules, Stack, can_connect_directly};
use crate::scenario::script::{Act, Home, Place, Site, Step, Who, after, now};

pub(super) fn stacked(level: Level) -> Vec<Case> {
    let carriers = [BoxRules::nat(EI, EI), BoxRules::nat(EI, APD), BoxRules::nat(APD, APD)];
    let homes = [BoxRules::nat(EI, EI), BoxRules::nat(EI, APD)];
    let mut cases = Vec::new();
    for outer in carriers {
        for inner in homes {
            for other in [vec![], vec![inner], vec![inner, outer], vec![inner, BoxRules::FIREWALL]] {
                let direct = can_connect_directly(&[inner, outer], &other).direct;
                let steps = meet(if direct { 2 * CONNECT } else { TOLD }, TALK);
                let homes = vec![home([inner, outer]), home(other)];
                cases.push(fixed(format!("N3:{inner}:{outer}"), homes, steps, nightly(level, 1, 8)));
            }
        }
    }
    let seeds = nightly(level, 1, 8);
    // Two in one network, whatever stands before it.
    for edge in [BoxRules::nat(EI, APD), BoxRules::nat(APD, APD), BoxRules::FIREWALL] {
        let homes = vec![home([]).within(0), home([]).within(0), home([])];
        cases.push(together(format!("N3:one-home:{edge}"), edge, homes, meet(TOLD, TALK), seeds));
    }
    // Two behind one carrier, by how it sends packets back inside, and by what they have at home.
    for hairpin in [Hairpin::None, Hairpin::External, Hairpin::Internal] {
        for mapping in [EI, APD] {
            let carrier = BoxRules::Nat(NatRules { hairpin, ..NatRules::new(mapping, APD) });
            for inner in [BoxRules::nat(EI, EI), BoxRules::nat(EI, APD), BoxRules::nat(APD, APD)] {
                let homes = vec![home([inner]).within(0), home([inner]).within(0)];
                let name = format!("N3:one-carrier:{hairpin:?}:{carrier}:{inner}");
                cases.push(together(name, carrier, homes, meet(TOLD, TALK), seeds));
            }
            // What the DHT knows of them leads nowhere from inside, so that it takes a third to introduce them.
            let homes = vec![home([BoxRules::nat(EI, APD)]).within(0), home([]).within(0), home([])];
            cases.push(together(
                format!("N3:subscriber:{hairpin:?}:{carrier}"),
                carrier,
                homes,
                meet(TOLD, TALK),
                seeds,
            ));
        }
    }
    cases.extend(mixed_neighbours(seeds));
    for edge in [BoxRules::nat(EI, EI), BoxRules::nat(EI, APD), BoxRules::nat(APD, APD)] {
        // All that they send goes through the network of a VPN, which takes its share of every packet.
        let homes = vec![home([]).within(0), home([]).within(0), usual()];
        cases.push(together(format!("N3:vpn:{edge}"), edge, homes, meet(TOLD, TALK), seeds).with(
            |scenario| {
                let law = Law { mtu: Some(1_420), icmp: true, ..Law::delay(30) };
                scenario.sites[0].link = LinkRules::both(law);
                scenario.sites[0].multicast = false;
            },
        ));
    }
    cases.extend([drawn("household", seeds), drawn("hairpin", seeds)]);
    cases
}

/// Two behind one carrier, with different NATs at home.
fn mixed_neighbours(seeds: u64) -> Vec<Case> {
    let kinds = [BoxRules::nat(EI, EI), BoxRules::nat(EI, APD), BoxRules::nat(APD, APD)];
    let mut cases = Vec::new();
    for hairpin in [Hairpin::None, Hairpin::External, Hairpin::Internal] {
        for mapping in [EI, APD] {
            let carrier = BoxRules::Nat(NatRules { hairpin, ..NatRules::new(mapping, APD) });
            for (a, b) in [(0, 1), (1, 2), (0, 2)] {
                let homes = [kinds[a], kinds[b]].map(|inner| home([inner]).within(0)).into();
                let name = format!("N3:one-carrier:{hairpin:?}:{carrier}:{}:{}", kinds[a], kinds[b]);
                cases.push(together(name, carrier, homes, meet(TOLD, TALK), seeds));
            }
        }
    }
    cases
}

pub(super) fn rebinding(level: Level) -> Vec<Case> {
    let nats = ALL.map(|filtering| BoxRules::nat(EI, filtering));
    let mut cases = Vec::new();
    for nat in nats {
        for who in [Who::One(0), Who::All] {
            for when in [50, 150, 250, 400, 5_000, 60_000] {
                let mut steps = start().to_vec();
                steps.extend([fault(1, after(when, Act::Reboot(who))), settle(Duration::from_secs(60))]);
                // That the other is silent is noticed only after a while.
                steps.extend([say(), settle(BACK), after(10_000, Act::Settle(BACK))]);
                let homes = vec![home([nat]), home([nat]), home([])];
                cases.push(fixed(format!("N5:{nat}:{who}:{when}ms"), homes, steps, nightly(level, 2, 8)));
            }
        }
    }
    cases.extend(moves(level));
    cases
}

/// A member moves, loses its network for a while, or gets another address from its provider.
fn moves(level: Level) -> Vec<Case> {
    let seeds = nightly(level, 1, 8);
    let elsewhere = BoxRules::nat(EI, APD);
    let (one, away) = (Who::One(0), Act::Move(Who::One(0), Place::Site(0)));
    let mut cases = Vec::new();
    // While knocks, checks and handshakes are under way, and in the middle of the meeting.
    for when in [50, 400, 5_000] {
        for (name, act) in
            [("move", away), ("renumber", Act::Renumber(one)), ("both", Act::Renumber(Who::All))]
        {
            let mut steps = start().to_vec();
            steps.extend([fault(1, after(when, act)), settle(Duration::from_secs(60)), say(), settle(BACK)]);
            steps.push(after(10_000, Act::Settle(BACK)));
            let homes = vec![usual(), usual(), home([])];
            cases.push(together(format!("N5:{name}:{when}ms"), elsewhere, homes, steps, seeds));
        }
    }
    // A router that restarts over and over, and a provider that gives it other addresses.
    for seconds in [1, 10, 60, 600] {
        for (name, act) in [("reboots", Act::Reboot(one)), ("renumbers", Act::Renumber(one))] {
            let again = (1..=5).map(|n| fault(n, after(seconds * 1_000, act)));
            let mut steps = meet(2 * CONNECT, TALK);
            steps.extend(again);
            // That the other is silent is noticed only after a while.
            steps.extend([settle(Duration::from_secs(60)), say(), settle(BACK)]);
            steps.extend([after(10_000, Act::Say(Who::All, 0)), settle(2 * TALK)]);
            let homes = vec![usual(), usual(), home([])];
            cases.push(fixed(format!("N5:{name}-every-{seconds}s"), homes, steps, seeds));
        }
    }
    for seconds in [1, 5, 40, 300] {
        let gap = [fault(1, now(Act::Unplug(one))), fault(1, after(seconds * 1_000, Act::GoHome(one)))];
        let steps = meet_and(gap, BACK);
        cases.push(together(format!("N5:gap:{seconds}s"), elsewhere, vec![usual(); 3], steps, seeds));
    }
    let to_and_fro =
        (0..6).flat_map(|n| [fault(n, after(3_000, away)), fault(n, after(3_000, Act::GoHome(one)))]);
    let steps = meet_and(to_and_fro, BACK);
    cases.push(together("N5:to-and-fro".into(), elsewhere, vec![usual(); 3], steps, seeds));
    cases.push(drawn("roaming", seeds));
    cases
}

/// Members with one network that they may share, or move to.
fn together(name: String, edge: BoxRules, homes: Vec<Home>, steps: Vec<Step>, seeds: u64) -> Case {
    fixed(name, homes, steps, seeds).with(|scenario| scenario.sites.push(Site::behind([edge])))
}

pub(super) fn families(level: Level) -> Vec<Case> {
    let router = |rules| Gateway::new(rules).with_v6(BoxRules::FIREWALL);
    let (usual, strict) = (BoxRules::nat(EI, APD), BoxRules::nat(APD, APD));
    let clat = vec![Gateway::CLAT, Gateway::nat64(usual, BoxRules::FIREWALL)];
    let kinds = [
        ("dual", vec![router(usual)], Stack::Dual),
        ("dual-strict", vec![router(strict)], Stack::Dual),
        ("v6", vec![router(usual)], Stack::V6),
        ("v4", vec![Gateway::new(usual)], Stack::V4),
        ("464xlat", clat, Stack::Dual),
        ("nat64", vec![Gateway::nat64(usual, BoxRules::FIREWALL)], Stack::V6),
        // IPv6 that looks as if it were there, and swallows everything.
        ("broken-v6", vec![Gateway::new(usual).with_v6(BoxRules::UdpBlocked)], Stack::Dual),
    ];
    let mut cases = broken_in_time(level);
    for (a, boxes_a, stack_a) in &kinds {
        for (b, boxes_b, stack_b) in &kinds {
            let one = Home { stack: *stack_a, boxes: boxes_a.clone(), ..home([]) };
            let other = Home { stack: *stack_b, boxes: boxes_b.clone(), ..home([]) };
            cases.push(
                fixed(format!("V1:{a}:{b}"), vec![one, other], meet(TOLD, 2 * TALK), nightly(level, 2, 8))
                    .with(|scenario| scenario.infrastructure.stack = Stack::Dual),
            );
        }
    }
    cases
}

/// Where IPv6 looks as if it were there and swallows everything, and IPv4 would do: that costs a second at most.
fn broken_in_time(level: Level) -> Vec<Case> {
    let nat = |v6: BoxRules| Gateway::new(BoxRules::nat(EI, APD)).with_v6(v6);
    let broken = Home { stack: Stack::Dual, ..Home::behind([nat(BoxRules::UdpBlocked)], law()) };
    let whole = Home { stack: Stack::Dual, ..Home::behind([nat(BoxRules::FIREWALL)], law()) };
    let others = [
        ("itself", broken.clone()),
        ("dual", whole),
        ("v4", usual()),
        ("open-dual", home([]).with_stack(Stack::Dual)),
        ("open", home([])),
    ];
    let case = |(name, other): (&str, Home)| {
        // Where both families work it takes 0.6 s, in one of a hundred runs 1.1 s, and of 200 never more than 1.6 s.
        let steps = meet(Duration::from_millis(1_600 + 1_000), TALK);
        let homes = vec![broken.clone(), other];
        fixed(format!("V1:broken-in-time:{name}"), homes, steps, nightly(level, 2, 8))
            .with(|scenario| scenario.infrastructure.stack = Stack::Dual)
    };
    others.into_iter().map(case).collect()
}
