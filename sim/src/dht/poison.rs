use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use folkmoot_core::base::InfoHash;

use super::address::Prefixes;
use super::ambient::{Ambient, Place};
use super::foes::{Foes, Sybils, Way};
use super::law::Law;
use super::looker::Looker;
use super::scene::Scene;
use crate::engine::{Chance, Draws, Subject};

/// Who tries to keep two members from finding each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// Nobody: what is lost and dead hides a topic now and then, too.
    None,
    /// So many nodes of a hundred answer nothing.
    Drop(u32),
    /// So many of a hundred name nodes and peers that are not there.
    Lie(u32),
    /// So many of a hundred name each other, under ids made up next to the topic.
    Themselves(u32),
    /// So many of a hundred name a bystander, as nodes next to the topic and as peers.
    Bystander(u32),
    /// 64 nodes around each topic, with made-up ids.
    MadeUp,
    /// 64 nodes around each topic, at addresses from which such ids follow.
    Fitting,
    /// The same, but not conspicuously close together: so many for each honest node that is as close.
    Spaced(u32),
    /// The same, who come only once the topic was announced.
    Late(u32),
    /// The same as [`Attack::Fitting`], who come only once the topic was announced.
    LateFitting,
    /// So many of a hundred answer rightly until the topic was announced, also to them, and from then on name each other.
    Turning(u32),
}

impl Attack {
    /// All that are published.
    pub const ALL: [Self; 18] = [
        Self::None,
        Self::Drop(5),
        Self::Drop(20),
        Self::Lie(5),
        Self::Lie(20),
        Self::Themselves(5),
        Self::Themselves(20),
        Self::Bystander(5),
        Self::Bystander(20),
        Self::MadeUp,
        Self::Fitting,
        Self::Spaced(1),
        Self::Spaced(3),
        Self::Spaced(8),
        Self::LateFitting,
        Self::Late(3),
        Self::Late(8),
        Self::Turning(20),
    ];
}

impl Attack {
    /// Whether the attacker chooses addresses from which the ids that it wants follow.
    fn has_fitting_addresses(self) -> bool {
        matches!(self, Self::Fitting | Self::Spaced(_) | Self::Late(_) | Self::LateFitting)
    }
}

impl std::fmt::Display for Attack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Drop(share) => write!(f, "{share} % answer nothing"),
            Self::Lie(share) => write!(f, "{share} % name nodes and peers that are not there"),
            Self::Themselves(share) => write!(f, "{share} % name each other, next to the topic"),
            Self::Bystander(share) => write!(f, "{share} % name a bystander"),
            Self::MadeUp => f.write_str("64 around the topic, ids made up"),
            Self::Fitting => f.write_str("64 around the topic, ids that follow from their addresses"),
            Self::Spaced(each) => write!(f, "64 around the topic, {each} for each honest node, such ids"),
            Self::LateFitting => f.write_str("64 around the topic, such ids, once announced"),
            Self::Late(each) => {
                write!(f, "64 around the topic, {each} for each honest node, such ids, once announced")
            }
            Self::Turning(share) => {
                write!(f, "{share} % answer rightly, and name each other once it is announced")
            }
        }
    }
}

/// What came of an attack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Topics that one member announced and another one then looked up.
    pub topics: u32,
    /// Of these: the second was not told of the first.
    pub hidden: u32,
    /// The first was announced to nobody who means well.
    pub hijacked: u32,
    /// Nodes that mean well and stored the first, in hundredths on average.
    pub stored: u64,
    /// Datagrams that both sent for a topic, in tenths on average.
    pub datagrams: u64,
    /// Bytes that both sent to the bystander of their own accord.
    pub to_bystander: u64,
    /// Bytes that hostile nodes sent to both.
    pub from_hostile: u64,
    /// The most memory that one of them took, in bytes.
    pub memory: usize,
}

/// Nodes that are placed around a topic.
const SYBILS: usize = 64;

/// Well-known hosts with IPv4 addresses that the product knows.
const HOSTS: usize = 4;

const TOPIC: Subject = Subject::Scenario(0x9015);
const BYSTANDER: IpAddr = IpAddr::V4(Ipv4Addr::new(193, 0, 14, 129));

/// Lets pairs of production machines announce and look up topics in a network of 100,000 nodes, a quarter of them dead,
/// under an attack.
pub fn poison(seed: u64, attack: Attack, pairs: u64, topics_of_pair: u32) -> Outcome {
    let ambient = Ambient::new(seed, 100_000, Chance::percent(25));
    let law = Law::new(seed);
    let prefixes = attack.has_fitting_addresses().then(Prefixes::all);
    let foes = || {
        let crowd = |share, way| Foes::Crowd { share: Chance::percent(share), way };
        match attack {
            Attack::Turning(share) => crowd(share, Way::Patience),
            Attack::Drop(share) => crowd(share, Way::Drop),
            Attack::Lie(share) => crowd(share, Way::Lie),
            Attack::Themselves(share) => crowd(share, Way::Themselves),
            Attack::Bystander(share) => crowd(share, Way::Victim(BYSTANDER)),
            _ => Foes::None,
        }
    };
    let alive = ambient.len() as u64 * 3 / 4;
    let sybils = |topic: InfoHash| {
        let distances: Vec<u64> = match attack {
            Attack::Spaced(each) | Attack::Late(each) => {
                let gap = u64::MAX / alive / u64::from(each);
                (0..SYBILS as u64).map(|index| gap / 2 + gap * index).collect()
            }
            Attack::MadeUp | Attack::Fitting | Attack::LateFitting => {
                return Some(Foes::Sybils(Sybils::new(seed, topic.0, SYBILS, prefixes.as_ref())));
            }
            _ => return None,
        };
        Some(Foes::Sybils(Sybils::at_distances(seed, topic.0, &distances, prefixes.as_ref())))
    };
    let plant = |member: &mut Looker<'_>, topic: InfoHash| {
        if let Some(foes) = sybils(topic) {
            *member.scene_mut().foes_mut() = foes;
        }
    };
    let is_late = matches!(attack, Attack::Late(_) | Attack::LateFitting);
    let mut outcome = Outcome::default();
    let (mut stored, mut datagrams) = (0, 0);
    for pair in 0..pairs {
        let [mut first, mut second] = [2 * pair + 1, 2 * pair + 2].map(|number| {
            let mut member = Looker::new(Scene::with(&ambient, foes()), law, number);
            let hosts = entries(member.scene_mut(), number);
            member.join_by(&hosts);
            member.run_for(Duration::from_secs(600));
            member.mind(BYSTANDER);
            member
        });
        let before = first.traffic().sent + second.traffic().sent;
        for index in 0..topics_of_pair {
            let mut topic = InfoHash([0; 20]);
            topic.0.copy_from_slice(&Draws::new(seed).bytes(TOPIC, pair << 32 | u64::from(index))[..20]);
            if let Attack::Turning(share) = attack {
                *second.scene_mut().foes_mut() =
                    Foes::Crowd { share: Chance::percent(share), way: Way::Themselves };
            }
            if is_late {
                *first.scene_mut().foes_mut() = Foes::None;
            } else {
                plant(&mut first, topic);
            }
            plant(&mut second, topic);
            first.meet(topic);
            let honest = first.scene_mut().stored_mut().get(&topic.0).map_or(0, |nodes| nodes.len());
            *second.scene_mut().stored_mut() = std::mem::take(first.scene_mut().stored_mut());
            let heard = second.meet(topic);
            second.scene_mut().stored_mut().clear();
            outcome.topics += 1;
            outcome.hidden += u32::from(!heard.contains(&first.addr()));
            outcome.hijacked += u32::from(honest == 0);
            stored += honest as u64;
            for member in [&mut first, &mut second] {
                outcome.memory = outcome.memory.max(member.dht().footprint());
                member.part(topic);
            }
        }
        datagrams += first.traffic().sent + second.traffic().sent - before;
        outcome.to_bystander += first.toward().questions + second.toward().questions;
        outcome.from_hostile += first.scene_mut().hostile_bytes + second.scene_mut().hostile_bytes;
    }
    let topics = u64::from(outcome.topics.max(1));
    Outcome { stored: stored * 100 / topics, datagrams: datagrams * 10 / topics, ..outcome }
}

/// Where a member enters: as many hosts as are well known, of which all but one are hostile, if anybody is.
fn entries(scene: &mut Scene<'_>, number: u64) -> Vec<Place> {
    let live = scene.ambient().some_live(number, 200);
    let (honest, hostile): (Vec<Place>, Vec<Place>) =
        live.into_iter().partition(|host| scene.is_honest(*host));
    hostile.into_iter().take(HOSTS - 1).chain(honest).take(HOSTS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_peace_everybody_is_found() {
        let outcome = poison(5, Attack::None, 1, 5);
        assert_eq!((outcome.topics, outcome.hidden, outcome.hijacked, outcome.from_hostile), (5, 0, 0, 0));
        assert!(outcome.stored >= 700, "{outcome:?}");
    }

    /// An attack that is none would prove nothing.
    #[test]
    fn the_attackers_do_attack() {
        assert!(poison(5, Attack::Lie(20), 1, 3).from_hostile > 10_000);
        let bystander = poison(5, Attack::Bystander(20), 1, 3);
        assert!(
            bystander.to_bystander > 0 && bystander.to_bystander <= bystander.from_hostile,
            "{bystander:?}"
        );
        let sybils = poison(5, Attack::MadeUp, 1, 3);
        assert!(sybils.from_hostile > 5_000, "{sybils:?}");
    }
}
