use std::fmt;
use std::sync::Arc;

use str0m::channel::SctpInitData;
use str0m::config::DtlsCert;
use str0m::crypto::CryptoProvider;
use thiserror::Error;

use super::certificate::{Certificate, Fingerprint};
use super::security::Security;
use super::{crypto, entropy};
use crate::base::Rng;

/// What all links of one run of a device share: its certificate, and the token with which its SCTP associations start.
pub struct Endpoint {
    certificate: Certificate,
    snap: SnapToken,
    pub(super) dtls: DtlsCert,
    pub(super) sctp: SctpInitData,
    pub(super) crypto: Arc<CryptoProvider>,
}

/// An SCTP INIT chunk (RFC 9260 §3.3.2) that stands in the device's record instead of going over the wire: with both
/// ends' at hand an association begins established (draft-hancke-tsvwg-snap), two round trips earlier.
///
/// It is bound to a run of the device: with the token of an earlier one the channels open and carry nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapToken([u8; SnapToken::LEN]);

/// Bytes that are not such a chunk.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not an SCTP INIT chunk of the expected form")]
pub struct SnapTokenError;

impl Endpoint {
    /// The endpoint of the device with this seed, for this run.
    pub fn new(device_seed: &[u8; 32], rng: &mut Rng) -> Self {
        Self::with_security(device_seed, rng, Security::DTLS)
    }

    /// As [`Endpoint::new`], with links that are secured by something else.
    pub fn with_security(device_seed: &[u8; 32], rng: &mut Rng, security: Security) -> Self {
        let certificate = Certificate::from_seed(device_seed);
        let dtls = DtlsCert { certificate: certificate.der().to_vec(), private_key: certificate.pkcs8() };
        let _loan = entropy::lend(rng);
        let mut sctp = SctpInitData::new();
        let chunk = sctp.local_init_chunk().unwrap_or_default();
        let snap = SnapToken::try_from(chunk.as_slice()).unwrap_or(SnapToken([0; SnapToken::LEN]));
        let (snap, dtls_provider) = match security.replays {
            Some(token) => (token, crypto::replayed(&snap.0, &token.0)),
            None => (snap, security.provider),
        };
        Self { certificate, snap, dtls, sctp, crypto: crypto::provider(dtls_provider) }
    }

    /// The device's certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The fingerprint of the certificate, for the device's record.
    pub fn fingerprint(&self) -> Fingerprint {
        self.certificate.fingerprint()
    }

    /// The token of this run, for the device's record.
    pub fn snap(&self) -> SnapToken {
        self.snap
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.fingerprint())
    }
}

impl SnapToken {
    /// The token's size in bytes.
    pub const LEN: usize = 26;

    /// The bytes that go into a record.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// Checks the form: an INIT chunk that fills the bytes, with a tag, streams in both directions, and nothing but the list
/// of supported chunk types after its fixed part.
impl TryFrom<&[u8]> for SnapToken {
    type Error = SnapTokenError;

    fn try_from(bytes: &[u8]) -> Result<Self, SnapTokenError> {
        let bytes: [u8; Self::LEN] = bytes.try_into().map_err(|_| SnapTokenError)?;
        let field = |at: usize, length: usize| &bytes[at..at + length];
        let well_formed = bytes[0] == 1
            && field(2, 2) == [0, Self::LEN as u8]
            && field(4, 4) != [0; 4]
            && field(12, 2) != [0; 2]
            && field(14, 2) != [0; 2]
            && field(20, 4) == [0x80, 0x08, 0, 6];
        if well_formed { Ok(Self(bytes)) } else { Err(SnapTokenError) }
    }
}

impl fmt::Debug for SnapToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SnapToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_new_at_each_start() {
        let mut rng = Rng::new([1; 32]);
        let (a, b) = (Endpoint::new(&[2; 32], &mut rng), Endpoint::new(&[2; 32], &mut rng));
        assert_eq!(a.fingerprint(), b.fingerprint());
        assert_ne!(a.snap(), b.snap());
        assert_eq!(SnapToken::try_from(a.snap().as_bytes().as_slice()), Ok(a.snap()));
        assert_eq!(a.snap().as_bytes()[..4], [1, 0, 0, 26]);
    }

    #[test]
    fn a_malformed_token_is_refused() {
        let good = *Endpoint::new(&[2; 32], &mut Rng::new([1; 32])).snap().as_bytes();
        let with = |at: usize, bytes: &[u8]| {
            let mut token = good;
            token[at..at + bytes.len()].copy_from_slice(bytes);
            SnapToken::try_from(token.as_slice())
        };
        assert!(with(0, &[2]).is_err());
        assert!(with(2, &[0, 27]).is_err());
        assert!(with(4, &[0; 4]).is_err());
        assert!(with(12, &[0; 2]).is_err());
        assert!(with(14, &[0; 2]).is_err());
        assert!(with(20, &[0]).is_err());
        assert!(SnapToken::try_from(&good[..25]).is_err());
        assert!(SnapToken::try_from([good.as_slice(), &[0]].concat().as_slice()).is_err());
    }
}
