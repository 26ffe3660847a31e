//! The strongest runtime that is found.

use std::os::unix::fs::PermissionsExt as _;

use switchtower_contract::{Backend as _, Isolation};
use switchtower_machine::{Config, RuntimeChoice};

use crate::harness::{Tested, all_runtimes, config, other_process, started};

#[tokio::test(flavor = "multi_thread")]
async fn the_strongest_runtime_that_starts_machines_is_taken() {
    let all = all_runtimes().await;
    if all.is_empty() {
        return;
    }
    let machines = started(Config { runtime: RuntimeChoice::Strongest, ..config() }).await.unwrap();
    // Of gVisor, Debian 12 has a version in which `ls` fails.
    let is_whole = |tested: &&Tested| tested.machines.layers().iter().all(|layer| layer.name != "system calls");
    let whole: Vec<&str> = all.iter().filter(is_whole).map(|tested| tested.runtime).collect();
    let best = ["runsc", "runc", "crun", "built-in"].into_iter().find(|name| whole.contains(name));
    assert!(machines.runtime_name().ends_with(best.unwrap()), "{}", machines.runtime_name());
    let expected = if best == Some("runsc") { Isolation::Gvisor } else { Isolation::Container };
    assert_eq!(machines.offer().isolation, expected);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process that another test starts"]
async fn a_machine_of_the_strongest_starts_here() {
    let machines = started(Config { runtime: RuntimeChoice::Strongest, ..config() }).await.unwrap();
    println!("\ntaken: {}", machines.runtime_name());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_does_not_start_machines_is_passed_over() {
    if all_runtimes().await.is_empty() {
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let broken = folder.path().join("runsc");
    std::fs::write(&broken, "#!/bin/sh\necho broken >&2; exit 1\n").unwrap();
    std::fs::set_permissions(&broken, std::fs::Permissions::from_mode(0o755)).unwrap();
    let scratch = folder.path().join("machines");
    let mut command = other_process("strongest::a_machine_of_the_strongest_starts_here", &scratch, &[]);
    command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", folder.path().display()));
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let taken = text.lines().find_map(|line| line.strip_prefix("taken: ")).unwrap_or_else(|| panic!("{text}"));
    assert!(!taken.ends_with("runsc"), "{taken}");
}
