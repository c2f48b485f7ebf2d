use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::api::{RequestId, RequestKind};
use super::context::Context;
use crate::base::{Host, Time, Wake};

/// Names are resolved again this long after they could not be, while they are needed.
const RETRY: Duration = Duration::from_secs(15);

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
    pending: BTreeMap<RequestId, (Purpose, String, u16)>,
    retry: BTreeMap<(Purpose, String, u16), Time>,
}

impl Hosts {
    pub(super) fn new(bootstrap: Vec<Host>, stun: Vec<Host>) -> Self {
        Self { bootstrap, stun, pending: BTreeMap::new(), retry: BTreeMap::new() }
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

    /// Takes in the shell's answer: what the name was for, and the name itself if it must be tried again.
    pub(super) fn resolved(
        &mut self,
        now: Time,
        id: RequestId,
        addresses: &[SocketAddr],
    ) -> Option<(Purpose, String)> {
        let (purpose, name, port) = self.pending.remove(&id)?;
        if addresses.is_empty() {
            self.retry.insert((purpose, name.clone(), port), now + RETRY);
        }
        Some((purpose, name))
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

    fn resolve(&mut self, context: &mut Context, key: (Purpose, String, u16)) {
        if self.pending.values().any(|pending| *pending == key) {
            return;
        }
        let id = context.request(RequestKind::Resolve(key.1.clone(), key.2));
        self.retry.remove(&key);
        self.pending.insert(id, key);
    }
}
