use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use folkmoot_core::base::InfoHash;

use super::address::Prefixes;
use super::ambient::Ambient;
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
}

impl Attack {
    /// All that are published.
    pub const ALL: [Self; 11] = [
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
    ];
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

const TOPIC: Subject = Subject::Scenario(0x9015);
const BYSTANDER: IpAddr = IpAddr::V4(Ipv4Addr::new(193, 0, 14, 129));

/// Lets pairs of production machines announce and look up topics in a network of 100,000 nodes, a quarter of them dead,
/// under an attack.
pub fn poison(seed: u64, attack: Attack, pairs: u64, topics_of_pair: u32) -> Outcome {
    let ambient = Ambient::new(seed, 100_000, Chance::percent(25));
    let law = Law::new(seed);
    let prefixes = (attack == Attack::Fitting).then(Prefixes::all);
    let foes = || {
        let crowd = |share, way| Foes::Crowd { share: Chance::percent(share), way };
        match attack {
            Attack::None | Attack::MadeUp | Attack::Fitting => Foes::None,
            Attack::Drop(share) => crowd(share, Way::Drop),
            Attack::Lie(share) => crowd(share, Way::Lie),
            Attack::Themselves(share) => crowd(share, Way::Themselves),
            Attack::Bystander(share) => crowd(share, Way::Victim(BYSTANDER)),
        }
    };
    let mut outcome = Outcome::default();
    let (mut stored, mut datagrams) = (0, 0);
    for pair in 0..pairs {
        let [mut first, mut second] = [2 * pair + 1, 2 * pair + 2].map(|number| {
            let mut member = Looker::new(Scene::with(&ambient, foes()), law, number);
            member.join();
            member.run_for(Duration::from_secs(600));
            member.mind(BYSTANDER);
            member
        });
        let before = first.traffic().sent + second.traffic().sent;
        for index in 0..topics_of_pair {
            let mut topic = InfoHash([0; 20]);
            topic.0.copy_from_slice(&Draws::new(seed).bytes(TOPIC, pair << 32 | u64::from(index))[..20]);
            if matches!(attack, Attack::MadeUp | Attack::Fitting) {
                let plant = |member: &mut Looker<'_>| {
                    let sybils = Sybils::new(seed, topic.0, 64, prefixes.as_ref());
                    *member.scene_mut().foes_mut() = Foes::Sybils(sybils);
                };
                plant(&mut first);
                plant(&mut second);
            }
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
