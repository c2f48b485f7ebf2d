use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use str0m::net::Protocol;
use str0m::{Candidate, CandidateKind};

use crate::base::{Scope, SocketId, SocketInfo, Time};
use crate::limits;

/// A check that went out less than this ago may still be answered; a fresh pair would not know the answer. Twice as long
/// after each kick, since the way may be longer than that, and a pair that is kicked before any answer can come never succeeds.
const PATIENCE: Duration = Duration::from_millis(250);

/// Longer than any way there is, and back.
const MAX_PATIENCE: Duration = Duration::from_secs(4);

/// Once a path is found, every other address has had this long to answer, or is checked no more (RFC 8445 §8.1.1 ends all other checks then; a
/// second address that answers is kept, for the day when the path dies).
const TRIAL: Duration = Duration::from_secs(2);

/// How long nothing at all came from the path in use, while data comes from elsewhere, until it is checked anew. Of an end that still used the
/// path, a ping would have come in this time.
const DESERTED: Duration = Duration::from_millis(2_500);

/// The local ends that str0m is told of, and what is known of the remote ones.
///
/// str0m wants each local candidate to have an address, and every datagram to say to which it came. Our sockets are
/// mostly bound to the wildcard, and which address of the machine a peer sees is for the routing table to say. So each
/// socket stands behind one made-up address (of the blocks for documentation, RFC 5737 and RFC 3849): one local candidate per
/// socket, and the true address is remembered per remote.
#[derive(Debug)]
pub(super) struct Paths {
    sockets: Vec<SocketId>,
    stand_ins: Vec<SocketAddr>,
    remotes: Vec<Remote>,
    kicks: u16,
}

/// One address of the other end.
#[derive(Debug)]
struct Remote {
    addr: SocketAddr,
    /// As str0m has it; none for an address that only showed itself as the source of a check.
    candidate: Option<Candidate>,
    /// Whether it sent STUN with the credentials of this link.
    proven: bool,
    /// The socket and the address of ours at which it was last heard.
    heard_at: Option<(SocketId, Option<IpAddr>)>,
    /// When that was.
    heard: Option<Time>,
    /// Since when it is checked.
    tried: Time,
    /// It is checked no more, for it never answered. str0m takes not even checks from there, until it is renewed.
    parked: bool,
    /// When a check last went there.
    checked: Option<Time>,
    /// How long the answer to that may take.
    patience: Duration,
}

/// What str0m must do so that an address is checked at once, with a pair that knows nothing of the past.
pub(super) struct Kick {
    /// Learn this first: what str0m discovered itself it forgets only under a name of ours.
    pub(super) adopt: Option<Candidate>,
    /// Forget this.
    pub(super) forget: Candidate,
    /// Learn this.
    pub(super) learn: Candidate,
}

impl Remote {
    fn new(addr: SocketAddr, candidate: Option<Candidate>, now: Time) -> Self {
        Self {
            addr,
            candidate,
            proven: false,
            heard_at: None,
            heard: None,
            tried: now,
            parked: false,
            checked: None,
            patience: PATIENCE,
        }
    }
}

impl Paths {
    /// The paths from these sockets; no more than [`limits::LINK_SOCKETS`] are used.
    pub(super) fn new(sockets: &[SocketInfo]) -> Self {
        let sockets = || sockets.iter().take(limits::LINK_SOCKETS).zip(1u8..);
        Self {
            stand_ins: sockets().map(|(socket, n)| stand_in(socket.bound, n)).collect(),
            sockets: sockets().map(|(socket, _)| socket.id).collect(),
            remotes: Vec::new(),
            kicks: 0,
        }
    }

    /// What stands for the sockets, in str0m's eyes.
    pub(super) fn stand_ins(&self) -> &[SocketAddr] {
        &self.stand_ins
    }

    /// What stands for this socket.
    pub(super) fn stand_in(&self, socket: SocketId) -> Option<SocketAddr> {
        let at = self.sockets.iter().position(|id| *id == socket)?;
        self.stand_ins.get(at).copied()
    }

    /// The socket for which `stand_in` stands, and the address of ours to send from to `remote`.
    pub(super) fn resolve(
        &self,
        stand_in: SocketAddr,
        remote: SocketAddr,
    ) -> Option<(SocketId, Option<IpAddr>)> {
        let at = self.stand_ins.iter().position(|addr| *addr == stand_in)?;
        let socket = *self.sockets.get(at)?;
        let heard_at = self.remote(remote).and_then(|remote| remote.heard_at);
        Some((socket, heard_at.filter(|(id, _)| *id == socket).and_then(|(_, local)| local)))
    }

    /// Whether the other end was said to be, or has proven to be, at `addr`.
    pub(super) fn knows(&self, addr: SocketAddr) -> bool {
        self.remote(addr).is_some()
    }

    /// Learns an address from outside: the candidate for str0m, or `None` if it is known, useless, or one too many.
    pub(super) fn add(&mut self, addr: SocketAddr, now: Time) -> Option<Candidate> {
        let addr = normalised(addr);
        let useless = addr.port() == 0
            || Scope::of(addr.ip()) == Scope::Unusable
            || !self.stand_ins.iter().any(|local| local.is_ipv4() == addr.is_ipv4());
        let added = self.remotes.iter().filter(|remote| remote.candidate.is_some()).count();
        if useless || added >= limits::LINK_REMOTES {
            return None;
        }
        let candidate = candidate(addr, 0);
        match self.remote_mut(addr) {
            Some(remote) if remote.candidate.is_some() => return None,
            Some(remote) => remote.candidate = Some(candidate.clone()),
            None => self.remotes.push(Remote::new(addr, Some(candidate.clone()), now)),
        }
        Some(candidate)
    }

    /// Whether the other end has proven to be at `addr`.
    pub(super) fn is_proven(&self, addr: SocketAddr) -> bool {
        self.remote(addr).is_some_and(|remote| remote.proven)
    }

    /// STUN whose integrity is proven came from `addr`; `false` if nobody told us of it and there were too many of those.
    pub(super) fn prove(&mut self, addr: SocketAddr, now: Time) -> bool {
        if let Some(remote) = self.remote_mut(addr) {
            remote.proven = true;
            return true;
        }
        let room = self.remotes.len() < limits::LINK_SOURCES;
        if room {
            self.remotes.push(Remote { proven: true, ..Remote::new(addr, None, now) });
        }
        room
    }

    /// A datagram came from `addr` to `socket`, at `local`.
    pub(super) fn heard(&mut self, now: Time, addr: SocketAddr, socket: SocketId, local: Option<IpAddr>) {
        if let Some(remote) = self.remote_mut(addr) {
            remote.heard_at = Some((socket, local));
            remote.heard = Some(now);
        }
    }

    /// A check went to `addr`.
    pub(super) fn checked(&mut self, addr: SocketAddr, now: Time) {
        if let Some(remote) = self.remote_mut(addr) {
            remote.checked = Some(now);
        }
    }

    /// How to have `addr` checked at once. `None` if it is unknown, if a check went there just now, or if the link has
    /// had its share: str0m remembers every candidate it ever had.
    pub(super) fn kick(&mut self, addr: SocketAddr, now: Time) -> Option<Kick> {
        // Hints may be many; half of the share is for paths that die.
        let spent = self.kicks >= limits::LINK_KICKS / 2;
        let remote = self.remote_mut(addr)?;
        let early = remote.checked.is_some_and(|checked| now - checked < remote.patience);
        if early || spent {
            return None;
        }
        remote.patience = (remote.patience * 2).min(MAX_PATIENCE);
        self.renew(addr, now)
    }

    /// As [`Paths::kick`], no matter when the last check went there: what is in use may be dead.
    pub(super) fn renew(&mut self, addr: SocketAddr, now: Time) -> Option<Kick> {
        if self.kicks >= limits::LINK_KICKS {
            return None;
        }
        // A candidate is told from its predecessors by its related address.
        let generation = self.kicks * 2 + 1;
        let remote = self.remote_mut(addr)?;
        (remote.tried, remote.parked) = (now, false);
        let learn = candidate(addr, generation + 1);
        let (adopt, forget) = match remote.candidate.replace(learn.clone()) {
            Some(before) => (None, before),
            None => (Some(candidate(addr, generation)), candidate(addr, generation)),
        };
        self.kicks += 1;
        Some(Kick { adopt, forget, learn })
    }

    /// What is to be forgotten, for nothing came from there since it was tried; nothing while `path` itself is in doubt.
    pub(super) fn park(&mut self, now: Time, path: SocketAddr) -> Vec<Candidate> {
        let works = |remote: &Remote| remote.heard.is_some_and(|heard| heard >= remote.tried);
        if !self.remote(path).is_some_and(works) {
            return Vec::new();
        }
        let idle = |remote: &&mut Remote| !remote.parked && now - remote.tried >= TRIAL && !works(remote);
        let parked = self.remotes.iter_mut().filter(idle).filter_map(|remote| {
            remote.parked = remote.candidate.is_some();
            remote.candidate.clone()
        });
        parked.collect()
    }

    /// Whether `addr` is checked no more.
    pub(super) fn is_parked(&self, addr: SocketAddr) -> bool {
        self.remote(addr).is_some_and(|remote| remote.parked)
    }

    /// Whether what `from` sends shows that `path` is dead: the other end uses another address than we do, and from ours
    /// nothing came for a while.
    pub(super) fn deserted(&self, path: SocketAddr, from: SocketAddr, now: Time) -> bool {
        path != from
            && self.remote(path).is_some_and(|remote| remote.heard.is_none_or(|heard| now - heard > DESERTED))
    }

    /// All addresses of the other end.
    pub(super) fn remotes(&self) -> impl Iterator<Item = SocketAddr> {
        self.remotes.iter().map(|remote| remote.addr)
    }

    fn remote(&self, addr: SocketAddr) -> Option<&Remote> {
        self.remotes.iter().find(|remote| remote.addr == addr)
    }

    fn remote_mut(&mut self, addr: SocketAddr) -> Option<&mut Remote> {
        self.remotes.iter_mut().find(|remote| remote.addr == addr)
    }
}

/// An address as it is compared: without IPv6's flow label, which differs from packet to packet.
pub(super) fn normalised(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V6(v6) => SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id()).into(),
        v4 => v4,
    }
}

fn stand_in(bound: SocketAddr, n: u8) -> SocketAddr {
    let ip: IpAddr = match bound {
        SocketAddr::V4(_) => Ipv4Addr::new(192, 0, 2, n).into(),
        SocketAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n.into()).into(),
    };
    SocketAddr::new(ip, bound.port())
}

/// All addresses of the other end have the same priority: whichever answers first is nominated, and that is the fastest.
fn candidate(addr: SocketAddr, generation: u16) -> Candidate {
    const PRIORITY: u32 = 126 << 24 | 65_535 << 8 | 255;
    let related = SocketAddr::new(addr.ip(), generation);
    let foundation = "1".to_owned();
    let kind = CandidateKind::Host;
    Candidate::from_parts(foundation, 1, Protocol::Udp, PRIORITY, addr, kind, Some(related), None, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(id: u16, bound: &str) -> SocketInfo {
        SocketInfo { id: SocketId(id), bound: bound.parse().unwrap(), addrs: Vec::new() }
    }

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn sockets_and_their_stand_ins() {
        let mut paths = Paths::new(&[socket(7, "0.0.0.0:4000"), socket(9, "[::]:4001")]);
        assert_eq!(paths.stand_ins(), [addr("192.0.2.1:4000"), addr("[2001:db8::2]:4001")]);
        let remote = addr("203.0.113.5:99");
        assert!(paths.add(remote, Time::ZERO).is_some());
        assert!(paths.add(remote, Time::ZERO).is_none());
        assert_eq!(paths.resolve(addr("192.0.2.1:4000"), remote), Some((SocketId(7), None)));
        let local = Some(addr("10.0.0.3:0").ip());
        paths.heard(Time::ZERO, remote, SocketId(7), local);
        assert_eq!(paths.resolve(addr("192.0.2.1:4000"), remote), Some((SocketId(7), local)));
        assert_eq!(paths.resolve(addr("[2001:db8::2]:4001"), remote), Some((SocketId(9), None)));
        assert_eq!(paths.resolve(addr("192.0.2.9:4000"), remote), None);
    }

    #[test]
    fn useless_addresses_and_too_many() {
        let mut paths = Paths::new(&[socket(1, "0.0.0.0:4000")]);
        for useless in ["0.0.0.0:1", "224.0.0.1:1", "255.255.255.255:1", "1.2.3.4:0", "[2001:db8::1]:1"] {
            assert!(paths.add(addr(useless), Time::ZERO).is_none(), "{useless}");
        }
        let added =
            (1..100u16).filter(|port| paths.add(([9, 9, 9, 9], *port).into(), Time::ZERO).is_some()).count();
        assert_eq!(added, limits::LINK_REMOTES);
        let found =
            (100..300u16).filter(|port| paths.prove(([9, 9, 9, 9], *port).into(), Time::ZERO)).count();
        assert_eq!(found, limits::LINK_SOURCES - limits::LINK_REMOTES);
    }

    #[test]
    fn kicks_wait_for_answers_and_end() {
        let mut paths = Paths::new(&[socket(1, "0.0.0.0:4000")]);
        let remote = addr("203.0.113.5:99");
        assert!(paths.kick(remote, Time::ZERO).is_none());
        paths.add(remote, Time::ZERO);
        paths.checked(remote, Time::ZERO);
        assert!(paths.kick(remote, Time::from_millis(249)).is_none());
        assert!(paths.kick(remote, Time::from_millis(250)).is_some_and(|kick| kick.adopt.is_none()));
        let kicks = (1..1_000).filter(|s| paths.kick(remote, Time::from_millis(s * 5_000)).is_some()).count();
        assert_eq!(kicks, usize::from(limits::LINK_KICKS) / 2 - 1);
        let renewals = (0..1_000).filter(|_| paths.renew(remote, Time::ZERO).is_some()).count();
        assert_eq!(renewals, usize::from(limits::LINK_KICKS) / 2);
    }

    #[test]
    fn what_never_answers_is_parked_until_renewed() {
        let mut paths = Paths::new(&[socket(1, "0.0.0.0:4000")]);
        let (dead, live) = (addr("203.0.113.5:99"), addr("203.0.113.6:99"));
        paths.add(dead, Time::ZERO);
        paths.add(live, Time::ZERO);
        paths.heard(Time::from_millis(30), live, SocketId(1), None);
        assert!(paths.park(Time::from_millis(1_999), live).is_empty());
        assert_eq!(
            paths.park(Time::from_millis(2_000), live).iter().map(Candidate::addr).collect::<Vec<_>>(),
            [dead]
        );
        assert!(paths.is_parked(dead) && !paths.is_parked(live));
        assert!(paths.park(Time::from_millis(60_000), live).is_empty());
        // Told of again, it is not checked again; a sign of life from it is another matter.
        assert!(paths.add(dead, Time::from_millis(60_000)).is_none());
        assert!(paths.renew(dead, Time::from_millis(60_000)).is_some());
        assert!(!paths.is_parked(dead));
        assert_eq!(paths.park(Time::from_millis(62_000), live).len(), 1);
    }

    #[test]
    fn an_answer_that_takes_two_seconds_is_waited_for() {
        let mut paths = Paths::new(&[socket(1, "0.0.0.0:4000")]);
        let remote = addr("203.0.113.5:99");
        paths.add(remote, Time::ZERO);
        // A hint every 100 ms, and a check to an address that was kicked goes out at once.
        let mut longest = (Time::ZERO, Duration::ZERO);
        for now in (0..100).map(|n| Time::from_millis(n * 100)) {
            if now == Time::ZERO || paths.kick(remote, now).is_some() {
                longest = (now, longest.1.max(now - longest.0));
                paths.checked(remote, now);
            }
        }
        assert!(longest.1 >= Duration::from_secs(2), "{longest:?}");
    }
}
