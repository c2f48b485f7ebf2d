//! HELLO's proof: whoever makes it holds the code and is one end of this very link.

use super::{Keys, Record};
use crate::base::{DeviceId, Incarnation};

/// One end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The device.
    pub device: DeviceId,
    /// SHA-256 of the certificate that DTLS has verified.
    pub fingerprint: [u8; 32],
    /// Which run of the device.
    pub incarnation: Incarnation,
}

impl End {
    /// The end that the device of a record is.
    pub fn of(record: &Record) -> Self {
        Self {
            device: record.device(),
            fingerprint: *record.fingerprint(),
            incarnation: record.details().incarnation,
        }
    }
}

/// The MAC by which `from` proves its membership to `to`. Naming both ends keeps one member from passing another's
/// proof on as its own, and naming both runs keeps an old proof from counting again.
pub fn prove(keys: &Keys, from: &End, to: &End) -> [u8; 32] {
    parts(from, to, |parts| keys.member_mac(parts))
}

/// Whether `proof` is what [`prove`] gives; in constant time.
pub fn verify(keys: &Keys, from: &End, to: &End, proof: &[u8; 32]) -> bool {
    parts(from, to, |parts| keys.verify_member_mac(parts, proof))
}

fn parts<T>(from: &End, to: &End, mac: impl FnOnce(&[&[u8]]) -> T) -> T {
    let (from_run, to_run) = (from.incarnation.0.to_be_bytes(), to.incarnation.0.to_be_bytes());
    mac(&[
        b"folkmoot/1 hello",
        from.device.as_bytes(),
        &from.fingerprint,
        &from_run,
        to.device.as_bytes(),
        &to.fingerprint,
        &to_run,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meeting::Master;

    #[test]
    fn a_proof_counts_for_one_direction_of_one_link() {
        let keys = Keys::derive(&Master([1; 32]));
        let end = |n: u8, run| End {
            device: DeviceId([n; 32]),
            fingerprint: [n; 32],
            incarnation: Incarnation(run),
        };
        let (a, b) = (end(1, 5), end(2, 5));
        let proof = prove(&keys, &a, &b);
        assert!(verify(&keys, &a, &b, &proof));
        assert!(!verify(&keys, &b, &a, &proof), "reflected");
        assert!(!verify(&keys, &a, &end(3, 5), &proof), "passed on");
        assert!(!verify(&keys, &end(1, 6), &b, &proof), "of an earlier run");
        assert!(!verify(&Keys::derive(&Master([2; 32])), &a, &b, &proof), "of another meeting");
    }
}
