use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use folkmoot_core::base::Time;
use folkmoot_sim::engine::Draws;
use folkmoot_sim::net::{Behavior, Nat, NatRules, PortControl};

use crate::bytes::Bytes;

const ROUTER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// The largest PCP message (RFC 6887, section 7), in bytes.
const LONGEST: usize = 1_100;

/// Whatever three hosts ask a NAT for ports, and send through it: it answers shortly, answers no answers, and who is told that
/// a port is open is reached through it.
pub fn port_control(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let control = if bytes.u8() & 1 == 0 { PortControl::Pcp } else { PortControl::NatPmp };
    let strict = Behavior::AddressAndPortDependent;
    let rules = NatRules { control, capacity: 64, ..NatRules::new(strict, strict) };
    let mut nat = Nat::new(1, rules, vec![ROUTER.into()]);
    let (draws, mut now) = (Draws::new(1), Time::ZERO);
    let stranger = SocketAddr::from(([203, 0, 113, 9], 9));
    while !bytes.is_empty() {
        let [kind, seconds] = bytes.array();
        now += Duration::from_secs(seconds.into());
        let host = Ipv4Addr::new(192, 168, 1, 10 + kind % 3);
        if kind >= 0xf0 {
            let _ = nat.outbound(now, &draws, (host, bytes.u16()).into(), stranger);
            continue;
        }
        let length = usize::from(bytes.u8());
        let request = bytes.slice(length);
        let Some(answer) = nat.control(now, &draws, (host, 40_000).into(), request) else { continue };
        assert!(answer.len() <= LONGEST.max(request.len()));
        assert_eq!(nat.control(now, &draws, (host, 40_000).into(), &answer), None);
        let port = |at: usize| u16::from_be_bytes([answer[at], answer[at + 1]]);
        let opened = match answer[..] {
            [0, 129, 0, 0, ..] if answer[12..16] != [0; 4] => Some((port(8), port(10))),
            [2, 129, _, 0, ..] if answer[4..8] != [0; 4] => Some((port(40), port(42))),
            _ => None,
        };
        if let Some((internal, external)) = opened {
            let reached = nat.inbound(now, stranger, (ROUTER, external).into());
            assert_eq!(reached, Ok((host, internal).into()));
        }
    }
}
