//! The cleanup process: waits until this process has ended, removes what that leaves when it is killed (control groups,
//! private folders), and ends.
//!
//! It is the worker executable with another first argument. While this process runs it only waits for the end of its
//! standard input. Where it is killed as well, the next start of a worker cleans up.

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
/// Its name in lists of processes.
const NAME: &str = "switchtower-native-cleanup";
/// The byte on its standard input that dismisses it: there is nothing to remove.
const DISMISS: u8 = b'.';
/// How long its end is waited for.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

/// What it removes: its second argument, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftovers {
    /// The number of the process that it cleans up after.
    pub process: u32,
    /// The folder of that process's private files.
    pub scratch: PathBuf,
}

/// The result of an attempt to clean up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CleanupState {
    Clean,
    /// Some of it remains, and the process has ended.
    Leftovers,
    /// Some of it remains, and the process runs: it is ending, or needs no cleanup any more.
    InUse,
}

impl Leftovers {
    /// Removes what no process uses any more.
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

/// The handle of the cleanup process. Dropping it without [`dismiss`](Self::dismiss) makes the process clean up.
#[derive(Debug)]
pub(crate) struct Cleanup(Mutex<Option<Child>>);

impl Cleanup {
    /// Starts it and does not wait for it.
    ///
    /// # Errors
    /// It cannot be started. Then what this process leaves when it is killed stays until the next start.
    pub(crate) fn start(worker: &Path, scratch: &Path) -> io::Result<Self> {
        let leftovers = Leftovers { process: std::process::id(), scratch: scratch.to_owned() };
        let leftovers = serde_json::to_string(&leftovers)?;
        let mut command = std::process::Command::new(worker);
        command.arg0(NAME).arg(ARGUMENT).arg(leftovers).env_clear().current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(Mutex::new(Some(Command::from(command).spawn()?))))
    }

    /// Ends it and waits for its end: there is nothing to remove.
    pub(crate) async fn dismiss(&self) {
        let Some(mut child) = self.0.lock().await.take() else { return };
        if let Some(mut stdin) = child.stdin.take() {
            // It may have ended already.
            let _gone = stdin.write_all(&[DISMISS]).await;
        }
        if tokio::time::timeout(EXIT_TIMEOUT, child.wait()).await.is_err() {
            let _gone = child.kill().await;
        }
    }
}
