use std::net::SocketAddr;
use std::time::Duration;

use crate::base::Time;
use crate::limits;

/// Between two questions to those who have not answered yet, once others have; doubled each time.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MOST: Duration = Duration::from_secs(15 * 60);

/// Where to enter the network.
///
/// One host that means well suffices, but which one does is not known, and whoever answers first may name nobody but its
/// allies. So those who were silent when we entered are asked again until they answer, and from each of them we look for the
/// nodes around us; and later from one after the other, now and then, in case all whom we know have become of one party.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    hosts: Vec<Host>,
    /// Whose turn it is.
    turn: usize,
    /// Answered when others had let us in, and nothing was looked up from there yet.
    late: Option<SocketAddr>,
    /// How often the silent ones were asked, and when they are next.
    asked: u32,
    ask_at: Option<Time>,
}

#[derive(Clone, Copy, Debug)]
struct Host {
    addr: SocketAddr,
    has_answered: bool,
}

impl Hosts {
    /// One more, if it is one more and there is room.
    pub(super) fn add(&mut self, addr: SocketAddr) -> bool {
        let is_new = self.hosts.len() < limits::DHT_BOOTSTRAP && !self.contains(addr);
        if is_new {
            self.hosts.push(Host { addr, has_answered: false });
            self.asked = 0;
        }
        is_new
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = SocketAddr> {
        self.hosts.iter().map(|host| host.addr)
    }

    pub(super) fn len(&self) -> usize {
        self.hosts.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// The memory taken beyond its own size, in bytes.
    pub(super) fn footprint(&self) -> usize {
        self.hosts.capacity() * size_of::<Host>()
    }

    /// We may be on another network now: only these remain, and nobody has answered.
    pub(super) fn restart(&mut self, stays: impl Fn(SocketAddr) -> bool) {
        self.hosts.retain(|host| stays(host.addr));
        self.hosts.iter_mut().for_each(|host| host.has_answered = false);
        (self.late, self.asked, self.ask_at) = (None, 0, None);
    }

    /// Somebody answered. Whether it is a host that had not yet.
    pub(super) fn on_answer(&mut self, addr: SocketAddr) -> bool {
        let silent = self.hosts.iter_mut().find(|host| host.addr == addr && !host.has_answered);
        silent.map(|host| host.has_answered = true).is_some()
    }

    /// A lookup is to begin there.
    pub(super) fn is_late(&mut self, addr: SocketAddr) {
        self.late = Some(addr);
    }

    /// We have entered.
    pub(super) fn on_entered(&mut self, now: Time) {
        if self.hosts.iter().any(|host| !host.has_answered) {
            self.ask_at.get_or_insert(now + PAUSE);
        }
    }

    pub(super) fn next_due(&self) -> Option<Time> {
        self.ask_at
    }

    /// Those to be asked now: all who are silent, if it is time.
    pub(super) fn take_due(&mut self, now: Time) -> Vec<SocketAddr> {
        if self.ask_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let silent: Vec<SocketAddr> =
            self.hosts.iter().filter(|host| !host.has_answered).map(|host| host.addr).collect();
        self.ask_at = (!silent.is_empty()).then(|| now + (PAUSE * (2 << self.asked.min(10))).min(PAUSE_MOST));
        self.asked += 1;
        silent
    }

    /// Where a lookup for the nodes around us begins beside the nodes we know: at the host that has just come, or with
    /// `in_turn` at one after the other.
    pub(super) fn take_turn(&mut self, in_turn: bool) -> Option<SocketAddr> {
        let next = || self.hosts.get(self.turn % self.hosts.len().max(1)).filter(|_| in_turn);
        match self.late.take() {
            Some(late) => Some(late),
            None => {
                let next = next().map(|host| host.addr);
                self.turn += usize::from(next.is_some());
                next
            }
        }
    }

    fn contains(&self, addr: SocketAddr) -> bool {
        self.hosts.iter().any(|host| host.addr == addr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(n: u8) -> SocketAddr {
        ([8, n, 0, 1], 6881).into()
    }

    #[test]
    fn the_silent_are_asked_ever_more_rarely_until_they_answer() {
        let mut hosts = Hosts::default();
        assert_eq!([1, 2, 1].map(|n| hosts.add(host(n))), [true, true, false]);
        assert!(hosts.on_answer(host(1)) && !hosts.on_answer(host(1)) && !hosts.on_answer(host(9)));
        hosts.on_entered(Time::ZERO);
        let mut gaps = Vec::new();
        let mut before = Time::ZERO;
        for _ in 0..12 {
            let at = hosts.next_due().unwrap();
            assert!(hosts.take_due(before).is_empty(), "not yet");
            assert_eq!(hosts.take_due(at), [host(2)]);
            gaps.push((at - before).as_secs());
            before = at;
        }
        assert_eq!(gaps, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        assert!(hosts.on_answer(host(2)));
        assert_eq!((hosts.take_due(before + PAUSE_MOST), hosts.next_due()), (Vec::new(), None));
        hosts.restart(|addr| addr != host(1));
        hosts.on_entered(before);
        assert_eq!(hosts.take_due(before + PAUSE), [host(2)], "anew elsewhere");
    }

    #[test]
    fn whoever_came_late_and_then_all_in_turn() {
        let mut hosts = Hosts::default();
        assert_eq!(hosts.take_turn(true), None);
        (1..=3).for_each(|n| assert!(hosts.add(host(n))));
        hosts.is_late(host(3));
        assert_eq!([false, false].map(|turn| hosts.take_turn(turn)), [Some(host(3)), None]);
        assert_eq!([true; 4].map(|turn| hosts.take_turn(turn)), [1, 2, 3, 1].map(|n| Some(host(n))));
    }
}
