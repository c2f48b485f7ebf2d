use std::fmt;
use std::time::Duration;

/// Addressed randomness: every number is a pure function of the seed, what it is for, and an index.
///
/// Nothing is streamed, so taking one fault, packet or member out of a run leaves every other draw as it was. That is
/// what makes "the same run without fault 7" mean something, and shrinking possible.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    seed: u64,
}

/// What a draw is for. Each subject has its own sequence of indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Whether a packet of a direction of a link is lost.
    Loss(u32),
    /// Whether that link changes between its good and its bad state (bursty loss).
    Burst(u32),
    /// How much jitter a packet gets.
    Jitter(u32),
    /// Whether a packet is damaged.
    Corrupt(u32),
    /// Whether a packet is duplicated.
    Duplicate(u32),
    /// Whether a packet is held back behind later ones.
    Reorder(u32),
    /// Which port a NAT gives to a mapping.
    Port(u32),
    /// Which address of its pool a NAT gives to a mapping.
    Pool(u32),
    /// The entropy a host's program starts with; the index is the run.
    Entropy(u32),
    /// The lasting identity of a host.
    Identity(u32),
    /// Anything a host's program draws.
    Host(u32),
    /// Anything a scenario draws, by a number of its own choice.
    Scenario(u32),
}

impl Draws {
    /// The randomness of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The seed.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Number `index` of `subject`: 64 random bits.
    pub fn at(&self, subject: Subject, index: u64) -> u64 {
        let keyed = mix(self.seed ^ 0x5b1e_0c4d_93a7_62f1).wrapping_add(mix(subject.code()));
        mix(mix(keyed).wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// As [`Draws::at`], scaled to `0..bound`; 0 if `bound` is 0. The bias is below `bound / 2^64`.
    pub fn below(&self, subject: Subject, index: u64, bound: u64) -> u64 {
        ((u128::from(self.at(subject, index)) * u128::from(bound)) >> 64) as u64
    }

    /// As [`Draws::at`], scaled to `0..=most`, to the microsecond.
    pub fn duration(&self, subject: Subject, index: u64, most: Duration) -> Duration {
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX - 1);
        Duration::from_micros(self.below(subject, index, micros.saturating_add(1)))
    }

    /// Whether something of the probability `chance` happens.
    pub fn happens(&self, subject: Subject, index: u64, chance: Chance) -> bool {
        chance.0 > 0 && self.at(subject, index) >> 32 < chance.0
    }

    /// 32 random bytes, such as a program's entropy.
    pub fn bytes(&self, subject: Subject, index: u64) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (word, chunk) in (0u64..).zip(bytes.chunks_exact_mut(8)) {
            chunk.copy_from_slice(&self.at(subject, index.wrapping_mul(4).wrapping_add(word)).to_le_bytes());
        }
        bytes
    }
}

impl Subject {
    fn code(self) -> u64 {
        let (kind, id) = match self {
            Self::Loss(id) => (1, id),
            Self::Burst(id) => (2, id),
            Self::Jitter(id) => (3, id),
            Self::Duplicate(id) => (4, id),
            Self::Reorder(id) => (5, id),
            Self::Port(id) => (6, id),
            Self::Pool(id) => (7, id),
            Self::Entropy(id) => (8, id),
            Self::Identity(id) => (9, id),
            Self::Host(id) => (10, id),
            Self::Scenario(id) => (11, id),
            Self::Corrupt(id) => (12, id),
        };
        kind << 32 | u64::from(id)
    }
}

/// A probability, as a threshold of 32 random bits: no floating point decides the order of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chance(u64);

impl Chance {
    /// Never.
    pub const NEVER: Self = Self(0);
    /// Always.
    pub const ALWAYS: Self = Self(1 << 32);

    /// `n` in a hundred; more than a hundred is always.
    pub const fn percent(n: u32) -> Self {
        Self::ratio(n, 100)
    }

    /// `n` in `of`; more than `of` is always.
    pub const fn ratio(n: u32, of: u32) -> Self {
        if n >= of { Self::ALWAYS } else { Self(((n as u64) << 32) / of as u64) }
    }

    /// `number` in a hundred with so many digits after the point: 125 with one is 12.5 %. More than a hundred is always.
    pub const fn percent_with(number: u64, decimals: u32) -> Self {
        let of = 100 * 10u128.pow(decimals);
        let number = number as u128;
        if number >= of { Self::ALWAYS } else { Self(((number << 32) / of) as u64) }
    }

    /// How many of 2^32 equally likely cases it is.
    pub const fn threshold(self) -> u64 {
        self.0
    }
}

/// In percent.
impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permille = (self.0 * 1_000 + (1 << 31)) >> 32;
        match permille % 10 {
            0 => write!(f, "{}%", permille / 10),
            tenth => write!(f, "{}.{tenth}%", permille / 10),
        }
    }
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014): a bijection that passes every bit to every other.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_a_function_of_their_address() {
        let draws = Draws::new(7);
        assert_eq!(draws.at(Subject::Loss(3), 9), Draws::new(7).at(Subject::Loss(3), 9));
        let all = [
            draws.at(Subject::Loss(3), 9),
            draws.at(Subject::Loss(3), 10),
            draws.at(Subject::Loss(4), 9),
            draws.at(Subject::Jitter(3), 9),
            Draws::new(8).at(Subject::Loss(3), 9),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b), "{all:x?}");
        }
    }

    #[test]
    fn chances_come_true_as_often_as_they_say() {
        let draws = Draws::new(1);
        let share = |chance| (0..20_000).filter(|i| draws.happens(Subject::Loss(0), *i, chance)).count();
        assert_eq!(share(Chance::NEVER), 0);
        assert_eq!(share(Chance::ALWAYS), 20_000);
        let five = share(Chance::percent(5));
        assert!((900..1_100).contains(&five), "{five} of 20000 at 5 %");
    }

    #[test]
    fn chances_print_as_percent() {
        assert_eq!(Chance::percent(5).to_string(), "5%");
        assert_eq!(Chance::ratio(1, 200).to_string(), "0.5%");
        assert_eq!(Chance::ALWAYS.to_string(), "100%");
    }

    #[test]
    fn durations_reach_both_ends() {
        let draws = Draws::new(3);
        let most = Duration::from_micros(3);
        let seen: Vec<_> = (0..100).map(|i| draws.duration(Subject::Jitter(0), i, most)).collect();
        assert!(seen.contains(&Duration::ZERO) && seen.contains(&most));
        assert!(seen.iter().all(|d| *d <= most));
    }
}
