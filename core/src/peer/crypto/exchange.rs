use dimpl::crypto::{ActiveKeyExchange, Buf, NamedGroup, SecureRandom, SupportedKxGroup};
use dimpl::{CryptoError, CryptoOperation};
use rand_core::Rng as _;
use x25519_dalek::{PublicKey, StaticSecret};

use crate::base::Rng;
use crate::peer::entropy;

/// X25519 (RFC 7748) with secrets from the generator on loan, the one group we offer: both ends are ours.
pub(super) static GROUPS: &[&dyn SupportedKxGroup] = &[&X25519];

/// Random bytes from the generator on loan.
#[derive(Debug)]
pub(super) struct Lent;

impl SecureRandom for Lent {
    fn fill(&self, buf: &mut [u8]) -> Result<(), CryptoError> {
        entropy::draw(|rng| rng.fill_bytes(buf))
            .ok_or(CryptoError::OperationFailed(CryptoOperation::FillRandom))
    }
}

#[derive(Debug)]
struct X25519;

impl SupportedKxGroup for X25519 {
    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }

    fn start_exchange(&self, _buf: Buf) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        let secret = entropy::draw(Rng::array::<32>)
            .map(StaticSecret::from)
            .ok_or(CryptoError::OperationFailed(CryptoOperation::StartKeyExchange))?;
        let public = PublicKey::from(&secret).to_bytes();
        Ok(Box::new(Exchange { secret, public }))
    }
}

/// One ephemeral key; used once, because [`ActiveKeyExchange::complete`] consumes it.
struct Exchange {
    secret: StaticSecret,
    public: [u8; 32],
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exchange(..)")
    }
}

impl ActiveKeyExchange for Exchange {
    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn complete(self: Box<Self>, peer: &[u8], out: &mut Buf) -> Result<(), CryptoError> {
        let invalid = CryptoError::InvalidPublicKey(NamedGroup::X25519);
        let Ok(peer) = <[u8; 32]>::try_from(peer) else { return Err(invalid) };
        let shared = self.secret.diffie_hellman(&PublicKey::from(peer));
        // RFC 7748 §6.1: a point of low order gives zero.
        if !shared.was_contributory() {
            return Err(invalid);
        }
        out.clear();
        out.extend_from_slice(shared.as_bytes());
        Ok(())
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(seed: u8) -> Box<dyn ActiveKeyExchange> {
        let _loan = entropy::lend(&mut Rng::new([seed; 32]));
        X25519.start_exchange(Buf::new()).unwrap()
    }

    #[test]
    fn both_ends_agree() {
        let (a, b) = (exchange(1), exchange(2));
        let (for_a, for_b) = (b.pub_key().to_vec(), a.pub_key().to_vec());
        let (mut at_a, mut at_b) = (Buf::new(), Buf::new());
        a.complete(&for_a, &mut at_a).unwrap();
        b.complete(&for_b, &mut at_b).unwrap();
        assert_eq!(&at_a[..], &at_b[..]);
    }

    #[test]
    fn refuses_what_it_must() {
        let mut out = Buf::new();
        assert!(exchange(1).complete(&[0; 32], &mut out).is_err());
        assert!(exchange(1).complete(&[9; 31], &mut out).is_err());
        // Outside a loan there is nothing to draw from.
        assert!(X25519.start_exchange(Buf::new()).is_err());
        assert!(Lent.fill(&mut [0; 4]).is_err());
    }
}
