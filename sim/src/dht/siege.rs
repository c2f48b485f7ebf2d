use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use folkmoot_core::base::{InfoHash, NodeId};
use folkmoot_core::dht::Mode;
use folkmoot_core::wire::krpc::{Body, Call, Capabilities, Message, Query};

use super::ambient::Ambient;
use super::law::Law;
use super::looker::{Looker, Toward};
use super::scene::Scene;
use crate::engine::{Chance, Draws, Subject};

/// What floods did to a production machine that serves everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Siege {
    /// Questions in the name of a bystander: bytes of them, and what the bystander got.
    pub spoofed_bytes: u64,
    /// See [`Siege::spoofed_bytes`].
    pub reflected: Toward,
    /// Questions in the names of strangers, everyone another.
    pub strangers: u64,
    /// Bytes of these.
    pub strangers_bytes: u64,
    /// Bytes sent during that flood and for five minutes after it, answers and all else.
    pub strangers_sent: u64,
    /// Questions of somebody honest during that flood, and how many were answered.
    pub honest: (u64, u64),
    /// The same, of nodes that it knows.
    pub known: (u64, u64),
    /// Answers with guessed transaction ids, and how many were believed.
    pub guessed: (u64, u64),
    /// Announcements with tokens not given for that address, topic and time, and how many were accepted.
    pub forged: (u64, u64),
    /// Announcements with the right token, and how many were accepted: so that the above means something.
    pub rightful: (u64, u64),
    /// A flood of announcements of any topics, to fill the storage; and then one of topics next to the machine's id.
    pub stuffed: [Stuffed; 2],
    /// Bytes of the machine before, and the most during any of this.
    pub memory: (usize, usize),
}

/// What a flood of announcements did, from everywhere and with valid tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stuffed {
    /// Its announcements, and how many were accepted.
    pub announced: (u64, u64),
    /// Topics and peers stored at the end of it.
    pub stored: (usize, usize),
    /// Members who announced before it, where announcements of their topics go, and how many of them were still named after it.
    pub before: (u64, u64),
    /// Members who did so after it, and how many were named.
    pub after: (u64, u64),
    /// The same, of members who announced where announcements of their topics do not go.
    pub elsewhere: (u64, u64),
}

/// Meetings of five that announce before and after a flood.
const MEETINGS: usize = 10;

/// So far from a node belong the topics of which it is one of the eight closest of 15,000 live nodes, in the first 64 bits.
const NEAR: u64 = u64::MAX / 15_000 * 8;

const DRAW: Subject = Subject::Scenario(0x51e6);

/// A machine and those who besiege it.
struct Besieged<'a> {
    machine: Looker<'a>,
    draws: Draws,
    drawn: u64,
    siege: Siege,
}

/// Lets all floods go over one machine that is part of a network of 20,000 nodes.
pub fn besiege(seed: u64) -> Siege {
    let ambient = Ambient::new(seed, 20_000, Chance::percent(25));
    let mut machine = Looker::with(Scene::peaceful(&ambient), Law::new(seed), 7, Mode::Server);
    machine.join();
    machine.run_for(Duration::from_secs(600));
    let memory = machine.dht().footprint();
    let siege = Siege { memory: (memory, memory), ..Siege::default() };
    let mut besieged = Besieged { machine, draws: Draws::new(seed), drawn: 0, siege };
    besieged.spoofed();
    besieged.strangers();
    besieged.guessed();
    besieged.forged();
    besieged.siege.stuffed = [u64::MAX, NEAR / 100].map(|within| besieged.stuffed(within));
    besieged.siege
}

impl Besieged<'_> {
    /// 500 questions a second in the name of one bystander, for a minute; then five more minutes.
    fn spoofed(&mut self) {
        let bystander = IpAddr::from([193, 0, 14, 129]);
        self.machine.mind(bystander);
        for _ in 0..30_000 {
            let from = SocketAddr::new(bystander, 1_024 + self.draw() as u16 % 60_000);
            let question = self.question();
            self.siege.spoofed_bytes += question.len() as u64;
            self.machine.inject(from, &question);
            self.pass(Duration::from_millis(2));
        }
        self.pass(Duration::from_secs(300));
        self.siege.reflected = self.machine.toward();
    }

    /// 4,000 questions a second, each in the name of somebody else, for 15 s, while somebody honest asks ten times a
    /// second, and so do nodes that it knows; then five more minutes.
    fn strangers(&mut self) {
        let before = self.machine.traffic().sent_bytes;
        let honest = SocketAddr::from(([62, 1, 2, 3], 6_881));
        let known: Vec<SocketAddr> = self.machine.dht().nodes().map(|contact| contact.addr).collect();
        for number in 0..60_000u64 {
            let (from, question) = (self.stranger(), self.question());
            self.siege.strangers += 1;
            self.siege.strangers_bytes += question.len() as u64;
            self.machine.inject(from, &question);
            if number % 400 == 0 {
                // At any moment, not always right behind a question of the flood.
                let early = Duration::from_micros(self.draw() % 250);
                self.pass(early);
                let answers = self.machine.inject(honest, &ask(Call::Ping, 1));
                self.siege.honest.0 += 1;
                self.siege.honest.1 += u64::from(!answers.is_empty());
                if let Some(from) = known.get(number as usize / 400 % known.len().max(1)) {
                    self.siege.known.0 += 1;
                    let answers = self.machine.inject(*from, &ask(Call::Ping, 1));
                    self.siege.known.1 += u64::from(!answers.is_empty());
                }
            }
            self.pass(Duration::from_micros(250));
        }
        self.pass(Duration::from_secs(300));
        self.siege.strangers_sent = self.machine.traffic().sent_bytes - before;
    }

    /// Answers to questions under way, by somebody who knows who was asked and can forge addresses, but not read.
    fn guessed(&mut self) {
        let known: Vec<SocketAddr> = self.machine.dht().nodes().map(|contact| contact.addr).collect();
        let before = self.machine.dht().stats().counters.responses;
        let arrived = self.machine.traffic().received;
        for index in 0..50_000 {
            let from = known.get(index % known.len().max(1)).copied().unwrap_or(([62, 0, 0, 1], 1).into());
            let tid = (self.draw() as u32).to_be_bytes();
            let id = NodeId([self.draw() as u8; 20]);
            let response = folkmoot_core::wire::krpc::Response { id, ..Default::default() };
            let body = Body::Response(response);
            let bytes = Message { tid: &tid, version: None, capabilities: Capabilities::NONE, body }.encode();
            self.machine.inject(from, &bytes);
            self.siege.guessed.0 += 1;
            self.pass(Duration::from_millis(2));
        }
        // Whatever was answered rightly in that time came through the network.
        let rightly = self.machine.traffic().received - arrived - self.siege.guessed.0;
        let responses = self.machine.dht().stats().counters.responses - before;
        self.siege.guessed.1 = responses.saturating_sub(rightly);
    }

    fn forged(&mut self) {
        let topic = self.topic();
        let at = |last: u8| SocketAddr::from(([62, 77, 5, last], 6_881));
        // Three addresses of one's own, of which the victim's is the exclusive or: where the token is a linear
        // checksum of the address, so is the victim's token of the three tokens.
        let (own, victim) = ([at(1), at(2), at(4)], at(1 ^ 2 ^ 4));
        for round in 0..200 {
            let tokens = own.map(|addr| self.token(addr, topic));
            let mut xor = tokens[0].clone();
            for (byte, at) in xor.iter_mut().zip(0..) {
                *byte ^= tokens[1].get(at).copied().unwrap_or(0) ^ tokens[2].get(at).copied().unwrap_or(0);
            }
            let random: Vec<u8> = (0..tokens[0].len()).map(|_| self.draw() as u8).collect();
            let mut flipped = tokens[0].clone();
            if let Some(byte) = flipped.get_mut(round % tokens[0].len().max(1)) {
                *byte ^= 1 << (round % 8);
            }
            let short = tokens[0].get(..4).unwrap_or_default().to_vec();
            let elsewhere = self.topic();
            for (from, of, token) in [
                (victim, topic, &xor),
                (victim, topic, &random),
                (victim, topic, &tokens[0]),
                (own[0], elsewhere, &tokens[0]),
                (own[0], topic, &flipped),
                (own[0], topic, &short),
                (own[0], topic, &Vec::new()),
            ] {
                self.siege.forged.0 += 1;
                self.siege.forged.1 += u64::from(self.announce(from, of, token));
                self.pass(Duration::from_millis(500));
            }
            self.siege.rightful.0 += 1;
            self.siege.rightful.1 += u64::from(self.announce(own[0], topic, &tokens[0]));
            self.pass(Duration::from_secs(2));
        }
        // One that is too old.
        let token = self.token(own[0], topic);
        self.pass(Duration::from_secs(601));
        self.siege.forged.0 += 1;
        self.siege.forged.1 += u64::from(self.announce(own[0], topic, &token));
    }

    /// Meetings announce; then somebody with 40,000 addresses announces a topic of its own from each and one that all share,
    /// 500 a second, no farther than `within` from the machine; then other meetings announce.
    fn stuffed(&mut self, within: u64) -> Stuffed {
        let mut stuffed = Stuffed::default();
        let before = self.meetings(NEAR);
        let shared = self.topic_within(within);
        for number in 0..40_000 {
            let (from, topic) =
                (self.stranger(), if number % 4 == 0 { shared } else { self.topic_within(within) });
            let token = self.token(from, topic);
            stuffed.announced.0 += 1;
            stuffed.announced.1 += u64::from(self.announce(from, topic, &token));
            self.pass(Duration::from_millis(2));
        }
        let stats = self.machine.dht().stats();
        stuffed.stored = (stats.stored_topics, stats.stored_peers);
        stuffed.before = self.named(&before);
        let (after, elsewhere) = (self.meetings(NEAR), self.meetings(u64::MAX));
        (stuffed.after, stuffed.elsewhere) = (self.named(&after), self.named(&elsewhere));
        stuffed
    }

    /// Meetings whose five members announce within some seconds: topics no farther than `within`, and members.
    fn meetings(&mut self, within: u64) -> Vec<(InfoHash, SocketAddr)> {
        let topics: Vec<InfoHash> = (0..MEETINGS).map(|_| self.topic_within(within)).collect();
        let mut announced = Vec::new();
        for number in 0..5 * MEETINGS {
            let (from, topic) = (self.stranger(), topics[number % MEETINGS]);
            let token = self.token(from, topic);
            self.announce(from, topic, &token);
            announced.push((topic, from));
            self.pass(Duration::from_millis(100));
        }
        announced
    }

    /// How many of these there are, and how many of them the machine names to somebody who asks.
    fn named(&mut self, members: &[(InfoHash, SocketAddr)]) -> (u64, u64) {
        let mut named = 0;
        for &(info_hash, member) in members {
            // From its own network, so that the answer has no limit but its size.
            let asker = SocketAddr::from(([192, 168, 1, 77], 7_000));
            let call = Call::GetPeers { info_hash, want: None, scrape: false };
            let answers = self.machine.inject(asker, &ask(call, 6));
            named += u64::from(answers.iter().any(|answer| match Message::parse(answer) {
                Ok(Message { body: Body::Response(response), .. }) => {
                    response.peers().any(|peer| peer == member)
                }
                _ => false,
            }));
        }
        (members.len() as u64, named)
    }

    /// A topic that is no farther than this from the machine's id, in the first 64 bits.
    fn topic_within(&mut self, distance: u64) -> InfoHash {
        let mut topic = InfoHash(self.machine.dht().id(true).0);
        let differs = (self.draw() % distance).to_be_bytes();
        topic.0.iter_mut().zip(differs).for_each(|(byte, differs)| *byte ^= differs);
        topic
    }

    fn pass(&mut self, time: Duration) {
        self.machine.run_for(time);
        self.siege.memory.1 = self.siege.memory.1.max(self.machine.dht().footprint());
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.draws.at(DRAW, self.drawn)
    }

    fn topic(&mut self) -> InfoHash {
        let mut topic = InfoHash([0; 20]);
        topic.0[..8].copy_from_slice(&self.draw().to_be_bytes());
        topic
    }

    /// Somewhere in the internet.
    fn stranger(&mut self) -> SocketAddr {
        let draw = self.draw();
        let ip = Ipv4Addr::from((draw as u32 % 0x70 + 0x10) << 24 | (draw >> 32) as u32 & 0x00ff_ffff);
        let ip =
            if ip.is_private() || ip.is_loopback() || ip.is_link_local() { [60, 1, 1, 1].into() } else { ip };
        SocketAddr::from((ip, 1_024 + (draw >> 16) as u16 % 60_000))
    }

    /// Any question.
    fn question(&mut self) -> Vec<u8> {
        let mut target = [0; 20];
        target[..8].copy_from_slice(&self.draw().to_be_bytes());
        let draw = self.draw();
        let call = match draw % 4 {
            0 => Call::Ping,
            1 => Call::GetPeers { info_hash: InfoHash(target), want: None, scrape: false },
            2 => Call::Get { target: InfoHash(target), seq: None, want: None },
            _ => Call::FindNode { target: NodeId(target), want: None },
        };
        ask(call, draw)
    }

    /// The token that the machine gives.
    fn token(&mut self, from: SocketAddr, topic: InfoHash) -> Vec<u8> {
        let answers = self
            .machine
            .inject(from, &ask(Call::GetPeers { info_hash: topic, want: None, scrape: false }, 5));
        let token = answers.first().and_then(|answer| match Message::parse(answer).ok()?.body {
            Body::Response(response) => response.token.map(<[u8]>::to_vec),
            _ => None,
        });
        token.unwrap_or_default()
    }

    /// Whether the machine says that it stored an announcement.
    fn announce(&mut self, from: SocketAddr, topic: InfoHash, token: &[u8]) -> bool {
        let call =
            Call::AnnouncePeer { info_hash: topic, port: 7_000, implied_port: true, seed: false, token };
        let answers = self.machine.inject(from, &ask(call, 6));
        answers
            .iter()
            .any(|answer| matches!(Message::parse(answer), Ok(Message { body: Body::Response(_), .. })))
    }
}

/// A question as a node sends it that does not answer any (BEP 43).
fn ask(call: Call<'_>, random: u64) -> Vec<u8> {
    let mut id = [0x77; 20];
    id[..8].copy_from_slice(&random.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let body = Body::Query(Query { id: NodeId(id), read_only: random.is_multiple_of(2), call });
    Message { tid: b"aaaa", version: None, capabilities: Capabilities::NONE, body }.encode()
}
