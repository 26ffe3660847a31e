//! Packages from the registries of two languages, and what else a test may find missing on a machine.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use super::clients::is_installed;
use crate::native::print_line;
use crate::server::Server;

/// Packages of one language.
#[derive(Clone, Copy)]
pub(super) enum Packages {
    Python(&'static [&'static str]),
    JavaScript(&'static [&'static str]),
}

impl Packages {
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Python(names) | Self::JavaScript(names) => names,
        }
    }
}

/// Returns whether packages are installed or can be; reports it where they cannot. The question is about a small package, so
/// that a package of a framework that cannot be had is a failure.
pub(super) async fn available(name: &str, packages: Packages) -> bool {
    if is_installed(name, packages.names()) {
        return true;
    }
    let ask: &[&str] = match packages {
        Packages::Python(_) => {
            &["python3", "-m", "pip", "download", "--quiet", "--no-deps", "e2b-code-interpreter==2.11.5"]
        }
        Packages::JavaScript(_) => &["npm", "view", "zod@4.6.7", "version"],
    };
    let nowhere = tempfile::tempdir().unwrap();
    let mut ask_registry = Command::new(ask[0]);
    ask_registry.args(&ask[1..]).current_dir(nowhere.path()).stdin(Stdio::null());
    let output = ask_registry.output().await.unwrap_or_else(|error| panic!("{}: {error}", ask[0]));
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        let why = why.lines().next().unwrap_or_default();
        print_line(&format!("skipped: {:?} cannot be installed, no registry answers: {why}", packages.names()));
    }
    output.status.success()
}

/// Returns whether a server can start machines; reports which tests are skipped where it cannot.
pub(super) async fn has_machines(server: &Server, skipped: &str) -> bool {
    let (_, health) = server.call("GET", "/health", None, Value::Null).await;
    let tiers = health["tiers"].as_array().cloned().unwrap_or_default();
    let up = tiers.iter().any(|tier| tier["tier"] == "machine" && tier["up"] == true);
    if !up {
        print_line(&format!("skipped: {skipped}, no machine can be started here: {health}"));
    }
    up
}
