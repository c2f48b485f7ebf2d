use std::net::{IpAddr, SocketAddr};

use folkmoot_core::base::Wake;

use crate::engine::{Host, HostCx};

/// A STUN server (RFC 8489) that does one thing: tell who asks which endpoint it saw.
///
/// Written from the RFC and without the core's codec, so that the two check each other.
#[derive(Clone, Copy, Debug, Default)]
pub struct StunServer;

/// The port that STUN servers listen on.
pub(crate) const STUN_PORT: u16 = 3_478;

const MAGIC: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const XOR_MAPPED_ADDRESS: [u8; 2] = [0x00, 0x20];

impl Host for StunServer {
    fn start(&mut self, _: &mut HostCx<'_>) {}

    fn handle_datagram(&mut self, cx: &mut HostCx<'_>, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        if to.port() == STUN_PORT
            && let Some(answer) = answer(from, bytes)
        {
            cx.send(to, from, answer);
        }
    }

    fn on_wake(&mut self, _: &mut HostCx<'_>) {}

    fn next_wake(&self) -> Option<Wake> {
        None
    }
}

/// The answer to a request, which says that it came from `from`.
pub(super) fn answer(from: SocketAddr, request: &[u8]) -> Option<Vec<u8>> {
    let (kind, rest) = request.split_first_chunk::<2>()?;
    let (_length, rest) = rest.split_first_chunk::<2>()?;
    let (magic, rest) = rest.split_first_chunk::<4>()?;
    let (transaction, _) = rest.split_first_chunk::<12>()?;
    if *kind != BINDING_REQUEST || *magic != MAGIC {
        return None;
    }
    // The address is masked with the magic cookie and, in IPv6, the transaction id (section 14.2).
    let mask = MAGIC.iter().chain(transaction);
    let (family, octets) = match from.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let port = from.port() ^ 0x2112;
    let mut value = vec![0, family];
    value.extend(port.to_be_bytes());
    value.extend(octets.iter().zip(mask).map(|(octet, mask)| octet ^ mask));
    let mut answer = Vec::with_capacity(24 + value.len());
    answer.extend(BINDING_SUCCESS);
    answer.extend((4 + value.len() as u16).to_be_bytes());
    answer.extend(MAGIC);
    answer.extend(transaction);
    answer.extend(XOR_MAPPED_ADDRESS);
    answer.extend((value.len() as u16).to_be_bytes());
    answer.extend(value);
    Some(answer)
}

#[cfg(test)]
mod tests {
    use folkmoot_core::wire::stun;

    use super::*;

    #[test]
    fn the_core_reads_the_answer() {
        for from in ["192.0.2.1:32853", "[2001:db8:1234:5678:11:2233:4455:6677]:32853"] {
            let from: SocketAddr = from.parse().unwrap();
            let mut request = vec![0, 1, 0, 0];
            request.extend(MAGIC);
            request.extend([7; 12]);
            let bytes = answer(from, &request).unwrap();
            let message = stun::Message::parse(&bytes).unwrap();
            assert_eq!(message.mapped_address(), Some(from));
            assert!(answer(from, &bytes).is_none(), "answers are not answered");
        }
    }

    #[test]
    fn rfc_5769_section_2_2() {
        // The mapped address of the sample response: 192.0.2.1 port 32853.
        let transaction = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
        let request = [&[0, 1, 0, 0][..], &MAGIC, &transaction].concat();
        let bytes = answer("192.0.2.1:32853".parse().unwrap(), &request).unwrap();
        let attribute = [0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
        assert_eq!(bytes[20..], attribute);
    }
}
