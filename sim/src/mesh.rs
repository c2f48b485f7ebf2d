//! A meeting and nothing else: so many whole nodes, who all join at once. What costs, growth and the agreement of tiers
//! are measured on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use folkmoot_core::base::{Host as Server, Incarnation, MemberId, Time};
use folkmoot_core::meeting::Code;
use folkmoot_core::node::{Command, Config, Event, Identity, MeetingHandle, Tag};

use crate::engine::{HostId, Subject, Trace, World};
use crate::hosts::{DHT_PORT, DhtHost, Names, NodeHost};
use crate::net::{BoxRules, LinkRules, RealmId};
use crate::stub::Tier;

/// A meeting of whole nodes in a world of their own, with a small DHT to find each other in.
#[derive(Debug)]
pub struct Mesh {
    world: World,
    members: Vec<Member>,
    by_id: BTreeMap<MemberId, usize>,
    began: Time,
    /// Who says of whom that they are connected, and since when.
    connected: BTreeMap<(usize, usize), Time>,
    /// How often a connection ended.
    lost: u64,
    heard: BTreeSet<(usize, usize)>,
}

#[derive(Debug)]
struct Member {
    host: HostId,
    id: MemberId,
}

/// Where a member is: its link, and the NAT it is behind, if it is.
pub type Home = (LinkRules, Option<BoxRules>);

/// DHT nodes, on links that lose nothing.
const DHT_NODES: u32 = 8;
/// How long the DHT has to itself.
const WARM_UP: Duration = Duration::from_secs(10);
const PORT: u16 = 4_433;
const MEETING: MeetingHandle = MeetingHandle(0);

impl Mesh {
    /// The members come and join, all at the same moment.
    pub fn begin(seed: u64, tier: Tier, homes: &[Home], infrastructure: LinkRules) -> Self {
        let mut world = World::with_trace(seed, Trace::new());
        let mut entries: Vec<SocketAddr> = Vec::new();
        for n in 0..DHT_NODES {
            let host = world.add_host(format!("dht{n}"), RealmId::INTERNET, infrastructure);
            world.start(host, DhtHost::new(entries.clone()));
            if n < 2 {
                entries.push((world.addrs(host)[0], DHT_PORT).into());
            }
        }
        world.run_for(WARM_UP);
        let bootstrap: Vec<_> = entries.into_iter().map(Server::Addr).collect();
        let mut members = Vec::new();
        for (n, (link, nat)) in (0u32..).zip(homes) {
            let realm = nat.map_or(RealmId::INTERNET, |nat| {
                world.add_box(RealmId::INTERNET, nat, LinkRules::default()).1
            });
            let host = world.add_host(format!("member{n}"), realm, *link);
            let draws = world.draws();
            let identity = Identity {
                device: draws.bytes(Subject::Identity(n), 0),
                member: draws.bytes(Subject::Identity(n), 1),
            };
            let config = Config {
                name: format!("member{n}"),
                bootstrap: bootstrap.clone(),
                security: tier.security(),
                ..Config::new(identity, Incarnation(1))
            };
            world.start(host, NodeHost::new(config, 1, PORT, Names::new()));
            let id = world.program(host).and_then(NodeHost::node).map(|node| node.member());
            members.extend(id.map(|id| Member { host, id }));
        }
        let by_id = members.iter().enumerate().map(|(n, member)| (member.id, n)).collect();
        let (connected, heard, began) = (BTreeMap::new(), BTreeSet::new(), world.now());
        let mut mesh = Self { world, members, by_id, began, connected, lost: 0, heard };
        let code = Code::new("a meeting of many").ok();
        for n in 0..mesh.members.len() {
            let join = code.clone().map(|code| Command::Join { meeting: MEETING, code });
            join.into_iter().for_each(|join| mesh.command(n, join));
        }
        mesh
    }

    /// Lets `member` say something.
    pub fn say(&mut self, member: usize, text: &str) {
        self.command(member, Command::Say { meeting: MEETING, tag: Tag(0), text: text.into() });
    }

    /// Runs until a moment after the join.
    pub fn run_until(&mut self, since_join: Duration) {
        self.run(since_join, |_| false);
    }

    /// Runs until all are connected to all, and says how long after the join that was.
    pub fn run_until_whole(&mut self, at_most: Duration) -> Option<Duration> {
        let all = self.members.len() * self.members.len().saturating_sub(1);
        self.run(at_most, |mesh| mesh.connected.len() == all);
        (self.connected.len() == all).then(|| self.world.now() - self.began)
    }

    /// How many of the connections there can be are there, as both of their ends count them.
    pub fn connections(&self) -> usize {
        self.connected.len()
    }

    /// How many connections ended.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// How many members have heard each other speak, each pair in each direction.
    pub fn heard(&self) -> usize {
        self.heard.len()
    }

    /// The hosts of the members, in order.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> {
        self.members.iter().map(|member| member.host)
    }

    /// The world they are in.
    pub fn world(&self) -> &World {
        &self.world
    }

    fn run(&mut self, since_join: Duration, done: impl Fn(&Self) -> bool) {
        let until = self.began + since_join;
        while !done(self) && self.world.next_at().is_some_and(|at| at <= until) {
            if let Some(Some(host)) = self.world.step() {
                self.listen(host);
            }
        }
        if !done(self) {
            self.world.advance_to(until);
        }
    }

    fn command(&mut self, member: usize, command: Command) {
        let host = self.members[member].host;
        self.world.with(host, |node: &mut NodeHost, cx| node.command(cx, command));
        self.listen(host);
    }

    /// Takes what a member's node has told.
    fn listen(&mut self, host: HostId) {
        // The members' hosts are the last ones, in order.
        let first = self.members[0].host.0;
        let Some(who) = host.0.checked_sub(first).map(|n| n as usize) else { return };
        while let Some(heard) = self.world.program_mut(host).and_then(NodeHost::pop_heard) {
            match heard.event {
                Event::Connected { member, .. } => {
                    let other = self.by_id.get(&member);
                    other.and_then(|other| self.connected.insert((who, *other), heard.at));
                }
                Event::Disconnected { member, .. } => {
                    let other = self.by_id.get(&member);
                    let was = other.and_then(|other| self.connected.remove(&(who, *other)));
                    self.lost += u64::from(was.is_some());
                }
                Event::Message { from, .. } => {
                    self.heard.extend(self.by_id.get(&from).map(|from| (who, *from)))
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Law;

    #[test]
    fn a_few_meet_and_talk() {
        let link = LinkRules::both(Law::delay(20));
        for tier in Tier::ALL {
            let mut mesh = Mesh::begin(1, tier, &[(link, None); 4], link);
            let whole = mesh.run_until_whole(Duration::from_secs(10));
            assert!(whole.is_some_and(|at| at > Duration::ZERO), "{tier}: {}", mesh.connections());
            mesh.say(0, "hello");
            mesh.run_until(Duration::from_secs(20));
            assert_eq!((mesh.connections(), mesh.lost(), mesh.heard()), (12, 0, 3), "{tier}");
            assert!(mesh.world().violations().is_empty() && mesh.world().is_conserved());
        }
    }
}
