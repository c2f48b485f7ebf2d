use std::time::Duration;

use folkmoot_core::base::{Rng, Time};
use folkmoot_core::peer::{FLIGHT_RETRIES, FLIGHT_RTO, HANDSHAKE_TIMEOUT, Refused};

/// When a flight is sent again, and when a handshake has taken too long: as the DTLS that real links run counts it.
#[derive(Debug)]
pub(super) struct Timers {
    rng: Rng,
    handshake: Clock,
    flight: Clock,
    /// What the next wait is before jitter; doubles.
    rto: Duration,
    /// What it is after: between three and five quarters of it.
    wait: Duration,
    left: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    Off,
    /// Starts with the next datagram.
    Ready,
    Due(Time),
}

impl Timers {
    pub(super) fn new(rng: Rng) -> Self {
        let (handshake, flight) = (Clock::Ready, Clock::Off);
        let mut timers =
            Self { rng, handshake, flight, rto: FLIGHT_RTO, wait: FLIGHT_RTO, left: FLIGHT_RETRIES };
        timers.draw();
        timers
    }

    /// A number of the channel's own.
    pub(super) fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    pub(super) fn begin_handshake(&mut self, now: Time) {
        if self.handshake == Clock::Ready {
            self.handshake = Clock::Due(now + HANDSHAKE_TIMEOUT);
        }
    }

    pub(super) fn begin_flight(&mut self) {
        (self.rto, self.left, self.flight) = (FLIGHT_RTO, FLIGHT_RETRIES, Clock::Ready);
        self.draw();
    }

    /// A datagram goes out.
    pub(super) fn sent(&mut self, now: Time) {
        if self.flight == Clock::Ready {
            self.flight = Clock::Due(now + self.wait);
        }
    }

    pub(super) fn stop_flight(&mut self) {
        self.flight = Clock::Off;
    }

    pub(super) fn end_handshake(&mut self) {
        self.handshake = Clock::Off;
    }

    /// Whether the flight may be sent again now, which uses up one of its retries. The last flight of all may be for ever: it
    /// only answers what is repeated.
    pub(super) fn may_repeat(&mut self) -> bool {
        let is_last = self.handshake == Clock::Off && self.flight == Clock::Off;
        if self.flight == Clock::Ready || !(is_last || self.left > 0) {
            return false;
        }
        if self.left > 0 {
            self.left -= 1;
            self.rto *= 2;
            self.draw();
        }
        if self.flight != Clock::Off {
            self.flight = Clock::Ready;
        }
        true
    }

    /// Whether the flight is due again.
    pub(super) fn on_wake(&mut self, now: Time) -> Result<bool, Refused> {
        let is_due = |clock| matches!(clock, Clock::Due(at) if at <= now);
        if is_due(self.handshake) {
            return Err(Refused::TimedOut);
        }
        if is_due(self.flight) {
            return if self.may_repeat() { Ok(true) } else { Err(Refused::TimedOut) };
        }
        Ok(false)
    }

    pub(super) fn next(&self) -> Option<Time> {
        let due = |clock| match clock {
            Clock::Due(at) => Some(at),
            Clock::Off | Clock::Ready => None,
        };
        due(self.handshake).into_iter().chain(due(self.flight)).min()
    }

    fn draw(&mut self) {
        let micros = self.rto.as_micros() as u64;
        let jittered = micros - micros / 4 + self.rng.below(micros / 2);
        self.wait = Duration::from_micros(jittered);
    }
}
