use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who counts as one where rates, shares and proofs are concerned: an IPv4 address, or the /64 of an IPv6 one, of which
/// every household has 18 quintillion addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source(u64);

impl Source {
    pub(super) fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V4(ip) => u32::from(ip).into(),
            // No IPv6 address that is in use begins with 32 zero bits, so the two do not meet.
            IpAddr::V6(ip) => (u128::from(ip) >> 64) as u64,
        })
    }

    /// The address, or the lowest of the /64.
    pub(super) fn ip(self) -> IpAddr {
        match u32::try_from(self.0) {
            Ok(ip) => Ipv4Addr::from(ip).into(),
            Err(_) => Ipv6Addr::from(u128::from(self.0) << 64).into(),
        }
    }

    /// The network that one owner may have all of: a /24, or a /48 in IPv6.
    pub(super) fn network(self) -> Self {
        Self(self.0 & if self.is_v4() { !0xff } else { !0xffff })
    }

    /// Roughly whose it is: a /16, or a /32 in IPv6, which is what a provider has.
    pub(super) fn owner(self) -> Self {
        Self(self.0 & if self.is_v4() { !0xffff } else { !0xffff_ffff })
    }

    fn is_v4(self) -> bool {
        self.0 >> 32 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_household_is_one_source() {
        let source = |ip: &str| Source::of(ip.parse().unwrap());
        assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("192.0.2.1").network(), source("192.0.2.2").network());
        assert_ne!(source("192.0.2.1").network(), source("192.0.3.1").network());
        assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff::9"));
        assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
        assert_eq!(source("192.0.2.1").ip().to_string(), "192.0.2.1");
        assert_eq!(source("2001:db8:1:2::1").ip().to_string(), "2001:db8:1:2::");
        assert_eq!(source("2001:db8:1:2::1").network(), source("2001:db8:1:3::1").network());
        assert_ne!(source("2001:db8:1:2::1").network(), source("2001:db8:2:2::1").network());
    }
}
