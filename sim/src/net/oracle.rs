use std::fmt;
use std::net::IpAddr;

use folkmoot_core::base::Scope;

use super::network::Stand;
use super::{Behavior, BoxRules, Gateway, Hairpin, Network, Pooling};
use crate::engine::{HostId, Kind};

/// Whether two hosts can connect directly, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether a good node connects them.
    pub direct: bool,
    /// What decides it.
    pub why: Why,
}

/// What decides whether two hosts can connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// They are in the same network.
    SameNetwork,
    /// Both keep one external endpoint for everyone: what a STUN server sees is what the other can use.
    BothStable,
    /// One is stable and does not filter by port, so the other's unknown port gets through.
    StableAndLenient,
    /// Neither is stable, but one hears unknown ports, and one keeps its mapping for all ports of a host.
    OneHearsAnyone,
    /// One of the two lets no UDP pass.
    UdpBlocked,
    /// One changes its port for every remote endpoint, and the other admits only ports it has sent to.
    UnknownPort,
    /// Both change their ports, so that neither can answer from the address that was asked.
    BothUnstable,
    /// Both are behind one NAT, in different networks, and it does not send packets back inside.
    NoHairpin,
    /// Both are behind one NAT that sends nothing back inside, and one of them is right behind it, where the other can reach it, once it is told of its address
    /// there: what the DHT knows is the address outside, so that this takes a third who introduces them.
    Neighbours,
    /// They have no address family in common.
    NoCommonFamily,
    /// One changes its address, not only its port, and the other admits only addresses it has sent to. That is no promise either
    /// way: where the pool is small (RFC 4787 §4.1, "arbitrary"), the address may be one that others saw too, told of, and the
    /// other has sent to. So two who connect all the same were lucky, and no one is owed it.
    UnknownAddress,
    /// A box lets only some ports pass, or no packets of a kind that is needed.
    Policy,
    /// One of them cannot reach the DHT, so nobody learns where it is.
    NoRendezvous,
    /// A link between them swallows packets of the size that is needed.
    BlackHole,
}

/// The largest IP packet that a node sends while it connects: a full DTLS record over IPv6. What the path swallows of it, it
/// swallows for good.
pub const NEEDED_MTU: u16 = 1_248;

/// Who can reach whom with ordinary ICE: both send checks at once to what a STUN server saw of the other, answer the
/// checks they hear, and accept an answer only from the address they asked.
///
/// `a` and `b` are the boxes on the way outwards, innermost first, none of them shared; none at all is an open host.
/// No other technique is assumed: no port prediction, mapping protocol, birthday probing or relay.
///
/// The rule follows from two questions per side: does it keep its external port towards a new remote (*mapping*), and does
/// it admit a known host from an unknown port (*filtering*)? Stacked boxes behave like the strictest of them.
pub fn can_connect_directly(a: &[BoxRules], b: &[BoxRules]) -> Verdict {
    use Behavior::{
        AddressAndPortDependent as Endpoint, AddressDependent as Address, EndpointIndependent as Any,
    };
    let (Some(a), Some(b)) = (Side::of(a), Side::of(b)) else { return Verdict::no(Why::UdpBlocked) };
    match (a.mapping, b.mapping) {
        (Any, Any) => Verdict::yes(Why::BothStable),
        (Any, _) | (_, Any) => {
            let stable = if a.mapping == Any { a } else { b };
            match stable.filtering {
                Any => Verdict::yes(Why::StableAndLenient),
                Address if a.wanders || b.wanders => Verdict::no(Why::UnknownAddress),
                Address => Verdict::yes(Why::StableAndLenient),
                Endpoint => Verdict::no(Why::UnknownPort),
            }
        }
        // Only who hears unknown ports gets a first packet. Its answer comes from a new port, which the first sender must admit;
        // and one of the two must then send to a changed port of the same host without changing its own.
        (Address | Endpoint, Address | Endpoint) => {
            let opens = |x: Side, y: Side| x.opens && y.filtering != Endpoint;
            if !opens(a, b) && !opens(b, a) {
                Verdict::no(Why::UnknownPort)
            } else if a.wanders || b.wanders {
                Verdict::no(Why::UnknownAddress)
            } else if a.mapping == Address || b.mapping == Address {
                Verdict::yes(Why::OneHearsAnyone)
            } else {
                Verdict::no(Why::BothUnstable)
            }
        }
    }
}

impl Network {
    /// Whether two hosts can connect directly by ordinary ICE, with the addresses and boxes they have at this moment: by
    /// [`can_connect_directly`] for each address family, and by what they share.
    pub fn can_connect(&self, a: HostId, b: HostId) -> Verdict {
        let (Some(a), Some(b)) = (self.stand(a), self.stand(b)) else {
            return Verdict::no(Why::NoCommonFamily);
        };
        if let Some(why) = a.is_cut_off().or(b.is_cut_off()) {
            return Verdict::no(why);
        }
        self.can_connect_at_all(&a, &b)
    }

    /// As [`Network::can_connect`], for two whom multicast in one network reaches and whose DHT nodes ask by it, so that they
    /// need nobody outside to learn of each other; `None` if it does not reach both. Nodes ask by IPv4, from private addresses.
    pub fn can_connect_nearby(&self, a: HostId, b: HostId) -> Option<Verdict> {
        let is_private = |ip: &IpAddr| ip.is_ipv4() && Scope::of(*ip) == Scope::Private;
        let (near, far) = (self.stand(a)?, self.stand(b)?);
        let both_ask = [&near, &far].iter().all(|stand| stand.addresses.iter().any(is_private));
        let reached = both_ask && self.neighbours(near.realm, a).contains(&b);
        let verdict = reached.then(|| self.can_connect_at_all(&near, &far))?;
        Some(if verdict.why == Why::Neighbours { Verdict::yes(Why::SameNetwork) } else { verdict })
    }

    /// The best of both families.
    fn can_connect_at_all(&self, a: &Stand<'_>, b: &Stand<'_>) -> Verdict {
        let verdicts = [true, false].map(|v4| self.can_connect_by(v4, a, b));
        let best = verdicts.iter().find(|verdict| verdict.direct);
        let tried = verdicts.iter().find(|verdict| verdict.why != Why::NoCommonFamily);
        best.or(tried).copied().unwrap_or(verdicts[0])
    }

    /// As [`Network::can_connect`], over IPv4 or IPv6 alone, whoever may know of whom; `None` if not both have that family.
    pub(super) fn can_connect_over(&self, v4: bool, a: HostId, b: HostId) -> Option<Verdict> {
        let (a, b) = (self.stand(a)?, self.stand(b)?);
        (a.has(v4) && b.has(v4)).then(|| self.can_connect_by(v4, &a, &b))
    }

    /// The same, for those who stand there.
    fn can_connect_by(&self, v4: bool, a: &Stand<'_>, b: &Stand<'_>) -> Verdict {
        if !a.has(v4) || !b.has(v4) {
            return Verdict::no(Why::NoCommonFamily);
        }
        let shared = a.way.iter().rev().zip(b.way.iter().rev()).take_while(|(a, b)| a == b).count();
        let (own_a, own_b) = (a.way.len() - shared, b.way.len() - shared);
        // What they share stands in the way only if addresses are translated there: else packets turn below it.
        let turn = a.rules[own_a..].iter().rposition(|rules| v4 && matches!(rules.v4, BoxRules::Nat(_)));
        let passed = turn.map_or(0, |turn| turn + 1);
        let verdict = if own_a == 0 && own_b == 0 {
            // What the DHT knows of them is where they are seen from outside.
            let way = a.by(v4, passed);
            let is_found = passed == 0 || turned_back(&way, &way, passed).direct;
            return Verdict::yes(if is_found { Why::SameNetwork } else { Why::Neighbours });
        } else if passed == 0 {
            can_connect_directly(&a.by(v4, own_a), &b.by(v4, own_b))
        } else {
            behind_one_nat(&a.by(v4, own_a + passed), &b.by(v4, own_b + passed), passed)
        };
        let near = verdict.why == Why::Neighbours;
        let [a_passes, b_passes] = [own_a, own_b].map(|own| if near { own } else { own + passed });
        let hindered = a.hinders(a_passes).or(b.hinders(b_passes)).filter(|_| verdict.direct);
        hindered.map_or(verdict, Verdict::no)
    }
}

/// Two hosts whose last `shared` boxes are the same, the last of them a NAT. They know each other's endpoints outside it, so
/// packets turn round there; and who is right behind it is reached at its own address.
fn behind_one_nat(a: &[BoxRules], b: &[BoxRules], shared: usize) -> Verdict {
    let (own_a, own_b) = (&a[..a.len() - shared], &b[..b.len() - shared]);
    let [side_a, side_b] = [own_a, own_b].map(Side::of);
    let (Some(side_a), Some(side_b)) = (side_a, side_b) else { return Verdict::no(Why::UdpBlocked) };
    let hears_anyone = |side: Side| side.filtering == Behavior::EndpointIndependent;
    let is_seen_as_it_is = |boxes: &[BoxRules]| !boxes.iter().any(|rules| matches!(rules, BoxRules::Nat(_)));
    let near = match [own_a, own_b].map(is_seen_as_it_is) {
        [true, true] => can_connect_directly(own_a, own_b).direct,
        [true, false] => hears_anyone(side_a),
        [false, true] => hears_anyone(side_b),
        [false, false] => false,
    };
    if near {
        return Verdict::yes(Why::Neighbours);
    }
    turned_back(a, b, shared)
}

/// The same by what they know of each other from outside alone: whether packets come back in, and lead to each other.
fn turned_back(a: &[BoxRules], b: &[BoxRules], shared: usize) -> Verdict {
    let (own_a, own_b) = (&a[..a.len() - shared], &b[..b.len() - shared]);
    let [side_a, side_b] = [own_a, own_b].map(Side::of);
    let (Some(side_a), Some(side_b)) = (side_a, side_b) else { return Verdict::no(Why::UdpBlocked) };
    let hears_anyone = |side: Side| side.filtering == Behavior::EndpointIndependent;
    let Some(BoxRules::Nat(nat)) = a.last() else { return Verdict::no(Why::NoHairpin) };
    match nat.hairpin {
        Hairpin::None => Verdict::no(Why::NoHairpin),
        Hairpin::External => can_connect_directly(a, b),
        // What is heard comes from an endpoint that nobody has sent to, and the answer goes there, not back through the NAT.
        Hairpin::Internal => {
            let all = can_connect_directly(a, b);
            let is_stable = |side: Side| side.mapping == Behavior::EndpointIndependent;
            if nat.filtering == Behavior::EndpointIndependent && hears_anyone(side_a) && hears_anyone(side_b)
            {
                can_connect_directly(own_a, own_b)
            } else if all.direct && !(hears_anyone(side_a) && hears_anyone(side_b)) {
                Verdict::no(Why::NoHairpin)
            } else if all.direct && !is_stable(side_a) && !is_stable(side_b) {
                Verdict::no(Why::BothUnstable)
            } else {
                all
            }
        }
    }
}

impl Stand<'_> {
    fn has(&self, v4: bool) -> bool {
        self.addresses.iter().any(|ip| ip.is_ipv4() == v4)
    }

    /// The rules of its first `count` boxes for a family.
    fn by(&self, v4: bool, count: usize) -> Vec<BoxRules> {
        let closed = BoxRules::UdpBlocked;
        self.rules[..count].iter().map(|rules| rules.rules(v4).unwrap_or(closed)).collect()
    }

    /// Why the DHT is out of reach, if it is.
    fn is_cut_off(&self) -> Option<Why> {
        let forbids =
            |gateway: &Gateway| gateway.policy.ports.is_some() || gateway.policy.inspects == Some(Kind::Krpc);
        if self.addresses.is_empty() {
            return Some(Why::NoCommonFamily);
        }
        if self.rules.iter().any(forbids) {
            return Some(Why::NoRendezvous);
        }
        let blocked = |v4| self.by(v4, self.rules.len()).contains(&BoxRules::UdpBlocked);
        let open = [true, false].into_iter().any(|v4| self.has(v4) && !blocked(v4));
        (!open).then_some(Why::UdpBlocked)
    }

    /// What of its first `count` boxes, and of the links up to there, keeps a good path from carrying a meeting.
    fn hinders(&self, count: usize) -> Option<Why> {
        let gateways = &self.rules[..count];
        let inspected = |gateway: &Gateway| matches!(gateway.policy.inspects, Some(Kind::Stun | Kind::Dtls));
        if gateways.iter().any(inspected) {
            return Some(Why::Policy);
        }
        let whole = gateways.iter().all(|gateway| gateway.policy.fragments);
        let laws = self.links[..=count].iter().flat_map(|link| [link.up, link.down]);
        let mut narrow = laws.filter(|law| law.mtu.is_some_and(|mtu| mtu < NEEDED_MTU));
        narrow.any(|law| !law.icmp || !whole).then_some(Why::BlackHole)
    }
}

impl Verdict {
    /// They can.
    pub const fn yes(why: Why) -> Self {
        Self { direct: true, why }
    }

    /// They cannot.
    pub const fn no(why: Why) -> Self {
        Self { direct: false, why }
    }
}

/// The outside view of a host behind its boxes.
#[derive(Clone, Copy, Debug)]
struct Side {
    mapping: Behavior,
    filtering: Behavior,
    /// Whether it appears from several addresses.
    wanders: bool,
    /// Whether someone whose address it knows, but not the port, is heard at the endpoint that a server saw. From its first box
    /// that changes ports on, that endpoint is of a mapping through which nothing went but to the server.
    opens: bool,
}

impl Side {
    /// `None` if no UDP gets out.
    fn of(boxes: &[BoxRules]) -> Option<Self> {
        let open = Self {
            mapping: Behavior::EndpointIndependent,
            filtering: Behavior::EndpointIndependent,
            wanders: false,
            opens: true,
        };
        let opens = |side: Self, mapping: Behavior, filtering: Behavior| {
            side.opens
                && match side.mapping.max(mapping) {
                    Behavior::EndpointIndependent => filtering != Behavior::AddressAndPortDependent,
                    _ => filtering == Behavior::EndpointIndependent,
                }
        };
        boxes.iter().try_fold(open, |side, rules| match rules {
            BoxRules::Nat(nat) => Some(Self {
                mapping: side.mapping.max(nat.mapping).max(match nat.strangers {
                    // Its port towards whoever is quicker is another one.
                    true => Behavior::AddressAndPortDependent,
                    false => Behavior::EndpointIndependent,
                }),
                filtering: side.filtering.max(nat.filtering),
                opens: opens(side, nat.mapping, nat.filtering),
                wanders: side.wanders
                    || nat.pooling == Pooling::Arbitrary
                        && (nat.mapping != Behavior::EndpointIndependent || nat.strangers),
            }),
            BoxRules::Firewall { filtering, .. } => Some(Self {
                filtering: side.filtering.max(*filtering),
                opens: opens(side, side.mapping, *filtering),
                ..side
            }),
            BoxRules::UdpBlocked => None,
            BoxRules::Router | BoxRules::Clat => Some(side),
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", if self.direct { "direct" } else { "not directly" }, self.why)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SameNetwork => "they are in the same network",
            Self::BothStable => "both keep one external endpoint for everyone",
            Self::StableAndLenient => "one keeps its endpoint and admits unknown ports of the other",
            Self::OneHearsAnyone => "one hears unknown ports, and one keeps its port for all ports of a host",
            Self::UdpBlocked => "one of them lets no UDP pass",
            Self::UnknownPort => "one changes its port, and the other admits only ports it has sent to",
            Self::BothUnstable => "both change their port whenever they answer",
            Self::NoHairpin => "their common NAT sends nothing back inside",
            Self::Neighbours => "one is right behind the NAT that both are behind",
            Self::NoCommonFamily => "they have no address family in common",
            Self::UnknownAddress => {
                "one changes its address, and the other admits only addresses it has sent to: a matter of luck"
            }
            Self::Policy => "a box drops packets of a kind they need",
            Self::NoRendezvous => "one of them cannot reach the DHT",
            Self::BlackHole => "a link between them swallows large packets without a word",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Behavior::{AddressAndPortDependent, AddressDependent, EndpointIndependent};

    const ALL: [Behavior; 3] = [EndpointIndependent, AddressDependent, AddressAndPortDependent];

    fn every() -> impl Iterator<Item = BoxRules> {
        ALL.into_iter().flat_map(|mapping| ALL.map(|filtering| BoxRules::nat(mapping, filtering)))
    }

    #[test]
    fn the_verdict_is_symmetric() {
        for a in every() {
            for b in every() {
                assert_eq!(can_connect_directly(&[a], &[b]), can_connect_directly(&[b], &[a]), "{a} {b}");
            }
        }
    }

    #[test]
    fn open_hosts_reach_everyone_but_the_blocked() {
        assert!(every().all(|nat| can_connect_directly(&[], &[nat]).direct));
        assert!(can_connect_directly(&[], &[]).direct);
        assert!(can_connect_directly(&[], &[BoxRules::FIREWALL]).direct);
        assert!(!can_connect_directly(&[], &[BoxRules::UdpBlocked]).direct);
    }

    #[test]
    fn being_stricter_never_helps() {
        let leq = |a: &BoxRules, b: &BoxRules| match (a, b) {
            (BoxRules::Nat(a), BoxRules::Nat(b)) => a.mapping <= b.mapping && a.filtering <= b.filtering,
            _ => false,
        };
        for a in every() {
            for (b, stricter) in every().flat_map(|b| every().map(move |s| (b, s))).filter(|(b, s)| leq(b, s))
            {
                let (soft, hard) =
                    (can_connect_directly(&[a], &[b]), can_connect_directly(&[a], &[stricter]));
                assert!(soft.direct || !hard.direct, "{a} with {b}, but not with {stricter}");
            }
        }
    }

    #[test]
    fn a_stack_is_as_strict_as_its_strictest() {
        let strict = BoxRules::nat(AddressAndPortDependent, AddressAndPortDependent);
        let kind = BoxRules::nat(EndpointIndependent, EndpointIndependent);
        let usual = BoxRules::nat(EndpointIndependent, AddressAndPortDependent);
        assert!(!can_connect_directly(&[kind, strict], &[usual]).direct);
        assert!(!can_connect_directly(&[strict, kind], &[usual]).direct);
        assert!(can_connect_directly(&[kind, usual], &[usual, BoxRules::FIREWALL]).direct);
    }
}
