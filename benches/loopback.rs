//! The simulated DHT against a real one: 200 production machines in virtual time, and the same 200, with the same plan of who
//! joins when and who looks for what, on UDP sockets of the loopback interface. Questions and hops per search and datagrams per
//! machine have to agree; it says so, or exits with an error.
//!
//! `cargo run --release -p folkmoot-benches --example loopback`: some 12 s, nearly all of it waiting.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use folkmoot_core::base::{Cx, InfoHash, Outbox, Rng, SocketId, SocketInfo, Time, UnixTime};
use folkmoot_core::dht::{Config, Dht, Event, Mode};
use folkmoot_sim::dht::{Alone, Plan, Site, Swarm, Trail};

const SOCKET: SocketId = SocketId(0);

/// What is compared.
#[derive(Clone, Copy, Debug)]
struct Figures {
    searches: usize,
    found: usize,
    /// Nodes that stored a topic, on average.
    stored: f64,
    /// Questions of a search, on average.
    questions: f64,
    /// Answers that led to the first peer, on average.
    hops: f64,
    /// Datagrams that a machine sent over the whole run, on average.
    datagrams: f64,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let plan = Plan { seed: 1, nodes: 200, lookups: 200, site: Site::Internet };
    let (plan, sockets) = bind(plan)?;
    let simulated = simulate(plan);
    let real = Loopback::new(plan, sockets).run()?;
    println!("{:<24}{:>12}{:>12}", "", "simulated", "loopback");
    let row = |what: &str, of: fn(&Figures) -> f64| {
        println!("{what:<24}{:>12.2}{:>12.2}", of(&simulated), of(&real))
    };
    row("searches", |figures| figures.searches as f64);
    row("of them found", |figures| figures.found as f64);
    row("nodes that stored", |figures| figures.stored);
    row("questions a search", |figures| figures.questions);
    row("hops to the first peer", |figures| figures.hops);
    row("datagrams a machine", |figures| figures.datagrams);
    let within = |share: f64, a: f64, b: f64| (a - b).abs() <= share * a.max(b);
    let agree = simulated.found == simulated.searches
        && (real.searches, real.found) == (simulated.searches, simulated.found)
        && within(0.05, simulated.stored, real.stored)
        && within(0.10, simulated.questions, real.questions)
        && within(0.10, simulated.hops, real.hops)
        && within(0.10, simulated.datagrams, real.datagrams);
    println!("{}", if agree { "they agree" } else { "they do NOT agree within 10 %" });
    Ok(if agree { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// As many sockets in a row as the plan has machines.
fn bind(plan: Plan) -> Result<(Plan, Vec<UdpSocket>), Box<dyn Error>> {
    for first in (20_000..32_000).step_by(1_000) {
        let plan = Plan { site: Site::Loopback(first), ..plan };
        let sockets: Result<Vec<_>, _> =
            (0..plan.nodes).map(|number| UdpSocket::bind(plan.address(number))).collect();
        if let Ok(sockets) = sockets {
            for socket in &sockets {
                socket.set_nonblocking(true)?;
            }
            return Ok((plan, sockets));
        }
    }
    Err("no 200 UDP ports in a row are free on 127.0.0.1".into())
}

fn simulate(plan: Plan) -> Figures {
    let mut swarm = Swarm::new(plan);
    swarm.run_until(swarm.end(), &mut Alone);
    let all = swarm.found();
    let mean = |sum: usize| sum as f64 / all.len().max(1) as f64;
    Figures {
        searches: all.len(),
        found: all.iter().filter(|found| found.first.is_some()).count(),
        stored: mean(all.iter().map(|found| found.stored).sum()),
        questions: mean(all.iter().map(|found| found.questions as usize).sum()),
        hops: mean(all.iter().filter_map(|found| found.hops).map(|hops| hops as usize).sum()),
        datagrams: swarm.counts().sent as f64 / f64::from(plan.nodes),
    }
}

/// The machines, each on a socket of its own, in one thread.
struct Loopback {
    plan: Plan,
    began: Instant,
    sockets: Vec<UdpSocket>,
    /// In the order in which they join.
    machines: Vec<Dht>,
    turns: Vec<u32>,
    out: Outbox,
    sent: u64,
    stored: BTreeMap<InfoHash, usize>,
    /// Who searches just now, and what.
    seekers: BTreeMap<usize, Quest>,
    /// The searches that are over.
    done: Vec<Quest>,
}

/// A search.
struct Quest {
    topic: InfoHash,
    announcer: SocketAddr,
    found: bool,
    trail: Trail,
}

/// What the plan wants next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Join(u32),
    Announce(u32),
    Search(u32),
}

impl Loopback {
    fn new(plan: Plan, sockets: Vec<UdpSocket>) -> Self {
        Self {
            plan,
            began: Instant::now(),
            sockets,
            machines: Vec::new(),
            turns: Vec::new(),
            out: Outbox::default(),
            sent: 0,
            stored: BTreeMap::new(),
            seekers: BTreeMap::new(),
            done: Vec::new(),
        }
    }

    fn run(mut self) -> Result<Figures, Box<dyn Error>> {
        let plan = self.plan;
        let mut steps: Vec<(Time, Step)> = Vec::new();
        steps.extend((0..plan.nodes).map(|number| (plan.joins_at(number), Step::Join(number))));
        for number in 0..plan.lookups {
            steps.push((plan.announces_at(number), Step::Announce(number)));
            steps.push((plan.searches_at(number), Step::Search(number)));
        }
        steps.sort_unstable();
        let mut steps = steps.into_iter().peekable();
        self.began = Instant::now();
        let mut buffer = [0; 2_048];
        while self.now() < plan.ends_at() {
            let mut idle = true;
            while let Some((_, step)) = steps.next_if(|(at, _)| *at <= self.now()) {
                self.step(step)?;
                idle = false;
            }
            for number in 0..self.machines.len() {
                idle &= !self.receive(number, &mut buffer)?;
                let now = self.now();
                if self.machines[number].next_wake().is_some_and(|wake| wake.at <= now) {
                    self.turn(number, |dht, cx| dht.on_wake(cx))?;
                    idle = false;
                }
            }
            if idle {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        let mean = |sum: u32| f64::from(sum) / self.done.len().max(1) as f64;
        Ok(Figures {
            searches: self.done.len(),
            found: self.done.iter().filter(|quest| quest.found).count(),
            stored: self.stored.values().sum::<usize>() as f64 / self.stored.len().max(1) as f64,
            questions: mean(self.done.iter().map(|quest| quest.trail.questions()).sum()),
            hops: mean(self.done.iter().filter_map(|quest| quest.trail.hops()).sum()),
            datagrams: self.sent as f64 / f64::from(plan.nodes),
        })
    }

    fn now(&self) -> Time {
        Time::from_micros(self.began.elapsed().as_micros() as u64)
    }

    fn step(&mut self, step: Step) -> Result<(), Box<dyn Error>> {
        let plan = self.plan;
        match step {
            Step::Join(number) => {
                let (bound, hosts) = (plan.address(number), plan.hosts(number));
                let (mut rng, mut out) = (Rng::new(plan.entropy(number, 0)), Outbox::default());
                let (now, unix) = (self.now(), UnixTime::from_millis(0));
                let config = Config { mode: Mode::Server, ..Config::default() };
                let dht = Dht::new(config, &mut Cx { now, unix, rng: &mut rng, out: &mut out });
                self.machines.push(dht);
                self.turns.push(1);
                self.turn(number as usize, |dht, cx| {
                    dht.set_sockets(cx, &[SocketInfo { id: SOCKET, bound, addrs: vec![bound.ip()] }]);
                    dht.bootstrap(cx, &hosts);
                })
            }
            Step::Announce(number) => {
                let topic = plan.topic(number);
                self.turn(plan.announcer(number) as usize, |dht, cx| dht.announce(cx, topic))
            }
            Step::Search(number) => {
                let (topic, seeker) = (plan.topic(number), plan.seeker(number) as usize);
                let known = self.machines[seeker].nodes().map(|contact| contact.addr);
                let announcer = plan.address(plan.announcer(number));
                let trail = Trail::new(topic, known);
                self.seekers.insert(seeker, Quest { topic, announcer, found: false, trail });
                self.turn(seeker, |dht, cx| dht.find_peers(cx, topic))
            }
        }
    }

    /// Takes all datagrams that wait at a socket, and says whether there were any.
    fn receive(&mut self, number: usize, buffer: &mut [u8]) -> Result<bool, Box<dyn Error>> {
        let mut any = false;
        loop {
            let (length, from) = match self.sockets[number].recv_from(buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(any),
                Err(error) => return Err(error.into()),
            };
            any = true;
            let bytes = &buffer[..length];
            if let Some(quest) = self.seekers.get_mut(&number) {
                quest.trail.received(from, bytes);
            }
            self.turn(number, |dht, cx| dht.handle_datagram(cx, SOCKET, None, from, bytes))?;
        }
    }

    fn turn(
        &mut self,
        number: usize,
        call: impl FnOnce(&mut Dht, &mut Cx<'_>),
    ) -> Result<(), Box<dyn Error>> {
        let mut rng = Rng::new(self.plan.entropy(number as u32, self.turns[number]));
        self.turns[number] += 1;
        let (now, unix) = (self.now(), UnixTime::from_millis(0));
        let dht = &mut self.machines[number];
        call(dht, &mut Cx { now, unix, rng: &mut rng, out: &mut self.out });
        while let Some(event) = dht.pop_event() {
            match event {
                Event::Announced { topic, nodes } => {
                    self.stored.entry(topic).or_insert(nodes);
                }
                Event::Peers { topic, peers, .. } => {
                    if let Some(quest) = self.seekers.get_mut(&number) {
                        quest.found |= quest.topic == topic && peers.contains(&quest.announcer);
                    }
                }
                Event::Sought { topic, .. } => {
                    let quest = self.seekers.remove(&number).filter(|quest| quest.topic == topic);
                    self.done.extend(quest);
                }
                _ => {}
            }
        }
        while let Some(transmit) = self.out.pop() {
            self.sent += 1;
            if let Some(quest) = self.seekers.get_mut(&number) {
                quest.trail.sent(&transmit.bytes);
            }
            match self.sockets[number].send_to(&transmit.bytes, transmit.to) {
                Ok(_) => {}
                // The kernel's buffer is full: lost, as on any network.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
