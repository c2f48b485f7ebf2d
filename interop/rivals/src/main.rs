//! DHT nodes of several kinds, each driven by lines of JSON: `rivals KIND COUNT [--host HOST] [--bootstrap HOST:PORT]…`.
//!
//! Starts `COUNT` nodes that know each other, and the bootstrap nodes if some are given. Prints one line,
//! `{"version": …, "nodes": [[host, port], …]}`, and then obeys the commands of `interop/matrix.py`, which go to the first
//! node, until the end of standard input.
//!
//! `rivals load`, `rivals parse` and, with the feature `sim`, `rivals worlds` measure; `rivals ports`, of that feature too, tests.

mod crowd;
mod librqbit;
mod load;
mod mainline;
mod parse;
#[cfg(feature = "sim")]
mod ports;
#[cfg(feature = "sim")]
mod worlds;

use std::io::BufRead as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::{Value, json};

/// What the nodes are started with.
pub struct Options {
    pub count: usize,
    pub host: IpAddr,
    pub bootstrap: Vec<SocketAddr>,
}

/// The node that is driven.
pub trait Peer {
    /// Carries out a command; an answer of `null` says that it has no such command.
    fn obey(&mut self, command: &Value) -> Value;
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((kind, args)) = args.split_first() else { panic!("give a kind of node, or load") };
    match kind.as_str() {
        "load" => return load::main(args),
        "parse" => return parse::main(args),
        #[cfg(feature = "sim")]
        "ports" => return ports::main(),
        #[cfg(feature = "sim")]
        "worlds" => return worlds::main(args),
        _ => {}
    }
    let mut options = Options { count: 1, host: Ipv4Addr::LOCALHOST.into(), bootstrap: Vec::new() };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().expect("a value after the flag");
        match arg.as_str() {
            "--host" => options.host = value().parse().expect("an IP address"),
            "--bootstrap" => options.bootstrap.push(value().parse().expect("HOST:PORT")),
            count => options.count = count.parse().expect("a number of nodes"),
        }
    }
    let (version, nodes, mut peer): (_, Vec<SocketAddr>, Box<dyn Peer>) = match kind.as_str() {
        "crowd" => crowd::start(&options),
        "librqbit" => librqbit::start(&options),
        "mainline" => mainline::start(&options),
        kind => panic!("there are no nodes of {kind}"),
    };
    let nodes: Vec<Value> = nodes.iter().map(|addr| json!([addr.ip().to_string(), addr.port()])).collect();
    println!("{}", json!({ "version": version, "nodes": nodes }));
    for line in std::io::stdin().lock().lines() {
        let command = serde_json::from_str(&line.expect("a line")).expect("a command is JSON");
        println!("{}", peer.obey(&command));
    }
}

/// A field of a command that holds bytes in hexadecimal digits; no bytes if it is absent.
pub fn bytes(command: &Value, field: &str) -> Vec<u8> {
    let digits = command[field].as_str().unwrap_or_default();
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// The same, of a fixed length.
pub fn array<const N: usize>(command: &Value, field: &str) -> [u8; N] {
    bytes(command, field).try_into().expect("the right number of bytes")
}

/// Bytes as a command has them.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The port of a command, if there is one.
pub fn port(command: &Value) -> Option<u16> {
    command["port"].as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)
}
