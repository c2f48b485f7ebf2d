use std::fmt;
use std::time::Duration;

use folkmoot_core::base::Time;

use super::DropReason;
use crate::engine::{Chance, Draws, Subject};

/// The world's number of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u32);

/// What a link does to packets, in each direction: `up` is away from the host or the NAT it belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkRules {
    /// Away from the host.
    pub up: Law,
    /// Towards the host.
    pub down: Law,
}

impl LinkRules {
    /// The same in both directions.
    pub const fn both(law: Law) -> Self {
        Self { up: law, down: law }
    }
}

/// What one direction of a link does to packets. The default is a perfect one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Law {
    /// The time every packet takes.
    pub delay: Duration,
    /// How much more it takes, by [`Law::shape`]. Packets stay in order all the same.
    pub jitter: Duration,
    /// How jitter is distributed.
    pub shape: Shape,
    /// Which packets are lost.
    pub loss: Loss,
    /// How often a packet arrives twice.
    pub duplicate: Chance,
    /// How often a packet is held back by [`Law::held`], so that later ones overtake it.
    pub reorder: Chance,
    /// How long a packet that is to be overtaken is held back.
    pub held: Duration,
    /// The largest IP packet that passes. `None` is no limit.
    pub mtu: Option<u16>,
    /// Whether the sender of a larger one is told (ICMP), so that it sends fragments from then on. Otherwise the link is a
    /// black hole for large packets.
    pub icmp: bool,
    /// How often a packet is damaged. The UDP checksum finds it, so it is lost; what gets past the checksum, one in
    /// 65,536, is not modelled.
    pub corrupt: Chance,
    /// How many bits a second pass, and how many bytes may wait for it. `None` is no limit.
    pub rate: Option<Rate>,
}

/// How jitter is distributed. None of them uses floating point, so that all machines agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// Anything up to [`Law::jitter`], all alike.
    #[default]
    Uniform,
    /// Up to [`Law::jitter`], mostly half of it: the mean of four uniform draws.
    Bell,
    /// Exponential with the mean [`Law::jitter`]: mostly little, at times ten times as much, as in a loaded radio cell.
    Tail,
}

/// A bottleneck with a queue that drops at its tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bits per second.
    pub bits_per_second: u64,
    /// Bytes that may wait.
    pub queue: u64,
}

/// Which packets are lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// None.
    #[default]
    None,
    /// Each with the same probability, whatever happened to the others.
    Independent(Chance),
    /// In bursts: a two-state chain (Gilbert and Elliott) that is looked at for every packet.
    Bursty {
        /// The probability of going from the good state, which loses nothing, to the bad one.
        enter: Chance,
        /// The probability of going back.
        leave: Chance,
        /// The probability of loss in the bad state.
        inside: Chance,
    },
    /// Exactly the packet of that number, from 0.
    Nth(u64),
    /// Every so many packets, this many in a row.
    Periodic {
        /// The length of the period, in packets.
        every: u32,
        /// How many at its beginning are lost.
        run: u32,
    },
}

/// One direction of a link at work: its law, and what it remembers.
#[derive(Clone, Debug)]
struct Direction {
    id: u32,
    law: Law,
    /// Packets that came so far; the index of their draws.
    count: u64,
    bad: bool,
    last_out: Time,
    busy_until: Time,
}

/// A link at work.
#[derive(Clone, Debug)]
pub struct Link {
    up: Direction,
    down: Direction,
}

/// What becomes of a packet on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It arrives, perhaps twice.
    Arrives(Time, Option<Time>),
    /// It does not.
    Dropped(DropReason),
    /// It is larger than this MTU, and its sender is told.
    TooBig(u16),
}

impl Link {
    /// Link number `id`, with its rules.
    pub fn new(id: LinkId, rules: LinkRules) -> Self {
        Self { up: Direction::new(2 * id.0, rules.up), down: Direction::new(2 * id.0 + 1, rules.down) }
    }

    /// Changes the rules; packets under way are not affected.
    pub fn set_rules(&mut self, rules: LinkRules) {
        (self.up.law, self.down.law) = (rules.up, rules.down);
    }

    /// The rules.
    pub fn rules(&self) -> LinkRules {
        LinkRules { up: self.up.law, down: self.down.law }
    }

    /// Takes an IP packet of `size` bytes away from the host.
    pub fn up(&mut self, now: Time, draws: &Draws, size: usize) -> Passage {
        self.up.pass(now, draws, size)
    }

    /// Takes an IP packet of `size` bytes towards the host.
    pub fn down(&mut self, now: Time, draws: &Draws, size: usize) -> Passage {
        self.down.pass(now, draws, size)
    }
}

impl Direction {
    fn new(id: u32, law: Law) -> Self {
        Self { id, law, count: 0, bad: false, last_out: Time::ZERO, busy_until: Time::ZERO }
    }

    fn pass(&mut self, now: Time, draws: &Draws, size: usize) -> Passage {
        let (law, id, n) = (self.law, self.id, self.count);
        self.count += 1;
        if law.mtu.is_some_and(|mtu| size > usize::from(mtu)) {
            let known = law.mtu.filter(|_| law.icmp);
            return known.map_or(Passage::Dropped(DropReason::BlackHole), Passage::TooBig);
        }
        // The chain moves on with every packet, whatever becomes of it, so that loss does not depend on the queue.
        if self.loses(draws, n) {
            return Passage::Dropped(DropReason::Lost);
        }
        if draws.happens(Subject::Corrupt(id), n, law.corrupt) {
            return Passage::Dropped(DropReason::Corrupt);
        }
        let Some(sent) = self.through_bottleneck(now, size) else {
            return Passage::Dropped(DropReason::QueueFull);
        };
        let steady = sent + law.delay + law.shape.draw(draws, Subject::Jitter(id), n, law.jitter);
        let arrives = if draws.happens(Subject::Reorder(id), n, law.reorder) {
            steady + law.held
        } else {
            self.last_out = self.last_out.max(steady);
            self.last_out
        };
        let twice = draws.happens(Subject::Duplicate(id), n, law.duplicate);
        Passage::Arrives(arrives, twice.then_some(arrives))
    }

    fn loses(&mut self, draws: &Draws, n: u64) -> bool {
        match self.law.loss {
            Loss::None => false,
            Loss::Independent(chance) => draws.happens(Subject::Loss(self.id), n, chance),
            Loss::Nth(nth) => n == nth,
            Loss::Periodic { every, run } => n % u64::from(every.max(1)) < u64::from(run),
            Loss::Bursty { enter, leave, inside } => {
                let change = if self.bad { leave } else { enter };
                self.bad ^= draws.happens(Subject::Burst(self.id), n, change);
                self.bad && draws.happens(Subject::Loss(self.id), n, inside)
            }
        }
    }

    /// When the last bit of the packet has left, or `None` if the queue has no room for it.
    fn through_bottleneck(&mut self, now: Time, size: usize) -> Option<Time> {
        let Some(Rate { bits_per_second, queue }) = self.law.rate else { return Some(now) };
        let rate = u128::from(bits_per_second.max(1));
        let waiting = (self.busy_until - now).as_micros() * rate / 8_000_000;
        if waiting + size as u128 > u128::from(queue) && waiting > 0 {
            return None;
        }
        let takes = u64::try_from(size as u128 * 8_000_000 / rate).unwrap_or(u64::MAX);
        self.busy_until = self.busy_until.max(now) + Duration::from_micros(takes);
        Some(self.busy_until)
    }
}

impl Shape {
    fn draw(self, draws: &Draws, subject: Subject, n: u64, scale: Duration) -> Duration {
        match self {
            Self::Uniform => draws.duration(subject, n, scale),
            Self::Bell => {
                let part = |i| draws.duration(subject, n.wrapping_mul(4).wrapping_add(i), scale);
                (part(0) + part(1) + part(2) + part(3)) / 4
            }
            Self::Tail => {
                // -ln(u) = ln 2 * -log2(u), where the logarithm is taken to be straight between powers of two (off by at
                // most 0.086, and the mean by 4 %), in 1/65,536.
                let u = draws.at(subject, n) | 1;
                let zeros = u.leading_zeros();
                let fraction = u64::from(u32::try_from((u << zeros << 1) >> 48).unwrap_or(0));
                let log2 = (u64::from(zeros) + 1) * 65_536 - fraction;
                let micros = u64::try_from(scale.as_micros()).unwrap_or(u64::MAX);
                // ln 2 is 45,426 / 65,536.
                let nats = u128::from(log2) * 45_426 / 65_536;
                Duration::from_micros(u64::try_from(u128::from(micros) * nats / 65_536).unwrap_or(u64::MAX))
            }
        }
    }
}

impl Law {
    /// Nothing passes: a cable that was pulled.
    pub const DOWN: Self = Self { loss: Loss::Independent(Chance::ALWAYS), ..Self::PERFECT };

    /// A perfect link that takes `millis` milliseconds.
    pub const fn delay(millis: u64) -> Self {
        Self { delay: Duration::from_millis(millis), ..Self::PERFECT }
    }

    /// No delay, no limits, no faults.
    pub const PERFECT: Self = Self {
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        shape: Shape::Uniform,
        loss: Loss::None,
        duplicate: Chance::NEVER,
        reorder: Chance::NEVER,
        held: Duration::ZERO,
        mtu: None,
        icmp: false,
        corrupt: Chance::NEVER,
        rate: None,
    };
}

/// `25ms±10ms loss 5%`; only what is not perfect is named.
impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.delay)?;
        if !self.jitter.is_zero() {
            let shape = match self.shape {
                Shape::Uniform => "+",
                Shape::Bell => "+bell ",
                Shape::Tail => "+tail ",
            };
            write!(f, "{shape}{:?}", self.jitter)?;
        }
        match self.loss {
            Loss::None => {}
            Loss::Independent(chance) => write!(f, " loss {chance}")?,
            Loss::Bursty { enter, leave, inside } => write!(f, " burst {enter}/{leave}/{inside}")?,
            Loss::Nth(nth) => write!(f, " lose #{nth}")?,
            Loss::Periodic { every, run } => write!(f, " lose {run} of every {every}")?,
        }
        if self.corrupt > Chance::NEVER {
            write!(f, " corrupt {}", self.corrupt)?;
        }
        if self.duplicate > Chance::NEVER {
            write!(f, " dup {}", self.duplicate)?;
        }
        if self.reorder > Chance::NEVER {
            write!(f, " reorder {} by {:?}", self.reorder, self.held)?;
        }
        if let Some(mtu) = self.mtu {
            write!(f, " mtu {mtu}{}", if self.icmp { "" } else { " without icmp" })?;
        }
        if let Some(rate) = self.rate {
            write!(f, " rate {} bit/s queue {} B", rate.bits_per_second, rate.queue)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Time = Time::from_millis;

    /// What becomes of `count` packets of 100 bytes, one every millisecond.
    fn passages(law: Law, count: u64) -> Vec<Passage> {
        let mut link = Link::new(LinkId(0), LinkRules::both(law));
        (0..count).map(|n| link.up(MS(n), &Draws::new(5), 100)).collect()
    }

    fn lost(passages: &[Passage]) -> usize {
        passages.iter().filter(|passage| **passage == Passage::Dropped(DropReason::Lost)).count()
    }

    #[test]
    fn a_perfect_link_only_delays() {
        assert_eq!(
            passages(Law::delay(25), 2),
            [Passage::Arrives(MS(25), None), Passage::Arrives(MS(26), None)]
        );
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let order = |law| {
            let arrivals = passages(law, 500).into_iter().map(|passage| match passage {
                Passage::Arrives(at, _) => at,
                lost => panic!("{lost:?}"),
            });
            arrivals.collect::<Vec<_>>().is_sorted()
        };
        let jittery = Law { jitter: Duration::from_millis(40), ..Law::delay(10) };
        assert!(order(jittery));
        assert!(!order(Law { reorder: Chance::percent(10), held: Duration::from_millis(5), ..jittery }));
    }

    #[test]
    fn jitter_has_the_shape_it_says() {
        let sorted = |shape| {
            let draws = Draws::new(2);
            let scale = Duration::from_millis(10);
            let mut all: Vec<_> =
                (0..10_000).map(|n| shape_draw(shape, &draws, n, scale).as_micros() as u64).collect();
            all.sort_unstable();
            (all.iter().sum::<u64>() / 10_000, all[5_000], all[9_900])
        };
        fn shape_draw(shape: Shape, draws: &Draws, n: u64, scale: Duration) -> Duration {
            shape.draw(draws, Subject::Jitter(1), n, scale)
        }
        // Mean, median and 99th percentile.
        let near = |is: u64, should: u64| is.abs_diff(should) * 20 <= should;
        let (mean, median, high) = sorted(Shape::Uniform);
        assert!(near(mean, 5_000) && near(median, 5_000) && near(high, 9_900), "{mean} {median} {high}");
        let (mean, median, high) = sorted(Shape::Bell);
        assert!(near(mean, 5_000) && near(median, 5_000) && near(high, 8_140), "{mean} {median} {high}");
        let (mean, median, high) = sorted(Shape::Tail);
        assert!(near(mean, 10_400) && near(median, 6_930) && near(high, 47_500), "{mean} {median} {high}");
    }

    #[test]
    fn loss_is_as_often_as_it_says() {
        let count = |loss| lost(&passages(Law { loss, ..Law::PERFECT }, 10_000));
        assert_eq!(count(Loss::None), 0);
        assert_eq!(count(Loss::Nth(17)), 1);
        assert_eq!(count(Loss::Periodic { every: 100, run: 3 }), 300);
        assert!((400..600).contains(&count(Loss::Independent(Chance::percent(5)))));
        // In the bad state for 1/(1+10) of the time, where half is lost.
        let (enter, leave, inside) = (Chance::percent(1), Chance::percent(10), Chance::percent(50));
        assert!((300..600).contains(&count(Loss::Bursty { enter, leave, inside })));
    }

    #[test]
    fn bursts_come_in_runs() {
        let (enter, leave, inside) = (Chance::percent(1), Chance::percent(10), Chance::ALWAYS);
        let law = Law { loss: Loss::Bursty { enter, leave, inside }, ..Law::PERFECT };
        let passages = passages(law, 10_000);
        let starts =
            passages.windows(2).filter(|pair| lost(&pair[..1]) == 0 && lost(&pair[1..]) == 1).count();
        let mean = lost(&passages) as f64 / starts as f64;
        assert!((7.0..13.0).contains(&mean), "a burst is {mean} packets long, not about 10");
    }

    #[test]
    fn too_big_packets_vanish() {
        let mut link = Link::new(LinkId(0), LinkRules::both(Law { mtu: Some(1_280), ..Law::PERFECT }));
        assert_eq!(link.down(MS(0), &Draws::new(0), 1_281), Passage::Dropped(DropReason::BlackHole));
        assert_eq!(link.down(MS(0), &Draws::new(0), 1_280), Passage::Arrives(MS(0), None));
        link.set_rules(LinkRules::both(Law { mtu: Some(1_280), icmp: true, ..Law::PERFECT }));
        assert_eq!(link.down(MS(0), &Draws::new(0), 1_281), Passage::TooBig(1_280));
    }

    #[test]
    fn a_bottleneck_queues_and_then_drops() {
        // 1,000 bytes take 8 ms at 1 Mbit/s; two more may wait.
        let rate = Some(Rate { bits_per_second: 1_000_000, queue: 2_500 });
        let mut link = Link::new(LinkId(0), LinkRules::both(Law { rate, ..Law::PERFECT }));
        let sent: Vec<_> = (0..4).map(|_| link.up(MS(0), &Draws::new(0), 1_000)).collect();
        assert_eq!(
            sent,
            [
                Passage::Arrives(MS(8), None),
                Passage::Arrives(MS(16), None),
                Passage::Dropped(DropReason::QueueFull),
                Passage::Dropped(DropReason::QueueFull)
            ]
        );
        assert_eq!(link.up(MS(16), &Draws::new(0), 1_000), Passage::Arrives(MS(24), None));
    }

    #[test]
    fn duplicates_come_twice() {
        let law = Law { duplicate: Chance::ALWAYS, ..Law::delay(1) };
        assert_eq!(passages(law, 1), [Passage::Arrives(MS(1), Some(MS(1)))]);
    }
}
