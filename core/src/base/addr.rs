use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

/// How far an address reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Nobody can be reached there, or only something that is not for us: unspecified, multicast, broadcast, reserved, and
    /// 192.0.0/24, where networks keep their own services (RFC 6890).
    Unusable,
    /// This machine.
    Loopback,
    /// This link: 169.254/16, fe80::/10.
    Link,
    /// A private network: 10/8, 172.16/12, 192.168/16, 100.64/10 (RFC 6598), fc00::/7; and 192.0.0.0/29, which is this end of
    /// IPv4 carried over an IPv6 network (RFC 7335).
    Private,
    /// The internet.
    Global,
}

impl Scope {
    /// The scope of `ip`; of an IPv4-mapped IPv6 address, that of the IPv4 address.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Self {
        let [a, b, c, d] = ip.octets();
        if ip.is_loopback() {
            Self::Loopback
        } else if ip.is_link_local() {
            Self::Link
        } else if ip.is_private() || (a == 100 && b & 0xc0 == 64) || ([a, b, c] == [192, 0, 0] && d < 8) {
            Self::Private
        } else if a == 0 || a >= 224 || [a, b, c] == [192, 0, 0] {
            Self::Unusable
        } else {
            Self::Global
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        let first = ip.segments()[0];
        if ip.is_loopback() {
            Self::Loopback
        } else if first & 0xffc0 == 0xfe80 {
            Self::Link
        } else if first & 0xfe00 == 0xfc00 {
            Self::Private
        } else if ip.is_unspecified() || first & 0xff00 == 0xff00 {
            Self::Unusable
        } else {
            Self::Global
        }
    }

    /// Whether addresses of this scope are exempt from rules about distinct networks, because all of them may
    /// belong to one person: loopback, link-local and private ones.
    pub fn is_local(self) -> bool {
        matches!(self, Self::Loopback | Self::Link | Self::Private)
    }
}

/// The network an address belongs to, for limits per network: its /24, or its /64 in IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(IpAddr);

impl Prefix {
    /// The network of `ip`.
    pub fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Ipv4Addr::new(a, b, c, 0).into()
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        })
    }
}

/// A server given by the user: an address, or a name to be resolved each time it is needed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// An address and port.
    Addr(SocketAddr),
    /// A name and port.
    Name(String, u16),
}

/// A text that is not `HOST:PORT`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HostError {
    /// There is no `:PORT`.
    #[error(
        "`{0}` has no port; write HOST:PORT, as in 203.0.113.7:6881, [2001:db8::1]:6881 or dht.example.org:6881"
    )]
    NoPort(String),
    /// The port is not a number from 1 to 65535.
    #[error("`{0}` is not a port; a port is a number from 1 to 65535")]
    BadPort(String),
    /// The host is neither an address nor a name.
    #[error("`{0}` is neither an IP address nor a host name")]
    BadHost(String),
    /// An IPv6 address without its brackets, so that it is not clear where the port begins.
    #[error("an IPv6 address is put in brackets here, as in [2001:db8::1]:6881, and `{0}` has none")]
    NoBrackets(String),
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let text = text.trim();
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return if addr.port() == 0 { Err(HostError::BadPort("0".into())) } else { Ok(Self::Addr(addr)) };
        }
        if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
            && inner.parse::<Ipv6Addr>().is_ok()
        {
            return Err(HostError::NoPort(text.into()));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| HostError::NoPort(text.into()))?;
        if text.parse::<Ipv6Addr>().is_ok() || host.parse::<Ipv6Addr>().is_ok() {
            return Err(HostError::NoBrackets(text.into()));
        }
        let port = match port.parse::<u16>() {
            Ok(0) | Err(_) => return Err(HostError::BadPort(port.into())),
            Ok(port) => port,
        };
        let is_name_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        let looks_like_v4 = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if host.is_empty() || host.len() > 253 || looks_like_v4 || !host.bytes().all(is_name_byte) {
            return Err(HostError::BadHost(host.into()));
        }
        Ok(Self::Name(host.to_ascii_lowercase(), port))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addr(addr) => addr.fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes() {
        let scope = |ip: &str| Scope::of(ip.parse().unwrap());
        assert_eq!(scope("127.0.0.5"), Scope::Loopback);
        assert_eq!(scope("::ffff:10.1.2.3"), Scope::Private);
        assert_eq!(scope("100.127.0.1"), Scope::Private);
        assert_eq!(scope("169.254.9.9"), Scope::Link);
        assert_eq!(scope("0.1.2.3"), Scope::Unusable);
        assert_eq!(scope("192.0.0.4"), Scope::Private, "this end of 464XLAT");
        assert_eq!(scope("192.0.0.8"), Scope::Unusable);
        assert_eq!(scope("192.0.0.170"), Scope::Unusable);
        assert_eq!(scope("192.0.1.1"), Scope::Global);
        assert_eq!(scope("224.0.0.1"), Scope::Unusable);
        assert_eq!(scope("8.8.8.8"), Scope::Global);
        assert_eq!(scope("fd00::1"), Scope::Private);
        assert_eq!(scope("fe80::1"), Scope::Link);
        assert_eq!(scope("::"), Scope::Unusable);
        assert_eq!(scope("2001:db8::1"), Scope::Global);
    }

    #[test]
    fn hosts() {
        assert_eq!("127.0.0.1:80".parse(), Ok(Host::Addr(([127, 0, 0, 1], 80).into())));
        assert_eq!("Dht.Example.org:6881".parse(), Ok(Host::Name("dht.example.org".into(), 6881)));
        assert!(matches!("example.org".parse::<Host>(), Err(HostError::NoPort(_))));
        assert!(matches!("1.2.3.4:0".parse::<Host>(), Err(HostError::BadPort(_))));
        assert!(matches!("1.2.3.4:99999".parse::<Host>(), Err(HostError::BadPort(_))));
        assert!(matches!("1.2.3:5".parse::<Host>(), Err(HostError::BadHost(_))));
        assert!(matches!(":5".parse::<Host>(), Err(HostError::BadHost(_))));
        assert_eq!("[2001:db8::1]:5".parse(), Ok(Host::Addr("[2001:db8::1]:5".parse().unwrap())));
        assert!(matches!("[2001:db8::1]".parse::<Host>(), Err(HostError::NoPort(_))));
        for bare in ["::1", "::1:6881", "2001:db8::1", "2001:db8:1:2:3:4:5:6:6881"] {
            assert!(matches!(bare.parse::<Host>(), Err(HostError::NoBrackets(_))), "{bare}");
        }
    }
}
