//! A seed is a run: in one process and across processes. If it is not, the first difference is found and printed.

use std::process::Command;

use folkmoot_sim::engine::Record;
use folkmoot_sim::scenario::{self, NAMES, Outcome, play_twice};
use folkmoot_sim::{Tier, Trace};
use folkmoot_sim_entropy::{SUPPORTED, seeded};

const SEED: u64 = 3;
/// So many records around the first difference are printed.
const CONTEXT: usize = 3;

/// The scenarios that are quick enough to be run four times, unoptimised, beside all the others.
fn quick() -> impl Iterator<Item = &'static str> {
    NAMES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !["fifty-at-once", "forged-peers", "gale"].contains(name))
}

fn play(name: &str, tier: Tier, trace: Trace) -> Outcome {
    let scenario = scenario::find(name, SEED).unwrap();
    seeded(SEED, || scenario::run_traced(&scenario, SEED, tier, trace))
}

/// What `moot-sim` prints about a scenario.
#[expect(clippy::disallowed_methods, reason = "another process is the point of it")]
fn play_elsewhere(name: &str, tier: Tier, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moot-sim"));
    let output = command
        .args(["run", name, "--seed", &SEED.to_string(), "--tier", &tier.to_string(), "--json"])
        .args(arguments)
        .output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

/// The first difference between two lists of lines, with what precedes it.
fn difference(a: &[String], b: &[String]) -> String {
    let Some(at) = (0..a.len().max(b.len())).find(|&at| a.get(at) != b.get(at)) else {
        return "no difference in the records".into();
    };
    let common = a[at.saturating_sub(CONTEXT)..at].iter().map(|line| format!("  both  {line}\n"));
    let line = |list: &[String]| list.get(at).cloned().unwrap_or_else(|| "(the end)".into());
    format!("record {at}:\n{}  one   {}\n  other {}", common.collect::<String>(), line(a), line(b))
}

fn lines(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| format!("{record:#}")).collect()
}

#[test]
fn twice_in_one_process() {
    for name in quick() {
        for tier in Tier::ALL {
            let (one, parting) = play_twice(|trace| play(name, tier, trace));
            assert!(parting.is_none() || !SUPPORTED, "{name}, {tier}: {}", parting.unwrap());
            if name == NAMES[0].0 {
                let kept = play(name, tier, Trace::keeping());
                assert_eq!(kept.records.len() as u64, one.records_count);
                assert_eq!(kept.whole, one.whole, "{name}, {tier}: keeping the records changes nothing");
            }
        }
    }
}

#[test]
fn in_two_processes() {
    // Over DTLS the first only, here: the gate plays them all.
    for (name, tier) in quick().map(|name| (name, Tier::Stub)).chain([(NAMES[0].0, Tier::Real)]) {
        let here = play(name, tier, Trace::new());
        let there = play_elsewhere(name, tier, &[]);
        let done: serde_json::Value = serde_json::from_str(there.lines().last().unwrap()).unwrap();
        assert_eq!(done["event"], "done");
        if SUPPORTED && done["hash"] != here.whole.to_string() {
            let packet = |line: &str| {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                (line["event"] == "packet").then(|| line["text"].as_str().unwrap().to_owned())
            };
            let there: Vec<_> = play_elsewhere(name, tier, &["--trace"]).lines().filter_map(packet).collect();
            let here = lines(&play(name, tier, Trace::keeping()).records);
            panic!("{name}, {tier}: {}", difference(&here, &there));
        }
    }
}

/// Otherwise nothing here would show anything.
#[test]
fn without_a_seeded_thread_bytes_differ() {
    let unseeded = || {
        let scenario = scenario::find("first-data", SEED).unwrap();
        scenario::run_traced(&scenario, SEED, Tier::Real, Trace::new())
    };
    let (one, other) = (unseeded(), unseeded());
    assert_eq!(one.hash, other.hash);
    assert_ne!(one.whole, other.whole);
}

#[test]
fn the_first_difference_is_shown_with_what_precedes_it() {
    let a: Vec<String> = (0..6).map(|n| n.to_string()).collect();
    let mut b = a.clone();
    b[4] = "x".into();
    assert_eq!(difference(&a, &b), "record 4:\n  both  1\n  both  2\n  both  3\n  one   4\n  other x");
    assert!(difference(&a, &a[..5]).ends_with("one   5\n  other (the end)"));
}
