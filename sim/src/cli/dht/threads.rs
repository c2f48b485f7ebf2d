#![expect(clippy::disallowed_types, reason = "the command, unlike the library, may have threads")]

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use folkmoot_core::base::Time;
use folkmoot_sim::dht::{Alone, Crew, Shard};

/// Threads that run the shards of a swarm together; this one is among them.
pub(super) struct Threads {
    helpers: Vec<Helper>,
}

/// Has the same shards each time, so that what a machine allocates is mostly freed by the thread that allocated it.
struct Helper {
    begin: Sender<(Vec<Shard>, Time)>,
    done: Receiver<Vec<Shard>>,
}

impl Threads {
    /// So many, with this one.
    pub(super) fn new(jobs: u16) -> Self {
        Self { helpers: (1..jobs).map(|_| Helper::new()).collect() }
    }
}

impl Crew for Threads {
    fn run(&mut self, shards: &mut Vec<Shard>, until: Time) {
        let each = shards.len().div_ceil(self.helpers.len() + 1);
        let mut rest = shards.split_off(each.min(shards.len()));
        let mut busy = Vec::with_capacity(self.helpers.len());
        for helper in &self.helpers {
            let after = rest.split_off(each.min(rest.len()));
            let share = std::mem::replace(&mut rest, after);
            helper.begin.send((share, until)).expect("a helper waits for work until it is dropped");
            busy.push(&helper.done);
        }
        Alone.run(shards, until);
        for done in busy {
            shards.append(&mut done.recv().expect("a helper gives back what it got, unless it panicked"));
        }
    }
}

impl Helper {
    fn new() -> Self {
        let ((begin, work), (results, done)) = (mpsc::channel::<(Vec<Shard>, Time)>(), mpsc::channel());
        thread::spawn(move || {
            for (mut shards, until) in work {
                Alone.run(&mut shards, until);
                if results.send(shards).is_err() {
                    return;
                }
            }
        });
        Self { begin, done }
    }
}

#[cfg(test)]
mod tests {
    use folkmoot_sim::dht::{Census, Found, Plan, Site, Swarm, SwarmCounts};

    use super::*;

    fn run(mut crew: impl Crew) -> (SwarmCounts, Vec<Found>, Census) {
        let mut swarm = Swarm::new(Plan { seed: 2, nodes: 60, lookups: 10, site: Site::Internet });
        swarm.run_until(swarm.end(), &mut crew);
        (swarm.counts(), swarm.found(), swarm.census())
    }

    /// What happens does not depend on how many threads there are, nor on whether each has something to do.
    #[test]
    fn together_as_alone() {
        let alone = run(Alone);
        for jobs in [2, 3, 16, 20] {
            assert_eq!(run(Threads::new(jobs)), alone, "{jobs} threads");
        }
    }
}
