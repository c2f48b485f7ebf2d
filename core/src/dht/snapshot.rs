use std::net::SocketAddr;

use thiserror::Error;

use super::machine::Dht;
use super::votes::MAX_VOTES;
use crate::base::{NodeId, Rng, Scope};
use crate::limits;
use crate::wire::bencode::{Reader, Writer};
use crate::wire::krpc::{Contact, contacts, read_addr, write_addr, write_contact};

/// The version of the format. A reader refuses what it does not know.
const VERSION: i64 = 1;

/// Bytes of the CRC-32 at the end.
const CHECKSUM: usize = 4;

/// What a node keeps over a restart: its ids, how others saw its address, and whom it knew. See [`Dht::snapshot`] and
/// [`Config::saved`](super::Config::saved).
///
/// Nothing in it is trusted. An id is given up when our address turns out to be one that does not allow it; what was
/// seen of our address counts only once somebody sees the same again; and the nodes are asked like any that were named to
/// us, and enter the routing table when they answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub(super) v4: Saved,
    pub(super) v6: Saved,
}

/// What is kept of one address family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Saved {
    pub(super) id: NodeId,
    /// Who saw us where, the latest last; at most [`MAX_VOTES`].
    pub(super) votes: Vec<(SocketAddr, SocketAddr)>,
    /// The best first; at most [`limits::DHT_SAVED`].
    pub(super) nodes: Vec<Contact>,
}

/// Why bytes are not a [`Snapshot`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SnapshotError {
    /// They are not what [`Snapshot::encode`] makes.
    #[error("not a snapshot of a DHT node, or a damaged one")]
    Damaged,
    /// They are of a version that is not known here.
    #[error("a snapshot of a DHT node in version {0}, which is not known")]
    Version(i64),
}

impl Dht {
    /// What to keep for the next run: our ids, how others see our address, and the nodes that are good to ask again, in
    /// each family [`limits::DHT_SAVED`] at most.
    ///
    /// Take it every few minutes and at the end, and do not replace one with nodes by one without: whoever was offline
    /// for an hour still wants to be found again.
    pub fn snapshot(&self) -> Snapshot {
        let save = |ipv4| {
            let overlay = self.overlay(ipv4);
            let mut nodes = overlay.table.lasting(limits::DHT_SAVED);
            // Of those we had from an earlier run and did not get to ask yet, nothing new is known.
            nodes.extend(overlay.remembered.iter());
            nodes.truncate(limits::DHT_SAVED);
            Saved { id: overlay.table.own(), votes: overlay.votes.lasting(), nodes }
        };
        Snapshot { v4: save(true), v6: save(false) }
    }
}

impl Snapshot {
    /// The nodes to be asked, of both families.
    pub fn nodes(&self) -> impl Iterator<Item = Contact> {
        self.v4.nodes.iter().chain(&self.v6.nodes).copied()
    }

    /// Whether it knows nobody, and so is not worth keeping.
    pub fn is_empty(&self) -> bool {
        self.nodes().next().is_none()
    }

    /// The same for a node with ids of its own, so that it can run beside the one that these nodes were known to.
    pub fn with_fresh_ids(mut self, rng: &mut Rng) -> Self {
        (self.v4.id, self.v6.id) = (NodeId(rng.array()), NodeId(rng.array()));
        self
    }

    /// The same without the nodes for which `keep` does not hold.
    pub fn only(mut self, keep: impl Fn(&Contact) -> bool) -> Self {
        self.v4.nodes.retain(&keep);
        self.v6.nodes.retain(&keep);
        self
    }

    /// The id in one address family.
    pub fn id(&self, ipv4: bool) -> NodeId {
        if ipv4 { self.v4.id } else { self.v6.id }
    }

    /// As bytes to be kept: a bencoded dictionary with a version, and the CRC-32 of it; 15 kB at most.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        writer.dict();
        for (name, saved) in [(b"ipv4", &self.v4), (b"ipv6", &self.v6)] {
            let (mut nodes, mut votes) = (Vec::new(), Vec::new());
            saved.nodes.iter().for_each(|contact| write_contact(&mut nodes, contact));
            for (voter, seen) in &saved.votes {
                write_addr(&mut votes, *voter);
                write_addr(&mut votes, *seen);
            }
            writer.bytes(name).dict();
            writer.bytes(b"id").bytes(saved.id.as_bytes());
            writer.bytes(b"nodes").bytes(&nodes);
            writer.bytes(b"votes").bytes(&votes).end();
        }
        writer.bytes(b"version").int(VERSION).end();
        let checksum = crc32fast::hash(&bytes).to_be_bytes();
        bytes.extend_from_slice(&checksum);
        bytes
    }

    /// What [`Snapshot::encode`] made. Addresses that nobody can be asked at are left out.
    ///
    /// # Errors
    ///
    /// If the bytes are damaged in any way, or of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let (body, checksum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(SnapshotError::Damaged)?;
        if crc32fast::hash(body).to_be_bytes() != *checksum {
            return Err(SnapshotError::Damaged);
        }
        let (mut v4, mut v6, mut version) = (None, None, None);
        let mut reader = Reader::new(body);
        let read = reader.dict(|key, reader| {
            match key {
                b"ipv4" if reader.at_dict() => v4 = Some(Fields::read(reader)?),
                b"ipv6" if reader.at_dict() => v6 = Some(Fields::read(reader)?),
                b"version" => version = reader.int_or_skip()?,
                _ => {}
            }
            Ok(())
        });
        match (read, version) {
            (Ok(()), Some(VERSION)) if reader.is_at_end() => {}
            (_, Some(other)) if other != VERSION => return Err(SnapshotError::Version(other)),
            _ => return Err(SnapshotError::Damaged),
        }
        let v4 = v4.and_then(|fields| fields.check::<4>()).ok_or(SnapshotError::Damaged)?;
        let v6 = v6.and_then(|fields| fields.check::<16>()).ok_or(SnapshotError::Damaged)?;
        Ok(Self { v4, v6 })
    }
}

/// One family as it was read.
#[derive(Default)]
struct Fields<'a> {
    id: Option<&'a [u8]>,
    nodes: Option<&'a [u8]>,
    votes: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, crate::wire::bencode::Error> {
        let mut fields = Self::default();
        reader.dict(|key, reader| {
            match key {
                b"id" => fields.id = reader.bytes_or_skip()?,
                b"nodes" => fields.nodes = reader.bytes_or_skip()?,
                b"votes" => fields.votes = reader.bytes_or_skip()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(fields)
    }

    /// `None` if something is missing, or of a length that it cannot have. `IP` is the length of an address.
    fn check<const IP: usize>(self) -> Option<Saved> {
        let (nodes, votes) = (self.nodes?, self.votes?);
        let (node, vote) = (NodeId::LEN + IP + 2, 2 * (IP + 2));
        if !nodes.len().is_multiple_of(node) || !votes.len().is_multiple_of(vote) {
            return None;
        }
        let usable = |contact: &Contact| {
            let scope = Scope::of(contact.addr.ip());
            scope != Scope::Unusable && contact.addr.port() >= if scope.is_local() { 1 } else { 1_024 }
        };
        let pair = |vote: &[u8]| {
            let (voter, seen) = vote.split_at_checked(IP + 2)?;
            Some((read_addr(voter)?, read_addr(seen)?))
        };
        Some(Saved {
            id: NodeId::try_from(self.id?).ok()?,
            votes: votes.chunks_exact(vote).take(MAX_VOTES).filter_map(pair).collect(),
            nodes: contacts::<IP>(nodes).filter(usable).take(limits::DHT_SAVED).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::{Arbitrary, Gen, quickcheck};

    use super::*;

    impl Arbitrary for Saved {
        fn arbitrary(g: &mut Gen) -> Self {
            let ipv4 = bool::arbitrary(g);
            arbitrary(g, ipv4)
        }
    }

    impl Arbitrary for Snapshot {
        fn arbitrary(g: &mut Gen) -> Self {
            Self { v4: arbitrary(g, true), v6: arbitrary(g, false) }
        }
    }

    fn arbitrary(g: &mut Gen, ipv4: bool) -> Saved {
        let id = |g: &mut Gen| NodeId(std::array::from_fn(|_| u8::arbitrary(g)));
        let addr = |g: &mut Gen| {
            let port = u16::arbitrary(g).max(1_024);
            let low: [u8; 3] = std::array::from_fn(|_| u8::arbitrary(g));
            let [a, b, c] = low;
            if ipv4 {
                SocketAddr::from(([8, a, b, c], port))
            } else {
                SocketAddr::from(([0x2a01, u16::from_be_bytes([a, b]), 0, 0, 0, 0, 0, c.into()], port))
            }
        };
        let (nodes, votes) =
            (usize::arbitrary(g) % (limits::DHT_SAVED + 1), usize::arbitrary(g) % (MAX_VOTES + 1));
        Saved {
            id: id(g),
            votes: (0..votes).map(|_| (addr(g), addr(g))).collect(),
            nodes: (0..nodes).map(|_| Contact { id: id(g), addr: addr(g) }).collect(),
        }
    }

    /// The bytes with the checksum that fits them.
    fn sealed(mut body: Vec<u8>) -> Vec<u8> {
        let checksum = crc32fast::hash(&body).to_be_bytes();
        body.extend_from_slice(&checksum);
        body
    }

    quickcheck! {
        fn what_is_encoded_is_decoded(snapshot: Snapshot) -> bool {
            let bytes = snapshot.encode();
            bytes.len() <= 15_000 && Snapshot::decode(&bytes) == Ok(snapshot)
        }

        fn one_flipped_bit_is_damage(snapshot: Snapshot, at: usize) -> bool {
            let mut bytes = snapshot.encode();
            let bit = at % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            Snapshot::decode(&bytes) == Err(SnapshotError::Damaged)
        }

        fn every_cut_is_damage(snapshot: Snapshot, at: usize) -> bool {
            let bytes = snapshot.encode();
            Snapshot::decode(&bytes[..at % bytes.len()]) == Err(SnapshotError::Damaged)
        }

        fn garbage_with_a_fitting_checksum_is_damage(body: Vec<u8>) -> bool {
            Snapshot::decode(&sealed(body)) == Err(SnapshotError::Damaged)
        }
    }

    #[test]
    fn the_format() {
        let id = NodeId(*b"abcdefghij0123456789");
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let v4 = Saved {
            id,
            votes: vec![(addr("8.1.0.1:0"), addr("8.9.0.1:4000"))],
            nodes: vec![Contact { id, addr: addr("8.2.0.1:6881") }],
        };
        let bytes = Snapshot { v4, v6: Saved { id, ..Saved::default() } }.encode();
        let body =
            b"d4:ipv4d2:id20:abcdefghij01234567895:nodes26:abcdefghij0123456789\x08\x02\x00\x01\x1a\xe1\
            5:votes12:\x08\x01\x00\x01\x00\x00\x08\x09\x00\x01\x0f\xa0e\
            4:ipv6d2:id20:abcdefghij01234567895:nodes0:5:votes0:e7:versioni1ee";
        assert_eq!(bytes, sealed(body.to_vec()));
        assert!(crate::wire::bencode::is_canonical(body));
    }

    #[test]
    fn other_versions_are_named() {
        let newer = b"d4:ipv4d2:id20:abcdefghij0123456789e7:versioni2ee".to_vec();
        assert_eq!(Snapshot::decode(&sealed(newer)), Err(SnapshotError::Version(2)));
    }

    #[test]
    fn what_is_missing_or_of_the_wrong_length_is_damage() {
        let whole = Snapshot::default().encode();
        let body = String::from_utf8(whole[..whole.len() - CHECKSUM].to_vec()).unwrap();
        let changed = |from: &str, to: &str| {
            assert!(body.contains(from), "{from}");
            Snapshot::decode(&sealed(body.replace(from, to).into_bytes()))
        };
        assert_eq!(changed("5:nodes0:", "5:nodes0:"), Ok(Snapshot::default()));
        assert_eq!(
            changed("5:nodes0:", "4:more0:5:nodes0:"),
            Ok(Snapshot::default()),
            "unknown keys may come"
        );
        for (from, to) in [
            ("5:nodes0:", ""),
            ("5:votes0:", "5:votes1:x"),
            ("5:nodes0:", "5:nodes3:xyz"),
            ("2:id20:", "2:id19:"),
            ("4:ipv6", "4:ipv7"),
            ("7:versioni1e", ""),
            ("7:versioni1e", "7:version1:1"),
            ("7:versioni1ee", "7:versioni1eex"),
        ] {
            assert_eq!(changed(from, to), Err(SnapshotError::Damaged), "{from} {to}");
        }
    }

    #[test]
    fn addresses_that_nobody_can_be_asked_at_are_left_out() {
        let contact = |addr: &str| Contact { id: NodeId([7; 20]), addr: addr.parse().unwrap() };
        let nodes =
            ["8.1.1.1:0", "224.0.0.1:6881", "8.1.1.1:53", "8.1.1.1:6881", "127.0.0.1:53"].map(contact);
        let v4 = Saved { nodes: nodes.into(), ..Saved::default() };
        let read = Snapshot::decode(&Snapshot { v4, ..Snapshot::default() }.encode()).unwrap();
        assert_eq!(read.nodes().collect::<Vec<_>>(), [contact("8.1.1.1:6881"), contact("127.0.0.1:53")]);
    }
}
