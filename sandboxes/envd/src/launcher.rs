//! How the programs of a machine start, and their groups of processes.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpgid, kill_process_group, waitid};
use tokio::process::{Child, Command};

use crate::users::User;

/// A program to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// A path, or a name that is looked up in `PATH`.
    pub program: String,
    pub args: Vec<String>,
    /// The variables of the machine and of the call. What every program of the user has beside them is up to the launcher.
    pub env: BTreeMap<String, String>,
    /// An absolute path of the machine.
    pub cwd: String,
    pub user: User,
    /// Whether its standard input will be a terminal, which is to be that of its session.
    pub has_terminal: bool,
}

/// Starts the programs of a machine.
#[async_trait]
pub trait Launcher: Send + Sync + 'static {
    /// Returns the command that starts a program in a group of processes of its own, with a terminal as the leader of a session. The caller
    /// sets its standard streams.
    ///
    /// # Errors
    /// The machine cannot start it. `Unsupported`: it cannot start any such program.
    async fn command(&self, launch: &Launch) -> io::Result<Command>;

    /// Sends a signal to the group of a process which was started here and was not waited for.
    ///
    /// # Errors
    /// There is no such process.
    fn signal(&self, process: u32, signal: Signal) -> io::Result<()> {
        let group = group_of(process).ok_or(io::ErrorKind::NotFound)?;
        Ok(kill_process_group(group, signal)?)
    }

    /// A process was started that its owner waits for.
    fn started(&self, _process: u32) {}

    /// The process was waited for, or its owner will not do so.
    fn released(&self, _process: u32) {}
}

/// Returns the group of a process that was not waited for.
pub fn group_of(process: u32) -> Option<Pid> {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw)?;
    getpgid(Some(process)).ok()
}

/// A process that has a group of its own. If it was not waited for, the group is killed when this is dropped.
pub struct ProcessGroup {
    pub child: Child,
    launcher: Arc<dyn Launcher>,
    pid: u32,
    is_released: bool,
}

impl ProcessGroup {
    /// Starts a program. `set_streams` gives the command its standard streams.
    ///
    /// What cannot be executed is started by a shell, as E2B does for all programs, so that its standard error has the reason, and its exit
    /// code is 126 or 127.
    ///
    /// # Errors
    /// As of [`Launcher::command`]; or there is no shell.
    pub async fn start(
        launcher: &Arc<dyn Launcher>,
        launch: &Launch,
        mut set_streams: impl FnMut(&mut Command) -> io::Result<()> + Send,
    ) -> io::Result<Self> {
        let mut command = launcher.command(launch).await?;
        set_streams(&mut command)?;
        let child = match command.spawn() {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
                let args = ["-c", "exec \"${@}\"", "--", &launch.program].map(str::to_owned);
                let args = args.into_iter().chain(launch.args.iter().cloned()).collect();
                let mut command =
                    launcher.command(&Launch { program: "/bin/sh".to_owned(), args, ..launch.clone() }).await?;
                set_streams(&mut command)?;
                command.spawn()
            }
            spawned => spawned,
        };
        // The process may have ended already, but nobody has waited for it.
        let child = child?;
        let pid = child.id().unwrap_or_default();
        launcher.started(pid);
        Ok(Self { child, launcher: launcher.clone(), pid, is_released: false })
    }

    /// Returns the number of the process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal to the group.
    ///
    /// # Errors
    /// The process has ended, though others of its group may run.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let process = self.child.id().ok_or(io::ErrorKind::NotFound)?;
        // It may have ended and not been waited for: then the group is what it has left in the background.
        let number = i32::try_from(process).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if waitid(WaitId::Pid(number), options)?.is_some() {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.launcher.signal(process, signal)
    }

    /// Waits for the process.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub async fn wait(&mut self) -> io::Result<std::process::ExitStatus> {
        let waited = self.child.wait().await;
        self.release();
        waited
    }

    /// Kills the group and waits for the process.
    pub async fn end(&mut self) {
        if let Some(process) = self.child.id() {
            // The whole group may have ended already.
            let _ = self.launcher.signal(process, Signal::KILL);
        }
        let _ = self.wait().await;
    }

    fn release(&mut self) {
        if !std::mem::replace(&mut self.is_released, true) {
            self.launcher.released(self.pid);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // The runtime reaps the process.
        let _ = self.signal(Signal::KILL);
        self.release();
    }
}
