//! The links of a node, one per pair of devices whatever the number of meetings they share, and the tables by which an
//! arriving datagram finds its link without a scan.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::api::{MeetingHandle, Stage};
use super::peers::Peers;
use crate::base::{DeviceId, Incarnation, SocketId, Time, Wake};
use crate::limits;
use crate::meeting::Ufrag;
use crate::peer::Link;

/// Every device this node has, wants or had a link to.
#[derive(Debug, Default)]
pub(super) struct Links {
    pub(super) peers: Peers,
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
    /// How often it was given up and looked for again, since there was a link.
    pub(super) searches: u32,
    /// How often it broke a rule.
    pub(super) offences: u32,
    /// Nothing is had to do with it until then.
    pub(super) shunned_until: Time,
    /// The furthest step that an attempt reached since there was a link.
    pub(super) reached: Stage,
    /// An address that a round trip has proved.
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
    pub(super) ends: Ends,
    pub(super) since: Time,
    /// What the step under way must be done by; `None` once greeted.
    pub(super) deadline: Option<Time>,
    /// Until when it counts among the links being formed.
    pub(super) slot: Option<Time>,
    /// Whether anything authentic has come from the other end.
    pub(super) answered: bool,
    pub(super) secured: bool,
    /// When the first HELLO was verified.
    pub(super) greeted_at: Option<Time>,
    /// The other end's numbers for the meetings its HELLOs named.
    pub(super) numbers: BTreeMap<u16, MeetingHandle>,
    /// Numbers that meant a meeting one of us has left.
    pub(super) retired: BTreeSet<u16>,
    /// Meetings in which we sent our HELLO, and the serial of the other end's record that we knew then.
    pub(super) greeting: BTreeMap<MeetingHandle, u32>,
    /// Meetings in which the other end's HELLO has been verified, and the serial of the record in it.
    pub(super) greeted: BTreeMap<MeetingHandle, u32>,
    /// Devices that the other end was the first to tell of.
    pub(super) introduced: usize,
    /// Records that the other end was told of by their digests, and may still ask for.
    pub(super) offered: usize,
    /// Log frames that overtook their HELLO.
    pub(super) early: Vec<Vec<u8>>,
    /// Where this link sends to or was heard from; at most [`MAX_ADDRESSES`].
    addresses: BTreeSet<SocketAddr>,
}

/// Both ends of a dial as its checks and its handshake name them.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    pub(super) ours: Ufrag,
    pub(super) theirs: Ufrag,
    /// The password of checks that come to us.
    pub(super) password: String,
    /// The certificate that DTLS accepts, by its fingerprint.
    pub(super) fingerprint: [u8; 32],
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
            searches: 0,
            offences: 0,
            shunned_until: Time::ZERO,
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

    /// Whether it has been given up: only a sign of life, or a search now and then, changes that.
    pub(super) fn is_away(&self) -> bool {
        match self.state {
            PeerState::Away => true,
            PeerState::Retry(_) | PeerState::Queued => self.searches > 0,
            PeerState::Dialed(_) => self.searches > 0 && self.dial().is_some_and(|dial| !dial.answered),
        }
    }

    /// All is as if it had just been heard of: the network has changed, or it is connected.
    pub(super) fn start_over(&mut self) {
        self.failures = 0;
        self.searches = 0;
        self.reached = Stage::Checks;
    }

    pub(super) fn next_wake(&self) -> Option<Wake> {
        match &self.state {
            PeerState::Away | PeerState::Queued => None,
            PeerState::Retry(at) => Some(Wake::new(*at, "link.retry")),
            PeerState::Dialed(dial) => {
                let deadline = dial.deadline.map(|at| Wake::new(at, "link.deadline"));
                let slot = dial.slot.map(|at| Wake::new(at, "link.slot"));
                Wake::earliest(dial.link.next_wake(), Wake::earliest(deadline, slot))
            }
        }
    }
}

impl Dial {
    pub(super) fn new(
        link: Link,
        number: u16,
        via: MeetingHandle,
        ends: Ends,
        since: Time,
        deadline: Time,
        slot: Time,
    ) -> Self {
        Self {
            link,
            number,
            via,
            ends,
            since,
            deadline: Some(deadline),
            slot: Some(slot),
            answered: false,
            secured: false,
            greeted_at: None,
            numbers: BTreeMap::new(),
            retired: BTreeSet::new(),
            greeting: BTreeMap::new(),
            greeted: BTreeMap::new(),
            introduced: 0,
            offered: 0,
            early: Vec::new(),
            addresses: BTreeSet::new(),
        }
    }

    /// Whether the meeting has come up on this link, from either end.
    pub(super) fn is_about(&self, meeting: MeetingHandle) -> bool {
        self.greeting.contains_key(&meeting) || self.greeted.contains_key(&meeting)
    }

    /// Takes a meeting off the link; whether it was the last.
    pub(super) fn retire(&mut self, meeting: MeetingHandle) -> bool {
        self.greeting.remove(&meeting);
        self.greeted.remove(&meeting);
        let retired = self.numbers.iter().filter(|(_, of)| **of == meeting).map(|(&number, _)| number);
        self.retired.extend(retired);
        self.numbers.retain(|_, of| *of != meeting);
        while self.retired.len() > limits::MEETINGS {
            self.retired.pop_first();
        }
        self.greeting.is_empty() && self.greeted.is_empty()
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
        self.peers.values().filter_map(Peer::dial).filter(|dial| dial.slot.is_some()).count()
    }

    /// Plans nothing more for a device that has no link.
    pub(super) fn let_go(&mut self, device: DeviceId) {
        if let Some(peer) = self.peers.get_mut(&device).filter(|peer| peer.dial().is_none()) {
            peer.state = PeerState::Away;
        }
    }

    /// Makes room by forgetting a device without a link, one that never showed itself if there is such.
    pub(super) fn evict(&mut self) -> bool {
        let idle = self.peers.iter().filter(|(_, peer)| peer.dial().is_none());
        let least = idle.min_by_key(|(_, peer)| peer.heard).map(|(&device, _)| device);
        least.is_some_and(|device| self.peers.remove(&device).is_some())
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
        self.by_ufrag.insert(dial.ends.ours, device);
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
        self.by_ufrag.remove(&dial.ends.ours);
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
        if self.owner(address) == Some(device) {
            return;
        }
        self.claim(device, address);
        if let Some(addressees) = self.by_address.get_mut(&address)
            && addressees.claimants.contains(&device)
        {
            addressees.owner = Some(device);
        }
    }

    pub(super) fn next_wake(&mut self) -> Option<Wake> {
        self.peers.next_wake()
    }
}

/// How a datagram came in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) socket: SocketId,
    pub(super) local: Option<IpAddr>,
    pub(super) from: SocketAddr,
}
