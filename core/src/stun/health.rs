use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::{MAX_RTO, MIN_RTO};
use crate::base::Time;
use crate::limits;

/// How long a round-trip time is worth something (RFC 8489 §6.2.1).
const STALE_AFTER: Duration = Duration::from_secs(600);

/// How a server did so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    rtt: Option<Rtt>,
    failures: u32,
    seen: Time,
}

/// Smoothed round-trip time and its variation (RFC 6298 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rtt {
    smoothed: Duration,
    variation: Duration,
}

impl Health {
    /// The smoothed round-trip time, if one could be measured.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt.map(|rtt| rtt.smoothed)
    }

    /// How many times in a row it told no address; 0 if it did the last time.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// When it answered or failed last.
    pub fn seen(&self) -> Time {
        self.seen
    }

    fn measure(&mut self, sample: Duration) {
        self.rtt = Some(match self.rtt {
            None => Rtt { smoothed: sample, variation: sample / 2 },
            Some(Rtt { smoothed, variation }) => Rtt {
                smoothed: (smoothed * 7 + sample) / 8,
                variation: (variation * 3 + smoothed.abs_diff(sample)) / 4,
            },
        });
    }
}

/// The servers asked lately, at most [`limits::STUN_SERVERS`] of them.
#[derive(Debug, Default)]
pub(super) struct Servers(BTreeMap<SocketAddr, Health>);

impl Servers {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, server: SocketAddr) -> Option<&Health> {
        self.0.get(&server)
    }

    /// The first retransmission timeout for a server.
    pub(super) fn rto(&self, now: Time, server: SocketAddr) -> Duration {
        let fresh = self.0.get(&server).filter(|health| now - health.seen < STALE_AFTER);
        fresh
            .and_then(|health| health.rtt)
            .map_or(MIN_RTO, |rtt| (rtt.smoothed + rtt.variation * 4).clamp(MIN_RTO, MAX_RTO))
    }

    pub(super) fn answered(&mut self, now: Time, server: SocketAddr, round_trip: Option<Duration>) {
        let health = self.seen(now, server);
        health.failures = 0;
        if let Some(sample) = round_trip {
            health.measure(sample);
        }
    }

    pub(super) fn failed(&mut self, now: Time, server: SocketAddr) {
        let health = self.seen(now, server);
        health.failures = health.failures.saturating_add(1);
    }

    /// The entry of a server; a new one takes the place of the one not seen for longest.
    fn seen(&mut self, now: Time, server: SocketAddr) -> &mut Health {
        if self.0.len() >= limits::STUN_SERVERS && !self.0.contains_key(&server) {
            let oldest = self.0.iter().min_by_key(|(_, health)| health.seen).map(|(server, _)| *server);
            oldest.and_then(|server| self.0.remove(&server));
        }
        let health = self.0.entry(server).or_insert(Health { rtt: None, failures: 0, seen: now });
        health.seen = now;
        health
    }
}
