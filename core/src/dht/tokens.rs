use std::net::IpAddr;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::base::{InfoHash, Rng, Time};

/// The size of a token in bytes.
pub(super) const LEN: usize = 8;

/// A token is accepted in the epoch it was given in and in the next, so for 5 to 10 minutes (BEP 5).
const EPOCH: Duration = Duration::from_secs(5 * 60);

/// Write tokens: proof that whoever announces from an address received what we sent to it, for that topic.
///
/// BEP 5 only suggests to bind them to the address; bound to the topic as well, one token does not open all of the
/// storage. Nothing is kept per token.
pub(super) struct Tokens {
    keyed: Hmac<Sha256>,
}

impl Tokens {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self { keyed: Hmac::new(&rng.array::<64>().into()) }
    }

    /// The token for `ip` to announce `topic`.
    pub(super) fn issue(&self, now: Time, ip: IpAddr, topic: &InfoHash) -> [u8; LEN] {
        let mac = self.mac(epoch(now), ip, topic).finalize().into_bytes();
        std::array::from_fn(|i| mac.get(i).copied().unwrap_or_default())
    }

    /// Whether `token` was issued to `ip` for `topic` lately. Takes the same time whatever the difference.
    pub(super) fn verify(&self, now: Time, ip: IpAddr, topic: &InfoHash, token: &[u8]) -> bool {
        let of =
            |epoch| token.len() == LEN && self.mac(epoch, ip, topic).verify_truncated_left(token).is_ok();
        let current = epoch(now);
        of(current) || current.checked_sub(1).is_some_and(of)
    }

    fn mac(&self, epoch: u64, ip: IpAddr, topic: &InfoHash) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        mac.update(&epoch.to_be_bytes());
        mac.update(topic.as_bytes());
        match ip {
            IpAddr::V4(ip) => mac.update(&ip.octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        mac
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(..)")
    }
}

fn epoch(now: Time) -> u64 {
    now.as_micros() / EPOCH.as_micros() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: InfoHash = InfoHash([7; 20]);

    #[test]
    fn bound_to_address_topic_and_time() {
        let tokens = Tokens::new(&mut Rng::new([1; 32]));
        let (ip, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let minute = |n: u64| Time::from_millis(n * 60_000);
        let token = tokens.issue(minute(4), ip, &TOPIC);
        assert!(tokens.verify(minute(4), ip, &TOPIC, &token));
        assert!(tokens.verify(minute(9), ip, &TOPIC, &token));
        assert!(!tokens.verify(minute(10), ip, &TOPIC, &token), "older than two epochs");
        assert!(!tokens.verify(minute(4), other, &TOPIC, &token));
        assert!(!tokens.verify(minute(4), ip, &InfoHash([8; 20]), &token));
        assert!(!tokens.verify(minute(4), ip, &TOPIC, &token[..7]));
        assert!(!tokens.verify(minute(4), ip, &TOPIC, b""));
        assert!(!tokens.verify(minute(4), ip, &TOPIC, &[&token[..], b"x"].concat()));
        let elsewhere = Tokens::new(&mut Rng::new([2; 32]));
        assert!(!elsewhere.verify(minute(4), ip, &TOPIC, &token));
    }

    /// The tokens of one widely used implementation are affine in the address: the XOR of three of one's own tokens is
    /// the token of a fourth address. That must not work here.
    #[test]
    fn not_affine() {
        let tokens = Tokens::new(&mut Rng::new([1; 32]));
        let token = |last| u64::from_be_bytes(tokens.issue(Time::ZERO, [192, 0, 2, last].into(), &TOPIC));
        for (a, b) in [(1, 2), (4, 8), (16, 32), (3, 64)] {
            let forged = (token(a) ^ token(b) ^ token(0)).to_be_bytes();
            assert!(!tokens.verify(Time::ZERO, [192, 0, 2, a ^ b].into(), &TOPIC, &forged));
        }
    }
}
