//! What a scenario asks for at the end, beside all that always holds.

use std::time::Duration;

use folkmoot_core::node::{Event, Progress, Trouble};

use super::{Director, Figure};
use crate::hosts::Sink;
use crate::scenario::property::Property;
use crate::scenario::script::Goal;

impl Director {
    /// Looks whether a goal is reached.
    pub(super) fn judge(&mut self, goal: Goal) {
        let ended = self.stage.world.now();
        match goal {
            Goal::Handshakes(expected) => {
                let handshakes = self.stage.world.handshakes() as u64;
                if handshakes != expected {
                    let what = format!("{handshakes} DTLS handshakes instead of {expected}");
                    self.check.problem(ended, Property::Goal, what);
                }
            }
            Goal::Victims { each, total } => self.judge_victims(each, total),
            Goal::StunWarning => {
                for who in 0..self.stage.members.len() {
                    let warned = self.events.iter().any(|noted| {
                        let trouble =
                            matches!(noted.event, Event::Trouble { trouble: Trouble::StunSilent(_), .. });
                        noted.member == who && trouble
                    });
                    if !warned {
                        let what = format!("member {who} does not say that STUN is dead");
                        self.check.problem(ended, Property::Goal, what);
                    }
                }
            }
            Goal::Besieged(least) => {
                let misled = self.stage.misled();
                self.figures.push(Figure { name: "asked_of_hostile_nodes", value: misled });
                if misled < least {
                    let what = format!("hostile DHT nodes were asked {misled} times, not {least}");
                    self.check.problem(ended, Property::Goal, what);
                }
            }
            Goal::Deeds(least) => {
                let fewest = self.stage.deeds().min().unwrap_or(0);
                self.figures.push(Figure { name: "deeds_of_an_insider", value: fewest });
                if fewest < least {
                    let what = format!("an insider did something {fewest} times, not {least}");
                    self.check.problem(ended, Property::Goal, what);
                }
            }
            Goal::FirstData { to_server, to_client } => self.judge_first_data(to_server, to_client),
        }
    }

    fn judge_victims(&mut self, each: u64, total: u64) {
        let sink = self.stage.victims.and_then(|host| self.stage.world.program::<Sink>(host));
        let received: Vec<_> =
            sink.into_iter().flat_map(|sink| sink.received().values()).map(|got| got.datagrams).collect();
        let (most, all) = (received.iter().copied().max().unwrap_or(0), received.iter().sum::<u64>());
        self.figures.push(Figure { name: "packets_to_worst_victim", value: most });
        self.figures.push(Figure { name: "packets_to_all_victims", value: all });
        if most > each || all > total {
            let what =
                format!("a victim got {most} packets, all got {all}; the budget is {each} and {total}");
            self.check.problem(self.stage.world.now(), Property::Goal, what);
        }
    }

    /// Both hold the other's record when both have begun to check; the first data to either is the other's HELLO.
    fn judge_first_data(&mut self, to_server: Duration, to_client: Duration) {
        let first = |who: usize, wanted: fn(&Event) -> bool| {
            self.events.iter().find(|noted| noted.member == who && wanted(&noted.event)).map(|noted| noted.at)
        };
        let checking =
            |event: &Event| matches!(event, Event::Status { progress: Progress::Checking { .. }, .. });
        let connected = |event: &Event| matches!(event, Event::Connected { .. });
        let (client, server) = (self.smaller, 1 - self.smaller);
        let both_hold = first(0, checking).max(first(1, checking));
        let times = both_hold.zip(first(server, connected)).zip(first(client, connected));
        let Some(((held, at_server), at_client)) = times else {
            let what = "there was no first data".into();
            return self.check.problem(self.stage.world.now(), Property::Goal, what);
        };
        let limits = [
            ("first_data_to_server_us", at_server, to_server),
            ("first_data_to_client_us", at_client, to_client),
        ];
        for (name, at, limit) in limits {
            let took = at.saturating_since(held);
            self.figures.push(Figure { name, value: took.as_micros() as u64 });
            if took > limit {
                let what = format!("{name}: {took:?} instead of {limit:?} at most");
                self.check.problem(at, Property::Goal, what);
            }
        }
    }
}
