use sha2::{Digest as _, Sha256};

use crate::base::{self, DeviceId, MeetingId, Signature, Signer, Time, UnixTime};
use crate::wire::frame::log::{self as wire, Admission, LogId};

/// The domain of an author's signature of an entry.
const SIGNS: &str = "folkmoot/1 message";

/// An entry that is held: its signature was verified, or is ours.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) at: UnixTime,
    pub(super) text: Box<str>,
    pub(super) admits: Box<[DeviceId]>,
    pub(super) signature: Signature,
    /// When we got or wrote it.
    pub(super) got: Time,
}

impl Entry {
    /// Writes and signs one of our own.
    pub(super) fn write(
        (meeting, log, seq): (MeetingId, LogId, u64),
        signer: &Signer,
        (now, at): (Time, UnixTime),
        text: &str,
        admits: Vec<DeviceId>,
    ) -> Self {
        let signature = signer.sign(SIGNS, &statement(meeting, log, seq, at, &hash(text), &admits));
        Self { at, text: text.into(), admits: admits.into(), signature, got: now }
    }

    /// Takes an entry in if its author signed it.
    pub(super) fn verify(
        (meeting, log, seq): (MeetingId, LogId, u64),
        entry: &wire::Entry<'_>,
        now: Time,
    ) -> Option<Self> {
        let statement = statement(meeting, log, seq, entry.at, &hash(entry.text), &entry.admits);
        base::verify(log.device.as_bytes(), SIGNS, &statement, &entry.signature).then(|| Self {
            at: entry.at,
            text: entry.text.into(),
            admits: entry.admits.as_slice().into(),
            signature: entry.signature,
            got: now,
        })
    }

    /// Whether both say the same; signatures may differ.
    pub(super) fn says(&self, entry: &wire::Entry<'_>) -> bool {
        self.at == entry.at && *self.text == *entry.text && *self.admits == *entry.admits
    }

    /// The entry as it goes into a frame.
    pub(super) fn to_wire(&self) -> wire::Entry<'_> {
        wire::Entry { at: self.at, text: &self.text, admits: self.admits.to_vec(), signature: self.signature }
    }

    /// An upper bound of its size in a frame, in bytes.
    pub(super) fn wire_size(&self) -> usize {
        wire::Entry::size(self.text.len(), self.admits.len())
    }

    /// What it takes of our memory, in bytes, about.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.text.len() + size_of_val(&*self.admits)
    }

    /// The proof of whom it admits.
    pub(super) fn admission(&self, seq: u64) -> Admission {
        Admission {
            seq,
            at: self.at,
            text: hash(&self.text),
            admits: self.admits.to_vec(),
            signature: self.signature,
        }
    }
}

/// Whether the author of `log` signed the entry that `admission` stands for.
pub(super) fn verify_admission(meeting: MeetingId, log: LogId, admission: &Admission) -> bool {
    let Admission { seq, at, text, admits, signature } = admission;
    let statement = statement(meeting, log, *seq, *at, text, admits);
    base::verify(log.device.as_bytes(), SIGNS, &statement, signature)
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// What is signed: meeting 16, device 32, incarnation 8, seq 8, time 8, SHA-256 of the text 32, the devices admitted 32
/// each; integers big-endian. The text is hashed so that an admission can be proved to who may not have the text.
fn statement(
    meeting: MeetingId,
    log: LogId,
    seq: u64,
    at: UnixTime,
    text: &[u8; 32],
    admits: &[DeviceId],
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(104 + 32 * admits.len());
    bytes.extend_from_slice(meeting.as_bytes());
    bytes.extend_from_slice(log.device.as_bytes());
    bytes.extend_from_slice(&log.incarnation.0.to_be_bytes());
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.extend_from_slice(&at.as_millis().to_be_bytes());
    bytes.extend_from_slice(text);
    admits.iter().for_each(|device| bytes.extend_from_slice(device.as_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Incarnation;

    #[test]
    fn an_entry_holds_for_its_place_alone() {
        let signer = Signer::new([1; 32]);
        let log = LogId { device: DeviceId(signer.public()), incarnation: Incarnation(5) };
        let meeting = MeetingId([2; 16]);
        let at = UnixTime::from_millis(3);
        let admits = vec![DeviceId([4; 32])];
        let entry = Entry::write((meeting, log, 6), &signer, (Time::ZERO, at), "hello", admits);
        let wire = entry.to_wire();
        let holds = |meeting, log, seq, wire: &wire::Entry<'_>| {
            Entry::verify((meeting, log, seq), wire, Time::ZERO).is_some()
        };
        assert!(holds(meeting, log, 6, &wire));
        assert!(!holds(MeetingId([3; 16]), log, 6, &wire));
        assert!(!holds(meeting, LogId { incarnation: Incarnation(6), ..log }, 6, &wire));
        assert!(!holds(meeting, LogId { device: DeviceId([9; 32]), ..log }, 6, &wire));
        assert!(!holds(meeting, log, 7, &wire));
        assert!(!holds(meeting, log, 6, &wire::Entry { text: "hullo", ..wire.clone() }));
        assert!(!holds(meeting, log, 6, &wire::Entry { admits: vec![], ..wire.clone() }));
        assert!(!holds(meeting, log, 6, &wire::Entry { at: UnixTime::from_millis(4), ..wire.clone() }));

        let admission = entry.admission(6);
        assert!(verify_admission(meeting, log, &admission));
        assert!(!verify_admission(meeting, log, &Admission { seq: 5, ..admission.clone() }));
        assert!(!verify_admission(meeting, log, &Admission { admits: vec![], ..admission }));
    }

    /// The signature, since Ed25519 is deterministic, pins the layout of what is signed.
    #[test]
    fn golden_vector() {
        let signer = Signer::new([1; 32]);
        let log = LogId { device: DeviceId(signer.public()), incarnation: Incarnation(5) };
        let place = (MeetingId([2; 16]), log, 6);
        let at = UnixTime::from_millis(3);
        let entry = Entry::write(place, &signer, (Time::ZERO, at), "hello", vec![DeviceId([4; 32])]);
        let hex: String = entry.signature.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "2a12fc7bbb47274d62cac7f17bf457d9804528123d9499936fc03e20d9426506083574fabf510b0206ff0a58cf05db2cd8b12533119533d617d260651cdf4c09"
        );
    }
}
