//! A deterministic simulator for peer-to-peer programs: virtual time, a network in RFC 4787's words, faults and
//! checkers, all a function of one seed.
//!
//! A [`World`] holds hosts, links, NATs and firewalls. A host runs anything that implements [`Host`]: a whole
//! [`folkmoot_core::node::Node`], a bare DHT, a STUN server, a liar, or a program of your own; all share one world.
//! Nothing in the library reads a clock, spawns a thread or touches a socket, so a run of the same seed is the same
//! run, everywhere; [`Trace`] proves it with a hash.
//!
//! | module | what it is |
//! |---|---|
//! | [`dht`] | the DHT at scale: from eight bytes a node to the production machine |
//! | [`engine`] | virtual time, the event queue, addressed randomness, the trace |
//! | [`hosts`] | programs that come with it: whole nodes, bare DHT nodes, STUN servers, liars |
//! | [`mesh`] | a meeting and nothing else, for measuring costs |
//! | [`net`] | links, NATs, firewalls, addresses, and the oracle that says who can reach whom |
//! | [`report`] | pictures and captures of runs: SVG, HTML, pcapng |
//! | [`quiet`] | what members send who have nothing to say, within budgets |
//! | [`stub`] | DTLS without its arithmetic, for meetings of a hundred |
//! | [`scenario`] | what happens as data, checkers that see only what applications see, and a library of them |
//!
//! `sim/README.md` shows the command, `moot-sim`, and says what is checked. Two examples of under 100 lines are there to begin from:
//! `own_protocol`, which punches through NATs by itself, and `own_embedding`, a loop of one's own around a node. A [`Watch`] sees every
//! packet, for what must hold on the wire.
//!
//! A program of your own is a [`Host`]. Here one that asks another for the time, from behind a NAT:
//!
//! ```
//! use std::net::SocketAddr;
//!
//! use folkmoot_core::base::{Time, Wake};
//! use folkmoot_sim::net::{Behavior, BoxRules, Law, LinkRules, RealmId};
//! use folkmoot_sim::{Host, HostCx, World};
//!
//! #[derive(Default)]
//! struct Clock {
//!     ask: Option<SocketAddr>,
//!     told: Option<(Time, String)>,
//! }
//!
//! impl Host for Clock {
//!     fn start(&mut self, cx: &mut HostCx<'_>) {
//!         if let Some(server) = self.ask {
//!             cx.send((cx.addr(), 4_000).into(), server, b"?".to_vec());
//!         }
//!     }
//!
//!     fn handle_datagram(&mut self, cx: &mut HostCx<'_>, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
//!         match bytes {
//!             b"?" => cx.send(to, from, format!("{} for {from}", cx.now).into_bytes()),
//!             answer => self.told = Some((cx.now, String::from_utf8_lossy(answer).into_owned())),
//!         }
//!     }
//!
//!     fn on_wake(&mut self, _: &mut HostCx<'_>) {}
//!
//!     fn next_wake(&self) -> Option<Wake> {
//!         None
//!     }
//! }
//!
//! let mut world = World::new(7);
//! let link = LinkRules::both(Law::delay(20));
//! let server = world.add_host("server", RealmId::INTERNET, link);
//! let usual = BoxRules::nat(Behavior::EndpointIndependent, Behavior::AddressAndPortDependent);
//! let (_, home) = world.add_box(RealmId::INTERNET, usual, LinkRules::default());
//! let client = world.add_host("client", home, link);
//!
//! world.start(server, Clock::default());
//! let ask = Some((world.addrs(server)[0], 4_000).into());
//! world.start(client, Clock { ask, ..Clock::default() });
//! world.run_until(Time::from_millis(1_000));
//!
//! let (at, answer) = world.program::<Clock>(client).unwrap().told.clone().unwrap();
//! assert_eq!(at, Time::from_millis(80));
//! assert!(answer.starts_with("0.040000s for 21.0.0.11:"), "{answer}");
//! ```

pub mod dht;
pub mod engine;
pub mod hosts;
pub mod mesh;
pub mod net;
pub mod quiet;
pub mod report;
pub mod scenario;
pub mod stub;

pub use engine::{Chance, Draws, Host, HostCx, HostId, Subject, Trace, Violation, Watch, World};
pub use mesh::Mesh;
pub use stub::{SimDtls, Tier};
