use std::fmt;

use folkmoot_core::peer::Security;

use super::SimDtls;

/// How true to life whole nodes are simulated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// All that a node does, over a stand-in for DTLS.
    Stub,
    /// All that a node does.
    #[default]
    Real,
}

impl Tier {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stub, Self::Real];

    /// What secures the links of nodes of this tier.
    pub const fn security(self) -> Security {
        match self {
            Self::Stub => Security::stand_in::<SimDtls>(),
            Self::Real => Security::DTLS,
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stub => "stub",
            Self::Real => "real",
        })
    }
}
