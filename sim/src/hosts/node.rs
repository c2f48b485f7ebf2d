use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use folkmoot_core::base::{Time, Wake};
use folkmoot_core::dht::LAN_GROUP;
use folkmoot_core::meeting::{Code, Master};
use folkmoot_core::node::{Answer, Command, Config, Event, Input, Network, Node, Output, RequestKind};
use sha2::{Digest as _, Sha256};

use super::{Disk, sockets};
use crate::engine::{Host, HostCx};

/// The names that hosts of a world can resolve.
pub type Names = BTreeMap<String, Vec<IpAddr>>;

/// A whole [`Node`] on a host: the shell of the simulator. If its DHT node is to [ask the local network](folkmoot_core::dht::Config::lan),
/// it listens to multicast there too.
///
/// It answers requests at once: the key derivation is one SHA-256 instead of 64 MiB of Argon2id, and names come from a
/// table. It holds the node to its contract: a drain ends, and leaves a wake that is later than now.
#[derive(Debug)]
pub struct NodeHost {
    config: Config,
    run: u64,
    port: u16,
    names: Names,
    node: Option<Node>,
    wake: Option<Wake>,
    heard: VecDeque<Heard>,
    kept: Option<Kept>,
}

/// What the shell keeps, and when it writes it next.
#[derive(Debug)]
struct Kept {
    disk: Disk,
    due: Time,
}

/// An event of a node, and when it came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// When.
    pub at: Time,
    /// What.
    pub event: Event,
}

/// More outputs than this in one drain are a loop that does not end.
const ENDLESS: usize = 100_000;
/// When a shell writes whom its node knows: the first time soon, in case the process is killed; from then on every few minutes.
const FIRST_WRITE: Duration = Duration::from_secs(30);
const NEXT_WRITE: Duration = Duration::from_secs(6 * 60);

impl NodeHost {
    /// A node that is to start with `config` and use `port`. `run` numbers the starts on this host, so that each has
    /// entropy of its own.
    pub fn new(config: Config, run: u64, port: u16, names: Names) -> Self {
        Self { config, run, port, names, node: None, wake: None, heard: VecDeque::new(), kept: None }
    }

    /// The same on a machine with a disk, to which the shell writes now and then. What is on it is for [`Config::dht`]: the
    /// shell reads it before it makes a node.
    pub fn with_disk(self, disk: Disk) -> Self {
        Self { kept: Some(Kept { disk, due: Time::ZERO }), ..self }
    }

    /// The disk, if it has one.
    pub fn disk_mut(&mut self) -> Option<&mut Disk> {
        self.kept.as_mut().map(|kept| &mut kept.disk)
    }

    /// Hands the node a command.
    pub fn command(&mut self, cx: &mut HostCx<'_>, command: Command) {
        self.input(cx, Input::Command(command));
    }

    /// Tells the node that the machine slept and woke.
    pub fn woke(&mut self, cx: &mut HostCx<'_>) {
        self.input(cx, Input::Network(Network::Woke));
    }

    /// The oldest event that was not taken yet.
    pub fn pop_heard(&mut self) -> Option<Heard> {
        self.heard.pop_front()
    }

    /// The node; `None` before it started.
    pub fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    fn input(&mut self, cx: &mut HostCx<'_>, input: Input<'_>) {
        if let Some(node) = &mut self.node {
            node.handle(cx.now, input);
            self.drain(cx);
        }
    }

    fn drain(&mut self, cx: &mut HostCx<'_>) {
        let Some(node) = &mut self.node else { return };
        for _ in 0..ENDLESS {
            match node.poll() {
                Output::Transmit(transmit) => sockets::transmit(cx, self.port, transmit),
                Output::Request(request) => {
                    let answer = match request.kind {
                        RequestKind::Derive(code) => Answer::Derived(derive(&code)),
                        RequestKind::Resolve(name, port) => {
                            let found = self.names.get(&name).into_iter().flatten();
                            Answer::Resolved(found.map(|ip| SocketAddr::new(*ip, port)).collect())
                        }
                    };
                    node.handle(cx.now, Input::Answer(request.id, answer));
                }
                Output::Event(event) => self.heard.push_back(Heard { at: cx.now, event }),
                Output::Idle(wake) => {
                    if let Some(wake) = wake.filter(|wake| wake.at <= cx.now) {
                        cx.fault(format!("is drained at {} and wants to wake at {wake:?}", cx.now));
                    }
                    self.wake = wake;
                    return;
                }
            }
        }
        cx.fault(format!("gave {ENDLESS} outputs in one drain"));
    }
}

impl Host for NodeHost {
    fn start(&mut self, cx: &mut HostCx<'_>) {
        let entropy = cx.entropy(self.run);
        if let Some(kept) = &mut self.kept {
            kept.due = cx.now + FIRST_WRITE;
        }
        self.node = Some(Node::new(self.config.clone(), entropy, cx.now, cx.unix));
        self.on_addresses(cx);
    }

    fn on_addresses(&mut self, cx: &mut HostCx<'_>) {
        let sockets = sockets::sockets(cx.addrs, self.port);
        self.input(cx, Input::Network(Network::Sockets(sockets)));
    }

    fn on_clock(&mut self, cx: &mut HostCx<'_>) {
        self.input(cx, Input::Clock(cx.unix));
    }

    fn handle_datagram(&mut self, cx: &mut HostCx<'_>, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        // What comes to the group counts as come to the socket that asks by it.
        let is_for_us = to.port() == self.port && !to.ip().is_multicast();
        if is_for_us || to == LAN_GROUP && self.config.dht.lan {
            let (socket, local) = (sockets::socket_for(to), Some(to.ip()).filter(|_| is_for_us));
            self.input(cx, Input::Datagram { socket, local, from, bytes });
        }
    }

    fn on_wake(&mut self, cx: &mut HostCx<'_>) {
        if let (Some(kept), Some(node)) = (&mut self.kept, &self.node)
            && kept.due <= cx.now
        {
            kept.disk.write(&node.dht().snapshot());
            kept.due = cx.now + NEXT_WRITE;
        }
        self.input(cx, Input::Tick);
    }

    fn next_wake(&self) -> Option<Wake> {
        let write = self.kept.as_ref().map(|kept| Wake::new(kept.due, "shell.write"));
        [self.wake, write].into_iter().flatten().min_by_key(|wake| wake.at)
    }
}

/// A master secret that is as good as the real one for everybody who does not attack it.
pub(crate) fn derive(code: &Code) -> Master {
    Master(Sha256::digest(code.as_str()).into())
}
