//! Old, middle and new versions of E2B's SDKs against Switchtower, without a cloud. One of those that check the form of a
//! key runs with all other tests, and the newest ones in `sdk`; the whole matrix has a command of its own:
//! `cargo test --test main drop_in::versions -- --ignored`.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::clients::{javascript_with, python_with, run};
use super::sdk::set_variables;
use crate::server::Server;

/// The key that README and docs give to programs.
pub(super) const DOCUMENTED_KEY: &str = "e2b_0000000000000000000000000000000000000000";

/// Python's SDKs: e2b, and the code interpreter of about the same time from the first that reads `E2B_SANDBOX_URL` on.
const PYTHON: [&[&str]; 4] = [
    &["e2b==2.22.0"],
    &["e2b==2.30.0", "e2b-code-interpreter==2.9.0"],
    &["e2b==2.45.0", "e2b-code-interpreter==2.9.2"],
    &["e2b==2.63.0", "e2b-code-interpreter==2.11.5"],
];
/// The position of one that accepts only `e2b_` and hexadecimal digits.
const STRICT: usize = 2;

/// JavaScript's SDKs. There is no 2.22.
const JAVASCRIPT: [&[&str]; 4] = [
    &["e2b@2.23.0"],
    &["e2b@2.30.5", "@e2b/code-interpreter@2.7.0"],
    &["e2b@2.45.0", "@e2b/code-interpreter@2.7.2"],
    &["e2b@2.51.0", "@e2b/code-interpreter@2.8.0"],
];

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drop_in/versions").join(name)
}

/// Runs a script of one version, which fails by itself if an answer is wrong. Scripts end with what they have used.
async fn assert_works(server: &Server, versions: &[&str], mut command: Command) {
    let what = format!("the script with {versions:?}");
    let used = run(&what, set_variables(&mut command, &server.origin, DOCUMENTED_KEY)).await;
    let expected = if versions.len() == 2 { "files cells" } else { "files" };
    assert_eq!(used.trim(), expected, "{what}");
}

async fn assert_python_works(server: &Server, versions: &[&str]) {
    let packages = python_with("version", versions).await;
    let mut python = Command::new("python3");
    python.arg(script("python.py")).env("PYTHONPATH", packages);
    assert_works(server, versions, python).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_key_and_variables_serve_a_version_that_checks_keys() {
    for page in ["README.md", "docs/e2b-drop-in.md"] {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
        assert!(text.contains(&format!("export E2B_API_KEY={DOCUMENTED_KEY} ")), "{page}");
    }
    let server = Server::start(None).await;
    assert_python_works(&server, PYTHON[STRICT]).await;
    server.signal("-TERM");
    server.wait_for_log();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "installs seven versions of the SDKs"]
async fn the_documented_key_and_variables_serve_every_version_of_the_matrix() {
    let server = Server::start(None).await;
    for versions in PYTHON {
        assert_python_works(&server, versions).await;
    }
    for versions in JAVASCRIPT {
        let folder = javascript_with("version", versions).await;
        let beside = folder.join("versions.mjs");
        std::fs::copy(script("javascript.mjs"), &beside).unwrap();
        let mut node = Command::new("node");
        node.arg(&beside);
        assert_works(&server, versions, node).await;
    }
    server.signal("-TERM");
    server.wait_for_log();
}
