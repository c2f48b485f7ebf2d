//! A link: what connecting costs, and what a megabyte costs, both ends on one core with no network between them.
//!
//! Here no rival stands beside it: the other stacks come with a runtime, sockets and C of their own, and their figures would
//! be about those. Of the time for a megabyte the greater part is SCTP's, whose cost per packet grows with what is in flight.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use folkmoot_core::base::{Cx, Outbox, Rng, SocketId, SocketInfo, Time, UnixTime};
use folkmoot_core::peer::{
    Channel, Endpoint, Event, IceCredentials, Link, LinkConfig, MAX_MESSAGE, Role, SendError,
};

const SOCKET: SocketId = SocketId(0);
const MEGABYTE: usize = 1 << 20;

/// Both ends, and 100 µs of virtual time between them.
struct Pair {
    now: Time,
    ends: [End; 2],
}

struct End {
    rng: Rng,
    out: Outbox,
    endpoint: Endpoint,
    link: Option<Link>,
    secured: bool,
    received: usize,
}

fn addr(end: usize) -> SocketAddr {
    ([10, 0, 0, 1 + end as u8], 4_000).into()
}

impl Pair {
    fn new() -> Self {
        let end = |device: u8| {
            let mut rng = Rng::new([device; 32]);
            let endpoint = Endpoint::new(&[device; 32], &mut rng);
            End { rng, out: Outbox::default(), endpoint, link: None, secured: false, received: 0 }
        };
        Self { now: Time::ZERO, ends: [end(1), end(2)] }
    }

    fn connect(mut self) -> Self {
        for end in [0, 1] {
            let config = self.config(end);
            let End { rng, out, endpoint, link, .. } = &mut self.ends[end];
            let mut cx = Cx { now: self.now, unix: UnixTime::default(), rng, out };
            *link = Some(Link::new(&mut cx, endpoint, config).expect("a link"));
        }
        while !self.ends.iter().all(|end| end.secured) {
            self.turn();
        }
        self
    }

    fn config(&self, end: usize) -> LinkConfig {
        let credentials = |end| IceCredentials {
            ufrag: format!("ufrag{end}"),
            pwd: format!("password0password0passw{end}"),
        };
        let other = &self.ends[1 - end].endpoint;
        let role = if end == 0 { Role::Client } else { Role::Server };
        let (local, remote) = (credentials(end), credentials(1 - end));
        LinkConfig {
            sockets: vec![SocketInfo { id: SOCKET, bound: addr(end), addrs: vec![addr(end).ip()] }],
            remotes: vec![addr(1 - end)],
            ..LinkConfig::new(role, local, remote, other.fingerprint(), other.snap())
        }
    }

    /// Carries a megabyte from the first end to the second.
    fn carry(&mut self) {
        let block = vec![7; MAX_MESSAGE];
        let goal = self.ends[1].received + MEGABYTE;
        let mut left = MEGABYTE / MAX_MESSAGE;
        while self.ends[1].received < goal {
            while left > 0 {
                match self.call(0, |link, cx| link.send(cx, Channel::Bulk, &block)) {
                    Ok(()) => left -= 1,
                    Err(SendError::Full) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            self.turn();
        }
    }

    /// Lets both send, carries it over, and lets time pass: 100 µs, or until something is due if nothing was sent.
    fn turn(&mut self) {
        let sent = [0, 1].map(|end| {
            std::iter::from_fn(|| self.ends[end].out.pop()).map(|sent| sent.bytes).collect::<VecDeque<_>>()
        });
        let wake = |end: &End| end.link.as_ref().and_then(Link::next_wake).map(|wake| wake.at);
        let due = self.ends.iter().filter_map(wake).min().unwrap_or(self.now);
        let soon = self.now + Duration::from_micros(100);
        self.now = if sent.iter().all(VecDeque::is_empty) { due.max(soon) } else { soon };
        for (from, datagrams) in sent.into_iter().enumerate() {
            for bytes in datagrams {
                self.call(1 - from, |link, cx| link.handle_datagram(cx, SOCKET, None, addr(from), &bytes));
            }
        }
        for end in [0, 1] {
            self.call(end, |link, cx| link.on_wake(cx));
        }
    }

    fn call<T>(&mut self, end: usize, f: impl FnOnce(&mut Link, &mut Cx<'_>) -> T) -> T {
        let End { rng, out, link, secured, received, .. } = &mut self.ends[end];
        let mut cx = Cx { now: self.now, unix: UnixTime::default(), rng, out };
        let link = link.as_mut().expect("a link");
        let result = f(link, &mut cx);
        while let Some(event) = link.pop_event() {
            match event {
                Event::Secured => *secured = true,
                Event::Data { bytes, .. } => *received += bytes.len(),
                Event::Closed { reason } => panic!("{reason}"),
                _ => {}
            }
        }
        result
    }
}

fn link(c: &mut Criterion) {
    let mut group = c.benchmark_group("link");
    group.sample_size(20);
    group.bench_function("connect, both ends", |bencher| {
        bencher.iter_batched(Pair::new, Pair::connect, BatchSize::PerIteration);
    });
    group.throughput(Throughput::Bytes(MEGABYTE as u64));
    group.bench_function("carry 1 MiB, both ends", |bencher| {
        let mut pair = Pair::new().connect();
        bencher.iter(|| pair.carry());
    });
    group.finish();
}

criterion_group!(benches, link);
criterion_main!(benches);
