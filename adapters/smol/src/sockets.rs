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
use crate::run::{Route, Run};

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
    /// What waits to be sent.
    run: Run,
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
        Ok(Self { list, lan: None, buffer, run: Run::new(), counters: Counters::default() })
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
                // To send from an address that is gone is refused just as a kernel refuses that cannot cut messages up, and the
                // library does not try that again.
                match UdpSocketState::new(UdpSockRef::from(socket.io.get_ref())) {
                    Ok(state) => socket.state = state,
                    Err(error) => tracing::debug!(%error, "the socket's state stays as it is"),
                }
            }
        }
        if let (true, Some(lan)) = (changed, &mut self.lan)
            && let Some(main) = self.list.iter().find(|socket| socket.info.id == lan.socket.info.id)
        {
            lan.join(&main.info);
        }
        changed
    }

    /// Takes a datagram to be sent with those that wait, if one system call can send them all; else gives it back, and what waits
    /// has to be sent first.
    pub(crate) fn join(&mut self, transmit: Transmit) -> Result<(), Transmit> {
        let Some(socket) = self.list.iter().find(|socket| socket.info.id == transmit.socket) else {
            self.counters.unsent += 1;
            return Ok(());
        };
        let has_joined = self.run.join(&transmit, socket.state.max_gso_segments());
        if has_joined { Ok(()) } else { Err(transmit) }
    }

    /// Sends what waits. Pending if the kernel's buffer is full, and then it still waits; all else that goes wrong is counted and
    /// forgotten, as a network would.
    pub(crate) fn flush(&mut self) -> Poll<()> {
        let Self { list, run, counters, .. } = self;
        let Some(Route { socket, .. }) = run.route() else { return Poll::Ready(()) };
        let Some(socket) = list.iter().find(|other| other.info.id == socket) else {
            self.give_up();
            return Poll::Ready(());
        };
        run.send(&mut counters.unsent, |message| {
            // Where there is but one address to send from, the kernel knows it.
            let src_ip = message.src_ip.filter(|ip| *ip != socket.info.bound.ip());
            let message = quinn_udp::Transmit { src_ip, ..*message };
            socket.state.try_send(UdpSockRef::from(socket.io.get_ref()), &message)
        })
    }

    /// Counts what waited too long for the kernel's buffer, and forgets it.
    pub(crate) fn give_up(&mut self) {
        self.counters.unsent += self.run.clear();
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

    /// Ready once the socket through which what waits is to leave can be written.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let route = self.run.route();
        match self.list.iter().find(|socket| route.is_some_and(|route| route.socket == socket.info.id)) {
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

    /// Sends one after the other, each with those before it where it can be; the system calls that this took.
    fn send_all(sockets: &mut Sockets, transmits: &[Transmit]) -> usize {
        let mut calls = 1;
        for transmit in transmits {
            if let Err(transmit) = sockets.join(transmit.clone()) {
                assert_eq!(sockets.flush(), Poll::Ready(()));
                assert_eq!(sockets.join(transmit), Ok(()), "nothing waits any more");
                calls += 1;
            }
        }
        assert_eq!(sockets.flush(), Poll::Ready(()));
        calls
    }

    fn can_cut(sockets: &Sockets) -> bool {
        sockets.list[0].state.max_gso_segments() > 1
    }

    #[test]
    fn a_datagram_tells_where_it_came_to() {
        let mut a = Sockets::open(&[LOOPBACK], &[]).unwrap();
        let mut b = Sockets::open(&[(Ipv4Addr::UNSPECIFIED, 0).into()], &[]).unwrap();
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, b.bound()[0].port()));
        send_all(&mut a, &[b"one", &b""[..], b"two"].map(|bytes| transmit(SocketId(0), to, bytes)));
        let got = receive_all(&mut b, 2);
        let from = a.bound()[0];
        let local = cfg!(target_os = "linux").then_some(to.ip());
        assert_eq!(got, [(local, from, b"one".to_vec()), (local, from, b"two".to_vec())]);
    }

    /// Answers of one length to one asker, as a server has them; in both families, and from the address that was asked.
    #[test]
    fn what_can_leave_at_once_arrives_as_it_was() {
        for (ip, any) in [("127.0.0.1", "0.0.0.0:0"), ("::1", "[::]:0")] {
            let (ip, any) = (ip.parse::<IpAddr>().unwrap(), any.parse().unwrap());
            let (Ok(mut a), Ok(mut b)) = (Sockets::open(&[any], &[]), Sockets::open(&[(ip, 0).into()], &[]))
            else {
                assert!(ip.is_ipv6(), "a machine without {ip}");
                continue;
            };
            let to = b.bound()[0];
            let lengths = [300, 300, 300, 7, 300, 300, 301, 301, 1_201, 1_201];
            let sent: Vec<_> =
                (0_u8..).zip(lengths).map(|(n, length)| vec![n.wrapping_mul(37); length]).collect();
            let local = cfg!(target_os = "linux").then_some(ip);
            let transmits: Vec<_> =
                sent.iter().map(|bytes| Transmit { local, ..transmit(SocketId(0), to, bytes) }).collect();
            let calls = send_all(&mut a, &transmits);
            assert_eq!(calls, if can_cut(&a) { 5 } else { sent.len() });
            let from = SocketAddr::new(ip, a.bound()[0].port());
            let got = receive_all(&mut b, sent.len());
            assert_eq!(got, sent.into_iter().map(|bytes| (local, from, bytes)).collect::<Vec<_>>());
            assert_eq!(a.counters(), Counters::default());
        }
    }

    /// What is too much for one message goes one by one, and the kernel is not taken for one that cannot cut.
    #[test]
    fn what_is_refused_as_one_goes_one_by_one() {
        let mut a = Sockets::open(&[LOOPBACK], &[]).unwrap();
        let mut b = Sockets::open(&[LOOPBACK], &[]).unwrap();
        let sent: Vec<_> = (0..3).map(|n| vec![n; 60_000]).collect();
        let could_cut = can_cut(&a);
        for bytes in &sent {
            assert!(a.run.join_any(&transmit(SocketId(0), b.bound()[0], bytes)));
        }
        assert_eq!(a.flush(), Poll::Ready(()));
        let got: Vec<_> = receive_all(&mut b, 3).into_iter().map(|(.., bytes)| bytes).collect();
        assert_eq!(got, sent);
        assert_eq!(a.counters(), Counters::default());
        assert_eq!(can_cut(&a), could_cut);
    }

    #[test]
    fn what_cannot_be_sent_is_counted() {
        let mut a = Sockets::open(&[LOOPBACK], &[]).unwrap();
        let to = a.bound()[0];
        send_all(
            &mut a,
            &[
                transmit(SocketId(0), to, &[0; 70_000]),                 // too big
                transmit(SocketId(7), to, b"x"),                         // no such socket
                transmit(SocketId(0), "[::1]:9".parse().unwrap(), b"x"), // another family
            ],
        );
        assert_eq!(a.counters(), Counters { unsent: 3, receive_errors: 0 });
    }

    /// Each datagram of a run is counted, what comes after goes out, and once the addresses have been read again, as one.
    #[cfg(target_os = "linux")]
    #[test]
    fn from_an_address_that_is_gone_nothing_is_sent() {
        let mut a = Sockets::open(&[(Ipv4Addr::UNSPECIFIED, 0).into()], &[]).unwrap();
        let mut b = Sockets::open(&[LOOPBACK], &[]).unwrap();
        let good = transmit(SocketId(0), b.bound()[0], b"good");
        let gone = Transmit { local: Some("203.0.113.77".parse().unwrap()), ..good.clone() };
        let could_cut = can_cut(&a);
        send_all(&mut a, &[gone.clone(), gone.clone(), gone, good.clone(), good.clone()]);
        assert_eq!(receive_all(&mut b, 2).len(), 2);
        assert_eq!(a.counters(), Counters { unsent: 3, receive_errors: 0 });
        a.list[0].info.addrs.clear();
        assert!(a.refresh());
        assert_eq!(can_cut(&a), could_cut);
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
