//! What real nodes do, and what is made of it.

use super::*;
use crate::wire::krpc::write_contact;

/// A question of ours under way: to whom, and its bytes.
fn question(world: &mut World, to: SocketAddr) -> Vec<u8> {
    let at = world.strays.iter().position(|(_, stray, _)| *stray == to).expect("asked");
    world.strays.remove(at).2
}

/// Answers a question in the name of `from`, with `top` appended at the top level as it stands.
fn answer(
    world: &mut World,
    question: &[u8],
    from: SocketAddr,
    capabilities: Capabilities,
    response: Response<'_>,
) {
    let tid = Message::parse(question).unwrap().tid;
    let message = Message { tid, version: None, capabilities, body: Body::Response(response) };
    world.deliver(0, from, &message.encode());
}

fn asking(seed: u8) -> (World, SocketAddr, Vec<u8>) {
    let mut world = World::new(seed);
    world.add("8.1.1.1:6881".parse().unwrap(), Config::default());
    let host: SocketAddr = "198.51.100.1:7000".parse().unwrap();
    world.with(0, |dht, cx| dht.bootstrap(cx, &[host]));
    let question = question(&mut world, host);
    (world, host, question)
}

const HOST: NodeId = NodeId([0x77; 20]);

#[test]
fn our_transaction_ids_have_four_bytes_and_do_not_count_up() {
    let (mut world, _, first) = asking(1);
    world.run(secs(3));
    let mut tids: Vec<Vec<u8>> =
        world.strays.iter().map(|(_, _, bytes)| Message::parse(bytes).unwrap().tid.to_vec()).collect();
    tids.push(Message::parse(&first).unwrap().tid.to_vec());
    assert!(tids.len() > 1 && tids.iter().all(|tid| tid.len() == 4));
    let numbers: Vec<u32> = tids.iter().map(|tid| u32::from_be_bytes(tid[..].try_into().unwrap())).collect();
    assert!(numbers.windows(2).all(|pair| pair[0].abs_diff(pair[1]) > 1_000));
}

/// bittorrent-dht matches answers by host only; we do not.
#[test]
fn an_answer_from_another_port_counts_for_nothing() {
    let (mut world, host, question) = asking(2);
    let elsewhere = SocketAddr::new(host.ip(), host.port() + 1);
    let response = Response { id: HOST, ..Response::default() };
    answer(&mut world, &question, elsewhere, Capabilities::NONE, response.clone());
    let stats = world.hosts[0].dht.stats();
    assert_eq!((stats.counters.dropped_wrong_source, stats.nodes_v4), (1, 0));
    answer(&mut world, &question, host, Capabilities::NONE, response);
    assert_eq!(world.hosts[0].dht.stats().nodes_v4, 1, "the right one still counts");
}

#[test]
fn nodes_at_port_zero_with_our_id_or_at_our_address_are_dropped() {
    let (mut world, host, question) = asking(3);
    let own = world.hosts[0].dht.id(true);
    let contacts = [
        Contact { id: NodeId([1; 20]), addr: "203.0.113.1:0".parse().unwrap() },
        Contact { id: own, addr: "203.0.114.1:6881".parse().unwrap() },
        Contact { id: NodeId([2; 20]), addr: world.hosts[0].addr },
        Contact { id: NodeId([3; 20]), addr: "203.0.115.1:6881".parse().unwrap() },
    ];
    let mut nodes = Vec::new();
    contacts.iter().for_each(|contact| write_contact(&mut nodes, contact));
    // rqbit sends `nodes6` although it is empty.
    let response = Response { id: HOST, nodes: Some(&nodes), nodes6: Some(b""), ..Response::default() };
    answer(&mut world, &question, host, Capabilities::NONE, response);
    let asked: Vec<SocketAddr> = world.strays.iter().map(|(_, to, _)| *to).filter(|to| *to != host).collect();
    assert_eq!(asked, [contacts[3].addr]);
    assert_eq!(world.hosts[0].dht.stats().counters.refused_contacts, 3);
}

#[test]
fn an_answer_with_our_own_id_is_a_reflection() {
    let (mut world, host, question) = asking(4);
    let own = world.hosts[0].dht.id(true);
    answer(&mut world, &question, host, Capabilities::NONE, Response { id: own, ..Response::default() });
    let stats = world.hosts[0].dht.stats();
    assert_eq!((stats.counters.dropped_own, stats.nodes_v4, stats.in_flight), (1, 0, 1));
}

/// Whoever is named by an id that it does not have is not thrown out for it: the one who named it lied.
#[test]
fn naming_a_node_by_another_id_does_not_harm_it() {
    let (mut world, host, first) = asking(5);
    let good = Contact { id: NodeId([9; 20]), addr: "203.0.115.1:6881".parse().unwrap() };
    let mut nodes = Vec::new();
    write_contact(&mut nodes, &good);
    let named = Response { id: HOST, nodes: Some(&nodes), ..Response::default() };
    answer(&mut world, &first, host, Capabilities::NONE, named);
    let second = question(&mut world, good.addr);
    answer(
        &mut world,
        &second,
        good.addr,
        Capabilities::NONE,
        Response { id: good.id, ..Response::default() },
    );
    assert_eq!(world.hosts[0].dht.stats().nodes_v4, 2);
    // Now somebody names it by another id, and it says who it is.
    world.strays.clear();
    world.with(0, |dht, cx| {
        let liar = Contact { id: NodeId([0x44; 20]), addr: good.addr };
        dht.ask(cx, liar.addr, Some(liar.id), Call::Ping, super::super::rpc::Purpose::Ping, false);
    });
    let third = question(&mut world, good.addr);
    answer(
        &mut world,
        &third,
        good.addr,
        Capabilities::NONE,
        Response { id: good.id, ..Response::default() },
    );
    let stats = world.hosts[0].dht.stats();
    assert_eq!((stats.counters.id_changes, stats.nodes_v4), (1, 2), "it is still there");
}

#[test]
fn only_answers_make_a_node_capable() {
    let (mut world, host, first) = asking(6);
    let ping = Query { id: HOST, read_only: false, call: Call::Ping };
    let relay = Capabilities::RELAY;
    let asks = Message { tid: b"tidy", version: None, capabilities: relay, body: Body::Query(ping) };
    world.deliver(0, host, &asks.encode());
    let capable = |world: &World| world.hosts[0].dht.capable_nodes(relay).collect::<Vec<_>>();
    assert_eq!(capable(&world), []);
    answer(&mut world, &first, host, relay, Response { id: HOST, ..Response::default() });
    assert_eq!(capable(&world), [Contact { id: HOST, addr: host }]);
}

#[test]
fn what_we_can_do_is_in_every_question_and_answer() {
    let mut world = World::new(7);
    let config = Config { mode: Mode::Server, capabilities: Capabilities::RELAY, ..Config::default() };
    world.add("8.1.1.1:6881".parse().unwrap(), config);
    let host: SocketAddr = "198.51.100.1:7000".parse().unwrap();
    world.with(0, |dht, cx| dht.bootstrap(cx, &[host]));
    world.deliver(0, host, b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe");
    assert!(world.strays.len() >= 2);
    let says = |bytes: &[u8]| Message::parse(bytes).unwrap().capabilities;
    assert!(world.strays.iter().all(|(_, _, bytes)| says(bytes) == Capabilities::RELAY));
}
