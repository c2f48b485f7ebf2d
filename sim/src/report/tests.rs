use std::time::Duration;

use super::*;
use crate::dht::{Conditions, walks};
use crate::scenario::{Options, Outcome, Scenario, find, run};
use crate::stub::Tier;

fn played(scenario: &Scenario, tape: bool) -> Outcome {
    run(scenario, 1, Options { tape, tier: Tier::Stub, ..Options::default() })
}

/// Whether every element that is opened is closed, in order, and nothing is in it that would be fetched or run.
fn check_picture(svg: &str) {
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').expect("a tag ends");
        assert!(!text.contains('>') || open.last() == Some(&"style"), "{text}");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split(' ').next().unwrap_or_default()),
        }
    }
    assert_eq!(open, [""; 0]);
    let fetched = svg.replace("http://www.w3.org/2000/svg", "");
    for word in ["http", "url(", "href", "<script", "@import", "NaN", "inf\""] {
        assert!(!fetched.contains(word), "{word}");
    }
}

#[test]
fn a_tape_changes_nothing() {
    let scenario = find("nat-four", 1).unwrap();
    let (with, without) = (played(&scenario, true), played(&scenario, false));
    assert_eq!((with.hash, with.records_count), (without.hash, without.records_count));
    assert!(with.tape.is_some() && without.tape.is_none());
    assert_eq!(ladder(&without, (0, 1)), None);
    assert_eq!(pcapng(&without), None);
}

#[test]
fn a_ladder_shows_the_boxes_and_why_packets_are_dropped() {
    let outcome = played(&find("nat-four", 1).unwrap(), true);
    let picture = ladder(&outcome, (1, 3)).unwrap();
    check_picture(&picture);
    for text in [
        "eim+adf",
        "eim+eif",
        "filtered: nothing was sent to ",
        "STUN check",
        "is connected to member3",
        "NAT table before member3",
        "Dropped: ",
    ] {
        assert!(picture.contains(text), "{text}");
    }
    assert_eq!(ladder(&outcome, (1, 1)), None);
    assert_eq!(ladder(&outcome, (1, 4)), None);
}

#[test]
fn a_film_shows_who_was_away_and_why() {
    let outcome = played(&find("restart:smaller", 1).unwrap(), false);
    let picture = film(&outcome);
    check_picture(&picture);
    assert!(picture.contains("crash"), "the fault is named");
    assert!(picture.matches("f-off").count() > 2, "beside legend and style: it was away");
    let calm = film(&played(&find("open-four", 1).unwrap(), false));
    check_picture(&calm);
    assert_eq!(calm.matches("class=\"f-good\"").count(), 1 + 4 * 3, "all see all");
}

#[test]
fn what_people_wrote_cannot_leave_its_place() {
    let mut outcome = played(&find("open-four", 1).unwrap(), true);
    outcome.scenario = "scenario </text><script>alert(1)</script>&".into();
    outcome.cast[0].name = "\"><b>\u{1}".into();
    check_picture(&film(&outcome));
    check_picture(&ladder(&outcome, (0, 1)).unwrap());
}

#[test]
fn grids_and_curves_are_pictures() {
    let cell = Cell { connected: 1, runs: 2, median: Some(Duration::from_millis(740)), ..Cell::default() };
    let picture = grid("a", &["a<b".into()], &[vec![cell]]);
    check_picture(&picture);
    assert!(picture.contains("1/2") && picture.contains("0.74 s") && picture.contains("a&lt;b"));
    let never = Joins { loss: 90, times: Vec::new(), runs: 0 };
    let some = Joins { loss: 5, times: vec![Duration::from_millis(900)], runs: 2 };
    let picture = joins(&[never, some]);
    check_picture(&picture);
    assert!(picture.contains("median never"));
    check_picture(&joins(&[]));
    let row = |members, events| Grown { members, events, cpu_ms: 0.0, packets: events / 2.0 };
    let picture = growth(&[row(100.0, 3.3e6), row(2.0, 3_818.0), row(0.0, 1.0)]);
    check_picture(&picture);
    assert!(picture.contains("10 M") && picture.contains("100 members: 3,300,000 events"));
    check_picture(&growth(&[]));
}

#[test]
fn shares_stand_beside_published_ones_with_their_caveat() {
    let share = Share { what: "a<b".into(), good: 3, tries: 4, range: (30.0, 95.0) };
    let group = Group { title: "all".into(), published: &PUNCHING, simulated: vec![share] };
    let picture = success(&[group], "by construction & so on");
    check_picture(&picture);
    for text in ["70 ± 7.1 %", "arXiv", "75.0 %", "a&lt;b, 3 of 4", "by construction &amp; so on"] {
        assert!(picture.contains(text), "{text}");
    }
    check_picture(&success(&[], ""));
}

#[test]
fn lookups_are_drawn_answer_by_answer() {
    let stay = Duration::from_secs(60);
    let conditions =
        Conditions { seed: 3, networks: 1, nodes: 2_000, dead: 0, unbound: 0, lookers: 1, targets: 5, stay };
    let networks =
        [0, 45].map(|dead| Lookups { dead, nodes: 2_000, walks: walks(Conditions { dead, ..conditions }) });
    let picture = lookups(&networks);
    check_picture(&picture);
    assert!(picture.contains("among 2,000 nodes") && picture.matches("ghost").count() >= 8);
    check_picture(&lookups(&[]));
}
