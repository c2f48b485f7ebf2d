use super::*;

const ALL: [Behavior; 3] =
    [Behavior::EndpointIndependent, Behavior::AddressDependent, Behavior::AddressAndPortDependent];
const DRAWS: Draws = Draws::new(1);

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn nat(rules: NatRules) -> Nat {
    Nat::new(0, rules, vec![addr("30.0.0.1:0").ip()])
}

fn secs(n: u64) -> Time {
    Time::from_millis(1_000 * n)
}

/// One internal endpoint, and remote endpoints of which two share an address.
fn cast() -> (SocketAddr, [SocketAddr; 3]) {
    (addr("192.168.1.10:5000"), [addr("40.0.0.1:100"), addr("40.0.0.1:200"), addr("50.0.0.1:100")])
}

#[test]
fn each_mapping_and_filtering_cell_packet_by_packet() {
    let (inside, [r, r_other_port, other]) = cast();
    for mapping in ALL {
        for filtering in ALL {
            let mut nat = nat(NatRules::new(mapping, filtering));
            let cell = format!("{mapping:?} x {filtering:?}");
            let external = nat.outbound(secs(0), &DRAWS, inside, r).unwrap();
            assert_eq!(nat.outbound(secs(0), &DRAWS, inside, r), Ok(external), "{cell}: stable");

            // Before anything else is sent, only the filter decides who is heard.
            let heard = |nat: &mut Nat, from| nat.inbound(secs(0), from, external);
            assert_eq!(heard(&mut nat, r), Ok(inside), "{cell}: the one asked");
            let expected = |open| if open { Ok(inside) } else { Err(DropReason::Filtered) };
            let same_host = filtering != Behavior::AddressAndPortDependent;
            assert_eq!(heard(&mut nat, r_other_port), expected(same_host), "{cell}: same host");
            let anyone = filtering == Behavior::EndpointIndependent;
            assert_eq!(heard(&mut nat, other), expected(anyone), "{cell}: stranger");

            // Where the mapping is shared, so is the filter's permission.
            let to_port = nat.outbound(secs(0), &DRAWS, inside, r_other_port).unwrap();
            let to_other = nat.outbound(secs(0), &DRAWS, inside, other).unwrap();
            assert_eq!(to_port == external, mapping <= Behavior::AddressDependent, "{cell}");
            assert_eq!(to_other == external, mapping == Behavior::EndpointIndependent, "{cell}");
            assert_eq!(heard(&mut nat, r_other_port).is_ok(), same_host || to_port == external, "{cell}");
            assert_eq!(heard(&mut nat, other).is_ok(), anyone || to_other == external, "{cell}");
            assert_eq!(nat.inbound(secs(0), other, to_other), Ok(inside), "{cell}: back through its own");
        }
    }
}

#[test]
fn what_was_never_mapped_is_not_heard() {
    let (_, [r, ..]) = cast();
    let mut nat = nat(NatRules::new(ALL[0], ALL[0]));
    assert_eq!(nat.inbound(secs(0), r, addr("30.0.0.1:5000")), Err(DropReason::NoMapping));
}

#[test]
fn mappings_live_short_until_a_reply_and_long_after() {
    let (inside, [r, ..]) = cast();
    let mut nat = nat(NatRules::new(ALL[0], ALL[0]));
    let external = nat.outbound(secs(0), &DRAWS, inside, r).unwrap();
    assert_eq!(nat.clone().inbound(secs(29), r, external), Ok(inside));
    assert_eq!(nat.clone().inbound(secs(30), r, external), Err(DropReason::NoMapping));
    nat.inbound(secs(1), r, external).unwrap();
    assert_eq!(nat.clone().inbound(secs(120), r, external), Ok(inside));
    assert_eq!(nat.clone().inbound(secs(121), r, external), Err(DropReason::NoMapping));
    assert_ne!(nat.clone().outbound(secs(121), &DRAWS, inside, r), Ok(external), "a new one");
    assert_eq!(nat.outbound(secs(100), &DRAWS, inside, r), Ok(external));
    assert_eq!(nat.inbound(secs(219), r, external), Ok(inside), "outbound refreshes");
}

#[test]
fn inbound_refreshes_only_where_the_rules_say_so() {
    let (inside, [r, ..]) = cast();
    for inbound_refresh in [false, true] {
        let mut nat = nat(NatRules { inbound_refresh, ..NatRules::new(ALL[2], ALL[2]) });
        let external = nat.outbound(secs(0), &DRAWS, inside, r).unwrap();
        for at in (1..=10).map(|n| secs(10 * n)) {
            assert_eq!(nat.inbound(at, r, external), Ok(inside));
        }
        assert_eq!(nat.inbound(secs(150), r, external).is_ok(), inbound_refresh);
    }
}

#[test]
fn a_filter_entry_dies_while_its_mapping_lives() {
    let (inside, [r, _, other]) = cast();
    let mut nat = nat(NatRules::new(ALL[0], ALL[2]));
    let external = nat.outbound(secs(0), &DRAWS, inside, r).unwrap();
    for at in 0..20 {
        nat.outbound(secs(10 * at), &DRAWS, inside, other).unwrap();
    }
    assert_eq!(nat.inbound(secs(195), other, external), Ok(inside));
    assert_eq!(nat.inbound(secs(195), r, external), Err(DropReason::Filtered));
}

#[test]
fn ports() {
    let (inside, [r, _, other]) = cast();
    let second = addr("192.168.1.11:5000");
    let ports = |ports| {
        let mut nat = nat(NatRules { ports, ..NatRules::new(ALL[2], ALL[2]) });
        [(inside, r), (second, r), (inside, other)]
            .map(|(from, to)| nat.outbound(secs(0), &DRAWS, from, to).unwrap().port())
    };
    assert_eq!(ports(PortRule::Preserve), [5_000, 5_001, 5_002]);
    assert_eq!(ports(PortRule::Sequential(2)), [1_025, 1_027, 1_029]);
    let random = ports(PortRule::Random);
    assert!(random.iter().all(|port| *port >= 1_024) && !random.is_sorted_by(|a, b| b - a < 100));
    assert_eq!(wrap((1_024, u16::MAX), u16::MAX, 1), 1_024);
    assert_eq!(wrap((1_024, 2_000), 1_024, -1), 2_000);
}

#[test]
fn a_full_nat_drops_and_recovers() {
    let (inside, [r, _, other]) = cast();
    let mut nat = nat(NatRules { capacity: 1, ..NatRules::new(ALL[2], ALL[2]) });
    nat.outbound(secs(0), &DRAWS, inside, r).unwrap();
    assert_eq!(nat.outbound(secs(1), &DRAWS, inside, other), Err(DropReason::Exhausted));
    assert!(nat.outbound(secs(31), &DRAWS, inside, other).is_ok());
    assert_eq!(nat.mappings(), 1);
}

#[test]
fn pools() {
    let (inside, remotes) = cast();
    let pool: Vec<_> = (1..=8).map(|n| addr(&format!("30.0.0.{n}:0")).ip()).collect();
    for pooling in [Pooling::Paired, Pooling::Arbitrary] {
        let mut nat = Nat::new(0, NatRules { pooling, ..NatRules::new(ALL[2], ALL[2]) }, pool.clone());
        let seen = remotes.map(|to| nat.outbound(secs(0), &DRAWS, inside, to).unwrap().ip());
        assert_eq!(seen.iter().all(|ip| *ip == seen[0]), pooling == Pooling::Paired);
        assert!(seen.iter().all(|ip| nat.owns(*ip)));
    }
}

#[test]
fn hairpins() {
    let (inside, [r, ..]) = cast();
    let second = addr("192.168.1.11:5000");
    for hairpin in [Hairpin::None, Hairpin::External, Hairpin::Internal] {
        let mut nat = nat(NatRules { hairpin, ..NatRules::new(ALL[0], ALL[2]) });
        let external = nat.outbound(secs(0), &DRAWS, inside, r).unwrap();
        let external_2 = nat.outbound(secs(0), &DRAWS, second, r).unwrap();
        let result = nat.hairpin(secs(0), &DRAWS, inside, external_2);
        if hairpin == Hairpin::None {
            assert_eq!(result, Err(DropReason::NoHairpin));
            continue;
        }
        assert_eq!(result, Err(DropReason::Filtered), "the filter holds for neighbours too");
        let shown = if hairpin == Hairpin::External { external_2 } else { second };
        assert_eq!(nat.hairpin(secs(0), &DRAWS, second, external), Ok((shown, inside)));
    }
}

#[test]
fn a_reboot_forgets() {
    let (inside, [r, ..]) = cast();
    let mut nat = nat(NatRules::new(ALL[0], ALL[0]));
    let external = nat.outbound(secs(0), &DRAWS, inside, r).unwrap();
    nat.reboot();
    assert_eq!(nat.inbound(secs(0), r, external), Err(DropReason::NoMapping));
}

/// External ports of `count` mappings of one internal port, one a second.
fn sequence(rules: NatRules, count: u64) -> Vec<u16> {
    let mut nat = nat(rules);
    let to = |n| SocketAddr::new(addr("40.0.0.1:0").ip(), 1_000 + n as u16);
    (0..count).map(|n| nat.outbound(secs(n), &DRAWS, cast().0, to(n)).unwrap().port()).collect()
}

#[test]
fn sequences_go_either_way_and_others_take_part() {
    let rules = |step, others| NatRules {
        ports: PortRule::Sequential(step),
        others,
        ..NatRules::new(ALL[2], ALL[2])
    };
    assert_eq!(sequence(rules(2, 0), 3), [1_025, 1_027, 1_029]);
    assert_eq!(sequence(rules(-1, 0), 3), [1_022 + 64_512, 1_021 + 64_512, 1_020 + 64_512]);
    let shared = sequence(rules(1, 10), 200);
    assert!(
        shared.is_sorted() && shared[199] - shared[0] > 1_000,
        "others take about ten a second: {shared:?}"
    );
    assert!(shared.windows(2).any(|pair| pair[1] - pair[0] == 1), "at times nobody is in between");
}

#[test]
fn parity_is_kept() {
    for ports in [PortRule::Random, PortRule::Preserve] {
        let rules = NatRules { ports, parity: true, ..NatRules::new(ALL[2], ALL[2]) };
        assert!(sequence(rules, 50).iter().all(|port| port % 2 == 5_000 % 2));
    }
}

#[test]
fn blocks_belong_to_subscribers() {
    let rules =
        NatRules { ports: PortRule::Block(4), range: (2_000, 2_007), ..NatRules::new(ALL[2], ALL[2]) };
    let mut nat = nat(rules);
    let host = |n: u8, port| SocketAddr::new([100, 64, 0, n].into(), port);
    let mut port_of = |from| nat.outbound(secs(0), &DRAWS, from, addr("40.0.0.1:1")).map(|it| it.port());
    let first: Vec<_> = (0..4).map(|n| port_of(host(1, n)).unwrap()).collect();
    assert!(first.iter().all(|port| (2_000..2_004).contains(port)));
    assert_eq!(port_of(host(1, 4)), Err(DropReason::Exhausted), "the block is used up");
    assert!((2_004..2_008).contains(&port_of(host(2, 0)).unwrap()));
    assert_eq!(port_of(host(3, 0)), Err(DropReason::Exhausted), "there is no block left");
}

#[test]
fn overloaded_ports_are_told_apart_by_who_sends() {
    let (inside, [r, _, other]) = cast();
    let second = addr("192.168.1.11:5000");
    let rules = NatRules { ports: PortRule::Overload, ..NatRules::new(ALL[2], ALL[2]) };
    let mut nat = nat(rules);
    let external = nat.outbound(secs(0), &DRAWS, inside, r).unwrap();
    assert_eq!(nat.outbound(secs(0), &DRAWS, second, other), Ok(external));
    assert_eq!(nat.inbound(secs(0), r, external), Ok(inside));
    assert_eq!(nat.inbound(secs(0), other, external), Ok(second));
}

#[test]
fn limits_drop_or_evict() {
    let (_, [r, ..]) = cast();
    let host = |n: u8, port| SocketAddr::new([192, 168, 1, n].into(), port);
    let limited = |full| NatRules { per_host: Some(2), full, ..NatRules::new(ALL[0], ALL[0]) };
    let mut dropping = nat(limited(Full::Drop));
    let mut evicting = nat(limited(Full::Evict));
    for nat in [&mut dropping, &mut evicting] {
        let first = nat.outbound(secs(0), &DRAWS, host(1, 1), r).unwrap();
        nat.outbound(secs(1), &DRAWS, host(1, 2), r).unwrap();
        assert!(nat.outbound(secs(2), &DRAWS, host(2, 1), r).is_ok(), "others have their own");
        let third = nat.outbound(secs(2), &DRAWS, host(1, 3), r);
        if nat.rules().full == Full::Drop {
            assert_eq!(third, Err(DropReason::Exhausted));
            assert!(nat.inbound(secs(2), r, first).is_ok());
        } else {
            assert!(third.is_ok());
            assert_eq!(nat.inbound(secs(2), r, first), Err(DropReason::NoMapping), "the oldest had to go");
        }
    }
    let mut slow = nat(NatRules { per_second: Some(10), ..NatRules::new(ALL[0], ALL[0]) });
    let made =
        (0..1_000).filter(|n| slow.outbound(Time::from_millis(*n), &DRAWS, host(1, *n as u16), r).is_ok());
    assert!((19..=22).contains(&made.count()), "a second's worth at once, and ten in the second after");
}

#[test]
fn a_filter_may_forget_before_the_mapping_does() {
    let (inside, [r, _, other]) = cast();
    let mut nat =
        nat(NatRules { filter_age: Some(Duration::from_secs(10)), ..NatRules::new(ALL[0], ALL[2]) });
    let external = nat.outbound(secs(0), &DRAWS, inside, r).unwrap();
    assert_eq!(nat.inbound(secs(9), r, external), Ok(inside));
    assert_eq!(nat.outbound(secs(15), &DRAWS, inside, other), Ok(external));
    assert_eq!(nat.inbound(secs(25), r, external), Err(DropReason::Filtered));
}

#[test]
fn an_opened_port_lets_anyone_in_until_it_closes() {
    let (inside, [r, _, other]) = cast();
    let mut nat = nat(NatRules::new(ALL[2], ALL[2]));
    let external = nat.open_port(secs(0), &DRAWS, inside, 7_000, secs(100)).unwrap();
    assert_eq!(external.port(), 7_000);
    assert_eq!(nat.inbound(secs(1), other, external), Ok(inside));
    assert_eq!(nat.outbound(secs(1), &DRAWS, inside, r), Ok(external), "and what is sent leaves from there");
    assert_eq!(nat.external_endpoints(secs(1), inside), [external]);
    let second = nat.open_port(secs(1), &DRAWS, addr("192.168.1.11:5000"), 7_000, secs(100)).unwrap();
    assert_ne!(second, external, "it is taken");
    assert_eq!(nat.inbound(secs(100), other, external), Err(DropReason::NoMapping));
}

#[test]
fn a_stranger_takes_the_endpoint_where_nobody_drops_it() {
    let (inside, [r, _, other]) = cast();
    for strangers in [false, true] {
        let mut nat = nat(NatRules { strangers, ..NatRules::LINUX });
        let external = nat.outbound(secs(0), &DRAWS, inside, r).unwrap();
        assert!(nat.inbound(secs(0), other, external).is_err());
        let to_other = nat.outbound(secs(0), &DRAWS, inside, other).unwrap();
        assert_eq!(to_other == external, !strangers);
        let heard = nat.inbound(secs(0), other, external);
        assert_eq!(heard.is_ok(), !strangers, "{heard:?}");
    }
}
