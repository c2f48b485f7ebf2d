use std::collections::BTreeMap;
use std::net::SocketAddr;

use folkmoot_core::base::Wake;

use crate::engine::{Host, HostCx};

/// A host that says nothing and counts what comes: a bystander, or the victim of a reflected flood.
#[derive(Debug, Default)]
pub struct Sink {
    received: BTreeMap<SocketAddr, Received>,
}

/// What came to one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Datagrams.
    pub datagrams: u64,
    /// Bytes of payload.
    pub bytes: u64,
}

impl Sink {
    /// What came, by the endpoint it came to.
    pub fn received(&self) -> &BTreeMap<SocketAddr, Received> {
        &self.received
    }
}

impl Host for Sink {
    fn start(&mut self, _: &mut HostCx<'_>) {}

    fn handle_datagram(&mut self, _: &mut HostCx<'_>, to: SocketAddr, _: SocketAddr, bytes: &[u8]) {
        let received = self.received.entry(to).or_default();
        received.datagrams += 1;
        received.bytes += bytes.len() as u64;
    }

    fn on_wake(&mut self, _: &mut HostCx<'_>) {}

    fn next_wake(&self) -> Option<Wake> {
        None
    }
}
