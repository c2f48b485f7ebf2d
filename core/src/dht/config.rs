use super::Snapshot;
use crate::base::NodeId;
use crate::wire::krpc::Capabilities;

/// How a [`Dht`](super::Dht) is set up.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Our place in the key space, for good. If not given it is random at first, and one that our address allows (BEP 42)
    /// as soon as that is known; a new one whenever it changes.
    pub id: Option<NodeId>,
    /// Whom we answer.
    pub mode: Mode,
    /// Whether the rules about addresses (one node per address and network in the routing table, rates, shares of the
    /// storage, proofs, waiting before a node is verified) hold
    /// for loopback and private addresses too. If not, a DHT of a few nodes on one machine or one LAN forms within a few
    /// round trips.
    pub strict: bool,
    /// Whether to ask the local network for nodes to enter by, while we know nobody. To be found that way a node has to get what is
    /// sent to [`LAN_GROUP`](super::LAN_GROUP): the shell joins that group, and hands over what comes as if it had come to the
    /// socket of that family.
    pub lan: bool,
    /// What we can do beyond the BEPs, told in every message to whoever knows what it means.
    pub capabilities: Capabilities,
    /// What an earlier run kept ([`Dht::snapshot`](super::Dht::snapshot)).
    pub saved: Option<Snapshot>,
}

/// Whom a node answers. One that does not answer says so in its own queries (BEP 43), so that nobody's routing table
/// fills with nodes that a NAT hides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Local addresses at once; everybody from the moment on that an unsolicited query reached us from the internet,
    /// because that is the proof that such queries can.
    #[default]
    Auto,
    /// Everybody, at once: for a node that is known to be reachable.
    Server,
    /// Nobody.
    ReadOnly,
}
