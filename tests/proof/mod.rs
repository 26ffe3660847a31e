//! Checks the proof of determinism: programs of the grammar, of the corpus and of the workloads run in two workers each.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::native::{folder, print_line};

/// Runs `fuzz-proof` with these arguments; returns `None` if the scientific tier is not available on this machine.
fn fuzz_proof(arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchtower"));
    command.arg("fuzz-proof").args(arguments).env("SWITCHTOWER_NATIVE_FOLDER", folder()?);
    Some(command.output().unwrap())
}

/// Asserts that the workers agree on every program, and returns the report.
fn assert_agreement(output: &Output) -> String {
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{report}\n{}", String::from_utf8_lossy(&output.stderr));
    print_line(report.trim_end());
    report
}

#[test]
fn the_proven_ones_of_two_thousand_programs_are_the_same_in_two_workers() {
    let Some(output) = fuzz_proof(&["--programs", "2000", "--seed", "11"]) else { return };
    let report = assert_agreement(&output);
    assert!(report.starts_with("2000 programs, ") && report.ends_with(" 0 differ\n"), "{report}");
}

#[test]
fn programs_that_the_proof_refuses_differ_in_two_workers_and_are_shrunk() {
    let mut items = String::new();
    for (name, source) in [
        ("hashes", "x = 1\nprint({'a', 'b', 'c', 'd', 'e', 'f'})\n"),
        ("chance", "import random\n0 and random.seed(0)\nprint(random.random())\n"),
        ("addresses", "class A:\n    pass\nprint(A())\ny = 2\n"),
        ("same", "print(1)\n"),
    ] {
        items += &format!("{}\n", serde_json::json!({ "id": name, "code": source }));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("differ.jsonl");
    std::fs::write(&file, &items).unwrap();
    let Some(output) = fuzz_proof(&["--refused-too", "--workload", file.to_str().unwrap()]) else { return };
    let report = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{report}");
    // Shrunk to what differs, in the format of the corpus.
    assert!(report.contains("#: hashes\nprint({'a', 'b', 'c', 'd', 'e', 'f'})\n# one worker: "), "{report}");
    assert!(report.contains("#: chance\nimport random\nprint(random.random())\n"), "{report}");
    assert!(report.contains("#: addresses\nclass A:\n    pass\nprint(A())\n# one worker: "), "{report}");
    assert!(report.ends_with("4 programs, 1 proven, 0 of them without a result to cache, 3 differ\n"), "{report}");
}

#[test]
fn the_deterministic_programs_of_the_corpus_are_the_same_in_two_workers() {
    let mut items = String::new();
    for file in ["plain.py", "science.py"] {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/proof/same").join(file);
        for part in std::fs::read_to_string(path).unwrap().split("#: ").skip(1) {
            let (name, source) = part.split_once('\n').unwrap();
            items += &format!("{}\n", serde_json::json!({ "id": format!("{file}: {name}"), "code": source }));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("same.jsonl");
    std::fs::write(&file, &items).unwrap();
    let Some(output) = fuzz_proof(&["--workload", file.to_str().unwrap()]) else { return };
    let count = items.lines().count();
    let report = assert_agreement(&output);
    assert_eq!(report, format!("{count} programs, {count} proven, 0 of them without a result to cache, 0 differ\n"));
}

#[test]
fn the_proven_programs_of_the_workloads_are_the_same_in_two_workers() {
    let folder = std::env::var_os("SWITCHTOWER_WORKLOADS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/workloads"), PathBuf::from);
    let file = folder.join("dev.jsonl");
    if !file.exists() {
        return print_line(&format!(
            "skipped: no workloads in {}; SWITCHTOWER_WORKLOADS names their folder",
            folder.display()
        ));
    }
    if let Some(output) = fuzz_proof(&["--workload", file.to_str().unwrap()]) {
        assert_agreement(&output);
    }
}
