use std::io::{self, Write as _};
use std::time::Instant;

use folkmoot::{Event, Folkmoot, MemberView, Progress, Stage};

use crate::human::{self, Human};
use crate::json;
use crate::pending::{Pending, Said};

/// Where what happens is shown: to people in words, or to programs in JSON.
#[derive(Debug)]
pub(crate) struct Ui {
    started: Instant,
    /// How long after our start the node's clock began.
    node_start_ms: u64,
    face: Face,
    last_status: Option<(Stage, String)>,
}

#[derive(Debug)]
enum Face {
    Human(Human),
    Json,
}

impl Ui {
    pub(crate) fn new(json: bool, started: Instant, code: &str) -> Self {
        let face = if json { Face::Json } else { Face::Human(Human::new(code)) };
        Self { started, node_start_ms: 0, face, last_status: None }
    }

    pub(crate) fn started(&mut self, node: &Folkmoot) -> io::Result<()> {
        self.node_start_ms = self.ms().saturating_sub(node.now().as_millis());
        match &self.face {
            Face::Human(human) => human.started(node),
            Face::Json => print(&json::started(self.ms(), node))?,
        }
        if let (Some(profile), Some(instead_of)) = (node.profile(), node.instead_of()) {
            let other = format!(
                "another process uses the profile `{instead_of}`, so this one is `{profile}`, a device of its own"
            );
            self.note(other)?;
        }
        Ok(())
    }

    /// Something of this machine that is no trouble.
    fn note(&self, note: String) -> io::Result<()> {
        match &self.face {
            Face::Human(human) => human.note(note),
            Face::Json => print(&json::status(self.ms(), Stage::Io, note))?,
        }
        Ok(())
    }

    /// Nobody else is there.
    pub(crate) fn alone(&mut self) -> io::Result<()> {
        match &mut self.face {
            Face::Human(human) => human.alone(),
            Face::Json => {
                let progress = Progress::Alone;
                print(&json::status(self.ms(), progress.stage(), progress.to_string()))?;
            }
        }
        Ok(())
    }

    /// Something was given to the node to say.
    pub(crate) fn said(&self, text: &str) {
        // For a program there is the event that it was sent.
        if let Face::Human(human) = &self.face {
            human.said(text);
        }
    }

    pub(crate) fn event(&mut self, event: &Event, said: &Said, pending: &Pending) -> io::Result<()> {
        if let Event::Status { progress, .. } = event {
            let status = (progress.stage(), progress.to_string());
            if self.last_status.as_ref() == Some(&status) {
                return Ok(());
            }
            self.last_status = Some(status);
        }
        let ms = self.ms();
        match &mut self.face {
            Face::Human(human) => human.event(event, pending),
            Face::Json => json::event(ms, event, said).map_or(Ok(()), |line| print(&line)),
        }
    }

    pub(crate) fn peers(&self, members: &[MemberView]) -> io::Result<()> {
        match &self.face {
            // Only programs ask.
            Face::Human(_) => Ok(()),
            Face::Json => print(&json::peers(self.ms(), self.node_start_ms, members)),
        }
    }

    /// Something does not work, and it goes on.
    pub(crate) fn warn(&self, stage: Stage, what: String, hint: &str) -> io::Result<()> {
        match &self.face {
            Face::Human(human) => human.warn(what, hint),
            Face::Json => print(&json::error(self.ms(), stage, what, hint))?,
        }
        Ok(())
    }

    /// Something does not work, and it ends.
    pub(crate) fn fail(&self, stage: Stage, what: &str, hint: &str) {
        fail(matches!(self.face, Face::Json), self.ms(), stage, what, hint);
    }

    fn ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Says why it ends: in words always, and in JSON if that is wanted.
pub(crate) fn fail(is_json: bool, ms: u64, stage: Stage, what: &str, hint: &str) {
    human::failure(what, hint);
    if is_json {
        // If nobody reads it, the words and the exit code are left.
        let _ = print(&json::error(ms, stage, what.into(), hint));
    }
}

/// Prints a line to stdout.
pub(crate) fn print(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}
