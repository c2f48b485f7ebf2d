//! Your own embedding of the core, in a world: the loop around `Node` is yours, and the simulator shows what it does wrong.
//!
//!     cargo run -p folkmoot-sim --example own_embedding
//! This one greets whoever comes: a shell, with the host's context in place of sockets and clock.

use std::net::{Ipv4Addr, SocketAddr};

use folkmoot_core::base::{Host as Server, Incarnation, SocketId, SocketInfo, Time, Wake};
use folkmoot_core::meeting::{Code, Master};
use folkmoot_core::node::{
    Answer, Command, Config, Event, Identity, Input, MeetingHandle, Network, Node, Output, RequestKind, Tag,
};
use folkmoot_sim::hosts::DhtHost;
use folkmoot_sim::net::{Behavior, BoxRules, Law, LinkRules, RealmId};
use folkmoot_sim::{Host, HostCx, World};

const PORT: u16 = 4_433;
const DHT_PORT: u16 = 6_881;
const MEETING: MeetingHandle = MeetingHandle(0);

struct Greeter {
    config: Config,
    node: Option<Node>,
    wake: Option<Wake>,
    heard: Vec<(Time, String)>,
}

impl Greeter {
    fn input(&mut self, cx: &mut HostCx<'_>, input: Input<'_>) {
        let Some(node) = &mut self.node else { return };
        node.handle(cx.now, input);
        loop {
            match node.poll() {
                Output::Transmit(it) => cx.send((cx.addr(), PORT).into(), it.to, it.bytes),
                Output::Request(request) => {
                    let answer = match request.kind {
                        // Everybody of this world stretches codes like that.
                        RequestKind::Derive(_) => Answer::Derived(Master([1; 32])),
                        RequestKind::Resolve(..) => Answer::Resolved(Vec::new()),
                    };
                    node.handle(cx.now, Input::Answer(request.id, answer));
                }
                Output::Event(Event::Connected { name, .. }) => {
                    let say = Command::Say { meeting: MEETING, tag: Tag(0), text: format!("hello, {name}") };
                    node.handle(cx.now, Input::Command(say));
                }
                Output::Event(Event::Message { name, text, .. }) => {
                    self.heard.push((cx.now, format!("{name}: {text}")))
                }
                Output::Event(_) => {}
                Output::Idle(wake) => break self.wake = wake,
            }
        }
    }
}

impl Host for Greeter {
    fn start(&mut self, cx: &mut HostCx<'_>) {
        self.node = Some(Node::new(self.config.clone(), cx.entropy(0), cx.now, cx.unix));
        let bound = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
        let sockets = vec![SocketInfo { id: SocketId(0), bound, addrs: cx.addrs.to_vec() }];
        self.input(cx, Input::Network(Network::Sockets(sockets)));
        let code = Code::new("acid-tulip-seven").expect("a code");
        self.input(cx, Input::Command(Command::Join { meeting: MEETING, code }));
    }

    fn handle_datagram(&mut self, cx: &mut HostCx<'_>, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        self.input(cx, Input::Datagram { socket: SocketId(0), local: Some(to.ip()), from, bytes });
    }

    fn on_wake(&mut self, cx: &mut HostCx<'_>) {
        self.input(cx, Input::Tick);
    }

    fn next_wake(&self) -> Option<Wake> {
        self.wake
    }
}

fn main() {
    let (mut world, link) = (World::new(7), LinkRules::both(Law::delay(20)));
    let dht = world.add_host("dht", RealmId::INTERNET, link);
    world.start(dht, DhtHost::new(Vec::new()));
    let bootstrap = vec![Server::Addr((world.addrs(dht)[0], DHT_PORT).into())];
    let members = [1, 2].map(|n| {
        let nat = BoxRules::nat(Behavior::EndpointIndependent, Behavior::AddressAndPortDependent);
        let (_, home) = world.add_box(RealmId::INTERNET, nat, LinkRules::default());
        let host = world.add_host(format!("member{n}"), home, link);
        let config = Config::new(Identity { device: [n; 32], member: [n + 10; 32] }, Incarnation(1));
        let config = Config { name: format!("member{n}"), bootstrap: bootstrap.clone(), ..config };
        world.start(host, Greeter { config, node: None, wake: None, heard: Vec::new() });
        host
    });
    world.run_until(Time::from_millis(10_000));
    let heard =
        members.map(|host| world.program::<Greeter>(host).map(|it| it.heard.clone()).unwrap_or_default());
    println!("{heard:#?}\n{:?}", world.violations());
    assert!(heard.iter().all(|heard| heard.len() == 1) && world.violations().is_empty());
}
