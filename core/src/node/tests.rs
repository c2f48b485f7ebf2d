//! Nodes on a small network in memory: one delay, no loss, every address reachable. Rarer weather is the simulator's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::base::{Incarnation, SocketId};
use crate::meeting::rendezvous::Source;
use crate::meeting::{Code, Master};

const DELAY: Duration = Duration::from_millis(50);
const MEETING: MeetingHandle = MeetingHandle(7);

/// A node at an address, and what it told its application.
struct Host {
    node: Node,
    at: SocketAddr,
    alive: bool,
    wake: Option<Time>,
    told: Vec<(Time, Event)>,
}

struct World {
    now: Time,
    hosts: Vec<Host>,
    /// By arrival and order of sending.
    wire: BTreeMap<(Time, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sent: u64,
    /// Pairs between which nothing gets through.
    blocked: Vec<(SocketAddr, SocketAddr)>,
}

impl World {
    fn new() -> Self {
        Self {
            now: Time::from_millis(1),
            hosts: Vec::new(),
            wire: BTreeMap::new(),
            sent: 0,
            blocked: Vec::new(),
        }
    }

    /// Adds a host with identity `id` at 10.0.0.`ip`, in its run `run`, that joins `code`.
    fn host(&mut self, id: u8, ip: u8, run: u64, code: &str) -> usize {
        self.host_with(id, ip, run, Some(code), &[])
    }

    /// As [`World::host`], with hosts by which to enter the DHT.
    fn host_with(&mut self, id: u8, ip: u8, run: u64, code: Option<&str>, bootstrap: &[SocketAddr]) -> usize {
        self.host_from(None, id, ip, run, code, bootstrap)
    }

    /// As [`World::host_with`], with what an earlier run kept of the DHT.
    fn host_from(
        &mut self,
        saved: Option<crate::dht::Snapshot>,
        id: u8,
        ip: u8,
        run: u64,
        code: Option<&str>,
        bootstrap: &[SocketAddr],
    ) -> usize {
        let identity = Identity { device: [id; 32], member: [id + 100; 32] };
        let mut config = Config::new(identity, Incarnation(run));
        config.name = format!("n{id}");
        config.dht.saved = saved;
        config.bootstrap = bootstrap.iter().map(|&addr| crate::base::Host::Addr(addr)).collect();
        let at = SocketAddr::from(([10, 0, 0, ip], 4_000));
        let entropy = [id.wrapping_mul(31).wrapping_add(run as u8); 32];
        let unix = UnixTime::from_millis(1_790_000_000_000);
        let mut node = Node::new(config, entropy, self.now, unix);
        let socket = SocketInfo { id: SocketId(0), bound: at, addrs: vec![at.ip()] };
        node.handle(self.now, Input::Network(Network::Sockets(vec![socket])));
        if let Some(code) = code {
            let code = Code::new(code).unwrap();
            node.handle(self.now, Input::Command(Command::Join { meeting: MEETING, code }));
        }
        self.hosts.push(Host { node, at, alive: true, wake: None, told: Vec::new() });
        let index = self.hosts.len() - 1;
        self.drain(index);
        index
    }

    fn drain(&mut self, index: usize) {
        let now = self.now;
        let host = &mut self.hosts[index];
        loop {
            match host.node.poll() {
                Output::Transmit(transmit) => {
                    let key = (now + DELAY, self.sent);
                    self.sent += 1;
                    self.wire.insert(key, (host.at, transmit.to, transmit.bytes));
                }
                Output::Request(Request { id, kind: RequestKind::Derive(code) }) => {
                    let mut master = [0; 32];
                    code.as_str().bytes().enumerate().for_each(|(i, b)| master[i % 32] ^= b);
                    host.node.handle(now, Input::Answer(id, Answer::Derived(Master(master))));
                }
                Output::Request(request) => panic!("{request:?}"),
                Output::Event(event) => host.told.push((now, event)),
                Output::Idle(wake) => {
                    assert!(wake.is_none_or(|wake| wake.at > now), "{wake:?} at {now}");
                    host.wake = wake.map(|wake| wake.at);
                    return;
                }
            }
        }
    }

    fn tell(&mut self, index: usize, addresses: &[SocketAddr]) {
        self.tell_of(index, MEETING, addresses);
    }

    fn tell_of(&mut self, index: usize, meeting: MeetingHandle, addresses: &[SocketAddr]) {
        let node = &mut self.hosts[index].node;
        node.context.now = self.now;
        node.rumour(meeting, Source::Dht([10, 0, 0, 99].into()), addresses);
        node.settle();
        self.drain(index);
    }

    fn say(&mut self, index: usize, text: &str) {
        let command = Command::Say { meeting: MEETING, tag: Tag(0), text: text.into() };
        self.hosts[index].node.handle(self.now, Input::Command(command));
        self.drain(index);
    }

    fn join(&mut self, index: usize, meeting: MeetingHandle, code: &str) {
        let code = Code::new(code).unwrap();
        self.hosts[index].node.handle(self.now, Input::Command(Command::Join { meeting, code }));
        self.drain(index);
    }

    fn leave(&mut self, index: usize, meeting: MeetingHandle) {
        self.hosts[index].node.handle(self.now, Input::Command(Command::Leave { meeting }));
        self.drain(index);
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let packet = self.wire.keys().next().map(|&(at, _)| at);
            let wake = self.hosts.iter().filter(|host| host.alive).filter_map(|host| host.wake).min();
            let Some(next) = packet.into_iter().chain(wake).min().filter(|&next| next <= end) else { break };
            self.now = next;
            if packet == Some(next) {
                let (_, (from, to, bytes)) = self.wire.pop_first().unwrap();
                if self.blocked.contains(&(from, to)) || self.blocked.contains(&(to, from)) {
                    continue;
                }
                if let Some(index) = self.hosts.iter().position(|host| host.alive && host.at == to) {
                    let (socket, local) = (SocketId(0), Some(to.ip()));
                    self.hosts[index]
                        .node
                        .handle(next, Input::Datagram { socket, local, from, bytes: &bytes });
                    self.drain(index);
                }
                continue;
            }
            for index in 0..self.hosts.len() {
                if self.hosts[index].alive && self.hosts[index].wake == Some(next) {
                    self.hosts[index].node.handle(next, Input::Tick);
                    self.drain(index);
                }
            }
        }
        self.now = end;
    }

    fn connected(&self, index: usize) -> usize {
        self.hosts[index].told.iter().filter(|(_, event)| matches!(event, Event::Connected { .. })).count()
    }

    fn heard(&self, index: usize) -> Vec<&str> {
        let told = self.hosts[index].told.iter();
        told.filter_map(|(_, event)| match event {
            Event::Message { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect()
    }
}

#[test]
fn a_rumour_becomes_a_conversation() {
    let mut world = World::new();
    let a = world.host(1, 1, 1, "acid tulip");
    let b = world.host(2, 2, 1, "acid tulip");
    let at = world.hosts[b].at;
    world.tell(a, &[at]);
    world.run(Duration::from_secs(3));
    assert_eq!((world.connected(a), world.connected(b)), (1, 1), "{:#?}", world.hosts[a].told);
    world.say(a, "hello");
    world.say(b, "hi");
    world.run(Duration::from_secs(1));
    assert_eq!(world.heard(b), ["hello"]);
    assert_eq!(world.heard(a), ["hi"]);
}

#[test]
fn what_is_said_to_nobody_waits_for_who_comes_first() {
    let mut world = World::new();
    let a = world.host_with(1, 1, 1, None, &[]);
    let join = Command::Join { meeting: MEETING, code: Code::new("acid tulip").unwrap() };
    let say = |text: &str| Input::Command(Command::Say { meeting: MEETING, tag: Tag(0), text: text.into() });
    let node = &mut world.hosts[a].node;
    node.handle(world.now, say("in no meeting"));
    node.handle(world.now, Input::Command(join));
    node.handle(world.now, say("while the code is stretched"));
    world.drain(a);
    world.say(a, "alone");
    world.run(Duration::from_secs(5));
    let is_not_joined =
        |e: &&(Time, Event)| matches!(e.1, Event::Trouble { trouble: Trouble::NotJoined, .. });
    assert_eq!(world.hosts[a].told.iter().filter(is_not_joined).count(), 1);

    let b = world.host(2, 2, 1, "acid tulip");
    let at = world.hosts[a].at;
    world.tell(b, &[at]);
    world.run(Duration::from_secs(3));
    world.say(a, "together");
    world.run(Duration::from_secs(1));
    assert_eq!(world.heard(b), ["while the code is stretched", "alone", "together"]);

    let c = world.host(3, 3, 1, "acid tulip");
    world.tell(c, &[at]);
    world.run(Duration::from_secs(3));
    assert_eq!(world.heard(c), [""; 0], "it was no member when that was said");
}

#[test]
fn what_was_said_to_nobody_outlives_leaving() {
    let mut world = World::new();
    let a = world.host(1, 1, 1, "acid tulip");
    world.say(a, "alone");
    world.leave(a, MEETING);
    world.run(Duration::from_secs(2));
    world.join(a, MEETING, "acid tulip");
    world.say(a, "alone again");
    world.run(Duration::from_secs(5));

    let b = world.host(2, 2, 1, "acid tulip");
    let at = world.hosts[a].at;
    world.tell(b, &[at]);
    world.run(Duration::from_secs(3));
    assert_eq!(world.heard(b), ["alone", "alone again"]);
}

#[test]
fn the_third_is_introduced_by_the_first_two() {
    let mut world = World::new();
    let [a, b, c] = [1, 2, 3].map(|id| world.host(id, id, 1, "acid tulip"));
    let at = [a, b, c].map(|index| world.hosts[index].at);
    world.tell(a, &at[1..2]);
    world.run(Duration::from_secs(2));
    world.tell(c, &at[..1]);
    world.run(Duration::from_secs(3));
    assert_eq!([a, b, c].map(|index| world.connected(index)), [2, 2, 2]);
}

#[test]
fn many_are_told_of_by_their_digests() {
    let mut world = World::new();
    let old: Vec<_> = (1..=11).map(|id| world.host(id, id, 1, "acid tulip")).collect();
    let at: Vec<_> = old.iter().map(|&index| world.hosts[index].at).collect();
    world.tell(old[0], &at[1..]);
    world.run(Duration::from_secs(20));
    assert!(old.iter().all(|&index| world.connected(index) == 10));

    let new = world.host(12, 12, 1, "acid tulip");
    world.tell(new, &at[..1]);
    world.run(Duration::from_secs(10));
    assert_eq!(world.connected(new), 11);
    assert!(old.iter().all(|&index| world.connected(index) == 11));
    let newcomer = world.hosts[new].node.device();
    let offered = |world: &World, index: usize| {
        let node = &world.hosts[index].node;
        node.links.dial(newcomer).map_or(0, |dial| dial.offered)
    };
    assert_eq!(offered(&world, old[0]), 0, "whom it knew first it asked for everyone");
    let others = old[1..].iter().map(|&index| offered(&world, index)).max();
    assert_eq!(others, Some(10), "to others it owed no question");

    // Who asks for what it was not told of, or twice, gets nothing.
    let host = &mut world.hosts[old[0]];
    let open = host.node.meetings[&MEETING].open().unwrap();
    let digests: Vec<_> = open.roster.present().map(|person| person.record.digest()).collect();
    assert_eq!(digests.len(), 11);
    host.node.members_wanted(newcomer, MEETING, &digests);
    let buffered = |host: &mut Host| {
        let dial = host.node.links.dial_mut(newcomer).unwrap();
        dial.link.buffered(crate::peer::Channel::Control)
    };
    assert_eq!(buffered(host), 0);
    host.node.links.dial_mut(newcomer).unwrap().offered = 2;
    host.node.members_wanted(newcomer, MEETING, &digests);
    assert_eq!(buffered(host) / crate::meeting::Record::SIZE, 2);
}

#[test]
fn what_one_tells_of_and_does_not_give_another_is_asked_for() {
    let mut world = World::new();
    let [asker, mute, giver, stranger] = [1, 2, 3, 4].map(|id| world.host(id, id, 1, "acid tulip"));
    let at = [mute, giver].map(|index| world.hosts[index].at);
    world.tell(asker, &at);
    world.run(Duration::from_secs(5));
    assert_eq!(world.connected(asker), 2);

    let [asking, muted, giving, unknown] =
        [asker, mute, giver, stranger].map(|index| world.hosts[index].node.device());
    let record = world.hosts[stranger].node.meetings[&MEETING].open().unwrap().own.clone();
    let digest = record.digest();
    let giver = &mut world.hosts[giver].node;
    giver.meetings.get_mut(&MEETING).unwrap().open_mut().unwrap().roster.insert(world.now, record);
    giver.links.dial_mut(asking).unwrap().offered = 1;
    let node = &mut world.hosts[asker].node;
    node.context.now = world.now;
    [muted, giving].into_iter().for_each(|by| node.members_known(by, MEETING, vec![digest]));
    node.settle();
    world.drain(asker);
    let knows = |world: &World| {
        let open = world.hosts[asker].node.meetings[&MEETING].open().unwrap();
        open.roster.get(unknown).is_some()
    };
    world.run(Duration::from_millis(900));
    assert!(!knows(&world), "one was asked, who does not hold it");
    world.run(Duration::from_millis(300));
    assert!(knows(&world));
}

#[test]
fn another_code_hears_nothing_and_nobody_meets_themselves() {
    let mut world = World::new();
    let a = world.host(1, 1, 1, "acid tulip");
    let b = world.host(2, 2, 1, "other code");
    let at = [world.hosts[a].at, world.hosts[b].at];
    let sent = world.sent;
    world.tell(a, &at);
    world.run(Duration::from_secs(10));
    assert_eq!(world.sent - sent, 4, "four knocks, and silence");
    assert_eq!(world.hosts[b].node.counters().unproven_stun, 4);
    assert_eq!((world.connected(a), world.connected(b)), (0, 0));
}

#[test]
fn a_restarted_member_is_back_at_once() {
    for (stays, goes) in [(1, 2), (2, 1)] {
        let mut world = World::new();
        let a = world.host(stays, 1, 1, "acid tulip");
        let b = world.host(goes, 2, 1, "acid tulip");
        let at = world.hosts[b].at;
        world.tell(a, &[at]);
        world.run(Duration::from_secs(3));
        world.hosts[b].alive = false;
        world.run(Duration::from_millis(500));
        world.say(a, "are you there");
        let again = world.host(goes, 3, 2, "acid tulip");
        let at = world.hosts[a].at;
        world.tell(again, &[at]);
        world.run(Duration::from_secs(2));
        assert_eq!((world.connected(a), world.connected(again)), (2, 1));
        assert_eq!(world.heard(again), ["are you there"]);
        let restarted = |(_, event): &(Time, Event)| {
            matches!(event, Event::Disconnected { reason: DisconnectReason::Restarted, .. })
        };
        assert_eq!(world.hosts[a].told.iter().filter(|told| restarted(told)).count(), 1);
    }
}

#[test]
fn leaving_is_told_and_done() {
    let mut world = World::new();
    let a = world.host(1, 1, 1, "acid tulip");
    let b = world.host(2, 2, 1, "acid tulip");
    let at = world.hosts[b].at;
    world.tell(a, &[at]);
    world.run(Duration::from_secs(3));
    world.leave(a, MEETING);
    world.run(Duration::from_secs(2));
    assert!(matches!(world.hosts[a].told.last(), Some((_, Event::Left { .. }))));
    let left = |(_, event): &(Time, Event)| {
        matches!(event, Event::Disconnected { reason: DisconnectReason::Left, .. })
    };
    assert!(world.hosts[b].told.iter().any(left));
    assert!(world.hosts[b].node.members(MEETING).is_empty());
}

#[test]
fn a_lost_link_comes_back() {
    let mut world = World::new();
    let a = world.host(1, 1, 1, "acid tulip");
    let b = world.host(2, 2, 1, "acid tulip");
    let at = world.hosts[b].at;
    world.tell(a, &[at]);
    world.run(Duration::from_secs(3));
    world.hosts[b].alive = false;
    world.run(Duration::from_secs(20));
    assert_eq!(world.hosts[a].node.members(MEETING)[0].state, MemberState::Connecting);
    world.hosts[b].alive = true;
    world.run(Duration::from_secs(20));
    assert_eq!(world.hosts[a].node.members(MEETING)[0].state, MemberState::Connected);
    assert_eq!(world.hosts[b].node.members(MEETING)[0].state, MemberState::Connected);
}

#[test]
fn a_crowd_that_knows_one_member_becomes_a_full_mesh() {
    let mut world = World::new();
    let all: Vec<usize> = (1..=12).map(|id| world.host(id, id, 1, "acid tulip")).collect();
    let first = world.hosts[all[0]].at;
    for &index in &all[1..] {
        world.tell(index, &[first]);
    }
    world.run(Duration::from_secs(10));
    let connected: Vec<usize> = all.iter().map(|&index| world.connected(index)).collect();
    assert_eq!(connected, [11; 12], "each with every other, once");
}

#[test]
fn members_find_each_other_through_the_dht() {
    let mut world = World::new();
    let router = world.host_with(9, 9, 1, None, &[]);
    let bootstrap = [world.hosts[router].at];
    let all = [1, 2, 3].map(|id| world.host_with(id, id, 1, Some("acid tulip"), &bootstrap));
    world.run(Duration::from_secs(5));
    assert_eq!(all.map(|index| world.connected(index)), [2, 2, 2]);
    let last = world.hosts.iter().flat_map(|host| &host.told);
    let last = last.filter(|(_, event)| matches!(event, Event::Connected { .. })).map(|(at, _)| *at).max();
    assert!(last < Some(Time::from_millis(3_000)), "{last:?}");
}

#[test]
fn members_who_kept_whom_they_knew_need_nobody_to_enter_by() {
    let mut world = World::new();
    let router = world.host_with(9, 9, 1, None, &[]);
    let bootstrap = [world.hosts[router].at];
    world.host_with(8, 8, 1, None, &bootstrap);
    let old = [1, 2].map(|id| world.host_with(id, id, 1, Some("acid tulip"), &bootstrap));
    world.run(Duration::from_secs(9));
    let saved = old.map(|index| world.hosts[index].node.dht().snapshot());
    old.into_iter().chain([router]).for_each(|index| world.hosts[index].alive = false);
    let [first, second] = saved;
    let a = world.host_from(Some(first), 1, 1, 2, Some("acid tulip"), &[]);
    let b = world.host_from(Some(second), 2, 2, 2, Some("acid tulip"), &[]);
    let lost = world.host(3, 3, 1, "acid tulip");
    world.run(Duration::from_secs(9));
    assert_eq!((world.connected(a), world.connected(b)), (1, 1), "{:#?}", world.hosts[a].told);
    let cut_off = |index: usize| {
        let is_that = |event: &Event| matches!(event, Event::Trouble { trouble: Trouble::NoBootstrap, .. });
        world.hosts[index].told.iter().any(|(_, event)| is_that(event))
    };
    assert_eq!((cut_off(a), cut_off(b), cut_off(lost)), (false, false, true));
    assert_eq!(world.connected(lost), 0, "a control: who kept nothing finds nobody");
}

#[test]
fn what_the_departed_said_reaches_who_comes_back() {
    let mut world = World::new();
    let [a, b, c] = [1, 2, 3].map(|id| world.host(id, id, 1, "acid tulip"));
    let at = [a, b, c].map(|index| world.hosts[index].at);
    world.tell(a, &at[1..]);
    world.run(Duration::from_secs(3));
    world.hosts[a].alive = false;
    world.run(Duration::from_secs(1));
    world.say(b, "for a");
    world.run(Duration::from_secs(1));
    world.leave(b, MEETING);
    world.run(Duration::from_secs(2));
    world.hosts[b].alive = false;
    let again = world.host(1, 9, 2, "acid tulip");
    world.tell(again, &at[2..]);
    world.run(Duration::from_secs(5));
    assert_eq!(world.heard(again), ["for a"]);
    assert_eq!(world.connected(again), 1, "with c; b is not looked for");
}

/// A world in which two members are connected: the world, and both.
fn pair() -> (World, usize, usize) {
    let mut world = World::new();
    let a = world.host(1, 1, 1, "acid tulip");
    let b = world.host(2, 2, 1, "acid tulip");
    let at = world.hosts[b].at;
    world.tell(a, &[at]);
    world.run(Duration::from_secs(3));
    assert_eq!((world.connected(a), world.connected(b)), (1, 1));
    (world, a, b)
}

#[test]
fn who_leaves_while_looking_for_somebody_stops_looking() {
    let (mut world, a, b) = pair();
    world.hosts[b].alive = false;
    world.run(Duration::from_secs(14));
    world.leave(a, MEETING);
    world.run(Duration::from_secs(2));
    let sent = world.sent;
    world.run(Duration::from_secs(120));
    assert_eq!(world.sent, sent, "and no wake is missed, which would be a hot loop");
}

#[test]
fn who_leaves_and_returns_goes_on_counting() {
    let (mut world, a, b) = pair();
    world.say(b, "one");
    world.run(Duration::from_secs(1));
    world.leave(b, MEETING);
    world.run(Duration::from_secs(3));
    world.join(b, MEETING, "acid tulip");
    let at = world.hosts[a].at;
    world.tell(b, &[at]);
    world.run(Duration::from_secs(3));
    world.say(b, "two");
    world.say(a, "welcome back");
    world.run(Duration::from_secs(3));
    assert_eq!(world.heard(a), ["one", "two"]);
    assert_eq!(world.heard(b), ["welcome back"]);
    assert_eq!((world.connected(a), world.connected(b)), (2, 2));
}

#[test]
fn who_was_told_of_as_departed_is_known_when_back() {
    let (mut world, a, b) = pair();
    let at = world.hosts[a].at;
    world.leave(b, MEETING);
    world.run(Duration::from_secs(2));
    world.hosts[b].alive = false;
    let new = world.host(5, 5, 1, "acid tulip");
    world.tell(new, &[at]);
    world.run(Duration::from_secs(3));
    assert_eq!(world.hosts[new].node.members(MEETING).len(), 1);
    let again = world.host(2, 2, 2, "acid tulip");
    world.tell(again, &[at]);
    world.run(Duration::from_secs(5));
    assert_eq!((world.connected(new), world.connected(again)), (2, 2));
}

#[test]
fn who_is_lost_to_one_is_not_lost_to_all() {
    let mut world = World::new();
    let [b, c, e] = [2, 3, 4].map(|id| world.host(id, id, 1, "acid tulip"));
    let at = [b, c, e].map(|index| world.hosts[index].at);
    world.blocked.push((at[0], at[1]));
    world.tell(e, &at[..2]);
    world.run(Duration::from_secs(300));
    assert_eq!([b, c, e].map(|index| world.connected(index)), [1, 1, 2]);
    let new = world.host(5, 5, 1, "acid tulip");
    world.tell(new, &at[1..2]);
    world.run(Duration::from_secs(5));
    assert_eq!(world.connected(new), 3);
}

#[test]
fn a_blocked_pair_meets_when_the_block_is_gone() {
    let mut world = World::new();
    let [b, c, e] = [2, 3, 4].map(|id| world.host(id, id, 1, "acid tulip"));
    let at = [b, c, e].map(|index| world.hosts[index].at);
    world.blocked.push((at[0], at[1]));
    world.tell(e, &at[..2]);
    world.run(Duration::from_secs(600));
    world.blocked.clear();
    // The longest pause of a search.
    world.run(Duration::from_secs(60 * 16 * 3 / 2 + 30));
    assert_eq!([b, c, e].map(|index| world.connected(index)), [2, 2, 2]);
}

#[test]
fn our_own_knock_sent_back_by_a_stranger_hides_nobody() {
    let mut world = World::new();
    let a = world.host(1, 1, 1, "acid tulip");
    let b = world.host(2, 2, 1, "acid tulip");
    let stranger: SocketAddr = "10.0.0.66:4000".parse().unwrap();
    let at = [world.hosts[a].at, world.hosts[b].at];
    world.tell(a, &[stranger]);
    let knock = world.wire.values().find(|(_, to, _)| *to == stranger).unwrap().2.clone();
    // As if from b.
    world.wire.insert((world.now + DELAY, u64::MAX), (at[1], at[0], knock));
    world.run(Duration::from_secs(5));
    world.tell(a, &at[1..]);
    world.run(Duration::from_secs(3));
    assert_eq!(world.connected(a), 1);
}

#[test]
fn a_hello_that_came_too_late_is_said_again() {
    const SECOND: MeetingHandle = MeetingHandle(8);
    for before_leaving in [20, 40, 60, 80, 110, 160] {
        let (mut world, a, b) = pair();
        let at = world.hosts[a].at;
        world.join(a, SECOND, "other code");
        world.join(b, SECOND, "other code");
        world.tell_of(b, SECOND, &[at]);
        world.run(Duration::from_millis(100 + before_leaving));
        world.leave(b, SECOND);
        world.run(Duration::from_millis(1_100));
        world.join(b, SECOND, "other code");
        world.tell_of(b, SECOND, &[at]);
        world.run(Duration::from_secs(10));
        for index in [a, b] {
            let members = world.hosts[index].node.members(SECOND);
            assert_eq!(members[0].state, MemberState::Connected, "left after {before_leaving} ms");
        }
    }
}

#[test]
fn the_dead_do_not_keep_the_living_waiting() {
    let mut world = World::new();
    let all: Vec<usize> = (1..=12).map(|id| world.host(id, id, 1, "acid tulip")).collect();
    let first = world.hosts[all[0]].at;
    all[1..].iter().for_each(|&index| world.tell(index, &[first]));
    world.run(Duration::from_secs(10));
    all[1..].iter().for_each(|&index| world.hosts[index].alive = false);
    let new = [21, 22].map(|id| world.host(id, id, 1, "acid tulip"));
    new.iter().for_each(|&index| world.tell(index, &[first]));
    world.run(Duration::from_secs(5));
    assert_eq!(new.map(|index| world.connected(index)), [2, 2]);
}

#[test]
fn sockets_that_come_back_find_everyone_again() {
    let (mut world, a, b) = pair();
    world.hosts[a].node.handle(world.now, Input::Network(Network::Sockets(Vec::new())));
    world.drain(a);
    world.run(Duration::from_secs(200));
    let at = SocketAddr::from(([10, 0, 0, 77], 4_000));
    world.hosts[a].at = at;
    let socket = SocketInfo { id: SocketId(0), bound: at, addrs: vec![at.ip()] };
    world.hosts[a].node.handle(world.now, Input::Network(Network::Sockets(vec![socket])));
    world.drain(a);
    world.run(Duration::from_secs(5));
    assert_eq!((world.connected(a), world.connected(b)), (2, 2));
}

#[test]
fn who_leaves_says_first_what_has_arrived() {
    let (mut world, a, b) = pair();
    world.say(a, "goodbye");
    world.run(DELAY + Duration::from_millis(1));
    assert_eq!(world.heard(b), ["goodbye"]);
    world.leave(b, MEETING);
    world.run(Duration::from_secs(1));
    let delivered = |(_, event): &(Time, Event)| matches!(event, Event::Delivered { seq: 0, .. });
    assert!(world.hosts[a].told.iter().any(delivered));
}
