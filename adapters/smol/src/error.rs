use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use folkmoot_core::meeting::CodeError;
use folkmoot_core::node::Stage;
use thiserror::Error;

/// Why a node could not be started, or could not do what was asked. Its text is a sentence for people: what is wrong, and what
/// to do; [`Error::what`] and [`Error::hint`] give the two apart.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The text is no meeting code.
    Code(CodeError),
    /// A socket cannot be bound to an address that was asked for.
    Bind(BindError),
    /// Neither an IPv4 nor an IPv6 socket can be opened.
    NoSocket(io::Error),
    /// The state directory or something in it cannot be used.
    State(StateError),
    /// The file of the trace that was asked for cannot be made.
    Trace(PathBuf, io::Error),
    /// The operating system gives no randomness.
    Entropy(getrandom::Error),
    /// A code cannot be turned into keys.
    Derive(argon2::Error),
    /// A thread cannot be started.
    Thread(io::Error),
    /// A message is empty, or longer than [`crate::MAX_TEXT`] bytes: this is its length.
    BadMessage(usize),
    /// The node has stopped, or the meeting was left.
    Closed,
}

impl Error {
    /// What is wrong.
    pub fn what(&self) -> String {
        match self {
            Self::Code(error) => error.to_string(),
            Self::Bind(error) => error.to_string(),
            Self::NoSocket(error) => format!("no UDP socket can be opened: {error}"),
            Self::State(error) => error.to_string(),
            Self::Trace(path, error) => format!("the trace cannot be written to {}: {error}", path.display()),
            Self::Entropy(error) => format!("the operating system gives no randomness: {error}"),
            Self::Derive(error) => format!("the code cannot be turned into keys: {error}"),
            Self::Thread(error) => format!("no thread can be started: {error}"),
            Self::BadMessage(0) => "an empty message cannot be sent".into(),
            Self::BadMessage(len) => {
                format!("a message of {len} bytes is too long; {} bytes are the most", crate::MAX_TEXT)
            }
            Self::Closed => "the meeting was left".into(),
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Code(CodeError::Empty) => {
                "type the words that the others gave you, or make a code with `moot new`"
            }
            Self::Code(CodeError::TooShort(_)) => {
                "so short a code is soon guessed; make one with `moot new`, or insist with --weak-code"
            }
            Self::Code(CodeError::TooLong(_)) => "make a code with `moot new`",
            Self::Bind(error) => error.hint(),
            Self::NoSocket(_) => "check that the machine has a network, and that this program may use it",
            Self::State(error) => error.hint(),
            Self::Trace(..) => "name a file that is not there yet, where this program may write",
            Self::Entropy(_) => "nothing can be kept secret without; check the system's random device",
            Self::Derive(_) => "it takes 64 MiB of memory; end something else",
            Self::Thread(_) => "raise the limit on threads or processes",
            Self::BadMessage(0) => "write something",
            Self::BadMessage(_) => "write something shorter, or several messages",
            Self::Closed => "join it again",
        }
    }

    /// The step it belongs to.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Code(_) | Self::Derive(_) => Stage::Code,
            _ => Stage::Io,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what(), self.hint())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Code(error) => Some(error),
            Self::Bind(error) => Some(error),
            Self::State(error) => Some(error),
            Self::NoSocket(error) | Self::Thread(error) | Self::Trace(_, error) => Some(error),
            Self::Entropy(error) => Some(error),
            Self::BadMessage(_) | Self::Derive(_) | Self::Closed => None,
        }
    }
}

impl From<CodeError> for Error {
    fn from(error: CodeError) -> Self {
        Self::Code(error)
    }
}

impl From<BindError> for Error {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

impl From<StateError> for Error {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

/// Why a socket cannot be bound to the address that was asked for.
#[derive(Debug, Error)]
#[error("{}", self.what())]
pub struct BindError {
    /// The address.
    pub addr: SocketAddr,
    /// What the operating system says.
    pub source: io::Error,
}

impl BindError {
    fn what(&self) -> String {
        let (ip, port) = (self.addr.ip(), self.addr.port());
        match self.source.kind() {
            io::ErrorKind::AddrInUse => format!("UDP port {port} of {ip} is in use"),
            io::ErrorKind::AddrNotAvailable => format!("{ip} is no address of this machine"),
            io::ErrorKind::PermissionDenied => format!("UDP port {port} of {ip} may not be used"),
            _ => format!("no UDP socket can be bound to {}: {}", self.addr, self.source),
        }
    }

    fn hint(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => "name another port with --bind, or port 0 for any that is free",
            io::ErrorKind::PermissionDenied => "choose a port from 1024 up with --bind, or port 0 for any",
            _ => "name an address of this machine with --bind, or leave --bind out",
        }
    }
}

/// What is wrong with the state directory.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StateError {
    /// There is no place for one: neither `XDG_STATE_HOME` nor `HOME` is set.
    #[error("there is no state directory: neither XDG_STATE_HOME nor HOME is set")]
    Homeless,
    /// A file or directory cannot be made, read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// An identity file is not one. It is left as it is: the identity may still be saved from a backup.
    #[error("the identity file {} is damaged", .0.display())]
    Damaged(PathBuf),
    /// An identity file is of a version that this program does not know.
    #[error("the identity file {} is of version {}, made by a newer release", .0.display(), .1)]
    TooNew(PathBuf, u64),
    /// The profile that was asked for is in use by another process.
    #[error("the profile `{0}` is in use by another process")]
    InUse(String),
    /// So many profiles are in use that something must be wrong.
    #[error("all {0} profiles of the state directory are in use")]
    AllInUse(usize),
    /// No stored identity has this id.
    #[error("no identity in the state directory has an id that begins with {0}")]
    UnknownId(String),
    /// Several stored identities have ids that begin so.
    #[error("several identities in the state directory have ids that begin with {0}")]
    AmbiguousId(String),
    /// Not usable as a profile's name.
    #[error("{0:?} cannot be the name of a profile")]
    BadName(String),
}

impl StateError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.into(), source }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::Homeless => "name a directory with --state-dir",
            Self::Io { .. } => {
                "check who owns it, its permissions and the room on the disk, or name another directory with --state-dir"
            }
            Self::Damaged(_) => {
                "restore it from a backup, or move it away to begin with a new identity; the others will take you for someone new"
            }
            Self::TooNew(..) => "update this program, or name another directory with --state-dir",
            Self::InUse(_) => "end that process, or name another profile in NODE_ID",
            Self::AllInUse(_) => "end some of those processes, or name another directory with --state-dir",
            Self::UnknownId(_) => {
                "check the id; a word that is no hexadecimal number names a profile, and makes it if there is none"
            }
            Self::AmbiguousId(_) => "give more digits of it",
            Self::BadName(_) => "use up to 64 letters, digits, `-` and `_`",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(kind: io::ErrorKind) -> String {
        Error::from(BindError { addr: ([192, 0, 2, 1], 80).into(), source: kind.into() }).to_string()
    }

    #[test]
    fn sentences() {
        assert_eq!(
            bind(io::ErrorKind::AddrInUse),
            "UDP port 80 of 192.0.2.1 is in use; name another port with --bind, or port 0 for any that is free"
        );
        assert_eq!(
            bind(io::ErrorKind::AddrNotAvailable),
            "192.0.2.1 is no address of this machine; name an address of this machine with --bind, or leave --bind out"
        );
        assert_eq!(
            Error::from(CodeError::TooShort(3)).to_string(),
            "the meeting code has 3 characters; it needs at least 6; so short a code is soon guessed; make one with `moot \
             new`, or insist with --weak-code"
        );
        assert_eq!(
            Error::from(StateError::Damaged("/x/identity".into())).to_string(),
            "the identity file /x/identity is damaged; restore it from a backup, or move it away to begin with a new \
             identity; the others will take you for someone new"
        );
    }
}
