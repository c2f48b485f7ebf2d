//! Standard base64 (RFC 4648 §4) of whole groups: multiples of three bytes, so there is never padding and every
//! value has exactly one spelling. Its alphabet is that of ICE credentials (`ice-char`, RFC 8839 §5.4).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text of `bytes`. What is left after the last whole group of three is ignored; all callers have whole groups.
pub(super) fn encode(bytes: &[u8]) -> String {
    debug_assert!(bytes.len().is_multiple_of(3), "only whole groups have an unpadded spelling");
    let mut text = String::with_capacity(bytes.len() / 3 * 4);
    for group in bytes.chunks_exact(3) {
        let bits = group.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte));
        for shift in [18, 12, 6, 0] {
            text.push(char::from(ALPHABET[(bits >> shift & 63) as usize]));
        }
    }
    text
}

/// The `N` bytes that `text` spells, or `None` if it does not spell exactly that many.
pub(super) fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if !N.is_multiple_of(3) || text.len() != N / 3 * 4 {
        return None;
    }
    let mut bytes = [0; N];
    for (group, chars) in bytes.chunks_exact_mut(3).zip(text.chunks_exact(4)) {
        let mut bits = 0_u32;
        for &char in chars {
            bits = bits << 6 | sextet(char)?;
        }
        group.copy_from_slice(&bits.to_be_bytes()[1..]);
    }
    Some(bytes)
}

fn sextet(char: u8) -> Option<u32> {
    Some(u32::from(match char {
        b'A'..=b'Z' => char - b'A',
        b'a'..=b'z' => char - b'a' + 26,
        b'0'..=b'9' => char - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_4648_vectors_of_whole_groups() {
        assert_eq!(encode(b""), "");
        assert_eq!(encode(b"foo"), "Zm9v");
        assert_eq!(encode(b"foobar"), "Zm9vYmFy");
        assert_eq!(encode(&[0xfb, 0xff, 0xbf]), "+/+/");
        assert_eq!(decode(b"Zm9vYmFy"), Some(*b"foobar"));
    }

    #[test]
    fn only_the_exact_length_and_alphabet_decode() {
        assert_eq!(decode::<3>(b"Zm9"), None);
        assert_eq!(decode::<3>(b"Zm9vYmFy"), None);
        assert_eq!(decode::<3>(b"Zm9="), None);
        assert_eq!(decode::<3>(b"Zm9-"), None);
        assert_eq!(decode::<2>(b"Zm9v"), None);
    }

    #[test]
    fn every_value_comes_back() {
        fn round_trip(a: u64, b: u64, c: u64) -> bool {
            let mut bytes = [0; 24];
            for (part, number) in bytes.chunks_exact_mut(8).zip([a, b, c]) {
                part.copy_from_slice(&number.to_be_bytes());
            }
            decode(encode(&bytes).as_bytes()) == Some(bytes)
        }
        quickcheck::quickcheck(round_trip as fn(u64, u64, u64) -> bool);
    }
}
