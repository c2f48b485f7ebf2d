use std::net::SocketAddr;

use thiserror::Error;

use super::{
    Body, Call, Capabilities, ErrorReply, Item, MAX_TID, MAX_TOKEN, Message, PutMutable, Query, Response,
    Sample, Scrape, Values, Want, read_addr,
};
use crate::base::{InfoHash, NodeId};
use crate::wire::bencode::{self, Reader};

/// Why a datagram is no message.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Reject<'a> {
    /// It is not bencoded within the limits.
    #[error("not bencoded: {0}")]
    Bencode(#[from] bencode::Error),
    /// It has no transaction id, or one longer than [`MAX_TID`].
    #[error("no transaction id of at most {MAX_TID} bytes")]
    Tid,
    /// It is neither query nor response nor error.
    #[error("neither query nor response nor error")]
    Kind,
    /// A response, or an error, that lacks what it must have.
    #[error("malformed answer: {0}")]
    Answer(Fault),
    /// A query that lacks what it must have. The one case in which an error may be sent back.
    #[error("malformed query: {fault}")]
    Query {
        /// The transaction id to answer to.
        tid: &'a [u8],
        /// What is wrong.
        fault: Fault,
    },
}

/// What a query or an answer lacks.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Fault {
    /// No dictionary `a` in a query, no `r` in a response, no `e` in an error.
    #[error("no arguments")]
    Arguments,
    /// No `id` of 20 bytes.
    #[error("no id of 20 bytes")]
    Id,
    /// No method name.
    #[error("no method")]
    Method,
    /// No `target` of 20 bytes.
    #[error("no target of 20 bytes")]
    Target,
    /// No `info_hash` of 20 bytes.
    #[error("no info_hash of 20 bytes")]
    InfoHash,
    /// No `port` from 1 to 65535, and no implied one.
    #[error("no port")]
    Port,
    /// No `token`, or one longer than [`MAX_TOKEN`].
    #[error("no token of at most {MAX_TOKEN} bytes")]
    Token,
    /// A `put` without `v`.
    #[error("no value")]
    Value,
    /// A `put` with one, but not all well-formed, of `k`, `sig` and `seq`.
    #[error("no key, signature and sequence number together")]
    Signature,
    /// An `e` that is not a list of a number and a text.
    #[error("no error code and message")]
    Error,
}

impl<'a> Message<'a> {
    /// Reads a datagram. Bytes after the message are ignored.
    ///
    /// # Errors
    ///
    /// If the datagram is not a message, with the reason. Only [`Reject::Query`] deserves an answer.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Reject<'a>> {
        let mut top = Top::default();
        Reader::new(datagram).dict(|key, value| top.read(key, value))?;
        let tid = top.tid.filter(|tid| tid.len() <= MAX_TID).ok_or(Reject::Tid)?;
        let body = match top.kind {
            Some(b"q") => Body::Query(top.query().map_err(|fault| Reject::Query { tid, fault })?),
            Some(b"r") => Body::Response(top.response().map_err(Reject::Answer)?),
            Some(b"e") => {
                let error = top.error.ok_or(Reject::Answer(Fault::Error))?;
                Body::Error(ErrorReply { ip: top.ip, ..error })
            }
            _ => return Err(Reject::Kind),
        };
        Ok(Self { tid, version: top.version, capabilities: top.capabilities, body })
    }
}

/// The top level, in whatever order it came.
#[derive(Default)]
struct Top<'a> {
    tid: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
    method: Option<&'a [u8]>,
    version: Option<&'a [u8]>,
    capabilities: Capabilities,
    ip: Option<SocketAddr>,
    read_only: bool,
    /// Whether `fields` are those of a query's `a` or a response's `r`; 0 if neither was there. Of a message that has
    /// both, which nobody sends, the later counts.
    fields_of: u8,
    fields: Fields<'a>,
    error: Option<ErrorReply<'a>>,
}

/// What `a` and `r` may hold, as far as it is known here.
#[derive(Default)]
struct Fields<'a> {
    id: Option<&'a [u8]>,
    target: Option<&'a [u8]>,
    info_hash: Option<&'a [u8]>,
    token: Option<&'a [u8]>,
    port: Option<i64>,
    implied_port: bool,
    want: Option<Want>,
    nodes: Option<&'a [u8]>,
    nodes6: Option<&'a [u8]>,
    values: Option<Values<'a>>,
    value: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    signature: Option<&'a [u8]>,
    seq: Option<i64>,
    cas: Option<i64>,
    salt: Option<&'a [u8]>,
    scrape: bool,
    seed: bool,
    /// What only answers to `scrape` and `sample_infohashes` hold.
    bloom_seeds: Option<&'a [u8]>,
    bloom_peers: Option<&'a [u8]>,
    sample: Sample<'a>,
}

impl<'a> Top<'a> {
    #[inline]
    fn read(&mut self, key: &[u8], value: &mut Reader<'a>) -> Result<(), bencode::Error> {
        match key {
            b"t" => self.tid = value.bytes_or_skip()?,
            b"y" => self.kind = value.bytes_or_skip()?,
            b"q" => self.method = value.bytes_or_skip()?,
            b"v" => self.version = value.bytes_or_skip()?,
            b"ip" => self.ip = value.bytes_or_skip()?.and_then(read_addr),
            Capabilities::KEY => {
                let bits = value.int_or_skip()?.and_then(|bits| u32::try_from(bits).ok());
                self.capabilities = Capabilities(bits.unwrap_or(0));
            }
            b"ro" => self.read_only = value.int_or_skip()? == Some(1),
            b"a" | b"r" if value.at_dict() => {
                self.fields_of = if key == b"a" { b'a' } else { b'r' };
                self.fields.read(value)?;
            }
            b"e" if value.at_list() => self.error = read_error(value)?,
            _ => {}
        }
        Ok(())
    }

    fn fields_of(&self, kind: u8) -> Result<&Fields<'a>, Fault> {
        if self.fields_of == kind { Ok(&self.fields) } else { Err(Fault::Arguments) }
    }

    fn query(&self) -> Result<Query<'a>, Fault> {
        let fields = self.fields_of(b'a')?;
        let id = fields.id()?;
        let want = fields.want;
        let call = match self.method.ok_or(Fault::Method)? {
            b"ping" => Call::Ping,
            b"find_node" => Call::FindNode { target: fields.target().ok_or(Fault::Target)?, want },
            b"get_peers" => Call::GetPeers { info_hash: fields.info_hash()?, want, scrape: fields.scrape },
            b"announce_peer" => fields.announce()?,
            b"get" => {
                let target = InfoHash(fields.target().ok_or(Fault::Target)?.0);
                Call::Get { target, seq: fields.seq, want }
            }
            b"put" => fields.put()?,
            method => {
                let target = fields.target().or_else(|| fields.info_hash().ok().map(|hash| NodeId(hash.0)));
                Call::Other { method, target, want }
            }
        };
        Ok(Query { id, read_only: self.read_only, call })
    }

    fn response(&self) -> Result<Response<'a>, Fault> {
        let fields = self.fields_of(b'r')?;
        Ok(Response {
            id: fields.id()?,
            nodes: fields.nodes,
            nodes6: fields.nodes6,
            values: fields.values,
            token: fields.token.filter(|token| token.len() <= MAX_TOKEN),
            ip: self.ip,
            item: Item {
                value: fields.value,
                key: fields.key.and_then(|key| key.try_into().ok()),
                signature: fields.signature.and_then(|signature| signature.try_into().ok()),
                seq: fields.seq,
            },
            scrape: Scrape {
                seeds: fields.bloom_seeds.and_then(|filter| filter.try_into().ok()),
                peers: fields.bloom_peers.and_then(|filter| filter.try_into().ok()),
            },
            sample: fields.sample,
        })
    }
}

impl<'a> Fields<'a> {
    #[inline]
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), bencode::Error> {
        let fields = self;
        reader.dict(|key, value| {
            match key {
                b"id" => fields.id = value.bytes_or_skip()?,
                b"target" => fields.target = value.bytes_or_skip()?,
                b"info_hash" => fields.info_hash = value.bytes_or_skip()?,
                b"token" => fields.token = value.bytes_or_skip()?,
                b"nodes" => fields.nodes = value.bytes_or_skip()?,
                b"nodes6" => fields.nodes6 = value.bytes_or_skip()?,
                b"values" if value.at_list() => {
                    let list = value.skip()?;
                    fields.values = list.get(1..list.len() - 1).map(Values::of);
                }
                b"want" if value.at_list() => fields.want = Some(read_want(value)?),
                b"port" => fields.port = value.int_or_skip()?,
                b"implied_port" => fields.implied_port = value.int_or_skip()?.is_some_and(|flag| flag != 0),
                b"v" => fields.value = Some(value.skip()?),
                b"k" => fields.key = value.bytes_or_skip()?,
                b"sig" => fields.signature = value.bytes_or_skip()?,
                b"seq" => fields.seq = value.int_or_skip()?,
                b"cas" => fields.cas = value.int_or_skip()?,
                b"salt" => fields.salt = value.bytes_or_skip()?,
                b"scrape" => fields.scrape = value.int_or_skip()? == Some(1),
                b"seed" => fields.seed = value.int_or_skip()? == Some(1),
                b"BFsd" => fields.bloom_seeds = value.bytes_or_skip()?,
                b"BFpe" => fields.bloom_peers = value.bytes_or_skip()?,
                b"samples" => fields.sample.samples = value.bytes_or_skip()?,
                b"num" => fields.sample.total = value.int_or_skip()?,
                b"interval" => fields.sample.interval = value.int_or_skip()?,
                _ => {}
            }
            Ok(())
        })
    }

    fn id(&self) -> Result<NodeId, Fault> {
        NodeId::try_from(self.id.unwrap_or_default()).map_err(|_| Fault::Id)
    }

    fn target(&self) -> Option<NodeId> {
        NodeId::try_from(self.target?).ok()
    }

    fn info_hash(&self) -> Result<InfoHash, Fault> {
        InfoHash::try_from(self.info_hash.unwrap_or_default()).map_err(|_| Fault::InfoHash)
    }

    fn token(&self) -> Result<&'a [u8], Fault> {
        self.token.filter(|token| token.len() <= MAX_TOKEN).ok_or(Fault::Token)
    }

    fn announce(&self) -> Result<Call<'a>, Fault> {
        let port = u16::try_from(self.port.unwrap_or(0)).unwrap_or(0);
        if port == 0 && !self.implied_port {
            return Err(Fault::Port);
        }
        Ok(Call::AnnouncePeer {
            info_hash: self.info_hash()?,
            port,
            implied_port: self.implied_port,
            seed: self.seed,
            token: self.token()?,
        })
    }

    fn put(&self) -> Result<Call<'a>, Fault> {
        let mutable = match (self.key, self.signature, self.seq) {
            (None, None, _) => None,
            (Some(key), Some(signature), Some(seq)) => Some(PutMutable {
                key: key.try_into().map_err(|_| Fault::Signature)?,
                signature: signature.try_into().map_err(|_| Fault::Signature)?,
                seq,
                salt: self.salt.unwrap_or_default(),
                cas: self.cas,
            }),
            _ => return Err(Fault::Signature),
        };
        let target = self.target().map(|target| InfoHash(target.0));
        Ok(Call::Put { token: self.token()?, target, value: self.value.ok_or(Fault::Value)?, mutable })
    }
}

fn read_want(reader: &mut Reader<'_>) -> Result<Want, bencode::Error> {
    let mut want = Want::default();
    reader.list(|element| {
        match element.bytes_or_skip()? {
            Some(b"n4") => want.v4 = true,
            Some(b"n6") => want.v6 = true,
            _ => {}
        }
        Ok(())
    })?;
    Ok(want)
}

/// The code and the message of an `e`; `None` if either is missing.
fn read_error<'a>(reader: &mut Reader<'a>) -> Result<Option<ErrorReply<'a>>, bencode::Error> {
    let (mut code, mut message) = (None, None);
    let mut place = 0;
    reader.list(|element| {
        match place {
            0 => code = element.int_or_skip()?,
            1 => message = element.bytes_or_skip()?,
            _ => {}
        }
        place += 1;
        Ok(())
    })?;
    Ok(code.zip(message).map(|(code, message)| ErrorReply { code, message, ip: None }))
}
