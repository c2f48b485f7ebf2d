use std::fmt;
use std::time::Duration;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{Master, base64};
use crate::base::{DeviceId, Incarnation, InfoHash, MeetingId, UnixTime};

/// Everything that is derived from a meeting's master secret, for all days alike.
///
/// HKDF-SHA256 (RFC 5869) without salt; the `info` of each output is its label: `meeting`, `seal`, `ice`, `member`,
/// and with a day number in decimal `topic|<epoch>` and `knock|<epoch>`.
#[derive(Clone)]
pub struct Keys {
    id: MeetingId,
    seal: [u8; 32],
    ice: [u8; 32],
    member: [u8; 32],
    hkdf: Hkdf<Sha256>,
}

/// What a meeting's members share for one day.
#[derive(Clone, PartialEq, Eq)]
pub struct EpochKeys {
    /// The day.
    pub epoch: Epoch,
    /// Where in the DHT the members announce themselves and look for each other.
    pub topic: InfoHash,
    /// The USERNAME of knocks: 16 characters, and no colon, which tells a knock from an ICE check.
    pub knock_ufrag: String,
    /// The password of knocks: 32 characters.
    pub knock_pwd: String,
}

impl Keys {
    /// Derives the keys of the meeting whose code was stretched to `master`.
    pub fn derive(master: &Master) -> Self {
        let hkdf = Hkdf::<Sha256>::new(None, &master.0);
        Self {
            id: MeetingId(expand(&hkdf, b"meeting")),
            seal: expand(&hkdf, b"seal"),
            ice: expand(&hkdf, b"ice"),
            member: expand(&hkdf, b"member"),
            hkdf,
        }
    }

    /// The meeting. It is signed by records and messages, and never on the wire in clear.
    pub fn id(&self) -> MeetingId {
        self.id
    }

    /// The key of sealed records.
    pub(super) fn seal(&self) -> &[u8; 32] {
        &self.seal
    }

    /// The keys of one day.
    pub fn epoch(&self, epoch: Epoch) -> EpochKeys {
        let knock: [u8; 36] = expand(&self.hkdf, format!("knock|{}", epoch.0).as_bytes());
        let (ufrag, pwd) = knock.split_at(12);
        EpochKeys {
            epoch,
            topic: InfoHash(expand(&self.hkdf, format!("topic|{}", epoch.0).as_bytes())),
            knock_ufrag: base64::encode(ufrag),
            knock_pwd: base64::encode(pwd),
        }
    }

    /// The tag by which `of` is known in the ICE checks between it and `to`: HMAC-SHA256(`ice`, of ‖ to), the first
    /// eight bytes. Nobody outside the meeting can tell from it which devices those are.
    pub fn pair_tag(&self, of: DeviceId, to: DeviceId) -> PairTag {
        let mac = mac(&self.ice, &[of.as_bytes(), to.as_bytes()]).finalize().into_bytes();
        PairTag(std::array::from_fn(|i| mac[i]))
    }

    /// The ICE username fragment of the device `of`, in its run `incarnation`, for the dial `n` between it and `to`.
    pub fn ufrag(&self, of: DeviceId, incarnation: Incarnation, to: DeviceId, n: u16) -> Ufrag {
        Ufrag { tag: self.pair_tag(of, to), incarnation, n }
    }

    /// The ICE password of checks with the given USERNAME, `recipient:sender` (RFC 8445 §7.2.2): 32 characters.
    ///
    /// It depends on the code, on what only the two devices know (`pair`, [`Signer::agree`](crate::base::Signer::agree)) and on
    /// both fragments, so on both incarnations and the dial: a check proves the device that sent it, not only that it
    /// is a member's, and is worth nothing to any other dial.
    pub fn check_password(&self, pair: &[u8; 32], recipient: &Ufrag, sender: &Ufrag) -> String {
        let hkdf = Hkdf::<Sha256>::new(None, &[self.ice, *pair].concat());
        base64::encode(&expand::<24>(&hkdf, format!("{recipient}:{sender}").as_bytes()))
    }

    /// The proof of membership: HMAC-SHA256 under the `member` key, over the parts one after the other.
    /// The parts must be of fixed sizes, or the same proof would stand for different ones.
    pub fn member_mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        mac(&self.member, parts).finalize().into_bytes().into()
    }

    /// Whether `proof` is [`Keys::member_mac`] of the parts; takes the same time whatever differs.
    pub fn verify_member_mac(&self, parts: &[&[u8]], proof: &[u8]) -> bool {
        mac(&self.member, parts).verify_slice(proof).is_ok()
    }
}

fn expand<const N: usize>(hkdf: &Hkdf<Sha256>, label: &[u8]) -> [u8; N] {
    let mut key = [0; N];
    hkdf.expand(label, &mut key).expect("all our keys are far shorter than HKDF's 8160 bytes");
    key
}

fn mac(key: &[u8; 32], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any size");
    parts.iter().for_each(|part| mac.update(part));
    mac
}

/// Keys are secrets and stay out of logs.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

impl fmt::Debug for EpochKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EpochKeys({}, ..)", self.epoch.0)
    }
}

/// A UTC day, counted from 1970-01-01: topics and knock credentials change with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Within this time of midnight the neighbouring day is active too.
    pub const OVERLAP: Duration = Duration::from_secs(2 * 60 * 60);
    /// After being alone for this long, both neighbouring days are active: a clock may be wrong.
    pub const ALONE: Duration = Duration::from_secs(20);

    /// The day of `unix`.
    pub fn of(unix: UnixTime) -> Self {
        Self(unix.day())
    }

    /// The days whose topics to announce and look up, and whose knocks to answer, at `unix`, after having been alone
    /// for `alone_for`: one to three, that of `unix` first.
    pub fn active(unix: UnixTime, alone_for: Duration) -> Vec<Self> {
        const DAY: u64 = 86_400_000;
        let Self(today) = Self::of(unix);
        let into = unix.as_millis() % DAY;
        let overlap = Self::OVERLAP.as_millis() as u64;
        let alone = alone_for >= Self::ALONE;
        let mut days = vec![Self(today)];
        if today > 0 && (alone || into < overlap) {
            days.push(Self(today - 1));
        }
        if alone || into >= DAY - overlap {
            days.push(Self(today + 1));
        }
        days
    }
}

/// Eight bytes by which a device knows another one, and itself, in ICE checks: see [`Keys::pair_tag`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PairTag(pub [u8; 8]);

impl fmt::Debug for PairTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An ICE username fragment of ours: which device, which run of it, which dial.
///
/// On the wire it is 24 characters: the base64 of tag (8) ‖ incarnation (8) ‖ n (2), big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ufrag {
    /// Which device, as seen by the other one.
    pub tag: PairTag,
    /// Which run of it.
    pub incarnation: Incarnation,
    /// The number of the dial, per pair.
    pub n: u16,
}

impl Ufrag {
    /// The length of its text.
    pub const CHARS: usize = 24;

    /// Reads one fragment, which is one half of a check's USERNAME. Strangers' are hardly ever of this form.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let bytes: [u8; 18] = base64::decode(text)?;
        let (tag, rest) = bytes.split_first_chunk::<8>()?;
        let (incarnation, n) = rest.split_first_chunk::<8>()?;
        Some(Self {
            tag: PairTag(*tag),
            incarnation: Incarnation(u64::from_be_bytes(*incarnation)),
            n: u16::from_be_bytes(n.try_into().ok()?),
        })
    }

    /// Reads the USERNAME of a check, `recipient:sender`.
    pub fn parse_username(username: &[u8]) -> Option<(Self, Self)> {
        let (recipient, rest) = username.split_at_checked(Self::CHARS)?;
        let (b':', sender) = rest.split_first()? else { return None };
        Some((Self::parse(recipient)?, Self::parse(sender)?))
    }
}

impl fmt::Display for Ufrag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 18];
        bytes[..8].copy_from_slice(&self.tag.0);
        bytes[8..16].copy_from_slice(&self.incarnation.0.to_be_bytes());
        bytes[16..].copy_from_slice(&self.n.to_be_bytes());
        f.write_str(&base64::encode(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::derive(&Master(std::array::from_fn(|i| i as u8)))
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Computed a second time with another implementation of HMAC and HKDF.
    #[test]
    fn golden_vectors() {
        let keys = keys();
        assert_eq!(keys.id().to_string(), "d928c5e1b415cb4eca682ce043c910d3");
        assert_eq!(hex(keys.seal()), "1f28daac514d841274e4541f0ac720aedc1a1801279e144ba82e6ad8c1c9592d");
        assert_eq!(hex(&keys.ice), "16a6c5b15d4219f73b13b4f623879dbb169655acca86e86f472ab24049635f71");
        assert_eq!(hex(&keys.member), "63496b078cfb6357f1a2f15109043f45574351cc5b5f9d36bf0fbd95a17da7bc");
        let epoch = keys.epoch(Epoch(20_000));
        assert_eq!(epoch.topic.to_string(), "43fb7303870fed9f36b47501ac1eaa89bcbd71ef");
        assert_eq!(epoch.knock_ufrag, "1pGwc3yB/C5TVnvQ");
        assert_eq!(epoch.knock_pwd, "Yi3aHZk8wteZLCA3RTs7ZfmtHjcrYSge");

        let (x, y) = (DeviceId([0xaa; 32]), DeviceId([0xbb; 32]));
        let of_x = keys.ufrag(x, Incarnation(0x0102_0304_0506_0708), y, 7);
        let of_y = keys.ufrag(y, Incarnation(9), x, 7);
        assert_eq!(of_x.to_string(), "WqazHUbAGUUBAgMEBQYHCAAH");
        assert_eq!(of_y.to_string(), "nf9c5crgx7IAAAAAAAAACQAH");
        assert_eq!(keys.check_password(&[0xcc; 32], &of_y, &of_x), "ye9PhUg7sl+Xm3WtkTbQsBuy0DwGaBPN");
        assert_eq!(
            hex(&keys.member_mac(&[b"ab", b"c"])),
            "f7dc9f672aa1383cc4eef93069b58fa39edc4ad08b37513a0d1d369654354add"
        );
    }

    #[test]
    fn usernames_come_back() {
        let keys = keys();
        let (x, y) = (DeviceId([1; 32]), DeviceId([2; 32]));
        let (a, b) = (keys.ufrag(x, Incarnation(u64::MAX), y, u16::MAX), keys.ufrag(y, Incarnation(0), x, 0));
        assert_ne!(a.tag, b.tag);
        let username = format!("{a}:{b}");
        assert_eq!(username.len(), 49);
        assert_eq!(Ufrag::parse_username(username.as_bytes()), Some((a, b)));
        let pair = [3; 32];
        assert_ne!(keys.check_password(&pair, &a, &b), keys.check_password(&pair, &b, &a));
        assert_ne!(keys.check_password(&pair, &a, &b), keys.check_password(&[4; 32], &a, &b));
        for wrong in ["", ":", &username[1..], &format!("{username}A"), &username.replace(':', "A")] {
            assert_eq!(Ufrag::parse_username(wrong.as_bytes()), None, "{wrong:?}");
        }
        let knock = keys.epoch(Epoch(1)).knock_ufrag;
        assert_eq!(Ufrag::parse_username(knock.as_bytes()), None);
    }

    #[test]
    fn members_prove_themselves() {
        let proof = keys().member_mac(&[b"x"]);
        assert!(keys().verify_member_mac(&[b"x"], &proof));
        assert!(!keys().verify_member_mac(&[b"y"], &proof));
        assert!(!keys().verify_member_mac(&[b"x"], &proof[..31]));
        assert!(!Keys::derive(&Master([9; 32])).verify_member_mac(&[b"x"], &proof));
    }

    #[test]
    fn days_overlap_around_midnight_and_for_the_lonely() {
        let at = |hours: u64, minutes: u64, alone: u64| {
            let unix = UnixTime::from_millis(((100 * 24 + hours) * 60 + minutes) * 60_000);
            Epoch::active(unix, Duration::from_secs(alone)).iter().map(|e| e.0).collect::<Vec<_>>()
        };
        assert_eq!(at(12, 0, 0), [100]);
        assert_eq!(at(1, 59, 0), [100, 99]);
        assert_eq!(at(2, 0, 0), [100]);
        assert_eq!(at(21, 59, 0), [100]);
        assert_eq!(at(22, 0, 0), [100, 101]);
        assert_eq!(at(12, 0, 19), [100]);
        assert_eq!(at(12, 0, 20), [100, 99, 101]);
        assert_eq!(at(0, 0, 20), [100, 99, 101]);
        assert_eq!(Epoch::active(UnixTime::from_millis(0), Duration::ZERO), [Epoch(0)]);
    }
}
