use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use folkmoot_core::base::Scope;
use folkmoot_core::wire::demux::{Kind, classify};
use folkmoot_core::wire::krpc::{self, Body, Call, Query};
use folkmoot_core::wire::stun::{Class, Message, TransactionId};

use crate::engine::HostId;
use crate::scenario::Property;

/// Who sends how much to whom for what: that nobody can have a node shout at a third party.
#[derive(Debug, Default)]
pub(super) struct Answers {
    talks: BTreeMap<(HostId, SocketAddr), Talk>,
    /// The checks that went to addresses nothing came from yet.
    checks: BTreeMap<(HostId, TransactionId), SocketAddr>,
    /// Addresses that receive what is sent to them, for they answered a run of a program, or gave back a token. From whichever
    /// port: a NAT gives one host many, and what proves an address proves all of them, as a token of QUIC does (RFC 9000 §8.1.3).
    receiving: BTreeSet<(HostId, IpAddr)>,
    /// The write tokens that were given to an address.
    tokens: BTreeSet<(HostId, IpAddr, Vec<u8>)>,
}

/// What passed between a run of a program and an address.
#[derive(Clone, Copy, Debug, Default)]
struct Talk {
    heard: u64,
    answered: u64,
    /// Packets to an address that nothing came from yet, and that answered nothing.
    unheard: u32,
    /// It answered something. A NAT whose mapping depends on the destination sends the answer
    /// to a check from another port than the check came to; that nobody else could have known the transaction tells whose it is.
    proven: bool,
    told: bool,
}

/// Bytes of answers for each byte that came from an unproven address, in tenths: the answer to a query of the DHT with contacts of
/// both families is the largest.
const ANSWER_TENTHS: u64 = 35;

/// Packets to an address that nothing ever came from and that answered no check, in one run of a node: a knock or query with its repetitions, again whenever
/// somebody names it anew, and the checks of a link that is tried and retried for as long as a member says that it is there.
const UNHEARD: u32 = 600;

impl Answers {
    pub(super) fn forget(&mut self, host: HostId) {
        let last = SocketAddr::from(([0xff; 16], u16::MAX));
        let first = SocketAddr::from(([0; 4], 0));
        let gone: Vec<_> = self.talks.range((host, first)..=(host, last)).map(|(pair, _)| *pair).collect();
        for pair in gone {
            self.talks.remove(&pair);
        }
        self.checks.retain(|(by, _), _| *by != host);
        self.receiving.retain(|(by, _)| *by != host);
        self.tokens.retain(|(by, ..)| *by != host);
    }

    pub(super) fn sent(&mut self, host: HostId, to: SocketAddr, bytes: &[u8]) -> Option<(Property, String)> {
        if let Some(Token::Given(token)) = token(bytes) {
            self.tokens.insert((host, to.ip(), token));
        }
        let talk = self.talks.entry((host, to)).or_default();
        let count = bytes.len() as u64;
        let problem = if talk.heard == 0 && !talk.proven {
            talk.unheard += 1;
            if let Some(id) = transaction(bytes, |class| class == Class::Request) {
                self.checks.insert((host, id), to);
            }
            let n = talk.unheard;
            (n > UNHEARD).then(|| (Property::Unheard, format!("{n} packets to {to}, which never sent any")))
        } else if is_answer(bytes)
            && !self.receiving.contains(&(host, to.ip()))
            && !Scope::of(to.ip()).is_local()
        {
            talk.answered += count;
            let (answered, heard) = (talk.answered, talk.heard);
            let is_too_much = answered * 10 > heard * ANSWER_TENTHS;
            is_too_much.then(|| {
                let what = format!(
                    "answered {heard} bytes of {to} with {answered}, though it may be anybody's address"
                );
                (Property::Amplify, what)
            })
        } else {
            None
        };
        problem.filter(|_| !std::mem::replace(&mut talk.told, true))
    }

    pub(super) fn delivered(&mut self, host: HostId, from: SocketAddr, bytes: &[u8]) {
        let talk = self.talks.entry((host, from)).or_default();
        talk.heard += bytes.len() as u64;
        talk.proven |= is_answer(bytes) || classify(bytes) == Kind::Dtls;
        let returns = match token(bytes) {
            Some(Token::Returned(token)) => self.tokens.contains(&(host, from.ip(), token)),
            _ => false,
        };
        if talk.proven || returns {
            self.receiving.insert((host, from.ip()));
        }
        let id = transaction(bytes, |class| class == Class::Success);
        if let Some(asked) = id.and_then(|id| self.checks.remove(&(host, id))) {
            self.talks.entry((host, asked)).or_default().proven = true;
        }
    }
}

/// The transaction of a STUN message of such a class.
fn transaction(bytes: &[u8], such: impl Fn(Class) -> bool) -> Option<TransactionId> {
    let message = Message::parse(bytes).ok().filter(|_| classify(bytes) == Kind::Stun)?;
    such(message.class()).then(|| message.transaction_id())
}

/// A write token (BEP 5, 44), and which way it goes.
enum Token {
    Given(Vec<u8>),
    Returned(Vec<u8>),
}

fn token(bytes: &[u8]) -> Option<Token> {
    let message = krpc::Message::parse(bytes).ok().filter(|_| classify(bytes) == Kind::Krpc)?;
    match message.body {
        Body::Response(response) => Some(Token::Given(response.token?.to_vec())),
        Body::Query(Query { call: Call::AnnouncePeer { token, .. } | Call::Put { token, .. }, .. }) => {
            Some(Token::Returned(token.to_vec()))
        }
        Body::Query(_) | Body::Error(_) => None,
    }
}

/// Whether it answers something that was asked.
fn is_answer(bytes: &[u8]) -> bool {
    match classify(bytes) {
        Kind::Krpc => krpc::Message::parse(bytes).is_ok_and(|it| !matches!(it.body, Body::Query(_))),
        Kind::Stun => {
            Message::parse(bytes).is_ok_and(|it| matches!(it.class(), Class::Success | Class::Error))
        }
        Kind::Dtls | Kind::ChannelData | Kind::Unknown => false,
    }
}
