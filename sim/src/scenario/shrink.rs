//! A failing scenario to a small one that fails the same way.

use std::time::Duration;

use super::script::{Act, Home, Hostile, Infrastructure, Place, Scenario, Step, Stun, Who};
use crate::engine::{Chance, Clock};
use crate::net::{BoxRules, Law, LinkRules, Loss, NatRules, Stack};

/// Makes a scenario smaller, step by step, as long as `fails` says that it still fails in the same way: the same
/// property, that is. Ends when nothing can be left out any more, or after `budget` runs.
///
/// Deadlines, what is said and repaired before them, and the last DHT nodes stay: without them anything fails.
pub fn shrink(scenario: &Scenario, budget: usize, fails: impl FnMut(&Scenario) -> bool) -> Scenario {
    let mut shrinker = Shrinker { best: scenario.clone(), runs: 0, budget, fails };
    loop {
        let before = shrinker.best.clone();
        shrinker.cut_the_end();
        shrinker.cut_the_beginning();
        shrinker.drop_faults();
        shrinker.drop_steps();
        shrinker.drop_members();
        shrinker.drop_networks();
        shrinker.simplify_homes();
        shrinker.simplify_infrastructure();
        shrinker.simplify_acts();
        shrinker.shorten_waits();
        if shrinker.best == before || shrinker.is_spent() {
            return shrinker.best;
        }
    }
}

struct Shrinker<F> {
    best: Scenario,
    runs: usize,
    budget: usize,
    fails: F,
}

impl<F: FnMut(&Scenario) -> bool> Shrinker<F> {
    fn is_spent(&self) -> bool {
        self.runs >= self.budget
    }

    /// Takes a smaller scenario if it fails too.
    fn offer(&mut self, smaller: Scenario) -> bool {
        if self.is_spent() || smaller == self.best || smaller.homes.is_empty() {
            return false;
        }
        self.runs += 1;
        let fails = (self.fails)(&smaller);
        if fails {
            self.best = smaller;
        }
        fails
    }

    /// What comes after the deadline that is missed does not matter.
    fn cut_the_end(&mut self) {
        let settles: Vec<_> = self.settles().collect();
        for end in settles {
            if self.offer(self.best.keeping(|n, _| n <= end)) {
                return;
            }
        }
    }

    /// After every deadline all is well, so that what came before may not matter.
    fn cut_the_beginning(&mut self) {
        let settles: Vec<_> = self.settles().collect();
        for begin in settles.into_iter().rev().skip(1) {
            let beginning = |step: &Step| matches!(step.act, Act::Start(Who::All) | Act::Join(Who::All, _));
            let mut smaller = self.best.clone();
            let (head, tail) = smaller.steps.split_at(begin + 1);
            let head = head.iter().filter(|step| beginning(step)).copied();
            smaller.steps = head.chain(tail.iter().copied()).collect();
            if self.offer(smaller) {
                return;
            }
        }
    }

    fn settles(&self) -> impl Iterator<Item = usize> {
        let is_settle = |(_, step): &(usize, &Step)| matches!(step.act, Act::Settle(_));
        self.best.steps.iter().enumerate().filter(is_settle).map(|(n, _)| n)
    }

    fn drop_faults(&mut self) {
        let faults = self.best.faults();
        self.drop_some(faults.len(), |best, gone| {
            best.keeping(|_, step| {
                let at = step.fault.and_then(|fault| faults.iter().position(|it| *it == fault));
                at.is_none_or(|at| !gone.contains(&at))
            })
        });
    }

    /// Drops what is no fault and no part of a deadline: things said, steps of scenarios written by hand.
    fn drop_steps(&mut self) {
        let is_frame = |step: &Step| {
            use Act::{Heal, Join, Say, Settle, Start};
            let frame = matches!(step.act, Settle(_) | Heal | Start(_) | Join(..) | Say(Who::All, _));
            frame && step.fault.is_none()
        };
        let steps = self.best.steps.iter().enumerate().filter(|(_, step)| !is_frame(step));
        let steps: Vec<_> = steps.map(|(n, _)| n).collect();
        let all = self.best.clone();
        self.drop_some(steps.len(), |best, gone| {
            // Positions are those of the scenario before the first was dropped.
            let kept = |n: usize| !steps.iter().position(|it| *it == n).is_some_and(|at| gone.contains(&at));
            Scenario { steps: all.keeping(|n, _| kept(n)).steps, ..best.clone() }
        });
    }

    /// Drops of `count` things as many as can be: halves, quarters, and in the end each one.
    fn drop_some(&mut self, count: usize, without: impl Fn(&Scenario, &[usize]) -> Scenario) {
        let mut left: Vec<usize> = (0..count).collect();
        let mut gone: Vec<usize> = Vec::new();
        let mut size = count;
        while size > 0 {
            let mut at = 0;
            while at < left.len() {
                let part = &left[at..(at + size).min(left.len())];
                let tried: Vec<_> = gone.iter().chain(part).copied().collect();
                let smaller = without(&self.best, &tried);
                let dropped = smaller == self.best || self.offer(smaller);
                if dropped {
                    left.drain(at..(at + size).min(left.len()));
                    gone = tried;
                } else {
                    at += size;
                }
                if self.is_spent() {
                    return;
                }
            }
            size /= 2;
        }
    }

    fn drop_members(&mut self) {
        for n in (0..self.best.homes.len()).rev() {
            if self.best.homes.len() > 2 {
                self.offer(without_member(&self.best, n));
            }
        }
    }

    fn drop_networks(&mut self) {
        for n in (0..self.best.sites.len()).rev() {
            self.offer(without_network(&self.best, n));
        }
    }

    fn simplify_homes(&mut self) {
        for n in 0..self.best.homes.len() {
            let change = |best: &Scenario, change: &dyn Fn(&mut Home)| {
                let mut smaller = best.clone();
                change(&mut smaller.homes[n]);
                smaller
            };
            self.offer(change(&self.best, &|home| home.boxes.clear()));
            self.offer(change(&self.best, &|home| home.place = Place::Internet));
            self.offer(change(&self.best, &|home| {
                home.stack = Stack::V4;
                // Without IPv6 there is no NAT64, and nothing that needs one.
                home.boxes.retain(|gateway| !gateway.nat64 && gateway.v4 != BoxRules::Clat);
                home.boxes.iter_mut().for_each(|gateway| gateway.v6 = None);
            }));
            for depth in (0..self.best.homes[n].boxes.len()).rev() {
                if self.best.homes[n].boxes.len() > 1 {
                    self.offer(change(&self.best, &|home| {
                        home.boxes.remove(depth);
                    }));
                }
            }
            for depth in 0..self.best.homes[n].boxes.len() {
                self.offer(change(&self.best, &|home| {
                    if let BoxRules::Nat(nat) = home.boxes[depth].v4 {
                        home.boxes[depth].v4 = BoxRules::Nat(NatRules::new(nat.mapping, nat.filtering));
                    }
                }));
            }
            for simple in SIMPLER {
                self.offer(change(&self.best, &|home| simple_link(&mut home.link, *simple)));
            }
        }
    }

    fn simplify_infrastructure(&mut self) {
        for nodes in [2, 4, 8] {
            if nodes < self.best.infrastructure.dht_nodes {
                let mut smaller = self.best.clone();
                smaller.infrastructure.dht_nodes = nodes;
                let exists = |n: u16| u32::from(n) < nodes;
                smaller = smaller
                    .keeping(|_, step| !matches!(step.act, Act::DhtDown(n) | Act::DhtUp(n) if !exists(n)));
                self.offer(smaller);
            }
        }
        let simpler: [fn(&mut Scenario); 8] = [
            |it| it.infrastructure.hostile = Hostile::default(),
            |it| it.infrastructure.hostile.silent = 0,
            |it| it.infrastructure.hostile.lying = 0,
            |it| it.infrastructure.hostile.slow = 0,
            |it| it.infrastructure.hostile.walled = 0,
            |it| it.infrastructure.hostile.sybils = 0,
            |it| it.infrastructure.insiders.clear(),
            |it| it.infrastructure.begins = Infrastructure::NOON,
        ];
        for change in simpler {
            let mut smaller = self.best.clone();
            change(&mut smaller);
            self.offer(smaller);
        }
        // Who has nothing but IPv6 and no DHT there meets nobody, which is another failure.
        let boxes = self.best.homes.iter().map(|home| &home.boxes);
        let mut boxes = boxes.chain(self.best.sites.iter().map(|site| &site.boxes)).flatten();
        if self.best.homes.iter().all(|home| home.stack.has_v4()) && !boxes.any(|gateway| gateway.nat64) {
            let mut smaller = self.best.clone();
            smaller.infrastructure.stack = Stack::V4;
            self.offer(smaller);
        }
        for n in 0..self.best.infrastructure.stun.len() {
            let mut smaller = self.best.clone();
            smaller.infrastructure.stun[n] = Stun::Honest;
            self.offer(smaller);
        }
        let names_stun = |step: &Step| matches!(step.act, Act::StunDown(_) | Act::StunUp(_));
        let honest = self.best.infrastructure.stun.iter().filter(|stun| **stun == Stun::Honest).count();
        if honest > 1 && !self.best.steps.iter().any(names_stun) {
            let mut smaller = self.best.clone();
            smaller.infrastructure.stun = vec![Stun::Honest];
            self.offer(smaller);
        }
        for simple in SIMPLER {
            let mut smaller = self.best.clone();
            simple_link(&mut smaller.infrastructure.link, *simple);
            self.offer(smaller);
        }
    }

    /// What is done becomes something that is easier to understand.
    fn simplify_acts(&mut self) {
        for n in 0..self.best.steps.len() {
            let act = self.best.steps[n].act;
            let simpler = match act {
                Act::StartSaved(who) => vec![Act::Start(who)],
                Act::Move(who, _) => vec![Act::Move(who, Place::Internet), Act::Unplug(who)],
                Act::SetClock(who, Clock { ahead_ms, drift_ppm }) => {
                    let clock = |ahead_ms, drift_ppm| Act::SetClock(who, Clock { ahead_ms, drift_ppm });
                    let hours = ahead_ms / 3_600_000 * 3_600_000;
                    vec![clock(ahead_ms, 0), clock(0, drift_ppm), clock(hours, drift_ppm)]
                }
                Act::Relink(who, link) => {
                    let simple = |simple: &fn(&mut Law)| {
                        let mut link = link;
                        simple_link(&mut link, *simple);
                        Act::Relink(who, link)
                    };
                    SIMPLER.iter().map(simple).collect()
                }
                _ => Vec::new(),
            };
            for act in simpler {
                let mut smaller = self.best.clone();
                smaller.steps[n].act = act;
                self.offer(smaller);
            }
        }
    }

    /// Waits go, or become whole seconds, or half.
    fn shorten_waits(&mut self) {
        for n in 0..self.best.steps.len() {
            for shorter in [
                |_| Duration::ZERO,
                |wait: Duration| Duration::from_secs(wait.as_secs()),
                |wait: Duration| Duration::from_millis(wait.as_millis() as u64 / 100 * 100),
                |wait: Duration| wait / 2,
            ] {
                let mut smaller = self.best.clone();
                // What is waited for before a deadline belongs to it.
                if matches!(smaller.steps[n].act, Act::Settle(_)) || smaller.steps[n].act == Act::Heal {
                    continue;
                }
                smaller.steps[n].after = shorter(smaller.steps[n].after);
                if smaller.steps[n].after < self.best.steps[n].after && self.offer(smaller) {
                    break;
                }
            }
        }
    }
}

/// Ways to a simpler link.
const SIMPLER: &[fn(&mut Law)] = &[
    |law| *law = Law::delay(10),
    |law| law.loss = Loss::None,
    |law| law.jitter = Duration::ZERO,
    |law| (law.reorder, law.held) = (Chance::NEVER, Duration::ZERO),
    |law| law.duplicate = Chance::NEVER,
    |law| law.delay = Duration::from_millis(10),
    |law| (law.mtu, law.rate, law.corrupt) = (None, None, Chance::NEVER),
];

fn simple_link(link: &mut LinkRules, simple: fn(&mut Law)) {
    simple(&mut link.up);
    simple(&mut link.down);
}

/// A scenario as if one member had never been: those after it get the numbers below theirs.
fn without_member(scenario: &Scenario, gone: usize) -> Scenario {
    let moved = |who: Who| match who {
        Who::One(n) if usize::from(n) == gone => None,
        Who::One(n) if usize::from(n) > gone => Some(Who::One(n - 1)),
        who => Some(who),
    };
    let mut smaller = scenario.keeping(|_, step| {
        let (a, b) = names(step.act);
        a.is_none_or(|who| moved(who).is_some()) && b.is_none_or(|who| moved(who).is_some())
    });
    smaller.homes.remove(gone);
    for step in &mut smaller.steps {
        step.act = rename(step.act, |who| moved(who).unwrap_or(who));
    }
    smaller
}

/// A scenario as if one network had never been: who is in it is where it is attached, and those after it get the numbers below
/// theirs.
fn without_network(scenario: &Scenario, gone: usize) -> Scenario {
    let outside = scenario.sites[gone].place;
    let moved = |place: Place| match place {
        Place::Site(n) if usize::from(n) == gone => outside,
        Place::Site(n) if usize::from(n) > gone => Place::Site(n - 1),
        place => place,
    };
    let mut smaller = scenario.clone();
    smaller.sites.remove(gone);
    smaller.sites.iter_mut().for_each(|site| site.place = moved(site.place));
    smaller.homes.iter_mut().for_each(|home| home.place = moved(home.place));
    for step in &mut smaller.steps {
        if let Act::Move(who, place) = step.act {
            step.act = Act::Move(who, moved(place));
        }
    }
    smaller
}

/// Whom an act names.
fn names(act: Act) -> (Option<Who>, Option<Who>) {
    let mut seen = Vec::new();
    rename(act, |who| {
        seen.push(who);
        who
    });
    (seen.first().copied(), seen.get(1).copied())
}

fn rename(act: Act, mut name: impl FnMut(Who) -> Who) -> Act {
    match act {
        Act::Start(who) => Act::Start(name(who)),
        Act::StartSaved(who) => Act::StartSaved(name(who)),
        Act::Renumber(who) => Act::Renumber(name(who)),
        Act::Move(who, place) => Act::Move(name(who), place),
        Act::GoHome(who) => Act::GoHome(name(who)),
        Act::Unplug(who) => Act::Unplug(name(who)),
        Act::SetClock(who, clock) => Act::SetClock(name(who), clock),
        Act::Harm(who, disk) => Act::Harm(name(who), disk),
        Act::Twin(who) => Act::Twin(name(who)),
        Act::Mute(a, b) => Act::Mute(name(a), name(b)),
        Act::Join(who, meeting) => Act::Join(name(who), meeting),
        Act::Say(who, meeting) => Act::Say(name(who), meeting),
        Act::Leave(who, meeting) => Act::Leave(name(who), meeting),
        Act::Crash(who) => Act::Crash(name(who)),
        Act::Suspend(who) => Act::Suspend(name(who)),
        Act::Resume(who) => Act::Resume(name(who)),
        Act::Sever(a, b) => Act::Sever(name(a), name(b)),
        Act::Rejoin(a, b) => Act::Rejoin(name(a), name(b)),
        Act::Reboot(who) => Act::Reboot(name(who)),
        Act::Relink(who, link) => Act::Relink(name(who), link),
        Act::Restore(who) => Act::Restore(name(who)),
        Act::Heal | Act::DhtDown(_) | Act::DhtUp(_) | Act::StunDown(_) | Act::StunUp(_) | Act::Settle(_) => {
            act
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{LATEST, find, find_as_of};

    #[test]
    fn a_failure_that_needs_one_fault_keeps_only_that_one() {
        // A checker that objects to one thing: member 1 being killed while it has been severed from somebody.
        let scenario =
            (0..200).map(|seed| find("storm", seed).unwrap()).find(|it| planted(it) && it.homes.len() > 4);
        let scenario = scenario.unwrap();
        let mut runs = 0;
        let small = shrink(&scenario, 5_000, |it| {
            runs += 1;
            planted(it)
        });
        assert!(planted(&small));
        assert_eq!((small.faults().len(), small.infrastructure.dht_nodes), (2, 2), "{small}");
        assert!(small.homes.len() <= 3, "{small}");
        assert!(small.homes.iter().all(|home| home.boxes.is_empty()), "{small}");
        assert!(
            small.steps.len() <= 8 && runs < 1_000,
            "{} steps after {runs} runs: {small}",
            small.steps.len()
        );
    }

    fn planted(scenario: &Scenario) -> bool {
        let sever = |step: &Step| matches!(step.act, Act::Sever(..));
        let first = scenario.steps.iter().position(sever);
        first.is_some_and(|at| scenario.steps[at..].iter().any(|step| matches!(step.act, Act::Crash(_))))
    }

    #[test]
    fn whatever_is_drawn_can_be_taken_away() {
        let is_rich = |it: &Scenario| {
            let lying = it.infrastructure.stun.iter().any(|stun| *stun != Stun::Honest);
            it.sites.len() > 1 && it.infrastructure.hostile.count() > 0 && lying && planted(it)
        };
        let scenario =
            (0..1_000).map(|seed| find_as_of(LATEST, "storm", seed).unwrap()).find(is_rich).unwrap();
        let small = shrink(&scenario, 5_000, planted);
        assert_eq!((small.sites.len(), small.infrastructure.hostile), (0, Hostile::default()), "{small}");
        assert_eq!(
            (&small.infrastructure.stun[..], small.faults().len()),
            (&[Stun::Honest][..], 2),
            "{small}"
        );
        assert!(
            small.homes.iter().all(|home| home.place == Place::Internet && home.stack == Stack::V4),
            "{small}"
        );
    }

    #[test]
    fn without_a_network_who_was_in_it_is_outside() {
        let scenario: Scenario =
            "network eim+eif; network eim+apdf in 0; network eim+eif in 1; members 2 open in 1; \
                                  member open in 2; start all; move 0 to network 2; move 1 to network 1"
                .parse()
                .unwrap();
        let smaller = without_network(&scenario, 1);
        let places: Vec<_> = smaller.homes.iter().map(|home| home.place).collect();
        assert_eq!(places, [0, 0, 1].map(Place::Site));
        assert_eq!((smaller.sites.len(), smaller.sites[1].place), (2, Place::Site(0)));
        let acts: Vec<_> = smaller.steps.iter().skip(1).map(|step| step.act).collect();
        let to = |n, site| Act::Move(Who::One(n), Place::Site(site));
        assert_eq!(acts, [to(0, 1), to(1, 0)]);
    }

    #[test]
    fn the_budget_is_kept() {
        let mut runs = 0;
        let scenario = find("storm", 3).unwrap();
        shrink(&scenario, 7, |_| {
            runs += 1;
            true
        });
        assert_eq!(runs, 7);
    }

    #[test]
    fn without_a_member_the_others_move_up() {
        let scenario: Scenario =
            "members 2 open; member eim+eif; start all; crash 1; crash 2; sever 0 from 1; sever 0 from 2"
                .parse()
                .unwrap();
        let smaller = without_member(&scenario, 1);
        let acts: Vec<_> = smaller.steps.iter().map(|step| step.act).collect();
        let [zero, one] = [Who::One(0), Who::One(1)];
        assert_eq!(acts, [Act::Start(Who::All), Act::Crash(one), Act::Sever(zero, one)]);
        assert_eq!((smaller.homes.len(), smaller.homes[1].boxes.len()), (2, 1));
    }
}
