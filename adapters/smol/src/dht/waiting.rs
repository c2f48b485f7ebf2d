use std::net::SocketAddr;

use async_channel::Sender;
use folkmoot_core::base::InfoHash;
use folkmoot_core::dht::{Event, Item, ItemId, Known, NotStored, Progress, Stats};
use folkmoot_core::node::Trouble;

/// Calls that may wait for the loop; beyond that the callers wait.
pub(super) const MAX_CALLS: usize = 64;

/// What a handle asks of the loop.
#[derive(Debug)]
pub(super) enum Call {
    /// To begin something, and be told of all that comes of it.
    Begin(Task, Sender<Event>),
    /// Once the node is part of the network.
    Ready(Sender<usize>),
    Outlook(Sender<Outlook>),
    Trouble(Sender<Option<Trouble>>),
    /// To keep what is known, and end if the node runs on a thread of its own.
    Close(Sender<()>),
    Progress(InfoHash, Sender<Option<Progress>>),
    Stats(Sender<Stats>),
    Observed(Sender<Vec<SocketAddr>>),
    Table(Sender<Vec<Known>>),
}

/// Something that takes a while.
#[derive(Clone, Debug)]
pub(super) enum Task {
    Ping(SocketAddr),
    FindPeers(InfoHash),
    CountPeers(InfoHash),
    Announce(InfoHash, u16),
    Get(ItemId),
    Put(Item, Option<i64>),
    /// Until a newer version is there, or nobody wants to be told any more.
    Keep(Item),
}

/// Why a node may not be part of the network.
#[derive(Clone, Debug, Default)]
pub(super) struct Outlook {
    /// Nobody is known who could be asked, and no name is being looked up.
    pub(super) is_cut_off: bool,
    /// Names of hosts that have no address.
    pub(super) unresolved: Vec<String>,
    /// Hosts, and nodes known from before, that are asked.
    pub(super) asked: (usize, usize),
}

impl Task {
    /// Whether an event is about this.
    pub(super) fn concerns(&self, event: &Event) -> bool {
        match (self, event) {
            (Self::Ping(at), Event::Pong { addr, .. } | Event::Silent { addr }) => at == addr,
            (
                Self::FindPeers(wanted) | Self::CountPeers(wanted),
                Event::Peers { topic, .. } | Event::Sought { topic, .. },
            )
            | (Self::Announce(wanted, _), Event::Announced { topic, .. } | Event::NotAnnounced { topic }) => {
                wanted == topic
            }
            (Self::Get(id), Event::Item { target, .. } | Event::ItemSought { target, .. }) => {
                id.target() == *target
            }
            (
                Self::Put(item, _) | Self::Keep(item),
                Event::Stored { target, .. } | Event::NotStored { target, .. },
            ) => item.target() == *target,
            _ => false,
        }
    }
}

impl Task {
    /// Whether nothing more comes of it after this event, which concerns it.
    pub(super) fn ends_with(&self, event: &Event) -> bool {
        match (self, event) {
            (Self::Keep(_), Event::NotStored { why, .. }) => {
                matches!(why, NotStored::Superseded { .. } | NotStored::Busy)
            }
            (Self::Keep(_), _) => false,
            (_, event) => !matches!(event, Event::Peers { .. } | Event::Item { .. }),
        }
    }
}
