use std::net::SocketAddr;
use std::time::Duration;

use folkmoot_core::base::{Time, Wake};

use crate::engine::{Host, HostCx};
use crate::net::{CONTROL_PORT, mapped, u16_at, u32_at};

/// A program that has its router open a port, by PCP or else NAT-PMP, and keeps it open: it asks again after half of the lifetime that it
/// got (RFC 6887, section 11.2.1). What comes through the port it remembers.
#[derive(Clone, Debug)]
pub struct PortMapper {
    /// Which port of this host.
    port: u16,
    /// In seconds.
    lifetime: u32,
    external: Option<SocketAddr>,
    heard: Vec<(Time, SocketAddr, Vec<u8>)>,
    protocol: Protocol,
    tries: u32,
    next: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Pcp,
    NatPmp,
}

/// The first retransmission, which doubles (RFC 6887, section 8.1.1), and how often a request is sent at all.
const RETRY: Duration = Duration::from_secs(3);
const TRIES: u32 = 4;
const UDP: u8 = 17;

impl PortMapper {
    /// Wants this port for so many seconds at a time.
    pub fn new(port: u16, lifetime: u32) -> Self {
        Self {
            port,
            lifetime,
            external: None,
            heard: Vec::new(),
            protocol: Protocol::Pcp,
            tries: 0,
            next: None,
        }
    }

    /// The endpoint outside that leads to it, as its router says. By NAT-PMP it is only the port that is told here, at 0.0.0.0.
    pub fn external(&self) -> Option<SocketAddr> {
        self.external
    }

    /// What came through the port: when, from whom, and what.
    pub fn heard(&self) -> &[(Time, SocketAddr, Vec<u8>)] {
        &self.heard
    }

    fn ask(&mut self, cx: &mut HostCx<'_>) {
        self.next = None;
        let Some(router) = cx.router().filter(|_| self.tries < TRIES) else { return };
        let request = match self.protocol {
            Protocol::Pcp => self.pcp(cx),
            Protocol::NatPmp => self.nat_pmp(),
        };
        cx.send((cx.addr(), self.port).into(), (router, CONTROL_PORT).into(), request);
        self.next = Some(cx.now + RETRY * 2u32.pow(self.tries));
        self.tries += 1;
    }

    fn pcp(&self, cx: &HostCx<'_>) -> Vec<u8> {
        let mut request = vec![2, 1, 0, 0];
        request.extend(self.lifetime.to_be_bytes());
        request.extend(mapped(cx.addr()));
        request.extend(&cx.entropy(0)[..12]);
        request.extend([UDP, 0, 0, 0]);
        request.extend(self.port.to_be_bytes());
        request.extend(self.external.map_or(self.port, |external| external.port()).to_be_bytes());
        request.extend([0; 16]);
        request
    }

    fn nat_pmp(&self) -> Vec<u8> {
        let mut request = vec![0, 1, 0, 0];
        request.extend(self.port.to_be_bytes());
        request.extend(self.external.map_or(self.port, |external| external.port()).to_be_bytes());
        request.extend(self.lifetime.to_be_bytes());
        request
    }

    fn answered(&mut self, cx: &mut HostCx<'_>, answer: &[u8]) {
        let (lifetime, external) = match answer {
            [0, 129, 0, 0, ..] => {
                let external = u16_at(answer, 10).map(|port| SocketAddr::from(([0; 4], port)));
                (u32_at(answer, 12), external)
            }
            // The router does not know PCP.
            [0, 129, 0, 1, ..] if self.protocol == Protocol::Pcp => {
                (self.protocol, self.tries) = (Protocol::NatPmp, 0);
                return self.ask(cx);
            }
            [2, 129, 0, 0, ..] => {
                let ip = answer.get(56..60).and_then(|ip| <[u8; 4]>::try_from(ip).ok());
                let external = ip.zip(u16_at(answer, 42)).map(SocketAddr::from);
                (u32_at(answer, 4), external)
            }
            _ => return,
        };
        let (Some(lifetime), Some(external)) = (lifetime, external) else { return };
        self.external = Some(external);
        self.tries = 0;
        self.next = Some(cx.now + Duration::from_secs(lifetime.into()) / 2);
    }
}

impl Host for PortMapper {
    fn start(&mut self, cx: &mut HostCx<'_>) {
        self.tries = 0;
        self.ask(cx);
    }

    fn handle_datagram(&mut self, cx: &mut HostCx<'_>, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        if to.port() != self.port {
            return;
        }
        if Some(from.ip()) == cx.router() && from.port() == CONTROL_PORT {
            self.answered(cx, bytes);
        } else {
            self.heard.push((cx.now, from, bytes.to_vec()));
        }
    }

    fn on_wake(&mut self, cx: &mut HostCx<'_>) {
        if self.next.is_some_and(|next| next <= cx.now) {
            self.ask(cx);
        }
    }

    fn on_addresses(&mut self, cx: &mut HostCx<'_>) {
        self.external = None;
        self.start(cx);
    }

    fn next_wake(&self) -> Option<Wake> {
        self.next.map(|at| Wake::new(at, "mapper"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{HostId, World};
    use crate::net::{Behavior, BoxRules, Law, LinkRules, NatRules, PortControl, RealmId};

    const PORT: u16 = 4_000;
    const STRICT: Behavior = Behavior::AddressAndPortDependent;

    /// A stranger, who calls at an endpoint every second.
    struct Caller(SocketAddr, Time);

    impl Host for Caller {
        fn start(&mut self, cx: &mut HostCx<'_>) {
            self.1 = cx.now + Duration::from_secs(1);
        }

        fn handle_datagram(&mut self, _: &mut HostCx<'_>, _: SocketAddr, _: SocketAddr, _: &[u8]) {}

        fn on_wake(&mut self, cx: &mut HostCx<'_>) {
            cx.send((cx.addr(), PORT).into(), self.0, b"hello".to_vec());
            self.1 += Duration::from_secs(1);
        }

        fn next_wake(&self) -> Option<Wake> {
            Some(Wake::new(self.1, "call"))
        }
    }

    struct Scene {
        world: World,
        home: crate::net::BoxId,
        mapper: HostId,
        endpoint: SocketAddr,
    }

    /// Somebody behind a NAT that admits only whom it sent to, and a stranger who calls port 4000 of it.
    fn scene(control: PortControl) -> Scene {
        let mut world = World::new(0);
        let link = LinkRules::both(Law::delay(5));
        let rules = BoxRules::Nat(NatRules { control, ..NatRules::new(STRICT, STRICT) });
        let (home, realm) = world.add_box(RealmId::INTERNET, rules, link);
        let mapper = world.add_host("mapper", realm, link);
        let caller = world.add_host("caller", RealmId::INTERNET, link);
        let external = world.network().nat(home).unwrap().pool()[0];
        let endpoint = SocketAddr::new(external, PORT);
        world.start(mapper, PortMapper::new(PORT, 600));
        world.start(caller, Caller(endpoint, Time::ZERO));
        Scene { world, home, mapper, endpoint }
    }

    impl Scene {
        fn heard_in(&mut self, seconds: u64) -> usize {
            let before = self.mapper().heard().len();
            self.world.run_for(Duration::from_secs(seconds));
            self.mapper().heard().len() - before
        }

        fn mapper(&self) -> &PortMapper {
            self.world.program(self.mapper).unwrap()
        }
    }

    #[test]
    fn a_port_is_opened_and_kept_open() {
        let mut pcp = scene(PortControl::Pcp);
        assert_eq!(pcp.heard_in(2_000), 1_999, "who is called is heard, at every moment");
        assert_eq!(pcp.mapper().external(), Some(pcp.endpoint));
        assert!(pcp.world.violations().is_empty());
        let mut older = scene(PortControl::NatPmp);
        assert_eq!(older.heard_in(2_000), 1_999);
        assert_eq!(older.mapper().external().map(|external| external.port()), Some(PORT));
    }

    #[test]
    fn a_router_that_restarts_forgets_and_is_asked_again() {
        let mut scene = scene(PortControl::Pcp);
        scene.heard_in(100);
        scene.world.network().gate(scene.home).unwrap().reboot();
        assert_eq!(scene.heard_in(100), 0);
        assert!(scene.heard_in(200) > 90, "after half of the lifetime of 600 s");
    }

    #[test]
    fn a_router_that_opens_no_ports_is_left_alone() {
        let mut scene = scene(PortControl::None);
        assert_eq!(scene.heard_in(600), 0);
        assert_eq!((scene.mapper().external(), scene.mapper().next_wake().is_none()), (None, true));
    }
}
