use std::collections::BTreeMap;
use std::net::SocketAddr;

use folkmoot_core::base::NodeId;
use folkmoot_core::wire::krpc::{Body, Call, Contact, Message, Query};

use super::ambient::{Ambient, Place};
use super::answer::{answer, target_of};
use super::foes::{Foes, Way};

/// An ambient network at work: it answers, remembers who announced what, and may have hostile nodes in it.
#[derive(Debug)]
pub struct Scene<'a> {
    ambient: &'a Ambient,
    foes: Foes,
    /// The peers announced at each node, by topic.
    stored: Stored,
    /// Bytes of payload that hostile nodes sent.
    pub(super) hostile_bytes: u64,
}

/// What the nodes of a network store: of a topic, at each node, the peers.
pub type Stored = BTreeMap<[u8; 20], BTreeMap<Place, Vec<SocketAddr>>>;

/// A node's answer, and a number that tells it from others, for its round trips.
pub(super) struct Reply {
    pub(super) number: u64,
    pub(super) bytes: Vec<u8>,
}

impl<'a> Scene<'a> {
    /// A network in which everybody means well.
    pub fn peaceful(ambient: &'a Ambient) -> Self {
        Self::with(ambient, Foes::None)
    }

    /// A network with hostile nodes in it.
    pub fn with(ambient: &'a Ambient, foes: Foes) -> Self {
        Self { ambient, foes, stored: Stored::new(), hostile_bytes: 0 }
    }

    /// The nodes.
    pub fn ambient(&self) -> &'a Ambient {
        self.ambient
    }

    /// Who is hostile in it.
    pub fn foes_mut(&mut self) -> &mut Foes {
        &mut self.foes
    }

    /// What is stored, to be looked at or changed.
    pub fn stored_mut(&mut self) -> &mut Stored {
        &mut self.stored
    }

    /// Whether the live node at a place means well.
    pub fn is_honest(&self, place: Place) -> bool {
        match &self.foes {
            Foes::Crowd { share, .. } => !self.ambient.is_marked(place, *share),
            Foes::None | Foes::Sybils(_) => true,
        }
    }

    /// What comes back from `to` when `from` sends it a datagram, if anything does.
    pub(super) fn respond(&mut self, to: SocketAddr, from: SocketAddr, bytes: &[u8]) -> Option<Reply> {
        let Ok(Message { tid, body: Body::Query(query), .. }) = Message::parse(bytes) else { return None };
        let target = target_of(&query);
        if let Foes::Sybils(sybils) = &self.foes
            && let Some(sybil) = sybils.at(to)
        {
            // They know each other and nobody else, take announcements, and keep nothing.
            let named = if target == Some(sybils.topic()) { sybils.some(sybil.number) } else { Vec::new() };
            let bytes = answer(sybil.id, from, (tid, &query), &named, &[]);
            self.hostile_bytes += bytes.len() as u64;
            return Some(Reply { number: sybil.number, bytes });
        }
        let (place, is_mask) = match self.ambient.find(to) {
            Some(place) => (place, false),
            None => (self.ambient.find(masked(to))?, true),
        };
        if !self.ambient.is_live(place) {
            return None;
        }
        let number = self.ambient.id(place);
        if let Foes::Crowd { way, .. } = self.foes
            && !self.is_honest(place)
        {
            let bytes = self.lie(way, place, is_mask, from, (tid, &query), target)?;
            self.hostile_bytes += bytes.len() as u64;
            return Some(Reply { number, bytes });
        }
        if is_mask {
            return None;
        }
        let mut peers = Vec::new();
        match query.call {
            Call::GetPeers { info_hash, .. } => {
                let stored = self.stored.get(&info_hash.0).and_then(|topic| topic.get(&place));
                peers.extend(stored.into_iter().flatten().copied());
            }
            Call::AnnouncePeer { info_hash, port, implied_port, .. } => {
                let peer = if implied_port { from } else { SocketAddr::new(from.ip(), port) };
                let stored = self.stored.entry(info_hash.0).or_default().entry(place).or_default();
                if !stored.contains(&peer) {
                    stored.push(peer);
                }
            }
            _ => {}
        }
        let named = target.map_or_else(Vec::new, |target| self.named(place, &target));
        let bytes = answer(self.ambient.contact(place).id, from, (tid, &query), &named, &peers);
        Some(Reply { number, bytes })
    }

    /// Whom an honest node names. Sybils are as well known as anybody: each place in a bucket that they fit in is one of
    /// theirs with the probability that a random choice among all who fit in gives.
    fn named(&self, place: Place, target: &[u8; 20]) -> Vec<Contact> {
        let mut named: Vec<Contact> =
            self.ambient.answer(place, target).into_iter().map(|named| self.ambient.contact(named)).collect();
        if let Foes::Sybils(sybils) = &self.foes
            && sybils.topic() == *target
        {
            let shared = self.ambient.distance(place, target).leading_zeros();
            let honest = self.ambient.sharing_with(target, shared + 1);
            sybils.mix_in(self.ambient.id(place), shared, honest, &mut named);
            named.sort_by_key(|contact| contact.id.distance(target));
        }
        named
    }

    /// What a hostile node says. `is_mask` tells that it was asked under a made-up identity.
    fn lie(
        &self,
        way: Way,
        place: Place,
        is_mask: bool,
        from: SocketAddr,
        question: (&[u8], &Query<'_>),
        target: Option<[u8; 20]>,
    ) -> Option<Vec<u8>> {
        let contact = self.ambient.contact(place);
        let near = |target: [u8; 20], number: u64| {
            // Closer than any honest node is likely to be: 32 bits in common.
            let mut id = NodeId(target);
            id.0[4..12].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            id
        };
        if way == Way::Patience {
            if is_mask {
                return None;
            }
            let named = target.map_or_else(Vec::new, |target| self.named(place, &target));
            return Some(answer(contact.id, from, question, &named, &[]));
        }
        let own_number = self.ambient.id(place);
        let own_id = if is_mask { near(target?, own_number) } else { contact.id };
        let target = target.unwrap_or_default();
        let salt = own_number ^ u64::from(target[19]) << 8;
        let (named, peers): (Vec<Contact>, Vec<SocketAddr>) = match way {
            Way::Drop | Way::Patience => return None,
            Way::Lie => {
                let nowhere = |index: u64| self.ambient.vacant(salt.wrapping_add(index));
                let named =
                    (0..8).map(|index| Contact { id: near(target, salt ^ index), addr: nowhere(index) });
                (named.collect(), (8..11).map(nowhere).collect())
            }
            Way::Themselves => {
                let Foes::Crowd { share, .. } = self.foes else { return None };
                let marked = (0..2_000).filter_map(|index| self.ambient.any(salt.wrapping_add(index)));
                let allies =
                    marked.filter(|ally| self.ambient.is_live(*ally) && self.ambient.is_marked(*ally, share));
                let named = allies.take(8).map(|ally| {
                    let id = near(target, self.ambient.id(ally));
                    Contact { id, addr: masked(self.ambient.contact(ally).addr) }
                });
                (named.collect(), Vec::new())
            }
            Way::Victim(victim) => {
                let at = |index: u16| SocketAddr::new(victim, 2_000 + index);
                let named =
                    (0..8).map(|index| Contact { id: near(target, u64::from(index)), addr: at(index) });
                (named.collect(), (8..16).map(at).collect())
            }
        };
        Some(answer(own_id, from, question, &named, &peers))
    }
}

/// The other port of a hostile node, where it is asked under a made-up id; and back.
fn masked(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip(), addr.port() ^ 1)
}
