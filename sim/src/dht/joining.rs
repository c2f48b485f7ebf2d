use std::time::Duration;

use folkmoot_core::base::InfoHash;

use super::ambient::Ambient;
use super::law::Law;
use super::looker::{Looker, Traffic};
use super::scene::Scene;
use crate::engine::{Chance, Draws, Subject};

/// What it took to become part of a network and to be announced there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joining {
    /// Until a topic was announced and eight nodes were known.
    pub time: Duration,
    /// Datagrams and bytes of payload until then, both ways.
    pub traffic: Traffic,
}

impl Joining {
    /// Datagrams sent and received.
    pub fn datagrams(&self) -> u64 {
        self.traffic.sent + self.traffic.received
    }

    /// Bytes of payload sent and received.
    pub fn bytes(&self) -> u64 {
        self.traffic.sent_bytes + self.traffic.received_bytes
    }
}

/// Lets machines join a network of so many nodes, a quarter of them dead, each on its own, and announce a topic at once.
/// One for which that takes more than a minute is left out.
pub fn joinings(seed: u64, nodes: u32, machines: u64) -> Vec<Joining> {
    let ambient = Ambient::new(seed, nodes, Chance::percent(25));
    let law = Law::new(seed);
    let join = |number| {
        let mut looker = Looker::new(Scene::peaceful(&ambient), law, number);
        let mut topic = InfoHash([0; 20]);
        topic.0.copy_from_slice(&Draws::new(seed).bytes(Subject::Scenario(0x1013), number)[..20]);
        let time = looker.join_and_announce(topic)?;
        Some(Joining { time, traffic: looker.traffic() })
    };
    (1..=machines).filter_map(join).collect()
}

#[cfg(test)]
mod tests {
    use folkmoot_core::dht::{JOIN_BYTES, JOIN_DATAGRAMS};

    use super::*;

    #[test]
    fn the_budget_is_kept() {
        for nodes in [10_000, 100_000] {
            let all = joinings(2, nodes, 40);
            assert_eq!(all.len(), 40);
            let over =
                |joining: &&Joining| joining.datagrams() > JOIN_DATAGRAMS || joining.bytes() > JOIN_BYTES;
            let over = all.iter().filter(over).count();
            assert!(over <= 2, "{over} of 40 are over the budget: {all:?}");
        }
    }
}
