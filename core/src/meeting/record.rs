use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use chacha20poly1305::aead::Aead as _;
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::identity::{Certificate, Keyring};
use super::{Keys, MAX_NAME};
use crate::base::{self, DeviceId, Incarnation, MeetingId, MemberId, Rng, Scope, Signature, UnixTime};

/// The domain of a device's signature of its record.
const SIGNS: &str = "folkmoot/1 record";
const VERSION: u8 = 1;

/// What another member needs to connect to a device, signed by the device for one meeting. Holding a `Record` means
/// that its signatures were verified: there is no other way to get one.
///
/// Layout, integers big-endian: version 1, device 32, fingerprint 32, member 32, certificate 64, incarnation 8,
/// serial 4, time 8, SNAP token 26, NAT 1, number of candidates 1 and the candidates (kind 1, whose top bit is set for
/// IPv6; address 4 or 16; port 2), length of the name 1 and the name, signature 64 over the domain
/// `folkmoot/1 record`, a zero byte, the meeting id and everything before; then zeros to [`Record::SIZE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    device: DeviceId,
    fingerprint: [u8; 32],
    member: MemberId,
    certificate: Certificate,
    details: Details,
    digest: [u8; 8],
    /// As signed and padded: candidates of kinds that this version does not know are passed on untouched.
    bytes: [u8; Record::SIZE],
}

/// The part of a record that changes during a device's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// Which run of the device.
    pub incarnation: Incarnation,
    /// Greater with every new record of this run.
    pub serial: u32,
    /// When the record was made, by its device's clock.
    pub time: UnixTime,
    /// The SCTP INIT that this run uses on all links (draft-hancke-tsvwg-snap); opaque here.
    pub snap: [u8; 26],
    /// What the device's NAT does, as its STUN machine classed it.
    pub nat: u8,
    /// Where the device may be reached, best first; at most [`Record::MAX_CANDIDATES`], of which those at the end
    /// are left out if there is no room.
    pub candidates: Vec<Candidate>,
    /// The name the member goes by; control characters are removed and the rest is cut to [`MAX_NAME`] bytes.
    pub name: String,
}

/// An address at which a device may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Candidate {
    /// How the device knows it.
    pub kind: CandidateKind,
    /// The address; of IPv6 addresses neither flow nor scope travel.
    pub addr: SocketAddr,
}

/// How a device knows an address of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum CandidateKind {
    /// An interface of it has the address.
    Host = 0,
    /// Someone outside saw the address.
    Reflexive = 1,
    /// A router was asked to map a port.
    Mapped = 2,
    /// The NAT is expected to choose the port next.
    Predicted = 3,
}

/// Why bytes are no record of the meeting.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RecordError {
    /// It is not sealed with the meeting's key.
    #[error("not sealed by a member of the meeting")]
    Sealed,
    /// It is of a version that this one does not read.
    #[error("a record of version {0}")]
    Version(u8),
    /// It is cut short, too long, or holds what no record may.
    #[error("a malformed record")]
    Malformed,
    /// The member did not certify the device.
    #[error("the member did not certify the device")]
    Certificate,
    /// The device did not sign it for this meeting.
    #[error("the device did not sign the record for this meeting")]
    Signature,
}

impl Record {
    /// The size of a record in bytes; all have the same, so that a sealed one tells nothing.
    pub const SIZE: usize = 448;
    /// The size of a sealed record in bytes: nonce 24, record, tag 16.
    pub const SEALED: usize = 24 + Self::SIZE + 16;
    /// The most candidates of a record.
    pub const MAX_CANDIDATES: usize = 10;

    /// A record of this device for `meeting`. `fingerprint` is the SHA-256 of its DTLS certificate.
    pub fn sign(meeting: MeetingId, keyring: &Keyring, fingerprint: [u8; 32], details: Details) -> Self {
        let mut details = details;
        details.name = clean_name(&details.name);
        details.candidates.retain(|candidate| is_usable(candidate.addr));
        details.candidates.iter_mut().for_each(|c| c.addr = SocketAddr::new(c.addr.ip(), c.addr.port()));
        details.candidates.truncate(Self::MAX_CANDIDATES);

        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(keyring.device().as_bytes());
        bytes.extend_from_slice(&fingerprint);
        bytes.extend_from_slice(keyring.member().as_bytes());
        bytes.extend_from_slice(&keyring.certificate().0);
        bytes.extend_from_slice(&details.incarnation.0.to_be_bytes());
        bytes.extend_from_slice(&details.serial.to_be_bytes());
        bytes.extend_from_slice(&details.time.as_millis().to_be_bytes());
        bytes.extend_from_slice(&details.snap);
        bytes.push(details.nat);

        let mut room = Self::SIZE - bytes.len() - 1 - 1 - details.name.len() - size_of::<Signature>();
        let fits = details.candidates.iter().take_while(|candidate| {
            let rest = room.checked_sub(if candidate.addr.is_ipv4() { 7 } else { 19 });
            room = rest.unwrap_or(0);
            rest.is_some()
        });
        let fits = fits.count();
        details.candidates.truncate(fits);
        bytes.push(fits as u8);
        for Candidate { kind, addr } in &details.candidates {
            match addr.ip() {
                IpAddr::V4(ip) => {
                    bytes.push(*kind as u8);
                    bytes.extend_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    bytes.push(*kind as u8 | V6);
                    bytes.extend_from_slice(&ip.octets());
                }
            }
            bytes.extend_from_slice(&addr.port().to_be_bytes());
        }
        bytes.push(details.name.len() as u8);
        bytes.extend_from_slice(details.name.as_bytes());
        let signature = keyring.signer().sign(SIGNS, &[meeting.as_bytes(), bytes.as_slice()].concat());
        bytes.extend_from_slice(&signature);

        let mut padded = [0; Self::SIZE];
        padded[..bytes.len()].copy_from_slice(&bytes);
        Self {
            device: keyring.device(),
            fingerprint,
            member: keyring.member(),
            certificate: keyring.certificate(),
            details,
            digest: digest_of(&padded),
            bytes: padded,
        }
    }

    /// Makes it another device's, without a valid signature.
    #[cfg(test)]
    pub(super) fn pretend_device(&mut self, device: DeviceId) {
        self.device = device;
    }

    /// The record as it travels over links between members.
    pub fn encode(&self) -> &[u8; Self::SIZE] {
        &self.bytes
    }

    /// The device that an encoded record says it is of, before anything is verified.
    pub fn claimed_device(bytes: &[u8]) -> Option<DeviceId> {
        DeviceId::try_from(bytes.get(1..1 + DeviceId::LEN)?).ok()
    }

    /// Reads a record of `meeting` and verifies its signatures.
    ///
    /// # Errors
    ///
    /// Everything of [`RecordError`] but [`RecordError::Sealed`].
    pub fn decode(meeting: MeetingId, bytes: &[u8]) -> Result<Self, RecordError> {
        Self::decode_beside(None, meeting, bytes)
    }

    /// As [`Record::decode`], for whoever holds a record of the device for the same meeting: what that one says too was verified
    /// when it came.
    pub(super) fn decode_beside(
        held: Option<&Self>,
        meeting: MeetingId,
        bytes: &[u8],
    ) -> Result<Self, RecordError> {
        if let Some(held) = held.filter(|held| held.bytes == bytes) {
            return Ok(held.clone());
        }
        let bytes: &[u8; Self::SIZE] = bytes.try_into().map_err(|_| RecordError::Malformed)?;
        if bytes[0] != VERSION {
            return Err(RecordError::Version(bytes[0]));
        }
        let mut reader = Reader(&bytes[1..]);
        let device = DeviceId(reader.array()?);
        let fingerprint = reader.array()?;
        let member = MemberId(reader.array()?);
        let certificate = Certificate(reader.array()?);
        let details = reader.details()?;
        let signed = bytes.len() - reader.0.len();
        let signature = reader.array()?;
        if reader.0.iter().any(|&byte| byte != 0) {
            return Err(RecordError::Malformed);
        }
        let is_certified =
            |held: &Self| (held.device, held.member, held.certificate) == (device, member, certificate);
        if !held.is_some_and(is_certified) && !certificate.verify(member, device) {
            return Err(RecordError::Certificate);
        }
        let statement = [meeting.as_bytes(), &bytes[..signed]].concat();
        if !base::verify(device.as_bytes(), SIGNS, &statement, &signature) {
            return Err(RecordError::Signature);
        }
        Ok(Self {
            device,
            fingerprint,
            member,
            certificate,
            details,
            digest: digest_of(bytes),
            bytes: *bytes,
        })
    }

    /// The record as it travels in the open: sealed for the members with XChaCha20-Poly1305 and a fresh nonce,
    /// so that no two look alike.
    pub fn seal(&self, keys: &Keys, rng: &mut Rng) -> [u8; Self::SEALED] {
        let nonce: [u8; 24] = rng.array();
        let sealed = XChaCha20Poly1305::new(keys.seal().into())
            .encrypt(&XNonce::from(nonce), self.bytes.as_slice())
            .expect("a record is far shorter than the cipher's 256 GiB");
        let mut bytes = [0; Self::SEALED];
        bytes[..24].copy_from_slice(&nonce);
        bytes[24..].copy_from_slice(&sealed);
        bytes
    }

    /// Opens what [`Record::seal`] made and reads it.
    ///
    /// # Errors
    ///
    /// Everything of [`RecordError`].
    pub fn open(keys: &Keys, sealed: &[u8]) -> Result<Self, RecordError> {
        Self::decode(keys.id(), &Self::unseal(keys, sealed)?)
    }

    /// Takes the seal off, and verifies nothing else.
    pub(super) fn unseal(keys: &Keys, sealed: &[u8]) -> Result<Vec<u8>, RecordError> {
        if sealed.len() != Self::SEALED {
            return Err(RecordError::Malformed);
        }
        let (nonce, sealed) = sealed.split_first_chunk::<24>().ok_or(RecordError::Malformed)?;
        XChaCha20Poly1305::new(keys.seal().into())
            .decrypt(&XNonce::from(*nonce), sealed)
            .map_err(|_| RecordError::Sealed)
    }

    /// The device it is of.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// The SHA-256 of the device's DTLS certificate.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// The member whose device it is.
    pub fn member(&self) -> MemberId {
        self.member
    }

    /// The member's certificate of the device.
    pub fn certificate(&self) -> Certificate {
        self.certificate
    }

    /// Everything else.
    pub fn details(&self) -> &Details {
        &self.details
    }

    /// Stands for the record among members who may hold it too: the first bytes of its SHA-256.
    pub fn digest(&self) -> [u8; 8] {
        self.digest
    }

    /// Whether this record is of a later run of the device than `other`, or a later one of the same run.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        let age = |record: &Self| (record.details.incarnation, record.details.serial);
        age(self) > age(other)
    }
}

fn digest_of(bytes: &[u8; Record::SIZE]) -> [u8; 8] {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    std::array::from_fn(|n| hash[n])
}

/// The bit of a candidate's kind that says that the address is of IPv6.
const V6: u8 = 0x80;

/// What has not been read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn slice(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(RecordError::Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(RecordError::Malformed)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, RecordError> {
        self.array().map(|[byte]| byte)
    }

    fn details(&mut self) -> Result<Details, RecordError> {
        let incarnation = Incarnation(u64::from_be_bytes(self.array()?));
        let serial = u32::from_be_bytes(self.array()?);
        let time = UnixTime::from_millis(u64::from_be_bytes(self.array()?));
        let snap = self.array()?;
        let nat = self.u8()?;
        let count = usize::from(self.u8()?);
        if count > Record::MAX_CANDIDATES {
            return Err(RecordError::Malformed);
        }
        let mut candidates = Vec::with_capacity(count);
        for _ in 0..count {
            candidates.extend(self.candidate()?);
        }
        let len = usize::from(self.u8()?);
        if len > MAX_NAME {
            return Err(RecordError::Malformed);
        }
        let name = std::str::from_utf8(self.slice(len)?).map_err(|_| RecordError::Malformed)?;
        let name = clean_name(name);
        Ok(Details { incarnation, serial, time, snap, nat, candidates, name })
    }

    /// One candidate; `None` if it is of a kind that is not known here, or leads nowhere.
    fn candidate(&mut self) -> Result<Option<Candidate>, RecordError> {
        let kind = self.u8()?;
        let ip: IpAddr = match kind & V6 {
            0 => Ipv4Addr::from(self.array::<4>()?).into(),
            _ => Ipv6Addr::from(self.array::<16>()?).into(),
        };
        let addr = SocketAddr::new(ip, u16::from_be_bytes(self.array()?));
        let kind = match kind & !V6 {
            0 => CandidateKind::Host,
            1 => CandidateKind::Reflexive,
            2 => CandidateKind::Mapped,
            3 => CandidateKind::Predicted,
            _ => return Ok(None),
        };
        Ok(is_usable(addr).then_some(Candidate { kind, addr }))
    }
}

/// Whether a device may be reached there at all. IPv4 addresses in IPv6 clothes are refused: they would slip past
/// rules for IPv4.
fn is_usable(addr: SocketAddr) -> bool {
    addr.port() != 0 && Scope::of(addr.ip()) != Scope::Unusable && addr.ip() == addr.ip().to_canonical()
}

/// A name that is safe to show: no control characters, nothing that reorders or hides text around it, at most
/// [`MAX_NAME`] bytes.
fn clean_name(name: &str) -> String {
    let is_invisible = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut clean: String = name.chars().filter(|&c| !is_invisible(c)).collect();
    while clean.len() > MAX_NAME {
        clean.pop();
    }
    clean.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use quickcheck::{TestResult, quickcheck};

    use super::*;
    use crate::meeting::Master;

    fn keys() -> Keys {
        Keys::derive(&Master([5; 32]))
    }

    fn ring() -> Keyring {
        Keyring::new(&[1; 32], &[2; 32])
    }

    fn details() -> Details {
        Details {
            incarnation: Incarnation(1_700_000_000_000),
            serial: 3,
            time: UnixTime::from_millis(1_700_000_000_123),
            snap: [0x5a; 26],
            nat: 2,
            candidates: vec![
                Candidate { kind: CandidateKind::Host, addr: "192.168.1.7:40000".parse().unwrap() },
                Candidate { kind: CandidateKind::Reflexive, addr: "203.0.113.9:40001".parse().unwrap() },
                Candidate { kind: CandidateKind::Host, addr: "[2001:db8::7]:40000".parse().unwrap() },
            ],
            name: "Ada".into(),
        }
    }

    fn record() -> Record {
        Record::sign(keys().id(), &ring(), [9; 32], details())
    }

    #[test]
    fn a_record_comes_back() {
        let record = record();
        assert_eq!(record.details(), &details());
        assert_eq!(Record::decode(keys().id(), record.encode()), Ok(record.clone()));
        let mut rng = Rng::new([0; 32]);
        let (a, b) = (record.seal(&keys(), &mut rng), record.seal(&keys(), &mut rng));
        assert_ne!(a, b);
        assert_eq!(Record::open(&keys(), &a), Ok(record.clone()));
        assert_eq!(Record::open(&keys(), &b), Ok(record));
    }

    #[test]
    fn only_members_of_the_meeting_open_and_believe_it() {
        let other = Keys::derive(&Master([6; 32]));
        let sealed = record().seal(&keys(), &mut Rng::new([0; 32]));
        assert_eq!(Record::open(&other, &sealed), Err(RecordError::Sealed));
        assert_eq!(Record::decode(other.id(), record().encode()), Err(RecordError::Signature));
    }

    #[test]
    fn no_byte_can_be_changed() {
        let record = record();
        for at in 0..Record::SIZE {
            let mut bytes = *record.encode();
            bytes[at] ^= 1;
            assert!(Record::decode(keys().id(), &bytes).is_err(), "byte {at}");
        }
        let sealed = record.seal(&keys(), &mut Rng::new([0; 32]));
        for at in 0..Record::SEALED {
            let mut bytes = sealed;
            bytes[at] ^= 1;
            assert_eq!(Record::open(&keys(), &bytes), Err(RecordError::Sealed), "byte {at}");
        }
    }

    #[test]
    fn a_member_cannot_claim_the_device_of_another() {
        let (meeting, mallory) = (keys().id(), Keyring::new(&[7; 32], &[8; 32]));
        let mut bytes = *record().encode();
        bytes[65..97].copy_from_slice(mallory.member().as_bytes());
        assert_eq!(Record::decode(meeting, &bytes), Err(RecordError::Certificate));
        bytes[97..161].copy_from_slice(&mallory.certificate().0);
        assert_eq!(Record::decode(meeting, &bytes), Err(RecordError::Certificate));
    }

    #[test]
    fn the_largest_record_fits_and_candidates_give_way() {
        let v6 = |n: u16| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, n], 4000));
        let candidate = |addr| Candidate { kind: CandidateKind::Host, addr };
        let all: Vec<_> = (1..=12).map(|n| candidate(v6(n))).collect();
        let record = Record::sign(
            keys().id(),
            &ring(),
            [9; 32],
            Details { candidates: all.clone(), name: "n".repeat(200), ..details() },
        );
        assert_eq!(record.details().name, "n".repeat(MAX_NAME));
        assert_eq!(record.details().candidates, all[..6]);
        assert_eq!(Record::decode(keys().id(), record.encode()), Ok(record));

        let v4: Vec<_> = (1..=12).map(|n| candidate(SocketAddr::from(([203, 0, 113, n], 4000)))).collect();
        let record =
            Record::sign(keys().id(), &ring(), [9; 32], Details { candidates: v4.clone(), ..details() });
        assert_eq!(record.details().candidates, v4[..10]);
    }

    #[test]
    fn addresses_that_lead_nowhere_are_left_out() {
        let addrs =
            ["0.0.0.0:9", "203.0.113.9:0", "224.0.0.1:9", "[::ffff:10.0.0.1]:9", "[::]:9", "10.0.0.1:9"];
        let candidates =
            addrs.map(|addr| Candidate { kind: CandidateKind::Host, addr: addr.parse().unwrap() }).to_vec();
        let record = Record::sign(keys().id(), &ring(), [9; 32], Details { candidates, ..details() });
        let left: Vec<_> = record.details().candidates.iter().map(|c| c.addr.to_string()).collect();
        assert_eq!(left, ["10.0.0.1:9"]);
    }

    #[test]
    fn names_are_safe_to_show() {
        assert_eq!(clean_name("A\u{1b}[31md\na\u{202e}\u{200b}"), "A[31mda");
        assert_eq!(clean_name(&"é".repeat(40)), "é".repeat(24));
        assert_eq!(clean_name(&format!("{}é", "x".repeat(47))), "x".repeat(47));
        assert_eq!(clean_name("  \t "), "");
    }

    #[test]
    fn a_later_run_and_a_later_serial_are_newer() {
        let with = |incarnation, serial| {
            let details = Details { incarnation: Incarnation(incarnation), serial, ..details() };
            Record::sign(keys().id(), &ring(), [9; 32], details)
        };
        assert!(with(2, 0).is_newer_than(&with(1, 9)));
        assert!(with(2, 1).is_newer_than(&with(2, 0)));
        assert!(!with(2, 1).is_newer_than(&with(2, 1)));
        assert!(!with(1, 9).is_newer_than(&with(2, 0)));
    }

    /// A member signs whatever it likes: the parser must hold where the signature does not protect it.
    #[test]
    fn garbage_that_is_well_signed_is_still_parsed_with_care() {
        fn holds(tail: Vec<u8>, count: u8) -> TestResult {
            let (meeting, ring) = (keys().id(), ring());
            let mut bytes = record().encode()[..208].to_vec();
            bytes.push(count % 13);
            bytes.extend(tail.iter().copied().take(Record::SIZE - 64 - bytes.len()));
            let signature = ring.signer().sign(SIGNS, &[meeting.as_bytes(), bytes.as_slice()].concat());
            bytes.extend(signature);
            bytes.resize(Record::SIZE, 0);
            match Record::decode(meeting, &bytes) {
                Ok(record) => TestResult::from_bool(record.details().candidates.len() <= 10),
                Err(RecordError::Malformed | RecordError::Signature) => TestResult::passed(),
                Err(_) => TestResult::failed(),
            }
        }
        quickcheck(holds as fn(Vec<u8>, u8) -> TestResult);
    }

    #[test]
    fn wrong_sizes_and_versions() {
        let mut bytes = *record().encode();
        assert_eq!(Record::decode(keys().id(), &bytes[..447]), Err(RecordError::Malformed));
        assert_eq!(Record::decode(keys().id(), &[]), Err(RecordError::Malformed));
        assert_eq!(Record::open(&keys(), &[0; 487]), Err(RecordError::Malformed));
        bytes[0] = 2;
        assert_eq!(Record::decode(keys().id(), &bytes), Err(RecordError::Version(2)));
    }

    /// The offsets that another implementation would read, and the signature (Ed25519 is deterministic).
    #[test]
    fn golden_vector() {
        let record = record();
        let bytes = record.encode();
        assert_eq!(bytes[1..33], record.device().0);
        assert_eq!(bytes[33..65], [9; 32]);
        assert_eq!(bytes[65..97], record.member().0);
        assert_eq!(bytes[161..169], 1_700_000_000_000_u64.to_be_bytes());
        assert_eq!(bytes[169..173], 3_u32.to_be_bytes());
        assert_eq!(bytes[173..181], 1_700_000_000_123_u64.to_be_bytes());
        assert_eq!(bytes[181..207], [0x5a; 26]);
        assert_eq!(bytes[207..209], [2, 3]);
        assert_eq!(bytes[209..216], [0, 192, 168, 1, 7, 0x9c, 0x40]);
        assert_eq!(bytes[216..223], [1, 203, 0, 113, 9, 0x9c, 0x41]);
        assert_eq!(bytes[223..225], [0x80, 0x20]);
        assert_eq!(bytes[242..246], [3, b'A', b'd', b'a']);
        assert_eq!(bytes[310..], [0; 138]);
        let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, "995492136c7f040c87aff9520f03243d1de4322767a65ecfb1daa122c0570a3e");
    }
}
