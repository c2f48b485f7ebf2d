use std::process::ExitCode;

/// How the program ends; documented in `moot --help` and in the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All went well.
    Success,
    /// This machine is in the way: a socket, the disk, an identity.
    Failure,
    /// The command line, the environment or the code cannot be understood.
    Usage,
    /// Left without ever having met anyone; or nothing was found in the DHT.
    Nobody,
    /// Nobody in the DHT answers.
    Unreachable,
    /// Left without ever having met anyone, though someone was found.
    NoPath,
    /// The DHT's nodes refuse to store something.
    Refused,
    /// A second interrupt.
    Interrupted,
}

impl Exit {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Nobody => 3,
            Self::Unreachable => 4,
            Self::NoPath => 5,
            Self::Refused => 6,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.number().into()
    }
}
