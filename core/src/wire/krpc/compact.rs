use std::net::{IpAddr, SocketAddr};

use crate::base::NodeId;

/// A node of the DHT: its id, and where it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contact {
    /// Its place in the key space.
    pub id: NodeId,
    /// Its UDP address.
    pub addr: SocketAddr,
}

/// The nodes in a compact list: 20 bytes of id, `IP` (4 or 16) bytes of address, 2 of port, all in network byte order
/// (BEP 5, BEP 32). A remainder that is no whole node is left out.
pub fn contacts<const IP: usize>(list: &[u8]) -> impl Iterator<Item = Contact> + use<'_, IP> {
    list.chunks_exact(NodeId::LEN + IP + 2).filter_map(|node| {
        let (id, addr) = node.split_at_checked(NodeId::LEN)?;
        Some(Contact { id: NodeId::try_from(id).ok()?, addr: read_addr(addr)? })
    })
}

/// An address in compact form: 4 or 16 bytes and 2 of port.
pub fn read_addr(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_at_checked(bytes.len().checked_sub(2)?)?;
    let ip = match ip.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(ip).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(ip).ok()?),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(port.try_into().ok()?)))
}

/// An address in compact form: 4 or 16 bytes, and 2 of port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    bytes: [u8; 18],
    len: usize,
}

impl Endpoint {
    /// The compact form of an address.
    pub fn of(addr: SocketAddr) -> Self {
        let mut bytes = [0; 18];
        let port = addr.port().to_be_bytes();
        let len = match addr.ip() {
            IpAddr::V4(ip) => {
                let ([a, b, c, d], [high, low]) = (ip.octets(), port);
                bytes[..6].copy_from_slice(&[a, b, c, d, high, low]);
                6
            }
            IpAddr::V6(ip) => {
                bytes[..16].copy_from_slice(&ip.octets());
                bytes[16..].copy_from_slice(&port);
                18
            }
        };
        Self { bytes, len }
    }

    /// Its 6 or 18 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Appends an address in compact form.
pub fn write_addr(out: &mut Vec<u8>, addr: SocketAddr) {
    out.extend_from_slice(Endpoint::of(addr).as_bytes());
}

/// Appends a node in compact form.
pub fn write_contact(out: &mut Vec<u8>, contact: &Contact) {
    out.extend_from_slice(contact.id.as_bytes());
    write_addr(out, contact.addr);
}
