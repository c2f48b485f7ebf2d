//! `moot join`: a meeting at a terminal, or for a program.

use std::future::pending;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::time::{Duration, Instant};

use async_channel::Receiver;
use folkmoot::{Builder, Code, Error, Event, Meeting, Stage, Trouble};
use futures_lite::FutureExt as _;
use serde_json::Value;
use smol::Timer;

use crate::args::JoinOptions;
use crate::env::Env;
use crate::exit::Exit;
use crate::input::{self, Input};
use crate::pending::{Pending, Said};
use crate::signals;
use crate::ui::Ui;

/// How long leaving may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// How long a terminal whose input ended waits for what was said to arrive.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Joins and stays until told to leave.
pub(crate) fn run(words: &[String], options: &JoinOptions, env: &Env, started: Instant) -> Exit {
    let ui = |code: &str| Ui::new(options.net.json, started, code);
    let builder = match options.builder(env) {
        Ok(builder) => builder,
        Err(what) => {
            ui("").fail(Stage::Io, &what, "");
            return Exit::Usage;
        }
    };
    let typed = match find_code(words, env) {
        Ok(typed) => typed,
        Err(what) => {
            ui("").fail(Stage::Code, &what, "");
            return Exit::Usage;
        }
    };
    let parsed = if options.weak_code { Code::new_weak(&typed) } else { Code::new(&typed) };
    let code = match parsed.map_err(Error::from) {
        Ok(code) => code,
        Err(error) => {
            ui("").fail(error.stage(), &error.what(), error.hint());
            return Exit::Usage;
        }
    };
    let mut ui = ui(code.as_str());
    let interrupts = signals::start();
    let result = smol::block_on(async {
        if code.strength().is_weak() && !options.weak_code {
            warn_of_weak_code(&ui, &code)?;
        }
        if let Some(path) = &options.trace {
            warn_of_trace(&ui, path)?;
        }
        match enter(builder, &code, &mut ui).await? {
            Ok(meeting) => {
                let inputs = input::start(options.net.json);
                Session::new(meeting, ui, inputs, interrupts).run().await
            }
            Err(error) => {
                ui.fail(error.stage(), &error.what(), error.hint());
                Ok(Exit::Failure)
            }
        }
    });
    match result {
        Ok(exit) => exit,
        // Whoever read our output is gone, so there is nobody to tell.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
        Err(error) => {
            crate::human::failure(format_args!("the output cannot be written: {error}"), "");
            Exit::Failure
        }
    }
}

async fn enter(builder: Builder, code: &Code, ui: &mut Ui) -> io::Result<Result<Meeting, Error>> {
    let node = match builder.start().await {
        Ok(node) => node,
        Err(error) => return Ok(Err(error)),
    };
    ui.started(&node)?;
    Ok(node.join(code.as_str()).await)
}

/// The code from the command line, else the environment, else whoever sits at the terminal.
fn find_code(words: &[String], env: &Env) -> Result<String, String> {
    if !words.is_empty() {
        return Ok(words.join(" "));
    }
    env.meeting_code.clone().map_or_else(input::ask_for_code, Ok)
}

fn warn_of_weak_code(ui: &Ui, code: &Code) -> io::Result<()> {
    let what =
        format!("this code is weak: about {} bits, where a generated one has 51", code.strength().bits());
    ui.warn(Stage::Code, what, "whoever guesses it is in, and reads along; make a better one with `moot new`")
}

fn warn_of_trace(ui: &Ui, path: &Path) -> io::Result<()> {
    let what = format!("{} will hold the code, all addresses and all that is said", path.display());
    let hint = "use a code made for it, and say nothing private; --trace-redacted writes one without";
    ui.warn(Stage::Io, what, hint)
}

/// How long after the search began, or everyone else went, one is told to be alone. Someone who starts anew is back sooner.
const ALONE: Duration = Duration::from_secs(2);

/// A meeting, and everything that can happen to it.
struct Session {
    meeting: Meeting,
    ui: Ui,
    inputs: Receiver<Input>,
    interrupts: Receiver<()>,
    pending: Pending,
    outcome: Outcome,
    phase: Phase,
    /// When to tell that nobody is there, if nobody is.
    tell_alone: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// In the meeting, and reading what is typed.
    Open,
    /// In the meeting; nothing will be typed any more.
    Listening,
    /// In the meeting until what was said has arrived, or until then.
    LastWords(Instant),
    /// Out as soon as the others know, or then.
    Leaving(Instant),
}

/// How far it came.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    has_met: bool,
    has_no_path: bool,
}

enum Happening {
    Event(Option<Event>),
    Input(Input),
    Interrupt,
    Alone,
    Timeout,
}

impl Session {
    fn new(meeting: Meeting, ui: Ui, inputs: Receiver<Input>, interrupts: Receiver<()>) -> Self {
        let (pending, outcome) = (Pending::default(), Outcome::default());
        Self { meeting, ui, inputs, interrupts, pending, outcome, phase: Phase::Open, tell_alone: None }
    }

    async fn run(mut self) -> io::Result<Exit> {
        let talked = self.talk().await;
        if talked.is_err() {
            // The output is gone; the others are told all the same.
            self.leave().await;
            let told = async { while self.meeting.next().await.is_some() {} };
            told.or(at(Some(Instant::now() + GOODBYE))).await;
        }
        talked
    }

    async fn talk(&mut self) -> io::Result<Exit> {
        loop {
            match self.happening().await {
                Happening::Event(Some(event)) => self.on_event(&event)?,
                Happening::Event(None) if matches!(self.phase, Phase::Leaving(_)) => break,
                Happening::Event(None) => {
                    self.ui.fail(
                        Stage::Io,
                        "the node has stopped",
                        "that should not happen; DEBUG=1 tells more",
                    );
                    return Ok(Exit::Failure);
                }
                Happening::Input(input) => self.on_input(input).await?,
                Happening::Interrupt => self.leave().await,
                Happening::Alone => {
                    self.tell_alone = None;
                    self.ui.alone()?;
                }
                Happening::Timeout => match self.phase {
                    Phase::LastWords(_) => {
                        let what = "not all that was said has arrived".into();
                        self.ui.warn(
                            Stage::Io,
                            what,
                            "stay longer, or say it again when the others are here",
                        )?;
                        self.leave().await;
                    }
                    _ => break,
                },
            }
            if matches!(self.phase, Phase::LastWords(_)) && self.pending.is_empty() {
                self.leave().await;
            }
        }
        Ok(self.outcome.exit())
    }

    /// What happens next.
    async fn happening(&mut self) -> Happening {
        let until = match self.phase {
            Phase::Open | Phase::Listening => None,
            Phase::LastWords(until) | Phase::Leaving(until) => Some(until),
        };
        let (is_reading, is_leaving) =
            (self.phase == Phase::Open && self.pending.has_room(), matches!(self.phase, Phase::Leaving(_)));
        let Self { meeting, inputs, interrupts, .. } = self;
        let event = async { Happening::Event(meeting.next().await) };
        let input = async {
            if !is_reading {
                return pending().await;
            }
            match inputs.recv().await {
                Ok(input) => Happening::Input(input),
                Err(_) => pending().await,
            }
        };
        let interrupt = async {
            match interrupts.recv().await {
                Ok(()) if !is_leaving => Happening::Interrupt,
                Ok(()) | Err(_) => pending().await,
            }
        };
        let timeout = async {
            at(until).await;
            Happening::Timeout
        };
        let alone = async {
            at(self.tell_alone).await;
            Happening::Alone
        };
        interrupt.or(event).or(input).or(timeout).or(alone).await
    }

    fn on_event(&mut self, event: &Event) -> io::Result<()> {
        let said = match event {
            Event::Sent { tag, seq, .. } => self.pending.sent(*tag, *seq),
            _ => Said::default(),
        };
        match event {
            Event::Connected { .. } => self.outcome.has_met = true,
            Event::Trouble { trouble: Trouble::NoPath { .. }, .. } => self.outcome.has_no_path = true,
            _ => {}
        }
        self.ui.event(event, &said, &self.pending)?;
        let is_search = matches!(event, Event::Joined { .. } | Event::Disconnected { .. });
        self.pending.follow(event);
        if !self.pending.is_alone() {
            self.tell_alone = None;
        } else if is_search && matches!(self.phase, Phase::Open | Phase::Listening) {
            self.tell_alone = Some(Instant::now() + ALONE);
        }
        Ok(())
    }

    async fn on_input(&mut self, input: Input) -> io::Result<()> {
        match input {
            Input::Say { text, id } => self.say(text, id).await,
            Input::Peers => match self.meeting.members().await {
                Ok(members) => self.ui.peers(&members),
                Err(error) => self.ui.warn(error.stage(), error.what(), error.hint()),
            },
            Input::Leave => {
                self.leave().await;
                Ok(())
            }
            Input::Bad { what, hint } => self.ui.warn(Stage::Io, what, hint),
            Input::End => {
                self.phase = match io::stdin().is_terminal() {
                    true => Phase::LastWords(Instant::now() + LAST_WORDS),
                    false => Phase::Listening,
                };
                Ok(())
            }
        }
    }

    async fn say(&mut self, text: String, id: Value) -> io::Result<()> {
        match self.meeting.say(text.clone()).await {
            Ok(tag) => {
                self.ui.said(&text);
                self.pending.said(tag, id, text);
                Ok(())
            }
            Err(error) => self.ui.warn(error.stage(), error.what(), error.hint()),
        }
    }

    async fn leave(&mut self) {
        if !matches!(self.phase, Phase::Leaving(_)) {
            self.phase = Phase::Leaving(Instant::now() + GOODBYE);
            self.tell_alone = None;
            self.meeting.start_leaving().await;
        }
    }
}

impl Outcome {
    fn exit(self) -> Exit {
        match self {
            Self { has_met: true, .. } => Exit::Success,
            Self { has_no_path: true, .. } => Exit::NoPath,
            Self { .. } => Exit::Nobody,
        }
    }
}

/// Waits until then; forever, if there is no then.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => drop(Timer::at(moment).await),
        None => pending().await,
    }
}
