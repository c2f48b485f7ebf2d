//! Replays every committed corpus, and holds the table of targets, the files of cargo-fuzz and the corpora together.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use folkmoot_fuzz_bodies::TARGETS;

/// Files in one corpus. Corpora are minimised before they are committed, so that `cargo test` stays quick.
const MAX_FILES: usize = 200;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The names in a folder, without extension.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn corpora() {
    for (name, body) in TARGETS {
        let folder = fuzz().join("corpus").join(name);
        let files = names(&folder);
        assert!(!files.is_empty() && files.len() <= MAX_FILES, "{name} has {} files", files.len());
        for file in files {
            // Shown only if it panics.
            println!("fuzz/corpus/{name}/{file}");
            body(&fs::read(folder.join(&file)).unwrap());
        }
    }
}

#[test]
fn every_target_is_everywhere() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len(), "a name is there twice");
    assert_eq!(names(&fuzz().join("fuzz_targets")), targets);
    assert_eq!(names(&fuzz().join("corpus")), targets);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in targets {
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
            "fuzz/Cargo.toml lacks {name}"
        );
    }
}

/// What no corpus holds: nothing at all, and one byte of each kind.
#[test]
fn next_to_nothing() {
    for (name, body) in TARGETS {
        println!("{name}");
        body(&[]);
        (0..=u8::MAX).for_each(|byte| body(&[byte]));
    }
}
