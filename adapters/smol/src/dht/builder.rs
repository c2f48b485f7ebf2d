use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;

use folkmoot_core::base::{Cx, Host, Outbox, Rng};
use folkmoot_core::dht::{self, Config, Mode};
use folkmoot_core::node::Trouble;

use super::handle::Dht;
use super::node::{DhtNode, Parts};
use crate::clock::Clock;
use crate::defaults;
use crate::error::Error;
use crate::kept::{self, Kept};
use crate::lan;
use crate::profile;
use crate::sockets::Sockets;

/// How a DHT node is to be set up; made by [`DhtNode::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct DhtBuilder {
    bind: Vec<SocketAddr>,
    ports: Vec<u16>,
    bootstrap: Vec<Host>,
    lan: Option<bool>,
    state_dir: Option<PathBuf>,
    mode: Mode,
}

impl DhtBuilder {
    pub(super) fn new() -> Self {
        Self {
            bind: Vec::new(),
            ports: Vec::new(),
            bootstrap: defaults::bootstrap(),
            lan: None,
            state_dir: None,
            mode: Mode::Server,
        }
    }

    /// A UDP address to listen on; port 0 is any that is free. May be said more than once. If it is not said, the node listens on
    /// all addresses of both families.
    pub fn bind(mut self, addr: SocketAddr) -> Self {
        self.bind.push(addr);
        self
    }

    /// The ports to listen on where no address is said, the first that is free; else any.
    pub fn ports(mut self, ports: impl IntoIterator<Item = u16>) -> Self {
        self.ports = ports.into_iter().collect();
        self
    }

    /// Where to enter the DHT, instead of [`defaults::BOOTSTRAP`]. Without any, and with nobody known from before, it waits to
    /// be found.
    pub fn bootstrap(mut self, hosts: impl IntoIterator<Item = Host>) -> Self {
        self.bootstrap = hosts.into_iter().collect();
        self
    }

    /// Whether to enter the DHT also by nodes of the local network, and, unless it is a guest, let others enter by this one (IPv4
    /// only). By default it does unless it listens on loopback alone.
    pub fn lan(mut self, wanted: bool) -> Self {
        self.lan = Some(wanted);
        self
    }

    /// A directory in which the nodes that are known are kept for the next time, made if there is none. By default they are
    /// forgotten.
    pub fn state_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(dir.into());
        self
    }

    /// A guest: it asks and answers nobody, tells so (BEP 43), and has a new id each time. Right for a program that is gone in a
    /// minute. By default it serves everybody.
    pub fn guest(mut self) -> Self {
        self.mode = Mode::ReadOnly;
        self
    }

    /// Opens the sockets. The node does nothing until it is [run](DhtNode::run).
    ///
    /// # Errors
    ///
    /// If a socket cannot be opened, or there is no randomness.
    pub fn open(self) -> Result<DhtNode, Error> {
        let mut sockets = Sockets::open(&self.bind, &self.ports)?;
        let lan = self.lan.unwrap_or_else(|| lan::by_default(&self.bind));
        if lan && self.mode != Mode::ReadOnly {
            sockets.join_lan();
        }
        let clock = Clock::start();
        let mut rng = Rng::new(profile::entropy()?);
        let (kept, saved, trouble) = self.recall(&clock, &mut rng);
        let mut out = Outbox::default();
        let config = Config { mode: self.mode, lan, saved, ..Config::default() };
        let mut cx = Cx { now: clock.now(), unix: clock.unix(), rng: &mut rng, out: &mut out };
        let mut dht = dht::Dht::new(config, &mut cx);
        dht.set_sockets(&mut cx, &sockets.infos());
        let parts = Parts { dht, clock, rng, out, sockets, kept };
        Ok(DhtNode::new(parts, self.bootstrap, trouble))
    }

    /// Opens the sockets and runs the node on a thread of its own until the last [`Dht`] is dropped.
    ///
    /// # Errors
    ///
    /// As [`DhtBuilder::open`], and if there is no thread.
    pub fn start(self) -> Result<Dht, Error> {
        let node = self.open()?;
        let handle = node.handle();
        let run = move || async_io::block_on(node.run_until_released());
        thread::Builder::new().name("folkmoot-dht".into()).spawn(run).map_err(Error::Thread)?;
        Ok(handle)
    }

    /// What an earlier run kept.
    fn recall(&self, clock: &Clock, rng: &mut Rng) -> (Option<Kept>, Option<dht::Snapshot>, Option<Trouble>) {
        let Some(dir) = &self.state_dir else { return (None, None, None) };
        let is_guest = self.mode == Mode::ReadOnly;
        // Two nodes with one id would not speak to each other.
        let lock = match profile::make_dir(dir).and_then(|()| profile::lock(&dir.join("lock"))) {
            Ok(None) if !is_guest => {
                let what = format!("another node keeps its own in {}", dir.display());
                return (None, None, Some(Trouble::NotKept(what)));
            }
            Ok(lock) => lock,
            // Why, the attempt to use the directory tells.
            Err(_) => None,
        };
        let (kept, snapshot) = Kept::open(dir, &self.bootstrap, clock.unix());
        let ips: Vec<_> = self.bind.iter().map(SocketAddr::ip).collect();
        let snapshot = snapshot.map(|snapshot| kept::within_reach(&ips, snapshot));
        let snapshot = snapshot.map(|snapshot| match is_guest {
            true => snapshot.with_fresh_ids(rng),
            false => snapshot,
        });
        (Some(kept.locked_by(lock.filter(|_| !is_guest))), snapshot, None)
    }
}
