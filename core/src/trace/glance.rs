use std::fmt;
use std::net::SocketAddr;

use super::redact::Redactor;
use crate::node::{Answer, Command, Event, Input, Network, Output, RequestKind};
use crate::wire::demux;
use crate::wire::krpc::{self, Body};
use crate::wire::stun::{Class, Message, Method};

/// An input or output at a glance: enough to tell what happened, and nothing that has to stay secret but an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    /// What kind of input or output.
    pub kind: Kind,
    /// Of a datagram, where it came from or goes to.
    pub addr: Option<SocketAddr>,
    /// Bytes of a datagram or a text.
    pub len: u32,
    /// In words.
    pub what: String,
}

/// The kinds of inputs and outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// [`Input::Tick`].
    Tick,
    /// [`Input::Datagram`].
    Datagram,
    /// [`Input::Command`].
    Command,
    /// [`Input::Network`].
    Network,
    /// [`Input::Clock`].
    Clock,
    /// [`Input::Answer`].
    Answer,
    /// [`Output::Transmit`].
    Transmit,
    /// [`Output::Request`].
    Request,
    /// [`Output::Event`] that tells of progress.
    Status,
    /// [`Output::Event`] that tells of trouble.
    Trouble,
    /// [`Output::Event`] that tells of a member who is there now.
    Connected,
    /// Any other [`Output::Event`].
    Event,
    /// [`Output::Idle`].
    Idle,
}

impl Kind {
    /// All kinds, in the order of their numbers in a file.
    pub const ALL: [Self; 13] = [
        Self::Tick,
        Self::Datagram,
        Self::Command,
        Self::Network,
        Self::Clock,
        Self::Answer,
        Self::Transmit,
        Self::Request,
        Self::Status,
        Self::Trouble,
        Self::Connected,
        Self::Event,
        Self::Idle,
    ];
}

impl Glance {
    /// Of an input.
    pub(super) fn of_input(input: &Input<'_>, redactor: &mut Redactor) -> Self {
        let of = |kind, what: String| Self { kind, addr: None, len: 0, what };
        match input {
            Input::Tick => of(Kind::Tick, String::new()),
            Input::Datagram { from, bytes, .. } => {
                Self::datagram(Kind::Datagram, redactor.addr(*from), bytes)
            }
            Input::Command(Command::Join { meeting, .. }) => {
                of(Kind::Command, format!("join, as meeting {}", meeting.0))
            }
            Input::Command(Command::Say { text, .. }) => {
                Self { len: text.len() as u32, ..of(Kind::Command, "say something".into()) }
            }
            Input::Command(Command::Leave { .. }) => of(Kind::Command, "leave".into()),
            Input::Network(Network::Woke) => of(Kind::Network, "the machine slept".into()),
            Input::Network(Network::Sockets(sockets)) => {
                let sockets = sockets.iter().map(|socket| {
                    let own: Vec<_> = socket.addrs.iter().map(|ip| redactor.ip(*ip).to_string()).collect();
                    format!(
                        "port {} at {}",
                        socket.bound.port(),
                        if own.is_empty() { "no address".into() } else { own.join(" ") }
                    )
                });
                let sockets: Vec<_> = sockets.collect();
                of(
                    Kind::Network,
                    if sockets.is_empty() {
                        "no socket".into()
                    } else {
                        format!("sockets: {}", sockets.join("; "))
                    },
                )
            }
            Input::Clock(_) => of(Kind::Clock, "the wall clock was set".into()),
            Input::Answer(_, Answer::Derived(_)) => of(Kind::Answer, "the code is stretched".into()),
            Input::Answer(_, Answer::Resolved(addresses)) => {
                of(Kind::Answer, format!("a name has {} addresses", addresses.len()))
            }
        }
    }

    /// Of an output.
    pub(super) fn of_output(output: &Output, redactor: &mut Redactor) -> Self {
        let of = |kind, what: String| Self { kind, addr: None, len: 0, what };
        match output {
            Output::Transmit(it) => Self::datagram(Kind::Transmit, redactor.addr(it.to), &it.bytes),
            Output::Request(request) => match &request.kind {
                RequestKind::Derive(_) => of(Kind::Request, "stretch the code".into()),
                RequestKind::Resolve(name, port) => {
                    of(Kind::Request, format!("look up {}:{port}", redactor.name("host", name)))
                }
            },
            Output::Event(event) => Self::of_event(event, redactor),
            Output::Idle(None) => of(Kind::Idle, "for good".into()),
            Output::Idle(Some(wake)) => of(Kind::Idle, format!("until {} for {}", wake.at, wake.why)),
        }
    }

    fn of_event(event: &Event, redactor: &mut Redactor) -> Self {
        let of = |kind, what: String| Self { kind, addr: None, len: 0, what };
        match event {
            Event::Status { progress, .. } => of(Kind::Status, redactor.progress(progress).to_string()),
            Event::Trouble { trouble, .. } => of(Kind::Trouble, redactor.trouble(trouble).to_string()),
            Event::Address { public, .. } => {
                let public = redactor.addr(*public);
                Self { addr: Some(public), ..of(Kind::Event, format!("seen from outside as {public}")) }
            }
            Event::Joined { .. } => of(Kind::Event, "the code is turned into keys; the search begins".into()),
            Event::Connected { name, path, since_join, .. } => {
                let name = redactor.name("member", name);
                let path = format!("{path:?}").to_lowercase();
                of(Kind::Connected, format!("connected to {name} ({path}), {since_join:.1?} after the join"))
            }
            Event::Disconnected { member, reason, .. } => {
                let who = redactor.name("id", &member.to_string()[..8]);
                of(Kind::Event, format!("disconnected from {who}: {}", format!("{reason:?}").to_lowercase()))
            }
            Event::Message { name, seq, text, .. } => {
                let what = format!("heard number {seq} of {}", redactor.name("member", name));
                Self { len: text.len() as u32, ..of(Kind::Event, what) }
            }
            Event::Sent { seq, .. } => of(Kind::Event, format!("what was said has number {seq}")),
            Event::Delivered { seq, .. } => of(Kind::Event, format!("number {seq} has arrived")),
            Event::Left { .. } => of(Kind::Event, "left".into()),
        }
    }

    fn datagram(kind: Kind, addr: SocketAddr, bytes: &[u8]) -> Self {
        Self { kind, addr: Some(addr), len: bytes.len() as u32, what: protocol(bytes).into() }
    }
}

/// What a datagram is.
fn protocol(bytes: &[u8]) -> &'static str {
    match demux::classify(bytes) {
        demux::Kind::Stun => match Message::parse(bytes).map(|message| (message.class(), message.method())) {
            Ok((Class::Request, Method::BINDING)) => "STUN request",
            Ok((Class::Success, Method::BINDING)) => "STUN answer",
            Ok((Class::Error, Method::BINDING)) => "STUN error",
            Ok(_) => "other STUN",
            Err(_) => "malformed STUN",
        },
        demux::Kind::Dtls => match bytes.first() {
            Some(21) => "DTLS alert",
            Some(22) => "DTLS handshake",
            _ => "DTLS",
        },
        demux::Kind::ChannelData => "channel data",
        demux::Kind::Krpc => match krpc::Message::parse(bytes).map(|message| message.body) {
            Ok(Body::Query(_)) => "DHT query",
            Ok(Body::Response(_)) => "DHT answer",
            Ok(Body::Error(_)) => "DHT error",
            Err(_) => "malformed KRPC",
        },
        demux::Kind::Unknown => "of no known kind",
    }
}

/// `sends 120 bytes to 192.0.2.1:4433: STUN request`.
impl fmt::Display for Glance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, addr, len, what } = self;
        let at = addr.map(|addr| addr.to_string()).unwrap_or_default();
        match kind {
            Kind::Tick => f.write_str("time passes"),
            Kind::Datagram => write!(f, "gets {len} bytes from {at}: {what}"),
            Kind::Transmit => write!(f, "sends {len} bytes to {at}: {what}"),
            Kind::Command => write!(f, "is to {what}"),
            Kind::Request => write!(f, "asks to {what}"),
            Kind::Idle => write!(f, "is idle {what}"),
            Kind::Status => write!(f, "{what} …"),
            Kind::Trouble => write!(f, "! {what}"),
            Kind::Network | Kind::Clock | Kind::Answer | Kind::Connected | Kind::Event => f.write_str(what),
        }
    }
}
