//! The official SDKs, pinned, installed from their registries into the target folder, once.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tokio::sync::Mutex;

pub(crate) const PYTHON: [&str; 2] = ["e2b==2.63.0", "e2b-code-interpreter==2.11.5"];
pub(crate) const JAVASCRIPT: [&str; 2] = ["e2b@2.51.0", "@e2b/code-interpreter@2.8.0"];

/// Runs a program to its end; panics with its output where it fails.
pub(crate) async fn run(what: &str, command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().await;
    let output = output.unwrap_or_else(|e| panic!("{what}: cannot be started ({e}); the SDK tests need it"));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what} failed with {}\n{stdout}\n{stderr}", output.status);
    stdout
}

fn folder_of(name: &str, packages: &[&str]) -> PathBuf {
    let versions = packages.join("-").replace(['/', '@', '=', '[', ']'], "_");
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{versions}"))
}

/// The file that an installation ends with.
const COMPLETE: &str = "complete";

/// Returns whether these packages need no registry any more.
pub(crate) fn is_installed(name: &str, packages: &[&str]) -> bool {
    folder_of(name, packages).join(COMPLETE).exists()
}

/// Returns the folder of these packages, installed once.
pub(crate) async fn installed(name: &str, packages: &[&str], install: impl AsyncFnOnce(&Path)) -> PathBuf {
    // Two tests may need the same packages.
    static INSTALLING: Mutex<()> = Mutex::const_new(());
    let _installing = INSTALLING.lock().await;
    let folder = folder_of(name, packages);
    let complete = folder.join(COMPLETE);
    if !complete.exists() {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        install(&folder).await;
        std::fs::write(complete, "").unwrap();
    }
    folder
}

/// Returns the folder in which Python finds its SDK.
pub(crate) async fn python() -> PathBuf {
    python_with("site-packages", &PYTHON).await
}

/// Returns the folder in which Python finds these packages.
pub(crate) async fn python_with(name: &str, packages: &[&str]) -> PathBuf {
    installed(name, packages, async |folder| {
        let mut pip = Command::new("python3");
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--root-user-action=ignore",
            "--target",
        ])
        .arg(folder)
        .args(packages);
        run("pip install", &mut pip).await;
    })
    .await
}

/// Returns the folder in which Node finds its SDK; a script that uses it must be in the same folder.
pub(crate) async fn javascript() -> PathBuf {
    javascript_with("javascript", &JAVASCRIPT).await
}

/// Returns the folder in which Node finds these packages; a script that uses them must be in the same folder.
pub(crate) async fn javascript_with(name: &str, packages: &[&str]) -> PathBuf {
    installed(name, packages, async |folder| {
        std::fs::write(folder.join("package.json"), "{\"private\": true, \"type\": \"module\"}").unwrap();
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error"]).args(packages);
        run("npm install", npm.current_dir(folder)).await;
    })
    .await
}
