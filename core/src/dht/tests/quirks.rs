//! What real nodes do, and what is made of it.

use super::super::rpc::Purpose;
use super::*;
use crate::wire::krpc::{Values, write_contact};

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
        dht.ask(cx, liar.addr, Some(liar.id), Call::Ping, Purpose::Ping, false);
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

/// A node of ours that knows eight others of the internet, all of our making, and who they are.
fn among_eight(seed: u8) -> (World, Vec<Contact>) {
    let mut world = World::new(seed);
    world.add("8.1.1.1:6881".parse().unwrap(), Config { mode: Mode::ReadOnly, ..Config::default() });
    let node = |n: u8| Contact { id: NodeId([n * 0x1f; 20]), addr: ([9, n, 0, 1], 6881).into() };
    let nodes: Vec<Contact> = (0..8).map(node).collect();
    let hosts: Vec<SocketAddr> = nodes.iter().map(|node| node.addr).collect();
    world.with(0, |dht, cx| dht.bootstrap(cx, &hosts));
    serve(&mut world, &nodes, secs(3), |_, response| Some(response));
    assert_eq!(world.hosts[0].dht.stats().nodes_v4, 8);
    (world, nodes)
}

/// Lets time pass, in which each question is answered as `how` makes of the plainest answer, if at all. Returns the
/// questions that were not answered.
fn serve<'b>(
    world: &mut World,
    nodes: &[Contact],
    how_long: Duration,
    how: impl Fn(&Query<'_>, Response<'b>) -> Option<Response<'b>>,
) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut unanswered = Vec::new();
    let end = world.now + how_long;
    while world.now < end {
        for (_, to, bytes) in std::mem::take(&mut world.strays) {
            let Body::Query(query) = Message::parse(&bytes).unwrap().body else { continue };
            let Some(node) = nodes.iter().find(|node| node.addr == to) else { continue };
            let plain = Response { id: node.id, token: Some(b"token of twenty byte"), ..Response::default() };
            match how(&query, plain) {
                Some(response) => answer(world, &bytes, to, Capabilities::NONE, response),
                None => unanswered.push((to, bytes)),
            }
        }
        world.run(Duration::from_millis(20));
    }
    unanswered
}

/// The crate mainline does not answer a `put` without a `target`, which no BEP knows.
#[test]
fn what_we_put_names_its_target() {
    let (mut world, nodes) = among_eight(8);
    let value = Value::bytes(b"x").unwrap();
    let expected = Item::Immutable(value.clone()).target();
    world.with(0, |dht, cx| dht.put_immutable(cx, value));
    serve(&mut world, &nodes, secs(3), |query, response| match query.call {
        Call::Put { target, .. } => (target == Some(expected)).then_some(response),
        _ => Some(response),
    });
    assert!(world.has(0, |event| *event == Event::Stored { target: expected, nodes: 8 }));
}

/// A `target` says nothing of who sent it.
#[test]
fn a_target_is_no_id() {
    let (mut world, host, question) = asking(9);
    let tid = Message::parse(&question).unwrap().tid;
    let nameless = [b"d1:rd6:target20:mnopqrstuvwxyz123456e1:t4:", tid, b"1:y1:re"].concat();
    world.deliver(0, host, &nameless);
    let stats = world.hosts[0].dht.stats();
    assert_eq!((stats.counters.dropped_malformed, stats.nodes_v4, stats.in_flight), (1, 0, 1));
    let mut world = World::public(9, 1);
    world.deliver(0, host, b"d1:ad6:target20:mnopqrstuvwxyz123456e1:q4:ping1:t2:aa1:y1:qe");
    let (_, _, refusal) = world.strays.pop().unwrap();
    assert!(matches!(Message::parse(&refusal).unwrap().body, Body::Error(error) if error.code == 203));
    world.run(secs(100));
    assert!(world.strays.is_empty(), "nobody to be verified");
}

/// Transmission, rqbit and others say nothing to methods they do not know, such as `get`. They are good nodes all the same.
#[test]
fn silence_to_a_method_that_is_not_known_harms_nobody() {
    let (mut world, nodes) = among_eight(10);
    for n in 0..6 {
        let value = Value::bytes(&[n]).unwrap();
        world.with(0, |dht, cx| dht.get(cx, Item::Immutable(value).id(), None));
        serve(&mut world, &nodes, secs(5), |query, response| {
            (!matches!(query.call, Call::Get { .. })).then_some(response)
        });
    }
    let dht = &world.hosts[0].dht;
    assert!(dht.stats().counters.timeouts >= 6 * 8);
    assert_eq!(dht.table(world.now).filter(|known| known.failures == 0).count(), 8);
    // Who says nothing to anything is gone.
    let value = Value::bytes(b"last").unwrap();
    world.with(0, |dht, cx| dht.get(cx, Item::Immutable(value).id(), None));
    serve(&mut world, &nodes, secs(9), |_, _| None);
    assert!(world.hosts[0].dht.table(world.now).all(|known| known.failures > 0));
}

/// rqbit says yes to announcements of topics far from its id, and stores nothing. So eight are told, and who does not name us
/// is told again a few times.
#[test]
fn a_yes_that_is_not_meant_is_no_reason_to_insist() {
    let (mut world, nodes) = among_eight(11);
    world.with(0, |dht, cx| dht.announce(cx, TOPIC));
    let own = world.hosts[0].addr;
    let announced = std::cell::Cell::new(0);
    let lies = |query: &Query<'_>, response| {
        announced.set(announced.get() + u32::from(matches!(query.call, Call::AnnouncePeer { .. })));
        Some(Response { ip: Some(own), ..response })
    };
    serve(&mut world, &nodes, secs(3), lies);
    assert_eq!(announced.get(), 8);
    assert!(world.has(0, |event| matches!(event, Event::Announced { nodes: 8, .. })));
    for _ in 0..80 {
        world.with(0, |dht, cx| dht.poll(cx, TOPIC));
        serve(&mut world, &nodes, secs(2), lies);
    }
    assert_eq!(announced.get(), 8 + 3 * 8, "three times each");
}

/// bittorrent-dht names all the nodes it knows, in more than a datagram should have, and its tokens have 20 bytes; the crate
/// mainline names 20, and says `ro` in answers, where it means nothing.
#[test]
fn long_answers_are_read_and_lead_no_further_than_short_ones() {
    let (mut world, host, question) = asking(12);
    let mut nodes = Vec::new();
    (0..46)
        .map(|n| Contact { id: NodeId([n; 20]), addr: ([9, n, 0, 1], 6881).into() })
        .for_each(|contact| write_contact(&mut nodes, &contact));
    let tid = Message::parse(&question).unwrap().tid.to_vec();
    let response = Response { id: HOST, nodes: Some(&nodes), token: Some(&[7; 20]), ..Response::default() };
    let body = Body::Response(response);
    let message = Message { tid: &tid, version: None, capabilities: Capabilities::NONE, body };
    let bytes = message.encode();
    let at = bytes.windows(4).rposition(|part| part == b"1:t4").unwrap();
    let bytes = [&bytes[..at], b"2:roi1e", &bytes[at..]].concat();
    assert!(bytes.len() > 1_200);
    world.deliver(0, host, &bytes);
    assert_eq!(world.hosts[0].dht.stats().nodes_v4, 1, "it serves, whatever it says");
    world.run(secs(5));
    let mut asked: Vec<SocketAddr> = world.strays.iter().map(|(_, to, _)| *to).collect();
    asked.retain(|to| *to != host);
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), table::K);
}

/// libtorrent and the crate mainline store peers at port 0.
#[test]
fn peers_at_port_zero_are_not_told() {
    let (mut world, nodes) = among_eight(13);
    world.with(0, |dht, cx| dht.find_peers(cx, TOPIC));
    let good: SocketAddr = "203.0.113.7:7000".parse().unwrap();
    let mut list = Vec::new();
    [SocketAddr::new(good.ip(), 0), good].into_iter().for_each(|peer| Values::push(&mut list, peer));
    serve(&mut world, &nodes, secs(3), |_, plain| {
        Some(Response { values: Some(Values::of(&list)), ..plain })
    });
    let told = world.hosts[0].events.iter().filter_map(|(_, event)| match event {
        Event::Peers { peers, .. } => Some(peers),
        _ => None,
    });
    assert!(told.clone().count() > 0 && told.flatten().all(|peer| *peer == good));
    assert!(world.hosts[0].dht.stats().counters.refused_contacts > 0);
}

/// One who is silent holds up the end of a lookup, but neither the peers that others named nor the announcements to them.
#[test]
fn peers_are_told_and_announcements_made_before_a_lookup_is_over() {
    let (mut world, nodes) = among_eight(17);
    world.with(0, |dht, cx| dht.announce(cx, TOPIC));
    let peer: SocketAddr = "203.0.113.7:7000".parse().unwrap();
    let mut list = Vec::new();
    Values::push(&mut list, peer);
    let early = std::cell::Cell::new(0);
    serve(&mut world, &nodes, Duration::from_millis(100), |query, plain| {
        early.set(early.get() + u32::from(matches!(query.call, Call::AnnouncePeer { .. })));
        (plain.id != nodes[3].id).then_some(Response { values: Some(Values::of(&list)), ..plain })
    });
    assert!(!world.hosts[0].dht.lookups.is_empty(), "it waits for the one that is silent");
    assert_eq!(early.get(), 7);
    assert!(world.has(0, |event| matches!(event, Event::Peers { peers, .. } if *peers == [peer])));
}

/// The best of nodes may be behind a slow link, or busy.
#[test]
fn a_late_answer_counts_for_the_table_and_for_what_is_not_over() {
    let (mut world, nodes) = among_eight(14);
    world.with(0, |dht, cx| dht.announce(cx, TOPIC));
    let mut late = serve(&mut world, &nodes, secs(1), |query, response| {
        (!matches!(query.call, Call::AnnouncePeer { .. })).then_some(response)
    });
    assert!(late.len() >= 8);
    let yes = |to: SocketAddr| {
        let node = nodes.iter().find(|node| node.addr == to).unwrap();
        Response { id: node.id, ..Response::default() }
    };
    // Just given up, the round goes on.
    let (to, bytes) = late.remove(0);
    serve(&mut world, &nodes, Duration::from_millis(1_200), |_, _| None);
    assert_eq!(world.hosts[0].dht.topics[&TOPIC].accepted(), 0);
    answer(&mut world, &bytes, to, Capabilities::NONE, yes(to));
    assert_eq!(world.hosts[0].dht.topics[&TOPIC].accepted(), 1);
    // Later it is good for the table.
    let (to, bytes) = late.remove(0);
    serve(&mut world, &nodes, secs(5), |_, _| None);
    let failures = |world: &World| {
        let known = world.hosts[0].dht.table(world.now).find(|known| known.contact.addr == to);
        known.map(|known| known.failures)
    };
    assert!(failures(&world) > Some(0), "it was given up");
    let elsewhere = SocketAddr::new(to.ip(), to.port() + 1);
    answer(&mut world, &bytes, elsewhere, Capabilities::NONE, yes(to));
    assert!(failures(&world) > Some(0), "nobody else can say it");
    answer(&mut world, &bytes, to, Capabilities::NONE, yes(to));
    assert_eq!(failures(&world), Some(0));
    answer(&mut world, &bytes, to, Capabilities::NONE, yes(to));
    let counters = world.hosts[0].dht.stats().counters;
    assert_eq!((counters.late, counters.dropped_wrong_source, counters.dropped_unknown_tid), (2, 1, 1));
}

/// Whoever says in all it asks that it only asks is asked by nobody, and never learns that it could be (BEP 43).
#[test]
fn one_refresh_in_eight_does_not_say_that_we_only_ask() {
    let unsaid = |mode, purpose: Purpose| {
        let mut world = World::new(16);
        world.add("8.1.1.1:6881".parse().unwrap(), Config { mode, ..Config::default() });
        let asks = |_: &u32| {
            world.strays.clear();
            world.with(0, |dht, cx| {
                dht.rpc.clear();
                let call = Call::FindNode { target: HOST, want: None };
                assert!(dht.ask(cx, "198.51.100.1:7000".parse().unwrap(), None, call, purpose, false));
            });
            let (_, _, bytes) = &world.strays[0];
            matches!(Message::parse(bytes).unwrap().body, Body::Query(Query { read_only: false, .. }))
        };
        (0..800).filter(asks).count()
    };
    let probes = unsaid(Mode::Auto, Purpose::Refresh);
    assert!((70..130).contains(&probes), "{probes} of 800");
    assert_eq!(
        unsaid(Mode::Auto, Purpose::Ping),
        0,
        "a refresh is for itself: who asks in return is not in a hurry"
    );
    assert_eq!(unsaid(Mode::ReadOnly, Purpose::Refresh), 0);
    assert_eq!(unsaid(Mode::Server, Purpose::Ping), 800);
}

/// Routers break above some hundred small datagrams a second.
#[test]
fn the_internet_is_asked_at_an_even_pace() {
    let mut world = World::new(15);
    world.add("8.1.1.1:6881".parse().unwrap(), Config::default());
    let hosts: Vec<SocketAddr> = (0..100).map(|n| ([9, n, 0, 1], 6_881).into()).collect();
    world.with(0, |dht, cx| dht.bootstrap(cx, &hosts));
    let mut asked = Vec::new();
    for n in 0..200 {
        world.with(0, |dht, cx| dht.announce(cx, InfoHash([n; 20])));
        world.run(Duration::from_millis(100));
        asked.push(world.sent);
    }
    assert!(asked.windows(11).all(|second| second[10] - second[0] <= 150), "{asked:?}");
    assert!(asked.windows(101).all(|ten| ten[100] - ten[0] <= 600), "50 a second after a burst: {asked:?}");
    assert!(asked.last() > Some(&500), "{asked:?}");
}
