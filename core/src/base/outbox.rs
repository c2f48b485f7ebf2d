use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// The shell's name for one UDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u16);

/// What the core needs to know of a socket that the shell opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketInfo {
    /// The shell's name for it.
    pub id: SocketId,
    /// What it is bound to; the address may be unspecified (`0.0.0.0`, `::`), the port never 0.
    pub bound: SocketAddr,
    /// The addresses of this machine at which it is reached: of a wildcard-bound socket every interface's
    /// (loopback too), else the one it is bound to.
    pub addrs: Vec<IpAddr>,
}

impl SocketInfo {
    /// Whether a datagram to `to` can leave through this socket, as far as the address family goes.
    pub fn reaches(&self, to: SocketAddr) -> bool {
        self.bound.is_ipv4() == to.is_ipv4()
    }

    /// Whether `addr` is an address of this machine at which the socket is reached.
    pub fn is_at(&self, addr: SocketAddr) -> bool {
        self.bound.port() == addr.port() && self.addrs.contains(&addr.ip())
    }
}

/// One UDP datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The socket it leaves through.
    pub socket: SocketId,
    /// The source address to send from, where it matters (a multihomed host answers from the address asked);
    /// `None` leaves the choice to the operating system.
    pub local: Option<IpAddr>,
    /// The destination.
    pub to: SocketAddr,
    /// The payload.
    pub bytes: Vec<u8>,
}

/// The one bounded queue of datagrams that all machines of a node send into.
///
/// Datagrams are the one kind of output that may be dropped: the network does it too. What is dropped is counted.
#[derive(Debug)]
pub struct Outbox {
    queue: VecDeque<Transmit>,
    limit: usize,
    dropped: u64,
}

impl Outbox {
    /// An empty outbox that holds at most `limit` datagrams.
    pub fn new(limit: usize) -> Self {
        Self { queue: VecDeque::new(), limit, dropped: 0 }
    }

    /// Queues a datagram, or drops and counts it if the outbox is full.
    pub fn push(&mut self, transmit: Transmit) {
        if self.queue.len() < self.limit {
            self.queue.push_back(transmit);
        } else {
            self.dropped += 1;
        }
    }

    /// The oldest datagram queued.
    pub fn pop(&mut self) -> Option<Transmit> {
        self.queue.pop_front()
    }

    /// How many datagrams wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many datagrams were dropped so far because the outbox was full.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl Default for Outbox {
    /// An outbox with the limit [`crate::limits::OUTBOX`].
    fn default() -> Self {
        Self::new(crate::limits::OUTBOX)
    }
}
