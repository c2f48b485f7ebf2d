/// SipHash-2-4 (Aumasson and Bernstein, 2012): a MAC of 8 bytes over short messages, under a key of 16.
#[derive(Clone, Copy)]
pub(super) struct Sip {
    key: [u64; 2],
}

impl Sip {
    pub(super) fn new(key: [u8; 16]) -> Self {
        let [low, high] = [0, 8].map(|at| word(key.get(at..at + 8).unwrap_or_default()));
        Self { key: [low, high] }
    }

    pub(super) fn mac(&self, message: &[u8]) -> [u8; 8] {
        let [k0, k1] = self.key;
        let mut state = State([
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ]);
        let (words, rest) = message.as_chunks::<8>();
        words.iter().for_each(|bytes| state.absorb(u64::from_le_bytes(*bytes)));
        state.absorb(word(rest) | (message.len() as u64) << 56);
        state.0[2] ^= 0xff;
        (0..4).for_each(|_| state.round());
        let [a, b, c, d] = state.0;
        (a ^ b ^ c ^ d).to_le_bytes()
    }
}

struct State([u64; 4]);

impl State {
    fn absorb(&mut self, word: u64) {
        self.0[3] ^= word;
        (0..2).for_each(|_| self.round());
        self.0[0] ^= word;
    }

    fn round(&mut self) {
        let [a, b, c, d] = &mut self.0;
        *a = a.wrapping_add(*b);
        *c = c.wrapping_add(*d);
        *b = b.rotate_left(13) ^ *a;
        *d = d.rotate_left(16) ^ *c;
        *a = a.rotate_left(32);
        *c = c.wrapping_add(*b);
        *a = a.wrapping_add(*d);
        *b = b.rotate_left(17) ^ *c;
        *d = d.rotate_left(21) ^ *a;
        *c = c.rotate_left(32);
    }
}

/// Up to eight bytes as a number, the lowest first.
fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference's vectors: the key and the message are 0, 1, 2 and so on.
    #[test]
    fn vectors() {
        let sip = Sip::new(std::array::from_fn(|i| i as u8));
        let message: [u8; 63] = std::array::from_fn(|i| i as u8);
        for (len, mac) in [
            (0, 0x726f_db47_dd0e_0e31_u64),
            (1, 0x74f8_39c5_93dc_67fd),
            (8, 0x93f5_f579_9a93_2462),
            (15, 0xa129_ca61_49be_45e5),
            (63, 0x958a_324c_eb06_4572),
        ] {
            assert_eq!(u64::from_le_bytes(sip.mac(&message[..len])), mac, "{len}");
        }
    }
}
