use quickcheck::quickcheck;

use super::*;

/// The steps of each fault, and when they happen if nothing is waited for.
fn faults(scenario: &Scenario) -> Vec<(Option<u16>, Act)> {
    let faults = scenario.steps.iter().filter(|step| step.fault.is_some());
    faults.map(|step| (step.fault, step.act)).collect()
}

/// A world of the second generation in which everything is enabled.
fn second() -> Record {
    let mut world = [0; 16];
    world[0] = SECOND;
    world[8..12].fill(255);
    Record(world)
}

quickcheck! {
    fn any_bytes_of_the_second_generation_are_a_scenario_that_reads_back(bytes: Vec<u8>) -> bool {
        let records = [vec![second()], Record::all(&bytes)].concat();
        let scenario = Record::scenario(&records);
        scenario.homes.len() >= 2 && scenario.to_string().parse() == Ok(scenario)
    }

    fn any_bytes_are_a_scenario_that_reads_back(bytes: Vec<u8>) -> bool {
        let scenario = Record::scenario(&Record::all(&bytes));
        scenario.homes.len() >= 2 && scenario.to_string().parse() == Ok(scenario)
    }

    fn bytes_that_a_record_does_not_need_are_ignored(noise: Vec<u8>) -> bool {
        let mut crash = [0; 16];
        (crash[0], crash[7]) = (Record::byte_of(Kind::Crash), 9);
        let mut world = [0; 16];
        world[8..10].fill(255);
        let mut noisy = crash;
        for (byte, noise) in noisy[8..].iter_mut().zip(noise) {
            *byte = noise;
        }
        Record::scenario(&[Record(world), Record(crash)])
            == Record::scenario(&[Record(world), Record(noisy)])
    }
}

#[test]
fn deleting_a_record_takes_one_fault_and_no_more() {
    let mut world = [0; 16];
    world[8..10].fill(255);
    let fault = |kind, who| {
        let mut bytes = [0; 16];
        (bytes[0], bytes[1], bytes[3], bytes[5], bytes[7]) = (Record::byte_of(kind), who, 0b0101, 90, 30);
        Record(bytes)
    };
    let [crash, sleep] = [fault(Kind::Crash, 0), fault(Kind::Sleep, 1)];
    let [reboot, say] = [fault(Kind::Reboot, 0), fault(Kind::Say, 0)];
    let whole = faults(&Record::scenario(&[Record(world), crash, sleep, reboot, say]));
    let less = faults(&Record::scenario(&[Record(world), crash, sleep, say]));
    let without: Vec<_> = whole.iter().copied().filter(|(fault, _)| *fault != Some(3)).collect();
    assert_eq!((less, whole.len()), (without, 6));
}

/// Whatever begins ends, or is mended when all is mended: in the end every machine is at home, with its clock and its disk as they were.
#[test]
fn in_the_end_nothing_is_wrong() {
    for seed in 0..200 {
        let scenario = crate::scenario::find_as_of(crate::scenario::LATEST, "storm", seed).unwrap();
        let mut away = std::collections::BTreeSet::new();
        let (mut wrong, mut full) = (away.clone(), away.clone());
        let mut clocks = std::collections::BTreeMap::new();
        for step in &scenario.steps {
            let who = step.act.whom()[0].and_then(|who| if let Who::One(n) = who { Some(n) } else { None });
            let Some(who) = who else { continue };
            match step.act {
                Act::Move(..) | Act::Unplug(_) => drop(away.insert(who)),
                Act::GoHome(_) => assert!(away.remove(&who), "seed {seed}: member {who} is at home"),
                Act::SetClock(_, clock) if step.fault.is_none() => drop(clocks.insert(who, clock)),
                Act::SetClock(_, clock) if clock == clocks.get(&who).copied().unwrap_or_default() => {
                    wrong.remove(&who);
                }
                Act::SetClock(..) => drop(wrong.insert(who)),
                Act::Harm(_, Disk::Fails) => drop(full.insert(who)),
                Act::Harm(_, Disk::Works) => drop(full.remove(&who)),
                _ => {}
            }
        }
        assert!(away.is_empty() && wrong.is_empty() && full.is_empty(), "seed {seed}: {scenario}");
    }
}

#[test]
fn every_class_comes_about() {
    let drawn: Vec<_> = (0..200)
        .map(|seed| crate::scenario::find_as_of(crate::scenario::LATEST, "storm", seed).unwrap())
        .collect();
    let some = |what: fn(&Scenario) -> bool| drawn.iter().filter(|it| what(it)).count();
    let acts = |what: fn(&Act) -> bool| {
        drawn.iter().filter(|it| it.steps.iter().any(|step| what(&step.act))).count()
    };
    let counts = [
        ("shared", some(|it| it.homes.iter().any(|home| home.place != Place::Internet))),
        ("hostile", some(|it| it.infrastructure.hostile.count() > 0)),
        ("liar", some(|it| it.infrastructure.stun.len() == 3)),
        ("midnight", some(|it| it.infrastructure.begins != Infrastructure::NOON)),
        ("families", some(|it| it.homes.iter().any(|home| home.stack != crate::net::Stack::V4))),
        ("narrow", some(|it| it.homes.iter().any(|home| home.link.up.mtu.is_some()))),
        ("slow", some(|it| it.homes.iter().any(|home| home.link.up.rate.is_some()))),
        ("move", acts(|act| matches!(act, Act::Move(..)))),
        ("unplug", acts(|act| matches!(act, Act::Unplug(_)))),
        ("renumber", acts(|act| matches!(act, Act::Renumber(_)))),
        ("clock", acts(|act| matches!(act, Act::SetClock(..)))),
        ("disk", acts(|act| matches!(act, Act::Harm(..)))),
        ("saved", acts(|act| matches!(act, Act::StartSaved(_)))),
        ("mute", acts(|act| matches!(act, Act::Mute(..)))),
    ];
    for (what, count) in counts {
        assert!((20..180).contains(&count), "{what} in {count} of 200");
    }
}
