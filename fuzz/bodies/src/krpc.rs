use folkmoot_core::wire::bencode::is_canonical;
use folkmoot_core::wire::krpc::{Body, Call, MAX_TID, MAX_TOKEN, Message, Query, Response, Values};

/// Parses; what parses is encoded, canonically, to what parses as the same.
pub fn krpc(bytes: &[u8]) {
    let Ok(message) = Message::parse(bytes) else { return };
    assert!(message.tid.len() <= MAX_TID);
    let encoded = message.encode();
    assert_eq!(Message::parse(&encoded).as_ref(), Ok(&message), "{}", encoded.escape_ascii());
    let is_verbatim = match &message.body {
        // What these hold is passed on as it came.
        Body::Query(Query { call: Call::Put { .. }, .. }) => true,
        Body::Response(response) => response.item.value.is_some() || response.values.is_some(),
        Body::Query(_) | Body::Error(_) => false,
    };
    assert!(is_verbatim || is_canonical(&encoded), "{}", encoded.escape_ascii());
    if let Body::Response(response) = &message.body {
        read_lists(response);
    }
}

fn read_lists(response: &Response<'_>) {
    let (nodes, nodes6) = (response.nodes.unwrap_or_default(), response.nodes6.unwrap_or_default());
    assert_eq!(response.contacts().count(), nodes.len() / 26 + nodes6.len() / 38);
    assert!(response.token.is_none_or(|token| token.len() <= MAX_TOKEN));
    let mut list = Vec::new();
    response.peers().for_each(|peer| Values::push(&mut list, peer));
    assert!(response.peers().eq(Values::of(&list).iter()));
}
