//! The contract between a node and its shell: what goes in, what comes out.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use thiserror::Error;

use crate::base::{
    Backoff, DeviceId, Host, Incarnation, InfoHash, MemberId, SocketId, SocketInfo, Time, Transmit, UnixTime,
    Wake,
};
use crate::dht;
use crate::meeting::{Code, Master};
use crate::peer::Security;

/// How a node is set up. The identity and the incarnation come from the shell's disk.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who this node is.
    pub identity: Identity,
    /// Which run this is: greater than that of every earlier run of the same identity.
    pub incarnation: Incarnation,
    /// The name shown to others; at most [`crate::meeting::MAX_NAME`] bytes of it are sent.
    pub name: String,
    /// How the DHT node within behaves, and what an earlier run of it kept ([`dht::Dht::snapshot`]).
    pub dht: dht::Config,
    /// Where to enter the DHT.
    pub bootstrap: Vec<Host>,
    /// STUN servers, for a quick first look at our public address; the DHT's replies tell it too.
    pub stun: Vec<Host>,
    /// What to do about a link that is lost.
    pub reconnect: Backoff,
    /// How long one attempt to connect to a device may take.
    pub connect_timeout: Duration,
    /// What secures the links: DTLS, unless this is a simulation of very many.
    pub security: Security,
}

impl Config {
    /// A configuration with the defaults: no bootstrap, no STUN server, three attempts five seconds apart, 30 s.
    pub fn new(identity: Identity, incarnation: Incarnation) -> Self {
        Self {
            identity,
            incarnation,
            name: String::new(),
            dht: dht::Config::default(),
            bootstrap: Vec::new(),
            stun: Vec::new(),
            reconnect: Backoff::default(),
            connect_timeout: Duration::from_secs(30),
            security: Security::DTLS,
        }
    }
}

/// The secrets that make a device and its member. Everything lasting is a pure function of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Seed of the device's keys and of its certificate.
    pub device: [u8; 32],
    /// Seed of the member's key.
    pub member: [u8; 32],
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// The application's name for a meeting it joined; chosen by the application, never on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeetingHandle(pub u32);

/// The application's name for something it said, until the log has given it a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u64);

/// The node's name for a request to the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// All that can happen to a node.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// Time passed.
    Tick,
    /// A datagram arrived.
    Datagram {
        /// The socket it came to.
        socket: SocketId,
        /// The address of ours it came to, where the platform tells.
        local: Option<IpAddr>,
        /// Who sent it.
        from: SocketAddr,
        /// The payload.
        bytes: &'a [u8],
    },
    /// The application wants something.
    Command(Command),
    /// Sockets or addresses came and went, or the machine slept.
    Network(Network),
    /// The wall clock was set.
    Clock(UnixTime),
    /// The answer to a request.
    Answer(RequestId, Answer),
}

/// What an application may ask of a node.
#[derive(Clone, Debug)]
pub enum Command {
    /// Join the meeting of `code`, and call it `meeting` from now on.
    Join {
        /// The application's name for it, not in use.
        meeting: MeetingHandle,
        /// The code that its members share.
        code: Code,
    },
    /// Say something to everyone in a meeting. While nobody is there to say it to, it is kept for who comes first, even if this member
    /// leaves and comes back in the same run.
    Say {
        /// Where.
        meeting: MeetingHandle,
        /// Comes back in [`Event::Sent`].
        tag: Tag,
        /// What; at most [`crate::log::MAX_TEXT`] bytes.
        text: String,
    },
    /// Leave a meeting; [`Event::Left`] follows once the others have been told.
    Leave {
        /// Which.
        meeting: MeetingHandle,
    },
}

/// A change of the machine's network.
#[derive(Clone, Debug)]
pub enum Network {
    /// These are all the sockets there are now, with all their addresses.
    Sockets(Vec<SocketInfo>),
    /// The machine slept and woke: nothing that was alive is known to be.
    Woke,
}

/// What a shell answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To [`RequestKind::Derive`].
    Derived(Master),
    /// To [`RequestKind::Resolve`]: the addresses of the name; none if it could not be resolved.
    Resolved(Vec<SocketAddr>),
}

/// All that a node can want.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a datagram.
    Transmit(Transmit),
    /// Do something slow or impure, and answer.
    Request(Request),
    /// The application may show this.
    Event(Event),
    /// Nothing left. Call again with [`Input::Tick`] at the time given, or with whatever comes before.
    Idle(Option<Wake>),
}

/// Something only the shell can do.
#[derive(Clone, Debug)]
pub struct Request {
    /// To be given back with the answer.
    pub id: RequestId,
    /// What to do.
    pub kind: RequestKind,
}

/// What a shell can be asked to do.
#[derive(Clone, Debug)]
pub enum RequestKind {
    /// Stretch a code with [`Code::stretch`]'s parameters, off the event loop: it takes 0.1 s and 64 MiB.
    Derive(Code),
    /// Look a host name up.
    Resolve(String, u16),
}

/// What an application may want to show.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// What the node is doing.
    Status {
        /// For which meeting; `None` is for all.
        meeting: Option<MeetingHandle>,
        /// What.
        progress: Progress,
    },
    /// Something does not work; the node goes on.
    Trouble {
        /// In which meeting; `None` is in all.
        meeting: Option<MeetingHandle>,
        /// What.
        trouble: Trouble,
    },
    /// An observer told us our public address.
    Address {
        /// The address.
        public: SocketAddr,
        /// Who saw it.
        source: AddressSource,
    },
    /// The code is turned into keys, and the search has begun.
    Joined {
        /// The meeting.
        meeting: MeetingHandle,
        /// Where in the DHT its members meet today.
        topic: InfoHash,
    },
    /// A member is connected: both HELLOs are verified.
    Connected {
        /// The meeting.
        meeting: MeetingHandle,
        /// Who.
        member: MemberId,
        /// With which device.
        device: DeviceId,
        /// The name the member goes by.
        name: String,
        /// How the datagrams travel.
        path: Path,
        /// How long after the join.
        since_join: Duration,
    },
    /// A member is no longer connected.
    Disconnected {
        /// The meeting.
        meeting: MeetingHandle,
        /// Who.
        member: MemberId,
        /// With which device.
        device: DeviceId,
        /// Why.
        reason: DisconnectReason,
    },
    /// A member said something. Comes exactly once for each message, in its author's order; never for one's own.
    Message {
        /// The meeting.
        meeting: MeetingHandle,
        /// Who.
        from: MemberId,
        /// With which device.
        device: DeviceId,
        /// The name the member goes by.
        name: String,
        /// The message's number among those of this run of the device, from 0.
        seq: u64,
        /// When its author said it, by the author's clock.
        at: UnixTime,
        /// What.
        text: String,
        /// Whether it was said before this node was connected to anyone who has it.
        history: bool,
    },
    /// What was said has a number now. Of what was said to nobody, this comes with the first member.
    Sent {
        /// The meeting.
        meeting: MeetingHandle,
        /// As given in [`Command::Say`].
        tag: Tag,
        /// Its number, from 0.
        seq: u64,
    },
    /// A member's node has accepted a message of ours.
    Delivered {
        /// The meeting.
        meeting: MeetingHandle,
        /// The message's number.
        seq: u64,
        /// Whose node.
        to: MemberId,
    },
    /// We are out of the meeting, and the others who could be told have been.
    Left {
        /// The meeting.
        meeting: MeetingHandle,
    },
}

/// Who told us our public address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressSource {
    /// A STUN server.
    Stun(SocketAddr),
    /// DHT nodes, by the `ip` key of their replies (BEP 42).
    Dht,
}

/// How the datagrams of a link travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// Within one machine or one private network.
    Lan,
    /// Over the IPv4 internet.
    V4,
    /// Over the IPv6 internet.
    V6,
    /// To a port that a router was asked to map.
    Mapped,
    /// To a port that was predicted.
    Predicted,
    /// Through another member.
    Relay,
}

/// Why a member is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectReason {
    /// The member left.
    Left,
    /// Nothing was heard for too long.
    Silent,
    /// The member's node was started anew.
    Restarted,
    /// The connection failed below us (DTLS or SCTP gave up, or the other end closed it).
    Closed,
    /// The other end broke a rule of the protocol.
    Misbehaved,
    /// We left, or shut down.
    Ours,
}

/// Which step of the way from a code to a conversation something belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Code to keys.
    Code,
    /// Finding a first DHT node.
    Bootstrap,
    /// Telling the DHT where we are, and asking it who else is there.
    Announce,
    /// Asking the addresses found whether they are members.
    Knock,
    /// Learning our own addresses.
    Candidates,
    /// Probing for a path (ICE).
    Checks,
    /// Securing the path.
    Dtls,
    /// Proving membership to each other.
    Hello,
    /// Sockets, disk, everything of this machine.
    Io,
}

/// What a node is doing, for people who wait.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Progress {
    /// Stretching the code.
    #[error("turning the code into keys")]
    Deriving,
    /// Looking for a first DHT node.
    #[error("looking for the DHT")]
    Bootstrapping,
    /// The DHT answers.
    #[error("in the DHT with {}", count(*nodes, "node", "nodes"))]
    Bootstrapped {
        /// Nodes in the routing table.
        nodes: usize,
    },
    /// Our address is stored under the topic.
    #[error("announced to {}", count(*nodes, "DHT node", "DHT nodes"))]
    Announced {
        /// Nodes that stored it.
        nodes: usize,
    },
    /// Addresses were found under the topic, and are asked.
    #[error("asking {} for members", count(*addresses, "address", "addresses"))]
    Knocking {
        /// How many.
        addresses: usize,
    },
    /// Nobody has been found so far.
    #[error("alone so far")]
    Alone,
    /// Probing for a path to a member.
    #[error("trying {} of {name}", count(*candidates, "address", "addresses"))]
    Checking {
        /// The member's name.
        name: String,
        /// How many addresses.
        candidates: usize,
    },
    /// A path is found; securing it.
    #[error("securing the path to {name}")]
    Securing {
        /// The member's name.
        name: String,
    },
    /// The path is secure; proving membership.
    #[error("greeting {name}")]
    Greeting {
        /// The member's name.
        name: String,
    },
}

impl Progress {
    /// The step it belongs to.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Deriving => Stage::Code,
            Self::Bootstrapping | Self::Bootstrapped { .. } => Stage::Bootstrap,
            Self::Announced { .. } | Self::Alone => Stage::Announce,
            Self::Knocking { .. } => Stage::Knock,
            Self::Checking { .. } => Stage::Checks,
            Self::Securing { .. } => Stage::Dtls,
            Self::Greeting { .. } => Stage::Hello,
        }
    }
}

/// What does not work. Its text says what; [`Trouble::hint`] says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Trouble {
    /// There is no socket to send from.
    #[error("there is no network socket")]
    NoSocket,
    /// No bootstrap host is configured, and no node is known.
    #[error("no way into the DHT is configured")]
    NoBootstrap,
    /// Nobody by whom the DHT could be entered answered.
    #[error("{}", nobody_answers(*hosts, *nodes))]
    BootstrapSilent {
        /// Bootstrap hosts.
        hosts: usize,
        /// Nodes that an earlier run knew.
        nodes: usize,
    },
    /// Host names could not be resolved.
    #[error("no address is known for {names}")]
    Unresolved {
        /// The names, with commas between.
        names: String,
        /// What they were needed for.
        stage: Stage,
    },
    /// None of the STUN servers answered.
    #[error("{}", none_answers(*.0, "STUN server"))]
    StunSilent(usize),
    /// No DHT node took our announcement.
    #[error("no DHT node accepted our announcement")]
    NotAnnounced,
    /// A minute has passed without anyone.
    #[error("nobody has been found for {0} s")]
    Nobody(u64),
    /// A member is known and no path to it works.
    #[error("no path to {name} works")]
    NoPath {
        /// The member's name.
        name: String,
        /// How far it came.
        stage: Stage,
    },
    /// A meeting is already known under that handle.
    #[error("that meeting is already joined")]
    AlreadyJoined,
    /// No more meetings can be joined at once.
    #[error("already in {0} meetings")]
    TooManyMeetings(usize),
    /// The application named a meeting it is not in.
    #[error("not in that meeting")]
    NotJoined,
    /// Too much is waiting to be delivered.
    #[error("too many messages wait for members who are away")]
    TooMuchQueued,
    /// Whom the DHT node knows cannot be kept for the next run. A node has no disk, so this is its shell's to say.
    #[error("the known DHT nodes are not kept for the next time: {0}")]
    NotKept(String),
    /// What an earlier run kept of the DHT is damaged, and lies where this says now. Its shell's to say, too.
    #[error("the file of known DHT nodes cannot be read, and is set aside as {0}")]
    SetAside(String),
    /// The trace that was asked for ends here. Its shell's to say, too.
    #[error("the trace does not go on: {0}")]
    NotTraced(String),
    /// A message is empty or too long.
    #[error("a message of {0} bytes cannot be sent")]
    BadMessage(usize),
}

impl Trouble {
    /// The step it belongs to.
    pub fn stage(&self) -> Stage {
        match self {
            Self::NoSocket | Self::AlreadyJoined | Self::TooManyMeetings(_) | Self::NotJoined => Stage::Io,
            Self::TooMuchQueued | Self::BadMessage(_) | Self::NotKept(_) | Self::SetAside(_) => Stage::Io,
            Self::NotTraced(_) => Stage::Io,
            Self::NoBootstrap | Self::BootstrapSilent { .. } => Stage::Bootstrap,
            Self::Unresolved { stage, .. } => *stage,
            Self::StunSilent(_) => Stage::Candidates,
            Self::NotAnnounced | Self::Nobody(_) => Stage::Announce,
            Self::NoPath { stage, .. } => *stage,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoSocket => "check that the machine has a network and that --bind names an address of it",
            Self::NoBootstrap => "give one with --bootstrap HOST:PORT",
            Self::BootstrapSilent { .. } => {
                "check the network, or whether a firewall blocks UDP; try another host with --bootstrap HOST:PORT"
            }
            Self::Unresolved { stage: Stage::Candidates, .. } => {
                "the meeting works without STUN; if you need it, check the spelling and the name server"
            }
            Self::Unresolved { .. } => "check the spelling and the name server, or give an IP address",
            Self::StunSilent(_) => "the meeting works without; DHT nodes tell our address too",
            Self::NotAnnounced => "the node tries again; if it goes on, check whether a firewall blocks UDP",
            Self::Nobody(_) => {
                "check that the others typed the same code, are online now, and that their clocks show the right day"
            }
            Self::NoPath { .. } => {
                "it may be gone; if it is not, a firewall or NAT between the two lets nothing through: try another \
                 network for one of them"
            }
            Self::AlreadyJoined => "leave it first",
            Self::TooManyMeetings(_) => "leave one first",
            Self::NotJoined => "join it first",
            Self::NotKept(_) => {
                "all else works; check who owns the directory, its permissions and the room on the disk, or name another \
                 with --state-dir"
            }
            Self::SetAside(_) => "nothing is lost but time: the DHT is entered by the bootstrap hosts",
            Self::NotTraced(_) => "what is written so far is good; all else goes on",
            Self::TooMuchQueued => "wait until they are back, or leave and join again",
            Self::BadMessage(_) => "write something shorter, and something",
        }
    }
}

/// What is known of a member's device, on request.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberView {
    /// Who.
    pub member: MemberId,
    /// With which device.
    pub device: DeviceId,
    /// The name the member goes by.
    pub name: String,
    /// How things stand.
    pub state: MemberState,
    /// How the datagrams travel, if connected.
    pub path: Option<Path>,
    /// The last round-trip time measured, if connected.
    pub rtt: Option<Duration>,
    /// When something was last heard of the device.
    pub last_seen: Option<Time>,
}

/// How things stand with a member's device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// Being connected to.
    Connecting,
    /// Connected.
    Connected,
    /// Known, and out of reach for now.
    Away,
}

fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

fn nobody_answers(hosts: usize, nodes: usize) -> String {
    match (hosts, nodes) {
        (_, 0) => none_answers(hosts, "bootstrap host"),
        (0, 1) => "the one node known from before does not answer".into(),
        (0, _) => format!("none of the {nodes} nodes known from before answers"),
        _ => format!(
            "none of {} and {} known from before answers",
            count(hosts, "bootstrap host", "bootstrap hosts"),
            count(nodes, "node", "nodes")
        ),
    }
}

fn none_answers(asked: usize, what: &str) -> String {
    match asked {
        1 => format!("the {what} does not answer"),
        _ => format!("none of the {asked} {what}s answers"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_agree() {
        assert_eq!(Progress::Announced { nodes: 1 }.to_string(), "announced to 1 DHT node");
        assert_eq!(Progress::Knocking { addresses: 2 }.to_string(), "asking 2 addresses for members");
        let name = "ada".to_owned();
        assert_eq!(Progress::Checking { name, candidates: 1 }.to_string(), "trying 1 address of ada");
        let silent = |hosts, nodes| Trouble::BootstrapSilent { hosts, nodes }.to_string();
        assert_eq!(silent(1, 0), "the bootstrap host does not answer");
        assert_eq!(silent(4, 0), "none of the 4 bootstrap hosts answers");
        assert_eq!(silent(0, 120), "none of the 120 nodes known from before answers");
        assert_eq!(silent(4, 1), "none of 4 bootstrap hosts and 1 node known from before answers");
        assert_eq!(Trouble::StunSilent(3).to_string(), "none of the 3 STUN servers answers");
    }
}
