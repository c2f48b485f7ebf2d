use std::time::Duration;

use crate::engine::{Chance, Draws, Subject};

/// What the internet between two DHT nodes does to a question and its answer.
#[derive(Clone, Copy, Debug)]
pub struct Law {
    draws: Draws,
    /// How often a datagram is lost, in each direction.
    pub loss: Chance,
}

const RTT: Subject = Subject::Scenario(0x1a30);
const PHASE: Subject = Subject::Scenario(0x1a32);
const LOST: Subject = Subject::Scenario(0x1a31);

impl Law {
    /// No round trip is shorter.
    pub(super) const SHORTEST_RTT: Duration = Duration::from_micros(TAILS[0] as u64);

    /// Round trips of a lognormal distribution with a median of 120 ms and a σ of 0.6, and 2 % loss in each direction.
    pub fn new(seed: u64) -> Self {
        Self { draws: Draws::new(seed), loss: Chance::percent(2) }
    }

    /// The round trip between two nodes, which are told apart by any numbers of theirs: always the same.
    pub fn rtt(&self, a: u64, b: u64) -> Duration {
        lognormal(self.draws.at(RTT, a.wrapping_mul(3) ^ b))
    }

    /// Where in its period a timer stands when a lookup begins, in microseconds.
    pub fn phase(&self, number: u64, period: u64) -> u64 {
        self.draws.below(PHASE, number, period)
    }

    /// Whether datagram number `index` is lost.
    pub fn loses(&self, index: u64) -> bool {
        self.draws.happens(LOST, index, self.loss)
    }
}

/// A lognormal duration with a median of 120 ms and a σ of 0.6, from 64 random bits: its quantile function, by straight
/// lines between points of a table. Whole numbers throughout, so that it is the same on every machine.
pub fn lognormal(random: u64) -> Duration {
    let (slice, within) = ((random >> 56) as usize, random << 8);
    let (low, high, along) = match slice {
        // The outermost slices are cut in half again and again.
        0 => tail(within, |octave| (TAILS[8 - octave], TAILS[7 - octave])),
        255 => tail(within, |octave| (TAILS[9 + octave], TAILS[10 + octave])),
        _ => (MIDDLE[slice - 1], MIDDLE[slice], within >> 32),
    };
    let (low, high) = (i64::from(low), i64::from(high));
    let micros = low + (high - low) * (along >> 1) as i64 / (1 << 31);
    Duration::from_micros(micros as u64)
}

/// In an outermost slice: the octave, with a half of what is left each, and how far along it.
fn tail(within: u64, octave: impl Fn(usize) -> (u32, u32)) -> (u32, u32, u64) {
    let halvings = within.leading_ones().min(7);
    let (low, high) = octave(halvings as usize);
    (low, high, (within << (halvings + 1)) >> 32)
}

/// The quantiles at 1/256, 2/256, … 255/256, in microseconds.
const MIDDLE: [u32; 255] = [
    24324, 28133, 30807, 32956, 34792, 36417, 37890, 39246, 40510, 41700, 42826, 43901, 44930, 45919, 46875,
    47800, 48698, 49571, 50423, 51255, 52069, 52866, 53649, 54417, 55173, 55917, 56650, 57373, 58087, 58791,
    59488, 60177, 60858, 61533, 62202, 62865, 63522, 64174, 64821, 65464, 66102, 66737, 67367, 67994, 68618,
    69239, 69856, 70471, 71084, 71694, 72301, 72907, 73511, 74113, 74713, 75312, 75909, 76505, 77100, 77694,
    78287, 78880, 79471, 80062, 80652, 81242, 81831, 82420, 83009, 83598, 84187, 84776, 85365, 85954, 86544,
    87134, 87724, 88315, 88907, 89499, 90092, 90685, 91280, 91875, 92472, 93069, 93668, 94268, 94869, 95472,
    96075, 96681, 97288, 97896, 98506, 99118, 99731, 100347, 100964, 101583, 102204, 102828, 103453, 104081,
    104711, 105344, 105978, 106616, 107256, 107898, 108544, 109192, 109843, 110496, 111153, 111813, 112476,
    113143, 113812, 114485, 115161, 115841, 116525, 117212, 117903, 118598, 119297, 120000, 120707, 121418,
    122134, 122854, 123579, 124308, 125042, 125781, 126524, 127273, 128027, 128786, 129551, 130321, 131097,
    131878, 132666, 133459, 134258, 135064, 135877, 136696, 137521, 138354, 139193, 140040, 140894, 141756,
    142625, 143503, 144388, 145282, 146184, 147095, 148015, 148944, 149882, 150830, 151788, 152756, 153734,
    154723, 155723, 156734, 157756, 158791, 159837, 160896, 161968, 163052, 164151, 165263, 166389, 167531,
    168687, 169859, 171048, 172252, 173474, 174714, 175972, 177249, 178545, 179861, 181198, 182557, 183938,
    185342, 186769, 188222, 189700, 191205, 192737, 194298, 195890, 197512, 199166, 200855, 202578, 204339,
    206138, 207977, 209858, 211783, 213754, 215774, 217844, 219969, 222150, 224390, 226694, 229064, 231505,
    234020, 236616, 239296, 242067, 244934, 247906, 250988, 254191, 257523, 260996, 264621, 268412, 272384,
    276556, 280948, 285584, 290491, 295702, 301257, 307202, 313593, 320502, 328014, 336241, 345328, 355465,
    366915, 380050, 395420, 413893, 436949, 467420, 511848, 592015,
];
/// Those at 2^-16, 2^-15, … 2^-8, and at 1 - 2^-8, 1 - 2^-9, … 1 - 2^-16.
const TAILS: [u32; 18] = [
    9833, 10829, 11969, 13283, 14809, 16596, 18711, 21245, 24324, 592015, 677814, 769586, 867667, 972387,
    1084083, 1203092, 1329762, 1464448,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_spread() {
        let draws = Draws::new(4);
        let mut all: Vec<f64> =
            (0..200_000).map(|i| lognormal(draws.at(RTT, i)).as_secs_f64() * 1_000.0).collect();
        all.sort_by(f64::total_cmp);
        let median = all[all.len() / 2];
        assert!((119.0..121.0).contains(&median), "{median}");
        let logs: Vec<f64> = all.iter().map(|ms| (ms / 120.0).ln()).collect();
        let mean = logs.iter().sum::<f64>() / logs.len() as f64;
        let sigma = (logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / logs.len() as f64).sqrt();
        assert!(mean.abs() < 0.005 && (0.595..0.605).contains(&sigma), "{mean} {sigma}");
        let p99 = all[all.len() * 99 / 100];
        assert!((470.0..500.0).contains(&p99), "{p99}; the law says 485");
    }

    #[test]
    fn it_rises() {
        let inner = (1..255u64).map(|slice| lognormal(slice << 56 | 1 << 55));
        let inner: Vec<_> = inner.collect();
        assert!(inner.is_sorted());
        assert!(lognormal(u64::MAX) > Duration::from_millis(1_000), "{:?}", lognormal(u64::MAX));
        assert!(lognormal(0xff << 56) >= *inner.last().unwrap());
        let least = lognormal(0x00ff_ffff_ffff_ffff);
        assert!(least < Duration::from_millis(15) && lognormal(0) <= inner[0], "{least:?}");
        let shortest = (0..1_u64 << 16).map(|top| lognormal(top << 40 | 0xff_ffff_ffff)).min();
        let above = shortest.map(|shortest| shortest.checked_sub(Law::SHORTEST_RTT));
        assert_eq!(above, Some(Some(Duration::from_micros(1))));
    }
}
