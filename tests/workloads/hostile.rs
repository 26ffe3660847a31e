//! Programs that try to break out, to exhaust or to deceive: each costs at most itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use switchtower_contract::Fault;
use tokio::time::Instant;

use super::each;
use super::items::{hostile, items};
use crate::backend::harness::{Alias, harness, test_program};

const LIMIT: Duration = Duration::from_secs(2);
/// Beyond its limit a program gets the worker's grace, and whatever a busy machine adds.
const LATEST: Duration = Duration::from_secs(6);

/// Paths that the programs try to write, to replace or to make.
const CANARIES: [&str; 16] = [
    "/tmp/x",
    "/tmp/s",
    "/tmp/l",
    "/tmp/d",
    "/tmp/f0",
    "/tmp/i0",
    "/tmp/evil.so",
    "/x",
    "/usr/lib/x",
    "/dev/x",
    "/etc/x",
    "/etc/shadow",
    "/etc/passwd",
    "/root/.bashrc",
    "/usr/encoded_data.py",
    "/usr/downloaded_script.py",
];

/// What a program would print that had reached the machine.
const LOOT: [&str; 5] = ["uid=0", "root:x:0", "root:*:", "CARGO_", "LINKED"];

pub(crate) fn canaries() -> BTreeMap<&'static str, Option<(u64, SystemTime)>> {
    let state = |path: &str| fs::symlink_metadata(path).ok().map(|found| (found.len(), found.modified().unwrap()));
    CANARIES.into_iter().map(|path| (path, state(path))).collect()
}

/// The names in folders that a program could want to leave something in.
pub(crate) fn folders() -> BTreeMap<&'static str, Vec<String>> {
    let names = |folder: &str| {
        let entries = fs::read_dir(Path::new(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    ["/", "/etc", "/usr", "/usr/lib", "/dev/shm", "/root"].into_iter().map(|folder| (folder, names(folder))).collect()
}

#[test]
fn hostile_programs_harm_nobody_but_themselves() {
    let mut programs = items(|item| item.category == "hostile");
    programs.extend(hostile());
    if programs.is_empty() {
        return;
    }
    let alias = Alias::new("hostile");
    let harness = harness();
    let workers = harness.block_on(harness.own_workers(&alias, super::AT_ONCE));
    let (canaries_before, folders_before) = (canaries(), folders());

    let ends = each(&programs, |item| {
        let workers = &workers;
        async move {
            let mut attempt = test_program(&item.code).within(LIMIT);
            attempt.program.stdin = item.stdin.clone();
            let started = Instant::now();
            let ran = attempt.run(workers).await;
            assert!(started.elapsed() < LATEST, "{} held its worker for {:?}", item.id, started.elapsed());
            for loot in LOOT {
                let said = [&ran.output.stdout, &ran.output.stderr].into_iter().any(|text| text.contains(loot));
                assert!(!said, "{}: {:?}", item.id, ran.output);
            }
            let next = test_program("print(1 + 1)").run(workers).await;
            assert_eq!(next.stdout(), "2\n", "after {}", item.id);
            match ran.ended {
                Ok(outcome) => outcome.exit.name(),
                Err(Fault::Lost { .. }) => "lost",
                Err(fault) => panic!("{}: {fault}", item.id),
            }
        }
    });

    assert_eq!(canaries(), canaries_before);
    assert_eq!(folders(), folders_before);
    assert_eq!(alias.processes().len(), super::AT_ONCE, "no process beside the workers");
    harness.block_on(workers.shutdown());
    let mut counts = BTreeMap::new();
    ends.iter().for_each(|end| *counts.entry(end).or_insert(0) += 1);
    println!("{} hostile programs: {counts:?}", programs.len());
}
