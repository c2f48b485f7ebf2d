//! The second oracle: it believes no table, but sends packets through copies of the boxes.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use folkmoot_core::base::Time;

use super::network::Next;
use super::{Glance, LinkRules, NEEDED_MTU, Network, RealmId, Stack};
use crate::engine::{Draws, HostId, Kind};

/// What two hosts may do to meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// What ICE does: they know their own addresses and what a server outside saw, and learn who asks them.
    Ordinary,
    /// They also know, at any moment, every external endpoint that the other has. Nobody can do better without changing the boxes
    /// or foreseeing ports.
    Omniscient,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// They never meet.
    Never,
    /// It depends on who is quicker.
    Sometimes,
    /// They always meet.
    Always,
}

/// Who sends first in each round: each time, packets arrive before the other side sends.
const ORDERS: [[usize; 2]; 2] = [[0, 1], [1, 0]];
/// More rounds have never changed anything: each learns the endpoints that the round before made.
const ROUNDS: u32 = 6;
const ROUND: Duration = Duration::from_millis(50);
const PORT: u16 = 4_433;
/// The server outside, of which there is nothing but the address.
const SERVER: HostId = HostId(u32::MAX);

impl Network {
    /// Lets two hosts try, from this moment on and in copies of all boxes with all that they remember.
    pub fn try_pair(&self, now: Time, draws: &Draws, pair: [HostId; 2], strategy: Strategy) -> Outcome {
        let met = ORDERS.map(|order| Trial::new(self, now, draws, pair).run(order, strategy));
        match met {
            [true, true] => Outcome::Always,
            [false, false] => Outcome::Never,
            _ => Outcome::Sometimes,
        }
    }
}

/// One attempt, in a copy of the network.
struct Trial<'a> {
    network: Network,
    draws: &'a Draws,
    now: Time,
    ends: [End; 2],
    servers: Vec<SocketAddr>,
}

/// One of the two.
#[derive(Default)]
struct End {
    host: Option<HostId>,
    own: Vec<SocketAddr>,
    /// What it knows of the other.
    remotes: BTreeSet<SocketAddr>,
}

/// From one endpoint to another.
type Way = (SocketAddr, SocketAddr);

/// No packet passes more boxes than this.
const MANY_BOXES: usize = 32;

/// Where a packet came to, and how it looked then.
struct Arrival {
    host: HostId,
    from: SocketAddr,
    at: SocketAddr,
}

impl<'a> Trial<'a> {
    fn new(network: &Network, now: Time, draws: &'a Draws, pair: [HostId; 2]) -> Self {
        let mut network = network.clone();
        let servers = network.add_host(SERVER, RealmId::INTERNET, LinkRules::default(), (Stack::Dual, 1));
        let ends = pair.map(|host| {
            let addresses = network.stand(host).map(|stand| stand.addresses.to_vec()).unwrap_or_default();
            let own = addresses.into_iter().map(|ip| SocketAddr::new(ip, PORT)).collect();
            End { host: Some(host), own, remotes: BTreeSet::new() }
        });
        let servers = servers.into_iter().map(|ip| SocketAddr::new(ip, PORT)).collect();
        Self { network, draws, now, ends, servers }
    }

    fn run(mut self, order: [usize; 2], strategy: Strategy) -> bool {
        for me in order {
            let Some(seen) = self.look_around(me) else { return false };
            let mut known = self.ends[me].own.clone();
            known.extend(seen);
            self.ends[1 - me].remotes.extend(known);
        }
        for _ in 0..ROUNDS {
            for me in order {
                if strategy == Strategy::Omniscient {
                    let endpoints = self.endpoints(1 - me);
                    self.ends[me].remotes.extend(endpoints);
                }
                if self.ask_all(me) {
                    return true;
                }
            }
            self.now += ROUND;
        }
        false
    }

    /// Asks the server who we are; `None` if the DHT cannot be reached, so that nobody learns of us.
    fn look_around(&mut self, me: usize) -> Option<Vec<SocketAddr>> {
        let (mut seen, mut in_dht) = (Vec::new(), false);
        for (own, server) in self.pairs(me, &self.servers.clone()) {
            seen.extend(self.ask(me, (own, server), Kind::Stun, 100));
            in_dht |= self.ask(me, (own, server), Kind::Krpc, 400).is_some();
        }
        in_dht.then_some(seen)
    }

    /// Checks every endpoint that is known of the other; whether one answers from where it was asked, and carries what a meeting
    /// needs.
    fn ask_all(&mut self, me: usize) -> bool {
        let remotes: Vec<_> = self.ends[me].remotes.iter().copied().collect();
        let (mine, yours) = (self.ends[me].host, self.ends[1 - me].host);
        for (own, remote) in self.pairs(me, &remotes) {
            let asked = mine.and_then(|host| self.travel(host, (own, remote), Kind::Stun, 100));
            let Some(asked) = asked.filter(|it| Some(it.host) == yours) else { continue };
            self.ends[1 - me].remotes.insert(asked.from);
            let answered = self.travel(asked.host, (asked.at, asked.from), Kind::Stun, 100);
            let valid = answered.is_some_and(|it| Some(it.host) == mine && it.from == remote);
            // A large DTLS record has to pass as well, there and back.
            if valid && self.ask(me, (own, remote), Kind::Dtls, usize::from(NEEDED_MTU)).is_some() {
                return true;
            }
        }
        false
    }

    /// There and back: how the other side saw us.
    fn ask(&mut self, me: usize, (own, to): Way, kind: Kind, size: usize) -> Option<SocketAddr> {
        let asked = self.travel(self.ends[me].host?, (own, to), kind, size)?;
        self.travel(asked.host, (asked.at, asked.from), kind, size)?;
        Some(asked.from)
    }

    /// The same-family pairs of own addresses and others.
    fn pairs(&self, me: usize, others: &[SocketAddr]) -> Vec<(SocketAddr, SocketAddr)> {
        let own = &self.ends[me].own;
        let pairs = own.iter().flat_map(|own| others.iter().map(move |other| (*own, *other)));
        pairs.filter(|(own, other)| own.is_ipv4() == other.is_ipv4()).collect()
    }

    /// Sends a packet of `host`, from one endpoint to another, and tells where it comes to.
    fn travel(&mut self, host: HostId, (mut from, mut to): Way, kind: Kind, size: usize) -> Option<Arrival> {
        let (mut realm, links) = {
            let stand = self.network.stand(host)?;
            (stand.realm, stand.links)
        };
        let mut glance = Glance { kind, fragmented: false };
        self.fits(*links.first()?, size, &mut glance)?;
        // Out, through as many realms as it takes, and in again.
        for _ in 0..MANY_BOXES {
            match self.network.route(self.now, self.draws, realm, glance, (&mut from, &mut to)).ok()? {
                Next::Host(host) => {
                    let links = self.network.stand(host)?.links;
                    self.fits(*links.first()?, size, &mut glance)?;
                    return Some(Arrival { host, from, at: to });
                }
                Next::Box(id) => {
                    self.fits(self.network.box_link(id)?, size, &mut glance)?;
                    realm = self.network.enter(self.now, id, glance, (&mut from, &mut to)).ok()?;
                }
                Next::Realm(outer) => {
                    self.fits(self.network.uplink(realm)?, size, &mut glance)?;
                    realm = outer;
                }
            }
        }
        None
    }

    /// Whether a packet passes a link, perhaps in fragments from there on: by then its sender has been told.
    fn fits(&self, link: LinkRules, size: usize, glance: &mut Glance) -> Option<()> {
        for law in [link.up, link.down] {
            if law.mtu.is_some_and(|mtu| size > usize::from(mtu)) {
                if !law.icmp {
                    return None;
                }
                glance.fragmented = true;
            }
        }
        Some(())
    }

    /// Every external endpoint that one of the two has, beyond all of its boxes and between them.
    fn endpoints(&mut self, whose: usize) -> Vec<SocketAddr> {
        let mut all = self.ends[whose].own.clone();
        let way = self.ends[whose].host.and_then(|host| self.network.stand(host)).map(|stand| stand.way);
        for id in way.unwrap_or_default() {
            let now = self.now;
            if let Some(gate) = self.network.gate(id) {
                let further: Vec<_> =
                    all.iter().flat_map(|inside| gate.v4().external_endpoints(now, *inside)).collect();
                all.extend(further);
            }
        }
        all
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "never",
            Self::Sometimes => "sometimes",
            Self::Always => "always",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{
        Behavior, BoxRules, Gateway, Hairpin, Law, NatRules, PRESETS, Policy, Preset, Verdict, Why, preset,
    };

    const ALL: [Behavior; 3] =
        [Behavior::EndpointIndependent, Behavior::AddressDependent, Behavior::AddressAndPortDependent];

    /// A host behind boxes, innermost first, inside `realm`.
    fn settle(network: &mut Network, id: u32, realm: RealmId, home: &Preset, link: LinkRules) -> HostId {
        let boxes = home.boxes.iter().rev();
        let realm = boxes.fold(realm, |realm, rules| network.add_box(realm, *rules, LinkRules::default()).1);
        network.add_host(HostId(id), realm, link, (home.stack, 1));
        HostId(id)
    }

    /// What both oracles say of two homes, perhaps behind one more box.
    fn both(shared: Option<Gateway>, homes: [&Preset; 2], link: LinkRules) -> (Verdict, Outcome, Outcome) {
        let mut network = Network::new();
        let realm = shared.map_or(RealmId::INTERNET, |rules| {
            network.add_box(RealmId::INTERNET, rules, LinkRules::default()).1
        });
        let mut id = 0;
        let pair = homes.map(|home| {
            id += 1;
            settle(&mut network, id, realm, home, link)
        });
        let draws = Draws::new(3);
        let attempt = |strategy| network.try_pair(Time::ZERO, &draws, pair, strategy);
        (network.can_connect(pair[0], pair[1]), attempt(Strategy::Ordinary), attempt(Strategy::Omniscient))
    }

    /// Where the table says yes the packets must say always, and where it says no, never; but where who is quicker decides, the
    /// table says no and packets say sometimes.
    fn agree(told: &str, (verdict, ordinary, omniscient): (Verdict, Outcome, Outcome)) -> Option<String> {
        let fits = match ordinary {
            Outcome::Always => verdict.direct,
            Outcome::Never => !verdict.direct,
            Outcome::Sometimes => !verdict.direct,
        };
        let fits = fits && (!verdict.direct || omniscient == Outcome::Always);
        (!fits).then(|| {
            format!("{told}: the table says {verdict}, packets {ordinary}, knowing all {omniscient}")
        })
    }

    fn natted(rules: NatRules) -> Preset {
        Preset { boxes: vec![BoxRules::Nat(rules).into()], stack: Stack::V4 }
    }

    #[test]
    fn the_oracles_agree_on_every_pair_of_presets() {
        let mut wrong = Vec::new();
        for (n, (a, _)) in PRESETS.iter().enumerate() {
            for (b, _) in &PRESETS[..=n] {
                let homes = [preset(a).unwrap(), preset(b).unwrap()];
                wrong.extend(agree(
                    &format!("{a} with {b}"),
                    both(None, [&homes[0], &homes[1]], LinkRules::default()),
                ));
            }
        }
        assert!(wrong.is_empty(), "{} pairs:\n{}", wrong.len(), wrong.join("\n"));
    }

    #[test]
    fn which_address_of_a_pool_is_a_matter_of_luck() {
        let homes = ["home-restricted", "mobile-symmetric"].map(|name| preset(name).unwrap());
        let mut network = Network::new();
        let pair = [(1, &homes[0]), (2, &homes[1])]
            .map(|(id, home)| settle(&mut network, id, RealmId::INTERNET, home, LinkRules::default()));
        assert_eq!(network.can_connect(pair[0], pair[1]), Verdict::no(Why::UnknownAddress));
        let attempt = |seed| network.try_pair(Time::ZERO, &Draws::new(seed), pair, Strategy::Ordinary);
        let met = (0..200).filter(|seed| attempt(*seed) == Outcome::Always).count();
        // One address of four was seen by the server, and admits.
        assert!((30..70).contains(&met), "{met}");
    }

    #[test]
    fn the_oracles_agree_behind_one_carrier() {
        let mut wrong = Vec::new();
        let kinds: Vec<Preset> = ALL
            .into_iter()
            .flat_map(|mapping| ALL.map(|filtering| natted(NatRules::new(mapping, filtering))))
            .chain(["open", "firewall", "home-dual", "home-in-home"].map(|name| preset(name).unwrap()))
            .collect();
        for hairpin in [Hairpin::None, Hairpin::External, Hairpin::Internal] {
            for (mapping, filtering) in
                ALL.into_iter().flat_map(|mapping| ALL.map(|filtering| (mapping, filtering)))
            {
                let carrier = BoxRules::Nat(NatRules { hairpin, ..NatRules::new(mapping, filtering) });
                // IPv6 is in nobody's way, whatever the hairpin.
                let dual =
                    (hairpin == Hairpin::None).then_some(Gateway::new(carrier).with_v6(BoxRules::FIREWALL));
                for shared in [Some(Gateway::new(carrier)), dual].into_iter().flatten() {
                    for (n, a) in kinds.iter().enumerate() {
                        for b in &kinds[..=n] {
                            let told = format!("{:?} and {:?} in {shared} {hairpin:?}", short(a), short(b));
                            wrong.extend(agree(&told, both(Some(shared), [a, b], LinkRules::default())));
                        }
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{} pairs:\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
    }

    fn short(home: &Preset) -> String {
        home.boxes.iter().map(ToString::to_string).collect::<Vec<_>>().join("/")
    }

    #[test]
    fn the_oracles_agree_on_narrow_links_and_firewalls_in_common() {
        let home = preset("home").unwrap();
        for (mtu, icmp, direct) in [(1_280, false, true), (1_200, false, false), (1_200, true, true)] {
            let link = LinkRules::both(Law { mtu: Some(mtu), icmp, ..Law::PERFECT });
            let said = both(None, [&home, &home], link);
            assert_eq!(said.0.direct, direct, "{}", said.0);
            assert_eq!(agree("narrow", said), None);
        }
        let whole = Policy { fragments: false, ..Policy::NONE };
        let boxes = vec![Gateway::new(BoxRules::nat(ALL[0], ALL[2])).with_policy(whole)];
        let strict = Preset { boxes, stack: Stack::V4 };
        let link = LinkRules::both(Law { mtu: Some(1_200), icmp: true, ..Law::PERFECT });
        let said = both(None, [&strict, &home], link);
        assert_eq!((said.0, agree("no fragments", said)), (Verdict::no(Why::BlackHole), None));
        // A firewall that both are behind is in nobody's way.
        let said = both(Some(BoxRules::FIREWALL.into()), [&home, &home], LinkRules::default());
        assert_eq!((said.0, agree("a common firewall", said)), (Verdict::yes(Why::BothStable), None));
    }

    #[test]
    fn knowing_all_helps_some() {
        let [lenient, strict] = [ALL[1], ALL[2]].map(|filtering| natted(NatRules::new(ALL[1], filtering)));
        let (verdict, ordinary, omniscient) = both(None, [&lenient, &strict], LinkRules::default());
        assert_eq!((verdict.direct, ordinary, omniscient), (false, Outcome::Never, Outcome::Always));
    }

    #[test]
    fn it_looks_at_what_is_there_now() {
        let mut network = Network::new();
        let open = preset("open").unwrap();
        let full = natted(NatRules { capacity: 1, ..NatRules::new(ALL[0], ALL[0]) });
        let a = settle(&mut network, 1, RealmId::INTERNET, &open, LinkRules::default());
        let b = settle(&mut network, 2, RealmId::INTERNET, &full, LinkRules::default());
        let draws = Draws::new(1);
        let attempt = |network: &Network| network.try_pair(Time::ZERO, &draws, [a, b], Strategy::Ordinary);
        assert_eq!(attempt(&network), Outcome::Always);
        let id = network.stand(b).unwrap().way[0];
        let (inside, remote) = (([192, 168, 1, 77], 1).into(), ([40, 0, 0, 1], 1).into());
        network.gate(id).unwrap().v4().outbound(Time::ZERO, &draws, inside, remote).unwrap();
        assert_eq!(attempt(&network), Outcome::Never, "somebody else has its only mapping");
        network.detach(a);
        assert_eq!(network.can_connect(a, b), Verdict::no(Why::NoCommonFamily));
    }
}
