//! Benches live in the files beside this one; run them with `cargo bench -p folkmoot-benches`.
