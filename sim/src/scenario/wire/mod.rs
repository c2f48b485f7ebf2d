//! What must hold of packets, seen from outside the nodes.

mod answers;
mod secrets;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use folkmoot_core::base::Time;

use super::check::Problem;
use super::property::Property;
use crate::engine::{HostId, Watch};
use crate::stub::Tier;
use answers::Answers;
pub(super) use secrets::Secrets;

/// Watches the honest hosts of a scenario.
#[derive(Debug)]
pub(super) struct Wire {
    honest: BTreeSet<HostId>,
    secrets: Secrets,
    /// Whether what looks like DTLS is DTLS, and hides what is in it. The stand-in hides nothing, and nothing leaves the machine.
    hides: bool,
    answers: Answers,
    pub(super) problems: Vec<Problem>,
}

/// Problems that are kept: after the first of each kind the rest says nothing new.
const KEPT: usize = 20;

impl Wire {
    pub(super) fn new(honest: BTreeSet<HostId>, secrets: Secrets, tier: Tier) -> Self {
        let hides = tier == Tier::Real;
        Self { honest, secrets, hides, answers: Answers::default(), problems: Vec::new() }
    }

    fn problem(&mut self, at: Time, host: HostId, property: Property, what: impl fmt::Display) {
        if self.problems.len() < KEPT {
            self.problems.push(Problem { at, property, what: format!("{host}: {what}") });
        }
    }
}

impl Watch for Wire {
    fn started(&mut self, _: Time, host: HostId) {
        self.answers.forget(host);
    }

    fn sent(&mut self, at: Time, host: HostId, to: SocketAddr, bytes: &[u8]) {
        if !self.honest.contains(&host) {
            return;
        }
        let is_stand_in = !self.hides && matches!(bytes.first(), Some(20..=63));
        if !is_stand_in && let Some(secret) = self.secrets.find(bytes) {
            let what = format!("{secret} stands in a packet of {} bytes to {to}", bytes.len());
            self.problem(at, host, Property::Secret, what);
        }
        if let Some((property, what)) = self.answers.sent(at, host, to, bytes) {
            self.problem(at, host, property, what);
        }
    }

    fn delivered(&mut self, _: Time, host: HostId, from: SocketAddr, bytes: &[u8]) {
        if self.honest.contains(&host) {
            self.answers.delivered(host, from, bytes);
        }
    }
}
