use std::any::Any;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use folkmoot_core::base::{Time, UnixTime, Wake};

use super::{Draws, Subject};
use crate::net::router;

/// The world's number of a host: a machine with a link and addresses, whether or not a program runs on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub u32);

/// `h7`.
impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "h{}", self.0)
    }
}

/// A program that runs on a host of the world.
///
/// The world calls it with a [`HostCx`], takes what it sent, and asks for its next wake. The contract is that of the
/// core's machines: after [`Host::on_wake`] at time *t* the next wake must be later than *t*. A program that breaks it
/// is reported as a [`Violation`](super::Violation) instead of looping for ever. When a datagram comes at the very
/// moment of a wake, the wake follows it.
pub trait Host: Any {
    /// The host has booted: bind, look around, send.
    fn start(&mut self, cx: &mut HostCx<'_>);

    /// A datagram from `from` arrived at `to`, one of this host's addresses. Any port: a program that has no socket
    /// there ignores it.
    fn handle_datagram(&mut self, cx: &mut HostCx<'_>, to: SocketAddr, from: SocketAddr, bytes: &[u8]);

    /// The time of [`Host::next_wake`] has come.
    fn on_wake(&mut self, cx: &mut HostCx<'_>);

    /// This host has other addresses now, or none: it was carried to another network, or its cable was pulled.
    fn on_addresses(&mut self, _cx: &mut HostCx<'_>) {}

    /// The wall clock was set: [`HostCx::unix`] is another than it would have been.
    fn on_clock(&mut self, _cx: &mut HostCx<'_>) {}

    /// When it wants to be called next.
    fn next_wake(&self) -> Option<Wake>;
}

/// What the world lends a program for the length of one call.
#[derive(Debug)]
pub struct HostCx<'a> {
    /// The moment of this call.
    pub now: Time,
    /// The wall clock at this moment.
    pub unix: UnixTime,
    /// The world's number of this host.
    pub id: HostId,
    /// The addresses of this host's interfaces, as it sees them: private ones behind a NAT.
    pub addrs: &'a [IpAddr],
    pub(super) draws: Draws,
    pub(super) sends: &'a mut Vec<Sending>,
    pub(super) faults: &'a mut Vec<String>,
}

/// A datagram on its way out of a program.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

impl HostCx<'_> {
    /// Sends a datagram from a port of one of this host's addresses. Any other source address is a violation.
    pub fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        if !self.addrs.contains(&from.ip()) {
            self.fault(format!("sent from {from}, which is not an address of this host"));
        }
        self.spoof(from, to, bytes);
    }

    /// Sends a datagram with any source address, as a liar in a network without ingress filtering (BCP 38) can.
    pub fn spoof(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.sends.push(Sending { from, to, bytes });
    }

    /// Reports that this host's program broke its contract.
    pub fn fault(&mut self, what: String) {
        self.faults.push(what);
    }

    /// The first address of this host; unspecified while it has none.
    pub fn addr(&self) -> IpAddr {
        self.addrs.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }

    /// The first address of this host in the family of `to`, to send from; `None` if it has none.
    pub fn addr_towards(&self, to: SocketAddr) -> Option<IpAddr> {
        self.addrs.iter().copied().find(|ip| ip.is_ipv4() == to.is_ipv4())
    }

    /// The address of the router of its home network, if it is in one: the default gateway, which it may ask for a port.
    pub fn router(&self) -> Option<IpAddr> {
        self.addrs.iter().find_map(|ip| router(*ip))
    }

    /// 32 random bytes for a program to start with: the same whenever it is start number `run` on this host.
    pub fn entropy(&self, run: u64) -> [u8; 32] {
        self.draws.bytes(Subject::Entropy(self.id.0), run)
    }

    /// Number `index` of this host's own random numbers.
    pub fn draw(&self, index: u64) -> u64 {
        self.draws.at(Subject::Host(self.id.0), index)
    }
}
