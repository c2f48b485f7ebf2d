use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use folkmoot_core::base::Time;

use super::DropReason;
use crate::engine::{Draws, Subject};

/// The three behaviours of RFC 4787, for mappings (section 4.1) as for filters (section 5): what a NAT looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Behavior {
    /// Nothing of the remote endpoint: EIM, EIF.
    EndpointIndependent,
    /// The remote address: ADM, ADF.
    AddressDependent,
    /// The remote address and port: APDM, APDF.
    AddressAndPortDependent,
}

/// How a NAT behaves, in the words of RFC 4787.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatRules {
    /// When an internal endpoint keeps its external one (section 4.1).
    pub mapping: Behavior,
    /// Who may send to a mapping (section 5).
    pub filtering: Behavior,
    /// Which port a new mapping gets (section 4.2).
    pub ports: PortRule,
    /// Which address of the pool a new mapping gets (section 4.1).
    pub pooling: Pooling,
    /// How long a mapping lives without use, once a reply has been seen (section 4.3).
    pub lifetime: Duration,
    /// How long it lives without use before that.
    pub unreplied: Duration,
    /// Whether packets from outside refresh it too (section 4.3, REQ-6).
    pub inbound_refresh: bool,
    /// What happens between two hosts behind the NAT that know only each other's external endpoints (section 6).
    pub hairpin: Hairpin,
    /// How many mappings there may be at once.
    pub capacity: usize,
}

/// How a NAT chooses ports. Ports are never overloaded (REQ-3): one external endpoint serves one mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortRule {
    /// The internal port if it is free, else the next free one.
    Preserve,
    /// Each mapping gets the port this many after the one before: predictable.
    Sequential(u16),
    /// Any free port.
    Random,
}

/// How a NAT with several external addresses chooses one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Always the same for one internal address (REQ-2).
    Paired,
    /// Any.
    Arbitrary,
}

/// What a NAT does with a packet from inside to one of its own mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hairpin {
    /// Drops it.
    None,
    /// Delivers it, from the sender's external endpoint (REQ-9).
    External,
    /// Delivers it, from the sender's internal endpoint.
    Internal,
}

impl NatRules {
    /// A NAT of the given kind that is otherwise ordinary: random ports, 120 s (30 s before the first reply), outbound
    /// refresh only, no hairpin.
    pub const fn new(mapping: Behavior, filtering: Behavior) -> Self {
        Self {
            mapping,
            filtering,
            ports: PortRule::Random,
            pooling: Pooling::Paired,
            lifetime: Duration::from_secs(120),
            unreplied: Duration::from_secs(30),
            inbound_refresh: false,
            hairpin: Hairpin::None,
            capacity: 32_768,
        }
    }
}

/// A NAT at work: a pure object that rewrites addresses.
#[derive(Clone, Debug)]
pub struct Nat {
    id: u32,
    rules: NatRules,
    pool: Vec<IpAddr>,
    mappings: BTreeMap<Key, Mapping>,
    by_external: BTreeMap<SocketAddr, Key>,
    /// Mappings made so far: the index of their draws.
    made: u64,
    last_port: u16,
    swept: Time,
}

/// What a mapping is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    inside: SocketAddr,
    to: Remote,
}

/// As much of a remote endpoint as a behaviour looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Remote {
    Any,
    Address(IpAddr),
    Endpoint(SocketAddr),
}

#[derive(Clone, Debug)]
struct Mapping {
    external: SocketAddr,
    replied: bool,
    expires: Time,
    /// Who may send to it, and until when.
    permits: BTreeMap<Remote, Time>,
}

/// The lowest port a NAT gives out; below are the well-known ones (REQ-3a keeps them apart).
const FIRST_PORT: u16 = 1_024;
/// How often mappings nobody uses are looked for. They are dead before that; this only frees memory and ports.
const SWEEP: Duration = Duration::from_secs(1);

impl Nat {
    /// NAT number `id` with a pool of external addresses.
    pub fn new(id: u32, rules: NatRules, pool: Vec<IpAddr>) -> Self {
        Self {
            id,
            rules,
            pool,
            mappings: BTreeMap::new(),
            by_external: BTreeMap::new(),
            made: 0,
            last_port: FIRST_PORT - 1,
            swept: Time::ZERO,
        }
    }

    /// How it behaves.
    pub fn rules(&self) -> &NatRules {
        &self.rules
    }

    /// Its external addresses.
    pub fn pool(&self) -> &[IpAddr] {
        &self.pool
    }

    /// Whether `ip` is one of its external addresses.
    pub fn owns(&self, ip: IpAddr) -> bool {
        self.pool.contains(&ip)
    }

    /// How many mappings it holds, dead ones that were not swept yet included.
    pub fn mappings(&self) -> usize {
        self.mappings.len()
    }

    /// Forgets everything, as a reboot does.
    pub fn reboot(&mut self) {
        self.mappings.clear();
        self.by_external.clear();
    }

    /// A packet from the inside `from` to `to` outside: the external endpoint it leaves from.
    ///
    /// # Errors
    ///
    /// [`DropReason::Exhausted`] if a mapping is needed and there is no room or port for one.
    pub fn outbound(
        &mut self,
        now: Time,
        draws: &Draws,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Result<SocketAddr, DropReason> {
        self.sweep(now);
        let key = Key { inside: from, to: Remote::seen(self.rules.mapping, to) };
        if self.mappings.get(&key).is_none_or(|mapping| mapping.expires <= now) {
            self.map(now, draws, key)?;
        }
        let rules = self.rules;
        let Some(mapping) = self.mappings.get_mut(&key) else { return Err(DropReason::NoMapping) };
        let until = now + mapping.lifetime(&rules);
        mapping.expires = until;
        mapping.permits.insert(Remote::seen(rules.filtering, to), until);
        Ok(mapping.external)
    }

    /// A packet from `from` outside to the external endpoint `to`: the internal endpoint it is for.
    ///
    /// # Errors
    ///
    /// [`DropReason::NoMapping`] if there is none (any more), [`DropReason::Filtered`] if it is not for that sender.
    pub fn inbound(&mut self, now: Time, from: SocketAddr, to: SocketAddr) -> Result<SocketAddr, DropReason> {
        let rules = self.rules;
        let key = *self.by_external.get(&to).ok_or(DropReason::NoMapping)?;
        let mapping = self.mappings.get_mut(&key).filter(|mapping| mapping.expires > now);
        let mapping = mapping.ok_or(DropReason::NoMapping)?;
        let sender = Remote::seen(rules.filtering, from);
        let permit = mapping.permits.get_mut(&sender).filter(|until| **until > now);
        // A filter that looks at nothing has a permit as long as the mapping lives.
        let permit = permit.ok_or(DropReason::Filtered)?;
        if rules.inbound_refresh || !mapping.replied {
            mapping.replied = true;
            mapping.expires = mapping.expires.max(now + rules.lifetime);
            *permit = (*permit).max(now + rules.lifetime);
        }
        Ok(key.inside)
    }

    /// A packet from the inside `from` to the external endpoint `to` of another host inside: the source and the
    /// destination it is delivered with.
    ///
    /// # Errors
    ///
    /// [`DropReason::NoHairpin`], and all of [`Nat::outbound`] and [`Nat::inbound`].
    pub fn hairpin(
        &mut self,
        now: Time,
        draws: &Draws,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Result<(SocketAddr, SocketAddr), DropReason> {
        if self.rules.hairpin == Hairpin::None {
            return Err(DropReason::NoHairpin);
        }
        let external = self.outbound(now, draws, from, to)?;
        let inside = self.inbound(now, external, to)?;
        Ok((if self.rules.hairpin == Hairpin::Internal { from } else { external }, inside))
    }

    fn map(&mut self, now: Time, draws: &Draws, key: Key) -> Result<(), DropReason> {
        if let Some(dead) = self.mappings.remove(&key) {
            self.by_external.remove(&dead.external);
        }
        if self.mappings.len() >= self.rules.capacity {
            return Err(DropReason::Exhausted);
        }
        let external = self.external(draws, key.inside).ok_or(DropReason::Exhausted)?;
        self.made += 1;
        self.by_external.insert(external, key);
        let mapping = Mapping { external, replied: false, expires: now, permits: BTreeMap::new() };
        self.mappings.insert(key, mapping);
        Ok(())
    }

    fn external(&mut self, draws: &Draws, inside: SocketAddr) -> Option<SocketAddr> {
        let count = self.pool.len() as u64;
        let which = match (self.rules.pooling, inside.ip()) {
            (Pooling::Arbitrary, _) => draws.below(Subject::Pool(self.id), self.made, count),
            (Pooling::Paired, IpAddr::V4(ip)) => u64::from(ip.to_bits()) % count.max(1),
            (Pooling::Paired, IpAddr::V6(ip)) => ip.to_bits() as u64 % count.max(1),
        };
        let ip = *self.pool.get(which as usize)?;
        let span = u64::from(u16::MAX - FIRST_PORT) + 1;
        let (first, step) = match self.rules.ports {
            PortRule::Preserve => (inside.port().max(FIRST_PORT), 1),
            PortRule::Sequential(step) => (wrap(self.last_port, step), step.max(1)),
            PortRule::Random => (FIRST_PORT + draws.below(Subject::Port(self.id), self.made, span) as u16, 1),
        };
        let mut port = first;
        for _ in 0..span {
            let external = SocketAddr::new(ip, port);
            if !self.by_external.contains_key(&external) {
                self.last_port = port;
                return Some(external);
            }
            port = wrap(port, step);
        }
        None
    }

    fn sweep(&mut self, now: Time) {
        if now - self.swept < SWEEP {
            return;
        }
        self.swept = now;
        let by_external = &mut self.by_external;
        self.mappings.retain(|_, mapping| {
            if mapping.expires <= now {
                by_external.remove(&mapping.external);
            }
            mapping.permits.retain(|_, until| *until > now);
            mapping.expires > now
        });
    }
}

impl Mapping {
    fn lifetime(&self, rules: &NatRules) -> Duration {
        if self.replied { rules.lifetime } else { rules.unreplied.min(rules.lifetime) }
    }
}

impl Remote {
    pub(super) fn seen(by: Behavior, endpoint: SocketAddr) -> Self {
        match by {
            Behavior::EndpointIndependent => Self::Any,
            Behavior::AddressDependent => Self::Address(endpoint.ip()),
            Behavior::AddressAndPortDependent => Self::Endpoint(endpoint),
        }
    }
}

/// The port `step` after `port`, going round among those a NAT gives out.
fn wrap(port: u16, step: u16) -> u16 {
    let span = u32::from(u16::MAX - FIRST_PORT) + 1;
    let offset = (u32::from(port) + u32::from(step) + span - u32::from(FIRST_PORT)) % span;
    FIRST_PORT + offset as u16
}

#[cfg(test)]
mod tests;
