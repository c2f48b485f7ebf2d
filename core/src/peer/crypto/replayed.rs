//! DTLS as it was in another run, for whoever replays that run.
//!
//! All that a link draws comes from the node's generator, but for two numbers: the SCTP library takes the verification tag
//! and the first sequence number (TSN) of its associations from the operating system, and can be told neither. The other ends
//! of the run that is replayed know those of that run. So between SCTP and DTLS the ones are written in place of the
//! others, both ways, and what leaves is the same to the last byte.

use str0m::config::{DtlsCert, DtlsVersion};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion};

use super::DTLS;
use crate::base::crc32c;
use crate::peer::anchor::Moment;

/// DTLS for links whose SCTP associations stand in for those of another run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replayed {
    own_tag: [u8; 4],
    tag: [u8; 4],
    /// What has to be added to this run's sequence numbers.
    shift: u32,
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Out,
    In,
}

impl Replayed {
    /// From the INIT chunks (RFC 9260 §3.3.2) of this run and of the one that is replayed.
    pub(super) fn new(own: &[u8], replayed: &[u8]) -> Self {
        let word = |chunk: &[u8], at: usize| read(chunk, at).unwrap_or_default();
        let shift = word(replayed, 16).wrapping_sub(word(own, 16));
        Self { own_tag: word(own, 4).to_be_bytes(), tag: word(replayed, 4).to_be_bytes(), shift }
    }

    /// Rewrites an SCTP packet.
    fn rewrite(&self, packet: &mut [u8], way: Way) {
        let (from, to) = match way {
            Way::Out => (self.own_tag, self.tag),
            Way::In => (self.tag, self.own_tag),
        };
        if packet.len() < HEADER {
            return;
        }
        if packet[4..8] == from {
            packet[4..8].copy_from_slice(&to);
        }
        let mut rest = &mut packet[HEADER..];
        while let Some(length) =
            rest.get(2..4).map(|field| usize::from(u16::from_be_bytes([field[0], field[1]])))
        {
            let whole = length.next_multiple_of(4).min(rest.len());
            if length < 4 {
                break;
            }
            let (chunk, after) = rest.split_at_mut(whole);
            self.rewrite_chunk(chunk, way);
            rest = after;
        }
        packet[8..12].fill(0);
        let sum = crc32c(packet);
        packet[8..12].copy_from_slice(&sum.to_le_bytes());
    }

    fn rewrite_chunk(&self, chunk: &mut [u8], way: Way) {
        match (chunk[0], way) {
            (DATA | FORWARD_TSN, Way::Out) | (SHUTDOWN, Way::In) => self.shift(chunk, 4, way),
            (SACK, Way::In) => {
                self.shift(chunk, 4, way);
                // After the window come the numbers of gaps and of duplicates, the gaps, and the duplicates' TSNs.
                let count = |at: usize| {
                    chunk.get(at..at + 2).map_or(0, |it| usize::from(u16::from_be_bytes([it[0], it[1]])))
                };
                let (gaps, duplicates) = (count(12), count(14));
                (0..duplicates).for_each(|n| self.shift(chunk, 16 + 4 * (gaps + n), way));
            }
            (RECONFIG, way) => {
                let mut at = 4;
                while let Some(param) = chunk.get(at..at + 4) {
                    let (kind, length) = (param[1], usize::from(u16::from_be_bytes([param[2], param[3]])));
                    match (kind, way) {
                        // Our request's number, and our last TSN.
                        (OUTGOING_RESET, Way::Out) => {
                            [4, 12].into_iter().for_each(|n| self.shift(chunk, at + n, way))
                        }
                        // The number of ours that it answers.
                        (OUTGOING_RESET, Way::In) => self.shift(chunk, at + 8, way),
                        (INCOMING_RESET, Way::Out) | (RECONFIG_RESPONSE, Way::In) => {
                            self.shift(chunk, at + 4, way)
                        }
                        _ => {}
                    }
                    at += length.max(4).next_multiple_of(4);
                }
            }
            _ => {}
        }
    }

    fn shift(&self, bytes: &mut [u8], at: usize, way: Way) {
        let by = if way == Way::Out { self.shift } else { self.shift.wrapping_neg() };
        if let Some(number) = read(bytes, at) {
            bytes[at..at + 4].copy_from_slice(&number.wrapping_add(by).to_be_bytes());
        }
    }
}

/// Bytes of an SCTP packet before its chunks (RFC 9260 §3.1): ports, the verification tag, the checksum.
const HEADER: usize = 12;
/// Chunk types (RFC 9260 §3.2, RFC 3758 §3.2, RFC 6525 §3.1).
const DATA: u8 = 0;
const SACK: u8 = 3;
const SHUTDOWN: u8 = 7;
const RECONFIG: u8 = 130;
const FORWARD_TSN: u8 = 192;
/// Parameter types of RECONFIG (RFC 6525 §4).
const OUTGOING_RESET: u8 = 13;
const INCOMING_RESET: u8 = 14;
const RECONFIG_RESPONSE: u8 = 16;

fn read(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

impl DtlsProvider for Replayed {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        DTLS.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Moment,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let inner = DTLS.new_dtls(certificate, now, version, mtu)?;
        Ok(Box::new(Channel { inner, with: *self, buffer: Vec::new() }))
    }
}

#[derive(Debug)]
struct Channel {
    inner: Box<dyn DtlsInstance>,
    with: Replayed,
    buffer: Vec<u8>,
}

impl DtlsInstance for Channel {
    fn set_active(&mut self, active: bool) {
        self.inner.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        self.buffer.resize(buf.len(), 0);
        let copy = |bytes: &[u8], buf: &'a mut [u8]| -> &'a mut [u8] {
            let buf = &mut buf[..bytes.len()];
            buf.copy_from_slice(bytes);
            buf
        };
        match self.inner.poll_output(&mut self.buffer) {
            DtlsOutput::ApplicationData(packet) => {
                let packet = copy(packet, buf);
                self.with.rewrite(packet, Way::In);
                DtlsOutput::ApplicationData(packet)
            }
            DtlsOutput::Packet(datagram) => DtlsOutput::Packet(copy(datagram, buf)),
            DtlsOutput::PeerCert(der) => DtlsOutput::PeerCert(copy(der, buf)),
            DtlsOutput::BufferTooSmall { needed } => DtlsOutput::BufferTooSmall { needed },
            DtlsOutput::Timeout(at) => DtlsOutput::Timeout(at),
            DtlsOutput::Connected => DtlsOutput::Connected,
            DtlsOutput::KeyingMaterial(key, profile) => DtlsOutput::KeyingMaterial(key, profile),
            // The pinned version has no others.
            _ => DtlsOutput::CloseNotify,
        }
    }

    fn handle_timeout(&mut self, now: Moment) -> Result<(), DtlsImplError> {
        self.inner.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        let mut packet = data.to_vec();
        self.with.rewrite(&mut packet, Way::Out);
        self.inner.send_application_data(&packet)
    }

    fn is_active(&self) -> bool {
        self.inner.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.inner.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.inner.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.inner.close()
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    /// Between an association whose tag is 1 and whose first TSN 1,000, and one with 2 and 5,000.
    fn replayed() -> Replayed {
        let init = |tag: u8, tsn: u16| {
            let mut chunk = [0; 26];
            chunk[7] = tag;
            chunk[18..20].copy_from_slice(&tsn.to_be_bytes());
            chunk
        };
        Replayed::new(&init(1, 1_000), &init(2, 5_000))
    }

    /// A packet with the verification tag `tag` and one chunk.
    fn packet(tag: u8, kind: u8, words: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0x13, 0x88, 0x13, 0x88, 0, 0, 0, tag, 0, 0, 0, 0];
        bytes.extend([kind, 0, 0, 4 + 4 * words.len() as u8]);
        bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        let sum = crc32c(&bytes);
        bytes[8..12].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn becomes(way: Way, mut from: Vec<u8>, to: Vec<u8>) {
        replayed().rewrite(&mut from, way);
        assert_eq!(from, to);
    }

    #[test]
    fn our_numbers_are_rewritten_and_the_others_are_not() {
        becomes(Way::Out, packet(9, DATA, &[1_003, 7]), packet(9, DATA, &[5_003, 7]));
        becomes(Way::In, packet(2, DATA, &[1_003, 7]), packet(1, DATA, &[1_003, 7]));
        becomes(Way::Out, packet(9, FORWARD_TSN, &[999]), packet(9, FORWARD_TSN, &[4_999]));
        becomes(Way::In, packet(2, SHUTDOWN, &[5_002]), packet(1, SHUTDOWN, &[1_002]));
        // Acknowledged, window, one gap and two duplicates, the gap, the duplicates.
        let sack = |by: u32| [by + 4, 0x1_0000, 0x1_0002, 0x2_0003, by + 1, by + 2];
        becomes(Way::In, packet(2, SACK, &sack(5_000)), packet(1, SACK, &sack(1_000)));
        becomes(Way::Out, packet(9, SACK, &sack(5_000)), packet(9, SACK, &sack(5_000)));
        let reset = |request: u32, response: u32, last: u32| [13 << 16 | 16, request, response, last];
        becomes(
            Way::Out,
            packet(9, RECONFIG, &reset(1_000, 7, 1_009)),
            packet(9, RECONFIG, &reset(5_000, 7, 5_009)),
        );
        becomes(Way::In, packet(2, RECONFIG, &reset(7, 5_000, 8)), packet(1, RECONFIG, &reset(7, 1_000, 8)));
        becomes(
            Way::In,
            packet(2, RECONFIG, &[16 << 16 | 12, 5_000, 1]),
            packet(1, RECONFIG, &[16 << 16 | 12, 1_000, 1]),
        );
    }

    quickcheck! {
        fn whatever_the_bytes_it_ends(bytes: Vec<u8>) -> bool {
            for way in [Way::Out, Way::In] {
                replayed().rewrite(&mut bytes.clone(), way);
            }
            true
        }
    }
}
