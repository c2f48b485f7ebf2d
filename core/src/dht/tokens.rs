use std::net::IpAddr;
use std::time::Duration;

use super::sip::Sip;
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
    keyed: Sip,
}

impl Tokens {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self { keyed: Sip::new(rng.array()) }
    }

    /// The token for `ip` to announce `topic`.
    pub(super) fn issue(&self, now: Time, ip: IpAddr, topic: &InfoHash) -> [u8; LEN] {
        self.mac(epoch(now), ip, topic)
    }

    /// Whether `token` was issued to `ip` for `topic` lately. Takes the same time whatever the difference.
    pub(super) fn verify(&self, now: Time, ip: IpAddr, topic: &InfoHash, token: &[u8]) -> bool {
        let Ok(token) = <[u8; LEN]>::try_from(token) else { return false };
        let token = u64::from_le_bytes(token);
        let current = epoch(now);
        // Numbers are compared as wholes, and both are, whatever comes of the first.
        let is_of = |epoch| u64::from_le_bytes(self.mac(epoch, ip, topic)) ^ token == 0;
        is_of(current) | current.checked_sub(1).is_some_and(is_of)
    }

    fn mac(&self, epoch: u64, ip: IpAddr, topic: &InfoHash) -> [u8; LEN] {
        let mut message = [0; 8 + 20 + 16];
        let (head, tail) = message.split_at_mut(8);
        head.copy_from_slice(&epoch.to_be_bytes());
        let (hash, address) = tail.split_at_mut(20);
        hash.copy_from_slice(topic.as_bytes());
        match ip {
            IpAddr::V4(ip) => address.split_at_mut(4).0.copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => address.copy_from_slice(&ip.octets()),
        }
        // Of a length of its own for each family, so that no address of one stands for one of the other.
        self.keyed.mac(message.get(..if ip.is_ipv4() { 32 } else { 44 }).unwrap_or_default())
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
