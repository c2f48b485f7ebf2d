//! What must hold whatever happens, and what is still owed. It sees only what applications see: events.

mod owed;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use folkmoot_core::base::{DeviceId, MemberId, Time};
use folkmoot_core::node::{Event, MeetingHandle};

use self::owed::Owed;
use super::company::ways;
use super::marks::Pairs;
use super::property::Property;
use super::script::Act;
use super::waits::Waits;
use crate::net::Verdict;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// When it was noticed.
    pub at: Time,
    /// Which rule.
    pub property: Property,
    /// What is wrong.
    pub what: String,
}

/// Rules that were broken, the first ones of very many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// In the order in which they were noticed.
    pub list: Vec<Problem>,
    /// How many more there were.
    pub more: usize,
}

/// How long it may take until members who are connected have told each other of all others.
const INTRODUCTION: Duration = Duration::from_secs(5);
/// The same after something was done to the network of one of them: a retransmission timer that doubled over and over meanwhile has to run out first.
const RECOVERY: Duration = Duration::from_secs(10);
/// Problems that are listed; the rest is counted.
const LISTED: usize = 20;

/// Follows a run from outside the nodes.
///
/// Safety, at every event: no message is invented, altered, misattributed, delivered twice to one run of a node, out of
/// its author's order unless marked as history, to its own author or into another meeting; nothing is acknowledged twice or before it
/// arrived; nobody is connected twice, or to itself, or to who is not in the meeting.
///
/// Liveness, when asked: whoever can connect by the oracle is connected, what was said has arrived and is acknowledged, with whom
/// its author cannot connect through members between them, who
/// left or died is gone, and who can connect to nobody is told. What each of these took is kept in any case.
///
/// Each rule is a [`Property`].
#[derive(Debug)]
pub(super) struct Checker {
    people: Vec<Person>,
    /// Members who break the rules: nothing is owed to them, and what they say is not looked at.
    insiders: Vec<(DeviceId, MemberId)>,
    verdicts: Vec<Vec<Verdict>>,
    /// The best that the oracle ever said of a pair.
    pub(super) best: Vec<Vec<Verdict>>,
    severed: Vec<(usize, usize)>,
    said: Vec<Said>,
    by_text: BTreeMap<String, usize>,
    /// Something that was owed when last looked at.
    witness: Option<Owed>,
    pub(super) waits: Waits,
    pub(super) pairs: Pairs,
    pub(super) problems: Problems,
}

/// Which rule is broken, and how.
type Wrong = (Property, String);

/// A member as seen from outside.
#[derive(Debug)]
struct Person {
    device: DeviceId,
    member: MemberId,
    up: bool,
    asleep: bool,
    /// Runs begun so far; the current one if it is up.
    run: u32,
    /// Meetings this run is in.
    joined: BTreeSet<u8>,
    /// Meetings it has joined in any run.
    ever_joined: BTreeSet<u8>,
    /// Whom this run is connected to, by meeting, and which run of theirs it was.
    connected: BTreeMap<(u8, usize), u32>,
    /// Since when.
    since: BTreeMap<(u8, usize), Time>,
    /// Whom this run has been connected to, by meeting.
    met: BTreeSet<(u8, usize)>,
    /// Number of the last message this run heard, by meeting, author and run of the author.
    last_heard: BTreeMap<(u8, usize, u32), u64>,
    /// Messages this run said, by meeting and number.
    numbered: BTreeMap<(u8, u64), usize>,
    /// Whether this run was told of some trouble.
    told: bool,
    /// When something was done to its network last.
    disturbed: Option<Time>,
    /// Whether its link is another than its own.
    relinked: bool,
}

#[derive(Debug)]
struct Said {
    meeting: u8,
    author: usize,
    run: u32,
    text: String,
    at: Time,
    seq: Option<u64>,
    /// Whom its author's run had met by then: they must get it.
    audience: BTreeSet<usize>,
    /// Who must get it through members: its author had been told of them.
    beyond: BTreeSet<usize>,
    /// Who has it: the receiving run, by receiver; the latest if there were several.
    received: BTreeMap<usize, u32>,
    acknowledged: BTreeMap<usize, Time>,
}

impl Checker {
    pub(super) fn new(
        people: impl Iterator<Item = (DeviceId, MemberId)>,
        verdicts: Vec<Vec<Verdict>>,
    ) -> Self {
        let people = people
            .map(|(device, member)| Person {
                device,
                member,
                up: false,
                asleep: false,
                run: 0,
                joined: BTreeSet::new(),
                ever_joined: BTreeSet::new(),
                connected: BTreeMap::new(),
                since: BTreeMap::new(),
                met: BTreeSet::new(),
                last_heard: BTreeMap::new(),
                numbered: BTreeMap::new(),
                told: false,
                disturbed: None,
                relinked: false,
            })
            .collect();
        let (severed, said, by_text) = (Vec::new(), Vec::new(), BTreeMap::new());
        let (waits, pairs, problems) = (Waits::default(), Pairs::default(), Problems::default());
        let best = verdicts.clone();
        Self {
            people,
            insiders: Vec::new(),
            verdicts,
            best,
            severed,
            said,
            by_text,
            witness: None,
            waits,
            pairs,
            problems,
        }
    }

    /// Beside them there are these, who break the rules.
    pub(super) fn with_insiders(self, insiders: impl Iterator<Item = (DeviceId, MemberId)>) -> Self {
        Self { insiders: insiders.collect(), ..self }
    }

    /// Whether an event is about somebody who breaks the rules.
    fn is_about_insider(&self, event: &Event) -> bool {
        let mut insiders = self.insiders.iter();
        match event {
            Event::Connected { device, .. }
            | Event::Disconnected { device, .. }
            | Event::Message { device, .. } => insiders.any(|(it, _)| it == device),
            Event::Delivered { to, .. } => insiders.any(|(_, it)| it == to),
            _ => false,
        }
    }

    pub(super) fn started(&mut self, who: usize) {
        let person = &mut self.people[who];
        person.run += 1;
        (person.up, person.asleep) = (true, false);
        person.forget();
    }

    pub(super) fn crashed(&mut self, who: usize) {
        self.people[who].up = false;
        self.people[who].forget();
    }

    pub(super) fn joined(&mut self, who: usize, meeting: u8) {
        self.people[who].joined.insert(meeting);
        self.people[who].ever_joined.insert(meeting);
    }

    /// Somebody has left a meeting, and told its application so of everyone it was connected to.
    pub(super) fn left(&mut self, at: Time, who: usize, meeting: u8) {
        let person = &mut self.people[who];
        let untold: Vec<_> =
            person.connected.keys().filter(|(of, _)| *of == meeting).map(|(_, other)| *other).collect();
        person.joined.remove(&meeting);
        // Who joins again meets everyone anew. What was heard stays heard: nothing comes twice in one run.
        person.connected.retain(|(of, _), _| *of != meeting);
        person.since.retain(|(of, _), _| *of != meeting);
        person.met.retain(|(of, _)| *of != meeting);
        for other in &mut self.people {
            other.met.remove(&(meeting, who));
        }
        for said in self.said.iter_mut().filter(|said| said.meeting == meeting) {
            said.audience.remove(&who);
            said.beyond.remove(&who);
        }
        for other in untold {
            let what =
                format!("member {who}: left meeting {meeting} without being disconnected from {other}");
            self.problem(at, Property::Roster, what);
        }
    }

    /// The oracle says this of all pairs from now on.
    pub(super) fn reckon(&mut self, verdicts: Vec<Vec<Verdict>>) {
        for (best, now) in self.best.iter_mut().flatten().zip(verdicts.iter().flatten()) {
            if now.direct && !best.direct {
                *best = *now;
            }
        }
        self.verdicts = verdicts;
    }

    pub(super) fn asleep(&mut self, who: usize, asleep: bool) {
        self.people[who].asleep = asleep;
    }

    pub(super) fn severed(&mut self, a: usize, b: usize) {
        self.severed.extend([(a, b), (b, a)]);
    }

    pub(super) fn rejoined(&mut self, a: usize, b: usize) {
        self.severed.retain(|pair| *pair != (a, b) && *pair != (b, a));
    }

    /// Something is done to the network of somebody, for good or for bad.
    pub(super) fn disturbed(&mut self, now: Time, who: usize, act: Act) {
        let person = &mut self.people[who];
        person.disturbed = Some(now);
        match act {
            Act::Relink(..) => person.relinked = true,
            Act::Restore(_) => person.relinked = false,
            _ => {}
        }
    }

    pub(super) fn healed(&mut self) {
        self.severed.clear();
    }

    /// Somebody is about to say something: the text that tells it from all else, and its tag.
    pub(super) fn says(&mut self, at: Time, author: usize, meeting: u8) -> (String, u64) {
        let (tag, run) = (self.said.len(), self.people[author].run);
        let text = format!("message {tag} of member {author} run {run} in meeting {meeting}");
        self.by_text.insert(text.clone(), tag);
        let (received, acknowledged) = (BTreeMap::new(), BTreeMap::new());
        let met = self.people[author].met.iter().filter(|(where_met, _)| *where_met == meeting);
        let audience: BTreeSet<_> = met.map(|(_, who)| *who).collect();
        let mut beyond = self.introduced(at, author, meeting);
        beyond.retain(|who| !audience.contains(who));
        let (text, again) = (text.clone(), text);
        self.said.push(Said {
            meeting,
            author,
            run,
            text,
            at,
            seq: None,
            audience,
            beyond,
            received,
            acknowledged,
        });
        (again, tag as u64)
    }

    pub(super) fn problem(&mut self, at: Time, property: Property, what: String) {
        if self.problems.list.len() < LISTED {
            self.problems.list.push(Problem { at, property, what });
        } else {
            self.problems.more += 1;
        }
    }

    /// Takes in an event of a member's node.
    pub(super) fn event(&mut self, at: Time, who: usize, event: &Event) {
        if self.is_about_insider(event) {
            return;
        }
        let wrong = match event {
            Event::Connected { meeting, member, device, .. } => {
                self.connected(at, who, *meeting, (*member, *device))
            }
            Event::Disconnected { meeting, device, .. } => self.disconnected(at, who, *meeting, *device),
            Event::Message { meeting, from, device, seq, text, history, .. } => {
                self.message(at, who, *meeting, (*from, *device), (*seq, *history), text)
            }
            Event::Sent { meeting, tag, seq } => self.sent(who, *meeting, tag.0, *seq),
            Event::Delivered { meeting, seq, to } => self.delivered(at, who, *meeting, *seq, *to),
            Event::Trouble { .. } => {
                self.people[who].told = true;
                self.waits.told(at, who);
                None
            }
            Event::Status { .. } | Event::Address { .. } | Event::Joined { .. } | Event::Left { .. } => None,
        };
        if let Some((property, what)) = wrong {
            self.problem(at, property, format!("member {who}: {what}"));
        }
    }

    fn connected(
        &mut self,
        at: Time,
        who: usize,
        meeting: MeetingHandle,
        (member, device): (MemberId, DeviceId),
    ) -> Option<Wrong> {
        let Some(other) = self.person(member, device) else {
            return Some((Property::Roster, format!("connected to {device:?}, who is nobody")));
        };
        let meeting = meeting.0 as u8;
        if other == who {
            return Some((Property::Roster, "connected to itself".into()));
        }
        let knows = &self.people[other];
        if !knows.ever_joined.contains(&meeting) {
            let what = format!("connected to {other} in meeting {meeting}, which {other} never joined");
            return Some((Property::Roster, what));
        }
        let run = knows.run;
        self.people[who].met.insert((meeting, other));
        self.pairs.connected.insert((who, other));
        self.waits.connected(at, (who, other, meeting), (self.people[who].run, run));
        self.people[who].since.insert((meeting, other), at);
        let again = self.people[who].connected.insert((meeting, other), run).is_some();
        let what = || format!("connected to {other} in meeting {meeting} twice without a disconnection");
        again.then(|| (Property::Roster, what()))
    }

    fn disconnected(
        &mut self,
        at: Time,
        who: usize,
        meeting: MeetingHandle,
        device: DeviceId,
    ) -> Option<Wrong> {
        let other = self.people.iter().position(|person| person.device == device);
        let number = meeting.0 as u8;
        let was = other.and_then(|other| self.people[who].connected.remove(&(number, other)));
        if let Some(other) = other.filter(|_| was.is_some()) {
            self.people[who].since.remove(&(number, other));
            self.waits.disconnected(at, (who, other, number));
            let owed = self.is_owed(Owed::Connection { who, to: other, meeting: number });
            self.waits.connection(at, (who, other, number), owed);
        }
        let what = || format!("disconnected from {other:?}, to whom it was not connected");
        was.is_none().then(|| (Property::Roster, what()))
    }

    fn message(
        &mut self,
        at: Time,
        who: usize,
        meeting: MeetingHandle,
        (member, device): (MemberId, DeviceId),
        (seq, history): (u64, bool),
        text: &str,
    ) -> Option<Wrong> {
        let Some(&index) = self.by_text.get(text) else {
            return Some((Property::Invented, format!("heard {text:?}, which nobody said")));
        };
        let author = self.person(member, device);
        let said = &mut self.said[index];
        if author != Some(said.author) {
            return Some((Property::Author, format!("heard {text:?} from {author:?}")));
        }
        if said.author == who {
            return Some((Property::Once, format!("heard its own {text:?}")));
        }
        if u32::from(said.meeting) != meeting.0 {
            return Some((Property::Meeting, format!("heard {text:?} in meeting {}", meeting.0)));
        }
        if said.seq.is_some_and(|known| known != seq) {
            let what = format!("heard {text:?} under number {seq}, its author has {:?}", said.seq);
            return Some((Property::Number, what));
        }
        let listener = &mut self.people[who];
        if said.received.insert(who, listener.run) == Some(listener.run) {
            return Some((Property::Once, format!("heard {text:?} twice")));
        }
        self.waits.heard(at, said.at, (said.author, who, said.meeting));
        self.pairs.through |= !self.best[said.author][who].direct;
        self.pairs.passed_on |= !listener.connected.contains_key(&(said.meeting, said.author));
        self.pairs.said_alone |= said.audience.is_empty();
        let newest = listener.last_heard.entry((said.meeting, said.author, said.run)).or_insert(seq);
        let last = std::mem::replace(newest, seq.max(*newest));
        self.pairs.late |= last > seq;
        if last <= seq || history {
            return None;
        }
        Some((Property::Order, format!("heard {text:?}, number {seq}, after number {last}")))
    }

    fn sent(&mut self, who: usize, meeting: MeetingHandle, tag: u64, seq: u64) -> Option<Wrong> {
        let person = &mut self.people[who];
        let Some(said) = self.said.get_mut(tag as usize).filter(|said| {
            said.author == who && said.run == person.run && u32::from(said.meeting) == meeting.0
        }) else {
            let what = format!("sent tag {tag} in meeting {}, which it did not say there", meeting.0);
            return Some((Property::Number, what));
        };
        if said.seq.is_some() {
            return Some((Property::Number, format!("sent tag {tag} twice")));
        }
        said.seq = Some(seq);
        let taken = person.numbered.insert((said.meeting, seq), tag as usize);
        taken.map(|other| (Property::Number, format!("gave number {seq} to tags {other} and {tag}")))
    }

    fn delivered(
        &mut self,
        at: Time,
        who: usize,
        meeting: MeetingHandle,
        seq: u64,
        to: MemberId,
    ) -> Option<Wrong> {
        let to = self.people.iter().position(|person| person.member == to);
        let index = self.people[who].numbered.get(&(meeting.0 as u8, seq)).copied();
        let (Some(to), Some(index)) = (to, index) else {
            let what = format!("number {seq} is delivered to {to:?}, but there is none");
            return Some((Property::Acknowledged, what));
        };
        let said = &mut self.said[index];
        if !said.received.contains_key(&to) {
            let what = format!("{:?} is acknowledged by {to}, who does not have it", said.text);
            return Some((Property::Acknowledged, what));
        }
        let again = said.acknowledged.insert(to, at).is_some();
        self.waits.acknowledged(at, said.at, (who, to, said.meeting));
        let what = || format!("{:?} is acknowledged by {to} twice", said.text);
        again.then(|| (Property::Acknowledged, what()))
    }

    fn person(&self, member: MemberId, device: DeviceId) -> Option<usize> {
        self.people.iter().position(|person| person.member == member && person.device == device)
    }

    /// The device of a member.
    pub(super) fn device(&self, who: usize) -> DeviceId {
        self.people[who].device
    }

    /// The number of the member with that device.
    pub(super) fn number(&self, device: DeviceId) -> Option<usize> {
        self.people.iter().position(|person| person.device == device)
    }

    /// The meetings that somebody's run is in.
    pub(super) fn meetings(&self, who: usize) -> Vec<u8> {
        self.people[who].joined.iter().copied().collect()
    }

    /// Whom somebody has been told of by then: all who are connected to those it is connected to, and so on, since a while in which nothing
    /// was done to the networks of all these. Over a link that loses half of what it is given, being told takes as long as it takes.
    fn introduced(&self, at: Time, who: usize, meeting: u8) -> BTreeSet<usize> {
        let count = self.people.len();
        let is_steady = |who: usize| {
            let person = &self.people[who];
            !person.relinked && person.disturbed.is_none_or(|disturbed| disturbed + RECOVERY <= at)
        };
        let sees = |a: usize, b: usize| {
            let since = self.people[a].since.get(&(meeting, b));
            self.people[a].connected.get(&(meeting, b)) == Some(&self.people[b].run)
                && since.is_some_and(|since| *since + INTRODUCTION <= at)
                && is_steady(a)
                && is_steady(b)
        };
        let before = ways(who, count, |a, b| sees(a, b) && sees(b, a));
        (0..count).filter(|other| before[*other].is_some()).collect()
    }

    /// Whether somebody's node runs and is awake.
    pub(super) fn is_here(&self, who: usize) -> bool {
        self.people[who].up && !self.people[who].asleep
    }

    /// Whether somebody is here and in a meeting.
    pub(super) fn is_in(&self, who: usize, meeting: u8) -> bool {
        self.is_here(who) && self.people[who].joined.contains(&meeting)
    }

    /// Whether two people who are here can connect now.
    fn can_meet(&self, a: usize, b: usize) -> bool {
        a != b
            && self.is_here(a)
            && self.is_here(b)
            && self.verdicts[a][b].direct
            && !self.severed.contains(&(a, b))
    }
}

impl Person {
    /// What ends with a run.
    fn forget(&mut self) {
        self.joined.clear();
        self.connected.clear();
        self.since.clear();
        self.met.clear();
        self.last_heard.clear();
        self.numbered.clear();
        self.told = false;
    }
}

/// `12.345678s S-once: member 1: …`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.at, self.property, self.what)
    }
}
