//! One connection to one device: ICE, DTLS 1.3 and SCTP over one of the node's UDP sockets, with nothing left to
//! negotiate at run time.
//!
//! Both sides hold the other's record before either builds a [`Link`], so there is no offer and no answer: the ICE
//! credentials are derived, the certificate is known by its [`Fingerprint`], the SCTP association starts established
//! from two [`SnapToken`]s and the channels are agreed in advance. The first byte of the application arrives 2.5
//! round trips after both have begun (client to server; 3 the other way).
//!
//! This is the only folder that knows str0m; nothing of it shows in the public surface, so that another transport can
//! stand beside it.

mod anchor;
mod certificate;
mod config;
mod crypto;
mod endpoint;
mod entropy;
mod event;
mod link;
mod paths;
mod pulse;
mod security;
mod setup;
mod tail;
#[cfg(test)]
mod tests;

pub use certificate::{Certificate, Fingerprint};
pub use config::{IceCredentials, LinkConfig, LinkError, Role, Tempo};
pub use endpoint::{Endpoint, SnapToken, SnapTokenError};
pub use event::{Channel, CloseReason, Counters, Event, MAX_MESSAGE, SendError};
pub use link::Link;
pub use security::{
    FLIGHT_RETRIES, FLIGHT_RTO, HANDSHAKE_TIMEOUT, Refused, SecureChannel, SecureOutput, Security,
};
