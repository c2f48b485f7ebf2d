use std::net::SocketAddr;

use super::Event;
use super::lookup::{Goal, Pace};
use super::machine::Dht;
use super::rpc::Purpose;
use super::table::K;
use super::topic::Topic;
use crate::base::{Cx, InfoHash, NodeId, Time};
use crate::limits;
use crate::wire::krpc::{Call, Contact, Response};

/// Fewer values than this in an answer are all there are; a node that stores more sends a random part.
const FEW_VALUES: usize = 16;

/// A kick after the table grew waits this long, so that several new nodes make one round.
const GROWN: std::time::Duration = std::time::Duration::from_millis(500);

/// Topics of our own.
impl Dht {
    /// Keeps us announced under a topic until [`Dht::forget`]: at the eight closest nodes of each address family (more if
    /// lookups along different paths disagree on which those are), with the port that our question comes from. Peers found on
    /// the way are told of in [`Event::Peers`].
    ///
    /// More than [`limits::DHT_TOPICS`] are refused with [`Event::NotAnnounced`], and not tried again.
    pub fn announce(&mut self, cx: &mut Cx<'_>, topic: InfoHash) {
        self.keep_announced(cx, topic, None);
    }

    /// The same, for a peer that listens on another port of ours.
    pub fn announce_port(&mut self, cx: &mut Cx<'_>, topic: InfoHash, port: u16) {
        self.keep_announced(cx, topic, Some(port));
    }

    fn keep_announced(&mut self, cx: &mut Cx<'_>, topic: InfoHash, port: Option<u16>) {
        if self.topics.contains_key(&topic) {
            return;
        }
        if self.topics.len() >= limits::DHT_TOPICS {
            return self.tell(Event::NotAnnounced { topic });
        }
        let mut kept = Topic::new(topic.0, port);
        kept.hasten(cx.now);
        self.topics.insert(topic, kept);
        self.pump(cx);
    }

    /// Our public address is another one now, as somebody else than DHT nodes saw first: announces all topics anew, within 16 s.
    pub fn moved(&mut self, cx: &mut Cx<'_>) {
        self.topics.values_mut().for_each(Topic::moved);
        self.pump(cx);
    }

    /// No longer keeps a topic announced. The nodes that store us forget us after half an hour or so.
    pub fn forget(&mut self, topic: InfoHash) {
        self.topics.remove(&topic);
        self.lookups.retain(|_, lookup| lookup.goal() != Goal::Peers(topic));
    }

    /// Asks one of the nodes that store us for the peers of a topic, another one each time: one datagram, no lookup. Their
    /// answer comes as [`Event::Peers`]. Returns whether there was one to ask.
    pub fn poll(&mut self, cx: &mut Cx<'_>, topic: InfoHash) -> bool {
        self.report_stored(topic);
        let Some(storer) = self.topics.get_mut(&topic).and_then(Topic::next_poll) else { return false };
        self.ask_for_peers(cx, topic, storer.addr, Some(storer.id))
    }

    /// Asks one node for the peers of a topic.
    pub(super) fn ask_for_peers(
        &mut self,
        cx: &mut Cx<'_>,
        topic: InfoHash,
        addr: SocketAddr,
        expected: Option<NodeId>,
    ) -> bool {
        let call = Call::GetPeers { info_hash: topic, want: None, scrape: false };
        self.ask(cx, addr, expected, call, Purpose::Poll(topic), false)
    }

    /// Begins the rounds that are due.
    pub(super) fn begin_rounds(&mut self, cx: &mut Cx<'_>) {
        let is_due = |topic: &Topic| topic.next_round().is_some_and(|at| at <= cx.now);
        let due: Vec<InfoHash> =
            self.topics.iter().filter(|(_, topic)| is_due(topic)).map(|(hash, _)| *hash).collect();
        for hash in due {
            let lookups =
                [true, false].map(|ipv4| self.begin_lookup(hash.0, (Goal::Peers(hash), Pace::PAIRED), ipv4));
            if let Some(topic) = self.topics.get_mut(&hash) {
                topic.begin_round(cx.now, lookups.into_iter().flatten().collect());
            }
            self.ask_neighbours(cx, hash);
            self.report_stored(hash);
        }
    }

    /// Sends the announcements that are due.
    pub(super) fn pump_announces(&mut self, cx: &mut Cx<'_>) {
        let hashes: Vec<InfoHash> = self.topics.keys().copied().collect();
        for hash in hashes {
            while let Some(addr) =
                self.topics.get(&hash).and_then(Topic::due).map(|(contact, _)| contact.addr)
            {
                if !self.may_ask(cx.now, addr) {
                    return;
                }
                let sent = self.announce_to(cx, hash, addr, false);
                if let Some(topic) = self.topics.get_mut(&hash) {
                    if sent { topic.on_sent(cx.now, addr) } else { topic.on_refused(addr) }
                }
            }
        }
    }

    /// Sends one announcement.
    pub(super) fn announce_to(
        &mut self,
        cx: &mut Cx<'_>,
        hash: InfoHash,
        addr: SocketAddr,
        again: bool,
    ) -> bool {
        let Some(bound) = self.route(addr).map(|socket| socket.bound.port()) else { return false };
        let Some((contact, token, port)) = self
            .topics
            .get(&hash)
            .and_then(|topic| Some((topic.token(addr)?, topic.port())))
            .map(|((contact, token), port)| (contact, token.to_vec(), port))
        else {
            return false;
        };
        let call = announcement(hash, port, bound, &token);
        self.ask(cx, addr, Some(contact.id), call, Purpose::Announce(hash), again)
    }

    /// Ends the rounds in which nothing is open any more.
    pub(super) fn finish_rounds(&mut self, cx: &mut Cx<'_>) {
        let enough = self.enough();
        let mut finished = Vec::new();
        for (hash, topic) in &mut self.topics {
            finished.extend(topic.finish_round(cx.now, cx.rng, enough).map(|nodes| (*hash, nodes)));
        }
        for (topic, nodes) in finished {
            self.tell(if nodes > 0 {
                Event::Announced { topic, nodes }
            } else {
                Event::NotAnnounced { topic }
            });
        }
    }

    /// The table grew: topics that nobody stores begin a round now, those that too few store soon.
    pub(super) fn on_grown(&mut self, now: Time) {
        let enough = self.enough();
        for topic in self.topics.values_mut().filter(|topic| !topic.is_in_round()) {
            match topic.accepted() {
                0 => topic.hasten(now),
                accepted if accepted < enough => topic.hasten(now + GROWN),
                _ => {}
            }
        }
    }

    pub(super) fn on_polled(
        &mut self,
        cx: &mut Cx<'_>,
        hash: InfoHash,
        contact: Contact,
        response: &Response<'_>,
    ) {
        self.report_peers(hash, contact.addr, response.peers());
        response.token.into_iter().for_each(|token| self.announce_nearby(cx, hash, contact.addr, token));
        let named = self.named(contact.addr, response, contact.addr.is_ipv4());
        let seen = response.ip.or(self.observed(contact.addr.is_ipv4()));
        let port = self.topics.get(&hash).and_then(Topic::port);
        let own = seen.map(|seen| SocketAddr::new(seen.ip(), port.unwrap_or(seen.port())));
        let values = response.peers().count();
        let listed = match own {
            Some(own) if response.peers().any(|peer| peer == own) => Some(true),
            Some(_) if values < FEW_VALUES => Some(false),
            None if values == 0 => Some(false),
            _ => None,
        };
        if let Some(topic) = self.topics.get_mut(&hash) {
            topic.on_polled(cx.now, contact, response.token, listed);
            topic.on_named(named.into_iter());
        }
    }

    /// Tells of the peers of a topic of ours that announced to us.
    pub(super) fn report_stored(&mut self, topic: InfoHash) {
        let peers: Vec<SocketAddr> = self.store.peers(&topic).collect();
        if !peers.is_empty() && (self.topics.contains_key(&topic) || self.searches.contains_key(&topic)) {
            self.tell(Event::Peers { topic, from: None, peers });
        }
    }

    /// How many nodes should store a topic, given how many there are.
    fn enough(&self) -> usize {
        [true, false].into_iter().map(|ipv4| self.overlay(ipv4).table.alive().min(K)).sum()
    }
}

/// What announces us: at a port of our own, or else at the one that the announcement comes from. `bound` is what that is on our side, for
/// those who do not know `implied_port`.
pub(super) fn announcement(info_hash: InfoHash, port: Option<u16>, bound: u16, token: &[u8]) -> Call<'_> {
    let (port, implied_port) = (port.unwrap_or(bound), port.is_none());
    Call::AnnouncePeer { info_hash, port, implied_port, seed: false, token }
}
