use std::fmt;
use std::time::Duration;

use crate::net::{Gateway, Law, LinkRules, Stack};

/// What stands in the world, what happens, and what must come of it. Prints as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its name, with the variant after a colon if it has any.
    pub name: String,
    /// Where the members live; their number is that of the members.
    pub homes: Vec<Home>,
    /// What stands around them.
    pub infrastructure: Infrastructure,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// What must be true at the end, beside that nothing is pending and no rule was broken.
    pub goals: Vec<Goal>,
}

/// Where a member lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The boxes between it and the internet, innermost first.
    pub boxes: Vec<Gateway>,
    /// Its link.
    pub link: LinkRules,
    /// The address families it wants; it gets those that the boxes leave it.
    pub stack: Stack,
}

/// What stands around the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Infrastructure {
    /// Nodes of the private DHT.
    pub dht_nodes: u32,
    /// STUN servers.
    pub stun: Vec<Stun>,
    /// How many addresses a hostile DHT node names to everyone; 0 is no such node.
    pub forged_victims: u32,
    /// The link of each of these hosts.
    pub link: LinkRules,
    /// Their address families.
    pub stack: Stack,
}

/// A STUN server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stun {
    /// It answers.
    Honest,
    /// It does not.
    Dead,
}

/// One thing that happens, so long after the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// After the step before.
    pub after: Duration,
    /// What.
    pub act: Act,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nodes start. On a host where one ran before it is a restart: a new incarnation, and nothing remembered.
    Start(Who),
    /// Nodes join a meeting.
    Join(Who, u8),
    /// Nodes say something in a meeting: each one message.
    Say(Who, u8),
    /// Nodes leave a meeting.
    Leave(Who, u8),
    /// Nodes are killed without a word, as by SIGKILL.
    Crash(Who),
    /// Machines fall asleep.
    Suspend(Who),
    /// Machines wake up, and tell their nodes.
    Resume(Who),
    /// Nothing passes between the first and the second any more.
    Sever(Who, Who),
    /// All partitions end.
    Heal,
    /// Goes on as soon as nothing is pending: everyone who can be is connected, everything said has arrived and is
    /// acknowledged. That must be so within this time.
    Settle(Duration),
}

/// Which members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Number so-and-so.
    One(u16),
    /// The one of members 0 and 1 with the smaller device id: it controls ICE and opens DTLS.
    Smaller,
    /// The one of members 0 and 1 with the larger device id.
    Larger,
    /// Everyone.
    All,
}

/// What must be true at the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// So many DTLS handshakes were begun, in all.
    Handshakes(u64),
    /// No victim of a forger got more than so many datagrams, and all of them together no more than that.
    Victims {
        /// The most for one address.
        each: u64,
        /// The most for all.
        total: u64,
    },
    /// Every node said that no STUN server answers.
    StunWarning,
    /// Between a pair: first data from the client to the server came within so long after both held each other's record,
    /// and from the server to the client within the other.
    FirstData {
        /// To the server: the one with the larger device id.
        to_server: Duration,
        /// To the client.
        to_client: Duration,
    },
}

impl Home {
    /// On the internet itself.
    pub fn open(law: Law) -> Self {
        Self { boxes: Vec::new(), link: LinkRules::both(law), stack: Stack::V4 }
    }

    /// Behind boxes, innermost first.
    pub fn behind<B: Into<Gateway>>(boxes: impl IntoIterator<Item = B>, law: Law) -> Self {
        Self { boxes: boxes.into_iter().map(Into::into).collect(), ..Self::open(law) }
    }

    /// The same, with these address families.
    pub fn with_stack(self, stack: Stack) -> Self {
        Self { stack, ..self }
    }
}

impl Who {
    /// The numbers of the members meant, of `count`; `smaller` is the one of 0 and 1 with the smaller device id.
    pub(super) fn members(self, count: usize, smaller: usize) -> std::ops::Range<usize> {
        let one = match self {
            Self::All => return 0..count,
            Self::One(n) => usize::from(n),
            Self::Smaller => smaller,
            Self::Larger => 1 - smaller,
        };
        one.min(count)..(one + 1).min(count)
    }
}

/// A step at once.
pub(super) fn now(act: Act) -> Step {
    Step { after: Duration::ZERO, act }
}

/// A step `millis` milliseconds after the one before.
pub(super) fn after(millis: u64, act: Act) -> Step {
    Step { after: Duration::from_millis(millis), act }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} members=[", self.name)?;
        for (n, group) in self.homes.chunk_by(|a, b| a == b).enumerate() {
            let gap = if n == 0 { "" } else { ", " };
            write!(f, "{gap}{}", group[0])?;
            if group.len() > 1 {
                write!(f, " x{}", group.len())?;
            }
        }
        write!(f, "] {} |", self.infrastructure)?;
        for (n, step) in self.steps.iter().enumerate() {
            write!(f, "{} {step}", if n == 0 { "" } else { ";" })?;
        }
        for goal in &self.goals {
            write!(f, " | {goal}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.boxes.is_empty() {
            write!(f, "open")?;
        }
        for (n, rules) in self.boxes.iter().enumerate() {
            write!(f, "{}{rules}", if n == 0 { "" } else { "/" })?;
        }
        if self.stack != Stack::V4 {
            write!(f, " {}", self.stack)?;
        }
        link(f, &self.link)
    }
}

impl fmt::Display for Infrastructure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dead = self.stun.iter().filter(|stun| **stun == Stun::Dead).count();
        write!(f, "dht={} stun={}", self.dht_nodes, self.stun.len() - dead)?;
        if dead > 0 {
            write!(f, " dead-stun={dead}")?;
        }
        if self.forged_victims > 0 {
            write!(f, " forged-victims={}", self.forged_victims)?;
        }
        if self.stack != Stack::V4 {
            write!(f, " {}", self.stack)?;
        }
        link(f, &self.link)
    }
}

fn link(f: &mut fmt::Formatter<'_>, rules: &LinkRules) -> fmt::Result {
    if rules.up == rules.down {
        write!(f, " ({})", rules.up)
    } else {
        write!(f, " (up {}, down {})", rules.up, rules.down)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.after.is_zero() {
            write!(f, "+{:?} ", self.after)?;
        }
        write!(f, "{}", self.act)
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(who) => write!(f, "start {who}"),
            Self::Join(who, meeting) => write!(f, "join {who} meeting {meeting}"),
            Self::Say(who, meeting) => write!(f, "say {who} meeting {meeting}"),
            Self::Leave(who, meeting) => write!(f, "leave {who} meeting {meeting}"),
            Self::Crash(who) => write!(f, "crash {who}"),
            Self::Suspend(who) => write!(f, "suspend {who}"),
            Self::Resume(who) => write!(f, "resume {who}"),
            Self::Sever(a, b) => write!(f, "sever {a} from {b}"),
            Self::Heal => f.write_str("heal"),
            Self::Settle(within) => write!(f, "settle within {within:?}"),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(n) => write!(f, "{n}"),
            Self::Smaller => f.write_str("smaller"),
            Self::Larger => f.write_str("larger"),
            Self::All => f.write_str("all"),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshakes(n) => write!(f, "exactly {n} handshakes"),
            Self::Victims { each, total } => write!(f, "at most {each} packets a victim, {total} in all"),
            Self::StunWarning => f.write_str("everyone warns that STUN is dead"),
            Self::FirstData { to_server, to_client } => {
                write!(f, "first data within {to_server:?} to the server, {to_client:?} to the client")
            }
        }
    }
}
