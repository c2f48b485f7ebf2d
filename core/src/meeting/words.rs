use super::Code;
use crate::base::Rng;

/// EFF Short Wordlist 1; its first lines say whose it is.
const LIST: &str = include_str!("eff_short_wordlist_1.txt");

/// What a word drawn from the list is worth, in tenths of a bit: log2 of 6^4.
const WORD: u32 = 103;

impl Code {
    /// Words of a generated code.
    pub const WORDS: usize = 5;

    /// A new code: five different words drawn from the EFF Short Wordlist 1, which is 51 bits of the given randomness.
    pub fn generate(rng: &mut Rng) -> Self {
        let mut left: Vec<_> = words().collect();
        let drawn = std::array::from_fn::<_, { Self::WORDS }, _>(|_| {
            left.swap_remove(rng.below(left.len() as u64) as usize)
        });
        Self::new(&drawn.join("-")).expect("five words are a code")
    }

    /// An estimate of how hard the code is to guess.
    pub fn strength(&self) -> Strength {
        // The one word of the list with a hyphen, as its twin without: then hyphens only part words.
        let code = self.as_str().replace("yo-yo", "yoyo");
        let mut seen = Vec::new();
        let mut tenths = 0;
        for word in code.split('-') {
            tenths += if seen.contains(&word) {
                10
            } else if words().any(|known| known == word) {
                WORD
            } else {
                of_other(word)
            };
            seen.push(word);
        }
        Strength { bits: tenths / 10 }
    }
}

/// How hard a code is to guess for someone who knows how people choose codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Strength {
    bits: u32,
}

impl Strength {
    /// Below this many bits a code is weak. A guess costs a pass of Argon2id over 64 MiB, a thousand a second on a
    /// large graphics card; a thousand such cards try 2^44 codes in about half a year, once for all meetings.
    pub const WEAK_BELOW: u32 = 44;

    /// The estimate: log2 of the number of guesses. 51 for a generated code.
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// Whether its owner should be warned: who guesses the code can find and join the meeting.
    pub fn is_weak(self) -> bool {
        self.bits < Self::WEAK_BELOW
    }
}

/// The words of the list that start with `prefix`, in order, for completion; upper and lower case are the same.
pub fn words_starting(prefix: &str) -> impl Iterator<Item = &'static str> + use<> {
    let prefix = prefix.to_lowercase();
    words().filter(move |word| word.starts_with(&prefix))
}

fn words() -> impl Iterator<Item = &'static str> {
    LIST.lines().filter(|line| !line.starts_with('#'))
}

/// The worth of a word that is not on the list, in tenths of a bit: the sum over its runs of digits and of other
/// characters. If the runs are many and short it looks random, and every character counts in full.
fn of_other(word: &str) -> u32 {
    let chars: Vec<char> = word.chars().collect();
    let runs: Vec<&[char]> = chars.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()).collect();
    let looks_random = runs.len() >= 3 && runs.iter().all(|run| run.len() <= 4);
    runs.iter().map(|run| of_run(run, looks_random)).sum()
}

fn of_run(run: &[char], looks_random: bool) -> u32 {
    let len = run.len() as u32;
    let digits = run[0].is_ascii_digit();
    let full = if digits { 33 * len } else { 47 * len };
    let step = |to: i64| {
        run.windows(2).all(|pair| i64::from(u32::from(pair[1])) - i64::from(u32::from(pair[0])) == to)
    };
    if len >= 3 && (step(0) || step(1) || step(-1)) {
        return 50;
    }
    if looks_random {
        full
    } else if digits {
        // People choose dates, years and telephone numbers.
        full.min(20 * len)
    } else {
        // The curve of NIST SP 800-63-1, appendix A.2.1, for what people make up.
        let at_most = |most: u32| len.min(most);
        40 + 20 * (at_most(8) - 1) + 15 * (at_most(20).saturating_sub(8)) + 10 * len.saturating_sub(20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_list() {
        let all: Vec<_> = words().collect();
        assert_eq!(all.len(), 1_296);
        assert_eq!((all[0], all[1], all[1294], all[1295]), ("acid", "acorn", "zone", "zoom"));
        assert!(all.is_sorted());
        assert!(all.iter().all(|word| (3..=5).contains(&word.len())));
        use sha2::{Digest as _, Sha256};
        let hash = Sha256::digest(all.join("\n") + "\n");
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, "36ecca49e4fa20ca84b176c32f2e9c82f98f446585190e75f9879a95c08247bf");
    }

    #[test]
    fn generated_codes_are_normal_and_strong() {
        let mut rng = Rng::new([3; 32]);
        let mut first_words = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let code = Code::generate(&mut rng);
            assert_eq!(Code::new(code.as_str()).as_ref(), Ok(&code));
            assert_eq!(code.strength().bits(), 51);
            assert!(!code.strength().is_weak());
            first_words.insert(code.as_str().split('-').next().unwrap().to_owned());
        }
        assert!(first_words.len() > 150, "{}", first_words.len());
    }

    #[test]
    fn what_people_make_up() {
        let bits = |code: &str| Code::new_weak(code).unwrap().strength().bits();
        for weak in [
            "abc123xyz",
            "password1",
            "team standup",
            "aaaaaaaaaaaaaaaaaaaaaaaa",
            "12345678901234567890",
            "19-05-2024",
        ] {
            assert!(Code::new(weak).unwrap().strength().is_weak(), "{weak}: {}", bits(weak));
        }
        for strong in ["k7f2m9q4x1zb", "marigold-vortex-harbinger-oboe", "acid-yo-yo-zoom-tulip-seven"] {
            assert!(!Code::new(strong).unwrap().strength().is_weak(), "{strong}: {}", bits(strong));
        }
        assert_eq!(bits("acid-yo-yo-zoom-tulip-seven"), bits("acid-yoyo-zoom-tulip-seven"));
        assert!(bits("acid-acid-acid-acid-acid") < 15);
        assert!(bits("x") <= 4);
    }

    #[test]
    fn completion() {
        assert_eq!(words_starting("Yo").collect::<Vec<_>>(), ["yo-yo", "yodel", "yoga", "yoyo"]);
        assert_eq!(words_starting("").count(), 1_296);
        assert_eq!(words_starting("#").count(), 0);
        assert_eq!(words_starting("acids").count(), 0);
    }
}
