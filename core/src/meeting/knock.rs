//! Knocks: a STUN exchange by which two addresses prove to each other that they know the meeting's code, and swap
//! records.
//!
//! A knock is a Binding request (RFC 8489) with USERNAME, our sealed record in [`RECORD`],
//! MESSAGE-INTEGRITY-SHA256 with the day's knock password, and FINGERPRINT. Its answer is a Binding success response with
//! XOR-MAPPED-ADDRESS, the other's sealed record and MESSAGE-INTEGRITY-SHA256; it is never longer than the knock.
//!
//! Strangers, other codes and replays get silence, so an address tells nobody that a meeting is there.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

use super::{Epoch, EpochKeys, Keys, Record, RecordError, Roster};
use crate::base::UnixTime;
use crate::base::mutant::{Mutant, is_planted};
use crate::limits;
use crate::wire::stun::{AttributeType, Builder, Class, Message, Method, TransactionId};

/// The attribute that carries a sealed record: comprehension-optional, so that other STUN agents ignore it.
pub const RECORD: AttributeType = AttributeType(0xf01c);

/// The age, by its device's clock and ours, at which the record of a knock is no longer answered. A record from the
/// future is: its device's clock is wrong, and its knocks are good for two days at most whatever they say.
pub const MAX_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// Why a message is no knock, or no answer to one. Whatever the reason, nothing is sent back.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum KnockError {
    /// It is some other STUN message.
    #[error("not a knock")]
    Other,
    /// Its sender does not know the code, or the day's password.
    #[error("the integrity of the knock does not hold")]
    Integrity,
    /// There is no sealed record in it, or no address in the answer.
    #[error("the knock lacks its record or address")]
    Incomplete,
    /// The record is not good.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The record is older than [`MAX_AGE`].
    #[error("the record of the knock is too old")]
    Old,
}

/// A knock to send: `sealed` is our record, sealed afresh for every new transaction id.
pub fn request(epoch: &EpochKeys, id: TransactionId, sealed: &[u8; Record::SEALED]) -> Vec<u8> {
    let request = Builder::binding_request(id);
    let request = if is_planted(Mutant::TellPassword) { request.software(&epoch.knock_pwd) } else { request };
    request
        .username(&epoch.knock_ufrag)
        .attribute(RECORD, sealed)
        .integrity_sha256(epoch.knock_pwd.as_bytes())
        .finish_with_fingerprint()
}

/// The answer to a knock that came from `from`. It goes back to there and nowhere else.
pub fn answer(
    epoch: &EpochKeys,
    id: TransactionId,
    from: SocketAddr,
    sealed: &[u8; Record::SEALED],
) -> Vec<u8> {
    Builder::binding_success(id)
        .xor_mapped_address(from)
        .attribute(RECORD, sealed)
        .integrity_sha256(epoch.knock_pwd.as_bytes())
        .finish()
}

/// A knock whose sender knew the code; its record is yet to be opened.
#[derive(Clone, Copy, Debug)]
pub struct Knock<'a> {
    /// The day whose credentials it used, which its answer must use too.
    pub epoch: Epoch,
    /// Its transaction.
    pub id: TransactionId,
    sealed: &'a [u8],
}

impl Knock<'_> {
    /// Opens the record of the knocking device; `roster` is that of the meeting.
    ///
    /// # Errors
    ///
    /// [`KnockError::Record`] and [`KnockError::Old`].
    pub fn open(&self, keys: &Keys, roster: &Roster, unix: UnixTime) -> Result<Record, KnockError> {
        let record = roster.open(keys, self.sealed)?;
        if record.details().time + MAX_AGE < unix {
            return Err(KnockError::Old);
        }
        Ok(record)
    }
}

/// Whether `message` is a knock at one of the given days. Costs one HMAC, and that only if the USERNAME is right;
/// allocates nothing.
///
/// # Errors
///
/// [`KnockError::Other`], [`KnockError::Integrity`], [`KnockError::Incomplete`].
pub fn verify_request<'a>(epochs: &[EpochKeys], message: &Message<'a>) -> Result<Knock<'a>, KnockError> {
    if (message.class(), message.method()) != (Class::Request, Method::BINDING) {
        return Err(KnockError::Other);
    }
    let username = message.username().ok_or(KnockError::Other)?;
    let epoch = epochs.iter().find(|epoch| epoch.knock_ufrag == username).ok_or(KnockError::Other)?;
    if !message.verify_sha256(epoch.knock_pwd.as_bytes()) {
        return Err(KnockError::Integrity);
    }
    let sealed = message.attribute(RECORD).ok_or(KnockError::Incomplete)?;
    Ok(Knock { epoch: epoch.epoch, id: message.transaction_id(), sealed })
}

/// Reads the answer to a knock that we sent with `epoch`: the record of the device that answered, and the address it
/// saw us at. That `message` has the transaction id of that knock, and comes from where it went, is for the caller to
/// know; `roster` is that of the meeting. Any age will do, since the transaction id is fresh.
///
/// # Errors
///
/// All of [`KnockError`] but [`KnockError::Old`].
pub fn verify_answer(
    keys: &Keys,
    epoch: &EpochKeys,
    roster: &Roster,
    message: &Message<'_>,
) -> Result<(Record, SocketAddr), KnockError> {
    if (message.class(), message.method()) != (Class::Success, Method::BINDING) {
        return Err(KnockError::Other);
    }
    if !message.verify_sha256(epoch.knock_pwd.as_bytes()) {
        return Err(KnockError::Integrity);
    }
    let sealed = message.attribute(RECORD).ok_or(KnockError::Incomplete)?;
    let seen_at = message.mapped_address().ok_or(KnockError::Incomplete)?;
    Ok((roster.open(keys, sealed)?, seen_at))
}

/// The knocks answered lately, so that a retransmission gets the same answer and a replay gets none.
///
/// Ask only about knocks that [`verify_request`] accepted: what it keeps, and what it sends, is then for members alone.
#[derive(Debug, Default)]
pub struct Replays {
    answered: BTreeMap<TransactionId, Answered>,
    /// The transactions of `answered`, oldest first.
    order: VecDeque<TransactionId>,
    /// Those whose answer is still kept, oldest first.
    kept: VecDeque<TransactionId>,
}

#[derive(Debug)]
struct Answered {
    from: SocketAddr,
    answer: Vec<u8>,
}

/// What to do about a knock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// It is new: open its record, answer it, and [`Replays::insert`] the answer.
    New,
    /// It was answered: send these bytes again.
    Again(&'a [u8]),
    /// It is a replay, or a retransmission after the answer was forgotten: be silent.
    Replay,
}

impl Replays {
    /// Whether the knock `id` from `from` was seen before.
    pub fn check(&self, from: SocketAddr, id: TransactionId) -> Seen<'_> {
        match self.answered.get(&id) {
            None => Seen::New,
            Some(seen) if seen.from == from && !seen.answer.is_empty() => Seen::Again(&seen.answer),
            Some(_) => Seen::Replay,
        }
    }

    /// Remembers the answer to a new knock.
    pub fn insert(&mut self, from: SocketAddr, id: TransactionId, answer: Vec<u8>) {
        if self.answered.contains_key(&id) {
            return;
        }
        self.answered.insert(id, Answered { from, answer });
        self.order.push_back(id);
        self.kept.push_back(id);
        if self.kept.len() > limits::KNOCK_ANSWERS
            && let Some(old) = self.kept.pop_front()
            && let Some(seen) = self.answered.get_mut(&old)
        {
            seen.answer = Vec::new();
        }
        if self.order.len() > limits::KNOCKS_SEEN
            && let Some(old) = self.order.pop_front()
        {
            self.answered.remove(&old);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Incarnation, Rng};
    use crate::meeting::{Details, Keyring, Master};

    const NOON: UnixTime = UnixTime::from_millis(20_000 * 86_400_000 + 12 * 3_600_000);
    const FROM: &str = "203.0.113.9:40001";

    fn keys(code: u8) -> Keys {
        Keys::derive(&Master([code; 32]))
    }

    fn epoch(code: u8) -> EpochKeys {
        keys(code).epoch(Epoch::of(NOON))
    }

    fn record(seed: u8) -> Record {
        let details = Details {
            incarnation: Incarnation(1),
            serial: 0,
            time: NOON,
            snap: [0; 26],
            nat: 0,
            candidates: Vec::new(),
            name: "Ada".into(),
        };
        Record::sign(keys(1).id(), &Keyring::new(&[seed; 32], &[seed; 32]), [seed; 32], details)
    }

    fn nobody() -> Roster {
        Roster::default()
    }

    fn sealed(seed: u8) -> [u8; Record::SEALED] {
        record(seed).seal(&keys(1), &mut Rng::new([seed; 32]))
    }

    #[test]
    fn one_round_trip_swaps_records() {
        let id = TransactionId([7; 12]);
        let knock = request(&epoch(1), id, &sealed(1));
        let message = Message::parse(&knock).unwrap();
        let epochs = [keys(1).epoch(Epoch(1)), epoch(1)];
        let verified = verify_request(&epochs, &message).unwrap();
        assert_eq!((verified.epoch, verified.id), (Epoch(20_000), id));
        assert_eq!(verified.open(&keys(1), &nobody(), NOON), Ok(record(1)));

        for from in [FROM, "[2001:db8::9]:40001"] {
            let answer = answer(&epoch(1), id, from.parse().unwrap(), &sealed(2));
            assert!(answer.len() <= knock.len(), "{} > {}", answer.len(), knock.len());
            let message = Message::parse(&answer).unwrap();
            assert_eq!(message.transaction_id(), id);
            let (got, seen_at) = verify_answer(&keys(1), &epoch(1), &nobody(), &message).unwrap();
            assert_eq!((got, seen_at), (record(2), from.parse().unwrap()));
        }
    }

    #[test]
    fn another_code_and_another_day_are_strangers() {
        let knock = request(&epoch(1), TransactionId([7; 12]), &sealed(1));
        let message = Message::parse(&knock).unwrap();
        let refused = |epochs: &[EpochKeys]| verify_request(epochs, &message).unwrap_err();
        assert_eq!(refused(&[]), KnockError::Other);
        assert_eq!(refused(&[epoch(2)]), KnockError::Other);
        assert_eq!(refused(&[keys(1).epoch(Epoch(19_999))]), KnockError::Other);
        let right_name_wrong_password = EpochKeys { knock_ufrag: epoch(1).knock_ufrag, ..epoch(2) };
        assert_eq!(refused(&[right_name_wrong_password]), KnockError::Integrity);

        let answer = answer(&epoch(1), TransactionId([7; 12]), FROM.parse().unwrap(), &sealed(1));
        let answer = Message::parse(&answer).unwrap();
        assert_eq!(verify_answer(&keys(1), &epoch(2), &nobody(), &answer), Err(KnockError::Integrity));
        assert_eq!(verify_answer(&keys(1), &epoch(1), &nobody(), &message), Err(KnockError::Other));
        assert_eq!(verify_request(&[epoch(1)], &answer).unwrap_err(), KnockError::Other);
    }

    #[test]
    fn no_byte_of_a_knock_can_be_changed() {
        let knock = request(&epoch(1), TransactionId([7; 12]), &sealed(1));
        let counted = knock.len() - 8; // FINGERPRINT is no part of the proof
        for at in 0..counted {
            let mut bytes = knock.clone();
            bytes[at] ^= 1;
            let accepted = Message::parse(&bytes).is_ok_and(|m| verify_request(&[epoch(1)], &m).is_ok());
            assert!(!accepted, "byte {at}");
        }
    }

    #[test]
    fn old_records_get_silence_and_wrong_clocks_do_not() {
        let knock = request(&epoch(1), TransactionId([7; 12]), &sealed(1));
        let message = Message::parse(&knock).unwrap();
        let knock = verify_request(&[epoch(1)], &message).unwrap();
        assert!(knock.open(&keys(1), &nobody(), NOON + MAX_AGE).is_ok());
        assert_eq!(
            knock.open(&keys(1), &nobody(), NOON + MAX_AGE + Duration::from_millis(1)),
            Err(KnockError::Old)
        );
        assert!(knock.open(&keys(1), &nobody(), UnixTime::from_millis(0)).is_ok());
    }

    #[test]
    fn knocks_without_a_good_record() {
        let bare = Builder::binding_request(TransactionId([7; 12]))
            .username(&epoch(1).knock_ufrag)
            .integrity_sha256(epoch(1).knock_pwd.as_bytes())
            .finish();
        let bare = verify_request(&[epoch(1)], &Message::parse(&bare).unwrap());
        assert_eq!(bare.unwrap_err(), KnockError::Incomplete);

        let mut spoiled = sealed(1);
        spoiled[100] ^= 1;
        let knock = request(&epoch(1), TransactionId([7; 12]), &spoiled);
        let message = Message::parse(&knock).unwrap();
        let knock = verify_request(&[epoch(1)], &message).unwrap();
        assert_eq!(knock.open(&keys(1), &nobody(), NOON), Err(KnockError::Record(RecordError::Sealed)));
    }

    #[test]
    fn retransmissions_get_the_same_bytes_and_replays_nothing() {
        let (from, elsewhere) = (FROM.parse().unwrap(), "198.51.100.1:40001".parse().unwrap());
        let id = |n: usize| {
            let mut id = [0; 12];
            id[..8].copy_from_slice(&(n as u64).to_be_bytes());
            TransactionId(id)
        };
        let mut replays = Replays::default();
        assert_eq!(replays.check(from, id(0)), Seen::New);
        replays.insert(from, id(0), vec![1, 2, 3]);
        assert_eq!(replays.check(from, id(0)), Seen::Again(&[1, 2, 3]));
        assert_eq!(replays.check(elsewhere, id(0)), Seen::Replay);
        replays.insert(elsewhere, id(0), vec![4]);
        assert_eq!(replays.check(from, id(0)), Seen::Again(&[1, 2, 3]));

        (1..=limits::KNOCK_ANSWERS).for_each(|n| replays.insert(from, id(n), vec![0]));
        assert_eq!(replays.check(from, id(0)), Seen::Replay);
        assert_eq!(replays.check(from, id(1)), Seen::Again(&[0]));
        (limits::KNOCK_ANSWERS + 1..3 * limits::KNOCKS_SEEN)
            .for_each(|n| replays.insert(from, id(n), vec![0]));
        assert_eq!(replays.answered.len(), limits::KNOCKS_SEEN);
        assert_eq!(replays.order.len(), limits::KNOCKS_SEEN);
        assert_eq!(replays.kept.len(), limits::KNOCK_ANSWERS);
        assert_eq!(
            replays.answered.values().filter(|seen| !seen.answer.is_empty()).count(),
            replays.kept.len()
        );
    }
}
