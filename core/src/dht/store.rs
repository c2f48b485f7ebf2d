use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::base::{InfoHash, Rng, Scope, Time};
use crate::limits;

/// How long a peer stays without announcing again. Announcers come back after 10 to 30 minutes.
const TTL: Duration = Duration::from_secs(35 * 60);

/// What others announced to us.
#[derive(Debug, Default)]
pub(super) struct Store {
    topics: BTreeMap<InfoHash, Vec<Peer>>,
    expiry: BTreeSet<(Time, InfoHash, SocketAddr)>,
    per_ip: BTreeMap<IpAddr, usize>,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    addr: SocketAddr,
    expires: Time,
}

/// Why a peer is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// There are as many topics, or peers in all, as there may be.
    Store,
    /// This address announces too much.
    Ip,
}

impl Store {
    /// Stores a peer, or stores it anew. Returns whether it was not there before.
    pub(super) fn insert(&mut self, now: Time, topic: InfoHash, addr: SocketAddr) -> Result<bool, Full> {
        let expires = now + TTL;
        let peers = self.topics.get_mut(&topic);
        if let Some(peer) = peers.and_then(|peers| peers.iter_mut().find(|peer| peer.addr == addr)) {
            self.expiry.remove(&(peer.expires, topic, addr));
            peer.expires = expires;
            self.expiry.insert((expires, topic, addr));
            return Ok(false);
        }
        self.check_room(&topic, addr.ip())?;
        let peers = self.topics.entry(topic).or_default();
        // A full topic loses the one not heard of for longest, so a flood cannot keep out those who come back.
        let oldest = peers.iter().min_by_key(|peer| peer.expires).copied();
        if peers.len() >= limits::DHT_PEERS_PER_TOPIC
            && let Some(oldest) = oldest
        {
            self.remove(oldest.expires, topic, oldest.addr);
        }
        self.topics.entry(topic).or_default().push(Peer { addr, expires });
        self.expiry.insert((expires, topic, addr));
        *self.per_ip.entry(addr.ip()).or_default() += 1;
        Ok(true)
    }

    /// Whether an announcement of `topic` from `ip` would be stored.
    pub(super) fn check_room(&self, topic: &InfoHash, ip: IpAddr) -> Result<(), Full> {
        let peers = self.topics.get(topic);
        let full = self.expiry.len() >= limits::DHT_STORED_PEERS
            || (peers.is_none() && self.topics.len() >= limits::DHT_STORED_TOPICS);
        if full {
            return Err(Full::Store);
        }
        if Scope::of(ip).is_local() {
            return Ok(());
        }
        let here = peers.map_or(0, |peers| peers.iter().filter(|peer| peer.addr.ip() == ip).count());
        let in_all = self.per_ip.get(&ip).copied().unwrap_or(0);
        if here >= limits::DHT_PEERS_PER_TOPIC_AND_IP || in_all >= limits::DHT_PEERS_PER_IP {
            return Err(Full::Ip);
        }
        Ok(())
    }

    /// At most `most` peers of a topic that have an address of the family asked for, chosen at random.
    pub(super) fn sample(&self, rng: &mut Rng, topic: &InfoHash, ipv4: bool, most: usize) -> Vec<SocketAddr> {
        let mut peers: Vec<SocketAddr> = self.peers(topic).filter(|addr| addr.is_ipv4() == ipv4).collect();
        if peers.len() > most {
            rng.shuffle(&mut peers);
            peers.truncate(most);
        }
        peers
    }

    /// The peers of a topic.
    pub(super) fn peers(&self, topic: &InfoHash) -> impl Iterator<Item = SocketAddr> {
        self.topics.get(topic).into_iter().flatten().map(|peer| peer.addr)
    }

    /// Removes what is not valid any more, at most `most` peers.
    pub(super) fn expire(&mut self, now: Time, most: usize) {
        for _ in 0..most {
            match self.expiry.first() {
                Some(&(expires, topic, addr)) if expires <= now => self.remove(expires, topic, addr),
                _ => return,
            }
        }
    }

    /// When the next peer expires.
    pub(super) fn next_expiry(&self) -> Option<Time> {
        self.expiry.first().map(|&(expires, ..)| expires)
    }

    /// How many topics, and peers in all, are stored.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.topics.len(), self.expiry.len())
    }

    pub(super) fn footprint(&self) -> usize {
        0
    }

    fn remove(&mut self, expires: Time, topic: InfoHash, addr: SocketAddr) {
        self.expiry.remove(&(expires, topic, addr));
        if let Some(peers) = self.topics.get_mut(&topic) {
            peers.retain(|peer| peer.addr != addr);
            if peers.is_empty() {
                self.topics.remove(&topic);
            }
        }
        if let Some(count) = self.per_ip.get_mut(&addr.ip()) {
            *count -= 1;
            if *count == 0 {
                self.per_ip.remove(&addr.ip());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(n: u32) -> InfoHash {
        let mut hash = [0; 20];
        hash[..4].copy_from_slice(&n.to_be_bytes());
        InfoHash(hash)
    }

    fn peer(ip: u32, port: u16) -> SocketAddr {
        (std::net::Ipv4Addr::from(0x0800_0000 + ip), port).into()
    }

    #[test]
    fn stored_found_and_expired() {
        let (mut store, mut rng) = (Store::default(), Rng::new([0; 32]));
        let minute = |n: u64| Time::from_millis(n * 60_000);
        assert_eq!(store.insert(minute(0), topic(1), peer(1, 1)), Ok(true));
        assert_eq!(store.insert(minute(0), topic(1), peer(2, 1)), Ok(true));
        assert_eq!(store.insert(minute(20), topic(1), peer(1, 1)), Ok(false));
        assert_eq!(store.sample(&mut rng, &topic(1), true, 9).len(), 2);
        assert_eq!(store.sample(&mut rng, &topic(1), true, 1).len(), 1);
        assert_eq!(store.sample(&mut rng, &topic(1), false, 9).len(), 0);
        store.expire(minute(35), 100);
        assert_eq!(store.sample(&mut rng, &topic(1), true, 9), [peer(1, 1)]);
        assert_eq!(store.next_expiry(), Some(minute(55)));
        store.expire(minute(55), 100);
        assert_eq!((store.sizes(), store.per_ip.len()), ((0, 0), 0));
    }

    #[test]
    fn an_address_has_its_share() {
        let mut store = Store::default();
        let ports = |store: &mut Store, ip| {
            (1..100).filter(|&port| store.insert(Time::ZERO, topic(1), peer(ip, port)).is_ok()).count()
        };
        assert_eq!(ports(&mut store, 1), limits::DHT_PEERS_PER_TOPIC_AND_IP);
        let topics = (2..200).filter(|&n| store.insert(Time::ZERO, topic(n), peer(1, 1)).is_ok()).count();
        assert_eq!(topics, limits::DHT_PEERS_PER_IP - limits::DHT_PEERS_PER_TOPIC_AND_IP);
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        assert!((1..100).all(|port| store.insert(Time::ZERO, topic(1), local(port)).is_ok()));
    }

    #[test]
    fn a_flood_is_bounded_and_those_who_come_back_stay() {
        let mut store = Store::default();
        let loyal = peer(0, 1);
        for n in 1..10_000 {
            let now = Time::from_millis(u64::from(n) * 10);
            if n % 100 == 1 {
                store.insert(now, topic(0), loyal).unwrap();
            }
            store.insert(now, topic(0), peer(n, 1)).unwrap();
        }
        assert_eq!(store.sizes(), (1, limits::DHT_PEERS_PER_TOPIC));
        assert!(store.peers(&topic(0)).any(|addr| addr == loyal));
        for n in 1..100_000 {
            let _ = store.insert(Time::ZERO, topic(n % 3_000), peer(n, 1));
        }
        let (topics, peers) = store.sizes();
        assert_eq!(topics, limits::DHT_STORED_TOPICS);
        assert!(peers <= limits::DHT_STORED_PEERS);
        assert_eq!(store.per_ip.values().sum::<usize>(), peers);
    }
}
