use std::net::SocketAddr;
use std::time::Duration;

use folkmoot_core::base::{Cx, Outbox, Rng, SocketId, Time, Transmit, UnixTime};
use folkmoot_core::limits;
use folkmoot_core::stun::{Client, Event};
use folkmoot_core::wire::stun::{AttributeType, Builder, Fingerprint, HEADER, MAX_ATTRIBUTES, Message};

use crate::bytes::Bytes;

/// Parses; what parses can be read, and built again from what was read.
pub fn stun_parse(bytes: &[u8]) {
    let Ok(message) = Message::parse(bytes) else { return };
    let attributes: Vec<_> = message.attributes().collect();
    let size: usize = attributes.iter().map(|a| 4 + a.value.len().next_multiple_of(4)).sum();
    assert!(attributes.len() <= MAX_ATTRIBUTES && HEADER + size <= bytes.len());
    for attribute in &attributes {
        let first = attributes.iter().find(|other| other.kind == attribute.kind).map(|other| other.value);
        assert_eq!(message.attribute(attribute.kind), first);
    }
    assert!(!message.verify_sha1(b"not the key") && !message.verify_sha256(b"not the key"));
    assert!(message.has_sha1() || !message.verify_sha1(b""));
    assert!(message.error_code().is_none_or(|error| (300..700).contains(&error.code)));
    let required = attributes.iter().filter(|a| a.kind.is_comprehension_required()).count();
    assert_eq!(message.not_understood(&[]).count(), required);
    let _ = (
        message.username(),
        message.software(),
        message.alternate_server(),
        message.unknown_attributes().count(),
    );
    let _ = format!("{message:?}");

    let mut builder = Builder::new(message.class(), message.method(), message.transaction_id());
    for attribute in &attributes {
        builder = builder.attribute(attribute.kind, attribute.value);
    }
    let bare = builder.clone().finish();
    let rebuilt = Message::parse(&bare).expect("what is built parses");
    assert_eq!(rebuilt.transaction_id(), message.transaction_id());
    assert_eq!((rebuilt.class(), rebuilt.method()), (message.class(), message.method()));
    assert_eq!(rebuilt.fingerprint(), Fingerprint::Absent);
    if size <= Builder::ROOM {
        assert!(rebuilt.attributes().eq(attributes));
    }
    let sealed = builder.integrity_both(b"key").finish_with_fingerprint();
    let sealed = Message::parse(&sealed).expect("what is sealed parses");
    assert!(sealed.verify_sha1(b"key") && sealed.verify_sha256(b"key"));
    assert_eq!(sealed.fingerprint(), Fingerprint::Right);
    assert!(sealed.attributes().eq(rebuilt.attributes()));

    if let Some(mapped) = message.mapped_address() {
        let id = message.transaction_id();
        let bytes = Builder::binding_success(id).xor_mapped_address(mapped).finish();
        assert_eq!(Message::parse(&bytes).ok().and_then(|message| message.mapped_address()), Some(mapped));
    }
}

const SOCKET: SocketId = SocketId(0);

fn server(n: u8) -> SocketAddr {
    ([198, 51, 100, n], 3_478).into()
}

/// A client among servers that answer what they like: whatever begins ends, in time, and nothing grows without limit.
pub fn stun_client(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let mut client = Client::new();
    let (mut rng, mut out) = (Rng::new([0; 32]), Outbox::default());
    let mut now = Time::ZERO;
    let mut sent: Vec<Transmit> = Vec::new();
    let (mut asked, mut told, mut rounds) = (0, 0, 0);
    let mut probes = 0;
    let mut is_over = false;
    while !is_over {
        // In the end all time passes.
        is_over = bytes.is_empty();
        let step = if is_over { 2 } else { bytes.u8() % 5 };
        let mut cx = Cx { now, unix: UnixTime::default(), rng: &mut rng, out: &mut out };
        match step {
            0 => {
                let count = usize::from(bytes.u8() % 20);
                let servers: Vec<_> = bytes.slice(count).iter().copied().map(server).collect();
                client.probe(&mut cx, SOCKET, &servers);
                probes += 1;
            }
            1 if !sent.is_empty() => {
                let request = &sent[usize::from(bytes.u8()) % sent.len()];
                let answer = answer(&mut bytes, request);
                if let Ok(message) = Message::parse(&answer) {
                    client.handle(&mut cx, SOCKET, request.to, &message);
                }
            }
            2 => {
                let span = if is_over { 20_000 } else { bytes.u16().into() };
                let end = now + Duration::from_millis(span);
                while let Some(wake) = client.next_wake().filter(|wake| wake.at <= end) {
                    assert!(wake.at > now, "a hot loop");
                    now = wake.at;
                    client.on_wake(&mut Cx { now, unix: UnixTime::default(), rng: &mut rng, out: &mut out });
                }
                now = end;
            }
            3 => client.forget_socket(now, SOCKET),
            _ => {}
        }
        sent.extend(std::iter::from_fn(|| out.pop()));
        sent.drain(..sent.len().saturating_sub(256));
        if step == 4 || is_over {
            for event in std::iter::from_fn(|| client.pop_event()) {
                match event {
                    Event::RoundOver { asked: n, answered, .. } => {
                        assert!(answered <= n);
                        (asked, rounds) = (asked + n, rounds + 1);
                    }
                    Event::Mapped { .. } | Event::Failed { .. } => told += 1,
                }
            }
        }
    }
    assert!(client.is_idle() && client.next_wake().is_none());
    assert_eq!(asked, told);
    assert_eq!(rounds + client.counters().refused, probes);
    assert!(asked <= limits::STUN_OUTCOMES * usize::try_from(probes).expect("a count of steps"));
}

/// An answer to a request that the bytes make up.
fn answer(bytes: &mut Bytes<'_>, request: &Transmit) -> Vec<u8> {
    let request = Message::parse(&request.bytes).expect("a client sends STUN");
    let id = request.transaction_id();
    let mut builder = match bytes.u8() % 4 {
        0 => Builder::binding_error(id, bytes.u16(), ""),
        1 => Builder::binding_error(id, 300, ""),
        _ => Builder::binding_success(id),
    };
    for _ in 0..bytes.u8() % 4 {
        let kind = match bytes.u8() % 4 {
            0 => AttributeType::XOR_MAPPED_ADDRESS,
            1 => AttributeType::MAPPED_ADDRESS,
            2 => AttributeType::ALTERNATE_SERVER,
            _ => AttributeType(bytes.u16()),
        };
        let len = usize::from(bytes.u8() % 24);
        builder = builder.attribute(kind, bytes.slice(len));
    }
    if bytes.u8().is_multiple_of(8) { builder.finish_with_fingerprint() } else { builder.finish() }
}
