use std::net::SocketAddr;

use crate::base::InfoHash;

/// What a [`Dht`](super::Dht) tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// We are part of the network: for the first time, or again after all known nodes were lost.
    Bootstrapped {
        /// How many nodes we know.
        nodes: usize,
    },
    /// Nobody answered so far. Repeated, ever more rarely, while that is so; asking goes on.
    BootstrapSilent {
        /// How many addresses were asked.
        asked: usize,
    },
    /// Peers that announced a topic of ours. They may repeat, and our own address may be among them.
    Peers {
        /// The topic.
        topic: InfoHash,
        /// The node that named them; `None` if they announced to us.
        from: Option<SocketAddr>,
        /// Their addresses; not empty. Anyone can announce any address, so none of them is proven.
        peers: Vec<SocketAddr>,
    },
    /// A round of announcing is complete.
    Announced {
        /// The topic.
        topic: InfoHash,
        /// How many nodes accepted; at least one.
        nodes: usize,
    },
    /// A round of announcing is complete, and nobody accepted. It will be tried again soon.
    NotAnnounced {
        /// The topic.
        topic: InfoHash,
    },
    /// Our address as the majority of those who answered lately see it. Only told when it changes.
    Observed {
        /// Address and port, from outside of any NAT between.
        public: SocketAddr,
    },
}
