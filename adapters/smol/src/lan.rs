use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use folkmoot_core::base::{Scope, SocketInfo};
use folkmoot_core::dht::LAN_GROUP;
use socket2::{Domain, Protocol, Socket as RawSocket, Type};

use crate::sockets::Socket;

/// Where DHT nodes of the local network ask for others ([`LAN_GROUP`]). Nothing is sent from here.
#[derive(Debug)]
pub(crate) struct Lan {
    /// With the id of the socket to which what comes here counts as come.
    pub(crate) socket: Socket,
    /// The interfaces on which we listen, by an address of each.
    joined: BTreeSet<Ipv4Addr>,
}

impl Lan {
    /// Listens on the local networks that `main` is part of.
    pub(crate) fn open(main: &SocketInfo) -> io::Result<Self> {
        let raw = RawSocket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        // Every node of this machine listens there.
        raw.set_reuse_address(true)?;
        // Bound to the group itself, it gets nothing else; Windows does not allow that.
        let bound = if cfg!(windows) { Ipv4Addr::UNSPECIFIED.into() } else { LAN_GROUP.ip() };
        raw.bind(&SocketAddr::new(bound, LAN_GROUP.port()).into())?;
        let mut socket = Socket::of(raw)?;
        socket.info.id = main.id;
        let mut lan = Self { socket, joined: BTreeSet::new() };
        lan.join(main);
        Ok(lan)
    }

    /// Listens on the interfaces that there are now.
    pub(crate) fn join(&mut self, main: &SocketInfo) {
        let now = interfaces(main);
        // Of an interface that is gone, the system has forgotten that we listened.
        self.joined.retain(|addr| now.contains(addr));
        let IpAddr::V4(group) = LAN_GROUP.ip() else { return };
        for addr in now {
            if self.joined.contains(&addr) {
                continue;
            }
            match self.socket.io.get_ref().join_multicast_v4(&group, &addr) {
                Ok(()) => {
                    self.joined.insert(addr);
                }
                Err(error) => tracing::debug!(%addr, %error, "nobody can find us on this network"),
            }
        }
    }
}

/// Those on local networks; loopback only where there is nothing else.
fn interfaces(main: &SocketInfo) -> Vec<Ipv4Addr> {
    let is_alone = main.bound.ip().is_loopback();
    let fits = |addr: &Ipv4Addr| match Scope::of((*addr).into()) {
        Scope::Loopback => is_alone,
        scope => scope.is_local(),
    };
    let v4 = main.addrs.iter().filter_map(|addr| match addr {
        IpAddr::V4(addr) => Some(*addr),
        IpAddr::V6(_) => None,
    });
    v4.filter(fits).collect()
}

/// Whether nodes that listen on these addresses look for others on the local network unless told: not those that listen on
/// loopback alone, which are there for a try.
pub(crate) fn by_default(bind: &[SocketAddr]) -> bool {
    bind.is_empty() || bind.iter().any(|addr| !addr.ip().is_loopback())
}
