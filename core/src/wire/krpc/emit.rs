use std::net::SocketAddr;

use super::{
    Bloom, Body, Call, Capabilities, Endpoint, ErrorCode, ErrorReply, Message, Query, Response, Want,
};
use crate::wire::bencode::Writer;

impl Message<'_> {
    /// The datagram.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size_hint());
        self.encode_into(&mut out);
        out
    }

    /// Appends the datagram to `out`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let mut to = Writer::new(out);
        to.dict();
        match &self.body {
            Body::Query(query) => query.write(&mut to, self.capabilities),
            Body::Response(response) => response.write(&mut to, self.capabilities),
            Body::Error(error) => error.write(&mut to, self.capabilities),
        }
        to.bytes(b"t").bytes(self.tid);
        if let Some(version) = self.version {
            to.bytes(b"v").bytes(version);
        }
        to.bytes(b"y").bytes(match self.body {
            Body::Query(_) => b"q",
            Body::Response(_) => b"r",
            Body::Error(_) => b"e",
        });
        to.end();
    }

    /// Enough for any query of ours, or for a response with its lists.
    fn size_hint(&self) -> usize {
        match &self.body {
            Body::Response(response) => {
                let length = |list: Option<&[u8]>| list.map_or(0, <[u8]>::len);
                let item = length(response.item.value) + if response.item.key.is_some() { 144 } else { 0 };
                let lists = length(response.nodes)
                    + length(response.nodes6)
                    + response.values.map_or(0, |values| values.0.len());
                let filters = [response.scrape.seeds, response.scrape.peers].into_iter().flatten().count();
                let rare = length(response.sample.samples) + filters * (Bloom::LEN + 10);
                176 + lists + item + rare
            }
            Body::Query(Query { call: Call::Put { value, .. }, .. }) => 400 + value.len(),
            Body::Query(_) | Body::Error(_) => 192,
        }
    }
}

impl Query<'_> {
    fn write(&self, to: &mut Writer<'_>, capabilities: Capabilities) {
        to.bytes(b"a").dict();
        let method: &[u8] = match &self.call {
            Call::Ping => {
                self.write_id(to);
                b"ping"
            }
            Call::FindNode { target, want } => {
                self.write_id(to).bytes(b"target").bytes(target.as_bytes());
                write_want(to, *want);
                b"find_node"
            }
            Call::GetPeers { info_hash, want, scrape } => {
                self.write_id(to).bytes(b"info_hash").bytes(info_hash.as_bytes());
                if *scrape {
                    to.bytes(b"scrape").int(1);
                }
                write_want(to, *want);
                b"get_peers"
            }
            Call::AnnouncePeer { info_hash, port, implied_port, seed, token } => {
                self.write_id(to);
                // Where it is 0 it says nothing (BEP 5); but librqbit-dht does not answer without it.
                to.bytes(b"implied_port").int((*implied_port).into());
                to.bytes(b"info_hash").bytes(info_hash.as_bytes());
                to.bytes(b"port").int((*port).into());
                if *seed {
                    to.bytes(b"seed").int(1);
                }
                to.bytes(b"token").bytes(token);
                b"announce_peer"
            }
            Call::Get { target, seq, want } => {
                self.write_id(to);
                if let Some(seq) = seq {
                    to.bytes(b"seq").int(*seq);
                }
                to.bytes(b"target").bytes(target.as_bytes());
                write_want(to, *want);
                b"get"
            }
            Call::Put { token, target, value, mutable } => {
                if let Some(cas) = mutable.as_ref().and_then(|item| item.cas) {
                    to.bytes(b"cas").int(cas);
                }
                self.write_id(to);
                if let Some(item) = mutable {
                    to.bytes(b"k").bytes(item.key);
                    if !item.salt.is_empty() {
                        to.bytes(b"salt").bytes(item.salt);
                    }
                    to.bytes(b"seq").int(item.seq).bytes(b"sig").bytes(item.signature);
                }
                if let Some(target) = target {
                    to.bytes(b"target").bytes(target.as_bytes());
                }
                to.bytes(b"token").bytes(token).bytes(b"v").raw(value);
                b"put"
            }
            Call::Other { method, target, want } => {
                self.write_id(to);
                if let Some(target) = target {
                    to.bytes(b"target").bytes(target.as_bytes());
                }
                write_want(to, *want);
                method
            }
        };
        to.end();
        write_capabilities(to, capabilities);
        to.bytes(b"q").bytes(method);
        if self.read_only {
            to.bytes(b"ro").int(1);
        }
    }

    fn write_id<'w, 'b>(&self, to: &'w mut Writer<'b>) -> &'w mut Writer<'b> {
        to.bytes(b"id").bytes(self.id.as_bytes())
    }
}

fn write_capabilities(to: &mut Writer<'_>, capabilities: Capabilities) {
    if capabilities != Capabilities::NONE {
        to.bytes(Capabilities::KEY).int(capabilities.0.into());
    }
}

fn write_ip(to: &mut Writer<'_>, ip: Option<SocketAddr>) {
    if let Some(ip) = ip {
        to.bytes(b"ip").bytes(Endpoint::of(ip).as_bytes());
    }
}

fn write_want(to: &mut Writer<'_>, want: Option<Want>) {
    let Some(want) = want else { return };
    to.bytes(b"want").list();
    if want.v4 {
        to.bytes(b"n4");
    }
    if want.v6 {
        to.bytes(b"n6");
    }
    to.end();
}

impl Response<'_> {
    fn write(&self, to: &mut Writer<'_>, capabilities: Capabilities) {
        write_capabilities(to, capabilities);
        write_ip(to, self.ip);
        to.bytes(b"r").dict();
        if let Some(peers) = self.scrape.peers {
            to.bytes(b"BFpe").bytes(peers);
        }
        if let Some(seeds) = self.scrape.seeds {
            to.bytes(b"BFsd").bytes(seeds);
        }
        to.bytes(b"id").bytes(self.id.as_bytes());
        if let Some(interval) = self.sample.interval {
            to.bytes(b"interval").int(interval);
        }
        if let Some(key) = self.item.key {
            to.bytes(b"k").bytes(key);
        }
        if let Some(nodes) = self.nodes {
            to.bytes(b"nodes").bytes(nodes);
        }
        if let Some(nodes6) = self.nodes6 {
            to.bytes(b"nodes6").bytes(nodes6);
        }
        if let Some(total) = self.sample.total {
            to.bytes(b"num").int(total);
        }
        if let Some(samples) = self.sample.samples {
            to.bytes(b"samples").bytes(samples);
        }
        if let Some(seq) = self.item.seq {
            to.bytes(b"seq").int(seq);
        }
        if let Some(signature) = self.item.signature {
            to.bytes(b"sig").bytes(signature);
        }
        if let Some(token) = self.token {
            to.bytes(b"token").bytes(token);
        }
        if let Some(value) = self.item.value {
            to.bytes(b"v").raw(value);
        }
        if let Some(values) = self.values {
            to.bytes(b"values").list().raw(values.0).end();
        }
        to.end();
    }
}

impl ErrorReply<'_> {
    fn write(&self, to: &mut Writer<'_>, capabilities: Capabilities) {
        to.bytes(b"e").list().int(self.code).bytes(self.message).end();
        write_capabilities(to, capabilities);
        write_ip(to, self.ip);
    }
}

impl From<ErrorCode> for ErrorReply<'static> {
    fn from(code: ErrorCode) -> Self {
        let message: &[u8] = match code {
            ErrorCode::Generic => b"Generic Error",
            ErrorCode::Server => b"Server Error",
            ErrorCode::Protocol => b"Protocol Error",
            ErrorCode::MethodUnknown => b"Method Unknown",
            ErrorCode::ValueTooBig => b"Value Too Big",
            ErrorCode::BadSignature => b"Invalid Signature",
            ErrorCode::SaltTooBig => b"Salt Too Big",
            ErrorCode::CasMismatch => b"CAS Mismatch",
            ErrorCode::SeqTooLow => b"Sequence Number Too Low",
        };
        Self { code: code as i64, message, ip: None }
    }
}
