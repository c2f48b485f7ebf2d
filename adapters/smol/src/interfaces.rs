use std::net::{IpAddr, SocketAddr};

use folkmoot_core::base::Scope;

/// The addresses at which a socket bound to `bound` is reached: of a wildcard, every interface's of its family that
/// works (loopback too); else its own.
pub(crate) fn addresses(bound: SocketAddr) -> Vec<IpAddr> {
    if bound.ip().is_unspecified() { of_family(bound.is_ipv4(), all()) } else { vec![bound.ip()] }
}

fn of_family(v4: bool, all: impl IntoIterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut addrs: Vec<_> = all.into_iter().filter(|ip| ip.is_ipv4() == v4 && is_nameable(*ip)).collect();
    addrs.sort();
    addrs.dedup();
    addrs
}

/// A link-local IPv6 address means nothing without the number of an interface, which is another one on another machine.
fn is_nameable(ip: IpAddr) -> bool {
    match Scope::of(ip) {
        Scope::Unusable => false,
        Scope::Link => ip.is_ipv4(),
        Scope::Loopback | Scope::Private | Scope::Global => true,
    }
}

fn all() -> Vec<IpAddr> {
    match if_addrs::get_if_addrs() {
        Ok(interfaces) => interfaces
            .iter()
            .filter(|i| i.is_oper_up() || i.is_loopback())
            .map(if_addrs::Interface::ip)
            .collect(),
        Err(error) => {
            tracing::warn!(%error, "cannot list the network interfaces");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_address_is_the_only_one() {
        assert_eq!(addresses(([127, 0, 0, 9], 1).into()), [IpAddr::from([127, 0, 0, 9])]);
    }

    #[test]
    fn families_and_scopes() {
        let all =
            ["10.0.0.1", "fe80::1", "127.0.0.1", "::1", "169.254.0.1", "2001:db8::5", "10.0.0.1", "0.0.0.0"]
                .map(|ip| ip.parse::<IpAddr>().unwrap());
        let text = |v4| of_family(v4, all).iter().map(IpAddr::to_string).collect::<Vec<_>>();
        assert_eq!(text(true), ["10.0.0.1", "127.0.0.1", "169.254.0.1"]);
        assert_eq!(text(false), ["::1", "2001:db8::5"]);
    }
}
