use std::time::Duration;

use super::*;
use crate::base::{Backoff, Host, Incarnation, SocketId, SocketInfo, Time, UnixTime};
use crate::meeting::{Code, Master};
use crate::node::{
    Answer, Command, Config, Identity, Input, MeetingHandle, Network, Output, RequestKind, Tag,
};

const MEETING: MeetingHandle = MeetingHandle(3);
const CODE: &str = "acid-tulip-seven-camel-proof";
const SECRET_TEXT: &str = "nobody else may read this";

fn config() -> Config {
    Config {
        name: "ada lovelace".into(),
        bootstrap: vec!["203.0.113.9:6881".parse().unwrap(), Host::Name("dht.example.org".into(), 6881)],
        reconnect: Backoff::doubling(3, Duration::from_millis(250)),
        ..Config::new(Identity { device: [7; 32], member: [8; 32] }, Incarnation(5))
    }
}

/// A node that joins, says something to nobody, and is sent a datagram; and the trace of it.
fn recorded(extent: Extent, limit: u64) -> Vec<u8> {
    let (mut node, mut recorder) = Recorder::start(
        extent,
        limit,
        config(),
        [9; 32],
        Time::from_millis(1),
        UnixTime::from_millis(1_790_000_000_000),
    );
    let bound = "198.51.100.77:4433".parse().unwrap();
    let sockets = vec![SocketInfo { id: SocketId(0), bound, addrs: vec![bound.ip()] }];
    let bytes = b"d1:rd2:id20:abcdefghij0123456789e1:t2:aa1:y1:re";
    let code = Code::new(CODE).unwrap();
    let inputs = [
        Input::Network(Network::Sockets(sockets)),
        Input::Command(Command::Join { meeting: MEETING, code }),
        Input::Datagram {
            socket: SocketId(0),
            local: None,
            from: "203.0.113.9:6881".parse().unwrap(),
            bytes,
        },
        Input::Command(Command::Say { meeting: MEETING, tag: Tag(1), text: SECRET_TEXT.into() }),
        Input::Clock(UnixTime::from_millis(1_790_000_000_500)),
        Input::Network(Network::Woke),
        Input::Tick,
        Input::Command(Command::Leave { meeting: MEETING }),
    ];
    let mut now = Time::from_millis(1);
    for input in inputs {
        now += Duration::from_millis(700);
        recorder.input(now, &input);
        node.handle(now, input);
        loop {
            let output = node.poll();
            recorder.output(&output);
            match output {
                Output::Idle(_) => break,
                Output::Request(request) => {
                    let answer = match request.kind {
                        RequestKind::Derive(_) => Answer::Derived(Master([4; 32])),
                        RequestKind::Resolve(_, port) => {
                            Answer::Resolved(vec![([192, 0, 2, 5], port).into()])
                        }
                    };
                    let input = Input::Answer(request.id, answer);
                    recorder.input(now, &input);
                    node.handle(now, input);
                }
                Output::Transmit(_) | Output::Event(_) => {}
            }
        }
    }
    recorder.end();
    recorder.take()
}

/// Runs a trace to its end.
fn replayed(bytes: &[u8]) -> (Vec<Step>, Verdict, bool) {
    let mut replay = Replay::new(bytes).unwrap();
    let steps: Result<Vec<_>, _> = replay.by_ref().collect();
    (steps.unwrap(), replay.verdict(), replay.trace().is_cut())
}

#[test]
fn a_full_trace_replays_to_the_last_byte() {
    let bytes = recorded(Extent::Full, LIMIT);
    let (steps, verdict, is_cut) = replayed(&bytes);
    assert_eq!((verdict.parted, verdict.hash, verdict.is_full, is_cut), (None, Some(true), false, false));
    assert!(verdict.same == verdict.outputs && verdict.outputs > 20 && verdict.inputs == 10, "{verdict:?}");
    let said = |wanted: &str| {
        steps.iter().any(|step| matches!(step, Step::Output(_, it) if it.to_string().contains(wanted)))
    };
    assert!(
        said("DHT query") && said("asks to look up dht.example.org:6881") && said("the search begins"),
        "{steps:#?}"
    );
}

#[test]
fn what_the_node_would_not_say_is_found_at_once() {
    let bytes = recorded(Extent::Full, LIMIT);
    // A byte of the entropy, in a frame whose checksum is put right again.
    let start = 1 + bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0;
    let mut other = bytes;
    let length = u32::from_le_bytes(other[start..start + 4].try_into().unwrap()) as usize;
    let payload = start + 8;
    // After the kind, the token with two bytes of CBOR before it, and the entropy's two.
    other[payload + 1 + 28 + 2] ^= 1;
    let sum = crc32fast::hash(&other[payload..payload + length]);
    other[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
    let (steps, verdict, _) = replayed(&other);
    let parting = steps.iter().find(|step| matches!(step, Step::Parting { .. }));
    assert!(parting.is_some() && verdict.parted.is_some_and(|at| at < 10), "{verdict:?}");
    assert_eq!(verdict.hash, None);
}

#[test]
fn a_redacted_trace_holds_no_secret_and_tells_the_same() {
    let bytes = recorded(Extent::Redacted, LIMIT);
    let holds = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    let code = Code::new(CODE).unwrap();
    let secrets: [&[u8]; 8] = [
        code.as_str().as_bytes(),
        SECRET_TEXT.as_bytes(),
        b"ada",
        b"203.0.113.9",
        b"198.51.100.77",
        b"dht.example.org",
        &[4; 32],
        &[9; 32],
    ];
    for secret in secrets {
        assert!(!holds(secret), "{:?}", String::from_utf8_lossy(secret));
    }
    let (steps, verdict, _) = replayed(&bytes);
    let (full, full_verdict, _) = replayed(&recorded(Extent::Full, LIMIT));
    assert_eq!((verdict.inputs, verdict.outputs), (full_verdict.inputs, full_verdict.outputs));
    assert_eq!((verdict.same, verdict.hash), (0, None), "there is nothing to compare");
    let kinds = |steps: &[Step]| -> Vec<_> {
        let glance = |step: &Step| match step {
            Step::Input(at, it) | Step::Output(at, it) | Step::Parting { at, recorded: it, .. } => {
                (*at, it.kind, it.len)
            }
        };
        steps.iter().map(glance).collect()
    };
    assert_eq!(kinds(&steps), kinds(&full));
}

#[test]
fn what_is_cut_ends_early_and_what_is_damaged_says_where() {
    let bytes = recorded(Extent::Full, LIMIT);
    for end in (200..bytes.len()).step_by(37) {
        let Ok(replay) = Replay::new(&bytes[..end]) else { continue };
        let mut replay = replay;
        let flaws = replay.by_ref().filter(Result::is_err).count();
        assert_eq!(
            (flaws, replay.verdict().parted, replay.trace().is_cut()),
            (0, None, true),
            "cut at {end}"
        );
    }
    let (mut damaged_at, head) = (0, 300);
    for at in (head..bytes.len()).step_by(41) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let Ok(mut replay) = Replay::new(&damaged) else { continue };
        match replay.by_ref().find_map(Result::err) {
            Some(Flaw::Damaged { at: found, .. }) => {
                assert!(found <= at);
                damaged_at += 1;
            }
            // A length that reaches beyond the end is as if it were cut.
            other => assert_eq!((other, replay.trace().is_cut()), (None, true), "at {at}"),
        }
    }
    assert!(damaged_at > 20, "{damaged_at}");
}

#[test]
fn what_is_no_trace_is_refused() {
    let bytes = recorded(Extent::Full, LIMIT);
    assert_eq!(Trace::open(b"members 2 open").unwrap_err(), Flaw::NotATrace);
    assert_eq!(Trace::open(&bytes[..30]).unwrap_err(), Flaw::NotATrace);
    let mut newer = bytes;
    newer[MAGIC.len()] = b'9';
    assert!(Trace::is_one(&newer));
    assert_eq!(Trace::open(&newer).unwrap_err(), Flaw::Version(9));
    assert!(Flaw::Version(9).to_string().contains("version 9"));
}

#[test]
fn a_trace_stays_within_its_limit() {
    let whole = recorded(Extent::Full, LIMIT);
    for limit in [1_000, 1_500, 2_500] {
        let bytes = recorded(Extent::Full, limit);
        assert!(bytes.len() as u64 <= limit && limit < whole.len() as u64, "{} of {limit}", bytes.len());
        let (_, verdict, is_cut) = replayed(&bytes);
        assert_eq!((verdict.is_full, verdict.hash, is_cut), (true, Some(true), false));
    }
}
