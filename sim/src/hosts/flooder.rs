use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use folkmoot_core::base::{InfoHash, NodeId, Time, Wake};
use folkmoot_core::wire::krpc::{Body, Call, Capabilities, Message, Query};
use folkmoot_core::wire::stun::{Builder, TransactionId};

use crate::engine::{Host, HostCx};

/// Sends what looks as if it were meant, from addresses that are not its own, to whoever it is told of: checks and knocks without
/// the right password, questions of the DHT, announcements with made-up tokens, first flights of DTLS, and noise.
#[derive(Debug)]
pub struct Flooder {
    targets: Vec<SocketAddr>,
    /// The pause between two datagrams to the same target.
    pause: Duration,
    sent: u64,
    due: Time,
}

/// Everything is sent from the same port, as a reflector's victim would be asked to answer.
const PORT: u16 = 6_881;

impl Flooder {
    /// One that sends so many datagrams a second to each of these targets; at least one.
    pub fn new(targets: Vec<SocketAddr>, per_second: u32) -> Self {
        Self { targets, pause: Duration::from_secs(1) / per_second.max(1), sent: 0, due: Time::ZERO }
    }
}

impl Host for Flooder {
    fn start(&mut self, cx: &mut HostCx<'_>) {
        self.due = cx.now + self.pause;
    }

    fn handle_datagram(&mut self, _: &mut HostCx<'_>, _: SocketAddr, _: SocketAddr, _: &[u8]) {}

    fn on_wake(&mut self, cx: &mut HostCx<'_>) {
        for n in 0..self.targets.len() {
            let random = cx.draw(self.sent);
            self.sent += 1;
            // A few hundred networks, so that limits for each of them do not stop all.
            let from = Ipv4Addr::new(90, (random >> 8) as u8 & 15, (random >> 16) as u8 & 15, random as u8);
            cx.spoof((from, PORT).into(), self.targets[n], datagram(random));
        }
        self.due = cx.now + self.pause;
    }

    fn next_wake(&self) -> Option<Wake> {
        (!self.targets.is_empty()).then(|| Wake::new(self.due, "flooder.send"))
    }
}

fn datagram(random: u64) -> Vec<u8> {
    let bytes =
        [random.to_be_bytes(), random.rotate_left(23).to_be_bytes(), random.rotate_left(41).to_be_bytes()];
    let bytes: Vec<u8> = bytes.concat();
    let mut id = [0; 12];
    id.copy_from_slice(&bytes[..12]);
    let mut target = [0; 20];
    target.copy_from_slice(&bytes[..20]);
    let ask = |call: Call<'_>| {
        let body = Body::Query(Query { id: NodeId(target), read_only: false, call });
        Message { tid: &bytes[..4], version: None, capabilities: Capabilities::NONE, body }.encode()
    };
    match random >> 40 & 7 {
        0 => Builder::binding_request(TransactionId(id)).finish(),
        1 => Builder::binding_request(TransactionId(id))
            .username("AAAAAAAAAAAAAAAAAAAAAAAA:BBBBBBBBBBBBBBBBBBBBBBBB")
            .integrity_sha256(&bytes)
            .finish_with_fingerprint(),
        2 => ask(Call::Ping),
        3 => ask(Call::FindNode { target: NodeId(target), want: None }),
        4 => ask(Call::GetPeers { info_hash: InfoHash(target), want: None, scrape: false }),
        // A ClientHello as it begins (RFC 9147, section 4), and then nothing that could be one.
        5 => [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200], &bytes.repeat(9)[..200]].concat(),
        6 => bytes.repeat(40),
        _ => bytes,
    }
}
