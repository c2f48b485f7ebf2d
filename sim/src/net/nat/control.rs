//! Opening ports on request: NAT-PMP (RFC 6886) and the MAP opcode of PCP (RFC 6887), for UDP and IPv4.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use folkmoot_core::base::Time;

use super::{Key, Nat, Remote};
use crate::engine::Draws;
use crate::net::DropReason;

/// With which protocols hosts inside can have a NAT open ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PortControl {
    /// None.
    #[default]
    None,
    /// NAT-PMP (RFC 6886).
    NatPmp,
    /// PCP (RFC 6887), and NAT-PMP beside it: the first byte of a request tells which it is (RFC 6887, appendix A).
    Pcp,
}

/// A port that was opened, on request or by hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forward {
    pub(super) external: SocketAddr,
    pub(super) until: Time,
    /// Who may change it, if it was asked for by PCP (RFC 6887, section 11.2).
    nonce: Option<Nonce>,
}

type Nonce = [u8; 12];

/// Where NAT-PMP and PCP servers listen (RFC 6887, section 19.1).
pub const CONTROL_PORT: u16 = 5_351;

/// No mapping is promised for longer, whatever is asked for (RFC 6887, section 15), nor by PCP for less.
const LONGEST: u32 = 86_400;
const SHORTEST: u32 = 120;

/// When who was refused may ask again, in seconds: what nothing changes soon, and what may (RFC 6887, section 7.4).
const LONG_REFUSAL: u32 = 1_800;
const SHORT_REFUSAL: u32 = 30;

/// The largest PCP message, and the headers that each and a MAP begin with, in bytes (RFC 6887, sections 7 and 11.1).
const MAX_PCP: usize = 1_100;
const HEADER: usize = 24;
const MAP: usize = 60;

const PCP: u8 = 2;
const UDP: u8 = 17;
/// What makes an opcode that of an answer, in both protocols.
const ANSWER: u8 = 0x80;

/// NAT-PMP's opcodes and result codes (RFC 6886, sections 3.2, 3.3 and 3.5).
mod nat_pmp {
    pub(super) const ADDRESS: u8 = 0;
    pub(super) const MAP_UDP: u8 = 1;
    pub(super) const SUCCESS: u16 = 0;
    pub(super) const UNSUPPORTED_VERSION: u16 = 1;
    pub(super) const OUT_OF_RESOURCES: u16 = 4;
    pub(super) const UNSUPPORTED_OPCODE: u16 = 5;
}

/// PCP's opcodes (RFC 6887, section 19.2).
const ANNOUNCE: u8 = 0;
const MAP_OPCODE: u8 = 1;

/// What a host inside asks for, in either protocol.
#[derive(Clone, Copy)]
struct Request<'a> {
    now: Time,
    /// The NAT's, in seconds.
    epoch: u32,
    from: SocketAddr,
    opcode: u8,
    bytes: &'a [u8],
}

/// Why PCP refuses (RFC 6887, section 7.4).
#[derive(Clone, Copy)]
enum Refusal {
    UnsuppVersion = 1,
    NotAuthorized = 2,
    MalformedRequest = 3,
    UnsuppOpcode = 4,
    UnsuppOption = 5,
    NoResources = 8,
    UnsuppProtocol = 9,
    AddressMismatch = 12,
}

impl Nat {
    /// What it answers to a datagram from `from` inside to its [`CONTROL_PORT`], if [`NatRules::control`](super::NatRules::control) says
    /// that it answers at all.
    ///
    /// Its epoch (RFC 6886, section 3.6) begins with the first request after it booted.
    pub fn control(&mut self, now: Time, draws: &Draws, from: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
        let (&version, rest) = bytes.split_first()?;
        let &opcode = rest.first()?;
        if self.rules.control == PortControl::None || opcode & ANSWER != 0 {
            return None;
        }
        let epoch = (now - *self.epoch.get_or_insert(now)).as_secs() as u32;
        let request = Request { now, epoch, from, opcode, bytes };
        match (self.rules.control, version) {
            (_, 0) => self.nat_pmp(draws, request),
            (PortControl::Pcp, _) => Some(self.pcp(draws, request)),
            _ => Some(nat_pmp_answer(opcode, nat_pmp::UNSUPPORTED_VERSION, epoch)),
        }
    }

    /// Opens a port for `inside` until `until`, as PCP's MAP does (RFC 6887, section 11): whoever sends there is heard, and what
    /// `inside` sends leaves from there. The external port is `wanted` if it is free.
    ///
    /// # Errors
    ///
    /// [`DropReason::Exhausted`] if there is no port, or as many as [`NatRules::capacity`](super::NatRules::capacity) are open.
    pub fn open_port(
        &mut self,
        now: Time,
        draws: &Draws,
        inside: SocketAddr,
        wanted: u16,
        until: Time,
    ) -> Result<SocketAddr, DropReason> {
        self.forwards.retain(|_, forward| forward.until > now);
        if let Some(forward) = self.forwards.get_mut(&inside) {
            forward.until = until;
            return Ok(forward.external);
        }
        if self.forwards.len() >= self.rules.capacity {
            return Err(DropReason::Exhausted);
        }
        let key = Key { inside, to: Remote::Any };
        let ip = self.address(draws, inside).ok_or(DropReason::Exhausted)?;
        let asked = SocketAddr::new(ip, wanted);
        let opened = self.forwards.values().any(|it| it.external == asked);
        let external = if wanted == 0 || opened || self.is_taken(now, asked, key) {
            self.external(now, draws, key).ok_or(DropReason::Exhausted)?
        } else {
            asked
        };
        self.made += 1;
        self.forwards.insert(inside, Forward { external, until, nonce: None });
        Ok(external)
    }

    pub(super) fn forward_of(&self, now: Time, inside: SocketAddr) -> Option<SocketAddr> {
        self.forwards.get(&inside).filter(|forward| forward.until > now).map(|forward| forward.external)
    }

    fn nat_pmp(&mut self, draws: &Draws, request: Request<'_>) -> Option<Vec<u8>> {
        let Request { now, epoch, from, opcode, bytes } = request;
        match opcode {
            nat_pmp::ADDRESS => {
                let mut answer = nat_pmp_answer(opcode, nat_pmp::SUCCESS, epoch);
                let IpAddr::V4(ip) = self.address(draws, from)? else { return None };
                answer.extend(ip.octets());
                Some(answer)
            }
            nat_pmp::MAP_UDP => {
                let [internal, wanted] = [u16_at(bytes, 4)?, u16_at(bytes, 6)?];
                let lifetime = u32_at(bytes, 8)?;
                let inside = SocketAddr::new(from.ip(), internal);
                let (result, external, granted) = if lifetime == 0 {
                    // Port 0 stands for all of this host (section 3.4).
                    self.forwards.retain(|of, _| of.ip() != from.ip() || (internal != 0 && *of != inside));
                    (nat_pmp::SUCCESS, 0, 0)
                } else {
                    let granted = lifetime.min(LONGEST);
                    match self.open_port(now, draws, inside, wanted, now + seconds(granted)) {
                        Ok(external) => (nat_pmp::SUCCESS, external.port(), granted),
                        Err(_) => (nat_pmp::OUT_OF_RESOURCES, 0, 0),
                    }
                };
                let mut answer = nat_pmp_answer(opcode, result, epoch);
                answer.extend(internal.to_be_bytes());
                answer.extend(external.to_be_bytes());
                answer.extend(granted.to_be_bytes());
                Some(answer)
            }
            _ => {
                // The whole request comes back (section 3.5).
                let mut answer = bytes.to_vec();
                answer.resize(bytes.len().max(4), 0);
                answer[1] |= ANSWER;
                answer[2..4].copy_from_slice(&nat_pmp::UNSUPPORTED_OPCODE.to_be_bytes());
                Some(answer)
            }
        }
    }

    fn pcp(&mut self, draws: &Draws, request: Request<'_>) -> Vec<u8> {
        let Request { epoch, opcode, bytes, .. } = request;
        // An answer is as long as its request, filled up to whole words (section 8.2).
        let length = bytes.len().clamp(HEADER, MAX_PCP).next_multiple_of(4);
        let mut answer = bytes[..bytes.len().min(length)].to_vec();
        answer.resize(length, 0);
        let (result, lifetime) = match self.pcp_mapped(draws, request) {
            Ok(None) => (0, 0),
            Ok(Some((external, lifetime))) => {
                answer[42..44].copy_from_slice(&external.port().to_be_bytes());
                answer[44..60].copy_from_slice(&mapped(external.ip()));
                (0, lifetime)
            }
            Err(refusal @ Refusal::NoResources) => (refusal as u8, SHORT_REFUSAL),
            Err(refusal) => (refusal as u8, LONG_REFUSAL),
        };
        answer[..4].copy_from_slice(&[PCP, ANSWER | opcode, 0, result]);
        answer[4..8].copy_from_slice(&lifetime.to_be_bytes());
        answer[8..12].copy_from_slice(&epoch.to_be_bytes());
        answer[12..HEADER].fill(0);
        answer
    }

    /// Does what a PCP request asks for. Gives back the external endpoint and its lifetime in seconds, if it is about one.
    fn pcp_mapped(
        &mut self,
        draws: &Draws,
        request: Request<'_>,
    ) -> Result<Option<(SocketAddr, u32)>, Refusal> {
        let Request { now, from, opcode, bytes, .. } = request;
        if bytes[0] != PCP {
            return Err(Refusal::UnsuppVersion);
        }
        if bytes.len() < HEADER || bytes.len() > MAX_PCP || !bytes.len().is_multiple_of(4) {
            return Err(Refusal::MalformedRequest);
        }
        if bytes[8..HEADER] != mapped(from.ip()) {
            return Err(Refusal::AddressMismatch);
        }
        let head = match opcode {
            ANNOUNCE => return Ok(None),
            MAP_OPCODE => bytes.first_chunk::<MAP>().ok_or(Refusal::MalformedRequest)?,
            _ => return Err(Refusal::UnsuppOpcode),
        };
        // Options from 128 on are optional to process (section 7.3).
        let mut options = &bytes[MAP..];
        while let [code, _, high, low, rest @ ..] = options {
            if *code < 128 {
                return Err(Refusal::UnsuppOption);
            }
            let length = usize::from(u16::from_be_bytes([*high, *low])).next_multiple_of(4);
            options = rest.get(length..).ok_or(Refusal::MalformedRequest)?;
        }
        let nonce: Nonce = std::array::from_fn(|at| head[HEADER + at]);
        let internal = u16::from_be_bytes([head[40], head[41]]);
        let wanted = u16::from_be_bytes([head[42], head[43]]);
        let lifetime = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        if head[36] != UDP || internal == 0 {
            return Err(Refusal::UnsuppProtocol);
        }
        let inside = SocketAddr::new(from.ip(), internal);
        let known = self.forwards.get(&inside).filter(|forward| forward.until > now).copied();
        if known.and_then(|forward| forward.nonce).is_some_and(|other| other != nonce) {
            return Err(Refusal::NotAuthorized);
        }
        if lifetime == 0 {
            self.forwards.remove(&inside);
            return Ok(known.map(|forward| (forward.external, 0)));
        }
        let granted = lifetime.clamp(SHORTEST, LONGEST);
        let external = self.open_port(now, draws, inside, wanted, now + seconds(granted));
        let external = external.map_err(|_| Refusal::NoResources)?;
        if let Some(forward) = self.forwards.get_mut(&inside) {
            forward.nonce = Some(nonce);
        }
        Ok(Some((external, granted)))
    }
}

/// What each of NAT-PMP's answers begins with.
fn nat_pmp_answer(opcode: u8, result: u16, epoch: u32) -> Vec<u8> {
    let mut answer = vec![0, ANSWER | opcode];
    answer.extend(result.to_be_bytes());
    answer.extend(epoch.to_be_bytes());
    answer
}

/// As PCP writes addresses of both families: an IPv4 one as `::ffff:a.b.c.d` (RFC 6887, section 5).
pub(crate) fn mapped(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// The number at a place of a message, if it is as long as that.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

/// As [`u16_at`].
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Behavior, NatRules};

    const DRAWS: Draws = Draws::new(7);
    const STRICT: Behavior = Behavior::AddressAndPortDependent;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn secs(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    fn nat(control: PortControl) -> Nat {
        let rules = NatRules { control, ..NatRules::new(STRICT, STRICT) };
        Nat::new(1, rules, vec!["198.51.100.7".parse().unwrap()])
    }

    fn map(lifetime: u32, nonce: u8, internal: u16, external: u16) -> Vec<u8> {
        let mut request = vec![PCP, MAP_OPCODE, 0, 0];
        request.extend(lifetime.to_be_bytes());
        request.extend(mapped("192.168.1.10".parse().unwrap()));
        request.extend([nonce; 12]);
        request.extend([UDP, 0, 0, 0]);
        request.extend(internal.to_be_bytes());
        request.extend(external.to_be_bytes());
        request.extend([0; 16]);
        request
    }

    fn ask(nat: &mut Nat, at: u64, request: &[u8]) -> Option<Vec<u8>> {
        nat.control(secs(at), &DRAWS, addr("192.168.1.10:40000"), request)
    }

    fn result(answer: &[u8]) -> u8 {
        answer[3]
    }

    #[test]
    fn nat_pmp_opens_renews_and_closes() {
        let mut nat = nat(PortControl::NatPmp);
        let stranger = addr("203.0.113.9:9");
        let (inside, outside) = (addr("192.168.1.10:5000"), addr("198.51.100.7:7000"));
        // RFC 6886, section 3.2: version, opcode; section 3.3: two reserved bytes, ports, lifetime.
        let address = ask(&mut nat, 10, &[0, 0]).unwrap();
        assert_eq!(address, [0, 128, 0, 0, 0, 0, 0, 0, 198, 51, 100, 7]);
        let open = [0, 1, 0, 0, 0x13, 0x88, 0x1b, 0x58, 0, 0, 0, 100];
        let opened = ask(&mut nat, 13, &open).unwrap();
        assert_eq!(opened, [0, 129, 0, 0, 0, 0, 0, 3, 0x13, 0x88, 0x1b, 0x58, 0, 0, 0, 100]);
        assert_eq!(nat.inbound(secs(112), stranger, outside), Ok(inside));
        assert_eq!(nat.outbound(secs(112), &DRAWS, inside, stranger), Ok(outside));
        assert!(nat.inbound(secs(113), stranger, outside).is_err(), "its time is over");
        ask(&mut nat, 120, &open).unwrap();
        ask(&mut nat, 200, &open).unwrap();
        assert_eq!(nat.inbound(secs(299), stranger, outside), Ok(inside));
        let closed = ask(&mut nat, 299, &[0, 1, 0, 0, 0x13, 0x88, 0, 0, 0, 0, 0, 0]).unwrap();
        assert_eq!(closed[8..], [0x13, 0x88, 0, 0, 0, 0, 0, 0]);
        assert!(nat.inbound(secs(299), stranger, outside).is_err());
    }

    #[test]
    fn nat_pmp_refuses_what_it_does_not_know() {
        let mut nat = nat(PortControl::NatPmp);
        assert_eq!(ask(&mut nat, 0, &map(600, 1, 5_000, 0)).unwrap()[..4], [0, 129, 0, 1], "PCP");
        let tcp = [0, 2, 0, 0, 0, 1, 0, 1, 0, 0, 0, 9];
        assert_eq!(ask(&mut nat, 0, &tcp).unwrap(), [0, 130, 0, 5, 0, 1, 0, 1, 0, 0, 0, 9]);
        assert_eq!(ask(&mut nat, 0, &[0, 3]).unwrap(), [0, 131, 0, 5]);
        for silent in [&[][..], &[0], &[0, 128], &[0, 1, 0, 0, 0x13]] {
            assert_eq!(ask(&mut nat, 0, silent), None, "{silent:?}");
        }
        let mut mute = self::nat(PortControl::None);
        assert_eq!(ask(&mut mute, 0, &[0, 0]), None);
    }

    #[test]
    fn pcp_opens_for_whoever_has_the_nonce() {
        let mut nat = nat(PortControl::Pcp);
        let stranger = addr("203.0.113.9:9");
        let opened = ask(&mut nat, 100, &map(10, 1, 5_000, 7_000)).unwrap();
        // RFC 6887, section 7.2: version, R and opcode, reserved, result, lifetime (not as short as asked for), epoch.
        assert_eq!(opened[..12], [2, 129, 0, 0, 0, 0, 0, 120, 0, 0, 0, 0]);
        // Section 11.1: nonce, protocol, ports, the external address.
        assert_eq!(opened[24..36], [1; 12]);
        assert_eq!(opened[36..44], [17, 0, 0, 0, 0x13, 0x88, 0x1b, 0x58]);
        assert_eq!(opened[44..], mapped("198.51.100.7".parse().unwrap()));
        let outside = addr("198.51.100.7:7000");
        assert_eq!(nat.inbound(secs(219), stranger, outside), Ok(addr("192.168.1.10:5000")));
        assert_eq!(
            result(&ask(&mut nat, 110, &map(600, 2, 5_000, 0)).unwrap()),
            Refusal::NotAuthorized as u8
        );
        assert_eq!(result(&ask(&mut nat, 110, &map(0, 2, 5_000, 0)).unwrap()), Refusal::NotAuthorized as u8);
        let kept = ask(&mut nat, 110, &map(600, 1, 5_000, 0)).unwrap();
        assert_eq!(
            (&kept[8..12], &kept[42..44]),
            (&[0, 0, 0, 10][..], &[0x1b, 0x58][..]),
            "the same port, 10 s on"
        );
        let closed = ask(&mut nat, 120, &map(0, 1, 5_000, 0)).unwrap();
        assert_eq!(closed[3..8], [0; 5]);
        assert!(nat.inbound(secs(121), stranger, outside).is_err());
        assert_eq!(ask(&mut nat, 121, &[0, 0]).unwrap()[..2], [0, 128], "NAT-PMP beside it");
    }

    #[test]
    fn pcp_refuses_with_the_right_code() {
        let mut nat = nat(PortControl::Pcp);
        let good = map(600, 1, 5_000, 0);
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut request = good.clone();
            change(&mut request);
            request
        };
        let cases: [(Vec<u8>, Refusal); 8] = [
            (with(&|it| it[0] = 1), Refusal::UnsuppVersion),
            (with(&|it| it[1] = 2), Refusal::UnsuppOpcode),
            (with(&|it| it.truncate(40)), Refusal::MalformedRequest),
            (with(&|it| it.push(0)), Refusal::MalformedRequest),
            (with(&|it| it[23] = 11), Refusal::AddressMismatch),
            (with(&|it| it[36] = 6), Refusal::UnsuppProtocol),
            (with(&|it| it.extend([2, 0, 0, 0])), Refusal::UnsuppOption),
            (with(&|it| it.extend([128, 0, 0, 9])), Refusal::MalformedRequest),
        ];
        for (request, refusal) in cases {
            let answer = ask(&mut nat, 0, &request).unwrap();
            assert_eq!(result(&answer), refusal as u8);
            assert!(answer.len().is_multiple_of(4) && answer[4..8] == LONG_REFUSAL.to_be_bytes());
        }
        assert_eq!(result(&ask(&mut nat, 0, &with(&|it| it.extend([128, 0, 0, 0]))).unwrap()), 0);
        assert_eq!(result(&ask(&mut nat, 0, &good[..HEADER]).unwrap()), Refusal::MalformedRequest as u8);
        assert_eq!(ask(&mut nat, 0, &with(&|it| it[1] |= ANSWER)), None, "an answer");
        assert_eq!(ask(&mut nat, 0, &with(&|it| it[1] = ANNOUNCE)).unwrap()[..4], [2, 128, 0, 0]);
        let huge = [&good[..], &[0; 4_000]].concat();
        assert_eq!(ask(&mut nat, 0, &huge).unwrap().len(), MAX_PCP);
    }

    #[test]
    fn a_reboot_closes_all_and_shows_in_the_epoch() {
        let mut nat = nat(PortControl::Pcp);
        ask(&mut nat, 0, &map(600, 1, 5_000, 7_000)).unwrap();
        assert_eq!(ask(&mut nat, 60, &[0, 0]).unwrap()[4..8], [0, 0, 0, 60]);
        nat.reboot();
        assert!(nat.inbound(secs(61), addr("203.0.113.9:9"), addr("198.51.100.7:7000")).is_err());
        assert_eq!(ask(&mut nat, 70, &[0, 0]).unwrap()[4..8], [0; 4]);
    }

    #[test]
    fn without_a_port_left_it_says_so() {
        let rules =
            NatRules { control: PortControl::Pcp, range: (4_000, 4_000), ..NatRules::new(STRICT, STRICT) };
        let mut nat = Nat::new(1, rules, vec!["198.51.100.7".parse().unwrap()]);
        nat.outbound(secs(0), &DRAWS, addr("192.168.1.11:1"), addr("203.0.113.9:9")).unwrap();
        let answer = ask(&mut nat, 1, &map(600, 1, 5_000, 0)).unwrap();
        assert_eq!(
            (result(&answer), &answer[4..8]),
            (Refusal::NoResources as u8, &SHORT_REFUSAL.to_be_bytes()[..])
        );
        let answer = ask(&mut nat, 1, &[0, 1, 0, 0, 0x13, 0x88, 0, 0, 0, 0, 0, 100]).unwrap();
        assert_eq!(answer[..4], [0, 129, 0, 4]);
    }
}
