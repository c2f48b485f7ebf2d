use std::net::SocketAddr;

use folkmoot_core::base::NodeId;
use folkmoot_core::wire::krpc::{
    Body, Call, Capabilities, Contact, Message, Query, Response, Values, write_contact,
};

/// What a simulated node gives as a token. It believes every one.
const TOKEN: &[u8] = b"ambient!";

/// The point in the key space that a question is about, if it is about one.
pub(super) fn target_of(query: &Query<'_>) -> Option<[u8; 20]> {
    match &query.call {
        Call::FindNode { target, .. } => Some(target.0),
        Call::GetPeers { info_hash, .. } => Some(info_hash.0),
        Call::Get { target, .. } => Some(target.0),
        Call::Other { target, .. } => target.map(|target| target.0),
        Call::Ping | Call::AnnouncePeer { .. } | Call::Put { .. } => None,
    }
}

/// The answer of a node with this id to a question, in KRPC: nodes if they were asked for, and peers likewise.
pub(crate) fn answer(
    id: NodeId,
    from: SocketAddr,
    (tid, query): (&[u8], &Query<'_>),
    named: &[Contact],
    peers: &[SocketAddr],
) -> Vec<u8> {
    let mut nodes = Vec::with_capacity(named.len() * 26);
    named.iter().for_each(|contact| write_contact(&mut nodes, contact));
    let mut values = Vec::new();
    peers.iter().for_each(|peer| Values::push(&mut values, *peer));
    let is_for_peers = matches!(query.call, Call::GetPeers { .. });
    let gives_token = is_for_peers || matches!(query.call, Call::Get { .. });
    let response = Response {
        id,
        nodes: target_of(query).is_some().then_some(&nodes),
        values: (is_for_peers && !peers.is_empty()).then(|| Values::of(&values)),
        token: gives_token.then_some(TOKEN),
        ip: Some(from),
        ..Response::default()
    };
    let body = Body::Response(response);
    Message { tid, version: None, capabilities: Capabilities::NONE, body }.encode()
}
