//! KRPC: the messages of the BitTorrent DHT (BEP 5, with BEP 32, 33, 42, 43, 44 and 51).
//!
//! [`Message::parse`] borrows from the datagram and allocates nothing; [`Message::encode`] fills one buffer, keys sorted.
//! Both are lenient where real nodes differ (unsorted keys, unknown keys, values of an unexpected type in optional
//! places) and strict where it matters: what an answer would be built on is checked before anyone sees it.

mod bloom;
mod compact;
mod emit;
mod parse;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use thiserror::Error;

pub use self::bloom::Bloom;
pub use self::compact::{Contact, Endpoint, contacts, read_addr, write_addr, write_contact};
pub use self::parse::{Fault, Reject};
use crate::base::{InfoHash, NodeId};
use crate::wire::bencode;

/// The longest transaction id that is accepted, in bytes. The BEP suggests 2; we send 4, the one length every
/// implementation accepts.
pub const MAX_TID: usize = 32;

/// The longest write token that is accepted, in bytes. The longest one seen has 32.
pub const MAX_TOKEN: usize = 64;

/// No KRPC message is shorter than `d1:t0:1:y1:qe`; what is, is garbage.
pub const MIN_MESSAGE: usize = 14;

/// Whether a datagram that starts with `first` may be KRPC: a bencoded dictionary.
pub const fn starts_message(first: u8) -> bool {
    first == b'd'
}

/// One datagram of KRPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The transaction id: chosen by the querier, echoed by the one queried. At most [`MAX_TID`] bytes.
    pub tid: &'a [u8],
    /// The sender's software, by convention two letters and two bytes of version.
    pub version: Option<&'a [u8]>,
    /// What the sender can do beyond the BEPs.
    pub capabilities: Capabilities,
    /// What it says.
    pub body: Body<'a>,
}

/// What a node can do beyond the BEPs, told in every message: the top-level key `fm`, an integer of 32 bits that is
/// left out when none is set. All implementations we know of ignore top-level keys they do not know.
///
/// Bits are assigned in PROTOCOL.md; those not known here are kept as they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capabilities(pub u32);

impl Capabilities {
    /// Nothing but the BEPs.
    pub const NONE: Self = Self(0);

    /// Passes sealed records on to members who registered under a topic.
    pub const RELAY: Self = Self(1);

    /// The key at the top level of a message.
    pub(super) const KEY: &'static [u8] = b"fm";

    /// Whether all of `others` are among them.
    pub const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// How many bytes they take in a message.
    pub const fn encoded_len(self) -> usize {
        // `2:fmi` digits `e`
        match self.0.checked_ilog10() {
            None => 0,
            Some(log) => 6 + 1 + log as usize,
        }
    }
}

/// The three kinds of message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// A question, `y` = `q`.
    Query(Query<'a>),
    /// An answer, `y` = `r`.
    Response(Response<'a>),
    /// A refusal, `y` = `e`.
    Error(ErrorReply<'a>),
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// Who asks.
    pub id: NodeId,
    /// Whether the asker does not answer queries itself (BEP 43), and so belongs in nobody's table.
    pub read_only: bool,
    /// What is asked.
    pub call: Call<'a>,
}

/// The methods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call<'a> {
    /// Are you there? (BEP 5)
    Ping,
    /// Which nodes are closest to this id? (BEP 5)
    FindNode {
        /// The point in the key space.
        target: NodeId,
        /// Of which address families; `None` is that of the transport.
        want: Option<Want>,
    },
    /// Who announced this? (BEP 5)
    GetPeers {
        /// The topic.
        info_hash: InfoHash,
        /// Of which address families nodes are wanted; `None` is that of the transport.
        want: Option<Want>,
        /// Whether to tell how many there are ([`Response::scrape`], BEP 33).
        scrape: bool,
    },
    /// Store that the sender is a peer. (BEP 5)
    AnnouncePeer {
        /// The topic.
        info_hash: InfoHash,
        /// The peer's port; to be ignored if `implied_port`.
        port: u16,
        /// Whether the peer's port is the one this query came from.
        implied_port: bool,
        /// Whether the peer has all there is of the torrent (BEP 33).
        seed: bool,
        /// What the receiver gave in its answer to `get_peers`.
        token: &'a [u8],
    },
    /// Do you hold this item? (BEP 44)
    Get {
        /// The item's key.
        target: InfoHash,
        /// The asker holds the item of this sequence number and wants only newer ones.
        seq: Option<i64>,
        /// Of which address families nodes are wanted; `None` is that of the transport.
        want: Option<Want>,
    },
    /// Store this item. (BEP 44)
    Put {
        /// What the receiver gave in its answer to `get`.
        token: &'a [u8],
        /// The item's key. The BEP has no such argument, because it follows from the rest; but one implementation does not
        /// answer without it, and all others ignore it.
        target: Option<InfoHash>,
        /// The value, still bencoded.
        value: &'a [u8],
        /// Only of a mutable item.
        mutable: Option<PutMutable<'a>>,
    },
    /// A method that is not known here.
    Other {
        /// Its name.
        method: &'a [u8],
        /// Its `target` or `info_hash`, if it has one: then the nodes closest to it are a useful answer.
        target: Option<NodeId>,
        /// Of which address families nodes are wanted; `None` is that of the transport.
        want: Option<Want>,
    },
}

/// The part of a `put` that only mutable items have (BEP 44).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutMutable<'a> {
    /// The author's Ed25519 public key.
    pub key: &'a [u8; 32],
    /// The signature over salt, sequence number and value.
    pub signature: &'a [u8; 64],
    /// The sequence number.
    pub seq: i64,
    /// Tells items of one author apart; empty if there is none.
    pub salt: &'a [u8],
    /// Store only if the sequence number stored so far is this.
    pub cas: Option<i64>,
}

/// Which address families a querier wants nodes of (BEP 32).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// `n4`
    pub v4: bool,
    /// `n6`
    pub v6: bool,
}

/// An answer. All fields but the id are optional: which of them come depends on what was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response<'a> {
    /// Who answers.
    pub id: NodeId,
    /// IPv4 nodes, 26 bytes each: iterate with [`contacts`] or [`Response::contacts`].
    pub nodes: Option<&'a [u8]>,
    /// IPv6 nodes, 38 bytes each (BEP 32).
    pub nodes6: Option<&'a [u8]>,
    /// Peers.
    pub values: Option<Values<'a>>,
    /// What allows to announce here, or to put. At most [`MAX_TOKEN`] bytes.
    pub token: Option<&'a [u8]>,
    /// The querier's address as the answering node sees it (BEP 42).
    pub ip: Option<SocketAddr>,
    /// An item (BEP 44).
    pub item: Item<'a>,
    /// How many announced a topic (BEP 33).
    pub scrape: Scrape<'a>,
    /// Topics that a node stores (BEP 51).
    pub sample: Sample<'a>,
}

/// How many announced a topic, as the [`Bloom`] filters of an answer to `get_peers` tell (BEP 33).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrape<'a> {
    /// Peers that have all there is of the torrent: `BFsd`.
    pub seeds: Option<&'a [u8; Bloom::LEN]>,
    /// The other peers: `BFpe`.
    pub peers: Option<&'a [u8; Bloom::LEN]>,
}

/// Topics that a node stores: an answer to `sample_infohashes` (BEP 51). Parsed, so that tools can look at one; this
/// node asks nobody and tells nobody, because topics of meetings are nobody else's business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample<'a> {
    /// The seconds after which the node gives another sample; 0 to 21600.
    pub interval: Option<i64>,
    /// How many topics it stores.
    pub total: Option<i64>,
    /// Some of them, 20 bytes each: iterate with [`Sample::topics`].
    pub samples: Option<&'a [u8]>,
}

impl<'a> Sample<'a> {
    /// The topics. A remainder that is no whole one is left out.
    pub fn topics(&self) -> impl Iterator<Item = InfoHash> + use<'a> {
        let samples = self.samples.unwrap_or_default();
        samples.chunks_exact(InfoHash::LEN).filter_map(|topic| InfoHash::try_from(topic).ok())
    }
}

/// What an answer to `get` tells of an item (BEP 44). Nothing of it is verified yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item<'a> {
    /// The value, still bencoded.
    pub value: Option<&'a [u8]>,
    /// The author's Ed25519 public key.
    pub key: Option<&'a [u8; 32]>,
    /// The signature.
    pub signature: Option<&'a [u8; 64]>,
    /// The sequence number.
    pub seq: Option<i64>,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReply<'a> {
    /// Why, as a number: see [`ErrorCode`].
    pub code: i64,
    /// Why, in words; not always UTF-8.
    pub message: &'a [u8],
    /// Who asked, as the one who refuses sees it (BEP 42).
    pub ip: Option<SocketAddr>,
}

/// The error codes of BEP 5 and BEP 44.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ErrorCode {
    /// 201
    #[error("generic error")]
    Generic = 201,
    /// 202
    #[error("server error")]
    Server = 202,
    /// 203: a malformed packet, an invalid argument or a bad token.
    #[error("protocol error")]
    Protocol = 203,
    /// 204
    #[error("method unknown")]
    MethodUnknown = 204,
    /// 205
    #[error("value too big")]
    ValueTooBig = 205,
    /// 206
    #[error("invalid signature")]
    BadSignature = 206,
    /// 207
    #[error("salt too big")]
    SaltTooBig = 207,
    /// 301: the compare-and-swap failed.
    #[error("sequence number stored is not the one expected")]
    CasMismatch = 301,
    /// 302
    #[error("sequence number lower than the one stored")]
    SeqTooLow = 302,
}

impl<'a> Response<'a> {
    /// The nodes named, of both families.
    pub fn contacts(&self) -> impl Iterator<Item = Contact> + use<'a> {
        contacts::<4>(self.nodes.unwrap_or_default()).chain(contacts::<16>(self.nodes6.unwrap_or_default()))
    }

    /// The peers named.
    pub fn peers(&self) -> impl Iterator<Item = SocketAddr> + use<'a> {
        self.values.into_iter().flat_map(Values::iter)
    }
}

/// The `values` of an answer: the elements of a list, each a byte string of 6 or 18 bytes, still bencoded.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Values<'a>(&'a [u8]);

impl<'a> Values<'a> {
    /// Values that were appended to `list` by [`Values::push`].
    pub const fn of(list: &'a [u8]) -> Self {
        Self(list)
    }

    /// Appends one peer to the bencoded elements in `list`.
    pub fn push(list: &mut Vec<u8>, peer: SocketAddr) {
        list.extend_from_slice(if peer.is_ipv4() { b"6:" } else { b"18:" });
        write_addr(list, peer);
    }

    /// The peers; elements of another length are left out.
    pub fn iter(self) -> impl Iterator<Item = SocketAddr> + use<'a> {
        let mut list = self.0;
        std::iter::from_fn(move || {
            while !list.is_empty() {
                // All but a few are IPv4.
                if let [b'6', b':', a, b, c, d, high, low, rest @ ..] = list {
                    list = rest;
                    return Some(SocketAddr::from(([*a, *b, *c, *d], u16::from_be_bytes([*high, *low]))));
                }
                let mut reader = bencode::Reader::new(list);
                let value = reader.bytes_or_skip().ok()?;
                list = list.get(reader.position()..)?;
                if let Some(peer) = value.and_then(read_addr) {
                    return Some(peer);
                }
            }
            None
        })
    }
}

impl std::fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
