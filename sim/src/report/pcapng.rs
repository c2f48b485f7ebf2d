use std::net::{IpAddr, SocketAddr};

use folkmoot_core::base::Time;

use crate::engine::{End, Flight, HostId, Place};
use crate::scenario::Outcome;

/// What the members sent and received, as a capture that Wireshark reads: pcapng (draft-ietf-opsawg-pcapng) with one interface for
/// each member, where it sees its own addresses and not what boxes make of them. Packets begin with their IP header. What was
/// dropped is there as it was sent, with a comment that says why. `None` if the run has no
/// [`tape`](crate::scenario::Options::tape).
pub fn pcapng(outcome: &Outcome) -> Option<Vec<u8>> {
    let tape = outcome.tape.as_ref()?;
    let mut packets: Vec<Captured<'_>> = Vec::new();
    for flight in tape.flights() {
        packets.extend(captured(outcome, flight).into_iter().flatten());
    }
    // What reaches a member at a moment comes before what it sends because of it.
    packets.sort_by_key(|packet| (packet.at, packet.is_sent));
    let mut file = Vec::new();
    block(&mut file, SECTION_HEADER, &section_header());
    for role in &outcome.cast {
        block(&mut file, INTERFACE, &interface(&role.name));
    }
    for (number, packet) in (0u16..).cycle().zip(&packets) {
        block(&mut file, ENHANCED_PACKET, &packet.encode(number));
    }
    Some(file)
}

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
/// Packets begin with an IPv4 or IPv6 header, told by its version.
const LINKTYPE_RAW: u16 = 101;
/// What the wall clock shows at virtual time zero: noon of 2026-01-15 UTC, in microseconds.
const EPOCH: u64 = 1_768_478_400_000_000;

struct Captured<'a> {
    at: Time,
    interface: usize,
    is_sent: bool,
    from: SocketAddr,
    to: SocketAddr,
    bytes: &'a [u8],
    comment: String,
}

/// A packet where it was sent, and where it was received, if those are members.
fn captured<'a>(outcome: &Outcome, flight: &'a Flight) -> [Option<Captured<'a>>; 2] {
    let interface = |host: HostId| outcome.cast.iter().position(|role| role.host == host);
    let comment = match flight.end {
        Some((at, End::Dropped(reason))) => format!("dropped at {at}: {reason}"),
        Some((_, End::Delivered(_) | End::Taken(_))) => String::new(),
        None => "under way when the run ended".into(),
    };
    let bytes = flight.bytes.as_slice();
    // What a box answers is not seen where its asker sends.
    let first = flight.hops.first().filter(|hop| hop.place == Place::Host(flight.origin));
    let sent = first.zip(interface(flight.origin)).map(|(hop, interface)| Captured {
        at: hop.at,
        interface,
        is_sent: true,
        from: hop.from,
        to: hop.to,
        bytes,
        comment,
    });
    let received = match (flight.end, flight.hops.last()) {
        (Some((at, End::Delivered(host))), Some(hop)) => interface(host).map(|interface| Captured {
            at,
            interface,
            is_sent: false,
            from: hop.from,
            to: hop.to,
            bytes,
            comment: String::new(),
        }),
        _ => None,
    };
    [sent, received]
}

impl Captured<'_> {
    fn encode(&self, number: u16) -> Vec<u8> {
        let packet = datagram(self.from, self.to, self.bytes, number);
        let micros = EPOCH + self.at.as_micros();
        let mut body = Vec::with_capacity(packet.len() + 64);
        body.extend((self.interface as u32).to_le_bytes());
        body.extend(((micros >> 32) as u32).to_le_bytes());
        body.extend((micros as u32).to_le_bytes());
        body.extend((packet.len() as u32).to_le_bytes());
        body.extend((packet.len() as u32).to_le_bytes());
        body.extend(&packet);
        pad(&mut body);
        // epb_flags: the direction.
        option(&mut body, 2, &(if self.is_sent { 2u32 } else { 1 }).to_le_bytes());
        if !self.comment.is_empty() {
            option(&mut body, 1, self.comment.as_bytes());
        }
        option(&mut body, 0, &[]);
        body
    }
}

fn section_header() -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(0x1a2b_3c4d_u32.to_le_bytes());
    body.extend(1u16.to_le_bytes());
    body.extend(0u16.to_le_bytes());
    // The length of the section is not given.
    body.extend(u64::MAX.to_le_bytes());
    option(&mut body, 4, b"moot-sim");
    option(&mut body, 0, &[]);
    body
}

fn interface(name: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(LINKTYPE_RAW.to_le_bytes());
    body.extend(0u16.to_le_bytes());
    // No limit to what is kept of a packet.
    body.extend(0u32.to_le_bytes());
    option(&mut body, 2, name.as_bytes());
    option(&mut body, 0, &[]);
    body
}

fn block(file: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let length = (body.len() as u32 + 12).to_le_bytes();
    file.extend(kind.to_le_bytes());
    file.extend(length);
    file.extend(body);
    file.extend(length);
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    body.extend(value);
    pad(body);
}

/// To a multiple of four, which all blocks' heads are too.
fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

/// A payload with its IP and UDP headers (RFC 791, RFC 8200, RFC 768), checksums and all.
fn datagram(from: SocketAddr, to: SocketAddr, payload: &[u8], number: u16) -> Vec<u8> {
    let len = 8 + payload.len() as u16;
    let mut udp = Vec::with_capacity(usize::from(len));
    for word in [from.port(), to.port(), len, 0] {
        udp.extend(word.to_be_bytes());
    }
    udp.extend(payload);
    let (mut header, pseudo) = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let addresses = [from.octets(), to.octets()].concat();
            let mut header = vec![0x45, 0];
            header.extend((20 + len).to_be_bytes());
            header.extend(number.to_be_bytes());
            // No fragments, 64 hops, UDP, and the checksum below.
            header.extend([0, 0, 64, 17, 0, 0]);
            header.extend(&addresses);
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            (header, [&addresses[..], &[0, 17], &len.to_be_bytes()].concat())
        }
        (from, to) => {
            let addresses = [six(from), six(to)].concat();
            let mut header = vec![0x60, 0, 0, 0];
            header.extend(len.to_be_bytes());
            header.extend([17, 64]);
            header.extend(&addresses);
            (header, [&addresses[..], &u32::from(len).to_be_bytes(), &[0, 0, 0, 17]].concat())
        }
    };
    // Zero would say that there is none.
    let sum = match checksum(&[&pseudo, &udp]) {
        0 => u16::MAX,
        sum => sum,
    };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    header.extend(udp);
    header
}

fn six(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// RFC 1071, over parts of which all but the last have an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u64 =
        words.map(|word| u64::from(word[0]) << 8 | u64::from(word.get(1).copied().unwrap_or(0))).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Options, find, run};

    fn le32(bytes: &[u8], at: usize) -> usize {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    }

    /// The checksum over what holds its own checksum is zero.
    fn check_datagram(packet: &[u8]) {
        assert_eq!(packet[0], 0x45);
        assert_eq!(checksum(&[&packet[..20]]), 0);
        assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), packet.len());
        let udp = &packet[20..];
        assert_eq!(usize::from(u16::from_be_bytes([udp[4], udp[5]])), udp.len());
        let pseudo = [&packet[12..20], &[0, 17], &udp[4..6]].concat();
        assert_eq!(checksum(&[&pseudo, udp]), 0);
    }

    #[test]
    fn a_run_is_captured_whole() {
        let scenario = find("nat-four", 1).unwrap();
        let options = Options { tape: true, tier: crate::Tier::Stub, ..Options::default() };
        let outcome = run(&scenario, 1, options);
        let file = pcapng(&outcome).unwrap();
        let (mut at, mut last, mut interfaces, mut sent) = (0, 0, 0, 0);
        while at < file.len() {
            let (kind, length) = (le32(&file, at), le32(&file, at + 4));
            assert_eq!(length % 4, 0);
            assert_eq!(le32(&file, at + length - 4), length, "a block says its length at both ends");
            match kind as u32 {
                SECTION_HEADER => assert_eq!(at, 0),
                INTERFACE => interfaces += 1,
                ENHANCED_PACKET => {
                    assert!(le32(&file, at + 8) < interfaces);
                    let micros = (le32(&file, at + 12) as u64) << 32 | le32(&file, at + 16) as u64;
                    assert!(micros >= last, "in the order of time");
                    last = micros;
                    let captured = le32(&file, at + 20);
                    check_datagram(&file[at + 28..at + 28 + captured]);
                    let flags = at + 28 + captured.next_multiple_of(4) + 4;
                    sent += u64::from(file[flags] == 2);
                }
                other => panic!("block {other}"),
            }
            at += length;
        }
        assert_eq!((at, interfaces), (file.len(), 4));
        let each = outcome.figure("packets_per_member").unwrap();
        assert_eq!(sent / 4, each, "whatever a member sent is there once");
    }

    #[test]
    fn ipv6_has_its_own_header() {
        let packet = datagram("[2a00::1]:5".parse().unwrap(), "[2a00::2]:7".parse().unwrap(), b"abc", 0);
        assert_eq!((packet.len(), packet[0], packet[6]), (40 + 8 + 3, 0x60, 17));
        let pseudo = [&packet[8..40], &[0, 0, 0, 11, 0, 0, 0, 17]].concat();
        assert_eq!(checksum(&[&pseudo, &packet[40..]]), 0);
    }
}
