use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use folkmoot_core::base::{InfoHash, Time};

use super::law::Law;
use crate::engine::{Draws, Subject};

/// Who joins a swarm when and through whom, and who looks for what: a function of a few numbers, so that the same can be
/// done in virtual time and on real sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What happens is a function of it.
    pub seed: u64,
    /// How many machines join.
    pub nodes: u32,
    /// How many topics are announced by one and then searched by another, once all are there.
    pub lookups: u32,
    /// Where they are.
    pub site: Site,
}

/// Where the machines of a swarm are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// Each in a network of its own: lognormal round trips with a median of 120 ms, and 2 % loss in each direction.
    Internet,
    /// On one machine, at ports from this one on: a quarter of a millisecond each way, and nothing is lost.
    Loopback(u16),
}

/// So many are there from the beginning.
const FOUNDERS: u32 = 16;
const PORT: u16 = 6_881;
/// How long a datagram takes on one machine.
const LOOPBACK: Duration = Duration::from_micros(250);

const TURN: u32 = 0x5a00_0000;
const TOPIC: Subject = Subject::Scenario(0x5a01);
const SEAT: Subject = Subject::Scenario(0x5a02);

/// The times of a plan, which a machine alone with itself need not wait for.
struct Times {
    /// The network doubles in this time while it grows.
    doubling: Duration,
    /// From the last join to the first lookup.
    settling: Duration,
    /// Between two lookups.
    pause: Duration,
    /// Between announcing and searching.
    rest: Duration,
    /// After the last.
    ending: Duration,
}

impl Plan {
    /// When a machine joins: all founders at once, then so many that the network doubles again and again.
    pub fn joins_at(&self, number: u32) -> Time {
        let doubling = self.times().doubling;
        let Some(octave) = (number / FOUNDERS).checked_ilog2() else { return Time::ZERO };
        let begin = FOUNDERS << octave;
        let within = doubling.as_micros() as u64 * u64::from(number - begin) / u64::from(begin);
        Time::ZERO + doubling * octave + Duration::from_micros(within)
    }

    /// Through whom: three of those who have been there for some time; the founders ask each other.
    pub fn hosts(&self, number: u32) -> Vec<SocketAddr> {
        let earlier = number.saturating_sub(number / 16);
        match number {
            0..FOUNDERS => (0..number).map(|other| self.address(other)).collect(),
            _ => (0..3).map(|host| self.address(self.pick(number, host, earlier))).collect(),
        }
    }

    /// What lookup number `number` is for.
    pub fn topic(&self, number: u32) -> InfoHash {
        let mut topic = InfoHash([0; 20]);
        topic.0.copy_from_slice(&self.draws().bytes(TOPIC, number.into())[..20]);
        topic
    }

    /// Who announces it.
    pub fn announcer(&self, number: u32) -> u32 {
        self.pick(number, 10, self.nodes)
    }

    /// Who searches it: somebody else, if there is anybody.
    pub fn seeker(&self, number: u32) -> u32 {
        let steps = 1 + self.pick(number, 11, self.nodes.saturating_sub(1));
        (self.announcer(number) + steps) % self.nodes.max(1)
    }

    /// When it is announced.
    pub fn announces_at(&self, number: u32) -> Time {
        let Times { settling, pause, .. } = self.times();
        self.joins_at(self.nodes) + settling + pause * number
    }

    /// When it is searched.
    pub fn searches_at(&self, number: u32) -> Time {
        self.announces_at(number) + self.times().rest
    }

    /// When all is over.
    pub fn ends_at(&self) -> Time {
        self.searches_at(self.lookups) + self.times().ending
    }

    /// The randomness of one call of a machine.
    pub fn entropy(&self, number: u32, turn: u32) -> [u8; 32] {
        self.draws().bytes(Subject::Host(TURN ^ number), turn.into())
    }

    /// Where a machine is. In the internet each is alone in its /24, and neighbours in number are strangers; distinct below
    /// 3.9 million.
    pub fn address(&self, number: u32) -> SocketAddr {
        match self.site {
            Site::Internet => {
                let (first, rest) = (20 + number % 60, number / 60);
                let last = 10 + number % 200;
                let ip = Ipv4Addr::new(first as u8, rest as u8, (rest >> 8) as u8, last as u8);
                SocketAddr::from((ip, PORT))
            }
            Site::Loopback(port) => SocketAddr::from((Ipv4Addr::LOCALHOST, port.wrapping_add(number as u16))),
        }
    }

    /// Who is there, if anybody is.
    pub fn number(&self, addr: SocketAddr) -> Option<u32> {
        let IpAddr::V4(ip) = addr.ip() else { return None };
        let number = match self.site {
            Site::Internet => {
                let [first, low, high, _] = ip.octets();
                let rest = u32::from(high) << 8 | u32::from(low);
                rest * 60 + u32::from(first).checked_sub(20)?
            }
            Site::Loopback(port) => addr.port().checked_sub(port)?.into(),
        };
        (number < self.nodes && self.address(number) == addr).then_some(number)
    }

    /// How long a datagram takes from one machine to another; `None` if it is lost, which follows from its `index`.
    pub(super) fn passage(&self, law: &Law, index: u64, from: u32, to: u32) -> Option<Duration> {
        match self.site {
            Site::Internet => {
                (!law.loses(index)).then(|| law.rtt(from.min(to).into(), from.max(to).into()) / 2)
            }
            Site::Loopback(_) => Some(LOOPBACK),
        }
    }

    /// No datagram takes less than this.
    pub(super) fn shortest_passage(&self) -> Duration {
        match self.site {
            Site::Internet => Duration::from_micros(Law::SHORTEST_RTT.as_micros() as u64 / 2),
            Site::Loopback(_) => LOOPBACK,
        }
    }

    fn times(&self) -> Times {
        let [doubling, settling, pause, rest, ending] = match self.site {
            Site::Internet => [10_000, 30_000, 20, 10_000, 15_000],
            Site::Loopback(_) => [1_000, 3_000, 20, 1_000, 1_500],
        }
        .map(Duration::from_millis);
        Times { doubling, settling, pause, rest, ending }
    }

    fn draws(&self) -> Draws {
        Draws::new(self.seed)
    }

    fn pick(&self, number: u32, what: u64, among: u32) -> u32 {
        self.draws().below(SEAT, u64::from(number) << 8 | what, among.into()) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(site: Site) -> Plan {
        Plan { seed: 1, nodes: 3_900_000, lookups: 9, site }
    }

    #[test]
    fn addresses_and_numbers() {
        let plan = plan(Site::Internet);
        for n in (0..3_900_000).step_by(997) {
            assert_eq!(plan.number(plan.address(n)), Some(n));
        }
        assert_eq!(plan.number(([8, 8, 8, 8], PORT).into()), None);
        assert_eq!(plan.number(([30, 8, 8, 8], 1).into()), None);
        let local = Plan { nodes: 200, site: Site::Loopback(20_000), ..plan };
        assert!((0..200).all(|n| local.number(local.address(n)) == Some(n)));
        assert_eq!(local.number(local.address(200)), None);
    }

    #[test]
    fn it_doubles_every_ten_seconds() {
        let plan = plan(Site::Internet);
        let at = |number| plan.joins_at(number).as_millis();
        assert_eq!(
            [at(0), at(31), at(32), at(48), at(64), at(16 << 7)],
            [0, 9_375, 10_000, 15_000, 20_000, 70_000]
        );
        assert!((0..5_000).map(|number| plan.joins_at(number)).is_sorted());
    }

    #[test]
    fn nobody_searches_what_they_announced() {
        let plan = Plan { nodes: 16, ..plan(Site::Internet) };
        for number in 0..500 {
            let (announcer, seeker) = (plan.announcer(number), plan.seeker(number));
            assert!(announcer < 16 && seeker < 16 && announcer != seeker);
        }
    }
}
