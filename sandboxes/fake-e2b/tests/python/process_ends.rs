//! How kernels and commands end: no process and no file of theirs remains.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use switchtower_fake_e2b::{Fake, KernelMode, Plan, Settings};

use crate::harness::TestHarness;

/// Returns the processes that have this in their environment.
fn processes(mark: &str) -> Vec<String> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let marked = |path: &Path| {
        let env = std::fs::read(path.join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&env).contains(mark)
    };
    all.filter(|entry| marked(&entry.path())).map(|entry| entry.path().display().to_string()).collect()
}

/// Waits until no process has it; a killed process takes a moment to disappear.
async fn none_left(mark: &str) {
    for _ in 0..200 {
        if processes(mark).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("left: {:?}", processes(mark));
}

/// Waits until as many processes have it; the environment of one that has just started is empty for a moment.
async fn at_least(count: usize, mark: &str) {
    for _ in 0..200 {
        if processes(mark).len() >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("there are: {:?}", processes(mark));
}

/// Starts a process in a session of its own.
const DAEMON: &str = "import subprocess
subprocess.Popen(['sleep', '1000'], start_new_session=True)
import os
os.getcwd()";

#[tokio::test(flavor = "multi_thread")]
async fn no_process_of_a_killed_sandbox_remains() {
    let harness = TestHarness::new().await;
    harness.run("1").await;
    harness.run(DAEMON).await;
    let mark = format!("E2B_SANDBOX_ID={}", harness.sandbox.id);
    at_least(2, &mark).await;
    assert_eq!(harness.client.kill(&harness.sandbox).await.status, 204);
    none_left(&mark).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_process_remains_when_the_last_clone_is_dropped() {
    let harness = TestHarness::new().await;
    harness.run(DAEMON).await;
    let mark = format!("E2B_SANDBOX_ID={}", harness.sandbox.id);
    at_least(1, &mark).await;
    drop(harness);
    none_left(&mark).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interpreter_that_namespaces_would_hide_runs_without_them() {
    // In a folder that a sandbox with its own /tmp does not see.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("python3");
    let real =
        std::process::Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
    std::os::unix::fs::symlink(String::from_utf8(real.stdout).unwrap().trim(), &program).unwrap();
    let kernels = KernelMode::Python { program };
    let harness = TestHarness::with(Settings { plan: Plan::Unlimited, kernels, ..Settings::default() }).await;
    assert_eq!(harness.value(DAEMON).await, "/home/user");
    let home = harness.value("os.environ['HOME']").await;
    harness.run("open('here', 'w').write('yes')").await;
    assert_eq!(harness.value("open('/home/user/here').read()").await, "yes");
    assert_eq!(harness.value("open('/etc/build-tag').read()").await, "v1");
    let made = "import pathlib, shutil, tempfile\nfolder = pathlib.Path(tempfile.mkdtemp())\n(folder / 'x').write_text('1')
shutil.copy(folder / 'x', '/tmp/y'); shutil.rmtree(folder)\nos.path.exists('/tmp/y'), folder.exists(), os.listdir('/tmp')";
    assert_eq!(harness.value(made).await, "(True, False, ['y'])");
    let read = harness.client.call_sandbox(&harness.sandbox, "GET", "/files?path=/home/user/here", &json!(null)).await;
    assert_eq!(read.text, "yes");
    let mark = format!("E2B_SANDBOX_ID={}", harness.sandbox.id);
    at_least(2, &mark).await;
    harness.client.kill(&harness.sandbox).await;
    none_left(&mark).await;
    assert!(!Path::new(&home).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_interrupts_its_program_and_keeps_the_state() {
    let harness = TestHarness::new().await;
    harness.run("x = 1").await;
    let endless = "try:\n    import time\n    time.sleep(100)\nexcept KeyboardInterrupt:\n    x = 2";
    let left = tokio::time::timeout(Duration::from_millis(500), harness.run(endless)).await;
    assert!(left.is_err());
    assert_eq!(harness.value("x").await, "2");
    let waiting =
        tokio::time::timeout(Duration::from_millis(500), harness.run("import asyncio\nawait asyncio.sleep(100)")).await;
    assert!(waiting.is_err());
    assert_eq!(harness.value("await asyncio.sleep(0, x)").await, "2");
    let spinning = tokio::time::timeout(Duration::from_millis(500), harness.run("while True: pass")).await;
    assert!(spinning.is_err());
    assert_eq!(harness.value("x").await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_interpreter_is_reported_and_replaced() {
    let harness = TestHarness::new().await;
    harness.run("x = 1").await;
    assert_eq!(harness.error("import os; os._exit(1)").await.0, "ContextRestarting");
    let ran = harness.run("x").await;
    assert_eq!((ran.count, &ran.error.unwrap()["name"]), (1, &json!("NameError")));
    assert_eq!(harness.error("import os, signal; os.kill(os.getpid(), signal.SIGKILL)").await.0, "ContextRestarting");
    // `exit` asks the client to leave, which E2B's server ignores.
    harness.run("x = 1\nexit()").await;
    assert_eq!(harness.value("quit\nx").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_interpreter_is_an_error_of_the_execution() {
    let kernels = KernelMode::Python { program: "/nowhere/python3".into() };
    let harness = TestHarness::with(Settings { plan: Plan::Unlimited, kernels, ..Settings::default() }).await;
    let (name, value) = harness.error("1").await;
    assert_eq!(name, "KernelError");
    assert_eq!(value, "the kernel does not start: /nowhere/python3 is not a Python that runs here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_ends_the_running_cell() {
    let harness = TestHarness::new().await;
    let context =
        harness.client.call_sandbox(&harness.sandbox, "GET", "/contexts", &json!(null)).await.json()[0]["id"].clone();
    let (ran, _) = tokio::join!(harness.run("import time\nx = 1\ntime.sleep(100)"), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let path = format!("/contexts/{}/restart", context.as_str().unwrap());
        harness.client.call_sandbox(&harness.sandbox, "POST", &path, &json!(null)).await
    });
    assert_eq!(ran.error.unwrap()["name"], "ContextRestarting");
    assert_eq!(harness.run("x").await.count, 1);
}

/// The process that [`no_process_of_a_killed_stand_in_remains_and_the_next_one_removes_its_folders`] kills. It does nothing by itself.
#[tokio::test(flavor = "multi_thread")]
async fn run_until_killed() {
    let Ok(id_file) = std::env::var("SWITCHTOWER_TEST_ID_FILE") else { return };
    let harness = TestHarness::new().await;
    // Without namespaces only the interpreter itself is promised to end.
    if harness.value("import os; os.environ['HOME']").await == "/home/user" {
        harness.run(DAEMON).await;
    }
    std::fs::write(id_file, &harness.sandbox.id).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_process_of_a_killed_stand_in_remains_and_the_next_one_removes_its_folders() {
    let folder = tempfile::tempdir().unwrap();
    let id_file = folder.path().join("id");
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    // Its folders remain in this test's own folder.
    child
        .args(["--exact", "process_ends::run_until_killed"])
        .kill_on_drop(true)
        .env("SWITCHTOWER_TEST_ID_FILE", &id_file)
        .env("TMPDIR", folder.path());
    child.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = child.spawn().unwrap();
    let id = loop {
        match std::fs::read_to_string(&id_file) {
            Ok(id) if !id.is_empty() => break id,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let mark = format!("E2B_SANDBOX_ID={id}");
    at_least(1, &mark).await;
    child.kill().await.unwrap();
    none_left(&mark).await;
    let folders =
        || std::fs::read_dir(folder.path()).unwrap().filter(|it| it.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(folders(), 1, "its folder remains");
    // The next stand-in removes it, and its own at its end.
    let mut next = tokio::process::Command::new(std::env::current_exe().unwrap());
    next.args(["--exact", "process_ends::no_process_remains_when_the_last_clone_is_dropped"])
        .env("TMPDIR", folder.path());
    next.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    assert!(next.status().await.unwrap().success());
    assert_eq!(folders(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_process_of_a_vanished_sandbox_remains() {
    let harness = TestHarness::new().await;
    harness.run("1").await;
    let fake: &Fake = &harness.client.fake;
    fake.vanish(&harness.sandbox.id);
    none_left(&format!("E2B_SANDBOX_ID={}", harness.sandbox.id)).await;
    assert_eq!(fake.counts().vanished, 1);
}
