//! A node of the DHT and nothing else: [`DhtNode`] is its loop, [`Dht`] is what one asks of it.

mod builder;
mod handle;
mod node;
mod waiting;

pub use builder::DhtBuilder;
pub use handle::{Dht, DhtError, ItemSearch, PeerSearch, Pong};
pub use node::DhtNode;
