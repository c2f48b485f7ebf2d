use super::glance::Glance;
use super::item::{Item, Start};
use super::reader::{Extent, Flaw, Trace};
use super::recorder::Digests;
use super::redact::Redactor;
use crate::base::Time;
use crate::node::Node;

/// Runs a trace again: a node of its own gets the same inputs at the same times, and what it says is held against what was said.
/// Of a redacted trace there is no node to run, and it is only told.
#[derive(Debug)]
pub struct Replay<'a> {
    trace: Trace<'a>,
    node: Option<Node>,
    digests: Digests,
    redactor: Redactor,
    now: Time,
    verdict: Verdict,
}

/// One thing that happened in the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The node was given something.
    Input(Time, Glance),
    /// The node said something.
    Output(Time, Glance),
    /// Here the node said something else than it says now.
    Parting {
        /// When.
        at: Time,
        /// What it said.
        recorded: Glance,
        /// What it says now.
        replayed: Glance,
    },
}

/// What is known of a replay so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Inputs so far.
    pub inputs: u64,
    /// Outputs so far.
    pub outputs: u64,
    /// Outputs that were the same to the last byte.
    pub same: u64,
    /// The number of the first output that was not, counted from 1.
    pub parted: Option<u64>,
    /// Whether the hash at the end of the trace is that of the outputs; `None` before it came.
    pub hash: Option<bool>,
    /// Whether the trace ends because it became as large as it may.
    pub is_full: bool,
}

impl<'a> Replay<'a> {
    /// Ready to run a trace.
    ///
    /// # Errors
    ///
    /// If the bytes are no trace, or a full one does not begin with what its node was made with.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Flaw> {
        let mut trace = Trace::open(bytes)?;
        let mut now = Time::ZERO;
        let node = match trace.extent() {
            Extent::Redacted => None,
            Extent::Full => match trace.next().transpose()? {
                Some(Item::Start(start)) => {
                    let Start { config, entropy, now: began, unix } = *start;
                    now = began;
                    Some(Node::new(config, entropy, began, unix))
                }
                _ => {
                    return Err(Flaw::Damaged { at: 0, why: "it does not say how its node was made".into() });
                }
            },
        };
        let (digests, redactor) = (Digests::default(), Redactor::new(false));
        Ok(Self { trace, node, digests, redactor, now, verdict: Verdict::default() })
    }

    /// What is known so far.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The trace, as far as it was read.
    pub fn trace(&self) -> &Trace<'a> {
        &self.trace
    }

    /// Compares an output with what the node says now; after the first difference nothing is compared any more.
    fn output(&mut self, recorded: Glance, digest: u32) -> Step {
        self.verdict.outputs += 1;
        let node = self.node.as_mut().filter(|_| self.verdict.parted.is_none());
        let Some(node) = node else { return Step::Output(self.now, recorded) };
        let output = node.poll();
        let replayed = Glance::of_output(&output, &mut self.redactor);
        if self.digests.add(&output) == digest && replayed == recorded {
            self.verdict.same += 1;
            return Step::Output(self.now, recorded);
        }
        self.verdict.parted = Some(self.verdict.outputs);
        Step::Parting { at: self.now, recorded, replayed }
    }
}

impl Iterator for Replay<'_> {
    type Item = Result<Step, Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let step = match self.trace.next()? {
                Err(flaw) => return Some(Err(flaw)),
                // A second start makes no sense; it is no more than a node made anew would be.
                Ok(Item::Start(_)) => continue,
                Ok(Item::End(end)) => {
                    let is_compared = self.node.is_some() && self.verdict.parted.is_none();
                    self.verdict.hash = is_compared.then(|| end.hash == self.digests.hash());
                    self.verdict.is_full = end.is_full;
                    continue;
                }
                Ok(Item::Input(now, input)) => {
                    (self.now, self.verdict.inputs) = (now, self.verdict.inputs + 1);
                    let glance = Glance::of_input(&input, &mut self.redactor);
                    if let Some(node) = self.node.as_mut().filter(|_| self.verdict.parted.is_none()) {
                        node.handle(now, input);
                    }
                    Step::Input(now, glance)
                }
                Ok(Item::Seen(now, glance)) => {
                    (self.now, self.verdict.inputs) = (now, self.verdict.inputs + 1);
                    Step::Input(now, glance)
                }
                Ok(Item::Output(glance, digest)) => self.output(glance, digest),
            };
            return Some(Ok(step));
        }
    }
}
