//! `rivals worlds`: the simulator's engine beside [turmoil], the best known simulator of networks in Rust, at the same work: so many
//! hosts, each of which sends a datagram of 100 bytes to each of its neighbours in a ring and answers every one that comes, with a
//! round trip of 100 ms on all ways.
//!
//! What is counted is datagrams delivered in a second. Neither runs anything else: both are engine and network alone.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use folkmoot_core::base::Wake;
use folkmoot_sim::engine::{Host, HostCx, World};
use folkmoot_sim::net::{Law, LinkRules, RealmId};

/// One way, of which each host's link has half.
const DELAY: Duration = Duration::from_millis(50);
const PORT: u16 = 9_000;
const PAYLOAD: [u8; 100] = [0; 100];

/// Answers what comes, and begins with one datagram to each of these.
struct Echo(Vec<SocketAddr>);

impl Host for Echo {
    fn start(&mut self, cx: &mut HostCx<'_>) {
        for to in &self.0 {
            cx.send(SocketAddr::new(cx.addr(), PORT), *to, PAYLOAD.to_vec());
        }
    }

    fn handle_datagram(&mut self, cx: &mut HostCx<'_>, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        cx.send(to, from, bytes.to_vec());
    }

    fn on_wake(&mut self, _: &mut HostCx<'_>) {}

    fn next_wake(&self) -> Option<Wake> {
        None
    }
}

pub fn main(args: &[String]) {
    let check = args.iter().any(|arg| arg == "--check");
    println!("| hosts | datagrams in flight | folkmoot-sim, delivered a second | turmoil | ratio |");
    println!("|---|---|---|---|---|");
    let mut least = f64::INFINITY;
    for (hosts, neighbours) in [(10, 2), (100, 2), (100, 20)] {
        let (ours, theirs) = (ours(hosts, neighbours), turmoil(hosts, neighbours));
        let ratio = ours / theirs;
        least = least.min(ratio);
        println!("| {hosts} | {} | {ours:.0} | {theirs:.0} | {ratio:.1} |", hosts * neighbours);
    }
    if check && least < 2.0 {
        eprintln!("the engine is meant to do at least twice what turmoil does");
        std::process::exit(1);
    }
}

/// How long the two are run.
const ROUNDS: u64 = 20_000;

fn ours(hosts: usize, neighbours: usize) -> f64 {
    let mut world = World::new(1);
    let link = LinkRules::both(Law::delay(DELAY.as_millis() as u64 / 2));
    let ids: Vec<_> = (0..hosts).map(|n| world.add_host(format!("h{n}"), RealmId::INTERNET, link)).collect();
    let at = |n: usize| SocketAddr::new(world.addrs(ids[n % hosts])[0], PORT);
    let echoes: Vec<_> = (0..hosts).map(|n| Echo((1..=neighbours).map(|k| at(n + k)).collect())).collect();
    let began = Instant::now();
    for (id, echo) in ids.into_iter().zip(echoes) {
        world.start(id, echo);
    }
    world.run_for(DELAY * rounds(hosts, neighbours) as u32);
    world.counts().delivered as f64 / began.elapsed().as_secs_f64()
}

/// turmoil goes forward in ticks, a millisecond by default, in each of which it calls every host.
fn turmoil(hosts: usize, neighbours: usize) -> f64 {
    let delivered = Rc::new(Cell::new(0_u64));
    let span = DELAY * rounds(hosts, neighbours) as u32;
    let mut sim = turmoil::Builder::new()
        .rng_seed(1)
        .simulation_duration(span * 2)
        .min_message_latency(DELAY)
        .max_message_latency(DELAY)
        .udp_capacity(1 << 16)
        .build();
    for n in 0..hosts {
        let delivered = delivered.clone();
        sim.host(format!("h{n}"), move || {
            let delivered = delivered.clone();
            async move {
                let socket =
                    turmoil::net::UdpSocket::bind((IpAddr::from(Ipv4Addr::UNSPECIFIED), PORT)).await?;
                // All are bound before the first sends.
                tokio::time::sleep(Duration::from_millis(10)).await;
                for k in 1..=neighbours {
                    socket.send_to(&PAYLOAD, (format!("h{}", (n + k) % hosts), PORT)).await?;
                }
                let mut bytes = [0; 1_500];
                loop {
                    let (len, from) = socket.recv_from(&mut bytes).await?;
                    delivered.set(delivered.get() + 1);
                    socket.send_to(&bytes[..len], from).await?;
                }
            }
        });
    }
    let began = Instant::now();
    while sim.elapsed() < span {
        sim.step().expect("turmoil goes on");
    }
    delivered.get() as f64 / began.elapsed().as_secs_f64()
}

/// How many one-way trips are simulated, so that the work is the same whatever there is in flight.
fn rounds(hosts: usize, neighbours: usize) -> u64 {
    ROUNDS.min(400_000 / (hosts * neighbours) as u64)
}
