use std::collections::BTreeMap;
use std::net::SocketAddr;

use folkmoot_core::base::Scope;
use folkmoot_core::wire::demux::{Kind, classify};
use folkmoot_core::wire::krpc::{self, Body};
use folkmoot_core::wire::stun::{Class, Message};

use crate::engine::HostId;
use crate::scenario::Property;

/// Who sends how much to whom for what: that nobody can have a node shout at a third party.
#[derive(Debug, Default)]
pub(super) struct Answers {
    talks: BTreeMap<(HostId, SocketAddr), Talk>,
}

/// What passed between a run of a program and an address.
#[derive(Clone, Copy, Debug, Default)]
struct Talk {
    heard: u64,
    answered: u64,
    /// Packets to an address that nothing came from yet.
    unheard: u32,
    /// It answered something, so that it is where it says it is.
    proven: bool,
    told: bool,
}

/// Bytes of answers for each byte that came from an unproven address, in tenths: the answer to a query of the DHT with contacts of
/// both families is the largest.
const ANSWER_TENTHS: u64 = 35;

/// Packets to an address that nothing ever came from, in one run of a node: a knock or query with its repetitions, again whenever
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
    }

    pub(super) fn sent(&mut self, host: HostId, to: SocketAddr, bytes: &[u8]) -> Option<(Property, String)> {
        let talk = self.talks.entry((host, to)).or_default();
        let count = bytes.len() as u64;
        let problem = if talk.heard == 0 {
            talk.unheard += 1;
            let n = talk.unheard;
            (n > UNHEARD).then(|| (Property::Unheard, format!("{n} packets to {to}, which never sent any")))
        } else if !talk.proven && is_answer(bytes) && !Scope::of(to.ip()).is_local() {
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
