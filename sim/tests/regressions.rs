//! What failed once, shrunk, with a line of why. Each has to be good now; one that cannot be yet says which property
//! still fails, and then exactly that one has to, so that whoever mends it takes the line out.

use std::path::{Path, PathBuf};

use folkmoot_sim::Tier;
use folkmoot_sim::scenario::{self, Options, Scenario};

#[expect(clippy::disallowed_methods, reason = "the regressions are files")]
fn texts() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions");
    let mut paths: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn what_failed_once() {
    let texts = texts();
    assert!(!texts.is_empty());
    for (path, text) in texts {
        let file = path.display();
        assert!(path.extension().is_some_and(|extension| extension == "scn"), "{file}");
        let written = Scenario::parse(&text).unwrap_or_else(|flaw| panic!("{file}: {flaw}"));
        assert!(!written.scenario.note.is_empty(), "{file} has no note of why it is kept");
        let seed = written.seed.unwrap_or_else(|| panic!("{file} names no seed"));
        let outcome =
            scenario::run(&written.scenario, seed, Options { tier: Tier::Stub, ..Options::default() });
        let fails = outcome.first_problem().map(|problem| problem.property);
        assert_eq!(fails, written.fails, "moot-sim replay {file}\n{outcome}");
    }
}
