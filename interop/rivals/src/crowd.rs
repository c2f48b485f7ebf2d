//! Made-up nodes for a server to know: each has a socket of its own on loopback, answers every question, and names others of
//! the crowd. `rivals crowd COUNT` starts them and prints them as other kinds of nodes are printed.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use folkmoot_core::base::NodeId;
use folkmoot_core::wire::krpc::{Body, Call, Capabilities, Contact, Message, Response, write_contact};
use serde_json::Value;

use crate::{Options, Peer};

/// How many nodes an answer names.
const NAMED: usize = 8;

struct Crowd;

pub fn start(options: &Options) -> (&'static str, Vec<SocketAddr>, Box<dyn Peer>) {
    let sockets: Vec<UdpSocket> =
        (0..options.count).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket")).collect();
    let addrs: Vec<SocketAddr> =
        sockets.iter().map(|socket| socket.local_addr().expect("an address")).collect();
    let contact = |addr: &SocketAddr| {
        let mut id = [0; 20];
        getrandom::fill(&mut id).expect("randomness");
        Contact { id: NodeId(id), addr: *addr }
    };
    let contacts: Arc<[Contact]> = addrs.iter().map(contact).collect();
    for (own, socket) in sockets.into_iter().enumerate() {
        let contacts = Arc::clone(&contacts);
        let run = move || serve(&socket, &contacts, own);
        std::thread::Builder::new().stack_size(1 << 17).spawn(run).expect("a thread");
    }
    ("0", addrs, Box::new(Crowd))
}

fn serve(socket: &UdpSocket, contacts: &[Contact], own: usize) {
    let mut bytes = [0; 2_048];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut bytes) else { continue };
        let Ok(Message { tid, body: Body::Query(query), .. }) = Message::parse(&bytes[..length]) else {
            continue;
        };
        let (target, token) = match query.call {
            Call::FindNode { target, .. } => (target, None),
            Call::GetPeers { info_hash, .. } => (NodeId(info_hash.0), Some(b"token".as_slice())),
            Call::Get { target, .. } => (NodeId(target.0), Some(b"token".as_slice())),
            _ => (contacts[own].id, None),
        };
        let mut closest: Vec<&Contact> = contacts.iter().collect();
        closest.sort_by_key(|contact| contact.id.distance(target.as_bytes()));
        let mut nodes = Vec::new();
        closest.iter().take(NAMED).for_each(|contact| write_contact(&mut nodes, contact));
        let response = Response {
            id: contacts[own].id,
            nodes: Some(&nodes),
            token,
            ip: Some(from),
            ..Response::default()
        };
        let answer = Message {
            tid,
            version: None,
            capabilities: Capabilities::default(),
            body: Body::Response(response),
        };
        // Who does not get it asks again.
        let _ = socket.send_to(&answer.encode(), from);
    }
}

impl Peer for Crowd {
    fn obey(&mut self, _: &Value) -> Value {
        Value::Null
    }
}
