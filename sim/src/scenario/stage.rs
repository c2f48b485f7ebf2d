//! Builds the world of a scenario.

use std::net::SocketAddr;
use std::time::Duration;

use folkmoot_core::base::{DeviceId, Host as Server, Incarnation, MemberId};
use folkmoot_core::node::{Config, Identity, Node};

use super::run::Role;
use super::script::{Home, Scenario, Stun};
use crate::engine::{HostId, Subject, Trace, World};
use crate::hosts::{DHT_PORT, DhtHost, Forger, Names, NodeHost, STUN_PORT, Sink, StunServer};
use crate::net::{BoxId, LinkRules, RealmId};
use crate::stub::Tier;

/// The world of a scenario, with its DHT up and its members not started yet.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) members: Vec<Member>,
    /// The host that all victims of a forger are addresses of.
    pub(super) victims: Option<HostId>,
    bootstrap: Vec<SocketAddr>,
    stun: Vec<Server>,
    dht_hosts: Vec<HostId>,
    stun_hosts: Vec<HostId>,
    names: Names,
    tier: Tier,
}

/// A member: its host, and what lasts from run to run.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) host: HostId,
    pub(super) name: String,
    pub(super) device: DeviceId,
    pub(super) member: MemberId,
    boxes: Vec<BoxId>,
    pub(super) link: LinkRules,
    identity: Identity,
    runs: u64,
}

impl Member {
    /// What pictures say of a member who lives there.
    pub(super) fn role(&self, home: &Home) -> Role {
        // Boxes were built from the outside inwards.
        let boxes = self.boxes.iter().rev().zip(&home.boxes);
        Role {
            host: self.host,
            name: self.name.clone(),
            device: self.device,
            boxes: boxes.map(|(id, rules)| (*id, rules.to_string())).collect(),
        }
    }
}

/// How long the DHT has to itself before anyone starts.
const WARM_UP: Duration = Duration::from_secs(10);
/// The port of every node.
const NODE_PORT: u16 = 4_433;
/// How many DHT nodes everyone is told of.
const BOOTSTRAPS: u32 = 2;

impl Stage {
    pub(super) fn build(scenario: &Scenario, seed: u64, trace: Trace, tier: Tier) -> Self {
        let world = World::with_trace(seed, trace);
        let mut stage = Self {
            world,
            members: Vec::new(),
            victims: None,
            bootstrap: Vec::new(),
            stun: Vec::new(),
            dht_hosts: Vec::new(),
            stun_hosts: Vec::new(),
            names: Names::new(),
            tier,
        };
        stage.build_infrastructure(scenario);
        stage.build_homes(scenario);
        stage.world.run_for(WARM_UP);
        stage
    }

    /// Whose host it is. The members' hosts are the last ones, in order.
    pub(super) fn member_at(&self, host: HostId) -> Option<usize> {
        let first = self.members.first()?.host.0;
        host.0.checked_sub(first).map(|n| n as usize)
    }

    /// Starts the node of a member: a new run, which remembers nothing but its identity.
    pub(super) fn start(&mut self, n: usize) {
        let Some(member) = self.members.get_mut(n) else { return };
        member.runs += 1;
        let incarnation = Incarnation(self.world.unix().as_millis() + member.runs);
        let config = Config {
            name: member.name.clone(),
            bootstrap: self.bootstrap.iter().copied().map(Server::Addr).collect(),
            stun: self.stun.clone(),
            security: self.tier.security(),
            ..Config::new(member.identity, incarnation)
        };
        let program = NodeHost::new(config, member.runs, NODE_PORT, self.names.clone());
        self.world.start(member.host, program);
    }

    /// Has all boxes before a member forget what passed.
    pub(super) fn reboot_boxes(&mut self, n: usize) {
        for id in self.members.get(n).map(|member| member.boxes.clone()).unwrap_or_default() {
            if let Some(gate) = self.world.network().gate(id) {
                gate.reboot();
            }
        }
    }

    /// Kills a DHT node.
    pub(super) fn stop_dht(&mut self, n: usize) {
        if let Some(host) = self.dht_hosts.get(n) {
            self.world.kill(*host);
        }
    }

    /// Starts a DHT node anew: it remembers nothing, and enters where everyone does.
    pub(super) fn start_dht(&mut self, n: usize) {
        let Some(&host) = self.dht_hosts.get(n) else { return };
        let own = self.world.addrs(host);
        let entries = self.bootstrap.iter().copied().filter(|entry| !own.contains(&entry.ip())).collect();
        self.world.start(host, DhtHost::new(entries));
    }

    /// Kills a STUN server.
    pub(super) fn stop_stun(&mut self, n: usize) {
        if let Some(host) = self.stun_hosts.get(n) {
            self.world.kill(*host);
        }
    }

    /// Starts a STUN server.
    pub(super) fn start_stun(&mut self, n: usize) {
        if let Some(host) = self.stun_hosts.get(n) {
            self.world.start(*host, StunServer);
        }
    }

    fn build_infrastructure(&mut self, scenario: &Scenario) {
        let infrastructure = &scenario.infrastructure;
        let mut entries: Vec<SocketAddr> = Vec::new();
        if infrastructure.forged_victims > 0 {
            entries.push(self.build_forger(scenario));
        }
        for n in 0..infrastructure.dht_nodes {
            let host = self.add_server(format!("dht{n}"), scenario);
            self.world.start(host, DhtHost::new(entries.clone()));
            self.dht_hosts.push(host);
            if n + u32::from(infrastructure.forged_victims > 0) < BOOTSTRAPS {
                entries.extend(self.world.addrs(host).iter().map(|ip| SocketAddr::new(*ip, DHT_PORT)));
            }
        }
        self.bootstrap = entries;
        for (n, stun) in (0..).zip(&infrastructure.stun) {
            let name = format!("stun{n}.example");
            let host = self.add_server(name.clone(), scenario);
            self.stun_hosts.push(host);
            if *stun == Stun::Honest {
                self.world.start(host, StunServer);
            }
            self.names.insert(name.clone(), self.world.addrs(host).to_vec());
            self.stun.push(Server::Name(name, STUN_PORT));
        }
    }

    fn add_server(&mut self, name: String, scenario: &Scenario) -> HostId {
        let (link, stack) = (scenario.infrastructure.link, scenario.infrastructure.stack);
        self.world.add_stacked(name, RealmId::INTERNET, link, stack)
    }

    fn build_forger(&mut self, scenario: &Scenario) -> SocketAddr {
        let infrastructure = &scenario.infrastructure;
        let count = infrastructure.forged_victims as usize;
        let victims = self.world.add_multihomed("victims", RealmId::INTERNET, infrastructure.link, count);
        let addresses: Vec<_> =
            self.world.addrs(victims).iter().map(|ip| SocketAddr::new(*ip, NODE_PORT)).collect();
        self.world.start(victims, Sink::default());
        self.victims = Some(victims);
        let forger = self.world.add_host("forger", RealmId::INTERNET, infrastructure.link);
        self.world.start(forger, Forger::new(&addresses));
        (self.world.addrs(forger)[0], DHT_PORT).into()
    }

    fn build_homes(&mut self, scenario: &Scenario) {
        for (n, home) in (0u32..).zip(&scenario.homes) {
            let outwards = home.boxes.iter().rev();
            let (mut realm, mut boxes) = (RealmId::INTERNET, Vec::new());
            for rules in outwards {
                let (id, inner) = self.world.add_box(realm, *rules, Default::default());
                boxes.push(id);
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
                link: home.link,
                identity,
                runs: 0,
            });
        }
    }
}
