//! How kernels and commands end, and that nothing is left of them.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use switchtower_fake_e2b::{Fake, Kernels, Plan, Settings};

use crate::house::House;

/// Processes that have this in their environment.
fn processes(mark: &str) -> Vec<String> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let marked = |path: &Path| {
        let env = std::fs::read(path.join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&env).contains(mark)
    };
    all.filter(|entry| marked(&entry.path())).map(|entry| entry.path().display().to_string()).collect()
}

/// Waits until none has; a killed process takes a moment to go.
async fn none_left(mark: &str) {
    for _ in 0..200 {
        if processes(mark).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("left: {:?}", processes(mark));
}

/// Puts a process of its own session behind the kernel.
const DAEMON: &str = "import subprocess
subprocess.Popen(['sleep', '1000'], start_new_session=True)
import os
os.getcwd()";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_killed_sandbox() {
    let house = House::new().await;
    house.run("1").await;
    house.run(DAEMON).await;
    let mark = format!("E2B_SANDBOX_ID={}", house.opened.id);
    assert!(processes(&mark).len() >= 2);
    assert_eq!(house.account.kill(&house.opened).await.status, 204);
    none_left(&mark).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_when_the_last_handle_is_dropped() {
    let house = House::new().await;
    house.run(DAEMON).await;
    let mark = format!("E2B_SANDBOX_ID={}", house.opened.id);
    assert!(!processes(&mark).is_empty());
    drop(house);
    none_left(&mark).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interpreter_that_the_namespaces_hide_runs_without_them() {
    // In a folder that a sandbox with its own /tmp does not see.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("python3");
    let real =
        std::process::Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
    std::os::unix::fs::symlink(String::from_utf8(real.stdout).unwrap().trim(), &program).unwrap();
    let kernels = Kernels::Python { program };
    let house = House::of(Settings { plan: Plan::Unlimited, kernels, ..Settings::default() }).await;
    assert_eq!(house.value(DAEMON).await, "/home/user");
    let home = house.value("os.environ['HOME']").await;
    house.run("open('here', 'w').write('yes')").await;
    assert_eq!(house.value("open('/home/user/here').read()").await, "yes");
    assert_eq!(house.value("open('/etc/build-tag').read()").await, "v1");
    let made = "import pathlib, shutil, tempfile\nfolder = pathlib.Path(tempfile.mkdtemp())\n(folder / 'x').write_text('1')
shutil.copy(folder / 'x', '/tmp/y'); shutil.rmtree(folder)\nos.path.exists('/tmp/y'), folder.exists(), os.listdir('/tmp')";
    assert_eq!(house.value(made).await, "(True, False, ['y'])");
    let read = house.account.inside(&house.opened, "GET", "/files?path=/home/user/here", &json!(null)).await;
    assert_eq!(read.text, "yes");
    let mark = format!("E2B_SANDBOX_ID={}", house.opened.id);
    assert!(processes(&mark).len() >= 2);
    house.account.kill(&house.opened).await;
    none_left(&mark).await;
    assert!(!Path::new(&home).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_interrupts_its_program_and_keeps_the_state() {
    let house = House::new().await;
    house.run("x = 1").await;
    let endless = "try:\n    import time\n    time.sleep(100)\nexcept KeyboardInterrupt:\n    x = 2";
    let left = tokio::time::timeout(Duration::from_millis(500), house.run(endless)).await;
    assert!(left.is_err());
    assert_eq!(house.value("x").await, "2");
    let waiting =
        tokio::time::timeout(Duration::from_millis(500), house.run("import asyncio\nawait asyncio.sleep(100)")).await;
    assert!(waiting.is_err());
    assert_eq!(house.value("await asyncio.sleep(0, x)").await, "2");
    let spinning = tokio::time::timeout(Duration::from_millis(500), house.run("while True: pass")).await;
    assert!(spinning.is_err());
    assert_eq!(house.value("x").await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_interpreter_is_told_and_replaced() {
    let house = House::new().await;
    house.run("x = 1").await;
    assert_eq!(house.error("import os; os._exit(1)").await.0, "ContextRestarting");
    let ran = house.run("x").await;
    assert_eq!((ran.count, &ran.error.unwrap()["name"]), (1, &json!("NameError")));
    assert_eq!(house.error("import os, signal; os.kill(os.getpid(), signal.SIGKILL)").await.0, "ContextRestarting");
    house.run("x = 1\nexit()").await;
    assert_eq!(house.run("x").await.count, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interpreter_that_is_not_there_is_an_error_of_the_run() {
    let kernels = Kernels::Python { program: "/nowhere/python3".into() };
    let house = House::of(Settings { plan: Plan::Unlimited, kernels, ..Settings::default() }).await;
    let (name, value) = house.error("1").await;
    assert_eq!(name, "KernelError");
    assert_eq!(value, "the kernel does not start: /nowhere/python3 is no Python that runs here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_ends_what_runs() {
    let house = House::new().await;
    let context = house.account.inside(&house.opened, "GET", "/contexts", &json!(null)).await.json()[0]["id"].clone();
    let (ran, _) = tokio::join!(house.run("import time\nx = 1\ntime.sleep(100)"), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let path = format!("/contexts/{}/restart", context.as_str().unwrap());
        house.account.inside(&house.opened, "POST", &path, &json!(null)).await
    });
    assert_eq!(ran.error.unwrap()["name"], "ContextRestarting");
    assert_eq!(house.run("x").await.count, 1);
}

/// The process that [`nothing_is_left_of_a_stand_in_that_is_killed`] kills. It does nothing by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_to_be_killed() {
    let Ok(told) = std::env::var("SWITCHTOWER_TOLD") else { return };
    let house = House::new().await;
    // Without namespaces only the interpreter itself is promised to end.
    if house.value("import os; os.environ['HOME']").await == "/home/user" {
        house.run(DAEMON).await;
    }
    std::fs::write(told, &house.opened.id).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_stand_in_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("id");
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    // Its folders stay behind, in ours.
    child
        .args(["--exact", "ends::a_process_to_be_killed"])
        .kill_on_drop(true)
        .env("SWITCHTOWER_TOLD", &told)
        .env("TMPDIR", folder.path());
    child.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = child.spawn().unwrap();
    let id = loop {
        match std::fs::read_to_string(&told) {
            Ok(id) if !id.is_empty() => break id,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let mark = format!("E2B_SANDBOX_ID={id}");
    assert!(!processes(&mark).is_empty());
    child.kill().await.unwrap();
    none_left(&mark).await;
    let folders =
        || std::fs::read_dir(folder.path()).unwrap().filter(|it| it.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(folders(), 1, "what it had on disk stays");
    // Until the next one starts, which takes its own along.
    let mut next = tokio::process::Command::new(std::env::current_exe().unwrap());
    next.args(["--exact", "ends::nothing_is_left_when_the_last_handle_is_dropped"]).env("TMPDIR", folder.path());
    next.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    assert!(next.status().await.unwrap().success());
    assert_eq!(folders(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vanished_sandbox_takes_its_processes_along() {
    let house = House::new().await;
    house.run("1").await;
    let fake: &Fake = &house.account.fake;
    fake.vanish(&house.opened.id);
    none_left(&format!("E2B_SANDBOX_ID={}", house.opened.id)).await;
    assert_eq!(fake.counts().vanished, 1);
}
