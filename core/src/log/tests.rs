//! A meeting in memory: devices with links that come and go, restarts, newcomers; and members who break the rules.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::*;
use crate::base::{Outbox, Rng, Signature};
use crate::wire::frame::log::MAX_HAVES;

const MEETING: MeetingId = MeetingId([7; 16]);

/// One device, in one of its runs.
struct Device {
    signer: Signer,
    log: Log,
    /// What the application was given: by log, the messages, in order but for history.
    heard: BTreeMap<LogId, Vec<(u64, String, bool)>>,
    delivered: BTreeMap<DeviceId, Vec<u64>>,
    alive: bool,
    drains: bool,
}

/// What a device said in one run, and from which entry on others may have it.
#[derive(Default)]
struct Truth {
    said: Vec<String>,
    admitted: BTreeMap<DeviceId, u64>,
}

/// Frames on their way, and when they arrive.
type Wire = VecDeque<(Time, Vec<u8>)>;

struct World {
    now: Time,
    rng: Rng,
    devices: BTreeMap<DeviceId, Device>,
    /// Frames under way, by direction; a link is a pair of them.
    wires: BTreeMap<(DeviceId, DeviceId), Wire>,
    truth: BTreeMap<LogId, Truth>,
    frames: u64,
    bytes: u64,
}

macro_rules! cx {
    ($world:expr, $out:expr) => {
        Cx {
            now: $world.now,
            unix: UnixTime::from_millis($world.now.as_millis()),
            rng: &mut $world.rng,
            out: &mut $out,
        }
    };
}

impl World {
    fn new(seed: u64, devices: u8) -> (Self, Vec<DeviceId>) {
        let mut entropy = [0; 32];
        entropy[..8].copy_from_slice(&seed.to_be_bytes());
        let mut world = Self {
            now: Time::from_millis(1_000),
            rng: Rng::new(entropy),
            devices: BTreeMap::new(),
            wires: BTreeMap::new(),
            truth: BTreeMap::new(),
            frames: 0,
            bytes: 0,
        };
        let ids = (1..=devices).map(|n| world.start(Signer::new([n; 32]), 1)).collect();
        (world, ids)
    }

    fn start(&mut self, signer: Signer, run: u64) -> DeviceId {
        let log = Log::new(MEETING, signer.clone(), Incarnation(run));
        let id = log.id();
        self.truth.insert(id, Truth::default());
        let device = Device {
            signer,
            log,
            heard: BTreeMap::new(),
            delivered: BTreeMap::new(),
            alive: true,
            drains: true,
        };
        self.devices.insert(id.device, device);
        id.device
    }

    fn stop(&mut self, id: DeviceId) {
        let others: Vec<_> = self.devices.keys().copied().collect();
        others.into_iter().for_each(|other| self.unlink(id, other));
        self.devices.get_mut(&id).unwrap().alive = false;
    }

    fn restart(&mut self, id: DeviceId) {
        self.stop(id);
        let (signer, run) = (self.devices[&id].signer.clone(), self.devices[&id].log.id().incarnation.0 + 1);
        self.start(signer, run);
    }

    fn learn(&mut self, who: DeviceId, whom: DeviceId) {
        let mut out = Outbox::new(0);
        let device = self.devices.get_mut(&who).unwrap();
        if who != whom {
            let truth = self.truth.get_mut(&device.log.id()).unwrap();
            let next = truth.said.len() as u64;
            truth.admitted.entry(whom).or_insert(next);
        }
        device.log.learn(&mut cx!(self, out), whom);
    }

    fn everyone_learns(&mut self) {
        let all: Vec<_> = self.devices.keys().copied().collect();
        for &who in &all {
            all.iter().for_each(|&whom| self.learn(who, whom));
        }
    }

    fn link(&mut self, a: DeviceId, b: DeviceId) {
        if a == b || !self.devices[&a].alive || !self.devices[&b].alive || self.wires.contains_key(&(a, b)) {
            return;
        }
        for (from, to) in [(a, b), (b, a)] {
            self.learn(from, to);
            let run = self.devices[&to].log.id().incarnation;
            let mut out = Outbox::new(0);
            self.devices.get_mut(&from).unwrap().log.linked(&mut cx!(self, out), to, run);
            self.wires.insert((from, to), VecDeque::new());
        }
    }

    fn link_all(&mut self) {
        let all: Vec<_> = self.devices.keys().copied().collect();
        for &a in &all {
            all.iter().for_each(|&b| self.link(a, b));
        }
    }

    /// Frames under way are lost.
    fn unlink(&mut self, a: DeviceId, b: DeviceId) {
        if self.wires.remove(&(a, b)).is_some() {
            self.wires.remove(&(b, a));
            self.devices.get_mut(&a).unwrap().log.unlinked(b);
            self.devices.get_mut(&b).unwrap().log.unlinked(a);
        }
    }

    fn say(&mut self, who: DeviceId, text: &str) -> Result<u64, AppendError> {
        let mut out = Outbox::new(0);
        let device = self.devices.get_mut(&who).unwrap();
        let seq = device.log.append(&mut cx!(self, out), text)?;
        let truth = self.truth.get_mut(&device.log.id()).unwrap();
        assert_eq!(seq, truth.said.len() as u64);
        truth.said.push(text.to_owned());
        Ok(seq)
    }

    /// Lets `by` pass, frame by frame and wake by wake.
    fn run(&mut self, by: Duration) {
        let end = self.now + by;
        loop {
            self.settle();
            let arrivals = self.wires.values().filter_map(|wire| wire.front().map(|(at, _)| *at));
            let wakes = self.alive().filter_map(|device| device.log.next_wake().map(|wake| wake.at));
            let next = arrivals.chain(wakes).min().unwrap_or(end);
            if next > end {
                self.now = end;
                return;
            }
            assert!(next >= self.now, "a wake in the past");
            self.now = next;
            for id in self.devices.keys().copied().collect::<Vec<_>>() {
                let mut out = Outbox::new(0);
                let device = self.devices.get_mut(&id).unwrap();
                if device.alive && device.log.next_wake().is_some_and(|wake| wake.at <= self.now) {
                    device.log.on_wake(&mut cx!(self, out));
                    assert!(device.log.next_wake().is_none_or(|wake| wake.at > self.now), "a hot loop");
                }
            }
            self.arrive();
            if self.now >= end {
                self.settle();
                return;
            }
        }
    }

    fn arrive(&mut self) {
        for (from, to) in self.wires.keys().copied().collect::<Vec<_>>() {
            while let Some(wire) = self.wires.get_mut(&(from, to))
                && wire.front().is_some_and(|(at, _)| *at <= self.now)
            {
                let (_, frame) = wire.pop_front().unwrap();
                let mut out = Outbox::new(0);
                let device = self.devices.get_mut(&to).unwrap();
                let result = device.log.handle_frame(&mut cx!(self, out), from, &frame);
                assert_eq!(result, Ok(()), "{to:?} of {from:?}");
            }
        }
    }

    /// Drains events and fills the wires, which hold 64 KiB each.
    fn settle(&mut self) {
        for device in self.devices.values_mut().filter(|device| device.alive && device.drains) {
            while let Some(event) = device.log.pop_event() {
                match event {
                    Event::Message { log, seq, text, history, .. } => {
                        device.heard.entry(log).or_default().push((seq, text, history));
                    }
                    Event::Delivered { seq, to } => device.delivered.entry(to).or_default().push(seq),
                }
            }
        }
        for (from, to) in self.wires.keys().copied().collect::<Vec<_>>() {
            let delay = Duration::from_millis(10 + self.rng.below(40));
            let wire = self.wires.get_mut(&(from, to)).unwrap();
            let at = wire.back().map_or(self.now, |(at, _)| *at).max(self.now + delay);
            loop {
                let room = 65_536_usize.saturating_sub(wire.iter().map(|(_, frame)| frame.len()).sum());
                let mut out = Outbox::new(0);
                let device = self.devices.get_mut(&from).unwrap();
                let Some(frame) = device.log.pull(&mut cx!(self, out), to, room) else { break };
                assert!(frame.len() <= room && frame.len() <= MAX_BODY);
                self.frames += 1;
                self.bytes += frame.len() as u64;
                wire.push_back((at, frame));
            }
        }
    }

    fn alive(&self) -> impl Iterator<Item = &Device> {
        self.devices.values().filter(|device| device.alive)
    }

    /// What must hold at any time: messages come exactly once, in order if they are not history, unaltered, and only those one may have.
    fn assert_safe(&self) {
        for device in self.alive() {
            let me = device.log.id().device;
            device.log.store.size();
            for (log, heard) in &device.heard {
                assert_ne!(log.device, me);
                let truth = &self.truth[log];
                let first = truth.admitted[&me];
                assert!(
                    heard.iter().all(|(seq, ..)| *seq >= first),
                    "{me:?} got what was said before it came"
                );
                let mut newest = None;
                for (seq, _, history) in heard {
                    assert!(*history || newest < Some(seq), "in order");
                    newest = newest.max(Some(seq));
                }
                let once: BTreeSet<_> = heard.iter().map(|(seq, ..)| *seq).collect();
                assert_eq!(once.len(), heard.len(), "once");
                for (seq, text, _) in heard {
                    assert_eq!(*text, truth.said[*seq as usize]);
                }
            }
            let truth = &self.truth[&device.log.id()];
            for (to, seqs) in &device.delivered {
                let once: BTreeSet<_> = seqs.iter().collect();
                assert!(once.len() == seqs.len() && once.first() >= Some(&&truth.admitted[to]), "once");
                let heard = self.devices[to].heard.get(&device.log.id());
                let has = |seq: &u64| heard.is_some_and(|heard| heard.iter().any(|(held, ..)| held == seq));
                let restarted = self.devices[to].log.id().incarnation.0 > 1;
                assert!(restarted || seqs.iter().all(has), "delivered is only what is there");
            }
        }
    }

    /// What must hold once all is quiet: nobody lacks anything that it may have and someone linked to it holds.
    fn assert_complete(&self) {
        for (a, b) in self.wires.keys() {
            let (holder, device) = (&self.devices[a].log, &self.devices[b]);
            for log in holder.store.ids().filter(|log| log.device != *b) {
                let held = holder.store.get(log).unwrap();
                // Who came later than who is admitted, and was shown no proof, does not know of it.
                let Some(&first) = held.admitted.get(b) else {
                    let truth = self.truth[&log].admitted.get(b);
                    assert!(truth.is_none_or(|first| held.get(*first).is_none()), "{a:?} forgot {b:?}");
                    continue;
                };
                let heard: BTreeSet<_> =
                    device.heard.get(&log).into_iter().flatten().map(|(seq, ..)| *seq).collect();
                let lacks = |seq: &u64| held.get(*seq).is_some() && !heard.contains(seq);
                let lacking = (first..held.next()).find(lacks);
                assert_eq!(lacking, None, "{b:?} lacks this of {log:?}, which {a:?} holds");
                if log == holder.id() {
                    let delivered = self.devices[a].delivered.get(b).into_iter().flatten().copied();
                    let delivered = delivered.collect::<BTreeSet<_>>();
                    assert!(heard.is_subset(&delivered), "{a:?} does not know all that {b:?} has");
                }
            }
        }
    }

    fn texts(&self, who: DeviceId, of: DeviceId) -> Vec<String> {
        let logs = self.devices[&who].heard.iter().filter(|(log, _)| log.device == of);
        logs.flat_map(|(_, heard)| heard.iter().map(|(_, text, _)| text.clone())).collect()
    }
}

const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn what_is_said_arrives_and_is_confirmed_at_once() {
    let (mut world, ids) = World::new(1, 3);
    world.link_all();
    world.run(MS(200));
    world.say(ids[0], "hello").unwrap();
    world.run(MS(200));
    for &other in &ids[1..] {
        let heard = &world.devices[&other].heard;
        assert_eq!(heard.values().flatten().collect::<Vec<_>>(), [&(0, "hello".to_owned(), false)]);
        assert_eq!(world.devices[&ids[0]].delivered[&other], [0]);
    }
    assert_eq!(world.devices[&ids[0]].log.undelivered(), 0);
    world.run(Duration::from_secs(10));
    let frames = world.frames;
    world.run(Duration::from_secs(100));
    assert_eq!(world.frames, frames, "silence once all is said");
    assert!(world.devices[&ids[0]].log.next_wake().is_none());
    // Each of the three sends two first lists; then the message twice, two confirmations, two rumours.
    assert!(frames <= 6 + 2 + 2 + 2, "{frames}");
    assert_eq!(world.devices[&ids[1]].log.counters(), Counters::default());
    world.assert_safe();
}

#[test]
fn a_newcomer_gets_nothing_earlier() {
    let (mut world, ids) = World::new(2, 3);
    world.link(ids[0], ids[1]);
    world.say(ids[0], "before").unwrap();
    world.run(MS(500));
    world.link_all();
    world.run(MS(500));
    world.say(ids[0], "after").unwrap();
    world.run(Duration::from_secs(30));
    assert_eq!(world.texts(ids[2], ids[0]), ["after"]);
    assert_eq!(world.texts(ids[1], ids[0]), ["before", "after"]);
    world.assert_safe();
    world.assert_complete();
}

#[test]
fn a_member_brings_another_up_to_date_when_the_author_is_gone() {
    let (mut world, ids) = World::new(3, 3);
    world.everyone_learns();
    world.link(ids[0], ids[1]);
    world.run(MS(200));
    world.say(ids[0], "one").unwrap();
    world.say(ids[0], "two").unwrap();
    world.run(MS(200));
    world.stop(ids[0]);
    world.link(ids[1], ids[2]);
    world.run(Duration::from_secs(3));
    assert_eq!(world.texts(ids[2], ids[0]), ["one", "two"]);
    assert!(world.devices[&ids[2]].heard.values().flatten().all(|(_, _, history)| *history));
    world.assert_safe();
}

/// The one who passes on joined last and was never told who came before it.
#[test]
fn an_admission_is_proved_to_who_joined_later() {
    let (mut world, ids) = World::new(4, 3);
    world.link(ids[0], ids[1]);
    world.say(ids[0], "zero").unwrap();
    world.say(ids[0], "one").unwrap();
    world.run(MS(500));
    assert_eq!(world.texts(ids[1], ids[0]), ["zero", "one"]);
    world.link(ids[0], ids[2]);
    world.run(MS(500));
    world.unlink(ids[0], ids[1]);
    world.say(ids[0], "two").unwrap();
    world.run(MS(500));
    world.learn(ids[2], ids[1]);
    world.link(ids[1], ids[2]);
    world.run(Duration::from_secs(5));
    assert_eq!(world.texts(ids[1], ids[0]), ["zero", "one", "two"]);
    assert_eq!(world.texts(ids[2], ids[0]), ["two"]);
    world.assert_safe();
}

/// The log of a member may come before word of the member.
#[test]
fn an_author_who_is_introduced_late_is_heard_at_once() {
    let (mut world, ids) = World::new(13, 3);
    world.learn(ids[0], ids[2]);
    world.link(ids[0], ids[1]);
    world.run(MS(200));
    world.say(ids[0], "hello").unwrap();
    world.run(MS(200));
    world.stop(ids[0]);
    world.link(ids[1], ids[2]);
    world.run(Duration::from_millis(4_500));
    assert!(world.texts(ids[2], ids[0]).is_empty());
    assert_eq!(world.devices[&ids[2]].log.counters().strangers, 1);
    world.learn(ids[2], ids[0]);
    world.run(MS(150));
    assert_eq!(world.texts(ids[2], ids[0]), ["hello"]);
    world.assert_safe();
}

#[test]
fn a_lost_link_is_made_up_for() {
    let (mut world, ids) = World::new(5, 4);
    world.link_all();
    world.run(MS(500));
    world.unlink(ids[0], ids[1]);
    world.say(ids[0], "around the corner").unwrap();
    world.run(MS(1_000));
    assert!(world.texts(ids[1], ids[0]).is_empty());
    world.run(MS(2_500));
    assert_eq!(world.texts(ids[1], ids[0]), ["around the corner"]);
    assert!(world.devices[&ids[1]].heard.values().flatten().all(|(_, _, history)| !history));
    world.link(ids[0], ids[1]);
    world.run(MS(500));
    assert_eq!(world.devices[&ids[0]].delivered[&ids[1]], [0]);
    world.assert_safe();
    world.assert_complete();
}

#[test]
fn a_device_that_starts_anew_gets_it_all_again_as_history() {
    let (mut world, ids) = World::new(6, 2);
    world.link_all();
    world.run(MS(200));
    world.say(ids[0], "one").unwrap();
    world.say(ids[1], "mine").unwrap();
    world.run(MS(200));
    world.restart(ids[1]);
    world.say(ids[0], "two").unwrap();
    world.run(MS(200));
    world.link_all();
    world.run(MS(200));
    world.say(ids[0], "three").unwrap();
    world.run(MS(200));
    let heard: Vec<_> = world.devices[&ids[1]].heard.values().flatten().cloned().collect();
    let expected = [(0, "one".to_owned(), true), (1, "two".to_owned(), true), (2, "three".to_owned(), false)];
    assert_eq!(heard, expected);
    assert_eq!(world.devices[&ids[0]].delivered[&ids[1]], [0, 1, 2], "each once, over both runs");
    world.say(ids[1], "I again").unwrap();
    world.run(MS(200));
    assert_eq!(world.texts(ids[0], ids[1]), ["mine", "I again"]);
    world.assert_safe();
    world.assert_complete();
}

/// An author and a member who cannot be linked have only what those who came later may pass on.
#[test]
fn what_only_the_unreachable_author_has_is_gone_on_without_and_comes_late() {
    let (mut world, ids) = World::new(14, 3);
    let [author, member, late] = [ids[0], ids[1], ids[2]];
    world.learn(author, member);
    world.learn(member, author);
    world.say(author, "to a member it cannot reach").unwrap();
    world.link(author, late);
    world.link(member, late);
    world.run(MS(200));
    world.say(author, "to both").unwrap();
    world.run(Duration::from_secs(12));
    assert!(world.texts(member, author).is_empty(), "the author may be on the way with the first");
    world.run(Duration::from_secs(8));
    assert_eq!(world.texts(member, author), ["to both"]);
    world.say(author, "and on").unwrap();
    world.run(Duration::from_secs(6));
    assert_eq!(world.texts(member, author), ["to both", "and on"]);
    assert_eq!(world.devices[&author].log.undelivered(), 3);
    // If the author comes at last, what was gone on without comes as well, as history.
    world.link(author, member);
    world.run(Duration::from_secs(2));
    assert_eq!(world.devices[&author].delivered[&member], [1, 2, 0]);
    let heard = world.devices[&member].heard.values().flatten();
    let late = heard.map(|(seq, _, history)| (*seq, *history)).collect::<Vec<_>>();
    assert_eq!(late, [(1, false), (2, false), (0, true)]);
    assert_eq!(world.devices[&author].log.undelivered(), 0);
    world.assert_safe();
    world.assert_complete();
}

#[test]
fn an_author_who_comes_in_time_is_heard_in_order() {
    let (mut world, ids) = World::new(15, 3);
    let [author, member, late] = [ids[0], ids[1], ids[2]];
    world.learn(author, member);
    world.learn(member, author);
    world.say(author, "first").unwrap();
    world.link(author, late);
    world.link(member, late);
    world.run(MS(200));
    world.say(author, "second").unwrap();
    world.run(Duration::from_secs(12));
    world.link(author, member);
    world.run(Duration::from_secs(1));
    assert_eq!(world.texts(member, author), ["first", "second"]);
    world.assert_complete();
}

/// One who had the beginning goes on with a member who came later, too. What it went on without, it passes on once it has it.
#[test]
fn a_gap_is_filled_late_and_by_whoever_can() {
    let (mut world, ids) = World::new(16, 4);
    let [author, member, late, friend] = [ids[0], ids[1], ids[2], ids[3]];
    world.link(author, member);
    world.link(author, friend);
    world.say(author, "first").unwrap();
    world.run(MS(200));
    world.unlink(author, member);
    world.unlink(author, friend);
    world.say(author, "second").unwrap();
    world.link(author, late);
    world.link(member, late);
    world.link(friend, late);
    world.run(MS(200));
    world.say(author, "third").unwrap();
    world.run(Duration::from_secs(12));
    assert_eq!(world.texts(member, author), ["first"]);
    world.run(Duration::from_secs(8));
    for other in [member, friend] {
        assert_eq!(world.texts(other, author), ["first", "third"]);
        assert_eq!(world.devices[&other].log.store.get(world.devices[&author].log.id()).unwrap().start(), 2);
    }
    world.link(author, member);
    world.run(Duration::from_secs(2));
    assert_eq!(world.texts(member, author), ["first", "third", "second"]);
    assert_eq!(world.devices[&author].delivered[&member], [0, 2, 1]);
    assert_eq!(world.devices[&member].log.store.get(world.devices[&author].log.id()).unwrap().start(), 0);
    world.stop(author);
    world.link(member, friend);
    world.run(Duration::from_secs(6));
    assert_eq!(world.texts(friend, author), ["first", "third", "second"]);
    world.assert_safe();
    world.assert_complete();
}

/// Links come and go and lose what is under way, devices restart, are late or never come back, and everyone talks.
#[test]
fn whatever_happens_each_message_comes_once_in_order_to_those_who_may_have_it() {
    for seed in 0..60 {
        let count = 2 + (seed % 5) as u8;
        let (mut world, ids) = World::new(seed, count);
        for round in 0..60 {
            let pick = |world: &mut World| ids[world.rng.below(ids.len() as u64) as usize];
            let (a, b) = (pick(&mut world), pick(&mut world));
            match world.rng.below(16) {
                0..=4 => world.link(a, b),
                5..=6 => world.unlink(a, b),
                7..=13 => {
                    if world.devices[&a].alive {
                        let long = if world.rng.below(5) == 0 { "x".repeat(6_000) } else { String::new() };
                        for n in 0..=world.rng.below(3) {
                            world.say(a, &format!("{round}.{n} {long}")).unwrap();
                        }
                    }
                }
                14 => world.restart(a),
                _ => world.stop(a),
            }
            // Records are gossiped over links.
            for (x, y) in world.wires.keys().copied().collect::<Vec<_>>() {
                let known: Vec<_> = world.devices[&x].log.devices.keys().copied().collect();
                known.into_iter().for_each(|device| world.learn(y, device));
            }
            let pause = MS(world.rng.below(1_500));
            world.run(pause);
            world.assert_safe();
        }
        for id in &ids {
            if !world.devices[id].alive && world.rng.below(2) == 0 {
                world.restart(*id);
            }
        }
        world.everyone_learns();
        world.link_all();
        world.run(Duration::from_secs(60));
        world.assert_safe();
        world.assert_complete();
        assert!(
            world.alive().all(|device| device.log.next_wake().is_none()),
            "seed {seed}: it goes on and on"
        );
    }
}

#[test]
fn twenty_members_pass_on_what_one_missed_with_few_duplicates() {
    let (mut world, ids) = World::new(8, 20);
    world.link_all();
    world.run(Duration::from_secs(2));
    world.unlink(ids[0], ids[1]);
    for n in 0..10 {
        world.say(ids[0], &format!("number {n}")).unwrap();
        world.run(MS(300));
    }
    world.run(Duration::from_secs(10));
    assert_eq!(world.texts(ids[1], ids[0]).len(), 10);
    let duplicates: u64 = world.alive().map(|device| device.log.counters().duplicates).sum();
    assert!(duplicates <= 20, "{duplicates}");
    world.assert_complete();
}

#[test]
fn an_application_that_does_not_drain_loses_nothing_and_holds_little() {
    let (mut world, ids) = World::new(9, 2);
    world.link_all();
    world.run(MS(200));
    world.devices.get_mut(&ids[1]).unwrap().drains = false;
    let mut said = 0;
    let refused = loop {
        match world.say(ids[0], &format!("number {said}")) {
            Ok(_) => said += 1,
            Err(error) => break error,
        }
        if said % 100 == 0 {
            world.run(MS(100));
        }
        assert!(said < 10_000);
    };
    assert_eq!(refused, AppendError::TooMuchQueued);
    world.run(Duration::from_secs(10));
    let entries = world.devices[&ids[1]].log.store.size().0;
    assert_eq!(entries, limits::LOG_UNREAD);
    assert_eq!(world.devices[&ids[0]].log.undelivered(), limits::LOG_UNDELIVERED);
    assert_eq!(said, limits::LOG_UNREAD + limits::LOG_UNDELIVERED);
    let frames = world.frames;
    world.run(Duration::from_secs(10));
    assert_eq!(world.frames, frames, "nothing is sent in vain");

    world.devices.get_mut(&ids[1]).unwrap().drains = true;
    world.run(Duration::from_secs(10));
    assert_eq!(world.texts(ids[1], ids[0]).len(), said);
    assert_eq!(world.devices[&ids[0]].delivered[&ids[1]].len(), said);
    world.assert_safe();
    world.assert_complete();
}

#[test]
fn a_log_that_outgrew_the_limits_is_begun_where_it_still_is() {
    let (mut world, ids) = World::new(10, 2);
    world.link_all();
    world.run(MS(200));
    let text = "x".repeat(MAX_TEXT);
    for _ in 0..1_100 {
        world.say(ids[0], &text).unwrap();
        world.run(MS(60));
    }
    for id in &ids {
        let (entries, bytes) = world.devices[id].log.store.size();
        assert!(entries <= limits::LOG_ENTRIES && bytes <= limits::LOG_BYTES);
        assert!(bytes > limits::LOG_BYTES - 2 * MAX_TEXT);
    }
    world.assert_safe();
    world.restart(ids[1]);
    world.link_all();
    world.run(Duration::from_secs(20));
    let heard = world.devices[&ids[1]].heard.values().next().unwrap();
    assert!(heard[0].0 > 0 && heard.last().unwrap().0 == 1_099, "{}", heard[0].0);
    assert!(heard.len() > 900, "{}", heard.len());
    world.assert_safe();
    world.assert_complete();
}

#[test]
fn what_cannot_be_said() {
    let (mut world, ids) = World::new(11, 2);
    assert_eq!(world.say(ids[0], ""), Err(AppendError::Empty));
    assert_eq!(world.say(ids[0], &"x".repeat(MAX_TEXT + 1)), Err(AppendError::TooLong(MAX_TEXT + 1)));
    let text = "x".repeat(MAX_TEXT);
    // Nobody is there whom it could wait for.
    assert!((0..2_000).all(|_| world.say(ids[0], &text).is_ok()));
    world.learn(ids[0], ids[1]);
    let waiting = (0..2_000).take_while(|_| world.say(ids[0], &text).is_ok()).count();
    assert!(waiting >= 200 && waiting * text.len() <= limits::LOG_UNDELIVERED_BYTES, "{waiting}");
    world.devices.get_mut(&ids[0]).unwrap().log.forget(ids[1]);
    assert!(world.say(ids[0], &text).is_ok());
    let bytes = world.devices[&ids[0]].log.store.size().1;
    assert!(bytes <= limits::LOG_BYTES, "{bytes}");
}

/// Frames made by hand, from a member who breaks the rules.
struct Mallory {
    world: World,
    victim: DeviceId,
    signer: Signer,
    me: LogId,
}

impl Mallory {
    fn new() -> Self {
        let (mut world, ids) = World::new(12, 2);
        world.link_all();
        world.run(MS(200));
        let signer = world.devices[&ids[1]].signer.clone();
        let me = world.devices[&ids[1]].log.id();
        Self { world, victim: ids[0], signer, me }
    }

    fn send(&mut self, frame: &Frame<'_>) -> Result<(), Misbehaved> {
        self.send_bytes(&frame.encode())
    }

    fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Misbehaved> {
        let mut out = Outbox::new(0);
        let log = &mut self.world.devices.get_mut(&self.victim).unwrap().log;
        let result = log.handle_frame(&mut cx!(self.world, out), self.me.device, bytes);
        while log.pop_event().is_some() {}
        log.store.size();
        result
    }

    fn entry(&self, seq: u64, text: &str, admits: Vec<DeviceId>) -> Entry {
        let at = (Time::ZERO, UnixTime::default());
        Entry::write((MEETING, self.me, seq), &self.signer, at, text, admits)
    }

    fn entries(&mut self, from: u64, entries: &[Entry]) -> Result<(), Misbehaved> {
        let entries = entries.iter().map(Entry::to_wire).collect();
        self.send(&Frame::Entries(Entries { log: self.me, from, entries }))
    }

    fn counters(&self) -> Counters {
        self.world.devices[&self.victim].log.counters()
    }

    fn held(&self) -> u64 {
        self.world.devices[&self.victim].log.store.get(self.me).map_or(0, |held| held.next())
    }
}

#[test]
fn forged_entries_are_refused() {
    let mut mallory = Mallory::new();
    let victim = mallory.victim;
    let good = mallory.entry(0, "good", vec![victim]);
    let forged = Entry { signature: [1; 64], ..mallory.entry(1, "forged", vec![]) };
    assert_eq!(mallory.entries(0, &[good.clone(), forged.clone()]), Err(Misbehaved::Forged));
    assert_eq!(mallory.held(), 1, "what came before counts");
    assert_eq!(mallory.entries(1, &[mallory.entry(2, "of another place", vec![])]), Err(Misbehaved::Forged));
    // Words put into the mouth of a third device, known and unknown.
    let third = Signer::new([99; 32]);
    let log = LogId { device: DeviceId(third.public()), incarnation: Incarnation(1) };
    let frame = |signature: Signature| {
        let mut entry = good.clone();
        entry.signature = signature;
        Frame::Entries(Entries { log, from: 0, entries: vec![entry.to_wire()] }).encode()
    };
    assert_eq!(mallory.send_bytes(&frame(good.signature)), Ok(()));
    assert_eq!(mallory.counters().strangers, 1);
    mallory.world.learn(victim, log.device);
    assert_eq!(mallory.send_bytes(&frame(good.signature)), Err(Misbehaved::Forged));
    assert_eq!(Misbehaved::Forged.culprit(mallory.me.device), mallory.me.device);
}

#[test]
fn two_entries_with_one_number_are_the_authors_fault() {
    let mut mallory = Mallory::new();
    let victim = mallory.victim;
    let one = mallory.entry(0, "one", vec![victim]);
    for _ in 0..2 {
        assert_eq!(mallory.entries(0, std::slice::from_ref(&one)), Ok(()));
    }
    assert_eq!(mallory.counters().duplicates, 1);
    let other = mallory.entry(0, "another", vec![victim]);
    assert_eq!(mallory.entries(0, &[other]), Err(Misbehaved::Equivocated(mallory.me, 0)));
    let forged = Entry { signature: [1; 64], ..mallory.entry(0, "forged", vec![]) };
    assert_eq!(mallory.entries(0, &[forged]), Err(Misbehaved::Forged));
    let fault = Misbehaved::Equivocated(mallory.me, 0);
    assert_eq!(fault.culprit(DeviceId([1; 32])), mallory.me.device);
}

#[test]
fn gaps_and_entries_that_do_not_admit_us_are_not_taken_in() {
    let mut mallory = Mallory::new();
    let victim = mallory.victim;
    assert_eq!(mallory.entries(0, &[mallory.entry(0, "not for you", vec![])]), Ok(()));
    assert_eq!(mallory.held(), 0);
    assert_eq!(mallory.entries(3, &[mallory.entry(3, "for you", vec![victim])]), Ok(()));
    assert_eq!(mallory.entries(5, &[mallory.entry(5, "too far", vec![])]), Ok(()));
    assert_eq!(mallory.held(), 4);
    assert_eq!(mallory.counters().gaps, 2);
}

/// Whoever makes gap after gap is listened to no longer than what there is to remember.
#[test]
fn gaps_are_few_and_each_is_filled_once() {
    let mut mallory = Mallory::new();
    let victim = mallory.victim;
    let me = mallory.me;
    for n in 0..10 {
        let seq = 10 * n;
        let have = Have { log: me, start: seq, next: seq + 1, again: false, missing: vec![] };
        mallory.send(&Frame::Have(Haves { logs: vec![have], more: false })).unwrap();
        mallory.entries(seq, &[mallory.entry(seq, "after a gap", vec![victim])]).unwrap();
    }
    let missing =
        |mallory: &Mallory| mallory.world.devices[&victim].log.store.get(me).unwrap().missing().to_vec();
    assert_eq!(missing(&mallory), [1..10, 11..20, 21..30, 31..40]);
    assert_eq!(mallory.held(), 91);
    for (seq, left) in [(1, 2..10), (9, 2..9)] {
        mallory.entries(seq, &[mallory.entry(seq, "late", vec![])]).unwrap();
        assert_eq!(missing(&mallory)[0], left);
    }
    let duplicates = mallory.counters().duplicates;
    let in_the_middle = mallory.entry(5, "late", vec![]);
    mallory.entries(5, &[in_the_middle]).unwrap();
    mallory.entries(1, &[mallory.entry(1, "late", vec![])]).unwrap();
    assert_eq!(mallory.counters().duplicates, duplicates + 2);
    assert_eq!(mallory.entries(1, &[mallory.entry(1, "other", vec![])]), Err(Misbehaved::Equivocated(me, 1)));
    let all: Vec<_> = (2..9).map(|seq| mallory.entry(seq, "late", vec![])).collect();
    mallory.entries(2, &all).unwrap();
    assert_eq!(missing(&mallory), [11..20, 21..30, 31..40]);
}

#[test]
fn claims_about_our_own_log_are_checked() {
    let mut mallory = Mallory::new();
    let victim = mallory.victim;
    mallory.world.say(victim, "only one").unwrap();
    let log = mallory.world.devices[&victim].log.id();
    let have = |next| {
        Frame::Have(Haves {
            logs: vec![Have { log, start: 0, next, again: false, missing: vec![] }],
            more: false,
        })
    };
    assert_eq!(mallory.send(&have(1)), Ok(()));
    assert_eq!(mallory.send(&have(2)), Err(Misbehaved::Unwritten));
    assert_eq!(mallory.send(&have(u64::MAX)), Err(Misbehaved::Unwritten));
    let own = Entries { log, from: 7, entries: vec![] };
    assert_eq!(mallory.send(&Frame::Entries(own)), Ok(()));
    assert_eq!(mallory.send(&Frame::Unknown(9)), Ok(()));
    assert_eq!(mallory.counters().unknown_frames, 1);
}

#[test]
fn nothing_grows_without_end() {
    let mut mallory = Mallory::new();
    let victim = mallory.victim;
    // Logs spoken of.
    for n in 0..40_u64 {
        let have = |i: u64| {
            let device = DeviceId([n as u8; 32]);
            Have {
                log: LogId { device, incarnation: Incarnation(i) },
                start: 0,
                next: u64::MAX,
                again: true,
                missing: vec![],
            }
        };
        assert_eq!(
            mallory
                .send(&Frame::Have(Haves { logs: (0..MAX_HAVES as u64).map(have).collect(), more: false })),
            Ok(())
        );
    }
    assert_eq!(mallory.counters().too_many_logs, 40 * MAX_HAVES as u64 + 1 - limits::LOGS_OF_PEER as u64);
    // Runs of one device.
    for run in 2..100 {
        mallory.me.incarnation = Incarnation(run);
        assert_eq!(mallory.entries(0, &[mallory.entry(0, "x", vec![victim])]), Ok(()));
    }
    let runs = mallory.world.devices[&victim].log.store.ids().filter(|log| log.device == mallory.me.device);
    let runs: Vec<_> = runs.map(|log| log.incarnation.0).collect();
    assert_eq!(runs, [96, 97, 98, 99]);
    let unwanted = mallory.counters().unwanted;
    mallory.me.incarnation = Incarnation(50);
    assert_eq!(mallory.entries(0, &[mallory.entry(0, "x", vec![victim])]), Ok(()));
    assert_eq!(mallory.counters().unwanted, unwanted + 1, "not shown twice");
    // Devices admitted, and entries.
    mallory.me.incarnation = Incarnation(99);
    for seq in 1..100_u64 {
        let admits = (0..MAX_ADMITS as u64).map(|i| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(seq * 1_000 + i).to_be_bytes());
            DeviceId(id)
        });
        assert_eq!(
            mallory.entries(seq, &[mallory.entry(seq, &"y".repeat(MAX_TEXT), admits.collect())]),
            Ok(())
        );
    }
    let store = &mallory.world.devices[&victim].log.store;
    assert_eq!(store.get(mallory.me).unwrap().admitted.len(), limits::LOG_DEVICES);
    // Devices.
    for n in 0..1_000_u64 {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&n.to_be_bytes());
        mallory.world.learn(victim, DeviceId(id));
    }
    assert_eq!(mallory.world.devices[&victim].log.devices.len(), limits::LOG_DEVICES);
    assert!(mallory.counters().too_many_devices > 400);
}

#[test]
fn no_bytes_make_it_panic() {
    let mut mallory = Mallory::new();
    let mut rng = Rng::new([9; 32]);
    let victim = mallory.victim;
    let good = [
        Frame::Have(Haves {
            logs: vec![Have { log: mallory.me, start: 3, next: 4, again: true, missing: vec![0..1, 2..3] }],
            more: false,
        })
        .encode(),
        Frame::Entries(Entries {
            log: mallory.me,
            from: 0,
            entries: vec![mallory.entry(0, "x", vec![victim]).to_wire()],
        })
        .encode(),
        Frame::Admission(mallory.me, mallory.entry(0, "x", vec![victim]).admission(0)).encode(),
    ];
    let mut outcomes = BTreeSet::new();
    for _ in 0..3_000 {
        let mut bytes = good[rng.below(3) as usize].clone();
        for _ in 0..rng.below(4) {
            let at = rng.below(bytes.len() as u64) as usize;
            bytes[at] = rng.u64() as u8;
        }
        bytes.truncate(bytes.len() - rng.below(bytes.len() as u64 / 8) as usize);
        outcomes.insert(format!("{:?}", mallory.send_bytes(&bytes).map_err(|m| m.to_string())));
        mallory.world.settle();
    }
    assert!(outcomes.len() >= 3, "{outcomes:?}");
}
