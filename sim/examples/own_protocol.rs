//! A protocol of your own in a world of NATs: two who know each other's addresses from a third, and punch through.
//!
//!     cargo run -p folkmoot-sim --example own_protocol
//! A program is a `Host`: it is handed datagrams and wakes, and sends. The world is a function of its seed.

use std::net::SocketAddr;
use std::time::Duration;

use folkmoot_core::base::{Time, Wake};
use folkmoot_sim::net::{Behavior, BoxRules, Law, LinkRules, RealmId};
use folkmoot_sim::{Host, HostCx, HostId, World};

const PORT: u16 = 4_000;

/// Tells the second who comes of the first, and the first of the second.
#[derive(Default)]
struct Introducer {
    first: Option<SocketAddr>,
}

impl Host for Introducer {
    fn start(&mut self, _: &mut HostCx<'_>) {}

    fn handle_datagram(&mut self, cx: &mut HostCx<'_>, to: SocketAddr, from: SocketAddr, _: &[u8]) {
        match self.first.filter(|first| *first != from) {
            None => self.first = Some(from),
            Some(first) => {
                cx.send(to, from, format!("meet {first}").into_bytes());
                cx.send(to, first, format!("meet {from}").into_bytes());
            }
        }
    }

    fn on_wake(&mut self, _: &mut HostCx<'_>) {}

    fn next_wake(&self) -> Option<Wake> {
        None
    }
}

/// Asks to be introduced, then knocks at the other's address until it is heard, and once more so that the other hears.
struct Puncher {
    introducer: SocketAddr,
    other: Option<SocketAddr>,
    knock_at: Option<Time>,
    heard_at: Option<Time>,
}

impl Host for Puncher {
    fn start(&mut self, cx: &mut HostCx<'_>) {
        cx.send((cx.addr(), PORT).into(), self.introducer, b"here".to_vec());
    }

    fn handle_datagram(&mut self, cx: &mut HostCx<'_>, _: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        if let Some(other) = text.strip_prefix("meet ").and_then(|addr| addr.parse().ok()) {
            (self.other, self.knock_at) = (Some(other), Some(cx.now + Duration::from_millis(1)));
        } else if Some(from) == self.other {
            self.heard_at.get_or_insert(cx.now);
        }
    }

    fn on_wake(&mut self, cx: &mut HostCx<'_>) {
        if let Some((other, _)) = self.other.zip(self.knock_at.take_if(|at| *at <= cx.now)) {
            cx.send((cx.addr(), PORT).into(), other, b"knock".to_vec());
            self.knock_at = self.heard_at.is_none().then_some(cx.now + Duration::from_millis(200));
        }
    }

    fn next_wake(&self) -> Option<Wake> {
        self.knock_at.map(|at| Wake::new(at, "knock"))
    }
}

/// When both have heard each other behind NATs that map so, and what the oracle says of such a pair.
fn meet(seed: u64, mapping: Behavior) -> (Option<Time>, bool) {
    let (mut world, link) = (World::new(seed), LinkRules::both(Law::delay(20)));
    let server = world.add_host("introducer", RealmId::INTERNET, link);
    world.start(server, Introducer::default());
    let introducer = (world.addrs(server)[0], PORT).into();
    let [a, b] = ["a", "b"].map(|name| -> HostId {
        let nat = BoxRules::nat(mapping, Behavior::AddressAndPortDependent);
        let (_, home) = world.add_box(RealmId::INTERNET, nat, LinkRules::default());
        let host = world.add_host(name, home, link);
        world.start(host, Puncher { introducer, other: None, knock_at: None, heard_at: None });
        host
    });
    world.run_until(Time::from_millis(5_000));
    let heard = [a, b].map(|host| world.program::<Puncher>(host).and_then(|it| it.heard_at));
    (heard[0].zip(heard[1]).map(|(a, b)| a.max(b)), world.can_connect(a, b).direct)
}

fn main() {
    let usual = meet(7, Behavior::EndpointIndependent);
    let hard = meet(7, Behavior::AddressAndPortDependent);
    println!("behind usual NATs: met at {:?}; the oracle says {}", usual.0, usual.1);
    println!("behind symmetric ones: met at {:?}; the oracle says {}", hard.0, hard.1);
    assert!(usual.0.is_some() && usual.1 && hard.0.is_none() && !hard.1);
}
