//! Who this node is.

use super::api::Identity;
use crate::base::{Cx, DeviceId, Incarnation, MeetingId, MemberId, Signer, UnixTime};
use crate::meeting::hello::End;
use crate::meeting::{Candidate, Details, Keyring, Record};
use crate::peer::{Endpoint, Security};

/// The keys, the certificate and the particulars that go into every record of this run.
#[derive(Debug)]
pub(super) struct Me {
    pub(super) device: DeviceId,
    pub(super) member: MemberId,
    pub(super) incarnation: Incarnation,
    pub(super) endpoint: Endpoint,
    keyring: Keyring,
    name: String,
    serial: u32,
}

impl Me {
    pub(super) fn new(
        cx: &mut Cx<'_>,
        identity: &Identity,
        incarnation: Incarnation,
        name: String,
        security: Security,
    ) -> Self {
        let keyring = Keyring::new(&identity.device, &identity.member);
        Self {
            device: keyring.device(),
            member: keyring.member(),
            incarnation,
            endpoint: Endpoint::with_security(&identity.device, cx.rng, security),
            keyring,
            name,
            serial: 0,
        }
    }

    /// This end of every link.
    pub(super) fn end(&self) -> End {
        End { device: self.device, fingerprint: self.endpoint.fingerprint().0, incarnation: self.incarnation }
    }

    /// The key that signs what this device says.
    pub(super) fn signer(&self) -> &Signer {
        self.keyring.signer()
    }

    /// A fresh record for one meeting.
    pub(super) fn record(&mut self, meeting: MeetingId, now: UnixTime, candidates: &[Candidate]) -> Record {
        self.serial += 1;
        let details = Details {
            incarnation: self.incarnation,
            serial: self.serial,
            time: now,
            snap: *self.endpoint.snap().as_bytes(),
            nat: 0,
            candidates: candidates.to_vec(),
            name: self.name.clone(),
        };
        Record::sign(meeting, &self.keyring, self.endpoint.fingerprint().0, details)
    }
}
