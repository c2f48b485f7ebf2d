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
    assert!(random.iter().all(|port| *port >= FIRST_PORT) && !random.is_sorted_by(|a, b| b - a < 100));
    assert_eq!(wrap(u16::MAX, 1), FIRST_PORT);
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
