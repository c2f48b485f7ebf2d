use std::time::Duration;

use folkmoot_core::base::{Rng, Time};
use folkmoot_core::peer::{Certificate, Refused, SecureChannel, SecureOutput};

use super::{SimDtls, Tier};
use crate::engine::{Fate, Kind};
use crate::scenario::{self, Options};

const CLIENT: usize = 0;
const SERVER: usize = 1;
const MTU: usize = 1_150;

/// Two ends, with nothing between them but the test.
struct Pair {
    now: Time,
    ends: [SimDtls; 2],
    heard: [Vec<Heard>; 2],
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Heard {
    Certificate(Vec<u8>),
    Secured,
    Packet(Vec<u8>),
    Goodbye,
}

fn certificate(of: usize) -> Vec<u8> {
    Certificate::from_seed(&[of as u8; 32]).der().to_vec()
}

impl Pair {
    fn new(seed: u8) -> Self {
        let mut rng = Rng::new([seed; 32]);
        let mut end = |of| {
            let mut end = SimDtls::new(&certificate(of), MTU, rng.fork(), Time::ZERO);
            end.set_client(of == CLIENT);
            end.on_wake(Time::ZERO).unwrap();
            end
        };
        Self { now: Time::ZERO, ends: [end(CLIENT), end(SERVER)], heard: Default::default() }
    }

    fn connected(seed: u8) -> Self {
        let mut pair = Self::new(seed);
        pair.settle(|_, _| true);
        assert!(pair.is_open());
        pair
    }

    fn is_open(&self) -> bool {
        [CLIENT, SERVER].iter().all(|end| self.heard[*end].contains(&Heard::Secured))
    }

    fn packets(&self, end: usize) -> Vec<Vec<u8>> {
        let packet = |heard: &Heard| match heard {
            Heard::Packet(packet) => Some(packet.clone()),
            _ => None,
        };
        self.heard[end].iter().filter_map(packet).collect()
    }

    /// What an end has to send.
    fn drain(&mut self, end: usize) -> Vec<Vec<u8>> {
        let (mut buffer, mut datagrams) = ([0; 2_048], Vec::new());
        loop {
            let heard = match self.ends[end].poll(&mut buffer) {
                SecureOutput::Datagram(bytes) => {
                    datagrams.push(bytes.to_vec());
                    continue;
                }
                SecureOutput::Certificate(der) => Heard::Certificate(der.to_vec()),
                SecureOutput::Secured => Heard::Secured,
                SecureOutput::Packet(packet) => Heard::Packet(packet.to_vec()),
                SecureOutput::Goodbye => Heard::Goodbye,
                SecureOutput::Idle(_) => return datagrams,
            };
            self.heard[end].push(heard);
        }
    }

    /// Lets both talk until neither has anything to say, dropping what does not pass.
    fn settle(&mut self, mut passes: impl FnMut(usize, &[u8]) -> bool) {
        loop {
            let flights = [self.drain(CLIENT), self.drain(SERVER)];
            if flights.iter().all(Vec::is_empty) {
                return;
            }
            for (from, flight) in flights.into_iter().enumerate() {
                for datagram in flight {
                    if passes(from, &datagram) {
                        self.ends[1 - from].handle_datagram(&datagram).unwrap();
                    }
                }
            }
        }
    }

    /// Lets time pass until the next timer, and says whether there was one.
    fn wait(&mut self) -> Result<bool, Refused> {
        let mut buffer = [0; 2_048];
        let mut next = |end: &mut SimDtls| match end.poll(&mut buffer) {
            SecureOutput::Idle(at) => at,
            other => panic!("not settled: {other:?}"),
        };
        let times = self.ends.each_mut().map(&mut next);
        let Some(at) = times.into_iter().flatten().min() else { return Ok(false) };
        self.now = self.now.max(at);
        self.ends.iter_mut().try_for_each(|end| end.on_wake(self.now))?;
        Ok(true)
    }
}

#[test]
fn both_learn_who_the_other_is_and_talk() {
    let mut pair = Pair::connected(1);
    for end in [CLIENT, SERVER] {
        assert_eq!(pair.heard[end], [Heard::Certificate(certificate(1 - end)), Heard::Secured]);
        pair.ends[end].send(&[end as u8; 900]).unwrap();
    }
    pair.settle(|_, _| true);
    assert_eq!(pair.packets(CLIENT), [[SERVER as u8; 900]]);
    assert_eq!(pair.packets(SERVER), [[CLIENT as u8; 900]]);
    assert_eq!(pair.wait(), Ok(false), "nothing is left to be done");
}

#[test]
fn whatever_datagrams_are_lost_the_handshake_ends() {
    // The bits of `lost` are the fates of the first datagrams.
    for lost in 0..1u32 << 7 {
        let mut pair = Pair::new(lost as u8);
        let mut sent = 0;
        let mut passes = |_: usize, _: &[u8]| {
            sent += 1;
            sent > 7 || lost >> (sent - 1) & 1 == 0
        };
        pair.settle(&mut passes);
        while pair.wait() == Ok(true) {
            pair.settle(&mut passes);
        }
        assert!(pair.is_open(), "{lost:07b}");
        assert!(pair.now < Time::ZERO + Duration::from_secs(40), "{lost:07b}: {}", pair.now);
        pair.ends[CLIENT].send(b"after all").unwrap();
        pair.settle(|_, _| true);
        assert_eq!(pair.packets(SERVER), [b"after all"], "{lost:07b}");
    }
}

#[test]
fn a_handshake_without_an_answer_is_given_up() {
    let mut pair = Pair::new(1);
    let mut hellos = 0;
    let end = loop {
        pair.settle(|_, _| {
            hellos += 1;
            false
        });
        match pair.wait() {
            Ok(true) => {}
            end => break end,
        }
    };
    assert_eq!((end, pair.now), (Err(Refused::TimedOut), Time::ZERO + Duration::from_secs(40)));
    // 0, 0.2, 0.6, 1.4, 3, 6.2, 12.6 and 25.4 s, more or less.
    assert!((8..=9).contains(&hellos), "{hellos}");
}

#[test]
fn what_was_damaged_replayed_or_is_anothers_is_not_heard() {
    let (mut pair, mut other) = (Pair::connected(1), Pair::connected(2));
    pair.ends[CLIENT].send(b"once").unwrap();
    let [datagram] = <[_; 1]>::try_from(pair.drain(CLIENT)).unwrap();
    for bit in 0..datagram.len() * 8 {
        let mut damaged = datagram.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        // Where its form is damaged, it says so.
        let _ = pair.ends[SERVER].handle_datagram(&damaged);
    }
    other.ends[SERVER].handle_datagram(&datagram).unwrap();
    other.ends[CLIENT].handle_datagram(&datagram).unwrap();
    pair.ends[CLIENT].handle_datagram(&datagram).unwrap();
    other.settle(|_, _| true);
    pair.settle(|_, _| true);
    assert_eq!((pair.packets(SERVER).len(), other.packets(SERVER).len()), (0, 0));
    assert_eq!((pair.packets(CLIENT).len(), other.packets(CLIENT).len()), (0, 0));
    for _ in 0..3 {
        pair.ends[SERVER].handle_datagram(&datagram).unwrap();
    }
    pair.settle(|_, _| true);
    assert_eq!(pair.packets(SERVER), [b"once"]);
}

#[test]
fn a_damaged_handshake_connects_nobody() {
    for at in [40, 300] {
        let mut pair = Pair::new(1);
        for from in [CLIENT, SERVER] {
            for mut datagram in pair.drain(from) {
                datagram[at] ^= 1;
                pair.ends[1 - from].handle_datagram(&datagram).unwrap();
            }
        }
        pair.settle(|_, _| true);
        assert!(!pair.heard.iter().any(|heard| heard.contains(&Heard::Secured)), "byte {at}");
    }
}

#[test]
fn nobody_reads_along() {
    let mut pair = Pair::connected(1);
    pair.ends[CLIENT].send(&[0x5a; 400]).unwrap();
    let datagrams = pair.drain(CLIENT);
    assert!(!datagrams[0].windows(4).any(|bytes| bytes == [0x5a; 4]));
}

#[test]
fn goodbye_is_said_and_answered() {
    let mut pair = Pair::connected(1);
    pair.ends[CLIENT].close();
    assert_eq!(pair.ends[CLIENT].send(b"late"), Err(Refused::Closed));
    pair.settle(|_, _| true);
    assert_eq!(pair.heard[SERVER].last(), Some(&Heard::Goodbye));
    assert!(!pair.ends[CLIENT].is_closed());
    pair.ends[SERVER].close();
    pair.settle(|_, _| true);
    assert!(pair.ends.iter().all(SimDtls::is_closed));
}

#[test]
fn no_bytes_panic() {
    let mut rng = Rng::new([9; 32]);
    for seed in 0..50 {
        let mut pair = if seed % 2 == 0 { Pair::new(seed) } else { Pair::connected(seed) };
        let real = pair.drain(CLIENT).pop().unwrap_or_default();
        for _ in 0..200 {
            let mut bytes = real.clone();
            bytes.resize(rng.below(80) as usize, 0x2f);
            for byte in &mut bytes {
                if rng.below(4) == 0 {
                    *byte = rng.u64() as u8;
                }
            }
            for end in &mut pair.ends {
                let _ = end.handle_datagram(&bytes);
            }
        }
    }
}

/// The three flights of a handshake, in a first meeting of two: its DTLS datagrams without those that a timer repeated.
fn sizes(tier: Tier) -> Vec<u32> {
    let scenario = scenario::find("first-data", 1).unwrap();
    let outcome = scenario::run(&scenario, 1, Options { keep_records: true, tier, ..Options::default() });
    assert!(outcome.is_good(), "{outcome}");
    let dtls = outcome.records.iter().filter(|r| r.kind == Kind::Dtls && r.fate == Fate::Sent);
    let mut sizes: Vec<_> = dtls.map(|record| record.len).filter(|len| *len > 75).collect();
    sizes.dedup_by(|b, a| a.abs_diff(*b) <= 2);
    sizes.truncate(3);
    sizes
}

#[test]
fn flights_are_as_long_as_those_of_dtls() {
    let [stub, real] = Tier::ALL.map(sizes);
    assert!(stub.len() == 3 && real.len() == 3, "{stub:?} {real:?}");
    // A real signature has 70 to 72 bytes.
    assert!(stub.iter().zip(&real).all(|(stub, real)| stub.abs_diff(*real) <= 2), "{stub:?} {real:?}");
}
