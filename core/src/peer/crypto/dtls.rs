use std::sync::Arc;
use std::time::Duration;

use dimpl::crypto::{CryptoProvider, rust_crypto};
use str0m::config::{DtlsCert, DtlsVersion};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion};

use super::exchange;
use crate::base::Rng;
use crate::peer::anchor::Moment;
use crate::peer::entropy;

/// How long a flight of the handshake waits for its answer before it is sent again; doubles each time. RFC 9147 §5.8.2
/// suggests 1 s, which at 5 % loss puts a second into one connection in five.
const FLIGHT_RTO: Duration = Duration::from_millis(200);

/// How often a flight is sent again. The handshake timeout ends it first.
const FLIGHT_RETRIES: usize = 12;

/// How long a handshake may take from its first flight.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(40);

/// Makes DTLS 1.3 connections, whatever version str0m would like.
#[derive(Debug)]
pub(super) struct Provider;

impl DtlsProvider for Provider {
    /// Never: a certificate is a function of the device's seed.
    fn generate_certificate(&self) -> Option<DtlsCert> {
        None
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Moment,
        _version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let refused = |why: &str| CryptoError::Other(why.to_owned());
        // dimpl's own randomness makes the hello randoms and the jitter of timers; the secrets are drawn elsewhere
        // (`exchange`), with full entropy.
        let seed = entropy::draw(Rng::u64).ok_or_else(|| refused("no generator on loan"))?;
        let mut config = dimpl::Config::builder()
            .with_crypto_provider(crypto())
            .dangerously_set_rng_seed(seed)
            .flight_start_rto(FLIGHT_RTO)
            .flight_retries(FLIGHT_RETRIES)
            .handshake_timeout(HANDSHAKE_TIMEOUT)
            // ICE has proven the return path already; the cookie would cost a round trip.
            .use_server_cookie(false);
        if let Some(mtu) = mtu {
            config = config.mtu(mtu);
        }
        let config = config.build().map_err(|error| refused(&error.to_string()))?;
        Ok(Box::new(Dtls(dimpl::Dtls::new_13(Arc::new(config), certificate.clone(), now))))
    }
}

/// RustCrypto, with our key exchange. dimpl tries every suite of a provider out at each use, so DTLS 1.2 gets one, for
/// it insists.
fn crypto() -> CryptoProvider {
    let rust_crypto = rust_crypto::default_provider();
    CryptoProvider {
        kx_groups: exchange::GROUPS,
        secure_random: &exchange::Lent,
        cipher_suites: rust_crypto.cipher_suites.get(..1).unwrap_or_default(),
        ..rust_crypto
    }
}

#[derive(Debug)]
struct Dtls(dimpl::Dtls);

impl DtlsInstance for Dtls {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        self.0.poll_output(buf)
    }

    fn handle_timeout(&mut self, now: Moment) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}
