use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use str0m::crypto::dtls::DtlsProvider;
use thiserror::Error;

use super::crypto::{self, Foreign};
use super::endpoint::SnapToken;
use crate::base::{Rng, Time};

/// What makes a link's datagrams secret and authentic. [`Security::DTLS`], unless somebody simulates thousands of links:
/// its arithmetic is what a simulated link mostly costs.
#[derive(Clone, Copy)]
pub struct Security {
    pub(super) provider: &'static dyn DtlsProvider,
    /// The token of the run that is replayed.
    pub(super) replays: Option<SnapToken>,
    name: &'static str,
}

/// Something that stands in for DTLS 1.3, for simulators. **It protects nothing that leaves a machine**, and two ends
/// understand each other only if both have the same.
///
/// It is a machine in the manner of all the others, but that it makes datagrams one at a time, into a buffer lent to
/// it. ICE is beneath and SCTP above it, as they are with DTLS, and what it says of the other end's certificate is held against
/// the fingerprint in the record as it is there.
pub trait SecureChannel: fmt::Debug + Send + Sync + 'static {
    /// One end of a channel that begins at `now`, in the role of a server. `certificate` is ours in DER, `mtu` the
    /// largest datagram to make in bytes, and `rng` the channel's own.
    fn new(certificate: &[u8], mtu: usize, rng: Rng, now: Time) -> Self
    where
        Self: Sized;

    /// Settles whether this end is the client, before anything else is called.
    fn set_client(&mut self, client: bool);

    /// A datagram came. It is for the channel by its first byte, and may be anyone's.
    fn handle_datagram(&mut self, bytes: &[u8]) -> Result<(), Refused>;

    /// Time has come to `now`; an error is the end of the channel.
    fn on_wake(&mut self, now: Time) -> Result<(), Refused>;

    /// What it has to say; to be called until it is [`SecureOutput::Idle`]. `buffer` has room for any datagram.
    fn poll<'a>(&mut self, buffer: &'a mut [u8]) -> SecureOutput<'a>;

    /// Sends a packet to the other end, or keeps it until the handshake is done.
    fn send(&mut self, packet: &[u8]) -> Result<(), Refused>;

    /// Says goodbye; nothing can be sent any more.
    fn close(&mut self);

    /// Whether this end is the client.
    fn is_client(&self) -> bool;

    /// Whether both ends have said goodbye, and all has been polled.
    fn is_closed(&self) -> bool;
}

/// What a [`SecureChannel`] has to say.
#[derive(Debug)]
pub enum SecureOutput<'a> {
    /// A datagram to be sent.
    Datagram(&'a [u8]),
    /// The other end's certificate in DER, to be held against what is known of it.
    Certificate(&'a [u8]),
    /// The handshake is done.
    Secured,
    /// A packet of the other end's.
    Packet(&'a [u8]),
    /// The other end says goodbye.
    Goodbye,
    /// Nothing until then.
    Idle(Option<Time>),
}

/// A [`SecureChannel`] does not take that.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Refused {
    /// The bytes are no datagram of this channel.
    #[error("not a datagram of the channel")]
    Malformed,
    /// The handshake took too long.
    #[error("the handshake took too long")]
    TimedOut,
    /// The channel is closed.
    #[error("the channel is closed")]
    Closed,
}

/// How long a flight of a handshake waits for its answer before it is sent again; doubles each time. RFC 9147 §5.8.2
/// suggests 1 s, which at 5 % loss puts a second into one connection in five.
pub const FLIGHT_RTO: Duration = Duration::from_millis(200);

/// How often a flight is sent again. The handshake timeout ends it first.
pub const FLIGHT_RETRIES: usize = 12;

/// How long a handshake may take from its first flight.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(40);

impl Security {
    /// DTLS 1.3 (RFC 9147) with X25519, P-256 and AES-GCM.
    pub const DTLS: Self = Self { provider: crypto::DTLS, replays: None, name: "DTLS" };

    /// A stand-in, for simulators.
    pub const fn stand_in<C: SecureChannel>() -> Self {
        Self { provider: &Foreign::<C>(PhantomData), replays: None, name: "a stand-in" }
    }

    /// DTLS for a node that replays a run: it gives out the token of that run as its own, and so sends the same bytes for the
    /// same inputs. Every node that is made with it keeps a few bytes until the process ends.
    pub const fn replaying(token: SnapToken) -> Self {
        Self { provider: crypto::DTLS, replays: Some(token), name: "DTLS, replayed" }
    }

    /// Whether it is [`Security::DTLS`] itself.
    pub fn is_dtls(&self) -> bool {
        self.name == Self::DTLS.name
    }
}

impl Default for Security {
    fn default() -> Self {
        Self::DTLS
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Security({})", self.name)
    }
}
