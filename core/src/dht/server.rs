use std::net::SocketAddr;

use super::machine::{Dht, Origin};
use super::nearest::NodeList;
use super::reply::PING_LEN;
use super::store::{Announcement, Home};
use super::table::K;
use super::upkeep::Overlay;
use super::{Event, tokens};
use crate::base::{Cx, InfoHash, NodeId};
use crate::wire::krpc::{Bloom, Call, Contact, ErrorCode, Query, Response, Scrape, Values, Want};

/// The room that the two filters take: `4:BFpe256:` and `4:BFsd256:` with 256 bytes each (BEP 33).
const FILTERS: usize = 2 * (10 + Bloom::LEN);

/// How many peers are named at most.
const VALUES: usize = 50;

/// The answering side.
impl Dht {
    pub(super) fn on_query(&mut self, cx: &mut Cx<'_>, origin: &Origin, tid: &[u8], query: &Query<'_>) {
        self.counters.queries += 1;
        match query.call {
            Call::Ping => self.answer(cx, origin, tid, Response::default()),
            Call::FindNode { target, want } => self.answer_nodes(cx, origin, tid, &target, want),
            Call::GetPeers { info_hash, want, scrape } => {
                self.answer_peers(cx, origin, tid, info_hash, want, scrape);
            }
            Call::AnnouncePeer { info_hash, port, implied_port, seed, token } => {
                let port = if implied_port { origin.from.port() } else { port };
                let peer = SocketAddr::new(origin.from.ip(), port);
                self.on_announce(cx, origin, tid, self.announcement(info_hash, peer, seed), token);
            }
            Call::Get { target, seq, want } => self.answer_item(cx, origin, tid, target, seq, want),
            Call::Put { token, value, ref mutable, .. } => {
                self.on_put(cx, origin, tid, token, value, mutable.as_ref());
            }
            // Nodes on the way to the target of an unknown method help whoever extends the protocol.
            Call::Other { target: Some(target), want, .. } => {
                self.answer_nodes(cx, origin, tid, &target, want)
            }
            Call::Other { target: None, .. } => {
                self.refuse(cx, origin, tid, ErrorCode::MethodUnknown);
            }
        }
        if !query.read_only {
            self.on_met(cx, origin, query.id);
        }
    }

    /// A node asked us something. It may be of use, once it has answered something itself.
    fn on_met(&mut self, cx: &mut Cx<'_>, origin: &Origin, id: NodeId) {
        let contact = Contact { id, addr: origin.from };
        // Its address may be another's: that one gets no more from us than was sent in its name.
        if origin.size < PING_LEN + self.capabilities.encoded_len() && !self.is_exempt(contact.addr.ip()) {
            return;
        }
        let table = &self.overlay(contact.addr.is_ipv4()).table;
        // While we know next to nobody, one that may be behind a NAT is better than none: how else would a network begin?
        let at_once = self.is_exempt(contact.addr.ip()) || table.len() < K;
        let restarted = || table.at(contact.addr).is_some_and(|known| known.id != contact.id);
        if table.wants(&contact) || (!table.contains(&contact) && restarted()) {
            self.unverified.met(cx.now, contact, at_once);
            self.pump(cx);
        }
    }

    fn answer_nodes(
        &mut self,
        cx: &mut Cx<'_>,
        origin: &Origin,
        tid: &[u8],
        target: &NodeId,
        want: Option<Want>,
    ) {
        let mut room = self.room(origin, tid.len(), false);
        let (nodes, nodes6) = self.nodes_for(origin, target, want, &mut room);
        let (nodes, nodes6) =
            (nodes.as_ref().map(NodeList::as_bytes), nodes6.as_ref().map(NodeList::as_bytes));
        self.answer(cx, origin, tid, Response { nodes, nodes6, ..Response::default() });
    }

    fn answer_peers(
        &mut self,
        cx: &mut Cx<'_>,
        origin: &Origin,
        tid: &[u8],
        topic: InfoHash,
        want: Option<Want>,
        scrape: bool,
    ) {
        let ipv4 = origin.from.is_ipv4();
        let mut room = self.room(origin, tid.len(), true);
        // Whoever asks for filters gets both, or none where there is no room: who has not proven its address yet.
        let filters = if scrape && room >= FILTERS { self.store.filters(&topic) } else { None };
        room -= if filters.is_some() { FILTERS } else { 0 };
        // Half of what room there is goes to peers, if there are any, and the rest to nodes.
        let value_size = if ipv4 { 2 + 6 } else { 3 + 18 };
        let most = (room / 2).saturating_sub(10) / value_size;
        let mut values = Vec::new();
        self.store.sample(cx.rng, &topic, ipv4, most.min(VALUES), |peer| Values::push(&mut values, peer));
        room = room.saturating_sub(if values.is_empty() { 0 } else { values.len() + 10 });
        let (nodes, nodes6) = self.nodes_for(origin, &NodeId(topic.0), want, &mut room);
        // No token where the announcement that it allows would be refused (BEP 33).
        let has_room = self.store.has_room(&self.home(ipv4), &self.announcement(topic, origin.from, false));
        let token = has_room.then(|| self.tokens.issue(cx.now, origin.from.ip(), &topic));
        self.counters.tokens_withheld += u64::from(!has_room);
        let response = Response {
            nodes: nodes.as_ref().map(NodeList::as_bytes),
            nodes6: nodes6.as_ref().map(NodeList::as_bytes),
            values: (!values.is_empty()).then(|| Values::of(&values)),
            token: token.as_ref().map(<[u8; tokens::LEN]>::as_slice),
            scrape: filters.as_ref().map_or_else(Scrape::default, |(seeds, peers)| Scrape {
                seeds: Some(seeds.as_bytes()),
                peers: Some(peers.as_bytes()),
            }),
            ..Response::default()
        };
        self.answer(cx, origin, tid, response);
    }

    pub(super) fn announcement(&self, topic: InfoHash, peer: SocketAddr, is_seed: bool) -> Announcement {
        Announcement { topic, peer, is_seed, is_exempt: self.is_exempt(peer.ip()) }
    }

    pub(super) fn home(&self, ipv4: bool) -> Home {
        let Overlay { table, census, .. } = self.overlay(ipv4);
        Home { id: table.own(), nodes: census.size().map(|size| size.nodes) }
    }

    fn on_announce(&mut self, cx: &mut Cx<'_>, origin: &Origin, tid: &[u8], new: Announcement, token: &[u8]) {
        let Announcement { topic, peer, .. } = new;
        if !self.tokens.verify(cx.now, origin.from.ip(), &topic, token) {
            self.counters.bad_tokens += 1;
            return self.refuse(cx, origin, tid, ErrorCode::Protocol);
        }
        self.proven.insert(cx.now, origin.from.ip());
        let home = self.home(origin.from.is_ipv4());
        match self.store.insert(cx.now, &home, new) {
            Ok(is_new) => {
                self.counters.stored += 1;
                if is_new && self.topics.contains_key(&topic) {
                    self.tell(Event::Peers { topic, from: None, peers: vec![peer] });
                }
                self.answer(cx, origin, tid, Response::default());
            }
            Err(_) => {
                self.counters.store_full += 1;
                self.refuse(cx, origin, tid, ErrorCode::Server);
            }
        }
    }
}
