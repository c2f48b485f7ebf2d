use std::net::IpAddr;

use minicbor::decode::{Decoder, Error};
use minicbor::encode::Encoder;

use super::config::{self, Encoded, addr, array, length};
use super::glance::{Glance, Kind};
use crate::base::{SocketId, SocketInfo, Time, UnixTime};
use crate::meeting::{Code, Master};
use crate::node::{Answer, Command, Config, Input, MeetingHandle, Network, RequestId, Tag};
use crate::peer::{Security, SnapToken};

/// What a trace consists of, in order: one start in a full trace, then inputs and outputs as they came, then an end.
#[derive(Clone, Debug)]
pub enum Item<'a> {
    /// With what the node was made.
    Start(Box<Start>),
    /// What the node was given.
    Input(Time, Input<'a>),
    /// What a node was given, of which a redacted trace tells no more.
    Seen(Time, Glance),
    /// What the node said, with a digest of all of it.
    Output(Glance, u32),
    /// The recorder stopped here, or might have.
    End(End),
}

/// With what a node was made.
#[derive(Clone, Debug)]
pub struct Start {
    /// Its configuration, ready for a replay.
    pub config: Config,
    /// Its entropy.
    pub entropy: [u8; 32],
    /// The time.
    pub now: Time,
    /// The wall clock.
    pub unix: UnixTime,
}

/// How a trace ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Whether it ends because it has become as large as it may.
    pub is_full: bool,
    /// A hash over the digests of all outputs.
    pub hash: [u8; 16],
}

const START: u8 = 0;
const INPUT: u8 = 1;
const SEEN: u8 = 2;
const OUTPUT: u8 = 3;
const END: u8 = 4;

impl<'a> Item<'a> {
    /// Reads the item that `bytes` are.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut d = Decoder::new(bytes);
        let item = match d.u8()? {
            START => {
                let token: [u8; SnapToken::LEN] = array(&mut d)?;
                let token = SnapToken::try_from(&token[..]).map_err(|_| Error::message("not a token"))?;
                let (entropy, now, unix) = (array(&mut d)?, time(&mut d)?, UnixTime::from_millis(d.u64()?));
                let config = config::decode(&mut d, Security::replaying(token))?;
                Self::Start(Box::new(Start { config, entropy, now, unix }))
            }
            INPUT => Self::Input(time(&mut d)?, decode_input(&mut d)?),
            SEEN => Self::Seen(time(&mut d)?, decode_glance(&mut d)?),
            OUTPUT => {
                let digest = d.u32()?;
                Self::Output(decode_glance(&mut d)?, digest)
            }
            END => Self::End(End { is_full: d.bool()?, hash: array(&mut d)? }),
            _ => return Err(Error::message("an unknown kind of item")),
        };
        if d.position() == bytes.len() { Ok(item) } else { Err(Error::message("bytes after an item")) }
    }
}

pub(super) fn encode_start(e: &mut Encoder<&mut Vec<u8>>, start: &Start, token: &SnapToken) -> Encoded {
    e.u8(START)?.bytes(token.as_bytes())?.bytes(&start.entropy)?;
    e.u64(start.now.as_micros())?.u64(start.unix.as_millis())?;
    config::encode(e, &start.config)
}

pub(super) fn encode_seen(e: &mut Encoder<&mut Vec<u8>>, now: Time, glance: &Glance) -> Encoded {
    e.u8(SEEN)?.u64(now.as_micros())?;
    encode_glance(e, glance)
}

pub(super) fn encode_output(e: &mut Encoder<&mut Vec<u8>>, glance: &Glance, digest: u32) -> Encoded {
    e.u8(OUTPUT)?.u32(digest)?;
    encode_glance(e, glance)
}

pub(super) fn encode_end(e: &mut Encoder<&mut Vec<u8>>, end: End) -> Encoded {
    e.u8(END)?.bool(end.is_full)?.bytes(&end.hash)?.ok()
}

pub(super) fn encode_input(e: &mut Encoder<&mut Vec<u8>>, now: Time, input: &Input<'_>) -> Encoded {
    e.u8(INPUT)?.u64(now.as_micros())?;
    match input {
        Input::Tick => e.u8(0)?.ok(),
        Input::Datagram { socket, local, from, bytes } => {
            let local = local.map(|ip| ip.to_string()).unwrap_or_default();
            e.u8(1)?.u16(socket.0)?.str(&local)?.str(&from.to_string())?.bytes(bytes)?.ok()
        }
        Input::Command(Command::Join { meeting, code }) => e.u8(2)?.u32(meeting.0)?.str(code.as_str())?.ok(),
        Input::Command(Command::Say { meeting, tag, text }) => {
            e.u8(3)?.u32(meeting.0)?.u64(tag.0)?.str(text)?.ok()
        }
        Input::Command(Command::Leave { meeting }) => e.u8(4)?.u32(meeting.0)?.ok(),
        Input::Network(Network::Sockets(sockets)) => {
            e.u8(5)?.array(sockets.len() as u64)?;
            for socket in sockets {
                e.u16(socket.id.0)?.str(&socket.bound.to_string())?.array(socket.addrs.len() as u64)?;
                for ip in &socket.addrs {
                    e.str(&ip.to_string())?;
                }
            }
            Ok(())
        }
        Input::Network(Network::Woke) => e.u8(6)?.ok(),
        Input::Clock(unix) => e.u8(7)?.u64(unix.as_millis())?.ok(),
        Input::Answer(id, Answer::Derived(master)) => e.u8(8)?.u64(id.0)?.bytes(&master.0)?.ok(),
        Input::Answer(id, Answer::Resolved(addresses)) => {
            e.u8(9)?.u64(id.0)?.array(addresses.len() as u64)?;
            for addr in addresses {
                e.str(&addr.to_string())?;
            }
            Ok(())
        }
    }
}

fn decode_input<'a>(d: &mut Decoder<'a>) -> Result<Input<'a>, Error> {
    Ok(match d.u8()? {
        0 => Input::Tick,
        1 => {
            let socket = SocketId(d.u16()?);
            let local = match d.str()? {
                "" => None,
                text => Some(ip(text)?),
            };
            Input::Datagram { socket, local, from: addr(d)?, bytes: d.bytes()? }
        }
        2 => {
            let meeting = MeetingHandle(d.u32()?);
            let code = Code::new_weak(d.str()?).map_err(|_| Error::message("not a code"))?;
            Input::Command(Command::Join { meeting, code })
        }
        3 => {
            let (meeting, tag) = (MeetingHandle(d.u32()?), Tag(d.u64()?));
            Input::Command(Command::Say { meeting, tag, text: d.str()?.to_owned() })
        }
        4 => Input::Command(Command::Leave { meeting: MeetingHandle(d.u32()?) }),
        5 => {
            let count = length(d)?;
            let sockets: Result<_, Error> = (0..count)
                .map(|_| {
                    let (id, bound) = (SocketId(d.u16()?), addr(d)?);
                    let count = length(d)?;
                    let addrs: Result<_, Error> = (0..count).map(|_| ip(d.str()?)).collect();
                    Ok(SocketInfo { id, bound, addrs: addrs? })
                })
                .collect();
            Input::Network(Network::Sockets(sockets?))
        }
        6 => Input::Network(Network::Woke),
        7 => Input::Clock(UnixTime::from_millis(d.u64()?)),
        8 => Input::Answer(RequestId(d.u64()?), Answer::Derived(Master(array(d)?))),
        9 => {
            let id = RequestId(d.u64()?);
            let count = length(d)?;
            let addresses: Result<_, Error> = (0..count).map(|_| addr(d)).collect();
            Input::Answer(id, Answer::Resolved(addresses?))
        }
        _ => return Err(Error::message("an unknown kind of input")),
    })
}

fn encode_glance(e: &mut Encoder<&mut Vec<u8>>, glance: &Glance) -> Encoded {
    let Glance { kind, addr, len, what } = glance;
    let addr = addr.map(|addr| addr.to_string()).unwrap_or_default();
    e.u8(*kind as u8)?.str(&addr)?.u32(*len)?.str(what)?.ok()
}

fn decode_glance(d: &mut Decoder<'_>) -> Result<Glance, Error> {
    let kind = Kind::ALL.get(usize::from(d.u8()?)).copied();
    let kind = kind.ok_or_else(|| Error::message("an unknown kind of output"))?;
    let addr = match d.str()? {
        "" => None,
        text => Some(text.parse().map_err(|_| Error::message("not an address"))?),
    };
    Ok(Glance { kind, addr, len: d.u32()?, what: d.str()?.to_owned() })
}

fn time(d: &mut Decoder<'_>) -> Result<Time, Error> {
    Ok(Time::from_micros(d.u64()?))
}

fn ip(text: &str) -> Result<IpAddr, Error> {
    text.parse().map_err(|_| Error::message("not an address"))
}
