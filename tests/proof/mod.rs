//! The proof of determinism against the workers that it speaks for: programs from the grammar, the kept corpus, and the
//! workloads, each in two workers.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::native::{folder, print_line};

/// Runs `fuzz-proof` with these arguments; nothing where the scientific tier cannot be on this machine.
fn fuzz(arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchtower"));
    command.arg("fuzz-proof").args(arguments).env("SWITCHTOWER_NATIVE_FOLDER", folder()?);
    Some(command.output().unwrap())
}

/// All agree, and what was said of it.
fn agreed(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    print_line(said.trim_end());
    said
}

#[test]
fn what_the_proof_passes_of_two_thousand_programs_is_the_same_in_two_workers() {
    let Some(output) = fuzz(&["--programs", "2000", "--seed", "11"]) else { return };
    let said = agreed(&output);
    assert!(said.starts_with("2000 programs, ") && said.ends_with(" 0 differ\n"), "{said}");
}

#[test]
fn two_workers_show_that_programs_differ_which_the_proof_refuses() {
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
    let Some(output) = fuzz(&["--refused-too", "--workload", file.to_str().unwrap()]) else { return };
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    // Shrunk to what differs, in the form of the corpus.
    assert!(said.contains("#: hashes\nprint({'a', 'b', 'c', 'd', 'e', 'f'})\n# one worker: "), "{said}");
    assert!(said.contains("#: chance\nimport random\nprint(random.random())\n"), "{said}");
    assert!(said.contains("#: addresses\nclass A:\n    pass\nprint(A())\n# one worker: "), "{said}");
    assert!(said.ends_with("4 programs, 1 proven, 0 of them not kept, 3 differ\n"), "{said}");
}

#[test]
fn the_kept_programs_that_are_the_same_are_so_in_two_workers() {
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
    let Some(output) = fuzz(&["--workload", file.to_str().unwrap()]) else { return };
    let count = items.lines().count();
    let said = agreed(&output);
    assert_eq!(said, format!("{count} programs, {count} proven, 0 of them not kept, 0 differ\n"));
}

#[test]
fn what_the_proof_passes_of_the_workloads_is_the_same_in_two_workers() {
    let folder = std::env::var_os("SWITCHTOWER_WORKLOADS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/workloads"), PathBuf::from);
    let file = folder.join("dev.jsonl");
    if !file.exists() {
        return print_line(&format!(
            "skipped: no workloads in {}; SWITCHTOWER_WORKLOADS names their folder",
            folder.display()
        ));
    }
    if let Some(output) = fuzz(&["--workload", file.to_str().unwrap()]) {
        agreed(&output);
    }
}
