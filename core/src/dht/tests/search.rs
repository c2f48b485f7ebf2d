//! Asking without being found: searches, pings, and announcements of another port.

use super::*;
use crate::wire::krpc::{Bloom, Scrape};

fn peers(world: &World, host: usize) -> Vec<SocketAddr> {
    let told = world.hosts[host].events.iter().filter_map(|(_, event)| match event {
        Event::Peers { topic: TOPIC, peers, .. } => Some(peers.clone()),
        _ => None,
    });
    told.flatten().collect()
}

#[test]
fn a_search_finds_peers_and_leaves_no_trace() {
    let mut world = World::public(70, 60);
    world.with(7, |dht, cx| dht.announce_port(cx, TOPIC, 5_000));
    world.run(secs(30));
    world.with(9, |dht, cx| dht.find_peers(cx, TOPIC));
    assert!(world.hosts[9].dht.progress(TOPIC).is_some_and(|progress| progress.asked >= 4));
    let sought = |world: &World| world.has(9, |event| matches!(event, Event::Sought { topic: TOPIC, .. }));
    let mut last = Progress::default();
    while !sought(&world) {
        world.run(Duration::from_millis(10));
        let Some(progress) = world.hosts[9].dht.progress(TOPIC) else { break };
        assert!(progress.asked >= last.asked && progress.answered >= last.answered, "{progress:?} {last:?}");
        let distance = |progress: &Progress| progress.closest.map(|id| id.distance(&TOPIC.0));
        assert!(last.closest.is_none() || distance(&progress) <= distance(&last), "never farther");
        last = progress;
    }
    // All answers to what was asked at once come at once, so nothing is seen between the last but one and the end.
    assert!(last.answered >= 4 && last.asked >= 8 && last.closest.is_some(), "{last:?}");
    let listens = SocketAddr::new(world.hosts[7].addr.ip(), 5_000);
    assert!(world.has(
        9,
        |event| matches!(event, Event::Sought { holders, answered, .. } if *holders >= 4 && *answered >= 8)
    ));
    assert!(!peers(&world, 9).is_empty() && peers(&world, 9).iter().all(|peer| *peer == listens));
    assert_eq!(world.hosts[9].dht.progress(TOPIC), None);
    assert_eq!(world.hosts[9].dht.stats().topics, 0);
    let stored = world.hosts.iter().flat_map(|host| host.dht.store.peers(&TOPIC));
    assert!(stored.collect::<Vec<_>>().iter().all(|peer| *peer == listens), "the searcher is stored nowhere");
}

#[test]
fn a_search_where_nobody_is_known_ends_at_once() {
    let mut world = World::new(71);
    let host = world.add("8.1.1.1:6881".parse().unwrap(), Config::default());
    world.with(host, |dht, cx| dht.find_peers(cx, TOPIC));
    assert!(
        world.has(host, |event| *event
            == Event::Sought { topic: TOPIC, holders: 0, answered: 0, count: None })
    );
}

#[test]
fn searches_are_bounded_and_outlive_a_change_of_address() {
    let mut world = World::public(72, 20);
    world.run(secs(30));
    let topic = |n: usize| InfoHash([n as u8; 20]);
    for n in 0..=limits::DHT_SEARCHES {
        world.with(9, |dht, cx| dht.find_peers(cx, topic(n)));
    }
    let over = |world: &World, n| {
        world.has(9, |event| matches!(event, Event::Sought { topic: t, .. } if *t == topic(n)))
    };
    assert!(over(&world, limits::DHT_SEARCHES), "one too many");
    assert!((0..limits::DHT_SEARCHES).all(|n| !over(&world, n)));
    world.with(9, Dht::woke);
    world.run(secs(60));
    assert!((0..limits::DHT_SEARCHES).all(|n| over(&world, n)));
}

#[test]
fn pings() {
    let mut world = World::public(73, 3);
    world.run(secs(9));
    let (there, gone, nowhere) =
        (world.hosts[1].addr, world.hosts[2].addr, "[2001:db8::1]:6881".parse().unwrap());
    world.hosts[2].is_alive = false;
    let nobody = "224.0.0.1:6881".parse().unwrap();
    for addr in [there, gone, nowhere, nobody] {
        world.with(0, |dht, cx| dht.ping(cx, addr));
    }
    assert!(world.has(0, |event| *event == Event::Silent { addr: nowhere }), "no socket leads there");
    assert!(world.has(0, |event| *event == Event::Silent { addr: nobody }), "nobody can be there");
    assert!(world.strays.iter().all(|(_, to, _)| *to != nobody));
    world.run(secs(9));
    let (own, id) = (world.hosts[0].addr, world.hosts[1].dht.id(true));
    let (rtt, version) = (Duration::from_millis(20), Some(*machine::VERSION));
    let pong = Event::Pong { addr: there, id, rtt, version, observed: Some(own) };
    assert!(world.has(0, |event| *event == pong));
    let silent = world.hosts[0].events.iter().filter(|(_, event)| *event == Event::Silent { addr: gone });
    assert_eq!(silent.count(), 1);
}

#[test]
fn a_scrape_counts_each_once() {
    let mut world = World::private(74, 20);
    world.run(secs(5));
    for host in 1..6 {
        // All are on one machine, so one address.
        world.announce(host);
    }
    world.run(secs(5));
    let counted = |world: &World, host: usize| {
        world.hosts[host].events.iter().rev().find_map(|(_, event)| match event {
            Event::Sought { count, .. } => Some(*count),
            _ => None,
        })
    };
    world.with(19, |dht, cx| dht.count_peers(cx, TOPIC));
    world.run(secs(5));
    let Some(Some(count)) = counted(&world, 19) else { panic!("not counted") };
    assert_eq!((count.seeds, count.others), (0, 1), "one address, told of by many");
    assert!(count.nodes >= 4, "{count:?}");
    world.with(18, |dht, cx| dht.find_peers(cx, TOPIC));
    world.run(secs(5));
    assert_eq!(counted(&world, 18), Some(None), "not asked for");
    world.with(17, |dht, cx| dht.count_peers(cx, InfoHash([1; 20])));
    world.run(secs(5));
    assert_eq!(counted(&world, 17), Some(Some(Headcount::default())));
}

/// BEP 33's own vector, in parts from several nodes, as libtorrent and others send them to whoever asks.
#[test]
fn a_scrape_of_bep33s_vector_from_several_nodes() {
    let mut world = World::new(75);
    world.add("8.1.1.1:6881".parse().unwrap(), Config::default());
    let nodes: Vec<SocketAddr> = (0..4).map(|n| ([9, n, 0, 1], 6_881).into()).collect();
    world.with(0, |dht, cx| dht.bootstrap(cx, &nodes));
    world.with(0, |dht, cx| dht.count_peers(cx, TOPIC));
    let mut parts: [Bloom; 4] = Default::default();
    (0..=255).for_each(|last| parts[last as usize % 2].insert([192, 0, 2, last].into()));
    (0..1_000_u16).for_each(|n| parts[2 + n as usize % 2].insert([0x2001, 0xdb8, 0, 0, 0, 0, 0, n].into()));
    let mut asked = 0;
    for (_, to, bytes) in std::mem::take(&mut world.strays) {
        let Message { tid, body: Body::Query(query), .. } = Message::parse(&bytes).unwrap() else { continue };
        let Call::GetPeers { scrape, .. } = query.call else { continue };
        assert!(scrape);
        let n = nodes.iter().position(|node| *node == to).unwrap();
        let scrape = Scrape { seeds: None, peers: Some(parts[n].as_bytes()) };
        let body = Body::Response(Response { id: NodeId([n as u8; 20]), scrape, ..Response::default() });
        let answer = Message { tid, version: None, capabilities: Capabilities::NONE, body }.encode();
        world.deliver(0, to, &answer);
        asked += 1;
    }
    assert_eq!(asked, 4);
    world.run(secs(5));
    let expected = Some(Headcount { seeds: 0, others: 1_225, nodes: 4 });
    assert!(world.has(0, |event| matches!(event, Event::Sought { count, .. } if *count == expected)));
}
