use std::fmt;

/// A running hash of 128 bits: fast, the same everywhere, and made to notice accidents. It withstands nobody who chooses its
/// input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rolling([u64; 2]);

/// 128 bits that stand for all that went into them; prints as lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TraceHash(pub [u64; 2]);

const KEYS: [u64; 2] = [0x2d35_8dcc_aa6c_78a5, 0x8bb8_4b93_962e_acc9];

impl Rolling {
    pub(crate) const fn new() -> Self {
        Self([0x4b33_a62e_d433_d4a3, 0x4d5a_2da5_1de1_aa47])
    }

    pub(crate) fn add(&mut self, word: u64) {
        let [a, b] = self.0;
        self.0 = [fold(a ^ word, KEYS[0]), fold(b.rotate_left(29) ^ word, KEYS[1])];
    }

    pub(crate) fn add_bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.add(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.add(u64::from_le_bytes(last));
        self.add(bytes.len() as u64);
    }

    pub(crate) fn hash(&self) -> TraceHash {
        let [a, b] = self.0;
        TraceHash([fold(a ^ KEYS[1], b | 1), fold(b ^ KEYS[0], a | 1)])
    }
}

/// A multiplication to twice the width, folded. Both factors are told apart from zero first.
pub(crate) fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0xa076_1d64_78bd_642f) * u128::from(b | 1);
    (product as u64) ^ (product >> 64) as u64
}

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b] = self.0;
        write!(f, "{a:016x}{b:016x}")
    }
}

impl fmt::Debug for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(bytes: &[u8]) -> TraceHash {
        let mut rolling = Rolling::new();
        rolling.add_bytes(bytes);
        rolling.hash()
    }

    #[test]
    fn every_bit_counts() {
        let mut bytes = [0; 29];
        let mut hashes = vec![hash(&bytes)];
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            hashes.push(hash(&bytes));
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        hashes.extend((0..29).map(|length| hash(&bytes[..length])));
        let all = hashes.len();
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), all);
    }

    #[test]
    fn order_counts_and_words_do_not_cancel() {
        for words in [[1, 2, 3], [u64::MAX, 0, 1], [0, 0, 0]] {
            let (mut forth, mut back) = (Rolling::new(), Rolling::new());
            words.iter().for_each(|word| forth.add(*word));
            words.iter().rev().for_each(|word| back.add(*word));
            assert_eq!(forth.hash() == back.hash(), words[0] == words[2]);
        }
    }

    #[test]
    fn is_the_same_everywhere() {
        assert_eq!(hash(b"folkmoot").to_string(), "922fe308c0dde955bed7c142d3a07261");
    }
}
