//! Machines of other users than root, and in containers: they start in a reduced form, or the error says what to change.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use crate::harness::{Tested, built_in, config, other_process, started};

const USER: [&str; 6] = ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process that other tests start"]
async fn a_machine_runs_here() {
    match started(config()).await {
        Err(error) => println!("\nrefused: {error}"),
        Ok(machines) => {
            let missing: Vec<String> = machines
                .layers()
                .iter()
                .filter_map(|layer| Some(format!("{}: {}", layer.name, layer.status.as_ref().err()?)))
                .collect();
            let open = Tested { runtime: "here", machines }.open().await;
            let both = [open.command("user", "id -u").await, open.command("root", "id -u").await];
            let ids = both.map(|run| run.printed.trim().to_owned());
            println!("\nworks: {ids:?}; missing: {missing:?}");
        }
    }
}

/// Runs the test above by a command. Returns what it says; `None`, with a message, where the command does not run here.
fn said_by(before: &[&str]) -> Option<String> {
    let mut probe = Command::new(before[0]);
    probe.args(&before[1..]).arg("true").current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: {} does not run here", before.join(" "));
        return None;
    }
    let scratch = tempfile::tempdir().unwrap();
    std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o1777)).unwrap();
    // Under a folder that everybody reaches.
    let program = scratch.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let machines = scratch.path().join("machines");
    let original = other_process("not_root::a_machine_runs_here", &machines, before);
    let mut command = Command::new(original.get_program());
    let own = std::env::current_exe().unwrap();
    command.args(original.get_args().map(|arg| if arg == own { program.as_os_str() } else { arg }));
    command.envs(original.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    let output = command.current_dir("/").output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let said = text.lines().find(|line| line.starts_with("works: ") || line.starts_with("refused: "));
    Some(said.unwrap_or_else(|| panic!("{text}")).to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_the_operator_below_those_of_machines_stay() {
    if built_in().await.is_none() {
        return;
    }
    let low = ["sh", "-c", "ulimit -n 1024; exec \"$@\"", "sh"];
    for said in [said_by(&low), said_by(&[&low[..], &USER].concat())].into_iter().flatten() {
        assert!(said.contains("works: "), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_than_root_has_machines_with_one_user() {
    if built_in().await.is_none() {
        return;
    }
    let Some(said) = said_by(&USER) else { return };
    println!("{said}");
    assert!(
        said.contains("works: [\"0\", \"0\"]") && said.contains("a range in /etc/subuid gives them their own"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_a_range_of_ids_has_machines_with_users_of_their_own() {
    if built_in().await.is_none() {
        return;
    }
    if !Command::new("newuidmap").stderr(Stdio::null()).status().is_ok_and(|status| status.code().is_some()) {
        eprintln!("skipped: newuidmap is not installed");
        return;
    }
    let ranges = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ranges.path(), "1000:300000:65536\n").unwrap();
    std::fs::set_permissions(ranges.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let path = ranges.path().to_str().unwrap();
    let make = format!(
        "touch /etc/subuid /etc/subgid && mount --bind {path} /etc/subuid && mount --bind {path} /etc/subgid && \
         exec \"$0\" \"$@\""
    );
    let mut before = vec!["unshare", "--mount", "sh", "-c", &make];
    before.extend(USER);
    let Some(said) = said_by(&before) else { return };
    println!("{said}");
    assert!(said.contains("works: [\"1000\", \"0\"]") && !said.contains("own users"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_of_a_namespace_with_one_id_has_machines_too() {
    if built_in().await.is_none() {
        return;
    }
    // The id is that of the host's root, who owns the settings of the kernel.
    let before = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc"];
    let Some(said) = said_by(&before) else { return };
    println!("{said}");
    assert!(said.contains("works: [\"0\", \"0\"]"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_parts_of_proc_are_hidden_the_error_says_what_to_change() {
    if built_in().await.is_none() {
        return;
    }
    // As a container does it: what is mounted over cannot be taken away further in.
    let hide = "mount -t proc proc /proc && mount --bind /dev/null /proc/version && \
                exec unshare --user --map-root-user --mount \"$0\" \"$@\"";
    let before = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "sh", "-c", hide];
    let Some(said) = said_by(&before) else { return };
    println!("{said}");
    assert!(said.contains("refused: ") && said.contains("systempaths=unconfined"), "{said}");
}
