use std::net::SocketAddr;

use folkmoot_core::base::NodeId;
use folkmoot_core::wire::krpc::{Body, Call, Capabilities, Message, Response, Values, write_contact};

use super::ambient::{Ambient, Place};

/// What a node of an ambient network gives as a token. It believes every one.
const TOKEN: &[u8] = b"ambient!";

impl Ambient {
    /// What the node at `place` answers to a datagram, in KRPC: the nodes it knows, and `peers` if it is asked for peers.
    /// `None` if the datagram is no question.
    pub fn reply(
        &self,
        place: Place,
        from: SocketAddr,
        query: &[u8],
        peers: &[SocketAddr],
    ) -> Option<Vec<u8>> {
        let message = Message::parse(query).ok()?;
        let Body::Query(query) = &message.body else { return None };
        let (target, gives_token) = match &query.call {
            Call::FindNode { target, .. } => (Some(*target), false),
            Call::GetPeers { info_hash, .. } => (Some(NodeId(info_hash.0)), true),
            Call::Get { target, .. } => (Some(NodeId(target.0)), true),
            Call::Other { target, .. } => (*target, false),
            Call::Ping | Call::AnnouncePeer { .. } | Call::Put { .. } => (None, false),
        };
        let mut nodes = Vec::with_capacity(8 * 26);
        for named in target.iter().flat_map(|target| self.answer(place, target.as_bytes())) {
            write_contact(&mut nodes, &self.contact(named));
        }
        let is_for_peers = matches!(query.call, Call::GetPeers { .. }) && !peers.is_empty();
        let mut values = Vec::new();
        peers.iter().for_each(|peer| Values::push(&mut values, *peer));
        let response = Response {
            id: self.contact(place).id,
            nodes: target.is_some().then_some(&nodes),
            values: is_for_peers.then(|| Values::of(&values)),
            token: gives_token.then_some(TOKEN),
            ip: Some(from),
            ..Response::default()
        };
        Some(
            Message {
                tid: message.tid,
                version: None,
                capabilities: Capabilities::NONE,
                body: Body::Response(response),
            }
            .encode(),
        )
    }
}
