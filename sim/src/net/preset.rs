//! Boxes by the name of what they are, so that a scenario says `mobile` and not ten numbers.
//!
//! Those that begin with `linux` do what Linux's kernel does, which `interop/kernel_nat.py` checks. The others are classes:
//! what is common among devices of that kind, by RFC 4787's words and the studies of the field. No device in particular is meant.

use std::time::Duration;

use thiserror::Error;

use super::{Behavior, BoxRules, Full, Gateway, Hairpin, NatRules, Policy, Pooling, PortRule, Stack};

const EI: Behavior = Behavior::EndpointIndependent;
const AD: Behavior = Behavior::AddressDependent;
const APD: Behavior = Behavior::AddressAndPortDependent;

/// Where a host may live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preset {
    /// The boxes between it and the internet, innermost first.
    pub boxes: Vec<Gateway>,
    /// The address families it uses.
    pub stack: Stack,
}

/// There is no such preset.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("there is no kind of network `{0}`; `moot-sim nat` lists those there are")]
pub struct UnknownPreset(pub String);

/// The names of all presets, with what each is.
pub const PRESETS: [(&str, &str); 33] = [
    ("open", "a host on the internet itself, IPv4"),
    ("open-dual", "the same with both families"),
    ("firewall", "a public address behind a stateful firewall"),
    ("home", "a home router: endpoint-independent mapping, strict filter, ports kept, 2 min"),
    ("home-dual", "the same, with IPv6 behind a firewall (RFC 6092)"),
    ("home-long", "a home router after RFC 4787's wishes: 5 min, hairpin, refreshed from both sides"),
    ("home-cone", "a home router that lets anyone in: full cone"),
    ("home-restricted", "a home router that lets in whom was sent to, at any port"),
    ("home-short", "a home router that forgets after 30 s"),
    ("home-symmetric", "a home router with a new random port for every remote endpoint"),
    ("home-sequential", "the same, with ports in sequence, which others use too"),
    ("home-linux", "a home router with Linux inside, that drops what it did not ask for"),
    ("home-in-home", "a home router behind another"),
    ("home-cgn", "a home router behind a carrier's NAT of the good kind"),
    ("ds-lite", "home with IPv6, and IPv4 only through a carrier's NAT (RFC 6333)"),
    ("mobile", "a phone behind a carrier's NAT: full cone, blocks of ports, 1 min"),
    ("mobile-dual", "the same, with IPv6 behind a firewall"),
    ("mobile-symmetric", "a phone behind a carrier's NAT that is symmetric, with addresses from a pool"),
    ("mobile-464xlat", "a phone with IPv6 only, and IPv4 through 464XLAT"),
    ("mobile-v6", "a phone with IPv6 only, and no way to IPv4 that a node knows"),
    ("office", "an office: symmetric, random ports, 2 min"),
    ("office-two-ports", "an office that lets UDP out to ports 53 and 443 alone"),
    ("hotel", "UDP is blocked"),
    ("dpi-dtls", "a home router behind a provider that drops DTLS"),
    ("dpi-dht", "a home router behind a provider that drops BitTorrent's DHT"),
    ("cloud", "a virtual machine behind a cloud's NAT: symmetric, random ports, 350 s"),
    ("linux-bare", "nftables' masquerade and nothing else"),
    ("linux-random", "nftables' masquerade random"),
    ("linux-fully-random", "nftables' masquerade fully-random"),
    ("linux-port-range", "nftables' snat to a range of ports"),
    ("linux-pool", "nftables' snat to four addresses"),
    ("linux-pool-persistent", "the same, persistent"),
    ("linux-firewall", "nftables' ct state established accept, and drop"),
];

/// The preset of that name.
///
/// # Errors
///
/// If there is none.
pub fn preset(name: &str) -> Result<Preset, UnknownPreset> {
    let v4 = |boxes: Vec<Gateway>| Preset { boxes, stack: Stack::V4 };
    let dual = |boxes: Vec<Gateway>| Preset { boxes, stack: Stack::Dual };
    let home = NatRules { ports: PortRule::Preserve, ..NatRules::new(EI, APD) };
    let symmetric = NatRules::new(APD, APD);
    let nat = |rules| Gateway::new(BoxRules::Nat(rules));
    let with_v6 = |rules| nat(rules).with_v6(BoxRules::FIREWALL);
    // RFC 6888: paired pooling, endpoint-independent both ways, a limit for each subscriber.
    let carrier = NatRules {
        ports: PortRule::Block(1_024),
        lifetime: Duration::from_secs(60),
        per_host: Some(1_024),
        hairpin: Hairpin::External,
        ..NatRules::new(EI, EI)
    };
    let bad_carrier = NatRules {
        lifetime: Duration::from_secs(60),
        pooling: Pooling::Arbitrary,
        full: Full::Evict,
        ..symmetric
    };
    let linux = NatRules { strangers: true, ..NatRules::LINUX };
    let linux_random = NatRules { mapping: APD, ports: PortRule::Random, ..linux };
    Ok(match name {
        "open" => v4(vec![]),
        "open-dual" => dual(vec![]),
        "firewall" => v4(vec![BoxRules::FIREWALL.into()]),
        "home" => v4(vec![nat(home)]),
        "home-dual" => dual(vec![with_v6(home)]),
        "home-long" => v4(vec![nat(NatRules {
            lifetime: Duration::from_secs(300),
            hairpin: Hairpin::External,
            inbound_refresh: true,
            ..home
        })]),
        "home-cone" => v4(vec![nat(NatRules { filtering: EI, ..home })]),
        "home-restricted" => v4(vec![nat(NatRules { filtering: AD, ..home })]),
        "home-short" => v4(vec![nat(NatRules { lifetime: Duration::from_secs(30), ..home })]),
        "home-symmetric" => v4(vec![nat(symmetric)]),
        "home-sequential" => {
            v4(vec![nat(NatRules { ports: PortRule::Sequential(1), others: 2, ..symmetric })])
        }
        "home-linux" => v4(vec![nat(NatRules::LINUX)]),
        "home-in-home" => v4(vec![nat(home), nat(home)]),
        "home-cgn" => v4(vec![nat(home), nat(carrier).with_pool(16)]),
        "ds-lite" => dual(vec![
            Gateway::new(BoxRules::Router).with_v6(BoxRules::FIREWALL),
            nat(carrier).with_v6(BoxRules::Router).with_pool(16),
        ]),
        "mobile" => v4(vec![nat(carrier).with_pool(16)]),
        "mobile-dual" => dual(vec![with_v6(carrier).with_pool(16)]),
        "mobile-symmetric" => v4(vec![nat(bad_carrier).with_pool(4)]),
        "mobile-464xlat" => {
            dual(vec![Gateway::CLAT, Gateway::nat64(BoxRules::Nat(carrier), BoxRules::FIREWALL)])
        }
        "mobile-v6" => {
            let only = Gateway::nat64(BoxRules::Nat(carrier), BoxRules::FIREWALL);
            Preset { boxes: vec![only], stack: Stack::V6 }
        }
        "office" => v4(vec![nat(symmetric)]),
        "office-two-ports" => v4(vec![nat(symmetric).with_policy(Policy::WEB_AND_DNS)]),
        "hotel" => v4(vec![BoxRules::UdpBlocked.into()]),
        "dpi-dtls" => v4(vec![nat(home), Gateway::new(BoxRules::Router).with_policy(Policy::NO_DTLS)]),
        "dpi-dht" => v4(vec![nat(home), Gateway::new(BoxRules::Router).with_policy(Policy::NO_DHT)]),
        "cloud" => v4(vec![nat(NatRules { lifetime: Duration::from_secs(350), ..symmetric })]),
        "linux-bare" => v4(vec![nat(linux)]),
        "linux-random" | "linux-fully-random" => v4(vec![nat(linux_random)]),
        "linux-port-range" => v4(vec![nat(NatRules { range: (40_000, 44_095), ..linux })]),
        "linux-pool" => v4(vec![nat(NatRules { pooling: Pooling::Arbitrary, ..linux }).with_pool(4)]),
        "linux-pool-persistent" => v4(vec![nat(linux).with_pool(4)]),
        "linux-firewall" => v4(vec![BoxRules::LINUX_FIREWALL.into()]),
        _ => return Err(UnknownPreset(name.into())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one() {
        for (name, _) in PRESETS {
            assert!(preset(name).is_ok(), "{name}");
        }
        assert_eq!(preset("moon"), Err(UnknownPreset("moon".into())));
    }
}
