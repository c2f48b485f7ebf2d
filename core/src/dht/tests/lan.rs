//! Entering by whoever is on the local network.

use super::*;

fn on_lan(world: &mut World, last: u8, mode: Mode) -> usize {
    let addr = ([192, 168, 1, last], 6_000 + u16::from(last)).into();
    world.add(addr, Config { lan: true, mode, ..Config::default() })
}

fn nodes(world: &World, host: usize) -> usize {
    world.hosts[host].dht.stats().nodes_v4
}

/// Answers the last question to the group as `from`.
fn answer(world: &mut World, from: &str) {
    let mut questions = world.strays.iter().filter(|(_, to, _)| *to == LAN_GROUP);
    let (_, _, question) = questions.next_back().expect("asked").clone();
    let tid = Message::parse(&question).unwrap().tid;
    let body = Body::Response(Response { id: NodeId([9; 20]), ..Response::default() });
    let bytes = Message { tid, version: None, capabilities: Capabilities::NONE, body }.encode();
    world.deliver(0, from.parse().unwrap(), &bytes);
}

fn is_asked(world: &World, addr: &str) -> bool {
    world.strays.iter().any(|(_, to, _)| *to == addr.parse().unwrap())
}

#[test]
fn those_on_one_network_need_no_host_to_enter_by() {
    let mut world = World::new(81);
    let first = on_lan(&mut world, 10, Mode::Auto);
    world.run(secs(100));
    let silence = Event::BootstrapSilent { asked: 0, remembered: 0 };
    let told = world.hosts[first].events.iter().filter(|(_, event)| *event == silence);
    assert_eq!(told.count(), 1, "nobody was there, which is told once");
    let asked = world.strays.iter().filter(|(_, to, _)| *to == LAN_GROUP).count();
    assert!((6..=12).contains(&asked), "ever more rarely: {asked}");
    // A guest finds the one that was there before; so does a node that stays, and both know each other then.
    let guest = on_lan(&mut world, 11, Mode::ReadOnly);
    world.run(Duration::from_millis(500));
    assert_eq!((nodes(&world, guest), nodes(&world, first)), (1, 0));
    let second = on_lan(&mut world, 12, Mode::Auto);
    world.run(Duration::from_millis(500));
    assert_eq!((nodes(&world, second), nodes(&world, first)), (1, 1));
    assert!(world.has(second, |event| matches!(event, Event::Bootstrapped { .. })));
    world.strays.clear();
    world.run(secs(600));
    assert!(
        world.strays.iter().all(|(_, to, _)| *to != LAN_GROUP),
        "who knows somebody does not ask any more"
    );
}

#[test]
fn only_answers_of_the_local_network_count_and_only_for_a_while() {
    let mut world = World::new(82);
    on_lan(&mut world, 10, Mode::Auto);
    answer(&mut world, "198.51.100.1:6881");
    assert!(!is_asked(&world, "198.51.100.1:6881"), "not of the local network");
    let counters = world.hosts[0].dht.stats().counters;
    assert_eq!((counters.dropped_unknown_tid, counters.responses), (1, 0));
    assert_eq!(nodes(&world, 0), 0, "an answer to a question to all makes nobody known");
    (0..12).for_each(|n| answer(&mut world, &format!("192.168.1.{}:6881", 50 + n)));
    assert!((50..58).all(|n| is_asked(&world, &format!("192.168.1.{n}:6881"))));
    assert!((58..62).all(|n| !is_asked(&world, &format!("192.168.1.{n}:6881"))), "eight suffice");
    let mut world = World::new(82);
    on_lan(&mut world, 10, Mode::Auto);
    world.run(Duration::from_millis(400));
    let question = world.strays[0].clone();
    world.run(secs(9));
    world.strays = vec![question];
    answer(&mut world, "192.168.1.50:6881");
    assert!(!is_asked(&world, "192.168.1.50:6881"), "too late");
}

#[test]
fn the_local_network_is_counted_on_for_a_moment_and_left_alone_unless_asked_for() {
    let mut world = World::new(83);
    on_lan(&mut world, 10, Mode::Auto);
    assert!(!world.hosts[0].dht.is_cut_off());
    world.run(secs(2));
    assert!(world.hosts[0].dht.is_cut_off());
    let quiet = world.add("192.168.1.11:6011".parse().unwrap(), Config::default());
    assert!(world.hosts[quiet].dht.is_cut_off());
    world.strays.clear();
    // Nor is it asked from an address of the internet.
    world.add("8.1.1.1:6881".parse().unwrap(), Config { lan: true, ..Config::default() });
    let own = world.hosts[0].addr;
    assert!(world.strays.iter().all(|(from, to, _)| *to != LAN_GROUP || *from == own));
}

#[test]
fn whom_a_network_was_entered_by_is_forgotten_with_it() {
    let mut world = World::new(84);
    on_lan(&mut world, 10, Mode::Auto);
    answer(&mut world, "192.168.1.50:6881");
    let moved = SocketAddr::from(([10, 0, 0, 7], 6_010));
    world.hosts[0].addr = moved;
    world.strays.clear();
    let socket = SocketInfo { id: SOCKET, bound: moved, addrs: vec![moved.ip()] };
    world.with(0, |dht, cx| dht.set_sockets(cx, &[socket]));
    world.run(secs(5));
    assert!(!is_asked(&world, "192.168.1.50:6881") && is_asked(&world, "239.192.70.77:6770"));
}
