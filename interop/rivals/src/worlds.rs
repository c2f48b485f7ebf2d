//! `rivals worlds [--check]`: the simulator's engine beside [turmoil], the best known simulator of networks in Rust, at the same
//! work: so many hosts, each of which sends a datagram of 100 bytes to each of its neighbours in a ring; every datagram goes
//! back and forth, 50 ms each way, until it was delivered so many times. Neither loses any, and both must deliver all of them.
//!
//! Counted is datagrams delivered in a second of the thread's CPU time (Linux). Neither runs anything else: both are engine and
//! network alone. Ours besides takes every datagram into the digest of its trace, as it always does.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use folkmoot_core::base::Wake;
use folkmoot_sim::engine::{Host, HostCx, World};
use folkmoot_sim::net::{Law, LinkRules, RealmId};

/// One way, of which each host's link has half.
const DELAY: Duration = Duration::from_millis(50);
const PORT: u16 = 9_000;
const LEN: usize = 100;

/// turmoil goes forward in ticks, in each of which it calls every host. The first is its default; the second is so long that
/// hardly a tick is for nothing, which is its best case, and an arrival may be late by all of it.
const TICKS: [Duration; 2] = [Duration::from_millis(1), DELAY];

/// The least ratio that `--check` passes, to turmoil with the better of the two ticks.
const LEAST: f64 = 2.0;

/// How often the engine does the same again; the rate is that of all runs together.
const RUNS: u32 = 10;

/// What both do.
#[derive(Clone, Copy)]
struct Work {
    hosts: usize,
    neighbours: usize,
    /// How often each datagram is delivered, there and back.
    hops: u32,
}

impl Work {
    const fn datagrams(self) -> usize {
        self.hosts * self.neighbours
    }

    const fn deliveries(self) -> u64 {
        self.datagrams() as u64 * self.hops as u64
    }

    /// Makes an answer of what came: none if it was the last hop.
    fn answer(self, bytes: &mut [u8]) -> bool {
        let (count, _) = bytes.split_first_chunk_mut::<4>().expect("a count of hops");
        let hop = u32::from_be_bytes(*count) + 1;
        *count = hop.to_be_bytes();
        hop < self.hops
    }
}

pub fn main(args: &[String]) {
    let check = args.iter().any(|arg| arg == "--check");
    println!(
        "| hosts | datagrams in flight | deliveries | folkmoot-sim, a second | turmoil, ticks of 1 ms | ratio | turmoil, ticks of 50 ms | ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut least = f64::INFINITY;
    for (hosts, neighbours, hops) in [(10, 2, 2_000), (100, 2, 20), (100, 20, 20)] {
        let work = Work { hosts, neighbours, hops };
        let [fine, coarse] = TICKS.map(|tick| turmoil(work, tick));
        // So often that there is something to measure.
        let engine = RUNS as f64 / (0..RUNS).map(|_| 1.0 / ours(work)).sum::<f64>();
        least = least.min(engine / fine.max(coarse));
        println!(
            "| {hosts} | {} | {} | {engine:.0} | {fine:.0} | {:.1} | {coarse:.0} | {:.1} |",
            work.datagrams(),
            work.deliveries(),
            engine / fine,
            engine / coarse
        );
    }
    if check && least < LEAST {
        eprintln!(
            "the engine is meant to deliver at least {LEAST} times what turmoil does, whichever its tick"
        );
        std::process::exit(1);
    }
}

/// The engine's deliveries a second.
fn ours(work: Work) -> f64 {
    let mut world = World::new(1);
    let link = LinkRules::both(Law::delay(DELAY.as_millis() as u64 / 2));
    let ids: Vec<_> =
        (0..work.hosts).map(|n| world.add_host(format!("h{n}"), RealmId::INTERNET, link)).collect();
    let at = |world: &World, n: usize| SocketAddr::new(world.addrs(ids[n % work.hosts])[0], PORT);
    let echoes: Vec<_> = (0..work.hosts)
        .map(|n| Echo { work, to: (1..=work.neighbours).map(|k| at(&world, n + k)).collect() })
        .collect();
    let began = cpu_time();
    for (id, echo) in ids.iter().zip(echoes) {
        world.start(*id, echo);
    }
    world.run_for(DELAY * work.hops);
    let spent = cpu_time() - began;
    assert_eq!(world.counts().delivered, work.deliveries(), "the engine delivers all");
    work.deliveries() as f64 / spent.as_secs_f64()
}

/// Begins with one datagram to each of these, and answers what comes.
struct Echo {
    work: Work,
    to: Vec<SocketAddr>,
}

impl Host for Echo {
    fn start(&mut self, cx: &mut HostCx<'_>) {
        for to in &self.to {
            cx.send(SocketAddr::new(cx.addr(), PORT), *to, vec![0; LEN]);
        }
    }

    fn handle_datagram(&mut self, cx: &mut HostCx<'_>, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        if self.work.answer(&mut bytes) {
            cx.send(to, from, bytes);
        }
    }

    fn on_wake(&mut self, _: &mut HostCx<'_>) {}

    fn next_wake(&self) -> Option<Wake> {
        None
    }
}

/// turmoil's deliveries a second.
fn turmoil(work: Work, tick: Duration) -> f64 {
    let delivered = Rc::new(Cell::new(0_u64));
    // All are bound before the first sends.
    let pause = Duration::from_millis(10);
    let longest = pause + (DELAY + tick) * work.hops + tick * 4;
    let mut sim = turmoil::Builder::new()
        .rng_seed(1)
        .simulation_duration(longest * 2)
        .tick_duration(tick)
        .min_message_latency(DELAY)
        .max_message_latency(DELAY)
        .udp_capacity(1 << 16)
        .build();
    for n in 0..work.hosts {
        let delivered = delivered.clone();
        sim.host(format!("h{n}"), move || {
            let delivered = delivered.clone();
            async move {
                let socket =
                    turmoil::net::UdpSocket::bind((IpAddr::from(Ipv4Addr::UNSPECIFIED), PORT)).await?;
                tokio::time::sleep(pause).await;
                for k in 1..=work.neighbours {
                    socket.send_to(&[0; LEN], (format!("h{}", (n + k) % work.hosts), PORT)).await?;
                }
                let mut bytes = [0; 1_500];
                loop {
                    let (len, from) = socket.recv_from(&mut bytes).await?;
                    delivered.set(delivered.get() + 1);
                    if work.answer(&mut bytes[..len]) {
                        socket.send_to(&bytes[..len], from).await?;
                    }
                }
            }
        });
    }
    let began = cpu_time();
    while delivered.get() < work.deliveries() && sim.elapsed() < longest {
        sim.step().expect("turmoil goes on");
    }
    let spent = cpu_time() - began;
    assert_eq!(delivered.get(), work.deliveries(), "turmoil delivers all");
    assert!(sim.elapsed() >= DELAY * work.hops, "and every datagram takes its time");
    work.deliveries() as f64 / spent.as_secs_f64()
}

/// The CPU time of this thread so far.
fn cpu_time() -> Duration {
    let stat =
        std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts a thread's CPU time");
    Duration::from_nanos(stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("nanoseconds"))
}
