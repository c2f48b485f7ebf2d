//! Reading KRPC with us and with the bencode crates of the field, for the same work: `rivals parse [ROUNDS]`. Prints one line of
//! JSON: for each message and each crate, the nanoseconds that reading it takes, the median of rounds in which all take turns.
//!
//! The work is to find `t`, `y`, `q`, `id`, `target` and `nodes`, to hold each to the length it must have, and to look at every one
//! of the `values`. Each crate is used the way that is fastest with it.

use std::hint::black_box;
use std::time::Instant;

use folkmoot_core::base::{InfoHash, NodeId};
use folkmoot_core::wire::krpc::{
    Body, Call, Capabilities, Contact, Message, Query, Response, Values, Want, write_contact,
};
use librqbit_buffers::ByteBuf as RqbitBytes;
use serde::Deserialize;
use serde_bytes::{ByteBuf, Bytes};
use serde_json::json;

/// What was found in a message.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen<'a> {
    tid: &'a [u8],
    kind: u8,
    method: Option<&'a [u8]>,
    id: [u8; 20],
    target: Option<[u8; 20]>,
    nodes: usize,
    /// The sum of the peers' ports: each was looked at.
    ports: u64,
}

/// How often a message is read in one round.
const READS: u32 = 20_000;

type Reader = fn(&[u8]) -> u64;

const READERS: [(&str, Reader); 6] = [
    ("folkmoot", |bytes| ours(bytes).map_or(0, digest)),
    ("benc0de", |bytes| with_benc0de(bytes, digest).unwrap_or(0)),
    ("bt_bencode", |bytes| {
        bt_bencode::from_slice::<Fields<&Bytes>>(bytes)
            .ok()
            .and_then(|fields| fields.seen().map(digest))
            .unwrap_or(0)
    }),
    ("bendy", |bytes| with_bendy(bytes).map_or(0, digest)),
    ("librqbit-bencode", |bytes| {
        let fields = librqbit_bencode::from_bytes::<Fields<RqbitBytes<'_>>>(bytes).ok();
        fields.and_then(|fields| fields.seen().map(digest)).unwrap_or(0)
    }),
    ("serde_bencode", |bytes| {
        let fields = serde_bencode::from_bytes::<Fields<ByteBuf>>(bytes).ok();
        fields.and_then(|fields| fields.seen().map(digest)).unwrap_or(0)
    }),
];

pub fn main(args: &[String]) {
    let rounds: usize = args.first().map_or(51, |rounds| rounds.parse().expect("a number of rounds"));
    let mut report = serde_json::Map::new();
    for (name, message) in messages() {
        let expected = ours(&message).map(digest).expect("ours reads it");
        for (reader, read) in READERS {
            assert_eq!(read(&message), expected, "{reader} finds something else in {name}");
        }
        let mut times = vec![Vec::new(); READERS.len()];
        for round in 0..rounds {
            for turn in 0..READERS.len() {
                let reader = (round + turn) % READERS.len();
                let (_, read) = READERS[reader];
                let began = Instant::now();
                for _ in 0..READS {
                    black_box(read(black_box(&message)));
                }
                times[reader].push(began.elapsed().as_nanos() as f64 / f64::from(READS));
            }
        }
        let medians = READERS.iter().zip(&mut times).map(|((reader, _), times)| {
            times.sort_by(f64::total_cmp);
            ((*reader).to_owned(), json!((times[times.len() / 2] * 10.0).round() / 10.0))
        });
        report.insert(format!("{name}, {} bytes", message.len()), medians.collect());
    }
    println!("{}", serde_json::Value::Object(report));
}

/// The three messages that a node sees most.
fn messages() -> [(&'static str, Vec<u8>); 3] {
    let id = NodeId(*b"abcdefghij0123456789");
    let peer = |n: u8| ([198, 51, 100, n], 6_881).into();
    let (mut nodes, mut values) = (Vec::new(), Vec::new());
    (0..8).for_each(|n| write_contact(&mut nodes, &Contact { id: NodeId([n; 20]), addr: peer(n) }));
    (0..50).for_each(|n| Values::push(&mut values, peer(n)));
    let want = Some(Want { v4: true, v6: true });
    let query = Query { id, read_only: false, call: Call::FindNode { target: NodeId([7; 20]), want } };
    let reply = Response {
        id,
        nodes: Some(&nodes),
        token: Some(b"aoeusnth"),
        ip: Some(peer(9)),
        ..Response::default()
    };
    let full = Response { values: Some(Values::of(&values)), ..reply.clone() };
    let encode = |body| {
        Message { tid: b"aaaa", version: Some(b"FM01"), capabilities: Capabilities::default(), body }.encode()
    };
    [
        ("query", encode(Body::Query(query))),
        ("reply of 8 nodes", encode(Body::Response(reply))),
        ("reply of 8 nodes and 50 peers", encode(Body::Response(full))),
    ]
}

/// So that nothing found can be left out by the compiler.
fn digest(seen: Seen<'_>) -> u64 {
    let ends = |id: &[u8; 20]| u64::from(id[0]) << 8 | u64::from(id[19]);
    let target = seen.target.as_ref().map_or(1, ends);
    let method = seen.method.map_or(0, <[u8]>::len) as u64;
    ends(&seen.id)
        ^ target << 16
        ^ u64::from(seen.kind) << 32
        ^ (seen.nodes as u64) << 40
        ^ method << 48
        ^ seen.ports << 8
        ^ seen.tid.iter().fold(0, |sum, byte| sum * 31 + u64::from(*byte))
}

fn port(value: &[u8]) -> u64 {
    match value {
        [_, _, _, _, high, low] => u64::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    }
}

fn count(nodes: &[u8]) -> Option<usize> {
    nodes.len().is_multiple_of(26).then_some(nodes.len() / 26)
}

/// Only as far as it goes: what else our reader checks, it checks here too.
fn ours(bytes: &[u8]) -> Option<Seen<'_>> {
    let message = Message::parse(bytes).ok()?;
    let tid = message.tid;
    Some(match message.body {
        Body::Query(Query { id: NodeId(id), call, .. }) => {
            let (method, target): (&[u8], _) = match call {
                Call::Ping => (b"ping", None),
                Call::FindNode { target, .. } => (b"find_node", Some(target.0)),
                Call::GetPeers { info_hash: InfoHash(hash), .. } => (b"get_peers", Some(hash)),
                _ => return None,
            };
            Seen { tid, kind: b'q', method: Some(method), id, target, ..Seen::default() }
        }
        Body::Response(response) => {
            let nodes = response.nodes.map_or(Some(0), count)?;
            let ports = response.peers().map(|peer| u64::from(peer.port())).sum();
            Seen { tid, kind: b'r', id: response.id.0, nodes, ports, ..Seen::default() }
        }
        Body::Error(_) => return None,
    })
}

/// It tells a value from its absence only while nothing else is looked at, so each is looked at on its own.
fn with_benc0de<T>(bytes: &[u8], then: impl FnOnce(Seen<'_>) -> T) -> Option<T> {
    thread_local! {
        // It is made to be used again and again.
        static PARSER: std::cell::RefCell<benc0de::BenParser> = std::cell::RefCell::new(benc0de::BenParser::new());
    }
    PARSER.with_borrow_mut(|parser| {
        let mut root = parser.parse(bytes);
        let mut seen = Seen::default();
        let mut method = [0; 16];
        let mut tid = [0; 4];
        let is_query = {
            let mut fields = root.get("a");
            let is_query = matches!(fields, benc0de::BenItem::Dict(_));
            if is_query {
                seen.id = fields.get("id").bytes()?.try_into().ok()?;
                seen.target = Some(fields.get("target").bytes()?.try_into().ok()?);
            }
            is_query
        };
        let mut method_length = 0;
        if is_query {
            let query = root.get("q");
            let query = query.bytes()?;
            method_length = query.len();
            method.get_mut(..method_length)?.copy_from_slice(query);
        } else {
            let mut fields = root.get("r");
            seen.id = fields.get("id").bytes()?.try_into().ok()?;
            seen.nodes = count(fields.get("nodes").bytes()?)?;
            seen.ports = fields.get("values").iter_bytes().map(port).sum();
        }
        tid.copy_from_slice(root.get("t").bytes()?);
        seen.kind = *root.get("y").bytes()?.first()?;
        seen.tid = &tid;
        seen.method = is_query.then_some(&method[..method_length]);
        Some(then(seen))
    })
}

fn with_bendy(bytes: &[u8]) -> Option<Seen<'_>> {
    use bendy::decoding::{Decoder, Object};

    let mut seen = Seen::default();
    let mut decoder = Decoder::new(bytes).with_max_depth(10);
    let Object::Dict(mut root) = decoder.next_object().ok()?? else { return None };
    while let Some((key, value)) = root.next_pair().ok()? {
        match (key, value) {
            (b"t", Object::Bytes(tid)) => seen.tid = tid,
            (b"y", Object::Bytes(kind)) => seen.kind = *kind.first()?,
            (b"q", Object::Bytes(method)) => seen.method = Some(method),
            (b"a" | b"r", Object::Dict(mut fields)) => {
                while let Some((key, value)) = fields.next_pair().ok()? {
                    match (key, value) {
                        (b"id", Object::Bytes(id)) => seen.id = id.try_into().ok()?,
                        (b"target", Object::Bytes(target)) => seen.target = Some(target.try_into().ok()?),
                        (b"nodes", Object::Bytes(nodes)) => seen.nodes = count(nodes)?,
                        (b"values", Object::List(mut values)) => {
                            while let Some(value) = values.next_object().ok()? {
                                seen.ports += port(value.try_into_bytes().ok()?);
                            }
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some(seen)
}

/// What the readers that stand on serde fill, borrowed where they can.
#[derive(Deserialize)]
struct Fields<S> {
    #[serde(default = "Option::default")]
    a: Option<Inner<S>>,
    #[serde(default = "Option::default")]
    q: Option<S>,
    #[serde(default = "Option::default")]
    r: Option<Inner<S>>,
    t: S,
    y: S,
}

#[derive(Deserialize)]
struct Inner<S> {
    id: S,
    #[serde(default = "Option::default")]
    target: Option<S>,
    #[serde(default = "Option::default")]
    nodes: Option<S>,
    #[serde(default = "Option::default")]
    values: Option<Vec<S>>,
}

impl<S: AsRef<[u8]>> Fields<S> {
    fn seen(&self) -> Option<Seen<'_>> {
        let inner = self.a.as_ref().or(self.r.as_ref())?;
        Some(Seen {
            tid: self.t.as_ref(),
            kind: *self.y.as_ref().first()?,
            method: self.q.as_ref().map(S::as_ref),
            id: inner.id.as_ref().try_into().ok()?,
            target: inner.target.as_ref().and_then(|target| target.as_ref().try_into().ok()),
            nodes: inner.nodes.as_ref().map_or(Some(0), |nodes| count(nodes.as_ref()))?,
            ports: inner.values.iter().flatten().map(|value| port(value.as_ref())).sum(),
        })
    }
}
