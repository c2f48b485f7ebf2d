use hkdf::Hkdf;
use sha2::Sha256;

use crate::base::{self, DeviceId, MemberId, Signature, Signer};

/// The domain of a member's signature that a device is the member's.
const CERTIFIES: &str = "folkmoot/1 device";

/// Who this node is: the key of its device, and its member's certificate of that device.
///
/// A pure function of the two seeds on disk. The member's secret key is needed only for the certificate, and not kept.
#[derive(Clone, Debug)]
pub struct Keyring {
    device: Signer,
    member: MemberId,
    certificate: Certificate,
}

impl Keyring {
    /// The keys of the given seeds. Each key is drawn from its seed by HKDF-SHA256 with a label of its own (`device key`,
    /// `member key`), since the device's seed makes other keys too.
    pub fn new(device_seed: &[u8; 32], member_seed: &[u8; 32]) -> Self {
        let device = Signer::new(expand(device_seed, b"device key"));
        let member = Signer::new(expand(member_seed, b"member key"));
        let certificate = Certificate(member.sign(CERTIFIES, &device.public()));
        Self { device, member: MemberId(member.public()), certificate }
    }

    /// This device.
    pub fn device(&self) -> DeviceId {
        DeviceId(self.device.public())
    }

    /// Its member.
    pub fn member(&self) -> MemberId {
        self.member
    }

    /// The member's certificate of this device.
    pub fn certificate(&self) -> Certificate {
        self.certificate
    }

    /// The device's key, which signs records, HELLOs and messages, each in a domain of its own.
    pub fn signer(&self) -> &Signer {
        &self.device
    }
}

/// A member's signed statement, good in every meeting, that a device is the member's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate(pub Signature);

impl Certificate {
    /// Whether this is `member`'s statement about `device`.
    pub fn verify(&self, member: MemberId, device: DeviceId) -> bool {
        base::verify(member.as_bytes(), CERTIFIES, device.as_bytes(), &self.0)
    }
}

fn expand(seed: &[u8; 32], label: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(Some(b"folkmoot/1"), seed)
        .expand(label, &mut key)
        .expect("32 bytes are far fewer than HKDF's 8160");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_certifies_its_device_and_no_other() {
        let ring = Keyring::new(&[1; 32], &[2; 32]);
        let other = Keyring::new(&[3; 32], &[2; 32]);
        assert_eq!(ring.member(), other.member());
        assert!(ring.certificate().verify(ring.member(), ring.device()));
        assert!(!ring.certificate().verify(ring.member(), other.device()));
        assert!(!ring.certificate().verify(MemberId(ring.device().0), ring.device()));
    }

    #[test]
    fn one_seed_for_both_gives_two_keys() {
        let ring = Keyring::new(&[1; 32], &[1; 32]);
        assert_ne!(ring.device().0, ring.member().0);
    }
}
