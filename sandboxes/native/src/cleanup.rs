//! The cleanup process: it waits until this process has ended, removes what that leaves when it is killed (control groups,
//! private folders), and ends.
//!
//! It is the worker executable with another first argument. While this process lives it only waits for the end of its
//! standard input. Where it is killed as well, the next start removes what is left.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::{cgroups, scratch_root};

/// The first argument that makes a cleanup process of the worker executable.
pub const ARGUMENT: &str = "cleanup";
/// What it is called in lists of processes.
const NAME: &str = "switchtower-native-cleanup";
/// A byte on its standard input: there is nothing to remove, it can go.
const DISMISS: u8 = b'.';
/// It is waited for this long.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

/// What it is told: its second argument, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftovers {
    /// The number of the process that it waits for.
    pub process: u32,
    /// The folder of that process's private files.
    pub scratch: PathBuf,
}

/// What is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CleanupState {
    Clean,
    /// Some of it, and the process has ended.
    Leftovers,
    /// Some of it, and the process lives: its standard input was closed while it ends, or it needs no cleanup any more.
    InUse,
}

impl Leftovers {
    /// Removes what nobody uses any more.
    pub fn remove(&self) -> CleanupState {
        cgroups::remove_of(self.process);
        if let Some(place) = self.scratch.parent() {
            scratch_root::sweep(place);
        }
        match cgroups::remain_of(self.process) {
            (false, _) if !self.scratch.exists() => CleanupState::Clean,
            (_, false) => CleanupState::Leftovers,
            (_, true) => CleanupState::InUse,
        }
    }
}

/// The process, seen from here. Dropping it without [`dismiss`](Self::dismiss) lets it remove what it can.
#[derive(Debug)]
pub(crate) struct Cleanup(Mutex<Option<Child>>);

impl Cleanup {
    /// Starts it, and does not wait until it is there.
    ///
    /// # Errors
    /// It cannot be started. Nothing depends on it but what is left when this process is killed.
    pub(crate) fn start(worker: &Path, scratch: &Path) -> io::Result<Self> {
        let told = Leftovers { process: std::process::id(), scratch: scratch.to_owned() };
        let told = serde_json::to_string(&told)?;
        let mut command = std::process::Command::new(worker);
        command.arg0(NAME).arg(ARGUMENT).arg(told).env_clear().current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(Mutex::new(Some(Command::from(command).spawn()?))))
    }

    /// Ends it and waits for it: there is nothing for it to remove.
    pub(crate) async fn dismiss(&self) {
        let Some(mut child) = self.0.lock().await.take() else { return };
        if let Some(mut stdin) = child.stdin.take() {
            // It may be gone, and that is as good.
            let _gone = stdin.write_all(&[DISMISS]).await;
        }
        if tokio::time::timeout(EXIT_TIMEOUT, child.wait()).await.is_err() {
            let _gone = child.kill().await;
        }
    }
}
