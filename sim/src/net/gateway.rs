use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use folkmoot_core::base::Time;

use super::{BoxRules, DropReason, Middlebox, Nat};
use crate::engine::{Draws, Kind};

/// A box between a network and the next one outwards: what it does to each address family, and what it lets pass.
///
/// A [`BoxRules`] alone is one for IPv4 without IPv6 behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// What it does to IPv4.
    pub v4: BoxRules,
    /// What it does to IPv6; `None` is that there is none behind it. Home routers have [`BoxRules::FIREWALL`] (RFC 6092).
    pub v6: Option<BoxRules>,
    /// Whether it is a NAT64 (RFC 6146): there is only IPv6 behind it, and packets to 64:ff9b::/96 become IPv4 by the rules of
    /// [`Gateway::v4`].
    pub nat64: bool,
    /// What it lets pass, of either family.
    pub policy: Policy,
    /// How many external IPv4 addresses it has, if it is a NAT: 1 at home, up to 64 at a carrier.
    pub pool: u8,
}

/// What a box lets pass at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Outwards only to these remote ports, if there are any given.
    pub ports: Option<[u16; 2]>,
    /// No packets of this kind, either way: deep packet inspection.
    pub inspects: Option<Kind>,
    /// No more packets a second than this, outwards.
    pub per_second: Option<u32>,
    /// Whether fragments pass.
    pub fragments: bool,
}

/// Which address families a host wants to use. It gets those that its network has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stack {
    /// IPv4.
    #[default]
    V4,
    /// IPv6.
    V6,
    /// Both.
    Dual,
}

/// A packet, as far as boxes look at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glance {
    /// What is in it.
    pub(crate) kind: Kind,
    /// Whether it goes in fragments.
    pub(crate) fragmented: bool,
}

/// A [`Gateway`] at work.
#[derive(Clone, Debug)]
pub struct Gate {
    rules: Gateway,
    v4: Middlebox,
    v6: Option<Middlebox>,
    /// When the next packet may pass at the earliest, were there no burst.
    paced: Time,
}

/// The well-known prefix of NAT64 (RFC 6052, section 2.1), in which IPv4 addresses stand as IPv6 ones.
const NAT64_PREFIX: u128 = 0x0064_ff9b << 96;
/// A box that limits the rate lets so much of a second's packets pass at once.
const BURST: Duration = Duration::from_millis(250);

impl Policy {
    /// Everything passes.
    pub const NONE: Self = Self { ports: None, inspects: None, per_second: None, fragments: true };
    /// UDP only to port 53 and 443, as in hotels.
    pub const WEB_AND_DNS: Self = Self { ports: Some([53, 443]), ..Self::NONE };
    /// No DTLS.
    pub const NO_DTLS: Self = Self { inspects: Some(Kind::Dtls), ..Self::NONE };
    /// No KRPC: BitTorrent's DHT is recognised and dropped.
    pub const NO_DHT: Self = Self { inspects: Some(Kind::Krpc), ..Self::NONE };
    /// No STUN.
    pub const NO_STUN: Self = Self { inspects: Some(Kind::Stun), ..Self::NONE };
}

impl Gateway {
    /// One with IPv4 only, one external address and no policy.
    pub const fn new(v4: BoxRules) -> Self {
        Self { v4, v6: None, nat64: false, policy: Policy::NONE, pool: 1 }
    }

    /// The same, with IPv6 by these rules.
    pub const fn with_v6(self, rules: BoxRules) -> Self {
        Self { v6: Some(rules), ..self }
    }

    /// The same, with a policy.
    pub const fn with_policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// The same, with a pool of external addresses.
    pub const fn with_pool(self, pool: u8) -> Self {
        Self { pool, ..self }
    }

    /// A network with nothing but IPv6, and a NAT64 by the rules of `nat` to reach IPv4; native IPv6 by those of `v6`.
    pub const fn nat64(nat: BoxRules, v6: BoxRules) -> Self {
        Self { v6: Some(v6), nat64: true, ..Self::new(nat) }
    }

    /// The customer's side of 464XLAT (RFC 6877), in a network behind a [`Gateway::nat64`]: one host with a private IPv4
    /// address, and with IPv6.
    pub const CLAT: Self = Self::new(BoxRules::Clat).with_v6(BoxRules::Router);

    /// Whether there is IPv4 behind it.
    pub(super) const fn has_v4(&self) -> bool {
        !self.nat64
    }

    /// The rules a packet of that family meets, or `None` if there is none.
    pub(super) const fn rules(&self, v4: bool) -> Option<BoxRules> {
        if v4 { Some(self.v4) } else { self.v6 }
    }
}

impl From<BoxRules> for Gateway {
    fn from(rules: BoxRules) -> Self {
        Self::new(rules)
    }
}

impl Stack {
    /// Whether IPv4 is in it.
    pub const fn has_v4(self) -> bool {
        matches!(self, Self::V4 | Self::Dual)
    }

    /// Whether IPv6 is in it.
    pub const fn has_v6(self) -> bool {
        matches!(self, Self::V6 | Self::Dual)
    }
}

/// `v4`, `v6`, `dual`.
impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
            Self::Dual => "dual",
        })
    }
}

impl Gate {
    /// Box number `id` with its external IPv4 addresses, if it has any.
    pub(super) fn new(id: u32, rules: Gateway, pool: Vec<IpAddr>) -> Self {
        Self {
            rules,
            v4: Middlebox::new(id, rules.v4, pool),
            v6: rules.v6.map(|v6| Middlebox::new(id | 1 << 31, v6, Vec::new())),
            paced: Time::ZERO,
        }
    }

    /// How it behaves.
    pub fn rules(&self) -> &Gateway {
        &self.rules
    }

    /// What it does to IPv4, to look at or to meddle with.
    pub fn v4(&mut self) -> &mut Middlebox {
        &mut self.v4
    }

    /// What it does to IPv6.
    pub fn v6(&mut self) -> Option<&mut Middlebox> {
        self.v6.as_mut()
    }

    /// Its NAT for IPv4, if it has one.
    pub(super) fn nat(&self) -> Option<&Nat> {
        match &self.v4 {
            Middlebox::Nat(nat) => Some(nat),
            _ => None,
        }
    }

    /// What it answers to a host inside that asks it for a port, if it does: see [`Nat::control`].
    pub(super) fn control(
        &mut self,
        now: Time,
        draws: &Draws,
        from: SocketAddr,
        request: &[u8],
    ) -> Option<Vec<u8>> {
        match &mut self.v4 {
            Middlebox::Nat(nat) if !self.rules.nat64 => nat.control(now, draws, from, request),
            _ => None,
        }
    }

    /// Forgets all that passed, as a reboot does.
    pub fn reboot(&mut self) {
        self.v4.reboot();
        self.v6.iter_mut().for_each(Middlebox::reboot);
    }

    /// Its external addresses, of both its translators.
    pub(super) fn external_addresses(&self) -> Vec<IpAddr> {
        self.v4.external_addresses()
    }

    /// Whether `ip` is an address of the box itself, so that a packet from inside to it is a hairpin.
    pub(super) fn owns(&self, ip: IpAddr) -> bool {
        match embedded(ip) {
            Some(v4) if self.rules.nat64 => self.v4.owns(v4.into()),
            _ => self.v4.owns(ip),
        }
    }

    /// A packet going out: both of its addresses may be rewritten.
    pub(super) fn outbound(
        &mut self,
        now: Time,
        draws: &Draws,
        glance: Glance,
        (from, to): (&mut SocketAddr, &mut SocketAddr),
    ) -> Result<(), DropReason> {
        self.admit(now, glance, Some(to.port()))?;
        let target = embedded(to.ip()).filter(|_| self.rules.nat64);
        let outside = match (target, self.rules.v4, from.ip()) {
            // NAT64: the destination is what was embedded in it.
            (Some(v4), ..) => SocketAddr::new(v4.into(), to.port()),
            // CLAT: the other way round.
            (None, BoxRules::Clat, IpAddr::V4(_)) => SocketAddr::new(embed(to.ip()), to.port()),
            _ => *to,
        };
        let machine = if target.is_some() || from.is_ipv4() { &mut self.v4 } else { self.machine_v6()? };
        *from = machine.outbound(now, draws, *from, outside)?;
        *to = outside;
        Ok(())
    }

    /// A packet coming in: both of its addresses may be rewritten.
    pub(super) fn inbound(
        &mut self,
        now: Time,
        glance: Glance,
        (from, to): (&mut SocketAddr, &mut SocketAddr),
    ) -> Result<(), DropReason> {
        self.admit(now, glance, None)?;
        let is_v4s = to.is_ipv4() || self.v4.owns(to.ip());
        if is_v4s && self.rules.v4 == BoxRules::Clat && embedded(from.ip()).is_none() {
            return Err(DropReason::Filtered);
        }
        let machine = if is_v4s { &mut self.v4 } else { self.machine_v6()? };
        *to = machine.inbound(now, *from, *to)?;
        match (embedded(from.ip()), self.rules.v4) {
            (Some(v4), BoxRules::Clat) if is_v4s => from.set_ip(v4.into()),
            _ if self.rules.nat64 && from.is_ipv4() => from.set_ip(embed(from.ip())),
            _ => {}
        }
        Ok(())
    }

    /// A packet from inside to the box's own outside.
    pub(super) fn hairpin(
        &mut self,
        now: Time,
        draws: &Draws,
        glance: Glance,
        (from, to): (&mut SocketAddr, &mut SocketAddr),
    ) -> Result<(), DropReason> {
        self.admit(now, glance, Some(to.port()))?;
        let outside = embedded(to.ip()).map_or(*to, |v4| SocketAddr::new(v4.into(), to.port()));
        (*from, *to) = self.v4.hairpin(now, draws, *from, outside)?;
        if self.rules.nat64 && from.is_ipv4() {
            from.set_ip(embed(from.ip()));
        }
        Ok(())
    }

    fn machine_v6(&mut self) -> Result<&mut Middlebox, DropReason> {
        self.v6.as_mut().ok_or(DropReason::NoRoute)
    }

    /// Whether the policy lets a packet pass; `to` is its destination's port if it goes out.
    fn admit(&mut self, now: Time, glance: Glance, to: Option<u16>) -> Result<(), DropReason> {
        let policy = self.rules.policy;
        let wrong_port = to.zip(policy.ports).is_some_and(|(to, ports)| !ports.contains(&to));
        if wrong_port || policy.inspects == Some(glance.kind) {
            return Err(DropReason::Policy);
        }
        if glance.fragmented && !policy.fragments {
            return Err(DropReason::Fragment);
        }
        if let Some(per_second) = policy.per_second.filter(|_| to.is_some()) {
            // A leaky bucket, in the form of the generic cell rate algorithm (ITU-T I.371).
            let earliest = self.paced.max(now);
            if earliest - now > BURST {
                return Err(DropReason::RateLimited);
            }
            self.paced = earliest + Duration::from_micros(1_000_000 / u64::from(per_second.max(1)));
        }
        Ok(())
    }
}

/// The IPv4 address that stands in an IPv6 address of the well-known prefix.
fn embedded(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else { return None };
    let bits = ip.to_bits();
    (bits >> 32 << 32 == NAT64_PREFIX).then(|| Ipv4Addr::from_bits(bits as u32))
}

/// An IPv4 address in the well-known prefix; an IPv6 one as it is.
fn embed(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => Ipv6Addr::from_bits(NAT64_PREFIX | u128::from(ip.to_bits())).into(),
        IpAddr::V6(_) => ip,
    }
}

/// `eim+apdf`, `eim+apdf v6 firewall`, `nat64 apdm+apdf v6 router`, with ` no dtls` and the like.
impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.nat64 { "nat64 " } else { "" }, self.v4)?;
        if let Some(v6) = self.v6 {
            write!(f, " v6 {v6}")?;
        }
        if self.pool != 1 {
            write!(f, " pool {}", self.pool)?;
        }
        write!(f, "{}", self.policy)
    }
}

/// ` only ports 53, 443`, ` no dtls`, ` 50 packets/s`, ` no fragments`; nothing if all passes.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some([a, b]) = self.ports {
            write!(f, " only ports {a}, {b}")?;
        }
        if let Some(kind) = self.inspects {
            write!(f, " no {kind}")?;
        }
        if let Some(per_second) = self.per_second {
            write!(f, " {per_second} packets/s")?;
        }
        f.write_str(if self.fragments { "" } else { " no fragments" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Behavior;

    const PLAIN: Glance = Glance { kind: Kind::Other, fragmented: false };
    const DRAWS: Draws = Draws::new(1);
    const USUAL: BoxRules = BoxRules::nat(Behavior::EndpointIndependent, Behavior::AddressAndPortDependent);

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn nat64_translates_both_addresses() {
        let pool = vec![addr("30.0.0.1:0").ip()];
        let mut gate = Gate::new(0, Gateway::nat64(USUAL, BoxRules::Router), pool);
        let inside = addr("[2a00::1]:5000");
        let (mut from, mut to) = (inside, addr("[64:ff9b::40.0.0.1]:100"));
        gate.outbound(Time::ZERO, &DRAWS, PLAIN, (&mut from, &mut to)).unwrap();
        assert_eq!((from.ip(), to), (addr("30.0.0.1:0").ip(), addr("40.0.0.1:100")));
        let (mut answer_from, mut answer_to) = (to, from);
        gate.inbound(Time::ZERO, PLAIN, (&mut answer_from, &mut answer_to)).unwrap();
        assert_eq!((answer_from, answer_to), (addr("[64:ff9b::40.0.0.1]:100"), inside));
        // Native IPv6 passes beside it.
        let (mut from, mut to) = (inside, addr("[2a01::1]:100"));
        gate.outbound(Time::ZERO, &DRAWS, PLAIN, (&mut from, &mut to)).unwrap();
        assert_eq!((from, to), (inside, addr("[2a01::1]:100")));
    }

    #[test]
    fn clat_undoes_what_nat64_does() {
        let mut clat = Gate::new(0, Gateway::CLAT, vec![addr("[2a00::7]:0").ip()]);
        let (mut from, mut to) = (addr("192.0.0.1:5000"), addr("40.0.0.1:100"));
        clat.outbound(Time::ZERO, &DRAWS, PLAIN, (&mut from, &mut to)).unwrap();
        assert_eq!((from, to), (addr("[2a00::7]:5000"), addr("[64:ff9b::40.0.0.1]:100")));
        let (mut answer_from, mut answer_to) = (to, from);
        clat.inbound(Time::ZERO, PLAIN, (&mut answer_from, &mut answer_to)).unwrap();
        assert_eq!((answer_from, answer_to), (addr("40.0.0.1:100"), addr("192.0.0.1:5000")));
        let (mut stranger, mut to) = (addr("[2a01::1]:1"), addr("[2a00::7]:5000"));
        let refused = clat.inbound(Time::ZERO, PLAIN, (&mut stranger, &mut to));
        assert_eq!(refused, Err(DropReason::Filtered), "no IPv6 host has an IPv4 address");
    }

    #[test]
    fn a_policy_drops_what_it_says() {
        let out = |policy, kind, to: u16, fragmented| {
            let mut gate = Gate::new(0, Gateway::new(BoxRules::Router).with_policy(policy), Vec::new());
            let (mut from, mut to) = (addr("30.0.0.1:5000"), SocketAddr::new(addr("40.0.0.1:0").ip(), to));
            gate.outbound(Time::ZERO, &DRAWS, Glance { kind, fragmented }, (&mut from, &mut to))
        };
        assert_eq!(out(Policy::WEB_AND_DNS, Kind::Dtls, 443, false), Ok(()));
        assert_eq!(out(Policy::WEB_AND_DNS, Kind::Dtls, 444, false), Err(DropReason::Policy));
        assert_eq!(out(Policy::NO_DTLS, Kind::Dtls, 443, false), Err(DropReason::Policy));
        assert_eq!(out(Policy::NO_DTLS, Kind::Stun, 443, false), Ok(()));
        let whole = Policy { fragments: false, ..Policy::NONE };
        assert_eq!(out(whole, Kind::Stun, 443, true), Err(DropReason::Fragment));
    }

    #[test]
    fn a_rate_limit_lets_its_rate_pass() {
        let policy = Policy { per_second: Some(10), ..Policy::NONE };
        let mut gate = Gate::new(0, Gateway::new(BoxRules::Router).with_policy(policy), Vec::new());
        let passed = (0..10_000).filter(|ms| {
            let (mut from, mut to) = (addr("30.0.0.1:5000"), addr("40.0.0.1:100"));
            gate.outbound(Time::from_millis(*ms), &DRAWS, PLAIN, (&mut from, &mut to)).is_ok()
        });
        let passed = passed.count();
        assert!((100..=104).contains(&passed), "{passed} packets in 10 s at 10 a second");
    }

    #[test]
    fn the_prefix_is_that_of_rfc_6052() {
        assert_eq!(embed(addr("192.0.2.33:0").ip()), addr("[64:ff9b::192.0.2.33]:0").ip());
        assert_eq!(embedded(addr("[64:ff9b::192.0.2.33]:0").ip()), Some([192, 0, 2, 33].into()));
        assert_eq!(embedded(addr("[64:ff9c::192.0.2.33]:0").ip()), None);
    }
}
