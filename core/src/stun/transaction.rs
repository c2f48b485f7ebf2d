use std::net::SocketAddr;
use std::time::Duration;

use super::{BUDGET, FailReason};
use crate::base::{Cx, Scope, SocketId, Time};
use crate::wire::stun::{AttributeType, Builder, Class, Message, TransactionId};

/// What may be in a response although it has to be understood: all that RFC 3489 and RFC 8489 let a server say to a
/// request without credentials. The old addresses are of no use to us.
const UNDERSTOOD: [AttributeType; 6] = [
    AttributeType::MAPPED_ADDRESS,
    AttributeType::SOURCE_ADDRESS,
    AttributeType::CHANGED_ADDRESS,
    AttributeType::ERROR_CODE,
    AttributeType::UNKNOWN_ATTRIBUTES,
    AttributeType::XOR_MAPPED_ADDRESS,
];

/// Where a redirection may not lead: a server without credentials could aim us at a well-known service. STUN has 3478.
const FIRST_UNPRIVILEGED_PORT: u16 = 1_024;

/// The client's name for a probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RoundId(u64);

impl RoundId {
    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// One request, its retransmissions and its response.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) round: RoundId,
    pub(super) socket: SocketId,
    pub(super) server: SocketAddr,
    deadline: Time,
    /// The wait after the next request sent.
    rto: Duration,
    /// When the last request was sent, and how many were.
    sent_at: Time,
    sent: u32,
    due: Time,
    is_redirected: bool,
}

/// What a response means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Mapped(SocketAddr),
    Redirected(SocketAddr),
    Failed(FailReason),
}

impl Transaction {
    pub(super) fn new(
        round: RoundId,
        socket: SocketId,
        server: SocketAddr,
        now: Time,
        rto: Duration,
    ) -> Self {
        Self {
            round,
            socket,
            server,
            deadline: now + BUDGET,
            rto,
            sent_at: now,
            sent: 0,
            due: now,
            is_redirected: false,
        }
    }

    /// The same, to another server: the budget and the round are still those of the first.
    pub(super) fn redirected(self, server: SocketAddr, rto: Duration) -> Self {
        Self { server, rto, sent: 0, is_redirected: true, ..self }
    }

    /// Sends the request, and tells when the transaction is due next: later than now.
    pub(super) fn transmit(&mut self, cx: &mut Cx<'_>, id: TransactionId) -> Time {
        cx.transmit(self.socket, None, self.server, Builder::binding_request(id).finish());
        self.sent += 1;
        self.sent_at = cx.now;
        self.due = (cx.now + self.rto).min(self.deadline);
        self.rto *= 2;
        self.due
    }

    /// When it is to be sent again or given up.
    pub(super) fn due(&self) -> Time {
        self.due
    }

    pub(super) fn is_over(&self, now: Time) -> bool {
        now >= self.deadline
    }

    /// Whether a response to it may come to `socket` from `from`.
    pub(super) fn expects(&self, socket: SocketId, from: SocketAddr) -> bool {
        // An IPv6 source may carry a flow label or a scope that we did not give.
        let endpoint = |addr: SocketAddr| (addr.ip().to_canonical(), addr.port());
        self.socket == socket && endpoint(self.server) == endpoint(from)
    }

    /// The round-trip time, unless it is unknown which request was answered (Karn; RFC 8489 §6.2.1).
    pub(super) fn round_trip(&self, now: Time) -> Option<Duration> {
        (self.sent == 1).then(|| now - self.sent_at)
    }

    /// What a response from the right source means.
    pub(super) fn verdict(&self, message: &Message<'_>) -> Verdict {
        if message.not_understood(&UNDERSTOOD).next().is_some() {
            return Verdict::Failed(FailReason::NotUnderstood);
        }
        if message.class() == Class::Success {
            let public = message.mapped_address().filter(|public| self.is_possible(*public));
            return public.map_or(Verdict::Failed(FailReason::NoAddress), Verdict::Mapped);
        }
        let code = message.error_code().map_or(0, |error| error.code);
        let alternate = message.alternate_server().filter(|to| code == 300 && self.may_lead_to(*to));
        alternate.map_or(Verdict::Failed(FailReason::Rejected(code)), Verdict::Redirected)
    }

    /// Whether the server can have seen us there.
    fn is_possible(&self, public: SocketAddr) -> bool {
        public.port() != 0
            && public.is_ipv4() == self.server.is_ipv4()
            && Scope::of(public.ip()) != Scope::Unusable
    }

    /// Whether a redirection is followed: once, within the family, and never from the internet into a local network.
    fn may_lead_to(&self, to: SocketAddr) -> bool {
        let scope = Scope::of(to.ip());
        !self.is_redirected
            && to.is_ipv4() == self.server.is_ipv4()
            && to.port() >= FIRST_UNPRIVILEGED_PORT
            && scope != Scope::Unusable
            && scope >= Scope::of(self.server.ip())
    }
}
