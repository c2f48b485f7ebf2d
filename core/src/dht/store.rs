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
mod tests;
