//! Two address families are two networks (BEP 32), and a node may know of one through the other.

use super::*;
use crate::wire::krpc::{Contact, Want, write_contact};

const HOST: &str = "198.51.100.1:7000";

/// A node with a socket at each of these addresses, which has entered through [`HOST`] alone.
fn entered(seed: u8, addrs: &[&str]) -> World {
    let mut world = World::new(seed);
    let addrs: Vec<SocketAddr> = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
    world.add(addrs[0], Config::default());
    let socket = |bound: &SocketAddr| SocketInfo { id: SOCKET, bound: *bound, addrs: vec![bound.ip()] };
    let sockets: Vec<SocketInfo> = addrs.iter().map(socket).collect();
    world.with(0, |dht, cx| dht.set_sockets(cx, &sockets));
    world.with(0, |dht, cx| dht.bootstrap(cx, &[HOST.parse().unwrap()]));
    answer_all(&mut world, &[]);
    assert_eq!(world.hosts[0].dht.stats().nodes_v4, 1);
    world
}

/// Everybody who was asked answers, each with an id of its own, and names these. Returns which nodes the host was asked for, for each
/// question that can say so, and who else was asked.
fn answer_all(world: &mut World, named: &[Contact]) -> (Vec<Option<Want>>, Vec<SocketAddr>) {
    let (mut wants, mut others) = (Vec::new(), Vec::new());
    let (mut nodes, mut nodes6) = (Vec::new(), Vec::new());
    for contact in named {
        write_contact(if contact.addr.is_ipv4() { &mut nodes } else { &mut nodes6 }, contact);
    }
    for (_, to, question) in std::mem::take(&mut world.strays) {
        let Message { tid, body: Body::Query(query), .. } = Message::parse(&question).unwrap() else {
            continue;
        };
        match query.call {
            _ if to != HOST.parse().unwrap() => others.push(to),
            Call::FindNode { want, .. } => wants.push(want),
            _ => {}
        }
        let known = named.iter().find(|contact| contact.addr == to);
        let id = known.map_or(NodeId([0x77; 20]), |contact| contact.id);
        let response = Response { id, nodes: Some(&nodes), nodes6: Some(&nodes6), ..Response::default() };
        let message =
            Message { tid, version: None, capabilities: Capabilities::NONE, body: Body::Response(response) };
        world.deliver(0, to, &message.encode());
    }
    (wants, others)
}

/// Everybody answers at once for so long.
fn live(world: &mut World, how_long: Duration, named: &[Contact]) -> (Vec<Option<Want>>, Vec<SocketAddr>) {
    let (end, mut wants, mut others) = (world.now + how_long, Vec::new(), Vec::new());
    while world.now < end {
        world.run_until(end, |world| !world.strays.is_empty());
        let (more_wants, more_others) = answer_all(world, named);
        wants.extend(more_wants);
        others.extend(more_others);
    }
    (wants, others)
}

/// Nodes of IPv6, as those know them who are part of both networks.
fn six(many: u16) -> Vec<Contact> {
    let addr = |n: u16| SocketAddr::from(([0x2001, 0x4860, n, 0, 0, 0, 0, 1], 6_881));
    (1..=many).map(|n| Contact { id: NodeId([n as u8 * 20; 20]), addr: addr(n) }).collect()
}

const BOTH: Option<Want> = Some(Want { v4: true, v6: true });

#[test]
fn who_entered_by_one_family_finds_the_other_through_it() {
    let mut world = entered(80, &["8.1.1.1:6881", "[2001:4860:99::1]:6881"]);
    let (wants, others) = live(&mut world, secs(9), &six(12));
    assert!(wants.iter().all(Option::is_none) && others.is_empty(), "no lookup has room for it: {others:?}");
    world.run_until(world.now + secs(2), |world| !world.strays.is_empty());
    assert_eq!(answer_all(&mut world, &six(12)).0, [BOTH], "a refresh");
    let asked: Vec<SocketAddr> = world.strays.iter().map(|(_, to, _)| *to).collect();
    assert_eq!(asked, six(3).iter().map(|contact| contact.addr).collect::<Vec<_>>(), "a few of twelve");
    live(&mut world, secs(5), &six(12));
    assert!(world.hosts[0].dht.stats().nodes_v6 >= 8, "and looks around itself there");
    let (wants, _) = live(&mut world, secs(60), &six(12));
    assert!(!wants.is_empty() && wants.iter().all(Option::is_none), "enough is known: {wants:?}");
}

#[test]
fn where_there_is_but_one_family_the_other_is_neither_wanted_nor_asked() {
    for (seed, addrs) in [
        (81, &["8.1.1.1:6881"][..]),
        // This machine, this link, and a network that nothing leads out of.
        (82, &["8.1.1.1:6881", "[::1]:6881"]),
        (83, &["8.1.1.1:6881", "[fe80::1]:6881"]),
        (84, &["8.1.1.1:6881", "[fd00::1]:6881"]),
    ] {
        let mut world = entered(seed, addrs);
        let (wants, others) = live(&mut world, secs(60), &six(12));
        assert!(wants.len() > 3 && wants.iter().all(Option::is_none), "{addrs:?}: {wants:?}");
        assert_eq!(others, [], "{addrs:?}");
    }
}
