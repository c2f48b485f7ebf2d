//! The STUN client: asks servers at which address they see us (Binding, RFC 8489).
//!
//! Several servers are asked at once, one transaction each, because a public server is often down or wrong. What one
//! says is a hint and no proof: whoever uses an address should want two servers, or the DHT, to agree on it.
//!
//! A request is a bare header of 20 bytes: no credentials, nothing that tells one client from another, nothing that an
//! old server could stumble over.

mod health;
mod transaction;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

pub use health::Health;

use crate::base::{Cx, SocketId, Time, Wake};
use crate::limits;
use crate::wire::stun::{Fingerprint, Message, Method, TransactionId};
use health::Servers;
use transaction::{RoundId, Transaction, Verdict};

/// How long a server may take to answer, all retransmissions included. RFC 8489 §6.2.1 would wait 39.5 s, which is
/// meant for a server one depends on; after 10 s the DHT has told the address, or there is no network.
pub const BUDGET: Duration = Duration::from_secs(10);

/// The shortest retransmission timeout (RFC 8489 §6.2.1). It doubles with each request sent.
pub const MIN_RTO: Duration = Duration::from_millis(500);

/// The longest first retransmission timeout, whatever the last round trips took: a slow server still gets three requests
/// within [`BUDGET`].
pub const MAX_RTO: Duration = Duration::from_secs(3);

/// Transactions that may be under way to one server (RFC 8489 §6.2.1).
pub const MAX_PER_SERVER: usize = 10;

/// Asks STUN servers for our public address, through any number of sockets.
#[derive(Debug, Default)]
pub struct Client {
    pending: BTreeMap<TransactionId, Transaction>,
    /// When each transaction in `pending` is due: to be sent again, or given up.
    due: BTreeSet<(Time, TransactionId)>,
    rounds: BTreeMap<RoundId, Round>,
    next_round: RoundId,
    servers: Servers,
    events: VecDeque<Event>,
    counters: Counters,
}

/// One probe under way.
#[derive(Debug)]
struct Round {
    socket: SocketId,
    asked: usize,
    answered: usize,
    pending: usize,
    /// Whom it asked, redirections included: nobody is asked twice.
    targets: BTreeSet<SocketAddr>,
}

impl Client {
    /// A client that has asked nobody so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks each of `servers` once at which address it sees `socket`. Within [`BUDGET`] each gives [`Event::Mapped`] or
    /// [`Event::Failed`]; then comes one [`Event::RoundOver`], at once if there was nobody to ask.
    ///
    /// The servers have to be of the socket's address family. Where [`limits::STUN_OUTCOMES`] or [`MAX_PER_SERVER`] leaves no
    /// room, the last of them are not asked; [`Event::RoundOver`] says how many were. If nobody takes the events and there is
    /// not even room for that one, nothing happens but a count.
    pub fn probe(&mut self, cx: &mut Cx<'_>, socket: SocketId, servers: &[SocketAddr]) {
        if self.room() == 0 {
            self.counters.refused += 1;
            return;
        }
        let id = self.next_round;
        self.next_round = id.next();
        let round = Round { socket, asked: 0, answered: 0, pending: 0, targets: BTreeSet::new() };
        self.rounds.insert(id, round);
        for server in servers {
            if self.room() > 0 && self.may_ask(id, *server) {
                let rto = self.servers.rto(cx.now, *server);
                self.start(cx, Transaction::new(id, socket, *server, cx.now, rto));
                if let Some(round) = self.rounds.get_mut(&id) {
                    round.asked += 1;
                    round.pending += 1;
                }
            }
        }
        self.close_if_over(id);
    }

    /// Takes in a STUN message that came to `socket` from `from`. Tells whether its transaction id is that of a request
    /// of ours, and nobody else needs to see it; it counts only if it also came from where the request went, to where
    /// the request left (RFC 8489 §6.3.3, §6.3.4).
    pub fn handle(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        from: SocketAddr,
        message: &Message<'_>,
    ) -> bool {
        let id = message.transaction_id();
        let Some(transaction) = self.pending.get(&id).filter(|_| message.class().is_response()) else {
            return false;
        };
        if !transaction.expects(socket, from) {
            self.counters.wrong_source += 1;
        } else if message.method() != Method::BINDING || message.fingerprint() == Fingerprint::Wrong {
            self.counters.damaged += 1;
        } else {
            match transaction.verdict(message) {
                Verdict::Mapped(public) => self.finish(cx.now, id, Ok(public)),
                Verdict::Failed(reason) => self.finish(cx.now, id, Err(reason)),
                Verdict::Redirected(to) => self.redirect(cx, id, to),
            }
        }
        true
    }

    /// Sends again what is due, and gives up what took too long.
    pub fn on_wake(&mut self, cx: &mut Cx<'_>) {
        while let Some(&(at, id)) = self.due.first().filter(|(at, _)| *at <= cx.now) {
            self.due.remove(&(at, id));
            let Some(transaction) = self.pending.get_mut(&id) else { continue };
            if transaction.is_over(cx.now) {
                self.finish(cx.now, id, Err(FailReason::Silent));
            } else {
                self.counters.retransmissions += 1;
                let due = transaction.transmit(cx, id);
                self.due.insert((due, id));
            }
        }
    }

    /// When [`on_wake`](Self::on_wake) is to be called next.
    pub fn next_wake(&self) -> Option<Wake> {
        self.due.first().map(|(at, _)| Wake::new(*at, "stun.retransmit"))
    }

    /// The oldest event not yet taken.
    pub fn pop_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Gives up everything that was asked through `socket`, which is closed.
    pub fn forget_socket(&mut self, now: Time, socket: SocketId) {
        let gone = self.pending.iter().filter(|(_, transaction)| transaction.socket == socket);
        for id in gone.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.finish(now, id, Err(FailReason::SocketClosed));
        }
    }

    /// How a server did when it was asked last, if that is remembered.
    pub fn health(&self, server: SocketAddr) -> Option<&Health> {
        self.servers.get(server)
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many more outcomes can be owed. Each transaction and round under way will become one event.
    fn room(&self) -> usize {
        limits::STUN_OUTCOMES.saturating_sub(self.pending.len() + self.rounds.len() + self.events.len())
    }

    fn may_ask(&self, round: RoundId, server: SocketAddr) -> bool {
        let to_server = self.pending.values().filter(|transaction| transaction.server == server).count();
        let known = self.rounds.get(&round).is_some_and(|round| round.targets.contains(&server));
        to_server < MAX_PER_SERVER && !known
    }

    /// Sends the first request of a transaction.
    fn start(&mut self, cx: &mut Cx<'_>, mut transaction: Transaction) {
        if let Some(round) = self.rounds.get_mut(&transaction.round) {
            round.targets.insert(transaction.server);
        }
        self.counters.requests += 1;
        let id = TransactionId::random(cx.rng);
        let due = transaction.transmit(cx, id);
        self.due.insert((due, id));
        self.pending.insert(id, transaction);
    }

    /// Asks another server in the place of the one that said so (error 300, RFC 8489 §10), within the same budget.
    fn redirect(&mut self, cx: &mut Cx<'_>, id: TransactionId, to: SocketAddr) {
        let round = self.pending.get(&id).map(|transaction| transaction.round);
        if !round.is_some_and(|round| self.may_ask(round, to)) {
            return self.finish(cx.now, id, Err(FailReason::Rejected(300)));
        }
        if let Some(transaction) = self.remove(id) {
            self.counters.redirections += 1;
            let rto = self.servers.rto(cx.now, to);
            self.start(cx, transaction.redirected(to, rto));
        }
    }

    fn remove(&mut self, id: TransactionId) -> Option<Transaction> {
        let transaction = self.pending.remove(&id)?;
        self.due.remove(&(transaction.due(), id));
        Some(transaction)
    }

    fn finish(&mut self, now: Time, id: TransactionId, outcome: Result<SocketAddr, FailReason>) {
        let Some(transaction) = self.remove(id) else { return };
        let Transaction { round: round_id, socket, server, .. } = transaction;
        if let Some(round) = self.rounds.get_mut(&round_id) {
            round.pending -= 1;
            round.answered += usize::from(outcome.is_ok());
        }
        self.events.push_back(match outcome {
            Ok(public) => {
                self.counters.mapped += 1;
                self.servers.answered(now, server, transaction.round_trip(now));
                Event::Mapped { socket, server, public }
            }
            Err(reason) => {
                self.counters.count(reason);
                if reason != FailReason::SocketClosed {
                    self.servers.failed(now, server);
                }
                Event::Failed { socket, server, reason }
            }
        });
        self.close_if_over(round_id);
    }

    fn close_if_over(&mut self, id: RoundId) {
        if self.rounds.get(&id).is_some_and(|round| round.pending == 0)
            && let Some(Round { socket, asked, answered, .. }) = self.rounds.remove(&id)
        {
            self.events.push_back(Event::RoundOver { socket, asked, answered });
        }
    }
}

/// What a client has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A server sees us at an address.
    Mapped {
        /// Through which socket it was asked.
        socket: SocketId,
        /// Who says so. After a redirection this is not one of the servers given.
        server: SocketAddr,
        /// The address: of the server's family, with a port, and one that a host can have.
        public: SocketAddr,
    },
    /// A server did not tell an address.
    Failed {
        /// Through which socket it was asked.
        socket: SocketId,
        /// Who. After a redirection this is not one of the servers given.
        server: SocketAddr,
        /// Why.
        reason: FailReason,
    },
    /// Everyone asked by one [`Client::probe`] has answered or failed.
    RoundOver {
        /// Through which socket.
        socket: SocketId,
        /// How many were asked.
        asked: usize,
        /// How many told an address.
        answered: usize,
    },
}

/// Why a server did not tell an address.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FailReason {
    /// No answer within [`BUDGET`].
    #[error("no answer")]
    Silent,
    /// It answered with that error: of 300 to 699, or 0 if it did not say which.
    #[error("error {0}")]
    Rejected(u16),
    /// It answered with something that has to be understood, and is not (RFC 8489 §6.3.3).
    #[error("an answer that cannot be understood")]
    NotUnderstood,
    /// It answered without an address, or with one that cannot be ours.
    #[error("an answer without a possible address")]
    NoAddress,
    /// The socket is closed.
    #[error("the socket is closed")]
    SocketClosed,
}

/// What happened to a client, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Transactions begun.
    pub requests: u64,
    /// Requests sent again.
    pub retransmissions: u64,
    /// Redirections followed.
    pub redirections: u64,
    /// Addresses told.
    pub mapped: u64,
    /// Transactions without an answer.
    pub silent: u64,
    /// Errors received.
    pub rejected: u64,
    /// Answers that could not be understood.
    pub not_understood: u64,
    /// Answers without a possible address.
    pub no_address: u64,
    /// Transactions given up because their socket was closed.
    pub socket_closed: u64,
    /// Answers dropped that did not come from where the request went: a forgery, or a server with two addresses.
    pub wrong_source: u64,
    /// Answers dropped because their FINGERPRINT or method was wrong.
    pub damaged: u64,
    /// Probes refused because nobody takes the events.
    pub refused: u64,
}

impl Counters {
    fn count(&mut self, reason: FailReason) {
        *match reason {
            FailReason::Silent => &mut self.silent,
            FailReason::Rejected(_) => &mut self.rejected,
            FailReason::NotUnderstood => &mut self.not_understood,
            FailReason::NoAddress => &mut self.no_address,
            FailReason::SocketClosed => &mut self.socket_closed,
        } += 1;
    }
}
