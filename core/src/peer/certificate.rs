use std::fmt;

use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use sha2::{Digest, Sha256};

/// The self-signed X.509 certificate of a device, with its key: a pure function of the device's seed, byte for byte.
///
/// P-256 with ECDSA and SHA-256, which every WebRTC stack accepts. The signature's nonce is RFC 6979's, name and
/// serial number are the same for all devices, and the validity is "no expiry" (RFC 5280 §4.1.2.5): nobody reads them, for a
/// certificate here is known by its fingerprint alone.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    key: [u8; 32],
}

/// The SHA-256 of a device's certificate in DER, by which DTLS knows the other end (RFC 8122 §5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Certificate {
    /// The certificate of the device with this seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = signing_key(seed);
        let to_be_signed = to_be_signed(key.verifying_key().to_sec1_point(false).as_bytes());
        let signature: Signature = key.sign(&to_be_signed);
        let der = sequence(&[
            &to_be_signed,
            &sequence(&[ECDSA_WITH_SHA256]),
            &tlv(BIT_STRING, &[&[0], signature.to_der().as_bytes()]),
        ]);
        Self { der, key: key.to_bytes().into() }
    }

    /// The fingerprint that the other end must expect.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(Sha256::digest(&self.der).into())
    }

    /// The certificate in DER, about 300 bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The private key as PKCS#8 (RFC 5958) around an RFC 5915 key.
    pub(super) fn pkcs8(&self) -> Vec<u8> {
        let key = sequence(&[&tlv(INTEGER, &[&[1]]), &tlv(OCTET_STRING, &[&self.key])]);
        let algorithm = sequence(&[EC_PUBLIC_KEY, PRIME256V1]);
        sequence(&[&tlv(INTEGER, &[&[0]]), &algorithm, &tlv(OCTET_STRING, &[&key])])
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.fingerprint())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A P-256 key from the seed. One hash in 2^32 is no valid scalar; then the next counter is tried.
fn signing_key(seed: &[u8; 32]) -> SigningKey {
    let mut counter = 0u32;
    loop {
        let hash = Sha256::new()
            .chain_update(b"folkmoot/1 device certificate")
            .chain_update(counter.to_be_bytes())
            .chain_update(seed)
            .finalize();
        if let Ok(key) = SigningKey::from_slice(&hash) {
            return key;
        }
        counter = counter.wrapping_add(1);
    }
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const UTF8_STRING: u8 = 0x0c;
const GENERALIZED_TIME: u8 = 0x18;
const UTC_TIME: u8 = 0x17;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;

/// Object identifiers, whole with tag and length.
const EC_PUBLIC_KEY: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const PRIME256V1: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ECDSA_WITH_SHA256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];

/// The TBSCertificate of RFC 5280 §4.1 around an uncompressed point.
fn to_be_signed(public_key: &[u8]) -> Vec<u8> {
    let name = sequence(&[&tlv(SET, &[&sequence(&[COMMON_NAME, &tlv(UTF8_STRING, &[b"folkmoot"])])])]);
    sequence(&[
        &tlv(VERSION, &[&tlv(INTEGER, &[&[2]])]),
        &tlv(INTEGER, &[&[1]]),
        &sequence(&[ECDSA_WITH_SHA256]),
        &name,
        &sequence(&[&tlv(UTC_TIME, &[b"700101000000Z"]), &tlv(GENERALIZED_TIME, &[b"99991231235959Z"])]),
        &name,
        &sequence(&[&sequence(&[EC_PUBLIC_KEY, PRIME256V1]), &tlv(BIT_STRING, &[&[0], public_key])]),
    ])
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(SEQUENCE, parts)
}

/// Tag, length and contents in DER (X.690); for contents up to 65 535 bytes.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    let [high, low] = (length as u16).to_be_bytes();
    let mut out = vec![tag];
    match length {
        0..=0x7f => out.push(low),
        0x80..=0xff => out.extend([0x81, low]),
        _ => out.extend([0x82, high, low]),
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::signature::Verifier;
    use p256::pkcs8::DecodePrivateKey;

    use super::*;

    #[test]
    fn is_a_function_of_the_seed() {
        let fingerprint = |seed| Certificate::from_seed(&[seed; 32]).fingerprint();
        assert_eq!(fingerprint(1), fingerprint(1));
        assert_ne!(fingerprint(1), fingerprint(2));
        // A device keeps its identity over every release: this must never change.
        let expected = "5d8f19df10910bd60ab7c554a5ebdb649f0c0699c0fcea717262cd6877f177ff";
        assert_eq!(fingerprint(0).to_string(), expected);
    }

    #[test]
    fn is_signed_by_its_key() {
        let certificate = Certificate::from_seed(&[9; 32]);
        let key = SigningKey::from_pkcs8_der(&certificate.pkcs8()).unwrap();
        // A header of 4 bytes, then the signed part, with a header of 3 of its own.
        let der = certificate.der();
        let signed = &der[4..][..3 + usize::from(der[6])];
        // The algorithm in 12 bytes, then the signature as a bit string, with a header of 3.
        let signature = Signature::from_der(&der[4 + signed.len() + 12 + 3..]).unwrap();
        key.verifying_key().verify(signed, &signature).unwrap();
    }
}
