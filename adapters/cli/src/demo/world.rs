use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;

use async_channel::{Receiver, Sender};
use folkmoot::core::dht::Event;
use folkmoot::core::wire::stun::{Builder, Class, Message, Method};
use folkmoot::{DhtNode, Host};
use smol::LocalExecutor;
use smol::net::UdpSocket;

pub(super) const DHT_NODES: usize = 16;

/// Any port of the loopback interface.
pub(super) const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What is there before anyone joins: a DHT and a STUN responder, on a thread of their own.
pub(super) struct World {
    /// Where to enter the DHT.
    pub(super) entries: Vec<SocketAddr>,
    pub(super) stun: SocketAddr,
    up: Receiver<usize>,
}

impl World {
    pub(super) fn start() -> Result<Self, String> {
        let first = open(&[])?;
        let entry = first.bound();
        let mut nodes = vec![first];
        for _ in 1..DHT_NODES {
            nodes.push(open(&entry)?);
        }
        // Nobody who joins enters by the node that the DHT was built around.
        let entries = nodes.iter().skip(DHT_NODES - 2).flat_map(DhtNode::bound).collect();
        let responder = smol::block_on(UdpSocket::bind(LOOPBACK))
            .map_err(|error| format!("no STUN responder: {error}"))?;
        let stun = responder.local_addr().map_err(|error| format!("no STUN responder: {error}"))?;
        let (is_up, up) = async_channel::unbounded();
        thread::Builder::new()
            .name("world".into())
            .spawn(move || turn(nodes, responder, &is_up))
            .map_err(|error| format!("no thread: {error}"))?;
        Ok(Self { entries, stun, up })
    }

    /// Waits until every DHT node knows others.
    pub(super) async fn dht_is_up(&self) -> Result<(), String> {
        let mut up = [false; DHT_NODES];
        while up != [true; DHT_NODES] {
            let node = self.up.recv().await.map_err(|_| "the DHT has stopped")?;
            up[node] = true;
        }
        Ok(())
    }
}

fn open(entry: &[SocketAddr]) -> Result<DhtNode, String> {
    let hosts = entry.iter().copied().map(Host::Addr).collect();
    DhtNode::open(&[LOOPBACK], &[], hosts).map_err(|error| error.to_string())
}

fn turn(nodes: Vec<DhtNode>, responder: UdpSocket, is_up: &Sender<usize>) {
    let executor = LocalExecutor::new();
    for (n, mut node) in nodes.into_iter().enumerate() {
        let is_up = is_up.clone();
        let tell = move |event| {
            if matches!(event, Event::Bootstrapped { .. }) {
                let _ = is_up.try_send(n);
            }
        };
        executor.spawn(async move { node.run(tell).await }).detach();
    }
    executor.spawn(respond(responder)).detach();
    smol::block_on(executor.run(pending::<()>()));
}

/// Tells everyone who asks from where they ask: the least that a STUN server does (RFC 8489 §6.3.1).
async fn respond(socket: UdpSocket) {
    let mut buffer = [0; 2_048];
    loop {
        let (len, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "the STUN responder could not receive");
                continue;
            }
        };
        let Ok(message) = Message::parse(&buffer[..len]) else { continue };
        if message.class() == Class::Request && message.method() == Method::BINDING {
            let answer = Builder::binding_success(message.transaction_id()).xor_mapped_address(from);
            if let Err(error) = socket.send_to(&answer.finish_with_fingerprint(), from).await {
                tracing::debug!(%error, "the STUN responder could not answer");
            }
        }
    }
}
