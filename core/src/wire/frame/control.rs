//! The control channel: proving membership, telling who else is there, leaving.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use minicbor::data::Type;
use minicbor::decode::{Decode, Decoder, Error};
use minicbor::encode::{Encode, Encoder};
use thiserror::Error as ThisError;

/// The most records or addresses in one frame; a frame of full records stays below 16 KiB.
pub const MAX_LIST: usize = 32;

/// The most digests in one frame: of as many devices as are known in one meeting.
pub const MAX_DIGESTS: usize = 512;

/// Stands for a record: the first 8 bytes of its SHA-256. Who finds another record with the same digest, after some 2^64
/// tries, keeps one member from telling one other of the first.
pub type Digest = [u8; 8];

/// The version of the protocol that [`Hello`] names.
pub const VERSION: u16 = 1;

/// A frame of the control channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control<'b> {
    /// "I am a member too."
    Hello(Hello<'b>),
    /// Records of members, encoded, at most [`MAX_LIST`].
    Members(Vec<&'b [u8]>),
    /// Records of members who have left or been lost for long, encoded, at most [`MAX_LIST`]: what they said may still be
    /// going round.
    Departed(Vec<&'b [u8]>),
    /// "I leave."
    Leave,
    /// Addresses found in the DHT that may be members', at most [`MAX_LIST`]: each knocks them.
    Addresses(Vec<SocketAddr>),
    /// What the sender could tell with [`Control::Members`]: digests of the records, at most [`MAX_DIGESTS`].
    Known(Vec<Digest>),
    /// Those of them that the sender lacks, at most [`MAX_DIGESTS`].
    Want(Vec<Digest>),
    /// Of a kind that this version does not know.
    Unknown(u32),
}

/// Proof of membership in one meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello<'b> {
    /// The highest version of the protocol that the sender speaks.
    pub version: u16,
    /// What the sender can do beyond it, a bit each.
    pub capabilities: u32,
    /// The sender's record, encoded.
    pub record: &'b [u8],
    /// MAC with the meeting's `member` key over both ends of this very link.
    pub mac: [u8; 32],
}

/// Bytes that are no control frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
pub enum ControlError {
    /// Not CBOR, or not of the right shape.
    #[error("malformed")]
    Malformed,
    /// More than [`MAX_LIST`] entries, or more than [`MAX_DIGESTS`] digests.
    #[error("too many entries")]
    TooMany,
}

const HELLO: u32 = 0;
const MEMBERS: u32 = 1;
const LEAVE: u32 = 2;
const ADDRESSES: u32 = 3;
const DEPARTED: u32 = 4;
const KNOWN: u32 = 5;
const WANT: u32 = 6;

impl<'b> Control<'b> {
    /// Reads a body: the kind, then what belongs to it.
    ///
    /// # Errors
    ///
    /// If the bytes are not of that shape.
    pub fn parse(body: &'b [u8]) -> Result<Self, ControlError> {
        let mut d = Decoder::new(body);
        let malformed = |_: Error| ControlError::Malformed;
        Ok(match d.u32().map_err(malformed)? {
            HELLO => Self::Hello(d.decode().map_err(malformed)?),
            MEMBERS => Self::Members(list(&mut d, MAX_LIST, |d| d.bytes())?),
            DEPARTED => Self::Departed(list(&mut d, MAX_LIST, |d| d.bytes())?),
            LEAVE => Self::Leave,
            ADDRESSES => Self::Addresses(list(&mut d, MAX_LIST, address)?),
            KNOWN => Self::Known(list(&mut d, MAX_DIGESTS, digest)?),
            WANT => Self::Want(list(&mut d, MAX_DIGESTS, digest)?),
            kind => Self::Unknown(kind),
        })
    }

    /// The body's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        // Writing to a vector cannot fail.
        let _ = match self {
            Self::Hello(hello) => e.u32(HELLO).and_then(|e| e.encode(hello)).map(drop),
            Self::Members(records) => strings(&mut e, MEMBERS, records),
            Self::Departed(records) => strings(&mut e, DEPARTED, records),
            Self::Known(digests) => strings(&mut e, KNOWN, digests),
            Self::Want(digests) => strings(&mut e, WANT, digests),
            Self::Leave => e.u32(LEAVE).map(drop),
            Self::Addresses(addresses) => {
                e.u32(ADDRESSES).and_then(|e| e.array(addresses.len() as u64)).and_then(|e| {
                    addresses.iter().try_for_each(|address| {
                        match address.ip() {
                            IpAddr::V4(ip) => e.array(2)?.bytes(&ip.octets())?,
                            IpAddr::V6(ip) => e.array(2)?.bytes(&ip.octets())?,
                        };
                        e.u16(address.port()).map(drop)
                    })
                })
            }
            Self::Unknown(kind) => e.u32(*kind).map(drop),
        };
        e.into_writer()
    }
}

/// A kind, and a list of byte strings.
fn strings(
    e: &mut Encoder<Vec<u8>>,
    kind: u32,
    strings: &[impl AsRef<[u8]>],
) -> Result<(), minicbor::encode::Error<Infallible>> {
    e.u32(kind)?.array(strings.len() as u64)?;
    strings.iter().try_for_each(|string| e.bytes(string.as_ref()).map(drop))
}

/// A list of definite length, checked before anything is allocated.
fn list<'b, T>(
    d: &mut Decoder<'b>,
    most: usize,
    mut one: impl FnMut(&mut Decoder<'b>) -> Result<T, Error>,
) -> Result<Vec<T>, ControlError> {
    let len = d.array().ok().flatten().ok_or(ControlError::Malformed)?;
    if len > most as u64 {
        return Err(ControlError::TooMany);
    }
    (0..len).map(|_| one(d).map_err(|_| ControlError::Malformed)).collect()
}

fn digest(d: &mut Decoder<'_>) -> Result<Digest, Error> {
    d.bytes()?.try_into().map_err(|_| Error::message("not a digest"))
}

/// `[address bytes, port]`.
fn address(d: &mut Decoder<'_>) -> Result<SocketAddr, Error> {
    if d.array()? != Some(2) {
        return Err(Error::message("not a pair"));
    }
    let ip = d.bytes()?;
    let ip: IpAddr = match (<[u8; 4]>::try_from(ip), <[u8; 16]>::try_from(ip)) {
        (Ok(v4), _) => v4.into(),
        (_, Ok(v6)) => v6.into(),
        _ => return Err(Error::message("not an address")),
    };
    Ok(SocketAddr::new(ip, d.u16()?))
}

impl<C> Encode<C> for Hello<'_> {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.map(4)?.u8(0)?.u16(self.version)?.u8(1)?.u32(self.capabilities)?;
        e.u8(2)?.bytes(self.record)?.u8(3)?.bytes(&self.mac)?;
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Hello<'b> {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, Error> {
        let (mut version, mut capabilities, mut record, mut mac) = (None, 0, None, None);
        let len = d.map()?.filter(|&len| len <= 64).ok_or_else(|| Error::message("no short map"))?;
        for _ in 0..len {
            match d.u32()? {
                0 => version = Some(d.u16()?),
                1 => capabilities = d.u32()?,
                2 => record = Some(d.bytes()?),
                3 => mac = d.bytes()?.try_into().ok(),
                _ => skip(d)?,
            }
        }
        let missing = || Error::message("a key is missing");
        Ok(Self {
            version: version.ok_or_else(missing)?,
            capabilities,
            record: record.ok_or_else(missing)?,
            mac: mac.ok_or_else(missing)?,
        })
    }
}

/// Skips the value of an unknown key; only flat ones, so that nothing nests without end.
fn skip(d: &mut Decoder<'_>) -> Result<(), Error> {
    match d.datatype()? {
        Type::Array | Type::Map | Type::ArrayIndef | Type::MapIndef | Type::Tag => {
            Err(Error::message("nested"))
        }
        _ => d.skip(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        let frames = [
            Control::Hello(Hello { version: 1, capabilities: 5, record: b"record", mac: [7; 32] }),
            Control::Members(vec![b"one", b"two"]),
            Control::Departed(vec![b"three"]),
            Control::Leave,
            Control::Addresses(vec![
                "192.0.2.1:6881".parse().unwrap(),
                "[2001:db8::1]:1024".parse().unwrap(),
            ]),
            Control::Known(vec![[1; 8], [2; 8]]),
            Control::Want(vec![[3; 8]; MAX_DIGESTS]),
            Control::Unknown(99),
        ];
        for frame in frames {
            assert_eq!(Control::parse(&frame.encode()), Ok(frame));
        }
    }

    #[test]
    fn unknown_keys_are_skipped() {
        let mut e = Encoder::new(Vec::new());
        e.u32(HELLO).unwrap().map(4).unwrap();
        e.u8(9).unwrap().str("later").unwrap().u8(0).unwrap().u16(2).unwrap();
        e.u8(2).unwrap().bytes(b"r").unwrap().u8(3).unwrap().bytes(&[1; 32]).unwrap();
        let hello = Hello { version: 2, capabilities: 0, record: b"r", mac: [1; 32] };
        assert_eq!(Control::parse(&e.into_writer()), Ok(Control::Hello(hello)));
    }

    #[test]
    fn what_is_no_frame() {
        assert_eq!(Control::parse(b""), Err(ControlError::Malformed));
        assert_eq!(
            Control::parse(&[0x01, 0x9b, 255, 255, 255, 255, 255, 255, 255, 255]),
            Err(ControlError::TooMany)
        );
        assert_eq!(
            Control::parse(&[0x01, 0x9f, 0x41, 0, 0xff]),
            Err(ControlError::Malformed),
            "indefinite length"
        );
        for frame in [Control::Members(vec![b"one", b"two"]), Control::Known(vec![[7; 8]; 3])] {
            let frame = frame.encode();
            for len in 0..frame.len() {
                assert!(Control::parse(&frame[..len]).is_err(), "cut at {len}");
            }
        }
        let too_many = Control::Want(vec![[0; 8]; MAX_DIGESTS + 1]).encode();
        assert_eq!(Control::parse(&too_many), Err(ControlError::TooMany));
        assert_eq!(Control::parse(&[0x05, 0x81, 0x47, 1, 2, 3, 4, 5, 6, 7]), Err(ControlError::Malformed));
    }
}
