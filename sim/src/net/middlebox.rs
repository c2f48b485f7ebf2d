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

/// A stateful firewall at work.
#[derive(Clone, Debug)]
pub struct Firewall {
    filtering: Behavior,
    lifetime: Duration,
    permits: BTreeMap<(SocketAddr, Remote), Time>,
}

impl BoxRules {
    /// A firewall that remembers endpoints for two minutes.
    pub const FIREWALL: Self =
        Self::Firewall { filtering: Behavior::AddressAndPortDependent, lifetime: Duration::from_secs(120) };

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
            BoxRules::Firewall { filtering, lifetime } => {
                Self::Firewall(Firewall { filtering, lifetime, permits: BTreeMap::new() })
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
            Self::Firewall(firewall) => firewall.permits.clear(),
            Self::UdpBlocked | Self::Router | Self::Clat(..) => {}
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
                let remote = Remote::seen(firewall.filtering, to);
                firewall.permits.insert((from, remote), now + firewall.lifetime);
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
                let remote = Remote::seen(firewall.filtering, from);
                let open = firewall.permits.get(&(to, remote)).is_some_and(|until| *until > now);
                if open { Ok(to) } else { Err(DropReason::Filtered) }
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
