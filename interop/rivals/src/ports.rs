//! `rivals ports`: the simulator's NAT opens ports for [crab_nat], a client of PCP and NAT-PMP by somebody else, over real sockets on
//! the loopback. Needs UDP port 5351 of 127.0.0.53, since the client knows no other port.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crab_nat::{InternetProtocol, PortMapping, PortMappingOptions, PortMappingType, natpmp};
use folkmoot_core::base::Time;
use folkmoot_sim::engine::Draws;
use folkmoot_sim::net::{Behavior, CONTROL_PORT, Nat, NatRules, PortControl};

const ROUTER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);
const CLIENT: Ipv4Addr = Ipv4Addr::LOCALHOST;
const EXTERNAL: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const INTERNAL_PORT: u16 = 4_000;
const WANTED: u16 = 7_000;
const LIFETIME: u32 = 600;

/// A NAT that admits only whom was sent to, and when it began.
struct Router {
    nat: Mutex<Nat>,
    began: Instant,
}

impl Router {
    fn new(control: PortControl) -> Arc<Self> {
        let strict = Behavior::AddressAndPortDependent;
        let rules = NatRules { control, ..NatRules::new(strict, strict) };
        let nat = Mutex::new(Nat::new(1, rules, vec![EXTERNAL.into()]));
        Arc::new(Self { nat, began: Instant::now() })
    }

    fn now(&self) -> Time {
        Time::ZERO + self.began.elapsed()
    }

    fn serve(&self, socket: &UdpSocket) {
        let mut bytes = [0; 2_000];
        while let Ok((len, from)) = socket.recv_from(&mut bytes) {
            let mut nat = self.nat.lock().expect("nobody panicked");
            if let Some(answer) = nat.control(self.now(), &Draws::new(1), from, &bytes[..len]) {
                socket.send_to(&answer, from).expect("the loopback takes it");
            }
        }
    }

    /// Whom a stranger reaches at the port that was asked for.
    fn reached(&self) -> Option<SocketAddr> {
        let mut nat = self.nat.lock().expect("nobody panicked");
        let stranger = SocketAddr::from(([203, 0, 113, 9], 9));
        nat.inbound(self.now(), stranger, (EXTERNAL, WANTED).into()).ok()
    }
}

pub fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for control in [PortControl::Pcp, PortControl::NatPmp] {
        let router = Router::new(control);
        let socket = UdpSocket::bind((ROUTER, CONTROL_PORT)).expect("port 5351 of 127.0.0.53 is free");
        // So that the thread ends, and the next may have the port.
        socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
        let server = std::thread::spawn({
            let router = router.clone();
            move || router.serve(&socket)
        });
        runtime.block_on(client(control, &router));
        server.join().expect("the server did not panic");
        println!("{control:?}: opened, renewed, closed");
    }
}

async fn client(control: PortControl, router: &Router) {
    let gateway = ROUTER.into();
    let options = PortMappingOptions {
        external_port: NonZeroU16::new(WANTED),
        lifetime_seconds: Some(LIFETIME),
        timeout_config: None,
    };
    let port = NonZeroU16::new(INTERNAL_PORT).expect("not 0");
    let inside = SocketAddr::from((CLIENT, INTERNAL_PORT));
    assert_eq!(router.reached(), None, "at first nobody is reached");
    let mut mapping = PortMapping::new(gateway, CLIENT.into(), InternetProtocol::Udp, port, options)
        .await
        .expect("a port is opened");
    match (control, mapping.mapping_type()) {
        (PortControl::Pcp, PortMappingType::Pcp { external_ip, .. }) => {
            assert_eq!(external_ip, IpAddr::from(EXTERNAL));
        }
        // It asks for PCP first, and is told that there is none.
        (PortControl::NatPmp, PortMappingType::NatPmp) => {}
        (_, other) => panic!("it was opened by {other}"),
    }
    assert_eq!((mapping.external_port().get(), mapping.lifetime()), (WANTED, LIFETIME));
    assert_eq!(router.reached(), Some(inside));
    mapping.renew().await.expect("it is renewed");
    assert_eq!((mapping.external_port().get(), router.reached()), (WANTED, Some(inside)));
    let told = natpmp::external_address(gateway, None).await.expect("an address");
    assert_eq!(told, EXTERNAL);
    mapping.try_drop().await.expect("it is closed");
    assert_eq!(router.reached(), None, "nobody is reached any more");
    // A router opens ports for UDP only, and says so.
    let tcp = PortMapping::new(gateway, CLIENT.into(), InternetProtocol::Tcp, port, options).await;
    println!("TCP: {}", tcp.expect_err("TCP is refused"));
}
