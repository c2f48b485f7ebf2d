use std::fmt;

/// Kinds of faults and hardships. Of each scenario made from records about half are enabled at all: a world with a
/// little of everything never meets what only much of one thing brings about (swarm testing; Groce et al., 2012).
///
/// The first sixteen are those of the first generation; the second has all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// Links that lose packets, independently.
    Loss,
    /// Links that lose packets in bursts.
    Burst,
    /// Links that duplicate packets.
    Duplicate,
    /// Links that reorder packets.
    Reorder,
    /// NATs whose mappings depend on the remote endpoint.
    Strict,
    /// NATs behind NATs.
    Stacked,
    /// NATs that forget soon.
    Forgetful,
    /// Members that are killed and start anew.
    Crash,
    /// Members that sleep and wake.
    Sleep,
    /// Members that leave and join again.
    Leave,
    /// Two members that cannot reach each other for a while.
    Sever,
    /// Some members that cannot reach the others for a while.
    Split,
    /// Links that become bad for a while.
    Relink,
    /// NATs that restart.
    Reboot,
    /// DHT nodes that are killed and start anew.
    Dht,
    /// STUN servers that are silent for a while.
    Stun,
    /// Networks that several members are in.
    Shared,
    /// Members that are carried to another network, and home.
    Move,
    /// NATs that get another address.
    Renumber,
    /// Members that have no network for a while.
    Unplug,
    /// Clocks that are wrong, drift, and jump.
    Clock,
    /// Disks that are full or damaged, or lose what was written last when the power goes.
    Disk,
    /// Members that start again with whom their DHT nodes knew.
    Saved,
    /// The DHT nodes that everyone is told of are all killed for a while.
    Entries,
    /// DHT nodes that mean no good, or are slow.
    Hostile,
    /// STUN servers that lie.
    Liar,
    /// Members who do not hear another one for a while, which hears them.
    Mute,
    /// Links that pass no large packets.
    Narrow,
    /// Links that pass few packets at a time.
    Slow,
    /// Links that for a while lose packets in bursts, or damage them, or pass nothing.
    Spell,
    /// Networks with IPv6, beside IPv4 or alone, or with one that does not work.
    Families,
    /// It is shortly before midnight (UTC), when the meeting's place in the DHT changes.
    Midnight,
}

impl Class {
    /// All classes, in the order of their bits.
    pub const ALL: [Self; 32] = [
        Self::Loss,
        Self::Burst,
        Self::Duplicate,
        Self::Reorder,
        Self::Strict,
        Self::Stacked,
        Self::Forgetful,
        Self::Crash,
        Self::Sleep,
        Self::Leave,
        Self::Sever,
        Self::Split,
        Self::Relink,
        Self::Reboot,
        Self::Dht,
        Self::Stun,
        Self::Shared,
        Self::Move,
        Self::Renumber,
        Self::Unplug,
        Self::Clock,
        Self::Disk,
        Self::Saved,
        Self::Entries,
        Self::Hostile,
        Self::Liar,
        Self::Mute,
        Self::Narrow,
        Self::Slow,
        Self::Spell,
        Self::Families,
        Self::Midnight,
    ];
}

/// In lower case.
impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// The classes that are enabled, a bit each.
#[derive(Clone, Copy, Debug)]
pub(in crate::scenario) struct Classes(pub(super) u32);

impl Classes {
    pub(in crate::scenario) fn has(self, class: Class) -> bool {
        self.0 >> class as u8 & 1 == 1
    }
}

/// `drawn of crash, sleep`.
impl fmt::Display for Classes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list: Vec<_> =
            Class::ALL.into_iter().filter(|class| self.has(*class)).map(|class| class.to_string()).collect();
        write!(f, "drawn of {}", if list.is_empty() { "nothing".into() } else { list.join(", ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_bit() {
        for (bit, class) in Class::ALL.into_iter().enumerate() {
            assert!(Classes(1 << bit).has(class) && !Classes(!(1 << bit)).has(class), "{class}");
        }
    }
}
