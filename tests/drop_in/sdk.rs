//! The SDKs of E2B and an agent framework that uses one. Each has one script, run twice: against the stand-in and against
//! Switchtower.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::clients::{self, run};
use super::parity::{Transcript, compare};
use super::wheels::Wheels;
use crate::server::{KEY, Server, StandIn};

/// The key of Switchtower.
const OURS: &str = "e2b_0123456789abcdef0123456789abcdef01234567";

/// The agent framework and its SDK.
pub(super) const SMOLAGENTS: [&str; 3] = ["smolagents==1.26.0", "e2b==2.63.0", "e2b-code-interpreter==2.11.5"];

pub(super) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drop_in/sdk").join(name)
}

/// Sets the three variables of a client of E2B and removes all others.
pub(super) fn set_variables<'a>(command: &'a mut Command, origin: &str, key: &str) -> &'a mut Command {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("E2B_")) {
        command.env_remove(name);
    }
    command.env("E2B_API_KEY", key).env("E2B_API_URL", origin).env("E2B_SANDBOX_URL", origin).kill_on_drop(true)
}

/// Runs a script against both servers concurrently and compares the transcripts, which have at least `least` steps.
async fn assert_parity(name: &str, least: usize, command: impl Fn() -> Command) {
    // The reference, and the cloud of Switchtower.
    let (theirs, behind) = (StandIn::start_with_key(KEY).await, StandIn::start_with_key(KEY).await);
    let server = Server::start_with(Some(&behind), &[("SWITCHTOWER_HTTP_KEYS", &format!("sdk={OURS}"))]).await;
    let (mut reference, mut ours) = (command(), command());
    let (reference, ours) = tokio::join!(
        run("the script against the stand-in", set_variables(&mut reference, &theirs.origin, KEY)),
        run("the script against Switchtower", set_variables(&mut ours, &server.origin, OURS)),
    );
    let (reference, ours) = (Transcript::read(&reference), Transcript::read(&ours));
    assert!(reference.len() >= least, "{}", reference.len());
    compare(name, &reference, &ours);
    server.signal("-TERM");
    let log = server.wait_for_log();
    assert!(!log.contains(OURS) && !log.contains(KEY), "a key is in the log");
    behind.wait_until("nothing is left", |fake| fake.running().is_empty()).await;
    theirs.fake.close().await;
    behind.fake.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_sdk_gets_the_same_results_as_with_e2b() {
    let packages = clients::python().await;
    assert_parity("python.py", 600, || {
        let mut python = Command::new("python3");
        python.arg(script("python.py")).env("PYTHONPATH", &packages);
        python
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_javascript_sdk_gets_the_same_results_as_with_e2b() {
    let folder = clients::javascript().await;
    let beside = folder.join("drop_in.mjs");
    std::fs::copy(script("javascript.mjs"), &beside).unwrap();
    assert_parity("javascript.mjs", 120, || {
        let mut node = Command::new("node");
        node.arg(&beside);
        node
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_of_smolagents_runs_from_its_tools_to_its_final_answer() {
    let packages = clients::python_with("agent", &SMOLAGENTS).await;
    let wheels = Wheels::of(&["numpy", "pillow", "idna"]).await;
    assert_parity("agent.py", 50, || {
        let mut python = Command::new("python3");
        python.arg(script("agent.py")).env("PYTHONPATH", &packages).env("AGENT_WHEELS", &wheels.url);
        python
    })
    .await;
}
