//! A node's configuration as bytes, and back.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use minicbor::decode::{Decoder, Error};
use minicbor::encode::Encoder;

use crate::base::{Backoff, Host, Incarnation, NodeId};
use crate::dht::{self, Mode, Snapshot};
use crate::node::{Config, Identity};
use crate::peer::Security;
use crate::wire::krpc::Capabilities;

/// Attempts of a policy, and hosts of a list, that are read: more than anyone configures.
const MAX_LIST: u64 = 1_024;

pub(super) type Encoded = Result<(), minicbor::encode::Error<Infallible>>;

/// Writes all but what secures the links.
pub(super) fn encode(e: &mut Encoder<&mut Vec<u8>>, config: &Config) -> Encoded {
    let Config { identity, incarnation, name, dht, bootstrap, stun, reconnect, connect_timeout, security: _ } =
        config;
    e.array(9)?.bytes(&identity.device)?.bytes(&identity.member)?.u64(incarnation.0)?.str(name)?;
    encode_dht(e, dht)?;
    encode_hosts(e, bootstrap)?;
    encode_hosts(e, stun)?;
    let delays: Vec<_> = (0..reconnect.attempts()).filter_map(|n| reconnect.delay(n)).collect();
    e.array(delays.len() as u64)?;
    for delay in delays {
        e.u64(micros(delay))?;
    }
    e.u64(micros(*connect_timeout))?.ok()
}

pub(super) fn decode(d: &mut Decoder<'_>, security: Security) -> Result<Config, Error> {
    expect(d, 9)?;
    let identity = Identity { device: array(d)?, member: array(d)? };
    let incarnation = Incarnation(d.u64()?);
    let name = d.str()?.to_owned();
    let dht = decode_dht(d)?;
    let (bootstrap, stun) = (decode_hosts(d)?, decode_hosts(d)?);
    let count = length(d)?;
    let delays: Result<Vec<_>, Error> = (0..count).map(|_| Ok(Duration::from_micros(d.u64()?))).collect();
    let reconnect: Backoff = delays?.into_iter().collect();
    let connect_timeout = Duration::from_micros(d.u64()?);
    Ok(Config { identity, incarnation, name, dht, bootstrap, stun, reconnect, connect_timeout, security })
}

fn encode_dht(e: &mut Encoder<&mut Vec<u8>>, config: &dht::Config) -> Encoded {
    let dht::Config { id, mode, strict, lan, capabilities, saved } = config;
    e.array(6)?.bytes(id.as_ref().map_or(&[][..], |id| id.as_bytes()))?;
    e.u8(match mode {
        Mode::Auto => 0,
        Mode::Server => 1,
        Mode::ReadOnly => 2,
    })?;
    let saved = saved.as_ref().map(Snapshot::encode).unwrap_or_default();
    e.bool(*strict)?.bool(*lan)?.u32(capabilities.0)?.bytes(&saved)?.ok()
}

fn decode_dht(d: &mut Decoder<'_>) -> Result<dht::Config, Error> {
    expect(d, 6)?;
    let id = match d.bytes()? {
        [] => None,
        bytes => Some(NodeId::try_from(bytes).map_err(|_| Error::message("an id of another length"))?),
    };
    let mode = match d.u8()? {
        0 => Mode::Auto,
        1 => Mode::Server,
        2 => Mode::ReadOnly,
        _ => return Err(Error::message("an unknown mode")),
    };
    let (strict, lan, capabilities) = (d.bool()?, d.bool()?, Capabilities(d.u32()?));
    let saved = match d.bytes()? {
        [] => None,
        bytes => Some(Snapshot::decode(bytes).map_err(|_| Error::message("a damaged snapshot"))?),
    };
    Ok(dht::Config { id, mode, strict, lan, capabilities, saved })
}

fn encode_hosts(e: &mut Encoder<&mut Vec<u8>>, hosts: &[Host]) -> Encoded {
    e.array(hosts.len() as u64)?;
    for host in hosts {
        e.str(&host.to_string())?;
    }
    Ok(())
}

fn decode_hosts(d: &mut Decoder<'_>) -> Result<Vec<Host>, Error> {
    let count = length(d)?;
    (0..count).map(|_| d.str()?.parse().map_err(|_| Error::message("not a host"))).collect()
}

/// An address, as text: it is seldom there, and then it shows in a hex dump.
pub(super) fn addr(d: &mut Decoder<'_>) -> Result<SocketAddr, Error> {
    d.str()?.parse().map_err(|_| Error::message("not an address"))
}

pub(super) fn array<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], Error> {
    d.bytes()?.try_into().map_err(|_| Error::message("bytes of another length"))
}

/// The length of a list.
pub(super) fn length(d: &mut Decoder<'_>) -> Result<u64, Error> {
    let length = d.array()?.ok_or_else(|| Error::message("a list without a length"))?;
    if length <= MAX_LIST { Ok(length) } else { Err(Error::message("a list that is too long")) }
}

pub(super) fn expect(d: &mut Decoder<'_>, fields: u64) -> Result<(), Error> {
    if length(d)? == fields { Ok(()) } else { Err(Error::message("another number of fields")) }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
