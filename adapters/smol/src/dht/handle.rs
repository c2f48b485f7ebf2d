use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use async_io::Timer;
use folkmoot_core::base::{InfoHash, NodeId};
use folkmoot_core::dht::{Event, Headcount, Item, ItemId, Known, NotStored, Progress, Stats};
use folkmoot_core::node::Trouble;
use futures_lite::FutureExt as _;
use thiserror::Error;

use super::waiting::{Call, Outlook, Task};

/// What one asks of a DHT node. Cheap to clone; a node that was [started](super::DhtBuilder::start) stops when the last one is
/// dropped.
///
/// ```no_run
/// use std::time::Duration;
///
/// use folkmoot::DhtNode;
/// use folkmoot::core::dht::{Item, Value};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let dht = DhtNode::builder().guest().start()?;
/// dht.ready(Duration::from_secs(10)).await?;
///
/// let item = Item::Immutable(Value::bytes(b"Hello World!")?);
/// dht.put(item.clone(), None).await?;
/// assert_eq!(dht.get(item.id()).await?.newest().await, Some(item));
///
/// let mut peers = dht.find_peers("e5f96f6f38320f0f33959cb4d3d656452117aadb".parse()?).await?;
/// while let Some(peer) = peers.next().await {
///     println!("{peer}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// A future that is dropped stops waiting; what it began goes on in the node for the seconds that it takes.
#[derive(Clone, Debug)]
pub struct Dht {
    calls: Sender<Call>,
}

/// Why something could not be done in the DHT.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DhtError {
    /// There is nobody to ask: no bootstrap host is given, and nobody is known from before.
    #[error("no way into the DHT is known")]
    CutOff,
    /// None of the names given has an address.
    #[error("no address is known for {}", .0.join(", "))]
    Unresolved(Vec<String>),
    /// Nobody answered.
    #[error("{}", nobody(*hosts, *nodes))]
    Nobody {
        /// Bootstrap hosts asked.
        hosts: usize,
        /// Nodes known from before.
        nodes: usize,
    },
    /// A node does not answer.
    #[error("{0} does not answer")]
    Silent(SocketAddr),
    /// No node took an announcement.
    #[error("no node accepted the announcement")]
    NotAnnounced,
    /// An item is not stored.
    #[error("the item is not stored: {0}")]
    NotStored(#[from] NotStored),
    /// The node has stopped.
    #[error("the DHT node has stopped")]
    Stopped,
}

/// What a node that is there said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// Its id.
    pub id: NodeId,
    /// How long the answer took.
    pub rtt: Duration,
    /// Its software, by convention two letters and two bytes of version.
    pub version: Option<[u8; 4]>,
    /// Our address as it sees it.
    pub observed: Option<SocketAddr>,
}

/// The search for the peers of a topic.
#[derive(Debug)]
pub struct PeerSearch {
    events: Receiver<Event>,
    /// Named, and not returned yet.
    fresh: Vec<SocketAddr>,
    seen: BTreeSet<SocketAddr>,
    answered: Option<usize>,
    count: Option<Headcount>,
}

/// The search for an item.
#[derive(Debug)]
pub struct ItemSearch {
    events: Receiver<Event>,
    answered: Option<usize>,
}

/// Peers of one search that are told apart. Nobody reads more, and anyone may make them up.
const MAX_PEERS: usize = 10_000;

impl Dht {
    pub(super) fn new(calls: Sender<Call>) -> Self {
        Self { calls }
    }

    /// Waits until the node is part of the network, and returns how many nodes it knows. Ask nothing before.
    ///
    /// # Errors
    ///
    /// If that is not so after `patience`; sooner, if there is nobody to be asked.
    pub async fn ready(&self, patience: Duration) -> Result<usize, DhtError> {
        let (reply, answer) = async_channel::bounded(1);
        self.call(Call::Ready(reply)).await?;
        let up = async { answer.recv().await.map_err(|_| DhtError::Stopped) };
        let hopeless = async {
            loop {
                Timer::after(Duration::from_millis(50)).await;
                match self.ask(Call::Outlook).await {
                    Ok(outlook) if outlook.is_cut_off => return Err(why(outlook)),
                    Ok(_) => {}
                    Err(error) => return Err(error),
                }
            }
        };
        let late = async {
            Timer::after(patience).await;
            Err(self.ask(Call::Outlook).await.map_or(DhtError::Stopped, why))
        };
        up.or(hopeless).or(late).await
    }

    /// Asks whether a node is there. This needs no bootstrap.
    ///
    /// # Errors
    ///
    /// If it does not answer within two seconds, or cannot be sent to.
    pub async fn ping(&self, addr: SocketAddr) -> Result<Pong, DhtError> {
        match self.begin(Task::Ping(addr)).await?.recv().await {
            Ok(Event::Pong { id, rtt, version, observed, .. }) => Ok(Pong { id, rtt, version, observed }),
            Ok(_) => Err(DhtError::Silent(addr)),
            Err(_) => Err(DhtError::Stopped),
        }
    }

    /// Searches the peers of a topic, without announcing anything.
    ///
    /// # Errors
    ///
    /// If the node has stopped.
    pub async fn find_peers(&self, topic: InfoHash) -> Result<PeerSearch, DhtError> {
        Ok(PeerSearch::of(self.begin(Task::FindPeers(topic)).await?))
    }

    /// The same, asking also how many there are: [`PeerSearch::count`].
    ///
    /// # Errors
    ///
    /// If the node has stopped.
    pub async fn count_peers(&self, topic: InfoHash) -> Result<PeerSearch, DhtError> {
        Ok(PeerSearch::of(self.begin(Task::CountPeers(topic)).await?))
    }

    /// Announces once that there is a peer of a topic at `port` of this machine, and returns how many nodes took it. They forget
    /// it after half an hour or so.
    ///
    /// # Errors
    ///
    /// If no node took it.
    pub async fn announce(&self, topic: InfoHash, port: u16) -> Result<usize, DhtError> {
        match self.begin(Task::Announce(topic, port)).await?.recv().await {
            Ok(Event::Announced { nodes, .. }) => Ok(nodes),
            Ok(_) => Err(DhtError::NotAnnounced),
            Err(_) => Err(DhtError::Stopped),
        }
    }

    /// Searches an item (BEP 44).
    ///
    /// # Errors
    ///
    /// If the node has stopped.
    pub async fn get(&self, id: ItemId) -> Result<ItemSearch, DhtError> {
        Ok(ItemSearch { events: self.begin(Task::Get(id)).await?, answered: None })
    }

    /// Stores an item (BEP 44) and returns how many nodes took it: they keep it for about two hours. With `cas`, only those that
    /// hold this sequence number, or none, take a mutable one.
    ///
    /// # Errors
    ///
    /// If no node took it, or a newer version is there.
    pub async fn put(&self, item: Item, cas: Option<i64>) -> Result<usize, DhtError> {
        match self.begin(Task::Put(item, cas)).await?.recv().await {
            Ok(Event::Stored { nodes, .. }) => Ok(nodes),
            Ok(Event::NotStored { why, .. }) => Err(why.into()),
            _ => Err(DhtError::Stopped),
        }
    }

    /// Stores an item and keeps it there, until a newer version is: it is stored again about every hour, and a minute after nobody
    /// took it. `told` learns each time how many nodes took it, or why none did. Ends by being dropped, and the nodes
    /// forget the item two hours later; or, telling so, when a newer version is there, too much is kept already, or the node has
    /// stopped.
    pub async fn keep(&self, item: Item, mut told: impl FnMut(Result<usize, NotStored>)) -> DhtError {
        let events = match self.begin(Task::Keep(item)).await {
            Ok(events) => events,
            Err(error) => return error,
        };
        loop {
            match events.recv().await {
                Ok(Event::Stored { nodes, .. }) => told(Ok(nodes)),
                Ok(Event::NotStored { why, .. })
                    if matches!(why, NotStored::Superseded { .. } | NotStored::Busy) =>
                {
                    return why.into();
                }
                Ok(Event::NotStored { why, .. }) => told(Err(why)),
                Ok(_) => {}
                Err(_) => return DhtError::Stopped,
            }
        }
    }

    /// How far the search or the storing under this topic or target has come; `None` while nothing of it is under way.
    ///
    /// # Errors
    ///
    /// If the node has stopped.
    pub async fn progress(&self, target: InfoHash) -> Result<Option<Progress>, DhtError> {
        self.ask(|reply| Call::Progress(target, reply)).await
    }

    /// What has happened so far, and what is there now.
    ///
    /// # Errors
    ///
    /// If the node has stopped.
    pub async fn stats(&self) -> Result<Stats, DhtError> {
        self.ask(Call::Stats).await
    }

    /// Our addresses, at most one of each family, as the majority of those who answered lately see them.
    ///
    /// # Errors
    ///
    /// If the node has stopped.
    pub async fn observed(&self) -> Result<Vec<SocketAddr>, DhtError> {
        self.ask(Call::Observed).await
    }

    /// The nodes in the routing tables.
    ///
    /// # Errors
    ///
    /// If the node has stopped.
    pub async fn table(&self) -> Result<Vec<Known>, DhtError> {
        self.ask(Call::Table).await
    }

    /// What does not work with the node's state directory, each only once.
    ///
    /// # Errors
    ///
    /// If the node has stopped.
    pub async fn trouble(&self) -> Result<Option<Trouble>, DhtError> {
        self.ask(Call::Trouble).await
    }

    /// Ends the node, and waits until what it knows is kept. Without this a process may be gone before.
    pub async fn close(self) {
        // If it has stopped, that is what was wanted.
        let _ = self.ask(Call::Close).await;
    }

    async fn begin(&self, task: Task) -> Result<Receiver<Event>, DhtError> {
        let (told, events) = async_channel::unbounded();
        self.call(Call::Begin(task, told)).await?;
        Ok(events)
    }

    async fn ask<T>(&self, call: impl FnOnce(Sender<T>) -> Call) -> Result<T, DhtError> {
        let (reply, answer) = async_channel::bounded(1);
        self.call(call(reply)).await?;
        answer.recv().await.map_err(|_| DhtError::Stopped)
    }

    async fn call(&self, call: Call) -> Result<(), DhtError> {
        self.calls.send(call).await.map_err(|_| DhtError::Stopped)
    }
}

impl PeerSearch {
    fn of(events: Receiver<Event>) -> Self {
        Self { events, fresh: Vec::new(), seen: BTreeSet::new(), answered: None, count: None }
    }

    /// The next peer that some node named, each only once; `None` when the search is over. Anyone can announce any address, so
    /// none of them is proven.
    pub async fn next(&mut self) -> Option<SocketAddr> {
        loop {
            if let Some(peer) = self.fresh.pop() {
                return Some(peer);
            }
            match self.events.recv().await.ok()? {
                Event::Peers { peers, .. } => {
                    let Self { seen, fresh, .. } = self;
                    fresh.extend(
                        peers.into_iter().rev().filter(|&peer| seen.len() < MAX_PEERS && seen.insert(peer)),
                    );
                }
                Event::Sought { answered, count, .. } => {
                    (self.answered, self.count) = (Some(answered), count);
                    return None;
                }
                _ => {}
            }
        }
    }

    /// How many nodes answered, once the search is over.
    pub fn answered(&self) -> Option<usize> {
        self.answered
    }

    /// About how many peers there are, by the word of the nodes that store them (BEP 33), once a
    /// [search that asks for it](Dht::count_peers) is over.
    pub fn count(&self) -> Option<Headcount> {
        self.count
    }
}

impl ItemSearch {
    /// The next version found, each newer than those before; `None` when the search is over.
    pub async fn next(&mut self) -> Option<Item> {
        loop {
            match self.events.recv().await.ok()? {
                Event::Item { item, .. } => return Some(item),
                Event::ItemSought { answered, .. } => {
                    self.answered = Some(answered);
                    return None;
                }
                _ => {}
            }
        }
    }

    /// The newest version, once the search is over.
    pub async fn newest(mut self) -> Option<Item> {
        let mut newest = None;
        while let Some(item) = self.next().await {
            newest = Some(item);
        }
        newest
    }

    /// How many nodes answered, once the search is over.
    pub fn answered(&self) -> Option<usize> {
        self.answered
    }
}

fn why(outlook: Outlook) -> DhtError {
    match outlook.asked {
        (0, 0) if outlook.unresolved.is_empty() => DhtError::CutOff,
        (0, 0) => DhtError::Unresolved(outlook.unresolved),
        (hosts, nodes) => DhtError::Nobody { hosts, nodes },
    }
}

fn nobody(hosts: usize, nodes: usize) -> String {
    Trouble::BootstrapSilent { hosts, nodes }.to_string()
}
