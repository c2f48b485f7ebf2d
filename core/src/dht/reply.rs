use super::machine::{Dht, Origin, VERSION};
use super::nearest::NodeList;
use super::table::K;
use super::tokens;
use crate::base::mutant::{Mutant, is_planted};
use crate::base::{Cx, NodeId, Scope};
use crate::wire::krpc::{self, Body, ErrorCode, ErrorReply, Message, Response, Want, read_addr};

/// No answer is longer, in bytes (BEP 32); but for those with an item.
pub(super) const LONGEST: usize = 1_024;

/// To whom nothing is proven, at most this many bytes for each two that came.
const UNPROVEN: usize = 7;

/// The length of a `ping` of ours: `d1:ad2:id20:` id `e1:q4:ping1:t4:` tid `1:v4:` version `1:y1:qe`.
pub(super) const PING_LEN: usize = 12 + NodeId::LEN + 15 + 4 + 5 + VERSION.len() + 7;

/// What an answer may be, and its way out.
impl Dht {
    /// How long an answer may be, in bytes. An address that has not proven that it receives what we send gets at most 3.5
    /// times what it sent, so that nobody gains by sending us questions in another's name.
    pub(super) fn longest(&self, origin: &Origin) -> usize {
        let is_proven = self.is_proven(origin.from.ip()) || is_planted(Mutant::LongAnswers);
        if is_proven { LONGEST } else { LONGEST.min(origin.size * UNPROVEN / 2) }
    }

    /// How much of it is left for lists.
    pub(super) fn room(&self, origin: &Origin, tid: usize, with_token: bool) -> usize {
        debug_assert!(tid <= krpc::MAX_TID);
        // `d` `2:ip6:` address `1:rd2:id20:` id `5:token8:` token `e` `1:t32:` tid `1:v4:` version `1:y1:re`
        let ip = if origin.from.is_ipv4() { 6 + 6 } else { 7 + 18 };
        let token = if with_token { 9 + tokens::LEN } else { 0 };
        let tail = 1 + 6 + tid + 5 + VERSION.len() + 6 + 1;
        let fixed = 1 + ip + 11 + NodeId::LEN + token + tail + self.capabilities.encoded_len();
        self.longest(origin).saturating_sub(fixed)
    }

    /// The nodes closest to a target in the families wanted, as far as there is room, which they are taken from.
    pub(super) fn nodes_for(
        &self,
        origin: &Origin,
        target: &NodeId,
        want: Option<Want>,
        room: &mut usize,
    ) -> (Option<NodeList>, Option<NodeList>) {
        let ipv4 = origin.from.is_ipv4();
        let want = want.filter(|want| want.v4 || want.v6).unwrap_or(Want { v4: ipv4, v6: !ipv4 });
        // Where there is not room for eight of both, neither family takes the room of the other.
        let share = if want.v4 && want.v6 { *room / 2 } else { *room };
        let source = Scope::of(origin.from.ip());
        let mut list = |ipv4: bool| {
            // `5:nodes208:` or `6:nodes6304:`
            let (head, size) = if ipv4 { (11, 26) } else { (12, 38) };
            let most = (share.saturating_sub(head) / size).min(K);
            // Nodes of a private network are of no use outside of it, and the asker knows itself.
            let is_useful = |addr: &[u8]| {
                read_addr(addr).is_some_and(|addr| Scope::of(addr.ip()) >= source && addr != origin.from)
            };
            let nodes = self.overlay(ipv4).table.nearest(target.as_bytes(), most, is_useful);
            *room = room.saturating_sub(head + nodes.as_bytes().len());
            nodes
        };
        (want.v4.then(|| list(true)), want.v6.then(|| list(false)))
    }

    pub(super) fn answer(&mut self, cx: &mut Cx<'_>, origin: &Origin, tid: &[u8], response: Response<'_>) {
        let bytes = self.encoded(origin, tid, response);
        self.send_within(cx, origin, bytes, self.longest(origin));
    }

    pub(super) fn refuse(&mut self, cx: &mut Cx<'_>, origin: &Origin, tid: &[u8], code: ErrorCode) {
        let error = ErrorReply { ip: Some(origin.from), ..ErrorReply::from(code) };
        let bytes = self.message(tid, Body::Error(error));
        self.send_within(cx, origin, bytes, self.longest(origin));
    }

    /// An answer, with what all of them hold.
    pub(super) fn encoded(&self, origin: &Origin, tid: &[u8], response: Response<'_>) -> Vec<u8> {
        let response = Response { id: self.id(origin.from.is_ipv4()), ip: Some(origin.from), ..response };
        self.message(tid, Body::Response(response))
    }

    /// Sends an answer if it has at most `longest` bytes.
    pub(super) fn send_within(&mut self, cx: &mut Cx<'_>, origin: &Origin, bytes: Vec<u8>, longest: usize) {
        if bytes.len() > longest {
            self.counters.answers_withheld += 1;
            return;
        }
        self.counters.answered_bytes += bytes.len() as u64;
        cx.transmit(origin.socket, origin.local, origin.from, bytes);
    }

    fn message(&self, tid: &[u8], body: Body<'_>) -> Vec<u8> {
        Message { tid, version: Some(VERSION), capabilities: self.capabilities, body }.encode()
    }
}
