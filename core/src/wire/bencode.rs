//! Bencoding (BEP 3): a borrowed reader that allocates nothing, and a writer.
//!
//! The reader is directed by what its caller expects: it walks a datagram once, hands out slices of it, and never
//! builds a tree. What arrives from the network is held to [`MAX_DEPTH`] and [`MAX_ITEMS`], the limits of libtorrent.
//! Keys that are not sorted are tolerated, because real nodes send them; of a key that comes twice the reader's caller
//! sees both, in order.

use thiserror::Error;

/// How deep dictionaries and lists may be nested. KRPC itself needs three levels.
pub const MAX_DEPTH: u8 = 10;

/// How many values one datagram may hold, dictionary keys not counted.
pub const MAX_ITEMS: u16 = 500;

/// Why bytes are not the bencoding that was asked for.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// The bytes end within a value.
    #[error("ends within a value")]
    Truncated,
    /// A byte that begins no value, or is no digit where one must stand.
    #[error("a byte that cannot stand there")]
    Unexpected,
    /// A length with leading zeros.
    #[error("a length with leading zeros")]
    BadLength,
    /// An integer that is empty, has leading zeros, is -0, or exceeds 64 bits.
    #[error("not a canonical 64-bit integer")]
    BadInteger,
    /// More than [`MAX_DEPTH`] levels.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// More than [`MAX_ITEMS`] values.
    #[error("more than {MAX_ITEMS} values")]
    TooMany,
}

/// Walks over bencoded bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u8,
    items: u16,
}

impl<'a> Reader<'a> {
    /// A reader at the first of `bytes`. Bytes after the value that is read are left alone.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0, items: 0 }
    }

    /// How many bytes have been read.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// Whether nothing is left to read.
    pub const fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Reads a dictionary: calls `each` with every key and the reader at its value. A value that `each` does not read
    /// is skipped.
    ///
    /// # Errors
    ///
    /// If there is no well-formed dictionary here, or when `each` fails.
    #[inline]
    pub fn dict(
        &mut self,
        mut each: impl FnMut(&'a [u8], &mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.enter(b'd')?;
        while self.peek()? != b'e' {
            let key = self.string()?;
            let value_at = self.at;
            each(key, self)?;
            if self.at == value_at {
                self.skip()?;
            }
        }
        self.leave();
        Ok(())
    }

    /// Reads a list: calls `each` with the reader at every element. An element that `each` does not read is skipped.
    ///
    /// # Errors
    ///
    /// If there is no well-formed list here, or when `each` fails.
    #[inline]
    pub fn list(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        self.enter(b'l')?;
        while self.peek()? != b'e' {
            let element_at = self.at;
            each(self)?;
            if self.at == element_at {
                self.skip()?;
            }
        }
        self.leave();
        Ok(())
    }

    /// Reads a byte string.
    ///
    /// # Errors
    ///
    /// If there is no well-formed byte string here.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], Error> {
        self.count()?;
        self.string()
    }

    /// Reads an integer.
    ///
    /// # Errors
    ///
    /// If there is no canonical 64-bit integer here.
    #[inline]
    pub fn int(&mut self) -> Result<i64, Error> {
        self.count()?;
        if self.peek()? != b'i' {
            return Err(Error::Unexpected);
        }
        self.at += 1;
        let negative = self.peek()? == b'-';
        self.at += usize::from(negative);
        let first = self.at;
        // Summed up below zero, where i64 has room for one more.
        let mut value: i64 = 0;
        loop {
            match self.peek()? {
                b'e' => break,
                digit @ b'0'..=b'9' => {
                    value = value
                        .checked_mul(10)
                        .and_then(|value| value.checked_sub(i64::from(digit - b'0')))
                        .ok_or(Error::BadInteger)?;
                }
                _ => return Err(Error::BadInteger),
            }
            self.at += 1;
        }
        let digits = self.at - first;
        let leading_zero = self.bytes.get(first) == Some(&b'0') && (digits > 1 || negative);
        if digits == 0 || leading_zero {
            return Err(Error::BadInteger);
        }
        self.at += 1;
        if negative { Ok(value) } else { value.checked_neg().ok_or(Error::BadInteger) }
    }

    /// Reads a byte string, or skips a value of another type.
    ///
    /// # Errors
    ///
    /// If the value here is not well-formed.
    #[inline]
    pub fn bytes_or_skip(&mut self) -> Result<Option<&'a [u8]>, Error> {
        if self.peek()?.is_ascii_digit() { self.bytes().map(Some) } else { self.skip().map(|_| None) }
    }

    /// Reads an integer, or skips a value of another type.
    ///
    /// # Errors
    ///
    /// If the value here is not well-formed.
    #[inline]
    pub fn int_or_skip(&mut self) -> Result<Option<i64>, Error> {
        if self.peek()? == b'i' { self.int().map(Some) } else { self.skip().map(|_| None) }
    }

    /// Whether the next value is a dictionary.
    pub fn at_dict(&self) -> bool {
        self.peek() == Ok(b'd')
    }

    /// Whether the next value is a list.
    pub fn at_list(&self) -> bool {
        self.peek() == Ok(b'l')
    }

    /// Skips one value of any type, checking it, and returns its bytes.
    ///
    /// # Errors
    ///
    /// If the value here is not well-formed.
    pub fn skip(&mut self) -> Result<&'a [u8], Error> {
        let (from, outer) = (self.at, self.depth);
        // One bit for each level: whether it is a dictionary. A loop, because this is where peers in hundreds are skipped.
        let mut dicts = 0_u16;
        let mut key_due = false;
        loop {
            match self.peek()? {
                b'0'..=b'9' if key_due => {
                    self.string()?;
                    key_due = false;
                    if self.peek()? == b'e' {
                        return Err(Error::Unexpected);
                    }
                    continue;
                }
                b'e' if self.depth > outer => self.leave(),
                _ if key_due => return Err(Error::Unexpected),
                b'0'..=b'9' => drop(self.bytes()?),
                b'i' => drop(self.int()?),
                opening @ (b'l' | b'd') => {
                    self.enter(opening)?;
                    dicts = dicts & !(1 << self.depth) | u16::from(opening == b'd') << self.depth;
                    if opening == b'l' {
                        self.skip_strings()?;
                    }
                }
                _ => return Err(Error::Unexpected),
            }
            if self.depth == outer {
                return self.bytes.get(from..self.at).ok_or(Error::Truncated);
            }
            key_due = dicts >> self.depth & 1 == 1;
        }
    }

    /// Skips the strings that a list begins with: peers in hundreds again, and most of them six bytes.
    #[inline]
    fn skip_strings(&mut self) -> Result<(), Error> {
        loop {
            while let Some([b'6', b':', _, _, _, _, _, _, ..]) = self.bytes.get(self.at..) {
                self.count()?;
                self.at += 8;
            }
            if !self.peek()?.is_ascii_digit() {
                return Ok(());
            }
            self.bytes()?;
        }
    }

    #[inline]
    fn peek(&self) -> Result<u8, Error> {
        self.bytes.get(self.at).copied().ok_or(Error::Truncated)
    }

    #[inline]
    fn count(&mut self) -> Result<(), Error> {
        self.items += 1;
        if self.items > MAX_ITEMS { Err(Error::TooMany) } else { Ok(()) }
    }

    #[inline]
    fn enter(&mut self, opening: u8) -> Result<(), Error> {
        self.count()?;
        if self.peek()? != opening {
            return Err(Error::Unexpected);
        }
        if self.depth == MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn leave(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    /// A byte string that is not counted as a value: a dictionary's key.
    #[inline]
    fn string(&mut self) -> Result<&'a [u8], Error> {
        // Most are shorter than 10 bytes: keys, transaction ids, tokens, peers.
        if let Some([digit @ b'0'..=b'9', b':', rest @ ..]) = self.bytes.get(self.at..) {
            let length = usize::from(digit - b'0');
            let string = rest.get(..length).ok_or(Error::Truncated)?;
            self.at += 2 + length;
            return Ok(string);
        }
        let first = self.peek()?;
        if !first.is_ascii_digit() {
            return Err(Error::Unexpected);
        }
        let mut length = usize::from(first - b'0');
        self.at += 1;
        loop {
            match self.peek()? {
                b':' => break,
                digit @ b'0'..=b'9' => {
                    if length == 0 {
                        return Err(Error::BadLength);
                    }
                    length = length * 10 + usize::from(digit - b'0');
                    // Also keeps the product from overflowing.
                    if length > self.bytes.len() {
                        return Err(Error::Truncated);
                    }
                }
                _ => return Err(Error::Unexpected),
            }
            self.at += 1;
        }
        let from = self.at + 1;
        let string = self.bytes.get(from..from + length).ok_or(Error::Truncated)?;
        self.at = from + length;
        Ok(string)
    }
}

/// Appends bencoding to a buffer. Keys are written in the order of the calls: sort them.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// A writer that appends to `out`.
    pub const fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Opens a dictionary, to be closed by [`Writer::end`].
    #[inline]
    pub fn dict(&mut self) -> &mut Self {
        self.out.push(b'd');
        self
    }

    /// Opens a list, to be closed by [`Writer::end`].
    #[inline]
    pub fn list(&mut self) -> &mut Self {
        self.out.push(b'l');
        self
    }

    /// Closes what was opened last.
    #[inline]
    pub fn end(&mut self) -> &mut Self {
        self.out.push(b'e');
        self
    }

    /// A byte string, or a key.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.decimal(bytes.len() as u64);
        self.out.push(b':');
        self.out.extend_from_slice(bytes);
        self
    }

    /// An integer.
    #[inline]
    pub fn int(&mut self, value: i64) -> &mut Self {
        self.out.push(b'i');
        if value < 0 {
            self.out.push(b'-');
        }
        self.decimal(value.unsigned_abs());
        self.out.push(b'e');
        self
    }

    /// A value, or several elements of a list, that are bencoded already.
    #[inline]
    pub fn raw(&mut self, bencoded: &[u8]) -> &mut Self {
        self.out.extend_from_slice(bencoded);
        self
    }

    #[inline]
    fn decimal(&mut self, mut value: u64) {
        if value < 10 {
            return self.out.push(b'0' + value as u8);
        }
        let mut digits = [0; 20];
        let mut from = digits.len();
        while value > 0 {
            from -= 1;
            digits[from] = b'0' + (value % 10) as u8;
            value /= 10;
        }
        self.out.extend_from_slice(&digits[from..]);
    }
}

/// Whether `bytes` are exactly one bencoded value whose dictionaries have sorted, distinct keys: what a writer must
/// produce.
pub fn is_canonical(bytes: &[u8]) -> bool {
    fn value(reader: &mut Reader<'_>) -> Result<bool, Error> {
        let mut sorted = true;
        if reader.at_dict() {
            let mut last: Option<&[u8]> = None;
            reader.dict(|key, reader| {
                sorted &= last.is_none_or(|last| last < key);
                last = Some(key);
                sorted &= value(reader)?;
                Ok(())
            })?;
        } else if reader.at_list() {
            reader.list(|reader| {
                sorted &= value(reader)?;
                Ok(())
            })?;
        } else {
            reader.skip()?;
        }
        Ok(sorted)
    }
    let mut reader = Reader::new(bytes);
    value(&mut reader) == Ok(true) && reader.is_at_end()
}

#[cfg(test)]
mod tests {
    use quickcheck::{Arbitrary, Gen, quickcheck};

    use super::*;

    fn skip(bytes: &[u8]) -> Result<usize, Error> {
        let mut reader = Reader::new(bytes);
        reader.skip().map(<[u8]>::len)
    }

    #[test]
    fn values() {
        assert_eq!(Reader::new(b"4:spam").bytes(), Ok(&b"spam"[..]));
        assert_eq!(Reader::new(b"0:").bytes(), Ok(&b""[..]));
        assert_eq!(Reader::new(b"10:0123456789").bytes(), Ok(&b"0123456789"[..]));
        assert_eq!(Reader::new(b"i0e").int(), Ok(0));
        assert_eq!(Reader::new(b"i-42e").int(), Ok(-42));
        assert_eq!(Reader::new(b"i9223372036854775807e").int(), Ok(i64::MAX));
        assert_eq!(Reader::new(b"i-9223372036854775808e").int(), Ok(i64::MIN));
        assert_eq!(skip(b"d1:ali1ei2ee1:bdeetail"), Ok(18));
    }

    #[test]
    fn malformed() {
        let cases: [(&[u8], Error); 19] = [
            (b"", Error::Truncated),
            (b"d", Error::Truncated),
            (b"l", Error::Truncated),
            (b"i", Error::Truncated),
            (b"i1", Error::Truncated),
            (b"3:ab", Error::Truncated),
            (b"99999999999999999999999:", Error::Truncated),
            (b"x", Error::Unexpected),
            (b"e", Error::Unexpected),
            (b"-1:", Error::Unexpected),
            (b"1;a", Error::Unexpected),
            (b"di1e1:ae", Error::Unexpected),
            (b"d1:ae", Error::Unexpected),
            (b"03:abc", Error::BadLength),
            (b"ie", Error::BadInteger),
            (b"i-e", Error::BadInteger),
            (b"i-0e", Error::BadInteger),
            (b"i01e", Error::BadInteger),
            (b"i9223372036854775808e", Error::BadInteger),
        ];
        for (bytes, error) in cases {
            assert_eq!(skip(bytes), Err(error), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn limits() {
        let nested = |levels: usize| [vec![b'l'; levels], vec![b'e'; levels]].concat();
        assert!(skip(&nested(MAX_DEPTH.into())).is_ok());
        assert_eq!(skip(&nested(usize::from(MAX_DEPTH) + 1)), Err(Error::TooDeep));
        assert_eq!(skip(&vec![b'd'; 100_000]), Err(Error::Unexpected));
        assert_eq!(skip(&vec![b'l'; 100_000]), Err(Error::TooDeep));
        let flat = |elements: usize| [b"l".to_vec(), b"0:".repeat(elements), b"e".to_vec()].concat();
        assert!(skip(&flat(usize::from(MAX_ITEMS) - 1)).is_ok());
        assert_eq!(skip(&flat(MAX_ITEMS.into())), Err(Error::TooMany));
    }

    #[test]
    fn unread_values_are_skipped_and_unsorted_keys_seen() {
        let mut keys = Vec::new();
        let mut reader = Reader::new(b"d1:zi1e1:ald1:xi2eee1:mi3ee");
        let mut m = None;
        reader
            .dict(|key, reader| {
                keys.push(key[0]);
                if key == b"m" {
                    m = reader.int_or_skip()?;
                }
                Ok(())
            })
            .unwrap();
        assert_eq!((keys.as_slice(), m, reader.is_at_end()), (&b"zam"[..], Some(3), true));
    }

    #[test]
    fn canonical() {
        assert!(is_canonical(b"d1:ai1e1:bi2ee"));
        assert!(!is_canonical(b"d1:bi1e1:ai2ee"));
        assert!(!is_canonical(b"d1:ai1e1:ai2ee"));
        assert!(!is_canonical(b"d1:ad1:bi1e1:ai2eee"));
        assert!(!is_canonical(b"i1e "));
    }

    /// Any bencoded value, at most three levels deep.
    #[derive(Clone, Debug)]
    enum Value {
        Int(i64),
        Bytes(Vec<u8>),
        List(Vec<Value>),
        Dict(std::collections::BTreeMap<Vec<u8>, Value>),
    }

    impl Value {
        fn any(g: &mut Gen, levels: u8) -> Self {
            let few = |g: &mut Gen| u8::arbitrary(g) % 5;
            match u8::arbitrary(g) % if levels == 0 { 2 } else { 4 } {
                0 => Self::Int(Arbitrary::arbitrary(g)),
                1 => Self::Bytes(Arbitrary::arbitrary(g)),
                2 => Self::List((0..few(g)).map(|_| Self::any(g, levels - 1)).collect()),
                _ => Self::Dict(
                    (0..few(g)).map(|_| (Arbitrary::arbitrary(g), Self::any(g, levels - 1))).collect(),
                ),
            }
        }

        fn write(&self, to: &mut Writer<'_>) {
            match self {
                Self::Int(value) => drop(to.int(*value)),
                Self::Bytes(bytes) => drop(to.bytes(bytes)),
                Self::List(elements) => {
                    to.list();
                    elements.iter().for_each(|element| element.write(to));
                    to.end();
                }
                Self::Dict(entries) => {
                    to.dict();
                    entries.iter().for_each(|(key, value)| value.write(to.bytes(key)));
                    to.end();
                }
            }
        }

        fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
            if reader.at_dict() {
                let mut entries = std::collections::BTreeMap::new();
                reader.dict(|key, reader| {
                    entries.insert(key.to_vec(), Self::read(reader)?);
                    Ok(())
                })?;
                Ok(Self::Dict(entries))
            } else if reader.at_list() {
                let mut elements = Vec::new();
                reader.list(|reader| {
                    elements.push(Self::read(reader)?);
                    Ok(())
                })?;
                Ok(Self::List(elements))
            } else if reader.peek()? == b'i' {
                reader.int().map(Self::Int)
            } else {
                reader.bytes().map(|bytes| Self::Bytes(bytes.to_vec()))
            }
        }
    }

    impl Arbitrary for Value {
        fn arbitrary(g: &mut Gen) -> Self {
            Self::any(g, 3)
        }
    }

    impl PartialEq for Value {
        fn eq(&self, other: &Self) -> bool {
            format!("{self:?}") == format!("{other:?}")
        }
    }

    quickcheck! {
        fn round_trip(value: Value) -> bool {
            let mut bytes = Vec::new();
            value.write(&mut Writer::new(&mut bytes));
            let mut reader = Reader::new(&bytes);
            let read = Value::read(&mut reader);
            match read {
                Ok(read) => read == value && reader.is_at_end() && is_canonical(&bytes),
                Err(error) => error == Error::TooMany,
            }
        }

        fn any_bytes_are_survived(bytes: Vec<u8>) -> bool {
            skip(&bytes).is_ok_and(|length| length <= bytes.len()) || skip(&bytes).is_err()
        }

        fn any_prefix_is_an_error(value: Value, cut: usize) -> bool {
            let mut bytes = Vec::new();
            value.write(&mut Writer::new(&mut bytes));
            skip(&bytes[..cut % bytes.len()]).is_err()
        }
    }
}
