//! SRTP is negotiated by every DTLS handshake of WebRTC, and str0m derives its keys then. A link carries no media and
//! hands str0m no RTP, so the keys are never used: what is here refuses.

use str0m::crypto::{
    AeadAes128GcmCipher, AeadAes256GcmCipher, Aes128CmSha1_80Cipher, CryptoError, SrtpProvider,
    SupportedAeadAes128Gcm, SupportedAeadAes256Gcm, SupportedAes128CmSha1_80,
};

/// An SRTP provider whose ciphers all say no.
#[derive(Debug)]
pub(super) struct Refuse;

fn refuse<T>() -> Result<T, CryptoError> {
    Err(CryptoError::Other("a link carries no media".into()))
}

impl SrtpProvider for Refuse {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        &Refuse
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &Refuse
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &Refuse
    }

    fn srtp_aes_128_ecb_round(&self, _key: &[u8], _input: &[u8], _output: &mut [u8]) {}

    fn srtp_aes_256_ecb_round(&self, _key: &[u8], _input: &[u8], _output: &mut [u8]) {}
}

impl SupportedAes128CmSha1_80 for Refuse {
    fn create_cipher(&self, _key: [u8; 16], _encrypt: bool) -> Box<dyn Aes128CmSha1_80Cipher> {
        Box::new(Refuse)
    }
}

impl SupportedAeadAes128Gcm for Refuse {
    fn create_cipher(&self, _key: [u8; 16], _encrypt: bool) -> Box<dyn AeadAes128GcmCipher> {
        Box::new(Refuse)
    }
}

impl SupportedAeadAes256Gcm for Refuse {
    fn create_cipher(&self, _key: [u8; 32], _encrypt: bool) -> Box<dyn AeadAes256GcmCipher> {
        Box::new(Refuse)
    }
}

impl Aes128CmSha1_80Cipher for Refuse {
    fn encrypt(&mut self, _iv: &[u8; 16], _input: &[u8], _output: &mut [u8]) -> Result<(), CryptoError> {
        refuse()
    }

    fn decrypt(&mut self, _iv: &[u8; 16], _input: &[u8], _output: &mut [u8]) -> Result<(), CryptoError> {
        refuse()
    }
}

impl AeadAes128GcmCipher for Refuse {
    fn encrypt(
        &mut self,
        _iv: &[u8; 12],
        _aad: &[u8],
        _input: &[u8],
        _output: &mut [u8],
    ) -> Result<(), CryptoError> {
        refuse()
    }

    fn decrypt(
        &mut self,
        _iv: &[u8; 12],
        _aads: &[&[u8]],
        _input: &[u8],
        _output: &mut [u8],
    ) -> Result<usize, CryptoError> {
        refuse()
    }
}

impl AeadAes256GcmCipher for Refuse {
    fn encrypt(
        &mut self,
        _iv: &[u8; 12],
        _aad: &[u8],
        _input: &[u8],
        _output: &mut [u8],
    ) -> Result<(), CryptoError> {
        refuse()
    }

    fn decrypt(
        &mut self,
        _iv: &[u8; 12],
        _aads: &[&[u8]],
        _input: &[u8],
        _output: &mut [u8],
    ) -> Result<usize, CryptoError> {
        refuse()
    }
}
