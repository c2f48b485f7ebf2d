use std::net::SocketAddr;

use crate::base::Time;
use crate::wire::krpc::Contact;

/// Nodes of an earlier run. Whether they are still there is not known, so they are in no routing table: lookups may begin
/// with them, and once somebody has answered the rest is asked one by one. Whoever was asked is remembered no more, unless
/// nobody at all answered, since then it is us who are offline.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// The best last; with the questions of lookups that they did not answer in time.
    nodes: Vec<(u32, Contact)>,
    /// When the next is to be asked.
    pub(super) ask_at: Option<Time>,
}

impl Remembered {
    /// These nodes, the best first.
    pub(super) fn new(nodes: Vec<Contact>) -> Self {
        Self { nodes: nodes.into_iter().rev().map(|contact| (0, contact)).collect(), ask_at: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The memory taken beyond its own size, in bytes.
    pub(super) fn footprint(&self) -> usize {
        self.nodes.capacity() * size_of::<(u32, Contact)>()
    }

    /// All of them, the best first.
    pub(super) fn iter(&self) -> impl Iterator<Item = Contact> {
        self.nodes.iter().rev().map(|(_, contact)| *contact)
    }

    /// At most `most` to begin a lookup with: those closest to its target, but those that were silent last.
    pub(super) fn closest(&self, target: &[u8; 20], most: usize) -> Vec<Contact> {
        let mut sorted: Vec<_> = self
            .nodes
            .iter()
            .map(|(silent, contact)| (*silent, contact.id.distance(target), contact))
            .collect();
        sorted.sort_unstable();
        sorted.into_iter().take(most).map(|(.., contact)| *contact).collect()
    }

    /// The next to be asked; forgotten with that.
    pub(super) fn take(&mut self) -> Option<Contact> {
        let taken = self.nodes.pop().map(|(_, contact)| contact);
        if self.nodes.is_empty() {
            // For good, so its memory goes too.
            self.nodes = Vec::new();
        }
        taken
    }

    /// Not taken after all.
    pub(super) fn put_back(&mut self, contact: Contact) {
        self.nodes.push((0, contact));
    }

    /// A node was asked and is late.
    pub(super) fn on_late(&mut self, addr: SocketAddr) {
        if let Some((silent, _)) = self.nodes.iter_mut().find(|(_, contact)| contact.addr == addr) {
            *silent += 1;
        }
    }

    /// What is to be known of the node at this address is known now.
    pub(super) fn forget(&mut self, addr: SocketAddr) {
        if !self.nodes.is_empty() {
            self.nodes.retain(|(_, contact)| contact.addr != addr);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::NodeId;

    fn node(n: u8) -> Contact {
        Contact { id: NodeId([n; 20]), addr: ([8, n, 0, 1], 6881).into() }
    }

    #[test]
    fn the_closest_first_and_the_silent_last() {
        let mut remembered = Remembered::new([9, 1, 2, 4].map(node).into());
        assert_eq!(remembered.closest(&[0; 20], 3), [1, 2, 4].map(node));
        remembered.on_late(node(1).addr);
        remembered.on_late(node(77).addr);
        assert_eq!(remembered.closest(&[0; 20], 9), [2, 4, 9, 1].map(node));
        remembered.forget(node(4).addr);
        assert_eq!(remembered.iter().collect::<Vec<_>>(), [9, 1, 2].map(node), "in the order given");
    }

    #[test]
    fn the_best_is_asked_first_and_once() {
        let mut remembered = Remembered::new([9, 1].map(node).into());
        assert_eq!(remembered.take(), Some(node(9)));
        remembered.put_back(node(9));
        assert_eq!([(); 3].map(|()| remembered.take()), [Some(node(9)), Some(node(1)), None]);
    }
}
