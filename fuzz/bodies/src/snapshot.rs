use folkmoot_core::base::{Cx, Outbox, Rng, SocketId, SocketInfo, Time, UnixTime};
use folkmoot_core::dht::{Config, Dht, Snapshot};
use folkmoot_core::limits;

/// Reads a file that a node kept, as it is and with the checksum that fits it. What can be read is written the same way
/// again, and a node begins with it, although it may be a lie.
pub fn dht_snapshot(bytes: &[u8]) {
    let _ = Snapshot::decode(bytes);
    let sealed = [bytes, &crc32fast::hash(bytes).to_be_bytes()].concat();
    let Ok(snapshot) = Snapshot::decode(&sealed) else { return };
    let again = snapshot.encode();
    assert_eq!(Snapshot::decode(&again).as_ref(), Ok(&snapshot));
    assert!(again.len() <= 14_000 && snapshot.nodes().count() <= 2 * limits::DHT_SAVED);

    let (mut rng, mut out) = (Rng::new([0; 32]), Outbox::default());
    let config = Config { saved: Some(snapshot.clone()), ..Config::default() };
    let mut dht = Dht::new(config, &mut at(Time::ZERO, &mut rng, &mut out));
    assert_eq!((dht.id(true), dht.id(false)), (snapshot.id(true), snapshot.id(false)));
    assert_eq!(dht.is_cut_off(), snapshot.is_empty());
    assert_eq!(
        dht.snapshot().nodes().count(),
        snapshot.nodes().count(),
        "nothing is lost before anybody is asked"
    );
    let sockets =
        ["10.0.0.1:6881", "[fd00::1]:6881"].map(|bound| bound.parse::<std::net::SocketAddr>().unwrap());
    let sockets: Vec<SocketInfo> = (0..)
        .zip(sockets)
        .map(|(n, bound)| SocketInfo { id: SocketId(n), bound, addrs: vec![bound.ip()] })
        .collect();
    dht.set_sockets(&mut at(Time::ZERO, &mut rng, &mut out), &sockets);
    let mut now = Time::ZERO;
    for _ in 0..99 {
        let Some(wake) = dht.next_wake() else { break };
        assert!(wake.at > now || now == Time::ZERO);
        now = now.max(wake.at);
        dht.on_wake(&mut at(now, &mut rng, &mut out));
        while out.pop().is_some() {}
    }
    assert!(dht.nodes().next().is_none(), "nobody answered, so nobody is known");
    assert!(dht.observed(true).is_none() && dht.observed(false).is_none());
}

fn at<'a>(now: Time, rng: &'a mut Rng, out: &'a mut Outbox) -> Cx<'a> {
    Cx { now, unix: UnixTime::default(), rng, out }
}
