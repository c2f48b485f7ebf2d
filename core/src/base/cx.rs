use std::net::{IpAddr, SocketAddr};

use super::{Outbox, Rng, SocketId, Time, Transmit, UnixTime};

/// What the composer lends a machine for the length of one call.
#[derive(Debug)]
pub struct Cx<'a> {
    /// The moment of this call.
    pub now: Time,
    /// The wall clock at this moment; only for dates and signatures.
    pub unix: UnixTime,
    /// The node's randomness.
    pub rng: &'a mut Rng,
    /// Where datagrams go.
    pub out: &'a mut Outbox,
}

impl Cx<'_> {
    /// Sends `bytes` to `to` through `socket`, from the address `local` if one is given.
    pub fn transmit(&mut self, socket: SocketId, local: Option<IpAddr>, to: SocketAddr, bytes: Vec<u8>) {
        self.out.push(Transmit { socket, local, to, bytes });
    }
}
