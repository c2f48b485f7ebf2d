use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use folkmoot_core::base::{Cx, DeviceId, Incarnation, MeetingId, Outbox, Rng, Signer, Time, UnixTime};
use folkmoot_core::log::{Event, Log, MAX_BODY};

use crate::bytes::Bytes;

const MEMBERS: usize = 3;

/// Steps in one run: beyond that the fuzzer only grows slower.
const MAX_STEPS: usize = 256;

/// Three members whose links come and go, one of whom also sends whatever frames it likes: of each author everyone hears
/// what it said, once and in order, but for what comes late, which is marked; and who sends rubbish is cut off and harms nobody.
pub fn log(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let mut world = World::new();
    for _ in 0..MAX_STEPS {
        if bytes.is_empty() {
            break;
        }
        world.step(&mut bytes);
        (0..MEMBERS).for_each(|index| world.settle(index));
    }
}

struct World {
    now: Time,
    rng: Rng,
    members: Vec<Member>,
    /// Frames under way, by direction; a link is a pair.
    wires: BTreeMap<(usize, usize), VecDeque<Vec<u8>>>,
}

struct Member {
    log: Log,
    said: Vec<String>,
    heard: [BTreeSet<u64>; MEMBERS],
    delivered: [BTreeSet<u64>; MEMBERS],
}

impl World {
    fn new() -> Self {
        let member = |n: usize| Member {
            log: Log::new(MeetingId([7; 16]), Signer::new([n as u8 + 1; 32]), Incarnation(1)),
            said: Vec::new(),
            heard: Default::default(),
            delivered: Default::default(),
        };
        let members = (0..MEMBERS).map(member).collect();
        Self { now: Time::from_millis(1_000), rng: Rng::new([0; 32]), members, wires: BTreeMap::new() }
    }

    fn with<T>(&mut self, index: usize, act: impl FnOnce(&mut Log, &mut Cx<'_>) -> T) -> T {
        let mut out = Outbox::new(0);
        let unix = UnixTime::from_millis(self.now.as_millis());
        act(&mut self.members[index].log, &mut Cx { now: self.now, unix, rng: &mut self.rng, out: &mut out })
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let what = bytes.u8();
        let (a, b) = (usize::from(what / 16) % MEMBERS, usize::from(what / 64) % MEMBERS);
        match what % 8 {
            0 | 1 => self.deliver(a, b),
            2 => self.link(a, b),
            3 => self.unlink(a, b),
            4 => {
                let len = usize::from(bytes.u8());
                let text = String::from_utf8_lossy(bytes.slice(len)).into_owned();
                if self.with(a, |log, cx| log.append(cx, &text)).is_ok() {
                    self.members[a].said.push(text);
                }
            }
            5 => self.now += Duration::from_millis(bytes.u16().into()),
            6 => {
                let whom = self.device(b);
                self.with(a, |log, cx| log.learn(cx, whom));
            }
            _ => self.insert(bytes),
        }
    }

    /// The first member sends something of its own making, or something that it changed.
    fn insert(&mut self, bytes: &mut Bytes<'_>) {
        let to = 1 + usize::from(bytes.u8()) % (MEMBERS - 1);
        let Some(frame) = self.wires.get(&(0, to)).map(|wire| wire.front().cloned().unwrap_or_default())
        else {
            return;
        };
        let mut frame = frame;
        let (at, len) = (usize::from(bytes.u16()) % (frame.len() + 1), usize::from(bytes.u8()));
        let change = bytes.slice(len);
        if bytes.u8().is_multiple_of(2) {
            frame.truncate(at);
            frame.extend_from_slice(change);
        } else {
            frame.iter_mut().skip(at).zip(change).for_each(|(byte, change)| *byte ^= change);
        }
        self.receive(0, to, &frame);
    }

    fn device(&self, index: usize) -> DeviceId {
        self.members[index].log.id().device
    }

    fn link(&mut self, a: usize, b: usize) {
        if a == b || self.wires.contains_key(&(a, b)) {
            return;
        }
        for (from, to) in [(a, b), (b, a)] {
            let whom = self.device(to);
            self.with(from, |log, cx| log.linked(cx, whom, Incarnation(1)));
            self.wires.insert((from, to), VecDeque::new());
        }
    }

    fn unlink(&mut self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            let whom = self.device(to);
            if self.wires.remove(&(from, to)).is_some() {
                self.members[from].log.unlinked(whom);
            }
        }
    }

    fn deliver(&mut self, from: usize, to: usize) {
        if let Some(frame) = self.wires.get_mut(&(from, to)).and_then(VecDeque::pop_front) {
            let verdict = self.receive(from, to, &frame);
            assert!(verdict || from == 0, "an honest member is taken for a dishonest one");
        }
    }

    /// Tells whether the frame was good. If not, the link is cut.
    fn receive(&mut self, from: usize, to: usize, frame: &[u8]) -> bool {
        let sender = self.device(from);
        let verdict = self.with(to, |log, cx| log.handle_frame(cx, sender, frame));
        if let Err(misbehaved) = verdict {
            assert_eq!(misbehaved.culprit(sender), self.device(0), "{misbehaved}");
            self.unlink(from, to);
        }
        verdict.is_ok()
    }

    /// Does what is due, takes what there is, and compares it with what was said.
    fn settle(&mut self, index: usize) {
        self.with(index, |log, cx| log.on_wake(cx));
        for to in 0..MEMBERS {
            let whom = self.device(to);
            while let Some(frame) = self.with(index, |log, cx| log.pull(cx, whom, MAX_BODY)) {
                assert!(frame.len() <= MAX_BODY);
                self.wires.get_mut(&(index, to)).expect("only who is linked gets frames").push_back(frame);
            }
        }
        let wake = self.members[index].log.next_wake();
        assert!(wake.is_none_or(|wake| wake.at > self.now), "a hot loop at {}: {wake:?}", self.now);
        while let Some(event) = self.members[index].log.pop_event() {
            match event {
                Event::Message { log, seq, text, history, .. } => {
                    let author =
                        (0..MEMBERS).find(|n| self.members[*n].log.id() == log).expect("a member's log");
                    assert_ne!(author, index);
                    assert_eq!(self.members[author].said.get(seq as usize), Some(&text));
                    let heard = &mut self.members[index].heard[author];
                    assert!(history || heard.last() < Some(&seq), "message {seq} out of order");
                    assert!(heard.insert(seq), "message {seq} twice");
                }
                Event::Delivered { seq, to } => {
                    let to = (0..MEMBERS).find(|n| self.device(*n) == to).expect("a member's device");
                    assert!((seq as usize) < self.members[index].said.len());
                    // The first member may say that it heard what it did not.
                    let heard = &self.members[to].heard[index];
                    assert!(to == 0 || heard.contains(&seq), "{to} has not heard {seq}");
                    assert!(
                        self.members[index].delivered[to].insert(seq),
                        "{seq} is delivered to {to} twice"
                    );
                }
            }
        }
    }
}
