//! What must hold whatever happens, and what is still owed. It sees only what applications see: events.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use folkmoot_core::base::{DeviceId, MemberId, Time};
use folkmoot_core::node::{Event, MeetingHandle};

use crate::net::Verdict;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// When it was noticed.
    pub at: Time,
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

/// Problems that are listed; the rest is counted.
const LISTED: usize = 20;

/// Follows a run from outside the nodes.
///
/// Safety, at every event: no message is invented, altered, misattributed, delivered twice to one run of a node, out of
/// its author's order, to its own author or into another meeting; nothing is acknowledged twice or before it
/// arrived; nobody is connected twice, or to itself, or to who is not in the meeting.
///
/// Liveness, when asked: whoever can connect by the oracle is connected, what was said has arrived and is acknowledged.
#[derive(Debug)]
pub(super) struct Checker {
    people: Vec<Person>,
    verdicts: Vec<Vec<Verdict>>,
    severed: Vec<(usize, usize)>,
    said: Vec<Said>,
    by_text: BTreeMap<String, usize>,
    /// Something that was owed when last looked at.
    witness: Option<Owed>,
    pub(super) problems: Problems,
}

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
    /// Whom this run has been connected to, by meeting.
    met: BTreeSet<(u8, usize)>,
    /// Number of the last message this run heard, by meeting, author and run of the author.
    last_heard: BTreeMap<(u8, usize, u32), u64>,
    /// Messages this run said, by meeting and number.
    numbered: BTreeMap<(u8, u64), usize>,
}

#[derive(Debug)]
struct Said {
    meeting: u8,
    author: usize,
    run: u32,
    text: String,
    seq: Option<u64>,
    /// Whom its author's run had met by then: they must get it.
    audience: BTreeSet<usize>,
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
                met: BTreeSet::new(),
                last_heard: BTreeMap::new(),
                numbered: BTreeMap::new(),
            })
            .collect();
        let (severed, said, by_text) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { people, verdicts, severed, said, by_text, witness: None, problems: Problems::default() }
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
        person.met.retain(|(of, _)| *of != meeting);
        for other in &mut self.people {
            other.met.remove(&(meeting, who));
        }
        for said in self.said.iter_mut().filter(|said| said.meeting == meeting) {
            said.audience.remove(&who);
        }
        for other in untold {
            self.problem(
                at,
                format!("member {who}: left meeting {meeting} without being disconnected from {other}"),
            );
        }
    }

    pub(super) fn asleep(&mut self, who: usize, asleep: bool) {
        self.people[who].asleep = asleep;
    }

    pub(super) fn severed(&mut self, a: usize, b: usize) {
        self.severed.extend([(a, b), (b, a)]);
    }

    pub(super) fn healed(&mut self) {
        self.severed.clear();
    }

    /// Somebody is about to say something: the text that tells it from all else, and its tag.
    pub(super) fn says(&mut self, author: usize, meeting: u8) -> (String, u64) {
        let (tag, run) = (self.said.len(), self.people[author].run);
        let text = format!("message {tag} of member {author} run {run} in meeting {meeting}");
        self.by_text.insert(text.clone(), tag);
        let (received, acknowledged) = (BTreeMap::new(), BTreeMap::new());
        let met = self.people[author].met.iter().filter(|(where_met, _)| *where_met == meeting);
        let audience = met.map(|(_, who)| *who).collect();
        let text_again = text.clone();
        let said =
            Said { meeting, author, run, text: text_again, seq: None, audience, received, acknowledged };
        self.said.push(said);
        (text, tag as u64)
    }

    pub(super) fn problem(&mut self, at: Time, what: String) {
        if self.problems.list.len() < LISTED {
            self.problems.list.push(Problem { at, what });
        } else {
            self.problems.more += 1;
        }
    }

    /// Takes in an event of a member's node.
    pub(super) fn event(&mut self, at: Time, who: usize, event: &Event) {
        let wrong = match event {
            Event::Connected { meeting, member, device, .. } => {
                self.connected(who, *meeting, *member, *device)
            }
            Event::Disconnected { meeting, device, .. } => self.disconnected(who, *meeting, *device),
            Event::Message { meeting, from, device, seq, text, .. } => {
                self.message(who, *meeting, (*from, *device), *seq, text)
            }
            Event::Sent { meeting, tag, seq } => self.sent(who, *meeting, tag.0, *seq),
            Event::Delivered { meeting, seq, to } => self.delivered(at, who, *meeting, *seq, *to),
            Event::Status { .. }
            | Event::Trouble { .. }
            | Event::Address { .. }
            | Event::Joined { .. }
            | Event::Left { .. } => None,
        };
        if let Some(what) = wrong {
            self.problem(at, format!("member {who}: {what}"));
        }
    }

    fn connected(
        &mut self,
        who: usize,
        meeting: MeetingHandle,
        member: MemberId,
        device: DeviceId,
    ) -> Option<String> {
        let Some(other) = self.person(member, device) else {
            return Some(format!("connected to {device:?}, who is nobody"));
        };
        let meeting = meeting.0 as u8;
        if other == who {
            return Some("connected to itself".into());
        }
        let knows = &self.people[other];
        if !knows.ever_joined.contains(&meeting) {
            return Some(format!("connected to {other} in meeting {meeting}, which {other} never joined"));
        }
        let run = knows.run;
        self.people[who].met.insert((meeting, other));
        let again = self.people[who].connected.insert((meeting, other), run).is_some();
        again.then(|| format!("connected to {other} in meeting {meeting} twice without a disconnection"))
    }

    fn disconnected(&mut self, who: usize, meeting: MeetingHandle, device: DeviceId) -> Option<String> {
        let other = self.people.iter().position(|person| person.device == device);
        let was = other.and_then(|other| self.people[who].connected.remove(&(meeting.0 as u8, other)));
        was.is_none().then(|| format!("disconnected from {other:?}, to whom it was not connected"))
    }

    fn message(
        &mut self,
        who: usize,
        meeting: MeetingHandle,
        (member, device): (MemberId, DeviceId),
        seq: u64,
        text: &str,
    ) -> Option<String> {
        let Some(&index) = self.by_text.get(text) else {
            return Some(format!("heard {text:?}, which nobody said"));
        };
        let author = self.person(member, device);
        let said = &mut self.said[index];
        if author != Some(said.author) {
            return Some(format!("heard {text:?} from {author:?}"));
        }
        if said.author == who {
            return Some(format!("heard its own {text:?}"));
        }
        if u32::from(said.meeting) != meeting.0 {
            return Some(format!("heard {text:?} in meeting {}", meeting.0));
        }
        if said.seq.is_some_and(|known| known != seq) {
            return Some(format!("heard {text:?} under number {seq}, its author has {:?}", said.seq));
        }
        let listener = &mut self.people[who];
        if said.received.insert(who, listener.run) == Some(listener.run) {
            return Some(format!("heard {text:?} twice"));
        }
        let last = listener.last_heard.insert((said.meeting, said.author, said.run), seq);
        last.filter(|last| *last >= seq)
            .map(|last| format!("heard {text:?}, number {seq}, after number {last}"))
    }

    fn sent(&mut self, who: usize, meeting: MeetingHandle, tag: u64, seq: u64) -> Option<String> {
        let person = &mut self.people[who];
        let Some(said) = self.said.get_mut(tag as usize).filter(|said| {
            said.author == who && said.run == person.run && u32::from(said.meeting) == meeting.0
        }) else {
            return Some(format!("sent tag {tag} in meeting {}, which it did not say there", meeting.0));
        };
        if said.seq.is_some() {
            return Some(format!("sent tag {tag} twice"));
        }
        said.seq = Some(seq);
        let taken = person.numbered.insert((said.meeting, seq), tag as usize);
        taken.map(|other| format!("gave number {seq} to tags {other} and {tag}"))
    }

    fn delivered(
        &mut self,
        at: Time,
        who: usize,
        meeting: MeetingHandle,
        seq: u64,
        to: MemberId,
    ) -> Option<String> {
        let to = self.people.iter().position(|person| person.member == to);
        let index = self.people[who].numbered.get(&(meeting.0 as u8, seq)).copied();
        let (Some(to), Some(index)) = (to, index) else {
            return Some(format!("number {seq} is delivered to {to:?}, but there is none"));
        };
        let said = &mut self.said[index];
        if !said.received.contains_key(&to) {
            return Some(format!("{:?} is acknowledged by {to}, who does not have it", said.text));
        }
        let again = said.acknowledged.insert(to, at).is_some();
        again.then(|| format!("{:?} is acknowledged by {to} twice", said.text))
    }

    fn person(&self, member: MemberId, device: DeviceId) -> Option<usize> {
        self.people.iter().position(|person| person.member == member && person.device == device)
    }

    /// Whether everything that can be is done.
    pub(super) fn is_settled(&mut self) -> bool {
        // What was owed last time usually still is: cheaper to ask than to look everything through.
        if self.witness.is_some_and(|owed| self.is_owed(owed)) {
            return false;
        }
        let owed = self.owed().next();
        self.witness = owed;
        owed.is_none()
    }

    /// What is still owed, a sentence each; of missing connections also who misses whom in which meeting.
    pub(super) fn pending(&self) -> impl Iterator<Item = (String, Option<(usize, usize, u8)>)> {
        self.owed().map(|owed| match owed {
            Owed::Connection { who, to, meeting } => (self.explain(owed), Some((who, to, meeting))),
            _ => (self.explain(owed), None),
        })
    }

    /// The device of a member.
    pub(super) fn device(&self, who: usize) -> DeviceId {
        self.people[who].device
    }

    fn owed(&self) -> impl Iterator<Item = Owed> {
        let count = self.people.len();
        let pairs = (0..count).flat_map(move |who| (0..count).map(move |to| (who, to)));
        let connections = pairs.flat_map(|(who, to)| {
            let joined = self.people[who].joined.iter();
            joined.flat_map(move |&meeting| {
                [Owed::Connection { who, to, meeting }, Owed::Farewell { who, to, meeting }]
            })
        });
        let messages = (0..self.said.len()).flat_map(move |said| {
            (0..count).flat_map(move |to| [Owed::Delivery { said, to }, Owed::Acknowledgement { said, to }])
        });
        connections.chain(messages).filter(|&owed| self.is_owed(owed))
    }

    fn is_owed(&self, owed: Owed) -> bool {
        match owed {
            Owed::Connection { who, to, meeting } => {
                let (one, other) = (&self.people[who], &self.people[to]);
                let both = one.joined.contains(&meeting) && other.joined.contains(&meeting);
                both && self.can_meet(who, to) && one.connected.get(&(meeting, to)) != Some(&other.run)
            }
            Owed::Farewell { who, to, meeting } => {
                let connected = self.people[who].connected.contains_key(&(meeting, to));
                connected && self.can_meet(who, to) && !self.people[to].joined.contains(&meeting)
            }
            Owed::Delivery { said, to } => {
                let said = &self.said[said];
                self.is_for(said, to) && said.received.get(&to) != Some(&self.people[to].run)
            }
            Owed::Acknowledgement { said, to } => {
                let said = &self.said[said];
                self.is_for(said, to) && !said.acknowledged.contains_key(&to)
            }
        }
    }

    /// Whether a message must reach somebody: its author had met them, still is there, in the run that said it, and they
    /// are in the meeting and can be reached.
    fn is_for(&self, said: &Said, to: usize) -> bool {
        let (author, person) = (&self.people[said.author], &self.people[to]);
        let is_here = author.run == said.run && author.joined.contains(&said.meeting);
        let is_member = person.joined.contains(&said.meeting);
        is_here && is_member && said.audience.contains(&to) && self.can_meet(said.author, to)
    }

    fn explain(&self, owed: Owed) -> String {
        match owed {
            Owed::Connection { who, to, meeting } => {
                let verdict = self.verdicts[who][to];
                format!("{who} is not connected to {to} in meeting {meeting} ({verdict})")
            }
            Owed::Farewell { who, to, meeting } => {
                format!("{who} does not know that {to} has left meeting {meeting}")
            }
            Owed::Delivery { said, to } => format!("{to} has not heard {:?}", self.said[said].text),
            Owed::Acknowledgement { said, to } => {
                format!("{:?} is not acknowledged by {to}", self.said[said].text)
            }
        }
    }

    /// Whether somebody's node runs and is awake.
    pub(super) fn is_here(&self, who: usize) -> bool {
        self.people[who].up && !self.people[who].asleep
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
        self.met.clear();
        self.last_heard.clear();
        self.numbered.clear();
    }
}

/// Something that may be owed: a connection, the end of one, a delivery, an acknowledgement.
#[derive(Clone, Copy, Debug)]
enum Owed {
    Connection { who: usize, to: usize, meeting: u8 },
    Farewell { who: usize, to: usize, meeting: u8 },
    Delivery { said: usize, to: usize },
    Acknowledgement { said: usize, to: usize },
}

/// `12.345678s member 1: …`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.at, self.what)
    }
}

#[cfg(test)]
mod tests;
