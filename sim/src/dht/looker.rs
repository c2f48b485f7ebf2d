use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use folkmoot_core::base::{Cx, InfoHash, Outbox, Rng, SocketId, SocketInfo, Time, Transmit, UnixTime};
use folkmoot_core::dht::{Config, Dht, Event, Mode};
use folkmoot_core::wire::krpc::{Body, Call, Contact, Message};

use super::ambient::{Ambient, Place};
use super::law::Law;
use super::sample::Sample;
use super::scene::Scene;
use super::walks::{Step, Steps};
use crate::engine::{Draws, EventQueue, Slab, Subject};

/// The production [`Dht`], byte for byte, in an ambient network: it joins, stays, and looks things up.
#[derive(Debug)]
pub struct Looker<'a> {
    scene: Scene<'a>,
    law: Law,
    /// Tells its draws from those of other lookers.
    number: u64,
    addr: SocketAddr,
    now: Time,
    dht: Dht,
    rng: Rng,
    out: Outbox,
    answers: EventQueue<u32>,
    flying: Slab<(SocketAddr, Vec<u8>)>,
    traffic: Traffic,
    /// What is being looked up, if anything is.
    watch: Option<Watch>,
    /// The answers to the last lookup.
    steps: Steps,
    /// The topic of which the machine last said that it is announced, and at how many nodes.
    announced: Option<(InfoHash, usize)>,
    /// Peers of any topic that it told of since somebody last asked.
    heard: Vec<SocketAddr>,
    /// Somebody who has nothing to do with it, and what was sent there all the same.
    bystander: Option<IpAddr>,
    toward: Toward,
}

/// Bytes that a machine sent to somebody who is not part of the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Toward {
    /// In answer to datagrams with that source address.
    pub answers: u64,
    /// Of its own accord.
    pub questions: u64,
}

/// Datagrams of one machine so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Sent.
    pub sent: u64,
    /// Bytes of payload sent.
    pub sent_bytes: u64,
    /// Received.
    pub received: u64,
    /// Bytes of payload received.
    pub received_bytes: u64,
}

/// A lookup, seen from the network.
#[derive(Debug)]
struct Watch {
    topic: InfoHash,
    /// The eight live nodes closest to it: those who hold it.
    holders: Vec<Place>,
    answered: Vec<Place>,
    first: Option<First>,
    questions: u32,
    /// How many answers led to a node.
    hops: BTreeMap<SocketAddr, u32>,
    /// Whether another lookup of the machine's came in between.
    disturbed: bool,
}

/// The answer of the first holder.
#[derive(Clone, Copy, Debug)]
struct First {
    at: Time,
    /// How many answers led to it, its own included.
    hops: u32,
    /// How many questions were asked until then.
    questions: u32,
}

const SOCKET: SocketId = SocketId(0);
const PORT: u16 = 6_881;
/// A member that every holder names.
const PEER: ([u8; 4], u16) = ([81, 2, 69, 142], 6_881);
/// A lookup that takes longer will not end.
const ENDLESS: Duration = Duration::from_secs(120);

impl<'a> Looker<'a> {
    /// A machine that enters the network through three live nodes of it. Nothing was sent yet.
    pub fn new(scene: Scene<'a>, law: Law, number: u64) -> Self {
        Self::with(scene, law, number, Mode::Auto)
    }

    /// The same, of one that answers everybody or nobody.
    pub fn with(scene: Scene<'a>, law: Law, number: u64, mode: Mode) -> Self {
        let addr = SocketAddr::from(([81, 2, (number >> 8) as u8, number as u8], PORT));
        let draws = Draws::new(number ^ 0x100c_0000_0000_0000);
        let (mut rng, mut out) = (Rng::new(draws.bytes(Subject::Entropy(0), number)), Outbox::default());
        let mut cx = Cx { now: Time::ZERO, unix: UnixTime::default(), rng: &mut rng, out: &mut out };
        let dht = Dht::new(Config { mode, ..Config::default() }, &mut cx);
        Self {
            scene,
            law,
            number,
            addr,
            now: Time::ZERO,
            dht,
            rng,
            out,
            answers: EventQueue::new(),
            flying: Slab::new(),
            traffic: Traffic::default(),
            watch: None,
            steps: Steps::default(),
            announced: None,
            heard: Vec::new(),
            bystander: None,
            toward: Toward::default(),
        }
    }

    /// Enters the network.
    pub fn join(&mut self) {
        let hosts = self.ambient().some_live(self.number, 3);
        self.join_by(&hosts);
    }

    /// Enters the network through these.
    pub fn join_by(&mut self, hosts: &[Place]) {
        let hosts: Vec<SocketAddr> = hosts.iter().map(|host| self.ambient().contact(*host).addr).collect();
        let bound = self.addr;
        self.turn(|dht, cx| {
            dht.set_sockets(cx, &[SocketInfo { id: SOCKET, bound, addrs: vec![bound.ip()] }]);
            dht.bootstrap(cx, &hosts);
        });
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        self.run_while(until, |_| true);
    }

    /// Announces a topic, and tells of the lookup that this takes. `None` if another lookup of the machine's, for the
    /// nodes around it, came in between.
    pub fn look_up(&mut self, topic: InfoHash) -> Option<Sample> {
        let holders = self.ambient().closest_live(topic.as_bytes(), super::K);
        let stored = holders.iter().map(|holder| (*holder, vec![PEER.into()])).collect();
        self.scene.stored_mut().insert(topic.0, stored);
        let hops = self.dht.nodes().map(|contact| (contact.addr, 1)).collect();
        let (answered, first, questions) = (Vec::new(), None, 0);
        let disturbed = self.dht.stats().lookups > 0;
        let began = self.now;
        self.steps = Steps::new(began);
        self.watch = Some(Watch { topic, holders, answered, first, questions, hops, disturbed });
        self.turn(|dht, cx| dht.announce(cx, topic));
        self.run_while(began + ENDLESS, |looker| looker.dht.stats().lookups > 0);
        let (watch, end) = (self.watch.take()?, self.now - began);
        // What is announced now has its own time; then a pause, so that no lookup pays for the one before.
        self.run_while(self.now + Duration::from_secs(10), |looker| !looker.has_announced(topic));
        self.dht.forget(topic);
        self.run_for(Duration::from_secs(10));
        self.scene.stored_mut().remove(&topic.0);
        (!watch.disturbed).then(|| Sample {
            first: watch.first.map(|first| first.at - began),
            questions_to_first: watch.first.map_or(watch.questions, |first| first.questions),
            end,
            questions: watch.questions,
            recall: watch.holders.iter().filter(|holder| watch.answered.contains(holder)).count() as u32,
            hops: watch.first.map_or(0, |first| first.hops),
        })
    }

    /// Joins and announces a topic at once. `None` if that takes more than a minute; until when the topic is announced
    /// and eight nodes are known, else.
    pub fn join_and_announce(&mut self, topic: InfoHash) -> Option<Duration> {
        let began = self.now;
        self.join();
        self.turn(|dht, cx| dht.announce(cx, topic));
        let is_in = |looker: &Self| {
            looker.announced.is_some_and(|(of, nodes)| of == topic && nodes > 0)
                && looker.dht.nodes().count() >= super::K
        };
        self.run_while(began + Duration::from_secs(60), |looker| !is_in(looker));
        is_in(self).then(|| self.now - began)
    }

    /// Announces a topic, until that is done or 30 s have passed, and gives the peers of it that it was told of.
    pub fn meet(&mut self, topic: InfoHash) -> Vec<SocketAddr> {
        self.heard.clear();
        self.turn(|dht, cx| dht.announce(cx, topic));
        self.run_while(self.now + Duration::from_secs(30), |looker| !looker.has_announced(topic));
        std::mem::take(&mut self.heard)
    }

    /// Ends what [`Looker::meet`] began, and rests.
    pub fn part(&mut self, topic: InfoHash) {
        self.dht.forget(topic);
        self.announced = None;
        self.run_for(Duration::from_secs(10));
    }

    /// A datagram comes in with this source address, true or not. Returns what is sent there at once.
    pub fn inject(&mut self, from: SocketAddr, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.traffic.received += 1;
        self.traffic.received_bytes += bytes.len() as u64;
        let (now, unix) = (self.now, self.unix());
        let mut cx = Cx { now, unix, rng: &mut self.rng, out: &mut self.out };
        self.dht.handle_datagram(&mut cx, SOCKET, None, from, bytes);
        let mut sent = Vec::new();
        while let Some(transmit) = self.out.pop() {
            self.transmit(&transmit);
            if transmit.to == from {
                sent.push(transmit.bytes);
            }
        }
        self.turn(|_, _| ());
        sent
    }

    /// From now on counts what is sent to somebody.
    pub fn mind(&mut self, bystander: IpAddr) {
        (self.bystander, self.toward) = (Some(bystander), Toward::default());
    }

    /// What was sent there.
    pub fn toward(&self) -> Toward {
        self.toward
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The answers to the last [`Looker::look_up`].
    pub fn steps(&self) -> &[Step] {
        self.steps.taken()
    }

    fn has_announced(&self, topic: InfoHash) -> bool {
        self.announced.is_some_and(|(of, _)| of == topic)
    }

    /// The nodes in its routing table, as others would have to be told of them.
    pub fn known(&self) -> Vec<Place> {
        self.dht.nodes().filter_map(|contact| self.ambient().find(contact.addr)).collect()
    }

    /// The network that it is in.
    pub fn scene_mut(&mut self) -> &mut Scene<'a> {
        &mut self.scene
    }

    fn ambient(&self) -> &'a Ambient {
        self.scene.ambient()
    }

    /// The machine.
    pub fn dht(&self) -> &Dht {
        &self.dht
    }

    /// Its datagrams so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// The moment.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Handles what is due until then, for as long as a condition holds.
    fn run_while(&mut self, until: Time, goes_on: impl Fn(&Self) -> bool) {
        while goes_on(self) {
            let answer = self.answers.next_at();
            let wake = self.dht.next_wake().map(|wake| wake.at.max(self.now));
            let next = answer.into_iter().chain(wake).min();
            let Some(at) = next.filter(|at| *at <= until) else {
                self.now = self.now.max(until);
                return;
            };
            self.now = at;
            if answer == next {
                self.receive();
            } else {
                self.turn(|dht, cx| dht.on_wake(cx));
                let wake = self.dht.next_wake();
                assert!(wake.is_none_or(|wake| wake.at > at), "a hot loop at {at}: {wake:?}");
            }
        }
    }

    /// The next answer arrives.
    fn receive(&mut self) {
        let Some((_, handle)) = self.answers.pop() else { return };
        let Some((from, bytes)) = self.flying.remove(handle) else { return };
        self.traffic.received += 1;
        self.traffic.received_bytes += bytes.len() as u64;
        self.observe_answer(from, &bytes);
        self.turn(|dht, cx| dht.handle_datagram(cx, SOCKET, None, from, &bytes));
    }

    fn turn(&mut self, call: impl FnOnce(&mut Dht, &mut Cx<'_>)) {
        let unix = self.unix();
        call(&mut self.dht, &mut Cx { now: self.now, unix, rng: &mut self.rng, out: &mut self.out });
        while let Some(event) = self.dht.pop_event() {
            match event {
                Event::Announced { topic, nodes } => self.announced = Some((topic, nodes)),
                Event::NotAnnounced { topic } => self.announced = Some((topic, 0)),
                Event::Peers { peers, .. } => self.heard.extend(peers),
                _ => {}
            }
        }
        while let Some(transmit) = self.out.pop() {
            self.transmit(&transmit);
        }
    }

    /// Noon of 2026-01-15 UTC, and so long after.
    fn unix(&self) -> UnixTime {
        UnixTime::from_millis(1_768_478_400_000) + self.now.saturating_since(Time::ZERO)
    }

    /// A datagram leaves. The answer to it, if there is to be one, is made at once and arrives after the round trip.
    fn transmit(&mut self, transmit: &Transmit) {
        let index = self.number << 40 | self.traffic.sent << 1;
        self.traffic.sent += 1;
        self.traffic.sent_bytes += transmit.bytes.len() as u64;
        self.observe_question(transmit.to, &transmit.bytes);
        if self.bystander == Some(transmit.to.ip()) {
            let is_question =
                matches!(Message::parse(&transmit.bytes), Ok(Message { body: Body::Query(_), .. }));
            let sum = if is_question { &mut self.toward.questions } else { &mut self.toward.answers };
            *sum += transmit.bytes.len() as u64;
        }
        if self.law.loses(index) {
            return;
        }
        let Some(reply) = self.scene.respond(transmit.to, self.addr, &transmit.bytes) else { return };
        if !self.law.loses(index | 1) {
            let rtt = self.law.rtt(self.number, reply.number);
            let handle = self.flying.insert((transmit.to, reply.bytes));
            self.answers.push(self.now + rtt, handle);
        }
    }

    fn observe_question(&mut self, to: SocketAddr, bytes: &[u8]) {
        let own = self.dht.id(true);
        let Some(watch) = &mut self.watch else { return };
        let Ok(Message { body: Body::Query(query), .. }) = Message::parse(bytes) else { return };
        match query.call {
            Call::GetPeers { info_hash, .. } if info_hash == watch.topic => {
                watch.questions += 1;
                self.steps.asked(to, self.now);
            }
            Call::FindNode { target, .. } if target == own => watch.disturbed = true,
            _ => {}
        }
    }

    fn observe_answer(&mut self, from: SocketAddr, bytes: &[u8]) {
        let Some(watch) = &mut self.watch else { return };
        let Ok(Message { body: Body::Response(response), .. }) = Message::parse(bytes) else { return };
        // A token comes with an answer to `get_peers`, and the only such question is for the topic.
        if response.token.is_none() {
            return;
        }
        let hops = watch.hops.get(&from).copied().unwrap_or(1);
        for Contact { addr, .. } in response.contacts() {
            watch.hops.entry(addr).or_insert(hops + 1);
        }
        let shared = shared_bits(response.id.as_bytes(), watch.topic.as_bytes());
        self.steps.answered(from, self.now, shared);
        if let Some(place) = self.scene.ambient().find(from) {
            watch.answered.push(place);
            if watch.first.is_none() && watch.holders.contains(&place) {
                watch.first = Some(First { at: self.now, hops, questions: watch.questions });
            }
        }
    }
}

/// How many leading bits two ids share.
fn shared_bits(a: &[u8; 20], b: &[u8; 20]) -> u32 {
    let bits = |byte: usize| (a[byte] ^ b[byte]).leading_zeros();
    let same = (0..a.len()).take_while(|byte| bits(*byte) == 8).count();
    8 * same as u32 + if same < a.len() { bits(same) } else { 0 }
}
