use std::sync::LazyLock;

use folkmoot_core::base::{MeetingId, Rng};
use folkmoot_core::meeting::{Keyring, Keys, MAX_NAME, Master, Record, RecordError};

const VERSION: u8 = 1;
const FINGERPRINT: [u8; 32] = [9; 32];

static RING: LazyLock<Keyring> = LazyLock::new(|| Keyring::new(&[1; 32], &[2; 32]));
static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys::derive(&Master([3; 32])));

/// Decodes the bytes as a record, and as what a member of ill will would sign: from the incarnation to the name. What
/// is accepted can be shown, signed again, sealed and opened.
pub fn record(bytes: &[u8]) {
    let meeting = KEYS.id();
    assert!(Record::open(&KEYS, bytes).is_err(), "nobody guesses a seal");
    if let Ok(record) = Record::decode(meeting, bytes) {
        check(meeting, &record);
    }
    let Some(forged) = signed(meeting, bytes) else { return };
    match Record::decode(meeting, &forged) {
        Ok(record) => check(meeting, &record),
        Err(error) => assert!(matches!(error, RecordError::Malformed | RecordError::Signature), "{error}"),
    }
}

/// The bytes between a right beginning and a right signature; `None` if there are too many.
fn signed(meeting: MeetingId, details: &[u8]) -> Option<Vec<u8>> {
    let mut record = vec![VERSION];
    record.extend_from_slice(RING.device().as_bytes());
    record.extend_from_slice(&FINGERPRINT);
    record.extend_from_slice(RING.member().as_bytes());
    record.extend_from_slice(&RING.certificate().0);
    record.extend_from_slice(details);
    let statement = [meeting.as_bytes(), record.as_slice()].concat();
    record.extend_from_slice(&RING.signer().sign("folkmoot/1 record", &statement));
    let is_short = record.len() <= Record::SIZE;
    record.resize(Record::SIZE, 0);
    is_short.then_some(record)
}

fn check(meeting: MeetingId, record: &Record) {
    let details = record.details();
    assert!(details.candidates.len() <= Record::MAX_CANDIDATES && details.name.len() <= MAX_NAME);
    assert!(!details.name.chars().any(char::is_control));
    assert!(details.candidates.iter().all(|candidate| candidate.addr.port() != 0));
    let sealed = record.seal(&KEYS, &mut Rng::new([4; 32]));
    assert_eq!(Record::open(&KEYS, &sealed).as_ref(), Ok(record));
    // What was read can be signed by its reader, and says the same.
    let again = Record::sign(meeting, &RING, FINGERPRINT, details.clone());
    assert_eq!(again.details(), details);
    assert_eq!(Record::decode(meeting, again.encode()).as_ref(), Ok(&again));
    assert!(!again.is_newer_than(record) && !record.is_newer_than(&again));
}
