use std::net::SocketAddr;

use super::machine::{Dht, Origin, VERSION};
use super::table::K;
use super::{Event, tokens};
use crate::base::{Cx, InfoHash, NodeId, Scope};
use crate::wire::krpc::{
    self, Body, Call, Contact, ErrorCode, Message, Query, Response, Values, Want, write_contact,
};

/// No answer is longer, in bytes (BEP 32).
const LONGEST: usize = 1_024;

/// How many peers are named at most.
const VALUES: usize = 50;

/// The answering side.
impl Dht {
    pub(super) fn on_query(&mut self, cx: &mut Cx<'_>, origin: &Origin, tid: &[u8], query: &Query<'_>) {
        self.counters.queries += 1;
        match query.call {
            Call::Ping => self.answer(cx, origin, tid, &Response::default()),
            Call::FindNode { target, want } => self.answer_nodes(cx, origin, tid, &target, want),
            Call::GetPeers { info_hash, want, .. } => self.answer_peers(cx, origin, tid, info_hash, want),
            Call::AnnouncePeer { info_hash, port, implied_port, token, .. } => {
                let port = if implied_port { origin.from.port() } else { port };
                self.on_announce(cx, origin, tid, info_hash, SocketAddr::new(origin.from.ip(), port), token);
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
            self.on_met(cx, Contact { id: query.id, addr: origin.from });
        }
    }

    /// A node asked us something. It may be of use, once it has answered something itself.
    fn on_met(&mut self, cx: &mut Cx<'_>, contact: Contact) {
        let table = &self.overlay(contact.addr.is_ipv4()).table;
        // While we know next to nobody, one that may be behind a NAT is better than none: how else would a network begin?
        let at_once = Scope::of(contact.addr.ip()).is_local() || table.len() < K;
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
        let (nodes, nodes6) = self.compact_nodes(origin, target, want, &mut room);
        let response = Response { nodes: nodes.as_deref(), nodes6: nodes6.as_deref(), ..Response::default() };
        self.answer(cx, origin, tid, &response);
    }

    fn answer_peers(
        &mut self,
        cx: &mut Cx<'_>,
        origin: &Origin,
        tid: &[u8],
        topic: InfoHash,
        want: Option<Want>,
    ) {
        let ip = origin.from.ip();
        let ipv4 = origin.from.is_ipv4();
        let mut room = self.room(origin, tid.len(), true);
        // Half of what room there is goes to peers, if there are any, and the rest to nodes.
        let value_size = if ipv4 { 2 + 6 } else { 3 + 18 };
        let most = (room / 2).saturating_sub(10) / value_size;
        let peers = self.store.sample(cx.rng, &topic, ipv4, most.min(VALUES));
        let mut values = Vec::with_capacity(peers.len() * value_size);
        peers.iter().for_each(|peer| Values::push(&mut values, *peer));
        room = room.saturating_sub(if peers.is_empty() { 0 } else { values.len() + 10 });
        let (nodes, nodes6) = self.compact_nodes(origin, &NodeId(topic.0), want, &mut room);
        // No token where the announcement that it allows would be refused (BEP 33).
        let token = self.store.check_room(&topic, ip).is_ok().then(|| self.tokens.issue(cx.now, ip, &topic));
        let response = Response {
            nodes: nodes.as_deref(),
            nodes6: nodes6.as_deref(),
            values: (!peers.is_empty()).then(|| Values::of(&values)),
            token: token.as_ref().map(<[u8; tokens::LEN]>::as_slice),
            ..Response::default()
        };
        self.answer(cx, origin, tid, &response);
    }

    fn on_announce(
        &mut self,
        cx: &mut Cx<'_>,
        origin: &Origin,
        tid: &[u8],
        topic: InfoHash,
        peer: SocketAddr,
        token: &[u8],
    ) {
        if !self.tokens.verify(cx.now, origin.from.ip(), &topic, token) {
            self.counters.bad_tokens += 1;
            return self.refuse(cx, origin, tid, ErrorCode::Protocol);
        }
        self.proven.insert(cx.now, origin.from.ip());
        match self.store.insert(cx.now, topic, peer) {
            Ok(is_new) => {
                self.counters.stored += 1;
                if is_new && self.topics.contains_key(&topic) {
                    self.tell(Event::Peers { topic, from: None, peers: vec![peer] });
                }
                self.answer(cx, origin, tid, &Response::default());
            }
            Err(_) => {
                self.counters.store_full += 1;
                self.refuse(cx, origin, tid, ErrorCode::Server);
            }
        }
    }

    pub(super) fn answer(&self, cx: &mut Cx<'_>, origin: &Origin, tid: &[u8], response: &Response<'_>) {
        self.answer_within(cx, origin, tid, response, self.longest(origin));
    }

    pub(super) fn answer_within(
        &self,
        cx: &mut Cx<'_>,
        origin: &Origin,
        tid: &[u8],
        response: &Response<'_>,
        longest: usize,
    ) {
        let response =
            Response { id: self.id(origin.from.is_ipv4()), ip: Some(origin.from), ..response.clone() };
        let bytes = Message {
            tid,
            version: Some(VERSION),
            capabilities: self.capabilities,
            body: Body::Response(response),
        }
        .encode();
        debug_assert!(bytes.len() <= longest.max(128), "{} bytes to {origin:?}", bytes.len());
        cx.transmit(origin.socket, origin.local, origin.from, bytes);
    }

    /// The nodes closest to a target in the families wanted, as far as there is room.
    pub(super) fn compact_nodes(
        &self,
        origin: &Origin,
        target: &NodeId,
        want: Option<Want>,
        room: &mut usize,
    ) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        let ipv4 = origin.from.is_ipv4();
        let want = want.filter(|want| want.v4 || want.v6).unwrap_or(Want { v4: ipv4, v6: !ipv4 });
        // Where there is not room for eight of both, neither family takes the room of the other.
        let share = if want.v4 && want.v6 { *room / 2 } else { *room };
        let source = Scope::of(origin.from.ip());
        let mut list = |wanted: bool, ipv4: bool| {
            // `5:nodes208:` or `6:nodes6304:`
            let size = if ipv4 { 26 } else { 38 };
            let most = (share.saturating_sub(12) / size).min(K);
            let closest = self.overlay(ipv4).table.closest(target.as_bytes(), if wanted { most } else { 0 });
            // Nodes of a private network are of no use outside of it, and the asker knows itself.
            let useful =
                |contact: &&Contact| Scope::of(contact.addr.ip()) >= source && contact.addr != origin.from;
            let mut nodes = Vec::with_capacity(closest.len() * size);
            closest.iter().filter(useful).for_each(|contact| write_contact(&mut nodes, contact));
            *room = room.saturating_sub(nodes.len() + 12);
            wanted.then_some(nodes)
        };
        (list(want.v4, true), list(want.v6, false))
    }

    /// How long an answer may be, in bytes. An address that has not proven that it receives what we send gets at most 3.5
    /// times what it sent, so that nobody gains by sending us questions in another's name.
    pub(super) fn longest(&self, origin: &Origin) -> usize {
        if self.is_proven(origin.from.ip()) { LONGEST } else { LONGEST.min(origin.size * 7 / 2) }
    }

    /// How much of it is left for lists.
    pub(super) fn room(&self, origin: &Origin, tid: usize, with_token: bool) -> usize {
        // `d2:ip6:` address `1:rd2:id20:` id `5:token8:` token `e1:t32:` tid `1:v4:` version `1:y1:re`
        let ip = if origin.from.is_ipv4() { 6 + 6 } else { 7 + 18 };
        let token = if with_token { 9 + tokens::LEN } else { 0 };
        let fixed = 1
            + ip
            + 11
            + NodeId::LEN
            + token
            + 1
            + 6
            + tid
            + 5
            + VERSION.len()
            + 6
            + 1
            + self.capabilities.encoded_len();
        debug_assert!(tid <= krpc::MAX_TID);
        self.longest(origin).saturating_sub(fixed)
    }
}
