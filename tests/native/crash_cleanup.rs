//! Nothing remains of a server that is killed, at any moment of its start; a server starts despite the leftovers of others.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::harness::{Alias, NativeHarness, harness, print_line};
use crate::server::switchtower;

/// The longest time until all processes of a killed server have ended.
const ENDED_WITHIN: Duration = Duration::from_secs(2);
/// The longest time until its files and control groups are removed, if it lived long enough to start its cleanup process. On a
/// busy machine the kernel takes seconds until a group is empty.
const CLEARED_WITHIN: Duration = Duration::from_secs(30);

/// A server with a folder whose path is in the command line of each of its processes, workers and their children.
struct MarkedServer {
    folder: tempfile::TempDir,
    alias: Alias,
}

impl MarkedServer {
    fn new(harness: &NativeHarness, name: &str) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        // The workers are started by the path of the server's own executable.
        fs::hard_link(env!("CARGO_BIN_EXE_switchtower"), folder.path().join("switchtower")).unwrap();
        fs::create_dir(folder.path().join("tmp")).unwrap();
        Self { folder, alias: harness.alias(name) }
    }

    fn temporary(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    /// Starts the server on a port of its own.
    fn serve(&self, profile: &str) -> Child {
        let mut command = Command::new(self.folder.path().join("switchtower"));
        for (name, value) in switchtower(None).get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("TMPDIR", self.temporary()).env("SWITCHTOWER_NATIVE_JAIL_PROFILE", profile);
        command.env("SWITCHTOWER_NATIVE_ENABLED", "true").env("SWITCHTOWER_NATIVE_FOLDER", self.alias.folder());
        command.args(["serve", "--port", "0", "--workers", "1"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Returns the command lines of its running processes.
    fn processes(&self) -> Vec<String> {
        let marks = [self.folder.path(), self.alias.folder()].map(|path| path.to_str().unwrap().to_owned());
        let numbers = fs::read_dir("/proc").unwrap().flatten();
        let lines = numbers.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
        lines.filter(|line| marks.iter().any(|mark| line.contains(mark.as_str()))).collect()
    }

    fn folders(&self) -> Vec<PathBuf> {
        fs::read_dir(self.temporary()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

/// Returns the control groups of the workers of a server.
fn groups_of(server: u32) -> Vec<PathBuf> {
    let name = format!("switchtower-native-{server}-");
    let mut found = Vec::new();
    let mut left = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(|it| it.starts_with(&name)) {
                found.push(entry.path());
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                left.push(entry.path());
            }
        }
    }
    found
}

/// Waits until a condition holds, and returns how long that took; `None`: it does not hold after `time`.
async fn within(time: Duration, condition: impl Fn() -> bool) -> Option<Duration> {
    let began = Instant::now();
    while !condition() {
        if began.elapsed() > time {
            return None;
        }
        sleep(Duration::from_millis(10)).await;
    }
    Some(began.elapsed())
}

fn mounts() -> usize {
    fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count()
}

/// Starts a server and kills it after `life`. Returns how long its last process took to end, and how long it took until its
/// files and control groups were removed.
async fn kill_after(marked: &MarkedServer, profile: &str, life: Duration) -> (Duration, Duration) {
    let mut server = marked.serve(profile);
    let number = server.id();
    sleep(life).await;
    server.kill().unwrap();
    server.wait().unwrap();
    let ended = within(ENDED_WITHIN, || marked.processes().is_empty()).await;
    let ended = ended.unwrap_or_else(|| panic!("{profile}, after {life:?}: left are {:#?}", marked.processes()));
    // The leftovers of a server that is killed before it has a cleanup process are removed by the next start.
    if life < Duration::from_secs(1) {
        return (ended, ended);
    }
    let cleared = within(CLEARED_WITHIN, || groups_of(number).is_empty() && marked.folders().is_empty()).await;
    let left = || format!("{profile}, after {life:?}: {:?}, {:?}", groups_of(number), marked.folders());
    (ended, ended + cleared.unwrap_or_else(|| panic!("{}", left())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_while_it_starts_leaves_nothing() {
    let Some(harness) = harness() else { return };
    let mounted = mounts();
    for profile in ["auto", "reduced"] {
        let marked = MarkedServer::new(harness, &format!("remains-{profile}"));
        for life in [0, 50, 200, 1000, 3000] {
            kill_after(&marked, profile, Duration::from_millis(life)).await;
        }
        // The next start removes the leftovers, and at its own end everything that it created.
        let mut last = marked.serve(profile);
        let number = last.id();
        sleep(Duration::from_secs(3)).await;
        assert!(Command::new("kill").args(["-TERM", &number.to_string()]).status().unwrap().success());
        last.wait().unwrap();
        assert!(within(ENDED_WITHIN, || marked.processes().is_empty()).await.is_some(), "{:?}", marked.processes());
        // If it was ended while it started, its cleanup process is the last to end.
        let cleared = within(CLEARED_WITHIN, || groups_of(number).is_empty() && marked.folders().is_empty()).await;
        assert!(cleared.is_some(), "{profile}: {:?}, {:?}", groups_of(number), marked.folders());
    }
    assert_eq!(mounts(), mounted);
}

/// The long form, with kills spread over the start: `cargo test --test main -- --ignored killed_a_hundred_times`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn servers_that_are_killed_a_hundred_times_leave_nothing() {
    let Some(harness) = harness() else { return };
    let marked = MarkedServer::new(harness, "remains-long");
    let mut slowest = (Duration::ZERO, Duration::ZERO);
    for round in 0_u64..100 {
        let profile = if round % 3 == 2 { "reduced" } else { "auto" };
        let (ended, cleared) = kill_after(&marked, profile, Duration::from_millis(round * 37 % 3500)).await;
        slowest = (slowest.0.max(ended), slowest.1.max(cleared));
    }
    print_line(&format!(
        "of a hundred the slowest took {:?} to end, and {:?} until nothing was left",
        slowest.0, slowest.1
    ));
}

/// Creates folders, files and links of root in a shared folder for temporary files, under the names that a server may use.
fn create_leftovers(folder: &Path, elsewhere: &Path) {
    let next = std::process::id();
    for number in next..next + 3000 {
        fs::create_dir(folder.join(format!("switchtower-native-{number}-0"))).unwrap();
    }
    for name in ["switchtower-scratch-", "switchtower-scratch-0000000000000000", "switchtower-scratch-left"] {
        let left = folder.join(name);
        fs::create_dir_all(left.join("zygote-left/1/home")).unwrap();
        fs::set_permissions(&left, fs::Permissions::from_mode(0o700)).unwrap();
    }
    symlink(elsewhere, folder.join("switchtower-scratch-link")).unwrap();
    symlink("/nowhere/at/all", folder.join("switchtower-scratch-dangling")).unwrap();
    fs::write(folder.join("switchtower-scratch-file"), "root's").unwrap();
}

/// Runs a command in a mount namespace in which the folder `$1` is reachable although its parent `$0` is closed to other users;
/// `$2` is a temporary mount point.
const MAKE_REACHABLE: &str = "mount --rbind \"$1\" \"$2\"; mount -t tmpfs -o mode=755 tmpfs \"$0\"; mkdir -p \"$1\"
mount --rbind \"$2\" \"$1\"; shift 2; exec \"$@\"";

/// Returns the folder of the compiled guest, which is compiled if it does not exist.
fn guest_cache() -> PathBuf {
    let _compiled = crate::backend::harness::harness();
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let usual = || named("XDG_CACHE_HOME").or_else(|| named("HOME").map(|home| home.join(".cache")));
    named("SWITCHTOWER_WASM_CACHE_FOLDER").unwrap_or_else(|| usual().unwrap().join("switchtower"))
}

#[test]
fn an_ordinary_user_starts_the_reduced_profile_despite_leftovers_of_others() {
    let Some(harness) = harness() else { return };
    let mut able = Command::new("setpriv");
    able.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "true"]).stderr(Stdio::null());
    if !able.status().is_ok_and(|status| status.success()) {
        print_line("skipped: leftovers of root; only root can create them and become another user");
        return;
    }
    let shared = tempfile::tempdir().unwrap();
    fs::set_permissions(shared.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (temporary, elsewhere, own) =
        (shared.path().join("tmp"), shared.path().join("elsewhere"), shared.path().join("own"));
    for folder in [&temporary, &elsewhere, &own] {
        fs::create_dir(folder).unwrap();
    }
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o1777)).unwrap();
    fs::write(elsewhere.join("precious"), "x").unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o777)).unwrap();
    create_leftovers(&temporary, &elsewhere);
    let count = |folder: &Path| fs::read_dir(folder).unwrap().count();
    let before = count(&temporary);

    // Compiling the guest would take a minute.
    let cache = own.join(".cache/switchtower");
    fs::create_dir_all(&cache).unwrap();
    for compiled in fs::read_dir(guest_cache()).unwrap().map(|entry| entry.unwrap().path()) {
        fs::copy(&compiled, cache.join(compiled.file_name().unwrap())).unwrap();
    }
    let chown = Command::new("chown").args(["-R", "65534:65534"]).arg(&own).status();
    assert!(chown.unwrap().success());
    assert!(Command::new("chmod").args(["-R", "go-w"]).arg(&own).status().unwrap().success());

    // The executable and the Python may be in folders that this user cannot read.
    let program = shared.path().join("switchtower");
    fs::copy(env!("CARGO_BIN_EXE_switchtower"), &program).unwrap();
    let (interpreter, kept) = (harness.installation.interpreter(), shared.path().join("python"));
    let home = interpreter.parent().and_then(Path::parent).unwrap();
    let is_closed = |folder: &&Path| fs::metadata(folder).unwrap().permissions().mode() & 0o001 == 0;
    let mut command = match home.ancestors().filter(is_closed).last() {
        None => Command::new("env"),
        Some(closed) => {
            fs::create_dir(&kept).unwrap();
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-ec", MAKE_REACHABLE]).arg(closed).arg(home).arg(&kept);
            command
        }
    };
    command.args(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&program);
    command.args(["doctor"]).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &own);
    command.env("TMPDIR", &temporary).env("SWITCHTOWER_NATIVE_JAIL_PROFILE", "reduced");
    command.env("SWITCHTOWER_NATIVE_FOLDER", harness.installation.folder()).env("SWITCHTOWER_MACHINE_ENABLED", "false");
    let doctor = command.stdin(Stdio::null()).output().unwrap();
    let printed = format!("{}{}", String::from_utf8_lossy(&doctor.stdout), String::from_utf8_lossy(&doctor.stderr));
    if printed.contains("must be able to read") || printed.contains("it is not installed in") {
        print_line("skipped: other users cannot read the folder of the installation");
        return;
    }
    assert!(printed.contains("reduced profile"), "{printed}");
    assert_eq!(count(&temporary), before, "its own folder is removed, and no other was touched");
    assert!(elsewhere.join("precious").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_programs_and_kernels_end_with_a_killed_server() {
    let Some(harness) = harness() else { return };
    let alias = harness.alias("at-work");
    let variables = [
        ("SWITCHTOWER_NATIVE_ENABLED", "true"),
        ("SWITCHTOWER_NATIVE_FOLDER", alias.folder().to_str().unwrap()),
        ("SWITCHTOWER_NATIVE_WORKERS", "1"),
        ("SWITCHTOWER_NATIVE_KERNEL_WORKERS", "1"),
    ];
    let mut server = crate::server::Server::start_with(None, &variables).await;
    let (status, session) = server.call("POST", "/v1/sessions", None, json!({})).await;
    assert_eq!(status, 201, "{session}");
    let path = format!("/v1/sessions/{}/execute", session["id"].as_str().unwrap());
    let (_, cell) = server.call("POST", &path, None, json!({ "code": "import numpy" })).await;
    assert_eq!(cell["tier"], "native", "{cell}");
    let endless = "open('/tmp/begun', 'w').write('x' * (1 << 20))\nwhile True: pass";
    let program = server.try_call("POST", "/v1/execute", None, json!({ "code": endless, "tier": "native" }));
    let killed = async {
        // While the program runs.
        sleep(Duration::from_millis(500)).await;
        assert!(!alias.processes().is_empty());
        server.signal("-KILL");
    };
    let both = tokio::time::timeout(Duration::from_secs(20), futures_util::future::join(program, killed)).await;
    assert!(both.unwrap().0.is_err(), "its server is gone");
    server.child.wait().unwrap();
    assert!(within(ENDED_WITHIN, || alias.processes().is_empty()).await.is_some(), "{:?}", alias.processes());
}
