use std::net::SocketAddr;
use std::time::Duration;

use quickcheck::{Arbitrary, Gen, quickcheck};

use super::*;
use crate::base::{Outbox, Rng, Transmit, UnixTime};
use crate::wire::stun::{AttributeType, Builder};

const SOCKET: SocketId = SocketId(3);

/// A client with a world around it.
struct Bench {
    client: Client,
    now: Time,
    rng: Rng,
    out: Outbox,
}

impl Bench {
    fn new() -> Self {
        Self {
            client: Client::new(),
            now: Time::from_millis(1_000),
            rng: Rng::new([1; 32]),
            out: Outbox::default(),
        }
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Client, &mut Cx<'_>) -> T) -> T {
        let mut cx = Cx { now: self.now, unix: UnixTime::default(), rng: &mut self.rng, out: &mut self.out };
        act(&mut self.client, &mut cx)
    }

    fn probe(&mut self, servers: &[SocketAddr]) {
        self.with(|client, cx| client.probe(cx, SOCKET, servers));
    }

    fn sent(&mut self) -> Vec<Transmit> {
        std::iter::from_fn(|| self.out.pop()).collect()
    }

    /// The one datagram sent since the last look.
    fn request(&mut self) -> Transmit {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1);
        sent.remove(0)
    }

    fn receive(&mut self, from: SocketAddr, bytes: &[u8]) -> bool {
        self.with(|client, cx| client.handle(cx, SOCKET, from, &Message::parse(bytes).unwrap()))
    }

    /// Lets time pass until the next wake, or to `end`, and wakes the client. Tells whether there was a wake.
    fn step(&mut self, end: Time) -> bool {
        let Some(wake) = self.client.next_wake().filter(|wake| wake.at <= end) else {
            self.now = end;
            return false;
        };
        assert!(wake.at > self.now, "a wake in the past");
        self.now = wake.at;
        self.with(|client, cx| client.on_wake(cx));
        assert!(self.client.next_wake().is_none_or(|wake| wake.at > self.now), "a hot loop");
        true
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {}
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.client.pop_event()).collect()
    }

    /// Probes one server, and tells what comes of the answer that `answer` makes.
    fn outcome(&mut self, answer: impl FnOnce(TransactionId) -> Vec<u8>) -> Event {
        self.probe(&[server(1)]);
        let request = self.request();
        let answer = answer(id_of(&request));
        assert!(self.receive(server(1), &answer));
        let [event, Event::RoundOver { asked: 1, .. }] = self.events()[..] else { panic!("two events") };
        event
    }

    fn failure(&mut self, answer: impl FnOnce(TransactionId) -> Vec<u8>) -> FailReason {
        match self.outcome(answer) {
            Event::Failed { reason, .. } => reason,
            event => panic!("{event:?}"),
        }
    }
}

fn server(n: u8) -> SocketAddr {
    ([198, 51, 100, n], 3_478).into()
}

fn public() -> SocketAddr {
    ([203, 0, 113, 9], 40_000).into()
}

fn id_of(transmit: &Transmit) -> TransactionId {
    let message = Message::parse(&transmit.bytes).unwrap();
    assert_eq!(transmit.bytes.len(), 20);
    message.transaction_id()
}

fn mapped(id: TransactionId) -> Vec<u8> {
    Builder::binding_success(id).xor_mapped_address(public()).finish()
}

/// An ALTERNATE-SERVER, which is not XORed.
fn redirect(id: TransactionId, to: SocketAddr) -> Vec<u8> {
    let std::net::IpAddr::V4(ip) = to.ip() else { panic!("IPv4 only") };
    let mut value = vec![0, 1];
    value.extend(to.port().to_be_bytes());
    value.extend(ip.octets());
    Builder::binding_error(id, 300, "").attribute(AttributeType::ALTERNATE_SERVER, &value).finish()
}

#[test]
fn an_answer() {
    let mut bench = Bench::new();
    bench.probe(&[server(1)]);
    let request = bench.request();
    assert_eq!((request.socket, request.local, request.to), (SOCKET, None, server(1)));
    bench.run(Duration::from_millis(80));
    let answer = mapped(id_of(&request));
    assert!(bench.receive(server(1), &answer));
    assert_eq!(
        bench.events(),
        [
            Event::Mapped { socket: SOCKET, server: server(1), public: public() },
            Event::RoundOver { socket: SOCKET, asked: 1, answered: 1 },
        ]
    );
    assert!(bench.client.is_idle());
    assert_eq!(bench.client.next_wake(), None);
    assert!(!bench.receive(server(1), &answer), "a second answer is nobody's");
    assert_eq!(bench.events(), []);
    let health = bench.client.health(server(1)).unwrap();
    assert_eq!((health.rtt(), health.failures()), (Some(Duration::from_millis(80)), 0));
}

/// RFC 8489 §6.2.1: requests at 0, 500, 1500, 3500 and 7500 ms; the next would be beyond the budget.
#[test]
fn silence() {
    let mut bench = Bench::new();
    let start = bench.now;
    bench.probe(&[server(1)]);
    let mut times = vec![];
    let mut ids = BTreeSet::new();
    loop {
        for request in bench.sent() {
            times.push((bench.now - start).as_millis());
            ids.insert(id_of(&request));
        }
        if !bench.step(start + Duration::from_secs(60)) {
            break;
        }
        if bench.client.is_idle() {
            assert_eq!(bench.now, start + BUDGET);
        }
    }
    assert_eq!(times, [0, 500, 1_500, 3_500, 7_500]);
    assert_eq!(ids.len(), 1, "a retransmission has the same id");
    assert_eq!(
        bench.events(),
        [
            Event::Failed { socket: SOCKET, server: server(1), reason: FailReason::Silent },
            Event::RoundOver { socket: SOCKET, asked: 1, answered: 0 },
        ]
    );
    assert_eq!(bench.client.health(server(1)).unwrap().failures(), 1);
    let counters = bench.client.counters();
    assert_eq!((counters.requests, counters.retransmissions, counters.silent), (1, 4, 1));
}

#[test]
fn several_servers_at_once() {
    let mut bench = Bench::new();
    bench.probe(&[server(1), server(2), server(1), server(3)]);
    let requests = bench.sent();
    assert_eq!(requests.iter().map(|r| r.to).collect::<Vec<_>>(), [server(1), server(2), server(3)]);
    bench.run(Duration::from_millis(700));
    assert!(bench.receive(server(2), &mapped(id_of(&requests[1]))));
    bench.run(Duration::from_millis(100));
    assert!(bench.receive(server(3), &Builder::binding_error(id_of(&requests[2]), 500, "").finish()));
    bench.run(BUDGET);
    let events = bench.events();
    assert_eq!(events[0], Event::Mapped { socket: SOCKET, server: server(2), public: public() });
    assert_eq!(
        events[1],
        Event::Failed { socket: SOCKET, server: server(3), reason: FailReason::Rejected(500) }
    );
    assert_eq!(events[2], Event::Failed { socket: SOCKET, server: server(1), reason: FailReason::Silent });
    assert_eq!(events[3..], [Event::RoundOver { socket: SOCKET, asked: 3, answered: 1 }]);
}

#[test]
fn nobody_to_ask() {
    let mut bench = Bench::new();
    bench.probe(&[]);
    assert_eq!(bench.events(), [Event::RoundOver { socket: SOCKET, asked: 0, answered: 0 }]);
}

#[test]
fn only_the_server_asked_may_answer() {
    let mut bench = Bench::new();
    bench.probe(&[server(1)]);
    let id = id_of(&bench.request());
    let answer = mapped(id);
    assert!(bench.receive(server(2), &answer), "ours by its id, so nobody else's");
    assert!(bench.receive(([198, 51, 100, 1], 3_479).into(), &answer));
    let message = Message::parse(&answer).unwrap();
    assert!(bench.with(|client, cx| client.handle(cx, SocketId(4), server(1), &message)));
    assert_eq!(bench.client.counters().wrong_source, 3);
    assert!(!bench.receive(server(1), &mapped(TransactionId([0; 12]))), "not a transaction of ours");
    assert!(!bench.receive(server(1), &Builder::binding_request(id).finish()), "a request is no answer");
    assert_eq!(bench.events(), []);
    let canonical: SocketAddr = "[::ffff:198.51.100.1]:3478".parse().unwrap();
    assert!(bench.receive(canonical, &answer), "as a socket for both families names it");
    assert_eq!(bench.events().len(), 2);
}

#[test]
fn damaged_answers_are_dropped() {
    let mut bench = Bench::new();
    bench.probe(&[server(1)]);
    let id = id_of(&bench.request());
    let mut damaged = Builder::binding_success(id).xor_mapped_address(public()).finish_with_fingerprint();
    damaged[30] ^= 1;
    assert!(bench.receive(server(1), &damaged));
    let allocate = Builder::new(crate::wire::stun::Class::Success, Method(3), id);
    assert!(bench.receive(server(1), &allocate.xor_mapped_address(public()).finish()));
    assert_eq!(bench.client.counters().damaged, 2);
    assert_eq!(bench.events(), []);
    let right = Builder::binding_success(id).xor_mapped_address(public()).finish_with_fingerprint();
    assert!(bench.receive(server(1), &right));
    assert_eq!(bench.events().len(), 2);
}

#[test]
fn answers_without_a_possible_address() {
    let mut bench = Bench::new();
    for addr in ["0.0.0.0:5", "224.0.0.1:5", "203.0.113.9:0", "[2001:db8::1]:5"] {
        let addr = addr.parse().unwrap();
        let reason = bench.failure(|id| Builder::binding_success(id).xor_mapped_address(addr).finish());
        assert_eq!(reason, FailReason::NoAddress, "{addr}");
    }
    assert_eq!(bench.failure(|id| Builder::binding_success(id).finish()), FailReason::NoAddress);
    assert_eq!(bench.client.health(server(1)).unwrap().failures(), 5);
}

#[test]
fn an_old_server() {
    let mut bench = Bench::new();
    // RFC 3489: addresses in clear, and attributes that RFC 8489 no longer names.
    let address = [0, 1, 0x9c, 0x40, 203, 0, 113, 9];
    let event = bench.outcome(|id| {
        Builder::binding_success(id)
            .attribute(AttributeType::MAPPED_ADDRESS, &address)
            .attribute(AttributeType::SOURCE_ADDRESS, &address)
            .attribute(AttributeType::CHANGED_ADDRESS, &address)
            .finish()
    });
    assert_eq!(event, Event::Mapped { socket: SOCKET, server: server(1), public: public() });
}

#[test]
fn what_has_to_be_understood() {
    let mut bench = Bench::new();
    let unknown = |kind| {
        move |id| {
            Builder::binding_success(id)
                .xor_mapped_address(public())
                .attribute(AttributeType(kind), b"")
                .finish()
        }
    };
    assert_eq!(bench.failure(unknown(0x7abc)), FailReason::NotUnderstood);
    assert!(matches!(bench.outcome(unknown(0x8abc)), Event::Mapped { .. }));
}

#[test]
fn errors() {
    let mut bench = Bench::new();
    let unknown = [AttributeType::PRIORITY];
    let reason = bench.failure(|id| Builder::binding_error(id, 420, "").unknown_attributes(unknown).finish());
    assert_eq!(reason, FailReason::Rejected(420));
    assert_eq!(bench.failure(|id| Builder::binding_error(id, 300, "").finish()), FailReason::Rejected(300));
    let error = crate::wire::stun::Class::Error;
    let bare = bench.failure(|id| Builder::new(error, Method::BINDING, id).finish());
    assert_eq!(bare, FailReason::Rejected(0));
}

#[test]
fn a_redirection_is_followed_once() {
    let mut bench = Bench::new();
    let start = bench.now;
    bench.probe(&[server(1)]);
    let first = bench.request();
    bench.run(Duration::from_millis(100));
    assert!(bench.receive(server(1), &redirect(id_of(&first), server(2))));
    let second = bench.request();
    assert_eq!(second.to, server(2));
    assert_ne!(id_of(&first), id_of(&second));
    assert_eq!(bench.events(), []);
    assert!(bench.receive(server(2), &redirect(id_of(&second), server(3))));
    let failed = Event::Failed { socket: SOCKET, server: server(2), reason: FailReason::Rejected(300) };
    assert_eq!(bench.events(), [failed, Event::RoundOver { socket: SOCKET, asked: 1, answered: 0 }]);
    assert_eq!(bench.sent(), []);

    // An alternate server that is silent does not get a new budget.
    bench.now = start;
    bench.probe(&[server(1)]);
    let first = bench.request();
    bench.run(Duration::from_secs(7));
    bench.receive(server(1), &redirect(id_of(&first), server(2)));
    bench.run(Duration::from_secs(3));
    assert_eq!(bench.events().len(), 2);
}

#[test]
fn where_a_redirection_may_not_lead() {
    let mut bench = Bench::new();
    for to in ["10.0.0.1:3478", "127.0.0.1:3478", "198.51.100.2:53", "224.0.0.1:3478", "198.51.100.1:3478"] {
        let reason = bench.failure(|id| redirect(id, to.parse().unwrap()));
        assert_eq!(reason, FailReason::Rejected(300), "{to}");
        assert_eq!(bench.sent(), []);
    }
}

#[test]
fn the_timeout_follows_the_round_trip_time() {
    let mut bench = Bench::new();
    bench.probe(&[server(1)]);
    let request = bench.request();
    bench.run(Duration::from_millis(400));
    bench.receive(server(1), &mapped(id_of(&request)));
    let first_wait = |bench: &mut Bench| {
        bench.probe(&[server(1)]);
        bench.client.next_wake().unwrap().at - bench.now
    };
    // 400 + 4 * 200 ms.
    assert_eq!(first_wait(&mut bench), Duration::from_millis(1_200));

    // An answer to one of two requests measures nothing.
    bench.run(Duration::from_millis(1_300));
    let requests = bench.sent();
    bench.receive(server(1), &mapped(id_of(&requests[0])));
    assert_eq!(bench.client.health(server(1)).unwrap().rtt(), Some(Duration::from_millis(400)));

    // What was measured ten minutes ago is worth nothing.
    bench.run(Duration::from_secs(601));
    assert_eq!(first_wait(&mut bench), MIN_RTO);
}

#[test]
fn a_closed_socket() {
    let mut bench = Bench::new();
    bench.probe(&[server(1), server(2)]);
    bench.with(|client, cx| client.probe(cx, SocketId(9), &[server(1)]));
    let now = bench.now;
    bench.client.forget_socket(now, SOCKET);
    let events = bench.events();
    assert_eq!(events.len(), 3);
    assert_eq!(events[2], Event::RoundOver { socket: SOCKET, asked: 2, answered: 0 });
    assert!(!bench.client.is_idle());
    assert_eq!(bench.client.health(server(1)), None, "no fault of the server");
}

#[test]
fn a_slept_through_deadline() {
    let mut bench = Bench::new();
    bench.probe(&[server(1)]);
    bench.now += Duration::from_secs(3_600);
    bench.with(|client, cx| client.on_wake(cx));
    assert_eq!(bench.events().len(), 2);
    assert_eq!(bench.client.next_wake(), None);
}

#[test]
fn everything_is_bounded() {
    let mut bench = Bench::new();
    for _ in 0..20 {
        bench.probe(&[server(1)]);
    }
    assert_eq!(bench.sent().len(), MAX_PER_SERVER);
    bench.run(BUDGET);
    bench.events();

    let many: Vec<SocketAddr> = (0..=255).map(server).collect();
    for _ in 0..50 {
        bench.probe(&many);
        bench.run(Duration::from_secs(2));
    }
    bench.run(BUDGET);
    let events = bench.events();
    assert!(events.len() <= limits::STUN_OUTCOMES);
    assert!(bench.client.counters().refused > 0);
    assert!(bench.client.servers.len() <= limits::STUN_SERVERS);
    bench.probe(&[server(1)]);
    assert_eq!(bench.client.pending.len(), 1, "it works again once the events are taken");
}

/// Something that happens to a client.
#[derive(Clone, Debug)]
enum Step {
    Probe(Vec<u8>),
    Pass(u16),
    Answer { which: usize, how: u8 },
    Take,
    Close,
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Self {
        match u8::arbitrary(g) % 8 {
            0 | 1 => Self::Probe(Vec::arbitrary(g)),
            2 | 3 => Self::Pass(u16::arbitrary(g)),
            4 | 5 => Self::Answer { which: usize::arbitrary(g), how: u8::arbitrary(g) },
            6 => Self::Take,
            _ => Self::Close,
        }
    }
}

quickcheck! {
    /// Whatever happens, each server asked comes to one end, each round to one, and nothing grows beyond its limit.
    fn all_that_begins_ends(steps: Vec<Step>) -> bool {
        let mut bench = Bench::new();
        let (mut probes, mut events, mut sent) = (0, vec![], vec![]);
        for step in steps {
            match step {
                Step::Probe(servers) => {
                    probes += 1;
                    let servers: Vec<_> = servers.into_iter().map(server).collect();
                    bench.probe(&servers);
                }
                Step::Pass(millis) => bench.run(Duration::from_millis(millis.into())),
                Step::Answer { .. } if sent.is_empty() => {}
                Step::Answer { which, how } => {
                    let request: &Transmit = &sent[which % sent.len()];
                    let (id, to) = (id_of(request), request.to);
                    let answer = match how % 4 {
                        0 => redirect(id, server(how)),
                        1 => Builder::binding_error(id, how.into(), "").finish(),
                        _ => mapped(id),
                    };
                    bench.receive(if how % 5 == 0 { server(how) } else { to }, &answer);
                }
                Step::Take => events.extend(bench.events()),
                Step::Close => {
                    let now = bench.now;
                    bench.client.forget_socket(now, SOCKET);
                }
            }
            sent.extend(bench.sent());
            assert_eq!(bench.client.due.len(), bench.client.pending.len());
            assert!(bench.client.events.len() <= limits::STUN_OUTCOMES);
        }
        bench.run(BUDGET);
        events.extend(bench.events());
        let (mut ends, mut answers, mut asked, mut answered, mut rounds) = (0, 0, 0, 0, 0);
        for event in events {
            match event {
                Event::Mapped { .. } => (ends, answers) = (ends + 1, answers + 1),
                Event::Failed { .. } => ends += 1,
                Event::RoundOver { asked: n, answered: m, .. } => {
                    (asked, answered, rounds) = (asked + n, answered + m, rounds + 1);
                }
            }
        }
        bench.client.is_idle()
            && bench.client.rounds.is_empty()
            && (ends, answers) == (asked, answered)
            && rounds + bench.client.counters().refused == probes
    }
}
