//! What a packet is, in a word or two.

use folkmoot_core::wire::krpc::{Body, Message};

use crate::engine::Kind;

/// The colour and the name of a packet. `to_server` tells questions to a STUN server from connectivity checks.
pub(super) fn label(bytes: &[u8], with_server: bool) -> (&'static str, String) {
    match Kind::of(bytes) {
        Kind::Stun => ("better", stun(bytes, with_server)),
        Kind::Dtls => ("relay", dtls(bytes)),
        Kind::Krpc => ("teal", krpc(bytes)),
        Kind::Channel => ("warn", "relayed".into()),
        Kind::Other => ("soft", format!("{} bytes", bytes.len())),
    }
}

/// RFC 8489, section 5: the class is two bits of the type.
fn stun(bytes: &[u8], with_server: bool) -> String {
    let class = match bytes {
        [high, low, ..] => (high & 1) << 1 | (low >> 4 & 1),
        _ => 0,
    };
    let what = match (class, with_server) {
        (0, true) => "who am I?",
        (0, false) => "check",
        (2, true) => "you are",
        (2, false) => "answer",
        (1, _) => "indication",
        _ => "refusal",
    };
    format!("STUN {what}")
}

/// RFC 9147, section 4: the first byte is the type of a plaintext record, or begins with 001 if it is ciphered. The message's type
/// comes after the record's header.
fn dtls(bytes: &[u8]) -> String {
    let what = match (bytes.first(), bytes.get(13)) {
        (Some(22), Some(1)) => "ClientHello",
        (Some(22), Some(2)) => "ServerHello",
        (Some(22), _) => "handshake",
        (Some(21), _) => "alert",
        (Some(26), _) => "ACK",
        _ => return format!("DTLS {} B", bytes.len()),
    };
    format!("DTLS {what}")
}

fn krpc(bytes: &[u8]) -> String {
    match Message::parse(bytes) {
        Ok(Message { body: Body::Query(_), .. }) => {
            // The name of the method stands behind its key.
            let at = bytes
                .windows(4)
                .position(|window| window == b"1:q1" || window == b"1:q9" || window == b"1:q4");
            let name = at.map(|at| &bytes[at + 3..]).unwrap_or_default();
            let digits = name.iter().take_while(|b| b.is_ascii_digit()).count();
            let len: usize =
                std::str::from_utf8(&name[..digits]).ok().and_then(|it| it.parse().ok()).unwrap_or(0);
            let name = name.get(digits + 1..digits + 1 + len).unwrap_or_default();
            format!("DHT {}", String::from_utf8_lossy(name))
        }
        Ok(Message { body: Body::Response(_), .. }) => "DHT reply".into(),
        _ => "DHT error".into(),
    }
}
