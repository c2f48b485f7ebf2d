use std::marker::PhantomData;

use str0m::config::{DtlsCert, DtlsVersion};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion};

use crate::base::{Rng, Time};
use crate::peer::anchor::{Anchor, Moment};
use crate::peer::entropy;
use crate::peer::security::{Refused, SecureChannel, SecureOutput};

/// Gives str0m a [`SecureChannel`] where it asks for DTLS.
#[derive(Debug)]
pub(in crate::peer) struct Foreign<C>(pub(in crate::peer) PhantomData<fn() -> C>);

/// The datagrams that the channel may make where str0m does not say.
const USUAL_MTU: usize = 1_150;

impl<C: SecureChannel> DtlsProvider for Foreign<C> {
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
        let rng =
            entropy::draw(Rng::fork).ok_or_else(|| CryptoError::Other("no generator on loan".into()))?;
        let (anchor, mtu) = (Anchor::at(now, Time::ZERO), mtu.unwrap_or(USUAL_MTU));
        let channel = C::new(&certificate.certificate, mtu, rng, Time::ZERO);
        Ok(Box::new(Adapted { channel, anchor, now, is_secured: false }))
    }
}

#[derive(Debug)]
struct Adapted<C> {
    channel: C,
    anchor: Anchor,
    now: Moment,
    is_secured: bool,
}

impl<C: SecureChannel> DtlsInstance for Adapted<C> {
    fn set_active(&mut self, active: bool) {
        self.channel.set_client(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        // str0m's way to set a client going, which needs none.
        if packet.is_empty() {
            return Ok(());
        }
        self.channel.handle_datagram(packet).map_err(translate)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        match self.channel.poll(buf) {
            SecureOutput::Datagram(bytes) => DtlsOutput::Packet(bytes),
            SecureOutput::Certificate(der) => DtlsOutput::PeerCert(der),
            SecureOutput::Secured => {
                self.is_secured = true;
                DtlsOutput::Connected
            }
            SecureOutput::Packet(bytes) => DtlsOutput::ApplicationData(bytes),
            SecureOutput::Goodbye => DtlsOutput::CloseNotify,
            SecureOutput::Idle(Some(at)) => DtlsOutput::Timeout(self.anchor.moment(at)),
            SecureOutput::Idle(None) => DtlsOutput::Timeout(self.now + Anchor::NEVER),
        }
    }

    fn handle_timeout(&mut self, now: Moment) -> Result<(), DtlsImplError> {
        self.now = now;
        // A channel's own times are whole microseconds, and so are all moments a link hands to str0m.
        let time = self.anchor.time(now, Time::ZERO).unwrap_or_default();
        self.channel.on_wake(time).map_err(translate)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.channel.send(data).map_err(translate)?;
        Ok(data.len())
    }

    fn is_active(&self) -> bool {
        self.channel.is_client()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.is_secured.then_some(ProtocolVersion::DTLS1_3)
    }

    fn is_closed(&self) -> bool {
        self.channel.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.channel.close();
        Ok(())
    }
}

fn translate(refused: Refused) -> DtlsImplError {
    match refused {
        Refused::TimedOut => DtlsImplError::Timeout(dimpl::TimeoutError::Handshake),
        Refused::Malformed | Refused::Closed => DtlsImplError::ConnectionClosed,
    }
}
