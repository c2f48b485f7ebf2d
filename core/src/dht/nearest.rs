use super::table::K;
use crate::base::NodeId;

/// The XOR distance in a form that compares fast.
pub(super) type Distance = (u128, u32);

pub(super) fn distance(id: &NodeId, target: &[u8; 20]) -> Distance {
    let [high @ .., a, b, c, d] = id.distance(target);
    (u128::from_be_bytes(high), u32::from_be_bytes([a, b, c, d]))
}

/// The nodes nearest to a target, as they go over the wire, for an answer: chosen without sorting what is not sent, and
/// without allocating.
#[derive(Debug)]
pub(super) struct Nearest<'a> {
    target: &'a [u8; 20],
    found: [(Distance, &'a [u8]); K],
    len: usize,
    /// Those before this place are nearer than any that is still to come.
    settled: usize,
    most: usize,
}

impl<'a> Nearest<'a> {
    /// None yet; at most `most`, and never more than [`K`].
    pub(super) fn new(target: &'a [u8; 20], most: usize) -> Self {
        Self { target, found: [((0, 0), &[]); K], len: 0, settled: 0, most: most.min(K) }
    }

    /// All that come from now on are farther than those that came so far. Returns whether there is room for any.
    pub(super) fn settle(&mut self) -> bool {
        self.settled = self.len;
        self.len < self.most
    }

    /// A node in compact form.
    #[inline]
    pub(super) fn offer(&mut self, node: &'a [u8]) {
        let Some((id, _)) = node.split_first_chunk::<{ NodeId::LEN }>() else { return };
        let distance = distance(&NodeId(*id), self.target);
        let mut place = self.len;
        if place < self.most {
            self.len += 1;
        } else if place > self.settled && self.found.get(place - 1).is_some_and(|last| distance < last.0) {
            place -= 1;
        } else {
            return;
        }
        if let Some(last) = self.found.get_mut(place) {
            *last = (distance, node);
        }
        // Into its place among those not settled yet: eight at most, mostly.
        while place > self.settled && self.found.get(place - 1).is_some_and(|before| distance < before.0) {
            self.found.swap(place - 1, place);
            place -= 1;
        }
    }

    /// The list, the nearest first.
    pub(super) fn list(&self) -> NodeList {
        let mut list = NodeList { bytes: [0; _], len: 0 };
        for (_, node) in self.found.iter().take(self.len) {
            let end = list.len + node.len();
            if let Some(free) = list.bytes.get_mut(list.len..end) {
                free.copy_from_slice(node);
                list.len = end;
            }
        }
        list
    }
}

/// Nodes in compact form: room for [`K`] of IPv6.
#[derive(Debug)]
pub(super) struct NodeList {
    bytes: [u8; K * (NodeId::LEN + 18)],
    len: usize,
}

impl NodeList {
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}
