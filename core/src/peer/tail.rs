use std::time::Duration;

use crate::base::Time;

/// After so many bursts without progress, SCTP's own timer has to do.
const MAX_BURSTS: u32 = 4;

/// What the wait for an acknowledgement is while the round trip is unknown.
const FIRST: Duration = Duration::from_millis(500);

/// SCTP delays an acknowledgement by up to 200 ms (RFC 9260 §6.2).
const DELAYED_ACK: Duration = Duration::from_millis(250);

/// Finds out early that the last message was lost.
///
/// SCTP retransmits at once what three acknowledgements report missing, but after the last message there is nothing to
/// acknowledge, and its timer takes 3 s at first and never less than 1 s: at 10 % loss one connection in ten would stand still for that
/// long over its first message. So when what was sent is not acknowledged in time, three empty pulses follow it. They are
/// what RFC 8985 §7 calls a tail loss probe in TCP.
#[derive(Debug, Default)]
pub(super) struct Tail {
    accepted: u64,
    acknowledged: u64,
    due: Option<Time>,
    bursts: u32,
}

/// What acknowledgements tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// Some came: the other end lives.
    Progress,
    /// None came: it is time for a burst.
    Stalled,
}

impl Tail {
    /// A message was accepted.
    pub(super) fn sent(&mut self, now: Time, bytes: usize, rtt: Option<Duration>) {
        self.accepted += bytes as u64;
        if self.due.is_none() {
            self.bursts = 0;
            self.due = Some(now + patience(rtt));
        }
    }

    /// When [`Tail::look`] is due.
    pub(super) fn due(&self) -> Option<Time> {
        self.due
    }

    /// How the acknowledgements stand, if it is time to look, when so many bytes have none.
    pub(super) fn look(&mut self, now: Time, outstanding: usize, rtt: Option<Duration>) -> Option<Sight> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        let acknowledged = self.accepted.saturating_sub(outstanding as u64);
        let progress = acknowledged > self.acknowledged;
        self.acknowledged = acknowledged;
        self.bursts = if progress { 0 } else { self.bursts + 1 };
        self.due =
            (outstanding > 0 && self.bursts < MAX_BURSTS).then(|| now + patience(rtt) * (1 << self.bursts));
        match (progress, outstanding) {
            (true, _) => Some(Sight::Progress),
            (false, 0) => None,
            (false, _) => Some(Sight::Stalled),
        }
    }
}

fn patience(rtt: Option<Duration>) -> Duration {
    rtt.map_or(FIRST, |rtt| rtt + rtt / 2 + DELAYED_ACK)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Option<Duration> = Some(Duration::from_millis(100));

    fn ms(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    #[test]
    fn probes_only_what_stands_still() {
        let mut tail = Tail::default();
        assert_eq!(tail.due(), None);
        tail.sent(ms(0), 10, RTT);
        assert_eq!(tail.due(), Some(ms(400)));
        assert_eq!(tail.look(ms(399), 10, RTT), None);
        assert_eq!(tail.look(ms(400), 10, RTT), Some(Sight::Stalled));
        assert_eq!(tail.due(), Some(ms(1_200)));
        // Acknowledged, but something new is not.
        tail.sent(ms(1_100), 10, RTT);
        assert_eq!(tail.look(ms(1_200), 10, RTT), Some(Sight::Progress));
        assert_eq!(tail.due(), Some(ms(1_600)));
        assert_eq!(tail.look(ms(1_600), 0, RTT), Some(Sight::Progress));
        assert_eq!(tail.due(), None);
    }

    #[test]
    fn gives_up_until_something_new_is_sent() {
        let mut tail = Tail::default();
        tail.sent(ms(0), 10, None);
        let mut bursts = 0;
        while let Some(due) = tail.due() {
            bursts += u32::from(tail.look(due, 10, None) == Some(Sight::Stalled));
        }
        assert_eq!(bursts, MAX_BURSTS);
        tail.sent(ms(60_000), 10, None);
        assert_eq!(tail.due(), Some(ms(60_500)));
    }
}
