//! The cryptography that str0m asks for: DTLS 1.3 by dimpl over RustCrypto, with our key exchange and our timers, and
//! HMAC-SHA1 for STUN. No C, and no randomness but what [`super::entropy`] lends. For simulators, something else can
//! stand in DTLS's place.

mod dtls;
mod exchange;
mod foreign;
mod replayed;
mod srtp;

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha1::{Digest, Sha1};
use sha2::Sha256;
use str0m::crypto::dtls::DtlsProvider;
use str0m::crypto::{CryptoProvider, Sha1HmacProvider, Sha1Provider, Sha256Provider};

pub(super) use foreign::Foreign;
use replayed::Replayed;

/// DTLS 1.3, the one thing that real links run.
pub(super) const DTLS: &dyn DtlsProvider = &dtls::Provider;

/// What str0m is given in place of a backend of its own.
pub(super) fn provider(dtls_provider: &'static dyn DtlsProvider) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        srtp_provider: &srtp::Refuse,
        sha1_hmac_provider: &Hashes,
        sha1_provider: &Hashes,
        sha256_provider: &Hashes,
        dtls_provider,
    })
}

/// DTLS for a run with the INIT chunk `own` that replays one with another. It stays for as long as the process: whoever asks for
/// one a second would notice.
pub(super) fn replayed(own: &[u8], replayed: &[u8]) -> &'static dyn DtlsProvider {
    Box::leak(Box::new(Replayed::new(own, replayed)))
}

#[derive(Debug)]
struct Hashes;

impl Sha1HmacProvider for Hashes {
    fn sha1_hmac(&self, key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
        // HMAC takes a key of any length, so the error cannot be.
        let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(key) else { return [0; 20] };
        payloads.iter().for_each(|payload| mac.update(payload));
        mac.finalize().into_bytes().into()
    }
}

impl Sha1Provider for Hashes {
    fn sha1(&self, data: &[u8]) -> [u8; 20] {
        Sha1::digest(data).into()
    }
}

impl Sha256Provider for Hashes {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        Sha256::digest(data).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2202, test cases 2 and 6.
    #[test]
    fn hmac_sha1() {
        let hex = |mac: [u8; 20]| mac.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let mac = Hashes.sha1_hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(hex(mac), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        let mac = Hashes.sha1_hmac(&[0xaa; 80], &[b"Test Using Larger Than Block-Size Key - Hash Key First"]);
        assert_eq!(hex(mac), "aa4ae5e15272d00e95705637ce8a3b55ed402112");
    }
}
