use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use folkmoot_core::base::Time;

use super::{
    BoxRules, CONTROL_PORT, DropReason, Gate, Gateway, Glance, Link, LinkId, LinkRules, Nat, Passage, Stack,
    addresses,
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

/// The tree of address realms: the internet at the root, and inside each NAT or firewall another one.
///
/// It routes by exact address: what is not in the realm goes outwards, and what no realm knows is dropped.
#[derive(Clone, Debug)]
pub struct Network {
    realms: Vec<Realm>,
    boxes: Vec<Seat>,
    links: Vec<Link>,
    places: BTreeMap<HostId, Place>,
    /// Public IPv4 addresses and IPv6 sites given out so far.
    public: u32,
    sites: u32,
}

#[derive(Clone, Debug)]
struct Realm {
    routes: BTreeMap<IpAddr, Leaf>,
    /// The box on the way outwards; none is the internet.
    uplink: Option<BoxId>,
    /// IPv4 addresses given out so far; `None` is that there is no IPv4.
    v4: Option<u32>,
    v6: SixSpace,
    /// Whether multicast reaches nobody, as behind switches and access points that drop it.
    is_mute: bool,
}

/// The IPv6 addresses of a realm.
#[derive(Clone, Copy, Debug)]
enum SixSpace {
    /// There are none.
    None,
    /// Every host is a site of its own, as on the internet.
    Sites,
    /// All are of one site; so many were given out.
    Site(u32, u32),
}

#[derive(Clone, Copy, Debug)]
enum Leaf {
    Host(HostId),
    Box(BoxId),
}

#[derive(Clone, Debug)]
struct Seat {
    outer: RealmId,
    inner: RealmId,
    link: LinkId,
    gate: Gate,
}

#[derive(Clone, Debug)]
struct Place {
    realm: RealmId,
    link: LinkId,
    addresses: Vec<IpAddr>,
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
    /// Just the internet, with both families.
    pub(crate) fn new() -> Self {
        let internet =
            Realm { routes: BTreeMap::new(), uplink: None, v4: Some(0), v6: SixSpace::Sites, is_mute: false };
        let (boxes, links, places) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { realms: vec![internet], boxes, links, places, public: 0, sites: 0 }
    }

    /// Attaches a box to `outer` through a link, with the external addresses it needs, and gives the realm inside.
    ///
    /// A box asks for what its outside may not have: a NAT without an IPv4 address outside is out of ports for everyone, and
    /// IPv6 goes no further inwards than it came.
    pub(crate) fn add_box(&mut self, outer: RealmId, rules: Gateway, link: LinkRules) -> (BoxId, RealmId) {
        let (id, inner) = (BoxId(self.boxes.len() as u32), RealmId(self.realms.len() as u32));
        let pool = self.give_pool(outer, id, &rules);
        let link = self.add_link(link);
        let has_v6 = rules.v6.is_some() && !matches!(self.realms[outer.0 as usize].v6, SixSpace::None);
        let v6 = if has_v6 { SixSpace::Site(self.next_site(), 0) } else { SixSpace::None };
        let v4 = rules.has_v4().then_some(0);
        self.boxes.push(Seat { outer, inner, link, gate: Gate::new(id.0, rules, pool) });
        self.realms.push(Realm { routes: BTreeMap::new(), uplink: Some(id), v4, v6, is_mute: false });
        (id, inner)
    }

    /// Attaches a host with the addresses of `stack` that the realm has; of IPv4 with `addresses` of them.
    pub(crate) fn add_host(
        &mut self,
        id: HostId,
        realm: RealmId,
        link: LinkRules,
        (stack, addresses): (Stack, usize),
    ) -> Vec<IpAddr> {
        let link = self.add_link(link);
        self.places.insert(id, Place { realm, link, addresses: Vec::new() });
        self.attach(id, realm, (stack, addresses))
    }

    /// Moves a host to a realm, where it gets new addresses.
    pub(crate) fn move_host(&mut self, id: HostId, realm: RealmId, stack: Stack) -> Vec<IpAddr> {
        self.detach(id);
        self.attach(id, realm, (stack, 1))
    }

    /// Takes a host's addresses away: its cable is pulled.
    pub(crate) fn detach(&mut self, id: HostId) {
        let Some(place) = self.places.get_mut(&id) else { return };
        let (realm, gone) = (place.realm, std::mem::take(&mut place.addresses));
        for ip in gone {
            self.forget_address(realm, ip);
        }
    }

    /// Gives a box new external addresses, and lets it forget all that passed: a reconnect to the provider, or a reboot of a
    /// home router. Hosts inside keep theirs, and are not told. IPv6 stays as it is.
    pub fn renumber(&mut self, id: BoxId) {
        let Some(seat) = self.boxes.get(id.0 as usize) else { return };
        let (outer, rules) = (seat.outer, *seat.gate.rules());
        for ip in self.boxes[id.0 as usize].gate.external_addresses() {
            self.forget_address(outer, ip);
        }
        let pool = self.give_pool(outer, id, &rules);
        self.boxes[id.0 as usize].gate = Gate::new(id.0, rules, pool);
    }

    /// A box at work, to look at or to meddle with.
    pub fn gate(&mut self, id: BoxId) -> Option<&mut Gate> {
        self.boxes.get_mut(id.0 as usize).map(|seat| &mut seat.gate)
    }

    /// A box's NAT for IPv4, if it is one.
    pub(crate) fn nat(&self, id: BoxId) -> Option<&Nat> {
        self.boxes.get(id.0 as usize)?.gate.nat()
    }

    /// The box outwards of `realm`, if a packet that was routed there to `to` came to it.
    pub(crate) fn way_through(
        &self,
        realm: RealmId,
        routed: Result<Next, DropReason>,
        to: SocketAddr,
    ) -> Option<BoxId> {
        let uplink = self.realms[realm.0 as usize].uplink?;
        match routed {
            Ok(Next::Host(_) | Next::Box(_)) => None,
            Ok(Next::Realm(_)) => Some(uplink),
            Err(_) => (!self.realms[realm.0 as usize].routes.contains_key(&to.ip())).then_some(uplink),
        }
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

    /// Changes the rules of a box's link.
    pub fn set_box_link(&mut self, id: BoxId, rules: LinkRules) {
        if let Some(seat) = self.boxes.get(id.0 as usize) {
            self.links[seat.link.0 as usize].set_rules(rules);
        }
    }

    /// The addresses of a host, and its way outwards, for the oracle; `None` if there is no such host.
    pub(super) fn stand(&self, host: HostId) -> Option<Stand<'_>> {
        let place = self.places.get(&host)?;
        let way = self.way_out(place.realm);
        let links = way.iter().map(|id| self.boxes[id.0 as usize].link);
        let links = std::iter::once(place.link).chain(links).map(|link| self.links[link.0 as usize].rules());
        Some(Stand {
            realm: place.realm,
            addresses: &place.addresses,
            rules: way.iter().map(|id| *self.boxes[id.0 as usize].gate.rules()).collect(),
            links: links.collect(),
            way,
        })
    }

    /// The rules of the link that a box is attached by.
    pub(super) fn box_link(&self, id: BoxId) -> Option<LinkRules> {
        self.boxes.get(id.0 as usize).map(|seat| self.links[seat.link.0 as usize].rules())
    }

    /// The rules of the link outwards from a realm.
    pub(super) fn uplink(&self, realm: RealmId) -> Option<LinkRules> {
        self.realms.get(realm.0 as usize)?.uplink.and_then(|id| self.box_link(id))
    }

    /// Lets multicast reach the hosts of a realm, or not; at first it does.
    pub fn set_multicast(&mut self, realm: RealmId, passes: bool) {
        if let Some(realm) = self.realms.get_mut(realm.0 as usize) {
            realm.is_mute = !passes;
        }
    }

    /// All hosts in a realm but one, for its multicast.
    pub(crate) fn neighbours(&self, realm: RealmId, but: HostId) -> Vec<HostId> {
        if self.realms.get(realm.0 as usize).is_none_or(|realm| realm.is_mute) {
            return Vec::new();
        }
        let there = self.places.iter().filter(|(id, place)| place.realm == realm && **id != but);
        there.filter(|(_, place)| !place.addresses.is_empty()).map(|(id, _)| *id).collect()
    }

    /// Where a packet in `realm` goes. Boxes on the way outwards have rewritten `from` and `to`.
    pub(crate) fn route(
        &mut self,
        now: Time,
        draws: &Draws,
        realm: RealmId,
        glance: Glance,
        (from, to): (&mut SocketAddr, &mut SocketAddr),
    ) -> Result<Next, DropReason> {
        let here = &self.realms[realm.0 as usize];
        if let Some(leaf) = here.routes.get(&to.ip()) {
            return Ok(leaf.next());
        }
        let seat = &mut self.boxes[here.uplink.ok_or(DropReason::NoRoute)?.0 as usize];
        if seat.gate.owns(to.ip()) {
            seat.gate.hairpin(now, draws, glance, (from, to))?;
            // Back inside, where the address is known or the mapping is stale.
            let back = self.realms[realm.0 as usize].routes.get(&to.ip());
            return back.map(|leaf| leaf.next()).ok_or(DropReason::NoRoute);
        }
        seat.gate.outbound(now, draws, glance, (from, to))?;
        Ok(Next::Realm(seat.outer))
    }

    /// What the box outwards of `realm` answers to a packet that is for itself, because a host there asks it for a port.
    pub(crate) fn control(
        &mut self,
        now: Time,
        draws: &Draws,
        realm: RealmId,
        (from, to): (SocketAddr, SocketAddr),
        request: &[u8],
    ) -> Option<(BoxId, Vec<u8>)> {
        if to.port() != CONTROL_PORT || Some(to.ip()) != addresses::router(from.ip()) {
            return None;
        }
        let id = self.realms[realm.0 as usize].uplink?;
        let answer = self.boxes[id.0 as usize].gate.control(now, draws, from, request)?;
        Some((id, answer))
    }

    /// A packet at the outside of a box: the realm it comes to.
    pub(crate) fn enter(
        &mut self,
        now: Time,
        id: BoxId,
        glance: Glance,
        addresses: (&mut SocketAddr, &mut SocketAddr),
    ) -> Result<RealmId, DropReason> {
        let seat = &mut self.boxes[id.0 as usize];
        seat.gate.inbound(now, glance, addresses)?;
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

    fn attach(&mut self, id: HostId, realm: RealmId, (stack, count): (Stack, usize)) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        if stack.has_v4() {
            addresses.extend((0..count).filter_map(|_| self.give_v4(realm, Leaf::Host(id))));
        }
        if stack.has_v6() {
            addresses.extend(self.give_v6(realm, Leaf::Host(id)));
        }
        if let Some(place) = self.places.get_mut(&id) {
            (place.realm, place.addresses) = (realm, addresses.clone());
        }
        addresses
    }

    /// The external addresses of a box, new in the realm outside.
    fn give_pool(&mut self, outer: RealmId, id: BoxId, rules: &Gateway) -> Vec<IpAddr> {
        match rules.v4 {
            BoxRules::Nat(_) => (0..rules.pool).filter_map(|_| self.give_v4(outer, Leaf::Box(id))).collect(),
            BoxRules::Clat => self.give_v6(outer, Leaf::Box(id)).into_iter().collect(),
            BoxRules::Firewall { .. } | BoxRules::UdpBlocked | BoxRules::Router => Vec::new(),
        }
    }

    /// A new IPv4 address in `realm` that leads to `leaf`. Where nothing is translated it is one of the realm outside, and known
    /// there.
    fn give_v4(&mut self, realm: RealmId, leaf: Leaf) -> Option<IpAddr> {
        let outside = self.way_out(realm).len().saturating_sub(1);
        let here = &mut self.realms[realm.0 as usize];
        let given = here.v4.as_mut()?;
        let uplink = here.uplink.map(|id| {
            let seat = &self.boxes[id.0 as usize];
            (id, seat.outer, seat.gate.rules().v4)
        });
        let ip = match uplink {
            None => {
                self.public += 1;
                addresses::public(self.public - 1)
            }
            Some((_, _, BoxRules::Nat(_))) => {
                *given += 1;
                match leaf {
                    Leaf::Host(_) => addresses::home(outside, *given - 1),
                    // Between a carrier's NAT and a subscriber's.
                    Leaf::Box(_) => addresses::carrier(outside, *given - 1),
                }
            }
            Some((_, _, BoxRules::Clat)) => {
                // Who comes back is the one host there is, and has the address that the CLAT keeps for it.
                addresses::clat(here.routes.keys().filter(|ip| ip.is_ipv4()).count() as u32)
            }
            Some((id, outer, BoxRules::Firewall { .. } | BoxRules::UdpBlocked | BoxRules::Router)) => {
                self.give_v4(outer, Leaf::Box(id))?
            }
        };
        self.realms[realm.0 as usize].routes.insert(ip, leaf);
        Some(ip)
    }

    /// A new IPv6 address in `realm` that leads to `leaf`, and is known all the way from the internet.
    fn give_v6(&mut self, realm: RealmId, leaf: Leaf) -> Option<IpAddr> {
        let ip = match &mut self.realms[realm.0 as usize].v6 {
            SixSpace::None => return None,
            SixSpace::Sites => addresses::site(self.next_site(), 0),
            SixSpace::Site(site, given) => {
                *given += 1;
                addresses::site(*site, *given - 1)
            }
        };
        self.realms[realm.0 as usize].routes.insert(ip, leaf);
        for id in self.way_out(realm) {
            let outer = self.boxes[id.0 as usize].outer;
            self.realms[outer.0 as usize].routes.insert(ip, Leaf::Box(id));
        }
        Some(ip)
    }

    /// Nobody has that address of `realm` any more, and nobody ever will: addresses are not given out twice.
    fn forget_address(&mut self, realm: RealmId, ip: IpAddr) {
        self.realms[realm.0 as usize].routes.remove(&ip);
        for id in self.way_out(realm) {
            let outer = self.boxes[id.0 as usize].outer;
            // Only where it was the same host: private addresses are many hosts'.
            let routes = &mut self.realms[outer.0 as usize].routes;
            if matches!(routes.get(&ip), Some(Leaf::Box(to)) if *to == id) {
                routes.remove(&ip);
            }
        }
    }

    fn next_site(&mut self) -> u32 {
        self.sites += 1;
        self.sites - 1
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
}

/// Where a host stands: what the oracle looks at.
#[derive(Debug)]
pub(super) struct Stand<'a> {
    pub(super) realm: RealmId,
    pub(super) addresses: &'a [IpAddr],
    /// The boxes on the way outwards, innermost first, and how they behave.
    pub(super) way: Vec<BoxId>,
    pub(super) rules: Vec<Gateway>,
    /// The links on the way outwards, the host's own first.
    pub(super) links: Vec<LinkRules>,
}

impl Leaf {
    fn next(self) -> Next {
        match self {
            Self::Host(host) => Next::Host(host),
            Self::Box(id) => Next::Box(id),
        }
    }
}

/// The size of the IP packet around a payload.
pub(crate) fn packet_size(to: SocketAddr, payload: usize) -> usize {
    payload + if to.is_ipv4() { HEADERS_V4 } else { HEADERS_V6 }
}
