use std::fmt;

use folkmoot_core::meeting::{Code, Epoch, Keys, Master};
use folkmoot_core::node::Identity;
use sha2::{Digest as _, Sha256};

/// What may stand in no packet: as it is, in hexadecimal, or in base64 wherever that begins.
#[derive(Default)]
pub(crate) struct Secrets {
    /// By their first two bytes, a bit each, whether a pattern begins so: most positions of most packets need no more.
    begins: Vec<u64>,
    /// Sorted by pattern.
    patterns: Vec<(Vec<u8>, String)>,
}

/// Shorter ones would stand in packets by chance.
const SHORTEST: usize = 6;
/// Words of a set of pairs of bytes.
const WORDS: usize = (1 << 16) / 64;

impl Secrets {
    /// Adds a secret and all ways to write it.
    pub(crate) fn add(&mut self, name: &str, secret: &[u8]) {
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut forms = vec![secret.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
        for alphabet in [STANDARD, URL] {
            forms.extend((0..3).map(|before| base64_within(secret, before, alphabet)));
        }
        forms.retain(|form| form.len() >= SHORTEST);
        self.begins.resize(WORDS, 0);
        for form in &forms {
            let (word, bit) = place(form[0], form[1]);
            self.begins[word] |= bit;
        }
        self.patterns.extend(forms.into_iter().map(|form| (form, name.to_owned())));
        self.patterns.sort();
        self.patterns.dedup();
    }

    /// Adds all that only the members of a meeting know.
    pub(crate) fn add_meeting(&mut self, code: &Code, master: &Master, today: Epoch) {
        let keys = Keys::derive(master);
        self.add("the code of a meeting", code.as_str().as_bytes());
        self.add("the master secret of a meeting", &master.0);
        self.add("the id of a meeting", keys.id().as_bytes());
        for label in ["seal", "ice", "member"] {
            self.add(&format!("the key `{label}` of a meeting"), &expand(&master.0, label));
        }
        for day in today.0.saturating_sub(1)..=today.0 + 1 {
            self.add("the password of a day's knocks", keys.epoch(Epoch(day)).knock_pwd.as_bytes());
        }
    }

    /// Adds the seeds of a device and its member.
    pub(crate) fn add_identity(&mut self, identity: &Identity) {
        self.add("the seed of a device", &identity.device);
        self.add("the seed of a member", &identity.member);
    }

    /// Which secret stands in these bytes.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<&str> {
        // Without secrets there are no bits.
        let begins: &[u64; WORDS] = self.begins.as_slice().try_into().ok()?;
        let places = bytes.windows(2).enumerate().filter(|(_, pair)| {
            let (word, bit) = place(pair[0], pair[1]);
            begins[word] & bit != 0
        });
        places.map(|(at, _)| &bytes[at..]).find_map(|rest| {
            // A pattern that is a prefix of `rest` is not greater than it, and those between the two begin alike.
            let up_to = self.patterns.partition_point(|(pattern, _)| pattern[..] <= *rest);
            let alike =
                self.patterns[..up_to].iter().rev().take_while(|(pattern, _)| pattern[..2] == rest[..2]);
            alike.into_iter().find(|(pattern, _)| rest.starts_with(pattern)).map(|(_, name)| &name[..])
        })
    }
}

/// Secrets are secrets.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({} patterns)", self.patterns.len())
    }
}

fn place(first: u8, second: u8) -> (usize, u64) {
    let n = usize::from(first) << 8 | usize::from(second);
    (n / 64, 1 << (n % 64))
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The digits that `secret` alone decides in the base64 of something that holds it after `before` bytes more than a multiple of three.
fn base64_within(secret: &[u8], before: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let bits = [&vec![0; before][..], secret].concat();
    let digit = |n: usize| {
        let (byte, shift) = (n * 6 / 8, n * 6 % 8);
        let pair = u16::from(bits[byte]) << 8 | bits.get(byte + 1).map_or(0, |next| u16::from(*next));
        alphabet[usize::from(pair >> (10 - shift) & 63)]
    };
    ((before * 8).div_ceil(6)..bits.len() * 8 / 6).map(digit).collect()
}

/// HKDF-SHA256 (RFC 5869) without salt, the first 32 bytes: written a second time, so that the keys are looked for even if the core
/// gives them away.
fn expand(master: &[u8; 32], label: &str) -> [u8; 32] {
    let key = hmac(&[0; 32], master);
    hmac(&key, &[label.as_bytes(), &[1]].concat())
}

fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5869, test case 3: SHA-256 without salt and info; and RFC 4648 §10.
    #[test]
    fn vectors() {
        let master = [0x0b; 22];
        // HMAC of a zero key is that of an empty one; only the extraction is shared with a master of another length.
        let prk: String = hmac(&[0; 32], &master).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(prk, "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04");
        assert_eq!(base64_within(b"foobar", 0, STANDARD), b"Zm9vYmFy");
        assert_eq!(base64_within(b"foob", 0, STANDARD), b"Zm9vY");
    }

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        let mut secrets = Secrets::default();
        let secret = [0xfb, 0xef, 0xff, 7, 1, 2, 3, 4, 250, 251];
        secrets.add("it", &secret);
        secrets.add("other", b"something else");
        let encode = |bytes: &[u8]| base64_within(bytes, 0, STANDARD);
        for before in 0..4usize {
            let within = [&vec![0x5a; before][..], &secret, b"tail"].concat();
            let hex: String = within.iter().map(|byte| format!("{byte:02x}")).collect();
            for packet in [within.clone(), hex.to_uppercase().into_bytes(), hex.into_bytes(), encode(&within)]
            {
                assert_eq!(secrets.find(&packet), Some("it"), "{before}: {packet:x?}");
            }
        }
        assert_eq!(secrets.find(&secret[1..]), None);
        assert_eq!(secrets.find(b"nothing to see here, and something els"), None);
    }

    #[test]
    fn the_keys_are_those_of_the_core() {
        let master = Master([7; 32]);
        let id = Keys::derive(&master).id();
        assert_eq!(expand(&master.0, "meeting")[..id.as_bytes().len()], id.as_bytes()[..]);
    }
}
