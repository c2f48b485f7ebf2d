use std::net::{Ipv4Addr, SocketAddr};

use folkmoot_core::base::NodeId;
use folkmoot_core::wire::krpc::{Body, Call, Contact, Message};

use crate::dht::answer;

/// What a DHT node does with questions for peers, and with announcements. All else it does as any other, and so it comes into
/// routing tables.
#[derive(Clone, Debug, Default)]
pub enum Manner {
    /// What it should.
    #[default]
    Honest,
    /// It does not answer them, and keeps nothing.
    Silent,
    /// It names peers, and nodes next to what was asked for, where nobody is.
    Lying,
    /// It names these allies, takes announcements, and keeps nothing.
    Sybil(Vec<Contact>),
}

/// Hostile nodes name as many as honest ones.
const NAMED: u8 = 8;

impl Manner {
    /// What the node with this id does with a datagram in place of what it should: `None` is nothing else, `Some(None)` silence.
    pub(super) fn answer(&self, id: NodeId, from: SocketAddr, bytes: &[u8]) -> Option<Option<Vec<u8>>> {
        if matches!(self, Self::Honest) {
            return None;
        }
        let message = Message::parse(bytes).ok()?;
        let Body::Query(query) = &message.body else { return None };
        let target = match query.call {
            Call::GetPeers { info_hash, .. } | Call::AnnouncePeer { info_hash, .. } => info_hash.0,
            _ => return None,
        };
        let (named, peers) = match self {
            Self::Honest | Self::Silent => return Some(None),
            Self::Lying => (0..NAMED).map(|n| nobody(target, n)).unzip(),
            Self::Sybil(allies) => (allies.iter().take(NAMED.into()).copied().collect(), Vec::new()),
        };
        let (named, peers): (Vec<Contact>, Vec<SocketAddr>) = (named, peers);
        Some(Some(answer(id, from, (message.tid, query), &named, &peers)))
    }
}

/// A node next to a target, and a peer, in a network that nobody is in.
fn nobody(target: [u8; 20], n: u8) -> (Contact, SocketAddr) {
    let mut id = NodeId(target);
    id.0[19] ^= n + 1;
    let addr = |port| SocketAddr::from((Ipv4Addr::new(11, n, target[0], target[1]), port));
    (Contact { id, addr: addr(6_881) }, addr(4_433))
}

#[cfg(test)]
mod tests {
    use folkmoot_core::base::InfoHash;
    use folkmoot_core::wire::krpc::{Capabilities, Query};

    use super::*;

    fn query(call: Call<'_>) -> Vec<u8> {
        let body = Body::Query(Query { id: NodeId([1; 20]), read_only: false, call });
        Message { tid: b"tt", version: None, capabilities: Capabilities::NONE, body }.encode()
    }

    #[test]
    fn hostile_nodes_misbehave_in_nothing_but_what_they_are_there_for() {
        let from = ([9, 9, 9, 9], 9).into();
        let ask = query(Call::GetPeers { info_hash: InfoHash([7; 20]), want: None, scrape: false });
        let ally = Contact { id: NodeId([7; 20]), addr: ([8, 8, 8, 8], 8).into() };
        let manners = [Manner::Honest, Manner::Silent, Manner::Lying, Manner::Sybil(vec![ally])];
        for manner in &manners {
            assert_eq!(manner.answer(NodeId([2; 20]), from, &query(Call::Ping)), None);
            assert_eq!(manner.answer(NodeId([2; 20]), from, b"no KRPC"), None);
        }
        let [honest, silent, lying, sybil] = manners.map(|it| it.answer(NodeId([2; 20]), from, &ask));
        assert_eq!((honest, silent), (None, Some(None)));
        let (lie, named) = (lying.unwrap().unwrap(), sybil.unwrap().unwrap());
        let Body::Response(lie) = Message::parse(&lie).unwrap().body else { panic!("no answer") };
        assert_eq!((lie.peers().count(), lie.contacts().count()), (8, 8));
        let Body::Response(named) = Message::parse(&named).unwrap().body else { panic!("no answer") };
        assert_eq!(named.contacts().map(|it| it.addr).collect::<Vec<_>>(), [ally.addr]);
        assert!(named.peers().next().is_none() && named.token.is_some());
    }
}
