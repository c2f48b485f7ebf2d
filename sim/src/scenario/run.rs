//! A run: the script is played, and everything is looked at from outside.

mod acts;
mod goals;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use folkmoot_core::base::{DeviceId, Time};
use folkmoot_core::node::{Event, MeetingHandle};

use super::check::{Checker, Problem, Problems};
use super::marks::Marks;
use super::property::Property;
use super::script::{Act, Scenario};
use super::stage::Stage;
use super::waits::Sample;
use super::weight;
use super::wire::Wire;
use crate::engine::{Counts, HostId, Record, Tape, Trace, TraceHash};
use crate::hosts::NodeHost;
use crate::net::{BoxId, Verdict};
use crate::stub::Tier;

/// How to run a scenario.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Keeps every record of the trace, some 40 bytes each.
    pub keep_records: bool,
    /// What secures the links.
    pub tier: Tier,
    /// Stops at that time, and says how things are then.
    pub until: Option<Time>,
    /// Records every packet of the members with its way, for pictures and captures.
    pub tape: bool,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The scenario, in one line.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// Rules that were broken.
    pub problems: Problems,
    /// What was owed when the run ended; empty unless it ended early.
    pub pending: Vec<String>,
    /// What was measured.
    pub figures: Vec<Figure>,
    /// How long things took that had to come.
    pub samples: Vec<Sample>,
    /// What has to happen sometimes, and did.
    pub marks: Marks,
    /// Whole minutes in which at least one fault began in a meeting of four or more.
    pub hard_minutes: u64,
    /// How things were when the run was stopped, by [`Options::until`].
    pub dump: Vec<String>,
    /// What the nodes told their applications.
    pub events: Vec<Noted>,
    /// When the run ended, and when its members began.
    pub ended: Time,
    /// When the members began.
    pub began: Time,
    /// All packets.
    pub counts: Counts,
    /// How many records the trace has.
    pub records_count: u64,
    /// The hash of the trace.
    pub hash: TraceHash,
    /// The hash of the trace and of every byte of every packet.
    pub whole: TraceHash,
    /// How `whole` came about.
    pub checkpoints: Vec<TraceHash>,
    /// The records, if they were to be kept.
    pub records: Vec<Record>,
    /// The members, in order.
    pub cast: Vec<Role>,
    /// Who can connect to whom directly by the oracle, as the world was in the beginning.
    pub verdicts: Vec<Vec<Verdict>>,
    /// What the script did, in order.
    pub played: Vec<Played>,
    /// The members' packets, if they were to be recorded.
    pub tape: Option<Tape>,
}

/// A member, as pictures name it.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its host.
    pub host: HostId,
    /// Its name.
    pub name: String,
    /// Its device.
    pub device: DeviceId,
    /// The boxes between it and the internet, innermost first, and how they behave.
    pub boxes: Vec<(BoxId, String)>,
}

/// Something that the script did.
#[derive(Clone, Debug)]
pub struct Played {
    /// When.
    pub at: Time,
    /// What.
    pub act: Act,
    /// The members whom it was done to; for a partition both sides.
    pub members: Vec<usize>,
}

/// A measured value, with its unit in its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// What was measured.
    pub name: &'static str,
    /// The value.
    pub value: u64,
}

/// An event of a member's node.
#[derive(Clone, Debug)]
pub struct Noted {
    /// When.
    pub at: Time,
    /// Whose.
    pub member: usize,
    /// What.
    pub event: Event,
}

/// Runs a scenario to its end, or until something owed is late.
pub fn run(scenario: &Scenario, seed: u64, options: Options) -> Outcome {
    let trace = if options.keep_records { Trace::keeping() } else { Trace::new() };
    play(scenario, seed, options, trace)
}

/// As [`run`], with a trace that keeps what the caller wants.
pub fn run_traced(scenario: &Scenario, seed: u64, tier: Tier, trace: Trace) -> Outcome {
    play(scenario, seed, Options { tier, ..Options::default() }, trace)
}

fn play(scenario: &Scenario, seed: u64, options: Options, trace: Trace) -> Outcome {
    let mut stage = Stage::build(scenario, seed, trace, options.tier);
    if options.tape {
        let members: Vec<_> = stage.members.iter().map(|member| member.host).collect();
        stage.world.set_tape(Tape::of(members));
    }
    let ids: Vec<_> = stage.members.iter().map(|member| (member.device, member.member)).collect();
    let verdicts = stage.verdicts();
    let cast = stage.roles();
    let smaller = usize::from(ids.len() > 1 && ids[1].0 < ids[0].0);
    let began = stage.world.now();
    let mut director = Director {
        check: Checker::new(ids.into_iter(), verdicts.clone()).with_insiders(stage.insiders()),
        stage,
        smaller,
        began,
        events: Vec::new(),
        figures: Vec::new(),
        settles: 0,
        pending: Vec::new(),
        until: options.until.unwrap_or(Time::from_micros(u64::MAX)),
        hard: BTreeSet::new(),
        played: Vec::new(),
        cast,
    };
    director.play(scenario);
    director.finish(scenario, seed, &verdicts)
}

/// Does what the script says, and looks on.
struct Director {
    stage: Stage,
    check: Checker,
    smaller: usize,
    began: Time,
    events: Vec<Noted>,
    figures: Vec<Figure>,
    settles: usize,
    pending: Vec<String>,
    until: Time,
    /// Minutes in which a fault began.
    hard: BTreeSet<u64>,
    played: Vec<Played>,
    cast: Vec<Role>,
}

/// What is listed of what is pending.
const LISTED: usize = 20;
/// The names of the first settles' figures.
const SETTLES: [&str; 4] = ["settled_1_ms", "settled_2_ms", "settled_3_ms", "settled_4_ms"];

impl Director {
    fn play(&mut self, scenario: &Scenario) {
        for step in &scenario.steps {
            let due = self.stage.world.now() + step.after;
            let until = due.min(self.until);
            while self.stage.world.next_at().is_some_and(|at| at <= until) {
                self.step();
            }
            self.stage.world.advance_to(until);
            if self.is_over(due) {
                return;
            }
            let went_on = match step.act {
                Act::Settle(within) => self.settle(within),
                act => {
                    self.act(act);
                    true
                }
            };
            if !went_on || self.check.problems.more > 0 {
                return;
            }
        }
    }

    /// Whether the run is to stop before `at`.
    fn is_over(&self, at: Time) -> bool {
        at > self.until
    }

    fn step(&mut self) {
        if let Some(Some(host)) = self.stage.world.step()
            && let Some(who) = self.stage.member_at(host)
        {
            self.listen(who);
        }
    }

    /// Takes what a member's node has told.
    fn listen(&mut self, who: usize) {
        let host = self.stage.members[who].host;
        while let Some(heard) = self.stage.world.program_mut(host).and_then(NodeHost::pop_heard) {
            self.check.event(heard.at, who, &heard.event);
            self.events.push(Noted { at: heard.at, member: who, event: heard.event });
        }
    }

    /// Runs until nothing is pending; `false` if that takes longer than it may.
    fn settle(&mut self, within: Duration) -> bool {
        let from = self.stage.world.now();
        let deadline = from + within;
        let mut seen = usize::MAX;
        loop {
            // Only an event can settle anything.
            if self.events.len() != seen {
                seen = self.events.len();
                if self.check.is_settled() {
                    break;
                }
            }
            let next = self.stage.world.next_at();
            if self.is_over(next.unwrap_or(deadline).min(deadline)) {
                self.stage.world.advance_to(self.until);
                return false;
            }
            if next.is_none_or(|at| at > deadline) {
                self.stage.world.advance_to(deadline);
                let pending = self.check.pending().take(LISTED);
                self.pending = pending.map(|(what, missing)| what + &self.view(missing)).collect();
                let what = format!("{} things are pending after {within:?}", self.check.pending().count());
                let property = self.check.owed_by().unwrap_or(Property::Connect);
                self.check.problem(deadline, property, what);
                return false;
            }
            self.step();
        }
        if let Some(name) = SETTLES.get(self.settles).filter(|_| !within.is_zero()) {
            let value = self.stage.world.now().saturating_since(from).as_millis() as u64;
            self.figures.push(Figure { name, value });
            self.settles += 1;
        }
        true
    }

    /// How a node itself sees a member it is not connected to.
    fn view(&self, missing: Option<(usize, usize, u8)>) -> String {
        let Some((who, to, meeting)) = missing else { return String::new() };
        let host = self.stage.members[who].host;
        let node = self.stage.world.program(host).and_then(NodeHost::node);
        let views = node.map(|node| node.members(MeetingHandle(meeting.into()))).unwrap_or_default();
        match views.into_iter().find(|view| view.device == self.check.device(to)) {
            Some(view) => format!("; its node says: {:?}", view.state),
            None => "; its node does not know it".into(),
        }
    }

    fn finish(mut self, scenario: &Scenario, seed: u64, verdicts: &[Vec<Verdict>]) -> Outcome {
        let ended = self.stage.world.now();
        let is_stopped = ended >= self.until;
        if self.pending.is_empty() && !is_stopped {
            for goal in &scenario.goals {
                self.judge(*goal);
            }
        }
        for violation in self.stage.world.violations().to_vec() {
            let what = violation.host.map_or(violation.what.clone(), |host| {
                format!("{} ({host}) {}", self.stage.world.name(host), violation.what)
            });
            self.check.problem(violation.at, Property::Contract, what);
        }
        if !self.stage.world.is_conserved() {
            self.check.problem(ended, Property::Conserved, "the network made or lost a packet".into());
        }
        self.look_closely();
        let tape = self.stage.world.take_tape();
        self.measure_traffic();
        let whole = ended.saturating_since(self.began).as_secs() / 60;
        let hard = self.hard.range(..whole).count() as u64;
        let dump = if is_stopped { self.dump() } else { Vec::new() };
        let trace = self.stage.world.trace();
        let best = self.check.best;
        let mut outcome = Outcome {
            scenario: scenario.to_string(),
            seed,
            problems: self.check.problems,
            samples: self.check.waits.samples,
            marks: Marks::default(),
            hard_minutes: if scenario.homes.len() >= 4 { hard } else { 0 },
            dump,
            pending: self.pending,
            figures: self.figures,
            events: self.events,
            ended,
            began: self.began,
            counts: self.stage.world.counts(),
            records_count: trace.count(),
            hash: trace.hash(),
            whole: trace.whole(),
            checkpoints: trace.checkpoints().to_vec(),
            records: trace.records().to_vec(),
            cast: self.cast,
            verdicts: verdicts.to_vec(),
            played: self.played,
            tape,
        };
        outcome.marks = Marks::of(scenario, &best, &self.check.pairs, &outcome);
        outcome
    }

    /// How things are now, a line for each member and for all that is owed.
    fn dump(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (n, member) in self.stage.members.iter().enumerate() {
            let node = self.stage.world.program(member.host).and_then(NodeHost::node);
            let state = match node {
                None => "is down",
                Some(_) if self.check.is_here(n) => "is up",
                Some(_) => "sleeps",
            };
            let counts = self.stage.world.host_counts(member.host);
            let traffic = format!("{} packets sent, {} received", counts.sent_all(), counts.received);
            lines.push(format!("member {n} {state}; {traffic}"));
            for meeting in self.check.meetings(n) {
                let views = node.map(|node| node.members(MeetingHandle(meeting.into()))).unwrap_or_default();
                for view in views {
                    let who = self.check.number(view.device);
                    let who = who.map_or_else(|| view.name.clone(), |who| who.to_string());
                    lines.push(format!("  in meeting {meeting} it sees {who}: {:?}", view.state));
                }
            }
        }
        lines.extend(self.check.pending().take(LISTED).map(|(what, _)| format!("owed: {what}")));
        lines
    }

    /// What the wire and the nodes themselves show.
    fn look_closely(&mut self) {
        let wire = self.stage.world.take_watch::<Wire>();
        for problem in wire.into_iter().flat_map(|wire| wire.problems) {
            self.check.problem(problem.at, problem.property, problem.what);
        }
        let now = self.stage.world.now();
        let nodes = self.stage.members.iter().map(|member| self.stage.world.program(member.host));
        let weights: Vec<_> =
            nodes.map(|program| program.and_then(NodeHost::node).map_or(0, weight::weight)).collect();
        for (who, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > weight::HEAVIEST) {
            let what = format!("member {who}: its node takes {weight} bytes to write down");
            self.check.problem(now, Property::Memory, what);
        }
        let value = weights.into_iter().max().unwrap_or(0) as u64;
        self.figures.push(Figure { name: "bytes_of_heaviest_written", value });
    }

    fn measure_traffic(&mut self) {
        let counts = self.stage.members.iter().map(|member| self.stage.world.host_counts(member.host));
        let sent: Vec<_> = counts.map(|counts| (counts.sent_all(), counts.sent_bytes)).collect();
        let members = sent.len().max(1) as u64;
        let figures = [
            ("packets_per_member", sent.iter().map(|sent| sent.0).sum::<u64>() / members),
            ("packets_of_busiest_member", sent.iter().map(|sent| sent.0).max().unwrap_or(0)),
            ("bytes_per_member", sent.iter().map(|sent| sent.1).sum::<u64>() / members),
            ("handshakes", self.stage.world.handshakes() as u64),
        ];
        self.figures.extend(figures.map(|(name, value)| Figure { name, value }));
    }
}

impl Outcome {
    /// Whether nothing was wrong.
    pub fn is_good(&self) -> bool {
        self.problems.list.is_empty()
    }

    /// The first thing that was wrong.
    pub fn first_problem(&self) -> Option<&Problem> {
        self.problems.list.first()
    }

    /// The value of a figure, if it was measured.
    pub fn figure(&self, name: &str) -> Option<u64> {
        self.figures.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }
}

/// All that was wrong and pending, a line each.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems.list {
            writeln!(f, "broken: {problem}")?;
        }
        if self.problems.more > 0 {
            writeln!(f, "broken: {} more", self.problems.more)?;
        }
        for pending in &self.pending {
            writeln!(f, "pending: {pending}")?;
        }
        Ok(())
    }
}
