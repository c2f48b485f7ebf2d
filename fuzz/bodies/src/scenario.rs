//! A whole meeting, with what befalls it in records of sixteen bytes.

use folkmoot_sim::Tier;
use folkmoot_sim::scenario::{self, Options, Record};

/// Records that are looked at: more only make a run long. So many take 20 to 90 ms of CPU time, without a sanitizer.
const RECORDS: usize = 12;

/// Runs the scenario that the bytes make, over the stand-in for DTLS. No rule is broken, and whatever has to come comes.
pub fn scenario(bytes: &[u8]) {
    let mut records = Record::all(bytes);
    records.truncate(RECORDS);
    let Some(first) = records.first() else { return };
    let seed = u64::from(u32::from_le_bytes([first.0[10], first.0[11], first.0[12], first.0[13]]));
    let scenario = Record::scenario(&records);
    let outcome = scenario::run(&scenario, seed, Options { tier: Tier::Stub, ..Options::default() });
    assert!(outcome.is_good(), "{outcome}replay with: moot-sim replay 'seed {seed}; {scenario}'");
}
