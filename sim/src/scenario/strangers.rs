//! Two people drawn from a mix of networks, who meet for the first time.

use std::time::Duration;

use super::library::surroundings;
use super::script::{Act, Home, Place, Scenario, Who, after, now};
use crate::net::{Endpoint, Law, LinkRules, Stack};

/// How long they may take; who has not met by then never will.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long those try who cannot meet, by the oracle: it might be wrong.
const VAIN: u64 = 25_000;

/// The meeting of two endpoints, each so far from the middle of the internet.
pub fn strangers(pair: [&Endpoint; 2], delays: [Duration; 2]) -> Scenario {
    let homes = pair.into_iter().zip(delays).map(|(endpoint, delay)| {
        let law = Law { jitter: delay / 10, ..Law { delay, ..Law::PERFECT } };
        let boxes = endpoint.boxes.clone();
        Home { boxes, link: LinkRules::both(law), stack: endpoint.stack, place: Place::Internet }
    });
    let steps = vec![
        now(Act::Start(Who::All)),
        now(Act::Join(Who::All, 0)),
        now(Act::Settle(PATIENCE)),
        after(VAIN, Act::Settle(Duration::ZERO)),
    ];
    let mut scenario = surroundings(homes.collect(), steps);
    scenario.name = "strangers".into();
    scenario.infrastructure.stack = Stack::Dual;
    scenario
}
