//! The boxes that `interop/kernel_nat.py` sets up in the kernel, as the simulator has them: the presets of the same names, with
//! mappings that live 3 s, and 6 s once settled, so that a script can wait for their end.

use std::net::SocketAddr;
use std::time::Duration;

use folkmoot_core::base::Time;

use super::preset::{UnknownPreset, preset};
use super::{BoxRules, Gateway, Hairpin, Middlebox, NatRules, Policy, ProbeError, Probed, probe};
use crate::engine::Draws;

const YOUNG: Duration = Duration::from_secs(3);
const SETTLED: Duration = Duration::from_secs(6);
/// The port that is open in the boxes that have one, from the first moment on.
const OPENED: u16 = 5_000;

/// Why nothing was probed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum KernelBoxError {
    /// There is no such box.
    #[error(transparent)]
    Unknown(#[from] UnknownPreset),
    /// The script cannot be read.
    #[error(transparent)]
    Script(#[from] ProbeError),
    /// It is not one box.
    #[error("`{0}` is not one box with IPv4 behind it, which is what probes want")]
    NotOne(String),
}

/// Runs the probes of a script against a box, by its name.
///
/// # Errors
///
/// If there is no such box, or if the script says what cannot be done.
pub fn probe_kernel_box(name: &str, script: &str) -> Result<Vec<Probed>, KernelBoxError> {
    let linux = |hairpin| BoxRules::Nat(NatRules { hairpin, strangers: true, ..NatRules::LINUX });
    let (gateway, is_open) = match name {
        "linux-forward" => (Gateway::new(linux(Hairpin::Internal)), true),
        "linux-forward-hairpin" => (Gateway::new(linux(Hairpin::External)), true),
        "linux-four-ports" => {
            let rules = NatRules { range: (40_000, 40_003), strangers: true, ..NatRules::LINUX };
            (Gateway::new(BoxRules::Nat(rules)), false)
        }
        "linux-two-ports" => {
            let policy = Policy { ports: Some([53, 100]), ..Policy::NONE };
            (Gateway::new(linux(Hairpin::None)).with_policy(policy), false)
        }
        _ => {
            let boxes = preset(name)?.boxes;
            let [gateway] = boxes[..] else { return Err(KernelBoxError::NotOne(name.into())) };
            (gateway, false)
        }
    };
    if gateway.nat64 || matches!(gateway.v4, BoxRules::UdpBlocked | BoxRules::Clat) {
        return Err(KernelBoxError::NotOne(name.into()));
    }
    let gateway = Gateway { v4: quick(gateway.v4), ..gateway };
    let opened = |gate: &mut super::Gate, a| {
        if let (true, Middlebox::Nat(nat)) = (is_open, gate.v4()) {
            let inside = SocketAddr::new(a, OPENED);
            // Nothing is in the way of it in a box that has seen nothing.
            let _ = nat.open_port(
                Time::ZERO,
                &Draws::new(0),
                inside,
                OPENED,
                Time::ZERO + Duration::from_secs(86_400),
            );
        }
    };
    Ok(probe(1, gateway, script, opened)?)
}

/// The same rules with short lives.
fn quick(rules: BoxRules) -> BoxRules {
    match rules {
        BoxRules::Nat(nat) => BoxRules::Nat(NatRules { unreplied: YOUNG, lifetime: SETTLED, ..nat }),
        BoxRules::Firewall { filtering, settles, inbound_refresh, .. } => {
            let (lifetime, unreplied) = (SETTLED, YOUNG);
            BoxRules::Firewall { filtering, lifetime, unreplied, settles, inbound_refresh }
        }
        other => other,
    }
}
