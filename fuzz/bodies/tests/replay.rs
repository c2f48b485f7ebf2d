//! Every file of every corpus goes through its target.

use std::fs;
use std::path::Path;

use folkmoot_fuzz_bodies::TARGETS;

#[test]
fn replay_the_corpora() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    for (name, target) in TARGETS {
        let corpus = corpora.join(name);
        let mut files = 0;
        for entry in fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display())) {
            let path = entry.expect("a directory can be listed").path();
            let bytes = fs::read(&path).expect("a corpus file can be read");
            eprintln!("{}", path.display());
            target(&bytes);
            files += 1;
        }
        assert!(files > 0, "the corpus of {name} is empty");
    }
}

#[test]
fn every_corpus_and_target_file_belongs_to_a_target() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for folder in ["corpus", "fuzz_targets"] {
        for entry in fs::read_dir(fuzz.join(folder)).expect("the folder is there") {
            let path = entry.expect("a directory can be listed").path();
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            assert!(TARGETS.iter().any(|(target, _)| *target == name), "{} has no target", path.display());
        }
    }
}
