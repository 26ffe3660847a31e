//! What E2B's SDKs offer to programs, without an E2B key: commands, terminals, files, watches, ports, contexts, languages and the
//! life of sandboxes, served by machines of this host. The scripts in `surface` use the packages as they are and state promises.
//!
//! Machines and the registries are needed: where one cannot be had, these tests report that and pass.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::clients::{self, run};
use super::registries::{Packages, available, has_machines};
use super::sdk::set_variables;
use super::versions::DOCUMENTED_KEY;
use crate::server::Server;

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drop_in/surface")
}

/// Runs a script against a server without a key and asserts that it has kept at least `least` promises, and broken none.
async fn assert_kept(script: &str, least: usize) {
    let is_python = Path::new(script).extension().is_some_and(|extension| extension == "py");
    let (name, packages) = if is_python {
        ("site-packages", Packages::Python(&clients::PYTHON))
    } else {
        ("javascript", Packages::JavaScript(&clients::JAVASCRIPT))
    };
    if !available(name, packages).await {
        return;
    }
    let mut command = if is_python { python(script).await } else { node(script).await };
    let server = Server::start_with(None, &[("SWITCHTOWER_MACHINE_ENABLED", "true")]).await;
    if has_machines(&server, script).await {
        let kept = run(script, set_variables(&mut command, &server.origin, DOCUMENTED_KEY)).await;
        assert!(kept.trim().parse::<usize>().is_ok_and(|kept| kept >= least), "{script} kept {kept}");
    }
    server.signal("-TERM");
    server.wait_for_log();
}

async fn python(script: &str) -> Command {
    let mut python = Command::new("python3");
    python.arg("-B").arg(scripts().join(script)).env("PYTHONPATH", clients::python().await);
    python
}

/// Node looks for packages in the folders above a script.
async fn node(script: &str) -> Command {
    let folder = clients::javascript().await.join(format!("surface-{script}"));
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["promises.mjs", "server.py", script] {
        std::fs::copy(scripts().join(name), folder.join(name)).unwrap();
    }
    let mut node = Command::new("node");
    node.arg(folder.join(script));
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_programs_run_commands_and_terminals_without_a_key() {
    assert_kept("commands.py", 13).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_programs_use_files_watches_and_links_without_a_key() {
    assert_kept("files.py", 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_programs_use_ports_languages_and_pauses_without_a_key() {
    assert_kept("life.py", 16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asynchronous_python_programs_use_the_whole_of_a_sandbox_without_a_key() {
    assert_kept("asynchronous.py", 9).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn javascript_programs_run_commands_and_terminals_without_a_key() {
    assert_kept("commands.mjs", 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn javascript_programs_use_files_watches_and_links_without_a_key() {
    assert_kept("files.mjs", 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn javascript_programs_use_ports_languages_and_pauses_without_a_key() {
    assert_kept("life.mjs", 6).await;
}
