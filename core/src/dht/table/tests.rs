use std::collections::BTreeSet;

use quickcheck::quickcheck;

use super::bucket::SPARES;
use super::*;
use crate::wire::krpc::contacts;

const RTT: Duration = Duration::from_millis(100);

fn at(seconds: u64) -> Time {
    Time::from_millis(seconds * 1_000)
}

/// A node in a /24 of its own.
fn node(n: u32, first: u8, rng: &mut Rng) -> Contact {
    let mut id = NodeId(rng.array());
    id.0[0] = first;
    Contact { id, addr: (std::net::Ipv4Addr::from(0x0800_0001 + (n << 8)), 6881).into() }
}

/// A table of the id 0, with nodes at random.
fn filled(nodes: u32, seed: u8) -> (Table, Rng) {
    let (mut table, mut rng) = (Table::new(NodeId([0; 20])), Rng::new([seed; 32]));
    for n in 0..nodes {
        let first = rng.u64() as u8;
        let contact = node(n, first, &mut rng);
        table.answered(at(1), contact, RTT);
    }
    (table, rng)
}

/// Every entry where it belongs, no bucket over its size; no id, address or network of a bucket twice.
fn is_sound(table: &Table) -> bool {
    let in_place = table.buckets.iter().enumerate().all(|(index, bucket)| {
        let fits = |entry: &Entry| table.index(&entry.contact.id) == index;
        bucket.entries.len() <= K
            && bucket.spares.len() <= SPARES
            && bucket.entries.iter().chain(bucket.spares.iter()).all(|entry| fits(&entry))
    });
    let ids: BTreeSet<_> = table.iter().map(|contact| contact.id).collect();
    let addrs: BTreeSet<_> = table.iter().map(|contact| contact.addr.ip()).collect();
    let networks = table.known(at(0)).map(|known| (known.bucket, Prefix::of(known.contact.addr.ip())));
    let networks: BTreeSet<_> = networks.collect();
    in_place && [ids.len(), addrs.len(), networks.len()].iter().all(|len| *len == table.len())
}

quickcheck! {
    fn sound_when_our_id_changes(seed: u8, nodes: u8, own: u64) -> bool {
        let (mut table, _) = filled(u32::from(nodes) * 4, seed);
        let (before, mut id) = (table.len(), NodeId([0; 20]));
        id.0[..8].copy_from_slice(&own.to_be_bytes());
        table.rebase(at(2), id);
        let few = before <= K;
        table.own() == id && is_sound(&table) && (!few || table.len() == before) && table.len() >= before.min(K)
    }

    fn closest_are_closest(seed: u8, target: u64, nodes: u8) -> bool {
        let (table, _) = filled(u32::from(nodes) * 4, seed);
        let mut target_id = [0; 20];
        target_id[..8].copy_from_slice(&(target >> (seed % 64)).to_be_bytes());
        let mut all: Vec<_> = table.iter().collect();
        all.sort_by_key(|contact| contact.id.distance(&target_id));
        all.truncate(K);
        let named: Vec<_> = contacts::<4>(table.nearest(&target_id, K, |_| true).as_bytes()).collect();
        let closest: Vec<_> = table.closest(&target_id, K).iter().map(|entry| entry.contact).collect();
        is_sound(&table) && closest == all && named == all
    }

    fn starts_are_close_or_fast_and_all_while_there_are_few(seed: u8, target: [u8; 20], nodes: u8) -> bool {
        let (mut table, mut rng) = (Table::new(NodeId([0; 20])), Rng::new([seed; 32]));
        for n in 0..u32::from(nodes) * 4 {
            let (first, rtt) = (rng.u64() as u8, Duration::from_millis(rng.below(400)));
            let contact = node(n, first, &mut rng);
            table.answered(at(1), contact, rtt);
        }
        let (starts, near) = (table.starts(&target, K), table.closest(&target, WIDE));
        let place = |entry: &Entry| distance(&entry.contact.id, &target);
        let is_better = |a: &Entry, b: &Entry| place(a) < place(b) && a.rtt <= b.rtt;
        let (chosen, left_out): (Vec<&Entry>, Vec<&Entry>) =
            near.iter().partition(|entry| starts.contains(&entry.contact));
        starts.is_sorted_by_key(|contact| distance(&contact.id, &target))
            && starts.len() == if near.len() <= FEW { near.len() } else { K }
            && chosen.iter().all(|start| !left_out.iter().any(|other| is_better(other, start)))
    }

    fn refresh_targets_fall_into_their_bucket(seed: u8) -> bool {
        let (mut table, mut rng) = filled(600, seed);
        (0..table.buckets.len()).all(|_| {
            let before: Vec<_> = table.buckets.iter().map(|bucket| bucket.touched).collect();
            let target = table.refresh_target(at(50), &mut rng);
            let index = table.index(&target);
            before[index] < at(50) && table.buckets[index].touched == at(50)
        })
    }

    fn churn_keeps_the_table_sound(steps: Vec<(u16, u8, u8)>, seed: u8) -> bool {
        let (mut table, mut rng) = filled(100, seed);
        for (step, (n, first, what)) in steps.into_iter().enumerate() {
            let now = at(10 + step as u64 * 60);
            let mut contact = node(u32::from(n) % 100, first >> (what % 8), &mut rng);
            // Three addresses in each network, two ports at each.
            let SocketAddr::V4(addr) = contact.addr else { return false };
            let ip = u32::from(*addr.ip()) + u32::from(n >> 8) % 3;
            contact.addr = SocketAddr::from((std::net::Ipv4Addr::from(ip), 6_881 + n % 2));
            match what % 3 {
                0 => drop(table.failed(contact.addr, now)),
                1 => table.remove(contact.addr),
                _ => drop(table.answered(now, contact, RTT)),
            }
            if !is_sound(&table) {
                return false;
            }
        }
        true
    }
}

#[test]
fn the_far_half_has_one_bucket_and_the_near_one_splits() {
    let (table, _) = filled(2_000, 3);
    assert!(table.buckets.len() > 5);
    assert!(table.buckets[..5].iter().all(|bucket| bucket.entries.len() == K));
    assert!(table.len() < 100);
}

#[test]
fn a_good_node_stays_a_silent_one_is_asked_twice_and_replaced() {
    let (mut table, mut rng) = (Table::new(NodeId([0; 20])), Rng::new([1; 32]));
    // One near node, so that the far bucket is not the last one.
    let near = node(100, 0, &mut rng);
    table.answered(at(0), near, RTT);
    let far: Vec<_> = (0..9).map(|n| node(n, 0x80, &mut rng)).collect();
    for contact in &far[..8] {
        assert_eq!(table.answered(at(0), *contact, RTT), Answered::Added);
    }
    assert_eq!(table.answered(at(60), far[8], RTT), Answered::Spare { doubt: None });
    for contact in &far[1..8] {
        assert_eq!(table.answered(at(900), *contact, RTT), Answered::Known);
    }
    assert_eq!(table.answered(at(1000), far[8], RTT), Answered::Spare { doubt: Some(far[0]) });
    assert_eq!(table.failed(far[0].addr, at(1001)), Some(far[0]), "once more");
    assert!(table.contains(&far[0]));
    assert_eq!(table.failed(far[0].addr, at(1003)), None);
    assert!(!table.contains(&far[0]) && table.contains(&far[8]));
}

#[test]
fn a_late_timeout_does_not_count_against_a_node_that_answered_since() {
    let (mut table, mut rng) = (Table::new(NodeId([0; 20])), Rng::new([1; 32]));
    let contact = node(0, 0x80, &mut rng);
    table.answered(at(10), contact, RTT);
    assert!((0..9).all(|_| table.failed(contact.addr, at(9)).is_none()));
    assert_eq!(table.len(), 1);
    assert!((0..9).all(|_| table.failed(contact.addr, at(11)).is_none()));
    assert!(table.is_empty());
}

#[test]
fn ids_and_addresses_cannot_be_taken_over() {
    let (mut table, mut rng) = (Table::new(NodeId([0; 20])), Rng::new([1; 32]));
    let original = node(0, 0x80, &mut rng);
    table.answered(at(0), original, RTT);
    let thief = Contact { addr: node(1, 0, &mut rng).addr, ..original };
    assert_eq!(table.answered(at(1), thief, RTT), Answered::Refused);
    assert!(table.contains(&original));
    let restarted = Contact { id: node(0, 0x81, &mut rng).id, ..original };
    assert_eq!(table.answered(at(2), restarted, RTT), Answered::Added);
    assert_eq!(table.iter().collect::<Vec<_>>(), [restarted]);
}

#[test]
fn asked_to_be_strict_local_addresses_are_as_others() {
    let (mut table, mut rng) = (Table::new(NodeId([0; 20])), Rng::new([1; 32]));
    table.strict = true;
    table.rebase(at(0), NodeId([1; 20]));
    let mut other = |addr: &str| Contact { addr: addr.parse().unwrap(), ..node(0, 0x82, &mut rng) };
    assert_eq!(table.answered(at(0), other("127.0.0.1:1"), RTT), Answered::Added);
    assert_eq!(table.answered(at(0), other("127.0.0.1:2"), RTT), Answered::Refused);
    assert_eq!(table.answered(at(0), other("127.0.0.2:1"), RTT), Answered::Refused);
    assert_eq!(table.answered(at(0), other("127.0.1.1:1"), RTT), Answered::Added);
}

#[test]
fn one_node_per_address_and_network_but_not_locally() {
    let (mut table, mut rng) = (Table::new(NodeId([0; 20])), Rng::new([1; 32]));
    let first = node(0, 0x80, &mut rng);
    table.answered(at(0), first, RTT);
    let mut other = |addr: &str, bits| Contact { addr: addr.parse().unwrap(), ..node(0, bits, &mut rng) };
    assert_eq!(table.answered(at(0), other("8.0.0.1:7000", 1), RTT), Answered::Refused);
    assert_eq!(table.answered(at(0), other("8.0.0.9:6881", 0x81), RTT), Answered::Refused);
    assert_eq!(table.answered(at(0), other("8.0.1.9:6881", 0x81), RTT), Answered::Added);
    let mut ipv6 = Table::new(NodeId([0; 20]));
    let mut answered = |addr: &str, bits| ipv6.answered(at(0), other(addr, bits), RTT);
    assert_eq!(answered("[2001:db8:1:2::1]:6881", 0x80), Answered::Added);
    assert_eq!(answered("[2001:db8:1:2:9::9]:6881", 0x81), Answered::Refused, "one household has one /64");
    assert_eq!(answered("[2001:db8:1:3::1]:6881", 0x82), Answered::Added);
    for port in 1..=5 {
        let contact = other(&format!("127.0.0.1:{port}"), 0x82);
        assert!(table.wants(&contact));
        assert_eq!(table.answered(at(0), contact, RTT), Answered::Added);
    }
}

/// The rule is for those in reserve, too: they come into use long after they were let in there.
#[test]
fn nobody_in_reserve_comes_into_use_beside_its_own_address_or_network() {
    let (mut table, far, others) = full();
    let beside = |of: &Contact, last, port| {
        let SocketAddr::V4(addr) = of.addr else { unreachable!("these are IPv4") };
        let [a, b, c, _] = addr.ip().octets();
        SocketAddr::from(([a, b, c, last], port))
    };
    // Two of one network; and one whose address is then that of a node in another bucket.
    let twin = Contact { addr: beside(&others[0], 9, 6881), ..others[1] };
    for spare in [others[0], twin, others[2]] {
        assert!(matches!(table.answered(at(1), spare, RTT), Answered::Spare { .. }));
    }
    let mut near = Contact { addr: SocketAddr::new(others[2].addr.ip(), 7_000), ..others[3] };
    near.id.0[0] = 0x01;
    assert_eq!(table.answered(at(2), near, RTT), Answered::Added);
    far[..3].iter().for_each(|contact| table.remove(contact.addr));
    assert!(table.contains(&others[0]) && table.contains(&near));
    assert!(!table.contains(&twin), "its network is there already");
    assert!(!table.contains(&others[2]), "its address is");
    let silent = far[3];
    let late = Contact { addr: beside(&others[0], 77, 6881), ..others[4] };
    table.answered(at(3), late, RTT);
    for seconds in [4, 5] {
        table.failed(silent.addr, at(seconds));
    }
    assert!(!table.contains(&late));
}

/// A table whose far bucket is full, with who is in it, and others who belong there.
fn full() -> (Table, Vec<Contact>, Vec<Contact>) {
    let (mut table, mut rng) = (Table::new(NodeId([0; 20])), Rng::new([1; 32]));
    // One near node, so that the far bucket is not the last one.
    table.answered(at(0), node(100, 0, &mut rng), RTT);
    let mut far: Vec<_> = (0..16).map(|n| node(n, 0x80, &mut rng)).collect();
    let others = far.split_off(K);
    for contact in &far {
        assert_eq!(table.answered(at(0), *contact, RTT), Answered::Added);
    }
    (table, far, others)
}

fn failures(table: &Table, contact: &Contact) -> Option<u8> {
    table.known(at(0)).find(|known| known.contact == *contact).map(|known| known.failures)
}

#[test]
fn life_answers_to_in_use() {
    let (mut table, far, others) = full();
    table.failed(far[3].addr, at(1));
    table.failed(far[3].addr, at(2));
    assert_eq!(failures(&table, &far[3]), Some(2));
    assert_eq!(table.answered(at(3), others[0], RTT), Answered::Added, "in place of the bad one");
    assert!(failures(&table, &far[3]).is_none() && failures(&table, &others[0]) == Some(0));
}

#[test]
fn life_answers_to_spare() {
    let (mut table, far, others) = full();
    assert_eq!(table.answered(at(60), others[0], RTT), Answered::Spare { doubt: None });
    assert_eq!(table.answered(at(901), others[0], RTT), Answered::Spare { doubt: Some(far[0]) });
    assert!(!table.contains(&others[0]) && far.iter().all(|contact| table.contains(contact)));
    // Once in doubt is not bad: there is no place for another yet.
    table.failed(far[0].addr, at(902));
    assert!(matches!(table.answered(at(903), others[1], RTT), Answered::Spare { .. }));
}

#[test]
fn life_answers_to_refused() {
    let (mut table, far, others) = full();
    let neighbour = SocketAddr::new(std::net::Ipv4Addr::from(0x0800_0002).into(), 6881);
    let refused = [
        Contact { id: table.own(), ..others[0] },
        Contact { id: far[0].id, ..others[0] },
        Contact { addr: neighbour, ..others[0] },
    ];
    assert!(refused.iter().all(|contact| table.answered(at(1), *contact, RTT) == Answered::Refused));
    assert_eq!(table.len(), 9);
}

#[test]
fn life_in_use_to_in_doubt_to_bad_and_back_by_an_answer() {
    let (mut table, far, _) = full();
    let named = |table: &Table| table.closest(&far[0].id.0, 9).iter().any(|entry| entry.contact == far[0]);
    for (silent, is_named) in [(1, true), (2, false), (3, false), (4, false)] {
        assert_eq!(
            table.failed(far[0].addr, at(silent)),
            None,
            "nobody waits, so it need not be asked at once"
        );
        assert_eq!((failures(&table, &far[0]), named(&table)), (Some(silent as u8), is_named));
    }
    for silent in 0..5 {
        assert_eq!(table.answered(at(9), far[0], RTT), Answered::Known);
        assert_eq!((failures(&table, &far[0]), named(&table)), (Some(0), true));
        for n in 0..silent {
            table.failed(far[0].addr, at(10 + n));
        }
        assert_eq!(failures(&table, &far[0]), Some(silent as u8));
    }
}

#[test]
fn life_bad_to_gone() {
    let (mut table, far, others) = full();
    for silent in 1..=5 {
        assert!(table.contains(&far[0]), "while nobody wants its place, it keeps it: {silent}");
        table.failed(far[0].addr, at(silent));
    }
    assert!(!table.contains(&far[0]));
    let (mut table, ..) = full();
    table.answered(at(1), others[0], RTT);
    assert_eq!(table.failed(far[0].addr, at(2)), Some(far[0]), "somebody waits: once more");
    assert!(table.contains(&far[0]));
    assert_eq!(table.failed(far[0].addr, at(3)), None);
    assert!(!table.contains(&far[0]) && table.contains(&others[0]));
}

#[test]
fn life_spare_to_in_use_the_fastest_first() {
    let (mut table, far, others) = full();
    for (n, ms) in [300, 100, 200].into_iter().enumerate() {
        table.answered(at(1), others[n], Duration::from_millis(ms));
    }
    for expected in [1, 2, 0] {
        table.remove(far[expected].addr);
        assert!(table.contains(&others[expected]), "{expected}");
    }
}

#[test]
fn life_spare_to_gone_when_four_are_faster() {
    let (mut table, far, others) = full();
    for (n, ms) in [500, 100, 400, 200, 300].into_iter().enumerate() {
        table.answered(at(1), others[n], Duration::from_millis(ms));
    }
    far.iter().for_each(|contact| table.remove(contact.addr));
    let mut left: Vec<usize> = (0..8).filter(|n| table.contains(&others[*n])).collect();
    left.sort_unstable();
    assert_eq!(left, [1, 2, 3, 4]);
}

#[test]
fn life_to_gone_when_another_answers_from_there() {
    let (mut table, far, others) = full();
    table.answered(at(1), others[0], RTT);
    let mut rng = Rng::new([2; 32]);
    for old in [far[0], others[0]] {
        let new = Contact { id: node(0, 0x40, &mut rng).id, ..old };
        assert_eq!(table.answered(at(2), new, RTT), Answered::Added);
    }
    far[1..].iter().for_each(|contact| table.remove(contact.addr));
    assert!(!table.contains(&far[0]) && !table.contains(&others[0]));
}

#[test]
fn nodes_are_sought_for_the_bucket_that_lacks_most() {
    let (mut table, mut rng) = filled(2_000, 7);
    let depth = table.buckets.len();
    let in_bucket = |table: &Table, bucket: usize| {
        let known = table.known(at(1)).filter(|known| known.bucket == bucket);
        known.map(|known| known.contact.addr).collect::<Vec<_>>()
    };
    let sought = |table: &mut Table, now, rng: &mut Rng| {
        let target = table.refresh_target(at(now), rng);
        table.index(&target)
    };
    // What the deep ones lack is not there; after everybody had a turn, a fresh start.
    for _ in 0..depth {
        sought(&mut table, 10, &mut rng);
    }
    for addr in in_bucket(&table, 1).into_iter().take(5) {
        for _ in 0..5 {
            table.failed(addr, at(20));
        }
    }
    for addr in in_bucket(&table, 2).into_iter().take(7) {
        for _ in 0..2 {
            table.failed(addr, at(20));
        }
    }
    let lacking = |table: &Table, bucket: usize| table.buckets[bucket].needs(at(400));
    let (one, two) = (lacking(&table, 1), lacking(&table, 2));
    assert!(
        two > one && one > 0 && (3..depth - 1).all(|bucket| lacking(&table, bucket) < one),
        "{one} {two}"
    );
    assert_eq!(sought(&mut table, 400, &mut rng), 2, "bad ones are as good as none");
    assert_eq!(sought(&mut table, 410, &mut rng), 1);
    assert!(![1, 2].contains(&sought(&mut table, 420, &mut rng)), "not again and again");
}

/// Liars that answered under ids made up next to former targets are as many as there is room for, and faster than anybody.
#[test]
fn lookups_do_not_start_among_made_up_ids_alone() {
    let (mut table, mut rng) = (Table::new(NodeId([0; 20])), Rng::new([8; 32]));
    let is_bound = |contact: &Contact| node_id::is_bound(&contact.id, contact.addr.ip());
    for n in 0..200 {
        let (first, is_honest) = (rng.u64() as u8, n % 4 == 0);
        let mut contact = node(n, first, &mut rng);
        if is_honest {
            contact.id = node_id::bound_to(contact.addr.ip(), &mut rng);
        }
        table.answered(at(1), contact, if is_honest { 3 * RTT } else { RTT });
    }
    let known = table.iter().filter(is_bound).count();
    assert!(known >= K && known < table.len() / 2, "{known} of {}", table.len());
    for target in 0..=255 {
        let (starts, spares) = (table.starts(&[target; 20], K), table.spare_starts(&[target; 20], 2 * K));
        assert_eq!((starts.len(), spares.len()), (K, 2 * K));
        assert!(starts.iter().filter(|start| is_bound(start)).count() >= K / 2);
        let near = table.closest(&[target; 20], WIDE);
        let (bound, rest) = (near.iter().filter(|near| is_bound(&near.contact)).count(), 2 * K - K / 2);
        assert!(spares.iter().filter(|spare| is_bound(spare)).count() >= bound.min(rest), "{target}");
    }
}
