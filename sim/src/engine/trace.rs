use std::fmt;

use folkmoot_core::base::Time;
use sha2::{Digest as _, Sha256};

use super::HostId;
use crate::net::DropReason;

/// What happened in a run, as a hash over every record and, if asked for, the records themselves.
///
/// Two runs of one seed have equal hashes, in one process and across processes; that is tested for every scenario.
/// Payloads are not part of it, their lengths are.
#[derive(Debug, Default)]
pub struct Trace {
    hash: Sha256,
    count: u64,
    kept: Option<Vec<Record>>,
}

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub at: Time,
    /// The host that sent the packet, or that started or stopped.
    pub from: HostId,
    /// The host the packet came to, once that is known.
    pub to: Option<HostId>,
    /// What kind of packet it is.
    pub kind: Kind,
    /// What became of it.
    pub fate: Fate,
    /// The size of its payload in bytes.
    pub len: u32,
}

/// What a packet is, told by its first byte as RFC 7983 does for WebRTC, with KRPC's `d` added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// STUN: 0 to 3.
    Stun,
    /// DTLS: 20 to 63.
    Dtls,
    /// TURN channel data, and our relayed datagrams: 64 to 79.
    Channel,
    /// KRPC, which is a bencoded dictionary: `d`.
    Krpc,
    /// Anything else, and what is not a packet.
    Other,
}

/// What became of a packet or a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A host sent it.
    Sent,
    /// A link made a second one of it.
    Duplicated,
    /// It reached a host.
    Delivered,
    /// It went no further.
    Dropped(DropReason),
    /// A host's program was started.
    Started,
    /// A host's program was killed.
    Stopped,
}

impl Trace {
    /// A trace that keeps nothing but the hash.
    pub fn new() -> Self {
        Self::default()
    }

    /// A trace that also keeps the records: about 40 bytes each.
    pub fn keeping() -> Self {
        Self { kept: Some(Vec::new()), ..Self::default() }
    }

    /// Adds a record.
    pub fn add(&mut self, record: Record) {
        self.hash.update(record.encode());
        self.count += 1;
        if let Some(kept) = &mut self.kept {
            kept.push(record);
        }
    }

    /// How many records there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The hash of all records so far.
    pub fn hash(&self) -> TraceHash {
        TraceHash(self.hash.clone().finalize().into())
    }

    /// The records; empty if they are not kept.
    pub fn records(&self) -> &[Record] {
        self.kept.as_deref().unwrap_or_default()
    }

    /// The index of the first record in which two runs differ, if they do.
    pub fn first_difference(a: &[Record], b: &[Record]) -> Option<usize> {
        let common = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        (common < a.len().max(b.len())).then_some(common)
    }
}

impl Record {
    fn encode(&self) -> [u8; 23] {
        let mut bytes = [0; 23];
        bytes[..8].copy_from_slice(&self.at.as_micros().to_le_bytes());
        bytes[8..12].copy_from_slice(&self.from.0.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.to.map_or(u32::MAX, |to| to.0).to_le_bytes());
        bytes[16] = self.kind as u8;
        (bytes[17], bytes[18]) = match self.fate {
            Fate::Sent => (0, 0),
            Fate::Duplicated => (1, 0),
            Fate::Delivered => (2, 0),
            Fate::Dropped(reason) => (3, reason as u8),
            Fate::Started => (4, 0),
            Fate::Stopped => (5, 0),
        };
        bytes[19..].copy_from_slice(&self.len.to_le_bytes());
        bytes
    }
}

/// `12.345678s h3 -> h7 stun delivered 120`.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.at, self.from)?;
        if let Some(to) = self.to {
            write!(f, " -> {to}")?;
        }
        write!(f, " {} {} {}", self.kind, self.fate, self.len)
    }
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Stun, Self::Dtls, Self::Channel, Self::Krpc, Self::Other];

    /// The kind of a payload.
    pub fn of(payload: &[u8]) -> Self {
        match payload.first() {
            Some(0..=3) => Self::Stun,
            Some(20..=63) => Self::Dtls,
            Some(64..=79) => Self::Channel,
            Some(b'd') => Self::Krpc,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stun => "stun",
            Self::Dtls => "dtls",
            Self::Channel => "channel",
            Self::Krpc => "krpc",
            Self::Other => "other",
        })
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent => f.write_str("sent"),
            Self::Duplicated => f.write_str("duplicated"),
            Self::Delivered => f.write_str("delivered"),
            Self::Dropped(reason) => write!(f, "dropped ({reason})"),
            Self::Started => f.write_str("started"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

/// SHA-256 over a trace; prints as lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TraceHash(pub [u8; 32]);

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at: u64) -> Record {
        let at = Time::from_micros(at);
        Record { at, from: HostId(1), to: None, kind: Kind::Stun, fate: Fate::Sent, len: 20 }
    }

    #[test]
    fn every_field_counts() {
        let hash = |record| {
            let mut trace = Trace::new();
            trace.add(record);
            trace.hash()
        };
        let plain = record(5);
        let others = [
            record(6),
            Record { from: HostId(2), ..plain },
            Record { to: Some(HostId(0)), ..plain },
            Record { kind: Kind::Dtls, ..plain },
            Record { fate: Fate::Delivered, ..plain },
            Record { fate: Fate::Dropped(DropReason::Lost), ..plain },
            Record { fate: Fate::Dropped(DropReason::NoRoute), ..plain },
            Record { len: 21, ..plain },
        ];
        let mut hashes: Vec<_> = others.into_iter().chain([plain]).map(hash).collect();
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), others.len() + 1);
    }

    #[test]
    fn the_first_difference_is_found() {
        let a: Vec<_> = (0..10).map(record).collect();
        assert_eq!(Trace::first_difference(&a, &a), None);
        assert_eq!(Trace::first_difference(&a, &a[..7]), Some(7));
        let mut b = a.clone();
        b[3].len = 0;
        assert_eq!(Trace::first_difference(&a, &b), Some(3));
    }
}
