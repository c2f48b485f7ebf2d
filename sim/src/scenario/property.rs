use std::fmt;

/// What is checked. Each has an id that stays, so that a failure can be named, shrunk and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Property {
    /// Safety: nothing is heard that nobody said.
    Invented,
    /// Safety: what is heard comes from who said it.
    Author,
    /// Safety: what is said in one meeting is not heard in another.
    Meeting,
    /// Safety: a run of a node hears a message once, and never its own.
    Once,
    /// Safety: a run of a node hears what a run of another said in the order in which it was said.
    Order,
    /// Safety: what is said gets one number, and no number is given twice.
    Number,
    /// Safety: an acknowledgement follows the arrival, and comes once.
    Acknowledged,
    /// Safety: connections are to members, to each one, in turn with disconnections.
    Roster,
    /// Safety: a program sleeps until later than now, ends a drain, and sends from addresses it has.
    Contract,
    /// Safety: every packet sent is delivered, dropped for a reason, or in flight.
    Conserved,
    /// Safety: nothing panics.
    Panic,
    /// Safety: no code, key, name or text of a member stands in a packet, as it is, in hexadecimal or in base64.
    Secret,
    /// Safety: who has not proved to be at its address gets no more than 3.5 bytes of answers for each it sent.
    Amplify,
    /// Safety: an address that nothing came from gets a bounded number of packets.
    Unheard,
    /// Safety: what a node holds is bounded.
    Memory,
    /// Safety: who has nothing to say sends little, and holds no more after an hour than after a minute.
    Idle,
    /// Liveness: who can connect is connected.
    Connect,
    /// Liveness: what is said is heard by everyone whom its author had met and can reach.
    Hear,
    /// Liveness: what is said reaches whom its author cannot connect to, through members who can.
    Passage,
    /// Liveness: what was heard is acknowledged.
    Acknowledge,
    /// Liveness: whoever leaves is gone from the others' lists.
    Gone,
    /// Liveness: whoever is killed is gone from the others' lists.
    Dead,
    /// Liveness: whoever joins finds somebody of those in the meeting.
    Find,
    /// Liveness: two who were apart for a while are connected again.
    Return,
    /// Liveness: whoever can connect to nobody is told that something is wrong.
    Told,
    /// A goal of the scenario is missed.
    Goal,
}

impl Property {
    /// All of them.
    pub const ALL: [Self; 26] = [
        Self::Invented,
        Self::Author,
        Self::Meeting,
        Self::Once,
        Self::Order,
        Self::Number,
        Self::Acknowledged,
        Self::Roster,
        Self::Contract,
        Self::Conserved,
        Self::Panic,
        Self::Secret,
        Self::Amplify,
        Self::Unheard,
        Self::Memory,
        Self::Idle,
        Self::Connect,
        Self::Hear,
        Self::Passage,
        Self::Acknowledge,
        Self::Gone,
        Self::Dead,
        Self::Find,
        Self::Return,
        Self::Told,
        Self::Goal,
    ];

    /// Its id.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Invented => "S-invented",
            Self::Author => "S-author",
            Self::Meeting => "S-meeting",
            Self::Once => "S-once",
            Self::Order => "S-order",
            Self::Number => "S-number",
            Self::Acknowledged => "S-acknowledged",
            Self::Roster => "S-roster",
            Self::Contract => "S-contract",
            Self::Conserved => "S-conserved",
            Self::Panic => "S-panic",
            Self::Secret => "S-secret",
            Self::Amplify => "S-amplify",
            Self::Unheard => "S-unheard",
            Self::Memory => "S-memory",
            Self::Idle => "S-idle",
            Self::Connect => "L1-connect",
            Self::Hear => "L2-hear",
            Self::Passage => "L2-through",
            Self::Acknowledge => "L3-acknowledge",
            Self::Gone => "L4-gone",
            Self::Dead => "L4-dead",
            Self::Find => "L6-find",
            Self::Return => "L7-return",
            Self::Told => "L8-told",
            Self::Goal => "G-goal",
        }
    }

    /// The property of that id.
    pub fn of(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|property| property.id() == id)
    }

    /// Those of them that say that something comes, in time.
    pub fn of_liveness() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|property| property.id().starts_with('L'))
    }

    /// What it says, as a sentence.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Invented => "nothing is heard that nobody said",
            Self::Author => "what is heard comes from who said it",
            Self::Meeting => "what is said in one meeting is not heard in another",
            Self::Once => "a run of a node hears a message once, and never its own",
            Self::Order => "what a run of a node said is heard in the order in which it was said",
            Self::Number => "what is said gets one number, and no number is given twice",
            Self::Acknowledged => "an acknowledgement follows the arrival, and comes once",
            Self::Roster => "connections are to members, to each one, in turn with disconnections",
            Self::Contract => {
                "a program sleeps until later than now, ends a drain, and sends from its addresses"
            }
            Self::Conserved => "every packet sent is delivered, dropped for a reason, or in flight",
            Self::Panic => "nothing panics",
            Self::Secret => {
                "no code, key, name or text of a member stands in a packet, however it is written"
            }
            Self::Amplify => "an unproven address gets at most 3.5 bytes of answers for each it sent",
            Self::Unheard => "an address that nothing came from gets a bounded number of packets",
            Self::Memory => "what a node holds is bounded",
            Self::Idle => "who has nothing to say sends little, and comes to hold no more",
            Self::Connect => "who can connect is connected",
            Self::Hear => "what is said is heard by everyone its author had met and can reach",
            Self::Passage => "what is said gets through members to whom its author cannot connect",
            Self::Acknowledge => "what was heard is acknowledged",
            Self::Gone => "whoever leaves is gone from the others' lists",
            Self::Dead => "whoever is killed is gone from the others' lists",
            Self::Find => "whoever joins finds somebody of those in the meeting",
            Self::Return => "two who were apart for a while are connected again",
            Self::Told => "whoever can connect to nobody is told that something is wrong",
            Self::Goal => "what the scenario asks for beside all that comes true",
        }
    }
}

/// Its id.
impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_distinct_and_found_again() {
        for property in Property::ALL {
            assert_eq!(Property::of(property.id()), Some(property));
        }
        assert_eq!(Property::of("nonsense"), None);
    }
}
