//! Words to a scenario.

use std::str::FromStr;
use std::time::Duration;

use super::around::{place, stack, world};
use super::boxes::boxes;
use super::links::link;
use super::read::{Flaw, Read, Word, Words, Written, statements};
use crate::engine::Clock;
use crate::net::{Gateway, Law, LinkRules, Stack};
use crate::scenario::Property;
use crate::scenario::script::{Act, Disk, Goal, Home, Infrastructure, Place, Scenario, Site, Step, Who};

/// What no scenario has more of.
pub(super) mod most {
    /// Members.
    pub(in super::super) const MEMBERS: u64 = 1_000;
    /// Nodes of the DHT.
    pub(in super::super) const DHT: u64 = 100_000;
    /// STUN servers.
    pub(in super::super) const STUN: usize = 64;
    /// Addresses that a forger names.
    pub(in super::super) const VICTIMS: u64 = 10_000;
    /// Hostile nodes of a kind.
    pub(in super::super) const HOSTILE: u64 = 10_000;
    pub(in super::super) const PLACED: u64 = 64;
    pub(in super::super) const FLOOD: u64 = 100_000;
    pub(in super::super) const INSIDERS: usize = 16;
    /// Networks that members share.
    pub(super) const SITES: usize = 1_000;
    /// Boxes between a member and the internet.
    pub(in super::super) const BOXES: usize = 8;
    /// Meetings: their numbers are below it.
    pub(in super::super) const MEETINGS: u64 = 16;
}

impl Scenario {
    /// Reads a scenario from text: [`Scenario::to_text`], or the one line it prints as, or what a person wrote.
    ///
    /// # Errors
    ///
    /// The first place where the text is no scenario.
    pub fn parse(text: &str) -> Result<Written, Flaw> {
        let mut draft = Draft::default();
        for mut statement in statements(text) {
            draft.statement(&mut statement)?;
            statement.end()?;
        }
        draft.finish()
    }
}

impl FromStr for Scenario {
    type Err = Flaw;

    fn from_str(text: &str) -> Result<Self, Flaw> {
        Self::parse(text).map(|written| written.scenario)
    }
}

/// A scenario so far, with the places to complain about once all is known.
#[derive(Default)]
struct Draft<'a> {
    name: String,
    note: String,
    seed: Option<u64>,
    fails: Option<Property>,
    infrastructure: Option<Infrastructure>,
    /// With how many boxes are between each and the internet.
    sites: Vec<(Site, usize)>,
    homes: Vec<Home>,
    steps: Vec<Step>,
    goals: Vec<(Word<'a>, Goal)>,
    /// Where a member, a DHT node or a STUN server is named by number.
    named: Vec<(Word<'a>, Named)>,
    /// The first `join`, while nobody was started.
    joined_too_soon: Option<Word<'a>>,
}

#[derive(Clone, Copy)]
enum Named {
    Member(u16),
    /// Needs two members.
    OfPair,
    Dht(u16),
    Stun(u16),
    Site(u16),
}

impl<'a> Draft<'a> {
    fn statement(&mut self, words: &mut Words<'a>) -> Read<()> {
        let word = words.next("a statement")?;
        match word.text {
            "scenario" => self.name = words.next("a name")?.text.into(),
            "note" => self.note = words.rest(),
            "seed" => self.seed = Some(words.next("a seed")?.seed()?),
            "fails" => {
                let word = words.next("the id of a property, such as L1-connect")?;
                let ids = || Property::ALL.map(Property::id).join(", ");
                self.fails =
                    Some(Property::of(word.text).ok_or_else(|| word.not(&format!("one of {}", ids())))?);
            }
            "world" if self.infrastructure.is_none() => self.infrastructure = Some(world(words)?),
            "world" => return Err(word.flaw("there is a `world` already")),
            "network" => self.network(word, words)?,
            "member" => self.members(word, words, 1)?,
            "members" => {
                let count =
                    words.next("a number of members")?.number(most::MEMBERS, "a number of members")?;
                self.members(word, words, count as usize)?;
            }
            "goal" => self.goals.push((word, goal(words)?)),
            _ => {
                words.put_back(word);
                let step = self.step(words)?;
                self.steps.push(step);
            }
        }
        Ok(())
    }

    fn members(&mut self, word: Word<'a>, words: &mut Words<'a>, count: usize) -> Read<()> {
        let before = words.next("`open` or what stands before the member, such as eim+apdf")?;
        let boxes = boxes(before)?;
        let (place, outside) = self.attached(words)?;
        let stack = stack(words).unwrap_or_default();
        let link = if words.take("link") { link(words)? } else { LinkRules::both(usual()) };
        in_all(before, boxes.len() + outside)?;
        if !has_address(&boxes, self.gateways(place), stack) {
            let wants = match stack {
                Stack::V4 => "IPv4",
                Stack::V6 => "IPv6",
                Stack::Dual => "an address",
            };
            return Err(before.flaw(format!("the member wants {wants}, and what stands before it has none")));
        }
        if self.homes.len() + count > most::MEMBERS as usize {
            return Err(word.flaw(format!("there are more than {} members", most::MEMBERS)));
        }
        self.homes.extend(std::iter::repeat_n(Home { boxes, link, stack, place }, count));
        Ok(())
    }

    fn network(&mut self, word: Word<'a>, words: &mut Words<'a>) -> Read<()> {
        let edge = words.next("what stands at the edge of the network, such as eim+apdf")?;
        let boxes = boxes(edge)?;
        if boxes.is_empty() {
            return Err(edge.flaw("a network has a box at its edge; without one it is the internet"));
        }
        let (place, outside) = self.attached(words)?;
        in_all(edge, boxes.len() + outside)?;
        let multicast = !words.take("no-multicast");
        let link = if words.take("link") { link(words)? } else { LinkRules::default() };
        if self.sites.len() == most::SITES {
            return Err(word.flaw(format!("there are more than {} networks", most::SITES)));
        }
        let all = boxes.len() + outside;
        self.sites.push((Site { boxes, link, place, multicast }, all));
        Ok(())
    }

    /// `in 3`: what a member or a network is attached to, and how many boxes are between that and the internet.
    fn attached(&self, words: &mut Words<'a>) -> Read<(Place, usize)> {
        if !words.take("in") {
            return Ok((Place::Internet, 0));
        }
        let word = words.next("the number of a network")?;
        let number = word.number(u64::from(u16::MAX), "the number of a network")? as u16;
        match self.sites.get(usize::from(number)) {
            Some((_, boxes)) => Ok((Place::Site(number), *boxes)),
            None => Err(word.flaw(match self.sites.len() {
                0 => "no network stands above".into(),
                1 => format!("no network {number} stands above: the only one is number 0"),
                count => format!("no network {number} stands above: they are 0 to {}", count - 1),
            })),
        }
    }

    /// The boxes between a place and the internet, innermost first.
    fn gateways(&self, mut place: Place) -> Vec<Gateway> {
        let mut all = Vec::new();
        while let Place::Site(number) = place
            && let Some((site, _)) = self.sites.get(usize::from(number))
        {
            all.extend(&site.boxes);
            place = site.place;
        }
        all
    }

    fn step(&mut self, words: &mut Words<'a>) -> Read<Step> {
        let mut after = Duration::ZERO;
        if let Some(word) = words.peek().filter(|word| word.text.starts_with('+')) {
            let _ = words.next("")?;
            let time = Word { text: &word.text[1..], column: word.column + 1, ..word };
            after = time.duration()?;
        }
        let mut fault = None;
        if let Some(word) = words.peek()
            && let Some(digits) = word.text.strip_prefix("fault")
        {
            let _ = words.next("")?;
            let number = Word { text: digits, column: word.column + 5, ..word };
            fault = Some(number.number(u64::from(u16::MAX), "the number of a fault")? as u16);
        }
        Ok(Step { after, fault, act: self.act(words)? })
    }

    fn act(&mut self, words: &mut Words<'a>) -> Read<Act> {
        const EXPECTED: &str = "a statement (scenario, note, seed, fails, world, member, members, network, goal) or an act \
                                (start, join, say, leave, crash, suspend, resume, sever, mute, rejoin, heal, reboot, renumber, \
                                move, unplug, clock, disk, twin, relink, restore, dht-down, dht-up, stun-down, stun-up, settle)";
        let word = words.next("an act")?;
        Ok(match word.text {
            "start" => {
                let who = self.who(words)?;
                if words.take("saved") { Act::StartSaved(who) } else { Act::Start(who) }
            }
            "join" => {
                let is_started = |step: &Step| matches!(step.act, Act::Start(_) | Act::StartSaved(_));
                if !self.steps.iter().any(is_started) {
                    self.joined_too_soon.get_or_insert(word);
                }
                Act::Join(self.who(words)?, meeting(words)?)
            }
            "say" => Act::Say(self.who(words)?, meeting(words)?),
            "leave" => Act::Leave(self.who(words)?, meeting(words)?),
            "crash" => Act::Crash(self.who(words)?),
            "suspend" => Act::Suspend(self.who(words)?),
            "resume" => Act::Resume(self.who(words)?),
            "sever" => {
                let one = self.who(words)?;
                words.keyword("from")?;
                Act::Sever(one, self.who(words)?)
            }
            "mute" => {
                let one = self.who(words)?;
                words.keyword("towards")?;
                Act::Mute(one, self.who(words)?)
            }
            "rejoin" => {
                let one = self.who(words)?;
                words.keyword("with")?;
                Act::Rejoin(one, self.who(words)?)
            }
            "heal" => Act::Heal,
            "reboot" => Act::Reboot(self.who(words)?),
            "renumber" => Act::Renumber(self.who(words)?),
            "unplug" => Act::Unplug(self.who(words)?),
            "move" => {
                let who = self.who(words)?;
                if words.take("home") {
                    return Ok(Act::GoHome(who));
                }
                words.keyword("to")?;
                let (place, word) = place(words)?;
                if let Place::Site(number) = place {
                    self.named.push((word, Named::Site(number)));
                }
                Act::Move(who, place)
            }
            "clock" => Act::SetClock(self.who(words)?, clock(words)?),
            "disk" => {
                let who = self.who(words)?;
                let word = words.next("what becomes of the disk")?;
                let all = [
                    ("fails", Disk::Fails),
                    ("works", Disk::Works),
                    ("loses", Disk::Loses),
                    ("damages", Disk::Damages),
                ];
                let found = all.into_iter().find(|(name, _)| *name == word.text).map(|(_, it)| it);
                Act::Harm(who, found.ok_or_else(|| word.not("`fails`, `works`, `loses` or `damages`"))?)
            }
            "twin" => Act::Twin(self.who(words)?),
            "relink" => Act::Relink(self.who(words)?, link(words)?),
            "restore" => Act::Restore(self.who(words)?),
            "dht-down" => Act::DhtDown(self.server(words, "a DHT node's number", Named::Dht)?),
            "dht-up" => Act::DhtUp(self.server(words, "a DHT node's number", Named::Dht)?),
            "stun-down" => Act::StunDown(self.server(words, "a STUN server's number", Named::Stun)?),
            "stun-up" => Act::StunUp(self.server(words, "a STUN server's number", Named::Stun)?),
            "settle" => Act::Settle(words.next("a length of time")?.duration()?),
            _ => return Err(word.not(EXPECTED)),
        })
    }

    fn who(&mut self, words: &mut Words<'a>) -> Read<Who> {
        let word = words.next("a member's number, or all")?;
        let (who, named) = match word.text {
            "all" => return Ok(Who::All),
            "smaller" => (Who::Smaller, Named::OfPair),
            "larger" => (Who::Larger, Named::OfPair),
            _ => {
                let number = word
                    .number(u64::from(u16::MAX), "a member's number, `all`, `smaller` or `larger`")?
                    as u16;
                (Who::One(number), Named::Member(number))
            }
        };
        self.named.push((word, named));
        Ok(who)
    }

    fn server(&mut self, words: &mut Words<'a>, what: &str, named: fn(u16) -> Named) -> Read<u16> {
        let word = words.next(what)?;
        let number = word.number(u64::from(u16::MAX), what)? as u16;
        self.named.push((word, named(number)));
        Ok(number)
    }

    /// What can be said only once all is read.
    fn finish(self) -> Result<Written, Flaw> {
        let Self { name, note, seed, fails, infrastructure, sites, homes, steps, goals, .. } = self;
        let infrastructure = infrastructure.unwrap_or_else(Infrastructure::usual);
        if homes.is_empty() {
            let what = "there are no members: a world without anyone cannot be run".into();
            return Err(Flaw { line: 1, column: 1, what });
        }
        for (word, named) in self.named {
            let (count, what, number) = match named {
                Named::Member(number) => (homes.len(), "member", number),
                Named::OfPair if homes.len() < 2 => {
                    return Err(word.flaw(format!("`{}` needs two members, and there is one", word.text)));
                }
                Named::OfPair => continue,
                Named::Dht(number) => (infrastructure.dht_nodes as usize, "DHT node", number),
                Named::Site(number) => (sites.len(), "network", number),
                Named::Stun(number) => (infrastructure.stun.len(), "STUN server", number),
            };
            if usize::from(number) >= count {
                let what = match count {
                    0 => format!("there is no {what}"),
                    1 => format!("there is no {what} {number}: the only one is number 0"),
                    _ => format!("there is no {what} {number}: they are 0 to {}", count - 1),
                };
                return Err(word.flaw(what));
            }
        }
        if let Some(word) = self.joined_too_soon {
            return Err(word.flaw("nobody was started: write `start all` before"));
        }
        let needs_two = |goal: &Goal| matches!(goal, Goal::FirstData { .. });
        if let Some((word, _)) = goals.iter().find(|(_, goal)| needs_two(goal) && homes.len() < 2) {
            return Err(word.flaw("this goal needs two members, and there is one"));
        }
        let goals = goals.into_iter().map(|(_, goal)| goal).collect();
        let sites = sites.into_iter().map(|(site, _)| site).collect();
        let scenario = Scenario { name, note, sites, homes, infrastructure, steps, goals };
        Ok(Written { scenario, seed, fails })
    }
}

/// The link of a home if nothing is said of it.
fn usual() -> Law {
    Law { jitter: Duration::from_millis(4), ..Law::delay(12) }
}

/// That not too many boxes are between something and the internet.
fn in_all(word: Word<'_>, boxes: usize) -> Read<()> {
    let flaw = || word.flaw(format!("there are more than {} boxes from here to the internet", most::BOXES));
    if boxes > most::BOXES { Err(flaw()) } else { Ok(()) }
}

/// Whether somebody behind these boxes has an address of a family that it wants.
fn has_address(own: &[Gateway], outside: Vec<Gateway>, stack: Stack) -> bool {
    let all = || own.iter().chain(&outside);
    let v4 = all().next().is_none_or(|innermost| !innermost.nat64);
    let v6 = all().all(|gateway| gateway.v6.is_some());
    stack.has_v4() && v4 || stack.has_v6() && v6
}

fn clock(words: &mut Words<'_>) -> Read<Clock> {
    const EXPECTED: &str = "`right`, or by how much it is wrong, such as +1h, -3s or drift";
    if words.take("right") {
        return Ok(Clock::default());
    }
    let mut clock = Clock::default();
    let word = words.next(EXPECTED)?;
    if word.text == "drift" {
        words.put_back(word);
    } else {
        let (is_ahead, time) = signed(word, EXPECTED)?;
        let by = time.duration()?.as_millis() as i64;
        clock.ahead_ms = if is_ahead { by } else { -by };
    }
    if words.take("drift") {
        let expected = "how much it drifts, such as +500ppm";
        let word = words.next(expected)?;
        let (is_ahead, rest) = signed(word, expected)?;
        let digits = rest.text.strip_suffix("ppm").ok_or_else(|| word.not(expected))?;
        let by = Word { text: digits, ..rest }.number(100_000, "a drift in millionths")? as i32;
        clock.drift_ppm = if is_ahead { by } else { -by };
    }
    Ok(clock)
}

/// What stands after a sign, and whether that is a plus.
fn signed<'a>(word: Word<'a>, expected: &str) -> Read<(bool, Word<'a>)> {
    let rest = |text| Word { text, column: word.column + 1, ..word };
    match (word.text.strip_prefix('+'), word.text.strip_prefix('-')) {
        (Some(text), _) => Ok((true, rest(text))),
        (None, Some(text)) => Ok((false, rest(text))),
        (None, None) => Err(word.not(expected)),
    }
}

fn meeting(words: &mut Words<'_>) -> Read<u8> {
    if !words.take("meeting") {
        return Ok(0);
    }
    Ok(words.next("a meeting's number")?.number(most::MEETINGS - 1, "a meeting's number")? as u8)
}

fn goal(words: &mut Words<'_>) -> Read<Goal> {
    let word = words.next("a goal")?;
    Ok(match word.text {
        "handshakes" => Goal::Handshakes(words.next("a number")?.number(u64::MAX, "a number")?),
        "victims" => {
            words.keyword("each")?;
            let each = words.next("a number of packets")?.number(u64::MAX, "a number of packets")?;
            words.keyword("total")?;
            Goal::Victims {
                each,
                total: words.next("a number of packets")?.number(u64::MAX, "a number of packets")?,
            }
        }
        "stun-warning" => Goal::StunWarning,
        "besieged" => Goal::Besieged(words.next("a number")?.number(u64::MAX, "a number")?),
        "deeds" => Goal::Deeds(words.next("a number")?.number(u64::MAX, "a number")?),
        "first-data" => {
            words.keyword("to-server")?;
            let to_server = words.next("a length of time")?.duration()?;
            words.keyword("to-client")?;
            Goal::FirstData { to_server, to_client: words.next("a length of time")?.duration()? }
        }
        _ => return Err(word.not("a goal: handshakes, victims, stun-warning, besieged, deeds or first-data")),
    })
}
