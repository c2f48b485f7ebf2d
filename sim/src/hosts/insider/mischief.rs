//! What somebody who was let in does.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use folkmoot_core::base::{Cx, DeviceId, Incarnation, Rng};
use folkmoot_core::log::{Log, MAX_BODY};
use folkmoot_core::meeting::hello::End;
use folkmoot_core::meeting::{Candidate, CandidateKind, Details, Keyring, Keys, Record};
use folkmoot_core::peer::{Channel, MAX_MESSAGE};
use folkmoot_core::wire::frame::control::{Control, MAX_DIGESTS, MAX_LIST};
use folkmoot_core::wire::frame::log::{Frame, Have, Haves, LogId, MAX_HAVES};

/// A way of breaking the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mischief {
    /// Keeps everyone busy: digests of nothing, wishes for them, and logs asked for again, as fast as the link takes them.
    Hammer,
    /// Sends what is no frame, as large as a message may be.
    Giant,
    /// Tells of members who do not exist, all at addresses of bystanders, and of those addresses themselves.
    Crowd,
    /// Says one thing to one half and another thing to the other, in entries with the same numbers.
    TwoFaced,
    /// Claims to have heard what was never said.
    Liar,
}

impl Mischief {
    /// All, with the words for them.
    pub const ALL: [(&'static str, Self); 5] = [
        ("hammer", Self::Hammer),
        ("giant", Self::Giant),
        ("crowd", Self::Crowd),
        ("two-faced", Self::TwoFaced),
        ("liar", Self::Liar),
    ];
}

/// What is done on a channel: whether there was room for a body.
pub(super) trait Send: FnMut(&mut Cx<'_>, Channel, &[u8]) -> bool {}
impl<F: FnMut(&mut Cx<'_>, Channel, &[u8]) -> bool> Send for F {}

/// Frames to one member in one beat, if there is room for them.
const AT_ONCE: usize = 4;

#[derive(Debug)]
pub(super) struct Mischiefs {
    what: Mischief,
    keys: Keys,
    /// Two logs with one name: who has an odd device id gets one, who has an even one the other.
    logs: [Log; 2],
    victims: Vec<SocketAddr>,
    told: BTreeMap<DeviceId, u64>,
    done: u64,
}

impl Mischiefs {
    pub(super) fn new(what: Mischief, keys: &Keys, keyring: &Keyring, victims: Vec<SocketAddr>) -> Self {
        let log = || Log::new(keys.id(), keyring.signer().clone(), super::RUN);
        Self { what, keys: keys.clone(), logs: [log(), log()], victims, told: BTreeMap::new(), done: 0 }
    }

    pub(super) fn done(&self) -> u64 {
        self.done
    }

    pub(super) fn linked(&mut self, cx: &mut Cx<'_>, with: End) {
        let log = &mut self.logs[face(with.device)];
        log.linked(cx, with.device, with.incarnation);
    }

    pub(super) fn unlinked(&mut self, with: End) {
        self.logs[face(with.device)].unlinked(with.device);
    }

    pub(super) fn heard(&mut self, cx: &mut Cx<'_>, from: End, body: &[u8]) {
        let log = &mut self.logs[face(from.device)];
        let _ = log.handle_frame(cx, from.device, body);
        while log.pop_event().is_some() {}
    }

    /// Does something to somebody, with `send`.
    pub(super) fn act(&mut self, cx: &mut Cx<'_>, to: End, mut send: impl Send) {
        let count = *self.told.entry(to.device).and_modify(|count| *count += 1).or_default();
        let sent = match self.what {
            Mischief::Hammer => self.hammer(cx, to, &mut send),
            Mischief::Giant => {
                let noise: Vec<u8> = (0..MAX_MESSAGE / 8).flat_map(|_| cx.rng.u64().to_be_bytes()).collect();
                let channel = [Channel::Control, Channel::Log, Channel::Bulk][count as usize % 3];
                send(cx, channel, &noise[..MAX_MESSAGE - 2])
            }
            // To make them up, and sign for each, is dear for whoever runs this.
            Mischief::Crowd => count.is_multiple_of(10) && self.crowd(cx, &mut send),
            Mischief::TwoFaced => self.two_faced(cx, (to, count), &mut send),
            Mischief::Liar => {
                let log = LogId { device: to.device, incarnation: to.incarnation };
                let have = Have { log, start: 0, next: u64::MAX - count, again: false, missing: Vec::new() };
                send(cx, Channel::Log, &haves(vec![have]))
            }
        };
        self.done += u64::from(sent);
    }

    fn hammer(&mut self, cx: &mut Cx<'_>, to: End, send: &mut impl Send) -> bool {
        let mut sent = false;
        for n in 0..AT_ONCE {
            let digests = (0..MAX_DIGESTS).map(|_| cx.rng.array()).collect();
            let again = |n: u64| {
                // Its own log, and others that nobody has.
                let log = LogId { device: to.device, incarnation: Incarnation(to.incarnation.0 + n) };
                Have { log, start: 0, next: 0, again: true, missing: Vec::new() }
            };
            sent |= match n {
                0 => send(cx, Channel::Control, &Control::Known(digests).encode()),
                1 => send(cx, Channel::Control, &Control::Want(digests).encode()),
                2 => send(cx, Channel::Log, &haves((0..MAX_HAVES as u64).map(again).collect())),
                _ => {
                    let unknown = Control::Unknown(u32::MAX - n as u32).encode();
                    send(cx, Channel::Control, &unknown)
                }
            };
        }
        sent
    }

    fn crowd(&mut self, cx: &mut Cx<'_>, send: &mut impl Send) -> bool {
        let records: Vec<_> = (0..MAX_LIST).map(|_| self.invent(cx)).collect();
        let records = records.iter().map(|record| record.encode().as_slice()).collect();
        let addresses = (0..MAX_LIST).filter_map(|_| cx.rng.choose(&self.victims).copied()).collect();
        let told = send(cx, Channel::Control, &Control::Members(records).encode());
        send(cx, Channel::Control, &Control::Addresses(addresses).encode()) || told
    }

    /// A member who does not exist, at addresses of others.
    fn invent(&self, cx: &mut Cx<'_>) -> Record {
        let seed = cx.rng.array();
        let candidate = |rng: &mut Rng| {
            let addr = rng.choose(&self.victims).copied()?;
            Some(Candidate { kind: CandidateKind::Reflexive, addr })
        };
        let details = Details {
            incarnation: Incarnation(1),
            serial: 1,
            time: cx.unix,
            snap: [0; 26],
            nat: 0,
            candidates: (0..Record::MAX_CANDIDATES).filter_map(|_| candidate(cx.rng)).collect(),
            name: "nobody".into(),
        };
        Record::sign(self.keys.id(), &Keyring::new(&seed, &seed), cx.rng.array(), details)
    }

    fn two_faced(&mut self, cx: &mut Cx<'_>, (to, count): (End, u64), send: &mut impl Send) -> bool {
        // Both say equally much, whenever one of them is asked.
        if count.is_multiple_of(20) {
            for (face, log) in self.logs.iter_mut().enumerate() {
                let _ = log.append(cx, &format!("this is what face {face} says"));
            }
        }
        let log = &mut self.logs[face(to.device)];
        log.on_wake(cx);
        let mut sent = false;
        while let Some(frame) = log.pull(cx, to.device, MAX_BODY) {
            sent |= send(cx, Channel::Log, &frame);
        }
        sent
    }
}

/// Which of two logs a device gets.
fn face(device: DeviceId) -> usize {
    usize::from(device.0[0] & 1)
}

fn haves(logs: Vec<Have>) -> Vec<u8> {
    Frame::Have(Haves { logs, more: false }).encode()
}
