use super::*;
use crate::base::{Outbox, Rng, UnixTime};

struct Bench {
    now: Time,
    rng: Rng,
    out: Outbox,
    rendezvous: Rendezvous,
}

impl Bench {
    fn new() -> Self {
        let (mut rng, mut out) = (Rng::new([3; 32]), Outbox::default());
        let cx = Cx { now: Time::ZERO, unix: UnixTime::default(), rng: &mut rng, out: &mut out };
        let mut rendezvous = Rendezvous::new(&cx);
        rendezvous.set_topics(vec![InfoHash([1; 20])]);
        assert_eq!(rendezvous.pop_action(), Some(Action::Announce(InfoHash([1; 20]))));
        Self { now: Time::ZERO, rng, out, rendezvous }
    }

    fn with<T>(&mut self, what: impl FnOnce(&mut Rendezvous, &mut Cx<'_>) -> T) -> T {
        let mut cx = Cx { now: self.now, unix: UnixTime::default(), rng: &mut self.rng, out: &mut self.out };
        what(&mut self.rendezvous, &mut cx)
    }

    /// Lets time pass, and gives back what was done when.
    fn run(&mut self, span: Duration) -> Vec<(Time, Action)> {
        let end = self.now + span;
        let mut done = Vec::new();
        loop {
            self.with(|r, cx| r.on_wake(cx));
            while let Some(action) = self.rendezvous.pop_action() {
                done.push((self.now, action));
            }
            let next = self.rendezvous.next_wake().map_or(end, |wake| wake.at);
            assert!(next > self.now, "a hot loop");
            if next >= end {
                self.now = end;
                return done;
            }
            self.now = next;
        }
    }
}

fn count(done: &[(Time, Action)], what: impl Fn(&Action) -> bool) -> usize {
    done.iter().filter(|(_, action)| what(action)).count()
}

fn is_poll(action: &Action) -> bool {
    matches!(action, Action::Poll(_))
}

fn is_knock(action: &Action) -> bool {
    matches!(action, Action::Knock { .. })
}

fn victims(n: usize) -> Vec<SocketAddr> {
    (0..n).map(|i| SocketAddr::from(([198, 18, i as u8, 1], 4_000 + i as u16))).collect()
}

const STRANGER: Source = Source::Dht(IpAddr::V4(std::net::Ipv4Addr::new(8, 8, 8, 8)));

#[test]
fn asks_often_at_first_and_rarely_later() {
    let mut bench = Bench::new();
    assert_eq!(count(&bench.run(Duration::from_secs(60)), is_poll), 120);
    assert_eq!(count(&bench.run(Duration::from_secs(540)), is_poll), 270);
    assert_eq!(count(&bench.run(Duration::from_secs(600)), is_poll), 60);
}

#[test]
fn asks_once_more_when_announced() {
    let (mut bench, topic) = (Bench::new(), InfoHash([1; 20]));
    bench.run(Duration::from_millis(200));
    bench.with(|r, cx| r.announced(cx, topic));
    assert_eq!(bench.run(Duration::from_millis(400)), [(Time::from_millis(200), Action::Poll(topic))]);
    assert_eq!(count(&bench.run(Duration::from_millis(200)), is_poll), 1, "and then as usual");
    bench.with(|r, cx| r.set_company(cx, 3, true));
    bench.with(|r, cx| r.announced(cx, topic));
    assert_eq!(count(&bench.run(Duration::from_secs(1)), is_poll), 0, "not in company");
}

#[test]
fn in_company_only_the_entry_point_asks() {
    let mut bench = Bench::new();
    bench.run(Duration::from_secs(1));
    bench.with(|r, cx| r.set_company(cx, 3, true));
    assert_eq!(count(&bench.run(Duration::from_secs(60)), is_poll), 29);
    bench.with(|r, cx| r.set_company(cx, 3, false));
    assert_eq!(count(&bench.run(Duration::from_secs(60)), is_poll), 0);
    bench.with(|r, cx| r.set_company(cx, 0, false));
    assert!(count(&bench.run(Duration::from_secs(10)), is_poll) >= 19, "alone again");
}

#[test]
fn an_address_is_tried_four_times_then_left_alone() {
    for (company, cooling) in [(0, 20), (3, 30)] {
        let mut bench = Bench::new();
        bench.with(|r, cx| r.set_company(cx, company, true));
        assert_eq!(bench.with(|r, cx| r.rumour(cx, STRANGER, &victims(1))).len(), 1);
        let done = bench.run(Duration::from_secs(cooling - 1));
        assert_eq!(count(&done, is_knock), 4);
        assert!(bench.with(|r, cx| r.rumour(cx, STRANGER, &victims(1))).is_empty(), "cooling");
        bench.run(Duration::from_secs(1));
        assert_eq!(bench.with(|r, cx| r.rumour(cx, STRANGER, &victims(1))).len(), 1, "cold");
    }
}

#[test]
fn all_tries_are_one_transaction_and_an_answer_ends_them() {
    let mut bench = Bench::new();
    let address = victims(1)[0];
    bench.with(|r, cx| r.rumour(cx, STRANGER, &[address]));
    let done = bench.run(Duration::from_secs(1));
    let ids: Vec<_> = done
        .iter()
        .filter_map(|(_, action)| match action {
            Action::Knock { transaction, .. } => Some(*transaction),
            _ => None,
        })
        .collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
    let another = SocketAddr::new(address.ip(), 60_000);
    let asked = |from, id| bench.rendezvous.asked(from, id);
    assert_eq!(
        [asked(address, ids[0]), asked(another, ids[0])],
        [Some(address); 2],
        "its NAT may have a port for us"
    );
    assert_eq!(asked(victims(2)[1], ids[0]), None, "answers come from the host that was asked");
    assert_eq!(asked(another, TransactionId([7; 12])), None);
    bench.rendezvous.answered(address);
    assert_eq!(count(&bench.run(Duration::from_secs(10)), is_knock), 0);
}

#[test]
fn whoever_knocks_again_and_again_is_asked_back_once() {
    let mut bench = Bench::new();
    let address = victims(1)[0];
    let mut knocks = 0;
    for _ in 0..10 {
        bench.with(|r, cx| r.knock_back(cx, address));
        knocks += count(&bench.run(Duration::from_secs(1)), is_knock);
    }
    assert_eq!(knocks, TRIES.len());
}

#[test]
fn forged_answers_draw_no_more_than_the_budget() {
    let mut bench = Bench::new();
    let mut knocks = 0;
    for round in 0..600_u32 {
        let fresh: Vec<SocketAddr> = (0..100)
            .map(|i| SocketAddr::from(((0xc612_0000_u32 + round * 128 + i).to_be_bytes(), 5_000)))
            .collect();
        let taken = bench.with(|r, cx| r.rumour(cx, STRANGER, &fresh));
        assert!(taken.len() <= MAX_NEW_PER_ROUND);
        knocks += count(&bench.run(Duration::from_millis(500)), is_knock);
    }
    // Five minutes: the allowance, and what came back of it.
    assert!(knocks <= ALLOWANCE as usize + 300 + TRIES.len(), "{knocks}");
    assert!(knocks >= ALLOWANCE as usize, "the allowance is used: {knocks}");
    assert!(bench.rendezvous.doors.len() <= limits::DOORS);
    assert!(bench.rendezvous.counters().over_budget > 10_000);
}

#[test]
fn the_ports_of_a_familiar_host_cost_nothing_and_are_knocked_at_one_by_one() {
    let mut bench = Bench::new();
    let ports: Vec<SocketAddr> = (0..5).map(|i| SocketAddr::from(([203, 0, 113, 7], 5_000 + i))).collect();
    bench.rendezvous.allowance = 0;
    assert!(bench.with(|r, cx| r.rumour(cx, STRANGER, &ports)).is_empty());
    bench.rendezvous.proved(ports[0].ip());
    let mut knocked = BTreeSet::new();
    for _ in 0..40 {
        bench.rendezvous.allowance = 0;
        let taken = bench.with(|r, cx| r.rumour(cx, STRANGER, &ports));
        assert!(taken.len() <= 2, "one at a time, and one for what the allowance has grown by");
        knocked.extend(taken);
        bench.run(Duration::from_millis(500));
    }
    assert_eq!(knocked.len(), ports.len(), "all within twenty seconds");
    bench.rendezvous.allowance = 0;
    bench.rendezvous.answered(ports[0]);
    assert_eq!(bench.rendezvous.allowance, 0, "what cost nothing gives nothing back");
}

#[test]
fn a_host_of_many_ports_takes_one_turn_among_hosts() {
    // More than there are turns in ten minutes: some are never asked.
    for ports in [32, 300] {
        a_quiet_host_is_asked_beside_one_of(ports);
    }
}

fn a_quiet_host_is_asked_beside_one_of(ports: u16) {
    let mut bench = Bench::new();
    let many: Vec<SocketAddr> = (0..ports).map(|i| SocketAddr::from(([198, 18, 0, 1], 4_000 + i))).collect();
    let quiet = SocketAddr::from(([198, 18, 1, 1], 4_000));
    let rumours = [many, vec![quiet]].concat();
    let mut asked = Vec::new();
    // A DHT node answers with a few of all that were announced.
    for turn in 0..1_200 {
        let mut named: Vec<_> = (0..10).map(|i| rumours[(turn * 10 + i) % rumours.len()]).collect();
        named.extend((turn % 3 == 0).then_some(quiet));
        let taken = bench.with(|r, cx| r.rumour(cx, STRANGER, &named));
        asked.extend(taken.contains(&quiet).then_some(bench.now));
        bench.run(Duration::from_millis(500));
    }
    // There is a turn every four seconds while there are new ones, and its DHT node answers every third time.
    let waits = asked.windows(2).map(|pair| pair[1] - pair[0]);
    let bound = COOLING_ALONE + 3 * TRIES.len() as u32 * ALLOWANCE_REFILL;
    assert!(waits.max().unwrap() <= bound, "{asked:?}");
}

/// A member who moved about leaves many addresses behind, and is at the one that was announced last, perhaps on a host that is
/// known well.
#[test]
fn what_was_never_asked_comes_before_what_was_asked_in_vain() {
    let mut bench = Bench::new();
    let mut named: Vec<SocketAddr> = (0..48).map(|i| ([198, 18, i, 1], 4_000).into()).collect();
    for round in named.chunks(MAX_NEW_PER_ROUND) {
        assert_eq!(bench.with(|r, cx| r.rumour(cx, STRANGER, round)).len(), MAX_NEW_PER_ROUND);
    }
    bench.run(COOLING);
    while !bench.with(|r, cx| r.rumour(cx, STRANGER, &named)).is_empty() {}
    let home = SocketAddr::from(([198, 18, 47, 1], 5_000));
    named.push(home);
    bench.run(COOLING_ALONE);
    let taken = bench.with(|r, cx| r.rumour(cx, STRANGER, &named));
    assert_eq!(taken.first(), Some(&home), "{taken:?}");
}

/// Behind a NAT that admits only whom it sent to, it may have sent to us just now.
#[test]
fn what_was_asked_in_vain_is_asked_again_soon_with_one_knock() {
    let mut bench = Bench::new();
    let named: Vec<SocketAddr> = (0..48).map(|i| ([198, 18, i, 1], 4_000).into()).collect();
    for round in named.chunks(MAX_NEW_PER_ROUND) {
        bench.with(|r, cx| r.rumour(cx, STRANGER, round));
    }
    bench.run(COOLING_ALONE);
    let mut knocked = BTreeMap::<SocketAddr, u32>::new();
    for _ in 0..48 {
        bench.with(|r, cx| r.rumour(cx, STRANGER, &named));
        for (_, action) in bench.run(Duration::from_secs(1)) {
            if let Action::Knock { to, .. } = action {
                *knocked.entry(to).or_default() += 1;
            }
        }
    }
    assert_eq!(knocked.len(), named.len(), "all within 48 s");
    assert!(knocked.values().all(|&times| times <= 2), "{knocked:?}");
}

/// Who moves and wakes often hears of the same dozens of stale addresses each time.
#[test]
fn what_was_asked_in_vain_is_known_as_such_when_the_network_changes() {
    let mut bench = Bench::new();
    let named = victims(MAX_NEW_PER_ROUND);
    bench.with(|r, cx| r.rumour(cx, STRANGER, &named));
    bench.run(Duration::from_secs(5));
    bench.rendezvous.answered(named[0]);
    assert!(bench.with(|r, cx| r.rumour(cx, STRANGER, &named)).is_empty(), "all were asked just now");
    bench.with(|r, cx| r.hurry(cx));
    let home = SocketAddr::from(([198, 19, 0, 1], 5_000));
    let all = [named.clone(), vec![home]].concat();
    let taken = bench.with(|r, cx| r.rumour(cx, STRANGER, &all));
    assert_eq!(taken.len(), MAX_NEW_PER_ROUND, "at once");
    assert!(taken[..2].contains(&named[0]) && taken[..2].contains(&home), "{taken:?}");
    let done = bench.run(Duration::from_secs(5));
    let knocks = |at: SocketAddr| count(&done, |it| matches!(it, Action::Knock { to, .. } if *to == at));
    assert_eq!((knocks(home), knocks(named[0]), knocks(named[1])), (TRIES.len(), TRIES.len(), 1));
}

/// A member who knocks is there at this moment, and may be heard from nowhere else for minutes.
#[test]
fn hearsay_leaves_something_for_members_who_show_themselves() {
    let mut bench = Bench::new();
    for round in victims(255).chunks(MAX_NEW_PER_ROUND) {
        bench.with(|r, cx| r.rumour(cx, STRANGER, round));
        bench.run(Duration::from_secs(1));
    }
    let member = SocketAddr::from(([203, 0, 113, 7], 5_000));
    bench.with(|r, cx| r.knock_member(cx, member));
    let done = bench.run(Duration::from_secs(5));
    let knocks = count(&done, |it| matches!(it, Action::Knock { to, .. } if *to == member));
    assert_eq!(knocks, TRIES.len());
}

/// One in dozens is right, and it cannot be waited for until each of the others was asked four times.
#[test]
fn where_little_is_left_each_new_address_gets_one_knock() {
    let mut bench = Bench::new();
    bench.rendezvous.allowance = SCARCE - 1;
    let named = victims((SCARCE - 1 - RESERVED) as usize);
    for round in named.chunks(MAX_NEW_PER_ROUND) {
        assert_eq!(bench.with(|r, cx| r.rumour(cx, STRANGER, round)).len(), round.len());
    }
    assert_eq!(count(&bench.run(Duration::from_secs(5)), is_knock), named.len());
}

#[test]
fn what_answered_before_is_asked_as_often_as_something_new() {
    let mut bench = Bench::new();
    let named = victims(1);
    bench.with(|r, cx| r.rumour(cx, STRANGER, &named));
    bench.run(Duration::from_millis(100));
    bench.rendezvous.answered(named[0]);
    bench.run(COOLING_ALONE);
    bench.with(|r, cx| r.rumour(cx, STRANGER, &named));
    let done = bench.run(COOLING_ALONE);
    assert_eq!(count(&done, is_knock), TRIES.len());
}

#[test]
fn one_network_gets_two_knocks_a_second() {
    let mut bench = Bench::new();
    let victims: Vec<SocketAddr> = (0..16).map(|i| SocketAddr::from(([198, 18, 0, i], 4_000))).collect();
    bench.with(|r, cx| r.rumour(cx, STRANGER, &victims));
    let done = bench.run(Duration::from_secs(5));
    assert!((9..=10).contains(&count(&done, is_knock)), "{done:?}");
    let done = bench.run(Duration::from_secs(60));
    assert!(count(&done, is_knock) <= 64 - 9, "no address more than four times");
}

#[test]
fn nobody_is_sent_to_where_the_teller_has_no_business() {
    let mut bench = Bench::new();
    let refused =
        ["127.0.0.1:5000", "192.168.1.1:5000", "224.0.0.1:5000", "198.18.0.1:53"].map(|a| a.parse().unwrap());
    assert!(bench.with(|r, cx| r.rumour(cx, STRANGER, &refused)).is_empty());
    assert_eq!(bench.rendezvous.counters().refused, 4);
    let neighbour = Source::Dht([127, 0, 0, 1].into());
    assert_eq!(bench.with(|r, cx| r.rumour(cx, neighbour, &refused[..2])).len(), 2);
}
