use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::*;
use crate::engine::Chance;
use crate::net::{Behavior, BoxRules, DropReason, Hairpin, Law, Loss, NatRules, Why};

const PORT: u16 = 4_000;

/// Sends a numbered datagram every 10 ms to one endpoint, and notes what comes; answers what is not an answer.
#[derive(Default)]
struct Echo {
    to: Option<SocketAddr>,
    next: Option<Time>,
    sent: u64,
    heard: Vec<(Time, Vec<u8>)>,
}

impl Host for Echo {
    fn start(&mut self, cx: &mut HostCx<'_>) {
        self.next = self.to.map(|_| cx.now + Duration::from_millis(10));
    }

    fn handle_datagram(&mut self, cx: &mut HostCx<'_>, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        self.heard.push((cx.now, bytes.to_vec()));
        if self.to.is_none() {
            cx.send(to, from, bytes.to_vec());
        }
    }

    fn on_wake(&mut self, cx: &mut HostCx<'_>) {
        if let Some(to) = self.to {
            cx.send((cx.addr(), PORT).into(), to, self.sent.to_be_bytes().to_vec());
            self.sent += 1;
            self.next = Some(cx.now + Duration::from_millis(10));
        }
    }

    fn next_wake(&self) -> Option<Wake> {
        self.next.map(|at| Wake::new(at, "echo"))
    }
}

/// A host on the internet with a link of `millis` each way.
fn open(world: &mut World, millis: u64) -> HostId {
    world.add_host("open", RealmId::INTERNET, LinkRules::both(Law::delay(millis)))
}

fn echo_to(world: &World, host: HostId) -> Echo {
    Echo { to: Some((world.addrs(host)[0], PORT).into()), ..Echo::default() }
}

#[test]
fn a_round_trip_takes_the_delay_of_all_links() {
    let mut world = World::new(0);
    let (a, b) = (open(&mut world, 20), open(&mut world, 5));
    world.start(b, Echo::default());
    world.start(a, echo_to(&world, b));
    world.run_until(Time::from_millis(65));
    let heard = &world.program::<Echo>(a).unwrap().heard;
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].0, Time::from_millis(10 + 50));
    assert!(world.is_conserved() && world.violations().is_empty());
}

#[test]
fn packets_are_conserved_whatever_links_do() {
    let mut world = World::new(3);
    let law = Law {
        jitter: Duration::from_millis(30),
        loss: Loss::Independent(Chance::percent(10)),
        duplicate: Chance::percent(10),
        reorder: Chance::percent(10),
        held: Duration::from_millis(15),
        ..Law::delay(20)
    };
    let a = world.add_host("a", RealmId::INTERNET, LinkRules::both(law));
    let b = world.add_host("b", RealmId::INTERNET, LinkRules::both(law));
    world.start(b, Echo::default());
    world.start(a, echo_to(&world, b));
    for _ in 0..2_000 {
        world.step();
        assert!(world.is_conserved());
    }
    let counts = world.counts();
    assert!(counts.duplicated > 0 && counts.dropped_for(DropReason::Lost) > 0, "{counts:?}");
}

#[test]
fn a_seed_is_a_run() {
    let hash = |seed| {
        let mut world = World::new(seed);
        let law = Law { loss: Loss::Independent(Chance::percent(20)), ..Law::delay(20) };
        let a = world.add_host("a", RealmId::INTERNET, LinkRules::both(law));
        let b = world.add_host("b", RealmId::INTERNET, LinkRules::both(law));
        world.start(b, Echo::default());
        world.start(a, echo_to(&world, b));
        world.run_until(Time::from_millis(5_000));
        world.trace().hash()
    };
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}

#[test]
fn the_dead_and_the_sleeping_hear_nothing() {
    let mut world = World::new(0);
    let (a, b) = (open(&mut world, 0), open(&mut world, 0));
    world.start(b, Echo::default());
    world.start(a, echo_to(&world, b));
    world.run_until(Time::from_millis(105));
    world.suspend(a);
    world.run_until(Time::from_millis(305));
    assert_eq!(world.program::<Echo>(a).unwrap().sent, 10);
    world.resume(a);
    world.run_until(Time::from_millis(306));
    assert_eq!(world.program::<Echo>(a).unwrap().sent, 11, "woken at once");
    world.kill(b);
    world.run_until(Time::from_millis(400));
    assert!(!world.is_up(b) && world.counts().dropped_for(DropReason::HostDown) > 0);
    assert_eq!(world.with(b, |_: &mut Echo, _| ()), None);
    world.start(b, Echo::default());
    world.run_until(Time::from_millis(500));
    assert!(!world.program::<Echo>(b).unwrap().heard.is_empty());
}

#[test]
fn a_partition_holds_until_healed() {
    let mut world = World::new(0);
    let (a, b) = (open(&mut world, 1), open(&mut world, 1));
    world.start(b, Echo::default());
    world.start(a, echo_to(&world, b));
    world.sever(&[a], &[b]);
    world.run_until(Time::from_millis(500));
    assert!(world.program::<Echo>(b).unwrap().heard.is_empty());
    world.heal();
    world.run_until(Time::from_millis(600));
    assert!(!world.program::<Echo>(b).unwrap().heard.is_empty());
}

/// Breaks the contract: always wants to be woken now.
struct Hot(Time);

impl Host for Hot {
    fn start(&mut self, _: &mut HostCx<'_>) {}
    fn handle_datagram(&mut self, _: &mut HostCx<'_>, _: SocketAddr, _: SocketAddr, _: &[u8]) {}
    fn on_wake(&mut self, cx: &mut HostCx<'_>) {
        self.0 = cx.now;
    }
    fn next_wake(&self) -> Option<Wake> {
        Some(Wake::new(self.0, "hot"))
    }
}

#[test]
fn a_hot_loop_is_reported_and_does_not_hang() {
    let mut world = World::new(0);
    let host = open(&mut world, 0);
    world.start(host, Hot(Time::ZERO));
    world.run_until(Time::from_millis(100));
    assert!(world.violations().len() > 50);
    assert_eq!(world.violations()[0].host, Some(host));
}

#[test]
fn a_false_source_is_a_violation_unless_it_is_meant() {
    let mut world = World::new(0);
    let (a, b) = (open(&mut world, 0), open(&mut world, 0));
    world.start(a, Echo::default());
    world.start(b, Echo::default());
    let (from, to) = (SocketAddr::from(([9, 9, 9, 9], 9)), SocketAddr::from((world.addrs(b)[0], 9)));
    world.with(a, |_: &mut Echo, cx| cx.spoof(from, to, vec![1]));
    world.run_until(Time::from_millis(1));
    assert_eq!(world.program::<Echo>(b).unwrap().heard.len(), 1);
    assert!(world.violations().is_empty());
    world.with(a, |_: &mut Echo, cx| cx.send(from, to, vec![1]));
    assert_eq!(world.violations().len(), 1);
}

/// Tells everyone their external endpoint and, by name, that of others: a STUN server and a rendezvous in one.
#[derive(Default)]
struct Matchmaker(BTreeMap<u8, SocketAddr>);

impl Host for Matchmaker {
    fn start(&mut self, _: &mut HostCx<'_>) {}

    fn handle_datagram(&mut self, cx: &mut HostCx<'_>, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        if let &[b'I', me, other] = bytes {
            self.0.insert(me, from);
            if let Some(found) = self.0.get(&other) {
                cx.send(to, from, format!("P{found}").into_bytes());
            }
        }
    }

    fn on_wake(&mut self, _: &mut HostCx<'_>) {}

    fn next_wake(&self) -> Option<Wake> {
        None
    }
}

/// As little of ICE as can punch: checks to what the matchmaker told and to whoever checks us; an answer counts
/// only from the endpoint that was asked.
struct Puncher {
    me: u8,
    other: u8,
    matchmaker: SocketAddr,
    remotes: BTreeSet<SocketAddr>,
    next: Option<Time>,
    rounds: u32,
    connected: bool,
}

impl Puncher {
    fn from(cx: &HostCx<'_>) -> SocketAddr {
        (cx.addr(), PORT).into()
    }
}

impl Host for Puncher {
    fn start(&mut self, cx: &mut HostCx<'_>) {
        self.on_wake(cx);
    }

    fn handle_datagram(&mut self, cx: &mut HostCx<'_>, _: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        match bytes.split_first() {
            Some((b'P', found)) => {
                let found = std::str::from_utf8(found).ok().and_then(|text| text.parse::<SocketAddr>().ok());
                self.remotes.extend(found);
            }
            Some((b'C', asked)) => {
                self.remotes.insert(from);
                cx.send(Self::from(cx), from, [b"R", asked].concat());
            }
            Some((b'R', asked)) => self.connected |= from.to_string().as_bytes() == asked,
            _ => {}
        }
    }

    fn on_wake(&mut self, cx: &mut HostCx<'_>) {
        self.rounds += 1;
        if self.remotes.is_empty() {
            cx.send(Self::from(cx), self.matchmaker, vec![b'I', self.me, self.other]);
        }
        for remote in self.remotes.iter().take(64) {
            cx.send(Self::from(cx), *remote, format!("C{remote}").into_bytes());
        }
        self.next = (self.rounds < 50).then_some(cx.now + Duration::from_millis(100));
    }

    fn next_wake(&self) -> Option<Wake> {
        self.next.map(|at| Wake::new(at, "punch"))
    }
}

/// Where two punchers live.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
enum Homes {
    /// Each behind its own boxes, outermost first.
    Apart([&'static [BoxRules]; 2]),
    /// Each behind its own first box, both behind one more.
    Shared(BoxRules, [BoxRules; 2]),
    /// Behind one box.
    Together(BoxRules),
}

/// Lets two punchers try, and compares what they achieve with the oracle.
fn punch(seed: u64, homes: Homes) -> Verdict {
    let mut world = World::new(seed);
    let link = LinkRules::both(Law { jitter: Duration::from_millis(5), ..Law::delay(10) });
    let matchmaker = world.add_host("matchmaker", RealmId::INTERNET, link);
    let nest = |world: &mut World, realm, boxes: &[BoxRules]| {
        boxes.iter().fold(realm, |realm, rules| world.add_box(realm, *rules, LinkRules::default()).1)
    };
    let realms = match homes {
        Homes::Apart(boxes) => boxes.map(|boxes| nest(&mut world, RealmId::INTERNET, boxes)),
        Homes::Shared(outer, inner) => {
            let outer = nest(&mut world, RealmId::INTERNET, &[outer]);
            inner.map(|rules| nest(&mut world, outer, &[rules]))
        }
        Homes::Together(rules) => [nest(&mut world, RealmId::INTERNET, &[rules]); 2],
    };
    let hosts = realms.map(|realm| world.add_host("puncher", realm, link));
    let server = (world.addrs(matchmaker)[0], PORT).into();
    world.start(matchmaker, Matchmaker::default());
    for (me, host) in (0..).zip(hosts) {
        let remotes = BTreeSet::new();
        let (other, next, rounds, connected) = (1 - me, None, 0, false);
        world.start(host, Puncher { me, other, matchmaker: server, remotes, next, rounds, connected });
    }
    world.run_until(Time::from_millis(8_000));
    assert!(world.is_conserved());
    let connected = hosts.map(|host| world.program::<Puncher>(host).unwrap().connected);
    let verdict = world.can_connect(hosts[0], hosts[1]);
    let direct = connected == [true, true];
    // In one network they would also try their own addresses, which punchers do not know.
    if !matches!(homes, Homes::Together(_)) {
        assert_eq!(direct, verdict.direct, "{homes:?}: the oracle says {verdict}, they got {connected:?}");
    }
    verdict
}

const ALL: [Behavior; 3] =
    [Behavior::EndpointIndependent, Behavior::AddressDependent, Behavior::AddressAndPortDependent];

/// Open, firewall, blocked, and the nine NATs of RFC 4787.
const KINDS: [&[BoxRules]; 12] = [
    &[],
    &[BoxRules::FIREWALL],
    &[BoxRules::UdpBlocked],
    &[BoxRules::nat(ALL[0], ALL[0])],
    &[BoxRules::nat(ALL[0], ALL[1])],
    &[BoxRules::nat(ALL[0], ALL[2])],
    &[BoxRules::nat(ALL[1], ALL[0])],
    &[BoxRules::nat(ALL[1], ALL[1])],
    &[BoxRules::nat(ALL[1], ALL[2])],
    &[BoxRules::nat(ALL[2], ALL[0])],
    &[BoxRules::nat(ALL[2], ALL[1])],
    &[BoxRules::nat(ALL[2], ALL[2])],
];

#[test]
fn the_oracle_agrees_with_packets_in_every_cell() {
    let mut direct = 0;
    for a in KINDS {
        for b in KINDS {
            direct += u32::from(punch(1, Homes::Apart([a, b])).direct);
        }
    }
    // Blocked hosts reach nobody; the rest is neither all nor nothing.
    assert!((60..121).contains(&direct), "{direct} of 144 pairs are direct");
}

#[test]
fn the_oracle_agrees_with_packets_behind_two_boxes() {
    const USUAL: BoxRules = BoxRules::nat(ALL[0], ALL[2]);
    const STACKS: [&[BoxRules]; 3] = [
        &[BoxRules::nat(ALL[0], ALL[0]), USUAL],
        &[BoxRules::nat(ALL[2], ALL[2]), USUAL],
        &[BoxRules::FIREWALL, BoxRules::nat(ALL[0], ALL[1])],
    ];
    for a in STACKS {
        for b in KINDS.into_iter().chain(STACKS) {
            punch(2, Homes::Apart([a, b]));
        }
    }
}

#[test]
fn the_oracle_agrees_with_packets_behind_one_carrier() {
    let usual = BoxRules::nat(ALL[0], ALL[2]);
    for hairpin in [Hairpin::None, Hairpin::External] {
        for filtering in ALL {
            let carrier = BoxRules::Nat(NatRules { hairpin, ..NatRules::new(ALL[0], filtering) });
            let verdict = punch(3, Homes::Shared(carrier, [usual, usual]));
            assert_eq!(verdict.direct, hairpin == Hairpin::External);
        }
    }
    // Two in one network are found from outside only where packets are sent back in.
    let mirror = BoxRules::Nat(NatRules { hairpin: Hairpin::External, ..NatRules::new(ALL[0], ALL[2]) });
    assert_eq!(punch(3, Homes::Together(usual)).why, Why::Neighbours);
    assert_eq!(punch(3, Homes::Together(mirror)).why, Why::SameNetwork);
}
