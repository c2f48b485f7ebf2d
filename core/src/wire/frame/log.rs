//! The log channel: who has which messages of whom, and the messages.
//!
//! A body is a kind, then a map with integer keys. Of every list the length is known before its elements are read,
//! and nothing is allocated for elements that are not there.

use std::ops::Range;

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};
use minicbor::encode::Encoder;
use thiserror::Error as ThisError;

use crate::base::{DeviceId, Incarnation, Signature, UnixTime};

/// The longest body of a log frame, in bytes: one entry with the longest text and the most admissions, and its keys. With
/// the meeting's number before it, it must fit a message of a link's channel, 16 KiB.
pub const MAX_BODY: usize = 14 * 1024;

/// The longest text of an entry, in bytes of UTF-8.
pub const MAX_TEXT: usize = 8 * 1024;

/// The most devices that one entry admits. If its author got to know more since the entry before, the rest are admitted
/// by the next.
pub const MAX_ADMITS: usize = 128;

/// The most items of one [`Frame::Have`].
pub const MAX_HAVES: usize = 100;

/// One log: what one device says in one meeting during one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// Whose it is.
    pub device: DeviceId,
    /// Which run.
    pub incarnation: Incarnation,
}

/// A frame of the log channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'b> {
    /// What the sender holds.
    Have(Haves),
    /// Entries of one log.
    Entries(Entries<'b>),
    /// Proof that the sender may have a log from a certain entry on.
    Admission(LogId, Admission),
    /// Of a kind that this version does not know.
    Unknown(u32),
}

/// What a device holds: after a link is made of all logs, then of those that changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Haves {
    /// A log each; at most [`MAX_HAVES`].
    pub logs: Vec<Have>,
    /// Whether the list goes on in the next frame.
    pub more: bool,
}

/// The most gaps of a log that a device says it would still like to be filled.
pub const MAX_MISSING: usize = 4;

/// What a device holds of one log: the entries `start..next`, without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Have {
    /// The log.
    pub log: LogId,
    /// The oldest entry held; `next` if none is.
    pub start: u64,
    /// The first entry not held.
    pub next: u64,
    /// Whether what was sent beyond `next` was thrown away, and is to be sent again.
    pub again: bool,
    /// What it went on without before `start`, and takes in late: ranges that are not empty, in order, apart from each other; at most
    /// [`MAX_MISSING`].
    pub missing: Vec<Range<u64>>,
}

/// Entries of one log, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entries<'b> {
    /// The log.
    pub log: LogId,
    /// The number of the first.
    pub from: u64,
    /// The entries.
    pub entries: Vec<Entry<'b>>,
}

/// Something said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'b> {
    /// When, by its author's clock.
    pub at: UnixTime,
    /// What: 1 to [`MAX_TEXT`] bytes.
    pub text: &'b str,
    /// The devices that may have this and all later entries; at most [`MAX_ADMITS`].
    pub admits: Vec<DeviceId>,
    /// The author's signature.
    pub signature: Signature,
}

/// An entry with its text hashed: enough to verify its signature, and so whom it admits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The entry's number.
    pub seq: u64,
    /// When it was said.
    pub at: UnixTime,
    /// The SHA-256 of its text.
    pub text: [u8; 32],
    /// Whom it admits.
    pub admits: Vec<DeviceId>,
    /// The author's signature.
    pub signature: Signature,
}

/// Bytes that are no log frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
#[error("malformed")]
pub struct Malformed;

impl From<Error> for Malformed {
    fn from(_: Error) -> Self {
        Self
    }
}

const HAVE: u32 = 0;
const ENTRIES: u32 = 1;
const ADMISSION: u32 = 2;

impl<'b> Frame<'b> {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// If it is longer than [`MAX_BODY`] or not of the right shape.
    pub fn parse(body: &'b [u8]) -> Result<Self, Malformed> {
        if body.len() > MAX_BODY {
            return Err(Malformed);
        }
        let mut d = Decoder::new(body);
        Ok(match d.u32()? {
            HAVE => Self::Have(haves(&mut d)?),
            ENTRIES => Self::Entries(entries(&mut d)?),
            ADMISSION => {
                let (log, admission) = admission(&mut d)?;
                Self::Admission(log, admission)
            }
            kind => Self::Unknown(kind),
        })
    }

    /// The body's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        // Writing to a vector cannot fail.
        let _ = self.write(&mut e);
        e.into_writer()
    }

    fn write(
        &self,
        e: &mut Encoder<Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        match self {
            Self::Have(haves) => {
                e.u32(HAVE)?.map(2)?.u8(0)?.array(haves.logs.len() as u64)?;
                for have in &haves.logs {
                    e.map(4 + u64::from(have.again) + u64::from(!have.missing.is_empty()))?;
                    e.u8(0)?.bytes(&have.log.device.0)?.u8(1)?.u64(have.log.incarnation.0)?;
                    e.u8(2)?.u64(have.start)?.u8(3)?.u64(have.next)?;
                    if have.again {
                        e.u8(4)?.bool(true)?;
                    }
                    if !have.missing.is_empty() {
                        let ends = have.missing.iter().flat_map(|gap| [gap.start, gap.end]);
                        e.u8(5)?.bytes(&ends.flat_map(u64::to_be_bytes).collect::<Vec<_>>())?;
                    }
                }
                e.u8(1)?.bool(haves.more)?;
            }
            Self::Entries(frame) => {
                e.u32(ENTRIES)?.map(4)?;
                e.u8(0)?.bytes(&frame.log.device.0)?.u8(1)?.u64(frame.log.incarnation.0)?;
                e.u8(2)?.u64(frame.from)?.u8(3)?.array(frame.entries.len() as u64)?;
                for entry in &frame.entries {
                    e.map(if entry.admits.is_empty() { 3 } else { 4 })?;
                    e.u8(0)?.u64(entry.at.as_millis())?.u8(1)?.str(entry.text)?;
                    e.u8(2)?.bytes(&entry.signature)?;
                    if !entry.admits.is_empty() {
                        e.u8(3)?.bytes(&join(&entry.admits))?;
                    }
                }
            }
            Self::Admission(log, admission) => {
                e.u32(ADMISSION)?.map(7)?;
                e.u8(0)?.bytes(&log.device.0)?.u8(1)?.u64(log.incarnation.0)?;
                e.u8(2)?.u64(admission.seq)?.u8(3)?.u64(admission.at.as_millis())?;
                e.u8(4)?.bytes(&admission.text)?.u8(5)?.bytes(&admission.signature)?;
                e.u8(6)?.bytes(&join(&admission.admits))?;
            }
            Self::Unknown(kind) => {
                e.u32(*kind)?;
            }
        }
        Ok(())
    }
}

impl Entry<'_> {
    /// An upper bound of the entry's size within a frame, in bytes.
    pub fn size(text: usize, admits: usize) -> usize {
        // The map, its keys, the time, and the headers of text, signature and admissions; then what they hold.
        1 + 4 + 9 + 3 + 2 + 3 + text + 64 + 32 * admits
    }
}

impl Entries<'_> {
    /// An upper bound of the size of an [`Entries`] frame without its entries, in bytes.
    pub const HEADER: usize = 1 + 1 + 4 + 34 + 9 + 9 + 3;
}

impl Haves {
    /// An upper bound of the size of a [`Haves`] frame without its items, in bytes.
    pub const HEADER: usize = 16;
}

impl Have {
    /// An upper bound of the item's size within a frame, in bytes.
    pub const SIZE: usize = 1 + 6 + 34 + 9 + 9 + 9 + 1 + 2 + 16 * MAX_MISSING;
}

/// Devices as one byte string: 32 bytes each.
fn join(devices: &[DeviceId]) -> Vec<u8> {
    devices.iter().flat_map(|device| device.0).collect()
}

fn split(bytes: &[u8]) -> Result<Vec<DeviceId>, Malformed> {
    let (devices, rest) = bytes.as_chunks::<32>();
    if devices.len() > MAX_ADMITS || !rest.is_empty() {
        return Err(Malformed);
    }
    Ok(devices.iter().copied().map(DeviceId).collect())
}

fn haves(d: &mut Decoder<'_>) -> Result<Haves, Malformed> {
    let mut haves = Haves::default();
    for_each_key(d, |d, key| {
        match key {
            0 => {
                let len = length(d)?;
                if len > MAX_HAVES as u64 {
                    return Err(Malformed);
                }
                for _ in 0..len {
                    haves.logs.push(have(d)?);
                }
            }
            1 => haves.more = d.bool()?,
            _ => skip(d)?,
        }
        Ok(())
    })?;
    Ok(haves)
}

fn have(d: &mut Decoder<'_>) -> Result<Have, Malformed> {
    let (mut device, mut incarnation, mut start, mut next) = (None, None, None, None);
    let (mut again, mut missing) = (false, Vec::new());
    for_each_key(d, |d, key| {
        match key {
            0 => device = Some(array(d)?),
            1 => incarnation = Some(d.u64()?),
            2 => start = Some(d.u64()?),
            3 => next = Some(d.u64()?),
            4 => again = d.bool()?,
            5 => missing = gaps(d.bytes()?)?,
            _ => skip(d)?,
        }
        Ok(())
    })?;
    let log = log_id(device, incarnation)?;
    let (start, next) = start.zip(next).filter(|(start, next)| start <= next).ok_or(Malformed)?;
    if missing.last().is_some_and(|last| last.end > start) {
        return Err(Malformed);
    }
    Ok(Have { log, start, next, again, missing })
}

/// Gaps: 16 bytes each, the first entry that is missing and the first after it that is not.
fn gaps(bytes: &[u8]) -> Result<Vec<Range<u64>>, Malformed> {
    let (ends, rest) = bytes.as_chunks::<8>();
    let ends: Vec<_> = ends.iter().map(|end| u64::from_be_bytes(*end)).collect();
    let (gaps, odd) = ends.as_chunks::<2>();
    let is_good = rest.is_empty() && odd.is_empty() && gaps.len() <= MAX_MISSING;
    if !is_good || !ends.is_sorted_by(|a, b| a < b) {
        return Err(Malformed);
    }
    Ok(gaps.iter().map(|[from, until]| *from..*until).collect())
}

fn entries<'b>(d: &mut Decoder<'b>) -> Result<Entries<'b>, Malformed> {
    let (mut device, mut incarnation, mut from, mut list) = (None, None, None, Vec::new());
    for_each_key(d, |d, key| {
        match key {
            0 => device = Some(array(d)?),
            1 => incarnation = Some(d.u64()?),
            2 => from = Some(d.u64()?),
            3 => {
                for _ in 0..length(d)? {
                    list.push(entry(d)?);
                }
            }
            _ => skip(d)?,
        }
        Ok(())
    })?;
    let from = from.filter(|from| from.checked_add(list.len() as u64).is_some()).ok_or(Malformed)?;
    Ok(Entries { log: log_id(device, incarnation)?, from, entries: list })
}

fn entry<'b>(d: &mut Decoder<'b>) -> Result<Entry<'b>, Malformed> {
    let (mut at, mut text, mut signature, mut admits) = (None, None, None, Vec::new());
    for_each_key(d, |d, key| {
        match key {
            0 => at = Some(d.u64()?),
            1 => text = Some(d.str()?),
            2 => signature = Some(array(d)?),
            3 => admits = split(d.bytes()?)?,
            _ => skip(d)?,
        }
        Ok(())
    })?;
    Ok(Entry {
        at: at.map(UnixTime::from_millis).ok_or(Malformed)?,
        text: text.filter(|text| (1..=MAX_TEXT).contains(&text.len())).ok_or(Malformed)?,
        admits,
        signature: signature.ok_or(Malformed)?,
    })
}

fn admission(d: &mut Decoder<'_>) -> Result<(LogId, Admission), Malformed> {
    let (mut device, mut incarnation, mut seq, mut at) = (None, None, None, None);
    let (mut text, mut signature, mut admits) = (None, None, Vec::new());
    for_each_key(d, |d, key| {
        match key {
            0 => device = Some(array(d)?),
            1 => incarnation = Some(d.u64()?),
            2 => seq = Some(d.u64()?),
            3 => at = Some(d.u64()?),
            4 => text = Some(array(d)?),
            5 => signature = Some(array(d)?),
            6 => admits = split(d.bytes()?)?,
            _ => skip(d)?,
        }
        Ok(())
    })?;
    let admission = Admission {
        seq: seq.ok_or(Malformed)?,
        at: at.map(UnixTime::from_millis).ok_or(Malformed)?,
        text: text.ok_or(Malformed)?,
        admits,
        signature: signature.ok_or(Malformed)?,
    };
    Ok((log_id(device, incarnation)?, admission))
}

fn log_id(device: Option<[u8; 32]>, incarnation: Option<u64>) -> Result<LogId, Malformed> {
    let (device, incarnation) = device.zip(incarnation).ok_or(Malformed)?;
    Ok(LogId { device: DeviceId(device), incarnation: Incarnation(incarnation) })
}

/// Calls `read` with every key of a map, to read or skip its value.
fn for_each_key<'b>(
    d: &mut Decoder<'b>,
    mut read: impl FnMut(&mut Decoder<'b>, u32) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let len = d.map()?.filter(|&len| len <= 64).ok_or(Malformed)?;
    for _ in 0..len {
        let key = d.u32()?;
        read(d, key)?;
    }
    Ok(())
}

/// The length of a list; ends in an error at the first element that is not there, however great it is.
fn length(d: &mut Decoder<'_>) -> Result<u64, Malformed> {
    d.array()?.ok_or(Malformed)
}

fn array<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], Malformed> {
    d.bytes()?.try_into().map_err(|_| Malformed)
}

/// Skips the value of an unknown key; only flat ones, so that nothing nests without end.
fn skip(d: &mut Decoder<'_>) -> Result<(), Malformed> {
    match d.datatype()? {
        Type::Array | Type::Map | Type::ArrayIndef | Type::MapIndef | Type::Tag => Err(Malformed),
        _ => Ok(d.skip()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> LogId {
        LogId { device: DeviceId([3; 32]), incarnation: Incarnation(9) }
    }

    fn frames() -> Vec<Frame<'static>> {
        let at = UnixTime::from_millis(1_700_000_000_000);
        let entry = |text, admits| Entry { at, text, admits, signature: [5; 64] };
        let have = |again| Have { log: log(), start: 9, next: 300, again, missing: vec![] };
        let gaps = Have { missing: vec![0..1, 4..9], ..have(false) };
        vec![
            Frame::Have(Haves { logs: vec![have(false), have(true), gaps], more: true }),
            Frame::Have(Haves::default()),
            Frame::Entries(Entries {
                log: log(),
                from: 7,
                entries: vec![
                    entry("one", vec![]),
                    entry("zwei", vec![DeviceId([1; 32]), DeviceId([2; 32])]),
                ],
            }),
            Frame::Admission(
                log(),
                Admission { seq: 4, at, text: [6; 32], admits: vec![DeviceId([1; 32])], signature: [7; 64] },
            ),
            Frame::Unknown(77),
        ]
    }

    #[test]
    fn round_trips() {
        for frame in frames() {
            assert_eq!(Frame::parse(&frame.encode()), Ok(frame));
        }
    }

    #[test]
    fn golden_vector() {
        let have = Have { log: log(), start: 9, next: 300, again: true, missing: vec![1..2, 4..8] };
        let bytes = Frame::Have(Haves { logs: vec![have], more: false }).encode();
        let mut expected = vec![0x00, 0xa2, 0x00, 0x81, 0xa6, 0x00, 0x58, 0x20];
        expected.extend([3; 32]);
        expected.extend([0x01, 0x09, 0x02, 0x09, 0x03, 0x19, 0x01, 0x2c, 0x04, 0xf5]);
        expected.extend([0x05, 0x58, 0x20]);
        [1_u64, 2, 4, 8].iter().for_each(|end| expected.extend(end.to_be_bytes()));
        expected.extend([0x01, 0xf4]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn cut_frames_are_malformed() {
        for frame in frames() {
            let bytes = frame.encode();
            for len in 0..bytes.len() {
                assert!(Frame::parse(&bytes[..len]).is_err(), "{frame:?} cut at {len}");
            }
        }
    }

    #[test]
    fn unknown_keys_are_skipped_unless_they_nest() {
        let mut e = Encoder::new(Vec::new());
        e.u32(HAVE).unwrap().map(3).unwrap().u8(9).unwrap().str("later").unwrap();
        e.u8(0).unwrap().array(0).unwrap().u8(1).unwrap().bool(true).unwrap();
        let haves = Haves { logs: vec![], more: true };
        assert_eq!(Frame::parse(&e.into_writer()), Ok(Frame::Have(haves)));

        let mut e = Encoder::new(Vec::new());
        e.u32(HAVE).unwrap().map(1).unwrap().u8(9).unwrap().array(1).unwrap().u8(0).unwrap();
        assert_eq!(Frame::parse(&e.into_writer()), Err(Malformed));
    }

    #[test]
    fn what_no_frame_may_hold() {
        let have = |start, next, missing| Have { log: log(), start, next, again: false, missing };
        let parses = |logs| Frame::parse(&Frame::Have(Haves { logs, more: false }).encode()).is_ok();
        assert!(parses(vec![have(1, 1, vec![])]));
        assert!(!parses(vec![have(2, 1, vec![])]));
        assert!(!parses(vec![have(0, 0, vec![]); MAX_HAVES + 1]));
        let few: Vec<_> = (0..MAX_MISSING as u64).map(|n| 2 * n..2 * n + 1).collect();
        assert!(parses(vec![have(9, 9, few.clone())]));
        let too_many = (0..=MAX_MISSING as u64).map(|n| 2 * n..2 * n + 1).collect();
        let touching = vec![0..2, 2..4];
        let disordered = few.into_iter().rev().collect();
        let (late, empty) = (vec![0..1, 7..10], vec![0..1, 3..3]);
        let wrong = [late, empty, touching, disordered, too_many];
        wrong.into_iter().for_each(|missing| assert!(!parses(vec![have(9, 9, missing)])));
        let long = "x".repeat(MAX_TEXT + 1);
        let entries = |from, text, admits| {
            let entry = Entry { at: UnixTime::default(), text, admits, signature: [0; 64] };
            Frame::parse(&Frame::Entries(Entries { log: log(), from, entries: vec![entry] }).encode()).is_ok()
        };
        assert!(entries(0, &long[1..], vec![DeviceId::default(); MAX_ADMITS]));
        assert!(entries(u64::MAX - 1, "x", vec![]));
        assert!(!entries(u64::MAX, "x", vec![]));
        assert!(!entries(0, &long, vec![]));
        assert!(!entries(0, "", vec![]));
        assert!(!entries(0, "x", vec![DeviceId::default(); MAX_ADMITS + 1]));
        // A list said to have 2^64 - 1 elements.
        let huge = [0x00, 0xa1, 0x00, 0x9b, 255, 255, 255, 255, 255, 255, 255, 255];
        assert_eq!(Frame::parse(&huge), Err(Malformed));
        assert_eq!(Frame::parse(&[0x18; MAX_BODY + 1]), Err(Malformed));
    }

    #[test]
    fn sizes_are_upper_bounds() {
        let text = "x".repeat(MAX_TEXT);
        let admits = vec![DeviceId::default(); MAX_ADMITS];
        let at = UnixTime::from_millis(u64::MAX);
        let id = LogId { incarnation: Incarnation(u64::MAX), ..log() };
        let entry = Entry { at, text: &text, admits, signature: [0; 64] };
        let size = Entries::HEADER + Entry::size(MAX_TEXT, MAX_ADMITS);
        let bytes = Frame::Entries(Entries { log: id, from: u64::MAX - 1, entries: vec![entry] }).encode();
        assert!(bytes.len() <= size && size <= MAX_BODY, "{} {size}", bytes.len());
        let missing = (0..MAX_MISSING as u64).map(|n| u64::MAX - 10 + 2 * n..u64::MAX - 9 + 2 * n).collect();
        let have = Have { log: id, start: u64::MAX, next: u64::MAX, again: true, missing };
        let bytes = Frame::Have(Haves { logs: vec![have; MAX_HAVES], more: true }).encode();
        let most = MAX_HAVES * Have::SIZE + Haves::HEADER;
        assert!(bytes.len() <= most && most <= MAX_BODY, "{} {most}", bytes.len());
    }

    #[test]
    fn no_bytes_make_it_panic() {
        fn survives(bytes: Vec<u8>, kind: u8) -> bool {
            let _ = Frame::parse(&bytes);
            let _ = Frame::parse(&[&[kind % 3, 0xa7, 0], bytes.as_slice()].concat());
            true
        }
        quickcheck::quickcheck(survives as fn(Vec<u8>, u8) -> bool);
    }
}
