use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use sha1::{Digest, Sha1};
use thiserror::Error;

use crate::base::InfoHash;
use crate::wire::bencode::{Reader, Writer, is_canonical};
use crate::wire::krpc;

/// The longest value, in bytes of its bencoding (BEP 44).
pub const MAX_VALUE: usize = 1_000;

/// The longest salt, in bytes (BEP 44).
pub const MAX_SALT: usize = 64;

/// What the DHT stores besides peers (BEP 44). An `Item` is always valid: of the right size, and with a signature that
/// holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A value that is found by its own hash, and so never changes.
    Immutable(Value),
    /// A value that its author can replace.
    Mutable(MutableItem),
}

/// A value with a sequence number, signed by its author (BEP 44).
#[derive(Clone, PartialEq, Eq)]
pub struct MutableItem {
    key: [u8; 32],
    salt: Salt,
    seq: i64,
    value: Value,
    signature: [u8; 64],
}

/// What an item is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemId {
    /// The SHA-1 of the bencoded value.
    Immutable(InfoHash),
    /// An author, and which of the author's items.
    Mutable {
        /// The author's Ed25519 public key.
        key: [u8; 32],
        /// Tells items of one author apart.
        salt: Salt,
    },
}

/// One bencoded value of at most [`MAX_VALUE`] bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Value(Vec<u8>);

/// At most [`MAX_SALT`] bytes that tell items of one author apart; often none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Salt(Vec<u8>);

impl Item {
    /// The memory taken beyond its own size, in bytes.
    pub(super) fn footprint(&self) -> usize {
        let salt = if let Self::Mutable(item) = self { item.salt.0.capacity() } else { 0 };
        self.value().0.capacity() + salt
    }
}

/// An author of mutable items: an Ed25519 secret key. Use it for nothing else, because what BEP 44 signs is not told apart
/// from statements of other kinds.
#[derive(Clone)]
pub struct Author(SigningKey);

/// Why something is no item.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ItemError {
    /// The bencoded value is longer than [`MAX_VALUE`].
    #[error("longer than {MAX_VALUE} bytes when bencoded")]
    ValueTooBig,
    /// The value is not bencoded, or not in the one form that everybody hashes alike.
    #[error("not one canonical bencoded value")]
    NotBencoded,
    /// The salt is longer than [`MAX_SALT`].
    #[error("a salt longer than {MAX_SALT} bytes")]
    SaltTooBig,
    /// A sequence number below zero, which many nodes refuse.
    #[error("a sequence number below zero")]
    NegativeSeq,
    /// The signature is not the author's for this salt, sequence number and value.
    #[error("not signed by its author")]
    BadSignature,
    /// Parts are missing, or it is an item other than the one asked for.
    #[error("not the item asked for")]
    Another,
}

impl Item {
    /// The value.
    pub fn value(&self) -> &Value {
        match self {
            Self::Immutable(value) => value,
            Self::Mutable(item) => &item.value,
        }
    }

    /// What it is found by.
    pub fn id(&self) -> ItemId {
        match self {
            Self::Immutable(value) => ItemId::Immutable(value.hash()),
            Self::Mutable(item) => ItemId::Mutable { key: item.key, salt: item.salt.clone() },
        }
    }

    /// Where it is stored.
    pub fn target(&self) -> InfoHash {
        self.id().target()
    }

    /// The sequence number, if there is one.
    pub fn seq(&self) -> Option<i64> {
        match self {
            Self::Immutable(_) => None,
            Self::Mutable(item) => Some(item.seq),
        }
    }

    /// As an answer to `get` has it.
    pub(super) fn as_answer(&self) -> krpc::Item<'_> {
        let mutable = match self {
            Self::Immutable(_) => None,
            Self::Mutable(item) => Some(item),
        };
        krpc::Item {
            value: Some(self.value().as_bencoded()),
            key: mutable.map(|item| &item.key),
            signature: mutable.map(|item| &item.signature),
            seq: self.seq(),
        }
    }

    /// How many bytes it adds to an answer, at most.
    pub(super) fn answer_len(&self) -> usize {
        // `1:v` value, and of a mutable one `1:k32:` key `3:seqi` number `e` `3:sig64:` signature.
        let signed = if self.seq().is_some() { 6 + 32 + 7 + 19 + 8 + 64 } else { 0 };
        3 + self.value().as_bencoded().len() + signed
    }
}

impl From<MutableItem> for Item {
    fn from(item: MutableItem) -> Self {
        Self::Mutable(item)
    }
}

impl MutableItem {
    /// Signs a value. To replace an item of the same author and salt, `seq` must be greater than its.
    ///
    /// # Errors
    ///
    /// If `seq` is below zero.
    pub fn sign(author: &Author, salt: Salt, seq: i64, value: Value) -> Result<Self, ItemError> {
        let signature = author.0.sign(&signed_bytes(&salt, seq, &value)).to_bytes();
        if seq < 0 {
            return Err(ItemError::NegativeSeq);
        }
        Ok(Self { key: author.public(), salt, seq, value, signature })
    }

    /// An item signed elsewhere.
    ///
    /// # Errors
    ///
    /// If `seq` is below zero, or the signature is not the author's for all of this. The check is strict: keys and
    /// signatures that only some verifiers accept are refused.
    pub fn verified(
        key: [u8; 32],
        salt: Salt,
        seq: i64,
        value: Value,
        signature: [u8; 64],
    ) -> Result<Self, ItemError> {
        if seq < 0 {
            return Err(ItemError::NegativeSeq);
        }
        let author = VerifyingKey::from_bytes(&key).map_err(|_| ItemError::BadSignature)?;
        author
            .verify_strict(
                &signed_bytes(&salt, seq, &value),
                &ed25519_dalek::Signature::from_bytes(&signature),
            )
            .map_err(|_| ItemError::BadSignature)?;
        Ok(Self { key, salt, seq, value, signature })
    }

    /// The author's public key.
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// The salt.
    pub fn salt(&self) -> &Salt {
        &self.salt
    }

    /// The sequence number.
    pub fn seq(&self) -> i64 {
        self.seq
    }

    /// The value.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The signature over salt, sequence number and value.
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }
}

impl ItemId {
    /// Where the item is stored.
    pub fn target(&self) -> InfoHash {
        match self {
            Self::Immutable(hash) => *hash,
            Self::Mutable { key, salt } => {
                InfoHash(Sha1::new().chain_update(key).chain_update(&salt.0).finalize().into())
            }
        }
    }

    /// The item in an answer to `get`.
    ///
    /// # Errors
    ///
    /// If it is not valid, or not the one with this id.
    pub(super) fn check(&self, answer: &krpc::Item<'_>) -> Result<Item, ItemError> {
        let value = Value::bencoded(answer.value.ok_or(ItemError::Another)?)?;
        match self {
            Self::Immutable(hash) if value.hash() == *hash => Ok(Item::Immutable(value)),
            Self::Immutable(_) => Err(ItemError::Another),
            Self::Mutable { key, salt } => match (answer.key, answer.signature, answer.seq) {
                (Some(author), Some(signature), Some(seq)) if author == key => {
                    Ok(MutableItem::verified(*key, salt.clone(), seq, value, *signature)?.into())
                }
                _ => Err(ItemError::Another),
            },
        }
    }
}

impl Value {
    /// A byte string: the one type of value that every implementation handles.
    ///
    /// # Errors
    ///
    /// If it is too long: 996 bytes fit.
    pub fn bytes(bytes: &[u8]) -> Result<Self, ItemError> {
        let mut bencoded = Vec::with_capacity(bytes.len() + 4);
        Writer::new(&mut bencoded).bytes(bytes);
        if bencoded.len() > MAX_VALUE { Err(ItemError::ValueTooBig) } else { Ok(Self(bencoded)) }
    }

    /// A value of any type, bencoded already.
    ///
    /// # Errors
    ///
    /// If it is too long, or is not exactly one value in canonical form.
    pub fn bencoded(bencoded: &[u8]) -> Result<Self, ItemError> {
        if bencoded.len() > MAX_VALUE {
            return Err(ItemError::ValueTooBig);
        }
        if is_canonical(bencoded) { Ok(Self(bencoded.to_vec())) } else { Err(ItemError::NotBencoded) }
    }

    /// The bencoding.
    pub fn as_bencoded(&self) -> &[u8] {
        &self.0
    }

    /// The byte string, if it is one.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        Reader::new(&self.0).bytes().ok()
    }

    fn hash(&self) -> InfoHash {
        InfoHash(Sha1::digest(&self.0).into())
    }
}

impl Salt {
    /// A salt.
    ///
    /// # Errors
    ///
    /// If it is too long.
    pub fn new(salt: &[u8]) -> Result<Self, ItemError> {
        if salt.len() > MAX_SALT { Err(ItemError::SaltTooBig) } else { Ok(Self(salt.to_vec())) }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Author {
    /// The author with the given 32-byte secret.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&secret))
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }
}

impl fmt::Debug for MutableItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MutableItem")
            .field("seq", &self.seq)
            .field("value", &self.value)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Secrets stay out of logs.
impl fmt::Debug for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Author(..)")
    }
}

/// What is signed: pieces of a bencoded dictionary, without its ends.
fn signed_bytes(salt: &Salt, seq: i64, value: &Value) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(32 + MAX_SALT + value.0.len());
    let mut to = Writer::new(&mut buffer);
    if !salt.0.is_empty() {
        to.bytes(b"salt").bytes(&salt.0);
    }
    to.bytes(b"seq").int(seq).bytes(b"v").raw(&value.0);
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        assert_eq!(text.len(), 2 * N);
        std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
    }

    fn salt(text: &str) -> Salt {
        Salt::new(text.as_bytes()).unwrap()
    }

    const KEY: &str = "77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548";
    const PLAIN: &str = "305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff\
                         1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01";
    const SALTED: &str = "6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17d\
                          df9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08";

    /// The three vectors of BEP 44.
    #[test]
    fn bep44_vectors() {
        let value = Value::bytes(b"Hello World!").unwrap();
        assert_eq!(signed_bytes(&salt(""), 1, &value), b"3:seqi1e1:v12:Hello World!");
        assert_eq!(signed_bytes(&salt("foobar"), 1, &value), b"4:salt6:foobar3:seqi1e1:v12:Hello World!");
        let cases = [
            ("", PLAIN, "4a533d47ec9c7d95b1ad75f576cffc641853b750"),
            ("foobar", SALTED, "411eba73b6f087ca51a3795d9c8c938d365e32c1"),
        ];
        for (text, signature, target) in cases {
            let with =
                |text, seq| MutableItem::verified(hex(KEY), salt(text), seq, value.clone(), hex(signature));
            assert_eq!(Item::from(with(text, 1).unwrap()).target().to_string(), target);
            assert_eq!(with(text, 2), Err(ItemError::BadSignature));
            assert_eq!(with("other", 1), Err(ItemError::BadSignature));
            assert_eq!(with(text, -1), Err(ItemError::NegativeSeq));
        }
        assert_eq!(Item::Immutable(value).target().to_string(), "e5f96f6f38320f0f33959cb4d3d656452117aadb");
    }

    /// The targets of BEP 46, whose items are those of BEP 44.
    #[test]
    fn bep46_targets() {
        let key = hex("8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e");
        let target = |text| ItemId::Mutable { key, salt: salt(text) }.target().to_string();
        assert_eq!(target(""), "cc3f9d90b572172053626f9980ce261a850d050b");
        assert_eq!(target("n"), "59ee7c2cb9b4f7eb1986ee2d18fd2fdb8a56554f");
    }

    #[test]
    fn what_is_signed_is_accepted_and_nothing_else() {
        let author = Author::new([5; 32]);
        let value = |text: &str| Value::bytes(text.as_bytes()).unwrap();
        let item = Item::from(MutableItem::sign(&author, salt("s"), 7, value("x")).unwrap());
        let answer = item.as_answer();
        assert_eq!(item.id().check(&answer), Ok(item.clone()));
        let check = |answer: &krpc::Item<'_>| item.id().check(answer);
        assert_eq!(check(&krpc::Item { seq: Some(8), ..answer.clone() }), Err(ItemError::BadSignature));
        assert_eq!(
            check(&krpc::Item { value: Some(b"1:y"), ..answer.clone() }),
            Err(ItemError::BadSignature)
        );
        let other = Author::new([6; 32]).public();
        assert_eq!(check(&krpc::Item { key: Some(&other), ..answer.clone() }), Err(ItemError::Another));
        for lacking in [
            krpc::Item { key: None, ..answer.clone() },
            krpc::Item { signature: None, ..answer.clone() },
            krpc::Item { seq: None, ..answer.clone() },
            krpc::Item { value: None, ..answer.clone() },
        ] {
            assert_eq!(check(&lacking), Err(ItemError::Another));
        }
        let fixed = Item::Immutable(value("x"));
        assert_eq!(fixed.id().check(&fixed.as_answer()), Ok(fixed.clone()));
        assert_eq!(fixed.id().check(&answer).as_ref(), Ok(&fixed), "surplus parts mean nothing");
        assert_eq!(
            fixed.id().check(&krpc::Item { value: Some(b"1:y"), ..Default::default() }),
            Err(ItemError::Another)
        );
        assert_eq!(MutableItem::sign(&author, salt(""), -1, value("x")), Err(ItemError::NegativeSeq));
    }

    #[test]
    fn sizes_and_forms() {
        assert!(Value::bytes(&[7; 996]).is_ok());
        assert_eq!(Value::bytes(&[7; 997]), Err(ItemError::ValueTooBig));
        assert_eq!(Value::bencoded(&[b'l'; 1_001]), Err(ItemError::ValueTooBig));
        for bad in ["", "x", "i1ei2e", "d1:bi1e1:ai1ee", "i01e", "3:ab"] {
            assert_eq!(Value::bencoded(bad.as_bytes()), Err(ItemError::NotBencoded), "{bad}");
        }
        let list = Value::bencoded(b"li1e2:abe").unwrap();
        assert_eq!((list.as_bytes(), list.as_bencoded()), (None, &b"li1e2:abe"[..]));
        assert_eq!(Value::bytes(b"ab").unwrap().as_bytes(), Some(&b"ab"[..]));
        assert!(Salt::new(&[0; 64]).is_ok());
        assert_eq!(Salt::new(&[0; 65]), Err(ItemError::SaltTooBig));
    }
}
