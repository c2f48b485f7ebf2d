use std::collections::BTreeMap;
use std::net::SocketAddr;

use folkmoot_core::base::InfoHash;
use folkmoot_core::wire::krpc::{Body, Call, Message};

/// A search as the network sees it: what the seeker asked, and how many answers led to the first peer.
#[derive(Clone, Debug)]
pub struct Trail {
    topic: InfoHash,
    questions: u32,
    /// How many answers led to a node; 1 for whom the seeker knew.
    hops: BTreeMap<SocketAddr, u32>,
    found: Option<u32>,
}

impl Trail {
    /// The search of a seeker who knows these nodes.
    pub fn new(topic: InfoHash, known: impl Iterator<Item = SocketAddr>) -> Self {
        Self { topic, questions: 0, hops: known.map(|addr| (addr, 1)).collect(), found: None }
    }

    /// The seeker sent a datagram.
    pub fn sent(&mut self, bytes: &[u8]) {
        if let Ok(Message { body: Body::Query(query), .. }) = Message::parse(bytes)
            && matches!(query.call, Call::GetPeers { info_hash, .. } if info_hash == self.topic)
        {
            self.questions += 1;
        }
    }

    /// The seeker received one. Only answers to `get_peers` have a token.
    pub fn received(&mut self, from: SocketAddr, bytes: &[u8]) {
        let Ok(Message { body: Body::Response(response), .. }) = Message::parse(bytes) else { return };
        if response.token.is_none() && response.values.is_none() {
            return;
        }
        let hops = self.hops.get(&from).copied().unwrap_or(1);
        for contact in response.contacts() {
            self.hops.entry(contact.addr).or_insert(hops + 1);
        }
        if response.peers().next().is_some() {
            self.found.get_or_insert(hops);
        }
    }

    /// Questions sent.
    pub fn questions(&self) -> u32 {
        self.questions
    }

    /// How many answers it took to the first that names a peer, with that one; `None` if none did.
    pub fn hops(&self) -> Option<u32> {
        self.found
    }
}
