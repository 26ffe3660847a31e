//! The SDKs of E2B and an agent framework that uses one, each with one script run twice: against the stand-in, and against
//! us.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::clients::{self, run};
use super::parity::{Transcript, compare};
use super::wheels::Wheels;
use crate::served::{KEY, Server, StandIn};

/// What our server takes for a key.
const OURS: &str = "e2b_0123456789abcdef0123456789abcdef01234567";

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drop_in/sdk").join(name)
}

/// The three variables, and none else of E2B's.
fn client<'a>(command: &'a mut Command, origin: &str, key: &str) -> &'a mut Command {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("E2B_")) {
        command.env_remove(name);
    }
    command.env("E2B_API_KEY", key).env("E2B_API_URL", origin).env("E2B_SANDBOX_URL", origin).kill_on_drop(true)
}

/// Runs a script against both sides at once and compares what it saw.
async fn same(name: &str, least: usize, command: impl Fn() -> Command) {
    // The one that is compared with, and the one that stands behind us.
    let (theirs, behind) = (StandIn::start_with_key(KEY).await, StandIn::start_with_key(KEY).await);
    let server = Server::start_with(Some(&behind), &[("SWITCHTOWER_HTTP_KEYS", &format!("sdk={OURS}"))]).await;
    let (mut there, mut here) = (command(), command());
    let (there, here) = tokio::join!(
        run("the script against the stand-in", client(&mut there, &theirs.origin, KEY)),
        run("the script against us", client(&mut here, &server.origin, OURS)),
    );
    let (there, here) = (Transcript::read(&there), Transcript::read(&here));
    assert!(there.len() >= least, "{}", there.len());
    compare(name, &there, &here);
    server.signal("-TERM");
    let log = server.ended();
    assert!(!log.contains(OURS) && !log.contains(KEY), "a key is in the log");
    behind.until("nothing is left", |fake| fake.running().is_empty()).await;
    theirs.fake.close().await;
    behind.fake.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_sdk_sees_what_it_sees_with_e2b() {
    let packages = clients::python().await;
    same("python.py", 600, || {
        let mut python = Command::new("python3");
        python.arg(script("python.py")).env("PYTHONPATH", &packages);
        python
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_javascript_sdk_sees_what_it_sees_with_e2b() {
    let folder = clients::javascript().await;
    let beside = folder.join("drop_in.mjs");
    std::fs::copy(script("javascript.mjs"), &beside).unwrap();
    same("javascript.mjs", 120, || {
        let mut node = Command::new("node");
        node.arg(&beside);
        node
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_of_smolagents_runs_from_its_tools_to_its_final_answer() {
    let packages =
        clients::python_with("agent", &["smolagents==1.26.0", "e2b==2.63.0", "e2b-code-interpreter==2.11.5"]).await;
    let wheels = Wheels::of(&["numpy", "pillow", "idna"]).await;
    same("agent.py", 50, || {
        let mut python = Command::new("python3");
        python.arg(script("agent.py")).env("PYTHONPATH", &packages).env("AGENT_WHEELS", &wheels.url);
        python
    })
    .await;
}
