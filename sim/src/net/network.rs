use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use folkmoot_core::base::Time;

use super::{
    BoxRules, Link, LinkId, LinkRules, Middlebox, Passage, Verdict, Why, addresses, can_connect_directly,
};
use crate::engine::{Draws, HostId};

/// The world's number of an address realm: the internet, or the inside of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RealmId(pub u32);

impl RealmId {
    /// The internet.
    pub const INTERNET: Self = Self(0);
}

/// The world's number of a NAT or firewall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BoxId(pub u32);

/// Why a packet went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum DropReason {
    /// A link lost it.
    Lost,
    /// A link's queue was full.
    QueueFull,
    /// It was larger than a link's MTU.
    TooBig,
    /// No such address.
    NoRoute,
    /// A NAT has no mapping at that external endpoint.
    NoMapping,
    /// A filter does not admit that sender.
    Filtered,
    /// A NAT does not send packets back inside.
    NoHairpin,
    /// A NAT has no room or port for another mapping.
    Exhausted,
    /// A box lets no UDP pass.
    UdpBlocked,
    /// The two hosts are on different sides of a partition.
    Partitioned,
    /// The host is off or asleep.
    HostDown,
}

impl DropReason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Lost,
        Self::QueueFull,
        Self::TooBig,
        Self::NoRoute,
        Self::NoMapping,
        Self::Filtered,
        Self::NoHairpin,
        Self::Exhausted,
        Self::UdpBlocked,
        Self::Partitioned,
        Self::HostDown,
    ];
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "lost",
            Self::QueueFull => "queue full",
            Self::TooBig => "too big",
            Self::NoRoute => "no route",
            Self::NoMapping => "no mapping",
            Self::Filtered => "filtered",
            Self::NoHairpin => "no hairpin",
            Self::Exhausted => "nat exhausted",
            Self::UdpBlocked => "udp blocked",
            Self::Partitioned => "partitioned",
            Self::HostDown => "host down",
        })
    }
}

/// The tree of address realms: the internet at the root, and inside each NAT or firewall another one.
///
/// It routes by exact address: what is not in the realm goes outwards, and what no realm knows is dropped.
#[derive(Debug)]
pub struct Network {
    realms: Vec<Realm>,
    boxes: Vec<Seat>,
    links: Vec<Link>,
    places: BTreeMap<HostId, Place>,
    public: u32,
}

#[derive(Debug, Default)]
struct Realm {
    routes: BTreeMap<IpAddr, Leaf>,
    /// The box on the way outwards; none is the internet.
    uplink: Option<BoxId>,
    /// Addresses given out so far.
    given: u32,
}

#[derive(Clone, Copy, Debug)]
enum Leaf {
    Host(HostId),
    Box(BoxId),
}

#[derive(Debug)]
struct Seat {
    rules: BoxRules,
    outer: RealmId,
    inner: RealmId,
    link: LinkId,
    machine: Middlebox,
}

#[derive(Debug)]
struct Place {
    realm: RealmId,
    link: LinkId,
}

/// Where a packet goes next, and through which link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// To a host.
    Host(HostId),
    /// To the outside of a box.
    Box(BoxId),
    /// Into a realm, outwards.
    Realm(RealmId),
}

/// The bytes of IPv4 and UDP headers.
const HEADERS_V4: usize = 28;
/// The bytes of IPv6 and UDP headers.
const HEADERS_V6: usize = 48;

impl Network {
    /// Just the internet.
    pub(crate) fn new() -> Self {
        let (boxes, links, places) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { realms: vec![Realm::default()], boxes, links, places, public: 0 }
    }

    /// Attaches a box to `outer` through a link, with one external address if it is a NAT, and gives the realm inside.
    pub(crate) fn add_box(&mut self, outer: RealmId, rules: BoxRules, link: LinkRules) -> (BoxId, RealmId) {
        let (id, inner) = (BoxId(self.boxes.len() as u32), RealmId(self.realms.len() as u32));
        let pool = match rules {
            BoxRules::Nat(_) => vec![self.give_address(outer, Leaf::Box(id))],
            BoxRules::Firewall { .. } | BoxRules::UdpBlocked => Vec::new(),
        };
        let link = self.add_link(link);
        self.boxes.push(Seat { rules, outer, inner, link, machine: Middlebox::new(id.0, rules, pool) });
        self.realms.push(Realm { uplink: Some(id), ..Realm::default() });
        (id, inner)
    }

    /// Attaches a host with `addresses` addresses.
    pub(crate) fn add_host(
        &mut self,
        id: HostId,
        realm: RealmId,
        link: LinkRules,
        addresses: usize,
    ) -> Vec<IpAddr> {
        let link = self.add_link(link);
        self.places.insert(id, Place { realm, link });
        (0..addresses).map(|_| self.give_address(realm, Leaf::Host(id))).collect()
    }

    /// A box at work, to look at or to meddle with.
    pub fn middlebox(&mut self, id: BoxId) -> Option<&mut Middlebox> {
        self.boxes.get_mut(id.0 as usize).map(|seat| &mut seat.machine)
    }

    /// Changes the rules of a host's link.
    pub fn set_link(&mut self, host: HostId, rules: LinkRules) {
        if let Some(place) = self.places.get(&host) {
            self.links[place.link.0 as usize].set_rules(rules);
        }
    }

    /// The rules of a host's link.
    pub fn link(&self, host: HostId) -> Option<LinkRules> {
        self.places.get(&host).map(|place| self.links[place.link.0 as usize].rules())
    }

    /// Whether two hosts can connect directly, by [`can_connect_directly`] and by what they share.
    pub fn can_connect(&self, a: HostId, b: HostId) -> Verdict {
        let (Some(a), Some(b)) = (self.places.get(&a), self.places.get(&b)) else {
            return Verdict::no(Why::UdpBlocked);
        };
        let (way_a, way_b) = (self.way_out(a.realm), self.way_out(b.realm));
        let shared = way_a.iter().rev().zip(way_b.iter().rev()).take_while(|(a, b)| a == b).count();
        let (own_a, own_b) = (way_a.len() - shared, way_b.len() - shared);
        if shared == 0 {
            return can_connect_directly(&self.rules(&way_a), &self.rules(&way_b));
        }
        if own_a == 0 && own_b == 0 {
            return Verdict::yes(Why::SameNetwork);
        }
        // They know each other's outermost endpoints, so each packet must turn round at the innermost shared NAT.
        let common = self.rules(&way_a[own_a..]);
        let turns = |rules: &BoxRules| match rules {
            BoxRules::Nat(nat) => nat.hairpin != super::Hairpin::None,
            BoxRules::Firewall { .. } | BoxRules::UdpBlocked => false,
        };
        if common.last().is_some_and(turns) {
            can_connect_directly(&self.rules(&way_a), &self.rules(&way_b))
        } else {
            Verdict::no(Why::NoHairpin)
        }
    }

    /// Where a packet in `realm` goes. Boxes on the way outwards have rewritten `from` and `to`.
    pub(crate) fn route(
        &mut self,
        now: Time,
        draws: &Draws,
        realm: RealmId,
        (from, to): (&mut SocketAddr, &mut SocketAddr),
    ) -> Result<Next, DropReason> {
        let here = &self.realms[realm.0 as usize];
        match here.routes.get(&to.ip()) {
            Some(Leaf::Host(host)) => return Ok(Next::Host(*host)),
            Some(Leaf::Box(id)) => return Ok(Next::Box(*id)),
            None => {}
        }
        let seat = &mut self.boxes[here.uplink.ok_or(DropReason::NoRoute)?.0 as usize];
        if seat.machine.owns(to.ip()) {
            (*from, *to) = seat.machine.hairpin(now, draws, *from, *to)?;
            // Back inside, where the address is known or the mapping is stale.
            return match self.realms[realm.0 as usize].routes.get(&to.ip()) {
                Some(Leaf::Host(host)) => Ok(Next::Host(*host)),
                Some(Leaf::Box(id)) => Ok(Next::Box(*id)),
                None => Err(DropReason::NoRoute),
            };
        }
        *from = seat.machine.outbound(now, draws, *from, *to)?;
        Ok(Next::Realm(seat.outer))
    }

    /// A packet at the outside of a box: the realm it comes to.
    pub(crate) fn enter(
        &mut self,
        now: Time,
        id: BoxId,
        from: SocketAddr,
        to: &mut SocketAddr,
    ) -> Result<RealmId, DropReason> {
        let seat = &mut self.boxes[id.0 as usize];
        *to = seat.machine.inbound(now, from, *to)?;
        Ok(seat.inner)
    }

    /// Takes a packet out of a host.
    pub(crate) fn leave(
        &mut self,
        now: Time,
        draws: &Draws,
        host: HostId,
        size: usize,
    ) -> Option<(RealmId, Passage)> {
        let place = self.places.get(&host)?;
        Some((place.realm, self.links[place.link.0 as usize].up(now, draws, size)))
    }

    /// Takes a packet in `realm` through the link to its next place.
    pub(crate) fn carry(
        &mut self,
        now: Time,
        draws: &Draws,
        realm: RealmId,
        next: Next,
        size: usize,
    ) -> Passage {
        let (link, outwards) = match next {
            Next::Host(host) => (self.places.get(&host).map(|place| place.link), false),
            Next::Box(id) => (Some(self.boxes[id.0 as usize].link), false),
            Next::Realm(_) => {
                let uplink = self.realms[realm.0 as usize].uplink;
                (uplink.map(|id| self.boxes[id.0 as usize].link), true)
            }
        };
        match link.and_then(|link| self.links.get_mut(link.0 as usize)) {
            Some(link) if outwards => link.up(now, draws, size),
            Some(link) => link.down(now, draws, size),
            None => Passage::Dropped(DropReason::NoRoute),
        }
    }

    fn add_link(&mut self, rules: LinkRules) -> LinkId {
        let id = LinkId(self.links.len() as u32);
        self.links.push(Link::new(id, rules));
        id
    }

    /// A new address in `realm` that leads to `leaf`. Inside a firewall it is one of the realm outside, and known there.
    fn give_address(&mut self, realm: RealmId, leaf: Leaf) -> IpAddr {
        let translated = self.realms[realm.0 as usize].uplink.map(|id| {
            let seat = &self.boxes[id.0 as usize];
            (id, seat.outer, matches!(seat.rules, BoxRules::Nat(_)))
        });
        let ip = match translated {
            None => {
                self.public += 1;
                addresses::public(self.public - 1)
            }
            Some((id, outer, false)) => self.give_address(outer, Leaf::Box(id)),
            Some((..)) => {
                let here = &mut self.realms[realm.0 as usize];
                here.given += 1;
                match leaf {
                    Leaf::Host(_) => addresses::home(here.given - 1),
                    // Between a carrier's NAT and a subscriber's.
                    Leaf::Box(_) => addresses::carrier(here.given - 1),
                }
            }
        };
        self.realms[realm.0 as usize].routes.insert(ip, leaf);
        ip
    }

    /// The boxes between a realm and the internet, innermost first.
    fn way_out(&self, mut realm: RealmId) -> Vec<BoxId> {
        let mut way = Vec::new();
        while let Some(id) = self.realms[realm.0 as usize].uplink {
            way.push(id);
            realm = self.boxes[id.0 as usize].outer;
        }
        way
    }

    fn rules(&self, way: &[BoxId]) -> Vec<BoxRules> {
        way.iter().map(|id| self.boxes[id.0 as usize].rules).collect()
    }
}

/// The size of the IP packet around a payload.
pub(crate) fn packet_size(to: SocketAddr, payload: usize) -> usize {
    payload + if to.is_ipv4() { HEADERS_V4 } else { HEADERS_V6 }
}
