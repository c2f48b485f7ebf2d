use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

/// An Ed25519 signature (RFC 8032).
pub type Signature = [u8; 64];

/// An Ed25519 secret key that signs statements, each in a domain of its own.
#[derive(Clone)]
pub struct Signer(SigningKey);

impl Signer {
    /// The key of the given 32-byte secret.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&secret))
    }

    /// The public key, which is the signer's id.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The secret that this key and `public` share, and nobody else: X25519 (RFC 7748) between the two keys taken over to
    /// Curve25519. `None` if `public` is no key, or one whose secret everybody knows.
    pub fn agree(&self, public: &[u8; 32]) -> Option<[u8; 32]> {
        // The function X25519, computed with the points in their Edwards form, in which multiplying takes a third less time.
        let theirs = VerifyingKey::from_bytes(public).ok()?.to_edwards();
        let shared = theirs.mul_clamped(self.0.to_scalar_bytes()).to_montgomery().to_bytes();
        (shared != [0; 32]).then_some(shared)
    }

    /// Signs `statement` in `domain`. A domain is a fixed text without a zero byte that no other kind of statement
    /// uses, so that a signature of one kind is never taken for one of another.
    pub fn sign(&self, domain: &str, statement: &[u8]) -> Signature {
        self.0.sign(&in_domain(domain, statement)).to_bytes()
    }
}

/// Whether `signature` is one by `public` of `statement` in `domain`, as [`Signer::sign`] makes it.
///
/// Strict: keys and signatures that only some verifiers would accept (of small order, not canonical) are refused, so
/// that all members agree.
pub fn verify(public: &[u8; 32], domain: &str, statement: &[u8], signature: &Signature) -> bool {
    VerifyingKey::from_bytes(public).is_ok_and(|key| {
        key.verify_strict(&in_domain(domain, statement), &ed25519_dalek::Signature::from_bytes(signature))
            .is_ok()
    })
}

fn in_domain(domain: &str, statement: &[u8]) -> Vec<u8> {
    [domain.as_bytes(), &[0], statement].concat()
}

/// Secrets stay out of logs.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032 §7.1, test 1: the public key of a secret.
    #[test]
    fn rfc_8032_public_key() {
        let hex = |text: &str| text.parse::<crate::base::DeviceId>().unwrap().0;
        let signer = Signer::new(hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
        assert_eq!(signer.public(), hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"));
    }

    #[test]
    fn a_signature_holds_for_one_key_domain_and_statement() {
        let signer = Signer::new([1; 32]);
        let signature = signer.sign("a", b"b");
        assert!(verify(&signer.public(), "a", b"b", &signature));
        assert!(!verify(&Signer::new([2; 32]).public(), "a", b"b", &signature));
        assert!(!verify(&signer.public(), "b", b"b", &signature));
        assert!(!verify(&signer.public(), "a", b"a", &signature));
        let mut altered = signature;
        altered[63] ^= 0x10;
        assert!(!verify(&signer.public(), "a", b"b", &altered));
    }

    #[cfg(feature = "rtc")]
    quickcheck::quickcheck! {
        fn what_two_agree_on_is_x25519_of_their_keys(ours: u64, theirs: u64) -> bool {
            let [ours, theirs] = [ours, theirs].map(|seed| Signer::new(std::array::from_fn(|i| seed.to_be_bytes()[i % 8])));
            let point = theirs.0.verifying_key().to_montgomery().to_bytes();
            ours.agree(&theirs.public()) == Some(x25519_dalek::x25519(ours.0.to_scalar_bytes(), point))
        }
    }

    #[test]
    fn two_agree_on_what_no_third_one_knows() {
        let [a, b, c] = [1, 2, 3].map(|n| Signer::new([n; 32]));
        let shared = a.agree(&b.public());
        assert!(shared.is_some());
        assert_eq!(shared, b.agree(&a.public()));
        assert_ne!(shared, a.agree(&c.public()));
        assert_eq!(
            a.agree(&{
                let mut neutral = [0; 32];
                neutral[0] = 1;
                neutral
            }),
            None,
            "the neutral element"
        );
    }

    /// The neutral element as a key, with a signature that lax verifiers accept for every statement.
    #[test]
    fn a_key_of_small_order_signs_nothing() {
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(!verify(&neutral, "a", b"anything", &signature));
    }
}
