//! The scenarios that come with the simulator. What a scenario leaves open is drawn from the seed.

use std::time::Duration;

use thiserror::Error;

use super::script::{Act, Goal, Home, Infrastructure, Scenario, Step, Stun, Who, after, now};
use super::storm::{GENERATION, LATEST, gale, storm};
use crate::engine::{Chance, Draws, Subject};
use crate::net::{Behavior, BoxRules, Gateway, Law, LinkRules, Loss, NatRules, PortRule, Stack};

const EI: Behavior = Behavior::EndpointIndependent;
const AD: Behavior = Behavior::AddressDependent;
const APD: Behavior = Behavior::AddressAndPortDependent;

/// The names of all scenarios, the default first, with what each is about.
pub const NAMES: [(&str, &str); 32] = [
    ("open-four", "four members on open hosts meet and talk"),
    ("nat-four", "four members behind different NATs, of which every pair can connect"),
    ("symmetric", "a symmetric NAT among lenient ones"),
    ("loss-five-percent", "four members at 5 % loss, with jitter and reordering"),
    ("restart", "of two members one or both are killed and come back; which, when and how fast is drawn"),
    ("restart:smaller", "the member with the smaller id is killed and comes back"),
    ("restart:larger", "the member with the larger id is killed and comes back"),
    ("restart:both", "both are killed and come back"),
    ("two-meetings", "meetings never hear each other; two members share two of them over one link"),
    ("forged-peers", "a hostile DHT node names 100 victims to a meeting of twenty"),
    ("fifty-at-once", "fifty members start in the same second"),
    ("first-data", "how soon a pair on a clean 100 ms path talks"),
    ("stun-dead", "no STUN server answers"),
    ("storm", "up to six members behind anything, with faults of all kinds: all of it is drawn"),
    ("both-families", "homes and mobiles with IPv4, IPv6 or both, one with 464XLAT"),
    ("narrow", "a link that passes no more than 576 bytes, and says so"),
    (
        "gale",
        "four to eight members behind anything, and for half an hour no quiet minute: all of it is drawn",
    ),
    ("asleep", "one of three sleeps for two minutes, another is cut off; both come back"),
    (
        "saved",
        "a node starts again with whom its DHT knew, and the nodes through whom everyone enters are gone",
    ),
    ("lost-write", "a power cut while the state is written, a damaged file, a full disk"),
    ("no-way-in", "nobody is told of any DHT node"),
    ("household", "two in one household, and two behind one carrier's NAT that sends nothing back inside"),
    ("hairpin", "households behind one carrier's NAT that sends packets back inside"),
    ("roaming", "a member moves between networks, gets another address, sleeps on the way"),
    ("clocks", "clocks an hour wrong, one that drifts, and jumps of a day"),
    ("midnight", "members come while the meeting's place in the DHT changes"),
    ("liars", "of five STUN servers one tells the truth in time"),
    ("hostile-dht", "a third of the DHT is of no use or lies, and sybils crowd around the topic"),
    ("one-way", "what one sends does not reach another, while the way back is open"),
    ("black-hole", "a path begins to swallow large packets"),
    ("through-members", "some cannot connect to each other, and hear each other through those who can"),
    ("hotel", "networks that let only some packets pass, NAT64, and broken IPv6"),
];

/// Those that are kept as text, with it.
const WRITTEN: [(&str, &str); 14] = [
    ("saved", include_str!("../../scenarios/saved.scn")),
    ("lost-write", include_str!("../../scenarios/lost-write.scn")),
    ("no-way-in", include_str!("../../scenarios/no-way-in.scn")),
    ("household", include_str!("../../scenarios/household.scn")),
    ("hairpin", include_str!("../../scenarios/hairpin.scn")),
    ("roaming", include_str!("../../scenarios/roaming.scn")),
    ("clocks", include_str!("../../scenarios/clocks.scn")),
    ("midnight", include_str!("../../scenarios/midnight.scn")),
    ("liars", include_str!("../../scenarios/liars.scn")),
    ("hostile-dht", include_str!("../../scenarios/hostile-dht.scn")),
    ("one-way", include_str!("../../scenarios/one-way.scn")),
    ("black-hole", include_str!("../../scenarios/black-hole.scn")),
    ("through-members", include_str!("../../scenarios/through-members.scn")),
    ("hotel", include_str!("../../scenarios/hotel.scn")),
];

/// There is no such scenario.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("there is no scenario `{0}`; `moot-sim list` shows those there are")]
pub struct UnknownScenario(pub String);

/// What a scenario is about.
///
/// # Errors
///
/// If there is none of that name.
pub fn about(name: &str) -> Result<&'static str, UnknownScenario> {
    let found = NAMES.iter().find(|(known, _)| *known == name).map(|(_, about)| *about);
    found.ok_or_else(|| UnknownScenario(name.into()))
}

/// A scenario of the library, with what it leaves open drawn from `seed`.
///
/// # Errors
///
/// If there is none of that name.
pub fn find(name: &str, seed: u64) -> Result<Scenario, UnknownScenario> {
    find_as_of(GENERATION, name, seed)
}

/// The same, as another [generation](GENERATION) draws it, up to the [latest](LATEST).
///
/// # Errors
///
/// If there is none of that name, or no such generation.
pub fn find_as_of(generation: u32, name: &str, seed: u64) -> Result<Scenario, UnknownScenario> {
    about(name)?;
    if !(1..=LATEST).contains(&generation) {
        return Err(UnknownScenario(format!("g{generation}/{name}")));
    }
    let draws = Draws::new(seed);
    let mut scenario = match name {
        "open-four" => open_four(),
        "nat-four" => nat_four(),
        "symmetric" => symmetric(),
        "loss-five-percent" => loss_five_percent(),
        "restart:smaller" => restart(&draws, 0),
        "restart:larger" => restart(&draws, 1),
        "restart:both" => restart(&draws, 2),
        "restart" => restart(&draws, seed % 3),
        "two-meetings" => two_meetings(),
        "forged-peers" => forged_peers(&draws),
        "fifty-at-once" => fifty_at_once(&draws),
        "first-data" => first_data(),
        "stun-dead" => stun_dead(),
        "storm" => storm(&draws, generation),
        "both-families" => both_families(),
        "narrow" => narrow(),
        "gale" => gale(&draws, generation),
        "asleep" => asleep(),
        _ => written(name).ok_or_else(|| UnknownScenario(name.into()))?,
    };
    scenario.name = name.into();
    Ok(scenario)
}

/// One that is kept as text.
fn written(name: &str) -> Option<Scenario> {
    let (_, text) = WRITTEN.iter().find(|(known, _)| *known == name)?;
    text.parse().ok()
}

/// The usual infrastructure, and the given homes.
fn world(homes: Vec<Home>, steps: Vec<Step>) -> Scenario {
    let (name, note, goals) = (String::new(), String::new(), Vec::new());
    let sites = Vec::new();
    Scenario { name, note, sites, homes, infrastructure: Infrastructure::usual(), steps, goals }
}

/// The same for a scenario that is not of the library.
pub(super) fn surroundings(homes: Vec<Home>, steps: Vec<Step>) -> Scenario {
    world(homes, steps)
}

/// An ordinary link at home.
fn home() -> Law {
    Law { jitter: Duration::from_millis(4), ..Law::delay(12) }
}

/// Everyone starts, joins meeting 0 and, once connected, says something.
fn meet_and_talk(within: Duration) -> Vec<Step> {
    vec![
        now(Act::Start(Who::All)),
        now(Act::Join(Who::All, 0)),
        now(Act::Settle(within)),
        now(Act::Say(Who::All, 0)),
        after(5, Act::Say(Who::All, 0)),
        now(Act::Settle(Duration::from_secs(5))),
        after(2_000, Act::Settle(Duration::ZERO)),
    ]
}

fn open_four() -> Scenario {
    world(vec![Home::open(home()); 4], meet_and_talk(Duration::from_secs(5)))
}

fn nat_four() -> Scenario {
    let preserving = BoxRules::Nat(NatRules {
        ports: PortRule::Preserve,
        inbound_refresh: true,
        ..NatRules::new(EI, APD)
    });
    let homes = vec![
        Home::behind([BoxRules::nat(EI, EI)], home()),
        Home::behind([BoxRules::nat(EI, AD)], home()),
        Home::behind([preserving], home()),
        // A home router behind a carrier's NAT.
        Home::behind([BoxRules::nat(EI, APD), BoxRules::nat(EI, EI)], home()),
    ];
    world(homes, meet_and_talk(Duration::from_secs(10)))
}

fn both_families() -> Scenario {
    let strict = BoxRules::nat(APD, APD);
    let router = |v4| Gateway::new(v4).with_v6(BoxRules::FIREWALL);
    // Of two behind symmetric NATs only those with IPv6 can connect; who has only one family reaches who has that.
    let homes = vec![
        Home::behind([router(strict)], home()).with_stack(Stack::Dual),
        Home::behind([router(strict)], home()).with_stack(Stack::Dual),
        Home::behind([strict], home()),
        Home::behind([router(BoxRules::nat(EI, APD))], home()).with_stack(Stack::V6),
        Home::behind([Gateway::CLAT, Gateway::nat64(strict, BoxRules::FIREWALL)], home())
            .with_stack(Stack::Dual),
        Home::open(home()),
    ];
    // Where both are behind filters, each has to have found the other in the DHT before either is heard.
    let mut scenario = world(homes, meet_and_talk(Duration::from_secs(30)));
    scenario.infrastructure.stack = Stack::Dual;
    scenario
}

fn narrow() -> Scenario {
    let law = Law { mtu: Some(576), icmp: true, ..home() };
    let homes = vec![Home::behind([BoxRules::nat(EI, APD)], law), Home::open(home()), Home::open(home())];
    world(homes, meet_and_talk(Duration::from_secs(15)))
}

fn symmetric() -> Scenario {
    let homes = vec![
        Home::behind([BoxRules::nat(APD, APD)], home()),
        Home::behind([BoxRules::nat(EI, AD)], home()),
        Home::behind([BoxRules::nat(EI, EI)], home()),
        Home::open(home()),
    ];
    world(homes, meet_and_talk(Duration::from_secs(10)))
}

fn loss_five_percent() -> Scenario {
    // A packet between two members passes one lossy direction.
    let down = Law {
        jitter: Duration::from_millis(10),
        loss: Loss::Independent(Chance::percent(5)),
        reorder: Chance::percent(1),
        held: Duration::from_millis(20),
        ..home()
    };
    let lossy = Home { link: LinkRules { up: home(), down }, ..Home::open(home()) };
    world(vec![lossy; 4], {
        let mut steps = meet_and_talk(Duration::from_secs(15));
        steps.insert(5, now(Act::Settle(Duration::from_secs(15))));
        steps
    })
}

fn restart(draws: &Draws, variant: u64) -> Scenario {
    let draw = |n, bound| draws.below(Subject::Scenario(0), n, bound);
    let (victims, witness): (&[Who], _) = match variant {
        0 => (&[Who::Smaller], Some(Who::Larger)),
        1 => (&[Who::Larger], Some(Who::Smaller)),
        _ => (&[Who::Smaller, Who::Larger], None),
    };
    let mut steps = vec![
        now(Act::Start(Who::All)),
        now(Act::Join(Who::All, 0)),
        now(Act::Settle(Duration::from_secs(5))),
        now(Act::Say(Who::All, 0)),
        now(Act::Settle(Duration::from_secs(2))),
    ];
    // Down for 100 ms to 1 s, after up to 20 s of quiet; in both variants of one the other goes on talking.
    let quiet = draw(0, 20_000);
    steps.extend((0..).zip(victims).map(|(n, who)| after(if n == 0 { quiet } else { 0 }, Act::Crash(*who))));
    let down = 100 + draw(1, 900);
    let said = draw(2, down);
    match witness {
        Some(witness) => steps.extend([
            after(said, Act::Say(witness, 0)),
            after(down - said, Act::Start(victims[0])),
            now(Act::Join(victims[0], 0)),
        ]),
        None => steps.extend([
            after(said, Act::Start(Who::Smaller)),
            now(Act::Join(Who::Smaller, 0)),
            after(down - said, Act::Start(Who::Larger)),
            now(Act::Join(Who::Larger, 0)),
        ]),
    }
    steps.extend([
        now(Act::Settle(Duration::from_secs(3))),
        now(Act::Say(Who::All, 0)),
        now(Act::Settle(Duration::from_secs(2))),
        after(15_000, Act::Settle(Duration::ZERO)),
    ]);
    let law = Law { jitter: Duration::from_millis(4), ..Law::delay(2 + draw(3, 38)) };
    world(vec![Home::open(law); 2], steps)
}

fn two_meetings() -> Scenario {
    let mut steps = vec![now(Act::Start(Who::All))];
    let memberships = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (3, 1)];
    steps.extend(memberships.map(|(who, meeting)| now(Act::Join(Who::One(who), meeting))));
    steps.push(now(Act::Settle(Duration::from_secs(5))));
    steps.extend(memberships.map(|(who, meeting)| now(Act::Say(Who::One(who), meeting))));
    steps.extend([now(Act::Settle(Duration::from_secs(2))), after(30_000, Act::Settle(Duration::ZERO))]);
    let mut scenario = world(vec![Home::open(Law::delay(15)); 4], steps);
    // 0-1 over one link for both meetings; 0-2, 1-2 for the first; 0-3, 1-3 for the second.
    scenario.goals.push(Goal::Handshakes(5));
    scenario
}

fn forged_peers(draws: &Draws) -> Scenario {
    const MEMBERS: u64 = 20;
    const VICTIMS: u64 = 100;
    let mut steps = Vec::new();
    start_within(draws, MEMBERS as u16, 5_000, &mut steps);
    steps.extend([
        now(Act::Settle(Duration::from_secs(20))),
        now(Act::Say(Who::One(0), 0)),
        now(Act::Settle(Duration::from_secs(3))),
        after(60_000, Act::Settle(Duration::ZERO)),
    ]);
    let mut scenario = world(vec![Home::open(home()); MEMBERS as usize], steps);
    scenario.infrastructure.forged_victims = VICTIMS as u32;
    // Four tries an address and member, however often it is named.
    scenario.goals.push(Goal::Victims { each: 4 * MEMBERS, total: 4 * MEMBERS * VICTIMS });
    scenario
}

fn fifty_at_once(draws: &Draws) -> Scenario {
    let mut steps = Vec::new();
    start_within(draws, 50, 1_000, &mut steps);
    steps.extend([
        now(Act::Settle(Duration::from_secs(30))),
        now(Act::Say(Who::All, 0)),
        now(Act::Settle(Duration::from_secs(10))),
    ]);
    let mut scenario = world(vec![Home::open(home()); 50], steps);
    scenario.infrastructure.dht_nodes = 32;
    scenario
}

/// Members start and join at drawn moments within `millis` milliseconds.
fn start_within(draws: &Draws, members: u16, millis: u64, steps: &mut Vec<Step>) {
    let mut starts: Vec<_> =
        (0..members).map(|n| (draws.below(Subject::Scenario(1), u64::from(n), millis), n)).collect();
    starts.sort_unstable();
    let mut last = 0;
    for (at, n) in starts {
        steps.extend([after(at - last, Act::Start(Who::One(n))), now(Act::Join(Who::One(n), 0))]);
        last = at;
    }
}

fn first_data() -> Scenario {
    // 25 ms a direction and link: 100 ms there and back.
    let rtt = Duration::from_millis(100);
    let allowance = Duration::from_millis(20);
    let mut scenario = world(vec![Home::open(Law::delay(25)); 2], meet_and_talk(Duration::from_secs(5)));
    let (to_server, to_client) = (rtt * 5 / 2 + allowance, rtt * 3 + allowance);
    scenario.goals.push(Goal::FirstData { to_server, to_client });
    scenario
}

fn stun_dead() -> Scenario {
    let homes = vec![
        Home::behind([BoxRules::nat(EI, APD)], home()),
        Home::behind([BoxRules::nat(EI, AD)], home()),
        Home::open(home()),
    ];
    let mut scenario = world(homes, meet_and_talk(Duration::from_secs(10)));
    // STUN gives up after 10 s.
    scenario.steps.push(after(15_000, Act::Settle(Duration::ZERO)));
    scenario.infrastructure.stun = vec![Stun::Dead; 2];
    scenario.goals.push(Goal::StunWarning);
    scenario
}

fn asleep() -> Scenario {
    let mut steps = meet_and_talk(Duration::from_secs(5));
    steps.extend([
        now(Act::Suspend(Who::One(0))),
        after(500, Act::Say(Who::One(1), 0)),
        after(500, Act::Sever(Who::One(1), Who::One(2))),
        after(119_000, Act::Say(Who::One(2), 0)),
        now(Act::Resume(Who::One(0))),
        after(10_000, Act::Heal),
        // Who was given up is looked for ever more rarely, unless it is heard of: here by what the third passes on.
        now(Act::Say(Who::All, 0)),
        now(Act::Settle(Duration::from_secs(30))),
        now(Act::Say(Who::All, 0)),
        now(Act::Settle(Duration::from_secs(5))),
    ]);
    world(vec![Home::open(home()); 3], steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_scenario_that_prints_as_one_line() {
        for (name, about) in NAMES {
            let scenario = find(name, 7).unwrap();
            assert_eq!((scenario.name.as_str(), super::about(name)), (name, Ok(about)));
            let line = scenario.to_string();
            assert!(line.starts_with(&format!("scenario {name}; ")) && !line.contains('\n'), "{line}");
            assert_eq!(line.parse().as_ref(), Ok(&scenario));
            assert_eq!(scenario.to_text().parse().as_ref(), Ok(&scenario));
            assert_eq!(find(name, 7), Ok(scenario), "a scenario is a function of its seed");
        }
        assert_eq!(find("nonsense", 0), Err(UnknownScenario("nonsense".into())));
    }

    #[test]
    fn what_is_kept_as_text_says_its_name() {
        for (name, text) in WRITTEN {
            let flaw = |flaw| panic!("scenarios/{name}.scn: {flaw}");
            let written = Scenario::parse(text).unwrap_or_else(flaw).scenario;
            assert_eq!(written.name, name);
            assert!(text.starts_with("# "), "{name} does not say what it is about");
        }
    }

    #[test]
    fn seeds_vary_what_is_left_open() {
        let lines: std::collections::BTreeSet<_> =
            (0..30).map(|seed| find("restart", seed).unwrap().to_string()).collect();
        assert!(lines.len() > 25);
    }
}
