use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use async_io::Timer;
use folkmoot_core::base::{Cx, Host, Outbox, Rng};
use folkmoot_core::dht::{Dht as Machine, Event, Item, Stats};
use folkmoot_core::node::Trouble;
use futures_lite::FutureExt as _;

use super::builder::DhtBuilder;
use super::handle::Dht;
use super::waiting::{Call, MAX_CALLS, Outlook, Task};
use crate::clock::Clock;
use crate::error::Error;
use crate::kept::Kept;
use crate::resolve;
use crate::sockets::{Datagram, Sockets};

/// How often the machine's addresses are read again.
const CHECK_INTERFACES: Duration = Duration::from_secs(10);

/// How often a name is looked up again while nobody is known.
const RESOLVE_AGAIN: Duration = Duration::from_secs(30);

/// Batches of datagrams read from one socket before the others have their turn.
const BATCHES_PER_TURN: usize = 8;

/// How often the sockets are read again at once, as long as they have something, before all else has its turn. To sleep and be
/// woken costs more than to look.
const READS_PER_TURN: usize = 32;

/// A node of the DHT and nothing else: the loop that serves others, and does what is asked of its [`Dht`].
#[derive(Debug)]
pub struct DhtNode {
    dht: Machine,
    clock: Clock,
    rng: Rng,
    out: Outbox,
    sockets: Sockets,
    hosts: Vec<Host>,
    /// Addresses of hosts that were looked up.
    entries: BTreeSet<SocketAddr>,
    /// Nodes known from an earlier run.
    remembered: usize,
    resolved: (Sender<Resolved>, Receiver<Resolved>),
    resolving: usize,
    unresolved: Vec<String>,
    calls: (Sender<Call>, Receiver<Call>),
    waiting: Vec<(Task, Sender<Event>)>,
    ready: Vec<Sender<usize>>,
    is_up: bool,
    kept: Option<Kept>,
    trouble: Option<Trouble>,
    check_interfaces: Instant,
    resolve: Option<Instant>,
}

/// What a node is made of.
pub(super) struct Parts {
    pub(super) dht: Machine,
    pub(super) clock: Clock,
    pub(super) rng: Rng,
    pub(super) out: Outbox,
    pub(super) sockets: Sockets,
    pub(super) kept: Option<Kept>,
}

/// A host, and its addresses.
type Resolved = (Host, Vec<SocketAddr>);

/// What ended a sleep.
enum Woken {
    /// Something is due, or there is something to read.
    Ready,
    Resolved(Resolved),
    Call(Call),
    /// There will be no more calls.
    Released,
}

impl DhtNode {
    /// Sets up a node.
    pub fn builder() -> DhtBuilder {
        DhtBuilder::new()
    }

    /// Opens a socket on each of `bind`; if that is empty, on all addresses of each family the machine has, with one of the
    /// `wanted_ports` if it is free. `hosts` are where it enters the DHT; without any it waits to be found.
    ///
    /// # Errors
    ///
    /// If a socket cannot be opened, or there is no randomness.
    pub fn open(bind: &[SocketAddr], wanted_ports: &[u16], hosts: Vec<Host>) -> Result<Self, Error> {
        let builder = Self::builder().ports(wanted_ports.iter().copied()).bootstrap(hosts);
        bind.iter().fold(builder, |builder, &addr| builder.bind(addr)).open()
    }

    pub(super) fn new(parts: Parts, hosts: Vec<Host>, trouble: Option<Trouble>) -> Self {
        let Parts { dht, clock, rng, out, sockets, kept } = parts;
        let now = Instant::now();
        Self {
            remembered: dht.snapshot().nodes().count(),
            dht,
            clock,
            rng,
            out,
            sockets,
            resolve: (!hosts.is_empty()).then_some(now),
            hosts,
            entries: BTreeSet::new(),
            resolved: async_channel::unbounded(),
            resolving: 0,
            unresolved: Vec::new(),
            calls: async_channel::bounded(MAX_CALLS),
            waiting: Vec::new(),
            ready: Vec::new(),
            is_up: false,
            kept,
            trouble,
            check_interfaces: now + CHECK_INTERFACES,
        }
    }

    /// What its sockets are bound to.
    pub fn bound(&self) -> Vec<SocketAddr> {
        self.sockets.bound()
    }

    /// What has happened so far, and what is there now.
    pub fn stats(&self) -> Stats {
        self.dht.stats()
    }

    /// How many nodes it knows from an earlier run.
    pub fn remembered(&self) -> usize {
        self.remembered
    }

    /// What does not work with its state directory, each only once. Look again now and then.
    pub fn trouble(&mut self) -> Option<Trouble> {
        self.trouble.take().or_else(|| self.kept.as_ref()?.trouble())
    }

    /// A handle to ask things of the node while it runs.
    pub fn handle(&self) -> Dht {
        Dht::new(self.calls.0.clone())
    }

    /// Runs until it is dropped.
    pub async fn run(&mut self, mut on_event: impl FnMut(Event)) -> Infallible {
        loop {
            self.turn(&mut on_event).await;
        }
    }

    /// Runs until the last handle is dropped.
    pub(super) async fn run_until_released(mut self) {
        // Its own end of the channel would keep it open.
        self.calls.0 = async_channel::bounded(1).0;
        while self.turn(&mut |_| ()).await {}
    }

    /// Does what is due, and sleeps until there is more; whether there can be more calls.
    async fn turn(&mut self, on_event: &mut impl FnMut(Event)) -> bool {
        self.upkeep();
        for _ in 0..READS_PER_TURN {
            let has_read = self.read();
            self.with(Machine::on_wake);
            while let Some(event) = self.dht.pop_event() {
                self.tell(&event);
                on_event(event);
            }
            self.send();
            if !has_read {
                break;
            }
        }
        match self.sleep().await {
            Woken::Ready => {}
            Woken::Resolved((host, addrs)) => self.on_resolved(&host, &addrs),
            Woken::Call(call) => return self.on_call(call),
            Woken::Released => return false,
        }
        true
    }

    /// Sends what the DHT says. What the kernel has no room for is dropped: the DHT asks again.
    fn send(&mut self) {
        let mut next = self.out.pop();
        while let Some(transmit) = next.take() {
            next = match self.sockets.join(transmit) {
                Ok(()) => self.out.pop(),
                Err(transmit) => {
                    self.flush();
                    Some(transmit)
                }
            };
        }
        self.flush();
    }

    fn flush(&mut self) {
        if self.sockets.flush().is_pending() {
            self.sockets.give_up();
        }
    }

    fn with<T>(&mut self, f: impl FnOnce(&mut Machine, &mut Cx<'_>) -> T) -> T {
        let mut cx =
            Cx { now: self.clock.now(), unix: self.clock.unix(), rng: &mut self.rng, out: &mut self.out };
        f(&mut self.dht, &mut cx)
    }

    /// Does what is asked; whether there may be more.
    fn on_call(&mut self, call: Call) -> bool {
        // Whoever has gone meanwhile needs no answer.
        match call {
            Call::Begin(task, told) => {
                self.waiting.retain(|(_, told)| !told.is_closed());
                self.waiting.push((task.clone(), told));
                self.with(|dht, cx| match task {
                    Task::Ping(addr) => dht.ping(cx, addr),
                    Task::FindPeers(topic) => dht.find_peers(cx, topic),
                    Task::CountPeers(topic) => dht.count_peers(cx, topic),
                    Task::Announce(topic, port) => dht.announce_port(cx, topic, port),
                    Task::Get(id) => dht.get(cx, id, None),
                    Task::Put(Item::Immutable(value), _) => drop(dht.put_immutable(cx, value)),
                    Task::Put(Item::Mutable(item), cas) => drop(dht.put_mutable(cx, item, cas)),
                    Task::Keep(item) => drop(dht.keep_item(cx, item)),
                });
            }
            Call::Ready(reply) => {
                self.ready.push(reply);
                self.tell_ready();
            }
            Call::Outlook(reply) => {
                let outlook = Outlook {
                    is_cut_off: self.dht.is_cut_off() && self.resolving == 0 && self.resolve_is_done(),
                    unresolved: self.unresolved.clone(),
                    asked: (self.entries.len(), self.remembered),
                };
                let _ = reply.try_send(outlook);
            }
            Call::Trouble(reply) => drop(reply.try_send(self.trouble())),
            Call::Close(reply) => {
                // Taken, so that nothing is written any more while the process ends.
                if let Some(kept) = self.kept.take() {
                    kept.save(&self.dht.snapshot());
                }
                drop(reply);
                return false;
            }
            Call::Progress(target, reply) => drop(reply.try_send(self.dht.progress(target))),
            Call::Observed(reply) => {
                let observed = [true, false].into_iter().filter_map(|ipv4| self.dht.observed(ipv4)).collect();
                let _ = reply.try_send(observed);
            }
            Call::Stats(reply) => drop(reply.try_send(self.dht.stats())),
            Call::Table(reply) => drop(reply.try_send(self.dht.table(self.clock.now()).collect())),
        }
        true
    }

    /// Tells those who wait for it of an event.
    fn tell(&mut self, event: &Event) {
        if let Event::Bootstrapped { .. } = event {
            self.is_up = true;
            self.tell_ready();
        }
        let concerned = |(task, _): &(Task, Sender<Event>)| task.concerns(event);
        for (_, told) in self.waiting.iter().filter(|waiting| concerned(waiting)) {
            let _ = told.try_send(event.clone());
        }
        // Whoever does not want to be told of an item that is kept does not want it kept.
        let (waiting, over) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(task, told)| !(told.is_closed() || task.concerns(event) && task.ends_with(event)));
        self.waiting = waiting;
        let over: Vec<(Task, Sender<Event>)> = over;
        for (task, _) in over {
            if let Task::Keep(item) = task {
                self.dht.release_item(item.target());
            }
        }
        // Whoever keeps a topic announced does that by asking again.
        if let Event::Announced { topic, .. } | Event::NotAnnounced { topic } = event {
            self.dht.forget(*topic);
        }
    }

    fn tell_ready(&mut self) {
        if self.is_up {
            let stats = self.dht.stats();
            for reply in self.ready.drain(..) {
                let _ = reply.try_send(stats.nodes_v4 + stats.nodes_v6);
            }
        }
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
                self.resolving += 1;
                resolve_into(self.resolved.0.clone(), host.clone());
            }
        }
        if let Some(kept) = &mut self.kept {
            kept.save_if_due(|| self.dht.snapshot());
        }
    }

    /// Whether every host has been looked up once.
    fn resolve_is_done(&self) -> bool {
        self.hosts.is_empty() || !self.entries.is_empty() || !self.unresolved.is_empty()
    }

    fn on_resolved(&mut self, host: &Host, addrs: &[SocketAddr]) {
        self.resolving = self.resolving.saturating_sub(1);
        if let (Host::Name(name, _), []) = (host, addrs)
            && !self.unresolved.contains(name)
        {
            self.unresolved.push(name.clone());
        }
        self.entries.extend(addrs);
        self.with(|dht, cx| dht.bootstrap(cx, addrs));
    }

    /// Takes what the sockets have, within bounds; whether there was anything.
    fn read(&mut self) -> bool {
        let Self { dht, clock, rng, out, sockets, .. } = self;
        let (now, unix) = (clock.now(), clock.unix());
        let mut has_read = false;
        for n in 0..sockets.len() {
            for _ in 0..BATCHES_PER_TURN {
                let more = sockets.receive(n, |Datagram { socket, local, from, bytes }| {
                    let mut cx = Cx { now, unix, rng: &mut *rng, out: &mut *out };
                    dht.handle_datagram(&mut cx, socket, local, from, bytes);
                    has_read = true;
                });
                if !more {
                    break;
                }
            }
        }
        has_read
    }

    /// Sleeps until something is due or comes in.
    async fn sleep(&self) -> Woken {
        let wake = self.dht.next_wake().map(|wake| self.clock.instant(wake.at));
        let due = [wake, self.sockets.rested(), self.resolve, self.kept.as_ref().map(Kept::due)];
        let until = due.into_iter().flatten().fold(self.check_interfaces, Instant::min);
        let ready = async {
            let timer = async {
                Timer::at(until).await;
            };
            poll_fn(|cx| self.sockets.poll_readable(cx)).or(timer).await;
            Woken::Ready
        };
        let resolved = async {
            match self.resolved.1.recv().await {
                Ok(resolved) => Woken::Resolved(resolved),
                Err(_) => pending().await,
            }
        };
        let call = async { self.calls.1.recv().await.map_or(Woken::Released, Woken::Call) };
        resolved.or(call).or(ready).await
    }
}

/// What is known is kept, however the node ends.
impl Drop for DhtNode {
    fn drop(&mut self) {
        if let Some(kept) = &self.kept {
            kept.save(&self.dht.snapshot());
        }
    }
}

/// Looks a host up where that may take its time.
fn resolve_into(resolved: Sender<Resolved>, host: Host) {
    match &host {
        Host::Addr(addr) => {
            let addrs = vec![*addr];
            let _ = resolved.try_send((host, addrs));
        }
        Host::Name(name, port) => {
            let (name, port) = (name.clone(), *port);
            smol::unblock(move || {
                let addrs = resolve::resolve(&name, port);
                let _ = resolved.try_send((host, addrs));
            })
            .detach();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use folkmoot_core::base::InfoHash;
    use folkmoot_core::dht::{Author, ItemId, MutableItem, NotStored, Salt, Value};

    use super::*;
    use crate::dht::DhtError;

    const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    const TOPIC: InfoHash = InfoHash([7; 20]);
    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn nodes_on_loopback_find_each_other() {
        let mut first = DhtNode::open(&[LOOPBACK], &[], Vec::new()).unwrap();
        let entry = vec![Host::Addr(first.bound()[0])];
        let mut second = DhtNode::open(&[LOOPBACK], &[], entry).unwrap();
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

    /// A network of three, and a guest.
    fn beside_three<F: Future<Output = ()>>(test: impl FnOnce(SocketAddr, Dht) -> F) {
        let first = DhtNode::open(&[LOOPBACK], &[], Vec::new()).unwrap();
        let entry = first.bound()[0];
        let builder = || DhtNode::builder().bind(LOOPBACK).bootstrap([Host::Addr(entry)]);
        let mut nodes = [first, builder().open().unwrap(), builder().open().unwrap()];
        let guest = builder().guest().start().unwrap();
        let [a, b, c] = &mut nodes;
        let serve = async {
            let turns = [a, b, c].map(|node| node.run(|_| ()));
            let [a, b, c] = turns;
            a.or(b).or(c).await;
        };
        async_io::block_on(test(entry, guest).or(serve));
    }

    #[test]
    fn a_guest_asks_and_is_told() {
        beside_three(|entry, guest| async move {
            assert!(guest.ready(PATIENCE).await.unwrap() >= 1);
            let pong = guest.ping(entry).await.unwrap();
            assert_eq!(pong.version, Some(*b"FM\x00\x01"));
            assert!(pong.observed.unwrap().ip().is_loopback());
            let nowhere = "127.0.0.1:1".parse().unwrap();
            assert_eq!(guest.ping(nowhere).await, Err(DhtError::Silent(nowhere)));

            let mut search = guest.find_peers(TOPIC).await.unwrap();
            assert_eq!(search.next().await, None);
            assert!(search.answered() >= Some(1));
            assert!(guest.announce(TOPIC, 5_000).await.unwrap() >= 1);
            let mut search = guest.find_peers(TOPIC).await.unwrap();
            assert_eq!(search.next().await, Some("127.0.0.1:5000".parse().unwrap()));
            assert_eq!(search.next().await, None, "each only once");

            let value = Item::Immutable(Value::bytes(b"Hello World!").unwrap());
            assert_eq!(guest.get(value.id()).await.unwrap().newest().await, None);
            assert!(guest.put(value.clone(), None).await.unwrap() >= 1);
            assert_eq!(guest.get(value.id()).await.unwrap().newest().await, Some(value));

            let author = Author::new([3; 32]);
            let signed = |seq, text: &[u8]| {
                let value = Value::bytes(text).unwrap();
                Item::from(MutableItem::sign(&author, Salt::default(), seq, value).unwrap())
            };
            assert!(guest.put(signed(1, b"one"), None).await.unwrap() >= 1);
            assert!(guest.put(signed(2, b"two"), Some(1)).await.unwrap() >= 1);
            let conflict = guest.put(signed(3, b"three"), Some(1)).await;
            assert_eq!(conflict, Err(DhtError::NotStored(NotStored::Conflict)));
            let old = guest.put(signed(1, b"one"), None).await;
            assert!(matches!(old, Err(DhtError::NotStored(NotStored::Superseded { .. }))), "{old:?}");
            let id = ItemId::Mutable { key: author.public(), salt: Salt::default() };
            assert_eq!(guest.get(id).await.unwrap().newest().await, Some(signed(2, b"two")));
            let end = guest.keep(signed(1, b"one"), |told| panic!("{told:?}")).await;
            assert!(matches!(end, DhtError::NotStored(NotStored::Superseded { .. })), "{end:?}");
            let (tell, told) = async_channel::unbounded();
            let keep = guest.keep(signed(4, b"four"), |outcome| tell.try_send(outcome).unwrap());
            let is_told = async {
                assert!(matches!(told.recv().await, Ok(Ok(nodes)) if nodes >= 1));
                DhtError::Stopped
            };
            assert_eq!(keep.or(is_told).await, DhtError::Stopped);

            let table = guest.table().await.unwrap();
            assert_eq!(guest.stats().await.unwrap().nodes_v4, table.len());
            assert!(table.iter().any(|known| known.contact.addr == entry && known.failures == 0));
        });
    }

    /// Over the loopback interface, where the system lets a group be joined there.
    #[test]
    fn nodes_of_one_network_find_each_other() {
        let node = || DhtNode::builder().bind(LOOPBACK).bootstrap([]).lan(true);
        let first = node().start().unwrap();
        let second = node().guest().start().unwrap();
        async_io::block_on(async {
            // Other nodes of this machine may be there, too.
            match second.ready(PATIENCE).await {
                Ok(nodes) => assert!(nodes >= 1),
                Err(error) if cfg!(target_os = "linux") => panic!("{error}"),
                Err(_) => {}
            }
            first.close().await;
        });
    }

    #[test]
    fn who_cannot_get_in_is_told_why() {
        let start =
            |hosts: Vec<Host>| DhtNode::builder().bind(LOOPBACK).bootstrap(hosts).guest().start().unwrap();
        let silent = std::net::UdpSocket::bind(LOOPBACK).unwrap();
        let at_silent = Host::Addr(silent.local_addr().unwrap());
        async_io::block_on(async {
            let why = start(Vec::new()).ready(PATIENCE).await;
            assert_eq!(why, Err(DhtError::CutOff));
            let why = start(vec![Host::Name("no host name".into(), 1)]).ready(PATIENCE).await;
            assert_eq!(why, Err(DhtError::Unresolved(vec!["no host name".into()])));
            let why = start(vec![at_silent]).ready(Duration::from_millis(300)).await;
            assert_eq!(why, Err(DhtError::Nobody { hosts: 1, nodes: 0 }));
        });
    }
}
