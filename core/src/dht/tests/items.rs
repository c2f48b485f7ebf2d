//! Items (BEP 44): stored, found, replaced; and what is refused.

use super::*;
use crate::dht::item_store::Putter;
use crate::dht::source::Source;
use crate::wire::krpc::{self, PutMutable};

fn value(text: &str) -> Value {
    Value::bytes(text.as_bytes()).unwrap()
}

fn mutable(seq: i64, text: &str) -> MutableItem {
    MutableItem::sign(&Author::new([1; 32]), Salt::new(b"news").unwrap(), seq, value(text)).unwrap()
}

/// What one host is told of items, in order.
fn told(world: &mut World, host: usize) -> Vec<Event> {
    let is_of_items = |event: &Event| {
        use Event::*;
        matches!(event, Item { .. } | ItemSought { .. } | Stored { .. } | NotStored { .. })
    };
    let events = std::mem::take(&mut world.hosts[host].events);
    events.into_iter().map(|(_, event)| event).filter(is_of_items).collect()
}

fn values(events: &[Event]) -> Vec<String> {
    let item = |event: &Event| match event {
        Event::Item { item, .. } => Some(String::from_utf8(item.value().as_bytes()?.to_vec()).unwrap()),
        _ => None,
    };
    events.iter().filter_map(item).collect()
}

fn get(world: &mut World, host: usize, id: ItemId, newer_than: Option<i64>) -> Vec<Event> {
    told(world, host);
    world.with(host, |dht, cx| dht.get(cx, id, newer_than));
    world.run(secs(5));
    told(world, host)
}

fn put(world: &mut World, host: usize, item: MutableItem, cas: Option<i64>) -> Vec<Event> {
    told(world, host);
    world.with(host, |dht, cx| dht.put_mutable(cx, item, cas));
    world.run(secs(5));
    told(world, host)
}

fn holders(world: &World, item: &Item) -> usize {
    world.hosts.iter().filter(|host| host.dht.items.get(&item.target()) == Some(item)).count()
}

#[test]
fn a_value_is_stored_and_found() {
    let mut world = World::private(31, 40);
    world.run(secs(3));
    let target = world.with(5, |dht, cx| dht.put_immutable(cx, value("Hello World!")));
    world.run(secs(2));
    assert_eq!(target.to_string(), "e5f96f6f38320f0f33959cb4d3d656452117aadb");
    assert_eq!(told(&mut world, 5), [Event::Stored { target, nodes: 8 }]);
    let events = get(&mut world, 20, ItemId::Immutable(target), None);
    assert_eq!(values(&events), ["Hello World!"], "once, however many hold it");
    assert!(matches!(events[1..], [Event::ItemSought { found: true, .. }]));
    let nothing = get(&mut world, 20, ItemId::Immutable(TOPIC), None);
    assert!(matches!(nothing[..], [Event::ItemSought { found: false, answered, .. }] if answered >= 8));
    world.run(secs(2 * 3_600));
    assert!(world.hosts.iter().all(|host| host.dht.stats().stored_items == 0), "until it expires");
    assert!(world.hosts.iter().all(|host| host.dht.errands.is_empty()));
}

#[test]
fn an_item_is_replaced_and_only_news_is_told() {
    let mut world = World::private(32, 30);
    world.run(secs(3));
    let (first, second) = (mutable(1, "first"), mutable(2, "second"));
    let (id, target) = (Item::from(first.clone()).id(), Item::from(first.clone()).target());
    let stored = [Event::Stored { target, nodes: 8 }];
    assert_eq!(put(&mut world, 3, first.clone(), None), stored);
    assert_eq!(put(&mut world, 4, first.clone(), None), stored, "the same again, by another");
    assert_eq!(values(&get(&mut world, 9, id.clone(), None)), ["first"]);
    assert_eq!(put(&mut world, 3, second.clone(), Some(1)), stored);
    assert_eq!(holders(&world, &second.clone().into()), 8);
    let newer = get(&mut world, 9, id.clone(), Some(1));
    assert_eq!(values(&newer), ["second"]);
    assert!(matches!(get(&mut world, 9, id.clone(), Some(2))[..], [Event::ItemSought { found: false, .. }]));
    // Whoever comes too late is told so.
    let late = |by, why: &mut Vec<Event>| {
        assert_eq!(*why, [Event::NotStored { target, why: by }]);
    };
    late(NotStored::Superseded { by: Some(2) }, &mut put(&mut world, 5, first, None));
    late(NotStored::Superseded { by: Some(2) }, &mut put(&mut world, 5, mutable(2, "other"), None));
    late(NotStored::Conflict, &mut put(&mut world, 5, mutable(3, "third"), Some(1)));
    assert_eq!(holders(&world, &second.into()), 8);
}

#[test]
fn a_search_brings_stale_nodes_up_to_date() {
    let mut world = World::private(33, 30);
    world.run(secs(3));
    put(&mut world, 3, mutable(1, "old"), None);
    let new = Item::from(mutable(2, "new"));
    let holder = (0..30).find(|&host| world.hosts[host].dht.items.get(&new.target()).is_some()).unwrap();
    let now = world.now;
    let own = world.hosts[holder].dht.id(true);
    let from = Putter { source: Source::of([127, 0, 0, 1].into()), is_exempt: true };
    world.hosts[holder].dht.items.put(now, &own, from, new.clone(), None).unwrap();
    assert_eq!(holders(&world, &new), 1);
    let reader = (0..30).find(|&host| world.hosts[host].dht.items.get(&new.target()).is_none()).unwrap();
    let versions = values(&get(&mut world, reader, new.id(), None));
    assert!(versions == ["new"] || versions == ["old", "new"], "{versions:?}");
    assert_eq!(holders(&world, &new), 8);
}

#[test]
fn found_in_spite_of_loss_and_dead_nodes() {
    for seed in 0..4 {
        let mut world = World::public(seed, 60);
        world.run(secs(60));
        world.loss_percent = 5;
        let item = mutable(1, "there");
        let stored = put(&mut world, 8, item.clone(), None);
        assert!(matches!(stored[..], [Event::Stored { nodes: 5.., .. }]), "seed {seed}: {stored:?}");
        (3..60).step_by(4).for_each(|host| world.hosts[host].is_alive = false);
        assert_eq!(values(&get(&mut world, 20, Item::from(item).id(), None)), ["there"], "seed {seed}");
    }
}

#[test]
fn alone_nothing_is_stored_and_too_much_at_once_is_refused() {
    let mut world = World::private(34, 1);
    let target = Item::from(mutable(1, "x")).target();
    assert_eq!(
        put(&mut world, 0, mutable(1, "x"), None),
        [Event::NotStored { target, why: NotStored::Unanswered }]
    );
    let mut world = World::private(35, 9);
    world.run(secs(3));
    told(&mut world, 2);
    for n in 0..limits::DHT_ERRANDS + 1 {
        world.with(2, |dht, cx| dht.put_immutable(cx, value(&n.to_string())));
    }
    assert!(matches!(told(&mut world, 2)[..], [Event::NotStored { why: NotStored::Busy, .. }]));
    world.run(secs(5));
    assert_eq!(told(&mut world, 2).len(), limits::DHT_ERRANDS);
}

/// Asks for the token of a target, then puts. Returns the error's code, if it was one.
fn put_raw(
    world: &mut World,
    from: &Stranger,
    target: InfoHash,
    v: &[u8],
    m: Option<PutMutable<'_>>,
) -> Option<i64> {
    let answer = from.ask(world, true, Call::Get { target, seq: None, want: None }).1.unwrap();
    let token = response(&answer).token.unwrap().to_vec();
    let call = Call::Put { token: &token, target: None, value: v, mutable: m };
    let answer = from.ask(world, true, call).1.unwrap();
    match Message::parse(&answer).unwrap().body {
        Body::Error(error) => Some(error.code),
        Body::Response(_) => None,
        Body::Query(_) => unreachable!(),
    }
}

#[test]
fn what_is_wrong_is_refused_by_code() {
    let mut world = World::public(36, 1);
    let ada = Stranger::new("198.51.100.1:7000");
    let item = |seq, text: &str| mutable(seq, text);
    let target = Item::from(item(1, "")).target();
    let mut put = |item: &MutableItem, change: fn(PutMutable<'_>) -> PutMutable<'_>| {
        let whole = PutMutable {
            key: item.key(),
            signature: item.signature(),
            seq: item.seq(),
            salt: item.salt().as_bytes(),
            cas: None,
        };
        put_raw(&mut world, &ada, target, item.value().as_bencoded(), Some(change(whole)))
    };
    assert_eq!(put(&item(4, "a"), |put| put), None);
    assert_eq!(put(&item(4, "a"), |put| put), None, "the same again");
    assert_eq!(put(&item(4, "b"), |put| put), Some(302));
    assert_eq!(put(&item(3, "b"), |put| put), Some(302));
    assert_eq!(put(&item(5, "b"), |put| PutMutable { cas: Some(3), ..put }), Some(301));
    assert_eq!(put(&item(5, "b"), |put| PutMutable { seq: 6, ..put }), Some(206));
    assert_eq!(put(&item(5, "b"), |put| PutMutable { seq: -1, ..put }), Some(203));
    assert_eq!(put(&item(5, "b"), |put| PutMutable { salt: &[0; 65], ..put }), Some(207));
    assert_eq!(put(&item(5, "b"), |put| PutMutable { salt: b"x", ..put }), Some(203), "a token for another");
    assert_eq!(put(&item(5, "b"), |put| PutMutable { cas: Some(4), ..put }), None);
    let mut put = |target, v: &[u8]| put_raw(&mut world, &ada, target, v, None);
    let too_long = [b"997:".as_slice(), &[0; 997]].concat();
    assert_eq!(put(TOPIC, &too_long), Some(205));
    assert_eq!(put(TOPIC, b"1:a"), Some(203), "a token for another");
    assert_eq!(put(TOPIC, b"d1:bi1e1:ai1ee"), Some(203), "no canonical form");
    assert_eq!(put(Item::Immutable(value("a")).target(), b"1:a"), None);
    let stats = world.hosts[0].dht.stats();
    assert_eq!((stats.stored_items, stats.counters.bad_tokens), (2, 2));
}

#[test]
fn large_items_are_no_weapon() {
    let mut world = World::public(37, 20);
    world.run(secs(60));
    let (now, own) = (world.now, world.hosts[0].dht.id(true));
    let putter = Putter { source: Source::of([9, 9, 9, 9].into()), is_exempt: false };
    let mut store = |text: &str| {
        let item = Item::Immutable(value(text));
        world.hosts[0].dht.items.put(now, &own, putter, item.clone(), None).unwrap();
        item.target()
    };
    let (small, large) = (store("small"), store(&"x".repeat(996)));
    let holds = |answer: &[u8]| response(answer).item.value.is_some();
    let call = |target| Call::Get { target, seq: None, want: None };
    for n in 0..20 {
        let stranger = Stranger { addr: ([198, 51, 100, n], 7_000).into(), ..Stranger::new("1.1.1.1:1") };
        let (asked, answer) = stranger.ask(&mut world, true, call(small));
        let answer = answer.unwrap();
        assert!(holds(&answer) && answer.len() * 2 <= asked * 7 && response(&answer).contacts().count() > 0);
        let (asked, answer) = stranger.ask(&mut world, true, call(large));
        let answer = answer.unwrap();
        // The first of its network gets it, in an answer without nodes; the others hear of nodes that may hold it too.
        assert_eq!(holds(&answer), n == 0);
        assert_eq!(response(&answer).contacts().count() == 0, n == 0);
        assert!(answer.len() <= if n == 0 { 1_280 } else { asked * 7 / 2 });
    }
    assert_eq!(world.hosts[0].dht.stats().counters.items_withheld, 19);
    let mut given = 0;
    for second in 0..10 {
        for n in 0..50 {
            let stranger =
                Stranger { addr: ([11, second, n, 1], 7_000).into(), ..Stranger::new("1.1.1.1:1") };
            given += usize::from(holds(&stranger.ask(&mut world, true, call(large)).1.unwrap()));
        }
        world.run(secs(1));
    }
    assert!((63..=77).contains(&given), "7 a second in all: {given}");
    let proven = Stranger::new("198.51.100.5:7000");
    let now = world.now;
    world.hosts[0].dht.proven.insert(now, proven.addr.ip());
    assert!((0..5).all(|_| holds(&proven.ask(&mut world, true, call(large)).1.unwrap())));
}

#[test]
fn forged_items_are_not_told() {
    let mut world = World::new(38);
    world.add("8.1.1.1:6881".parse().unwrap(), Config::default());
    let liar = Stranger::new("198.51.100.1:7000");
    world.with(0, |dht, cx| dht.bootstrap(cx, &[liar.addr]));
    let item = mutable(1, "true");
    let id = Item::from(item.clone()).id();
    world.with(0, |dht, cx| dht.get(cx, id, None));
    for (_, _, bytes) in std::mem::take(&mut world.strays) {
        let tid = Message::parse(&bytes).unwrap().tid;
        let item = krpc::Item {
            value: Some(b"5:false"),
            key: Some(item.key()),
            signature: Some(item.signature()),
            seq: Some(1),
        };
        let body = Body::Response(Response { id: liar.id, item, token: Some(b"t"), ..Response::default() });
        world.deliver(
            0,
            liar.addr,
            &Message { tid, version: None, capabilities: Capabilities::NONE, body }.encode(),
        );
    }
    world.run(secs(5));
    assert!(matches!(told(&mut world, 0)[..], [Event::ItemSought { found: false, answered: 1, .. }]));
    assert_eq!(world.hosts[0].dht.stats().counters.bad_items, 1);
}

/// Some nodes answer "sequence number too low" to a repetition of what they hold.
#[test]
fn a_refusal_of_what_is_held_already_is_success() {
    let item = mutable(4, "x");
    let node = Contact { id: NodeId([1; 20]), addr: ([127, 0, 0, 1], 6_881).into() };
    for (held, again, is_stored) in
        [(Some(4), false, true), (None, true, true), (None, false, false), (Some(3), false, false)]
    {
        let task = errand::Task::Put { item: item.clone().into(), cas: None };
        let mut errand = errand::Errand::new(Item::from(item.clone()).id(), task);
        let answer = krpc::Item { seq: held, ..krpc::Item::default() };
        errand.on_answer(node, &Response { token: Some(b"t"), item: answer, ..Response::default() }).unwrap();
        errand.on_lookup_done(rpc::LookupId(1), &[node]);
        assert!(errand.turn().is_none());
        assert_eq!(errand.due(), Some(node.addr));
        errand.on_sent(node.addr);
        errand.on_refused(node.addr, Some(302), again);
        let is_success = matches!(errand.outcome(), Some(errand::Outcome::Stored { nodes: 1 }));
        assert_eq!((errand.is_over(), is_success), (true, is_stored), "{held:?} {again}");
    }
}

#[test]
fn what_is_kept_is_stored_again_and_a_newer_version_is_left_alone() {
    let mut world = World::private(39, 12);
    world.run(secs(1));
    let (lasting, replaced) = (Item::Immutable(value("lasting")), Item::from(mutable(1, "first")));
    for item in [&lasting, &replaced] {
        world.with(3, |dht, cx| dht.keep_item(cx, item.clone()));
    }
    world.run(secs(5));
    assert!(holders(&world, &lasting) >= 8 && holders(&world, &replaced) >= 8);
    let stored = |world: &mut World, target: InfoHash| {
        let is_it = |event: &Event| matches!(event, Event::Stored { target: of, .. } if *of == target);
        told(world, 3).into_iter().filter(|event| is_it(event)).count()
    };
    world.hosts[3].events.clear();
    // Longer than anybody keeps an item that is put once.
    world.run(secs(5 * 3_600));
    assert!(holders(&world, &lasting) >= 8 && holders(&world, &replaced) >= 8);
    let again = stored(&mut world, lasting.target());
    assert!((4..=6).contains(&again), "{again} times in five hours");
    let newer = mutable(2, "second");
    put(&mut world, 7, newer.clone(), None);
    world.run(secs(3 * 3_600));
    assert_eq!(holders(&world, &replaced), 0, "nobody has the first any more");
    let kept = |world: &World| world.hosts[3].dht.keep.next_due().is_some();
    assert!(kept(&world));
    world.with(3, |dht, _| dht.release_item(lasting.target()));
    assert!(!kept(&world), "what was replaced is kept no longer");
    world.run(secs(3 * 3_600));
    assert_eq!(holders(&world, &lasting), 0);
}

#[test]
fn what_nobody_takes_is_tried_again_in_a_minute_and_not_without_bound() {
    let mut world = World::new(40);
    world.add("8.1.1.1:6881".parse().unwrap(), Config::default());
    let item = |n: usize| Item::Immutable(Value::bytes(&n.to_be_bytes()).unwrap());
    for n in 0..=limits::DHT_KEPT_ITEMS {
        world.with(0, |dht, cx| dht.keep_item(cx, item(n)));
    }
    let busy = Event::NotStored { target: item(limits::DHT_KEPT_ITEMS).target(), why: NotStored::Busy };
    assert!(world.has(0, |event| *event == busy));
    world.hosts[0].events.clear();
    world.run(secs(150));
    let unanswered = Event::NotStored { target: item(0).target(), why: NotStored::Unanswered };
    assert_eq!(world.hosts[0].events.iter().filter(|(_, event)| *event == unanswered).count(), 2);
}
