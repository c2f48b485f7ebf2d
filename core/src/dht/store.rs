use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::census;
use super::shares::{self, Shares};
use super::source::Source;
use crate::base::{InfoHash, NodeId, Rng, Time};
use crate::limits;
use crate::wire::krpc::Bloom;

/// How long a peer stays without announcing again. Announcers come back after 10 to 30 minutes.
const TTL: Duration = Duration::from_secs(35 * 60);

/// A topic belongs here if no more nodes than these are expected to be closer to it than we are. Announcements go to the eight
/// closest; the rest is for chance, for nodes that are dead, and for the error of the network's estimated size.
const NEIGHBOURS: f64 = 32.0;

/// What others announced to us.
///
/// Where there is no room, who has very much gives way first, and then the topic of least [`Worth`] that was not heard of for
/// longest. A topic can be called anything, so to be close to us is no merit against a flood that is meant for us; it is one
/// against a flood of topics that nobody would look for here.
#[derive(Debug, Default)]
pub(super) struct Store {
    topics: BTreeMap<InfoHash, Kept>,
    /// The topics again, by what they are worth and by when the first peer of each expires.
    ranks: BTreeSet<(Worth, Time, InfoHash)>,
    shares: Shares,
    peers: usize,
}

/// What is stored of a topic.
#[derive(Debug, Default)]
struct Kept {
    /// The one not heard of for longest first.
    peers: Vec<Peer>,
    /// Whether it belonged here when it was last announced.
    belongs: bool,
}

/// How much would be lost with a topic, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// Nobody would look for it here.
    Elsewhere,
    /// Nobody would, but several providers' addresses announced it.
    ElsewhereOfSeveral,
    /// It belongs here; all who announced it have one provider.
    Here,
    /// It belongs here, and several providers' addresses announced it, which is more than a flood has for each of its topics.
    HereOfSeveral,
}

/// Where we are, and in how large a network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Home {
    pub(super) id: NodeId,
    /// How many nodes there are, if that is known. If not, everything belongs here.
    pub(super) nodes: Option<u64>,
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
    /// Of the topic announced, the peer of the announcer's own address not heard of for longest.
    Own,
}

impl Home {
    fn belongs(&self, topic: &InfoHash) -> bool {
        let closer = |nodes| census::share(&self.id.distance(&topic.0)) * nodes as f64;
        self.nodes.is_none_or(|nodes| closer(nodes) <= NEIGHBOURS)
    }
}

impl Kept {
    /// What it is worth, and when its first peer expires, if it has any.
    fn rank(&self) -> Option<(Worth, Time)> {
        let first = self.peers.first()?;
        let is_of_several = self.peers.iter().any(|peer| peer.owner() != first.owner());
        let worth = match (self.belongs, is_of_several) {
            (false, false) => Worth::Elsewhere,
            (false, true) => Worth::ElsewhereOfSeveral,
            (true, false) => Worth::Here,
            (true, true) => Worth::HereOfSeveral,
        };
        Some((worth, first.expires))
    }
}

impl Peer {
    fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }

    fn source(&self) -> Source {
        Source::of(self.ip)
    }

    fn network(&self) -> Source {
        self.source().network()
    }

    fn owner(&self) -> Source {
        self.source().owner()
    }
}

impl Store {
    /// Stores a peer, or stores it anew. Returns whether it was not there before.
    pub(super) fn insert(&mut self, now: Time, home: &Home, new: Announcement) -> Result<bool, Full> {
        let Announcement { topic, peer, is_seed, .. } = new;
        let entry = Peer { ip: peer.ip(), port: peer.port(), is_seed, expires: now + TTL };
        let belongs = home.belongs(&topic);
        if let Some(at) = self.of(&topic).iter().position(|known| known.addr() == peer) {
            self.change(topic, |kept| {
                kept.belongs = belongs;
                kept.peers.remove(at);
                kept.peers.push(entry);
            });
            return Ok(false);
        }
        match self.place_for(home, &new)? {
            Some(Victim::Topic(hash)) => self.remove_topic(hash),
            Some(Victim::Peer(hash, network)) => self.remove_oldest(hash, |peer| peer.network() == network),
            Some(Victim::Own) => self.remove_oldest(topic, |known| known.source() == Source::of(peer.ip())),
            None => {}
        }
        // A full topic loses the one not heard of for longest of the network that has most there, so that neither a flood
        // from one network nor time keeps out those who come back.
        if self.of(&topic).len() >= limits::DHT_PEERS_PER_TOPIC
            && let Some(network) = self.crowd(&topic)
        {
            self.remove_oldest(topic, |peer| peer.network() == network);
        }
        self.change(topic, |kept| {
            kept.belongs = belongs;
            kept.peers.push(entry);
        });
        self.shares.add(Source::of(entry.ip), topic);
        self.peers += 1;
        Ok(true)
    }

    /// Whether a new announcement would be stored.
    pub(super) fn has_room(&self, home: &Home, new: &Announcement) -> bool {
        self.place_for(home, new).is_ok()
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
        let mut chosen: Vec<&Peer> = self.of(topic).iter().filter(|peer| peer.ip.is_ipv4() == ipv4).collect();
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
        for peer in &self.topics.get(topic)?.peers {
            if peer.is_seed { &mut seeds } else { &mut others }.insert(peer.ip);
        }
        Some((seeds, others))
    }

    /// The peers of a topic.
    pub(super) fn peers(&self, topic: &InfoHash) -> impl Iterator<Item = SocketAddr> {
        self.of(topic).iter().map(Peer::addr)
    }

    /// Removes what is not valid any more, of at most `most` topics.
    pub(super) fn expire(&mut self, now: Time, most: usize) {
        for _ in 0..most {
            let Some((_, topic)) = self.first_to_expire().filter(|(expires, _)| *expires <= now) else {
                return;
            };
            let expired = self.of(&topic).partition_point(|peer| peer.expires <= now);
            self.remove(topic, 0..expired);
        }
    }

    /// When the next peer expires.
    pub(super) fn next_expiry(&self) -> Option<Time> {
        self.first_to_expire().map(|(expires, _)| expires)
    }

    /// How many topics, and peers in all, are stored.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.topics.len(), self.peers)
    }

    /// The memory taken beyond its own size, in bytes. A tree is taken to be two thirds full.
    pub(super) fn footprint(&self) -> usize {
        let topic = size_of::<(InfoHash, Kept)>() + size_of::<(Worth, Time, InfoHash)>();
        let peers: usize = self.topics.values().map(|kept| kept.peers.capacity() * size_of::<Peer>()).sum();
        self.topics.len() * topic * 3 / 2 + peers + self.shares.footprint()
    }

    /// The peers of a topic.
    fn of(&self, topic: &InfoHash) -> &[Peer] {
        self.topics.get(topic).map_or(&[], |kept| &kept.peers)
    }

    /// The topic with the peer that expires first.
    fn first_to_expire(&self) -> Option<(Time, InfoHash)> {
        let first = |worth| {
            let all = (worth, Time::ZERO, InfoHash([0; 20]))..;
            self.ranks.range(all).next().filter(|(found, ..)| *found == worth)
        };
        let worths = [Worth::Elsewhere, Worth::ElsewhereOfSeveral, Worth::Here, Worth::HereOfSeveral];
        worths.into_iter().filter_map(first).map(|&(_, expires, topic)| (expires, topic)).min()
    }

    /// What has to give way to a new announcement.
    fn place_for(&self, home: &Home, new: &Announcement) -> Result<Option<Victim>, Full> {
        let Announcement { topic, peer, is_exempt, .. } = *new;
        let source = Source::of(peer.ip());
        let network = source.network();
        let peers = self.of(&topic);
        // Whoever has its share of a topic changes it: a NAT that restarts gives a member one port after another, and nobody
        // is at the former ones. Nobody else has less by it.
        let here = || peers.iter().filter(|known| known.source() == source).count();
        if !is_exempt && here() >= limits::DHT_PEERS_PER_TOPIC_AND_IP {
            return Ok(Some(Victim::Own));
        }
        let has_share = is_exempt
            || (self.shares.of(source) < limits::DHT_PEERS_PER_IP
                && self.shares.of_network(network) < limits::DHT_PEERS_PER_NETWORK
                && self.shares.of_network_in(network, topic) < limits::DHT_PEERS_PER_TOPIC_AND_NETWORK);
        if !has_share {
            return Err(Full::Share);
        }
        let lacks_topic = peers.is_empty() && self.topics.len() >= limits::DHT_STORED_TOPICS;
        let lacks_place = self.peers >= limits::DHT_STORED_PEERS;
        if !lacks_topic && !lacks_place {
            return Ok(None);
        }
        let heaviest = self.shares.heavier_than(network);
        let far = |hash: &InfoHash| home.id.distance(&hash.0);
        if lacks_topic {
            // A topic that is only theirs: nobody else loses by it.
            let alone =
                |hash: &InfoHash, network| self.shares.of_network_in(network, *hash) == self.of(hash).len();
            let theirs = heaviest.and_then(|network| {
                self.shares.topics_of(network).filter(|hash| alone(hash, network)).max_by_key(far)
            });
            let worth = if home.belongs(&topic) { Worth::Here } else { Worth::Elsewhere };
            let may_displace = self.shares.of_network(network) < shares::MODEST;
            let least = || self.ranks.first().filter(|(least, ..)| may_displace && *least <= worth);
            let least = || least().map(|(.., hash)| *hash);
            return theirs.or_else(least).map(|victim| Some(Victim::Topic(victim))).ok_or(Full::Store);
        }
        if let Some(network) = heaviest {
            let theirs = self.shares.topics_of(network).max_by_key(far).ok_or(Full::Store)?;
            return Ok(Some(Victim::Peer(theirs, network)));
        }
        // All the places are taken, which are thirty for each topic: the topic with most peers can do with fewer.
        let largest = self.topics.iter().max_by_key(|(_, kept)| kept.peers.len());
        let (&victim, _) =
            largest.filter(|(_, kept)| kept.peers.len() > peers.len() + 1).ok_or(Full::Store)?;
        let network = self.crowd(&victim).ok_or(Full::Store)?;
        Ok(Some(Victim::Peer(victim, network)))
    }

    /// The network with most peers of a topic; of several, the one not heard of for longest.
    fn crowd(&self, topic: &InfoHash) -> Option<Source> {
        let networks = self.of(topic).iter().map(Peer::network);
        networks.rev().max_by_key(|network| self.shares.of_network_in(*network, *topic))
    }

    /// Removes, of those peers of a topic, the one not heard of for longest.
    fn remove_oldest(&mut self, topic: InfoHash, those: impl Fn(&Peer) -> bool) {
        if let Some(oldest) = self.of(&topic).iter().position(those) {
            self.remove(topic, oldest..oldest + 1);
        }
    }

    fn remove_topic(&mut self, topic: InfoHash) {
        self.remove(topic, 0..self.of(&topic).len());
    }

    fn remove(&mut self, topic: InfoHash, places: std::ops::Range<usize>) {
        let mut gone = Vec::new();
        self.change(topic, |kept| gone.extend(kept.peers.drain(places)));
        gone.iter().for_each(|peer| self.shares.remove(Source::of(peer.ip), topic));
        self.peers -= gone.len();
    }

    /// Changes what is kept of a topic, and what follows from it.
    fn change(&mut self, topic: InfoHash, change: impl FnOnce(&mut Kept)) {
        let kept = self.topics.entry(topic).or_default();
        let before = kept.rank();
        change(kept);
        let after = kept.rank();
        if after.is_none() {
            self.topics.remove(&topic);
        }
        if before != after {
            if let Some((worth, expires)) = before {
                self.ranks.remove(&(worth, expires, topic));
            }
            self.ranks.extend(after.map(|(worth, expires)| (worth, expires, topic)));
        }
    }
}

#[cfg(test)]
mod tests {
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
}
