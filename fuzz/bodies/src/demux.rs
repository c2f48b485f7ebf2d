use folkmoot_core::wire::demux::{Kind, classify};
use folkmoot_core::wire::{krpc, stun};

/// What a parser accepts is given to it; no first byte is given to two.
pub fn demux(bytes: &[u8]) {
    let kind = classify(bytes);
    // RFC 8489 has room for methods whose first byte RFC 7983 gives to others; none is in use.
    if stun::Message::parse(bytes).is_ok() {
        assert!(kind == Kind::Stun || bytes[0] > 3, "{kind:?}");
    }
    if krpc::Message::parse(bytes).is_ok() {
        assert_eq!(kind, Kind::Krpc);
    }
    let first = bytes.first().copied();
    let is_possible = match kind {
        Kind::Stun => first.is_some_and(|first| first < 4) && bytes.len() >= 20,
        Kind::Dtls => first.is_some_and(|first| (20..64).contains(&first)),
        Kind::ChannelData => first.is_some_and(|first| (64..80).contains(&first)) && bytes.len() >= 4,
        Kind::Krpc => first == Some(b'd'),
        Kind::Unknown => true,
    };
    assert!(is_possible, "{kind:?}");
}
