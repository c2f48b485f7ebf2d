use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::engine::Clock;
use crate::hosts::{Lie, Mischief};
use crate::net::{Gateway, Law, LinkRules, Stack};

/// What stands in the world, what happens, and what must come of it. It prints as one line, which
/// [`Scenario::parse`](super::Scenario::parse) reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its name, with the variant after a colon if it has any.
    pub name: String,
    /// Anything for people: why it is kept, or what was drawn for it.
    pub note: String,
    /// Networks that members share or move to, by number.
    pub sites: Vec<Site>,
    /// Where the members live; their number is that of the members.
    pub homes: Vec<Home>,
    /// What stands around them.
    pub infrastructure: Infrastructure,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// What must be true at the end, beside that nothing is pending and no rule was broken.
    pub goals: Vec<Goal>,
}

/// Where a member lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The boxes between it and its place, innermost first.
    pub boxes: Vec<Gateway>,
    /// Its link.
    pub link: LinkRules,
    /// The address families it wants; it gets those that the boxes leave it.
    pub stack: Stack,
    /// What the outermost of its own boxes, or it itself, is attached to.
    pub place: Place,
}

/// A network that several members can be in: a household, an office, what a carrier has behind its NAT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The boxes between it and its place, innermost first; one at least.
    pub boxes: Vec<Gateway>,
    /// The link of the outermost, which all who are in it share.
    pub link: LinkRules,
    /// What the outermost is attached to: the internet, or a network with a smaller number.
    pub place: Place,
    /// Whether multicast reaches those who are in it together.
    pub multicast: bool,
}

/// What a machine or a box is attached to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// The internet.
    #[default]
    Internet,
    /// The inside of the network with that number.
    Site(u16),
}

/// What stands around the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Infrastructure {
    /// Nodes of the private DHT that mean well.
    pub dht_nodes: u32,
    /// Nodes of it that do not, or that are slow; they come in addition.
    pub hostile: Hostile,
    /// How many nodes of the DHT everyone is told of.
    pub entries: u32,
    /// STUN servers.
    pub stun: Vec<Stun>,
    /// How many addresses a hostile DHT node names to everyone; 0 is no such node.
    pub forged_victims: u32,
    /// How many datagrams a second a stranger sends to each member on the internet itself, from addresses that are not its own;
    /// 0 is no such stranger.
    pub flood: u32,
    /// Members who mean no good. They are not among the members of the script, and may be anybody's company.
    pub insiders: Vec<Mischief>,
    /// The link of each of these hosts.
    pub link: LinkRules,
    /// Their address families.
    pub stack: Stack,
    /// What wall clocks show when the members begin, since midnight (UTC).
    pub begins: Duration,
}

/// DHT nodes that nobody would wish for, how many of each. All take part: they ask, answer `ping` and `find_node`, and so get
/// into routing tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hostile {
    /// They neither store nor tell anything: `get_peers` and `announce_peer` stay without an answer.
    pub silent: u32,
    /// They name peers and nodes where nobody is.
    pub lying: u32,
    /// They mean well, and take a second and a half each way.
    pub slow: u32,
    /// They mean well, and are each behind a NAT that lets in only whom they sent to: most who hear of them ask in vain.
    pub walled: u32,
    /// They have made-up ids around the topic of meeting 0, name each other, take announcements and keep nothing.
    pub sybils: u32,
    /// The same, with ids that follow from their addresses (BEP 42): of many addresses those were taken that fit, so that these are
    /// closer to the topic than most of a DHT of hundreds.
    pub placed: u32,
}

/// A STUN server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stun {
    /// It answers.
    Honest,
    /// It does not.
    Dead,
    /// It answers, and not as it should.
    Lying(Lie),
}

/// A lie of each kind, for those who try them all or draw one.
pub(super) const LIES: [Lie; 7] = [
    Lie::Everyone(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(30, 0, 0, 9)), 9)),
    Lie::Port(3),
    Lie::Private,
    Lie::Family,
    Lie::OtherSource,
    Lie::Late(Duration::from_secs(2)),
    Lie::Seldom(1),
];

/// What becomes of a machine's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Nothing can be written any more, as on one that is full; what is on it stays.
    Fails,
    /// It can be written again.
    Works,
    /// What was written last is gone, and what it replaced is back. So ends a write that the power cut short, too: a shell writes a
    /// file whole beside the old one before it takes its place.
    Loses,
    /// What is on it is damaged: cut in half.
    Damages,
}

/// One thing that happens, so long after the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// After the step before.
    pub after: Duration,
    /// The number of the fault it belongs to: the steps of one fault, such as a crash and the restart after it, can be
    /// taken out together.
    pub fault: Option<u16>,
    /// What.
    pub act: Act,
}

/// What can happen.
#[expect(clippy::large_enum_variant, reason = "a scenario has some hundred steps, and a law is plain data")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nodes start. On a host where one ran before it is a restart: a new incarnation, and nothing remembered.
    Start(Who),
    /// Nodes start with what their shells find on the disk: whom the DHT of an earlier run knew.
    StartSaved(Who),
    /// Nodes join a meeting.
    Join(Who, u8),
    /// Nodes say something in a meeting: each one message.
    Say(Who, u8),
    /// Nodes leave a meeting.
    Leave(Who, u8),
    /// Nodes are killed without a word, as by SIGKILL.
    Crash(Who),
    /// Machines fall asleep.
    Suspend(Who),
    /// Machines wake up, and tell their nodes.
    Resume(Who),
    /// Nothing passes between the first and the second any more.
    Sever(Who, Who),
    /// Nothing passes from the first to the second any more; the way back is open.
    Mute(Who, Who),
    /// They can reach each other again.
    Rejoin(Who, Who),
    /// All partitions end.
    Heal,
    /// All boxes before members restart: they forget every mapping and permission, and the members' public endpoints change.
    Reboot(Who),
    /// The same, and they have other external addresses from now on, as after a provider's nightly disconnection.
    Renumber(Who),
    /// Machines are carried to another network, and get addresses there.
    Move(Who, Place),
    /// Machines are carried home.
    GoHome(Who),
    /// Machines lose all addresses: the cable is pulled. [`Act::GoHome`] or [`Act::Move`] plugs it in.
    Unplug(Who),
    /// The wall clocks of machines are set, wrong or right; timers go on as they did.
    SetClock(Who, Clock),
    /// Something becomes of machines' disks.
    Harm(Who, Disk),
    /// An earlier run of the same identity goes on, on a machine of its own on the internet itself, and joins meeting 0: somebody
    /// copied what is on the disk. Nothing is owed to it; nothing may come undone by it.
    Twin(Who),
    /// The links of members change.
    Relink(Who, LinkRules),
    /// Their links are as they were in the beginning.
    Restore(Who),
    /// A node of the DHT, by number, is killed.
    DhtDown(u16),
    /// It comes back, remembering nothing.
    DhtUp(u16),
    /// A STUN server, by number, stops answering.
    StunDown(u16),
    /// It answers.
    StunUp(u16),
    /// Goes on as soon as nothing is pending: everyone who can be is connected, everything said has arrived and is
    /// acknowledged. That must be so within this time.
    Settle(Duration),
}

/// Which members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Number so-and-so.
    One(u16),
    /// The one of members 0 and 1 with the smaller device id: it controls ICE and opens DTLS.
    Smaller,
    /// The one of members 0 and 1 with the larger device id.
    Larger,
    /// Everyone.
    All,
}

/// What must be true at the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// So many DTLS handshakes were begun, in all.
    Handshakes(u64),
    /// No victim of a forger got more than so many datagrams, and all of them together no more than that.
    Victims {
        /// The most for one address.
        each: u64,
        /// The most for all.
        total: u64,
    },
    /// Every node said that no STUN server answers.
    StunWarning,
    /// Hostile DHT nodes were asked for peers, or given announcements, so often at least: else nothing is shown by what became of
    /// the meeting.
    Besieged(u64),
    /// Each insider did something to those who let it in so often at least.
    Deeds(u64),
    /// Between a pair: first data from the client to the server came within so long after both held each other's record,
    /// and from the server to the client within the other.
    FirstData {
        /// To the server: the one with the larger device id.
        to_server: Duration,
        /// To the client.
        to_client: Duration,
    },
}

impl Scenario {
    /// The same without one fault: its steps are gone, and all others happen when they did. What is drawn for packets,
    /// mappings and identities stays as it was, since draws are addressed.
    pub fn without_fault(&self, fault: u16) -> Self {
        self.keeping(|_, step| step.fault != Some(fault))
    }

    /// The numbers of all faults, in order of their first steps.
    pub fn faults(&self) -> Vec<u16> {
        let mut seen = Vec::new();
        for fault in self.steps.iter().filter_map(|step| step.fault) {
            if !seen.contains(&fault) {
                seen.push(fault);
            }
        }
        seen
    }

    /// The same with only some of its steps, at the times they had.
    pub(super) fn keeping(&self, keep: impl Fn(usize, &Step) -> bool) -> Self {
        let (mut steps, mut waited) = (Vec::with_capacity(self.steps.len()), Duration::ZERO);
        for (n, step) in self.steps.iter().enumerate() {
            if keep(n, step) {
                steps.push(Step { after: waited + step.after, ..*step });
                waited = Duration::ZERO;
            } else {
                waited += step.after;
            }
        }
        Self { steps, ..self.clone() }
    }
}

impl Act {
    /// Whether it changes what passes between members who run, and when.
    pub(super) fn is_of_network(&self) -> bool {
        matches!(
            self,
            Self::Suspend(_)
                | Self::Resume(_)
                | Self::Sever(..)
                | Self::Mute(..)
                | Self::Rejoin(..)
                | Self::Reboot(_)
                | Self::Renumber(_)
                | Self::Move(..)
                | Self::GoHome(_)
                | Self::Unplug(_)
                | Self::Relink(..)
                | Self::Restore(_)
        )
    }

    /// Whether something goes wrong with it.
    pub fn is_fault(&self) -> bool {
        match self {
            Self::Leave(..)
            | Self::Crash(_)
            | Self::Suspend(_)
            | Self::Sever(..)
            | Self::Mute(..)
            | Self::Reboot(_)
            | Self::Renumber(_)
            | Self::Move(..)
            | Self::Unplug(_)
            | Self::SetClock(..)
            | Self::Harm(..)
            | Self::Twin(_)
            | Self::Relink(..)
            | Self::DhtDown(_)
            | Self::StunDown(_) => true,
            Self::Start(_)
            | Self::StartSaved(_)
            | Self::GoHome(_)
            | Self::Join(..)
            | Self::Say(..)
            | Self::Resume(_)
            | Self::Rejoin(..)
            | Self::Heal
            | Self::Restore(_)
            | Self::DhtUp(_)
            | Self::StunUp(_)
            | Self::Settle(_) => false,
        }
    }
}

impl Act {
    /// The meeting that is joined by it.
    pub(super) fn joins(&self) -> Option<u8> {
        if let Self::Join(_, meeting) = self { Some(*meeting) } else { None }
    }

    /// The members it is about; none if it is about none, or about all alike.
    pub(super) fn whom(&self) -> [Option<Who>; 2] {
        match *self {
            Self::Start(who)
            | Self::StartSaved(who)
            | Self::Renumber(who)
            | Self::Move(who, _)
            | Self::GoHome(who)
            | Self::Unplug(who)
            | Self::SetClock(who, _)
            | Self::Harm(who, _)
            | Self::Twin(who)
            | Self::Join(who, _)
            | Self::Say(who, _)
            | Self::Leave(who, _)
            | Self::Crash(who)
            | Self::Suspend(who)
            | Self::Resume(who)
            | Self::Reboot(who)
            | Self::Relink(who, _)
            | Self::Restore(who) => [Some(who), None],
            Self::Sever(a, b) | Self::Mute(a, b) | Self::Rejoin(a, b) => [Some(a), Some(b)],
            Self::Heal
            | Self::DhtDown(_)
            | Self::DhtUp(_)
            | Self::StunDown(_)
            | Self::StunUp(_)
            | Self::Settle(_) => [None, None],
        }
    }
}

impl Home {
    /// On the internet itself.
    pub fn open(law: Law) -> Self {
        Self { boxes: Vec::new(), link: LinkRules::both(law), stack: Stack::V4, place: Place::Internet }
    }

    /// Behind boxes, innermost first.
    pub fn behind<B: Into<Gateway>>(boxes: impl IntoIterator<Item = B>, law: Law) -> Self {
        Self { boxes: boxes.into_iter().map(Into::into).collect(), ..Self::open(law) }
    }

    /// The same, with these address families.
    pub fn with_stack(self, stack: Stack) -> Self {
        Self { stack, ..self }
    }

    /// The same, in a network with others.
    pub fn within(self, site: u16) -> Self {
        Self { place: Place::Site(site), ..self }
    }
}

impl Site {
    /// Behind boxes, innermost first, on the internet itself.
    pub fn behind<B: Into<Gateway>>(boxes: impl IntoIterator<Item = B>) -> Self {
        let boxes = boxes.into_iter().map(Into::into).collect();
        Self { boxes, link: LinkRules::default(), place: Place::Internet, multicast: true }
    }
}

impl Hostile {
    /// How many there are.
    pub fn count(&self) -> u32 {
        let Self { silent, lying, slow, walled, sybils, placed } = self;
        [silent, lying, slow, walled, sybils, placed]
            .into_iter()
            .fold(0, |all, count| all.saturating_add(*count))
    }
}

impl Infrastructure {
    /// When wall clocks start if nothing else is said: at noon, far from any change of the day.
    pub const NOON: Duration = Duration::from_secs(12 * 3_600);

    /// Sixteen DHT nodes, two of which everyone is told of, and two STUN servers, 20 ms away.
    pub fn usual() -> Self {
        let link = LinkRules::both(Law { jitter: Duration::from_millis(5), ..Law::delay(20) });
        Self {
            dht_nodes: 16,
            hostile: Hostile::default(),
            entries: 2,
            stun: vec![Stun::Honest; 2],
            forged_victims: 0,
            flood: 0,
            insiders: Vec::new(),
            link,
            stack: Stack::V4,
            begins: Self::NOON,
        }
    }
}

impl Who {
    /// The numbers of the members meant, of `count`; `smaller` is the one of 0 and 1 with the smaller device id.
    pub(super) fn members(self, count: usize, smaller: usize) -> std::ops::Range<usize> {
        let one = match self {
            Self::All => return 0..count,
            Self::One(n) => usize::from(n),
            Self::Smaller => smaller,
            Self::Larger => 1 - smaller,
        };
        one.min(count)..(one + 1).min(count)
    }
}

/// A step at once.
pub(super) fn now(act: Act) -> Step {
    Step { after: Duration::ZERO, fault: None, act }
}

/// A step `millis` milliseconds after the one before.
pub(super) fn after(millis: u64, act: Act) -> Step {
    Step { after: Duration::from_millis(millis), fault: None, act }
}
