//! Programs that try to break out, to exhaust resources or to deceive: none affects any other.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use switchtower_contract::Fault;
use tokio::time::Instant;

use super::for_each;
use super::items::{hostile, items};
use crate::backend::harness::{Alias, harness, test_program};

const LIMIT: Duration = Duration::from_secs(2);
/// The longest time of a program: its limit, the worker's grace period, and the delay of a busy machine.
const LATEST: Duration = Duration::from_secs(6);

/// Paths that the programs try to write, replace or create.
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

/// Texts that a program would print only after breaking out.
const LOOT: [&str; 5] = ["uid=0", "root:x:0", "root:*:", "CARGO_", "LINKED"];

/// Returns the size and modification time of each canary that exists.
pub(crate) fn canaries() -> BTreeMap<&'static str, Option<(u64, SystemTime)>> {
    let state = |path: &str| fs::symlink_metadata(path).ok().map(|found| (found.len(), found.modified().unwrap()));
    CANARIES.into_iter().map(|path| (path, state(path))).collect()
}

/// Returns the names in folders in which a program might leave files.
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
fn hostile_programs_affect_only_themselves() {
    let mut programs = items(|item| item.category == "hostile");
    programs.extend(hostile());
    if programs.is_empty() {
        return;
    }
    let alias = Alias::new("hostile");
    let harness = harness();
    let workers = harness.block_on(harness.own_workers(&alias, super::CONCURRENCY));
    let (canaries_before, folders_before) = (canaries(), folders());

    let ends = for_each(&programs, |item| {
        let workers = &workers;
        async move {
            let mut attempt = test_program(&item.code).within(LIMIT);
            attempt.program.stdin = item.stdin.clone();
            let started = Instant::now();
            let ran = attempt.run(workers).await;
            assert!(started.elapsed() < LATEST, "{} held its worker for {:?}", item.id, started.elapsed());
            for loot in LOOT {
                let printed = [&ran.output.stdout, &ran.output.stderr].into_iter().any(|text| text.contains(loot));
                assert!(!printed, "{}: {:?}", item.id, ran.output);
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
    assert_eq!(alias.processes().len(), super::CONCURRENCY, "no process beside the workers");
    harness.block_on(workers.shutdown());
    let mut counts = BTreeMap::new();
    ends.iter().for_each(|end| *counts.entry(end).or_insert(0) += 1);
    println!("{} hostile programs: {counts:?}", programs.len());
}
