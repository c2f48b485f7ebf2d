//! Gets and puts items of the DHT (BEP 44) on a plain socket, with no runtime.
//!
//!     cargo run -p folkmoot-core --no-default-features --example dht_item -- 127.0.0.1:6881 put 'Hello World!'
//!     cargo run -p folkmoot-core --no-default-features --example dht_item -- 127.0.0.1:6881 get TARGET
//!     cargo run -p folkmoot-core --no-default-features --example dht_item -- 127.0.0.1:6881 sign SECRET SALT SEQ 'A value'
//!     cargo run -p folkmoot-core --no-default-features --example dht_item -- 127.0.0.1:6881 read KEY SALT
//!
//! SECRET and KEY are 64 hexadecimal digits; a SALT of '' is none.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is a shell: it owns the clock, the socket and the entropy"
)]

use std::error::Error;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use folkmoot_core::base::{Cx, DeviceId, Outbox, Rng, SocketId, SocketInfo, Time, UnixTime};
use folkmoot_core::dht::{Author, Config, Dht, Event, ItemId, Mode, MutableItem, Salt, Value};

const USAGE: &str = "give HOST:PORT and put VALUE, get TARGET, sign SECRET SALT SEQ VALUE, or read KEY SALT";

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [host, what @ ..] = args.as_slice() else { return Err(USAGE.into()) };
    let host: SocketAddr = host.parse()?;

    let (started, mut entropy, mut bytes) = (Instant::now(), [0; 32], [0; 2_048]);
    getrandom::fill(&mut entropy)?;
    // Bound to the address that leads to the host: so it is known whether that is within this machine.
    let socket = UdpSocket::bind(if host.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.connect(host)?;
    let socket = UdpSocket::bind((socket.local_addr()?.ip(), 0))?;
    let bound = socket.local_addr()?;
    let (mut rng, mut out) = (Rng::new(entropy), Outbox::default());
    let mut cx = Cx { now: Time::ZERO, unix: UnixTime::default(), rng: &mut rng, out: &mut out };
    let mut dht = Dht::new(Config { mode: Mode::ReadOnly, ..Config::default() }, &mut cx);
    dht.set_sockets(&mut cx, &[SocketInfo { id: SocketId(0), bound, addrs: vec![bound.ip()] }]);
    dht.bootstrap(&mut cx, &[host]);

    let bytes_of = |hex: &str| hex.parse::<DeviceId>().map(|bytes| bytes.0);
    let salt_of = |salt: &str| Salt::new(salt.as_bytes());
    match what.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["put", value] => println!("{}", dht.put_immutable(&mut cx, Value::bytes(value.as_bytes())?)),
        ["get", target] => dht.get(&mut cx, ItemId::Immutable(target.parse()?), None),
        ["sign", secret, salt, seq, value] => {
            let author = Author::new(bytes_of(secret)?);
            println!("{}", DeviceId(author.public()));
            let value = Value::bytes(value.as_bytes())?;
            let item = MutableItem::sign(&author, salt_of(salt)?, seq.parse()?, value)?;
            println!("{}", dht.put_mutable(&mut cx, item, None));
        }
        ["read", key, salt] => {
            let id = ItemId::Mutable { key: bytes_of(key)?, salt: salt_of(salt)? };
            dht.get(&mut cx, id, None);
        }
        _ => return Err(USAGE.into()),
    }

    loop {
        while let Some(datagram) = out.pop() {
            // Whom the kernel cannot reach counts as silent.
            let _ = socket.send_to(&datagram.bytes, datagram.to);
        }
        while let Some(event) = dht.pop_event() {
            match event {
                Event::Item { item, from: Some(from), .. } => println!("{from}: {item:?}"),
                Event::ItemSought { found: true, .. } => return Ok(()),
                Event::ItemSought { answered, .. } => return Err(format!("none of {answered} has it").into()),
                Event::Stored { nodes, .. } => {
                    println!("stored by {nodes}");
                    return Ok(());
                }
                Event::NotStored { why, .. } => return Err(why.into()),
                _ => {}
            }
        }
        let now = || Time::from_micros(started.elapsed().as_micros() as u64);
        let pause = dht.next_wake().map_or(Duration::from_secs(1), |wake| wake.at - now());
        socket.set_read_timeout(Some(pause.max(Duration::from_millis(1))))?;
        let received = socket.recv_from(&mut bytes);
        let mut cx = Cx { now: now(), unix: UnixTime::default(), rng: &mut rng, out: &mut out };
        match received {
            Ok((length, from)) => dht.handle_datagram(&mut cx, SocketId(0), None, from, &bytes[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => eprintln!("{error}"),
        }
        dht.on_wake(&mut cx);
    }
}
