//! Programs that try to break out, to exhaust resources or to deceive: each ends as expected, affects no other program, and
//! leaves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::FutureExt as _;
use switchtower_contract::Fault;
use switchtower_native::JailProfile;
use switchtower_native::{Config, Native};

use super::harness::{NativeHarness, harness, parent_of, scratch_of, size, wait_until};
use super::hostile_cases::{CASES, Case, LOOT};
use crate::backend::harness::{TestRun, test_program};
use crate::workloads::hostile::{canaries, folders};
use crate::workloads::items::workloads_folder;

/// The time limit of endless programs, and that of programs that end by themselves on a busy machine.
const ENDLESS: Duration = Duration::from_secs(1);
const ENOUGH: Duration = Duration::from_secs(20);
/// Most time beyond the limit: the worker's grace period, and the delay of a busy machine.
const LATEST: Duration = Duration::from_secs(6);

/// Returns the programs by name: those beside this file, and those beside the repository, if there are any.
fn programs() -> BTreeMap<String, String> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/native/hostile");
    let theirs = workloads_folder().map(|folder| folder.join("hostile"));
    let paths = |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = [Some(ours), theirs].into_iter().flatten().flat_map(paths).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "py"));
    let read =
        |path: PathBuf| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap());
    paths.into_iter().map(read).collect()
}

/// Returns the name of its exit, with the exception that ended it, if one did.
fn end(ran: &TestRun) -> String {
    match &ran.ended {
        Ok(outcome) => format!("{} {}", outcome.exit.name(), ran.raised()).trim_end().to_owned(),
        Err(fault) => fault.to_string(),
    }
}

/// Returns every difference from the expectations.
fn differences(case: &Case, profile: JailProfile, ran: &TestRun, limit: Duration) -> Vec<String> {
    let mut found = Vec::new();
    let expected = if profile == JailProfile::Full { case.full } else { case.reduced };
    if !expected.split('|').any(|expected| expected == end(ran)) {
        found.push(format!("it ended as {:?}, not as {expected:?}", end(ran)));
    }
    if ran.took > limit + LATEST {
        found.push(format!("it used its worker for {:?}", ran.took));
    }
    let shown = format!("{:?}", ran.output.results.first());
    let printed = [&ran.output.stdout, &ran.output.stderr, &shown];
    for loot in LOOT {
        if printed.iter().any(|text| text.contains(loot)) {
            found.push(format!("it printed {loot:?}"));
        }
    }
    for words in case.prints {
        if !printed.iter().any(|text| text.contains(words)) {
            found.push(format!("it did not print {words:?}"));
        }
    }
    if !found.is_empty() {
        let cut = |text: &str| text.chars().take(300).collect::<String>();
        found.push(format!("stdout {:?}, stderr {:?}, {}", cut(printed[0]), cut(printed[1]), cut(printed[2])));
    }
    found
}

async fn assert_answers(native: &Native) {
    let next = test_program("print(1 + 1)").run(native).await;
    assert_eq!(next.stdout(), "2\n");
}

/// Returns system-wide objects that programs might leave.
fn leftovers() -> BTreeSet<String> {
    let lines =
        |path: &str| fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    let kept = ["shm", "sem", "msg"].into_iter().flat_map(|kind| lines(&format!("/proc/sysvipc/{kind}")));
    // The keys of shared_memory.py.
    let kept = kept.filter(|line| ["22289", "22290", "22291"].contains(&line.split_whitespace().next().unwrap_or("")));
    let files = ["/dev/shm/switchtower-canary", "/dev/mqueue/switchtower-canary"].map(str::to_owned);
    lines("/proc/self/mountinfo")
        .into_iter()
        .chain(kept)
        .chain(files.into_iter().filter(|path| Path::new(path).exists()))
        .collect()
}

/// Returns the files and links below a folder; none if it does not exist.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(&entry.path()),
            _ => vec![entry.path()],
        })
        .collect()
}

fn check_hostile_programs(harness: &NativeHarness, profile: JailProfile) {
    let alias = harness.alias(if profile == JailProfile::Full { "full" } else { "reduced" });
    let native = Native::new(alias.installation(), Config { workers: 1, ..size(profile) });
    let programs = programs();
    harness.block_on(async {
        assert_answers(&native).await;
        let [worker] = alias.workers()[..] else { panic!("one worker") };
        let scratch = scratch_of(worker);
        let (canaries_before, folders_before, leftovers_before) = (canaries(), folders(), leftovers());
        let mut wrong = Vec::new();
        for (name, source) in &programs {
            let case = CASES.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("{name}: no expected end"));
            let source = source.replace("@PARENT@", &std::process::id().to_string());
            let source = source.replace("@ZYGOTE@", &worker.to_string());
            let expected = if profile == JailProfile::Full { case.full } else { case.reduced };
            let mut limit = if expected.contains("timed_out") { ENDLESS } else { ENOUGH };
            let mut ran = test_program(&source).within(limit).run(&native).await;
            // On a busy machine an endless program may be ended before it has printed.
            if limit == ENDLESS && !differences(case, profile, &ran, limit).is_empty() {
                limit = ENOUGH;
                ran = test_program(&source).within(limit).run(&native).await;
            }
            wrong.extend(differences(case, profile, &ran, limit).into_iter().map(|it| format!("{name}: {it}")));
            // There is only one worker, so the same one answers.
            assert_answers(&native).await;
            assert_eq!(alias.workers(), [worker], "after {name}");
        }
        assert!(wrong.is_empty(), "{profile:?}:\n{}", wrong.join("\n"));

        let children = || alias.processes().into_iter().filter(|number| *number != worker).collect::<Vec<_>>();
        let quiet = || {
            children().len() <= size(profile).prewarmed && children().iter().all(|it| parent_of(*it) == Some(worker))
        };
        wait_until("no process beside the worker and its prewarmed children", quiet).await;
        assert_eq!(files_below(&scratch), [] as [PathBuf; 0]);
        assert_eq!((canaries(), folders()), (canaries_before, folders_before));
        assert_eq!(leftovers().difference(&leftovers_before).collect::<Vec<_>>(), [] as [&String; 0]);
        native.shutdown().await;
        wait_until("no process at all", || alias.processes().is_empty()).await;
        drop(native);
        assert!(!scratch.exists(), "the folder is removed with its backend");
    });
}

#[test]
fn hostile_programs_end_as_expected_in_the_full_profile() {
    let Some(harness) = harness() else { return };
    if harness.profiles().contains(&JailProfile::Full) {
        check_hostile_programs(harness, JailProfile::Full);
    }
}

#[test]
fn hostile_programs_end_as_expected_in_the_reduced_profile() {
    let Some(harness) = harness() else { return };
    check_hostile_programs(harness, JailProfile::Reduced);
}

/// Each exhausts a resource.
const GREEDY: [&str; 6] = [
    "while True: pass",
    "import mmap\nheld = []\nwhile True:\n    held.append(mmap.mmap(-1, 32 << 20)); held[-1].write(b'a' * (32 << 20))",
    "while True: print('x' * 65536)",
    "import threading\nwork = lambda: [sum(range(9999)) for _ in iter(int, 1)]\n\
     for _ in range(16): threading.Thread(target=work, daemon=True).start()\nwhile True: pass",
    "n = 0\nwhile True:\n    open(f'/tmp/f{n}', 'wb').write(b'x' * (1 << 20)); n += 1",
    "from IPython.display import display\nwhile True: display('x' * (1 << 20))",
];

#[test]
fn programs_beside_greedy_ones_all_get_the_right_output() {
    let Some(harness) = harness() else { return };
    for profile in harness.profiles() {
        let native = harness.of(*profile);
        harness.block_on(async {
            let greedy = async {
                for source in GREEDY {
                    let ran = test_program(source).within(ENDLESS).run(native).await;
                    assert_ne!(end(&ran), "finished", "{source}");
                }
            };
            let mut greedy = Box::pin(greedy.fuse());
            let honest = async {
                for n in 0_u64.. {
                    let source = format!("import numpy as np\nprint(int(np.arange({n} + 1).sum()))");
                    let ran = test_program(&source).within(ENOUGH).run(native).await;
                    assert_eq!(ran.stdout(), format!("{}\n", n * (n + 1) / 2));
                }
            };
            futures_util::future::select(&mut greedy, Box::pin(honest)).await;
        });
    }
}

#[test]
fn a_killed_worker_costs_one_program_and_its_children_end_with_it() {
    let Some(harness) = harness() else { return };
    for profile in harness.profiles() {
        let alias = harness.alias("killed");
        let native = Native::new(alias.installation(), Config { workers: 1, ..size(*profile) });
        harness.block_on(async {
            assert_answers(&native).await;
            let before = alias.processes();
            let [worker] = alias.workers()[..] else { panic!("one worker") };
            super::harness::kill(worker);
            // The program may be the one that fails; a tier would retry it.
            let ran = test_program("print(1)").run(&native).await;
            assert!(matches!(ran.ended, Ok(_) | Err(Fault::Unavailable { .. } | Fault::Lost { .. })), "{ran:?}");
            assert_answers(&native).await;
            wait_until("its children have ended", || alias.processes().iter().all(|process| !before.contains(process)))
                .await;
            native.shutdown().await;
            wait_until("no process at all", || alias.processes().is_empty()).await;
        });
    }
}
