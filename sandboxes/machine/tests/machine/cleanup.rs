//! Nothing is left of a process that holds machines and is killed.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use switchtower_contract::Maintenance;
use switchtower_machine::Config;

use crate::harness::{Tested, all_runtimes, choice, comes_true, config, other_process, processes_with, started};

const MACHINES: usize = 10;
/// Names the runtime of a process that is killed.
const RUNTIME: &str = "SWITCHTOWER_TEST_RUNTIME";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process that other tests start and kill"]
async fn holds_machines() {
    let Ok(runtime) = std::env::var(RUNTIME) else { return };
    let machines = started(Config { runtime: choice(&runtime), ..config() }).await.unwrap();
    let tested = Tested { runtime: "killed", machines };
    let mut open = Vec::new();
    for number in 0..MACHINES {
        let mut one = tested.open().await;
        let sleep = format!("exec sleep 7{}", std::process::id());
        let mark =
            format!("setsid sh -c 'touch /tmp/up; {sleep}' > /dev/null 2>&1 & until test -e /tmp/up; do :; done");
        assert!(one.command("root", &mark).await.end.contains("status 0"));
        if number % 3 == 0 {
            one.sandbox.maintain(Maintenance::Asleep).await.unwrap();
        }
        open.push(one);
    }
    println!("\nholds machines");
    std::future::pending::<()>().await;
}

/// A process with machines.
struct Holder {
    process: Child,
    scratch: tempfile::TempDir,
    mark: String,
}

impl Holder {
    fn start(runtime: &str) -> Self {
        let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut command = other_process("cleanup::holds_machines", scratch.path(), &[]);
        let mut process = command.env(RUNTIME, runtime).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = lines.map_while(Result::ok).any(|line| line == "holds machines");
        let mark = format!("sleep 7{}", process.id());
        let holder = Self { process, scratch, mark };
        assert!(ready, "it holds machines");
        // gVisor's processes have no command lines of their own on this host.
        let visible = if runtime == "runsc" { holder.folder() } else { &holder.mark };
        assert!(processes_with(visible).len() >= MACHINES);
        assert!(!holder.groups().is_empty());
        holder
    }

    fn folder(&self) -> &str {
        self.scratch.path().to_str().unwrap()
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Returns its control groups.
    fn groups(&self) -> Vec<PathBuf> {
        let mark = format!("-{}-", self.process.id());
        let mut found = Vec::new();
        find(Path::new("/sys/fs/cgroup"), &mark, &mut found);
        found
    }

    /// Returns what is left of its machines, but for files that nobody uses.
    fn left(&self) -> Vec<String> {
        let processes = processes_with(&self.mark).into_iter().chain(processes_with(self.folder()));
        let groups = self.groups().into_iter().map(|group| group.display().to_string());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mounts = mounts.lines().filter(|line| line.contains(self.folder())).map(str::to_owned);
        processes.map(|number| format!("process {number}")).chain(groups).chain(mounts).collect()
    }

    /// Starts machines in the same folder, which removes what is left there.
    async fn start_again(&self, runtime: &str) {
        let config = Config { runtime: choice(runtime), scratch: self.scratch.path().to_owned(), ..config() };
        let machines = started(config).await.unwrap();
        let folders = std::fs::read_dir(self.scratch.path()).unwrap().count();
        assert_eq!(folders, 1, "only the folder of this process is there");
        drop(machines);
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

fn find(folder: &Path, mark: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with("switchtower-local-") && name.contains(mark))
        {
            found.push(entry.path());
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            find(&entry.path(), mark, found);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_runtime_gives_the_hosts_null_device_to_a_machine() {
    use std::os::unix::fs::MetadataExt as _;
    for tested in all_runtimes().await {
        let before = std::fs::metadata("/dev/null").unwrap();
        let open = tested.open().await;
        open.answers().await.unwrap();
        let now = std::fs::metadata("/dev/null").unwrap();
        assert_eq!(
            (now.uid(), now.mode(), now.ctime_nsec()),
            (before.uid(), before.mode(), before.ctime_nsec()),
            "{}",
            tested.runtime
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_the_machines_of_a_killed_process() {
    for tested in all_runtimes().await {
        let mut holder = Holder::start(tested.runtime);
        holder.kill();
        assert!(comes_true(|| holder.left().is_empty()).await, "{}: {:#?}", tested.runtime, holder.left());
        holder.start_again(tested.runtime).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_start_removes_machines_whose_launchers_were_killed_too() {
    for tested in all_runtimes().await {
        let mut holder = Holder::start(tested.runtime);
        // All that is outside of the machines, so that nothing of it can clean up.
        for outside in processes_with(holder.folder()) {
            if let Some(process) = rustix::process::Pid::from_raw(outside as i32) {
                let _ended = rustix::process::kill_process(process, rustix::process::Signal::KILL);
            }
        }
        holder.kill();
        holder.start_again(tested.runtime).await;
        assert!(comes_true(|| holder.left().is_empty()).await, "{}: {:#?}", tested.runtime, holder.left());
    }
}
