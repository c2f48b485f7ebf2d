//! Faults with a beginning and an end, laid one over the other, to a list of steps.

use std::time::Duration;

use super::script::{Act, Disk, Step, Who, after, now};
use crate::engine::Clock;

/// What happens, by the time since the last calm. What makes no sense, because of what else happens to the same member, is left
/// out: nobody who sleeps leaves, and nobody who was killed sleeps.
#[derive(Debug)]
pub(super) struct Timeline {
    people: Vec<Person>,
    machines: Vec<Machine>,
    /// How long what is owed may take.
    patience: Duration,
    /// Whether those who are found dead start again with what is on their disks.
    is_saved: bool,
    now: Duration,
    /// What happens before the next calm, in the order in which it was added.
    events: Vec<(Duration, Option<u16>, Act)>,
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug)]
struct Person {
    up: bool,
    asleep: bool,
    joined: bool,
    /// When it began to leave, as far as its node has had time for it.
    left: Option<Duration>,
    /// The fault that began last.
    fault: Option<u16>,
}

/// What is wrong with a member's machine, each with the fault it came by.
#[derive(Clone, Copy, Debug, Default)]
struct Machine {
    /// What its clock shows when nothing is wrong with it.
    clock: Clock,
    away: Option<Option<u16>>,
    wrong: Option<Option<u16>>,
    full: Option<Option<u16>>,
}

/// A node that leaves may take a second to say so, and cannot join the same meeting before it has.
const FAREWELL: Duration = Duration::from_millis(1_100);

impl Timeline {
    /// Members with these clocks start and join. What is owed after a calm may take so long; `is_saved` is whether those whom
    /// it finds dead start again with what is on their disks.
    pub(super) fn new(clocks: Vec<Clock>, patience: Duration, is_saved: bool) -> Self {
        let person = Person { up: true, asleep: false, joined: true, left: None, fault: None };
        let people = vec![person; clocks.len()];
        let wrong = (0..).zip(&clocks).filter(|(_, clock)| **clock != Clock::default());
        let mut steps: Vec<_> = wrong.map(|(n, clock)| now(Act::SetClock(Who::One(n), *clock))).collect();
        steps.extend([now(Act::Start(Who::All)), now(Act::Join(Who::All, 0))]);
        let machines = clocks.into_iter().map(|clock| Machine { clock, ..Machine::default() }).collect();
        Self { people, machines, patience, is_saved, now: Duration::ZERO, events: Vec::new(), steps }
    }

    /// What a member's clock shows when nothing is wrong with it.
    pub(super) fn clock(&self, who: usize) -> Clock {
        self.machines.get(who).map(|machine| machine.clock).unwrap_or_default()
    }

    /// Time passes.
    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// Something is said.
    pub(super) fn say(&mut self, act: Act) {
        self.events.push((self.now, None, act));
    }

    /// A fault begins now, and ends.
    pub(super) fn fault(&mut self, n: u16, lasts: Duration, begin: &[Act], end: &[Act]) {
        let begin = begin.iter().map(|act| (self.now, Some(n), *act));
        self.events.extend(begin);
        let ends = self.now + lasts;
        self.events.extend(end.iter().map(|act| (ends, Some(n), *act)));
    }

    /// All is mended, and everything owed must come.
    pub(super) fn calm(&mut self) {
        self.lay_out();
        self.mend();
        // Two who gave each other up look for each other ever more rarely; what they say, passed on by others, tells them
        // that they are there.
        self.steps.extend([
            after(5_000, Act::Say(Who::All, 0)),
            now(Act::Settle(self.patience)),
            now(Act::Say(Who::All, 0)),
            now(Act::Settle(Duration::from_secs(30))),
        ]);
    }

    /// All steps: after the last calm nothing may come undone.
    pub(super) fn finish(mut self) -> Vec<Step> {
        self.calm();
        self.steps.push(after(20_000, Act::Settle(Duration::from_secs(30))));
        self.steps
    }

    fn lay_out(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        events.sort_by_key(|(at, ..)| *at);
        let mut last = Duration::ZERO;
        for (at, fault, act) in events {
            // What would end after the calm has begun is mended by it.
            if at <= self.now && self.makes_sense(at, act) {
                if let Act::Crash(Who::One(n)) | Act::Suspend(Who::One(n)) | Act::Leave(Who::One(n), _) = act
                    && let Some(person) = self.people.get_mut(usize::from(n))
                {
                    person.fault = fault;
                }
                self.note(fault, act);
                self.steps.push(Step { after: at - last, fault, act });
                last = at;
            }
        }
        // Leaving takes a while, and what happened last has not been noticed yet.
        self.steps.push(Step { after: self.now - last + FAREWELL, ..now(Act::Heal) });
    }

    /// Remembers what has to be mended of a machine.
    fn note(&mut self, fault: Option<u16>, act: Act) {
        let [Some(Who::One(n)), None] = act.whom() else { return };
        let Some(machine) = self.machines.get_mut(usize::from(n)) else { return };
        match act {
            Act::Move(..) | Act::Unplug(_) => machine.away = Some(fault),
            Act::GoHome(_) => machine.away = None,
            Act::SetClock(_, clock) => machine.wrong = (clock != machine.clock).then_some(fault),
            Act::Harm(_, Disk::Fails) => machine.full = Some(fault),
            Act::Harm(_, Disk::Works) => machine.full = None,
            _ => {}
        }
    }

    fn makes_sense(&mut self, at: Duration, act: Act) -> bool {
        let (people, machines) = (&mut self.people, &self.machines);
        let mut person = |who: Who, change: fn(&mut Person, Duration) -> bool| match who {
            Who::One(n) => people.get_mut(usize::from(n)).is_some_and(|it| change(it, at)),
            _ => false,
        };
        match act {
            Act::Crash(who) => person(who, |it, _| std::mem::take(&mut it.up)),
            Act::Start(who) | Act::StartSaved(who) => person(who, |it, _| {
                let starts = !it.up;
                if starts {
                    *it = Person { up: true, asleep: false, joined: false, left: None, fault: None };
                }
                starts
            }),
            Act::Join(who, _) => person(who, |it, at| {
                let is_over = it.left.is_none_or(|left| at >= left + FAREWELL);
                let joins = it.up && !it.asleep && !it.joined && is_over;
                it.joined |= joins;
                joins
            }),
            Act::Leave(who, _) => person(who, |it, at| {
                let leaves = it.up && !it.asleep && it.joined;
                if leaves {
                    (it.joined, it.left) = (false, Some(at));
                }
                leaves
            }),
            Act::Suspend(who) => person(who, |it, _| {
                let sleeps = it.up && !it.asleep;
                it.asleep |= sleeps;
                sleeps
            }),
            Act::Resume(who) => person(who, |it, at| {
                let wakes = it.up && std::mem::take(&mut it.asleep);
                if wakes && !it.joined {
                    it.left = Some(at);
                }
                wakes
            }),
            Act::Say(who, _) => person(who, |it, _| it.up && !it.asleep && it.joined),
            Act::Sever(a, b) | Act::Mute(a, b) | Act::Rejoin(a, b) => a != b,
            Act::GoHome(Who::One(n)) => machines.get(usize::from(n)).is_some_and(|it| it.away.is_some()),
            _ => true,
        }
    }

    /// Everyone is here, awake and in the meeting; links and servers are as they were.
    fn mend(&mut self) {
        let undo: Vec<_> = self.undone().collect();
        self.steps.extend(undo.into_iter().map(now));
        for (n, machine) in (0..).zip(&mut self.machines) {
            let (who, clock) = (Who::One(n), machine.clock);
            let Machine { away, wrong, full, .. } =
                std::mem::replace(machine, Machine { clock, ..Machine::default() });
            let undo = [
                (away, Act::GoHome(who)),
                (wrong, Act::SetClock(who, clock)),
                (full, Act::Harm(who, Disk::Works)),
            ];
            let undo = undo.into_iter().filter_map(|(fault, act)| Some((fault?, act)));
            self.steps.extend(undo.map(|(fault, act)| Step { fault, ..now(act) }));
        }
        let mut joins = Vec::new();
        for (n, person) in self.people.iter_mut().enumerate() {
            let who = Who::One(n as u16);
            let step = |act| Step { fault: person.fault, ..now(act) };
            if !person.up {
                let start = if self.is_saved { Act::StartSaved(who) } else { Act::Start(who) };
                self.steps.push(step(start));
            } else if person.asleep {
                self.steps.push(step(Act::Resume(who)));
            }
            if !person.up || !person.joined {
                joins.push(step(Act::Join(who, 0)));
            }
            *person = Person { up: true, asleep: false, joined: true, left: None, fault: None };
        }
        // Who woke up may still have to say goodbye. Whoever takes faults out takes such a join out with it, and not the wait.
        if !joins.is_empty() {
            self.steps.push(after(FAREWELL.as_millis() as u64, Act::Heal));
        }
        self.steps.extend(joins);
        self.now = Duration::ZERO;
    }

    /// What ends the faults of links and servers that the steps so far have begun and not ended.
    fn undone(&self) -> impl Iterator<Item = Act> {
        let (mut links, mut dht, mut stun) = (Vec::new(), Vec::new(), Vec::new());
        for step in &self.steps {
            match step.act {
                Act::DhtDown(n) => dht.push(n),
                Act::DhtUp(n) => dht.retain(|it| *it != n),
                Act::StunDown(n) => stun.push(n),
                Act::StunUp(n) => stun.retain(|it| *it != n),
                Act::Relink(who, _) => links.push(who),
                Act::Restore(who) => links.retain(|it| *it != who),
                _ => {}
            }
        }
        links.dedup();
        dht.dedup();
        stun.dedup();
        let links = links.into_iter().map(Act::Restore);
        links.chain(dht.into_iter().map(Act::DhtUp)).chain(stun.into_iter().map(Act::StunUp))
    }
}
