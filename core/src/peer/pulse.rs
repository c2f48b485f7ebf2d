use std::time::Duration;

use super::config::Role;
use crate::base::{Rng, Time};

/// Nothing heard for this long: the other end is gone.
const SILENCE: Duration = Duration::from_secs(10);

/// A ping without an answer is repeated after this.
const RETRY: Duration = Duration::from_secs(1);

/// Who answered a ping is the next to send one, and the other waits for it this much longer than its own turn would be.
const TURN: Duration = Duration::from_secs(1);

/// The server's turn comes this much later, so that two whose clocks agree do not both ping.
const YIELD: Duration = Duration::from_millis(500);

/// So many pings must have gone unanswered before silence means anything: after the machine slept, nothing was heard
/// because nothing was listened to.
const MIN_PINGS: u32 = 3;

const PING: u8 = 1;
const PONG: u8 = 2;

/// A pulse that wants no answer, for SCTP to acknowledge.
pub(super) const EMPTY: [u8; 9] = [3, 0, 0, 0, 0, 0, 0, 0, 0];

/// Whether the other end is alive, seen from above ICE: pings on a channel of their own, when nothing else was heard.
///
/// ICE cannot tell. After one end was replaced by a fresh process both agents stay "completed" for minutes, and an
/// association with a stale token is a black hole one way.
///
/// A ping is 9 bytes: its kind and 8 bytes that the pong repeats.
#[derive(Debug)]
pub(super) struct Pulse {
    interval: Duration,
    /// What is added to it at one of the two ends.
    yields: Duration,
    heard: Time,
    next: Time,
    unanswered: u32,
    ping: Option<(u64, Time)>,
    rtt: Option<Duration>,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Send this.
    Ping([u8; 9]),
    /// As above, and the path may be the reason for the silence: try all others too.
    Doubt([u8; 9]),
    /// The other end is gone.
    Dead,
}

impl Pulse {
    /// A pulse that has not started.
    pub(super) fn new(now: Time, interval: Duration, role: Role) -> Self {
        let interval = interval.clamp(RETRY, SILENCE / 2);
        let yields = if role == Role::Server { YIELD } else { Duration::ZERO };
        Self { interval, yields, heard: now, next: now, unanswered: 0, ping: None, rtt: None }
    }

    /// Begins, with a ping at once, which measures the round trip.
    pub(super) fn start(&mut self, now: Time) {
        (self.heard, self.next) = (now, now);
    }

    /// Something came from the other end, on any channel.
    pub(super) fn heard(&mut self, now: Time) {
        self.heard = now;
        self.unanswered = 0;
        self.next = now + self.interval + self.yields;
    }

    /// A message on the pulse's channel: the pong to send, if it is a ping; `Err` if it is neither.
    pub(super) fn message(&mut self, now: Time, bytes: &[u8]) -> Result<Option<[u8; 9]>, ()> {
        let message: [u8; 9] = bytes.try_into().map_err(|_| ())?;
        let [kind, token @ ..] = message;
        match kind {
            PING => {
                self.next = now + self.interval;
                Ok(Some(encode(PONG, u64::from_be_bytes(token))))
            }
            PONG => {
                self.next = now + self.interval + self.yields + TURN;
                if let Some((_, sent)) = self.ping.take_if(|(ping, _)| ping.to_be_bytes() == token) {
                    self.measured(now - sent);
                }
                Ok(None)
            }
            _ if message == EMPTY => Ok(None),
            _ => Err(()),
        }
    }

    /// When [`Pulse::beat`] has something to say.
    pub(super) fn next(&self) -> Time {
        self.next
    }

    /// What is due now, if anything.
    pub(super) fn beat(&mut self, now: Time, rng: &mut Rng) -> Option<Beat> {
        if now < self.next {
            return None;
        }
        if now - self.heard >= SILENCE && self.unanswered >= MIN_PINGS {
            return Some(Beat::Dead);
        }
        let token = rng.u64();
        self.ping = Some((token, now));
        self.unanswered += 1;
        self.next = now + RETRY;
        if self.unanswered >= MIN_PINGS {
            self.next = self.next.min((self.heard + SILENCE).max(now + RETRY / 4));
        }
        let ping = encode(PING, token);
        Some(if self.unanswered == MIN_PINGS { Beat::Doubt(ping) } else { Beat::Ping(ping) })
    }

    /// The round trip: a moving average with RFC 6298's weight of 1/8.
    pub(super) fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    fn measured(&mut self, sample: Duration) {
        self.rtt = Some(self.rtt.map_or(sample, |rtt| (rtt * 7 + sample) / 8));
    }
}

fn encode(kind: u8, token: u64) -> [u8; 9] {
    let mut message = [kind; 9];
    message[1..].copy_from_slice(&token.to_be_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(2_500);

    fn run(pulse: &mut Pulse, until: Time) -> Vec<(u64, Beat)> {
        let mut rng = Rng::new([1; 32]);
        let mut beats = Vec::new();
        while pulse.next() < until {
            let now = pulse.next();
            let Some(beat) = pulse.beat(now, &mut rng) else { panic!("it was due") };
            assert!(beat == Beat::Dead || pulse.next() > now);
            let dead = beat == Beat::Dead;
            beats.push((now.as_millis(), beat));
            if dead {
                break;
            }
        }
        beats
    }

    #[test]
    fn silence_is_noticed_after_ten_seconds() {
        let mut pulse = Pulse::new(Time::ZERO, INTERVAL, Role::Client);
        pulse.heard(Time::ZERO);
        let beats = run(&mut pulse, Time::from_millis(60_000));
        let times = beats.iter().map(|(at, _)| *at).collect::<Vec<_>>();
        assert_eq!(times, [2_500, 3_500, 4_500, 5_500, 6_500, 7_500, 8_500, 9_500, 10_000]);
        assert!(matches!(beats[2].1, Beat::Doubt(_)));
        assert_eq!(beats.last().map(|(_, beat)| beat), Some(&Beat::Dead));
    }

    #[test]
    fn sleep_is_not_silence() {
        let mut pulse = Pulse::new(Time::ZERO, INTERVAL, Role::Client);
        pulse.heard(Time::ZERO);
        let awake = Time::from_millis(3_600_000);
        let mut rng = Rng::new([1; 32]);
        assert!(matches!(pulse.beat(awake, &mut rng), Some(Beat::Ping(_))));
        pulse.heard(awake + Duration::from_millis(50));
        assert_eq!(pulse.next(), awake + Duration::from_millis(2_550));
    }

    #[test]
    fn measures_the_round_trip_once_per_ping() {
        let mut pulse = Pulse::new(Time::ZERO, INTERVAL, Role::Client);
        let Some(Beat::Ping(ping)) = pulse.beat(Time::ZERO, &mut Rng::new([1; 32])) else {
            panic!("no ping")
        };
        let mut other = Pulse::new(Time::ZERO, INTERVAL, Role::Client);
        let Ok(Some(pong)) = other.message(Time::from_millis(50), &ping) else { panic!("no pong") };
        assert_eq!(pulse.message(Time::from_millis(80), &pong), Ok(None));
        assert_eq!(pulse.rtt(), Some(Duration::from_millis(80)));
        assert_eq!(pulse.message(Time::from_millis(900), &pong), Ok(None));
        assert_eq!(pulse.rtt(), Some(Duration::from_millis(80)));
        assert_eq!(pulse.message(Time::ZERO, &[3; 9]), Err(()));
        assert_eq!(pulse.message(Time::ZERO, &[1; 8]), Err(()));
    }

    #[test]
    fn two_ends_take_turns() {
        let mut rng = Rng::new([1; 32]);
        let roles = [Role::Client, Role::Server];
        let mut ends = roles.map(|role| Pulse::new(Time::ZERO, INTERVAL, role));
        ends.iter_mut().for_each(|end| end.heard(Time::ZERO));
        let way = Duration::from_millis(50);
        let mut pings = Vec::new();
        while pings.len() < 24 {
            let first = usize::from(ends[1].next() < ends[0].next());
            let now = ends[first].next();
            let Some(Beat::Ping(ping)) = ends[first].beat(now, &mut rng) else { panic!("no ping") };
            pings.push((first, now));
            ends[1 - first].heard(now + way);
            let Ok(Some(pong)) = ends[1 - first].message(now + way, &ping) else { panic!("no pong") };
            ends[first].heard(now + way * 2);
            assert_eq!(ends[first].message(now + way * 2, &pong), Ok(None));
        }
        assert!(pings.iter().enumerate().all(|(n, (end, _))| *end == n % 2), "{pings:?}");
        let (_, last) = pings[23];
        assert_eq!(last - Time::ZERO, INTERVAL * 24 + way * 23, "one ping an interval, of both together");
    }
}
