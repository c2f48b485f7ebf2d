use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

use super::certificate::Fingerprint;
use super::endpoint::SnapToken;
use crate::base::SocketInfo;
#[cfg(doc)]
use crate::limits;

/// All that a link has to know at its start.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// Which end this is. Both must hold the same view of it.
    pub role: Role,
    /// Our credentials.
    pub local: IceCredentials,
    /// The other end's credentials.
    pub remote: IceCredentials,
    /// The fingerprint of the other end's certificate.
    pub fingerprint: Fingerprint,
    /// The token of the other end's present run.
    pub snap: SnapToken,
    /// The sockets to use; of more than [`limits::LINK_SOCKETS`], the first.
    pub sockets: Vec<SocketInfo>,
    /// Where the other end may be reached, likeliest first; of more than [`limits::LINK_REMOTES`], the first.
    pub remotes: Vec<SocketAddr>,
    /// How much is sent to keep it, and to try its addresses.
    pub tempo: Tempo,
    /// The distance between first checks of several addresses: 5 ms, the least that RFC 8445 §B.1 allows.
    pub pace: Duration,
}

/// How much a link sends for its own sake. It finds out within ten seconds that the other end is gone, whatever this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tempo {
    /// How long nothing may be heard before a ping; between 1 and 5 s.
    pub pulse: Duration,
    /// How often ICE makes sure that the other end still wants what it gets (RFC 7675 §5.1), and the least often that a check is repeated
    /// while there is no path.
    pub consent: Duration,
}

/// Which end of a link this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Controlling in ICE, and the client of DTLS. Its first bytes arrive half a round trip earlier.
    Client,
    /// Controlled in ICE, and the server of DTLS.
    Server,
}

/// What one end proves itself with in ICE's checks (RFC 8445 §5.3).
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// The user name fragment, 4 to 256 characters of base64's alphabet; seen on the wire.
    pub ufrag: String,
    /// The password, 22 to 256 characters of the same.
    pub pwd: String,
}

/// Why a link cannot be made.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum LinkError {
    /// There is no socket to use.
    #[error("no socket to connect through")]
    NoSocket,
    /// A user name fragment or password is too short, too long, or has a character it must not have.
    #[error("malformed ICE credentials")]
    Credentials,
    /// The two tokens do not make an association: one is malformed, or both are the same.
    #[error("the SCTP tokens do not go together")]
    Snap,
}

impl Tempo {
    /// Of one link among few.
    pub const LIVELY: Self = Self { pulse: Duration::from_millis(2_500), consent: Duration::from_secs(5) };

    /// Of one link among many: half of it. Consent that is asked for every 10 s still has three chances in the 30 s that it lasts, and who
    /// answers pings, which come over DTLS, consents too.
    pub const CROWDED: Self = Self { pulse: Duration::from_secs(5), consent: Duration::from_secs(10) };
}

impl LinkConfig {
    /// A configuration with the usual timing.
    pub fn new(
        role: Role,
        local: IceCredentials,
        remote: IceCredentials,
        fingerprint: Fingerprint,
        snap: SnapToken,
    ) -> Self {
        Self {
            role,
            local,
            remote,
            fingerprint,
            snap,
            sockets: Vec::new(),
            remotes: Vec::new(),
            tempo: Tempo::LIVELY,
            pace: Duration::from_millis(5),
        }
    }
}

impl IceCredentials {
    pub(super) fn is_well_formed(&self) -> bool {
        // ice-char of RFC 8839 §5.4.
        let chars = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
        (4..=256).contains(&self.ufrag.len())
            && (22..=256).contains(&self.pwd.len())
            && chars(&self.ufrag)
            && chars(&self.pwd)
    }
}

impl fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IceCredentials({})", self.ufrag)
    }
}
