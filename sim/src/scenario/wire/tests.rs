use std::collections::BTreeSet;

use folkmoot_core::base::{Time, Wake};
use folkmoot_core::wire::stun::{Builder, TransactionId};

use super::*;
use crate::engine::{Host, HostCx, World};
use crate::net::{Law, LinkRules, RealmId};

/// Answers whatever comes with `answer`, and sends `first` to `to` in the beginning, so often.
struct Program {
    answer: Vec<u8>,
    first: Vec<u8>,
    to: Option<SocketAddr>,
    times: usize,
}

impl Host for Program {
    fn start(&mut self, cx: &mut HostCx<'_>) {
        for to in self.to.iter().cycle().take(if self.to.is_some() { self.times } else { 0 }) {
            cx.send((cx.addr(), 1).into(), *to, self.first.clone());
        }
    }

    fn handle_datagram(&mut self, cx: &mut HostCx<'_>, to: SocketAddr, from: SocketAddr, _: &[u8]) {
        if !self.answer.is_empty() {
            cx.send(to, from, self.answer.clone());
        }
    }

    fn on_wake(&mut self, _: &mut HostCx<'_>) {}

    fn next_wake(&self) -> Option<Wake> {
        None
    }
}

/// What a watch over both says of one that sends and one that answers.
fn broken(tier: Tier, first: &[u8], times: usize, answer: &[u8]) -> Vec<Property> {
    let mut world = World::new(1);
    let link = LinkRules::both(Law::delay(5));
    let (a, b) = (world.add_host("a", RealmId::INTERNET, link), world.add_host("b", RealmId::INTERNET, link));
    let mut secrets = Secrets::default();
    secrets.add("the code", b"acid-tulip-seven");
    world.set_watch(Wire::new(BTreeSet::from([a, b]), secrets, tier));
    let to = Some((world.addrs(b)[0], 1).into());
    world.start(b, Program { answer: answer.into(), first: Vec::new(), to: None, times: 0 });
    world.start(a, Program { answer: Vec::new(), first: first.into(), to, times });
    world.run_until(Time::from_millis(1_000));
    let wire = world.take_watch::<Wire>().unwrap();
    wire.problems.iter().map(|problem| problem.property).collect()
}

const QUERY: &[u8] = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";

/// An answer of some 40 bytes and what `padding` says.
fn answer(padding: usize) -> Vec<u8> {
    let padding = "x".repeat(padding);
    format!("d1:rd2:id20:abcdefghij01234567891:z{}:{padding}e1:t2:aa1:y1:re", padding.len()).into_bytes()
}

#[test]
fn secrets_in_the_clear_are_seen() {
    let dtls = b"\x16the code is acid-tulip-seven";
    assert_eq!(broken(Tier::Real, b"d4:codeacid-tulip-seven", 1, b""), [Property::Secret]);
    assert_eq!(broken(Tier::Stub, b"d4:codeacid-tulip-seven", 1, b""), [Property::Secret]);
    assert_eq!(broken(Tier::Real, dtls, 1, b""), [Property::Secret]);
    assert_eq!(broken(Tier::Stub, dtls, 1, b""), [], "the stand-in hides nothing");
    assert_eq!(broken(Tier::Real, b"d4:codesomething-else", 1, b""), []);
}

#[test]
fn long_answers_to_anybody_are_seen() {
    assert_eq!(broken(Tier::Real, QUERY, 1, &answer(100)), []);
    assert_eq!(broken(Tier::Real, QUERY, 1, &answer(300)), [Property::Amplify]);
    // Whoever answered something is where it says it is.
    assert_eq!(broken(Tier::Real, &answer(1), 1, &answer(300)), []);
}

/// From whichever port, and no other address.
#[test]
fn who_gives_a_token_back_receives_answers() {
    let host = HostId(0);
    let problem = |returned_by: &str, token: &str| {
        let mut answers = Answers::default();
        answers.delivered(host, "192.0.2.1:1".parse().unwrap(), QUERY);
        let given = b"d1:rd2:id20:abcdefghij01234567895:token2:tte1:t2:aa1:y1:re";
        answers.sent(Time::ZERO, host, "192.0.2.1:1".parse().unwrap(), given);
        let id = "abcdefghij0123456789";
        let announce = format!(
            "d1:ad2:id20:{id}9:info_hash20:{id}4:porti1e5:token2:{token}e1:q13:announce_peer1:t2:aa1:y1:qe"
        );
        answers.delivered(host, returned_by.parse().unwrap(), announce.as_bytes());
        let asks = "192.0.2.1:3".parse().unwrap();
        answers.delivered(host, asks, QUERY);
        answers.sent(Time::ZERO, host, asks, &answer(300)).map(|(property, _)| property)
    };
    assert_eq!(problem("192.0.2.1:2", "tt"), None);
    assert_eq!(problem("192.0.2.1:2", "uu"), Some(Property::Amplify));
    assert_eq!(problem("192.0.2.2:2", "tt"), Some(Property::Amplify));
}

/// A machine that gets another address in its /64 is who it was; a neighbour's network is not.
#[test]
fn who_answers_receives_answers_in_all_its_network() {
    let host = HostId(0);
    let problem = |asks: &str| {
        let (mut answers, asks) = (Answers::default(), asks.parse().unwrap());
        answers.delivered(host, "[2001:db8::1]:1".parse().unwrap(), &answer(1));
        answers.delivered(host, asks, QUERY);
        answers.sent(Time::ZERO, host, asks, &answer(300)).map(|(property, _)| property)
    };
    assert_eq!(problem("[2001:db8::2]:2"), None);
    assert_eq!(problem("[2001:db8:0:1::1]:1"), Some(Property::Amplify));
}

#[test]
fn shouting_at_who_is_silent_is_seen() {
    assert_eq!(broken(Tier::Real, QUERY, 300, b""), []);
    assert_eq!(broken(Tier::Real, QUERY, 601, b""), [Property::Unheard]);
}

/// Behind a NAT whose mapping depends on the destination one answers from another port than it is asked at.
#[test]
fn who_answers_a_check_from_another_port_is_not_silent() {
    let (host, asked, answering) = (HostId(0), ([192, 0, 2, 1], 1).into(), ([192, 0, 2, 1], 2).into());
    let problem = |answered: &[u8]| {
        let mut answers = Answers::default();
        answers.sent(Time::ZERO, host, asked, &Builder::binding_request(TransactionId([1; 12])).finish());
        answers.delivered(host, answering, answered);
        (0..600).find_map(|_| answers.sent(Time::ZERO, host, asked, QUERY)).map(|(property, _)| property)
    };
    assert_eq!(problem(&Builder::binding_success(TransactionId([1; 12])).finish()), None);
    assert_eq!(problem(&Builder::binding_success(TransactionId([2; 12])).finish()), Some(Property::Unheard));
    assert_eq!(problem(&Builder::binding_request(TransactionId([1; 12])).finish()), Some(Property::Unheard));
    assert_eq!(problem(&answer(1)), Some(Property::Unheard));
}
