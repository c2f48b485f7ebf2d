//! The answering side: what it never does whatever comes, and how it takes the ways of other implementations.

use quickcheck::quickcheck;

use super::*;
use crate::dht::reply::PING_LEN;
use crate::dht::rpc::Purpose;
use crate::dht::table::K;
use crate::wire::krpc::{Bloom, Sample, Want};

const BOTH: Option<Want> = Some(Want { v4: true, v6: true });

/// A server with full tables in both families, a topic with many peers, and items short and long.
struct Server {
    dht: Dht,
    rng: Rng,
    now: Time,
    items: [InfoHash; 2],
}

impl Server {
    fn new(config: Config) -> Self {
        let (mut rng, now) = (Rng::new([7; 32]), Time::from_millis(1_000));
        let mut out = Outbox::default();
        let mut cx = Cx { now, unix: UnixTime::default(), rng: &mut rng, out: &mut out };
        let mut dht = Dht::new(config, &mut cx);
        let bound = [SocketAddr::from(([8, 8, 8, 8], 6_881)), v6(1)];
        let socket =
            |n: usize| SocketInfo { id: SocketId(n as u16), bound: bound[n], addrs: vec![bound[n].ip()] };
        dht.set_sockets(&mut cx, &[socket(0), socket(1)]);
        for n in 0..400_u16 {
            let addrs = [SocketAddr::from(([20, (n >> 8) as u8, n as u8, 1], 6_881)), v6(n + 2)];
            for addr in addrs {
                let contact = Contact { id: NodeId(cx.rng.array()), addr };
                dht.overlay_mut(addr.is_ipv4()).table.answered(now, contact, Duration::from_millis(50));
            }
            for peer in addrs {
                let new = Announcement { topic: TOPIC, peer, is_seed: n % 4 == 0, is_exempt: false };
                let home = dht.home(true);
                let _ = dht.store.insert(now, &home, new);
            }
        }
        let mut store = |len: usize| {
            let item = Item::Immutable(Value::bytes(&vec![b'x'; len]).unwrap());
            let from = super::super::item_store::Putter {
                source: super::super::source::Source::of([9, 9, 9, 9].into()),
                is_exempt: false,
            };
            dht.items.put(now, &NodeId([0; 20]), from, item.clone(), None).unwrap();
            item.target()
        };
        let items = [store(30), store(900)];
        Self { dht, rng, now, items }
    }

    /// All that is sent on a datagram, and until there is nothing more to do at that time.
    fn hear(&mut self, from: SocketAddr, bytes: &[u8]) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut out = Outbox::default();
        let mut cx = Cx { now: self.now, unix: UnixTime::default(), rng: &mut self.rng, out: &mut out };
        let socket = SocketId(u16::from(from.is_ipv6()));
        self.dht.handle_datagram(&mut cx, socket, None, from, bytes);
        std::iter::from_fn(|| out.pop()).map(|sent| (sent.to, sent.bytes)).collect()
    }

    fn ask(&mut self, from: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
        let answers =
            self.hear(from, bytes).into_iter().filter(|(to, bytes)| *to == from && !is_query(bytes));
        answers.map(|(_, bytes)| bytes).next()
    }
}

fn v6(n: u16) -> SocketAddr {
    ([0x2001, 0xdb8, n, 0, 0, 0, 0, 1], 6_881).into()
}

fn stranger(n: u32) -> SocketAddr {
    (std::net::Ipv4Addr::from(0x3c00_0001 + (n << 8)), 7_000).into()
}

fn is_query(bytes: &[u8]) -> bool {
    matches!(Message::parse(bytes).map(|message| message.body), Ok(Body::Query(_)))
}

/// A query with these arguments, already bencoded; whatever follows in the dictionary of the message.
fn query(method: &str, arguments: &str, tid: &str) -> Vec<u8> {
    let head = format!("d1:ad2:id20:ABCDEFGHIJ0123456789{arguments}e1:q{}:{method}", method.len());
    format!("{head}1:t{}:{tid}1:y1:qe", tid.len()).into_bytes()
}

fn code(answer: &[u8]) -> i64 {
    match Message::parse(answer).unwrap().body {
        Body::Error(error) => error.code,
        other => panic!("{other:?}"),
    }
}

fn parsed(answer: &[u8]) -> Response<'_> {
    match Message::parse(answer).unwrap().body {
        Body::Response(response) => response,
        other => panic!("{other:?}"),
    }
}

quickcheck! {
    /// Of any bytes whatever, that resemble queries; from addresses that have proven nothing.
    fn an_answer_to_the_unproven_is_at_most_three_and_a_half_times_the_question(
        shapes: Vec<(u8, u8, u8, u16, u8)>
    ) -> bool {
        let mut server = Server::new(Config { mode: Mode::Server, ..Config::default() });
        let mut beyond = BTreeMap::<(u64, Vec<u8>), u32>::new();
        let mut beyond_in_all = 0;
        let began = server.now;
        for (n, (method, arguments, tid, place, byte)) in shapes.into_iter().enumerate() {
            server.now += Duration::from_millis(u64::from(byte) * 4);
            let from = if byte & 1 == 0 { stranger(u32::from(tid) % 5) } else { v6(u16::from(tid) % 5 + 900) };
            let methods = ["ping", "find_node", "get_peers", "get", "announce_peer", "put", "sample_infohashes", ""];
            let hash = match place % 4 {
                0 => TOPIC,
                1 => server.items[0],
                2 => server.items[1],
                _ => InfoHash([byte; 20]),
            };
            let mut body = b"d1:ad2:id20:ABCDEFGHIJ0123456789".to_vec();
            let mut say = |bit: u8, key: &[u8], value: &[u8]| {
                if arguments >> bit & 1 == 1 {
                    body.extend([key, value].concat());
                }
            };
            say(0, b"9:info_hash20:", &hash.0);
            say(1, b"6:target20:", &hash.0);
            say(2, b"4:wantl2:n42:n6e", b"");
            say(3, b"6:scrapei1e", b"");
            say(4, b"4:porti7e5:token8:12345678", b"");
            say(5, b"1:v3:abc", b"");
            say(6, b"4:wantl2:n6e", b"");
            say(7, b"3:seqi0e", b"");
            let method = methods[usize::from(method) % methods.len()];
            body.extend(format!("e1:q{}:{method}1:t{}:", method.len(), tid % 40).bytes());
            body.extend(vec![b't'; usize::from(tid % 40)]);
            body.extend(b"1:y1:qe");
            if byte % 3 == 0 {
                let place = usize::from(place) % body.len();
                body[place] = byte;
            }
            if byte % 7 == 0 {
                body.truncate(usize::from(place) % body.len());
            }
            for (to, bytes) in server.hear(from, &body) {
                if to != from || is_query(&bytes) || bytes.len() * 2 <= body.len() * 7 {
                    continue;
                }
                // The one exception: an item that is too long for that, without nodes, and rarely.
                let answer = parsed(&bytes);
                assert!(answer.item.value.is_some() && answer.nodes.is_none_or(<[u8]>::is_empty), "{n}: {bytes:?}");
                assert!(bytes.len() <= 1_280);
                beyond_in_all += bytes.len();
                let second = (server.now - began).as_secs();
                let prefix = from.ip().to_string().into_bytes();
                *beyond.entry((second, prefix)).or_default() += 1;
            }
            let seconds = (server.now - began).as_secs() as usize + 1;
            // 10 kB a second on average, with what one second allows at the beginning.
            assert!(beyond_in_all <= 10_000 * (seconds + 1), "{beyond_in_all} in {seconds} s");
        }
        // In one calendar second there may be the end of one and the beginning of the next.
        beyond.values().all(|times| *times <= 2)
    }

    /// A node that nobody it asks has ever answered sends no more than it gets, whatever is said in whoever's name.
    fn who_only_listens_initiates_less_than_it_receives(packets: Vec<(u8, u8, u16)>, seed: u8) -> bool {
        let mut world = World::new(seed);
        let host = world.add("8.1.1.1:6881".parse().unwrap(), Config { mode: Mode::Server, ..Config::default() });
        for (what, who, wait) in packets {
            let from = stranger(u32::from(who));
            let id = NodeId([who ^ seed; 20]);
            let call = match what % 5 {
                0 => Call::Ping,
                1 => Call::FindNode { target: id, want: BOTH },
                2 => GET,
                3 => Call::Get { target: TOPIC, seq: None, want: None },
                _ => Call::Other { method: b"x", target: None, want: None },
            };
            let body = if what & 0x80 == 0 {
                Body::Query(Query { id, read_only: what & 0x40 != 0, call })
            } else {
                Body::Response(Response { id, nodes: Some(&[what; 26 * 8]), ..Response::default() })
            };
            let tid = &b"tttt"[..usize::from(what >> 4 & 3)];
            let message = Message { tid, version: None, capabilities: Capabilities::NONE, body };
            world.deliver(host, from, &message.encode());
            if wait % 3 == 0 {
                world.run(Duration::from_millis(u64::from(wait) * 3));
            }
        }
        world.run(secs(600));
        let counters = world.hosts[host].dht.stats().counters;
        counters.sent_bytes <= counters.received_bytes
    }
}

#[test]
fn who_only_listens_asks_those_it_met_once() {
    let mut server = Server::new(Config { mode: Mode::Server, ..Config::default() });
    let mut world = World::new(41);
    world.add("8.1.1.1:6881".parse().unwrap(), Config { mode: Mode::Server, ..Config::default() });
    for n in 0..100 {
        world.deliver(0, stranger(n), &query("find_node", "6:target20:mnopqrstuvwxyz123456", "aaaa"));
    }
    world.run(secs(100));
    let asked = world.strays.iter().filter(|(.., bytes)| is_query(bytes)).count();
    assert_eq!(asked, 100, "each of them, at once since nobody is known, and once");
    assert!(world.strays.iter().all(|(.., bytes)| !is_query(bytes) || bytes.len() == PING_LEN));
    // What is shorter than the question that would be asked back is answered, and not followed up.
    let ping = query("ping", "", "");
    let sent = server.hear(stranger(1), &ping);
    assert_eq!(sent.len(), 1);
    server.now += secs(100);
    assert!(server.dht.unverified.next_due().is_none());
}

/// The tokens of one widely used implementation are CRC-32C over the address and a secret, which is affine: three tokens of
/// one's own make the token of a fourth address. The attack, shown to work there, does not work here.
#[test]
fn tokens_cannot_be_forged() {
    let crc_token =
        |ip: [u8; 4]| crate::base::crc32c(&[ip.as_slice(), b"a secret of 20 bytes"].concat()).to_be_bytes();
    let mut server = Server::new(Config { mode: Mode::Server, ..Config::default() });
    let mut token = |ip: [u8; 4]| {
        let answer =
            server.ask((ip, 7_000).into(), &query("get_peers", "9:info_hash20:mnopqrstuvwxyz123456", "aaaa"));
        <[u8; 8]>::try_from(parsed(&answer.unwrap()).token.unwrap()).unwrap()
    };
    let xor = |tokens: [&[u8]; 3]| -> Vec<u8> {
        (0..tokens[0].len()).map(|i| tokens.iter().fold(0, |sum, token| sum ^ token[i])).collect()
    };
    let mut forgeries = Vec::new();
    let mut broken = 0;
    for n in 0..64_u8 {
        let (a, b) = (1 << (n % 6), 1 << ((n + 1 + n / 6 % 5) % 6));
        let [base, first, second, victim] = [0, a, b, a ^ b].map(|last| [203, 0, n % 7, 64 ^ last]);
        let crc = [base, first, second].map(crc_token);
        broken += u32::from(xor([&crc[0], &crc[1], &crc[2]]) == crc_token(victim));
        let own = [base, first, second].map(&mut token);
        forgeries.push((victim, xor([&own[0], &own[1], &own[2]])));
        // Another's token, a part of one's own, one bit of it changed, and guesses.
        forgeries.push((victim, own[0].to_vec()));
        forgeries.push((base, own[0][..7].to_vec()));
        let mut bent = own[0];
        bent[usize::from(n % 8)] ^= 1 << (n / 8);
        forgeries.push((base, bent.to_vec()));
        forgeries.push((base, vec![n; 8]));
        forgeries.push((base, crc[0].to_vec()));
    }
    assert_eq!(broken, 64, "or the attack would not be one");
    let topic = InfoHash(*b"mnopqrstuvwxyz123456");
    for (ip, forged) in &forgeries {
        assert!(!server.dht.tokens.verify(server.now, (*ip).into(), &topic, forged), "{ip:?} {forged:?}");
    }
    // Nor for another topic, nor after two epochs.
    let own = server.dht.tokens.issue(server.now, [203, 0, 0, 1].into(), &topic);
    assert!(server.dht.tokens.verify(server.now, [203, 0, 0, 1].into(), &topic, &own));
    assert!(!server.dht.tokens.verify(server.now, [203, 0, 0, 1].into(), &TOPIC, &own));
    assert!(!server.dht.tokens.verify(server.now + secs(600), [203, 0, 0, 1].into(), &topic, &own));
    assert_eq!(server.dht.stats().stored_topics, 1, "the one it began with");
}

#[test]
fn both_families_get_four_nodes_each_where_room_is_short_and_eight_where_not() {
    let mut server = Server::new(Config { mode: Mode::Server, ..Config::default() });
    let question = query("find_node", "6:target20:mnopqrstuvwxyz1234564:wantl2:n42:n6e", "aaaa");
    let answer = server.ask(stranger(1), &question).unwrap();
    let named = |answer: &[u8]| {
        let (v4, v6): (Vec<_>, Vec<_>) =
            parsed(answer).contacts().partition(|contact| contact.addr.is_ipv4());
        (v4.len(), v6.len())
    };
    assert!(answer.len() * 2 <= question.len() * 7);
    let (four, six) = named(&answer);
    assert!((3..=5).contains(&four) && (3..=4).contains(&six), "{four} and {six}");
    let now = server.now;
    server.dht.proven.insert(now, stranger(1).ip());
    assert_eq!(named(&server.ask(stranger(1), &question).unwrap()), (K, K));
}

#[test]
fn strictness_holds_local_addresses_to_all_rules() {
    let near = SocketAddr::from(([192, 168, 1, 9], 7_000));
    let question = query("get_peers", "9:info_hash20:a topic of our tests", "aaaa");
    for strict in [false, true] {
        let mut server = Server::new(Config { mode: Mode::Server, strict, ..Config::default() });
        let answer = server.ask(near, &question).unwrap();
        assert_eq!(answer.len() * 2 <= question.len() * 7, strict, "unproven");
        let answered = (0..200).filter(|_| server.ask(near, &question).is_some()).count();
        assert_eq!(answered < 60, strict, "{answered} at once");
        for port in 1..100 {
            let peer = SocketAddr::new(near.ip(), port);
            let new = server.dht.announcement(InfoHash([1; 20]), peer, false);
            let home = server.dht.home(true);
            server.dht.store.insert(server.now, &home, new).unwrap();
        }
        let ports = server.dht.store.peers(&InfoHash([1; 20])).count();
        assert_eq!(ports, if strict { limits::DHT_PEERS_PER_TOPIC_AND_IP } else { 99 });
    }
}

#[test]
fn a_scrape_is_answered_with_both_filters() {
    let mut server = Server::new(Config { mode: Mode::Server, ..Config::default() });
    let question = query("get_peers", "9:info_hash20:a topic of our tests6:scrapei1e", "aaaa");
    let answer = server.ask(stranger(1), &question).unwrap();
    assert_eq!(parsed(&answer).scrape.seeds, None, "not for one who may be somebody else");
    let now = server.now;
    server.dht.proven.insert(now, stranger(1).ip());
    let answer = server.ask(stranger(1), &question).unwrap();
    assert!(answer.len() <= 1_024);
    let answer = parsed(&answer);
    let estimate = |filter: Option<&[u8; Bloom::LEN]>| Bloom::from_bytes(*filter.unwrap()).estimate();
    let (seeds, others) = (estimate(answer.scrape.seeds), estimate(answer.scrape.peers));
    assert!((40.0..60.0).contains(&seeds) && (135.0..165.0).contains(&others), "{seeds} and {others} of 200");
    assert!(answer.token.is_some() && answer.peers().count() > 0 && answer.contacts().count() > 0);
    let unasked =
        server.ask(stranger(1), &query("get_peers", "9:info_hash20:a topic of our tests", "aaaa")).unwrap();
    assert_eq!(parsed(&unasked).scrape.peers, None);
    let unknown =
        server.ask(stranger(1), &query("get_peers", "9:info_hash20:mnopqrstuvwxyz1234566:scrapei1e", "aaaa"));
    assert_eq!(parsed(&unknown.unwrap()).scrape.seeds, None, "nobody announced that");
}

/// BEP 33's own vector, through announcements: 256 IPv4 addresses and 1000 IPv6 ones, as leechers.
#[test]
fn a_scrape_of_bep33s_vector() {
    let mut store = super::super::store::Store::default();
    let home = super::super::store::Home { id: NodeId([0; 20]), nodes: None };
    let mut union = Bloom::default();
    let mut announce = |topic: u32, ip: IpAddr| {
        let mut hash = [0; 20];
        hash[..4].copy_from_slice(&topic.to_be_bytes());
        let (topic, peer) = (InfoHash(hash), SocketAddr::new(ip, 6_881));
        let new = Announcement { topic, peer, is_seed: false, is_exempt: true };
        store.insert(Time::ZERO, &home, new).unwrap();
        let (seeds, peers) = store.filters(&topic).unwrap();
        assert!(seeds.is_empty());
        union.merge(peers.as_bytes());
    };
    // No topic holds so many, so they are spread, as over several nodes.
    (0..256).for_each(|n| announce(n / 128, [192, 0, 2, n as u8].into()));
    (0..1_000_u16).for_each(|n| announce(2 + u32::from(n) / 128, [0x2001, 0xdb8, 0, 0, 0, 0, 0, n].into()));
    assert!((union.estimate() - 1_224.930_8).abs() < 0.001, "{}", union.estimate());
    assert_eq!(union.as_bytes()[..8], [0xf6, 0xc3, 0xf5, 0xea, 0xa0, 0x7f, 0xfd, 0x91]);
}

#[test]
fn quirk_unknown_keys_and_unsorted_dictionaries_are_read() {
    let mut server = Server::new(Config { mode: Mode::Server, ..Config::default() });
    let unsorted =
        b"d1:y1:q1:t2:aa1:q9:find_node1:ad6:target20:mnopqrstuvwxyz1234562:id20:ABCDEFGHIJ0123456789ee";
    assert!(parsed(&server.ask(stranger(1), unsorted).unwrap()).contacts().count() > 0);
    let more = b"d1:ad1:xli1ee2:id20:ABCDEFGHIJ01234567893:zzzd1:ai1eee1:q4:ping1:t2:aa1:xi7e1:y1:q2:zzlee";
    parsed(&server.ask(stranger(2), more).unwrap());
}

#[test]
fn quirk_transaction_ids_of_any_length_are_echoed() {
    let mut server = Server::new(Config { mode: Mode::Server, ..Config::default() });
    for len in [0, 1, 2, 4, 8, 20, 32] {
        let tid = "t".repeat(len);
        let answer = server.ask(stranger(len as u32), &query("ping", "", &tid)).unwrap();
        assert_eq!(Message::parse(&answer).unwrap().tid, tid.as_bytes());
    }
    assert_eq!(server.ask(stranger(99), &query("ping", "", &"t".repeat(33))), None);
}

#[test]
fn quirk_unknown_methods_with_a_target_get_nodes_and_others_204() {
    let mut server = Server::new(Config { mode: Mode::Server, ..Config::default() });
    for (n, argument) in ["6:target", "9:info_hash"].into_iter().enumerate() {
        let question = query("x_of_tomorrow", &format!("{argument}20:mnopqrstuvwxyz123456"), "aaaa");
        let answer = server.ask(stranger(n as u32), &question).unwrap();
        assert!(parsed(&answer).contacts().count() > 0 && parsed(&answer).token.is_none());
    }
    assert_eq!(code(&server.ask(stranger(3), &query("x_of_tomorrow", "", "aaaa")).unwrap()), 204);
}

/// What is stored here is nobody's business (BEP 51): a crawler gets nodes on its way, and no sample.
#[test]
fn quirk_samples_of_topics_are_not_given() {
    let mut server = Server::new(Config { mode: Mode::Server, ..Config::default() });
    let question = query("sample_infohashes", "6:target20:a topic of our tests", "aaaa");
    let answer = server.ask(stranger(1), &question).unwrap();
    let answer = parsed(&answer);
    assert!(answer.contacts().count() > 0 && answer.sample == Sample::default());
}

#[test]
fn quirk_malformed_arguments_are_refused_with_203() {
    let mut server = Server::new(Config { mode: Mode::Server, ..Config::default() });
    let cases = [
        query("find_node", "", "aaaa"),
        query("find_node", "6:target19:mnopqrstuvwxyz12345", "aaaa"),
        query("get_peers", "9:info_hash21:mnopqrstuvwxyz1234567", "aaaa"),
        query("get", "", "aaaa"),
        query("put", "1:v1:a", "aaaa"),
        query("announce_peer", "9:info_hash20:mnopqrstuvwxyz1234564:porti1e", "aaaa"),
        b"d1:ade1:q4:ping1:t4:aaaa1:y1:qe".to_vec(),
        b"d1:ad2:id19:ABCDEFGHIJ012345678e1:q4:ping1:t4:aaaa1:y1:qe".to_vec(),
    ];
    for (n, question) in cases.iter().enumerate() {
        let answer = server.ask(stranger(n as u32), question).unwrap();
        assert_eq!(code(&answer), 203, "{}", question.escape_ascii());
    }
    // An error longer than the question allows is not sent.
    assert_eq!(server.ask(stranger(50), b"d1:t1:a1:y1:qe"), None);
    assert_eq!(server.dht.stats().counters.answers_withheld, 1);
}

#[test]
fn quirk_port_zero_is_refused_unless_implied() {
    let mut server = Server::new(Config { mode: Mode::Server, ..Config::default() });
    let topic = InfoHash(*b"mnopqrstuvwxyz123456");
    let token = server.dht.tokens.issue(server.now, stranger(1).ip(), &topic);
    let announce = |arguments: &str| {
        let mut bytes =
            query("announce_peer", &format!("{arguments}9:info_hash20:mnopqrstuvwxyz123456@"), "aaaa");
        let at = bytes.iter().position(|byte| *byte == b'@').unwrap();
        bytes.splice(at..=at, [b"5:token8:".as_slice(), &token].concat());
        bytes
    };
    for refused in ["4:porti0e", "4:porti65536e", "4:porti-1e", "", "12:implied_porti0e4:porti0e"] {
        assert_eq!(code(&server.ask(stranger(1), &announce(refused)).unwrap()), 203, "{refused}");
    }
    for accepted in ["12:implied_porti1e4:porti0e", "12:implied_porti1e", "4:porti9999e"] {
        parsed(&server.ask(stranger(1), &announce(accepted)).unwrap());
    }
    let mut ports: Vec<u16> = server.dht.store.peers(&topic).map(|peer| peer.port()).collect();
    ports.sort_unstable();
    assert_eq!(ports, [7_000, 9_999]);
}

#[test]
fn quirk_values_are_of_the_askers_family_only() {
    let mut server = Server::new(Config { mode: Mode::Server, ..Config::default() });
    let question = query("get_peers", "9:info_hash20:a topic of our tests4:wantl2:n42:n6e", "aaaa");
    for from in [stranger(1), v6(999)] {
        let answer = server.ask(from, &question).unwrap();
        let peers: Vec<_> = parsed(&answer).peers().collect();
        assert!(!peers.is_empty() && peers.iter().all(|peer| peer.is_ipv4() == from.is_ipv4()));
    }
}

#[test]
fn quirk_want_decides_the_families_of_nodes_and_nonsense_in_it_nothing() {
    let mut server = Server::new(Config { mode: Mode::Server, ..Config::default() });
    let cases = [
        ("", [true, false], [false, true]),
        ("4:wantl2:n4e", [true, false], [true, false]),
        ("4:wantl2:n6e", [false, true], [false, true]),
        ("4:wantl2:n42:n6e", [true, true], [true, true]),
        ("4:wantle", [true, false], [false, true]),
        ("4:wantl2:n92:xxi4ee", [true, false], [false, true]),
        ("4:want2:n6", [true, false], [false, true]),
    ];
    for (n, (want, over_v4, over_v6)) in cases.into_iter().enumerate() {
        for (from, expected) in [(stranger(n as u32), over_v4), (v6(900 + n as u16), over_v6)] {
            let question = query("find_node", &format!("6:target20:mnopqrstuvwxyz123456{want}"), "aaaa");
            let answer = server.ask(from, &question).unwrap();
            let answer = parsed(&answer);
            assert_eq!([answer.nodes.is_some(), answer.nodes6.is_some()], expected, "{want} from {from}");
        }
    }
}

#[test]
fn quirk_read_only_askers_are_served_and_not_remembered() {
    let mut server = Server::new(Config { mode: Mode::Server, ..Config::default() });
    let question = b"d1:ad2:id20:ABCDEFGHIJ01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node2:roi1e1:t2:aa1:y1:qe";
    assert!(server.ask(stranger(1), question).is_some());
    assert!(server.dht.unverified.next_due().is_none());
}

#[test]
fn no_read_of_a_full_table_names_the_asker_or_one_of_another_scope() {
    let mut server = Server::new(Config { mode: Mode::Server, ..Config::default() });
    let near = Contact { id: NodeId([0x40; 20]), addr: ([192, 168, 1, 7], 6_881).into() };
    let table = &mut server.dht.overlay_mut(true).table;
    table.closest(&near.id.0, K).iter().for_each(|entry| table.remove(entry.contact.addr));
    table.answered(server.now, near, Duration::ZERO);
    let question = query("find_node", "6:target20:@@@@@@@@@@@@@@@@@@@@", "aaaa");
    let named = |answer: Vec<u8>| parsed(&answer).contacts().collect::<Vec<_>>();
    assert!(server.dht.overlay(true).table.contains(&near));
    assert!(named(server.ask(([192, 168, 1, 8], 7_000).into(), &question).unwrap()).contains(&near));
    assert!(!named(server.ask(near.addr, &question).unwrap()).contains(&near));
    assert!(!named(server.ask(stranger(1), &question).unwrap()).contains(&near));
    // A purpose of ours never makes an address proven; an answer does.
    let to = stranger(2);
    let tid =
        server.dht.rpc.begin(server.now, &mut server.rng, (SocketId(0), to), None, Purpose::Ping, false);
    assert!(!server.dht.is_proven(to.ip()));
    let body = Body::Response(Response { id: NodeId([3; 20]), ..Response::default() });
    let answer = Message { tid: &tid, version: None, capabilities: Capabilities::NONE, body }.encode();
    server.hear(to, &answer);
    assert!(server.dht.is_proven(to.ip()));
}

/// The second overlay on its own: everything works over IPv6 as over IPv4.
#[test]
fn a_network_of_ipv6_forms_finds_and_stores() {
    let mut world = World::new(42);
    for n in 1..=30 {
        let host = world.add(v6(n), Config { mode: Mode::Server, ..Config::default() });
        world.enter(host);
    }
    world.run(secs(60));
    assert!(world.hosts.iter().all(|host| host.dht.stats().nodes_v6 >= 8 && host.dht.stats().nodes_v4 == 0));
    assert!(world.hosts.iter().all(|host| node_id::is_bound(&host.dht.id(false), host.addr.ip())));
    world.announce(7);
    world.run(secs(5));
    assert!(world.has(7, |event| matches!(event, Event::Announced { nodes: 8, .. })));
    world.announce(19);
    assert!(world.run_until(world.now + secs(5), |world| world.knows_peer(19, 7)));
    let target = world.with(3, |dht, cx| dht.put_immutable(cx, Value::bytes(b"Hello World!").unwrap()));
    world.run(secs(5));
    assert!(world.has(3, |event| *event == Event::Stored { target, nodes: 8 }));
    world.with(22, |dht, cx| dht.get(cx, ItemId::Immutable(target), None));
    assert!(
        world.run_until(world.now + secs(5), |world| world
            .has(22, |event| matches!(event, Event::Item { .. })))
    );
}
