use quickcheck::quickcheck;

use super::crowd::WIDER;
use super::*;
use crate::base::Rng;

fn contact(distance: u8) -> Contact {
    let mut id = [0; 20];
    id[19] = distance;
    Contact { id: NodeId(id), addr: ([127, 0, 0, 1], 1_000 + u16::from(distance)).into() }
}

fn lookup(start: &[u8]) -> Lookup {
    let start = start.iter().map(|&distance| contact(distance)).collect();
    Lookup::new([0; 20], (Goal::Neighbours, Pace::CALM), true, None, start, [])
}

/// An estimate that is ripe.
fn size(nodes: u64) -> Size {
    Size { nodes, error: nodes / 10 }
}

fn ask(lookup: &mut Lookup) -> Vec<u16> {
    std::iter::from_fn(|| {
        let (addr, _) = lookup.next()?;
        lookup.on_asked(addr);
        Some(addr.port() - 1_000)
    })
    .collect()
}

#[test]
fn the_closest_first_and_four_at_a_time() {
    let mut lookup = lookup(&[9, 3, 7, 1, 5]);
    assert_eq!(ask(&mut lookup), [1, 3, 5, 7]);
    lookup.on_answer(contact(3), [contact(2)]);
    assert_eq!(ask(&mut lookup), [2, 9], "near the end more at a time");
    assert!(!lookup.is_done());
    for distance in [1, 2, 5, 7] {
        lookup.on_answer(contact(distance), []);
    }
    lookup.on_failed(contact(9).addr);
    assert!(lookup.is_done());
    let closest: Vec<_> = lookup.closest().map(|contact| contact.id.0[19]).collect();
    assert_eq!(closest, [1, 2, 3, 5, 7]);
}

#[test]
fn a_stalled_node_makes_room_and_is_waited_for_until_it_is_lost() {
    let mut lookup = lookup(&(1..=20).collect::<Vec<_>>());
    assert_eq!(ask(&mut lookup), [1, 2, 3, 4]);
    lookup.on_stall(contact(1).addr);
    assert_eq!(ask(&mut lookup), [5]);
    (2..=9).for_each(|distance| {
        lookup.on_answer(contact(distance), []);
        ask(&mut lookup);
    });
    assert!(!lookup.is_done());
    lookup.on_lost(contact(1).addr);
    assert!(lookup.is_done());
    lookup.on_answer(contact(1), []);
    assert_eq!(lookup.closest().next(), Some(contact(1)), "late, and still used");
}

#[test]
fn one_of_the_closest_is_worth_a_second_question_and_one_farther_away_is_not() {
    let mut lookup = lookup(&(1..=20).collect::<Vec<_>>());
    let mut asked = ask(&mut lookup);
    while asked.len() < 12 {
        asked.iter().skip(1).for_each(|port| lookup.on_stall(contact(*port as u8).addr));
        asked.extend(ask(&mut lookup));
    }
    assert!(lookup.is_worth_another(contact(2).addr) && lookup.is_worth_another(contact(8).addr));
    assert!(!lookup.is_worth_another(contact(9).addr));
    lookup.on_failed(contact(1).addr);
    assert!(lookup.is_worth_another(contact(9).addr), "now it is");
}

#[test]
fn where_the_first_starts_are_silent_there_are_others() {
    let starts = |answers: bool| {
        let mut lookup = lookup(&[1, 2, 3]);
        lookup.spare_starts((1..=6).map(contact).collect());
        assert_eq!(ask(&mut lookup), [1, 2, 3]);
        if answers {
            lookup.on_answer(contact(2), []);
        }
        lookup.on_stall(contact(1).addr);
        ask(&mut lookup)
    };
    assert_eq!(starts(false), [4, 5]);
    assert!(starts(true).is_empty());
}

/// Liars that answer under ids made up next to each target, and name each other. Whoever has met many of them starts among them.
#[test]
fn who_starts_among_liars_is_not_led_by_them_alone() {
    let liar = |n: u8| {
        let mut liar = node(n, false);
        liar.id.0[..19].fill(0);
        liar
    };
    let (liars, honest) = ((1..=60).map(liar), (100..110).map(|n| node(n, true)));
    let all: Vec<Contact> = liars.chain(honest.clone()).collect();
    let run = |mut lookup: Lookup| {
        let mut asked = Vec::new();
        while let Some((addr, _)) = lookup.next() {
            lookup.on_asked(addr);
            let contact = *all.iter().find(|known| known.addr == addr).unwrap();
            asked.push(contact);
            let n = contact.id.0[19];
            let is_liar = !node_id::is_bound(&contact.id, addr.ip());
            let named: Vec<Contact> = if is_liar {
                (n..n + 8).map(|n| liar(n % 60 + 1)).collect()
            } else {
                honest.clone().collect()
            };
            lookup.on_answer(contact, named);
        }
        assert!(lookup.is_done());
        asked.into_iter().filter(|asked| honest.clone().any(|honest| honest == *asked)).count()
    };
    for pace in [Pace::CALM, Pace::SWIFT, Pace::PAIRED] {
        let goal = (Goal::Peers(InfoHash([0; 20])), pace);
        let start: Vec<Contact> = (1..=8).map(liar).collect();
        let lookup = || Lookup::new([0; 20], goal, true, Some(size(100_000)), start.clone(), []);
        assert_eq!(run(lookup()), 0, "there is no way out");
        let mut with_spares = lookup();
        with_spares.spare_starts([start.clone(), vec![node(105, true)]].concat());
        assert!(run(with_spares) >= K, "one honest node knows the others");
    }
}

#[test]
fn seeds_are_asked_at_once_and_become_candidates() {
    let seeds = (1..=10).map(|distance| contact(distance).addr);
    let mut lookup = Lookup::new([0; 20], (Goal::Neighbours, Pace::CALM), true, None, Vec::new(), seeds);
    assert_eq!(ask(&mut lookup).len(), 10);
    (1..=9).for_each(|distance| lookup.on_answer(contact(distance), []));
    assert!(!lookup.is_done());
    lookup.on_lost(contact(10).addr);
    assert!(lookup.is_done());
    assert_eq!(lookup.closest().count(), K);
}

/// A node of the internet, whose id follows from its address or does not.
fn node(distance: u8, is_bound: bool) -> Contact {
    let ip = [8, distance, 1, 1].into();
    let mut id = NodeId([distance; 20]);
    if is_bound {
        id = node_id::bound_to(ip, &mut Rng::new([distance; 32]));
    }
    assert_eq!(node_id::is_bound(&id, ip), is_bound);
    Contact { id, addr: (ip, 6881).into() }
}

/// Everybody named answers. Returns the result, how many were asked, and how many of the result have bound ids.
fn result_of(nodes: &[Contact]) -> (Vec<Contact>, usize, usize) {
    let mut lookup = Lookup::new([0; 20], (Goal::Neighbours, Pace::CALM), true, None, nodes.to_vec(), []);
    let mut asked = 0;
    while let Some((addr, _)) = lookup.next() {
        lookup.on_asked(addr);
        asked += 1;
        lookup.on_answer(*nodes.iter().find(|node| node.addr == addr).unwrap(), []);
    }
    assert!(lookup.is_done());
    let closest: Vec<Contact> = lookup.closest().collect();
    let bound = closest.iter().filter(|node| node_id::is_bound(&node.id, node.addr.ip())).count();
    (closest, asked, bound)
}

#[test]
fn made_up_ids_cannot_surround_a_target() {
    let surrounding: Vec<Contact> = (1..=64)
        .map(|distance| {
            let mut made_up = node(distance, false);
            made_up.id.0[..19].fill(0);
            made_up
        })
        .collect();
    let honest: Vec<Contact> = (100..120).map(|n| node(n, true)).collect();
    let (closest, asked, bound) = result_of(&[surrounding.clone(), honest].concat());
    // How many to expect is not known, so the honest ones get more places instead of those that are taken.
    assert_eq!((closest.len(), asked, bound), (WIDER * K, WIDER * K, WIDER * K - UNBOUND));
    assert!(surrounding[..4].iter().all(|node| closest.contains(node)), "the closest of them have a place");
    let few: Vec<Contact> = (100..102).map(|n| node(n, true)).collect();
    let (closest, _, bound) = result_of(&[surrounding, few].concat());
    assert_eq!((closest.len(), bound), (8, 2), "for want of others");
}

/// Ids so close to a target are chosen, whatever they are bound to; a wrong estimate of the size does not change that.
#[test]
fn a_crowd_around_a_target_gets_some_places_and_the_lookup_goes_on_wider() {
    let crowd = (1..=64).map(contact);
    let others = (1..=60).map(|n| {
        let mut other = contact(100 + n as u8);
        other.id.0[..8].copy_from_slice(&(n * (u64::MAX / 100_000)).to_be_bytes());
        other
    });
    let crowded: Vec<Contact> = crowd.take(30).chain(others.clone()).collect();
    let honest_of = |nodes: Option<u64>, known: &[Contact]| {
        let goal = (Goal::Search(InfoHash([0; 20])), Pace::CALM);
        let mut lookup = Lookup::new([0; 20], goal, true, nodes.map(size), known.to_vec(), []);
        while let Some((addr, _)) = lookup.next() {
            lookup.on_asked(addr);
            lookup.on_answer(*known.iter().find(|known| known.addr == addr).unwrap(), []);
        }
        assert!(lookup.is_done());
        let is_honest = |contact: &Contact| contact.addr.port() > 1_100;
        let answered = lookup.candidates.iter().filter(|known| known.state == State::Answered);
        let asked = answered.filter(|known| is_honest(&known.contact)).count();
        (asked, lookup.closest().filter(is_honest).count())
    };
    // Where twice as many are as estimated, that alone is a reason to ask all around.
    let around = SURROUNDINGS as usize * 2;
    for (nodes, wider) in [(50_000, around), (100_000, WIDER * K - UNBOUND), (200_000, WIDER * K - UNBOUND)] {
        let (asked, honest) = honest_of(Some(nodes), &crowded);
        assert_eq!((asked, honest), (wider, wider), "by an estimate of {nodes}");
        assert_eq!(honest_of(Some(nodes), &others.clone().collect::<Vec<_>>()), (K, K), "nobody crowds");
    }
    assert_eq!(honest_of(None, &crowded).1, 0, "nothing is known of the network");
}

/// Whoever knows how many of a crowd count could take each such place just before somebody honest does.
#[test]
fn who_keeps_below_the_limit_does_not_keep_out_others() {
    let at = |n: u8, expected: f64| {
        let mut at = contact(n);
        at.id.0[..8].copy_from_slice(&((expected / 100_000.0 * 2f64.powi(64)) as u64).to_be_bytes());
        at
    };
    let honest: Vec<Contact> = (1..=30).map(|n| at(100 + n, f64::from(n))).collect();
    for (for_each, least) in [(1.0, K / 2), (3.0, K - 1), (4.0, K - 1), (8.0, K - 1)] {
        let sybils = (0..64).map(|n| at(n, (f64::from(n) + 0.5) / for_each));
        let known: Vec<Contact> = sybils.chain(honest.clone()).collect();
        let goal = (Goal::Search(InfoHash([0; 20])), Pace::CALM);
        let mut lookup = Lookup::new([0; 20], goal, true, Some(size(100_000)), known.clone(), []);
        while let Some((addr, _)) = lookup.next() {
            lookup.on_asked(addr);
            lookup.on_answer(*known.iter().find(|known| known.addr == addr).unwrap(), []);
        }
        let result: Vec<Contact> = lookup.closest().collect();
        let region = honest.iter().take(K).filter(|honest| result.contains(honest)).count();
        assert!(region >= least, "{for_each} for each honest one: {region} of {}", result.len());
        assert!(result.len() <= limits::DHT_CANDIDATES / 2);
    }
}

/// Those who are as many around a target as nodes usually are, and name only each other, look like any network from within.
#[test]
fn who_names_only_each_other_does_not_end_a_lookup() {
    let at = |n: u8, expected: f64| {
        let mut at = contact(n);
        at.id.0[..8].copy_from_slice(&((expected / 100_000.0 * 2f64.powi(64)) as u64).to_be_bytes());
        at
    };
    let crowd: Vec<Contact> = (1..=64).map(|n| at(n, f64::from(n) - 0.5)).collect();
    let honest: Vec<Contact> = (1..=30).map(|n| at(100 + n, f64::from(n))).collect();
    let far: Vec<Contact> = (1..=8).map(|n| at(140 + n, 1_000.0 * f64::from(n))).collect();
    // Each of those far away knows of three of the crowd, and of a few of the others at some distance; those, of all others.
    let named_by = |contact: &Contact| match contact.addr.port() - 1_000 {
        n @ 141.. => {
            let n = usize::from(n - 141);
            [&crowd[3 * n..3 * n + 3], &honest[16 + n..20 + n]].concat()
        }
        101.. => honest[..K].to_vec(),
        n => (0..8).map(|step| crowd[(usize::from(n) + 5 * step) % 64]).collect(),
    };
    let goal = (Goal::Search(InfoHash([0; 20])), Pace::SWIFT);
    let found = |nodes: Option<u64>| {
        let mut lookup = Lookup::new([0; 20], goal, true, nodes.map(size), far.clone(), []);
        let all = [&crowd[..], &honest, &far].concat();
        let mut asked = 0;
        while let Some((addr, _)) = lookup.next() {
            asked += 1;
            lookup.on_asked(addr);
            let contact = all.iter().find(|known| known.addr == addr).unwrap();
            lookup.on_answer(*contact, named_by(contact));
        }
        assert!(lookup.is_done() && asked < 100, "{asked}");
        lookup.closest().filter(|found| honest.contains(found)).count()
    };
    assert_eq!(found(None), 0, "without an estimate nobody is known to be far");
    assert_eq!(found(Some(100_000)), K / 2, "as many as are among the closest");
}

/// An estimate from one lookup makes fewer suspect than one from many; and nobody is suspected around ourselves.
#[test]
fn suspicion_waits_for_an_estimate_to_be_ripe() {
    let target = (Goal::Search(InfoHash([0; 20])), Pace::SWIFT);
    let ours = (Goal::Neighbours, Pace::CALM);
    // So many times as many as there are by the estimate.
    for (times, error, goal, suspect) in [
        (2.2, 1_000, target, true),
        (2.2, 40_000, target, false),
        (4.0, 40_000, target, true),
        (4.0, 1_000, ours, false),
    ] {
        let mut lookup =
            Lookup::new([0; 20], goal, true, Some(Size { nodes: 100_000, error }), Vec::new(), []);
        for n in 1..=40u8 {
            let mut node = contact(n);
            let share = f64::from(n) / 100_000.0 / times;
            node.id.0[..8].copy_from_slice(&((share * 2f64.powi(64)) as u64).to_be_bytes());
            lookup.on_answer(node, []);
        }
        assert_eq!(lookup.is_suspect(), suspect, "{times} times as many, {error}");
    }
}

/// A network that has grown since its size was estimated looks like a crowd everywhere; so a random point is looked up first.
#[test]
fn by_a_young_estimate_nobody_is_suspected_before_there_is_another() {
    let counted = |survey: Option<Size>| {
        let goal = (Goal::Search(InfoHash([0; 20])), Pace::CALM);
        let known: Vec<Contact> = (1..=40u8)
            .map(|n| {
                let mut node = contact(n);
                node.id.0[..8].copy_from_slice(&(u64::from(n) * (u64::MAX / 100_000)).to_be_bytes());
                node
            })
            .collect();
        let mut lookup = Lookup::new([0; 20], goal, true, Some(size(10_000)), known.clone(), []);
        lookup.doubt_size();
        let run = |lookup: &mut Lookup| {
            while let Some((addr, _)) = lookup.next() {
                lookup.on_asked(addr);
                lookup.on_answer(*known.iter().find(|known| known.addr == addr).unwrap(), []);
            }
        };
        run(&mut lookup);
        assert!(lookup.wants_survey() && !lookup.is_done() && !lookup.is_suspect());
        let before = lookup.progress().answered;
        lookup.on_survey(survey);
        run(&mut lookup);
        assert!(lookup.is_done() && !lookup.wants_survey());
        (before, lookup.closest().count(), lookup.is_suspect())
    };
    // The limit on crowds holds at once, and costs twice as many questions; in the end, three of the closest are beyond it.
    let (grown, same) = (Some(size(100_000)), Some(size(10_000)));
    assert_eq!(counted(grown), (WIDER * K, K, false));
    assert_eq!(counted(same), (WIDER * K, 40 - 3, true));
    assert_eq!(counted(None), (WIDER * K, 40 - 3, true), "nothing speaks against it");
}

#[test]
fn where_most_ids_are_bound_the_closest_are_the_result() {
    let nodes: Vec<Contact> = (1..=40).map(|n| node(n, n % 10 != 0)).collect();
    let (mut closest, _, bound) = result_of(&nodes);
    let mut expected = nodes;
    expected.sort_by_key(|node| node.id);
    closest.sort_by_key(|node| node.id);
    assert_eq!(closest, expected[..8]);
    assert!(bound >= 4);
}

#[test]
fn one_node_of_a_network() {
    let of_network = |last| Contact { addr: ([8, 8, 8, last], 6881).into(), ..contact(last) };
    let mut lookup = lookup(&[]);
    (1..=9).for_each(|last| lookup.consider(of_network(last), (0, 0), false));
    assert_eq!(lookup.next().unwrap().0, of_network(1).addr);
    lookup.on_asked(of_network(1).addr);
    assert_eq!(lookup.next(), None, "one at a time");
    lookup.on_stall(of_network(1).addr);
    assert_eq!(lookup.next(), None);
    lookup.on_lost(of_network(1).addr);
    assert_eq!(lookup.next().unwrap().0, of_network(2).addr, "the next once the first is given up");
    lookup.on_asked(of_network(2).addr);
    lookup.on_answer(of_network(2), [of_network(10), of_network(11)]);
    assert_eq!(lookup.next(), None, "nobody else once one has answered, nor whom it names next door");
    assert!(lookup.is_done());
}

/// Who names the id of a good node at an address of its own making, or made-up ids at the address of a good node, does not
/// keep that node out.
#[test]
fn made_up_contacts_do_not_hide_real_ones() {
    let good = contact(1);
    let squatted = Contact { addr: contact(77).addr, ..good };
    let renamed = Contact { addr: good.addr, ..contact(2) };
    for false_one in [squatted, renamed] {
        let mut lookup = lookup(&[]);
        lookup.consider(false_one, (0, 0), false);
        lookup.consider(good, (0, 0), false);
        let (addr, expected) = lookup.next().unwrap();
        assert_eq!((addr, expected), (false_one.addr, Some(false_one.id)));
        lookup.on_asked(addr);
        assert_eq!(lookup.next(), None);
        lookup.on_failed(addr);
        assert_eq!(lookup.next(), Some((good.addr, Some(good.id))));
        lookup.on_asked(good.addr);
        lookup.on_answer(good, []);
        assert!(lookup.is_done());
        assert_eq!(lookup.closest().collect::<Vec<_>>(), [good]);
    }
}

#[test]
fn an_answer_adds_eight_nodes_the_closest_ones() {
    let mut lookup = lookup(&[200]);
    assert_eq!(ask(&mut lookup), [200]);
    lookup.on_answer(contact(200), (1..=100).rev().map(contact));
    let known: Vec<u8> = lookup.candidates.iter().map(|known| known.contact.id.0[19]).collect();
    assert_eq!(known, [1, 2, 3, 4, 5, 6, 7, 8, 200]);
}

#[test]
fn a_world_without_end_ends() {
    let mut lookup = lookup(&[]);
    let far = |n: u16| {
        let mut id = [0; 20];
        id[..2].copy_from_slice(&(u16::MAX - n).to_be_bytes());
        Contact { id: NodeId(id), addr: ([127, 0, 0, 1], 1_000 + n).into() }
    };
    lookup.consider(far(0), (0, 0), false);
    let asked = (0..).take_while(|&n| {
        let next = lookup.next();
        if let Some((addr, _)) = next {
            lookup.on_asked(addr);
            lookup.on_answer(far(n), [far(n + 1)]);
        }
        next.is_some()
    });
    assert_eq!(asked.count(), usize::from(HOPS) + 1);
    assert!(lookup.is_done());
}

fn paired(start: impl IntoIterator<Item = Contact>) -> Lookup {
    let start = start.into_iter().collect();
    Lookup::new([0; 20], (Goal::Peers(InfoHash([0; 20])), Pace::PAIRED), true, None, start, [])
}

/// A node of one path names made-up nodes that all answer, and all are closest to the target. The other path is not
/// touched by that: it goes its way, and its closest are part of the result.
#[test]
fn one_path_in_the_wrong_hands_is_not_the_whole_lookup() {
    let (liar, honest) = (contact(100), contact(101));
    let mut lookup = paired([liar, honest]);
    let mut asked = Vec::new();
    while !lookup.is_done() {
        let (addr, _) = lookup.next().expect("somebody is left to be asked");
        lookup.on_asked(addr);
        asked.push(addr);
        let distance = u8::try_from(addr.port() - 1_000).unwrap();
        let named: Vec<Contact> = match distance {
            100 | 1..=40 => {
                (1..=40).filter(|n| n % 5 == distance % 5 || distance == 100).map(contact).collect()
            }
            101 => (50..=57).map(contact).collect(),
            _ => (60..=67).map(contact).collect(),
        };
        lookup.on_answer(contact(distance), named);
    }
    let closest: Vec<u8> = lookup.closest().map(|contact| contact.id.0[19]).collect();
    assert_eq!(closest[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(closest[8..], [50, 51, 52, 53], "of the path that nobody touched");
    let mut once = asked.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), asked.len(), "each node is used in one path only");
}

#[test]
fn a_flood_in_one_path_does_not_push_out_the_other() {
    let mut lookup = paired((200..=203).map(contact));
    let far = |n: u8| Contact { addr: ([127, 0, 1, n], 7_000).into(), ..contact(n) };
    let of_path = |lookup: &Lookup, path| lookup.candidates.iter().filter(|known| known.path == path).count();
    assert_eq!((of_path(&lookup, 0), of_path(&lookup, 1)), (2, 2));
    for round in 0..20 {
        lookup.on_answer(contact(200), (0..8).map(|n| far(round * 8 + n)));
    }
    assert_eq!((of_path(&lookup, 0), of_path(&lookup, 1)), (limits::DHT_CANDIDATES / 2, 2));
}

quickcheck! {
    /// Whatever the nodes do, a lookup never asks one twice, stays bounded, and comes to its end.
    fn it_ends(seed: u8, pace: u8) -> bool {
        let mut rng = Rng::new([seed; 32]);
        let any = |rng: &mut Rng| {
            let id = NodeId(rng.array());
            Contact { addr: ([10, id.0[0], id.0[1], id.0[2]], 6881).into(), id }
        };
        let pace = [Pace::CALM, Pace::SWIFT, Pace::PAIRED][usize::from(pace % 3)];
        let start = (0..3).map(|_| any(&mut rng)).collect();
        let mut lookup = Lookup::new([0; 20], (Goal::Neighbours, pace), true, None, start, []);
        let (mut asked, mut under_way) = (Vec::new(), Vec::new());
        while !lookup.is_done() {
            while let Some((addr, id)) = lookup.next() {
                assert!(!asked.contains(&addr), "asked twice");
                lookup.on_asked(addr);
                asked.push(addr);
                under_way.push(Contact { id: id.unwrap(), addr });
            }
            assert!(!under_way.is_empty(), "waits for nothing");
            let contact = under_way.swap_remove(rng.below(under_way.len() as u64) as usize);
            match rng.below(4) {
                0 => lookup.on_failed(contact.addr),
                1 => lookup.on_lost(contact.addr),
                _ => {
                    let named: Vec<Contact> = (0..rng.below(12)).map(|_| any(&mut rng)).collect();
                    lookup.on_answer(contact, named);
                }
            }
            assert!(lookup.candidates.len() <= limits::DHT_CANDIDATES && asked.len() <= limits::DHT_CANDIDATES);
        }
        true
    }
}
