use std::fmt;

/// Why a packet went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum DropReason {
    /// A link lost it.
    Lost,
    /// A link's queue was full.
    QueueFull,
    /// It was larger than a link's MTU, and its sender was told.
    TooBig,
    /// No such address.
    NoRoute,
    /// A NAT has no mapping at that external endpoint.
    NoMapping,
    /// A filter does not admit that sender.
    Filtered,
    /// A NAT does not send packets back inside.
    NoHairpin,
    /// A NAT has no room or port for another mapping.
    Exhausted,
    /// A box lets no UDP pass.
    UdpBlocked,
    /// The two hosts are on different sides of a partition.
    Partitioned,
    /// The host is off or asleep.
    HostDown,
    /// It was larger than a link's MTU, and nobody was told.
    BlackHole,
    /// It was damaged on the way.
    Corrupt,
    /// A box does not let packets to that port, or of that kind, pass.
    Policy,
    /// A box lets only so many packets a second pass, or so many mappings be made.
    RateLimited,
    /// A box lets no fragments pass.
    Fragment,
}

impl DropReason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 16] = [
        Self::Lost,
        Self::QueueFull,
        Self::TooBig,
        Self::NoRoute,
        Self::NoMapping,
        Self::Filtered,
        Self::NoHairpin,
        Self::Exhausted,
        Self::UdpBlocked,
        Self::Partitioned,
        Self::HostDown,
        Self::BlackHole,
        Self::Corrupt,
        Self::Policy,
        Self::RateLimited,
        Self::Fragment,
    ];
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "lost",
            Self::QueueFull => "queue full",
            Self::TooBig => "too big",
            Self::NoRoute => "no route",
            Self::NoMapping => "no mapping",
            Self::Filtered => "filtered",
            Self::NoHairpin => "no hairpin",
            Self::Exhausted => "nat exhausted",
            Self::UdpBlocked => "udp blocked",
            Self::Partitioned => "partitioned",
            Self::HostDown => "host down",
            Self::BlackHole => "black hole",
            Self::Corrupt => "corrupt",
            Self::Policy => "policy",
            Self::RateLimited => "rate limited",
            Self::Fragment => "fragment",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_numbered_in_order() {
        assert!(DropReason::ALL.iter().enumerate().all(|(n, reason)| *reason as usize == n));
    }
}
