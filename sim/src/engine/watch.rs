use std::any::Any;
use std::net::SocketAddr;

use folkmoot_core::base::Time;

use super::HostId;

/// Somebody who sees every packet leave a host and reach one, and has no part in it: the same happens with a watch and without.
///
/// What must hold on the wire of a protocol of your own, whatever its programs think of it, is checked here.
pub trait Watch: Any {
    /// A host's program was started: it remembers nothing of what came before.
    fn started(&mut self, _at: Time, _host: HostId) {}

    /// A host sends a datagram.
    fn sent(&mut self, at: Time, host: HostId, to: SocketAddr, bytes: &[u8]);

    /// A datagram reaches a host.
    fn delivered(&mut self, at: Time, host: HostId, from: SocketAddr, bytes: &[u8]);
}
