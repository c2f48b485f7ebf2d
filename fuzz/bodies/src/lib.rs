//! What each fuzz target does with its bytes.
//!
//! They stand in a plain crate, so that `cargo test` replays the committed corpora with any toolchain. To fuzz:
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run krpc`. A new target is a function here, a line in [`TARGETS`], a file in
//! `fuzz/fuzz_targets` with its entry in `fuzz/Cargo.toml`, and a folder in `fuzz/corpus`.

use folkmoot_core::wire::bencode::{self, Reader, Writer};
use folkmoot_core::wire::{demux, krpc, stun};

/// What a target does with its bytes; it panics if something is wrong.
pub type Body = fn(&[u8]);

/// All targets by name.
pub const TARGETS: &[(&str, Body)] = &[("bencode", bencode), ("krpc", krpc), ("stun", stun)];

/// Whatever is canonical comes out of a reader and a writer as it went in.
pub fn bencode(data: &[u8]) {
    let mut reader = Reader::new(data);
    let mut copy = Vec::new();
    let copied = copy_value(&mut reader, &mut Writer::new(&mut copy));
    assert!(reader.position() <= data.len());
    if bencode::is_canonical(data) {
        assert_eq!(copied, Ok(()));
        assert_eq!(copy, data);
    }
}

fn copy_value(from: &mut Reader<'_>, to: &mut Writer<'_>) -> Result<(), bencode::Error> {
    if from.at_dict() {
        to.dict();
        from.dict(|key, value| {
            to.bytes(key);
            copy_value(value, to)
        })?;
        to.end();
    } else if from.at_list() {
        to.list();
        from.list(|item| copy_value(item, to))?;
        to.end();
    } else if let Ok(number) = from.clone().int() {
        from.int()?;
        to.int(number);
    } else {
        to.bytes(from.bytes()?);
    }
    Ok(())
}

/// A message that is understood says the same after it was written and read again.
pub fn krpc(data: &[u8]) {
    let Ok(message) = krpc::Message::parse(data) else { return };
    if let krpc::Body::Response(response) = &message.body {
        assert!(response.contacts().count() <= data.len());
        assert!(response.peers().count() <= data.len());
    }
    let written = message.encode();
    assert_eq!(krpc::Message::parse(&written).as_ref(), Ok(&message));
}

/// A message that is understood has the same attributes after it was written and read again; and no key opens one that
/// was damaged.
pub fn stun(data: &[u8]) {
    let kind = demux::classify(data);
    let Ok(message) = stun::Message::parse(data) else { return };
    assert_eq!(kind, demux::Kind::Stun);
    let _ = (message.username(), message.software(), message.mapped_address(), message.alternate_server());
    let _ = (message.error_code(), message.fingerprint(), message.unknown_attributes().count());
    let _ = (message.verify_sha1(b"key"), message.verify_sha256(b"key"));

    let plain = |kind: stun::AttributeType| !INTEGRITY.contains(&kind.0);
    let mut builder = stun::Builder::new(message.class(), message.method(), message.transaction_id());
    for attribute in message.attributes().filter(|attribute| plain(attribute.kind)) {
        builder = builder.attribute(attribute.kind, attribute.value);
    }
    let mut written = builder.integrity_sha256(b"key").finish();
    let again = stun::Message::parse(&written).expect("what the builder made is a message");
    assert!(again.verify_sha256(b"key"));
    let before = message.attributes().filter(|attribute| plain(attribute.kind));
    let after = again.attributes().filter(|attribute| plain(attribute.kind));
    assert!(before.eq(after));

    let at =
        data.iter().fold(0, |sum: usize, &byte| sum.wrapping_mul(31) ^ usize::from(byte)) % written.len();
    written[at] ^= 1;
    if let Ok(damaged) = stun::Message::parse(&written) {
        assert!(!damaged.verify_sha256(b"key"), "byte {at} is not protected");
    }
}

/// MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256, FINGERPRINT (RFC 8489 §18.3).
const INTEGRITY: [u16; 3] = [0x0008, 0x001c, 0x8028];
