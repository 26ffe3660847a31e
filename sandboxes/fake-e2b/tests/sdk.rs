//! The official SDKs, unmodified, against the stand-in: pinned packages, installed here from their registries.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "sdk/clients.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod clients;

use std::path::Path;

use switchtower_fake_e2b::{Fake, KernelMode, Latency, Plan, Settings, serve};
use tokio::net::TcpListener;
use tokio::process::Command;

use clients::run;

/// Serves a stand-in while `client` runs; no sandbox may remain afterwards.
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
        kernels: KernelMode::python(),
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
async fn the_python_sdk_works_with_the_stand_in() {
    let folder = clients::python().await;
    with_fake(settings(), async |url| {
        run("the Python client", client(Path::new("python3"), "python.py", &url).env("PYTHONPATH", &folder)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_javascript_sdk_works_with_the_stand_in() {
    let folder = clients::javascript().await;
    // Node finds packages only in the folder of the script.
    let script = folder.join("client.mjs");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/javascript.mjs"), &script).unwrap();
    with_fake(settings(), async |url| {
        run("the JavaScript client", &mut client(Path::new("node"), &script.to_string_lossy(), &url)).await;
    })
    .await;
}
