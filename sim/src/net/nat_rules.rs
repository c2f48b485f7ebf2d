use std::time::Duration;

use super::PortControl;

/// The three behaviours of RFC 4787, for mappings (section 4.1) as for filters (section 5): what a NAT looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Behavior {
    /// Nothing of the remote endpoint: EIM, EIF.
    EndpointIndependent,
    /// The remote address: ADM, ADF.
    AddressDependent,
    /// The remote address and port: APDM, APDF.
    AddressAndPortDependent,
}

/// How a NAT behaves, in the words of RFC 4787.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatRules {
    /// When an internal endpoint keeps its external one (section 4.1).
    pub mapping: Behavior,
    /// Who may send to a mapping (section 5).
    pub filtering: Behavior,
    /// Which port a new mapping gets (section 4.2).
    pub ports: PortRule,
    /// The lowest and the highest port it gives out.
    pub range: (u16, u16),
    /// Whether an even port gets an even one, and an odd port an odd one (section 4.2.2). It then counts in twos.
    pub parity: bool,
    /// Mappings a second that are made for others behind the same NAT: they move a sequence of ports on.
    pub others: u16,
    /// Which address of the pool a new mapping gets (section 4.1).
    pub pooling: Pooling,
    /// How long a mapping lives without use, once a reply has been seen (section 4.3).
    pub lifetime: Duration,
    /// How long it lives without use before that.
    pub unreplied: Duration,
    /// How old it must be before [`NatRules::lifetime`] counts; Linux wants two seconds.
    pub settles: Duration,
    /// How long the filter remembers who was sent to, if not as long as the mapping lives.
    pub filter_age: Option<Duration>,
    /// Whether packets from outside refresh it too (section 4.3, REQ-6).
    pub inbound_refresh: bool,
    /// Whether a packet from outside that is for nobody counts as a flow of the box itself, and takes the external endpoint
    /// towards its sender: so does a Linux router that does not drop what it did not ask for. Who is sent to before they have
    /// sent then gets another port than they are known by.
    pub strangers: bool,
    /// What happens between two hosts behind the NAT that know only each other's external endpoints (section 6).
    pub hairpin: Hairpin,
    /// How many mappings there may be at once.
    pub capacity: usize,
    /// How many a host inside may have at once (RFC 6888, REQ-4); `None` is as many as fit.
    pub per_host: Option<usize>,
    /// What happens when there are that many.
    pub full: Full,
    /// How many new ones a second; a second's worth may come at once. `None` is no limit.
    pub per_second: Option<u32>,
    /// How hosts inside can have it open ports for them.
    pub control: PortControl,
}

/// How a NAT chooses ports. But for the two that say so, ports are not overloaded (REQ-3): one external endpoint serves one
/// mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortRule {
    /// The internal port if it is free, else the next free one.
    Preserve,
    /// The internal port, free or not: who is meant by a packet from outside is told by who has sent there.
    Overload,
    /// As Linux does it, and thus most home routers: an external endpoint is taken only towards the remote endpoints it is used
    /// for. A host keeps the one it has, or its own port, until that would be ambiguous; then it gets a random port. So a NAT
    /// of endpoint-independent mapping is one only until there is a conflict (which section 4.1, REQ-7, forbids).
    PerFlow,
    /// Each mapping gets the port this many after the one before: predictable.
    Sequential(i16),
    /// Any free port.
    Random,
    /// Any free port of the block of this many that belongs to the host inside, as carriers do it to have less to log (RFC 7422).
    Block(u16),
}

/// How a NAT with several external addresses chooses one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Always the same for one internal address (REQ-2).
    Paired,
    /// Any.
    Arbitrary,
}

/// What a NAT does with a packet from inside to one of its own mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hairpin {
    /// Drops it.
    None,
    /// Delivers it, from the sender's external endpoint (REQ-9).
    External,
    /// Delivers it, from the sender's internal endpoint.
    Internal,
}

/// What a NAT does that has no room for another mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Drops the packet.
    Drop,
    /// Forgets the mapping that was used least recently.
    Evict,
}

impl NatRules {
    /// A NAT of the given kind that is otherwise ordinary: random ports, 120 s (30 s before the first reply), outbound
    /// refresh only, no hairpin.
    pub const fn new(mapping: Behavior, filtering: Behavior) -> Self {
        Self {
            mapping,
            filtering,
            ports: PortRule::Random,
            range: (1_024, u16::MAX),
            parity: false,
            others: 0,
            pooling: Pooling::Paired,
            lifetime: Duration::from_secs(120),
            unreplied: Duration::from_secs(30),
            settles: Duration::ZERO,
            filter_age: None,
            inbound_refresh: false,
            strangers: false,
            hairpin: Hairpin::None,
            capacity: 32_768,
            per_host: None,
            full: Full::Drop,
            per_second: None,
            control: PortControl::None,
        }
    }

    /// Linux's masquerading with its defaults, on a router that drops what it did not ask for: see [`PortRule::PerFlow`]. Checked
    /// against the kernel, cell by cell.
    pub const LINUX: Self = Self {
        ports: PortRule::PerFlow,
        inbound_refresh: true,
        settles: Duration::from_secs(2),
        ..Self::new(Behavior::EndpointIndependent, Behavior::AddressAndPortDependent)
    };

    /// How long a mapping lives without use before the first reply.
    pub(super) fn young_life(&self) -> Duration {
        self.unreplied.min(self.lifetime)
    }
}
