//! What a node keeps over a restart, and what becomes of it.

use super::*;

/// Stops a node and starts it again at the same address from what it kept, without anybody to enter by.
fn restart(world: &mut World, host: usize, saved: Snapshot) -> usize {
    world.hosts[host].is_alive = false;
    let addr = std::mem::replace(&mut world.hosts[host].addr, ([0, 0, 0, 0], 0).into());
    world.add(addr, Config { saved: Some(saved), ..Config::default() })
}

fn is_up(world: &World, host: usize) -> bool {
    world.has(host, |event| matches!(event, Event::Bootstrapped { .. }))
}

#[test]
fn a_restart_needs_nobody_to_enter_by() {
    let mut world = World::public(60, 40);
    world.announce(7);
    world.run(secs(60));
    let saved = world.hosts[9].dht.snapshot();
    assert!(saved.nodes().count() >= 16 && saved.nodes().count() <= limits::DHT_SAVED);
    assert_eq!(Snapshot::decode(&saved.encode()), Ok(saved.clone()));

    let lost = world.add(([9, 1, 1, 1], 6_881).into(), Config::default());
    world.announce(lost);
    world.run(secs(9));
    assert!(!is_up(&world, lost), "a control: who kept nothing knows nobody");

    let back = restart(&mut world, 9, saved.clone());
    assert!(world.hosts[back].dht.nodes().next().is_none(), "nobody is known before he has answered");
    world.announce(back);
    let found = |world: &World| world.knows_peer(back, 7);
    assert!(world.run_until(world.now + Duration::from_millis(200), found), "in ten round trips");
    assert_eq!(world.hosts[back].dht.id(true), saved.id(true), "the address still allows it");
    assert!(world.run_until(world.now + secs(2), |world| is_up(world, back)));
    world.run(secs(60));
    let after = world.hosts[back].dht.snapshot();
    let kept = saved.nodes().filter(|node| after.nodes().any(|other| other == *node)).count();
    assert!(kept * 10 >= saved.nodes().count() * 9, "{kept} of {}", saved.nodes().count());
    let sent = world.hosts[back].dht.stats().counters.sent;
    assert!(sent < 150, "{sent} questions in a minute");
}

#[test]
fn a_restart_finds_the_few_that_are_left() {
    let mut world = World::public(61, 60);
    world.run(secs(60));
    let saved = world.hosts[3].dht.snapshot();
    let alive: Vec<_> = saved.nodes().map(|node| node.addr).skip(3).step_by(4).take(3).collect();
    assert_eq!(alive.len(), 3);
    world.hosts.iter_mut().for_each(|host| host.is_alive = alive.contains(&host.addr));
    let back = restart(&mut world, 3, saved);
    assert!(world.run_until(world.now + secs(20), |world| is_up(world, back)));
    world.run(secs(300));
    assert_eq!(world.hosts[back].dht.nodes().count(), 3);
    assert!(world.hosts[back].dht.snapshot().nodes().count() <= 8, "those that are gone are given up");
}

#[test]
fn a_restart_offline_forgets_nobody() {
    let mut world = World::public(62, 30);
    world.run(secs(60));
    let saved = world.hosts[3].dht.snapshot();
    world.loss_percent = 100;
    let back = restart(&mut world, 3, saved.clone());
    assert!(!world.hosts[back].dht.is_cut_off());
    world.run(secs(1_000));
    let remembered = saved.nodes().count();
    assert!(world.has(back, |event| *event == Event::BootstrapSilent { asked: 0, remembered }));
    let sent = world.hosts[back].dht.stats().counters.sent;
    assert!(sent < 1_000, "{sent} questions to nobody in a quarter of an hour");
    assert_eq!(world.hosts[back].dht.snapshot().nodes().count(), remembered);
    world.loss_percent = 0;
    assert!(world.run_until(world.now + secs(31), |world| is_up(world, back)));
}

#[test]
fn an_id_that_the_new_address_does_not_allow_is_given_up() {
    let mut world = World::public(63, 30);
    world.run(secs(60));
    let saved = world.hosts[3].dht.snapshot();
    world.hosts[3].is_alive = false;
    let moved = SocketAddr::from(([9, 9, 9, 9], 6_881));
    let config = Config { saved: Some(saved.clone()), ..Config::default() };
    let back = world.add(moved, config);
    assert_ne!(world.hosts[back].dht.id(true), saved.id(true));
    assert!(node_id::is_bound(&world.hosts[back].dht.id(true), moved.ip()));
    world.run(secs(30));
    assert_eq!(
        world.hosts[back].dht.observed(true),
        Some(moved),
        "what was seen at the old address counts no more"
    );
    assert!(is_up(&world, back));
}

#[test]
fn liars_among_those_kept_enter_no_table() {
    let mut world = World::public(64, 30);
    world.run(secs(60));
    let honest = world.hosts[3].dht.snapshot();
    let mut saved = honest.clone();
    // Whoever changed the file names another id for every node, and a victim.
    saved.v4.nodes.iter_mut().for_each(|node| node.id.0[19] ^= 1);
    let victim = Contact { id: NodeId([1; 20]), addr: "198.51.100.7:7000".parse().unwrap() };
    saved.v4.nodes.insert(0, victim);
    let back = restart(&mut world, 3, saved.clone());
    world.run(secs(300));
    let known: Vec<_> = world.hosts[back].dht.nodes().collect();
    assert!(!known.contains(&victim) && known.iter().all(|node| !saved.nodes().any(|lie| lie == *node)));
    let to_victim = world.strays.iter().filter(|(_, to, _)| *to == victim.addr).count();
    // One with each attempt to enter, of which there are 16 in this time if nobody else's question comes before.
    assert!(to_victim <= 16, "{to_victim} questions to an address that never answered");
}
