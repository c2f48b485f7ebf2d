//! Nodes of the crate `librqbit-dht`. They know no items (BEP 44).
//!
//! Such a node takes in only nodes that another one names: neither who asks it nor where it enters. So a network of them alone
//! does not form, and where they are to know each other there has to be a bootstrap node of another kind that knows others.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use librqbit_dht::{Dht, DhtBuilder, DhtConfig, Id20};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_stream::StreamExt as _;

use crate::{Options, Peer, array, port};

/// How long it may look for peers; it never ends by itself.
const PATIENCE: Duration = Duration::from_secs(3);

struct Nodes {
    runtime: Runtime,
    /// The first is driven; the others only have to live.
    nodes: Vec<Dht>,
    /// In how many families it looks for peers.
    families: usize,
}

pub fn start(options: &Options) -> (&'static str, Vec<SocketAddr>, Box<dyn Peer>) {
    let runtime = Runtime::new().expect("a runtime");
    let mut nodes = Vec::new();
    let mut addrs = Vec::<SocketAddr>::new();
    for _ in 0..options.count {
        // A node that finds nobody to begin with ends at once, so one that is alone begins with itself.
        let addr = UdpSocket::bind(SocketAddr::new(options.host, 0)).and_then(|socket| socket.local_addr());
        let addr = addr.expect("a port");
        let entries = if options.bootstrap.is_empty() { vec![addr] } else { options.bootstrap.clone() };
        let node = runtime.block_on(async {
            let mut id = [0; 20];
            getrandom::fill(&mut id).expect("randomness");
            let config = DhtConfig {
                peer_id: Some(Id20::new(id)),
                listen_addr: Some(addr),
                bootstrap_addrs: Some(entries.iter().map(SocketAddr::to_string).collect()),
                ..DhtConfig::default()
            };
            let node = DhtBuilder::with_config(config).await.expect("a node");
            let known = |node: &Dht| node.stats().routing_table_size + node.stats().routing_table_size_v6;
            while !options.bootstrap.is_empty() && known(&node) == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            node
        });
        addrs.push(node.listen_addr());
        nodes.push(node);
    }
    let families = if options.host.is_unspecified() { 2 } else { 1 };
    ("9.1.0", addrs, Box::new(Nodes { runtime, nodes, families }))
}

impl Peer for Nodes {
    fn obey(&mut self, command: &Value) -> Value {
        let node = &self.nodes[0];
        let port = match command["do"].as_str() {
            // It cannot leave the port to be implied.
            Some("announce") if port(command).is_none() => return Value::Null,
            Some("announce") => port(command),
            Some("peers") => None,
            _ => return Value::Null,
        };
        let hash = Id20::new(array(command, "hash"));
        let peers = self.runtime.block_on(async {
            let stream = node.get_peers(hash, port);
            let until = tokio::time::sleep(PATIENCE);
            tokio::pin!(stream, until);
            let mut peers = BTreeSet::<SocketAddr>::new();
            loop {
                tokio::select! {
                    () = &mut until => break peers,
                    peer = stream.next() => match peer {
                        Some(peer) => peers.insert(peer),
                        None => break peers,
                    },
                };
                let found: BTreeSet<_> = peers.iter().map(SocketAddr::is_ipv4).collect();
                if port.is_none() && found.len() == self.families {
                    break peers;
                }
            }
        });
        let peers: Vec<_> = peers.iter().map(|peer| json!([peer.ip().to_string(), peer.port()])).collect();
        json!({ "peers": peers })
    }
}
