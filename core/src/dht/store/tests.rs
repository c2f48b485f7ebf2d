use super::*;

const HOME: Home = Home { id: NodeId([0; 20]), nodes: None };

fn topic(n: u32) -> InfoHash {
    let mut hash = [0; 20];
    hash[..4].copy_from_slice(&n.to_be_bytes());
    InfoHash(hash)
}

fn peer(ip: u32, port: u16) -> SocketAddr {
    (std::net::Ipv4Addr::from(0x0800_0000 + ip), port).into()
}

/// One in a network of its own.
fn apart(n: u32) -> SocketAddr {
    peer(n << 8, 1)
}

fn put(store: &mut Store, now: Time, topic: InfoHash, peer: SocketAddr) -> Result<bool, Full> {
    store.insert(now, &HOME, Announcement { topic, peer, is_seed: false, is_exempt: false })
}

fn sample(store: &Store, topic: InfoHash, ipv4: bool, most: usize) -> Vec<SocketAddr> {
    let mut peers = Vec::new();
    store.sample(&mut Rng::new([most as u8; 32]), &topic, ipv4, most, |peer| peers.push(peer));
    peers
}

fn is_sound(store: &Store) -> bool {
    let peers: usize = store.topics.values().map(|kept| kept.peers.len()).sum();
    let sorted = store.topics.values().all(|kept| kept.peers.is_sorted_by_key(|peer| peer.expires));
    let rank = |(topic, kept): (&InfoHash, &Kept)| {
        let (worth, expires) = kept.rank().expect("a topic has peers");
        (worth, expires, *topic)
    };
    let ranks: BTreeSet<_> = store.topics.iter().map(rank).collect();
    sorted && ranks == store.ranks && peers == store.peers && store.shares.total() == peers
}

#[test]
fn stored_found_and_expired() {
    let mut store = Store::default();
    let minute = |n: u64| Time::from_millis(n * 60_000);
    assert_eq!(put(&mut store, minute(0), topic(1), peer(1, 1)), Ok(true));
    assert_eq!(put(&mut store, minute(0), topic(1), peer(2, 1)), Ok(true));
    assert_eq!(put(&mut store, minute(20), topic(1), peer(1, 1)), Ok(false));
    assert_eq!(sample(&store, topic(1), true, 9).len(), 2);
    assert_eq!(sample(&store, topic(1), true, 1).len(), 1);
    assert_eq!(sample(&store, topic(1), false, 9).len(), 0);
    assert!(is_sound(&store));
    store.expire(minute(35), 100);
    assert_eq!(sample(&store, topic(1), true, 9), [peer(1, 1)]);
    assert_eq!(store.next_expiry(), Some(minute(55)));
    store.expire(minute(55), 100);
    assert_eq!(store.sizes(), (0, 0));
    assert!(is_sound(&store) && store.footprint() == 0);
}

#[test]
fn every_peer_is_named_as_often() {
    let mut store = Store::default();
    (0..200).for_each(|n| assert!(put(&mut store, Time::ZERO, topic(1), apart(n)).is_ok()));
    let mut named = BTreeMap::<SocketAddr, u32>::new();
    let mut rng = Rng::new([1; 32]);
    for _ in 0..1_000 {
        let mut chosen = BTreeSet::new();
        store.sample(&mut rng, &topic(1), true, 50, |peer| assert!(chosen.insert(peer), "nobody twice"));
        assert_eq!(chosen.len(), 50);
        chosen.into_iter().for_each(|peer| *named.entry(peer).or_default() += 1);
    }
    assert!(named.len() == 200 && named.values().all(|times| (180..=320).contains(times)), "{named:?}");
}

#[test]
fn an_address_and_a_network_have_their_shares() {
    let mut store = Store::default();
    let ports = |store: &mut Store, topic, ip| {
        let before = store.sizes().1;
        for port in 1..100 {
            let _ = put(store, Time::ZERO, topic, peer(ip, port));
        }
        store.sizes().1 - before
    };
    assert_eq!(ports(&mut store, topic(1), 1), limits::DHT_PEERS_PER_TOPIC_AND_IP);
    let topics = (2..200).filter(|&n| put(&mut store, Time::ZERO, topic(n), peer(1, 1)).is_ok()).count();
    assert_eq!(topics, limits::DHT_PEERS_PER_IP - limits::DHT_PEERS_PER_TOPIC_AND_IP);
    let neighbours: usize = (2..99).map(|ip| ports(&mut store, topic(1), ip)).sum();
    assert_eq!(neighbours, limits::DHT_PEERS_PER_TOPIC_AND_NETWORK - limits::DHT_PEERS_PER_TOPIC_AND_IP);
    let others: usize = (9..99).map(|n| ports(&mut store, topic(n), n)).sum();
    let so_far = limits::DHT_PEERS_PER_IP + neighbours;
    assert_eq!(others, limits::DHT_PEERS_PER_NETWORK - so_far);
    assert_eq!(put(&mut store, Time::ZERO, topic(1), peer(256, 1)), Ok(true), "of another network");
    assert!(is_sound(&store));
    let exempt =
        |port| Announcement { topic: topic(1), peer: peer(1, port), is_seed: false, is_exempt: true };
    assert!((1_000..1_100).all(|port| store.insert(Time::ZERO, &HOME, exempt(port)).is_ok()));
}

/// A member whose NAT restarts again and again is found at its last port, and its neighbours lose nothing by it.
#[test]
fn the_last_ports_of_an_address_stay() {
    let mut store = Store::default();
    let neighbour = peer(2, 1);
    assert_eq!(put(&mut store, Time::ZERO, topic(1), neighbour), Ok(true));
    assert_eq!(put(&mut store, Time::ZERO, topic(2), peer(1, 1)), Ok(true));
    let most = limits::DHT_PEERS_PER_TOPIC_AND_IP as u16;
    for port in 1..100 {
        let now = Time::from_millis(u64::from(port) * 1_000);
        let new = Announcement { topic: topic(1), peer: peer(1, port), is_seed: false, is_exempt: false };
        assert!(store.has_room(&HOME, &new));
        assert_eq!(store.insert(now, &HOME, new), Ok(true), "{port}");
        // One that announces all the while is not what gives way.
        assert_eq!(put(&mut store, now, topic(1), peer(1, 1)), Ok(false));
        assert!(is_sound(&store));
    }
    let last = (100 - most + 1..100).chain([1]).map(|port| peer(1, port));
    let expected: BTreeSet<_> = last.chain([neighbour]).collect();
    assert_eq!(store.peers(&topic(1)).collect::<BTreeSet<_>>(), expected);
    assert_eq!(store.peers(&topic(2)).count(), 1);
}

#[test]
fn a_flood_of_a_topic_is_bounded_and_those_who_come_back_stay() {
    let mut store = Store::default();
    let loyal = apart(0);
    for n in 1..10_000 {
        let now = Time::from_millis(u64::from(n) * 10);
        if n % 100 == 1 {
            put(&mut store, now, topic(0), loyal).unwrap();
        }
        put(&mut store, now, topic(0), apart(n)).unwrap();
    }
    assert_eq!(store.sizes(), (1, limits::DHT_PEERS_PER_TOPIC));
    assert!(store.peers(&topic(0)).any(|addr| addr == loyal));
    assert!(is_sound(&store));
}

#[test]
fn a_network_displaces_only_its_own_from_a_full_topic() {
    let mut store = Store::default();
    let members: Vec<_> = (1..=limits::DHT_PEERS_PER_TOPIC as u32 - 30).map(apart).collect();
    members.iter().for_each(|peer| assert!(put(&mut store, Time::ZERO, topic(0), *peer).is_ok()));
    for n in 0..31 {
        let _ = put(&mut store, Time::ZERO, topic(0), peer(n, 1));
    }
    assert_eq!(store.sizes(), (1, limits::DHT_PEERS_PER_TOPIC));
    assert!(members.iter().all(|member| store.peers(&topic(0)).any(|peer| peer == *member)));
}

/// Some thousand addresses of some networks announce whatever they can; those who announce one topic each still find
/// room, and lose nothing.
#[test]
fn whoever_has_most_gives_way() {
    let mut store = Store::default();
    for n in 0..100_000_u32 {
        let flooder = peer(((n % 20) << 8) | (n / 20 % 256), 1);
        let _ = put(&mut store, Time::ZERO, topic(n + 1), flooder);
    }
    assert_eq!(store.sizes().0, limits::DHT_STORED_TOPICS);
    for n in 100..1_100 {
        assert_eq!(put(&mut store, Time::ZERO, topic(u32::MAX - n), apart(n)), Ok(true), "{n}");
    }
    for n in 0..100_000_u32 {
        let flooder = peer(((n % 20) << 8) | (n / 20 % 256), 1);
        let _ = put(&mut store, Time::ZERO, topic(n + 1), flooder);
    }
    assert!((100..1_100).all(|n| store.peers(&topic(u32::MAX - n)).count() == 1));
    assert_eq!(store.sizes().0, limits::DHT_STORED_TOPICS);
    assert!(is_sound(&store));
}

/// In a network of which some 1,500 topics of a flood belong here.
const LARGE: Home = Home { id: NodeId([0; 20]), nodes: Some(32 * (1 << 32) / 1_500) };

fn announced(n: u32, from: SocketAddr) -> Announcement {
    Announcement { topic: topic(n), peer: from, is_seed: false, is_exempt: false }
}

/// Where all have as much, what belongs here stays, and who would be refused is told beforehand.
#[test]
fn a_flood_from_everywhere_leaves_what_belongs_here() {
    let mut store = Store::default();
    for n in 0..6_007 {
        let new = announced(n * 7_919 % 6_007, apart(n));
        let promised = store.has_room(&LARGE, &new);
        assert_eq!(store.insert(Time::from_millis(n.into()), &LARGE, new).is_ok(), promised);
    }
    assert_eq!(store.sizes().0, limits::DHT_STORED_TOPICS);
    assert!((0..=1_500).all(|n| store.peers(&topic(n)).count() == 1));
    // What came last of the rest is there, too: who has just announced is worth more than who did long ago.
    let last = (6_007 - 400..6_007).map(|n| n * 7_919 % 6_007);
    assert!(last.into_iter().all(|n| store.peers(&topic(n)).count() == 1));
    assert!(is_sound(&store));
}

/// Topics can be called anything, so a flood can be as close to us as it likes: a meeting of two from different providers
/// stays, and who comes after the flood finds room.
#[test]
fn a_flood_next_to_us_leaves_what_several_announced() {
    let mut store = Store::default();
    let mut put = |n: u32, from| store.insert(Time::ZERO, &LARGE, announced(n, from));
    for n in 0..100 {
        assert_eq!(put(1_000 + n, apart(n)), Ok(true));
        assert_eq!(put(1_000 + n, apart(n + (1 << 9))), Ok(true), "from another /16");
    }
    (0..50_000).for_each(|n| assert_eq!(put(n % 900, apart(n + (1 << 10))), Ok(true)));
    for n in 0..50_000 {
        let mut next = announced(0, apart(n));
        next.topic.0[16..].copy_from_slice(&(n + 1).to_be_bytes());
        assert_eq!(store.insert(Time::ZERO, &LARGE, next), Ok(true));
    }
    assert!((0..100).all(|n| store.peers(&topic(1_000 + n)).count() == 2));
    assert_eq!(store.insert(Time::ZERO, &LARGE, announced(1_400, apart(1 << 12))), Ok(true));
    assert!(is_sound(&store));
}

/// What belongs elsewhere displaces nothing that belongs here.
#[test]
fn what_belongs_elsewhere_is_refused_when_all_else_belongs_here() {
    let mut store = Store::default();
    for n in 0..limits::DHT_STORED_TOPICS as u32 {
        let mut near = announced(0, apart(n));
        near.topic.0[16..].copy_from_slice(&n.to_be_bytes());
        store.insert(Time::ZERO, &LARGE, near).unwrap();
    }
    let far = announced(1 << 31, apart(1 << 12));
    assert!(!store.has_room(&LARGE, &far));
    assert_eq!(store.insert(Time::ZERO, &LARGE, far), Err(Full::Store));
    assert!(store.has_room(&HOME, &far), "it belongs here, as far as is known");
}

/// A few places are no reason to give way, however little others have.
#[test]
fn who_has_little_is_not_heavy() {
    let mut store = Store::default();
    for n in 0..5 {
        assert_eq!(put(&mut store, Time::from_millis(9), topic(n), peer(n, 1)), Ok(true));
    }
    for n in 0..limits::DHT_STORED_TOPICS as u32 {
        assert_eq!(put(&mut store, Time::ZERO, topic(100 + n), apart(n + 1)), Ok(true));
    }
    assert!((0..5).all(|n| store.peers(&topic(n)).count() == 1));
}

#[test]
fn peers_in_all_are_bounded() {
    let mut store = Store::default();
    for n in 0..limits::DHT_STORED_PEERS as u32 + 5_000 {
        let _ = put(&mut store, Time::ZERO, topic(n % 1_000), apart(n % 0xff_ff00));
    }
    let (topics, peers) = store.sizes();
    assert!(topics <= 1_000 && peers == limits::DHT_STORED_PEERS);
    assert!(store.footprint() < 12_000_000, "{}", store.footprint());
    assert!(is_sound(&store));
}
