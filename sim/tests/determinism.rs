//! A seed is a run: in one process and across processes. If it is not, the first difference is found and printed.

use std::process::Command;

use folkmoot_sim::Trace;
use folkmoot_sim::engine::Record;
use folkmoot_sim::scenario::{self, NAMES, Options, Outcome};

const SEED: u64 = 3;
/// So many records around the first difference are printed.
const CONTEXT: usize = 3;

/// The scenarios that are quick enough to be run four times, unoptimised, beside all the others.
fn quick() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name).filter(|name| !["fifty-at-once", "forged-peers"].contains(name))
}

fn play(name: &str, keep_records: bool) -> Outcome {
    scenario::run(&scenario::find(name, SEED).unwrap(), SEED, Options { keep_records, ..Options::default() })
}

/// What `moot-sim` prints about a scenario.
#[expect(clippy::disallowed_methods, reason = "another process is the point of it")]
fn play_elsewhere(name: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moot-sim"));
    let output = command.args(["run", name, "--seed", &SEED.to_string(), "--json"]).args(arguments).output();
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
    records.iter().map(Record::to_string).collect()
}

#[test]
fn twice_in_one_process() {
    for name in quick() {
        let [one, other] = [play(name, true), play(name, true)];
        assert_eq!(one.records.len() as u64, one.records_count);
        let differ = Trace::first_difference(&one.records, &other.records);
        assert_eq!(differ, None, "{name}: {}", difference(&lines(&one.records), &lines(&other.records)));
        assert_eq!(one.hash, other.hash, "{name}");
        assert_eq!(play(name, false).hash, one.hash, "{name}: keeping the records changes nothing");
    }
}

#[test]
fn in_two_processes() {
    for name in quick() {
        let here = play(name, false);
        let there = play_elsewhere(name, &[]);
        let done: serde_json::Value = serde_json::from_str(there.lines().last().unwrap()).unwrap();
        assert_eq!(done["event"], "done");
        if done["hash"] != here.hash.to_string() {
            let packet = |line: &str| {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                (line["event"] == "packet").then(|| line["text"].as_str().unwrap().to_owned())
            };
            let there: Vec<_> = play_elsewhere(name, &["--trace"]).lines().filter_map(packet).collect();
            panic!("{name}: {}", difference(&lines(&play(name, true).records), &there));
        }
    }
}

#[test]
fn the_first_difference_is_shown_with_what_precedes_it() {
    let a: Vec<String> = (0..6).map(|n| n.to_string()).collect();
    let mut b = a.clone();
    b[4] = "x".into();
    assert_eq!(difference(&a, &b), "record 4:\n  both  1\n  both  2\n  both  3\n  one   4\n  other x");
    assert!(difference(&a, &a[..5]).ends_with("one   5\n  other (the end)"));
    let [one, other] = [1, 2].map(|seed| {
        let scenario = scenario::find("first-data", seed).unwrap();
        scenario::run(&scenario, seed, Options { keep_records: true, ..Options::default() })
    });
    assert!(Trace::first_difference(&one.records, &other.records).is_some(), "two seeds are two runs");
}
