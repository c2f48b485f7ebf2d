use std::fmt;

use folkmoot_core::base::Time;

use crate::engine::{HostId, Kind};
use crate::net::DropReason;

/// A program, or the world itself, broke its contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When.
    pub at: Time,
    /// Which host's program; `None` is the world.
    pub host: Option<HostId>,
    /// What it did.
    pub what: String,
}

/// Packets so far. At any time `sent + duplicated = delivered + dropped + in flight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sent by hosts.
    pub sent: u64,
    /// Made twice by links.
    pub duplicated: u64,
    /// Delivered to hosts.
    pub delivered: u64,
    /// Dropped, by [`DropReason::ALL`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Events handled: packets at hops, and wakes.
    pub events: u64,
}

/// Traffic of one host so far, in datagrams and bytes of payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostCounts {
    /// Datagrams sent, by [`Kind::ALL`].
    pub sent: [u64; Kind::ALL.len()],
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Datagrams received.
    pub received: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Calls of [`Host::on_wake`](crate::Host::on_wake).
    pub wakes: u64,
}

impl Counts {
    /// How many packets were dropped for `reason`.
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }
}

impl HostCounts {
    /// Datagrams sent, of all kinds.
    pub fn sent_all(&self) -> u64 {
        self.sent.iter().sum()
    }
}

/// `12.345678s h3: …`.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Some(host) => write!(f, "{} {host}: {}", self.at, self.what),
            None => write!(f, "{}: {}", self.at, self.what),
        }
    }
}
