use std::net::SocketAddr;

use quickcheck::{Arbitrary, Gen, quickcheck};

use super::*;

/// RFC 5769 §2.1: a request whose padding is spaces.
const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e2074657374\
    20636c69656e74002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70c\
    bfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf";
/// RFC 5769 §2.2.
const RESPONSE_V4: &str = "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f72\
    2000200008000 1a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96";
/// RFC 5769 §2.3.
const RESPONSE_V6: &str = "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f72\
    20002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed41\
    80280004c8fb0b4c";
/// RFC 5769 §2.4: long-term credentials.
const LONG_TERM: &str = "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383\
    e382afe382b900000015001c662f2f3439396b39353464364f4c33346f4c39465354767936347341 0014000b\
    6578616d706c652e6f72670000080014f67024656dd64a3e02b8e0712e85c9a28ca89666";
/// RFC 8489 §B.1 as corrected by erratum 6268: USERHASH and SHA-256.
const USERHASH: &str = "000100902112a44278ad3433c6ad72c029da412e001e00204a3cf38fef6992bda952c678\
    0417da0f24819415569e60b205c46e41407f1704001500296f624d61744a6f733241414143662f2f3439396b3935346436\
    4f4c33346f4c394653547679363473410000000014000b6578616d706c652e6f726700001d000400020000001c0020b5c7\
    bf005b6c52a21c51c5e892f81924136296cb927c43149309278cc6518e65";

const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";
const ID: TransactionId = TransactionId(*b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae");
const LONG_TERM_ID: TransactionId = TransactionId(*b"\x78\xad\x34\x33\xc6\xad\x72\xc0\x29\xda\x41\x2e");
const MATRIX: &str = "マトリックス";
const REALM: &str = "example.org";

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let nibble = |digit: u8| (digit as char).to_digit(16).unwrap() as u8;
    digits.chunks(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect()
}

/// A message with that type and those attributes, bytes as given.
fn raw(kind: u16, attributes: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend((attributes.len() as u16).to_be_bytes());
    bytes.extend([0x21, 0x12, 0xa4, 0x42]);
    bytes.extend([7; 12]);
    bytes.extend(attributes);
    bytes
}

#[test]
fn rfc5769_request() {
    let bytes = unhex(REQUEST);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Request, Method::BINDING));
    assert_eq!(message.transaction_id(), ID);
    assert_eq!(message.software(), Some("STUN test client"));
    assert_eq!(message.username(), Some("evtj:h6vY"));
    assert_eq!(message.attribute(AttributeType::PRIORITY), Some(&[0x6e, 0x00, 0x01, 0xff][..]));
    assert_eq!(message.attribute(AttributeType::ICE_CONTROLLED).map(<[u8]>::len), Some(8));
    assert_eq!(message.attribute(AttributeType::USE_CANDIDATE), None);
    assert_eq!(message.attributes().count(), 4);
    assert!(message.has_sha1() && !message.has_sha256());
    assert!(message.verify_sha1(PASSWORD));
    assert!(!message.verify_sha1(b"wrong"));
    assert!(!message.verify_sha256(PASSWORD));
    assert_eq!(message.fingerprint(), Fingerprint::Right);
}

#[test]
fn rfc5769_responses() {
    for (vector, addr) in
        [(RESPONSE_V4, "192.0.2.1:32853"), (RESPONSE_V6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853")]
    {
        let addr: SocketAddr = addr.parse().unwrap();
        let bytes = unhex(vector);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.class(), message.method()), (Class::Success, Method::BINDING));
        assert_eq!(message.software(), Some("test vector"));
        assert_eq!(message.mapped_address(), Some(addr));
        assert!(message.verify_sha1(PASSWORD));
        assert_eq!(message.fingerprint(), Fingerprint::Right);

        let built = Builder::binding_success(ID).software("test vector").xor_mapped_address(addr);
        let built = built.integrity_sha1(PASSWORD).finish_with_fingerprint();
        let rebuilt = Message::parse(&built).unwrap();
        assert!(message.attributes().eq(rebuilt.attributes()), "the same but for the padding");
    }
}

#[test]
fn rfc5769_long_term() {
    let bytes = unhex(LONG_TERM);
    let message = Message::parse(&bytes).unwrap();
    let nonce = message.attribute(AttributeType::NONCE).unwrap();
    assert_eq!(message.username(), Some(MATRIX));
    assert_eq!(message.attribute(AttributeType::REALM), Some(REALM.as_bytes()));
    assert_eq!(nonce, b"f//499k954d6OL34oL9FSTvy64sA");
    let key = long_term_key_md5(MATRIX, REALM, "TheMatrIX");
    assert!(message.verify_sha1(&key));
    assert_eq!(message.fingerprint(), Fingerprint::Absent);

    let rebuilt = Builder::binding_request(LONG_TERM_ID)
        .username(MATRIX)
        .attribute(AttributeType::NONCE, nonce)
        .attribute(AttributeType::REALM, REALM.as_bytes())
        .integrity_sha1(&key)
        .finish();
    assert_eq!(rebuilt, bytes);
}

#[test]
fn rfc8489_userhash() {
    let bytes = unhex(USERHASH);
    let message = Message::parse(&bytes).unwrap();
    let nonce = message.attribute(AttributeType::NONCE).unwrap();
    assert_eq!(message.attribute(AttributeType::USERHASH), Some(&userhash(MATRIX, REALM)[..]));
    assert_eq!(nonce, b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA");
    let key = long_term_key_sha256(MATRIX, REALM, "TheMatrIX");
    assert!(message.verify_sha256(&key));
    assert!(!message.verify_sha1(&key));

    let rebuilt = Builder::binding_request(LONG_TERM_ID)
        .attribute(AttributeType::USERHASH, &userhash(MATRIX, REALM))
        .attribute(AttributeType::NONCE, nonce)
        .attribute(AttributeType::REALM, REALM.as_bytes())
        .attribute(AttributeType::PASSWORD_ALGORITHM, &[0, 2, 0, 0])
        .integrity_sha256(&key)
        .finish();
    assert_eq!(rebuilt, bytes);
}

/// Whether a message parses and carries a right integrity.
fn is_authentic(bytes: &[u8]) -> bool {
    let md5 = long_term_key_md5(MATRIX, REALM, "TheMatrIX");
    let sha256 = long_term_key_sha256(MATRIX, REALM, "TheMatrIX");
    Message::parse(bytes)
        .is_ok_and(|m| m.verify_sha1(PASSWORD) || m.verify_sha1(&md5) || m.verify_sha256(&sha256))
}

#[test]
fn one_flipped_bit_breaks_the_proofs() {
    for vector in [REQUEST, RESPONSE_V4, RESPONSE_V6, LONG_TERM, USERHASH] {
        let bytes = unhex(vector);
        let message = Message::parse(&bytes).unwrap();
        assert!(is_authentic(&bytes));
        let has_fingerprint = message.fingerprint() == Fingerprint::Right;
        // MESSAGE-INTEGRITY does not cover the FINGERPRINT behind it.
        let covered = if has_fingerprint { bytes.len() - 8 } else { bytes.len() };
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(bit / 8 >= covered || !is_authentic(&flipped), "bit {bit}");
            let fingerprint = Message::parse(&flipped).map(|message| message.fingerprint());
            assert_ne!(fingerprint, Ok(Fingerprint::Right), "bit {bit}");
        }
    }
}

#[test]
fn truncated_anywhere_is_refused() {
    for vector in [REQUEST, RESPONSE_V4, RESPONSE_V6, LONG_TERM, USERHASH] {
        let bytes = unhex(vector);
        for end in 0..bytes.len() {
            let expected = if end < HEADER { ParseError::TooShort } else { ParseError::LengthMismatch };
            assert_eq!(Message::parse(&bytes[..end]).unwrap_err(), expected);

            // The same with a header that fits: an attribute is cut, or the closing ones are gone.
            let mut cut = bytes[..end].to_vec();
            if end >= HEADER {
                cut[2..4].copy_from_slice(&((end - HEADER) as u16).to_be_bytes());
            }
            match Message::parse(&cut) {
                Err(error) if end >= HEADER && end % 4 != 0 => assert_eq!(error, ParseError::UnalignedLength),
                Err(error) => assert!(matches!(error, ParseError::TooShort | ParseError::AttributePastEnd)),
                Ok(message) => assert_ne!(message.fingerprint(), Fingerprint::Right),
            }
        }
    }
}

#[test]
fn every_reason_to_refuse() {
    let reason = |bytes: &[u8]| Message::parse(bytes).unwrap_err();
    assert_eq!(reason(b""), ParseError::TooShort);
    assert_eq!(reason(&raw(0x0401, b"")), ParseError::NotStun);
    assert_eq!(reason(&raw(0x4001, b"")), ParseError::NotStun);
    assert_eq!(reason(&raw(0x8001, b"")), ParseError::NotStun);
    let mut bytes = raw(1, b"");
    bytes[4] ^= 1;
    assert_eq!(reason(&bytes), ParseError::BadCookie);
    assert_eq!(reason(&raw(1, b"\x80\x22\x00\x00\x00")), ParseError::UnalignedLength);
    let mut bytes = raw(1, b"");
    bytes.push(0);
    assert_eq!(reason(&bytes), ParseError::LengthMismatch);
    let mut long = raw(1, b"\x80\x22\x05\xc8");
    long.resize(MAX_MESSAGE + 4, 0);
    long[2..4].copy_from_slice(&((MAX_MESSAGE + 4 - HEADER) as u16).to_be_bytes());
    assert_eq!(reason(&long), ParseError::TooLong);
    assert!(Message::parse(&raw(1, &b"\x80\x22\x00\x00".repeat(MAX_ATTRIBUTES))).is_ok());
    let many = raw(1, &b"\x80\x22\x00\x00".repeat(MAX_ATTRIBUTES + 1));
    assert_eq!(reason(&many), ParseError::TooManyAttributes);
    assert_eq!(reason(&raw(1, b"\x80\x22\x00\x01")), ParseError::AttributePastEnd);
    assert_eq!(reason(&raw(1, b"\x80\x22\xff\xff")), ParseError::AttributePastEnd);
    assert_eq!(reason(&raw(1, b"\x00\x08\x00\x04....")), ParseError::BadIntegrityLength);
    assert_eq!(reason(&raw(1, b"\x00\x08\x00\x00")), ParseError::BadIntegrityLength);
    assert_eq!(reason(&raw(1, b"\x00\x1c\x00\x0c............")), ParseError::BadIntegrityLength);
    assert_eq!(reason(&raw(1, b"\x00\x1c\x00\x11.................###")), ParseError::BadIntegrityLength);
    assert_eq!(reason(&raw(1, b"\x80\x28\x00\x00")), ParseError::BadFingerprintLength);
    let after = raw(1, b"\x80\x28\x00\x04....\x80\x22\x00\x00");
    assert_eq!(reason(&after), ParseError::AfterFingerprint);
}

#[test]
fn integrity_as_the_first_attribute() {
    let bytes = Builder::binding_request(ID).integrity_sha1(PASSWORD).finish_with_fingerprint();
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.attributes().count(), 0);
    assert!(message.verify_sha1(PASSWORD));
    assert_eq!(message.fingerprint(), Fingerprint::Right);
}

#[test]
fn what_follows_integrity_is_ignored() {
    let mut bytes = Builder::binding_request(ID).username("before").integrity_sha1(PASSWORD).finish();
    bytes.extend(b"\x80\x22\x00\x04fake\x00\x06\x00\x04fake\x00\x08\x00\x01junk");
    let length = (bytes.len() - HEADER) as u16;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.username(), Some("before"));
    assert_eq!(message.software(), None);
    assert_eq!(message.not_understood(&[AttributeType::USERNAME]).count(), 0);
    assert!(message.verify_sha1(PASSWORD), "the first MESSAGE-INTEGRITY still holds");

    let bytes = Builder::binding_request(ID).integrity_both(PASSWORD).finish_with_fingerprint();
    let message = Message::parse(&bytes).unwrap();
    assert!(message.verify_sha1(PASSWORD) && message.verify_sha256(PASSWORD));
    assert!(!message.verify_sha1(b"") && !message.verify_sha256(b""));
}

#[test]
fn sha1_behind_sha256_does_not_count() {
    let first = Builder::binding_request(ID).integrity_sha256(b"key").finish();
    let mut bytes = first.clone();
    let length = (bytes.len() + 24 - HEADER) as u16;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    let tag = integrity::sha1(&bytes, first.len(), b"key");
    bytes.extend([0x00, 0x08, 0x00, 0x14]);
    bytes.extend(tag);
    let message = Message::parse(&bytes).unwrap();
    assert!(message.verify_sha256(b"key"));
    assert!(!message.has_sha1() && !message.verify_sha1(b"key"));
}

#[test]
fn a_truncated_sha256_never_verifies() {
    use hmac::{Hmac, KeyInit, Mac};
    for size in [16, 20, 24, 28, 32] {
        let mut bytes = raw(1, &[0; 4]);
        bytes[3] = 4 + size;
        bytes[HEADER..].copy_from_slice(&[0x00, 0x1c, 0x00, size]);
        let mac = Hmac::<sha2::Sha256>::new_from_slice(b"key").unwrap().chain_update(&bytes[..HEADER]);
        bytes.extend(&mac.finalize().into_bytes()[..usize::from(size)]);
        let message = Message::parse(&bytes).unwrap();
        assert!(message.has_sha256());
        assert_eq!(message.verify_sha256(b"key"), size == 32);
    }
}

#[test]
fn unknown_required_attributes() {
    let bytes = raw(1, b"\x7f\xff\x00\x00\x80\x99\x00\x00\x00\x06\x00\x00\x00\x24\x00\x00");
    let message = Message::parse(&bytes).unwrap();
    let unknown: Vec<_> = message.not_understood(&[AttributeType::USERNAME]).collect();
    assert_eq!(unknown, [AttributeType(0x7fff), AttributeType::PRIORITY]);

    let answer =
        Builder::binding_error(ID, 420, "Unknown Attribute").unknown_attributes(unknown.clone()).finish();
    let answer = Message::parse(&answer).unwrap();
    assert_eq!(answer.class(), Class::Error);
    assert_eq!(answer.error_code(), Some(ErrorCode { code: 420, reason: "Unknown Attribute" }));
    assert!(answer.unknown_attributes().eq(unknown));
}

#[test]
fn error_codes() {
    let code = |value: &[u8]| ErrorCode::decode(value).map(|error| error.code);
    assert_eq!(code(&[0, 0, 3, 0]), Some(300));
    assert_eq!(code(&[0xff, 0xff, 0xfe, 99]), Some(699), "reserved bits are ignored");
    assert_eq!(code(&[0, 0, 2, 99]), None);
    assert_eq!(code(&[0, 0, 7, 0]), None);
    assert_eq!(code(&[0, 0, 4, 100]), None);
    assert_eq!(code(&[0, 0, 4]), None);
    assert_eq!(ErrorCode::decode(b"\0\0\x04\0\xff").map(|error| error.reason), Some(""));
}

#[test]
fn where_the_mapped_address_is_looked_for() {
    let plain = b"\x00\x01\x00\x08\x00\x01\x12\x34\x0a\x01\x02\x03";
    let old = b"\x80\x20\x00\x08\x00\x01\x00\x00\x21\x12\xa4\x40";
    let xor = b"\x00\x20\x00\x08\x00\x01\x00\x00\x21\x12\xa4\x43";
    let mapped = |parts: &[&[u8]]| {
        let bytes = raw(0x0101, &parts.concat());
        Message::parse(&bytes).unwrap().mapped_address().map(|addr| addr.to_string())
    };
    assert_eq!(mapped(&[plain]).as_deref(), Some("10.1.2.3:4660"));
    assert_eq!(mapped(&[plain, old]).as_deref(), Some("0.0.0.2:8466"));
    assert_eq!(mapped(&[plain, old, xor]).as_deref(), Some("0.0.0.1:8466"));
    assert_eq!(mapped(&[]), None);
    let bad_family = b"\x00\x20\x00\x08\x00\x03\x00\x00\x21\x12\xa4\x43";
    let bad_length = b"\x00\x20\x00\x04\x00\x01\x00\x00";
    assert_eq!(mapped(&[bad_family]), None);
    assert_eq!(mapped(&[bad_length]), None);
    assert_eq!(mapped(&[bad_length, plain]).as_deref(), Some("10.1.2.3:4660"));
}

#[test]
fn texts_have_limits() {
    let username = |bytes: &[u8]| {
        let bytes = Builder::binding_request(ID).attribute(AttributeType::USERNAME, bytes).finish();
        Message::parse(&bytes).unwrap().username().map(str::len)
    };
    assert_eq!(username(&[b'a'; MAX_USERNAME]), Some(MAX_USERNAME));
    assert_eq!(username(&[b'a'; MAX_USERNAME + 1]), None);
    assert_eq!(username(b"\xff"), None);

    let long = "é".repeat(MAX_TEXT);
    let bytes = Builder::binding_error(ID, 0, &long).username(&long).software(&long).finish();
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.error_code().map(|error| (error.code, error.reason.len())), Some((300, MAX_TEXT - 1)));
    assert_eq!(message.username(), None);
    assert_eq!(message.software(), None, "no room left for it");
}

#[test]
fn a_full_builder_can_still_be_sealed() {
    let kind = AttributeType(0xc000);
    let full = Builder::binding_request(ID)
        .attribute(kind, &vec![1; Builder::ROOM - 4])
        .attribute(kind, b"")
        .attribute(AttributeType::FINGERPRINT, &[0; 4]);
    let bytes = full.integrity_both(PASSWORD).finish_with_fingerprint();
    assert_eq!(bytes.len(), MAX_MESSAGE);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.attributes().count(), 1);
    assert!(message.verify_sha1(PASSWORD) && message.verify_sha256(PASSWORD));
    assert_eq!(message.fingerprint(), Fingerprint::Right);

    let over = Builder::binding_request(ID).attribute(kind, &vec![1; Builder::ROOM - 3]).finish();
    assert_eq!(over.len(), HEADER);
}

#[test]
fn as_many_attributes_are_built_as_are_read() {
    let kind = AttributeType(0xc000);
    let many =
        (0..MAX_ATTRIBUTES + 5).fold(Builder::binding_request(ID), |builder, _| builder.attribute(kind, b""));
    let bytes = many.integrity_both(PASSWORD).finish_with_fingerprint();
    assert_eq!(Message::parse(&bytes).unwrap().attributes().count(), MAX_ATTRIBUTES);
}

#[test]
fn every_message_type() {
    for first in 0..=3 {
        for second in 0..=u8::MAX {
            let bytes = raw(u16::from_be_bytes([first, second]), b"");
            let message = Message::parse(&bytes).unwrap();
            let built = Builder::new(message.class(), message.method(), message.transaction_id()).finish();
            assert_eq!(built, bytes);
        }
    }
}

#[test]
fn a_knock_fits() {
    let record = [0x5a; 490];
    let knock = AttributeType(0xc0de);
    let bytes = Builder::binding_request(ID)
        .username("0123456789abcdef")
        .attribute(knock, &record)
        .integrity_sha256(&[9; 32]);
    let bytes = bytes.finish();
    let message = Message::parse(&bytes).unwrap();
    assert!(message.verify_sha256(&[9; 32]));
    assert_eq!(message.attribute(knock), Some(&record[..]));
    assert_eq!(message.not_understood(&[AttributeType::USERNAME]).count(), 0);
    assert!(bytes.len() < 600);
}

/// Everything that goes into a message.
#[derive(Clone, Debug)]
struct Draft {
    class: Class,
    method: Method,
    id: TransactionId,
    attributes: Vec<(AttributeType, Vec<u8>)>,
    key: Vec<u8>,
    seal: u8,
    fingerprint: bool,
}

impl Arbitrary for Draft {
    fn arbitrary(g: &mut Gen) -> Self {
        let classes = [Class::Request, Class::Indication, Class::Success, Class::Error];
        let attribute = |g: &mut Gen| {
            let kind = AttributeType(u16::arbitrary(g));
            let kind = if kind.is_closing() { AttributeType(0xffff) } else { kind };
            (kind, Vec::arbitrary(g))
        };
        Self {
            class: *g.choose(&classes).unwrap(),
            method: Method(u8::arbitrary(g)),
            id: TransactionId(std::array::from_fn(|_| u8::arbitrary(g))),
            attributes: (0..usize::arbitrary(g) % 8).map(|_| attribute(g)).collect(),
            key: Vec::arbitrary(g),
            seal: u8::arbitrary(g) % 4,
            fingerprint: bool::arbitrary(g),
        }
    }
}

impl Draft {
    fn build(&self) -> Vec<u8> {
        let open = Builder::new(self.class, self.method, self.id);
        let open = self.attributes.iter().fold(open, |open, (kind, value)| open.attribute(*kind, value));
        let sealed = match self.seal {
            0 if self.fingerprint => return open.finish_with_fingerprint(),
            0 => return open.finish(),
            1 => open.integrity_sha1(&self.key),
            2 => open.integrity_sha256(&self.key),
            _ => open.integrity_both(&self.key),
        };
        if self.fingerprint { sealed.finish_with_fingerprint() } else { sealed.finish() }
    }
}

quickcheck! {
    fn what_is_built_is_what_is_read(draft: Draft) -> bool {
        let bytes = draft.build();
        let message = Message::parse(&bytes).unwrap();
        let read: Vec<_> = message.attributes().map(|a| (a.kind, a.value.to_vec())).collect();
        // Those that did not fit are left out, whole.
        let mut drafted = draft.attributes.iter();
        let in_order = read.iter().all(|attribute| drafted.any(|drafted| drafted == attribute));
        let size: usize = draft.attributes.iter().map(|(_, value)| 4 + value.len().next_multiple_of(4)).sum();
        let complete = size > Builder::ROOM || read == draft.attributes;
        let expected = if draft.fingerprint { Fingerprint::Right } else { Fingerprint::Absent };
        in_order
            && complete
            && (message.class(), message.method(), message.transaction_id()) == (draft.class, draft.method, draft.id)
            && message.verify_sha1(&draft.key) == matches!(draft.seal, 1 | 3)
            && message.verify_sha256(&draft.key) == matches!(draft.seal, 2 | 3)
            && message.fingerprint() == expected
    }

    fn another_key_does_not_verify(draft: Draft, key: Vec<u8>) -> bool {
        let bytes = draft.build();
        let message = Message::parse(&bytes).unwrap();
        // HMAC pads short keys with zeros, so keys that differ in those only are the same key.
        let trim = |key: &[u8]| key.iter().rposition(|b| *b != 0).map_or(vec![], |end| key[..=end].to_vec());
        trim(&key) == trim(&draft.key) || !message.verify_sha1(&key) && !message.verify_sha256(&key)
    }

    fn a_flipped_bit_is_noticed(draft: Draft, bit: usize) -> bool {
        let mut bytes = Draft { fingerprint: true, ..draft }.build();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        !Message::parse(&bytes).is_ok_and(|message| message.fingerprint() == Fingerprint::Right)
    }

    fn addresses_survive(addr: SocketAddr, id: Vec<u8>) -> bool {
        let id = TransactionId(std::array::from_fn(|i| id.get(i).copied().unwrap_or(0)));
        let bytes = Builder::binding_success(id).xor_mapped_address(addr).finish();
        let read = Message::parse(&bytes).unwrap().mapped_address();
        read == Some(SocketAddr::new(addr.ip(), addr.port()))
    }

    fn any_bytes_behind_a_header(kind: u16, attributes: Vec<u8>) -> bool {
        let bytes = raw(kind & 0x03ff, &attributes);
        let Ok(message) = Message::parse(&bytes) else { return true };
        let read: usize = message.attributes().map(|a| 4 + a.value.len().next_multiple_of(4)).sum();
        let _ = (message.username(), message.mapped_address(), message.error_code(), message.fingerprint());
        read <= attributes.len() && !message.verify_sha1(b"k") && !message.verify_sha256(b"k")
    }
}
