use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use folkmoot_core::base::{Time, Wake};

use super::stun::{STUN_PORT, answer};
use crate::engine::{Host, HostCx};

/// A STUN server that does not do what it should.
#[derive(Debug)]
pub struct LyingStun {
    lie: Lie,
    /// Answers that wait: when, from where, to whom, what.
    waiting: VecDeque<(Time, SocketAddr, SocketAddr, Vec<u8>)>,
    /// Since when it counts requests, and how many there were.
    counted: (Time, u32),
}

/// What is wrong with it (RFC 8489, section 16, has most of them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Everyone is at this endpoint, for example a victim's.
    Everyone(SocketAddr),
    /// Everyone is at another port, so many further.
    Port(u16),
    /// Everyone is at a private address.
    Private,
    /// Everyone is at an address of the other family.
    Family,
    /// It tells the truth from another port than it was asked at.
    OtherSource,
    /// It tells the truth, so late.
    Late(Duration),
    /// It answers so many requests a second, of all clients together.
    Seldom(u32),
}

impl LyingStun {
    /// A server that tells this lie.
    pub fn new(lie: Lie) -> Self {
        Self { lie, waiting: VecDeque::new(), counted: (Time::ZERO, 0) }
    }

    /// Where it says that `from` is; `None` is silence.
    fn seen(&mut self, now: Time, from: SocketAddr) -> Option<SocketAddr> {
        match self.lie {
            Lie::Everyone(victim) => Some(victim),
            Lie::Port(further) => Some(SocketAddr::new(from.ip(), from.port().wrapping_add(further).max(1))),
            Lie::Private if from.is_ipv4() => Some((Ipv4Addr::new(10, 1, 2, 3), from.port()).into()),
            Lie::Private => Some((Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1), from.port()).into()),
            Lie::Family => Some(SocketAddr::new(other_family(from.ip()), from.port())),
            Lie::OtherSource | Lie::Late(_) => Some(from),
            Lie::Seldom(most) => {
                if now - self.counted.0 >= Duration::from_secs(1) {
                    self.counted = (now, 0);
                }
                self.counted.1 = self.counted.1.saturating_add(1);
                (self.counted.1 <= most).then_some(from)
            }
        }
    }
}

impl Host for LyingStun {
    fn start(&mut self, _: &mut HostCx<'_>) {}

    fn handle_datagram(&mut self, cx: &mut HostCx<'_>, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        if to.port() != STUN_PORT {
            return;
        }
        let Some(answer) = self.seen(cx.now, from).and_then(|seen| answer(seen, bytes)) else { return };
        match self.lie {
            Lie::Late(by) => self.waiting.push_back((cx.now + by, to, from, answer)),
            Lie::OtherSource => cx.send(SocketAddr::new(to.ip(), STUN_PORT + 1), from, answer),
            _ => cx.send(to, from, answer),
        }
    }

    fn on_wake(&mut self, cx: &mut HostCx<'_>) {
        while self.waiting.front().is_some_and(|(at, ..)| *at <= cx.now) {
            let Some((_, from, to, answer)) = self.waiting.pop_front() else { return };
            cx.send(from, to, answer);
        }
    }

    fn next_wake(&self) -> Option<Wake> {
        self.waiting.front().map(|(at, ..)| Wake::new(*at, "liar.late"))
    }
}

fn other_family(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_compatible().into(),
        IpAddr::V6(_) => Ipv4Addr::new(198, 51, 100, 7).into(),
    }
}

#[cfg(test)]
mod tests {
    use folkmoot_core::wire::stun;

    use super::*;
    use crate::engine::World;
    use crate::net::{Law, LinkRules, RealmId};

    /// Asks once, and remembers what came from where and when.
    #[derive(Default)]
    struct Client {
        server: Option<SocketAddr>,
        heard: Vec<(Time, SocketAddr, Option<SocketAddr>)>,
    }

    impl Host for Client {
        fn start(&mut self, cx: &mut HostCx<'_>) {
            let request = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
            if let Some(server) = self.server {
                cx.send((cx.addr(), 5_000).into(), server, request);
            }
        }

        fn handle_datagram(&mut self, cx: &mut HostCx<'_>, _: SocketAddr, from: SocketAddr, bytes: &[u8]) {
            let mapped = stun::Message::parse(bytes).ok().and_then(|message| message.mapped_address());
            self.heard.push((cx.now, from, mapped));
        }

        fn on_wake(&mut self, _: &mut HostCx<'_>) {}

        fn next_wake(&self) -> Option<Wake> {
            None
        }
    }

    /// What a client hears from a server that lies, and its own endpoint.
    fn ask(lie: Lie) -> (Vec<(Time, SocketAddr, Option<SocketAddr>)>, SocketAddr) {
        let mut world = World::new(1);
        let link = LinkRules::both(Law::delay(10));
        let [server, client] = ["server", "client"].map(|name| world.add_host(name, RealmId::INTERNET, link));
        world.start(server, LyingStun::new(lie));
        let address = SocketAddr::new(world.addrs(server)[0], STUN_PORT);
        world.start(client, Client { server: Some(address), heard: Vec::new() });
        world.run_until(Time::from_millis(5_000));
        assert!(world.violations().is_empty());
        let own = SocketAddr::new(world.addrs(client)[0], 5_000);
        (world.program::<Client>(client).unwrap().heard.clone(), own)
    }

    #[test]
    fn every_lie_is_told() {
        let victim: SocketAddr = "30.0.0.9:9".parse().unwrap();
        assert_eq!(ask(Lie::Everyone(victim)).0[0].2, Some(victim));
        let (heard, own) = ask(Lie::Port(3));
        assert_eq!(heard[0].2, Some(SocketAddr::new(own.ip(), 5_003)));
        assert_eq!(ask(Lie::Private).0[0].2, "10.1.2.3:5000".parse().ok());
        assert!(ask(Lie::Family).0[0].2.is_some_and(|mapped| mapped.is_ipv6()));
        let (heard, own) = ask(Lie::OtherSource);
        assert_eq!((heard[0].1.port(), heard[0].2), (STUN_PORT + 1, Some(own)));
        let (heard, own) = ask(Lie::Late(Duration::from_secs(2)));
        assert_eq!((heard[0].0, heard[0].2), (Time::from_millis(2_040), Some(own)));
        assert_eq!(ask(Lie::Seldom(1)).0.len(), 1);
        assert!(ask(Lie::Seldom(0)).0.is_empty());
    }
}
