//! `moot-sim replay` of a trace that a real node wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use folkmoot_core::base::Time;
use folkmoot_core::trace::{Extent, Flaw, Glance, Kind, Replay, Step, Trace, Verdict};
use folkmoot_sim_entropy::seeded;
use serde_json::json;

use super::{Done, Failure};

/// The trace in a file; `None` if it is a file of another kind, or none.
pub(super) fn read(path: &str) -> Result<Option<Vec<u8>>, Failure> {
    if !Path::new(path).is_file() {
        return Ok(None);
    }
    let bytes =
        std::fs::read(path).map_err(|error| Failure::Input(format!("cannot read {path}: {error}")))?;
    Ok(Trace::is_one(&bytes).then_some(bytes))
}

/// Runs a trace again and tells its story, and in the end whether the node did the same.
pub(super) fn run(out: &mut (impl Write + Send), trace: &[u8], json: bool, packets: bool) -> Done {
    // What a node draws from the system is of no consequence; but runs of one trace shall not differ even there.
    let (done, story) = seeded(0, || {
        let mut story = Story { packets, json, ..Story::default() };
        (story.tell(out, trace), story)
    });
    let flaw = match done {
        Ok(()) => None,
        Err(Told::Output(error)) => return Err(error.into()),
        Err(Told::Flaw(flaw @ Flaw::Damaged { .. })) if story.verdict.inputs > 0 => Some(flaw),
        Err(Told::Flaw(flaw)) => return Err(Failure::Input(flaw.to_string())),
    };
    story.conclude(out)?;
    out.flush()?;
    match flaw {
        Some(flaw) => Err(Failure::Input(flaw.to_string())),
        None => Ok(story.verdict.parted.is_none() && story.verdict.hash != Some(false)),
    }
}

/// Why telling ended early.
enum Told {
    Flaw(Flaw),
    Output(io::Error),
}

impl From<Flaw> for Told {
    fn from(flaw: Flaw) -> Self {
        Self::Flaw(flaw)
    }
}

impl From<io::Error> for Told {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// What a run comes to.
#[derive(Default)]
struct Story {
    json: bool,
    packets: bool,
    is_redacted: bool,
    release: String,
    is_cut: bool,
    verdict: Verdict,
    now: Time,
    /// Packets since the last line.
    sent: u64,
    got: u64,
    /// Sent and got, by what they are.
    traffic: BTreeMap<String, (u64, u64)>,
    asked: BTreeSet<SocketAddr>,
    heard: BTreeSet<SocketAddr>,
    connected: Vec<String>,
    /// The last word of progress, and all of trouble.
    status: String,
    troubles: BTreeSet<String>,
}

impl Story {
    fn tell(&mut self, out: &mut impl Write, trace: &[u8]) -> Result<(), Told> {
        let mut replay = Replay::new(trace)?;
        self.is_redacted = replay.trace().extent() == Extent::Redacted;
        self.release = replay.trace().release().to_owned();
        while let Some(step) = replay.next() {
            let step = step.inspect_err(|_| self.verdict = replay.verdict())?;
            self.step(out, step)?;
        }
        self.verdict = replay.verdict();
        self.is_cut = replay.trace().is_cut();
        Ok(())
    }

    fn step(&mut self, out: &mut impl Write, step: Step) -> io::Result<()> {
        match step {
            Step::Input(at, glance) | Step::Output(at, glance) => {
                self.now = at;
                self.note(&glance);
                let is_packet = matches!(glance.kind, Kind::Datagram | Kind::Transmit);
                let is_dull = matches!(glance.kind, Kind::Tick | Kind::Idle);
                if is_dull || (is_packet && !self.packets) {
                    Ok(())
                } else {
                    self.line(out, &glance.to_string())
                }
            }
            Step::Parting { at, recorded, replayed } => {
                self.now = at;
                self.line(
                    out,
                    &format!("here the node parts from what it did: it {recorded}; now it {replayed}"),
                )
            }
        }
    }

    fn note(&mut self, glance: &Glance) {
        let Glance { kind, addr, what, .. } = glance;
        match kind {
            Kind::Datagram => {
                self.got += 1;
                self.traffic.entry(what.clone()).or_default().1 += 1;
                self.heard.extend(addr);
            }
            Kind::Transmit => {
                self.sent += 1;
                self.traffic.entry(what.clone()).or_default().0 += 1;
                self.asked.extend(addr);
            }
            Kind::Connected => self.connected.push(what.clone()),
            Kind::Status => self.status.clone_from(what),
            Kind::Trouble => drop(self.troubles.insert(what.clone())),
            _ => {}
        }
    }

    fn line(&mut self, out: &mut impl Write, text: &str) -> io::Result<()> {
        let (sent, got) = (std::mem::take(&mut self.sent), std::mem::take(&mut self.got));
        if self.json {
            let line =
                json!({"event": "told", "ms": self.now.as_millis(), "sent": sent, "got": got, "text": text});
            return writeln!(out, "{line}");
        }
        if sent + got > 0 && !self.packets {
            writeln!(out, "{:>12}  ({sent} sent, {got} got)", "")?;
        }
        writeln!(out, "{:>10.3} s  {text}", self.now.as_micros() as f64 / 1e6)
    }

    /// What it comes to, and whether the node did the same again.
    fn conclude(&self, out: &mut impl Write) -> io::Result<()> {
        let (outcome, replayed) = (self.outcome(), self.replayed());
        let Verdict { inputs, outputs, same, parted, hash, is_full } = self.verdict;
        if self.json {
            let line = json!({
                "v": 1, "event": "done", "redacted": self.is_redacted, "release": self.release, "inputs": inputs,
                "outputs": outputs, "same": same, "parted": parted, "hash_agrees": hash, "cut": self.is_cut,
                "full": is_full, "outcome": outcome, "replayed": replayed,
            });
            return writeln!(out, "{line}");
        }
        writeln!(out, "\n{:<20} {:>6} {:>6}", "datagrams", "sent", "got")?;
        for (what, (sent, got)) in &self.traffic {
            writeln!(out, "{what:<20} {sent:>6} {got:>6}")?;
        }
        let answered = self.asked.intersection(&self.heard).count();
        writeln!(
            out,
            "{} addresses were written to, and {answered} of them were heard from\n",
            self.asked.len()
        )?;
        writeln!(out, "{outcome}\n{replayed}")?;
        if self.is_cut {
            writeln!(out, "the trace stops before its end: the process was killed, or the file is cut")?;
        }
        if is_full {
            writeln!(out, "the trace stops because it had become as large as it may; the run went on")?;
        }
        Ok(())
    }

    /// Connected to whom, or why not.
    fn outcome(&self) -> String {
        if !self.connected.is_empty() {
            return self.connected.join("; ");
        }
        let got = |what: &str| {
            self.traffic.iter().filter(|(it, _)| it.starts_with(what)).map(|(_, n)| n.1).sum::<u64>()
        };
        let why = if self.traffic.values().all(|(sent, _)| *sent == 0) {
            "nothing was sent: it had no socket, or nobody to ask"
        } else if self.heard.is_empty() {
            "not one datagram came in: a firewall lets no UDP through, or there is no network"
        } else if got("DHT") == 0 {
            "no DHT node was heard from"
        } else if got("STUN") + got("DTLS") == 0 {
            "the DHT answered, and nobody else was heard from: no member was found there, or none can be reached"
        } else if got("DTLS") == 0 {
            "STUN came in, and no DTLS: no path to a member was found"
        } else {
            "DTLS came in, and nobody proved to be a member"
        };
        let troubles: Vec<_> = self.troubles.iter().map(String::as_str).collect();
        let troubles = if troubles.is_empty() { "no trouble was told".into() } else { troubles.join("; ") };
        format!("connected to nobody: {why}. It came as far as “{}”; {troubles}", self.status)
    }

    /// Whether the node did the same again.
    fn replayed(&self) -> String {
        let Verdict { inputs, outputs, same, parted, hash, .. } = self.verdict;
        let here = env!("CARGO_PKG_VERSION");
        match (parted, hash) {
            _ if self.is_redacted => {
                format!(
                    "the trace is redacted: its {inputs} inputs and {outputs} outputs are told as they were, and nothing ran again"
                )
            }
            (Some(number), _) => format!(
                "DIFFERENT: after {same} outputs that are the same, number {number} of {outputs} is another; the trace is of release {}, \
                 and this is {here}",
                self.release
            ),
            (None, Some(false)) => "DIFFERENT: the hash in the trace is not that of its outputs".into(),
            (None, _) => format!("the same: {inputs} inputs gave the same {same} outputs, to the last byte"),
        }
    }
}
