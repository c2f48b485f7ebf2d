mod control;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use folkmoot_core::base::Time;

use control::Forward;
pub use control::{CONTROL_PORT, PortControl};
pub(crate) use control::{mapped, u16_at, u32_at};

use super::{Behavior, DropReason, Full, Hairpin, NatRules, Pooling, PortRule};
use crate::engine::{Draws, Subject};

/// A NAT at work: a pure object that rewrites addresses.
#[derive(Clone, Debug)]
pub struct Nat {
    id: u32,
    rules: NatRules,
    pool: Vec<IpAddr>,
    mappings: BTreeMap<Key, Mapping>,
    by_external: BTreeMap<SocketAddr, Vec<Key>>,
    /// Ports that were opened, by what is inside.
    forwards: BTreeMap<SocketAddr, Forward>,
    /// When it was first asked for one.
    epoch: Option<Time>,
    /// Subscribers in the order in which they came, for blocks of ports.
    subscribers: Vec<IpAddr>,
    /// Mappings made so far: the index of their draws.
    made: u64,
    last: (u16, Time),
    /// When the next mapping may be made at the earliest, were there no burst.
    paced: Time,
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
    number: u64,
    made: Time,
    replied: bool,
    expires: Time,
    /// Who may send to it, and until when.
    permits: BTreeMap<Remote, Time>,
}

/// How often mappings nobody uses are looked for. They are dead before that; this only frees memory.
const SWEEP: Duration = Duration::from_secs(1);
/// A NAT that limits the rate of new mappings lets those of one second pass at once.
const BURST: Duration = Duration::from_secs(1);

impl Nat {
    /// NAT number `id` with a pool of external addresses.
    pub fn new(id: u32, rules: NatRules, pool: Vec<IpAddr>) -> Self {
        Self {
            id,
            rules,
            pool,
            mappings: BTreeMap::new(),
            by_external: BTreeMap::new(),
            forwards: BTreeMap::new(),
            epoch: None,
            subscribers: Vec::new(),
            made: 0,
            last: (rules.range.0.wrapping_sub(1), Time::ZERO),
            paced: Time::ZERO,
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

    /// The live entries of its table: the endpoints inside and outside, when it was made, and when it ends if nothing more
    /// passes.
    pub fn entries(&self, now: Time) -> impl Iterator<Item = (SocketAddr, SocketAddr, Time, Time)> {
        let live = self.mappings.iter().filter(move |(_, mapping)| mapping.expires > now);
        live.map(|(key, mapping)| (key.inside, mapping.external, mapping.made, mapping.expires))
    }

    /// The external endpoints that `inside` has at this moment, the latest first: what an omniscient peer would send to.
    pub fn external_endpoints(&self, now: Time, inside: SocketAddr) -> Vec<SocketAddr> {
        let forward = self.forward_of(now, inside);
        let mut live: Vec<_> = self.of(inside).filter(|mapping| mapping.expires > now).collect();
        live.sort_unstable_by_key(|mapping| std::cmp::Reverse(mapping.number));
        let mut endpoints: Vec<_> = forward.into_iter().collect();
        for mapping in live {
            if !endpoints.contains(&mapping.external) {
                endpoints.push(mapping.external);
            }
        }
        endpoints
    }

    /// Forgets everything, as a reboot does.
    pub fn reboot(&mut self) {
        let Self { id, rules, .. } = *self;
        *self = Self { made: self.made, ..Self::new(id, rules, std::mem::take(&mut self.pool)) };
    }

    /// A packet from the inside `from` to `to` outside: the external endpoint it leaves from.
    ///
    /// # Errors
    ///
    /// [`DropReason::Exhausted`] if a mapping is needed and there is no room or port for one, [`DropReason::RateLimited`] if
    /// there were too many of late.
    pub fn outbound(
        &mut self,
        now: Time,
        draws: &Draws,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Result<SocketAddr, DropReason> {
        self.sweep(now);
        let rules = self.rules;
        let opened = self.forward_of(now, from).filter(|_| rules.ports != PortRule::PerFlow);
        if let Some(external) = opened {
            return Ok(external);
        }
        // Where an external endpoint is shared, every flow is an entry of its own, whatever endpoint it gets.
        let by =
            if rules.ports == PortRule::PerFlow { Behavior::AddressAndPortDependent } else { rules.mapping };
        let key = Key { inside: from, to: Remote::seen(by, to) };
        if self.mappings.get(&key).is_none_or(|mapping| mapping.expires <= now) {
            self.map(now, draws, key)?;
        }
        let Some(mapping) = self.mappings.get_mut(&key) else { return Err(DropReason::NoMapping) };
        let life = mapping.life(&rules, now);
        mapping.expires = now + life;
        mapping.permits.insert(Remote::seen(rules.filtering, to), now + rules.filter_age.unwrap_or(life));
        Ok(mapping.external)
    }

    /// A packet from `from` outside to the external endpoint `to`: the internal endpoint it is for.
    ///
    /// # Errors
    ///
    /// [`DropReason::NoMapping`] if there is none (any more), [`DropReason::Filtered`] if it is not for that sender.
    pub fn inbound(&mut self, now: Time, from: SocketAddr, to: SocketAddr) -> Result<SocketAddr, DropReason> {
        let rules = self.rules;
        let sender = Remote::seen(rules.filtering, from);
        let mappings = &mut self.mappings;
        let keys = self.by_external.get(&to).into_iter().flatten();
        let mut live = keys.filter(|key| mappings.get(key).is_some_and(|it| it.expires > now)).peekable();
        let is_mapped = live.peek().is_some();
        // If several share the endpoint, it is for the latest of those that have sent there.
        let key = live.rev().find(|key| mappings.get(key).is_some_and(|it| it.admits(&sender, now))).copied();
        let Some((key, mapping)) = key.and_then(|key| Some((key, mappings.get_mut(&key)?))) else {
            return self.inbound_of_strangers(now, from, to).ok_or(match is_mapped {
                true => DropReason::Filtered,
                false => DropReason::NoMapping,
            });
        };
        // The box's own flows are answered by the box.
        let is_ours = key.inside == to;
        if rules.inbound_refresh || !mapping.replied {
            // A NAT that waits for a flow to settle counts the first reply as part of its beginning.
            let was_replied = is_ours || std::mem::replace(&mut mapping.replied, true);
            let settled = was_replied || rules.settles.is_zero();
            let life = if settled { mapping.life(&rules, now) } else { rules.young_life() };
            mapping.expires = mapping.expires.max(now + life);
            if let Some(until) = mapping.permits.get_mut(&sender) {
                *until = (*until).max(now + rules.filter_age.unwrap_or(life));
            }
        }
        if is_ours { Err(DropReason::NoMapping) } else { Ok(key.inside) }
    }

    /// A packet that no mapping is for: for whom a port was opened, if anyone. Else it may become a flow of the box itself.
    fn inbound_of_strangers(&mut self, now: Time, from: SocketAddr, to: SocketAddr) -> Option<SocketAddr> {
        let forward = self.forwards.iter().find(|(_, it)| it.external == to && it.until > now);
        if let Some((inside, _)) = forward {
            return Some(*inside);
        }
        if self.rules.strangers && self.mappings.len() < self.rules.capacity {
            let key = Key { inside: to, to: Remote::seen(Behavior::AddressAndPortDependent, from) };
            self.unmap(&key);
            let expires = now + self.rules.young_life();
            self.insert(now, key, to);
            if let Some(mapping) = self.mappings.get_mut(&key) {
                mapping.expires = expires;
                mapping.permits.insert(Remote::seen(self.rules.filtering, from), expires);
            }
        }
        None
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
        self.unmap(&key);
        let host = key.inside.ip();
        let full = self.mappings.len() >= self.rules.capacity
            || self.rules.per_host.is_some_and(|limit| self.of_host(host).count() >= limit);
        if full {
            self.make_room(now, host)?;
        }
        if let Some(per_second) = self.rules.per_second {
            let earliest = self.paced.max(now);
            if earliest - now > BURST {
                return Err(DropReason::RateLimited);
            }
            self.paced = earliest + Duration::from_micros(1_000_000 / u64::from(per_second.max(1)));
        }
        let external = self.external(now, draws, key).ok_or(DropReason::Exhausted)?;
        self.insert(now, key, external);
        Ok(())
    }

    fn insert(&mut self, now: Time, key: Key, external: SocketAddr) {
        self.made += 1;
        self.by_external.entry(external).or_default().push(key);
        let (number, permits) = (self.made, BTreeMap::new());
        let mapping = Mapping { external, number, made: now, replied: false, expires: now, permits };
        self.mappings.insert(key, mapping);
    }

    /// Makes room for a mapping of `host`: what is dead goes, and if that is not enough and the rules say so, what was used least
    /// recently.
    fn make_room(&mut self, now: Time, host: IpAddr) -> Result<(), DropReason> {
        let of_host = self.rules.per_host.is_some_and(|limit| self.of_host(host).count() >= limit);
        let ours = self.mappings.iter().filter(|(key, _)| !of_host || key.inside.ip() == host);
        let oldest = ours.min_by_key(|(_, mapping)| (mapping.expires, mapping.number));
        let Some((oldest, mapping)) = oldest else { return Err(DropReason::Exhausted) };
        if mapping.expires > now && self.rules.full == Full::Drop {
            return Err(DropReason::Exhausted);
        }
        let oldest = *oldest;
        self.unmap(&oldest);
        Ok(())
    }

    fn unmap(&mut self, key: &Key) {
        let Some(gone) = self.mappings.remove(key) else { return };
        if let Some(keys) = self.by_external.get_mut(&gone.external) {
            keys.retain(|other| other != key);
            if keys.is_empty() {
                self.by_external.remove(&gone.external);
            }
        }
    }

    /// The external address for a mapping of `inside`.
    fn address(&self, draws: &Draws, inside: SocketAddr) -> Option<IpAddr> {
        let count = self.pool.len() as u64;
        let which = match (self.rules.pooling, inside.ip()) {
            (Pooling::Arbitrary, _) => draws.below(Subject::Pool(self.id), self.made, count),
            (Pooling::Paired, IpAddr::V4(ip)) => u64::from(ip.to_bits()) % count.max(1),
            (Pooling::Paired, IpAddr::V6(ip)) => ip.to_bits() as u64 % count.max(1),
        };
        self.pool.get(which as usize).copied()
    }

    /// The external endpoint for a new mapping.
    fn external(&mut self, now: Time, draws: &Draws, key: Key) -> Option<SocketAddr> {
        let rules = self.rules;
        if rules.ports == PortRule::PerFlow {
            let latest = self.of(key.inside).filter(|it| it.expires > now).max_by_key(|it| it.number);
            if let Some(latest) = latest.map(|it| it.external).filter(|it| !self.is_taken(now, *it, key)) {
                return Some(latest);
            }
        }
        let ip = self.address(draws, key.inside)?;
        let (low, high) = self.ports_for(key.inside.ip())?;
        let span = u64::from(high - low) + 1;
        let random = low + draws.below(Subject::Port(self.id), self.made, span) as u16;
        let inside = key.inside.port();
        let is_within = (low..=high).contains(&inside);
        let (first, step) = match rules.ports {
            PortRule::Preserve | PortRule::Overload => (inside.clamp(low, high), 1),
            PortRule::PerFlow => {
                let kept = SocketAddr::new(ip, inside);
                if is_within && !self.is_taken(now, kept, key) {
                    return Some(kept);
                }
                (random, 1)
            }
            PortRule::Sequential(step) => (self.next_in_sequence(now, draws, step), i32::from(step)),
            PortRule::Random | PortRule::Block(_) => (random, 1),
        };
        // An even port for an even one (RFC 4787, section 4.2.2).
        let odd = rules.parity && (first ^ inside) & 1 == 1;
        let step = if rules.parity { step * 2 } else { step };
        let mut port = if odd { wrap((low, high), first, 1) } else { first };
        for _ in 0..span {
            let external = SocketAddr::new(ip, port);
            if !self.is_taken(now, external, key) {
                self.last = (port, now);
                return Some(external);
            }
            port = wrap((low, high), port, step);
        }
        None
    }

    /// The port after the last one, and after those that others took since.
    fn next_in_sequence(&self, now: Time, draws: &Draws, step: i16) -> u16 {
        let (last, at) = self.last;
        let mean =
            u64::try_from((now - at).as_micros()).unwrap_or(0) * u64::from(self.rules.others) / 1_000_000;
        let others = draws.below(Subject::Port(self.id), self.made, 2 * mean.min(30_000) + 1);
        wrap(self.rules.range, last, i32::from(step) * (others as i32 + 1))
    }

    /// The ports that a subscriber may have.
    fn ports_for(&mut self, subscriber: IpAddr) -> Option<(u16, u16)> {
        let (low, high) = self.rules.range;
        let PortRule::Block(size) = self.rules.ports else { return (low <= high).then_some((low, high)) };
        let known = self.subscribers.iter().position(|ip| *ip == subscriber);
        let number = known.unwrap_or_else(|| {
            self.subscribers.push(subscriber);
            self.subscribers.len() - 1
        });
        let first = u32::from(low) + u32::try_from(number).ok()? * u32::from(size.max(1));
        let last = first + u32::from(size.max(1)) - 1;
        (last <= u32::from(high)).then_some((first as u16, last as u16))
    }

    /// Whether a new mapping for `key` may not have that external endpoint.
    fn is_taken(&self, now: Time, external: SocketAddr, key: Key) -> bool {
        let is_shared = matches!(self.rules.ports, PortRule::PerFlow | PortRule::Overload);
        if !is_shared
            && self.forwards.values().any(|forward| forward.external == external && forward.until > now)
        {
            return true;
        }
        let mut keys = self.by_external.get(&external).into_iter().flatten();
        let is_live = |key: &Key| self.mappings.get(key).is_some_and(|mapping| mapping.expires > now);
        match self.rules.ports {
            PortRule::Overload => false,
            PortRule::PerFlow => keys.any(|other| other.to == key.to && is_live(other)),
            _ => keys.any(is_live),
        }
    }

    /// The mappings of an internal endpoint.
    fn of(&self, inside: SocketAddr) -> impl Iterator<Item = &Mapping> {
        let first = Key { inside, to: Remote::Any };
        self.mappings
            .range(first..)
            .take_while(move |(key, _)| key.inside == inside)
            .map(|(_, mapping)| mapping)
    }

    /// The mappings of an internal address.
    fn of_host(&self, host: IpAddr) -> impl Iterator<Item = &Mapping> {
        let first = Key { inside: SocketAddr::new(host, 0), to: Remote::Any };
        self.mappings
            .range(first..)
            .take_while(move |(key, _)| key.inside.ip() == host)
            .map(|(_, mapping)| mapping)
    }

    fn sweep(&mut self, now: Time) {
        if now - self.swept < SWEEP {
            return;
        }
        self.swept = now;
        let dead: Vec<Key> =
            self.mappings.iter().filter(|(_, mapping)| mapping.expires <= now).map(|(key, _)| *key).collect();
        dead.iter().for_each(|key| self.unmap(key));
        self.mappings.values_mut().for_each(|mapping| mapping.permits.retain(|_, until| *until > now));
        self.forwards.retain(|_, forward| forward.until > now);
    }
}

impl Mapping {
    /// How long it lives from now on, if it is used now.
    fn life(&self, rules: &NatRules, now: Time) -> Duration {
        if self.replied && now - self.made >= rules.settles { rules.lifetime } else { rules.young_life() }
    }

    /// A filter that looks at nothing is open as long as the mapping lives.
    fn admits(&self, sender: &Remote, now: Time) -> bool {
        *sender == Remote::Any || self.permits.get(sender).is_some_and(|until| *until > now)
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

/// The port `step` after `port`, going round in a range.
fn wrap((low, high): (u16, u16), port: u16, step: i32) -> u16 {
    let span = i64::from(high) - i64::from(low) + 1;
    let offset = (i64::from(port) - i64::from(low) + i64::from(step)).rem_euclid(span.max(1));
    (i64::from(low) + offset) as u16
}
