use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_io::Async;
use folkmoot_core::base::{SocketId, SocketInfo, Transmit};
use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};

use crate::error::{BindError, Error};
use crate::interfaces;
use crate::lan::Lan;

/// Messages taken from a socket in one system call. Fewer than the platform could: between two calls the node is drained.
const BATCH: usize = if quinn_udp::BATCH_SIZE < 16 { quinn_udp::BATCH_SIZE } else { 16 };

/// The most that one message can hold: a UDP datagram, or as many as the kernel has joined (GRO).
const MESSAGE_BYTES: usize = 65_535;

/// What the kernel may keep for us while we work, if it will. A meeting of 50 that forms sends hundreds of datagrams at once.
const RECEIVE_BUFFER: usize = 1 << 20;

/// How long a socket that reports an error is left alone, so that a lasting error cannot keep the loop busy.
const REST: Duration = Duration::from_millis(20);

/// All UDP sockets of a node.
#[derive(Debug)]
pub(crate) struct Sockets {
    list: Vec<Socket>,
    /// Where nodes of the local network ask for others, if we listen there.
    lan: Option<Lan>,
    buffer: Box<[u8]>,
    counters: Counters,
}

#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) io: Async<UdpSocket>,
    state: UdpSocketState,
    pub(crate) info: SocketInfo,
    rests_until: Option<Instant>,
}

/// What went wrong, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Datagrams the kernel refused to send.
    pub(crate) unsent: u64,
    /// Errors reported when receiving, such as an ICMP message about something sent earlier.
    pub(crate) receive_errors: u64,
}

/// One datagram as it came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram<'a> {
    pub(crate) socket: SocketId,
    pub(crate) local: Option<std::net::IpAddr>,
    pub(crate) from: SocketAddr,
    pub(crate) bytes: &'a [u8],
}

impl Sockets {
    /// Opens a socket on each of `bind`; if that is empty, on a wildcard address of each family the machine has, with one of the
    /// `wanted` ports if it is free.
    ///
    /// # Errors
    ///
    /// If one of `bind` cannot be had, or without `bind`, none at all.
    pub(crate) fn open(bind: &[SocketAddr], wanted: &[u16]) -> Result<Self, Error> {
        let mut list = Vec::new();
        if bind.is_empty() {
            list = Self::open_any(wanted)?;
        } else {
            for &addr in bind {
                list.push(open(addr).map_err(|source| BindError { addr, source })?);
            }
        }
        for (n, socket) in list.iter_mut().enumerate() {
            socket.info.id = SocketId(u16::try_from(n).unwrap_or(u16::MAX));
        }
        let buffer = vec![0; BATCH * MESSAGE_BYTES].into_boxed_slice();
        Ok(Self { list, lan: None, buffer, counters: Counters::default() })
    }

    /// Also listens where nodes of the local network ask for others: what comes there counts as come to the first IPv4 socket.
    /// Where that does not work, we ask without being found.
    pub(crate) fn join_lan(&mut self) {
        let Some(main) = self.list.iter().find(|socket| socket.info.bound.is_ipv4()) else { return };
        match Lan::open(&main.info) {
            Ok(lan) => self.lan = Some(lan),
            Err(error) => tracing::debug!(%error, "nobody on the local network can find us"),
        }
    }

    fn open_any(wanted: &[u16]) -> Result<Vec<Socket>, Error> {
        let wildcard = |v4: bool, port| match v4 {
            true => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
            false => SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
        };
        let mut list = Vec::<Socket>::new();
        let mut why_none = None;
        for v4 in [true, false] {
            // One port for both families, if it can be had: one hole in a firewall then serves both.
            let same = list.iter().map(|socket| socket.info.bound.port());
            let ports = wanted.iter().copied().chain(same).chain([0]);
            match ports.map(|port| open(wildcard(v4, port))).find(Result::is_ok) {
                Some(Ok(socket)) => list.push(socket),
                _ => why_none = open(wildcard(v4, 0)).err().or(why_none),
            }
        }
        match why_none {
            Some(error) if list.is_empty() => Err(Error::NoSocket(error)),
            _ => Ok(list),
        }
    }

    /// What they are bound to.
    pub(crate) fn bound(&self) -> Vec<SocketAddr> {
        self.list.iter().map(|socket| socket.info.bound).collect()
    }

    /// What the core needs to know of them.
    pub(crate) fn infos(&self) -> Vec<SocketInfo> {
        self.list.iter().map(|socket| socket.info.clone()).collect()
    }

    /// Reads the machine's addresses again; whether something changed.
    pub(crate) fn refresh(&mut self) -> bool {
        let mut changed = false;
        for socket in &mut self.list {
            let addrs = interfaces::addresses(socket.info.bound);
            if addrs != socket.info.addrs {
                tracing::debug!(bound = %socket.info.bound, ?addrs, "addresses changed");
                socket.info.addrs = addrs;
                changed = true;
            }
        }
        if let (true, Some(lan)) = (changed, &mut self.lan)
            && let Some(main) = self.list.iter().find(|socket| socket.info.id == lan.socket.info.id)
        {
            lan.join(&main.info);
        }
        changed
    }

    /// Sends one datagram. `WouldBlock` if the kernel's buffer is full; all else that goes wrong is counted and forgotten, as
    /// a network would.
    pub(crate) fn send(&mut self, transmit: &Transmit) -> Poll<()> {
        let Some(socket) = self.list.iter().find(|socket| socket.info.id == transmit.socket) else {
            self.counters.unsent += 1;
            return Poll::Ready(());
        };
        let message = quinn_udp::Transmit {
            destination: transmit.to,
            ecn: None,
            contents: &transmit.bytes,
            segment_size: None,
            src_ip: transmit.local,
        };
        match socket.state.try_send(UdpSockRef::from(socket.io.get_ref()), &message) {
            Ok(()) => Poll::Ready(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(error) => {
                self.counters.unsent += 1;
                tracing::trace!(to = %transmit.to, local = ?transmit.local, len = transmit.bytes.len(), %error, "not sent");
                Poll::Ready(())
            }
        }
    }

    /// Counts a datagram that waited too long for the kernel's buffer.
    pub(crate) fn give_up(&mut self) {
        self.counters.unsent += 1;
    }

    /// Takes one batch of datagrams from the `n`th socket; whether there may be more.
    pub(crate) fn receive(&mut self, n: usize, mut each: impl FnMut(Datagram<'_>)) -> bool {
        let lan = self.lan.iter_mut().map(|lan| &mut lan.socket);
        let Some(socket) = self.list.iter_mut().chain(lan).nth(n) else { return false };
        if socket.rests_until.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        socket.rests_until = None;
        let mut metas = [RecvMeta::default(); BATCH];
        let mut slices = self.buffer.chunks_exact_mut(MESSAGE_BYTES).map(IoSliceMut::new);
        let mut messages: [_; BATCH] =
            std::array::from_fn(|_| slices.next().unwrap_or(IoSliceMut::new(&mut [])));
        let count = match socket.state.recv(UdpSockRef::from(socket.io.get_ref()), &mut messages, &mut metas)
        {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            Err(error) => {
                self.counters.receive_errors += 1;
                tracing::trace!(bound = %socket.info.bound, %error, "receiving failed");
                socket.rests_until = Some(Instant::now() + REST);
                return false;
            }
        };
        for (message, meta) in messages.iter().zip(&metas).take(count) {
            let bytes = message.get(..meta.len).unwrap_or_default();
            for bytes in bytes.chunks(meta.stride.max(1)) {
                // Nobody can answer from the address of a group.
                let local = meta.dst_ip.filter(|ip| !ip.is_multicast());
                each(Datagram { socket: socket.info.id, local, from: meta.addr, bytes });
            }
        }
        // A batch that is not full has emptied the socket, more or less: what came meanwhile wakes us again.
        count == BATCH
    }

    /// How many sockets there are to read.
    pub(crate) fn len(&self) -> usize {
        self.all().count()
    }

    fn all(&self) -> impl Iterator<Item = &Socket> {
        self.list.iter().chain(self.lan.as_ref().map(|lan| &lan.socket))
    }

    /// When the first socket that is being left alone may be read again.
    pub(crate) fn rested(&self) -> Option<Instant> {
        self.all().filter_map(|socket| socket.rests_until).min()
    }

    /// Ready once a socket can be read.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ready = Poll::Pending;
        for socket in self.all().filter(|socket| socket.rests_until.is_none()) {
            if socket.io.poll_readable(cx).is_ready() {
                ready = Poll::Ready(());
            }
        }
        ready
    }

    /// Ready once `socket` can be written.
    pub(crate) fn poll_writable(&self, id: SocketId, cx: &mut Context<'_>) -> Poll<()> {
        match self.list.iter().find(|socket| socket.info.id == id) {
            Some(socket) => socket.io.poll_writable(cx).map(|_| ()),
            None => Poll::Ready(()),
        }
    }

    #[cfg(test)]
    fn counters(&self) -> Counters {
        self.counters
    }
}

fn open(addr: SocketAddr) -> io::Result<Socket> {
    let raw = RawSocket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        raw.set_only_v6(true)?;
    }
    raw.bind(&addr.into())?;
    Socket::of(raw)
}

impl Socket {
    pub(crate) fn of(raw: RawSocket) -> io::Result<Self> {
        let io = UdpSocket::from(raw);
        let state = UdpSocketState::new(UdpSockRef::from(&io))?;
        if let Err(error) = state.set_recv_buffer_size(UdpSockRef::from(&io), RECEIVE_BUFFER) {
            tracing::debug!(%error, "the receive buffer stays as it is");
        }
        let bound = io.local_addr()?;
        let info = SocketInfo { id: SocketId(0), bound, addrs: interfaces::addresses(bound) };
        Ok(Self { io: Async::new_nonblocking(io)?, state, info, rests_until: None })
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::IpAddr;

    use super::*;

    const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn transmit(socket: SocketId, to: SocketAddr, bytes: &[u8]) -> Transmit {
        Transmit { socket, local: None, to, bytes: bytes.into() }
    }

    fn receive_all(sockets: &mut Sockets, want: usize) -> Vec<(Option<IpAddr>, SocketAddr, Vec<u8>)> {
        let mut got = Vec::new();
        async_io::block_on(async {
            while got.len() < want {
                poll_fn(|cx| sockets.poll_readable(cx)).await;
                for n in 0..sockets.len() {
                    while sockets.receive(n, |d| got.push((d.local, d.from, d.bytes.to_vec()))) {}
                }
            }
        });
        got
    }

    #[test]
    fn a_datagram_tells_where_it_came_to() {
        let mut a = Sockets::open(&[LOOPBACK], &[]).unwrap();
        let mut b = Sockets::open(&[(Ipv4Addr::UNSPECIFIED, 0).into()], &[]).unwrap();
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, b.bound()[0].port()));
        assert_eq!(a.send(&transmit(SocketId(0), to, b"one")), Poll::Ready(()));
        assert_eq!(a.send(&transmit(SocketId(0), to, b"")), Poll::Ready(()));
        assert_eq!(a.send(&transmit(SocketId(0), to, b"two")), Poll::Ready(()));
        let got = receive_all(&mut b, 2);
        let from = a.bound()[0];
        let local = cfg!(target_os = "linux").then_some(to.ip());
        assert_eq!(got, [(local, from, b"one".to_vec()), (local, from, b"two".to_vec())]);
    }

    #[test]
    fn what_cannot_be_sent_is_counted() {
        let mut a = Sockets::open(&[LOOPBACK], &[]).unwrap();
        let to = a.bound()[0];
        assert_eq!(a.send(&transmit(SocketId(0), to, &[0; 70_000])), Poll::Ready(()), "too big");
        assert_eq!(a.send(&transmit(SocketId(7), to, b"x")), Poll::Ready(()), "no such socket");
        assert_eq!(
            a.send(&transmit(SocketId(0), "[::1]:9".parse().unwrap(), b"x")),
            Poll::Ready(()),
            "other family"
        );
        assert_eq!(a.counters(), Counters { unsent: 3, receive_errors: 0 });
    }

    #[test]
    fn an_address_in_use_says_so() {
        let a = Sockets::open(&[LOOPBACK], &[]).unwrap();
        let error = Sockets::open(&a.bound(), &[]).unwrap_err();
        assert!(matches!(&error, Error::Bind(e) if e.source.kind() == io::ErrorKind::AddrInUse), "{error}");
        let error = Sockets::open(&["203.0.113.77:0".parse().unwrap()], &[]).unwrap_err();
        assert!(
            matches!(&error, Error::Bind(e) if e.source.kind() == io::ErrorKind::AddrNotAvailable),
            "{error}"
        );
    }

    #[test]
    fn wanted_ports_are_taken_if_free() {
        let first = Sockets::open(&[], &[]).unwrap();
        let port = first.bound()[0].port();
        let second = Sockets::open(&[], &[port]).unwrap();
        assert_ne!(second.bound()[0].port(), port, "it is in use");
        drop(first);
        assert_eq!(Sockets::open(&[], &[port]).unwrap().bound()[0].port(), port);
    }
}
