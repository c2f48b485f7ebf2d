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
use crate::peer::security::{FLIGHT_RETRIES, FLIGHT_RTO, HANDSHAKE_TIMEOUT};

/// When dimpl's timers run again although they are due at once, having run at this very moment: a quarter of
/// [`FLIGHT_RTO`].
///
/// dimpl acknowledges a gap in the other end's flight at once, and is then due again at the same moment for as long as the
/// gap is there; and str0m runs the timers after every datagram. Without this, one datagram lost from a flight would make
/// an acknowledgement follow the other without end.
const TIMER_GAP: Duration = Duration::from_millis(50);

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
        let inner = dimpl::Dtls::new_13(Arc::new(config), certificate.clone(), now);
        Ok(Box::new(Dtls { inner, ran_at: None }))
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
struct Dtls {
    inner: dimpl::Dtls,
    /// When its timers ran last.
    ran_at: Option<Moment>,
}

impl DtlsInstance for Dtls {
    fn set_active(&mut self, active: bool) {
        self.inner.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        let output = self.inner.poll_output(buf);
        match (output, self.ran_at) {
            (DtlsOutput::Timeout(at), Some(ran_at)) if at <= ran_at => {
                DtlsOutput::Timeout(ran_at + TIMER_GAP)
            }
            (output, _) => output,
        }
    }

    fn handle_timeout(&mut self, now: Moment) -> Result<(), DtlsImplError> {
        if self.ran_at.replace(now) == Some(now) { Ok(()) } else { self.inner.handle_timeout(now) }
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.inner.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.inner.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.inner.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.inner.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.inner.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Time;
    use crate::peer::anchor::Anchor;
    use crate::peer::certificate::Certificate;

    /// Everything it has to send at `now`, asked for as str0m does: the timers run after every datagram.
    fn drain(dtls: &mut dyn DtlsInstance, now: Moment) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        let mut buf = vec![0; 2_048];
        for _ in 0..100 {
            match dtls.poll_output(&mut buf) {
                DtlsOutput::Packet(packet) => packets.push(packet.to_vec()),
                DtlsOutput::Timeout(at) if at > now => return packets,
                DtlsOutput::Timeout(_) => {}
                _ => continue,
            }
            dtls.handle_timeout(now).unwrap();
        }
        panic!("no end");
    }

    #[test]
    fn a_gap_in_a_flight_is_not_acknowledged_without_end() {
        let mut rng = Rng::new([1; 32]);
        let _loan = entropy::lend(&mut rng);
        let anchor = Anchor::new(Time::ZERO);
        let end = |seed| {
            let certificate = Certificate::from_seed(&[seed; 32]);
            let certificate =
                DtlsCert { certificate: certificate.der().to_vec(), private_key: certificate.pkcs8() };
            // Small, so that a flight is many datagrams.
            Provider
                .new_dtls(&certificate, anchor.moment(Time::ZERO), DtlsVersion::Dtls13, Some(256))
                .unwrap()
        };
        let (mut client, mut server) = (end(1), end(2));
        client.set_active(true);
        server.set_active(false);
        let (mut now, mut lost, mut connected) = (Time::ZERO, false, false);
        let mut to_server = Vec::new();
        for _ in 0..100 {
            let moment = anchor.moment(now);
            client.handle_timeout(moment).unwrap();
            server.handle_timeout(moment).unwrap();
            to_server.extend(drain(&mut *client, moment));
            for packet in to_server.drain(..) {
                server.handle_packet(&packet).unwrap();
            }
            let flight = drain(&mut *server, moment);
            for (n, packet) in flight.iter().enumerate() {
                if n == 1 && flight.len() > 3 && !std::mem::replace(&mut lost, true) {
                    continue;
                }
                client.handle_packet(packet).unwrap();
                to_server.extend(drain(&mut *client, moment));
            }
            connected |= client.protocol_version().is_some();
            now += Duration::from_millis(10);
        }
        assert!(lost, "no flight was long enough");
        assert!(connected);
    }
}
