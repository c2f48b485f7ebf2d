use std::net::SocketAddr;

use folkmoot_core::base::{Cx, NodeId, Outbox, Rng, Wake};
use folkmoot_core::dht::{Config, Dht, Mode};

use super::{Manner, sockets};
use crate::engine::{Host, HostCx};

/// A bare [`Dht`] on a host: one node of a private DHT.
#[derive(Debug)]
pub struct DhtHost {
    bootstrap: Vec<SocketAddr>,
    run: u64,
    manner: Manner,
    id: Option<NodeId>,
    /// Questions and announcements that it did not treat as it should.
    misled: u64,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    dht: Dht,
    rng: Rng,
    out: Outbox,
}

/// The port that DHT nodes listen on.
pub(crate) const DHT_PORT: u16 = 6_881;

impl DhtHost {
    /// A node that enters the DHT through `bootstrap`.
    pub fn new(bootstrap: Vec<SocketAddr>) -> Self {
        Self { bootstrap, run: 0, manner: Manner::Honest, id: None, misled: 0, running: None }
    }

    /// The same, started for the time of this number on its host: each has entropy of its own, so that nobody holds tokens of one before it.
    pub fn started_anew(self, run: u64) -> Self {
        Self { run, ..self }
    }

    /// The same with other manners, and with an id of its own choice if one is given.
    pub fn behaving(self, manner: Manner, id: Option<NodeId>) -> Self {
        Self { manner, id, ..self }
    }

    /// How many questions for peers, and announcements, it has not treated as it should.
    pub fn misled(&self) -> u64 {
        self.misled
    }

    /// The machine; `None` before it started.
    pub fn dht(&self) -> Option<&Dht> {
        self.running.as_ref().map(|running| &running.dht)
    }
}

impl Running {
    /// One call of the machine, and what follows from it. Its events are of no interest here.
    fn turn(&mut self, cx: &mut HostCx<'_>, call: impl FnOnce(&mut Dht, &mut Cx<'_>)) {
        let mut core = Cx { now: cx.now, unix: cx.unix, rng: &mut self.rng, out: &mut self.out };
        call(&mut self.dht, &mut core);
        while self.dht.pop_event().is_some() {}
        while let Some(transmit) = self.out.pop() {
            sockets::transmit(cx, DHT_PORT, transmit);
        }
    }
}

impl Host for DhtHost {
    fn start(&mut self, cx: &mut HostCx<'_>) {
        let (mut rng, mut out) = (Rng::new(cx.entropy(self.run)), Outbox::default());
        let mut core = Cx { now: cx.now, unix: cx.unix, rng: &mut rng, out: &mut out };
        let dht = Dht::new(Config { id: self.id, mode: Mode::Server, ..Config::default() }, &mut core);
        let running = self.running.insert(Running { dht, rng, out });
        let sockets = sockets::sockets(cx.addrs, DHT_PORT);
        running.turn(cx, |dht, core| {
            dht.set_sockets(core, &sockets);
            dht.bootstrap(core, &self.bootstrap);
        });
    }

    fn handle_datagram(&mut self, cx: &mut HostCx<'_>, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        if to.port() == DHT_PORT
            && let Some(running) = &mut self.running
        {
            if let Some(instead) = self.manner.answer(running.dht.id(from.is_ipv4()), from, bytes) {
                self.misled += 1;
                instead.into_iter().for_each(|answer| cx.send(to, from, answer));
                return;
            }
            running.turn(cx, |dht, core| {
                dht.handle_datagram(core, sockets::socket_for(to), Some(to.ip()), from, bytes)
            });
        }
    }

    fn on_wake(&mut self, cx: &mut HostCx<'_>) {
        if let Some(running) = &mut self.running {
            running.turn(cx, |dht, core| dht.on_wake(core));
        }
    }

    fn next_wake(&self) -> Option<Wake> {
        self.running.as_ref()?.dht.next_wake()
    }
}
