//! Addresses are given out in a fixed order, so that a host has the same one in every run.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Public address number `n`: neighbours in number are far apart in the address space (different /8), as strangers
/// on the internet are, so that limits per network treat them as strangers. Distinct below 3.9 million.
pub(super) fn public(n: u32) -> IpAddr {
    let [a, rest] = [20 + n % 60, n / 60];
    let [b, c, d] = [rest % 256, rest / 256 % 256, 10 + n % 200];
    Ipv4Addr::new(a as u8, b as u8, c as u8, d as u8).into()
}

/// Address number `n` of a home network with `outside` NATs around its own. All homes use the same, as they do, but not one
/// within the other, where nothing would be routed.
pub(super) fn home(outside: usize, n: u32) -> IpAddr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(192, 168, 1 + outside as u8, 10)) + n).into()
}

/// The address that a home network's router has in it.
pub(crate) fn router(of: IpAddr) -> Option<IpAddr> {
    match of {
        IpAddr::V4(ip) => match ip.octets() {
            [192, 168, site, _] => Some(Ipv4Addr::new(192, 168, site, 1).into()),
            _ => None,
        },
        IpAddr::V6(_) => None,
    }
}

/// Address number `n` inside a carrier's NAT (RFC 6598) with `outside` NATs around it. As with [`home`], none is within itself.
pub(super) fn carrier(outside: usize, n: u32) -> IpAddr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(100, 64 + (outside % 64) as u8, 0, 10)) + n).into()
}

/// Address number `n` behind a CLAT (RFC 7335).
pub(super) fn clat(n: u32) -> IpAddr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(192, 0, 0, 1)) + n).into()
}

/// Address number `n` of site number `site`, which is a /64 of its own. As with [`public`], neighbours in number are far apart.
pub(super) fn site(site: u32, n: u32) -> IpAddr {
    let provider = 0x2a00 + (site % 60) as u16;
    let [high, low] = [((site / 60) >> 16) as u16, (site / 60) as u16];
    Ipv6Addr::new(provider, 0x0db0, high, low, 0, 0, (n >> 16) as u16, 0x10 + n as u16).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use folkmoot_core::base::{Prefix, Scope};

    use super::*;

    #[test]
    fn addresses_are_distinct_and_of_the_right_scope() {
        let publics: Vec<_> = (0..100_000).map(public).collect();
        assert!(publics.iter().all(|ip| Scope::of(*ip) == Scope::Global));
        assert_eq!(publics.iter().collect::<BTreeSet<_>>().len(), publics.len());
        assert_eq!(publics[..15_000].iter().map(|ip| Prefix::of(*ip)).collect::<BTreeSet<_>>().len(), 15_000);
        assert!(
            (0..240)
                .map(|n| home(0, n))
                .chain((0..60_000).map(|n| carrier(1, n)))
                .all(|ip| Scope::of(ip) == Scope::Private)
        );
        let sites: Vec<_> = (0..100_000).map(|n| site(n, 0)).collect();
        assert!(sites.iter().all(|ip| Scope::of(*ip) == Scope::Global));
        assert_eq!(sites.iter().map(|ip| Prefix::of(*ip)).collect::<BTreeSet<_>>().len(), sites.len());
        assert_eq!(Prefix::of(site(7, 0)), Prefix::of(site(7, 1)));
    }
}
