use std::fmt;

use super::{Behavior, BoxRules};

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
    /// Neither is stable, but one hears anyone, and one keeps its mapping for all ports of a host.
    OneHearsAnyone,
    /// One of the two lets no UDP pass.
    UdpBlocked,
    /// One changes its port for every remote endpoint, and the other admits only ports it has sent to.
    UnknownPort,
    /// Both change their ports, so that neither can answer from the address that was asked.
    BothUnstable,
    /// Both are behind one NAT, in different networks, and it does not send packets back inside.
    NoHairpin,
}

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
                Any | Address => Verdict::yes(Why::StableAndLenient),
                Endpoint => Verdict::no(Why::UnknownPort),
            }
        }
        // Only who hears anyone gets a first packet. Its answer comes from a new port, which the first sender must admit;
        // and one of the two must then send to a changed port of the same host without changing its own.
        (Address | Endpoint, Address | Endpoint) => {
            let opens = |x: Side, y: Side| x.filtering == Any && y.filtering != Endpoint;
            if !opens(a, b) && !opens(b, a) {
                Verdict::no(Why::UnknownPort)
            } else if a.mapping == Address || b.mapping == Address {
                Verdict::yes(Why::OneHearsAnyone)
            } else {
                Verdict::no(Why::BothUnstable)
            }
        }
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
}

impl Side {
    /// `None` if no UDP gets out.
    fn of(boxes: &[BoxRules]) -> Option<Self> {
        let open = Self { mapping: Behavior::EndpointIndependent, filtering: Behavior::EndpointIndependent };
        boxes.iter().try_fold(open, |side, rules| match rules {
            BoxRules::Nat(nat) => Some(Self {
                mapping: side.mapping.max(nat.mapping),
                filtering: side.filtering.max(nat.filtering),
            }),
            BoxRules::Firewall { filtering, .. } => {
                Some(Self { filtering: side.filtering.max(*filtering), ..side })
            }
            BoxRules::UdpBlocked => None,
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
            Self::OneHearsAnyone => "one hears anyone, and one keeps its port for all ports of a host",
            Self::UdpBlocked => "one of them lets no UDP pass",
            Self::UnknownPort => "one changes its port, and the other admits only ports it has sent to",
            Self::BothUnstable => "both change their port whenever they answer",
            Self::NoHairpin => "their common NAT sends nothing back inside",
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
