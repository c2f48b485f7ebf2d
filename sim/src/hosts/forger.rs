use std::net::SocketAddr;

use folkmoot_core::base::{NodeId, Wake};
use folkmoot_core::wire::krpc::{
    Body, Call, Capabilities, Contact, Message, Response, Values, write_contact,
};

use super::dht::DHT_PORT;
use crate::engine::{Host, HostCx};

/// A hostile DHT node: it claims to be the closest node to whatever is looked up, and answers every `get_peers` with the
/// addresses of its victims, so that whoever believes it sends packets there.
#[derive(Debug)]
pub struct Forger {
    /// The victims, bencoded as `values`.
    values: Vec<u8>,
}

impl Forger {
    /// A forger that names these victims.
    pub fn new(victims: &[SocketAddr]) -> Self {
        let mut values = Vec::new();
        for victim in victims {
            Values::push(&mut values, *victim);
        }
        Self { values }
    }

    /// The answer to a query that came to `here`.
    fn answer(&self, here: SocketAddr, from: SocketAddr, query: &[u8]) -> Option<Vec<u8>> {
        let message = Message::parse(query).ok()?;
        let Body::Query(question) = message.body else { return None };
        let (target, is_lookup) = match question.call {
            Call::GetPeers { info_hash, .. } => (info_hash.0, true),
            Call::AnnouncePeer { info_hash, .. } => (info_hash.0, false),
            Call::FindNode { target, .. } => (target.0, false),
            _ => ([0x55; 20], false),
        };
        // One bit away from the target: nobody is closer.
        let mut id = NodeId(target);
        id.0[19] ^= 1;
        let mut nodes = Vec::new();
        write_contact(&mut nodes, &Contact { id, addr: here });
        let response = Response {
            id,
            nodes: Some(&nodes),
            values: is_lookup.then_some(Values::of(&self.values)),
            token: is_lookup.then_some(b"lie"),
            ip: Some(from),
            ..Response::default()
        };
        Some(
            Message {
                tid: message.tid,
                version: None,
                capabilities: Capabilities::NONE,
                body: Body::Response(response),
            }
            .encode(),
        )
    }
}

impl Host for Forger {
    fn start(&mut self, _: &mut HostCx<'_>) {}

    fn handle_datagram(&mut self, cx: &mut HostCx<'_>, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        if to.port() == DHT_PORT
            && let Some(answer) = self.answer(to, from, bytes)
        {
            cx.send(to, from, answer);
        }
    }

    fn on_wake(&mut self, _: &mut HostCx<'_>) {}

    fn next_wake(&self) -> Option<Wake> {
        None
    }
}

#[cfg(test)]
mod tests {
    use folkmoot_core::base::InfoHash;
    use folkmoot_core::wire::krpc::Query;

    use super::*;

    #[test]
    fn it_lies_about_everyone_and_claims_to_be_closest() {
        let victims: Vec<SocketAddr> = (0..100).map(|n| ([30, 0, 0, n], 5_000).into()).collect();
        let call = Call::GetPeers { info_hash: InfoHash([9; 20]), want: None, scrape: false };
        let query = Query { id: NodeId([1; 20]), read_only: false, call };
        let query = Message {
            tid: b"tid1",
            version: None,
            capabilities: Capabilities::NONE,
            body: Body::Query(query),
        }
        .encode();
        let (here, asker) = (([40, 0, 0, 1], DHT_PORT).into(), ([50, 0, 0, 1], 1).into());
        let answer = Forger::new(&victims).answer(here, asker, &query).unwrap();
        let Body::Response(response) = Message::parse(&answer).unwrap().body else { panic!("no response") };
        assert_eq!(response.peers().collect::<Vec<_>>(), victims);
        assert_eq!(response.contacts().map(|contact| contact.addr).collect::<Vec<_>>(), [here]);
        assert!(response.id.distance(&[9; 20]) < NodeId([1; 20]).distance(&[9; 20]));
        assert!(Forger::new(&victims).answer(here, asker, &answer).is_none(), "answers are not answered");
    }
}
