//! The cases about what is around members: clocks, STUN servers, the DHT.

use std::time::Duration;

use super::cases::{
    APD, CONNECT, EI, TALK, TOLD, drawn, fault, fixed, home, meet, meet_and, nightly, settle, start, usual,
};
use super::{Case, Level};
use crate::engine::Clock;
use crate::hosts::Mischief;
use crate::net::BoxRules;
use crate::scenario::script::{Act, Goal, Hostile, Infrastructure, LIES, Place, Site, Stun, Who, after, now};

pub(super) fn clocks(level: Level) -> Vec<Case> {
    let seeds = nightly(level, 2, 8);
    let nap = |seconds: u64| {
        let who = Who::One(0);
        let happens = [fault(1, now(Act::Suspend(who))), fault(1, after(seconds * 1_000, Act::Resume(who)))];
        let steps = meet_and(happens, Duration::from_secs(30));
        fixed(format!("T1:sleep-{seconds}s"), vec![usual(); 3], steps, seeds)
    };
    let mut cases: Vec<_> = [10, 60, 600, 3_600].into_iter().map(nap).collect();
    // Wrong from the beginning; and a step in the middle of a meeting, after which nothing may be missed or come early.
    let hour = 3_600_000;
    for (ahead_ms, drift_ppm) in [(hour, 0), (-hour, 0), (0, 500), (0, -500), (hour, -500)] {
        let clock = Clock { ahead_ms, drift_ppm };
        let wrong = now(Act::SetClock(Who::One(0), clock));
        let mut steps = vec![wrong];
        steps.extend(meet(2 * CONNECT, TALK));
        steps.extend([after(60_000, Act::Say(Who::All, 0)), settle(TALK)]);
        cases.push(fixed(format!("T1:{ahead_ms}ms:{drift_ppm}ppm"), vec![usual(); 3], steps, seeds));
    }
    for ahead_ms in [24 * hour, -24 * hour, hour, -hour, 2_000, -2_000] {
        let step = fault(1, now(Act::SetClock(Who::One(0), Clock { ahead_ms, drift_ppm: 0 })));
        let steps = meet_and([step, after(60_000, Act::Say(Who::All, 0))], TALK);
        cases.push(fixed(format!("T1:step-{ahead_ms}ms"), vec![usual(); 3], steps, seeds));
    }
    cases.push(drawn("clocks", seeds));
    cases
}

/// Joining within moments of the change of day, by clocks that agree and by clocks that do not.
pub(super) fn midnight(level: Level) -> Vec<Case> {
    let midnight = Duration::from_secs(86_400);
    let mut cases = Vec::new();
    for before in [0, 1, 50, 300, 700, 1_500, 30_000] {
        for ahead_ms in [0, 400, -60_000] {
            let mut steps = vec![now(Act::SetClock(Who::One(1), Clock { ahead_ms, drift_ppm: 0 }))];
            steps.extend(meet(2 * CONNECT, TALK));
            steps.extend([after(40_000, Act::Say(Who::All, 0)), settle(TALK)]);
            let name = format!("T2:{before}ms:{ahead_ms}ms");
            cases.push(fixed(name, vec![usual(); 3], steps, nightly(level, 1, 8)).with(|scenario| {
                let begins = midnight - Duration::from_millis(before);
                scenario.infrastructure.begins = if before == 0 { Duration::ZERO } else { begins };
            }));
        }
    }
    cases.push(drawn("midnight", nightly(level, 2, 8)));
    cases
}

pub(super) fn stun(level: Level) -> Vec<Case> {
    let case = |dead: usize| {
        let homes = vec![usual(), home([BoxRules::nat(EI, EI)]), home([])];
        fixed(format!("S1:{dead}-of-3"), homes, meet(3 * CONNECT, TALK), nightly(level, 4, 16)).with(
            |scenario| {
                scenario.infrastructure.stun =
                    (0..3).map(|n| if n < dead { Stun::Dead } else { Stun::Honest }).collect()
            },
        )
    };
    let mut cases: Vec<_> = (0..=3).map(case).collect();
    for lie in LIES {
        let homes = vec![usual(), home([BoxRules::nat(EI, EI)]), home([])];
        let name = format!("S1:{lie:?}").replace(' ', "");
        cases.push(fixed(name, homes, meet(4 * CONNECT, TALK), nightly(level, 2, 8)).with(|scenario| {
            scenario.infrastructure.stun = vec![Stun::Lying(lie), Stun::Honest, Stun::Dead]
        }));
    }
    cases.push(drawn("liars", nightly(level, 2, 8)));
    cases
}

pub(super) fn dht_health(level: Level) -> Vec<Case> {
    let case = |percent: u16| {
        const NODES: u16 = 40;
        // The nodes everyone is told of stay: without them nobody gets in.
        let dead = (2..NODES).filter(|n| n * 7 % NODES * 100 < percent * NODES);
        let mut steps: Vec<_> = dead.map(|n| fault(0, now(Act::DhtDown(n)))).collect();
        steps.extend(meet(Duration::from_secs(20), TALK));
        fixed(format!("D1:{percent}%-dead"), vec![usual(); 3], steps, nightly(level, 4, 16))
            .with(|scenario| scenario.infrastructure.dht_nodes = u32::from(NODES))
    };
    let mut cases: Vec<_> = [0, 10, 25, 50, 75, 90].into_iter().map(case).collect();
    cases.extend([10, 30].map(|walled| {
        let steps = meet(Duration::from_secs(20), TALK);
        fixed(format!("D1:{walled}-walled"), vec![usual(); 3], steps, nightly(level, 4, 16)).with(
            |scenario| {
                let hostile = Hostile { walled, ..Hostile::default() };
                scenario.infrastructure =
                    Infrastructure { dht_nodes: 10, hostile, ..Infrastructure::usual() };
            },
        )
    }));
    cases
}

pub(super) fn dht_hostile(level: Level) -> Vec<Case> {
    let case = |name: &str, hostile: Hostile| {
        fixed(
            format!("D2:{name}"),
            vec![usual(); 3],
            meet(Duration::from_secs(30), TALK),
            nightly(level, 4, 8),
        )
        .with(|scenario| {
            let usual = Infrastructure::usual();
            scenario.infrastructure = Infrastructure { dht_nodes: 30, hostile, ..usual };
        })
    };
    let none = Hostile::default();
    let mut cases = vec![
        case("silent", Hostile { silent: 15, ..none }),
        case("lying", Hostile { lying: 15, ..none }),
        case("slow", Hostile { slow: 15, ..none }),
        case("all", Hostile { silent: 10, lying: 10, slow: 10, sybils: 16, ..none }),
    ];
    // A fifth of the DHT around the topic, with ids that the members' nodes have no reason to doubt; and they were asked.
    for (name, placed, besieged) in [("placed-2", 2, 1), ("placed-8", 8, 20), ("placed-16", 16, 40)] {
        cases.push(
            case(name, Hostile { placed, ..none })
                .with(|scenario| scenario.goals.push(Goal::Besieged(besieged))),
        );
    }
    for sybils in [1, 2, 4, 8, 16, 40] {
        cases.push(case(&format!("sybils-{sybils}"), Hostile { sybils, ..none }));
    }
    cases.extend([drawn("hostile-dht", 2), drawn("forged-peers", 2)]);
    cases
}

/// A stranger floods those members that it can reach, with all that their sockets take; they meet, talk and stay together.
pub(super) fn floods(level: Level) -> Vec<Case> {
    let case = |per_second: u32| {
        let mut steps = meet(3 * CONNECT, 2 * TALK);
        steps.extend([after(30_000, Act::Say(Who::All, 0)), settle(2 * TALK)]);
        let homes = vec![home([]), home([]), usual(), home([BoxRules::FIREWALL])];
        fixed(format!("X1:{per_second}"), homes, steps, nightly(level, 1, 4))
            .with(|scenario| scenario.infrastructure.flood = per_second)
    };
    [50, 500].into_iter().map(case).collect()
}

/// Somebody knows the code and breaks the rules, in each way there is and in all at once; the others meet, talk and stay together, and
/// bystanders are left in peace.
pub(super) fn insiders(level: Level) -> Vec<Case> {
    let case = |name: &str, insiders: Vec<Mischief>| {
        let mut steps = meet(3 * CONNECT, 2 * TALK);
        for _ in 0..4 {
            steps.extend([after(30_000, Act::Say(Who::All, 0)), settle(2 * TALK)]);
        }
        steps.extend([fault(1, now(Act::Crash(Who::One(0)))), after(5_000, Act::Start(Who::One(0)))]);
        steps.extend([
            now(Act::Join(Who::One(0), 0)),
            settle(3 * CONNECT),
            now(Act::Say(Who::All, 0)),
            settle(2 * TALK),
        ]);
        let homes = vec![home([]), home([]), usual(), home([BoxRules::FIREWALL])];
        fixed(format!("X2:{name}"), homes, steps, nightly(level, 1, 4)).with(|scenario| {
            scenario.infrastructure.insiders = insiders;
            // Of five runs in all, each tries an address a few times and gives it up.
            scenario.goals = vec![Goal::Deeds(20), Goal::Victims { each: 5 * 5, total: 64 * 5 * 4 }];
        })
    };
    let all = Mischief::ALL.map(|(_, mischief)| mischief);
    let mut cases: Vec<_> = Mischief::ALL.into_iter().map(|(name, one)| case(name, vec![one])).collect();
    cases.push(case("all", all.into()));
    cases
}

/// Nobody is told of a node; or those that everyone is told of go while members are there, and one more comes.
pub(super) fn no_way_in(level: Level) -> Vec<Case> {
    let mut steps = meet(2 * CONNECT, TALK);
    steps.extend([0, 1].map(|n| fault(1, now(Act::DhtDown(n)))));
    steps.extend([after(120_000, Act::Say(Who::All, 0)), settle(TALK)]);
    let gone = fixed("D3:gone", vec![usual(); 3], steps, nightly(level, 2, 8));
    let mut nowhere: Vec<_> = [0, 1].map(|n| fault(1, now(Act::DhtDown(n)))).into();
    nowhere.extend(start());
    // Nothing connects two whose way in is gone; what must hold is that they are told, and the rules of safety.
    nowhere.push(after(u64::try_from(TOLD.as_millis()).unwrap_or(u64::MAX), Act::Heal));
    let silent = fixed("D3:silent", vec![usual(); 2], nowhere, nightly(level, 2, 8));
    let mut cases = vec![gone, silent];
    cases.extend(islands(level));
    cases.extend([drawn("no-way-in", nightly(level, 2, 8)), drawn("saved", nightly(level, 2, 8))]);
    cases
}

/// Networks without a way out, and with one that is of no use: those who are in one together find each other by multicast.
fn islands(level: Level) -> Vec<Case> {
    let island = |name: &str, entries: u32, edge: BoxRules, homes: &[u16]| {
        let homes = homes.iter().map(|site| home([]).within(*site)).collect();
        let steps = meet(4 * CONNECT, TALK);
        fixed(format!("D3:{name}"), homes, steps, nightly(level, 1, 8)).with(|scenario| {
            scenario.infrastructure.entries = entries;
            scenario.sites.push(Site::behind([edge]));
            let nat = Site::behind([BoxRules::nat(EI, APD)]);
            scenario
                .sites
                .extend([Place::Site(0), Place::Site(0)].map(|place| Site { place, ..nat.clone() }));
        })
    };
    let closed = BoxRules::UdpBlocked;
    vec![
        island("told-of-nobody", 0, closed, &[1, 1, 1]),
        island("nobody-answers", 2, closed, &[1, 1, 1]),
        island("told-of-nobody-outside", 0, BoxRules::nat(EI, APD), &[1, 1]),
        // Neighbours who know each other from outside alone, where the NAT sends nothing back.
        island("alone-at-home", 2, BoxRules::FIREWALL, &[1, 1]),
        // Nobody gets from one to the other, and each is whole.
        island("two-islands", 0, closed, &[1, 1, 2, 2]),
    ]
}
