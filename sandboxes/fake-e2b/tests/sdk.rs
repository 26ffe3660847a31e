//! The official SDKs, unmodified, against the stand-in: pinned packages, installed here from their registries.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::process::Stdio;

use switchtower_fake_e2b::{Fake, Kernels, Latency, Plan, Settings, serve};
use tokio::net::TcpListener;
use tokio::process::Command;

const PYTHON: [&str; 2] = ["e2b==2.63.0", "e2b-code-interpreter==2.11.5"];
const JAVASCRIPT: [&str; 2] = ["e2b@2.51.0", "@e2b/code-interpreter@2.8.0"];

/// Runs a program to its end; panics with what it said where it fails.
async fn must(what: &str, command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().await;
    let output = output.unwrap_or_else(|e| panic!("{what}: cannot be started ({e}); the SDK tests need it"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what} failed with {}\n{said}\n{complaint}", output.status);
    said
}

/// A folder for these packages, filled once.
async fn installed(name: &str, packages: &[&str], install: impl AsyncFnOnce(&Path)) -> PathBuf {
    let versions = packages.join("-").replace(['/', '@', '='], "_");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{versions}"));
    let whole = folder.join("whole");
    if !whole.exists() {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        install(&folder).await;
        std::fs::write(whole, "").unwrap();
    }
    folder
}

/// Serves a stand-in while `client` runs; nothing may be left of it afterwards.
async fn with_fake(settings: Settings, client: impl AsyncFnOnce(String)) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let fake = Fake::new(settings);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(serve(listener, fake.clone(), async move {
        let _ = stopped.await;
    }));
    client(url).await;
    let counts = fake.counts();
    assert_eq!(counts.running, 0, "the client left sandboxes behind: {counts:?}");
    assert!(counts.executions > 0 && counts.commands > 0 && counts.file_writes > 0, "{counts:?}");
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
}

fn settings() -> Settings {
    Settings {
        plan: Plan::Unlimited,
        latency: Latency::None,
        kernels: Kernels::python(),
        key: Some("e2b_sdk_test".to_owned()),
        ..Settings::default()
    }
}

fn client(program: &Path, script: &str, url: &str) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk").join(script);
    let mut command = Command::new(program);
    command.arg(script).env("E2B_API_KEY", "e2b_sdk_test").env("E2B_API_URL", url).env("E2B_SANDBOX_URL", url);
    command.env_remove("E2B_DEBUG").env_remove("E2B_DOMAIN").kill_on_drop(true);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_sdk_finds_what_it_expects() {
    let folder = installed("site-packages", &PYTHON, async |folder| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"])
            .arg(folder)
            .args(PYTHON);
        must("pip install", &mut pip).await;
    })
    .await;
    with_fake(settings(), async |url| {
        must("the Python client", client(Path::new("python3"), "python.py", &url).env("PYTHONPATH", &folder)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_javascript_sdk_finds_what_it_expects() {
    let folder = installed("javascript", &JAVASCRIPT, async |folder| {
        std::fs::write(folder.join("package.json"), "{\"private\": true, \"type\": \"module\"}").unwrap();
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error"]).args(JAVASCRIPT);
        must("npm install", npm.current_dir(folder)).await;
    })
    .await;
    // Node looks for packages beside the script.
    let script = folder.join("client.mjs");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/javascript.mjs"), &script).unwrap();
    with_fake(settings(), async |url| {
        must("the JavaScript client", &mut client(Path::new("node"), &script.to_string_lossy(), &url)).await;
    })
    .await;
}
