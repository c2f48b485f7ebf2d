//! Every scenario of the library with a few seeds. Large sweeps are `moot-sim sweep`'s.

use std::time::Duration;

use folkmoot_sim::Tier;
use folkmoot_sim::scenario::{self, Act, Goal, NAMES, Options, Outcome, Scenario};

fn play(name: &str, seed: u64) -> Outcome {
    scenario::run(&scenario::find(name, seed).unwrap(), seed, Options::default())
}

fn good(name: &str, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let outcome = play(name, seed);
        assert!(outcome.is_good(), "moot-sim run {name} --seed {seed}\n{outcome}");
    }
}

#[test]
fn every_scenario_is_in_here() {
    // Below is one test each, so that they run side by side.
    assert_eq!(NAMES.len(), 32);
}

macro_rules! scenarios {
    ($($test:ident = $name:literal for $seeds:expr;)*) => {$(
        #[test]
        fn $test() {
            good($name, $seeds);
        }
    )*};
}

scenarios! {
    open_four = "open-four" for 0..4;
    nat_four = "nat-four" for 0..4;
    symmetric = "symmetric" for 0..4;
    loss_five_percent = "loss-five-percent" for 0..8;
    restart_drawn = "restart" for 0..12;
    restart_smaller = "restart:smaller" for 100..104;
    restart_larger = "restart:larger" for 100..104;
    restart_both = "restart:both" for 100..104;
    two_meetings = "two-meetings" for 0..2;
    forged_peers = "forged-peers" for 0..1;
    fifty_at_once = "fifty-at-once" for 0..1;
    first_data = "first-data" for 0..2;
    stun_dead = "stun-dead" for 0..2;
    storm = "storm" for 0..8;
    both_families = "both-families" for 0..4;
    narrow = "narrow" for 0..2;
    asleep = "asleep" for 0..2;
    saved = "saved" for 0..2;
    lost_write = "lost-write" for 0..1;
    no_way_in = "no-way-in" for 0..1;
    household = "household" for 0..1;
    hairpin = "hairpin" for 0..1;
    roaming = "roaming" for 0..2;
    clocks = "clocks" for 0..1;
    midnight = "midnight" for 0..2;
    liars = "liars" for 0..1;
    hostile_dht = "hostile-dht" for 0..2;
    one_way = "one-way" for 0..1;
    black_hole = "black-hole" for 0..1;
    through_members = "through-members" for 0..2;
    hotel = "hotel" for 0..1;
}

/// Half an hour of eight members, over the stand-in for DTLS.
#[test]
fn gale() {
    let options = Options { tier: Tier::Stub, ..Options::default() };
    let outcome = scenario::run(&scenario::find("gale", 0).unwrap(), 0, options);
    assert!(outcome.is_good(), "moot-sim replay gale/0\n{outcome}");
    assert!(outcome.hard_minutes > 15, "{} minutes with a fault", outcome.hard_minutes);
}

/// Runs a scenario with its goals replaced, which it must then fail.
fn fails(name: &str, change: impl FnOnce(&mut Scenario)) -> String {
    let mut scenario = scenario::find(name, 0).unwrap();
    change(&mut scenario);
    let outcome = scenario::run(&scenario, 0, Options::default());
    assert!(!outcome.is_good(), "{scenario}");
    outcome.to_string()
}

#[test]
fn goals_can_be_missed() {
    let said = fails("first-data", |it| it.goals = vec![Goal::Handshakes(2)]);
    assert!(said.contains("1 DTLS handshakes instead of 2"), "{said}");
    let said = fails("first-data", |it| it.goals = vec![Goal::StunWarning]);
    assert!(said.contains("does not say that STUN is dead"), "{said}");
    let quick = Duration::from_millis(1);
    let said = fails("first-data", |it| {
        it.goals = vec![Goal::FirstData { to_server: quick, to_client: quick }];
    });
    assert!(said.contains("first_data_to_server"), "{said}");
}

#[test]
fn what_is_not_done_in_time_is_listed_as_pending() {
    // Nobody connects within a hundredth of a second.
    let said = fails("open-four", |it| {
        it.homes.truncate(2);
        for step in &mut it.steps {
            if let Act::Settle(within) = &mut step.act {
                *within = Duration::from_millis(10);
            }
        }
    });
    assert!(said.contains("2 things are pending after 10ms"), "{said}");
    assert!(said.contains("pending: 0 is not connected to 1 in meeting 0 (direct"), "{said}");
}

/// What a restart with saved state shows is owed to that state: without it, nobody is found.
#[test]
fn without_its_state_a_node_finds_nobody_once_the_entries_are_gone() {
    let text = scenario::find("saved", 0).unwrap().to_text();
    let forgetful = text.replace("start 0 saved", "start 0");
    assert_ne!(text, forgetful);
    let outcome = scenario::run(&forgetful.parse().unwrap(), 0, Options::default());
    let problem = outcome.first_problem().expect("it cannot come back");
    assert_eq!(problem.property, scenario::Property::Connect, "{outcome}");
}
