use std::net::SocketAddr;

use thiserror::Error;

#[cfg(doc)]
use crate::limits;

/// The largest message that a channel carries, in bytes. Messages are not interleaved, so a larger one would hold up
/// what is said on the other channels; and every WebRTC stack takes 16 KiB.
pub const MAX_MESSAGE: usize = 16 * 1024;

/// A channel of a link: reliable, ordered, agreed in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// HELLO, membership, presence.
    Control,
    /// Messages.
    Log,
    /// File blocks.
    Bulk,
}

/// What happened on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// ICE is connected; the DTLS handshake begins.
    PathFound {
        /// Where the other end is.
        remote: SocketAddr,
    },
    /// DTLS is up and the other end is who it should be; the channels work.
    Secured,
    /// A message came.
    Data {
        /// On which channel.
        channel: Channel,
        /// The message, at most [`MAX_MESSAGE`] bytes.
        bytes: Vec<u8>,
    },
    /// A channel that refused a message with [`SendError::Full`], or said that it has no room for the largest, has it
    /// again.
    Writable {
        /// Which.
        channel: Channel,
    },
    /// The datagrams take another path.
    PathChanged {
        /// Where the other end is now.
        remote: SocketAddr,
    },
    /// The link is over, and this was its last event.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// Why a link is over.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CloseReason {
    /// The other end said so.
    #[error("closed by the other end")]
    Remote,
    /// Nothing was heard for 10 s.
    #[error("nothing was heard for too long")]
    Silent,
    /// The certificate is not the one expected.
    #[error("the other end is not who it should be")]
    Impostor,
    /// The DTLS handshake took too long, or was refused.
    #[error("the handshake failed")]
    Handshake,
    /// The other end broke a rule: an unknown channel, a message that is too large.
    #[error("the other end broke the rules of a link")]
    Misbehaved,
    /// DTLS or SCTP gave up.
    #[error("the connection failed")]
    Failed,
}

/// Why a message was not accepted.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SendError {
    /// Before [`Event::Secured`].
    #[error("the link is not secured yet")]
    NotReady,
    /// SCTP cannot carry a message of no bytes.
    #[error("the message is empty")]
    Empty,
    /// More than [`MAX_MESSAGE`] bytes.
    #[error("the message is too large")]
    TooLarge,
    /// The channel's buffer is full; [`Event::Writable`] will follow.
    #[error("the channel is full")]
    Full,
    /// The link is over.
    #[error("the link is closed")]
    Closed,
}

/// What a link dropped, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Neither STUN nor DTLS, or to a socket that the link does not use.
    pub foreign: u64,
    /// STUN that does not parse, or a DTLS datagram that is too large.
    pub malformed: u64,
    /// From an address that has not proven itself.
    pub unproven: u64,
    /// From more addresses than [`limits::LINK_SOURCES`].
    pub sources: u64,
    /// Because the composer did not take the events.
    pub backlog: u64,
    /// DTLS records that were refused with an error.
    pub dtls: u64,
    /// Pulses that were neither ping nor pong.
    pub pulse: u64,
}

impl Channel {
    /// All channels, in the order of their streams.
    pub const ALL: [Self; 3] = [Self::Control, Self::Log, Self::Bulk];
}
