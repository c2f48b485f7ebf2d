use crate::base::{Prefix, Scope};
use crate::wire::krpc::Contact;

/// A node that a lookup has heard of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) contact: Contact,
    /// How far it is from the target, as a share of the key space.
    pub(super) share: f64,
    /// Of an address of the internet.
    pub(super) network: Option<Prefix>,
    /// Whether its id follows from its address.
    pub(super) is_bound: bool,
    pub(super) state: State,
    /// The path that it belongs to: that which asked it, or until then that which named it first.
    pub(super) path: usize,
    /// The paths that named it, one bit each.
    pub(super) named_by: u8,
    /// Whether somebody far away named it, or we knew it.
    pub(super) is_vouched: bool,
    /// How many answers led to it.
    pub(super) hops: u8,
}

impl Candidate {
    /// Whether a path may ask it, or has.
    pub(super) fn is_of(&self, path: usize) -> bool {
        match self.state {
            State::New | State::Waiting => self.is_named_by(path),
            _ => self.path == path,
        }
    }

    pub(super) fn is_named_by(&self, path: usize) -> bool {
        self.named_by >> path & 1 == 1
    }
}

/// What became of a candidate:
///
/// ```text
/// Waiting → New → Asked → Stalled → Lost → Failed      an answer leads from each of
///                   └────────┴────────┴───→ Answered   these, however late, to the end
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Another of the same network, or with the same id, comes first.
    Waiting,
    /// Not asked yet.
    New,
    /// Asked lately.
    Asked,
    /// Slower than most: somebody else is asked too, but the end still waits for it.
    Stalled,
    /// Much slower: not waited for any more. A late answer is still welcome.
    Lost,
    Answered,
    /// It did not answer, or is somebody else now.
    Failed,
}

/// The network of a node of the internet. Locally everybody may be in one.
pub(super) fn network(contact: &Contact) -> Option<Prefix> {
    let ip = contact.addr.ip();
    (!Scope::of(ip).is_local()).then(|| Prefix::of(ip))
}
