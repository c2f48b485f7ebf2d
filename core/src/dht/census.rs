use std::collections::VecDeque;

use super::table::K;

/// How many lookups are remembered, each at a place of its own.
const SAMPLES: usize = 16;

/// In a network of fewer nodes than this, nothing is alarming: its members may well be neighbours.
pub(super) const FEW: u64 = 256;

/// How unlikely closeness has to be, as the logarithm of the likelihood ratio: by chance alone this is exceeded in about
/// one of 2,000 lookups.
const ALARM: f64 = 6.0;

/// More nodes than this are in no network: ids so close to a target were chosen.
const MOST: f64 = 1e8;

/// So many different targets in a row at which nodes are closer than the estimate allows speak against the estimate: one
/// that is too low, from lookups that ended too early, would otherwise remain for ever.
const WRONG: usize = 3;

/// How many nodes the network has, by how close to each target the closest of them are.
///
/// Ids are spread evenly, so with `N` nodes the distances of the closest to any point, as shares of the key space, are the
/// arrivals of a Poisson process of rate `N`: the `k`th is gamma-distributed with mean `k/N`. From `n` lookups, of
/// which each tells the distance `d` of its `k`th, the estimate without bias is `(Σk - 1) / Σd`, and its relative
/// standard error is `1 / √(Σk - 2)`. (Kademlia clients have long done this; the statistics are those of the order
/// statistics of even distributions.) Lookups miss one of twenty of the closest, so it comes out some 5 % low.
#[derive(Debug, Default)]
pub(super) struct Census {
    samples: VecDeque<Sample>,
    /// The same of the latest lookups that do not fit in with those.
    doubted: Vec<Sample>,
}

/// What a lookup tells: so many nodes are within that reach of the target.
#[derive(Clone, Copy, Debug)]
struct Sample {
    target: [u8; 20],
    nodes: f64,
    /// The distance of the farthest of them, as a share of the key space.
    reach: f64,
}

/// How many nodes an overlay of the network has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The estimate, from lookups that ended with at least eight nodes.
    pub nodes: u64,
    /// Its standard error, in nodes: some 40 % of them after one lookup, 9 or 10 % after sixteen.
    pub error: u64,
}

impl Census {
    /// By a single lookup.
    pub(super) fn of(target: [u8; 20], distances: &[f64]) -> Self {
        let mut census = Self::default();
        census.add(target, false, distances);
        census
    }

    /// A lookup ended with nodes at these distances, the closest first, at least half of [`K`]. One more of the same target
    /// replaces the one before. What is alarming is left out, unless everything is; where it is we (`is_ours`) who are the
    /// target, whom anybody can surround, it does not even raise doubts.
    pub(super) fn add(&mut self, target: [u8; 20], is_ours: bool, distances: &[f64]) {
        let distances = distances.get(..K).unwrap_or(distances);
        let (nodes, Some(&reach)) = (distances.len(), distances.last()) else { return };
        if nodes < K / 2 || reach * MOST <= nodes as f64 {
            return;
        }
        let sample = Sample { target, nodes: nodes as f64, reach };
        self.samples.retain(|known| known.target != target);
        if self.is_alarming(distances) {
            if !is_ours {
                self.doubted.push(sample);
            }
            if self.doubted.len() >= WRONG {
                self.samples = std::mem::take(&mut self.doubted).into();
            }
            return;
        }
        self.doubted.retain(|_| is_ours);
        self.samples.push_back(sample);
        if self.samples.len() > SAMPLES {
            self.samples.pop_front();
        }
    }

    /// The network is another one now.
    pub(super) fn clear(&mut self) {
        self.samples.clear();
        self.doubted.clear();
    }

    /// The memory taken beyond its own size, in bytes.
    pub(super) fn footprint(&self) -> usize {
        (self.samples.capacity() + self.doubted.capacity()) * size_of::<Sample>()
    }

    /// Of the lookups that raise doubts, if there are any: the network may have grown since the others, and if it has not,
    /// the next lookup of a random point ends the doubts.
    pub(super) fn size(&self) -> Option<Size> {
        let (count, sum) =
            if self.doubted.is_empty() { arrivals(&self.samples) } else { arrivals(&self.doubted) };
        let nodes = (count - 1.0) / sum;
        let size = || Size { nodes: nodes as u64, error: (nodes / (count - 2.0).sqrt()) as u64 };
        (count > 2.0 && sum > 0.0).then(size)
    }

    /// Whether nodes at these distances from a target are closer together than chance puts them: somebody may have placed
    /// them there to surround it.
    ///
    /// This is the likelihood ratio of two hypotheses on the gaps between neighbours, which are exponentially distributed:
    /// that those here have the mean of those elsewhere, and that they have their own. It is the Kullback–Leibler
    /// divergence between the two, weighed by how many gaps were seen, so a network of which little is known alarms
    /// nobody easily. It is looked for among the `k` closest for each `k` from half of [`K`], because others may be farther.
    pub(super) fn is_alarming(&self, distances: &[f64]) -> bool {
        if self.size().is_none_or(|size| size.nodes < FEW) {
            return false;
        }
        let (count, sum) = arrivals(&self.samples);
        (K / 2..=K).any(|k| {
            let Some(&kth) = distances.get(k - 1) else { return false };
            let (own, elsewhere) = (kth / k as f64, sum / count);
            let pooled = (sum + kth) / (count + k as f64);
            let ratio = (count + k as f64) * pooled.ln() - count * elsewhere.ln() - k as f64 * own.ln();
            own < elsewhere && ratio > ALARM
        })
    }
}

/// How many gaps between neighbours were seen, and how long they are together. Of four lookups or more, the one among the
/// closest and the one among the farthest do not count, so that nobody shifts the estimate by gathering at one place.
fn arrivals<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> (f64, f64) {
    let mut samples: Vec<Sample> = samples.into_iter().copied().collect();
    samples.sort_by(|a, b| (a.reach / a.nodes).total_cmp(&(b.reach / b.nodes)));
    let cut = usize::from(samples.len() >= 4);
    let counted = samples.get(cut..samples.len() - cut).unwrap_or_default();
    (counted.iter().map(|it| it.nodes).sum(), counted.iter().map(|it| it.reach).sum())
}

/// A distance as a share of the key space.
pub(super) fn share(distance: &[u8; 20]) -> f64 {
    let [a, b, c, d, e, f, g, h, ..] = *distance;
    u64::from_be_bytes([a, b, c, d, e, f, g, h]) as f64 / 2f64.powi(64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    /// The distances of the closest of `nodes` from a random point, as shares.
    fn closest(nodes: u64, rng: &mut Rng) -> Vec<f64> {
        let mut at = 0.0;
        let gap = |rng: &mut Rng| -((rng.below(1 << 53) as f64 + 1.0) / 2f64.powi(53)).ln() / nodes as f64;
        (0..K)
            .map(|_| {
                at += gap(rng);
                at
            })
            .collect()
    }

    fn census(lookups: u8, nodes: u64, rng: &mut Rng) -> Census {
        let mut census = Census::default();
        (0..lookups).for_each(|n| census.add([n; 20], false, &closest(nodes, rng)));
        census
    }

    #[test]
    fn the_estimate_is_as_good_as_it_says() {
        let mut rng = Rng::new([7; 32]);
        for lookups in [1, 3, 16] {
            let sizes: Vec<Size> =
                (0..2_000).map(|_| census(lookups, 1_000_000, &mut rng).size().unwrap()).collect();
            let mean = sizes.iter().map(|size| size.nodes as f64).sum::<f64>() / 2_000.0;
            assert!((0.97e6..1.06e6).contains(&mean), "{lookups} lookups: {mean}");
            let within = sizes.iter().filter(|size| size.nodes.abs_diff(1_000_000) < 2 * size.error).count();
            assert!(within > 1_860, "{lookups} lookups: {within} of 2000 within two standard errors");
        }
        assert_eq!(Census::default().size(), None);
        let mut few = Census::default();
        few.add([0; 20], false, &closest(1_000, &mut rng)[..K / 2 - 1]);
        assert_eq!(few.size(), None, "not from fewer than four");
    }

    #[test]
    fn chance_alarms_rarely_and_sixty_four_sybils_always() {
        let mut rng = Rng::new([8; 32]);
        for lookups in [1, 4, 16] {
            let (mut by_chance, mut noticed) = (0, 0);
            for _ in 0..4_000 {
                let census = census(lookups, 100_000, &mut rng);
                by_chance += usize::from(census.is_alarming(&closest(100_000, &mut rng)));
                // As close as they would have to be to be the eight closest: within the reach of the closest honest one.
                let first = closest(100_000, &mut rng)[0];
                let mut sybils: Vec<f64> =
                    (0..64).map(|_| first * rng.below(1 << 32) as f64 / 2f64.powi(32)).collect();
                sybils.sort_by(f64::total_cmp);
                noticed += usize::from(census.is_alarming(&sybils));
            }
            assert!(by_chance <= 8, "{by_chance} of 4000 with {lookups} lookups before");
            assert!(noticed >= 3_990, "{noticed} of 4000 with {lookups} lookups before");
        }
    }

    #[test]
    fn one_place_does_not_shift_the_estimate() {
        let mut rng = Rng::new([9; 32]);
        let mut census = census(8, 100_000, &mut rng);
        let before = census.size().unwrap().nodes;
        (0..20).for_each(|_| census.add([200; 20], false, &[1e-12; K]));
        let after = census.size().unwrap().nodes;
        assert!((before / 2..before * 2).contains(&after), "{before} {after}");
    }

    #[test]
    fn an_estimate_that_is_much_too_low_does_not_last_and_sybils_do_not_replace_one() {
        let mut rng = Rng::new([11; 32]);
        let mut low = census(3, 700, &mut rng);
        (10..20).for_each(|n| low.add([n; 20], false, &closest(100_000, &mut rng)));
        assert!(low.size().unwrap().nodes > 50_000, "{:?}", low.size());
        let mut right = census(3, 100_000, &mut rng);
        let before = right.size();
        (10..20).for_each(|n| right.add([n; 20], false, &[1e-12; K]));
        assert_eq!(right.size(), before);
    }

    /// The network has grown: the latest lookup of a random point counts; and of the point where we are nobody's word does.
    #[test]
    fn what_grows_is_followed_and_a_crowd_around_us_is_not() {
        let mut rng = Rng::new([13; 32]);
        let mut grown = census(3, 2_000, &mut rng);
        grown.add([100; 20], false, &closest(100_000, &mut rng));
        let size = grown.size().unwrap();
        assert!(size.nodes > 30_000 && size.error > size.nodes / 3, "{size:?}");
        let mut surrounded = census(3, 100_000, &mut rng);
        let before = surrounded.size();
        surrounded.add([100; 20], true, &[1e-7; K]);
        assert_eq!(surrounded.size(), before);
        surrounded.add([101; 20], false, &closest(10_000_000, &mut rng));
        assert!(surrounded.size().unwrap().nodes > 1_000_000);
        surrounded.add([102; 20], false, &closest(100_000, &mut rng));
        assert!(surrounded.size().unwrap().nodes < 300_000, "chance is outweighed by the next");
    }

    #[test]
    fn fewer_of_the_closest_tell_less_and_not_something_else() {
        let mut rng = Rng::new([12; 32]);
        let mut census = Census::default();
        (0..16).for_each(|n| {
            census.add([n; 20], false, &closest(100_000, &mut rng)[..if n % 2 == 0 { K } else { K / 2 }])
        });
        let size = census.size().unwrap();
        assert!(size.nodes.abs_diff(100_000) < 3 * size.error && size.error > 9_000, "{size:?}");
    }

    #[test]
    fn a_small_network_alarms_nobody() {
        let mut rng = Rng::new([10; 32]);
        assert!(!census(8, 40, &mut rng).is_alarming(&[1e-9; K]));
    }
}
