use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use folkmoot_core::base::{SocketId, SocketInfo, Transmit};

use crate::engine::HostCx;

/// The sockets of a program, as most shells have them: one for each address family that the host has, bound to the wildcard.
const V4: SocketId = SocketId(0);
const V6: SocketId = SocketId(1);

/// What the core needs to know of the sockets on `port`; none if the host has no address.
pub(super) fn sockets(addrs: &[IpAddr], port: u16) -> Vec<SocketInfo> {
    let socket = |any: IpAddr| {
        let addrs: Vec<_> = addrs.iter().copied().filter(|ip| ip.is_ipv4() == any.is_ipv4()).collect();
        let bound = SocketAddr::new(any, port);
        (!addrs.is_empty()).then_some(SocketInfo { id: socket_for(bound), bound, addrs })
    };
    let wildcards = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    wildcards.into_iter().filter_map(socket).collect()
}

/// The socket that a datagram to `to` comes to.
pub(super) fn socket_for(to: SocketAddr) -> SocketId {
    if to.is_ipv4() { V4 } else { V6 }
}

/// Sends as a kernel does: from the address asked for, or from one of the right family. What has no such address to leave
/// from is refused.
pub(super) fn transmit(cx: &mut HostCx<'_>, port: u16, transmit: Transmit) {
    let from = match transmit.local {
        Some(asked) => cx.addrs.contains(&asked).then_some(asked),
        None => cx.addr_towards(transmit.to),
    };
    if let Some(ip) = from {
        cx.send(SocketAddr::new(ip, port), transmit.to, transmit.bytes);
    }
}
