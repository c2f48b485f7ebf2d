//! What the network does to packets of programs: both families, sizes, multicast, moves and partitions.

use std::net::SocketAddr;

use folkmoot_core::base::Wake;
use folkmoot_sim::net::{
    Behavior, BoxRules, DropReason, Gateway, Hairpin, Law, LinkRules, NatRules, Policy, RealmId, Stack,
};
use folkmoot_sim::{Host, HostCx, HostId, World};

const PORT: u16 = 4_000;
const USUAL: BoxRules = BoxRules::nat(Behavior::EndpointIndependent, Behavior::AddressAndPortDependent);

/// Answers a datagram that ends in `?` with the same that ends in `!`, and remembers all that came.
#[derive(Debug, Default)]
struct Echo {
    heard: Vec<(SocketAddr, usize, bool)>,
    moves: usize,
}

impl Host for Echo {
    fn start(&mut self, _: &mut HostCx<'_>) {}

    fn handle_datagram(&mut self, cx: &mut HostCx<'_>, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        let is_question = bytes.ends_with(b"?");
        self.heard.push((from, bytes.len(), is_question));
        if is_question && !to.ip().is_multicast() {
            let mut answer = bytes.to_vec();
            answer.pop();
            answer.push(b'!');
            cx.send(to, from, answer);
        }
    }

    fn on_addresses(&mut self, _: &mut HostCx<'_>) {
        self.moves += 1;
    }

    fn on_wake(&mut self, _: &mut HostCx<'_>) {}

    fn next_wake(&self) -> Option<Wake> {
        None
    }
}

fn link() -> LinkRules {
    LinkRules::both(Law::delay(10))
}

fn host(world: &mut World, name: &str, realm: RealmId, stack: Stack) -> HostId {
    let host = world.add_stacked(name, realm, link(), stack);
    world.start(host, Echo::default());
    host
}

/// Asks from `host` and waits for what comes; whether an answer did.
fn ask(world: &mut World, host: HostId, to: SocketAddr, size: usize) -> bool {
    let answers = |world: &World| {
        world.program::<Echo>(host).unwrap().heard.iter().filter(|(_, _, question)| !question).count()
    };
    let before = answers(world);
    world.with::<Echo, ()>(host, |_, cx| {
        let mut bytes = vec![b'.'; size];
        bytes.push(b'?');
        if let Some(ip) = cx.addr_towards(to) {
            cx.send((ip, PORT).into(), to, bytes);
        }
    });
    world.run_for(std::time::Duration::from_secs(1));
    assert!(world.is_conserved() && world.violations().is_empty(), "{:?}", world.violations());
    answers(world) > before
}

fn at(world: &World, host: HostId, v4: bool) -> SocketAddr {
    let ip = world.addrs(host).iter().find(|ip| ip.is_ipv4() == v4).copied();
    (ip.expect("an address of that family"), PORT).into()
}

#[test]
fn both_families_where_both_are() {
    let mut world = World::new(1);
    let server = host(&mut world, "server", RealmId::INTERNET, Stack::Dual);
    let (v4, v6) = (at(&world, server, true), at(&world, server, false));
    let home = Gateway::new(USUAL).with_v6(BoxRules::FIREWALL);
    let (_, home) = world.add_box(RealmId::INTERNET, home, LinkRules::default());
    let (_, old) = world.add_box(RealmId::INTERNET, USUAL, LinkRules::default());
    let dual = host(&mut world, "dual", home, Stack::Dual);
    let only_v4 = host(&mut world, "v4", old, Stack::Dual);
    let only_v6 = host(&mut world, "v6", home, Stack::V6);
    assert!(ask(&mut world, dual, v4, 10) && ask(&mut world, dual, v6, 10));
    assert!(ask(&mut world, only_v4, v4, 10) && !ask(&mut world, only_v4, v6, 10));
    assert!(ask(&mut world, only_v6, v6, 10) && !ask(&mut world, only_v6, v4, 10));
    // IPv6 is not translated, but filtered: a stranger is not heard, and one who was asked is.
    let inside = at(&world, dual, false);
    assert!(ask(&mut world, server, inside, 10), "the server was asked");
    let stranger = host(&mut world, "stranger", RealmId::INTERNET, Stack::Dual);
    assert!(!ask(&mut world, stranger, inside, 10));
    let neighbour = at(&world, only_v6, false);
    assert!(ask(&mut world, dual, neighbour, 10), "within a network nothing is filtered");
}

#[test]
fn an_ipv6_network_reaches_ipv4_through_464xlat() {
    let mut world = World::new(1);
    let server = host(&mut world, "server", RealmId::INTERNET, Stack::V4);
    let v4 = at(&world, server, true);
    let mobile = Gateway::nat64(
        BoxRules::nat(Behavior::AddressAndPortDependent, Behavior::AddressAndPortDependent),
        BoxRules::Router,
    );
    let (_, mobile) = world.add_box(RealmId::INTERNET, mobile, LinkRules::default());
    let (_, phone) = world.add_box(mobile, Gateway::CLAT, LinkRules::default());
    let with_clat = host(&mut world, "with", phone, Stack::Dual);
    let without = host(&mut world, "without", mobile, Stack::Dual);
    assert_eq!(world.addrs(with_clat).len(), 2);
    assert_eq!(world.addrs(without).len(), 1, "there is no IPv4 in there");
    assert!(ask(&mut world, with_clat, v4, 10));
    assert!(!ask(&mut world, without, v4, 10));
    let embedded: SocketAddr = match v4 {
        SocketAddr::V4(v4) => format!("[64:ff9b::{}]:{}", v4.ip(), v4.port()).parse().unwrap(),
        SocketAddr::V6(_) => unreachable!(),
    };
    assert!(ask(&mut world, without, embedded, 10));
    let seen = world.program::<Echo>(server).unwrap().heard.iter().map(|(from, ..)| from.ip());
    assert_eq!(seen.collect::<std::collections::BTreeSet<_>>().len(), 1, "both come from the NAT64");
}

#[test]
fn large_packets_on_a_narrow_link() {
    let narrow = |icmp| LinkRules::both(Law { mtu: Some(1_280), icmp, ..Law::delay(10) });
    for icmp in [true, false] {
        let mut world = World::new(1);
        let server = host(&mut world, "server", RealmId::INTERNET, Stack::V4);
        let to = at(&world, server, true);
        let client = world.add_host("client", RealmId::INTERNET, narrow(icmp));
        world.start(client, Echo::default());
        assert!(ask(&mut world, client, to, 1_251), "1,252 and 28 bytes of headers just pass");
        assert!(!ask(&mut world, client, to, 1_252), "the first large one is lost");
        assert!(!ask(&mut world, client, to, 1_252), "the way back has to learn it too");
        assert_eq!(ask(&mut world, client, to, 1_252), icmp);
        let reason = if icmp { DropReason::TooBig } else { DropReason::BlackHole };
        assert!(world.counts().dropped_for(reason) > 0);
    }
}

#[test]
fn a_box_may_drop_fragments() {
    let mut world = World::new(1);
    let server = host(&mut world, "server", RealmId::INTERNET, Stack::V4);
    let to = at(&world, server, true);
    let whole = Gateway::new(USUAL).with_policy(Policy { fragments: false, ..Policy::NONE });
    let (_, home) = world.add_box(RealmId::INTERNET, whole, LinkRules::default());
    let narrow = LinkRules::both(Law { mtu: Some(576), icmp: true, ..Law::delay(10) });
    let client = world.add_host("client", home, narrow);
    world.start(client, Echo::default());
    assert!(!(0..3).any(|_| ask(&mut world, client, to, 1_000)));
    assert!(world.counts().dropped_for(DropReason::Fragment) > 0);
}

#[test]
fn multicast_stays_in_its_network() {
    let mut world = World::new(1);
    let (_, home) = world.add_box(RealmId::INTERNET, USUAL, LinkRules::default());
    let hosts: Vec<_> = (0..3).map(|n| host(&mut world, &format!("h{n}"), home, Stack::V4)).collect();
    let outside = host(&mut world, "outside", RealmId::INTERNET, Stack::V4);
    ask(&mut world, hosts[0], "224.0.0.251:5353".parse().unwrap(), 10);
    let heard: Vec<_> = hosts
        .iter()
        .chain([&outside])
        .map(|host| world.program::<Echo>(*host).unwrap().heard.len())
        .collect();
    assert_eq!(heard, [0, 1, 1, 0]);
}

#[test]
fn a_machine_moves() {
    let mut world = World::new(1);
    let server = host(&mut world, "server", RealmId::INTERNET, Stack::Dual);
    let to = at(&world, server, true);
    let (_, home) = world.add_box(RealmId::INTERNET, USUAL, LinkRules::default());
    let mover = host(&mut world, "mover", RealmId::INTERNET, Stack::Dual);
    let before = world.addrs(mover).to_vec();
    assert!(ask(&mut world, mover, to, 10));
    world.unplug(mover);
    assert!(world.addrs(mover).is_empty() && !ask(&mut world, mover, to, 10));
    let old = SocketAddr::new(before[0], PORT);
    assert!(!ask(&mut world, server, old, 10), "nobody is there any more");
    world.move_host(mover, home, Stack::Dual);
    assert!(ask(&mut world, mover, to, 10));
    assert!(world.addrs(mover).iter().all(|ip| !before.contains(ip)));
    assert_eq!(world.program::<Echo>(mover).unwrap().moves, 2);
}

#[test]
fn a_router_is_renumbered_under_its_hosts() {
    let mut world = World::new(1);
    let server = host(&mut world, "server", RealmId::INTERNET, Stack::V4);
    let to = at(&world, server, true);
    let (router, home) = world.add_box(RealmId::INTERNET, USUAL, LinkRules::default());
    let client = host(&mut world, "client", home, Stack::V4);
    assert!(ask(&mut world, client, to, 10));
    world.network().renumber(router);
    let first = world.program::<Echo>(server).unwrap().heard[0].0;
    assert!(!ask(&mut world, server, first, 10), "the old mapping is gone");
    assert!(ask(&mut world, client, to, 10));
    let last = world.program::<Echo>(server).unwrap().heard.last().unwrap().0;
    assert_ne!(first.ip(), last.ip());
    assert_eq!(world.program::<Echo>(client).unwrap().moves, 0, "the host is not told");
}

#[test]
fn partitions_may_be_one_way() {
    let mut world = World::new(1);
    let [a, b] = ["a", "b"].map(|name| host(&mut world, name, RealmId::INTERNET, Stack::V4));
    world.sever_one_way(&[a], &[b]);
    let [to_a, to_b] = [a, b].map(|host| at(&world, host, true));
    assert!(!ask(&mut world, a, to_b, 10));
    assert!(world.program::<Echo>(b).unwrap().heard.is_empty());
    assert!(!ask(&mut world, b, to_a, 10));
    assert_eq!(world.program::<Echo>(a).unwrap().heard.len(), 1, "heard, but the answer is lost");
    world.heal();
    assert!(ask(&mut world, a, to_b, 10));
}

#[test]
fn two_behind_one_nat64_meet_at_its_outside() {
    let mut world = World::new(1);
    let nat = NatRules {
        hairpin: Hairpin::External,
        ..NatRules::new(Behavior::EndpointIndependent, Behavior::EndpointIndependent)
    };
    let mobile = Gateway::nat64(BoxRules::Nat(nat), BoxRules::UdpBlocked);
    let (_, mobile) = world.add_box(RealmId::INTERNET, mobile, LinkRules::default());
    let phones = [0, 1].map(|_| world.add_box(mobile, Gateway::CLAT, LinkRules::default()).1);
    let server = host(&mut world, "server", RealmId::INTERNET, Stack::V4);
    let hosts = phones.map(|realm| host(&mut world, "phone", realm, Stack::V4));
    let to = at(&world, server, true);
    assert!(hosts.iter().all(|host| ask(&mut world, *host, to, 10)));
    let first = world.program::<Echo>(server).unwrap().heard[0].0;
    assert!(ask(&mut world, hosts[1], first, 10));
}

#[test]
fn clocks_are_each_machines_own() {
    use folkmoot_sim::engine::Clock;
    let mut world = World::new(1);
    let [a, b] = ["a", "b"].map(|name| host(&mut world, name, RealmId::INTERNET, Stack::V4));
    world.set_clock(a, Clock { ahead_ms: 86_400_000, drift_ppm: 500 });
    world.run_for(std::time::Duration::from_secs(1_000));
    assert_eq!(world.unix_at(b), world.unix());
    assert_eq!(world.unix_at(a).as_millis() - world.unix().as_millis(), 86_400_000 + 500);
    let seen = world.with::<Echo, _>(a, |_, cx| cx.unix).unwrap();
    assert_eq!(seen, world.unix_at(a));
}
