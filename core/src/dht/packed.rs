use std::net::SocketAddr;
use std::time::Duration;

use super::table::Entry;
use crate::base::{NodeId, Time};
use crate::wire::krpc::{Contact, Endpoint, read_addr, write_contact};

/// Milliseconds of the last answer (5 bytes: 34 years), of the round trip (2), and unanswered questions (1).
const STATE: usize = 5 + 2 + 1;

/// Nodes of one address family in the least memory: 34 bytes for an IPv4 node, 46 in IPv6, where an [`Entry`] takes 88. A
/// simulator holds a hundred million of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Packed {
    /// Without room for more, since changes are rare.
    bytes: Box<[u8]>,
    /// The size of one in bytes; 0 before the first.
    size: usize,
}

impl Packed {
    pub(super) fn len(&self) -> usize {
        self.bytes.len().checked_div(self.size).unwrap_or(0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> {
        self.bytes.chunks_exact(self.size.max(1)).filter_map(unpack)
    }

    /// The contacts as they go over the wire, and their unanswered questions.
    pub(super) fn on_the_wire(&self) -> impl Iterator<Item = (&[u8], u8)> {
        let size = self.size.max(STATE);
        self.bytes
            .chunks_exact(size)
            .filter_map(move |packed| Some((packed.get(..size - STATE)?, *packed.last()?)))
    }

    /// The node at an address.
    pub(super) fn at(&self, addr: SocketAddr) -> Option<Contact> {
        let ip_and_port = Endpoint::of(addr);
        let mut contacts = self.on_the_wire().map(|(contact, _)| contact);
        let found = contacts.find(|contact| contact.get(NodeId::LEN..) == Some(ip_and_port.as_bytes()))?;
        let (id, _) = found.split_first_chunk::<{ NodeId::LEN }>()?;
        Some(Contact { id: NodeId(*id), addr })
    }

    /// Adds one at the end. All must be of the family of the first; another is left out.
    pub(super) fn push(&mut self, entry: Entry) {
        self.insert(self.len(), entry);
    }

    /// Adds one before that at `place`.
    pub(super) fn insert(&mut self, place: usize, entry: Entry) {
        let packed = pack(&entry);
        if self.is_empty() {
            self.size = packed.len();
        }
        let at = place * self.size;
        if let Some((before, after)) = self.bytes.split_at_checked(at).filter(|_| packed.len() == self.size) {
            self.bytes = [before, &packed, after].concat().into();
        } else {
            debug_assert!(false, "{entry:?} among others");
        }
    }

    /// Replaces the one at `place`.
    pub(super) fn set(&mut self, place: usize, entry: Entry) {
        let (at, packed) = (place * self.size, pack(&entry));
        match self.bytes.get_mut(at..at + self.size) {
            Some(there) if there.len() == packed.len() => there.copy_from_slice(&packed),
            _ => debug_assert!(false, "{entry:?} in another's place"),
        }
    }

    /// Removes the one at `place`.
    pub(super) fn remove(&mut self, place: usize) -> Option<Entry> {
        let (before, rest) = self.bytes.split_at_checked(place * self.size)?;
        let (packed, after) = rest.split_at_checked(self.size)?;
        let entry = unpack(packed)?;
        self.bytes = [before, after].concat().into();
        Some(entry)
    }

    /// Removes those for which `keep` does not hold, and returns them.
    pub(super) fn split_off(&mut self, keep: impl Fn(&Entry) -> bool) -> Self {
        let (mut kept, mut others) = (Self::default(), Self::default());
        self.iter().for_each(|entry| if keep(&entry) { kept.push(entry) } else { others.push(entry) });
        *self = kept;
        others
    }

    /// The memory taken, in bytes.
    pub(super) fn footprint(&self) -> usize {
        self.bytes.len()
    }
}

fn pack(entry: &Entry) -> Vec<u8> {
    let mut packed = Vec::with_capacity(NodeId::LEN + 18 + STATE);
    write_contact(&mut packed, &entry.contact);
    // Upwards, so that an answer does not seem older than a question that it came after.
    let [_, _, _, answered @ ..] = entry.answered.as_micros().div_ceil(1_000).to_be_bytes();
    packed.extend_from_slice(&answered);
    packed.extend_from_slice(&u16::try_from(entry.rtt.as_millis()).unwrap_or(u16::MAX).to_be_bytes());
    packed.push(entry.failures);
    packed
}

fn unpack(packed: &[u8]) -> Option<Entry> {
    let (contact, state) = packed.split_last_chunk::<STATE>()?;
    let (id, addr) = contact.split_first_chunk::<{ NodeId::LEN }>()?;
    let &[a, b, c, d, e, rtt @ .., failures] = state;
    Some(Entry {
        contact: Contact { id: NodeId(*id), addr: read_addr(addr)? },
        answered: Time::from_millis(u64::from_be_bytes([0, 0, 0, a, b, c, d, e])),
        rtt: Duration::from_millis(u16::from_be_bytes(rtt).into()),
        failures,
    })
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;
    use crate::base::Rng;

    fn entry(seed: u8, ipv4: bool) -> Entry {
        let mut rng = Rng::new([seed; 32]);
        let addr: SocketAddr = if ipv4 {
            (rng.array::<4>(), rng.u64() as u16).into()
        } else {
            (rng.array::<16>(), rng.u64() as u16).into()
        };
        Entry {
            contact: Contact { id: NodeId(rng.array()), addr },
            answered: Time::from_millis(rng.below(1 << 40)),
            rtt: Duration::from_millis(rng.below(1 << 16)),
            failures: rng.u64() as u8,
        }
    }

    quickcheck! {
        /// As a vector of entries would.
        fn packed_as_a_list(ipv4: bool, steps: Vec<(u8, u8)>) -> bool {
            let (mut packed, mut list) = (Packed::default(), Vec::new());
            for (seed, what) in steps {
                let place = usize::from(seed) % (list.len() + 1);
                match what % 4 {
                    0 => assert_eq!(packed.remove(place), (place < list.len()).then(|| list.remove(place))),
                    1 if place < list.len() => {
                        list[place] = entry(seed, ipv4);
                        packed.set(place, list[place]);
                    }
                    2 => {
                        let keep = |entry: &Entry| entry.failures > what;
                        let others: Vec<_> = packed.split_off(keep).iter().collect();
                        assert_eq!(others, list.extract_if(.., |entry| !keep(entry)).collect::<Vec<_>>());
                    }
                    _ => {
                        packed.insert(place, entry(seed, ipv4));
                        list.insert(place, entry(seed, ipv4));
                    }
                }
                if packed.iter().collect::<Vec<_>>() != list || packed.len() != list.len() {
                    return false;
                }
                for entry in &list {
                    assert_eq!(packed.at(entry.contact.addr).unwrap().addr, entry.contact.addr);
                }
                let wire = packed.on_the_wire().zip(&list);
                wire.for_each(|((contact, failures), entry)| {
                    let mut expected = Vec::new();
                    write_contact(&mut expected, &entry.contact);
                    assert_eq!((contact, failures), (expected.as_slice(), entry.failures));
                });
            }
            packed.footprint() == list.len() * if ipv4 { 34 } else { 46 }
        }
    }

    #[test]
    fn an_answer_does_not_seem_older_than_it_is() {
        let mut entry = entry(1, true);
        entry.answered = Time::from_micros(10_000_500);
        let mut packed = Packed::default();
        packed.push(entry);
        assert_eq!(packed.iter().next().unwrap().answered, Time::from_millis(10_001));
        assert_eq!((packed.len(), packed.bytes.len()), (1, 34));
    }
}
