use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::base::Scope;
use crate::node::{Progress, Trouble};

/// Replaces what tells who and where: the same by the same, and different ones by different ones. Or nothing at all.
#[derive(Debug, Default)]
pub(super) struct Redactor {
    is_on: bool,
    ips: BTreeMap<IpAddr, IpAddr>,
    /// How many addresses of each scope and family there are already.
    count: BTreeMap<(Scope, bool), u32>,
    names: BTreeMap<(&'static str, String), usize>,
}

impl Redactor {
    /// One that replaces, or one that leaves everything as it is.
    pub(super) fn new(is_on: bool) -> Self {
        Self { is_on, ..Self::default() }
    }

    /// An address with its port. Ports stay: which ones a NAT chooses is what one wants to see.
    pub(super) fn addr(&mut self, addr: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.ip(addr.ip()), addr.port())
    }

    /// An address of the same family and scope: for the internet's one of those reserved for documentation (RFC 5737, RFC 3849),
    /// and when those are used up, of those reserved for nothing yet (RFC 1112 §4).
    pub(super) fn ip(&mut self, ip: IpAddr) -> IpAddr {
        if !self.is_on || ip.is_loopback() || ip.is_unspecified() {
            return ip;
        }
        let ip = ip.to_canonical();
        let count = &mut self.count;
        *self.ips.entry(ip).or_insert_with(|| {
            let scope = Scope::of(ip);
            let n = count.entry((scope, ip.is_ipv4())).or_default();
            *n += 1;
            if ip.is_ipv4() { v4(scope, *n).into() } else { v6(scope, *n).into() }
        })
    }

    /// A name or an id, as `kind` and a number.
    pub(super) fn name(&mut self, kind: &'static str, name: &str) -> String {
        if !self.is_on {
            return name.into();
        }
        let next = self.names.len() + 1;
        let n = self.names.entry((kind, name.into())).or_insert(next);
        format!("{kind}-{n}")
    }

    pub(super) fn progress(&mut self, progress: &Progress) -> Progress {
        let mut progress = progress.clone();
        match &mut progress {
            Progress::Checking { name, .. } | Progress::Securing { name } | Progress::Greeting { name } => {
                *name = self.name("member", name);
            }
            Progress::Deriving | Progress::Bootstrapping | Progress::Bootstrapped { .. } => {}
            Progress::Announced { .. } | Progress::Knocking { .. } | Progress::Alone => {}
        }
        progress
    }

    pub(super) fn trouble(&mut self, trouble: &Trouble) -> Trouble {
        let mut trouble = trouble.clone();
        match &mut trouble {
            Trouble::NoPath { name, .. } => *name = self.name("member", name),
            Trouble::Unresolved { names, .. } => *names = self.name("host", names),
            Trouble::NotKept(what) | Trouble::SetAside(what) | Trouble::NotTraced(what) if self.is_on => {
                *what = "…".into()
            }
            _ => {}
        }
        trouble
    }
}

fn v4(scope: Scope, n: u32) -> Ipv4Addr {
    let [.., b, c] = n.to_be_bytes();
    match scope {
        Scope::Link => Ipv4Addr::new(169, 254, b, c),
        Scope::Private => Ipv4Addr::new(10, 0, b, c),
        Scope::Global | Scope::Loopback | Scope::Unusable => match n {
            0..=254 => Ipv4Addr::new(192, 0, 2, c),
            255..=509 => Ipv4Addr::new(198, 51, 100, (n - 255) as u8),
            510..=764 => Ipv4Addr::new(203, 0, 113, (n - 510) as u8),
            _ => Ipv4Addr::from(0xf000_0000 | n),
        },
    }
}

fn v6(scope: Scope, n: u32) -> Ipv6Addr {
    let net: u128 = match scope {
        Scope::Link => 0xfe80 << 112,
        Scope::Private => 0xfd00 << 112,
        Scope::Global | Scope::Loopback | Scope::Unusable => 0x2001_0db8 << 96,
    };
    Ipv6Addr::from(net | u128::from(n))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn one_for_one_and_of_the_same_scope() {
        let mut redactor = Redactor::new(true);
        let globals: BTreeSet<_> =
            (0..2_000u32).map(|n| redactor.ip(Ipv4Addr::from(0x0808_0000 + n).into())).collect();
        assert_eq!(globals.len(), 2_000);
        for (ip, expected) in [
            ("8.8.0.0", "192.0.2.1"),
            ("::ffff:8.8.0.0", "192.0.2.1"),
            ("192.168.1.7", "10.0.0.1"),
            ("192.168.1.8", "10.0.0.2"),
            ("192.168.1.7", "10.0.0.1"),
            ("127.0.0.1", "127.0.0.1"),
            ("2a00::1", "2001:db8::1"),
            ("fe80::77", "fe80::1"),
            ("fd12::77", "fd00::1"),
        ] {
            assert_eq!(redactor.ip(ip.parse().unwrap()), expected.parse::<IpAddr>().unwrap(), "{ip}");
        }
        assert_eq!(redactor.name("member", "ada"), redactor.name("member", "ada"));
        assert_ne!(redactor.name("member", "ada"), redactor.name("member", "bo"));
    }

    #[test]
    fn off_it_changes_nothing() {
        let mut redactor = Redactor::new(false);
        assert_eq!(redactor.name("member", "ada"), "ada");
        let addr = ([8, 8, 8, 8], 53).into();
        assert_eq!(redactor.addr(addr), addr);
    }
}
