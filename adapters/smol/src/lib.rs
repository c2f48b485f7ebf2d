//! People who share a meeting code find each other over the BitTorrent Mainline DHT and connect directly over WebRTC,
//! with no server of anyone's in the path. This is the async library: the pure core of `folkmoot-core` with sockets, timers
//! and a disk around it.
//!
//! ```no_run
//! use folkmoot::{Error, Event, Folkmoot};
//!
//! # async fn run() -> Result<(), Error> {
//! let meeting = Folkmoot::builder().name("ada").join("acid-tulip-seven-camel-proof").await?;
//! while let Some(event) = meeting.next().await {
//!     match event {
//!         Event::Connected { name, .. } => drop(meeting.say(format!("hello, {name}")).await?),
//!         Event::Message { name, text, .. } => println!("{name}: {text}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! One node serves several meetings: [`Builder::start`] it, then [`Folkmoot::join`] each. The node runs on a thread of its
//! own, so the futures here work under any executor.
//!
//! **Events are never dropped.** Each meeting buffers a thousand; an application that does not read them
//! stops its node, and in the end its links. Read them, or drop the [`Meeting`].

mod builder;
mod clock;
mod code;
mod delivery;
mod derive;
mod dht;
mod driver;
mod error;
mod interfaces;
mod kept;
mod lan;
mod meeting;
mod profile;
mod resolve;
mod run;
mod sockets;
mod state;
mod traced;

pub mod defaults;

pub use builder::{Builder, default_state_dir};
pub use code::{generate_code, generate_secret, todays_topic};
pub use dht::{Dht, DhtBuilder, DhtError, DhtNode, ItemSearch, PeerSearch, Pong};
pub use error::{BindError, Error, StateError};
pub use meeting::{Folkmoot, Meeting};

/// The pure core, for those who want to go deeper.
pub use folkmoot_core as core;
pub use folkmoot_core::base::{
    Backoff, DeviceId, Host, HostError, InfoHash, MemberId, NodeId, Time, UnixTime,
};
pub use folkmoot_core::log::MAX_TEXT;
pub use folkmoot_core::meeting::{Code, CodeError, Strength};
pub use folkmoot_core::node::{
    AddressSource, DisconnectReason, Event, MeetingHandle, MemberState, MemberView, Path, Progress, Stage,
    Tag, Trouble,
};

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
