//! Builds the world of a scenario.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use folkmoot_core::base::{DeviceId, Host as Server, Incarnation, MemberId, NodeId, Scope, UnixTime};
use folkmoot_core::dht::Contact;
use folkmoot_core::meeting::{Code, CodeError, Epoch, Keys};
use folkmoot_core::node::{Command, Config, Identity, MeetingHandle, Node};

use super::run::Role;
use super::script::{Act, Infrastructure, Place, Scenario, Stun};
use super::wire::{Secrets, Wire};
use crate::dht::address::prefix;
use crate::engine::{HostId, Subject, Trace, World};
use crate::hosts::{
    DHT_PORT, DhtHost, Disk, Flooder, Forger, Insider, LyingStun, Manner, Names, NodeHost, STUN_PORT, Sink,
    StunServer, derive,
};
use crate::net::{Behavior, BoxId, BoxRules, Law, LinkRules, RealmId, Stack, Verdict, Why};
use crate::stub::Tier;

/// The world of a scenario, with its DHT up and its members not started yet.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) members: Vec<Member>,
    /// The host that all victims of a forger are addresses of.
    pub(super) victims: Option<HostId>,
    /// Where nodes of the DHT enter it.
    entries: Vec<SocketAddr>,
    /// What of that everyone is told of.
    told: Vec<SocketAddr>,
    tells_nobody: bool,
    stun: Vec<Server>,
    dht_hosts: Vec<HostId>,
    /// How often one of them was started anew.
    dht_runs: u64,
    hostile_hosts: Vec<HostId>,
    stun_hosts: Vec<(HostId, Stun)>,
    sites: Vec<(RealmId, Vec<BoxId>)>,
    names: Names,
    insiders: Vec<HostId>,
    tier: Tier,
    /// Whether machines have disks: only where something is read from them.
    has_disks: bool,
    /// Whether DHT nodes of members ask the local network, as they do unless told not to: only where somebody may answer.
    asks_lan: bool,
}

/// A member: its host, and what lasts from run to run.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) host: HostId,
    pub(super) name: String,
    pub(super) device: DeviceId,
    pub(super) member: MemberId,
    /// Its own boxes.
    boxes: Vec<BoxId>,
    home: RealmId,
    /// What its own boxes are attached to.
    place: Place,
    /// Where it is, if it is not at home.
    away: Option<Place>,
    stack: Stack,
    pub(super) link: LinkRules,
    identity: Identity,
    runs: u64,
    incarnation: u64,
    /// Its disk, while nothing runs there.
    disk: Disk,
}

/// How long the DHT has to itself before anyone starts.
const WARM_UP: Duration = Duration::from_secs(10);
/// The midnight before: 2026-01-15 UTC.
const MIDNIGHT: UnixTime = UnixTime::from_millis(1_768_435_200_000);
/// What every text of a checker has in it.
const SAID_IN_ALL: &str = " of member ";
/// The port of every node.
const NODE_PORT: u16 = 4_433;
/// How many nodes of the DHT know each other from the beginning.
const ENTRIES: u32 = 2;
/// Addresses that are looked at for one that fits; one of 32 does.
const ADDRESSES_EACH: u32 = 400;
/// Addresses that insiders say members are at.
const BYSTANDERS: usize = 64;
/// Identities from this number on are insiders'.
const INSIDERS: u32 = 1 << 16;
/// How much longer packets take to and from slow DHT nodes.
const SLOW: Duration = Duration::from_millis(1_500);

impl Stage {
    pub(super) fn build(scenario: &Scenario, seed: u64, trace: Trace, tier: Tier) -> Self {
        let world = World::with_trace(seed, trace);
        let mut stage = Self {
            world,
            members: Vec::new(),
            victims: None,
            entries: Vec::new(),
            told: Vec::new(),
            tells_nobody: scenario.infrastructure.entries == 0,
            stun: Vec::new(),
            dht_hosts: Vec::new(),
            dht_runs: 0,
            hostile_hosts: Vec::new(),
            stun_hosts: Vec::new(),
            sites: Vec::new(),
            names: Names::new(),
            insiders: Vec::new(),
            tier,
            asks_lan: !scenario.sites.is_empty(),
            has_disks: scenario.steps.iter().any(|step| matches!(step.act, Act::StartSaved(_))),
        };
        let begins = scenario.infrastructure.begins.saturating_sub(WARM_UP);
        stage.world.set_epoch(MIDNIGHT + begins);
        stage.build_infrastructure(scenario);
        stage.build_hostile(scenario);
        stage.build_sites(scenario);
        stage.build_homes(scenario);
        stage.build_flooder(scenario);
        stage.build_insiders(scenario);
        let wire = Wire::new(stage.honest().collect(), stage.secrets(scenario), tier);
        stage.world.set_watch(wire);
        stage.world.run_for(WARM_UP);
        stage
    }

    /// Who can connect to whom directly, by the oracle, as the world is now.
    pub(super) fn verdicts(&self) -> Vec<Vec<Verdict>> {
        // Who is told of nobody and remembers nobody finds nobody.
        let is_lost = self.tells_nobody && !self.has_disks;
        let between = |a: &Member, b: &Member| match self.nearby(a, b) {
            Some(verdict) => verdict,
            None if is_lost => Verdict::no(Why::NoRendezvous),
            None => self.world.can_connect(a.host, b.host),
        };
        let of = |a: &Member| self.members.iter().map(|b| between(a, b)).collect();
        self.members.iter().map(of).collect()
    }

    /// The same of two whom multicast of one network reaches.
    fn nearby(&self, a: &Member, b: &Member) -> Option<Verdict> {
        self.world.can_connect_nearby(a.host, b.host).filter(|_| self.asks_lan)
    }

    /// The hosts that are to keep the rules.
    fn honest(&self) -> impl Iterator<Item = HostId> {
        self.members.iter().map(|member| member.host).chain(self.dht_hosts.iter().copied())
    }

    /// What no host may send in the clear.
    fn secrets(&self, scenario: &Scenario) -> Secrets {
        let mut secrets = Secrets::default();
        let joined: BTreeSet<u8> = scenario.steps.iter().filter_map(|step| step.act.joins()).collect();
        for code in joined.into_iter().filter_map(|meeting| code(meeting).ok()) {
            secrets.add_meeting(&code, &derive(&code), Epoch::of(self.world.unix()));
        }
        for member in &self.members {
            secrets.add_identity(&member.identity);
            secrets.add("a member's name", member.name.as_bytes());
        }
        secrets.add("a text that was said", SAID_IN_ALL.as_bytes());
        secrets
    }

    /// Whose host it is. The members' hosts are in order, and after all others but a flooder's and insiders'.
    pub(super) fn member_at(&self, host: HostId) -> Option<usize> {
        let first = self.members.first()?.host.0;
        host.0.checked_sub(first).map(|n| n as usize).filter(|n| *n < self.members.len())
    }

    /// Starts the node of a member: a new run, which remembers nothing but its identity and its incarnation, or also what is on
    /// its disk.
    pub(super) fn start(&mut self, n: usize, is_saved: bool) {
        self.crash(n);
        let Some(member) = self.members.get_mut(n) else { return };
        member.runs += 1;
        // As a shell counts them: they grow although the clock is set back.
        let clock = self.world.unix_at(member.host).as_millis() + member.runs;
        member.incarnation = clock.max(member.incarnation + 1);
        if !is_saved {
            member.disk.wipe();
        }
        let (host, runs, saved) = (member.host, member.runs, member.disk.read());
        let mut config = self.config(&self.members[n], self.members[n].incarnation);
        (config.dht.saved, config.dht.lan) = (saved, self.asks_lan);
        let mut program = NodeHost::new(config, runs, NODE_PORT, self.names.clone());
        if self.has_disks {
            program = program.with_disk(std::mem::take(&mut self.members[n].disk));
        }
        self.world.start(host, program);
    }

    /// What the node of a member is started with, but for what is on a disk.
    fn config(&self, member: &Member, incarnation: u64) -> Config {
        Config {
            name: member.name.clone(),
            bootstrap: self.told.iter().copied().map(Server::Addr).collect(),
            stun: self.stun.clone(),
            security: self.tier.security(),
            ..Config::new(member.identity, Incarnation(incarnation))
        }
    }

    /// Lets an earlier run of a member's identity go on, on a machine of its own, and join meeting 0. Such hosts come after all others.
    pub(super) fn twin(&mut self, n: usize) {
        let Some(member) = self.members.get(n).filter(|member| member.runs > 0) else { return };
        let Ok(code) = code(0) else { return };
        let config = self.config(member, member.incarnation - 1);
        let (name, link) = (format!("{}, before", member.name), member.link);
        let host = self.world.add_host(name, RealmId::INTERNET, link);
        self.world.start(host, NodeHost::new(config, 0, NODE_PORT, self.names.clone()));
        let join = Command::Join { meeting: MeetingHandle(0), code };
        self.world.with(host, |node: &mut NodeHost, cx| node.command(cx, join));
    }

    /// Kills the node of a member, and leaves the disk as it is.
    pub(super) fn crash(&mut self, n: usize) {
        let Some(member) = self.members.get_mut(n) else { return };
        if let Some(disk) = self.world.program_mut(member.host).and_then(NodeHost::disk_mut) {
            member.disk = std::mem::take(disk);
        }
        self.world.kill(member.host);
    }

    /// Does something to the disk of a member.
    pub(super) fn harm(&mut self, n: usize, harm: impl FnOnce(&mut Disk)) {
        let Some(member) = self.members.get_mut(n) else { return };
        harm(self.world.program_mut(member.host).and_then(NodeHost::disk_mut).unwrap_or(&mut member.disk));
    }

    /// Carries a member elsewhere; `None` is home.
    pub(super) fn carry(&mut self, n: usize, to: Option<Place>) {
        let Some(member) = self.members.get(n) else { return };
        let (host, stack) = (member.host, member.stack);
        let realm = to.map_or(Some(member.home), |place| self.realm(place));
        if let Some(realm) = realm {
            self.members[n].away = to;
            self.world.move_host(host, realm, stack);
        }
    }

    /// Has all boxes before a member forget what passed.
    pub(super) fn reboot_boxes(&mut self, n: usize) {
        for id in self.boxes(n) {
            if let Some(gate) = self.world.network().gate(id) {
                gate.reboot();
            }
        }
    }

    /// Gives all boxes before a member other external addresses.
    pub(super) fn renumber_boxes(&mut self, n: usize) {
        // From the outside inwards: what is inside gets addresses of what is there then.
        for id in self.boxes(n).into_iter().rev() {
            self.world.network().renumber(id);
        }
    }

    /// All boxes between where a member is and the internet, innermost first.
    fn boxes(&self, n: usize) -> Vec<BoxId> {
        let Some(member) = self.members.get(n) else { return Vec::new() };
        let (mut boxes, place) = match member.away {
            Some(place) => (Vec::new(), place),
            None => (member.boxes.clone(), member.place),
        };
        if let Place::Site(site) = place {
            boxes.extend(self.sites.get(usize::from(site)).into_iter().flat_map(|(_, boxes)| boxes));
        }
        boxes
    }

    /// What pictures say of the members, as they are in the beginning.
    pub(super) fn roles(&mut self) -> Vec<Role> {
        let boxes = |stage: &mut Self, n: usize| {
            let mut all = Vec::new();
            for id in stage.boxes(n) {
                all.extend(stage.world.network().gate(id).map(|gate| (id, gate.rules().to_string())));
            }
            all
        };
        let all: Vec<_> = (0..self.members.len()).map(|n| boxes(self, n)).collect();
        let role = |(member, boxes): (&Member, _)| Role {
            host: member.host,
            name: member.name.clone(),
            device: member.device,
            boxes,
        };
        self.members.iter().zip(all).map(role).collect()
    }

    fn realm(&self, place: Place) -> Option<RealmId> {
        match place {
            Place::Internet => Some(RealmId::INTERNET),
            Place::Site(site) => self.sites.get(usize::from(site)).map(|(realm, _)| *realm),
        }
    }

    /// Kills a DHT node.
    pub(super) fn stop_dht(&mut self, n: usize) {
        if let Some(host) = self.dht_hosts.get(n) {
            self.world.kill(*host);
        }
    }

    /// Starts a DHT node anew: it remembers nothing, and enters where everyone does. Who is such an entry itself enters by all: by the other
    /// entry alone two that start at once would be a network of their own for good.
    pub(super) fn start_dht(&mut self, n: usize) {
        let Some(&host) = self.dht_hosts.get(n) else { return };
        let own = self.world.addrs(host);
        let entries = if self.entries.iter().any(|entry| own.contains(&entry.ip())) {
            let others = self.dht_hosts.iter().filter(|other| **other != host);
            let addresses = others.flat_map(|other| self.world.addrs(*other));
            addresses.map(|ip| SocketAddr::new(*ip, DHT_PORT)).collect()
        } else {
            self.entries.clone()
        };
        self.dht_runs += 1;
        self.world.start(host, DhtHost::new(entries).started_anew(self.dht_runs));
    }

    /// Kills a STUN server.
    pub(super) fn stop_stun(&mut self, n: usize) {
        if let Some((host, _)) = self.stun_hosts.get(n) {
            self.world.kill(*host);
        }
    }

    /// Starts a STUN server: one that lied lies again, and one that was dead answers.
    pub(super) fn start_stun(&mut self, n: usize) {
        match self.stun_hosts.get(n) {
            Some((host, Stun::Lying(lie))) => self.world.start(*host, LyingStun::new(*lie)),
            Some((host, Stun::Honest | Stun::Dead)) => self.world.start(*host, StunServer),
            None => {}
        }
    }

    fn build_infrastructure(&mut self, scenario: &Scenario) {
        let infrastructure = &scenario.infrastructure;
        let mut entries: Vec<SocketAddr> = Vec::new();
        if infrastructure.forged_victims > 0 {
            entries.push(self.build_forger(scenario));
            self.told.extend(entries.iter().take(infrastructure.entries as usize));
        }
        for n in 0..infrastructure.dht_nodes {
            let host = self.add_server(format!("dht{n}"), scenario);
            self.world.start(host, DhtHost::new(entries.clone()));
            self.dht_hosts.push(host);
            let rank = n + u32::from(infrastructure.forged_victims > 0);
            let addresses = self.world.addrs(host).iter().map(|ip| SocketAddr::new(*ip, DHT_PORT));
            if rank < infrastructure.entries {
                self.told.extend(addresses.clone());
            }
            if rank < ENTRIES {
                entries.extend(addresses);
            }
        }
        self.entries = entries;
        for (n, stun) in (0..).zip(&infrastructure.stun) {
            let name = format!("stun{n}.example");
            let host = self.add_server(name.clone(), scenario);
            self.stun_hosts.push((host, *stun));
            if *stun != Stun::Dead {
                self.start_stun(n);
            }
            self.names.insert(name.clone(), self.world.addrs(host).to_vec());
            self.stun.push(Server::Name(name, STUN_PORT));
        }
    }

    /// Hostile nodes come last, so that honest ones have the addresses that they have without them.
    fn build_hostile(&mut self, scenario: &Scenario) {
        let hostile = scenario.infrastructure.hostile;
        for (count, name, manner) in
            [(hostile.silent, "silent", Manner::Silent), (hostile.lying, "lying", Manner::Lying)]
        {
            for n in 0..count {
                let host = self.add_server(format!("{name}{n}"), scenario);
                self.enter(host, |host| host.behaving(manner.clone(), None));
            }
        }
        for n in 0..hostile.slow {
            let slower = |law: Law| Law { delay: law.delay + SLOW, ..law };
            let Infrastructure { link, stack, .. } = scenario.infrastructure;
            let link = LinkRules { up: slower(link.up), down: slower(link.down) };
            let host = self.world.add_stacked(format!("slow{n}"), RealmId::INTERNET, link, stack);
            self.enter(host, |host| host);
        }
        for n in 0..hostile.walled {
            let nat = BoxRules::nat(Behavior::EndpointIndependent, Behavior::AddressAndPortDependent);
            let (_, inside) = self.world.add_box(RealmId::INTERNET, nat, scenario.infrastructure.link);
            let host = self.world.add_host(format!("walled{n}"), inside, LinkRules::default());
            self.enter(host, |host| host);
        }
        let topic = topic(self.world.unix() + WARM_UP).unwrap_or_default();
        let draws = self.world.draws();
        let mut hosts = Vec::new();
        for n in 0..hostile.sybils {
            let host = self.add_server(format!("sybil{n}"), scenario);
            let mut id = NodeId(topic);
            // At least 40 bits in common: closer than anybody honest is.
            id.0[5..13].copy_from_slice(&draws.at(Subject::Scenario(0x5b11), host.0.into()).to_be_bytes());
            hosts.push((host, id));
        }
        for n in 0..hostile.placed {
            hosts.extend(self.place(n, &topic, scenario));
        }
        let addr = |host: HostId| self.world.addrs(host).first().map(|ip| SocketAddr::new(*ip, DHT_PORT));
        let allies: Vec<_> =
            hosts.iter().filter_map(|(host, id)| Some(Contact { id: *id, addr: addr(*host)? })).collect();
        for (n, (host, id)) in hosts.into_iter().enumerate() {
            // Each begins with another one.
            let allies = allies.iter().cycle().skip(n).take(allies.len()).copied().collect();
            self.enter(host, |it| it.behaving(Manner::Sybil(allies), Some(id)));
        }
    }

    /// A machine at an address that allows an id which has the first eight bits of a topic, and is next to it as far as the address
    /// leaves it free; the addresses that do not are left unused.
    fn place(&mut self, n: u32, topic: &[u8; 20], scenario: &Scenario) -> Option<(HostId, NodeId)> {
        for _ in 0..ADDRESSES_EACH {
            let host = self.add_server(format!("placed{n}"), scenario);
            let ip = self.world.addrs(host).iter().find_map(|ip| match ip {
                IpAddr::V4(ip) => Some(*ip),
                IpAddr::V6(_) => None,
            })?;
            let fits = |seed: &u8| prefix(ip, *seed).to_be_bytes()[0] == topic[0];
            if let Some(seed) = (0..8).find(fits) {
                let [first, second, third, _] = prefix(ip, seed).to_be_bytes();
                let mut id = NodeId(*topic);
                (id.0[0], id.0[1], id.0[2]) = (first, second, third & 0xf8 | topic[2] & 7);
                id.0[19] = id.0[19] & !7 | seed;
                return Some((host, id));
            }
        }
        None
    }

    fn enter(&mut self, host: HostId, change: impl FnOnce(DhtHost) -> DhtHost) {
        self.hostile_hosts.push(host);
        self.world.start(host, change(DhtHost::new(self.entries.clone())));
    }

    /// How many questions hostile DHT nodes have not treated as they should.
    pub(super) fn misled(&self) -> u64 {
        let programs = self.hostile_hosts.iter().filter_map(|host| self.world.program::<DhtHost>(*host));
        programs.map(DhtHost::misled).sum()
    }

    fn build_sites(&mut self, scenario: &Scenario) {
        for site in &scenario.sites {
            let (mut realm, mut boxes) = match site.place {
                Place::Internet => (RealmId::INTERNET, Vec::new()),
                Place::Site(outer) => {
                    self.sites.get(usize::from(outer)).cloned().unwrap_or((RealmId::INTERNET, Vec::new()))
                }
            };
            for (n, rules) in site.boxes.iter().rev().enumerate() {
                let link = if n == 0 { site.link } else { LinkRules::default() };
                let (id, inner) = self.world.add_box(realm, *rules, link);
                boxes.insert(0, id);
                realm = inner;
            }
            self.world.network().set_multicast(realm, site.multicast);
            self.sites.push((realm, boxes));
        }
    }

    fn add_server(&mut self, name: String, scenario: &Scenario) -> HostId {
        let (link, stack) = (scenario.infrastructure.link, scenario.infrastructure.stack);
        self.world.add_stacked(name, RealmId::INTERNET, link, stack)
    }

    fn build_forger(&mut self, scenario: &Scenario) -> SocketAddr {
        let infrastructure = &scenario.infrastructure;
        let count = infrastructure.forged_victims as usize;
        let addresses = self.build_victims("victims", infrastructure.link, count);
        let forger = self.world.add_host("forger", RealmId::INTERNET, infrastructure.link);
        self.world.start(forger, Forger::new(&addresses));
        (self.world.addrs(forger)[0], DHT_PORT).into()
    }

    /// One host with so many addresses, none of which anybody has a reason to send to.
    fn build_victims(&mut self, name: &str, link: LinkRules, count: usize) -> Vec<SocketAddr> {
        let host = self.world.add_multihomed(name, RealmId::INTERNET, link, count);
        self.world.start(host, Sink::default());
        self.victims.get_or_insert(host);
        self.world.addrs(host).iter().map(|ip| SocketAddr::new(*ip, NODE_PORT)).collect()
    }

    /// It comes last, so that all others have the addresses that they have without it.
    fn build_flooder(&mut self, scenario: &Scenario) {
        let flood = scenario.infrastructure.flood;
        let targets = self.open_doors();
        if flood > 0 {
            let host = self.world.add_host("flooder", RealmId::INTERNET, LinkRules::default());
            self.world.start(host, Flooder::new(targets, flood));
        }
    }

    /// They come last, too. The first thing they do is to knock at all doors on the internet itself.
    fn build_insiders(&mut self, scenario: &Scenario) {
        let infrastructure = &scenario.infrastructure;
        let Ok(code) = code(0) else { return };
        if infrastructure.insiders.is_empty() {
            return;
        }
        let doors = self.open_doors();
        let victims = self.build_victims("bystanders", infrastructure.link, BYSTANDERS);
        for (n, mischief) in (0..).zip(&infrastructure.insiders) {
            let host = self.world.add_host(format!("insider{n}"), RealmId::INTERNET, infrastructure.link);
            let program = Insider::new(
                (code.clone(), self.insider(n)),
                (NODE_PORT, self.tier.security()),
                doors.clone(),
                victims.clone(),
                *mischief,
            );
            self.world.start(host, program);
            self.insiders.push(host);
        }
    }

    /// The members' addresses on the internet itself.
    fn open_doors(&self) -> Vec<SocketAddr> {
        let addresses = self.members.iter().flat_map(|member| self.world.addrs(member.host));
        let is_open = |ip: &&IpAddr| ip.is_ipv4() && Scope::of(**ip) == Scope::Global;
        addresses.filter(is_open).map(|ip| SocketAddr::new(*ip, NODE_PORT)).collect()
    }

    /// The seed of an insider's identity.
    fn insider(&self, n: u32) -> [u8; 32] {
        self.world.draws().bytes(Subject::Identity(INSIDERS + n), 0)
    }

    /// Who the insiders are.
    pub(super) fn insiders(&self) -> impl Iterator<Item = (DeviceId, MemberId)> {
        (0..).zip(&self.insiders).map(|(n, _)| Insider::identity(&self.insider(n)))
    }

    /// How often each insider did something to somebody.
    pub(super) fn deeds(&self) -> impl Iterator<Item = u64> {
        let programs = self.insiders.iter().map(|host| self.world.program::<Insider>(*host));
        programs.map(|insider| insider.map_or(0, Insider::deeds))
    }

    fn build_homes(&mut self, scenario: &Scenario) {
        for (n, home) in (0u32..).zip(&scenario.homes) {
            let outwards = home.boxes.iter().rev();
            let mut realm = self.realm(home.place).unwrap_or(RealmId::INTERNET);
            let mut boxes = Vec::new();
            for rules in outwards {
                let (id, inner) = self.world.add_box(realm, *rules, Default::default());
                boxes.insert(0, id);
                realm = inner;
            }
            let name = format!("member{n}");
            let host = self.world.add_stacked(name.clone(), realm, home.link, home.stack);
            let draws = self.world.draws();
            let identity = Identity {
                device: draws.bytes(Subject::Identity(n), 0),
                member: draws.bytes(Subject::Identity(n), 1),
            };
            // A node that never runs, to learn who it will be.
            let config = Config::new(identity, Incarnation(0));
            let node = Node::new(config, [0; 32], self.world.now(), self.world.unix());
            let (device, member) = (node.device(), node.member());
            self.members.push(Member {
                host,
                name,
                device,
                member,
                boxes,
                home: realm,
                place: home.place,
                away: None,
                stack: home.stack,
                link: home.link,
                identity,
                runs: 0,
                incarnation: 0,
                disk: Disk::default(),
            });
        }
    }
}

/// The topic of meeting 0 on that day.
fn topic(unix: UnixTime) -> Result<[u8; 20], CodeError> {
    let keys = Keys::derive(&derive(&code(0)?));
    Ok(keys.epoch(Epoch::of(unix)).topic.0)
}

/// The code of a meeting, by its number.
pub(super) fn code(meeting: u8) -> Result<Code, CodeError> {
    Code::new(&format!("meeting number {meeting}"))
}
