//! The limits of a machine, with control groups and without. Those of files, processes and descriptors are reached by the hostile
//! programs.

use std::time::Duration;

use switchtower_contract::{Exit, Language, Limits, Program};
use switchtower_machine::Config;

use crate::harness::{Tested, built_in, config, each_way, other_process, run, run_within, started};

const WALL: Duration = Duration::from_secs(60);
/// Takes all the memory that there is.
const HOARD: &str = "held = []\nwhile True:\n    held.append(bytearray(4 << 20))";
/// Hides the control groups of this host from a command.
const WITHOUT_GROUPS: [&str; 5] =
    ["unshare", "--mount", "sh", "-c", "mount -t tmpfs -o ro none /sys/fs/cgroup && exec \"$0\" \"$@\""];

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_uses_up_the_memory_ends_out_of_memory_in_every_language() {
    for tested in each_way().await {
        for (language, source) in [
            (Language::Python, HOARD.to_owned()),
            (Language::Bash, format!("python3 -c '{HOARD}'\nexit $?")),
            (
                Language::C,
                "#include <stdlib.h>\n#include <string.h>\nint main(){for(;;)memset(malloc(1<<22),1,1<<22);}"
                    .to_owned(),
            ),
        ] {
            let (outcome, output) = run(&tested.machines, &Program::new(language, source.as_str()), WALL).await;
            assert_eq!(outcome.unwrap().exit, Exit::OutOfMemory, "{language}: {output:?}");
        }
        assert!(tested.open().await.answers().await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_with_half_a_processor_uses_half_of_the_time() {
    if built_in().await.is_none() {
        return;
    }
    let machines = started(Config { processors: Some(0.5), ..config() }).await.unwrap();
    let open = Tested { runtime: "half", machines }.open().await;
    let busy =
        "import time\nbegan = time.monotonic()\nwhile time.monotonic() - began < 2: pass\nprint(time.process_time())";
    let printed = open.command("user", &format!("python3 -c '{busy}'")).await.printed;
    let used: f64 = printed.trim().parse().unwrap();
    assert!((0.3..1.4).contains(&used), "{used} s of 2 s");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process that another test starts"]
async fn memory_is_held_here_without_groups() {
    let machines = started(config()).await.unwrap();
    let why = machines.layers().iter().find(|layer| layer.name == "control group").unwrap();
    assert!(why.status.as_ref().unwrap_err().contains("held by a watcher"), "{why:?}");
    let (outcome, output) = run(&machines, &Program::new(Language::Python, HOARD), WALL).await;
    assert_eq!(outcome.unwrap().exit, Exit::OutOfMemory, "{output:?}");
    // A program may have a lower limit than its machine.
    let takes = "held = bytearray(150 << 20)\nimport time\ntime.sleep(1)";
    let lower = Limits { wall: WALL, memory: 96 << 20, ..Limits::default() };
    let (outcome, output) = run_within(&machines, &Program::new(Language::Python, takes), &lower).await;
    assert_eq!(outcome.unwrap().exit, Exit::OutOfMemory, "{output:?}");
    // Memory that is no process's own.
    let nameless = "import os, time\nfor file in [os.memfd_create('a') for _ in range(16)]:\n  for _ in range(99): os.write(file, bytes(1 << 20))\ntime.sleep(3)";
    let mapped = "import mmap, time\nheld = mmap.mmap(-1, 1500 << 20)\nfor at in range(0, 1500 << 20, 4096): held[at] = 1\ntime.sleep(3)";
    for source in [nameless, mapped] {
        let (outcome, output) = run(&machines, &Program::new(Language::Python, source), WALL).await;
        assert_eq!(outcome.unwrap().exit, Exit::OutOfMemory, "{source} {output:?}");
    }
    let tested = Tested { runtime: "without groups", machines };
    let open = tested.open().await;
    // Together more than the limit, each of them less.
    let many = "for one in 1 2 3 4 5 6; do python3 -c 'held = bytearray(80 << 20); import time; time.sleep(3)' & \
                jobs=\"$jobs $!\"; done; for job in $jobs; do wait $job || killed=$((killed + 1)); done; echo $killed killed";
    let killed = open.command("user", many).await.printed;
    assert!(["3", "4", "5"].iter().any(|number| killed.contains(&format!("{number} killed"))), "{killed}");
    let forks = "import os, time\nn = 0\ntry:\n    while True:\n        if os.fork() == 0: os.closerange(0, 3); time.sleep(600)\n        n += 1\n\
                 except OSError: print(n < 400)";
    assert!(open.command("user", &format!("python3 -c '{forks}'")).await.printed.contains("True"));
    assert!(tested.open().await.answers().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_group_can_be_made_a_watcher_holds_the_memory() {
    if built_in().await.is_none() {
        return;
    }
    let mut able = std::process::Command::new("unshare");
    able.args(["--mount", "mount", "-t", "tmpfs", "none", "/sys/fs/cgroup"]);
    if !able.status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: control groups cannot be hidden here");
        return;
    }
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let status = other_process("limits::memory_is_held_here_without_groups", scratch.path(), &WITHOUT_GROUPS).status();
    assert!(status.unwrap().success());
}
