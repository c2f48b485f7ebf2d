use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::api::{RequestId, RequestKind};
use super::context::Context;
use crate::base::{Host, Time, Wake};

/// Names are resolved again this long after they could not be, and then after twice as long each time.
const RETRY: Duration = Duration::from_secs(15);
/// Up to 8 minutes.
const MAX_DOUBLINGS: u32 = 5;

/// What a host is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    Bootstrap,
    Stun,
}

/// The servers the user configured, and the names among them that are being resolved.
#[derive(Debug)]
pub(super) struct Hosts {
    bootstrap: Vec<Host>,
    stun: Vec<Host>,
    pending: BTreeMap<RequestId, Key>,
    retry: BTreeMap<Key, Time>,
    failed: BTreeMap<Key, Failed>,
}

/// A name to resolve: what for, the name, the port.
type Key = (Purpose, String, u16);

/// A name that could not be resolved.
#[derive(Debug)]
struct Failed {
    times: u32,
    told: bool,
}

impl Hosts {
    pub(super) fn new(bootstrap: Vec<Host>, stun: Vec<Host>) -> Self {
        Self { bootstrap, stun, pending: BTreeMap::new(), retry: BTreeMap::new(), failed: BTreeMap::new() }
    }

    pub(super) fn count(&self, purpose: Purpose) -> usize {
        self.of(purpose).len()
    }

    /// Whether no way into the DHT was configured.
    pub(super) fn is_cut_off(&self) -> bool {
        self.bootstrap.is_empty()
    }

    /// The addresses known at once; the names among the hosts are asked of the shell.
    pub(super) fn seek(&mut self, context: &mut Context, purpose: Purpose) -> Vec<SocketAddr> {
        let mut known = Vec::new();
        for host in self.of(purpose).to_vec() {
            match host {
                Host::Addr(addr) => known.push(addr),
                Host::Name(name, port) => self.resolve(context, (purpose, name, port)),
            }
        }
        known
    }

    /// Takes in the shell's answer: what the name was for.
    pub(super) fn resolved(&mut self, now: Time, id: RequestId, addresses: &[SocketAddr]) -> Option<Purpose> {
        let key = self.pending.remove(&id)?;
        let purpose = key.0;
        if addresses.is_empty() {
            let failed = self.failed.entry(key.clone()).or_insert(Failed { times: 0, told: false });
            let wait = RETRY * 2_u32.saturating_pow(failed.times.min(MAX_DOUBLINGS));
            failed.times += 1;
            self.retry.insert(key, now + wait);
        } else {
            self.failed.remove(&key);
        }
        Some(purpose)
    }

    /// The names that could not be resolved, once all answers are in, and each only once.
    pub(super) fn unresolved(&mut self, purpose: Purpose) -> Vec<String> {
        if self.pending.values().any(|(pending, ..)| *pending == purpose) {
            return Vec::new();
        }
        let news = self.failed.iter_mut().filter(|(key, failed)| key.0 == purpose && !failed.told);
        news.map(|((_, name, _), failed)| {
            failed.told = true;
            name.clone()
        })
        .collect()
    }

    pub(super) fn on_wake(&mut self, context: &mut Context) {
        let due: Vec<_> =
            self.retry.iter().filter(|&(_, &at)| at <= context.now).map(|(key, _)| key.clone()).collect();
        for key in due {
            self.retry.remove(&key);
            self.resolve(context, key);
        }
    }

    pub(super) fn next_wake(&self) -> Option<Wake> {
        self.retry.values().min().map(|&at| Wake::new(at, "hosts.retry"))
    }

    fn of(&self, purpose: Purpose) -> &[Host] {
        match purpose {
            Purpose::Bootstrap => &self.bootstrap,
            Purpose::Stun => &self.stun,
        }
    }

    fn resolve(&mut self, context: &mut Context, key: Key) {
        if self.pending.values().any(|pending| *pending == key) {
            return;
        }
        let id = context.request(RequestKind::Resolve(key.1.clone(), key.2));
        self.retry.remove(&key);
        self.pending.insert(id, key);
    }
}
