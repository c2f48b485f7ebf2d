//! The links of a node, one per pair of devices whatever the number of meetings they share, and the tables by which an
//! arriving datagram finds its link without a scan.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::api::{MeetingHandle, Stage};
use crate::base::{DeviceId, Incarnation, SocketId, Time, Wake};
use crate::meeting::Ufrag;
use crate::peer::Link;

/// Every device this node has, wants or had a link to.
#[derive(Debug, Default)]
pub(super) struct Links {
    pub(super) peers: BTreeMap<DeviceId, Peer>,
    /// Local ufrags of live dials.
    by_ufrag: BTreeMap<Ufrag, DeviceId>,
    by_address: BTreeMap<SocketAddr, Addressees>,
}

/// A device, and how far the link to it is.
#[derive(Debug)]
pub(super) struct Peer {
    /// Which run of the device this is about.
    pub(super) incarnation: Incarnation,
    /// The highest dial number either side has used in this pair of incarnations.
    pub(super) highest: Option<u16>,
    pub(super) state: PeerState,
    /// Attempts that failed since there was a link.
    pub(super) failures: usize,
    /// The furthest step that an attempt reached since there was a link.
    pub(super) reached: Stage,
    /// An address that a round trip has proved, and the socket it was proved through.
    pub(super) proven: Option<SocketAddr>,
    pub(super) heard: Option<Time>,
}

/// How far a link is.
#[derive(Debug)]
pub(super) enum PeerState {
    /// Nothing under way: a sign of life is waited for.
    Away,
    /// Waits for its turn among the links being formed.
    Queued,
    /// Waits until the next attempt.
    Retry(Time),
    /// A dial exists.
    Dialed(Box<Dial>),
}

/// One attempt at a link, and the link it became.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) link: Link,
    pub(super) number: u16,
    /// The meeting whose `ice` key the credentials come from.
    pub(super) via: MeetingHandle,
    pub(super) ufrag: Ufrag,
    /// What the step under way must be done by; `None` once greeted.
    pub(super) deadline: Option<Time>,
    /// The certificate that DTLS accepts, by its fingerprint.
    pub(super) fingerprint: [u8; 32],
    pub(super) secured: bool,
    /// The other end's numbers for the meetings its HELLOs named.
    pub(super) numbers: BTreeMap<u16, MeetingHandle>,
    /// Meetings in which we sent our HELLO.
    pub(super) greeting: BTreeSet<MeetingHandle>,
    /// Meetings in which the other end's HELLO has been verified.
    pub(super) greeted: BTreeSet<MeetingHandle>,
    /// Log frames that overtook their HELLO.
    pub(super) early: Vec<Vec<u8>>,
    /// Where this link sends to or was heard from; at most [`MAX_ADDRESSES`].
    addresses: BTreeSet<SocketAddr>,
}

/// Addresses under which one link is found. A member that roams further is found by its ufrag first.
const MAX_ADDRESSES: usize = 32;

/// Whose an address is.
#[derive(Debug, Default)]
struct Addressees {
    /// The device that proved itself there last.
    owner: Option<DeviceId>,
    /// Devices whose links send there.
    claimants: BTreeSet<DeviceId>,
}

impl Peer {
    pub(super) fn new(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            highest: None,
            state: PeerState::Away,
            failures: 0,
            reached: Stage::Checks,
            proven: None,
            heard: None,
        }
    }

    pub(super) fn dial(&self) -> Option<&Dial> {
        match &self.state {
            PeerState::Dialed(dial) => Some(dial),
            _ => None,
        }
    }

    pub(super) fn dial_mut(&mut self) -> Option<&mut Dial> {
        match &mut self.state {
            PeerState::Dialed(dial) => Some(dial),
            _ => None,
        }
    }

    /// Whether nothing is planned: only a sign of life changes that.
    pub(super) fn is_away(&self) -> bool {
        matches!(self.state, PeerState::Away)
    }

    fn next_wake(&self) -> Option<Wake> {
        match &self.state {
            PeerState::Away | PeerState::Queued => None,
            PeerState::Retry(at) => Some(Wake::new(*at, "link.retry")),
            PeerState::Dialed(dial) => {
                Wake::earliest(dial.link.next_wake(), dial.deadline.map(|at| Wake::new(at, "link.deadline")))
            }
        }
    }
}

impl Dial {
    pub(super) fn new(
        link: Link,
        number: u16,
        via: MeetingHandle,
        ends: (Ufrag, [u8; 32]),
        deadline: Time,
    ) -> Self {
        Self {
            link,
            number,
            via,
            ufrag: ends.0,
            fingerprint: ends.1,
            deadline: Some(deadline),
            secured: false,
            numbers: BTreeMap::new(),
            greeting: BTreeSet::new(),
            greeted: BTreeSet::new(),
            early: Vec::new(),
            addresses: BTreeSet::new(),
        }
    }

    pub(super) fn is_greeted(&self) -> bool {
        !self.greeted.is_empty()
    }
}

impl Links {
    pub(super) fn dial(&self, device: DeviceId) -> Option<&Dial> {
        self.peers.get(&device)?.dial()
    }

    pub(super) fn dial_mut(&mut self, device: DeviceId) -> Option<&mut Dial> {
        self.peers.get_mut(&device)?.dial_mut()
    }

    /// How many links are being formed.
    pub(super) fn forming(&self) -> usize {
        self.peers.values().filter_map(Peer::dial).filter(|dial| !dial.secured).count()
    }

    /// The link whose local ufrag this is.
    pub(super) fn by_ufrag(&self, ufrag: &Ufrag) -> Option<DeviceId> {
        self.by_ufrag.get(ufrag).copied()
    }

    /// The links a datagram from `from` may be for, the likeliest first.
    pub(super) fn by_address(&self, from: SocketAddr) -> Vec<DeviceId> {
        let Some(addressees) = self.by_address.get(&from) else { return Vec::new() };
        let others = addressees.claimants.iter().copied().filter(|&device| Some(device) != addressees.owner);
        addressees.owner.into_iter().chain(others).collect()
    }

    /// The device that proved itself at an address.
    pub(super) fn owner(&self, address: SocketAddr) -> Option<DeviceId> {
        self.by_address.get(&address)?.owner
    }

    /// Puts a dial in place of whatever there was.
    pub(super) fn install(&mut self, device: DeviceId, dial: Dial, remotes: &[SocketAddr]) {
        self.uninstall(device);
        let Some(peer) = self.peers.get_mut(&device) else { return };
        self.by_ufrag.insert(dial.ufrag, device);
        peer.highest = peer.highest.max(Some(dial.number));
        peer.state = PeerState::Dialed(Box::new(dial));
        for &remote in remotes {
            self.claim(device, remote);
        }
    }

    /// Takes a dial away, and every way that led to it.
    pub(super) fn uninstall(&mut self, device: DeviceId) -> Option<Dial> {
        let peer = self.peers.get_mut(&device)?;
        if !matches!(peer.state, PeerState::Dialed(_)) {
            return None;
        }
        let PeerState::Dialed(dial) = std::mem::replace(&mut peer.state, PeerState::Away) else {
            return None;
        };
        self.by_ufrag.remove(&dial.ufrag);
        for address in &dial.addresses {
            if let Some(addressees) = self.by_address.get_mut(address) {
                addressees.claimants.remove(&device);
                addressees.owner = addressees.owner.filter(|&owner| owner != device);
                if addressees.claimants.is_empty() {
                    self.by_address.remove(address);
                }
            }
        }
        Some(*dial)
    }

    /// Notes that a link sends to an address.
    pub(super) fn claim(&mut self, device: DeviceId, address: SocketAddr) {
        let Some(dial) = self.dial_mut(device) else { return };
        if dial.addresses.len() < MAX_ADDRESSES && dial.addresses.insert(address) {
            self.by_address.entry(address).or_default().claimants.insert(device);
        }
    }

    /// Notes that a device proved itself at an address.
    pub(super) fn prove(&mut self, device: DeviceId, address: SocketAddr) {
        self.claim(device, address);
        if let Some(addressees) = self.by_address.get_mut(&address)
            && addressees.claimants.contains(&device)
        {
            addressees.owner = Some(device);
        }
    }

    pub(super) fn next_wake(&self) -> Option<Wake> {
        self.peers.values().fold(None, |wake, peer| Wake::earliest(wake, peer.next_wake()))
    }
}

/// How a datagram came in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) socket: SocketId,
    pub(super) local: Option<IpAddr>,
    pub(super) from: SocketAddr,
}
