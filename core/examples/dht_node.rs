//! A node of the Mainline DHT on a plain socket, with no runtime. It enters through the given hosts, answers others, keeps
//! the given topics announced and prints who else announces them.
//!
//!     cargo run -p folkmoot-core --no-default-features --example dht_node -- 127.0.0.1:6881
//!     cargo run -p folkmoot-core --no-default-features --example dht_node -- 127.0.0.1:0 127.0.0.1:6881 \
//!         0123456789abcdef0123456789abcdef01234567

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is a shell: it owns the clock, the socket and the entropy"
)]

use std::error::Error;
use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use folkmoot_core::base::{Cx, InfoHash, Outbox, Rng, SocketId, SocketInfo, Time, UnixTime};
use folkmoot_core::dht::{Config, Dht};

const SOCKET: SocketId = SocketId(0);
const POLL: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let socket =
        UdpSocket::bind(args.next().ok_or("give an ADDR:PORT to bind, hosts to enter through, and topics")?)?;
    let (topics, hosts): (Vec<_>, Vec<_>) = args.partition(|arg| arg.parse::<InfoHash>().is_ok());
    let topics: Vec<InfoHash> = topics.iter().filter_map(|topic| topic.parse().ok()).collect();
    let hosts: Vec<_> = hosts.iter().map(|host| host.to_socket_addrs()).collect::<Result<_, _>>()?;
    let hosts: Vec<SocketAddr> = hosts.into_iter().flatten().collect();

    let (started, mut entropy, mut bytes) = (Instant::now(), [0; 32], [0; 2_048]);
    getrandom::fill(&mut entropy)?;
    let (mut rng, mut out) = (Rng::new(entropy), Outbox::default());
    let mut cx = Cx { now: Time::ZERO, unix: UnixTime::default(), rng: &mut rng, out: &mut out };
    let mut dht = Dht::new(Config::default(), &mut cx);
    let bound = socket.local_addr()?;
    println!("{} at {bound}", dht.id(true));
    dht.set_sockets(&mut cx, &[SocketInfo { id: SOCKET, bound, addrs: vec![bound.ip()] }]);
    dht.bootstrap(&mut cx, &hosts);
    topics.iter().for_each(|topic| dht.announce(&mut cx, *topic));

    // The whole contract: hand in the time and what arrived, send what comes out, wait until the next wake.
    let mut poll_at = Time::ZERO;
    loop {
        while let Some(datagram) = out.pop() {
            if let Err(error) = socket.send_to(&datagram.bytes, datagram.to) {
                eprintln!("{}: {error}", datagram.to);
            }
        }
        while let Some(event) = dht.pop_event() {
            println!("{event:?}");
        }

        let now = || Time::from_micros(started.elapsed().as_micros() as u64);
        let wake = dht.next_wake().map_or(poll_at, |wake| wake.at.min(poll_at));
        socket.set_read_timeout(Some((wake - now()).max(Duration::from_millis(1))))?;
        let received = socket.recv_from(&mut bytes);
        let mut cx = Cx { now: now(), unix: UnixTime::default(), rng: &mut rng, out: &mut out };
        match received {
            Ok((length, from)) => dht.handle_datagram(&mut cx, SOCKET, None, from, &bytes[..length]),
            // A timeout, or some earlier datagram that found nobody: neither is a reason to end.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => eprintln!("{error}"),
        }
        dht.on_wake(&mut cx);
        if cx.now >= poll_at {
            for topic in &topics {
                dht.poll(&mut cx, *topic);
            }
            poll_at = cx.now + POLL;
        }
    }
}
