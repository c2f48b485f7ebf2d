//! Scenarios drawn whole: who takes part, from where, over what links, and which faults befall them.

use std::time::Duration;

use super::script::{Act, Home, Infrastructure, Scenario, Step, Stun, Who, after, now};
use crate::engine::{Chance, Draws, Subject};
use crate::net::{Behavior, BoxRules, Law, LinkRules, Loss, NatRules, PortRule, Stack};

/// Up to six members behind anything, and up to 24 things that happen to them. In the end everyone is here and nothing is
/// broken any more; then everything owed must come.
pub(super) fn storm(draws: &Draws) -> Scenario {
    let mut drawing = Drawing { draws: *draws, index: 0 };
    let count = 2 + drawing.below(5) as usize;
    let homes: Vec<_> = (0..count).map(|_| drawing.home()).collect();
    let steps =
        Faults { people: vec![Person::default(); count], drawing: &mut drawing, steps: Vec::new() }.draw();
    let link = LinkRules::both(Law { jitter: Duration::from_millis(5), ..Law::delay(20) });
    let stun = vec![Stun::Honest; 2];
    let infrastructure = Infrastructure { dht_nodes: 16, stun, forged_victims: 0, link, stack: Stack::V4 };
    Scenario { name: String::new(), homes, infrastructure, steps, goals: Vec::new() }
}

struct Drawing {
    draws: Draws,
    index: u64,
}

impl Drawing {
    fn below(&mut self, bound: u64) -> u64 {
        self.index += 1;
        self.draws.below(Subject::Scenario(2), self.index, bound)
    }

    /// Whether something of the probability `percent` is so.
    fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn home(&mut self) -> Home {
        let mut boxes = Vec::new();
        match self.below(20) {
            0..5 => {}
            5..7 => boxes.push(BoxRules::FIREWALL),
            7..18 => boxes.push(self.nat()),
            _ => boxes.extend([self.nat(), self.nat()]),
        }
        Home::behind(boxes, self.law())
    }

    fn nat(&mut self) -> BoxRules {
        const KINDS: [Behavior; 3] =
            [Behavior::EndpointIndependent, Behavior::AddressDependent, Behavior::AddressAndPortDependent];
        // Most NATs are endpoint-independent.
        let mapping = if self.is(75) { KINDS[0] } else { KINDS[self.below(3) as usize] };
        let filtering = KINDS[self.below(3) as usize];
        let ports = [PortRule::Preserve, PortRule::Sequential(1), PortRule::Random][self.below(3) as usize];
        let lifetime = Duration::from_secs([30, 60, 120, 300][self.below(4) as usize]);
        let inbound_refresh = self.is(50);
        BoxRules::Nat(NatRules { ports, lifetime, inbound_refresh, ..NatRules::new(mapping, filtering) })
    }

    fn law(&mut self) -> Law {
        let mut law = Law { jitter: Duration::from_millis(self.below(20)), ..Law::delay(1 + self.below(80)) };
        match self.below(4) {
            0 => law.loss = Loss::Independent(Chance::ratio(self.below(40) as u32, 1_000)),
            1 => {
                let [enter, leave] = [Chance::ratio(5, 1_000), Chance::percent(20)];
                law.loss = Loss::Bursty { enter, leave, inside: Chance::percent(60) };
            }
            _ => {}
        }
        if self.is(20) {
            law.duplicate = Chance::percent(2);
        }
        if self.is(20) {
            (law.reorder, law.held) = (Chance::percent(3), Duration::from_millis(1 + self.below(60)));
        }
        law
    }
}

#[derive(Clone, Copy, Default)]
struct Person {
    down: bool,
    asleep: bool,
    away: bool,
}

/// A node that leaves may take a second to say so, and cannot join the same meeting before it has, in milliseconds.
const FAREWELL: u64 = 1_100;

struct Faults<'a> {
    people: Vec<Person>,
    drawing: &'a mut Drawing,
    steps: Vec<Step>,
}

impl Faults<'_> {
    fn draw(mut self) -> Vec<Step> {
        self.steps.extend([now(Act::Start(Who::All)), now(Act::Join(Who::All, 0))]);
        for _ in 0..4 + self.drawing.below(20) {
            // Some things happen at once, some while others are being noticed, some long after.
            let most = [50, 2_000, 12_000, 60_000][self.drawing.below(4) as usize];
            let wait = self.drawing.below(most);
            self.something(wait);
        }
        self.mend();
        self.steps.extend([
            // Two who gave each other up look for each other ever more rarely; what they say, passed on by others, tells
            // them that they are there.
            after(5_000, Act::Say(Who::All, 0)),
            now(Act::Settle(Duration::from_secs(60))),
            now(Act::Say(Who::All, 0)),
            now(Act::Settle(Duration::from_secs(30))),
            after(20_000, Act::Settle(Duration::from_secs(30))),
        ]);
        self.steps
    }

    fn something(&mut self, wait: u64) {
        let count = self.people.len() as u64;
        let n = self.drawing.below(count);
        let who = Who::One(n as u16);
        let person = &mut self.people[n as usize];
        let kind = self.drawing.below(100);
        let mut act = |wait, act| self.steps.push(after(wait, act));
        match kind {
            _ if person.down => {
                act(wait, Act::Start(who));
                act(0, Act::Join(who, 0));
                *person = Person::default();
            }
            _ if person.asleep => {
                act(wait, Act::Resume(who));
                person.asleep = false;
            }
            _ if person.away => {
                act(wait + FAREWELL, Act::Join(who, 0));
                person.away = false;
            }
            0..55 => act(wait, Act::Say(who, 0)),
            55..70 => {
                act(wait, Act::Crash(who));
                person.down = true;
            }
            70..78 => {
                act(wait, Act::Suspend(who));
                person.asleep = true;
            }
            78..84 => {
                act(wait, Act::Leave(who, 0));
                person.away = true;
            }
            84..94 => act(wait, Act::Sever(who, Who::One(self.drawing.below(count) as u16))),
            _ => act(wait, Act::Heal),
        }
    }

    fn mend(&mut self) {
        self.steps.push(after(FAREWELL, Act::Heal));
        for n in 0..self.people.len() {
            self.bring_back(n);
        }
    }

    /// Has somebody here, awake and in the meeting.
    fn bring_back(&mut self, n: usize) {
        let who = Who::One(n as u16);
        let Person { down, asleep, away } = std::mem::take(&mut self.people[n]);
        if down {
            self.steps.push(now(Act::Start(who)));
        }
        if asleep {
            self.steps.push(now(Act::Resume(who)));
        }
        if down || away {
            self.steps.push(now(Act::Join(who, 0)));
        }
    }
}
