use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use folkmoot_core::base::Time;

use super::HostId;
use crate::net::{BoxId, DropReason, Nat};

/// What some hosts send, and what reaches them or a box, with its way through the network, for pictures and captures. It is not
/// part of the run: the same happens with it and without.
#[derive(Clone, Debug)]
pub struct Tape {
    watched: BTreeSet<HostId>,
    flights: BTreeMap<u64, Flight>,
    /// Packets under way, by their handles.
    open: BTreeMap<u32, u64>,
    next: u64,
    limit: usize,
    missed: u64,
    entries: Vec<Entry>,
}

/// A packet and its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flight {
    /// Who sent it.
    pub origin: HostId,
    /// Its payload.
    pub bytes: Vec<u8>,
    /// Where it was, from its sender on.
    pub hops: Vec<Hop>,
    /// What became of it, and when; `None` if it was under way when the run ended.
    pub end: Option<(Time, End)>,
}

/// A packet at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// When.
    pub at: Time,
    /// Where.
    pub place: Place,
    /// Its source, as it left this place or, coming in, as it reached it.
    pub from: SocketAddr,
    /// Its destination.
    pub to: SocketAddr,
}

/// Where a packet can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// At a host.
    Host(HostId),
    /// At a NAT or firewall.
    Box(BoxId),
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A program has it.
    Delivered(HostId),
    /// A box has it: it was for the box itself.
    Taken(BoxId),
    /// It went no further than its last hop, or was lost on the way from there.
    Dropped(DropReason),
}

/// An entry in a NAT's table, from its making to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose table.
    pub at: BoxId,
    /// The endpoint inside.
    pub inside: SocketAddr,
    /// The endpoint outside.
    pub external: SocketAddr,
    /// When it was made.
    pub made: Time,
    /// When it ended or, at the end of the run, would end.
    pub until: Time,
}

/// The most packets on a tape: some hundred megabytes.
const LIMIT: usize = 200_000;

impl Tape {
    /// A tape of what these hosts send and receive.
    pub fn of(watched: impl IntoIterator<Item = HostId>) -> Self {
        Self {
            watched: watched.into_iter().collect(),
            flights: BTreeMap::new(),
            open: BTreeMap::new(),
            next: 0,
            limit: LIMIT,
            missed: 0,
            entries: Vec::new(),
        }
    }

    /// The packets, in the order in which they were sent.
    pub fn flights(&self) -> impl Iterator<Item = &Flight> {
        self.flights.values()
    }

    /// The entries of all NATs that a watched packet passed.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many packets did not fit on it.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    pub(super) fn sent(
        &mut self,
        handle: u32,
        at: Time,
        (origin, place): (HostId, Place),
        way: Way,
        bytes: &[u8],
    ) {
        if self.flights.len() >= self.limit {
            self.missed += 1;
            return;
        }
        let hop = Hop { at, place, from: way.0, to: way.1 };
        let flight = Flight { origin, bytes: bytes.to_vec(), hops: vec![hop], end: None };
        self.add(handle, flight);
    }

    /// A link, or multicast, made a second one of a packet.
    pub(super) fn copied(&mut self, handle: u32, copy: u32) {
        if let Some(flight) = self.flight(handle).cloned() {
            self.add(copy, flight);
        }
    }

    pub(super) fn passed(&mut self, handle: u32, at: Time, place: Place, (from, to): Way) {
        if let Some(flight) = self.flight(handle) {
            flight.hops.push(Hop { at, place, from, to });
        }
    }

    pub(super) fn ended(&mut self, handle: u32, at: Time, end: End) {
        let Some(number) = self.open.remove(&handle) else { return };
        let Some(flight) = self.flights.get_mut(&number) else { return };
        flight.end = Some((at, end));
        let receiver = match end {
            End::Delivered(host) => Some(host),
            End::Taken(_) => None,
            End::Dropped(_) => flight.hops.last().and_then(|hop| match hop.place {
                Place::Host(host) => Some(host),
                Place::Box(_) => None,
            }),
        };
        let is_watched = |host: &HostId| self.watched.contains(host);
        let is_ours = is_watched(&flight.origin)
            || receiver.as_ref().is_some_and(is_watched)
            || matches!(flight.hops.last(), Some(Hop { place: Place::Box(_), .. }));
        if !is_ours {
            self.flights.remove(&number);
        }
    }

    /// Notes what a NAT's table holds now.
    pub(super) fn look(&mut self, now: Time, at: BoxId, nat: &Nat) {
        let held: Vec<_> = nat.entries(now).collect();
        let is_same = |entry: &Entry, held: &(SocketAddr, SocketAddr, Time, Time)| {
            (entry.inside, entry.external, entry.made) == (held.0, held.1, held.2)
        };
        for entry in self.entries.iter_mut().filter(|entry| entry.at == at && entry.until > now) {
            entry.until = held.iter().find(|held| is_same(entry, held)).map_or(now, |held| held.3);
        }
        for held in held {
            if !self.entries.iter().any(|entry| entry.at == at && is_same(entry, &held)) {
                let (inside, external, made, until) = held;
                self.entries.push(Entry { at, inside, external, made, until });
            }
        }
    }

    fn add(&mut self, handle: u32, flight: Flight) {
        self.flights.insert(self.next, flight);
        self.open.insert(handle, self.next);
        self.next += 1;
    }

    fn flight(&mut self, handle: u32) -> Option<&mut Flight> {
        self.flights.get_mut(self.open.get(&handle)?)
    }
}

/// A packet's source and destination.
type Way = (SocketAddr, SocketAddr);
