//! How well a node is, as it says itself.

use super::*;

fn told(world: &World, host: usize) -> Vec<Health> {
    let health = |(_, event): &(Time, Event)| match event {
        Event::Health(health) => Some(*health),
        _ => None,
    };
    world.hosts[host].events.iter().filter_map(health).collect()
}

fn is(world: &World, host: usize, level: Level, reason: Option<Reason>) -> bool {
    let health = world.hosts[host].dht.stats().health;
    assert_eq!(
        told(world, host).last().copied().unwrap_or_default().level,
        health.level,
        "told when it changed"
    );
    health.level == level && health.reasons.iter().eq(reason)
}

#[test]
fn health_from_the_first_socket_to_the_loss_of_everybody_and_back() {
    let mut world = World::public(70, 30);
    world.run(secs(60));
    assert!((0..30).all(|host| is(&world, host, Level::Online, None)));

    let late = world.add(([9, 1, 1, 1], 6_881).into(), Config::default());
    assert!(is(&world, late, Level::Offline, Some(Reason::NoEntry)));
    world.enter(late);
    assert!(is(&world, late, Level::Offline, Some(Reason::Entering)));
    world.run(secs(60));
    assert!(is(&world, late, Level::Online, None));
    let changes = told(&world, late);
    assert!(changes.len() <= 5 && changes.windows(2).all(|pair| pair[0] != pair[1]), "{changes:?}");

    world.hosts[..30].iter_mut().for_each(|host| host.is_alive = false);
    let silence = |world: &World| is(world, late, Level::Offline, Some(Reason::Silence));
    assert!(world.run_until(world.now + secs(600), silence));
    world.hosts[..30].iter_mut().for_each(|host| host.is_alive = true);
    assert!(world.run_until(world.now + secs(900), |world| is(world, late, Level::Online, None)));

    world.with(late, |dht, cx| dht.set_sockets(cx, &[]));
    assert!(world.hosts[late].dht.health().reasons.contains(Reason::NoSocket));
}

#[test]
fn few_nodes_are_few_in_the_internet_only() {
    let mut world = World::public(71, 4);
    world.run(secs(60));
    assert!((0..4).all(|host| is(&world, host, Level::Degraded, Some(Reason::FewNodes))));
    let mut world = World::private(72, 4);
    world.run(secs(60));
    assert!((0..4).all(|host| is(&world, host, Level::Online, None)));
}

/// Behind a NAT that gives every destination another port, those asked never agree.
#[test]
fn a_disputed_address_is_told() {
    let mut world = World::new(73);
    let host = world.add(([192, 168, 1, 2], 6_881).into(), Config::default());
    let nodes: Vec<SocketAddr> = (0..40_u8).map(|n| ([8, n, 0, 1], 6_881).into()).collect();
    world.with(host, |dht, cx| dht.bootstrap(cx, &nodes));
    for port in 1..2_000 {
        let Some((_, to, bytes)) = world.strays.pop() else { break };
        let tid = Message::parse(&bytes).unwrap().tid.to_vec();
        let SocketAddr::V4(v4) = to else { unreachable!() };
        let response = Response {
            id: NodeId([v4.ip().octets()[1].wrapping_mul(7); 20]),
            ip: Some(([198, 51, 100, 1], 1_000 + port).into()),
            ..Response::default()
        };
        let body = Body::Response(response);
        let answer = Message { tid: &tid, version: None, capabilities: Capabilities::NONE, body }.encode();
        world.deliver(host, to, &answer);
    }
    let health = world.hosts[host].dht.health();
    assert!(health.reasons.contains(Reason::AddressDisputed) && health.level == Level::Degraded, "{health}");
}
