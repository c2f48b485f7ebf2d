use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use folkmoot_core::base::Time;

use super::nat::Remote;
use super::{Behavior, DropReason, Nat, NatRules};
use crate::engine::Draws;

/// What stands between a network and the next one outwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoxRules {
    /// A NAT.
    Nat(NatRules),
    /// A stateful firewall without translation: who inside has sent to may answer (as RFC 6092 has it for IPv6).
    Firewall {
        /// What of the remote endpoint it looks at.
        filtering: Behavior,
        /// How long it remembers, from the last packet outwards.
        lifetime: Duration,
        /// How long before the first answer, if not as long; [`NatRules::unreplied`].
        unreplied: Duration,
        /// How old a flow must be before its lifetime counts; [`NatRules::settles`].
        settles: Duration,
        /// Whether packets from outside count as well; [`NatRules::inbound_refresh`].
        inbound_refresh: bool,
    },
    /// A firewall that lets no UDP pass.
    UdpBlocked,
    /// A router: everything passes as it is.
    Router,
    /// One private IPv4 address becomes one IPv6 address, and all of IPv4 a prefix of IPv6, without state (RFC 7915).
    Clat,
}

/// A [`BoxRules`] at work.
#[derive(Clone, Debug)]
pub enum Middlebox {
    /// A NAT.
    Nat(Nat),
    /// A stateful firewall.
    Firewall(Firewall),
    /// No UDP.
    UdpBlocked,
    /// Everything passes.
    Router,
    /// A stateless translator: its address inside, once known, and outside.
    Clat(Option<IpAddr>, Option<IpAddr>),
}

/// A stateful firewall at work: a NAT that leaves every endpoint as it is, so that filters age as a NAT's do.
#[derive(Clone, Debug)]
pub struct Firewall {
    rules: NatRules,
    flows: BTreeMap<(SocketAddr, Remote), Flow>,
    swept: Time,
}

#[derive(Clone, Copy, Debug)]
struct Flow {
    begun: Time,
    replied: bool,
    expires: Time,
}

/// How often flows that are over are forgotten.
const SWEEP: Duration = Duration::from_secs(10);

impl BoxRules {
    /// A firewall that remembers endpoints for two minutes after what was last sent there.
    pub const FIREWALL: Self = Self::Firewall {
        filtering: Behavior::AddressAndPortDependent,
        lifetime: Duration::from_secs(120),
        unreplied: Duration::from_secs(120),
        settles: Duration::ZERO,
        inbound_refresh: false,
    };

    /// Linux's connection tracking as a firewall, with its defaults. Checked against the kernel, cell by cell.
    pub const LINUX_FIREWALL: Self = Self::Firewall {
        filtering: Behavior::AddressAndPortDependent,
        lifetime: NatRules::LINUX.lifetime,
        unreplied: NatRules::LINUX.unreplied,
        settles: NatRules::LINUX.settles,
        inbound_refresh: true,
    };

    /// A NAT of the given kind that is otherwise ordinary; see [`NatRules::new`].
    pub const fn nat(mapping: Behavior, filtering: Behavior) -> Self {
        Self::Nat(NatRules::new(mapping, filtering))
    }
}

/// `eim+apdf`, `firewall`, `udp-blocked`.
impl fmt::Display for BoxRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |behavior| match behavior {
            Behavior::EndpointIndependent => "ei",
            Behavior::AddressDependent => "ad",
            Behavior::AddressAndPortDependent => "apd",
        };
        match self {
            Self::Nat(rules) => write!(f, "{}m+{}f", short(rules.mapping), short(rules.filtering)),
            Self::Firewall { .. } => f.write_str("firewall"),
            Self::UdpBlocked => f.write_str("udp-blocked"),
            Self::Router => f.write_str("router"),
            Self::Clat => f.write_str("clat"),
        }
    }
}

impl Middlebox {
    /// Box number `id`; `pool` are its external addresses if it is a NAT.
    pub fn new(id: u32, rules: BoxRules, pool: Vec<IpAddr>) -> Self {
        match rules {
            BoxRules::Nat(rules) => Self::Nat(Nat::new(id, rules, pool)),
            BoxRules::Firewall { filtering, lifetime, unreplied, settles, inbound_refresh } => {
                let open = NatRules::new(Behavior::EndpointIndependent, filtering);
                let rules = NatRules { lifetime, unreplied, settles, inbound_refresh, ..open };
                Self::Firewall(Firewall { rules, flows: BTreeMap::new(), swept: Time::ZERO })
            }
            BoxRules::UdpBlocked => Self::UdpBlocked,
            BoxRules::Router => Self::Router,
            BoxRules::Clat => Self::Clat(None, pool.first().copied()),
        }
    }

    /// Forgets all that passed, as a reboot does.
    pub fn reboot(&mut self) {
        match self {
            Self::Nat(nat) => nat.reboot(),
            Self::Firewall(firewall) => firewall.flows.clear(),
            Self::UdpBlocked | Self::Router | Self::Clat(..) => {}
        }
    }

    /// The external endpoints of an internal one at this moment; its own where nothing is translated.
    pub fn external_endpoints(&self, now: Time, inside: SocketAddr) -> Vec<SocketAddr> {
        match self {
            Self::Nat(nat) => nat.external_endpoints(now, inside),
            Self::Clat(_, outside) => outside.iter().map(|ip| SocketAddr::new(*ip, inside.port())).collect(),
            Self::Firewall(_) | Self::UdpBlocked | Self::Router => vec![inside],
        }
    }

    /// Its external addresses; none if it translates nothing.
    pub fn external_addresses(&self) -> Vec<IpAddr> {
        match self {
            Self::Nat(nat) => nat.pool().to_vec(),
            Self::Clat(_, outside) => outside.iter().copied().collect(),
            Self::Firewall(_) | Self::UdpBlocked | Self::Router => Vec::new(),
        }
    }

    /// Whether `ip` is an address of the box itself, so that a packet from inside to it is a hairpin.
    pub fn owns(&self, ip: IpAddr) -> bool {
        match self {
            Self::Nat(nat) => nat.owns(ip),
            Self::Clat(_, outside) => *outside == Some(ip),
            Self::Firewall(_) | Self::UdpBlocked | Self::Router => false,
        }
    }

    /// A packet going out: the source it leaves with.
    ///
    /// # Errors
    ///
    /// Why it is dropped.
    pub fn outbound(
        &mut self,
        now: Time,
        draws: &Draws,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Result<SocketAddr, DropReason> {
        match self {
            Self::Nat(nat) => nat.outbound(now, draws, from, to),
            Self::Firewall(firewall) => {
                firewall.outbound(now, from, to);
                Ok(from)
            }
            Self::UdpBlocked => Err(DropReason::UdpBlocked),
            Self::Router => Ok(from),
            Self::Clat(inside, outside) => match (*inside, *outside) {
                (None, Some(outside)) => {
                    *inside = Some(from.ip());
                    Ok(SocketAddr::new(outside, from.port()))
                }
                (Some(inside), Some(outside)) if inside == from.ip() => {
                    Ok(SocketAddr::new(outside, from.port()))
                }
                _ => Err(DropReason::Exhausted),
            },
        }
    }

    /// A packet coming in: the destination it goes on to.
    ///
    /// # Errors
    ///
    /// Why it is dropped.
    pub fn inbound(&mut self, now: Time, from: SocketAddr, to: SocketAddr) -> Result<SocketAddr, DropReason> {
        match self {
            Self::Nat(nat) => nat.inbound(now, from, to),
            Self::Firewall(firewall) => {
                if firewall.admits(now, from, to) {
                    Ok(to)
                } else {
                    Err(DropReason::Filtered)
                }
            }
            Self::UdpBlocked => Err(DropReason::UdpBlocked),
            Self::Router => Ok(to),
            Self::Clat(inside, _) => {
                inside.map(|ip| SocketAddr::new(ip, to.port())).ok_or(DropReason::NoMapping)
            }
        }
    }

    /// A packet from inside to the box's own outside: the source and destination it goes back in with.
    ///
    /// # Errors
    ///
    /// Why it is dropped.
    pub fn hairpin(
        &mut self,
        now: Time,
        draws: &Draws,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Result<(SocketAddr, SocketAddr), DropReason> {
        match self {
            Self::Nat(nat) => nat.hairpin(now, draws, from, to),
            Self::Firewall(_) | Self::UdpBlocked | Self::Router | Self::Clat(..) => {
                Err(DropReason::NoHairpin)
            }
        }
    }
}

impl Firewall {
    fn outbound(&mut self, now: Time, inside: SocketAddr, remote: SocketAddr) {
        if now - self.swept >= SWEEP {
            self.swept = now;
            self.flows.retain(|_, flow| flow.expires > now);
        }
        let rules = self.rules;
        let fresh = Flow { begun: now, replied: false, expires: now };
        let flow = self.flows.entry((inside, Remote::seen(rules.filtering, remote))).or_insert(fresh);
        if flow.expires <= now {
            *flow = fresh;
        }
        flow.expires = now + flow.life(&rules, now);
    }

    /// Whether a packet from outside passes, which may count as use.
    fn admits(&mut self, now: Time, remote: SocketAddr, inside: SocketAddr) -> bool {
        let rules = self.rules;
        let flow = self.flows.get_mut(&(inside, Remote::seen(rules.filtering, remote)));
        let Some(flow) = flow.filter(|flow| flow.expires > now) else { return false };
        let was_replied = std::mem::replace(&mut flow.replied, true);
        if rules.inbound_refresh {
            let life = if was_replied { flow.life(&rules, now) } else { rules.young_life() };
            flow.expires = flow.expires.max(now + life);
        }
        true
    }
}

impl Flow {
    fn life(&self, rules: &NatRules, now: Time) -> Duration {
        if self.replied && now - self.begun >= rules.settles { rules.lifetime } else { rules.young_life() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firewall_lets_in_who_was_asked_and_translates_nothing() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (inside, asked, port, other) =
            (addr("30.0.0.1:1"), addr("40.0.0.1:1"), addr("40.0.0.1:2"), addr("50.0.0.1:1"));
        let draws = Draws::new(0);
        let mut wall = Middlebox::new(0, BoxRules::FIREWALL, Vec::new());
        assert_eq!(wall.inbound(Time::ZERO, asked, inside), Err(DropReason::Filtered));
        assert_eq!(wall.outbound(Time::ZERO, &draws, inside, asked), Ok(inside));
        assert_eq!(wall.inbound(Time::from_millis(119_999), asked, inside), Ok(inside));
        assert_eq!(wall.inbound(Time::ZERO, port, inside), Err(DropReason::Filtered));
        assert_eq!(wall.inbound(Time::ZERO, other, inside), Err(DropReason::Filtered));
        assert_eq!(wall.inbound(Time::from_millis(120_000), asked, inside), Err(DropReason::Filtered));
        let mut blocked = Middlebox::new(0, BoxRules::UdpBlocked, Vec::new());
        assert_eq!(blocked.outbound(Time::ZERO, &draws, inside, asked), Err(DropReason::UdpBlocked));
    }
}
