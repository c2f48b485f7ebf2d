//! The cases of the rows, each a scenario with deadlines that hold for its kind.

use std::time::Duration;

use super::{Case, Level, What};
use crate::engine::{Chance, Draws};
use crate::hosts::Mischief;
use crate::net::{
    Behavior, BoxRules, Gateway, Law, LinkRules, Loss, Mix, NEEDED_MTU, NatRules, Policy, PortRule, Rate,
    Stack, Why, can_connect_directly,
};
use crate::scenario::script::{Act, Home, Infrastructure, Scenario, Step, Who, after, now};

pub(super) const EI: Behavior = Behavior::EndpointIndependent;
pub(super) const APD: Behavior = Behavior::AddressAndPortDependent;
pub(super) const ALL: [Behavior; 3] = [EI, Behavior::AddressDependent, APD];

/// How soon two who can connect must be connected without loss.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// How soon who can connect to nobody must be told so: a minute alone, and something for those who take turns.
pub(super) const TOLD: Duration = Duration::from_secs(75);
/// How soon what is said must be acknowledged by all, without loss.
pub(super) const TALK: Duration = Duration::from_secs(5);
/// How soon who was silent without leaving is known to be gone, and back.
pub(super) const BACK: Duration = Duration::from_secs(45);

pub(super) fn fixed(name: impl Into<String>, homes: Vec<Home>, steps: Vec<Step>, seeds: u64) -> Case {
    let (name, note, goals) = (name.into(), String::new(), Vec::new());
    let infrastructure = Infrastructure::usual();
    let sites = Vec::new();
    let scenario = Scenario { name, note, sites, homes, infrastructure, steps, goals };
    Case { what: What::Fixed(Box::new(scenario)), seeds }
}

pub(super) fn drawn(name: &'static str, seeds: u64) -> Case {
    Case { what: What::Drawn(name), seeds }
}

/// More seeds at night.
pub(super) fn nightly(level: Level, day: u64, night: u64) -> u64 {
    if level == Level::Change { day } else { night }
}

pub(super) fn law() -> Law {
    Law { jitter: Duration::from_millis(4), ..Law::delay(12) }
}

pub(super) fn home(boxes: impl IntoIterator<Item = BoxRules>) -> Home {
    Home::behind(boxes, law())
}

pub(super) fn gated(gateway: Gateway) -> Home {
    Home::behind([gateway], law())
}

pub(super) fn usual() -> Home {
    home([BoxRules::nat(EI, APD)])
}

pub(super) fn settle(within: Duration) -> Step {
    now(Act::Settle(within))
}

pub(super) fn say() -> Step {
    now(Act::Say(Who::All, 0))
}

pub(super) fn start() -> [Step; 2] {
    [now(Act::Start(Who::All)), now(Act::Join(Who::All, 0))]
}

/// Everyone joins, then talks.
pub(super) fn meet(connect: Duration, talk: Duration) -> Vec<Step> {
    let mut steps = start().to_vec();
    steps.extend([settle(connect), say(), settle(talk)]);
    steps
}

/// Everyone joins and talks, something happens, and in the end everyone talks again.
pub(super) fn meet_and(happens: impl IntoIterator<Item = Step>, recover: Duration) -> Vec<Step> {
    let mut steps = meet(2 * CONNECT, TALK);
    steps.extend(happens);
    steps.extend([settle(recover), say(), settle(2 * TALK)]);
    steps
}

pub(super) fn fault(n: u16, step: Step) -> Step {
    Step { fault: Some(n), ..step }
}

/// What stands before a member, in a word.
fn kinds() -> Vec<(String, Vec<BoxRules>)> {
    let nats = ALL.into_iter().flat_map(|map| ALL.map(|filter| BoxRules::nat(map, filter)));
    let mut kinds: Vec<_> = nats.map(|rules| (rules.to_string(), vec![rules])).collect();
    kinds.push(("open".into(), Vec::new()));
    kinds.push(("firewall".into(), vec![BoxRules::FIREWALL]));
    kinds.push(("blocked".into(), vec![BoxRules::UdpBlocked]));
    kinds
}

pub(super) fn nat_pairs(level: Level) -> Vec<Case> {
    let mut cases = Vec::new();
    for (a, boxes_a) in kinds() {
        for (b, boxes_b) in kinds() {
            let verdict = can_connect_directly(&boxes_a, &boxes_b);
            let within = match verdict.why {
                // It takes a knock at a port that only its answer tells.
                Why::OneHearsAnyone => 6 * CONNECT,
                _ if verdict.direct => 2 * CONNECT,
                _ => TOLD,
            };
            // Either side is first, since both orders of each pair are here.
            let mut steps = vec![now(Act::Start(Who::One(0))), now(Act::Join(Who::One(0), 0))];
            steps.extend([after(700, Act::Start(Who::One(1))), now(Act::Join(Who::One(1), 0))]);
            steps.extend([settle(within), say(), settle(TALK), after(2_000, Act::Settle(TALK))]);
            let homes = vec![home(boxes_a.clone()), home(boxes_b.clone())];
            cases.push(fixed(format!("N1:{a}:{b}"), homes, steps, nightly(level, 2, 8)));
        }
    }
    cases
}

pub(super) fn port_rules(level: Level) -> Vec<Case> {
    let rules = [
        PortRule::Preserve,
        PortRule::Overload,
        PortRule::Sequential(1),
        PortRule::Sequential(2),
        PortRule::Random,
        PortRule::Block(64),
    ];
    let mut cases = shifting_ports(level);
    for ports in rules {
        for mapping in ALL {
            for filtering in ALL {
                let hard = BoxRules::Nat(NatRules { ports, ..NatRules::new(mapping, filtering) });
                for other in [BoxRules::nat(EI, EI), BoxRules::nat(EI, APD)] {
                    let direct = can_connect_directly(&[hard], &[other]).direct;
                    let steps = meet(if direct { 2 * CONNECT } else { TOLD }, TALK);
                    let name = format!("N2:{ports:?}:{hard}:{other}");
                    cases.push(fixed(name, vec![home([hard]), home([other])], steps, nightly(level, 1, 8)));
                }
            }
        }
    }
    cases
}

/// Ports that keep their parity, and sequences that others behind the same NAT move on.
fn shifting_ports(level: Level) -> Vec<Case> {
    let kept = |ports| NatRules { ports, parity: true, ..NatRules::new(EI, APD) };
    let busy = |others| NatRules { ports: PortRule::Sequential(1), others, ..NatRules::new(APD, APD) };
    let nats = [
        ("parity", kept(PortRule::Preserve), BoxRules::nat(EI, APD)),
        ("parity-in-sequence", kept(PortRule::Sequential(1)), BoxRules::nat(EI, APD)),
        ("others-5", busy(5), BoxRules::nat(EI, EI)),
        ("others-50", busy(50), BoxRules::nat(EI, EI)),
        ("others-50-unmatched", busy(50), BoxRules::nat(EI, APD)),
    ];
    let case = |(name, nat, other): (&str, NatRules, BoxRules)| {
        let nat = BoxRules::Nat(nat);
        let direct = can_connect_directly(&[nat], &[other]).direct;
        let steps = meet(if direct { 2 * CONNECT } else { TOLD }, TALK);
        fixed(format!("N2:{name}"), vec![home([nat]), home([other])], steps, nightly(level, 1, 8))
    };
    nats.into_iter().map(case).collect()
}

pub(super) fn expiry(level: Level) -> Vec<Case> {
    let mut cases = Vec::new();
    for seconds in [30, 60, 120, 300] {
        for inbound_refresh in [false, true] {
            for minutes in [1, 5, 20] {
                let lifetime = Duration::from_secs(seconds);
                let nat = BoxRules::Nat(NatRules { lifetime, inbound_refresh, ..NatRules::new(EI, APD) });
                let idle = after(minutes * 60_000, Act::Settle(Duration::ZERO));
                // Nothing came undone while nobody spoke.
                let steps = meet_and([idle], Duration::ZERO);
                let name = format!("N4:{seconds}s:{minutes}min");
                cases.push(fixed(name, vec![home([nat]), home([nat])], steps, nightly(level, 1, 4)));
            }
        }
    }
    cases
}

pub(super) fn exhaustion(level: Level) -> Vec<Case> {
    // Nobody can promise a connection through a NAT without mappings; what must hold is that nothing breaks.
    let case = |name: String, nat: NatRules| {
        let nat = BoxRules::Nat(nat);
        let mut steps = start().to_vec();
        steps.push(after(120_000, Act::Say(Who::All, 0)));
        steps.push(after(30_000, Act::Heal));
        fixed(name, vec![home([nat]), home([])], steps, nightly(level, 1, 8))
    };
    let nat = NatRules::new(APD, APD);
    let full = |capacity| case(format!("N6:{capacity}"), NatRules { capacity, ..nat });
    let mut cases: Vec<_> = [0, 1, 4, 16].into_iter().map(full).collect();
    for block in [2, 8, 32] {
        let nat = NatRules { ports: PortRule::Block(block), ..NatRules::new(EI, APD) };
        cases.push(case(format!("N6:block-{block}"), nat));
    }
    for rate in [1, 10] {
        cases.push(case(format!("N6:{rate}-a-second"), NatRules { per_second: Some(rate), ..nat }));
    }
    cases
}

pub(super) fn udp_policy(level: Level) -> Vec<Case> {
    let seeds = nightly(level, 2, 8);
    let blocked = home([BoxRules::UdpBlocked]);
    let mut cases = vec![
        fixed("U1:one", vec![blocked.clone(), usual(), usual()], meet(TOLD, TALK), seeds),
        fixed("U1:both", vec![blocked.clone(), blocked], meet(TOLD, TALK), seeds),
    ];
    for (mtu, icmp) in [
        (1_500, false),
        (1_400, false),
        (1_280, false),
        (1_280, true),
        (1_200, false),
        (1_200, true),
        (576, false),
        (576, true),
    ] {
        let link = LinkRules::both(Law { mtu: Some(mtu), icmp, ..law() });
        let homes = vec![Home { link, ..home([]) }, usual()];
        // What is too small and does not say so swallows what a link needs: then there is none, and both are told.
        let within = if mtu < NEEDED_MTU && !icmp { TOLD } else { 2 * CONNECT };
        let name = format!("U1:mtu-{mtu}{}", if icmp { "-icmp" } else { "" });
        cases.push(fixed(name, homes, meet(within, TALK), seeds));
    }
    let slow = Policy { per_second: Some(60), ..Policy::NONE };
    for (name, policy) in [
        ("web-and-dns", Policy::WEB_AND_DNS),
        ("no-dtls", Policy::NO_DTLS),
        ("no-stun", Policy::NO_STUN),
        ("no-dht", Policy::NO_DHT),
        ("slow", slow),
    ] {
        let narrow = Gateway::new(BoxRules::nat(EI, APD)).with_policy(policy);
        let homes = vec![gated(narrow), usual(), usual()];
        cases.push(fixed(format!("U1:{name}"), homes, meet(TOLD, TALK), seeds));
    }
    cases.extend([drawn("black-hole", seeds), drawn("hotel", seeds)]);
    cases
}

pub(super) fn loss(level: Level) -> Vec<Case> {
    // Percent, and how long connecting and talking may take. What of it is lost twice takes seconds more.
    let table =
        [(0, 5, 5), (1, 10, 10), (2, 10, 10), (5, 15, 15), (10, 30, 30), (20, 90, 60), (30, 180, 120)];
    let mut cases = Vec::new();
    for (percent, connect, talk) in table {
        let independent = Loss::Independent(Chance::percent(percent));
        // In the bad state for a share of the time, in which half is lost.
        let enter = Chance::ratio(percent * 2 * 20, (100 - percent * 2).max(1) * 100);
        let bursty = Loss::Bursty { enter, leave: Chance::percent(20), inside: Chance::percent(50) };
        for (name, loss) in [("loss", independent), ("burst", bursty)] {
            let lossy = Law { loss, ..law() };
            let both = LinkRules { up: law(), down: lossy };
            let steps = || meet(Duration::from_secs(connect), Duration::from_secs(talk));
            let homes = vec![Home { link: both, ..home([]) }; 2];
            cases.push(fixed(format!("Q1:{name}-{percent}%"), homes, steps(), nightly(level, 5, 20)));
            // What one says is lost, and what it hears is not.
            let one = LinkRules { up: lossy, down: law() };
            let homes = vec![Home { link: one, ..home([]) }, home([])];
            cases.push(fixed(format!("Q1:{name}-{percent}%-one-way"), homes, steps(), nightly(level, 2, 20)));
        }
    }
    cases
}

pub(super) fn disorder(level: Level) -> Vec<Case> {
    let mut cases = Vec::new();
    for jitter in [0, 50, 200] {
        for reorder in [0, 5, 30] {
            for duplicate in [0, 10] {
                let (reorder, duplicate) = (Chance::percent(reorder), Chance::percent(duplicate));
                let jitter = Duration::from_millis(jitter);
                let law =
                    Law { jitter, reorder, held: Duration::from_millis(30), duplicate, ..Law::delay(12) };
                let homes = vec![Home::behind([BoxRules::nat(EI, APD)], law); 3];
                let mut steps = meet(2 * CONNECT, 2 * TALK);
                steps.extend((0..10).map(|_| after(20, Act::Say(Who::All, 0))));
                steps.push(settle(2 * TALK));
                cases.push(fixed("Q2", homes, steps, nightly(level, 1, 8)));
            }
        }
    }
    // Of packets whose bits flip, checksums catch nearly all; some arrive.
    for (name, corrupt) in [("0.1", Chance::ratio(1, 1_000)), ("1", Chance::percent(1))] {
        let homes = vec![Home::behind([BoxRules::nat(EI, APD)], Law { corrupt, ..law() }); 3];
        let mut steps = meet(3 * CONNECT, 2 * TALK);
        steps.extend((0..10).map(|_| after(20, Act::Say(Who::All, 0))));
        steps.push(settle(2 * TALK));
        cases.push(fixed(format!("Q2:corrupt-{name}%"), homes, steps, nightly(level, 2, 8)));
    }
    cases
}

pub(super) fn bandwidth(level: Level) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, bits_per_second) in
        [("64k", 64_000), ("256k", 256_000), ("1M", 1_000_000), ("100M", 100_000_000)]
    {
        for milliseconds in [20, 200, 2_000] {
            let queue = (bits_per_second * milliseconds / 8_000).max(1_500);
            let slow = Law { rate: Some(Rate { bits_per_second, queue }), ..law() };
            let homes = vec![Home { link: LinkRules { up: slow, down: law() }, ..home([]) }; 3];
            let steps = meet(Duration::from_secs(30), 2 * TALK);
            cases.push(fixed(
                format!("Q3:{name}:{milliseconds}ms"),
                homes.clone(),
                steps,
                nightly(level, 1, 4),
            ));
            // Much is said at once, and the queue runs over.
            let mut steps = meet(Duration::from_secs(30), 2 * TALK);
            steps.extend((0..60).map(|_| after(5, Act::Say(Who::All, 0))));
            steps.push(settle(Duration::from_secs(60)));
            cases.push(fixed(format!("Q3:{name}:{milliseconds}ms:much"), homes, steps, nightly(level, 1, 4)));
        }
    }
    cases
}

pub(super) fn latency(level: Level) -> Vec<Case> {
    let case = |millis| {
        let homes = vec![Home::behind([BoxRules::nat(EI, APD)], Law::delay(millis)); 2];
        fixed(format!("Q4:{millis}ms"), homes, meet(3 * CONNECT, 2 * TALK), nightly(level, 1, 8))
    };
    // At 300 ms on each side an answer takes as long as by way of a satellite on both.
    [1, 5, 20, 50, 100, 150, 200, 300].into_iter().map(case).collect()
}

pub(super) fn members(level: Level) -> Vec<Case> {
    let most = if level == Level::Change { 20 } else { 100 };
    let counts = [2, 4, 8, 20, 50, 100].into_iter().filter(|count| *count <= most);
    let kinds = [home([]), usual(), home([BoxRules::nat(EI, EI)]), home([BoxRules::FIREWALL])];
    let mut cases: Vec<_> = counts
        .map(|count| {
            let homes = kinds.iter().cycle().take(count).cloned().collect();
            let within = Duration::from_secs(10 + count as u64 / 2);
            fixed(format!("C1:{count}"), homes, meet(within, 2 * TALK), nightly(level, 2, 4))
        })
        .collect();
    let drawn = [(Mix::Kind, 4), (Mix::World, 2), (Mix::World, 4), (Mix::World, 8), (Mix::Harsh, 4)];
    for (mix, count) in drawn {
        cases.extend((0..nightly(level, 3, 40)).map(|n| mixed(mix, count, n)));
    }
    cases.extend((0..nightly(level, 1, 10)).map(|n| mixed(Mix::World, 20, n)));
    cases
}

/// Strangers drawn from a mix of networks. Not everyone can connect to everyone; the oracle says who must, and who must be heard through
/// others.
fn mixed(mix: Mix, count: u64, n: u64) -> Case {
    let draws = Draws::new(n);
    let homes = (0..count).map(|member| {
        let endpoint = mix.endpoint(&draws, member);
        Home { boxes: endpoint.boxes, stack: endpoint.stack, ..home([]) }
    });
    let mut steps = start().to_vec();
    // Who is connected to nobody's friends yet is told of them within 5 s.
    steps.extend([settle(TOLD + CONNECT), after(6_000, Act::Say(Who::All, 0)), settle(2 * TALK)]);
    fixed(format!("C1:{mix:?}:{count}:{n}"), homes.collect(), steps, 1)
        .with(|scenario| scenario.infrastructure.stack = Stack::Dual)
}

/// Two who cannot connect to each other, and members between them who are slow, leave, die and come back.
pub(super) fn between(level: Level) -> Vec<Case> {
    let ends = || vec![home([BoxRules::nat(APD, APD)]), usual()];
    let case = |name: &str, between: usize, happens: Vec<Step>| {
        let homes = [ends(), vec![home([]); between]].concat();
        let mut steps = start().to_vec();
        steps.extend([settle(TOLD), after(6_000, Act::Say(Who::All, 0)), settle(TALK)]);
        steps.extend(happens);
        steps.extend([settle(BACK), after(6_000, Act::Say(Who::All, 0)), settle(2 * TALK)]);
        fixed(format!("C5:{name}"), homes, steps, nightly(level, 2, 8))
    };
    let (third, ends_say) = (Who::One(2), [0, 1].map(|n| now(Act::Say(Who::One(n), 0))));
    let slow = Law { rate: Some(Rate { bits_per_second: 64_000, queue: 16_000 }), ..Law::delay(800) };
    let relink = fault(1, now(Act::Relink(third, LinkRules::both(slow))));
    let [say_one, say_other] = ends_say;
    let among_foes = |name: &str, insiders: Vec<Mischief>| {
        case(name, 1, vec![say_one, say_other, after(30_000, Act::Say(Who::All, 0))])
            .with(|scenario| scenario.infrastructure.insiders = insiders)
    };
    vec![
        // One who passes on is honest, and others who do pass on what they please.
        among_foes("liar", vec![Mischief::Liar]),
        among_foes("two-faced", vec![Mischief::TwoFaced]),
        among_foes("foes", Mischief::ALL.map(|(_, mischief)| mischief).into()),
        case("stays", 1, vec![say_one, say_other]),
        case("slow", 1, vec![relink, say_one, say_other]),
        case("leaves", 2, vec![fault(1, now(Act::Leave(third, 0))), say_one, say_other]),
        case("dies", 2, vec![fault(1, now(Act::Crash(third))), say_one, say_other]),
        case(
            "dies-and-returns",
            1,
            vec![
                fault(1, now(Act::Crash(third))),
                say_one,
                say_other,
                fault(1, after(20_000, Act::Start(third))),
                fault(1, now(Act::Join(third, 0))),
            ],
        ),
    ]
}

pub(super) fn churn(level: Level) -> Vec<Case> {
    let seeds = nightly(level, 2, 8);
    let mut crowd = Vec::new();
    for n in 0..12 {
        crowd.extend([
            after(if n == 0 { 0 } else { 8 }, Act::Start(Who::One(n))),
            now(Act::Join(Who::One(n), 0)),
        ]);
    }
    crowd.extend([settle(4 * CONNECT), say(), settle(2 * TALK)]);
    let rolling = (0..6).flat_map(|n| {
        let who = Who::One(n);
        [
            fault(n, after(3_000, Act::Crash(who))),
            fault(n, after(1_500, Act::Start(who))),
            fault(n, now(Act::Join(who, 0))),
        ]
    });
    let leaving = (0..6).flat_map(|n| {
        let who = Who::One(n);
        [fault(n, after(2_000, Act::Leave(who, 0))), fault(n, after(1_500, Act::Join(who, 0)))]
    });
    vec![
        fixed("C2:crowd", vec![usual(); 12], crowd, seeds),
        fixed("C2:rolling", vec![usual(); 6], meet_and(rolling, BACK), seeds),
        fixed("C2:leaving", vec![usual(); 6], meet_and(leaving, BACK), seeds),
    ]
}

pub(super) fn restarts(level: Level) -> Vec<Case> {
    let mut cases = vec![
        drawn("restart", nightly(level, 60, 1_000)),
        drawn("saved", nightly(level, 2, 50)),
        drawn("lost-write", nightly(level, 1, 20)),
    ];
    for down in [0, 200, 5_000, 40_000, 120_000] {
        let who = Who::One(0);
        let happens = [
            fault(1, after(3_000, Act::Crash(who))),
            fault(1, after(down, Act::Start(who))),
            fault(1, now(Act::Join(who, 0))),
        ];
        let steps = meet_and(happens, BACK);
        cases.push(fixed(format!("C3:{down}ms"), vec![usual(); 3], steps, nightly(level, 2, 8)));
    }
    // An earlier run of the same identity goes on elsewhere, while the later one is there, and while it is started anew.
    let who = Who::One(0);
    for (name, down) in
        [("twin", None), ("twin-and-restart", Some(1_000)), ("twin-and-long-restart", Some(60_000))]
    {
        let mut happens = vec![fault(1, after(3_000, Act::Twin(who)))];
        happens.extend([after(20_000, Act::Say(Who::All, 0)), after(20_000, Act::Say(Who::All, 0))]);
        if let Some(down) = down {
            happens.extend([
                fault(2, now(Act::Crash(who))),
                fault(2, after(down, Act::Start(who))),
                fault(2, now(Act::Join(who, 0))),
            ]);
        }
        for homes in [vec![usual(); 3], vec![home([]); 3]] {
            let steps = meet_and(happens.clone(), BACK);
            cases.push(fixed(format!("C3:{name}"), homes, steps, nightly(level, 2, 8)));
        }
    }
    // Who is killed and does not come back is gone within 45 s.
    let steps = meet_and([fault(1, after(3_000, Act::Crash(Who::One(0))))], BACK);
    cases.push(fixed("C3:dead", vec![usual(); 3], steps, nightly(level, 2, 8)));
    cases
}

pub(super) fn partitions(level: Level) -> Vec<Case> {
    let seeds = nightly(level, 2, 8);
    let sever = |n, a: u16, b: u16| fault(n, now(Act::Sever(Who::One(a), Who::One(b))));
    let wait = |millis| fault(0, after(millis, Act::Rejoin(Who::One(0), Who::One(0))));
    let mut cases = Vec::new();
    for seconds in [1, 10, 60, 300] {
        for (name, cut) in [
            ("isolate", vec![(0, 1), (0, 2), (0, 3)]),
            ("halves", vec![(0, 2), (0, 3), (1, 2), (1, 3)]),
            ("pair", vec![(0, 1)]),
        ] {
            let mut happens: Vec<_> = cut.iter().map(|(a, b)| sever(0, *a, *b)).collect();
            happens.extend([
                wait(seconds * 1_000),
                fault(0, now(Act::Heal)),
                after(5_000, Act::Say(Who::All, 0)),
            ]);
            let steps = meet_and(happens, Duration::from_secs(60));
            cases.push(fixed(format!("C4:{name}:{seconds}s"), vec![usual(); 4], steps, seeds));
        }
    }
    let flapping = (0..10).flat_map(|n| [sever(n, 0, 1), wait(4_000), fault(n, now(Act::Heal)), wait(4_000)]);
    cases.push(drawn("one-way", seeds));
    cases.push(fixed("C4:flapping", vec![usual(); 3], meet_and(flapping, Duration::from_secs(60)), seeds));
    cases
}

/// Days of little: quiet ones, one with a word every hour, and one behind NATs that forget after half a minute.
pub(super) fn soak(_: Level) -> Vec<Case> {
    let quiet = |hours: u64| after(hours * 3_600_000, Act::Settle(Duration::from_secs(30)));
    let case = |members: usize| {
        let steps = meet_and([quiet(12), say(), settle(2 * TALK), quiet(12)], Duration::from_secs(30));
        fixed(format!("K1:{members}"), vec![usual(); members], steps, 2)
    };
    let mut cases: Vec<_> = [2, 4, 8].into_iter().map(case).collect();
    let short = NatRules { lifetime: Duration::from_secs(30), ..NatRules::new(EI, APD) };
    let chatter = (0..24).flat_map(|_| [after(3_600_000, Act::Say(Who::All, 0)), settle(2 * TALK)]);
    let homes = vec![home([BoxRules::Nat(short)]), usual(), home([])];
    cases.push(fixed("K1:chatter", homes, meet_and(chatter, Duration::from_secs(30)), 2));
    cases
}

pub(super) fn storms(level: Level) -> Vec<Case> {
    vec![drawn("storm", nightly(level, 200, 20_000)), drawn("gale", nightly(level, 2, 1_000))]
}

pub(super) fn late_storms(level: Level) -> Vec<Case> {
    let case = |name, seeds| Case { what: What::DrawnLately(name), seeds };
    vec![case("storm", nightly(level, 50, 20_000)), case("gale", nightly(level, 1, 1_000))]
}
