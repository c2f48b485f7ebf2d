use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

use super::Item;
use crate::base::{InfoHash, NodeId};

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
        /// How many addresses that were given to [`Dht::bootstrap`](super::Dht::bootstrap) were asked. If there are none, and
        /// nobody is remembered, only the local network was asked; this is told once.
        asked: usize,
        /// How many nodes there are from an earlier run; they are asked a few at a time.
        remembered: usize,
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
    /// The search for the peers of a topic ([`Dht::find_peers`](super::Dht::find_peers)) is over.
    Sought {
        /// The topic.
        topic: InfoHash,
        /// How many nodes named peers.
        holders: usize,
        /// How many nodes answered.
        answered: usize,
        /// How many peers there are, if that was asked ([`Dht::count_peers`](super::Dht::count_peers)).
        count: Option<super::Headcount>,
    },
    /// A node that was asked whether it is there ([`Dht::ping`](super::Dht::ping)) is. May come twice for one question.
    Pong {
        /// Its address.
        addr: SocketAddr,
        /// Its id.
        id: NodeId,
        /// How long the answer took.
        rtt: Duration,
        /// Its software as it names it: by convention two letters, and two bytes of version.
        version: Option<[u8; 4]>,
        /// Our address as it sees it (BEP 42).
        observed: Option<SocketAddr>,
    },
    /// A node that was asked whether it is there does not answer, or cannot be sent to.
    Silent {
        /// Its address.
        addr: SocketAddr,
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
    /// An item that is searched, of which no version as new was told of in that search.
    Item {
        /// Where it is stored.
        target: InfoHash,
        /// The item; its signature holds.
        item: Item,
        /// The node that holds it; `None` if that is this node.
        from: Option<SocketAddr>,
    },
    /// The search for an item is over.
    ItemSought {
        /// Where it is stored.
        target: InfoHash,
        /// Whether some node held it, in a version of interest.
        found: bool,
        /// How many nodes answered.
        answered: usize,
    },
    /// An item is stored.
    Stored {
        /// Where.
        target: InfoHash,
        /// How many nodes accepted it; at least one.
        nodes: usize,
    },
    /// An item is not stored.
    NotStored {
        /// Where it would have been.
        target: InfoHash,
        /// Why.
        why: NotStored,
    },
    /// How well we are part of the network has changed.
    Health(super::Health),
    /// Our address as the majority of those who answered lately see it. Only told when it changes.
    Observed {
        /// Address and port, from outside of any NAT between.
        public: SocketAddr,
    },
}

/// Why an item is not stored.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NotStored {
    /// [`crate::limits::DHT_ERRANDS`] searches and puts are under way.
    #[error("too much is under way")]
    Busy,
    /// No node that could store it answered.
    #[error("no node answered")]
    Unanswered,
    /// There is a version with a higher sequence number, or with the same and another value.
    #[error("there is a newer version")]
    Superseded {
        /// Its sequence number, where the version was seen and its signature holds.
        by: Option<i64>,
    },
    /// The version stored is not the one expected.
    #[error("the version stored is not the one expected")]
    Conflict,
    /// All who answered refused for other reasons.
    #[error("refused with code {code}")]
    Refused {
        /// The code of the last one.
        code: i64,
    },
}
