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
//! | [`engine`] | virtual time, the event queue, addressed randomness, the trace |
//! | [`hosts`] | programs that come with it: whole nodes, bare DHT nodes, STUN servers, liars |
//! | [`net`] | links, NATs, firewalls, addresses, and the oracle that says who can reach whom |
//! | [`scenario`] | what happens as data, checkers that see only what applications see, and a library of them |

pub mod engine;
pub mod hosts;
pub mod net;
pub mod scenario;

pub use engine::{Chance, Draws, Host, HostCx, HostId, Subject, Trace, Violation, World};
