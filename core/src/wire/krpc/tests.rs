use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use quickcheck::{Arbitrary, Gen, quickcheck};

use super::*;
use crate::wire::bencode::is_canonical;

/// Parses, checks, and encodes again: the examples of the BEPs must come out as they went in.
fn golden(datagram: &[u8]) -> Message<'_> {
    let message = Message::parse(datagram).unwrap();
    assert_eq!(message.encode().escape_ascii().to_string(), datagram.escape_ascii().to_string());
    message
}

fn query(message: Message<'_>) -> Query<'_> {
    match message.body {
        Body::Query(query) => query,
        other => panic!("not a query: {other:?}"),
    }
}

fn response(message: Message<'_>) -> Response<'_> {
    match message.body {
        Body::Response(response) => response,
        other => panic!("not a response: {other:?}"),
    }
}

const ASKER: NodeId = NodeId(*b"abcdefghij0123456789");

#[test]
fn bep5_ping() {
    let message = golden(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe");
    assert_eq!(message.tid, b"aa");
    assert_eq!(query(message), Query { id: ASKER, read_only: false, call: Call::Ping });
    let message = golden(b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re");
    assert_eq!(response(message), Response { id: NodeId(*b"mnopqrstuvwxyz123456"), ..Response::default() });
}

#[test]
fn bep5_find_node() {
    let message = golden(
        b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe",
    );
    let call = Call::FindNode { target: NodeId(*b"mnopqrstuvwxyz123456"), want: None };
    assert_eq!(query(message).call, call);
    // The BEP's own value of `nodes` is a placeholder: no whole node.
    let message = golden(b"d1:rd2:id20:0123456789abcdefghij5:nodes9:def456...e1:t2:aa1:y1:re");
    assert_eq!(response(message).contacts().count(), 0);
}

#[test]
fn bep5_get_peers() {
    let message = golden(
        b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe",
    );
    let call = Call::GetPeers { info_hash: InfoHash(*b"mnopqrstuvwxyz123456"), want: None, scrape: false };
    assert_eq!(query(message).call, call);
    let message =
        golden(b"d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re");
    let response = response(message);
    assert_eq!(response.token, Some(&b"aoeusnth"[..]));
    let peers = ["97.120.106.101:11893", "105.100.104.116:28269"].map(|peer| peer.parse().unwrap());
    assert_eq!(response.peers().collect::<Vec<SocketAddr>>(), peers);
}

#[test]
fn bep5_announce_peer() {
    let message = golden(
        b"d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e\
          5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe",
    );
    let info_hash = InfoHash(*b"mnopqrstuvwxyz123456");
    let call =
        Call::AnnouncePeer { info_hash, port: 6881, implied_port: true, seed: false, token: b"aoeusnth" };
    assert_eq!(query(message).call, call);
}

#[test]
fn bep5_error() {
    let message = golden(b"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee");
    let error = ErrorReply { code: 201, message: b"A Generic Error Ocurred", ip: None };
    assert_eq!(message.body, Body::Error(error));
}

#[test]
fn bep42_ip_in_an_error() {
    let message = golden(b"d1:eli204e14:Method Unknowne2:ip6:\x7f\0\0\x01\x1a\xe11:t2:aa1:y1:ee");
    let ip = Some("127.0.0.1:6881".parse().unwrap());
    assert_eq!(message.body, Body::Error(ErrorReply { ip, ..ErrorCode::MethodUnknown.into() }));
}

#[test]
fn bep32_nodes6_and_want() {
    let message = golden(
        b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz1234564:wantl2:n42:n6ee1:q9:find_node\
          1:t2:aa1:y1:qe",
    );
    let Call::FindNode { want, .. } = query(message).call else { panic!() };
    assert_eq!(want, Some(Want { v4: true, v6: true }));

    let v6 = Contact { id: ASKER, addr: "[2001:db8::7]:6881".parse().unwrap() };
    let v4 = Contact { id: ASKER, addr: "192.0.2.7:6881".parse().unwrap() };
    let (mut nodes, mut nodes6) = (Vec::new(), Vec::new());
    write_contact(&mut nodes, &v4);
    write_contact(&mut nodes6, &v6);
    assert_eq!((nodes.len(), nodes6.len()), (26, 38));
    let named = Response { nodes: Some(&nodes), nodes6: Some(&nodes6), ..Response::default() };
    assert_eq!(named.contacts().collect::<Vec<_>>(), [v4, v6]);
}

#[test]
fn bep42_ip_and_bep43_ro() {
    let message =
        golden(b"d2:ip6:\x7f\0\0\x01\x1a\xe11:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:v4:LT\x01\x021:y1:re");
    assert_eq!(message.version, Some(&b"LT\x01\x02"[..]));
    assert_eq!(response(message).ip, Some(([127, 0, 0, 1], 6881).into()));
    let message = golden(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping2:roi1e1:t2:aa1:y1:qe");
    assert!(query(message).read_only);
    // One implementation puts `ro` into responses: it means nothing there.
    assert!(Message::parse(b"d1:rd2:id20:mnopqrstuvwxyz123456e2:roi0e1:t2:aa1:y1:re").is_ok());
}

#[test]
fn bep44_put_and_get() {
    let (key, signature) = ([b'k'; 32], [b's'; 64]);
    let mutable = PutMutable { key: &key, signature: &signature, seq: 4, salt: b"foobar", cas: Some(3) };
    let put = Message {
        tid: b"aa",
        version: None,
        capabilities: Capabilities::NONE,
        body: Body::Query(Query {
            id: ASKER,
            read_only: false,
            call: Call::Put {
                token: b"aoeusnth",
                target: Some(InfoHash(*b"mnopqrstuvwxyz123456")),
                value: b"12:Hello World!",
                mutable: Some(mutable),
            },
        }),
    };
    let expected = [
        &b"d1:ad3:casi3e2:id20:abcdefghij01234567891:k32:"[..],
        &key,
        b"4:salt6:foobar3:seqi4e3:sig64:",
        &signature,
        b"6:target20:mnopqrstuvwxyz1234565:token8:aoeusnth1:v12:Hello World!e1:q3:put1:t2:aa1:y1:qe",
    ]
    .concat();
    assert_eq!(put.encode(), expected);
    assert_eq!(Message::parse(&expected), Ok(put));

    let datagram = b"d1:rd2:id20:mnopqrstuvwxyz1234563:seqi1e5:token2:tt1:vd1:ai1eee1:t2:aa1:y1:re";
    let item = response(golden(datagram)).item;
    assert_eq!((item.value, item.seq, item.key), (Some(&b"d1:ai1ee"[..]), Some(1), None));
}

#[test]
fn bep33_scrape() {
    let message = golden(
        b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234566:scrapei1ee1:q9:get_peers1:t2:aa1:y1:qe",
    );
    assert!(matches!(query(message).call, Call::GetPeers { scrape: true, .. }));
    let message = golden(
        b"d1:ad2:id20:abcdefghij012345678912:implied_porti0e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e\
          4:seedi1e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe",
    );
    assert!(matches!(query(message).call, Call::AnnouncePeer { seed: true, .. }));
    let filter = |name: &str, byte: u8| [format!("4:{name}256:").as_bytes(), &[byte; 256]].concat();
    let end = b"2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re";
    let datagram = [&b"d1:rd"[..], &filter("BFpe", 1), &filter("BFsd", 2), end].concat();
    let scrape = response(golden(&datagram)).scrape;
    assert_eq!((scrape.seeds, scrape.peers), (Some(&[2; 256]), Some(&[1; 256])));
    let short = [&b"d1:rd4:BFpe3:abc"[..], end].concat();
    assert_eq!(response(Message::parse(&short).unwrap()).scrape, Scrape::default());
}

#[test]
fn bep51_samples_are_parsed() {
    let message = golden(
        b"d1:rd2:id20:mnopqrstuvwxyz1234568:intervali60e5:nodes0:3:numi7e7:samples41:aaaaaaaaaaaaaaaaaaaa\
          bbbbbbbbbbbbbbbbbbbbxe1:t2:aa1:y1:re",
    );
    let sample = response(message).sample;
    assert_eq!((sample.interval, sample.total), (Some(60), Some(7)));
    assert_eq!(sample.topics().collect::<Vec<_>>(), [InfoHash([b'a'; 20]), InfoHash([b'b'; 20])]);
}

#[test]
fn capabilities_ride_in_every_kind_of_message() {
    let of = |datagram| golden(datagram).capabilities;
    assert_eq!(
        of(b"d1:ad2:id20:abcdefghij0123456789e2:fmi1e1:q4:ping2:roi1e1:t2:aa1:y1:qe"),
        Capabilities::RELAY
    );
    assert_eq!(
        of(b"d2:fmi4294967295e2:ip6:\x7f\0\0\x01\x1a\xe11:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re"),
        Capabilities(u32::MAX)
    );
    assert_eq!(of(b"d1:eli201e3:bade2:fmi2e1:t2:aa1:y1:ee"), Capabilities(2));
    for senseless in ["i-1e", "i4294967296e", "3:abc", "le"] {
        let datagram = format!("d2:fm{senseless}1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re");
        assert_eq!(Message::parse(datagram.as_bytes()).unwrap().capabilities, Capabilities::NONE);
    }
    for bits in [0, 1, 9, 10, 99, 100, u32::MAX] {
        let ping = |capabilities| {
            let body = Body::Query(Query { id: ASKER, read_only: false, call: Call::Ping });
            Message { tid: b"aa", version: None, capabilities, body }.encode().len()
        };
        let grown = ping(Capabilities(bits)) - ping(Capabilities::NONE);
        assert_eq!(grown, Capabilities(bits).encoded_len(), "{bits}");
    }
}

#[test]
fn lenient_where_real_nodes_differ() {
    // Unsorted; unknown keys on every level; optional values of the wrong type; both `e` and `r` in an error;
    // bytes after the message; a transaction id of 20 bytes.
    let message =
        Message::parse(b"d1:y1:q1:t20:abcdefghijabcdefghij1:q4:ping1:ad1:xle2:id20:abcdefghij0123456789ee");
    assert_eq!(message.unwrap().tid.len(), 20);
    let message = Message::parse(
        b"d1:rd2:id20:mnopqrstuvwxyz1234565:nodesi1e1:pi6881e6:values1:xe1:t2:aa1:vi1e1:y1:re\n",
    );
    assert_eq!(
        response(message.unwrap()),
        Response { id: NodeId(*b"mnopqrstuvwxyz123456"), ..Response::default() }
    );
    let message = Message::parse(b"d1:eli203e3:bade1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:ee").unwrap();
    assert!(matches!(message.body, Body::Error(ErrorReply { code: 203, .. })));
    // A node and a half, and a value of five bytes between two good ones.
    let mut datagram = b"d1:rd2:id20:mnopqrstuvwxyz1234565:nodes39:".to_vec();
    datagram.extend_from_slice(&[7; 39]);
    datagram.extend_from_slice(b"6:valuesl6:axje.u5:shorti3e18:abcdefghijklmnopqree1:t2:aa1:y1:re");
    let response = response(Message::parse(&datagram).unwrap());
    assert_eq!((response.contacts().count(), response.peers().count()), (1, 2));
}

#[test]
fn unknown_methods_carry_their_target() {
    let message =
        golden(b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q4:vote1:t2:aa1:y1:qe");
    let target = Some(NodeId(*b"mnopqrstuvwxyz123456"));
    assert_eq!(query(message).call, Call::Other { method: b"vote", target, want: None });
}

#[test]
fn rejected() {
    use bencode::Error;
    let query = |fault| Reject::Query { tid: b"aa", fault };
    let long_tid = format!("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t33:{}1:y1:qe", "t".repeat(33));
    let cases: [(&[u8], Reject<'_>); 19] = [
        (b"", Reject::Bencode(Error::Truncated)),
        (b"hello", Reject::Bencode(Error::Unexpected)),
        (b"d1:t2:aa1:y1:q", Reject::Bencode(Error::Truncated)),
        (b"d1:y1:qe", Reject::Tid),
        (b"d1:ti1e1:y1:qe", Reject::Tid),
        (long_tid.as_bytes(), Reject::Tid),
        (b"d1:t2:aae", Reject::Kind),
        (b"d1:t2:aa1:y1:xe", Reject::Kind),
        (b"d1:rle1:t2:aa1:y1:re", Reject::Answer(Fault::Arguments)),
        (b"d1:rd2:id19:mnopqrstuvwxyz12345e1:t2:aa1:y1:re", Reject::Answer(Fault::Id)),
        (b"d1:eli201ee1:t2:aa1:y1:ee", Reject::Answer(Fault::Error)),
        (b"d1:el3:bad3:bade1:t2:aa1:y1:ee", Reject::Answer(Fault::Error)),
        (b"d1:q4:ping1:t2:aa1:y1:qe", query(Fault::Arguments)),
        (b"d1:ade1:q4:ping1:t2:aa1:y1:qe", query(Fault::Id)),
        (b"d1:ad2:id20:abcdefghij0123456789e1:t2:aa1:y1:qe", query(Fault::Method)),
        (b"d1:ad2:id20:abcdefghij0123456789e1:q9:find_node1:t2:aa1:y1:qe", query(Fault::Target)),
        (b"d1:ad2:id20:abcdefghij0123456789e1:q9:get_peers1:t2:aa1:y1:qe", query(Fault::InfoHash)),
        (b"d1:ad2:id20:abcdefghij0123456789e1:q13:announce_peer1:t2:aa1:y1:qe", query(Fault::Port)),
        (
            b"d1:ad2:id20:abcdefghij01234567891:k2:kk5:token1:t1:v1:xe1:q3:put1:t2:aa1:y1:qe",
            query(Fault::Signature),
        ),
    ];
    for (datagram, reject) in cases {
        assert_eq!(Message::parse(datagram), Err(reject), "{}", datagram.escape_ascii());
    }
    let announce = |extra: &str| {
        let datagram = format!("d1:ad2:id20:abcdefghij0123456789{extra}e1:q13:announce_peer1:t2:aa1:y1:qe");
        Message::parse(datagram.as_bytes()).map(|_| ()).map_err(|reject| match reject {
            Reject::Query { fault, .. } => fault,
            other => panic!("{other}"),
        })
    };
    let hash = "9:info_hash20:mnopqrstuvwxyz123456";
    assert_eq!(announce(&format!("{hash}4:porti0e5:token1:t")), Err(Fault::Port));
    assert_eq!(announce(&format!("{hash}4:porti65536e5:token1:t")), Err(Fault::Port));
    assert_eq!(announce(&format!("{hash}4:porti1e")), Err(Fault::Token));
    assert_eq!(announce(&format!("{hash}4:porti1e5:token65:{}", "t".repeat(65))), Err(Fault::Token));
    assert_eq!(announce("4:porti1e5:token1:t"), Err(Fault::InfoHash));
    assert_eq!(announce(&format!("12:implied_porti1e{hash}5:token1:t")), Ok(()));
}

/// A message that owns its parts.
#[derive(Clone, Debug)]
struct Owned {
    tid: Vec<u8>,
    version: Option<Vec<u8>>,
    id: NodeId,
    kind: u8,
    flags: [bool; 8],
    target: [u8; 20],
    token: Vec<u8>,
    contacts: Vec<(NodeId, SocketAddr)>,
    key: [u8; 32],
    signature: [u8; 64],
    number: i64,
    port: u16,
    text: Vec<u8>,
    filter: Bloom,
    capabilities: Capabilities,
}

fn array<const N: usize>(g: &mut Gen) -> [u8; N] {
    std::array::from_fn(|_| u8::arbitrary(g))
}

impl Arbitrary for Owned {
    fn arbitrary(g: &mut Gen) -> Self {
        let short = |g: &mut Gen, limit: usize| -> Vec<u8> {
            let mut bytes = Vec::arbitrary(g);
            bytes.truncate(limit);
            bytes
        };
        let contacts = (0..u8::arbitrary(g) % 9).map(|_| {
            let port = u16::arbitrary(g);
            let addr: SocketAddr = if bool::arbitrary(g) {
                (Ipv4Addr::from(array::<4>(g)), port).into()
            } else {
                (Ipv6Addr::from(array::<16>(g)), port).into()
            };
            (NodeId(array(g)), addr)
        });
        Self {
            contacts: contacts.collect(),
            tid: short(g, MAX_TID),
            version: bool::arbitrary(g).then(|| short(g, 8)),
            id: NodeId(array(g)),
            kind: u8::arbitrary(g) % 9,
            flags: std::array::from_fn(|_| bool::arbitrary(g)),
            target: array(g),
            token: short(g, MAX_TOKEN),
            key: array(g),
            signature: array(g),
            number: i64::arbitrary(g),
            port: u16::arbitrary(g).max(1),
            text: short(g, 200),
            filter: Bloom::from_bytes(array(g)),
            capabilities: Capabilities(u32::arbitrary(g)),
        }
    }
}

impl Owned {
    /// Builds the message and gives it to `check`.
    fn with(&self, check: impl FnOnce(&Message<'_>) -> bool) -> bool {
        let (mut nodes, mut nodes6, mut values, mut value) = (vec![], vec![], vec![], vec![]);
        for &(id, addr) in &self.contacts {
            write_contact(if addr.is_ipv4() { &mut nodes } else { &mut nodes6 }, &Contact { id, addr });
            Values::push(&mut values, addr);
        }
        bencode::Writer::new(&mut value).bytes(&self.text);
        let flag = |n: usize| self.flags[n];
        let want = flag(0).then_some(Want { v4: flag(1), v6: flag(2) });
        let call = match self.kind {
            0 => Call::Ping,
            1 => Call::FindNode { target: NodeId(self.target), want },
            2 => Call::GetPeers { info_hash: InfoHash(self.target), want, scrape: flag(4) },
            3 => Call::AnnouncePeer {
                info_hash: InfoHash(self.target),
                port: self.port,
                implied_port: flag(3),
                seed: flag(4),
                token: &self.token,
            },
            4 => Call::Get { target: InfoHash(self.target), seq: flag(3).then_some(self.number), want },
            5 => Call::Put {
                token: &self.token,
                target: flag(5).then_some(InfoHash(self.target)),
                value: &value,
                mutable: flag(3).then(|| PutMutable {
                    key: &self.key,
                    signature: &self.signature,
                    seq: self.number,
                    salt: &self.token,
                    cas: flag(4).then_some(self.number),
                }),
            },
            _ => Call::Other { method: b"x_try", target: flag(3).then_some(NodeId(self.target)), want },
        };
        let body = match self.kind {
            7 => Body::Error(ErrorReply {
                code: self.number,
                message: &self.text,
                ip: self.contacts.first().map(|contact| contact.1),
            }),
            8 => Body::Response(Response {
                id: self.id,
                nodes: flag(0).then_some(&nodes),
                nodes6: flag(1).then_some(&nodes6),
                values: flag(2).then_some(Values::of(&values)),
                token: flag(3).then_some(&self.token),
                ip: self.contacts.first().map(|contact| contact.1),
                item: Item {
                    value: flag(4).then_some(&value),
                    key: flag(5).then_some(&self.key),
                    signature: flag(6).then_some(&self.signature),
                    seq: flag(7).then_some(self.number),
                },
                scrape: Scrape {
                    seeds: flag(1).then_some(self.filter.as_bytes()),
                    peers: flag(2).then_some(self.filter.as_bytes()),
                },
                sample: Sample {
                    interval: flag(3).then_some(self.number),
                    total: flag(4).then_some(self.number),
                    samples: flag(5).then_some(&self.text),
                },
            }),
            _ => Body::Query(Query { id: self.id, read_only: flag(7), call }),
        };
        let version = self.version.as_deref();
        check(&Message { tid: &self.tid, version, capabilities: self.capabilities, body })
    }
}

quickcheck! {
    fn round_trip(message: Owned) -> bool {
        message.with(|message| {
            let datagram = message.encode();
            is_canonical(&datagram) && Message::parse(&datagram).as_ref() == Ok(message)
        })
    }

    fn any_bytes_are_survived(bytes: Vec<u8>) -> bool {
        Message::parse(&bytes).is_err()
    }

    fn damaged_messages_are_survived(message: Owned, damage: Vec<(u16, u8)>) -> bool {
        message.with(|message| {
            let mut datagram = message.encode();
            let length = datagram.len();
            damage.iter().for_each(|&(at, byte)| datagram[usize::from(at) % length] = byte);
            if let Ok(Message { body: Body::Response(response), .. }) = Message::parse(&datagram) {
                return response.contacts().count() + response.peers().count() <= length;
            }
            true
        })
    }
}
