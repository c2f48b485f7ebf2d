use std::time::Duration;

use super::*;
use crate::engine::Chance;
use crate::net::{Behavior, BoxRules, Law, Loss};
use crate::scenario::Property;
use crate::scenario::script::{Act, Home, Scenario, Stun, Who, after, now};

fn flaw(text: &str) -> String {
    Scenario::parse(text).unwrap_err().to_string()
}

#[test]
fn what_a_person_writes() {
    let text = "\
        # The café on the corner.
        scenario corner-cafe
        note  a restart   behind an ordinary NAT
        seed  0x5eed
        fails L7-return
        world dht 8 stun honest,dead
        members 2 open        # on the internet itself
        member eim+apdf,lifetime=30s/firewall link 12ms loss 0.5%; start all
        join all; settle 10s
        +1.5s fault7 crash 2
        goal handshakes 3";
    let Written { scenario, seed, fails } = Scenario::parse(text).unwrap();
    assert_eq!((scenario.name.as_str(), seed, fails), ("corner-cafe", Some(0x5eed), Some(Property::Return)));
    assert_eq!(scenario.note, "a restart behind an ordinary NAT");
    assert_eq!(scenario.infrastructure.dht_nodes, 8);
    assert_eq!(scenario.infrastructure.stun, [Stun::Honest, Stun::Dead]);
    let law = Law { loss: Loss::Independent(Chance::ratio(5, 1_000)), ..Law::delay(12) };
    let BoxRules::Nat(mut nat) =
        BoxRules::nat(Behavior::EndpointIndependent, Behavior::AddressAndPortDependent)
    else {
        unreachable!()
    };
    nat.lifetime = Duration::from_secs(30);
    assert_eq!(scenario.homes[2], Home::behind([BoxRules::Nat(nat), BoxRules::FIREWALL], law));
    assert_eq!(scenario.homes.len(), 3);
    assert_eq!(scenario.steps[..2], [now(Act::Start(Who::All)), now(Act::Join(Who::All, 0))]);
    let crash = crate::scenario::Step { fault: Some(7), ..after(1_500, Act::Crash(Who::One(2))) };
    assert_eq!(scenario.steps[3], crash);
    assert_eq!(scenario.to_text().parse(), Ok(scenario));
}

#[test]
fn a_flaw_is_told_with_its_place_and_what_was_expected() {
    for (text, expected) in [
        ("member open\nstart 1", "line 2, column 7: there is no member 1: the only one is number 0"),
        ("members 2 open; join all", "line 1, column 17: nobody was started: write `start all` before"),
        ("members 3 open; crash 7", "line 1, column 23: there is no member 7: they are 0 to 2"),
        ("member eim+apd", "line 1, column 12: expected a filtering: eif, adf or apdf, found `apd`"),
        (
            "member eim+eif/nat",
            "line 1, column 16: expected `open`, `firewall`, `udp-blocked` or a NAT by mapping",
        ),
        ("member eim+eif,hairpin=maybe", "line 1, column 24: expected `none`, `external` or `internal`"),
        ("member udp-blocked,lifetime=3s", "line 1, column 20: `udp-blocked` has no options"),
        ("member eim+eif&v7:router", "line 1, column 16: expected v6:RULES, nat64"),
        ("member eim+eif&no:ftp", "line 1, column 19: expected a kind of packet"),
        ("member open link 12ms lose 7", "line 1, column 28: expected the number of a packet"),
        ("member open link 12", "line 1, column 18: expected a length of time such as 12ms"),
        (
            "member open link 12ms loss 101%",
            "line 1, column 28: 101% is out of range: a share is at most 100%",
        ),
        (
            "member open\n  settle",
            "line 2, column 9: expected a length of time, found the end of the statement",
        ),
        ("member open\nstrat all", "line 2, column 1: expected a statement"),
        ("member open\nstart all now", "line 2, column 11: expected the end of the statement, found `now`"),
        ("seed 18446744073709551616", "line 1, column 6: expected a seed from 0 to 18446744073709551615"),
        ("seed -1", "line 1, column 6: expected a seed"),
        ("", "line 1, column 1: there are no members"),
        ("members 5000 open", "5000 is out of range: a number of members is at most 1000"),
        (
            "member open; goal first-data to-server 1s to-client 1s",
            "this goal needs two members, and there is one",
        ),
        ("member open; crash smaller", "`smaller` needs two members, and there is one"),
        ("world dht 4\nworld dht 5", "line 2, column 1: there is a `world` already"),
        ("world stun none; member open; stun-down 0", "there is no STUN server"),
        ("member open; join all meeting 99", "99 is out of range: a meeting's number is at most 15"),
        (
            "member eim+eif/eim+eif/eim+eif/eim+eif/eim+eif/eim+eif/eim+eif/eim+eif/eim+eif",
            "more than 8 boxes",
        ),
        ("member open; +5 heal", "line 1, column 15: expected a length of time"),
        ("member open; +999999h heal", "is out of range: at most a year"),
        ("network open", "line 1, column 9: a network has a box at its edge; without one it is the internet"),
        ("member open in 0", "line 1, column 16: no network stands above"),
        ("network eim+eif in 0", "line 1, column 20: no network stands above"),
        (
            "network eim+eif\nmember open in 1",
            "line 2, column 16: no network 1 stands above: the only one is number 0",
        ),
        (
            "network eim+eif; network eim+eif in 0\nmember open in x",
            "line 2, column 16: expected the number of a network, found `x`",
        ),
        (
            "network eim+eif/eim+eif/eim+eif/eim+eif/eim+eif; member eim+eif/eim+eif/eim+eif/eim+eif in 0",
            "line 1, column 57: there are more than 8 boxes from here to the internet",
        ),
        (
            "member eim+eif ipv6",
            "line 1, column 8: the member wants IPv6, and what stands before it has none",
        ),
        (
            "network eim+eif&nat64&v6:router; member open in 0",
            "the member wants IPv4, and what stands before it",
        ),
        ("member open; move 0 to 1", "line 1, column 24: expected `internet`, or `network` with its number"),
        ("member open; move 0 to network 0", "line 1, column 32: there is no network"),
        ("member open; move 0", "expected `to`, found the end of the statement"),
        ("member open; clock 0 1h", "line 1, column 22: expected `right`, or by how much it is wrong"),
        ("member open; clock 0 +1", "line 1, column 23: expected a length of time such as 12ms"),
        (
            "member open; clock 0 drift 5ppm",
            "line 1, column 28: expected how much it drifts, such as +500ppm",
        ),
        ("member open; clock 0 drift +5", "line 1, column 28: expected how much it drifts, such as +500ppm"),
        (
            "member open; clock 0 drift +200000ppm",
            "200000 is out of range: a drift in millionths is at most 100000",
        ),
        ("member open; disk 0 burns", "line 1, column 21: expected `fails`, `works`, `loses` or `damages`"),
        ("members 2 open; mute 0 from 1", "line 1, column 24: expected `towards`, found `from`"),
        ("member open; start 0 anew", "line 1, column 22: expected the end of the statement, found `anew`"),
        ("world begins 24:00:00", "line 1, column 14: expected a time of day such as 23:59:50"),
        ("world begins 1:2:3", "line 1, column 14: expected a time of day such as 23:59:50"),
        ("world sybils 10001", "10001 is out of range: the number of sybils is at most 10000"),
        ("world silent few", "line 1, column 14: expected the number of silent nodes, found `few`"),
        (
            "world entries",
            "expected number of nodes that everyone is told of, found the end of the statement",
        ),
        ("world stun honest,wrong", "line 1, column 19: expected `honest`, `dead`, or a lie"),
        (
            "world stun everyone=here",
            "line 1, column 21: expected an endpoint such as 30.0.0.9:9, found `here`",
        ),
        ("world stun port=70000", "70000 is out of range: a number of ports is at most 65535"),
        ("world stun late=soon", "line 1, column 17: expected a length of time such as 12ms"),
        (
            "world stun seldom=often",
            "line 1, column 19: expected the number of answers a second, found `often`",
        ),
        (
            "world dht 4 hostile 3",
            "line 1, column 13: expected `dht`, `silent`, `lying`, `slow`, `walled`, `sybils`, `placed`",
        ),
    ] {
        let said = flaw(text);
        assert!(said.contains(expected), "{text:?}\n  says     {said}\n  expected {expected}");
    }
}

#[test]
fn everything_that_can_stand_before_a_member_is_read_back() {
    for line in [
        "member clat&v6:router/eim+apdf&v6:firewall+apdf,lifetime=120s,unreplied=30s,settles=2s,refresh=both&nat64 dual link 12ms",
        "member eim+apdf,ports=block:64,range=2000:3000,parity=kept,others=3,settles=2s,filter-age=5s,strangers=taken,per-host=9,full=evict,new-per-second=7,control=pcp link 1ms",
        "member eim+eif,ports=-2 link 1ms",
        "member eim+eif,ports=per-flow,refresh=both link 1ms",
        "member eim+apdf&v6:router&pool:4&only:53:443&no:dtls&per-second:100&no-fragments ipv6 link 1ms",
        "member open link up 1ms jitter 2ms bell lose 3/100 down 1ms jitter 2ms tail corrupt 0.5% icmp mtu 576",
    ] {
        let scenario = Scenario::parse(&format!("world dual; {line}")).unwrap().scenario;
        assert!(scenario.to_string().contains(line), "{scenario}\n{line}");
        assert_eq!(scenario.to_text().parse(), Ok(scenario));
    }
}

#[test]
fn all_that_can_happen_and_all_that_stands_around_is_read_back() {
    let lines = [
        "world dht 4 silent 1 lying 2 slow 3 walled 2 sybils 8 placed 5 entries 0 stun honest,dead,everyone=30.0.0.9:9,port=3,private,\
         family,source,late=2s,seldom=5 forged-victims 3 flood 50 insiders hammer,giant,crowd,two-faced,liar dual begins 23:59:50.250 link 20ms",
        "network eim+apdf,hairpin=external&v6:router no-multicast link 5ms",
        "network eim+eif in 0",
        "members 2 open in 1 link 12ms",
        "member eim+eif in 0 link 1ms",
        "member open link 1ms",
        "start all saved",
        "clock 0 +3600s",
        "clock 1 -1.5s drift -500ppm",
        "clock 2 drift +20ppm",
        "clock all right",
        "move 3 to internet",
        "move 2 to network 1",
        "move all home",
        "unplug 1",
        "twin 1",
        "renumber 0",
        "mute 0 towards 1",
        "disk 0 fails",
        "disk 0 works",
        "disk 0 loses",
        "disk 0 damages",
        "relink 0 12ms lose #7 mtu 1200",
    ];
    let scenario = Scenario::parse(&lines.join("\n")).unwrap().scenario;
    assert_eq!(scenario.to_text().lines().collect::<Vec<_>>(), lines);
    assert_eq!(scenario.to_string().parse(), Ok(scenario));
}

#[test]
fn the_example_in_the_documentation_is_a_scenario() {
    let text = include_str!("../../../SCENARIOS.md");
    let example = text.split("```").nth(1).and_then(|block| block.strip_prefix("text")).unwrap();
    let scenario = Scenario::parse(example).unwrap_or_else(|flaw| panic!("{flaw}")).scenario;
    assert_eq!((scenario.sites.len(), scenario.homes.len()), (2, 4));
    assert_eq!(scenario.to_text().parse(), Ok(scenario));
}

#[test]
fn no_text_panics() {
    let good = crate::scenario::find("storm", 1).unwrap().to_text();
    for (at, _) in good.char_indices() {
        let _ = Scenario::parse(&good[..at]);
        let _ = Scenario::parse(&good[at..]);
        let _ = Scenario::parse(&format!("{}µ{}", &good[..at], &good[at..]));
    }
}

#[test]
fn shares_are_written_so_that_they_are_read_back() {
    for of in [3, 7, 100, 999, 1_000_003, u32::MAX] {
        let chance = Chance::ratio(1 + of / 7, of);
        let mut scenario = crate::scenario::find("open-four", 0).unwrap();
        scenario.homes[0].link.up.duplicate = chance;
        assert_eq!(scenario.to_string().parse(), Ok(scenario), "1/7 of {of}");
    }
}
