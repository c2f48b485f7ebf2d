use std::fmt;

use super::Event;
use super::machine::Dht;
use super::table::K;
use crate::base::Scope;

/// How well a node is part of the network, and why not better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// In one word.
    pub level: Level,
    /// Why it is not [`Level::Online`].
    pub reasons: Reasons,
}

/// [`Health`] in one word; the better is the greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing can be found.
    #[default]
    Offline,
    /// It works, and not as well as it should.
    Degraded,
    /// Everything is as it should be.
    Online,
}

/// Why a node is not [`Level::Online`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// Offline: it has no socket.
    NoSocket,
    /// Offline: it knows no node, not even from an earlier run, and no address to enter by.
    NoEntry,
    /// Offline: it knows addresses to enter by, and nobody has answered yet.
    Entering,
    /// Offline: it knew nodes, and of its last questions none was answered.
    Silence,
    /// Degraded: it knows fewer nodes than are named in one answer.
    FewNodes,
    /// Degraded: three out of four of its last questions remained without an answer.
    Losses,
    /// Degraded: those who answered see it at different addresses, of which none has a majority. A NAT that gives every
    /// destination another port looks like this.
    AddressDisputed,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NoSocket,
        Self::NoEntry,
        Self::Entering,
        Self::Silence,
        Self::FewNodes,
        Self::Losses,
        Self::AddressDisputed,
    ];

    /// How well a node can be for which it holds.
    pub fn level(self) -> Level {
        match self {
            Self::NoSocket | Self::NoEntry | Self::Entering | Self::Silence => Level::Offline,
            Self::FewNodes | Self::Losses | Self::AddressDisputed => Level::Degraded,
        }
    }

    /// A name for machines to read.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoSocket => "no-socket",
            Self::NoEntry => "no-entry",
            Self::Entering => "entering",
            Self::Silence => "silence",
            Self::FewNodes => "few-nodes",
            Self::Losses => "losses",
            Self::AddressDisputed => "address-disputed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSocket => "no socket is open",
            Self::NoEntry => "no node is known, and no address to enter the network by",
            Self::Entering => "nobody of those asked to enter the network has answered yet",
            Self::Silence => "none of the last questions was answered",
            Self::FewNodes => "fewer than 8 nodes are known",
            Self::Losses => "three out of four questions remain without an answer",
            Self::AddressDisputed => "others see this node at ever different addresses",
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offline => "offline",
            Self::Degraded => "degraded",
            Self::Online => "online",
        })
    }
}

impl fmt::Display for Health {
    /// As a sentence without a full stop: `degraded: fewer than 8 nodes are known`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.level.fmt(f)?;
        for (n, reason) in self.reasons.iter().enumerate() {
            write!(f, "{} {reason}", if n == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

/// A set of [`Reason`]s.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Reasons(u8);

impl Reasons {
    /// Whether `reason` is one of them.
    pub fn contains(self, reason: Reason) -> bool {
        self.0 & 1 << reason as u8 != 0
    }

    /// Each of them, the gravest first.
    pub fn iter(self) -> impl Iterator<Item = Reason> {
        Reason::ALL.into_iter().filter(move |reason| self.contains(*reason))
    }
}

impl fmt::Debug for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Health {
    fn of(reasons: impl IntoIterator<Item = Reason>) -> Self {
        reasons.into_iter().fold(Self { level: Level::Online, reasons: Reasons(0) }, |health, reason| Self {
            level: health.level.min(reason.level()),
            reasons: Reasons(health.reasons.0 | 1 << reason as u8),
        })
    }
}

/// What became of the last questions: answered or not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcomes {
    /// A bit for each, the last one lowest.
    answered: u32,
    known: u32,
}

impl Outcomes {
    /// How many say something.
    const ENOUGH: u32 = 16;

    pub(super) fn add(&mut self, answered: bool) {
        self.answered = self.answered << 1 | u32::from(answered);
        self.known = (self.known + 1).min(u32::BITS);
    }

    fn is_silence(self) -> bool {
        self.known >= Self::ENOUGH && self.answered & 0xffff == 0
    }

    fn is_lossy(self) -> bool {
        self.known >= Self::ENOUGH && self.answered.count_ones() * 4 < self.known
    }
}

impl Dht {
    /// How well this node is part of the network. A change of it is an [`Event::Health`].
    pub fn health(&self) -> Health {
        let nodes = self.nodes().take(K).count();
        // A private network may be as small as it likes.
        let is_local = || self.nodes().all(|node| Scope::of(node.addr.ip()).is_local());
        let is_disputed = [true, false].into_iter().any(|ipv4| self.overlay(ipv4).votes.is_disputed());
        let nobody = nodes == 0;
        Health::of(
            [
                (self.sockets.is_empty(), Reason::NoSocket),
                (self.is_cut_off(), Reason::NoEntry),
                (nobody && !self.is_cut_off(), Reason::Entering),
                (!nobody && self.outcomes.is_silence(), Reason::Silence),
                (!nobody && nodes < K && !is_local(), Reason::FewNodes),
                (!nobody && self.outcomes.is_lossy() && !self.outcomes.is_silence(), Reason::Losses),
                (is_disputed, Reason::AddressDisputed),
            ]
            .into_iter()
            .filter_map(|(holds, reason)| holds.then_some(reason)),
        )
    }

    /// Tells of our health if it has changed.
    pub(super) fn examine(&mut self) {
        let health = self.health();
        if health != self.health {
            self.health = health;
            self.tell(Event::Health(health));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_reason_decides() {
        assert_eq!(Health::of([]).to_string(), "online");
        let few = Health::of([Reason::FewNodes, Reason::Losses]);
        assert_eq!(few.level, Level::Degraded);
        assert_eq!(
            few.to_string(),
            "degraded: fewer than 8 nodes are known; three out of four questions remain without an answer"
        );
        let none = Health::of([Reason::AddressDisputed, Reason::Silence]);
        assert_eq!(none.level, Level::Offline);
        assert!(none.reasons.iter().eq([Reason::Silence, Reason::AddressDisputed]));
        let names: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
    }

    #[test]
    fn one_answer_ends_silence_and_a_quarter_ends_losses() {
        let mut outcomes = Outcomes::default();
        (0..15).for_each(|_| outcomes.add(false));
        assert!(!outcomes.is_silence() && !outcomes.is_lossy(), "too few to tell");
        outcomes.add(false);
        assert!(outcomes.is_silence() && outcomes.is_lossy());
        outcomes.add(true);
        assert!(!outcomes.is_silence() && outcomes.is_lossy());
        (0..32).for_each(|n| outcomes.add(n % 4 == 0));
        assert!(!outcomes.is_lossy());
    }
}
