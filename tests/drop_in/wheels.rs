//! An index of wheels on loopback, so that programs in sandboxes can install packages without a network.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::clients::{installed, run};

/// A server of a folder of wheels. It ends when this is dropped.
pub(super) struct Wheels {
    pub(super) url: String,
    _server: Child,
}

impl Wheels {
    pub(super) async fn of(packages: &[&str]) -> Self {
        let folder = installed("wheels", packages, async |folder| download(folder, packages).await).await;
        let mut server = Command::new("python3");
        // Unbuffered, so that it prints its port immediately.
        server.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "0", "--directory"]).arg(folder);
        let server = server.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut server = server.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
        let port = line.split_once(" port ").and_then(|(_, rest)| rest.split(' ').next()).expect(&line);
        Self { url: format!("http://127.0.0.1:{port}/"), _server: server }
    }
}

async fn download(folder: &Path, packages: &[&str]) {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--dest"]).arg(folder).args(packages);
    run("pip download", &mut pip).await;
}
