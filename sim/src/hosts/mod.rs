//! Programs that come with the simulator: whole nodes, bare DHT nodes, STUN servers, and hosts that mean ill.

mod dht;
mod disk;
mod flooder;
mod forger;
mod insider;
mod liar;
mod manner;
mod mapper;
mod node;
mod sink;
mod sockets;
mod stun;

pub(crate) use dht::DHT_PORT;
pub use dht::DhtHost;
pub use disk::Disk;
pub use flooder::Flooder;
pub use forger::Forger;
pub use insider::{Insider, Mischief};
pub use liar::{Lie, LyingStun};
pub use manner::Manner;
pub use mapper::PortMapper;
pub(crate) use node::derive;
pub use node::{Heard, Names, NodeHost};
pub use sink::{Received, Sink};
pub(crate) use stun::STUN_PORT;
pub use stun::StunServer;
