//! Asks one server as fast as it answers: `rivals load HOST:PORT METHOD SECONDS ASKERS`. Prints one line of JSON: answers a second,
//! all answers there were, how long they are, and how many questions were given up.
//!
//! [`IN_FLIGHT`] questions are under way at any time, each for another target, of one asker or of as many as divide them, each with a
//! socket of its own: many are what the internet is to a server, to one it may send several answers at once. An asker sends one
//! datagram a call, since a server that is sent several joined into one has less work than the internet gives it, and receives
//! as many as there are.

use std::io::{ErrorKind, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use folkmoot_core::base::{InfoHash, NodeId};
use folkmoot_core::wire::krpc::{Body, Call, Capabilities, Message, Query};
use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

const IN_FLIGHT: usize = 32;

/// How many questions are prepared.
const QUESTIONS: usize = 4_096;

/// Without any answer for so long, what is under way counts as lost.
const LOST: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// It is asked for so long before answers count.
const WARM_UP: Duration = Duration::from_millis(200);

/// Messages received in one call, and the most that one can hold: several answers that the kernel has joined.
const BATCH: usize = 16;
const MESSAGE_BYTES: usize = 65_535;

struct Asker {
    socket: UdpSocket,
    state: UdpSocketState,
    waits_for: usize,
}

/// What has come back since it last began to count.
#[derive(Default)]
struct Tally {
    answers: u64,
    bytes: u64,
}

pub fn main(args: &[String]) {
    let [server, method, seconds, askers] = args else {
        panic!("give HOST:PORT, a method, seconds and askers")
    };
    let server: SocketAddr = server.parse().expect("HOST:PORT");
    let count: usize = askers.parse().expect("a number of askers");
    assert!(count > 0 && IN_FLIGHT % count == 0, "{IN_FLIGHT} are not for {count} to share");
    let questions = questions(method);
    let mut askers: Vec<_> = (0..count).map(|_| Asker::new(server)).collect();
    let mut next = questions.iter().cycle();
    for asker in &mut askers {
        asker.ask(IN_FLIGHT / count, &mut next);
    }
    let mut buffer = vec![0; BATCH * MESSAGE_BYTES];
    let (mut tally, mut lost, mut warming) = (Tally::default(), 0, 0);
    let mut began = Instant::now();
    let mut is_warm = false;
    let duration = Duration::from_secs_f64(seconds.parse().expect("a number of seconds"));
    let elapsed = loop {
        let mut fds: Vec<_> = askers.iter().map(|asker| PollFd::new(&asker.socket, PollFlags::IN)).collect();
        let ready = match poll(&mut fds, Some(&LOST)) {
            Ok(ready) => ready,
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => panic!("{error}"),
        };
        let is_ready: Vec<_> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        for (asker, is_ready) in askers.iter_mut().zip(is_ready) {
            if ready == 0 {
                let silent = std::mem::take(&mut asker.waits_for);
                lost += silent;
                asker.ask(silent, &mut next);
            } else if is_ready {
                let answered = asker.receive(&mut buffer, &mut tally).min(asker.waits_for);
                asker.waits_for -= answered;
                asker.ask(answered, &mut next);
            }
        }
        let elapsed = began.elapsed();
        if !is_warm && elapsed >= WARM_UP {
            (is_warm, warming, began) = (true, tally.answers, Instant::now());
            tally = Tally::default();
        } else if is_warm && elapsed >= duration {
            break elapsed;
        }
    };
    let report = json!({
        "per_second": (tally.answers as f64 / elapsed.as_secs_f64()).round(),
        "answers": warming + tally.answers,
        "bytes": (tally.bytes as f64 / (tally.answers as f64).max(1.0)).round(),
        "lost": lost,
    });
    println!("{report}");
}

impl Asker {
    fn new(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        socket.connect(server).expect("a server");
        let state = UdpSocketState::new(UdpSockRef::from(&socket)).expect("a socket's state");
        Self { socket, state, waits_for: 0 }
    }

    fn ask<'a>(&mut self, count: usize, questions: &mut impl Iterator<Item = &'a Vec<u8>>) {
        for question in questions.take(count) {
            // What the kernel has no room for is lost, and counted when nothing comes.
            let _ = self.socket.send(question);
            self.waits_for += 1;
        }
    }

    /// Takes what is there; how many answers that was.
    fn receive(&self, buffer: &mut [u8], tally: &mut Tally) -> usize {
        let mut metas = [RecvMeta::default(); BATCH];
        let mut slices: Vec<_> = buffer.chunks_exact_mut(MESSAGE_BYTES).map(IoSliceMut::new).collect();
        let received = match self.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas) {
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return 0,
            Err(error) => panic!("{error}"),
        };
        let mut answers = 0;
        for (message, meta) in slices.iter().zip(&metas).take(received) {
            for datagram in message[..meta.len].chunks(meta.stride.max(1)) {
                // Anything else is a question of the server's own, or a refusal.
                if datagram.ends_with(b"1:y1:re") {
                    tally.answers += 1;
                    tally.bytes += datagram.len() as u64;
                    answers += 1;
                } else if datagram.ends_with(b"1:y1:ee") {
                    panic!("refused: {}", datagram.escape_ascii());
                }
            }
        }
        answers
    }
}

fn questions(method: &str) -> Vec<Vec<u8>> {
    let random = || {
        let mut random = [0; 20];
        getrandom::fill(&mut random).expect("randomness");
        NodeId(random)
    };
    let id = random();
    let question = |n: usize| {
        let target = random();
        let hash = InfoHash(target.0);
        let call = match method {
            "ping" => Call::Ping,
            "find_node" => Call::FindNode { target, want: None },
            "get_peers" => Call::GetPeers { info_hash: hash, want: None, scrape: false },
            "get" => Call::Get { target: hash, seq: None, want: None },
            method => panic!("no method {method}"),
        };
        // Of one that does not serve, so that the server asks nothing back.
        let query = Query { id, read_only: true, call };
        let tid = u32::try_from(n).expect("not that many").to_be_bytes();
        Message { tid: &tid, version: None, capabilities: Capabilities::default(), body: Body::Query(query) }
            .encode()
    };
    (0..QUESTIONS).map(question).collect()
}
