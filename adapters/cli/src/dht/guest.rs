//! A node that enters the DHT for one question, and what it says meanwhile.

use std::cell::Cell;
use std::fmt::Display;
use std::future::pending;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use folkmoot::core::dht::{NotStored, Progress};
use folkmoot::core::node::Trouble;
use folkmoot::{Dht, DhtError, DhtNode, Error, Host, InfoHash, defaults};
use futures_lite::FutureExt as _;
use serde::Serialize;
use smol::Timer;

use super::args::GuestOptions;
use crate::exit::Exit;
use crate::json;
use crate::ui;

/// How long nobody may answer before that is told. A node that can be reached answers within two seconds.
const ENTER: Duration = Duration::from_secs(10);

/// How often the line of progress is drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// A node for one question.
pub(super) struct Guest {
    pub(super) dht: Dht,
    pub(super) report: Report,
    /// How many nodes were known once it was in.
    pub(super) entered_with: usize,
    deadline: Instant,
}

/// Why it ends without success: a sentence, what to do, and the exit code.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    stage: &'static str,
    what: String,
    hint: String,
}

/// Where all is said: results on stdout, all else on stderr.
pub(super) struct Report {
    started: Instant,
    is_json: bool,
    /// Whether there is a terminal to show progress on.
    is_live: bool,
    has_line: Cell<bool>,
}

/// Enters the DHT, does the work, and leaves.
pub(super) fn run(
    options: &GuestOptions,
    started: Instant,
    work: impl AsyncFnOnce(&Guest) -> Result<Exit, Failure>,
) -> Exit {
    let hosts = match options.net.bootstrap(defaults::bootstrap()) {
        Ok(hosts) => hosts,
        Err(what) => return Report::new(options, started).fail(&Failure::usage(what, "")),
    };
    let state = options.state_dir.clone().or_else(|| folkmoot::default_state_dir().ok());
    let state = state.map(|dir| dir.join("dht-client"));
    with_node(options, started, hosts, state, async |guest| {
        let patience = ENTER.min(guest.left());
        let entered = guest.dht.ready(patience).or(guest.report.watch(async || "entering the DHT".into()));
        guest.entered_with = entered.await?;
        work(guest).await
    })
}

/// The same without entering.
pub(super) fn run_alone(
    options: &GuestOptions,
    started: Instant,
    work: impl AsyncFnOnce(&Guest) -> Result<Exit, Failure>,
) -> Exit {
    with_node(options, started, Vec::new(), None, async |guest| work(guest).await)
}

fn with_node(
    options: &GuestOptions,
    started: Instant,
    hosts: Vec<Host>,
    state: Option<std::path::PathBuf>,
    work: impl AsyncFnOnce(&mut Guest) -> Result<Exit, Failure>,
) -> Exit {
    let report = Report::new(options, started);
    let builder = options.net.bind.iter().fold(DhtNode::builder(), |builder, &addr| builder.bind(addr));
    let mut builder = builder.guest().bootstrap(hosts);
    if options.net.no_lan {
        builder = builder.lan(false);
    }
    if let Some(dir) = state {
        builder = builder.state_dir(dir);
    }
    let dht = match builder.start() {
        Ok(dht) => dht,
        Err(error) => return report.fail(&error.into()),
    };
    let deadline = Instant::now() + options.timeout;
    let mut guest = Guest { dht, report, entered_with: 0, deadline };
    smol::block_on(async {
        let done = work(&mut guest).await;
        guest.report.clear();
        while let Ok(Some(trouble)) = guest.dht.trouble().await {
            guest.report.warn(&trouble);
        }
        let Guest { dht, report, .. } = guest;
        dht.close().await;
        match done {
            Ok(exit) => exit,
            Err(failure) => report.fail(&failure),
        }
    })
}

impl Guest {
    /// How much time there still is.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// What `work` comes to if there is time, while the progress of the lookup for `target` is shown.
    pub(super) async fn in_time<T>(&self, target: InfoHash, work: impl Future<Output = T>) -> Option<T> {
        let watched = self.report.watch(async || {
            let progress = self.dht.progress(target).await.ok().flatten();
            progress.map_or_else(|| "asking".into(), |progress| told(&progress, target))
        });
        let late = async {
            Timer::at(self.deadline).await;
            None
        };
        let result = async { Some(work.await) }.or(late).or(watched).await;
        self.report.clear();
        result
    }

    /// The same where nothing can be said without a result.
    pub(super) async fn must<T>(
        &self,
        target: InfoHash,
        work: impl Future<Output = Result<T, DhtError>>,
    ) -> Result<T, Failure> {
        match self.in_time(target, work).await {
            Some(result) => Ok(result?),
            None => {
                Err(Failure::nobody("time is up before there was an answer", "allow more with --timeout"))
            }
        }
    }
}

/// How far a lookup has come, in words.
fn told(progress: &Progress, target: InfoHash) -> String {
    let Progress { asked, answered, closest } = *progress;
    let bits = |id: folkmoot::NodeId| {
        let distance = id.distance(&target.0);
        let zeros = distance.iter().take_while(|&&byte| byte == 0).count();
        zeros * 8 + distance.get(zeros).map_or(0, |byte| byte.leading_zeros() as usize)
    };
    let closest = closest.map_or_else(String::new, |id| format!(", the closest shares {} bits", bits(id)));
    format!("{asked} nodes asked, {answered} answered{closest}")
}

impl Report {
    pub(super) fn new(options: &GuestOptions, started: Instant) -> Self {
        Self::with(options.net.json, started)
    }

    pub(super) fn with(is_json: bool, started: Instant) -> Self {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let is_live = !is_json && !is_dumb && io::stderr().is_terminal();
        Self { started, is_json, is_live, has_line: Cell::new(false) }
    }

    pub(super) fn is_json(&self) -> bool {
        self.is_json
    }

    pub(super) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// A result: a line of text or of JSON on stdout.
    pub(super) fn result(
        &self,
        event: &'static str,
        fields: impl Serialize,
        text: impl Display,
    ) -> Result<(), Failure> {
        let line = if self.is_json { json::line(event, self.ms(), fields) } else { text.to_string() };
        self.clear();
        ui::print(&line).map_err(|error| Failure::output(&error))
    }

    /// Bytes as they are, on stdout.
    pub(super) fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.clear();
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| Failure::output(&error))
    }

    /// Something worth knowing, for people.
    pub(super) fn note(&self, note: impl Display) {
        if !self.is_json {
            self.clear();
            eprintln!("  {note}");
        }
    }

    fn warn(&self, trouble: &Trouble) {
        self.clear();
        if self.is_json {
            let line = error_line(self.ms(), "io", &trouble.to_string(), trouble.hint());
            // If nobody reads it, there is nobody to tell.
            let _ = ui::print(&line);
        } else {
            eprintln!("! {trouble}");
            eprintln!("  {}", trouble.hint());
        }
    }

    /// Says why it ends, in words and, if wanted, in JSON.
    pub(super) fn fail(&self, failure: &Failure) -> Exit {
        self.clear();
        if failure.exit != Exit::Success {
            crate::human::failure(&failure.what, &failure.hint);
            if self.is_json {
                let _ = ui::print(&error_line(self.ms(), failure.stage, &failure.what, &failure.hint));
            }
        }
        failure.exit
    }

    /// Shows on a terminal what is going on, in a line that is drawn anew, and never ends.
    async fn watch<T>(&self, what: impl AsyncFn() -> String) -> T {
        if !self.is_live {
            return pending().await;
        }
        loop {
            let line = what().await;
            eprint!("\r\x1b[2K\x1b[2m  {line}, {:.1} s\x1b[0m", self.seconds());
            let _ = io::stderr().flush();
            self.has_line.set(true);
            Timer::after(REDRAW).await;
        }
    }

    /// Wipes the line of progress.
    fn clear(&self) {
        if self.has_line.replace(false) {
            eprint!("\r\x1b[2K");
        }
    }

    fn ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn error_line(ms: u64, stage: &str, message: &str, hint: &str) -> String {
    #[derive(Serialize)]
    struct Fields<'a> {
        stage: &'a str,
        message: &'a str,
        hint: &'a str,
    }
    json::line("error", ms, Fields { stage, message, hint })
}

impl Failure {
    fn new(exit: Exit, stage: &'static str, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit, stage, what: what.into(), hint: hint.into() }
    }

    /// What was given cannot be understood.
    pub(super) fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "io", what, hint)
    }

    /// This machine is in the way.
    pub(super) fn machine(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Failure, "io", what, hint)
    }

    /// Nothing is there.
    pub(super) fn nothing(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Nobody, "dht", what, hint)
    }

    /// Nobody answers.
    pub(super) fn nobody(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Unreachable, "bootstrap", what, hint)
    }

    fn refused(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Refused, "dht", what, hint)
    }

    fn output(error: &io::Error) -> Self {
        // Whoever read our output is gone, so there is nobody to tell.
        let exit = if error.kind() == io::ErrorKind::BrokenPipe { Exit::Success } else { Exit::Failure };
        Self::new(exit, "io", format!("the output cannot be written: {error}"), "")
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = if matches!(error, Error::Code(_)) { Exit::Usage } else { Exit::Failure };
        Self::new(exit, "io", error.what(), error.hint())
    }
}

impl From<DhtError> for Failure {
    fn from(error: DhtError) -> Self {
        let what = error.to_string();
        match error {
            DhtError::CutOff => Self::nobody(what, Trouble::NoBootstrap.hint()),
            DhtError::Unresolved(_) => {
                Self::nobody(what, "check the spelling and the name server, or give an IP address")
            }
            DhtError::Nobody { hosts, nodes } => {
                Self::nobody(what, Trouble::BootstrapSilent { hosts, nodes }.hint())
            }
            DhtError::Silent(_) => Self::nobody(
                what,
                "check the address; a node behind a NAT, or one that only asks, does not answer strangers",
            ),
            DhtError::NotAnnounced => {
                Self::refused(what, "try again; if it goes on, check whether a firewall blocks UDP")
            }
            DhtError::NotStored(why) => match why {
                NotStored::Unanswered => Self::nobody(what, "try again in a moment"),
                NotStored::Conflict => Self::refused(
                    what,
                    "read it with `moot dht get --public-key KEY`, and give its number with --cas",
                ),
                NotStored::Superseded { by: Some(seq) } => Self::refused(
                    what,
                    format!("the one stored has number {seq}; give a greater one with --seq"),
                ),
                NotStored::Superseded { by: None } => Self::refused(what, "give a greater number with --seq"),
                NotStored::Refused { .. } | NotStored::Busy => Self::refused(what, "try again in a moment"),
            },
            // The list of errors may grow.
            _ => Self::machine(what, ""),
        }
    }
}
