use sha2::{Digest as _, Sha256};

/// What is in a record: the content types of TLS that occur (RFC 8446 §B.1, RFC 9147 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Alert = 21,
    Handshake = 22,
    Data = 23,
    Ack = 26,
}

/// Which keys protect a record (RFC 9147 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Epoch {
    Handshake = 2,
    Data = 3,
}

/// A record as it stands in a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Raw<'a> {
    /// Not protected: only the two hellos are sent so.
    Plain(&'a [u8]),
    /// Protected, and not yet opened. Of its number only the lower half is there.
    Sealed { epoch: Epoch, low: u16, body: &'a [u8] },
    /// Nothing that this end makes use of.
    Other,
}

/// The header of a plain record, in bytes (RFC 9147 §4).
const PLAIN_HEADER: usize = 13;
/// The unified header that all ends of ours write: with a sequence number of 16 bits and a length.
const HEADER: usize = 5;
const TAG: usize = 16;
/// What protection adds to what is protected, in bytes: header, content type, tag.
pub(super) const OVERHEAD: usize = HEADER + 1 + TAG;

/// The first record of a datagram, and what follows it; `None` if it is malformed.
pub(super) fn split(datagram: &[u8]) -> Option<(Raw<'_>, &[u8])> {
    let first = *datagram.first()?;
    if first & 0xe0 != 0x20 {
        let length = u16::from_be_bytes(*datagram.get(11..)?.first_chunk()?);
        let (record, rest) = datagram.split_at_checked(PLAIN_HEADER + usize::from(length))?;
        let is_handshake = first == Content::Handshake as u8;
        return Some((if is_handshake { Raw::Plain(&record[PLAIN_HEADER..]) } else { Raw::Other }, rest));
    }
    // No connection id, both fields there: the only form that is sent.
    if first & 0b0001_1100 != 0b0000_1100 {
        return None;
    }
    let [_, high, low, length @ ..] = *datagram.first_chunk::<HEADER>()?;
    let (record, rest) = datagram.split_at_checked(HEADER + usize::from(u16::from_be_bytes(length)))?;
    let epoch = match first & 3 {
        2 => Epoch::Handshake,
        3 => Epoch::Data,
        _ => return Some((Raw::Other, rest)),
    };
    Some((Raw::Sealed { epoch, low: u16::from_be_bytes([high, low]), body: &record[HEADER..] }, rest))
}

/// Appends an unprotected record.
pub(super) fn write_plain(out: &mut Vec<u8>, number: u64, message: &[u8]) {
    out.extend([Content::Handshake as u8, 0xfe, 0xfd, 0, 0]);
    out.extend_from_slice(&number.to_be_bytes()[2..]);
    out.extend_from_slice(&(message.len() as u16).to_be_bytes());
    out.extend_from_slice(message);
}

/// The keys of one epoch in one direction, and the numbers used with them.
#[derive(Debug)]
pub(super) struct Seal {
    epoch: Epoch,
    key: [u64; 4],
    number: u64,
}

/// As [`Seal`], at the other end: it takes no record twice, and none that is 64 records late.
#[derive(Debug)]
pub(super) struct Unseal {
    key: [u64; 4],
    /// One more than the highest number that was taken, and which of the 64 below it were.
    next: u64,
    taken: u64,
}

impl Seal {
    /// The keys that a secret gives to the client, or to the server.
    pub(super) fn new(epoch: Epoch, secret: &[u8; 32], of_client: bool) -> Self {
        Self { epoch, key: key(secret, of_client), number: 0 }
    }

    /// The number that the next record will have.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Appends a protected record.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, content: Content, message: &[u8]) {
        let number = self.number;
        self.number += 1;
        out.push(0b0010_1100 | self.epoch as u8);
        out.extend_from_slice(&(number as u16).to_be_bytes());
        out.extend_from_slice(&((message.len() + 1 + TAG) as u16).to_be_bytes());
        let start = out.len();
        out.extend_from_slice(message);
        out.push(content as u8);
        let tag = tag(&self.key, number, &out[start..]);
        hide(&self.key, number, &mut out[start..]);
        out.extend_from_slice(&tag);
    }
}

impl Unseal {
    /// The keys that a secret gives to the client, or to the server.
    pub(super) fn new(secret: &[u8; 32], of_client: bool) -> Self {
        Self { key: key(secret, of_client), next: 0, taken: 0 }
    }

    /// Opens a record: its number, what it is, and what was in it; `None` if it is forged, damaged, another's, or had
    /// before.
    pub(super) fn open(&mut self, low: u16, body: &[u8]) -> Option<(u64, Content, Vec<u8>)> {
        let number = self.number(low);
        let back = self.next.checked_sub(number + 1);
        if back.is_some_and(|back| back >= 64 || self.taken >> back & 1 == 1) {
            return None;
        }
        let (hidden, had) = body.split_last_chunk::<TAG>()?;
        let mut message = hidden.to_vec();
        hide(&self.key, number, &mut message);
        if tag(&self.key, number, &message) != *had {
            return None;
        }
        match back {
            Some(back) => self.taken |= 1 << back,
            None => {
                let ahead = number + 1 - self.next;
                self.taken = self.taken.checked_shl(ahead as u32).unwrap_or(0) | 1;
                self.next = number + 1;
            }
        }
        let content = match message.pop()? {
            21 => Content::Alert,
            22 => Content::Handshake,
            23 => Content::Data,
            26 => Content::Ack,
            _ => return None,
        };
        Some((number, content, message))
    }

    /// The number closest to the next one that ends in `low` (RFC 9147 §4.2.2).
    fn number(&self, low: u16) -> u64 {
        let ahead = low.wrapping_sub(self.next as u16);
        if ahead < 0x8000 || self.next < 0x1_0000 - u64::from(ahead) {
            self.next + u64::from(ahead)
        } else {
            self.next + u64::from(ahead) - 0x1_0000
        }
    }
}

fn key(secret: &[u8; 32], of_client: bool) -> [u64; 4] {
    let hash = Sha256::new().chain_update(secret).chain_update([u8::from(of_client)]).finalize();
    let mut words = hash.chunks_exact(8).map(word);
    std::array::from_fn(|_| words.next().unwrap_or_default())
}

/// 128 bits over a message and its number. Whoever lacks the key hits it once in 2^128 tries; whoever studies it may not need as
/// many.
fn tag(key: &[u64; 4], number: u64, message: &[u8]) -> [u8; TAG] {
    let (mut a, mut b) = (key[0] ^ number, key[1] ^ message.len() as u64);
    for chunk in message.chunks(8) {
        let word = word(chunk);
        a = fold(a ^ word, key[2]);
        b = fold(b.wrapping_add(word).rotate_left(23), key[3]);
    }
    let mut tag = [0; TAG];
    tag[..8].copy_from_slice(&fold(a ^ key[3], b | 1).to_le_bytes());
    tag[8..].copy_from_slice(&fold(b ^ key[2], a | 1).to_le_bytes());
    tag
}

/// Adds a stream of bytes that depends on the key and the number, so that nobody on the way reads along.
fn hide(key: &[u64; 4], number: u64, message: &mut [u8]) {
    let mut counter = key[1] ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for chunk in message.chunks_mut(8) {
        counter = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let stream = fold(counter ^ key[0], key[2] | 1).to_le_bytes();
        chunk.iter_mut().zip(stream).for_each(|(byte, stream)| *byte ^= stream);
    }
}

/// A multiplication to twice the width, folded.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b | 1);
    (product as u64) ^ (product >> 64) as u64
}

/// Up to eight bytes as a number.
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 32] = [7; 32];

    fn open(unseal: &mut Unseal, record: &[u8]) -> Option<(u64, Content, Vec<u8>)> {
        match split(record)? {
            (Raw::Sealed { low, body, .. }, []) => unseal.open(low, body),
            _ => None,
        }
    }

    fn sealed(seal: &mut Seal, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        seal.write(&mut out, Content::Data, message);
        assert_eq!(out.len(), message.len() + OVERHEAD);
        out
    }

    #[test]
    fn opens_what_was_sealed_once() {
        let mut seal = Seal::new(Epoch::Data, &SECRET, true);
        let mut unseal = Unseal::new(&SECRET, true);
        let records: Vec<_> = (0..200_000u64).map(|n| sealed(&mut seal, &n.to_be_bytes()[..5])).collect();
        for (n, record) in records.iter().enumerate() {
            let expected = (n as u64, Content::Data, (n as u64).to_be_bytes()[..5].to_vec());
            assert_eq!(open(&mut unseal, record), Some(expected));
            assert_eq!(open(&mut unseal, record), None, "replayed");
        }
        assert!(!records[9][HEADER..].windows(5).any(|bytes| bytes == [0; 5]), "readable");
    }

    #[test]
    fn takes_what_is_late_but_not_what_is_very_late() {
        let mut seal = Seal::new(Epoch::Data, &SECRET, true);
        let mut unseal = Unseal::new(&SECRET, true);
        let records: Vec<_> = (0..70).map(|_| sealed(&mut seal, b"x")).collect();
        assert!(open(&mut unseal, &records[69]).is_some());
        assert!(open(&mut unseal, &records[6]).is_some());
        assert!(open(&mut unseal, &records[6]).is_none());
        assert!(open(&mut unseal, &records[5]).is_none());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let record = sealed(&mut Seal::new(Epoch::Data, &SECRET, true), b"nine byte");
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // The epoch's bits are whose key is tried, which is the channel's to choose.
            if bit < 8 {
                continue;
            }
            assert_eq!(open(&mut Unseal::new(&SECRET, true), &damaged), None, "bit {bit}");
        }
    }

    #[test]
    fn another_secret_and_the_other_direction_do_not_open_it() {
        let record = sealed(&mut Seal::new(Epoch::Data, &SECRET, true), b"hello");
        assert_eq!(open(&mut Unseal::new(&SECRET, false), &record), None);
        assert_eq!(open(&mut Unseal::new(&[8; 32], true), &record), None);
    }
}
