use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::shares::{Shares, farthest};
use super::source::Source;
use crate::base::{InfoHash, NodeId, Rng, Time};
use crate::limits;
use crate::wire::krpc::Bloom;

/// How long a peer stays without announcing again. Announcers come back after 10 to 30 minutes.
const TTL: Duration = Duration::from_secs(35 * 60);

/// What others announced to us.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// Of each topic the peers, the one not heard of for longest first.
    topics: BTreeMap<InfoHash, Vec<Peer>>,
    /// When the first peer of each topic expires.
    expiry: BTreeSet<(Time, InfoHash)>,
    shares: Shares,
    peers: usize,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    ip: IpAddr,
    port: u16,
    /// Whether it has all of what the topic names (BEP 33).
    is_seed: bool,
    expires: Time,
}

/// An announcement, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announcement {
    pub(super) topic: InfoHash,
    pub(super) peer: SocketAddr,
    /// Whether it has all of what the topic names (BEP 33).
    pub(super) is_seed: bool,
    /// Whether the shares of addresses and networks are not for it.
    pub(super) is_exempt: bool,
}

/// Why a peer is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// There are as many topics, or peers in all, as there may be, and none that this one should take the place of.
    Store,
    /// This address, or its network, announces too much.
    Share,
}

/// What gives way.
#[derive(Clone, Copy, Debug)]
enum Victim {
    /// A topic with all its peers.
    Topic(InfoHash),
    /// Of a topic, the peer of this network not heard of for longest.
    Peer(InfoHash, Source),
}

impl Peer {
    fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }

    fn network(&self) -> Source {
        Source::of(self.ip).network()
    }
}

impl Store {
    /// Stores a peer, or stores it anew. `own` is our id. Returns whether it was not there before.
    pub(super) fn insert(&mut self, now: Time, own: &NodeId, new: Announcement) -> Result<bool, Full> {
        let Announcement { topic, peer, is_seed, .. } = new;
        let entry = Peer { ip: peer.ip(), port: peer.port(), is_seed, expires: now + TTL };
        let known =
            self.topics.get(&topic).and_then(|peers| peers.iter().position(|known| known.addr() == peer));
        if let Some(at) = known {
            self.change(topic, |peers| {
                peers.remove(at);
                peers.push(entry);
            });
            return Ok(false);
        }
        match self.place_for(own, &new)? {
            Some(Victim::Topic(hash)) => self.remove_topic(hash),
            Some(Victim::Peer(hash, network)) => self.remove_oldest(hash, network),
            None => {}
        }
        // A full topic loses the one not heard of for longest of the network that has most there, so that neither a flood
        // from one network nor time keeps out those who come back.
        if self.topics.get(&topic).is_some_and(|peers| peers.len() >= limits::DHT_PEERS_PER_TOPIC)
            && let Some(network) = self.crowd(&topic)
        {
            self.remove_oldest(topic, network);
        }
        self.change(topic, |peers| peers.push(entry));
        self.shares.add(Source::of(entry.ip), topic);
        self.peers += 1;
        Ok(true)
    }

    /// Whether a new announcement would be stored.
    pub(super) fn has_room(&self, own: &NodeId, new: &Announcement) -> bool {
        self.place_for(own, new).is_ok()
    }

    /// The peers of a topic, appended by `push`: at most `most` of those with an address of the family asked for, chosen
    /// at random.
    pub(super) fn sample(
        &self,
        rng: &mut Rng,
        topic: &InfoHash,
        ipv4: bool,
        most: usize,
        mut push: impl FnMut(SocketAddr),
    ) {
        let Some(peers) = self.topics.get(topic) else { return };
        let mut chosen: Vec<&Peer> = peers.iter().filter(|peer| peer.ip.is_ipv4() == ipv4).collect();
        for place in 0..most.min(chosen.len()) {
            if chosen.len() > most {
                let any = place + rng.below((chosen.len() - place) as u64) as usize;
                chosen.swap(place, any);
            }
            chosen.get(place).into_iter().for_each(|peer| push(peer.addr()));
        }
    }

    /// The filters of those who have all of what a topic names, and of those who do not (BEP 33), if anybody announced it.
    pub(super) fn filters(&self, topic: &InfoHash) -> Option<(Bloom, Bloom)> {
        let (mut seeds, mut others) = (Bloom::default(), Bloom::default());
        for peer in self.topics.get(topic)? {
            if peer.is_seed { &mut seeds } else { &mut others }.insert(peer.ip);
        }
        Some((seeds, others))
    }

    /// The peers of a topic.
    pub(super) fn peers(&self, topic: &InfoHash) -> impl Iterator<Item = SocketAddr> {
        self.topics.get(topic).into_iter().flatten().map(Peer::addr)
    }

    /// Removes what is not valid any more, of at most `most` topics.
    pub(super) fn expire(&mut self, now: Time, most: usize) {
        for _ in 0..most {
            let Some(&(_, topic)) = self.expiry.first().filter(|(expires, _)| *expires <= now) else {
                return;
            };
            let expired =
                self.topics.get(&topic).map_or(0, |peers| peers.partition_point(|peer| peer.expires <= now));
            self.remove(topic, 0..expired);
        }
    }

    /// When the next peer expires.
    pub(super) fn next_expiry(&self) -> Option<Time> {
        self.expiry.first().map(|&(expires, _)| expires)
    }

    /// How many topics, and peers in all, are stored.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.topics.len(), self.peers)
    }

    /// The memory taken beyond its own size, in bytes. A tree is taken to be two thirds full.
    pub(super) fn footprint(&self) -> usize {
        let topic = size_of::<(InfoHash, Vec<Peer>)>() + size_of::<(Time, InfoHash)>();
        let peers: usize = self.topics.values().map(|peers| peers.capacity() * size_of::<Peer>()).sum();
        self.topics.len() * topic * 3 / 2 + peers + self.shares.footprint()
    }

    /// What has to give way to a new announcement.
    fn place_for(&self, own: &NodeId, new: &Announcement) -> Result<Option<Victim>, Full> {
        let Announcement { topic, peer, is_exempt, .. } = *new;
        let source = Source::of(peer.ip());
        let network = source.network();
        let peers = self.topics.get(&topic);
        let here =
            || peers.map_or(0, |peers| peers.iter().filter(|known| Source::of(known.ip) == source).count());
        let has_share = is_exempt
            || (self.shares.of(source) < limits::DHT_PEERS_PER_IP
                && self.shares.of_network(network) < limits::DHT_PEERS_PER_NETWORK
                && self.shares.of_network_in(network, topic) < limits::DHT_PEERS_PER_TOPIC_AND_NETWORK
                && here() < limits::DHT_PEERS_PER_TOPIC_AND_IP);
        if !has_share {
            return Err(Full::Share);
        }
        // Only what is farther from us, and of nobody who would then have less here.
        let may_displace = |victim: &InfoHash, peers: &[Peer]| {
            let share = self.shares.of_network(network);
            own.distance(&victim.0) > own.distance(&topic.0)
                && peers.iter().all(|peer| self.shares.of_network(peer.network()) > share)
        };
        let farthest = || {
            let victim = farthest(own, |low, high| self.topics.range(low..=high).map(|(hash, _)| hash))?;
            self.topics.get_key_value(&victim)
        };
        let lacks_topic = peers.is_none() && self.topics.len() >= limits::DHT_STORED_TOPICS;
        let lacks_place = self.peers >= limits::DHT_STORED_PEERS;
        if !lacks_topic && !lacks_place {
            return Ok(None);
        }
        let heaviest = self.shares.heavier_than(network);
        let far = |hash: &InfoHash| own.distance(&hash.0);
        if lacks_topic {
            // A topic that is only theirs: nobody else loses by it.
            let alone = |hash: &InfoHash, network| {
                let all = self.topics.get(hash).map_or(0, Vec::len);
                self.shares.of_network_in(network, *hash) == all
            };
            let theirs = heaviest.and_then(|network| {
                self.shares.topics_of(network).filter(|hash| alone(hash, network)).max_by_key(far)
            });
            let farthest =
                || farthest().filter(|(hash, peers)| may_displace(hash, peers)).map(|(hash, _)| *hash);
            return theirs.or_else(farthest).map(|victim| Some(Victim::Topic(victim))).ok_or(Full::Store);
        }
        if let Some(network) = heaviest {
            let theirs = self.shares.topics_of(network).max_by_key(far).ok_or(Full::Store)?;
            return Ok(Some(Victim::Peer(theirs, network)));
        }
        let (victim, oldest) = farthest()
            .and_then(|(hash, peers)| Some((hash, peers.first()?)))
            .filter(|(hash, oldest)| may_displace(hash, std::slice::from_ref(oldest)))
            .ok_or(Full::Store)?;
        Ok(Some(Victim::Peer(*victim, oldest.network())))
    }

    /// The network with most peers of a topic; of several, the one not heard of for longest.
    fn crowd(&self, topic: &InfoHash) -> Option<Source> {
        let networks = self.topics.get(topic)?.iter().map(Peer::network);
        networks.rev().max_by_key(|network| self.shares.of_network_in(*network, *topic))
    }

    fn remove_oldest(&mut self, topic: InfoHash, network: Source) {
        let oldest =
            self.topics.get(&topic).and_then(|peers| peers.iter().position(|peer| peer.network() == network));
        if let Some(oldest) = oldest {
            self.remove(topic, oldest..oldest + 1);
        }
    }

    fn remove_topic(&mut self, topic: InfoHash) {
        let peers = self.topics.get(&topic).map_or(0, Vec::len);
        self.remove(topic, 0..peers);
    }

    fn remove(&mut self, topic: InfoHash, places: std::ops::Range<usize>) {
        let mut gone = Vec::new();
        self.change(topic, |peers| gone.extend(peers.drain(places)));
        gone.iter().for_each(|peer| self.shares.remove(Source::of(peer.ip), topic));
        self.peers -= gone.len();
    }

    /// Changes the peers of a topic, and what follows from them.
    fn change(&mut self, topic: InfoHash, change: impl FnOnce(&mut Vec<Peer>)) {
        let peers = self.topics.entry(topic).or_default();
        let first = |peers: &[Peer]| peers.first().map(|peer| (peer.expires, topic));
        let before = first(peers);
        change(peers);
        let after = first(peers);
        if peers.is_empty() {
            self.topics.remove(&topic);
        }
        if before != after {
            if let Some(before) = before {
                self.expiry.remove(&before);
            }
            self.expiry.extend(after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: NodeId = NodeId([0; 20]);

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
        store.insert(now, &OWN, Announcement { topic, peer, is_seed: false, is_exempt: false })
    }

    fn sample(store: &Store, topic: InfoHash, ipv4: bool, most: usize) -> Vec<SocketAddr> {
        let mut peers = Vec::new();
        store.sample(&mut Rng::new([most as u8; 32]), &topic, ipv4, most, |peer| peers.push(peer));
        peers
    }

    fn is_sound(store: &Store) -> bool {
        let peers: usize = store.topics.values().map(Vec::len).sum();
        let sorted = store
            .topics
            .values()
            .all(|peers| !peers.is_empty() && peers.is_sorted_by_key(|peer| peer.expires));
        let firsts: BTreeSet<_> =
            store.topics.iter().map(|(topic, peers)| (peers[0].expires, *topic)).collect();
        sorted && firsts == store.expiry && peers == store.peers && store.shares.total() == peers
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
            (1..100).filter(|&port| put(store, Time::ZERO, topic, peer(ip, port)).is_ok()).count()
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
        assert!((1_000..1_100).all(|port| store.insert(Time::ZERO, &OWN, exempt(port)).is_ok()));
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

    /// Where all have as much, what belongs here stays, and who would be refused is told beforehand.
    #[test]
    fn a_flood_from_everywhere_leaves_what_belongs_here() {
        let mut store = Store::default();
        for n in 0..6_007 {
            let new = Announcement {
                topic: topic(n * 7_919 % 6_007),
                peer: apart(n),
                is_seed: false,
                is_exempt: false,
            };
            let promised = store.has_room(&OWN, &new);
            assert_eq!(store.insert(Time::ZERO, &OWN, new).is_ok(), promised);
        }
        assert_eq!(store.sizes().0, limits::DHT_STORED_TOPICS);
        assert!((0..limits::DHT_STORED_TOPICS as u32).all(|n| store.peers(&topic(n)).count() == 1));
        assert!(is_sound(&store));
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
}
