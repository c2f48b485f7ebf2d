//! Scenarios as bytes: fixed-size records, made from a seed or by a fuzzer.

use std::fmt;
use std::time::Duration;

use super::script::{Act, Home, Infrastructure, Scenario, Who};
use super::timeline::Timeline;
use crate::engine::Chance;
use crate::net::{Behavior, BoxRules, Law, LinkRules, Loss, NatRules, PortRule};

/// Sixteen bytes that say one thing: where a member lives, a fault with its end, something said.
///
/// | bytes | what |
/// |---|---|
/// | 0 | the kind; of the first record, which is about the whole, it is ignored |
/// | 1, 2 | who, and who else |
/// | 3 | in which order of magnitude the two times below are: two bits each |
/// | 4–5 | how long after the record before, as a share of that |
/// | 6–7 | how long it lasts |
/// | 8–15 | parameters of the kind |
///
/// A record means the same whatever stands around it, and bytes it does not need are ignored. So records can be deleted,
/// one by one or in heaps, without giving others a new meaning; what makes no sense where it stands does nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record(pub [u8; Record::SIZE]);

/// Kinds of faults and hardships. Of each scenario made from records about half are enabled at all: a world with a
/// little of everything never meets what only much of one thing brings about (swarm testing; Groce et al., 2012).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// Links that lose packets, independently.
    Loss,
    /// Links that lose packets in bursts.
    Burst,
    /// Links that duplicate packets.
    Duplicate,
    /// Links that reorder packets.
    Reorder,
    /// NATs whose mappings depend on the remote endpoint.
    Strict,
    /// NATs behind NATs.
    Stacked,
    /// NATs that forget soon.
    Forgetful,
    /// Members that are killed and start anew.
    Crash,
    /// Members that sleep and wake.
    Sleep,
    /// Members that leave and join again.
    Leave,
    /// Two members that cannot reach each other for a while.
    Sever,
    /// Some members that cannot reach the others for a while.
    Split,
    /// Links that become bad for a while.
    Relink,
    /// NATs that restart.
    Reboot,
    /// DHT nodes that are killed and start anew.
    Dht,
    /// STUN servers that are silent for a while.
    Stun,
}

impl Class {
    /// All classes, in the order of their bits.
    pub const ALL: [Self; 16] = [
        Self::Loss,
        Self::Burst,
        Self::Duplicate,
        Self::Reorder,
        Self::Strict,
        Self::Stacked,
        Self::Forgetful,
        Self::Crash,
        Self::Sleep,
        Self::Leave,
        Self::Sever,
        Self::Split,
        Self::Relink,
        Self::Reboot,
        Self::Dht,
        Self::Stun,
    ];
}

/// In lower case.
impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Say,
    Crash,
    Sleep,
    Leave,
    Sever,
    Split,
    Relink,
    Reboot,
    Dht,
    Stun,
    Calm,
    Home,
}

/// By the low four bits of the first byte; what happens most stands there more than once.
const KINDS: [Kind; 16] = [
    Kind::Say,
    Kind::Crash,
    Kind::Sleep,
    Kind::Leave,
    Kind::Sever,
    Kind::Split,
    Kind::Relink,
    Kind::Reboot,
    Kind::Dht,
    Kind::Stun,
    Kind::Calm,
    Kind::Home,
    Kind::Say,
    Kind::Crash,
    Kind::Sever,
    Kind::Say,
];

/// Members beyond this many live nowhere.
const MEMBERS: usize = 8;
/// Records beyond this many are ignored.
const RECORDS: usize = 512;

impl Record {
    /// Bytes of a record.
    pub const SIZE: usize = 16;

    /// The records in a string of bytes; what is left over at its end is ignored.
    pub fn all(bytes: &[u8]) -> Vec<Self> {
        bytes.chunks_exact(Self::SIZE).filter_map(|chunk| chunk.try_into().ok().map(Self)).collect()
    }

    /// The scenario that records make.
    ///
    /// Two members at least, open ones if the records name none, start and join. Then happens what the records say; and
    /// in the end, and wherever they ask for calm, all is mended, and everything owed must come.
    pub fn scenario(records: &[Self]) -> Scenario {
        let records = &records[..records.len().min(RECORDS)];
        let (first, rest) = records.split_first().unwrap_or((&Self([0; Self::SIZE]), &[]));
        let classes = Classes(u16::from_le_bytes([first.0[8], first.0[9]]));
        let homes = rest.iter().filter(|record| record.kind() == Kind::Home).take(MEMBERS);
        let mut homes: Vec<_> = homes.map(|record| record.home(classes)).collect();
        while homes.len() < 2 {
            homes.push(Home::open(Law::delay(10)));
        }
        let infrastructure = Infrastructure::usual();
        let mut timeline = Timeline::new(homes.len());
        for (n, record) in (1u16..).zip(rest) {
            record.happen(n, classes, &homes, &infrastructure, &mut timeline);
        }
        let note = classes.to_string();
        Scenario {
            name: String::new(),
            note,
            sites: Vec::new(),
            homes,
            infrastructure,
            steps: timeline.finish(),
            goals: Vec::new(),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        KINDS[usize::from(self.0[0] % 16)]
    }

    /// A kind's first byte.
    pub(super) fn byte_of(kind: Kind) -> u8 {
        KINDS.iter().position(|it| *it == kind).unwrap_or(0) as u8
    }

    fn word(&self, at: usize) -> u64 {
        u64::from(u16::from_le_bytes([self.0[at], self.0[at + 1]]))
    }

    /// Parameter number `n`, of eight, scaled to `0..bound`.
    fn below(&self, n: usize, bound: u64) -> u64 {
        (u64::from(self.0[8 + n]) * bound) >> 8
    }

    fn time(&self, bits: u8, at: usize, most: [u64; 4]) -> Duration {
        let most = most[usize::from(self.0[3] >> bits & 3)];
        Duration::from_millis((most * self.word(at)) >> 16)
    }

    /// Some things happen at once, some while others are being noticed, some long after.
    fn wait(&self) -> Duration {
        self.time(0, 4, [50, 2_000, 12_000, 60_000])
    }

    fn lasts(&self) -> Duration {
        self.time(2, 6, [200, 3_000, 20_000, 90_000])
    }

    fn happen(
        &self,
        n: u16,
        classes: Classes,
        homes: &[Home],
        infrastructure: &Infrastructure,
        timeline: &mut Timeline,
    ) {
        let (a, b) = (u16::from(self.0[1]) % MEMBERS as u16, u16::from(self.0[2]) % MEMBERS as u16);
        let (who, other) = (Who::One(a), Who::One(b));
        let kind = self.kind();
        if kind == Kind::Home {
            return;
        }
        timeline.wait(self.wait());
        let class = match kind {
            Kind::Calm => return timeline.calm(),
            Kind::Say | Kind::Home => None,
            Kind::Crash => Some(Class::Crash),
            Kind::Sleep => Some(Class::Sleep),
            Kind::Leave => Some(Class::Leave),
            Kind::Sever => Some(Class::Sever),
            Kind::Split => Some(Class::Split),
            Kind::Relink => Some(Class::Relink),
            Kind::Reboot => Some(Class::Reboot),
            Kind::Dht => Some(Class::Dht),
            Kind::Stun => Some(Class::Stun),
        };
        let named = [Kind::Dht, Kind::Stun, Kind::Split].contains(&kind)
            || (usize::from(a) < homes.len() && (kind != Kind::Sever || usize::from(b) < homes.len()));
        if class.is_some_and(|class| !classes.has(class)) || !named {
            return;
        }
        let (lasts, dht) = (self.lasts(), self.below(0, u64::from(infrastructure.dht_nodes)) as u16);
        let stun = self.below(0, infrastructure.stun.len() as u64) as u16;
        match kind {
            Kind::Say => timeline.say(Act::Say(who, 0)),
            Kind::Crash => {
                timeline.fault(n, lasts, &[Act::Crash(who)], &[Act::Start(who), Act::Join(who, 0)])
            }
            Kind::Sleep => timeline.fault(n, lasts, &[Act::Suspend(who)], &[Act::Resume(who)]),
            Kind::Leave => timeline.fault(n, lasts, &[Act::Leave(who, 0)], &[Act::Join(who, 0)]),
            Kind::Sever => {
                timeline.fault(n, lasts, &[Act::Sever(who, other)], &[Act::Rejoin(who, other)]);
            }
            Kind::Split => {
                let side = |n: usize| self.0[8] >> n & 1 == 1;
                let pairs = || {
                    let count = homes.len();
                    let all = (0..count).flat_map(move |a| (a + 1..count).map(move |b| (a, b)));
                    let apart = all.filter(|(a, b)| side(*a) != side(*b));
                    apart.map(|(a, b)| (Who::One(a as u16), Who::One(b as u16)))
                };
                let severed: Vec<_> = pairs().map(|(a, b)| Act::Sever(a, b)).collect();
                let rejoined: Vec<_> = pairs().map(|(a, b)| Act::Rejoin(a, b)).collect();
                timeline.fault(n, lasts, &severed, &rejoined);
            }
            Kind::Relink => {
                let link = homes[usize::from(a)].link;
                let bad = LinkRules { up: self.worse(link.up), down: self.worse(link.down) };
                timeline.fault(n, lasts, &[Act::Relink(who, bad)], &[Act::Restore(who)]);
            }
            Kind::Reboot => timeline.fault(n, Duration::ZERO, &[Act::Reboot(who)], &[]),
            Kind::Dht => timeline.fault(n, lasts, &[Act::DhtDown(dht)], &[Act::DhtUp(dht)]),
            Kind::Stun => timeline.fault(n, lasts, &[Act::StunDown(stun)], &[Act::StunUp(stun)]),
            Kind::Calm | Kind::Home => {}
        }
    }

    /// A link as it is on a bad day: slow, or lossy, or both.
    fn worse(&self, law: Law) -> Law {
        let loss = Loss::Independent(Chance::percent(self.below(0, 60) as u32));
        let delay = law.delay + Duration::from_millis(self.below(1, 400));
        Law { loss, delay, jitter: Duration::from_millis(self.below(2, 100)), ..law }
    }

    fn home(&self, classes: Classes) -> Home {
        let mut boxes = Vec::new();
        match self.below(0, 20) {
            0..5 => {}
            5..7 => boxes.push(BoxRules::FIREWALL),
            18.. if classes.has(Class::Stacked) => {
                boxes.extend([self.nat(1, classes), self.nat(2, classes)]);
            }
            _ => boxes.push(self.nat(1, classes)),
        }
        Home::behind(boxes, self.law(classes))
    }

    fn nat(&self, n: usize, classes: Classes) -> BoxRules {
        const KINDS: [Behavior; 3] =
            [Behavior::EndpointIndependent, Behavior::AddressDependent, Behavior::AddressAndPortDependent];
        let byte = u64::from(self.0[8 + n]);
        // Most NATs are endpoint-independent.
        let strict = classes.has(Class::Strict) && byte % 4 == 0;
        let mapping = if strict { KINDS[(byte / 4 % 3) as usize] } else { KINDS[0] };
        let filtering = KINDS[(byte / 12 % 3) as usize];
        let ports = [PortRule::Preserve, PortRule::Sequential(1), PortRule::Random][(byte / 36 % 3) as usize];
        let forgetful = classes.has(Class::Forgetful);
        let lifetime = Duration::from_secs(if forgetful { 30 } else { [60, 120, 300][(byte % 3) as usize] });
        BoxRules::Nat(NatRules {
            ports,
            lifetime,
            inbound_refresh: byte & 128 != 0,
            ..NatRules::new(mapping, filtering)
        })
    }

    fn law(&self, classes: Classes) -> Law {
        let mut law =
            Law { jitter: Duration::from_millis(self.below(3, 20)), ..Law::delay(1 + self.below(4, 80)) };
        let (chance, what) = (self.0[13], self.0[14]);
        if classes.has(Class::Burst) && what % 4 == 0 {
            let [enter, leave] = [Chance::ratio(5, 1_000), Chance::percent(20)];
            law.loss = Loss::Bursty { enter, leave, inside: Chance::percent(60) };
        } else if classes.has(Class::Loss) && what % 4 == 1 {
            law.loss = Loss::Independent(Chance::ratio(u32::from(chance) * 40 / 256, 1_000));
        }
        if classes.has(Class::Duplicate) && what / 4 % 4 == 0 {
            law.duplicate = Chance::percent(2);
        }
        if classes.has(Class::Reorder) && what / 16 % 4 == 0 {
            law.reorder = Chance::percent(3);
            law.held = Duration::from_millis(1 + self.below(7, 60));
        }
        law
    }
}

/// The classes that are enabled, a bit each.
#[derive(Clone, Copy, Debug)]
struct Classes(u16);

impl Classes {
    fn has(self, class: Class) -> bool {
        self.0 >> class as u8 & 1 == 1
    }
}

/// `drawn of crash, sleep`.
impl fmt::Display for Classes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list: Vec<_> =
            Class::ALL.into_iter().filter(|class| self.has(*class)).map(|class| class.to_string()).collect();
        write!(f, "drawn of {}", if list.is_empty() { "nothing".into() } else { list.join(", ") })
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    /// The steps of each fault, and when they happen if nothing is waited for.
    fn faults(scenario: &Scenario) -> Vec<(Option<u16>, Act)> {
        let faults = scenario.steps.iter().filter(|step| step.fault.is_some());
        faults.map(|step| (step.fault, step.act)).collect()
    }

    quickcheck! {
        fn any_bytes_are_a_scenario_that_reads_back(bytes: Vec<u8>) -> bool {
            let scenario = Record::scenario(&Record::all(&bytes));
            scenario.homes.len() >= 2 && scenario.to_string().parse() == Ok(scenario)
        }

        fn bytes_that_a_record_does_not_need_are_ignored(noise: Vec<u8>) -> bool {
            let mut crash = [0; 16];
            (crash[0], crash[7]) = (Record::byte_of(Kind::Crash), 9);
            let mut world = [0; 16];
            world[8..10].fill(255);
            let mut noisy = crash;
            for (byte, noise) in noisy[8..].iter_mut().zip(noise) {
                *byte = noise;
            }
            Record::scenario(&[Record(world), Record(crash)])
                == Record::scenario(&[Record(world), Record(noisy)])
        }
    }

    #[test]
    fn deleting_a_record_takes_one_fault_and_no_more() {
        let mut world = [0; 16];
        world[8..10].fill(255);
        let fault = |kind, who| {
            let mut bytes = [0; 16];
            (bytes[0], bytes[1], bytes[3], bytes[5], bytes[7]) = (Record::byte_of(kind), who, 0b0101, 90, 30);
            Record(bytes)
        };
        let [crash, sleep] = [fault(Kind::Crash, 0), fault(Kind::Sleep, 1)];
        let [reboot, say] = [fault(Kind::Reboot, 0), fault(Kind::Say, 0)];
        let whole = faults(&Record::scenario(&[Record(world), crash, sleep, reboot, say]));
        let less = faults(&Record::scenario(&[Record(world), crash, sleep, say]));
        let without: Vec<_> = whole.iter().copied().filter(|(fault, _)| *fault != Some(3)).collect();
        assert_eq!((less, whole.len()), (without, 6));
    }
}
