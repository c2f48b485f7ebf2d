//! Scenarios as bytes: fixed-size records, made from a seed or by a fuzzer.

mod class;
mod place;
mod surroundings;

use std::time::Duration;

pub use self::class::Class;
pub(super) use self::class::Classes;
use super::script::{Act, Disk, Home, Infrastructure, Place, Scenario, Site, Who};
use super::timeline::Timeline;
use crate::engine::{Chance, Clock};
use crate::net::{Law, LinkRules, Loss, Rate};

/// Sixteen bytes that say one thing: where a member lives, a fault with its end, something said.
///
/// | bytes | what |
/// |---|---|
/// | 0 | the kind; of the first record, which is about the whole, the generation: 128 and more is the second |
/// | 1, 2 | who, and who else |
/// | 3 | in which order of magnitude the two times below are: two bits each |
/// | 4–5 | how long after the record before, as a share of that |
/// | 6–7 | how long it lasts |
/// | 8–15 | parameters of the kind |
///
/// The second generation has more [kinds](Class) of faults, and networks that members share. A record means the same whatever stands around it, and bytes it does not need are ignored. So records can be deleted,
/// one by one or in heaps, without giving others a new meaning; what makes no sense where it stands does nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record(pub [u8; Record::SIZE]);

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
    Site,
    Move,
    Renumber,
    Unplug,
    Clock,
    Disk,
    Entries,
    Mute,
}

/// By the low four bits of the first byte, or the low five in the second generation; what happens most stands there more than once.
const KINDS: [Kind; 32] = [
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
    Kind::Site,
    Kind::Move,
    Kind::Renumber,
    Kind::Unplug,
    Kind::Clock,
    Kind::Disk,
    Kind::Entries,
    Kind::Mute,
    Kind::Say,
    Kind::Say,
    Kind::Say,
    Kind::Crash,
    Kind::Sleep,
    Kind::Relink,
    Kind::Reboot,
    Kind::Move,
];

/// How records are read; it is written in the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    First,
    Second,
}

/// Members beyond this many live nowhere.
const MEMBERS: usize = 8;
/// Networks beyond this many are nowhere.
const SITES: usize = 4;
/// The first byte of a record that begins a scenario of the second generation.
pub(super) const SECOND: u8 = 128;

/// What records happen to.
#[derive(Clone, Copy)]
struct World<'a> {
    generation: Generation,
    classes: Classes,
    homes: &'a [Home],
    sites: &'a [Site],
    around: &'a Infrastructure,
}

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
        let generation = records.first().map_or(Generation::First, Self::generation);
        let most = match generation {
            Generation::First => 512,
            Generation::Second => 1_024,
        };
        let records = &records[..records.len().min(most)];
        let (first, rest) = records.split_first().unwrap_or((&Self([0; Self::SIZE]), &[]));
        let classes = first.classes();
        let of = |wanted| rest.iter().filter(move |record| record.kind(generation) == wanted);
        let mut sites = Vec::new();
        for record in of(Kind::Site).take(SITES) {
            sites.push(record.site(classes, sites.len()));
        }
        let (mut homes, mut clocks): (Vec<_>, Vec<_>) = of(Kind::Home)
            .take(MEMBERS)
            .map(|record| (record.home(classes, sites.len()), record.clock(classes)))
            .unzip();
        while homes.len() < 2 {
            homes.push(Home::open(Law::delay(10)));
            clocks.push(Clock::default());
        }
        let infrastructure = match generation {
            Generation::First => Infrastructure::usual(),
            Generation::Second => first.infrastructure(classes),
        };
        let world = World { generation, classes, homes: &homes, sites: &sites, around: &infrastructure };
        let mut timeline = Timeline::new(clocks, world.patience(), classes.has(Class::Saved));
        for (n, record) in (1u16..).zip(rest) {
            record.happen(n, &world, &mut timeline);
        }
        let (name, note, goals) = (String::new(), classes.to_string(), Vec::new());
        Scenario { name, note, sites, homes, infrastructure, steps: timeline.finish(), goals }
    }

    fn generation(&self) -> Generation {
        if self.0[0] >= SECOND { Generation::Second } else { Generation::First }
    }

    /// The classes that are enabled, by the record about the whole.
    pub(super) fn classes(&self) -> Classes {
        let all = u32::from_le_bytes([self.0[8], self.0[9], self.0[10], self.0[11]]);
        match self.generation() {
            Generation::First => Classes(all & 0xffff),
            Generation::Second => Classes(all),
        }
    }

    fn kind(&self, generation: Generation) -> Kind {
        let kinds = match generation {
            Generation::First => 16,
            Generation::Second => 32,
        };
        KINDS[usize::from(self.0[0] % kinds)]
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

    fn happen(&self, n: u16, world: &World<'_>, timeline: &mut Timeline) {
        let (a, b) = (u16::from(self.0[1]) % MEMBERS as u16, u16::from(self.0[2]) % MEMBERS as u16);
        let (who, other) = (Who::One(a), Who::One(b));
        let World { generation, classes, homes, sites, around } = *world;
        let kind = self.kind(generation);
        if matches!(kind, Kind::Home | Kind::Site) {
            return;
        }
        timeline.wait(self.wait());
        let is_of_all = matches!(kind, Kind::Dht | Kind::Stun | Kind::Split | Kind::Entries);
        let is_of_two = matches!(kind, Kind::Sever | Kind::Mute);
        let exists = |who: u16| usize::from(who) < homes.len();
        if kind == Kind::Calm {
            return timeline.calm();
        }
        let named = is_of_all || exists(a) && (!is_of_two || exists(b));
        if kind.class().is_some_and(|class| !classes.has(class)) || !named {
            return;
        }
        let (lasts, dht) = (self.lasts(), self.below(0, u64::from(around.dht_nodes)) as u16);
        let stun = self.below(0, around.stun.len() as u64) as u16;
        let start = match classes.has(Class::Saved) && self.0[8].is_multiple_of(2) {
            true => Act::StartSaved(who),
            false => Act::Start(who),
        };
        match kind {
            Kind::Say => timeline.say(Act::Say(who, 0)),
            Kind::Crash => timeline.fault(n, lasts, &[Act::Crash(who)], &[start, Act::Join(who, 0)]),
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
                let [up, down] = [link.up, link.down].map(|law| self.spell(self.worse(law), classes));
                let bad = match self.0[14] % 3 {
                    1 if generation == Generation::Second => LinkRules { up, ..link },
                    2 if generation == Generation::Second => LinkRules { down, ..link },
                    _ => LinkRules { up, down },
                };
                timeline.fault(n, lasts, &[Act::Relink(who, bad)], &[Act::Restore(who)]);
            }
            Kind::Reboot => timeline.fault(n, Duration::ZERO, &[Act::Reboot(who)], &[]),
            Kind::Dht => timeline.fault(n, lasts, &[Act::DhtDown(dht)], &[Act::DhtUp(dht)]),
            Kind::Stun => timeline.fault(n, lasts, &[Act::StunDown(stun)], &[Act::StunUp(stun)]),
            Kind::Move => {
                let place = match self.below(0, sites.len() as u64 + 1) {
                    0 => Place::Internet,
                    n => Place::Site(n as u16 - 1),
                };
                timeline.fault(n, lasts, &[Act::Move(who, place)], &[Act::GoHome(who)]);
            }
            Kind::Unplug => timeline.fault(n, lasts, &[Act::Unplug(who)], &[Act::GoHome(who)]),
            Kind::Renumber => timeline.fault(n, Duration::ZERO, &[Act::Renumber(who)], &[]),
            Kind::Clock => {
                let wrong = Act::SetClock(who, self.wrong_clock());
                timeline.fault(n, lasts, &[wrong], &[Act::SetClock(who, timeline.clock(usize::from(a)))]);
            }
            Kind::Disk if self.0[9].is_multiple_of(3) => {
                timeline.fault(n, lasts, &[Act::Harm(who, Disk::Fails)], &[Act::Harm(who, Disk::Works)]);
            }
            Kind::Disk => {
                let what = if self.0[9] % 3 == 1 { Disk::Loses } else { Disk::Damages };
                let again = [Act::StartSaved(who), Act::Join(who, 0)];
                timeline.fault(n, lasts, &[Act::Crash(who), Act::Harm(who, what)], &again);
            }
            Kind::Entries => {
                let entries = 0..around.entries as u16;
                let [down, up]: [Vec<_>; 2] =
                    [Act::DhtDown, Act::DhtUp].map(|act| entries.clone().map(act).collect());
                timeline.fault(n, lasts, &down, &up);
            }
            Kind::Mute => timeline.fault(n, lasts, &[Act::Mute(who, other)], &[Act::Rejoin(who, other)]),
            Kind::Calm | Kind::Home | Kind::Site => {}
        }
    }

    /// A clock that is wrong by anything up to a day and some hours, ahead or behind, and that drifts.
    fn wrong_clock(&self) -> Clock {
        let most = [2_000, 60_000, 3_600_000, 26 * 3_600_000][usize::from(self.0[8] % 4)];
        let ahead_ms = (most * self.word(10) as i64) >> 15;
        Clock { ahead_ms: ahead_ms - most, drift_ppm: [0, 0, 500, -500][usize::from(self.0[9] % 4)] }
    }

    /// A link as it is on a bad day: slow, or lossy, or both.
    fn worse(&self, law: Law) -> Law {
        let loss = Loss::Independent(Chance::percent(self.below(0, 60) as u32));
        let delay = law.delay + Duration::from_millis(self.below(1, 400));
        Law { loss, delay, jitter: Duration::from_millis(self.below(2, 100)), ..law }
    }

    /// What more may be wrong with it: bursts of loss, damage, nothing that passes at all, or nothing large, or little.
    fn spell(&self, law: Law, classes: Classes) -> Law {
        let mut law = law;
        if classes.has(Class::Spell) {
            let [enter, leave] = [Chance::percent(5), Chance::percent(10)];
            match self.0[11] % 5 {
                0 | 1 => law.loss = Loss::Bursty { enter, leave, inside: Chance::percent(95) },
                2 => law.loss = Loss::Independent(Chance::ALWAYS),
                3 => law.corrupt = Chance::percent(20),
                _ => {}
            }
        }
        if classes.has(Class::Narrow) {
            match self.0[12] % 4 {
                0 => (law.mtu, law.icmp) = (Some(1_200), false),
                1 => (law.mtu, law.icmp) = (Some(600), false),
                2 => (law.mtu, law.icmp) = (Some(1_280), true),
                _ => {}
            }
        }
        if classes.has(Class::Slow) && self.0[13].is_multiple_of(2) {
            law.rate = Some(Rate { bits_per_second: 64_000, queue: 8_000 });
        }
        law
    }
}

impl World<'_> {
    /// How long whatever is owed may take once all is mended. Who can connect to nobody is told so after a minute, and some seconds
    /// more for those who take turns; whether somebody is, only what they share and which families they have decides.
    fn patience(&self) -> Duration {
        let may_be_lonely = [Class::Shared, Class::Families].iter().any(|class| self.classes.has(*class));
        Duration::from_secs(if may_be_lonely { 75 } else { 60 })
    }
}

impl Kind {
    /// What must be enabled for it to happen.
    pub(super) const fn class(self) -> Option<Class> {
        Some(match self {
            Self::Say | Self::Calm | Self::Home | Self::Site => return None,
            Self::Crash => Class::Crash,
            Self::Sleep => Class::Sleep,
            Self::Leave => Class::Leave,
            Self::Sever => Class::Sever,
            Self::Split => Class::Split,
            Self::Relink => Class::Relink,
            Self::Reboot => Class::Reboot,
            Self::Dht => Class::Dht,
            Self::Stun => Class::Stun,
            Self::Move => Class::Move,
            Self::Renumber => Class::Renumber,
            Self::Unplug => Class::Unplug,
            Self::Clock => Class::Clock,
            Self::Disk => Class::Disk,
            Self::Entries => Class::Entries,
            Self::Mute => Class::Mute,
        })
    }
}

#[cfg(test)]
mod tests;
