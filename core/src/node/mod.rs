//! The composer: [`Input`] in, [`Output`] out. The one place that wires the machines to each other.

mod api;

pub use api::{
    AddressSource, Answer, Command, Config, DisconnectReason, Event, Identity, Input, MeetingHandle,
    MemberState, MemberView, Network, Output, Path, Progress, Request, RequestId, RequestKind, Stage, Tag,
    Trouble,
};

use crate::base::{DeviceId, MemberId, Time, UnixTime};

/// A whole node: DHT, STUN, links, meetings. Does no I/O: a shell hands it what happens and does what it says.
#[derive(Debug)]
pub struct Node {
    now: Time,
}

impl Node {
    /// A node that starts at `now`. `entropy` is 32 fresh bytes from the operating system, never stored and never used
    /// again; tell it its sockets next, with [`Network::Sockets`].
    pub fn new(_config: Config, _entropy: [u8; 32], now: Time, _unix: UnixTime) -> Self {
        Self { now }
    }

    /// Takes in what happened. May be called any number of times before the next drain.
    pub fn handle(&mut self, now: Time, _input: Input<'_>) {
        self.now = self.now.max(now);
    }

    /// What the node wants; to be called until it is [`Output::Idle`].
    pub fn poll(&mut self) -> Output {
        Output::Idle(None)
    }

    /// This device.
    pub fn device(&self) -> DeviceId {
        DeviceId::default()
    }

    /// This member.
    pub fn member(&self) -> MemberId {
        MemberId::default()
    }

    /// Everyone else who is known in a meeting; empty if it is not joined.
    pub fn members(&self, _meeting: MeetingHandle) -> Vec<MemberView> {
        Vec::new()
    }
}
