use std::net::SocketAddr;
use std::time::Duration;

use super::machine::Dht;
use crate::base::{Scope, Time};
use crate::limits;
use crate::wire::krpc::{Capabilities, Contact};

/// A node that has not said for so long what it can do is taken to be gone. A node in use answers within minutes.
const FORGOTTEN: Duration = Duration::from_secs(2 * 60 * 60);

/// The nodes of one address family that can do something beyond the BEPs, by their own word, in answers to questions of
/// ours. What a node says in a question of its own is not remembered: whoever asks may forge its address.
#[derive(Debug, Default)]
pub(super) struct Capable {
    /// The one heard of most lately last; one of each address.
    nodes: Vec<(Time, Contact, Capabilities)>,
}

impl Dht {
    /// The nodes that can do all of this beyond the BEPs, by what they answered to us: the one heard of most lately first. At
    /// most [`limits::DHT_CAPABLE`] are known of each address family.
    pub fn capable_nodes(&self, capabilities: Capabilities) -> impl Iterator<Item = Contact> {
        let families = [true, false].map(|ipv4| self.overlay(ipv4).capable.nodes.iter().rev());
        let is_able = move |(_, _, all): &&(Time, Contact, Capabilities)| all.contains(capabilities);
        families.into_iter().flatten().filter(is_able).map(|(_, contact, _)| *contact)
    }
}

impl Capable {
    /// A node answered a question of ours, and said what it can do.
    pub(super) fn on_answer(&mut self, now: Time, contact: Contact, capabilities: Capabilities) {
        if self.nodes.is_empty() && capabilities == Capabilities::NONE {
            return;
        }
        let is_old = |at: Time| now.saturating_since(at) > FORGOTTEN;
        let ip = contact.addr.ip();
        // Of an address of the internet one node, as in the routing table.
        let is_same = |known: &Contact| match Scope::of(ip).is_local() {
            true => known.addr == contact.addr,
            false => known.addr.ip() == ip,
        };
        self.nodes.retain(|(at, known, _)| !is_old(*at) && !is_same(known));
        if capabilities != Capabilities::NONE {
            self.nodes.push((now, contact, capabilities));
        }
        if self.nodes.len() > limits::DHT_CAPABLE {
            self.nodes.remove(0);
        }
    }

    /// A node did not answer.
    pub(super) fn forget(&mut self, addr: SocketAddr) {
        self.nodes.retain(|(_, known, _)| known.addr != addr);
    }

    /// The memory taken beyond its own size, in bytes.
    pub(super) fn footprint(&self) -> usize {
        self.nodes.capacity() * size_of::<(Time, Contact, Capabilities)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::NodeId;

    fn node(n: u8) -> Contact {
        Contact { id: NodeId([n; 20]), addr: ([8, 8, n, 1], 6881).into() }
    }

    #[test]
    fn remembered_replaced_forgotten_and_bounded() {
        let known = |capable: &Capable| capable.nodes.iter().map(|node| node.1).collect::<Vec<_>>();
        let mut capable = Capable::default();
        capable.on_answer(Time::ZERO, node(1), Capabilities::NONE);
        assert_eq!(known(&capable), []);
        capable.on_answer(Time::ZERO, node(1), Capabilities::RELAY);
        capable.on_answer(Time::from_millis(1), node(2), Capabilities::RELAY);
        let moved = Contact { addr: ([8, 8, 1, 1], 7000).into(), ..node(1) };
        capable.on_answer(Time::from_millis(2), moved, Capabilities::RELAY);
        assert_eq!(known(&capable), [node(2), moved], "one of each address");
        capable.forget(node(2).addr);
        assert_eq!(known(&capable), [moved]);
        capable.on_answer(Time::ZERO + FORGOTTEN * 2, node(3), Capabilities::RELAY);
        assert_eq!(known(&capable), [node(3)], "the other was silent for too long");
        capable.on_answer(Time::ZERO + FORGOTTEN * 2, node(3), Capabilities::NONE);
        assert_eq!(known(&capable), [], "it can no longer do anything");
        (0..=255).for_each(|n| capable.on_answer(Time::ZERO, node(n), Capabilities::RELAY));
        assert_eq!(capable.nodes.len(), limits::DHT_CAPABLE);
    }
}
