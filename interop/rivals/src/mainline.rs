//! Nodes of the crate `mainline`. IPv4 only.

#![expect(deprecated, reason = "the blocking methods are all that this needs")]

use std::net::{IpAddr, SocketAddr};

use mainline::{Dht, Id, MutableItem, SigningKey};
use serde_json::{Value, json};

use crate::{Options, Peer, array, bytes, hex, port};

struct Nodes {
    /// The first is driven; the others only have to live.
    nodes: Vec<Dht>,
}

pub fn start(options: &Options) -> (&'static str, Vec<SocketAddr>, Box<dyn Peer>) {
    let IpAddr::V4(host) = options.host else { panic!("mainline knows no IPv6") };
    let mut nodes = Vec::<Dht>::new();
    let mut addrs = Vec::<SocketAddr>::new();
    for _ in 0..options.count {
        let entries: Vec<String> =
            options.bootstrap.iter().chain(addrs.first()).map(SocketAddr::to_string).collect();
        let mut builder = Dht::builder();
        // Port 0 is any; without it the first node takes the customary one.
        builder.server_mode().bind_address(host).port(0);
        match entries.is_empty() {
            true => builder.no_bootstrap(),
            false => builder.bootstrap(&entries),
        };
        let node = builder.build().expect("a node");
        if !entries.is_empty() {
            assert!(node.bootstrapped(), "it finds nobody");
        }
        addrs.push(SocketAddr::new(options.host, node.info().local_addr().port()));
        nodes.push(node);
    }
    ("8.0.1", addrs, Box::new(Nodes { nodes }))
}

impl Peer for Nodes {
    fn obey(&mut self, command: &Value) -> Value {
        let node = &self.nodes[0];
        let id = |field| Id::from(array::<20>(command, field));
        let salt = bytes(command, "salt");
        let salt = (!salt.is_empty()).then_some(salt.as_slice());
        match command["do"].as_str().unwrap_or_default() {
            "announce" => told(node.announce_peer(id("hash"), port(command))),
            "peers" => {
                let peers = node.get_peers(id("hash")).flatten();
                json!({ "peers": peers.map(|peer| json!([peer.ip().to_string(), peer.port()])).collect::<Vec<_>>() })
            }
            "put_immutable" => told(node.put_immutable(&bytes(command, "value"))),
            "get_immutable" => json!({ "value": node.get_immutable(id("target")).map(|value| hex(&value)) }),
            "put_mutable" => {
                let (signer, value) =
                    (SigningKey::from_bytes(&array(command, "seed")), bytes(command, "value"));
                let item = MutableItem::new(signer, &value, command["seq"].as_i64().expect("a number"), salt);
                told(node.put_mutable(item, command["cas"].as_i64()))
            }
            "get_mutable" => {
                let item = node.get_mutable_most_recent(&array(command, "key"), salt);
                json!({
                    "value": item.as_ref().map(|item| hex(item.value())),
                    "seq": item.as_ref().map(MutableItem::seq),
                })
            }
            _ => Value::Null,
        }
    }
}

fn told<E: std::fmt::Debug>(result: Result<Id, E>) -> Value {
    match result {
        Ok(target) => json!({ "target": target.to_string() }),
        Err(error) => json!({ "error": format!("{error:?}") }),
    }
}
