use std::time::Duration;

use folkmoot_core::base::UnixTime;
use folkmoot_core::node::{DisconnectReason, Path, Tag, Trouble};

use super::*;
use crate::net::{LinkRules, Why};
use crate::scenario::script::Who;

const NOW: Time = Time::ZERO;
const MEETING: MeetingHandle = MeetingHandle(0);
const TROUBLE: Event = Event::Trouble { meeting: None, trouble: Trouble::Nobody(60) };

fn device(who: u8) -> DeviceId {
    DeviceId([who; 32])
}

fn member(who: u8) -> MemberId {
    MemberId([100 + who; 32])
}

fn connected(to: u8) -> Event {
    Event::Connected {
        meeting: MEETING,
        member: member(to),
        device: device(to),
        name: String::new(),
        path: Path::V4,
        since_join: Duration::ZERO,
    }
}

fn disconnected(from: u8) -> Event {
    let (member, device) = (member(from), device(from));
    Event::Disconnected { meeting: MEETING, member, device, reason: DisconnectReason::Silent }
}

fn message(from: u8, seq: u64, text: &str) -> Event {
    Event::Message {
        meeting: MEETING,
        from: member(from),
        device: device(from),
        name: String::new(),
        seq,
        at: UnixTime::default(),
        text: text.into(),
        history: false,
    }
}

fn sent(tag: u64, seq: u64) -> Event {
    Event::Sent { meeting: MEETING, tag: Tag(tag), seq }
}

fn delivered(seq: u64, to: u8) -> Event {
    Event::Delivered { meeting: MEETING, seq, to: member(to) }
}

/// Three members in meeting 0, of whom 0 and 1 can connect to each other and nobody to 2.
fn checker() -> Checker {
    let verdict = |a: usize, b: usize| {
        if a < 2 && b < 2 { Verdict::yes(Why::BothStable) } else { Verdict::no(Why::UdpBlocked) }
    };
    let verdicts = (0..3).map(|a| (0..3).map(|b| verdict(a, b)).collect()).collect();
    let mut check = Checker::new((0..3).map(|who| (device(who), member(who))), verdicts);
    for who in 0..3 {
        check.started(who);
        check.joined(who, 0);
    }
    // Who can connect to nobody has been told so.
    check.event(NOW, 2, &TROUBLE);
    check
}

/// As [`checker`], with 0 and 1 connected and two messages said by 0; and their texts.
fn talking() -> (Checker, [String; 2]) {
    let mut check = checker();
    check.event(NOW, 0, &connected(1));
    check.event(NOW, 1, &connected(0));
    let texts = [(); 2].map(|()| check.says(NOW, 0, 0).0);
    for n in 0..2 {
        check.event(NOW, 0, &sent(n, n));
    }
    assert_eq!(check.problems, Problems::default());
    (check, texts)
}

/// That these events of one member are a problem, the last of them and no earlier one.
fn forbidden(mut check: Checker, who: usize, events: &[Event]) {
    for event in events {
        assert_eq!(check.problems, Problems::default(), "before {event:?}");
        check.event(NOW, who, event);
    }
    assert_eq!(check.problems.list.len(), 1, "{events:?}");
}

#[test]
fn a_meeting_settles_step_by_step() {
    let mut check = checker();
    let pending = |check: &Checker| check.pending().count();
    assert_eq!((pending(&check), check.is_settled()), (2, false));
    check.event(NOW, 0, &connected(1));
    check.event(NOW, 1, &connected(0));
    assert_eq!((pending(&check), check.is_settled()), (0, true), "nobody can connect to 2");
    let (text, tag) = check.says(NOW, 0, 0);
    check.event(NOW, 0, &sent(tag, 0));
    assert_eq!((pending(&check), check.is_settled()), (2, false));
    check.event(NOW, 1, &message(0, 0, &text));
    assert_eq!((pending(&check), check.is_settled()), (1, false));
    check.event(NOW, 0, &delivered(0, 1));
    assert!(check.is_settled());
    assert_eq!(check.problems, Problems::default());
}

#[test]
fn connections_that_must_not_be() {
    forbidden(checker(), 0, &[connected(0)]);
    forbidden(checker(), 0, &[connected(9)]);
    let mut elsewhere = connected(1);
    if let Event::Connected { meeting, .. } = &mut elsewhere {
        *meeting = MeetingHandle(1);
    }
    forbidden(checker(), 0, &[elsewhere]);
    forbidden(checker(), 0, &[connected(1), connected(1)]);
    forbidden(checker(), 0, &[disconnected(1)]);
    forbidden(checker(), 0, &[connected(1), disconnected(1), disconnected(1)]);
    let mut check = talking().0;
    check.event(NOW, 1, &disconnected(0));
    check.left(NOW, 1, 0);
    assert!(check.pending().map(|(pending, _)| pending).eq(["0 does not know that 1 has left meeting 0"]));
    check.event(NOW, 0, &disconnected(1));
    assert!(check.is_settled());
    let mut check = talking().0;
    check.left(NOW, 1, 0);
    assert_eq!(check.problems.list.len(), 1, "left without being disconnected");
}

#[test]
fn messages_that_must_not_be() {
    let texts = talking().1;
    let [first, second] = [0, 1].map(|n| message(0, n as u64, &texts[n]));
    let case = |who, events: &[Event]| forbidden(talking().0, who, events);
    case(1, &[message(0, 0, "nobody said this")]);
    case(1, &[message(2, 0, &texts[0])]);
    case(0, std::slice::from_ref(&first));
    case(1, &[first.clone(), first.clone()]);
    case(1, &[second, first]);
    case(1, &[message(0, 1, &texts[0])]);
    let mut elsewhere = message(0, 0, &texts[0]);
    if let Event::Message { meeting, .. } = &mut elsewhere {
        *meeting = MeetingHandle(1);
    }
    case(1, &[elsewhere]);
}

#[test]
fn acknowledgements_that_must_not_be() {
    let (mut check, texts) = talking();
    check.event(NOW, 1, &message(0, 0, &texts[0]));
    forbidden(check, 0, &[delivered(0, 1), delivered(0, 1)]);
    let case = |events: &[Event]| forbidden(talking().0, 0, events);
    case(&[delivered(0, 1)]);
    case(&[delivered(7, 1)]);
    case(&[delivered(0, 9)]);
    case(&[sent(0, 5)]);
    case(&[sent(9, 2)]);
    forbidden(talking().0, 1, &[sent(0, 0)]);
}

#[test]
fn a_restart_owes_everything_again_but_no_second_acknowledgement() {
    let (mut check, texts) = talking();
    for (n, text) in (0..).zip(&texts) {
        check.event(NOW, 1, &message(0, n, text));
        check.event(NOW, 0, &delivered(n, 1));
    }
    assert!(check.is_settled());
    check.crashed(1);
    let pending: Vec<_> = check.pending().map(|(pending, _)| pending).collect();
    assert_eq!(
        pending,
        ["0 does not know that 1 is dead in meeting 0"],
        "nothing is owed to who is not here"
    );
    check.started(1);
    check.joined(1, 0);
    assert_eq!(check.pending().count(), 4, "two connections, two messages");
    check.event(NOW, 0, &disconnected(1));
    check.event(NOW, 0, &connected(1));
    check.event(NOW, 1, &connected(0));
    for (n, text) in (0..).zip(&texts) {
        check.event(NOW, 1, &message(0, n, text));
    }
    assert!(check.is_settled());
    // What the old run of an author said is owed no more.
    check.crashed(0);
    check.started(0);
    check.joined(0, 0);
    assert!(check.pending().all(|(pending, _)| pending.contains("not connected")));
    assert_eq!(check.problems, Problems::default());
}

#[test]
fn newcomers_sleepers_and_the_cut_off_are_owed_nothing_for_now() {
    let (mut check, _) = talking();
    check.event(NOW, 1, &disconnected(0));
    check.left(NOW, 1, 0);
    assert_eq!(check.problems, Problems::default());
    check.joined(1, 0);
    assert!(check.pending().all(|(pending, _)| pending.contains("not connected")), "it starts over");
    let mut check = checker();
    check.says(NOW, 0, 0);
    assert!(check.pending().all(|(pending, _)| pending.contains("not connected")), "said before they met");
    let (mut check, _) = talking();
    let all = check.pending().count();
    check.asleep(1, true);
    assert!(check.is_settled());
    check.asleep(1, false);
    check.severed(0, 1);
    assert!(check.is_settled());
    check.healed();
    assert_eq!((check.pending().count(), check.is_settled()), (all, false));
}

#[test]
fn who_can_connect_to_nobody_has_to_be_told() {
    let blocked = |_: usize| (0..2).map(|_| Verdict::no(Why::UdpBlocked)).collect();
    let people = (0..2).map(|who| (device(who), member(who)));
    let mut check = Checker::new(people, (0..2).map(blocked).collect());
    for who in 0..2 {
        check.started(who);
        check.joined(who, 0);
    }
    assert_eq!((check.pending().count(), check.owed_by()), (2, Some(Property::Told)));
    check.event(NOW, 0, &TROUBLE);
    check.event(NOW, 1, &TROUBLE);
    assert!(check.is_settled());
}

#[test]
fn waits_are_counted_from_when_nothing_stood_in_the_way() {
    let ms = Time::from_millis;
    let mut check = checker();
    check.severed(0, 1);
    check.look_around(ms(0));
    check.healed();
    check.look_around(ms(5_000));
    check.event(ms(5_300), 0, &connected(1));
    check.event(ms(5_400), 0, &disconnected(1));
    check.event(ms(5_600), 0, &connected(1));
    check.crashed(1);
    check.look_around(ms(6_000));
    check.event(ms(20_000), 0, &disconnected(1));
    let took: Vec<_> = check.waits.samples.iter().map(|it| (it.property, it.took.as_millis())).collect();
    assert_eq!(
        took,
        [(Property::Connect, 300), (Property::Find, 300), (Property::Return, 200), (Property::Dead, 14_000)]
    );
}

#[test]
fn very_many_problems_are_counted() {
    let mut check = checker();
    for _ in 0..100 {
        check.event(NOW, 0, &disconnected(1));
    }
    assert_eq!((check.problems.list.len(), check.problems.more), (LISTED, 100 - LISTED));
}

/// Members 0 and 2 cannot connect to each other, and both can to 1, to whom they are connected.
fn in_a_row() -> Checker {
    let verdict = |a: usize, b: usize| match a.abs_diff(b) {
        2 => Verdict::no(Why::UnknownPort),
        _ => Verdict::yes(Why::BothStable),
    };
    let verdicts = (0..3).map(|a| (0..3).map(|b| verdict(a, b)).collect()).collect();
    let mut check = Checker::new((0..3).map(|who| (device(who), member(who))), verdicts);
    for who in 0..3 {
        check.started(who);
        check.joined(who, 0);
    }
    for (a, b) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
        check.event(NOW, a, &connected(b as u8));
    }
    check
}

#[test]
fn what_is_said_is_owed_to_whom_members_can_pass_it_on() {
    let mut check = in_a_row();
    let early = check.says(NOW + Duration::from_secs(1), 0, 0);
    let late = check.says(NOW + Duration::from_secs(6), 0, 0);
    for (seq, (_, tag)) in (0..).zip([&early, &late]) {
        check.event(NOW, 0, &sent(*tag, seq));
    }
    let owed = |check: &Checker| {
        let through = check.pending().map(|(what, _)| what).filter(|what| what.contains("could pass on"));
        through.collect::<Vec<_>>()
    };
    assert_eq!(owed(&check).len(), 1, "0 had not been told of 2 when it said the first: {:?}", owed(&check));
    assert!(owed(&check)[0].starts_with("2 has not heard \"message 1 "), "{:?}", owed(&check));
    // Nobody is between them any more, for a while.
    check.severed(1, 2);
    assert!(owed(&check).is_empty());
    check.healed();
    assert_eq!(owed(&check).len(), 1);
    check.event(NOW, 2, &message(0, 1, &late.0));
    assert!(owed(&check).is_empty());
    assert!(check.pairs.through && check.problems == Problems::default());
    // Who starts anew gets it again.
    check.started(2);
    check.joined(2, 0);
    assert_eq!(owed(&check).len(), 1);
    // What a run said that is gone is owed by nobody.
    check.crashed(0);
    assert!(owed(&check).is_empty());
}

/// Over a link that loses most of what it is given nobody is told of anyone in five seconds.
#[test]
fn nobody_has_been_told_of_anyone_while_networks_change() {
    let mut check = in_a_row();
    let link = LinkRules::default();
    check.disturbed(NOW + Duration::from_secs(1), 1, Act::Relink(Who::One(1), link));
    check.disturbed(NOW + Duration::from_secs(2), 1, Act::Rejoin(Who::One(1), Who::One(2)));
    check.says(NOW + Duration::from_secs(8), 0, 0);
    assert_eq!(check.pending().filter(|(what, _)| what.contains("could pass on")).count(), 0);
    check.disturbed(NOW + Duration::from_secs(9), 1, Act::Restore(Who::One(1)));
    for (after, owed) in [(18, 0), (19, 1)] {
        check.says(NOW + Duration::from_secs(after), 0, 0);
        assert_eq!(check.pending().filter(|(what, _)| what.contains("could pass on")).count(), owed);
    }
}

#[test]
fn who_is_cut_off_hears_through_others_what_is_said_meanwhile() {
    let (mut check, [_, text]) = talking();
    check.reckon(vec![vec![Verdict::yes(Why::BothStable); 3]; 3]);
    let through =
        |check: &Checker| check.pending().filter(|(what, _)| what.contains("could pass on")).count();
    assert_eq!(through(&check), 0, "it is owed directly");
    check.severed(0, 1);
    assert_eq!(through(&check), 2, "2 is between them, and here");
    check.event(NOW, 1, &message(0, 1, &text));
    assert_eq!(through(&check), 1);
    check.crashed(2);
    assert_eq!(through(&check), 0);
}

/// Two of whom one is right behind the NAT that both are behind.
#[test]
fn neighbours_owe_each_other_a_connection_once_somebody_introduces_them() {
    let verdict = |a: usize, b: usize| match (a.min(b), a.max(b)) {
        (0, 1) => Verdict::yes(Why::Neighbours),
        _ => Verdict::yes(Why::BothStable),
    };
    let verdicts = (0..3).map(|a| (0..3).map(|b| verdict(a, b)).collect()).collect();
    let mut check = Checker::new((0..3).map(|who| (device(who), member(who))), verdicts);
    for who in 0..2 {
        check.started(who);
        check.joined(who, 0);
    }
    assert!(check.is_settled(), "they are alone, and the DHT knows where they are from outside alone");
    check.started(2);
    check.joined(2, 0);
    assert_eq!(check.pending().count(), 6);
    check.severed(1, 2);
    assert_eq!(check.pending().count(), 2, "who introduces them must reach both");
}
