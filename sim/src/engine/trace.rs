use std::fmt;
use std::ops::Range;

use folkmoot_core::base::Time;

use super::HostId;
use super::digest::{Rolling, TraceHash};
use crate::net::DropReason;

/// What happened in a run, as hashes over every record and, if asked for, the records themselves.
///
/// There are two: [`Trace::hash`] is over what was sent when, from whom to whom and how long it is, and two runs of one
/// seed always agree in it. [`Trace::whole`] is also over every byte of every packet; in it they agree if nothing
/// below them draws from the system: programs of your own, or whole nodes on a thread whose entropy is seeded
/// (`folkmoot-sim-entropy`), as those of `moot-sim` are.
#[derive(Debug)]
pub struct Trace {
    shape: Rolling,
    whole: Rolling,
    count: u64,
    keeping: Range<u64>,
    kept: Vec<Record>,
    checkpoints: Vec<TraceHash>,
}

/// After so many records each the hash so far is noted, so that two runs that differ are told where.
pub const CHECKPOINT: u64 = 1 << 12;

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
    /// A hash of its payload.
    pub digest: u64,
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
    /// A trace that keeps nothing but the hashes.
    pub fn new() -> Self {
        Self::keeping_some(0..0)
    }

    /// A trace that also keeps the records: about 50 bytes each.
    pub fn keeping() -> Self {
        Self::keeping_some(0..u64::MAX)
    }

    /// A trace that also keeps the records of these numbers.
    pub fn keeping_some(keeping: Range<u64>) -> Self {
        let (shape, whole) = (Rolling::new(), Rolling::new());
        Self { shape, whole, count: 0, keeping, kept: Vec::new(), checkpoints: Vec::new() }
    }

    /// Adds a record.
    pub fn add(&mut self, record: Record) {
        let words = record.encode();
        for word in words {
            self.shape.add(word);
            self.whole.add(word);
        }
        self.whole.add(record.digest);
        if self.keeping.contains(&self.count) {
            self.kept.push(record);
        }
        self.count += 1;
        if self.count.is_multiple_of(CHECKPOINT) {
            self.checkpoints.push(self.whole.hash());
        }
    }

    /// How many records there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The hash of all records so far, but for their packets' contents.
    pub fn hash(&self) -> TraceHash {
        self.shape.hash()
    }

    /// The hash of all records so far, and of every byte of their packets.
    pub fn whole(&self) -> TraceHash {
        self.whole.hash()
    }

    /// The hash after every [`CHECKPOINT`] records.
    pub fn checkpoints(&self) -> &[TraceHash] {
        &self.checkpoints
    }

    /// The records that were to be kept.
    pub fn records(&self) -> &[Record] {
        &self.kept
    }

    /// The index of the first record in which two runs differ, if they do.
    pub fn first_difference(a: &[Record], b: &[Record]) -> Option<usize> {
        let common = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        (common < a.len().max(b.len())).then_some(common)
    }

    /// The numbers of the records among which two runs part, by their checkpoints.
    pub fn parting(a: &[TraceHash], b: &[TraceHash]) -> Range<u64> {
        let common = a.iter().zip(b).take_while(|(a, b)| a == b).count() as u64;
        common * CHECKPOINT..(common + 1) * CHECKPOINT
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}

impl Record {
    /// The digest of a payload.
    pub fn digest_of(payload: &[u8]) -> u64 {
        let mut rolling = Rolling::new();
        rolling.add_bytes(payload);
        rolling.hash().0[0]
    }

    /// All but the digest.
    fn encode(&self) -> [u64; 3] {
        let (fate, reason) = match self.fate {
            Fate::Sent => (0, 0),
            Fate::Duplicated => (1, 0),
            Fate::Delivered => (2, 0),
            Fate::Dropped(reason) => (3, reason as u64),
            Fate::Started => (4, 0),
            Fate::Stopped => (5, 0),
        };
        let to = self.to.map_or(u32::MAX, |to| to.0);
        let rest = u64::from(self.len) << 24 | (self.kind as u64) << 16 | fate << 8 | reason;
        [self.at.as_micros(), u64::from(self.from.0) << 32 | u64::from(to), rest]
    }
}

/// `12.345678s h3 -> h7 stun delivered 120`; the alternate form adds the digest.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.at, self.from)?;
        if let Some(to) = self.to {
            write!(f, " -> {to}")?;
        }
        write!(f, " {} {} {}", self.kind, self.fate, self.len)?;
        if f.alternate() { write!(f, " {:016x}", self.digest) } else { Ok(()) }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn record(at: u64) -> Record {
        let at = Time::from_micros(at);
        Record { at, from: HostId(1), to: None, kind: Kind::Stun, fate: Fate::Sent, len: 20, digest: 7 }
    }

    #[test]
    fn every_field_counts() {
        let trace = |record| {
            let mut trace = Trace::new();
            trace.add(record);
            trace
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
        let hashes: BTreeSet<_> = others.into_iter().chain([plain]).map(|r| trace(r).hash()).collect();
        assert_eq!(hashes.len(), others.len() + 1);
        let other = Record { digest: 8, ..plain };
        assert_eq!(trace(plain).hash(), trace(other).hash());
        assert_ne!(trace(plain).whole(), trace(other).whole());
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

    #[test]
    fn checkpoints_say_where_two_runs_part() {
        let run = |odd: u64| {
            let mut trace = Trace::keeping_some(CHECKPOINT..2 * CHECKPOINT);
            (0..3 * CHECKPOINT).for_each(|n| trace.add(record(if n == odd { n + 1 } else { n })));
            trace
        };
        let (a, b) = (run(u64::MAX), run(CHECKPOINT + 5));
        assert_eq!(a.records().len() as u64, CHECKPOINT);
        assert_eq!(Trace::parting(a.checkpoints(), b.checkpoints()), CHECKPOINT..2 * CHECKPOINT);
        assert_eq!(Trace::first_difference(a.records(), b.records()), Some(5));
    }
}
