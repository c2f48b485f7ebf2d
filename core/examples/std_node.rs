//! A whole node on one plain socket, with no runtime and no thread: it joins a meeting, greets whoever comes, and prints
//! what is said. Start it twice, beside a DHT node (the example `dht_node`, or `moot dht serve`):
//!
//!     cargo run -p folkmoot-core --example std_node -- ada 127.0.0.1:0 acid-tulip-seven 127.0.0.1:6881
//!
//! What a real shell has beyond this: a socket for each address family, names looked up and codes stretched off the
//! loop, an identity that lasts.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is a shell: it owns the clock, the socket and the entropy"
)]

use std::error::Error;
use std::io::ErrorKind;
use std::net::{ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use argon2::{Algorithm, Argon2, Params, Version};
use folkmoot_core::base::{Host, Incarnation, SocketId, SocketInfo, Time, UnixTime};
use folkmoot_core::meeting::{Code, Master};
use folkmoot_core::node::{
    Answer, Command, Config, Event, Identity, Input, MeetingHandle, Network, Node, Output, RequestKind, Tag,
};

const SOCKET: SocketId = SocketId(0);
const MEETING: MeetingHandle = MeetingHandle(0);

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, bind, code, bootstrap @ ..] = &args[..] else {
        return Err("give a name, an ADDR:PORT to bind, a code, and HOST:PORT of DHT nodes".into());
    };
    let socket = UdpSocket::bind(bind)?;
    let bound = socket.local_addr()?;

    let unix_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as u64;
    let identity = Identity { device: entropy()?, member: entropy()? };
    let mut config = Config::new(identity, Incarnation(unix_ms));
    config.name = name.clone();
    config.bootstrap = bootstrap.iter().map(|host| host.parse()).collect::<Result<Vec<Host>, _>>()?;
    let started = Instant::now();
    let now = || Time::from_micros(started.elapsed().as_micros() as u64);
    let mut node = Node::new(config, entropy()?, now(), UnixTime::from_millis(unix_ms));

    // Its addresses; a socket bound to a wildcard address would name those of every interface.
    let info = SocketInfo { id: SOCKET, bound, addrs: vec![bound.ip()] };
    node.handle(now(), Input::Network(Network::Sockets(vec![info])));
    node.handle(now(), Input::Command(Command::Join { meeting: MEETING, code: Code::new(code)? }));

    // The whole contract: do what it says until it is idle, then hand in what happens next.
    let mut bytes = [0; 65_535];
    loop {
        let wake = loop {
            match node.poll() {
                Output::Transmit(transmit) => {
                    // What the network does not take is lost, as so much on a network.
                    let _ = socket.send_to(&transmit.bytes, transmit.to);
                }
                Output::Request(request) => {
                    let answer = match request.kind {
                        RequestKind::Derive(code) => Answer::Derived(stretch(&code)?),
                        RequestKind::Resolve(name, port) => Answer::Resolved(
                            (name, port).to_socket_addrs().map_or(Vec::new(), Iterator::collect),
                        ),
                    };
                    node.handle(now(), Input::Answer(request.id, answer));
                }
                Output::Event(event) => {
                    if let Some(command) = show(event) {
                        node.handle(now(), Input::Command(command));
                    }
                }
                Output::Idle(wake) => break wake,
            }
        };
        let wait = wake.map(|wake| wake.at.saturating_since(now()).max(Duration::from_micros(1)));
        socket.set_read_timeout(wait)?;
        match socket.recv_from(&mut bytes) {
            Ok((len, from)) => {
                let (local, bytes) = (Some(bound.ip()), &bytes[..len]);
                node.handle(now(), Input::Datagram { socket: SOCKET, local, from, bytes });
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                node.handle(now(), Input::Tick);
            }
            // Some systems report here that something sent earlier did not arrive.
            Err(error) => eprintln!("{error}"),
        }
    }
}

/// Prints an event, and greets who comes.
fn show(event: Event) -> Option<Command> {
    match event {
        Event::Status { progress, .. } => eprintln!("  {progress} …"),
        Event::Trouble { trouble, .. } => eprintln!("! {trouble}; {}", trouble.hint()),
        Event::Connected { name, path, .. } => {
            println!("{name} is here ({path:?})");
            return Some(Command::Say { meeting: MEETING, tag: Tag(0), text: format!("hello, {name}") });
        }
        Event::Disconnected { member, reason, .. } => println!("{member:?} is gone: {reason:?}"),
        Event::Message { name, text, .. } => println!("{name}: {text}"),
        Event::Delivered { seq, to, .. } => println!("message {seq} has arrived at {to:?}"),
        _ => {}
    }
    None
}

fn entropy() -> Result<[u8; 32], getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

fn stretch(code: &Code) -> Result<Master, argon2::Error> {
    code.stretch(|password, salt, memory_kib, passes, lanes| {
        let mut master = [0; 32];
        let params = Params::new(memory_kib, passes, lanes, Some(32))?;
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(
            password,
            salt,
            &mut master,
        )?;
        Ok(master)
    })
}
