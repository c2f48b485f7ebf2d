//! Asks one server as fast as it answers: `rivals load HOST:PORT METHOD SECONDS`. Prints one line of JSON: answers a second,
//! all answers there were, how long they are, and how many questions were given up.
//!
//! [`IN_FLIGHT`] questions are under way at any time, each for another target. It sends one datagram a call, since a server that
//! is sent several joined into one has less work than the internet gives it, and receives as many as there are.

use std::io::{ErrorKind, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use folkmoot_core::base::{InfoHash, NodeId};
use folkmoot_core::wire::krpc::{Body, Call, Capabilities, Message, Query};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use serde_json::json;

const IN_FLIGHT: usize = 32;

/// How many questions are prepared.
const QUESTIONS: usize = 4_096;

/// Without an answer for so long, what is under way counts as lost.
const LOST: Duration = Duration::from_millis(100);

/// It is asked for so long before answers count.
const WARM_UP: Duration = Duration::from_millis(200);

pub fn main(args: &[String]) {
    let [server, method, seconds] = args else { panic!("give HOST:PORT, a method, and seconds") };
    let server: SocketAddr = server.parse().expect("HOST:PORT");
    let questions = questions(method);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    socket.connect(server).expect("a server");
    let state = UdpSocketState::new(UdpSockRef::from(&socket)).expect("a socket's state");
    socket.set_nonblocking(false).expect("a socket that waits");
    socket.set_read_timeout(Some(LOST)).expect("a timeout");

    let mut buffers = vec![[0_u8; 4_096]; BATCH_SIZE];
    let mut metas = [RecvMeta::default(); BATCH_SIZE];
    let (mut next, mut answers, mut bytes, mut lost, mut warming) = (0, 0_u64, 0_u64, 0_u64, 0);
    let mut ask = |count: usize| {
        for _ in 0..count {
            // What the kernel has no room for is lost, and counted when nothing comes.
            let _ = socket.send(&questions[next % QUESTIONS]);
            next += 1;
        }
    };
    let mut began = Instant::now();
    let mut is_warm = false;
    let duration = Duration::from_secs_f64(seconds.parse().expect("a number of seconds"));
    ask(IN_FLIGHT);
    let elapsed = loop {
        let mut slices: Vec<IoSliceMut<'_>> =
            buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
        let received = match state.recv(UdpSockRef::from(&socket), &mut slices, &mut metas) {
            Ok(received) => received,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                lost += IN_FLIGHT as u64;
                ask(IN_FLIGHT);
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        drop(slices);
        let mut asked_back = 0;
        for (buffer, meta) in buffers.iter().zip(&metas).take(received) {
            for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
                // Anything else is a question of the server's own, or a refusal.
                if datagram.ends_with(b"1:y1:re") {
                    answers += 1;
                    bytes += datagram.len() as u64;
                    asked_back += 1;
                } else if datagram.ends_with(b"1:y1:ee") {
                    panic!("refused: {}", datagram.escape_ascii());
                }
            }
        }
        ask(asked_back);
        let elapsed = began.elapsed();
        if !is_warm && elapsed >= WARM_UP {
            (is_warm, warming, answers, bytes, began) = (true, answers, 0, 0, Instant::now());
        } else if is_warm && elapsed >= duration {
            break elapsed;
        }
    };
    let per_second = answers as f64 / elapsed.as_secs_f64();
    let bytes = bytes as f64 / (answers as f64).max(1.0);
    let report = json!({
        "per_second": per_second.round(),
        "answers": warming + answers,
        "bytes": bytes.round(),
        "lost": lost,
    });
    println!("{report}");
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
