//! What happens, in words. What others say goes to stdout, all the rest to stderr.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use folkmoot::{AddressSource, DisconnectReason, Event, Folkmoot, MemberId, Progress};

use crate::json;
use crate::pending::Pending;
use crate::text;

/// Names kept of people seen; of more, the id is shown.
const MAX_NAMES: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Human {
    code: String,
    names: BTreeMap<MemberId, String>,
    connected: usize,
    /// The kinds of status shown, and about whom: a number that changes in one is not worth a line.
    shown: BTreeSet<(String, String)>,
    was_told_alone: bool,
    is_plain: bool,
}

impl Human {
    pub(crate) fn new(code: &str) -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let is_plain = !io::stderr().is_terminal()
            || is_dumb
            || std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Self {
            code: code.into(),
            names: BTreeMap::new(),
            connected: 0,
            shown: BTreeSet::new(),
            was_told_alone: false,
            is_plain,
        }
    }

    pub(crate) fn started(&self, node: &Folkmoot) {
        let bound = node.bound().iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        self.aside(format_args!("you are {}, on UDP {bound}; Ctrl-C leaves", text::name(node.name())));
        self.aside(format_args!("this device is {}", node.device()));
    }

    /// Something of this program, not of the meeting.
    pub(crate) fn note(&self, note: impl Display) {
        self.aside(note);
    }

    pub(crate) fn warn(&self, what: impl Display, hint: impl Display) {
        eprintln!("! {what}");
        self.aside(hint);
    }

    /// Something was said.
    pub(crate) fn said(&self, text: &str) {
        if self.connected == 0 {
            self.aside(format_args!("kept until someone is here: {}", text::excerpt(text)));
        }
    }

    pub(crate) fn event(&mut self, event: &Event, pending: &Pending) -> io::Result<()> {
        match event {
            Event::Status { progress, .. } => self.progress(progress),
            Event::Trouble { trouble, .. } => self.warn(trouble, trouble.hint()),
            Event::Address { public, source } => match source {
                AddressSource::Stun(server) => {
                    self.aside(format_args!("you are seen at {public}, says {server}"))
                }
                AddressSource::Dht => self.aside(format_args!("you are seen at {public}, say DHT nodes")),
            },
            Event::Joined { .. } => self.aside("looking for the others"),
            Event::Connected { member, name, path, since_join, .. } => {
                self.connected += 1;
                self.remember(*member, name);
                let (name, path, secs) = (self.name(*member), json::path(*path), since_join.as_secs_f64());
                eprintln!("→ {name} is here ({path}, {secs:.1} s after you joined)");
            }
            Event::Disconnected { member, reason, .. } => {
                self.connected = self.connected.saturating_sub(1);
                // The way back to someone is worth telling again.
                self.shown.retain(|(_, whom)| whom.is_empty());
                let why = match reason {
                    DisconnectReason::Left => "has left",
                    DisconnectReason::Silent => "is out of reach: nothing is heard any more",
                    DisconnectReason::Restarted => "has started anew",
                    DisconnectReason::Closed => "is out of reach: the connection broke",
                    DisconnectReason::Misbehaved => "was cut off for breaking the rules",
                    // We left, and know it.
                    DisconnectReason::Ours => return Ok(()),
                };
                eprintln!("← {} {why}", self.name(*member));
            }
            Event::Message { from, name, text, history, .. } => {
                self.remember(*from, name);
                let (name, earlier) = (self.name(*from), if *history { " (earlier)" } else { "" });
                let mut stdout = io::stdout().lock();
                writeln!(stdout, "{name}{earlier}: {}", text::message(text))?;
                stdout.flush()?;
            }
            Event::Sent { .. } | Event::Left { .. } => {}
            Event::Delivered { seq, to, .. } => match pending.text(*seq) {
                Some(text) => self.aside(format_args!("✓ {} has: {}", self.name(*to), text::excerpt(text))),
                None => self.aside(format_args!("✓ {} has message {seq}", self.name(*to))),
            },
        }
        Ok(())
    }

    /// Nobody else is there.
    pub(crate) fn alone(&mut self) {
        let whether =
            if std::mem::replace(&mut self.was_told_alone, true) { "alone again" } else { "alone so far" };
        eprintln!("You are {whether}. The others join with:  moot {}", self.code);
    }

    fn progress(&mut self, progress: &Progress) {
        // Each thing the node does is worth a line once, not each number in it. To whom it is done matters.
        let whom = match progress {
            Progress::Checking { name, .. } | Progress::Securing { name } | Progress::Greeting { name } => {
                name
            }
            // Told in words of its own.
            Progress::Alone => return,
            _ => "",
        };
        let kind = (format!("{:?}", std::mem::discriminant(progress)), whom.to_owned());
        if self.shown.len() < MAX_NAMES && self.shown.insert(kind) {
            self.aside(format_args!("{} …", text::name(&progress.to_string())));
        }
    }

    fn remember(&mut self, member: MemberId, name: &str) {
        if self.names.len() < MAX_NAMES || self.names.contains_key(&member) {
            self.names.insert(member, text::name(name));
        }
    }

    /// A member's name; if another goes by the same, with the beginning of the id.
    fn name(&self, member: MemberId) -> String {
        let id = format!("{member:?}");
        match self.names.get(&member) {
            Some(name) if self.names.iter().any(|(other, n)| *other != member && n == name) => {
                format!("{name} ({id})")
            }
            Some(name) => name.clone(),
            None => id,
        }
    }

    /// A line in the background.
    fn aside(&self, line: impl Display) {
        if self.is_plain { eprintln!("  {line}") } else { eprintln!("\x1b[2m  {line}\x1b[0m") }
    }
}

/// A sentence about why the program ends.
pub(crate) fn failure(what: impl Display, hint: &str) {
    eprintln!("moot: {what}");
    if !hint.is_empty() {
        eprintln!("      {hint}");
    }
}
