use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use folkmoot_core::base::{DeviceId, Host, Incarnation, SocketId, SocketInfo, Time, UnixTime};
use folkmoot_core::meeting::{Code, Master};
use folkmoot_core::node::{
    Answer, Command, Config, Event, Identity, Input, MeetingHandle, Network, Node, Output, RequestKind, Tag,
};

use crate::bytes::Bytes;

const MEETING: MeetingHandle = MeetingHandle(1);
const DELAY: Duration = Duration::from_millis(10);

/// Steps in one run: beyond that the fuzzer only grows slower.
const MAX_STEPS: usize = 64;

/// Datagrams under way: a shell drops what its socket has no room for.
const MAX_UNDER_WAY: usize = 256;

/// Two members on a network that loses, damages, repeats, replays and invents datagrams, while machines sleep, clocks
/// jump, and members leave and come back: nothing is heard that was not said, nothing twice, nothing out of order; and there is no hot loop.
pub fn node(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let mut world = World::new();
    for _ in 0..MAX_STEPS {
        if bytes.is_empty() {
            break;
        }
        world.step(&mut bytes);
    }
    world.pass(Duration::from_secs(2));
}

struct World {
    now: Time,
    nodes: [Member; 2],
    under_way: VecDeque<Datagram>,
    /// What an attacker on the path has seen, latest last.
    seen: VecDeque<Datagram>,
    /// For the next 16 datagrams, over and over: which are lost, damaged, repeated.
    weather: [u16; 3],
    sent: usize,
}

struct Member {
    node: Node,
    at: SocketAddr,
    wake: Option<Time>,
    /// What it wanted to say, by tag; and what it said, by number.
    wanted: Vec<String>,
    said: Vec<String>,
    /// What it heard of each device, by number of the next message.
    heard: BTreeMap<DeviceId, u64>,
}

#[derive(Clone)]
struct Datagram {
    arrives: Time,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

impl World {
    fn new() -> Self {
        let now = Time::from_millis(1);
        let addrs = [1, 2].map(|n| SocketAddr::from(([10, 0, 0, n], 4_000)));
        let nodes = [(1, addrs[0], addrs[1]), (2, addrs[1], addrs[0])].map(|(n, at, other)| {
            let identity = Identity { device: [n; 32], member: [n + 100; 32] };
            let mut config = Config::new(identity, Incarnation(1));
            config.bootstrap = vec![Host::Addr(other)];
            let node = Node::new(config, [n; 32], now, UnixTime::from_millis(1_790_000_000_000));
            Member { node, at, wake: None, wanted: Vec::new(), said: Vec::new(), heard: BTreeMap::new() }
        });
        let mut world =
            Self { now, nodes, under_way: VecDeque::new(), seen: VecDeque::new(), weather: [0; 3], sent: 0 };
        for index in 0..2 {
            let at = world.nodes[index].at;
            world.handle(index, Input::Network(Network::Sockets(vec![socket(at)])));
            world.join(index);
        }
        world
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let (what, index) = (bytes.u8(), usize::from(bytes.u8() % 2));
        match what % 10 {
            0..=2 => self.pass(Duration::from_millis(u64::from(bytes.u8()) * 8)),
            3 => self.pass(Duration::from_millis(u64::from(bytes.u16()) / 4)),
            4 => self.weather = [bytes.u16(), bytes.u16(), bytes.u16()],
            5 => self.say(index, &String::from_utf8_lossy(bytes.slice(usize::from(what)))),
            6 => {
                let len = usize::from(bytes.u8()) * 4;
                let (from, junk) = (self.source(index, bytes.u8()), bytes.slice(len));
                self.receive(index, from, junk);
            }
            7 => self.replay(index, bytes),
            8 if what < 64 => self.handle(index, Input::Command(Command::Leave { meeting: MEETING })),
            8 if what < 128 => self.join(index),
            8 => {
                let unix = UnixTime::from_millis(1_790_000_000_000 + u64::from(bytes.u16()) * 60_000);
                self.handle(index, Input::Clock(unix));
            }
            _ => {
                let network = if what < 128 {
                    Network::Woke
                } else {
                    Network::Sockets(Vec::from_iter((what < 250).then(|| socket(self.nodes[index].at))))
                };
                self.handle(index, Input::Network(network));
            }
        }
    }

    fn join(&mut self, index: usize) {
        let code = Code::new("acid tulip").expect("long enough");
        self.handle(index, Input::Command(Command::Join { meeting: MEETING, code }));
    }

    /// An attacker repeats something, to either, from anywhere, changed or not.
    fn replay(&mut self, index: usize, bytes: &mut Bytes<'_>) {
        let which = usize::from(bytes.u8());
        let from = self.source(index, bytes.u8());
        let Some(mut datagram) = self.seen.get(which % self.seen.len().max(1)).cloned() else { return };
        for _ in 0..bytes.u8() % 4 {
            let at = usize::from(bytes.u16()) % datagram.bytes.len().max(1);
            if let Some(byte) = datagram.bytes.get_mut(at) {
                *byte ^= bytes.u8();
            }
        }
        self.receive(index, from, &datagram.bytes);
    }

    /// The other member's address, the own one, or a stranger's.
    fn source(&self, index: usize, n: u8) -> SocketAddr {
        match n % 4 {
            0 | 1 => self.nodes[1 - index].at,
            2 => self.nodes[index].at,
            _ => ([203, 0, 113, n], 5_000).into(),
        }
    }

    fn say(&mut self, index: usize, text: &str) {
        let wanted = &mut self.nodes[index].wanted;
        let tag = Tag(wanted.len() as u64);
        wanted.push(text.to_owned());
        self.handle(index, Input::Command(Command::Say { meeting: MEETING, tag, text: text.to_owned() }));
    }

    fn receive(&mut self, index: usize, from: SocketAddr, bytes: &[u8]) {
        let local = Some(self.nodes[index].at.ip());
        self.handle(index, Input::Datagram { socket: SocketId(0), local, from, bytes });
    }

    fn handle(&mut self, index: usize, input: Input<'_>) {
        self.nodes[index].node.handle(self.now, input);
        self.drain(index);
    }

    fn drain(&mut self, index: usize) {
        loop {
            match self.nodes[index].node.poll() {
                Output::Transmit(transmit) => {
                    let from = self.nodes[index].at;
                    self.send(Datagram {
                        arrives: self.now + DELAY,
                        from,
                        to: transmit.to,
                        bytes: transmit.bytes,
                    });
                }
                Output::Request(request) => {
                    let answer = match request.kind {
                        RequestKind::Derive(_) => Answer::Derived(Master([7; 32])),
                        _ => Answer::Resolved(Vec::new()),
                    };
                    self.nodes[index].node.handle(self.now, Input::Answer(request.id, answer));
                }
                Output::Event(event) => self.told(index, event),
                Output::Idle(wake) => {
                    assert!(
                        wake.is_none_or(|wake| wake.at > self.now),
                        "a hot loop at {}: {wake:?}",
                        self.now
                    );
                    self.nodes[index].wake = wake.map(|wake| wake.at);
                    return;
                }
            }
        }
    }

    fn told(&mut self, index: usize, event: Event) {
        match event {
            Event::Message { device, seq, text, .. } => {
                let other = &self.nodes[1 - index];
                assert_eq!(device, other.node.device(), "a message of a stranger");
                assert_eq!(other.said.get(seq as usize), Some(&text), "a message that was not said");
                let next = self.nodes[index].heard.entry(device).or_default();
                assert!(seq >= *next, "message {seq} twice or out of order");
                *next = seq + 1;
            }
            Event::Sent { tag, seq, .. } => {
                let member = &mut self.nodes[index];
                assert_eq!(seq, member.said.len() as u64);
                member.said.push(member.wanted[tag.0 as usize].clone());
            }
            _ => {}
        }
    }

    fn send(&mut self, datagram: Datagram) {
        let bit = 1 << (self.sent % 16);
        self.sent += 1;
        let [lost, damaged, repeated] = self.weather.map(|mask| mask & bit != 0);
        self.seen.push_back(datagram.clone());
        if self.seen.len() > 64 {
            self.seen.pop_front();
        }
        if lost || self.under_way.len() >= MAX_UNDER_WAY {
            return;
        }
        if repeated {
            self.under_way.push_back(datagram.clone());
        }
        let mut datagram = datagram;
        if damaged {
            let at = self.sent % datagram.bytes.len().max(1);
            datagram.bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1);
        }
        self.under_way.push_back(datagram);
    }

    /// Lets time pass, with all that arrives and is due in it.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let arrival = self.under_way.front().map(|datagram| datagram.arrives);
            let wake = self.nodes.iter().filter_map(|member| member.wake).min();
            let Some(next) = arrival.into_iter().chain(wake).min().filter(|next| *next <= end) else { break };
            self.now = next;
            if arrival == Some(next) {
                let Some(datagram) = self.under_way.pop_front() else { break };
                if let Some(index) = self.nodes.iter().position(|member| member.at == datagram.to) {
                    self.receive(index, datagram.from, &datagram.bytes);
                }
            } else {
                for index in 0..2 {
                    if self.nodes[index].wake == Some(next) {
                        self.handle(index, Input::Tick);
                    }
                }
            }
        }
        self.now = end;
    }
}

fn socket(at: SocketAddr) -> SocketInfo {
    SocketInfo { id: SocketId(0), bound: at, addrs: vec![at.ip()] }
}
