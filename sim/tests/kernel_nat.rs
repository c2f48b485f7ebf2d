//! The simulator's NATs answer what Linux's did when it was asked: the transcripts of `interop/kernel_nat.py --write`.

use std::collections::BTreeMap;

use folkmoot_sim::net::probe_kernel_box;

const PROBES: &str = include_str!("../../interop/nat_probes.txt");
const KERNEL: &str = include_str!("../../interop/kernel_nat.txt");

#[test]
fn the_simulator_does_what_the_kernel_did() {
    let mut said: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    let mut at = None;
    for line in KERNEL.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("box ").and_then(|rest| rest.split_once(" probe ")) {
            Some(key) => at = Some(key),
            None => said.entry(at.expect("a box comes first")).or_default().push(line),
        }
    }
    let boxes: std::collections::BTreeSet<_> = said.keys().map(|(name, _)| *name).collect();
    assert!(boxes.len() >= 10 && said.len() >= 100, "{} boxes, {} cells", boxes.len(), said.len());
    for name in boxes {
        let probed = probe_kernel_box(name, PROBES).unwrap();
        let asked: Vec<_> = probed.iter().filter(|it| said.contains_key(&(name, it.name.as_str()))).collect();
        assert_eq!(
            asked.len(),
            said.keys().filter(|(it, _)| *it == name).count(),
            "{name}: a probe is missing"
        );
        for probe in asked {
            assert_eq!(probe.lines, said[&(name, probe.name.as_str())], "{name}, {}", probe.name);
        }
    }
}

#[test]
fn what_cannot_be_done_is_said_in_a_sentence() {
    let says = |name, script| probe_kernel_box(name, script).unwrap_err().to_string();
    assert_eq!(
        says("linux-bare", "probe x\nsend a:5000"),
        "line 2 of the probes, `send a:5000`: there is no such verb, or it has not these words"
    );
    assert_eq!(
        says("linux-bare", "wait 1"),
        "line 1 of the probes, `wait 1`: it comes before the first `probe NAME`"
    );
    assert!(says("linux-bare", "probe x\nback s1:100 m").ends_with("no `send` has given that name"));
    assert!(says("linux-bare", "probe x\nsend c:1 s1:1").ends_with("hosts are a and b, and s1 to s8"));
    assert!(says("moon", "").contains("there is no kind of network `moon`"));
    assert!(says("hotel", "").contains("not one box"));
}
