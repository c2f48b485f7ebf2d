use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use async_io::Timer;
use folkmoot_core::base::{Cx, Host, Outbox, Rng};
use folkmoot_core::dht::{Config, Dht, Event, Mode, Stats};
use futures_lite::FutureExt as _;

use crate::clock::Clock;
use crate::error::Error;
use crate::profile;
use crate::resolve;
use crate::sockets::{Datagram, Sockets};

/// How often the machine's addresses are read again.
const CHECK_INTERFACES: Duration = Duration::from_secs(10);

/// How often a name is looked up again while nobody is known.
const RESOLVE_AGAIN: Duration = Duration::from_secs(30);

/// Batches of datagrams read from one socket before the others have their turn.
const BATCHES_PER_TURN: usize = 8;

/// A node of the DHT and nothing else: it serves others, and is where they enter.
#[derive(Debug)]
pub struct DhtNode {
    dht: Dht,
    clock: Clock,
    rng: Rng,
    out: Outbox,
    sockets: Sockets,
    hosts: Vec<Host>,
    resolved: (Sender<Vec<SocketAddr>>, Receiver<Vec<SocketAddr>>),
    check_interfaces: Instant,
    resolve: Option<Instant>,
}

impl DhtNode {
    /// Opens a socket on each of `bind`; if that is empty, on all addresses of each family the machine has, with one of the
    /// `wanted_ports` if it is free. `hosts` are where it enters the DHT; without any it waits to be found.
    ///
    /// # Errors
    ///
    /// If a socket cannot be opened, or there is no randomness.
    pub fn open(bind: &[SocketAddr], wanted_ports: &[u16], hosts: Vec<Host>) -> Result<Self, Error> {
        let sockets = Sockets::open(bind, wanted_ports)?;
        let clock = Clock::start();
        let mut rng = Rng::new(profile::entropy()?);
        let mut out = Outbox::default();
        let mut cx = Cx { now: clock.now(), unix: clock.unix(), rng: &mut rng, out: &mut out };
        let mut dht = Dht::new(Config { mode: Mode::Server, ..Config::default() }, &mut cx);
        dht.set_sockets(&mut cx, &sockets.infos());
        let now = Instant::now();
        let resolved = async_channel::unbounded();
        let (check_interfaces, resolve) = (now + CHECK_INTERFACES, (!hosts.is_empty()).then_some(now));
        Ok(Self { dht, clock, rng, out, sockets, hosts, resolved, check_interfaces, resolve })
    }

    /// What its sockets are bound to.
    pub fn bound(&self) -> Vec<SocketAddr> {
        self.sockets.bound()
    }

    /// What has happened so far, and what is there now.
    pub fn stats(&self) -> Stats {
        self.dht.stats()
    }

    /// Runs until it is dropped.
    pub async fn run(&mut self, mut on_event: impl FnMut(Event)) -> Infallible {
        loop {
            self.upkeep();
            self.read();
            self.with(Dht::on_wake);
            while let Some(event) = self.dht.pop_event() {
                on_event(event);
            }
            while let Some(transmit) = self.out.pop() {
                // What the kernel has no room for is dropped: the DHT asks again.
                if self.sockets.send(&transmit).is_pending() {
                    self.sockets.give_up();
                }
            }
            if let Some(addrs) = self.sleep().await {
                self.with(|dht, cx| dht.bootstrap(cx, &addrs));
            }
        }
    }

    fn with<T>(&mut self, f: impl FnOnce(&mut Dht, &mut Cx<'_>) -> T) -> T {
        let mut cx =
            Cx { now: self.clock.now(), unix: self.clock.unix(), rng: &mut self.rng, out: &mut self.out };
        f(&mut self.dht, &mut cx)
    }

    fn upkeep(&mut self) {
        let now = Instant::now();
        if now >= self.check_interfaces {
            self.check_interfaces = now + CHECK_INTERFACES;
            self.clock.check();
            if self.sockets.refresh() {
                let infos = self.sockets.infos();
                self.with(|dht, cx| dht.set_sockets(cx, &infos));
            }
        }
        if self.resolve.is_some_and(|at| now >= at) {
            let stats = self.dht.stats();
            let is_alone = stats.nodes_v4 + stats.nodes_v6 == 0;
            self.resolve = Some(now + RESOLVE_AGAIN);
            for host in self.hosts.iter().filter(|_| is_alone) {
                resolve_into(self.resolved.0.clone(), host.clone());
            }
        }
    }

    fn read(&mut self) {
        let Self { dht, clock, rng, out, sockets, .. } = self;
        let (now, unix) = (clock.now(), clock.unix());
        for n in 0..sockets.len() {
            for _ in 0..BATCHES_PER_TURN {
                let more = sockets.receive(n, |Datagram { socket, local, from, bytes }| {
                    let mut cx = Cx { now, unix, rng: &mut *rng, out: &mut *out };
                    dht.handle_datagram(&mut cx, socket, local, from, bytes);
                });
                if !more {
                    break;
                }
            }
        }
    }

    /// Sleeps until something is due, or there is something to read, or a name is looked up: then its addresses.
    async fn sleep(&self) -> Option<Vec<SocketAddr>> {
        let wake = self.dht.next_wake().map(|wake| self.clock.instant(wake.at));
        let due = [wake, self.sockets.rested(), self.resolve].into_iter().flatten();
        let until = due.fold(self.check_interfaces, Instant::min);
        let timer = async {
            Timer::at(until).await;
            None
        };
        let readable = async {
            poll_fn(|cx| self.sockets.poll_readable(cx)).await;
            None
        };
        let resolved = async { self.resolved.1.recv().await.ok() };
        resolved.or(readable).or(timer).await
    }
}

/// Looks a host up where that may take its time.
fn resolve_into(resolved: Sender<Vec<SocketAddr>>, host: Host) {
    match host {
        Host::Addr(addr) => {
            let _ = resolved.try_send(vec![addr]);
        }
        Host::Name(name, port) => smol::unblock(move || {
            let _ = resolved.try_send(resolve::resolve(&name, port));
        })
        .detach(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn nodes_on_loopback_find_each_other() {
        let loopback = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
        let mut first = DhtNode::open(&loopback, &[], Vec::new()).unwrap();
        let entry = vec![Host::Addr(first.bound()[0])];
        let mut second = DhtNode::open(&loopback, &[], entry).unwrap();
        let (found, is_found) = async_channel::unbounded();
        async_io::block_on(async {
            let serve = async {
                first.run(|_| ()).await;
            };
            let enter = async {
                second.run(|event| found.try_send(event).unwrap()).await;
            };
            let wait = async {
                // Other events, such as our address, may come first.
                while is_found.recv().await != Ok(Event::Bootstrapped { nodes: 1 }) {}
            };
            wait.or(serve).or(enter).await;
        });
        assert_eq!(second.stats().nodes_v4, 1);
    }
}
