use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

/// The last so many distinct addresses.
#[derive(Debug)]
pub(super) struct Recent {
    known: BTreeSet<IpAddr>,
    order: VecDeque<IpAddr>,
    limit: usize,
}

impl Recent {
    pub(super) fn new(limit: usize) -> Self {
        Self { known: BTreeSet::new(), order: VecDeque::new(), limit }
    }

    pub(super) fn insert(&mut self, ip: IpAddr) {
        if !self.known.insert(ip) {
            return;
        }
        self.order.push_back(ip);
        if self.order.len() > self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        self.known.contains(&ip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes() {
        let mut recent = Recent::new(2);
        let ip = |last| IpAddr::from([192, 0, 2, last]);
        [1, 2, 1, 3].into_iter().for_each(|last| recent.insert(ip(last)));
        assert!(!recent.contains(ip(1)) && recent.contains(ip(2)) && recent.contains(ip(3)));
        assert_eq!((recent.known.len(), recent.order.len()), (2, 2));
    }
}
