use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use folkmoot_core::base::{Scope, Time};
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
    /// Of IPv6 from whichever address of its /64: that is one subscriber's, who has others there at will (RFC 4941), so that
    /// nobody but the asker's own network could be shouted at.
    receiving: BTreeSet<(HostId, IpAddr)>,
    /// The write tokens that were given to an address.
    tokens: BTreeSet<(HostId, IpAddr, Vec<u8>)>,
}

/// What passed between a run of a program and an address.
#[derive(Clone, Copy, Debug, Default)]
struct Talk {
    heard: u64,
    answered: u64,
    /// Packets to an address that nothing came from yet, and that answered nothing, since a moment.
    unheard: u32,
    since: Time,
    /// It answered something. A NAT whose mapping depends on the destination sends the answer
    /// to a check from another port than the check came to; that nobody else could have known the transaction tells whose it is.
    proven: bool,
    /// Its host is noted as one that receives what is sent to it.
    receives: bool,
    told: bool,
}

/// Bytes of answers for each byte that came from an unproven address, in tenths: the answer to a query of the DHT with contacts of
/// both families is the largest.
const ANSWER_TENTHS: u64 = 35;

/// Packets to an address that nothing ever came from and that answered no check, in [`SPAN`] of one run of a node: a knock or query with its repetitions,
/// again whenever somebody names it anew, and the checks of a link that is tried and retried for as long as a member says that it is there.
const UNHEARD: u32 = 600;

/// What is an outrage in ten minutes need be none in a day.
const SPAN: Duration = Duration::from_secs(600);

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

    pub(super) fn sent(
        &mut self,
        at: Time,
        host: HostId,
        to: SocketAddr,
        bytes: &[u8],
    ) -> Option<(Property, String)> {
        let packet = Packet::read(bytes);
        if let Some(Token::Given(token)) = packet.token() {
            self.tokens.insert((host, to.ip(), token.to_vec()));
        }
        let talk = self.talks.entry((host, to)).or_default();
        let count = bytes.len() as u64;
        let problem = if talk.heard == 0 && !talk.proven {
            if at - talk.since >= SPAN {
                (talk.unheard, talk.since) = (0, at);
            }
            talk.unheard += 1;
            if let Packet::Stun(Class::Request, id) = packet {
                self.checks.insert((host, id), to);
            }
            let n = talk.unheard;
            (n > UNHEARD).then(|| (Property::Unheard, format!("{n} packets to {to}, which never sent any")))
        } else if packet.is_answer()
            && !self.receiving.contains(&(host, subscriber(to.ip())))
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
        let packet = Packet::read(bytes);
        let talk = self.talks.entry((host, from)).or_default();
        talk.heard += bytes.len() as u64;
        talk.proven |= packet.is_answer() || matches!(packet, Packet::Dtls);
        let returns = match packet.token() {
            Some(Token::Returned(token)) => self.tokens.contains(&(host, from.ip(), token.to_vec())),
            _ => false,
        };
        if (talk.proven || returns) && !std::mem::replace(&mut talk.receives, true) {
            self.receiving.insert((host, subscriber(from.ip())));
        }
        if let Packet::Stun(Class::Success, id) = packet
            && let Some(asked) = self.checks.remove(&(host, id))
        {
            self.talks.entry((host, asked)).or_default().proven = true;
        }
    }
}

/// What stands for all addresses that one subscriber has: the /64 of an IPv6 address, and an IPv4 address itself.
fn subscriber(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

/// A packet as far as it matters here.
enum Packet<'a> {
    Stun(Class, TransactionId),
    Krpc {
        is_answer: bool,
        token: Option<Token<'a>>,
    },
    Dtls,
    /// Something else, or something damaged.
    Other,
}

/// A write token (BEP 5, 44), and which way it goes.
#[derive(Clone, Copy)]
enum Token<'a> {
    Given(&'a [u8]),
    Returned(&'a [u8]),
}

impl<'a> Packet<'a> {
    fn read(bytes: &'a [u8]) -> Self {
        match classify(bytes) {
            Kind::Stun => match Message::parse(bytes) {
                Ok(message) => Self::Stun(message.class(), message.transaction_id()),
                Err(_) => Self::Other,
            },
            Kind::Krpc => match krpc::Message::parse(bytes) {
                Ok(message) => Self::Krpc {
                    is_answer: !matches!(message.body, Body::Query(_)),
                    token: Token::of(&message.body),
                },
                Err(_) => Self::Other,
            },
            Kind::Dtls => Self::Dtls,
            Kind::ChannelData | Kind::Unknown => Self::Other,
        }
    }

    /// Whether it answers something that was asked.
    fn is_answer(&self) -> bool {
        match self {
            Self::Stun(class, _) => matches!(class, Class::Success | Class::Error),
            Self::Krpc { is_answer, .. } => *is_answer,
            Self::Dtls | Self::Other => false,
        }
    }

    fn token(&self) -> Option<Token<'a>> {
        match self {
            Self::Krpc { token, .. } => *token,
            Self::Stun(..) | Self::Dtls | Self::Other => None,
        }
    }
}

impl<'a> Token<'a> {
    fn of(body: &Body<'a>) -> Option<Self> {
        match body {
            Body::Response(response) => response.token.map(Self::Given),
            Body::Query(Query {
                call: Call::AnnouncePeer { token, .. } | Call::Put { token, .. }, ..
            }) => Some(Self::Returned(token)),
            Body::Query(_) | Body::Error(_) => None,
        }
    }
}
