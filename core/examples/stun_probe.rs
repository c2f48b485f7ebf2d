//! Asks STUN servers at which address they see this machine: the STUN client of the core on a plain socket, with no
//! runtime.
//!
//!     cargo run -p folkmoot-core --no-default-features --example stun_probe -- stun.example.org:3478 203.0.113.7:3478

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is a shell: it owns the clock, the socket and the entropy"
)]

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use folkmoot_core::base::{Cx, Outbox, Rng, SocketId, Time, UnixTime};
use folkmoot_core::stun::{Client, Event};
use folkmoot_core::wire::stun::Message;

const SOCKET: SocketId = SocketId(0);

fn main() -> Result<(), Box<dyn Error>> {
    let mut servers = Vec::new();
    for name in std::env::args().skip(1) {
        servers.extend(name.to_socket_addrs()?.find(SocketAddr::is_ipv4));
    }
    if servers.is_empty() {
        return Err("give one or more HOST:PORT that have an IPv4 address".into());
    }

    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy)?;
    let (mut rng, mut out) = (Rng::new(entropy), Outbox::default());
    let mut client = Client::new();
    let started = Instant::now();
    let mut bytes = [0; 2_048];

    // The whole contract: hand in the time and what arrived, send what comes out, wait until the next wake.
    let mut received = None;
    let mut probed = false;
    loop {
        let now = Time::from_micros(started.elapsed().as_micros() as u64);
        let mut cx = Cx { now, unix: UnixTime::default(), rng: &mut rng, out: &mut out };
        if !std::mem::replace(&mut probed, true) {
            client.probe(&mut cx, SOCKET, &servers);
        }
        if let Some((len, from)) = received.take()
            && let Ok(message) = Message::parse(&bytes[..len])
        {
            client.handle(&mut cx, SOCKET, from, &message);
        }
        client.on_wake(&mut cx);

        while let Some(datagram) = out.pop() {
            if let Err(error) = socket.send_to(&datagram.bytes, datagram.to) {
                eprintln!("{}: {error}", datagram.to);
            }
        }
        while let Some(event) = client.pop_event() {
            match event {
                Event::Mapped { server, public, .. } => println!("{server} sees {public} after {now}"),
                Event::Failed { server, reason, .. } => println!("{server}: {reason}"),
                Event::RoundOver { asked, answered, .. } => {
                    println!("{answered} of {asked} answered");
                    return Ok(());
                }
            }
        }

        let wait = client.next_wake().map(|wake| wake.at - now);
        socket.set_read_timeout(wait.map(|wait| wait.max(Duration::from_millis(1))))?;
        // A timeout is the wake; any other error is a datagram that could not be delivered, which silence will show.
        received = socket.recv_from(&mut bytes).ok();
    }
}
