//! What is still owed: what has to come true once nothing more happens, by whom and to whom.

use std::collections::BTreeMap;

use folkmoot_core::base::Time;

use super::{Checker, Said};
use crate::net::Why;
use crate::scenario::company::ways;
use crate::scenario::property::Property;

/// Something that may be owed: a connection, the end of one to who left or who died, a word of trouble to who is alone
/// for good, a delivery, an acknowledgement.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owed {
    Connection { who: usize, to: usize, meeting: u8 },
    Farewell { who: usize, to: usize, meeting: u8 },
    Burial { who: usize, to: usize, meeting: u8 },
    Word { who: usize, meeting: u8 },
    Delivery { said: usize, to: usize },
    Passage { said: usize, to: usize },
    Acknowledgement { said: usize, to: usize },
}

impl Checker {
    /// Whether everything that can be is done.
    pub(in crate::scenario) fn is_settled(&mut self) -> bool {
        // What was owed last time usually still is: cheaper to ask than to look everything through.
        if self.witness.is_some_and(|owed| self.is_owed(owed)) {
            return false;
        }
        let owed = self.owed().next();
        self.witness = owed;
        owed.is_none()
    }

    /// Looks anew at who owes what to whom, after something was done to them.
    pub(in crate::scenario) fn look_around(&mut self, now: Time) {
        let count = self.people.len();
        for who in 0..count {
            let mut ways_in = BTreeMap::new();
            for to in (0..count).filter(|to| *to != who) {
                for meeting in self.people[who].ever_joined.clone() {
                    let pair = (who, to, meeting);
                    let both = [who, to].iter().all(|it| self.people[*it].joined.contains(&meeting));
                    let able = both && self.can_meet(who, to);
                    let joined = both && !able && {
                        let ways = ways_in.entry(meeting).or_insert_with(|| self.ways_in(meeting, who));
                        ways[to].is_some()
                    };
                    self.waits.able(now, pair, able);
                    self.waits.joined(now, pair, joined);
                    let owed = self.is_owed(Owed::Connection { who, to, meeting });
                    self.waits.connection(now, pair, owed);
                    let ends = [
                        (Owed::Farewell { who, to, meeting }, Property::Gone),
                        (Owed::Burial { who, to, meeting }, Property::Dead),
                    ];
                    let end = ends.into_iter().find(|(owed, _)| self.is_owed(*owed)).map(|(_, it)| it);
                    self.waits.end(now, pair, end);
                }
            }
            for meeting in self.people[who].ever_joined.clone() {
                let person = &self.people[who];
                let is_alone = person.joined.contains(&meeting)
                    && !person.connected.keys().any(|(of, _)| *of == meeting);
                let is_member = |to: &usize| self.people[*to].joined.contains(&meeting);
                let owed = is_alone && (0..count).filter(is_member).any(|to| self.can_meet(who, to));
                self.waits.find(now, who, meeting, owed);
                self.waits.word(now, who, meeting, self.is_owed(Owed::Word { who, meeting }));
            }
        }
    }

    /// By which rule the first thing that is owed is owed.
    pub(in crate::scenario) fn owed_by(&self) -> Option<Property> {
        Some(match self.owed().next()? {
            Owed::Connection { who, to, meeting } => {
                self.waits.property((who, to, meeting), (self.people[who].run, self.people[to].run))
            }
            Owed::Farewell { .. } => Property::Gone,
            Owed::Burial { .. } => Property::Dead,
            Owed::Delivery { .. } => Property::Hear,
            Owed::Passage { .. } => Property::Passage,
            Owed::Acknowledgement { .. } => Property::Acknowledge,
            Owed::Word { .. } => Property::Told,
        })
    }

    /// What is still owed, a sentence each; of missing connections also who misses whom in which meeting.
    pub(in crate::scenario) fn pending(&self) -> impl Iterator<Item = (String, Option<(usize, usize, u8)>)> {
        self.owed().map(|owed| match owed {
            Owed::Connection { who, to, meeting } => (self.explain(owed), Some((who, to, meeting))),
            _ => (self.explain(owed), None),
        })
    }

    fn owed(&self) -> impl Iterator<Item = Owed> {
        let count = self.people.len();
        let pairs = (0..count).flat_map(move |who| (0..count).map(move |to| (who, to)));
        let connections = pairs.flat_map(|(who, to)| {
            let joined = self.people[who].joined.iter();
            joined.flat_map(move |&meeting| {
                [
                    Owed::Connection { who, to, meeting },
                    Owed::Farewell { who, to, meeting },
                    Owed::Burial { who, to, meeting },
                ]
            })
        });
        let words = (0..count).flat_map(move |who| {
            self.people[who].joined.iter().map(move |&meeting| Owed::Word { who, meeting })
        });
        let messages = (0..self.said.len()).flat_map(move |said| {
            (0..count).flat_map(move |to| {
                [Owed::Delivery { said, to }, Owed::Passage { said, to }, Owed::Acknowledgement { said, to }]
            })
        });
        connections.chain(messages).chain(words).filter(|&owed| self.is_owed(owed))
    }

    pub(super) fn is_owed(&self, owed: Owed) -> bool {
        match owed {
            Owed::Connection { who, to, meeting } => {
                let (one, other) = (&self.people[who], &self.people[to]);
                let both = one.joined.contains(&meeting) && other.joined.contains(&meeting);
                let can_meet = both && self.can_meet(who, to) && self.is_introduced(who, to, meeting);
                can_meet && one.connected.get(&(meeting, to)) != Some(&other.run)
            }
            Owed::Farewell { who, to, meeting } => {
                let connected = self.people[who].connected.contains_key(&(meeting, to));
                connected && self.can_meet(who, to) && !self.people[to].joined.contains(&meeting)
            }
            Owed::Burial { who, to, meeting } => {
                let connected = self.people[who].connected.contains_key(&(meeting, to));
                connected && self.is_here(who) && !self.people[to].up
            }
            Owed::Word { who, meeting } => {
                let others = || (0..self.people.len()).filter(|to| *to != who);
                let were_here = |to: &usize| self.people[*to].ever_joined.contains(&meeting);
                let can_be_met = |to: usize| self.verdicts[who][to].direct;
                let person = &self.people[who];
                let has_company = person.connected.keys().any(|(of, _)| *of == meeting);
                let is_alone = self.is_in(who, meeting) && !person.told && !has_company;
                // Whom it could meet may come back any time, and then all was well.
                is_alone
                    && others().any(|to| self.is_in(to, meeting))
                    && !others().filter(were_here).any(can_be_met)
            }
            Owed::Delivery { said, to } => {
                let said = &self.said[said];
                self.is_for(said, to) && said.received.get(&to) != Some(&self.people[to].run)
            }
            Owed::Passage { said, to } => {
                let said = &self.said[said];
                self.is_beyond(said, to) && said.received.get(&to) != Some(&self.people[to].run)
            }
            Owed::Acknowledgement { said, to } => {
                let said = &self.said[said];
                self.is_for(said, to) && !said.acknowledged.contains_key(&to)
            }
        }
    }

    /// Whether somebody can learn where another one is: of [neighbours](Why::Neighbours) the DHT knows an address that leads nowhere from
    /// inside, so that it takes members between them, none of whom is met only so.
    fn is_introduced(&self, who: usize, to: usize, meeting: u8) -> bool {
        let near = |a: usize, b: usize| self.verdicts[a][b].why == Why::Neighbours;
        let tells = |a, b| self.is_in(b, meeting) && self.can_meet(a, b) && !near(a, b);
        !near(who, to) || ways(who, self.people.len(), tells)[to].is_some()
    }

    /// Whether a message must reach somebody: its author had met them, still is there, in the run that said it, and they
    /// are in the meeting and can be reached.
    fn is_for(&self, said: &Said, to: usize) -> bool {
        let (author, person) = (&self.people[said.author], &self.people[to]);
        let is_here = author.run == said.run && author.joined.contains(&said.meeting);
        let is_member = person.joined.contains(&said.meeting);
        is_here && is_member && said.audience.contains(&to) && self.can_meet(said.author, to)
    }

    /// Whether a message must reach somebody through others: as in [`Checker::is_for`], but that its author cannot connect to
    /// them now, or never could and was told of them; and there are members between the two.
    fn is_beyond(&self, said: &Said, to: usize) -> bool {
        let author = &self.people[said.author];
        let is_here = author.run == said.run && self.is_in(said.author, said.meeting);
        let is_expected =
            said.beyond.contains(&to) || said.audience.contains(&to) && !self.can_meet(said.author, to);
        if !is_here || !is_expected || !self.is_in(to, said.meeting) {
            return false;
        }
        self.ways_in(said.meeting, said.author)[to].is_some()
    }

    /// From whom each member of a meeting first hears what somebody says there.
    fn ways_in(&self, meeting: u8, author: usize) -> Vec<Option<usize>> {
        ways(author, self.people.len(), |a, b| self.is_in(b, meeting) && self.can_meet(a, b))
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
            Owed::Burial { who, to, meeting } => {
                format!("{who} does not know that {to} is dead in meeting {meeting}")
            }
            Owed::Word { who, meeting } => {
                format!("{who} can connect to nobody in meeting {meeting}, and is not told of any trouble")
            }
            Owed::Delivery { said, to } => format!("{to} has not heard {:?}", self.said[said].text),
            Owed::Passage { said, to } => {
                format!("{to} has not heard {:?}, which others could pass on", self.said[said].text)
            }
            Owed::Acknowledgement { said, to } => {
                format!("{:?} is not acknowledged by {to}", self.said[said].text)
            }
        }
    }
}
