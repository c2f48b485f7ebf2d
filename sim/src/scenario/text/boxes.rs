//! Words to boxes: NATs, firewalls and what they let pass.

use super::parse::most;
use super::read::{Read, Word};
use crate::engine::Kind;
use crate::net::{Behavior, BoxRules, Full, Gateway, Hairpin, NatRules, Pooling, PortControl, PortRule};

pub(super) fn boxes(word: Word<'_>) -> Read<Vec<Gateway>> {
    if word.text == "open" {
        return Ok(Vec::new());
    }
    let list: Vec<_> = word.split('/').map(gateway).collect::<Result<_, _>>()?;
    if list.len() > most::BOXES {
        return Err(word.flaw(format!("there are more than {} boxes before a member", most::BOXES)));
    }
    Ok(list)
}

fn gateway(word: Word<'_>) -> Read<Gateway> {
    const EXPECTED: &str =
        "v6:RULES, nat64, pool:4, only:53:443, no:KIND, per-second:100 or no-fragments after an `&`";
    let mut parts = word.split('&');
    let v4 = parts.next().map_or_else(|| Err(word.not("what stands before the member")), a_box)?;
    let mut gateway = Gateway::new(v4);
    for part in parts {
        match (part.text, part.halves(':')) {
            ("nat64", _) => gateway.nat64 = true,
            ("no-fragments", _) => gateway.policy.fragments = false,
            (_, Some((Word { text: "v6", .. }, rules))) => gateway.v6 = Some(a_box(rules)?),
            (_, Some((Word { text: "pool", .. }, count))) => {
                gateway.pool = count.number(255, "the number of addresses")? as u8;
            }
            (_, Some((Word { text: "per-second", .. }, rate))) => {
                let rate = rate.number(u64::from(u32::MAX), "the number of packets a second")?;
                gateway.policy.per_second = Some(rate as u32);
            }
            (_, Some((Word { text: "no", .. }, kind))) => {
                let found = Kind::ALL.into_iter().find(|it| it.to_string() == kind.text);
                let expected = "a kind of packet: stun, dtls, channel, krpc or other";
                gateway.policy.inspects = Some(found.ok_or_else(|| kind.not(expected))?);
            }
            (_, Some((Word { text: "only", .. }, ports))) => {
                let (a, b) = ports.halves(':').ok_or_else(|| ports.not("two ports, such as 53:443"))?;
                let port = |word: Word<'_>| word.number(65_535, "a port").map(|port| port as u16);
                gateway.policy.ports = Some([port(a)?, port(b)?]);
            }
            _ => return Err(part.not(EXPECTED)),
        }
    }
    Ok(gateway)
}

fn a_box(word: Word<'_>) -> Read<BoxRules> {
    const EXPECTED: &str =
        "`open`, `firewall`, `udp-blocked` or a NAT by mapping and filtering, such as eim+apdf";
    let mut parts = word.split(',');
    let Some(kind) = parts.next() else { return Err(word.not(EXPECTED)) };
    let mut rules = match (kind.text, kind.halves('+')) {
        ("firewall", _) => BoxRules::FIREWALL,
        ("udp-blocked", _) => BoxRules::UdpBlocked,
        ("router", _) => BoxRules::Router,
        ("clat", _) => BoxRules::Clat,
        (_, Some((Word { text: "firewall", .. }, filter))) => {
            let mut rules = BoxRules::FIREWALL;
            if let BoxRules::Firewall { filtering: by, .. } = &mut rules {
                *by = filtering(filter)?;
            }
            rules
        }
        (_, Some((map, filter))) => {
            let mapping = match map.text {
                "eim" => Behavior::EndpointIndependent,
                "adm" => Behavior::AddressDependent,
                "apdm" => Behavior::AddressAndPortDependent,
                _ => return Err(map.not("a mapping: eim, adm or apdm")),
            };
            BoxRules::nat(mapping, filtering(filter)?)
        }
        (_, None) => return Err(kind.not(EXPECTED)),
    };
    for option in parts {
        let Some((key, value)) = option.halves('=') else {
            return Err(option.not("an option such as lifetime=30s"));
        };
        match &mut rules {
            BoxRules::Nat(nat) => nat_option(nat, key, value)?,
            BoxRules::Firewall { lifetime, unreplied, settles, inbound_refresh, .. } => match key.text {
                "lifetime" => *lifetime = value.duration()?,
                "unreplied" => *unreplied = value.duration()?,
                "settles" => *settles = value.duration()?,
                "refresh" => *inbound_refresh = refresh(value)?,
                _ => return Err(key.not("lifetime, unreplied, settles or refresh")),
            },
            BoxRules::UdpBlocked | BoxRules::Router | BoxRules::Clat => {
                return Err(key.flaw(format!("`{}` has no options", kind.text)));
            }
        }
    }
    Ok(rules)
}

fn filtering(word: Word<'_>) -> Read<Behavior> {
    Ok(match word.text {
        "eif" => Behavior::EndpointIndependent,
        "adf" => Behavior::AddressDependent,
        "apdf" => Behavior::AddressAndPortDependent,
        _ => return Err(word.not("a filtering: eif, adf or apdf")),
    })
}

fn nat_option(nat: &mut NatRules, key: Word<'_>, value: Word<'_>) -> Read<()> {
    match key.text {
        "ports" => {
            nat.ports = match (value.text, value.halves(':')) {
                ("preserve", _) => PortRule::Preserve,
                ("overload", _) => PortRule::Overload,
                ("per-flow", _) => PortRule::PerFlow,
                ("random", _) => PortRule::Random,
                (_, Some((Word { text: "block", .. }, size))) => {
                    PortRule::Block(size.number(65_535, "the size of a block")? as u16)
                }
                (step, _) if step.starts_with(['+', '-']) => {
                    let expected = "a step between ports, such as +1 or -2";
                    PortRule::Sequential(step.parse().map_err(|_| value.not(expected))?)
                }
                _ => {
                    let expected =
                        "`preserve`, `overload`, `per-flow`, `random`, `block:1024` or a step such as +1";
                    return Err(value.not(expected));
                }
            }
        }
        "range" => {
            let (low, high) = value.halves(':').ok_or_else(|| value.not("two ports, such as 1024:65535"))?;
            let port = |word: Word<'_>| word.number(65_535, "a port").map(|port| port as u16);
            nat.range = (port(low)?, port(high)?);
            if nat.range.0 > nat.range.1 {
                return Err(value.flaw("that range of ports is empty"));
            }
        }
        "parity" if value.text == "kept" => nat.parity = true,
        "parity" => return Err(value.not("`kept`")),
        "strangers" if value.text == "taken" => nat.strangers = true,
        "strangers" => return Err(value.not("`taken`")),
        "others" => nat.others = value.number(65_535, "the number of mappings a second")? as u16,
        "settles" => nat.settles = value.duration()?,
        "filter-age" => nat.filter_age = Some(value.duration()?),
        "per-host" => nat.per_host = Some(value.number(65_535, "the number of mappings")? as usize),
        "full" => {
            nat.full = match value.text {
                "drop" => Full::Drop,
                "evict" => Full::Evict,
                _ => return Err(value.not("`drop` or `evict`")),
            }
        }
        "new-per-second" => {
            nat.per_second = Some(value.number(1 << 31, "the number of mappings a second")? as u32);
        }
        "pooling" => {
            nat.pooling = match value.text {
                "paired" => Pooling::Paired,
                "arbitrary" => Pooling::Arbitrary,
                _ => return Err(value.not("`paired` or `arbitrary`")),
            }
        }
        "lifetime" => nat.lifetime = value.duration()?,
        "unreplied" => nat.unreplied = value.duration()?,
        "refresh" => nat.inbound_refresh = refresh(value)?,
        "hairpin" => {
            nat.hairpin = match value.text {
                "none" => Hairpin::None,
                "external" => Hairpin::External,
                "internal" => Hairpin::Internal,
                _ => return Err(value.not("`none`, `external` or `internal`")),
            }
        }
        "control" => {
            nat.control = match value.text {
                "none" => PortControl::None,
                "nat-pmp" => PortControl::NatPmp,
                "pcp" => PortControl::Pcp,
                _ => return Err(value.not("`none`, `nat-pmp` or `pcp`")),
            }
        }
        "capacity" => nat.capacity = value.number(65_535, "the number of mappings")? as usize,
        _ => {
            let expected = "ports, range, parity, others, pooling, lifetime, unreplied, settles, filter-age, refresh, \
                            strangers, hairpin, capacity, per-host, full, new-per-second or control";
            return Err(key.not(expected));
        }
    }
    Ok(())
}

fn refresh(value: Word<'_>) -> Read<bool> {
    match value.text {
        "out" => Ok(false),
        "both" => Ok(true),
        _ => Err(value.not("`out` or `both`")),
    }
}
