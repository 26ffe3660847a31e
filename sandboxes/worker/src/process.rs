//! The parent's handle of one worker process.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::{Escalation, Events, Exit, Fault, InterpreterId, Limits, Need, Outcome, Program, Usage};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Child;
use tokio::time::timeout;

use crate::canary::Canary;
use crate::connection::{self, CANCEL_GRACE, CommandError, Condition, Connection, unexpected_report};
use crate::frames::{WorkerCommand, WorkerReport};
use crate::jail::Layer;
use crate::protocol::{self, ProtocolMismatch};
use crate::spawn::spawn;

/// How a worker is started: a program and its arguments. It gets no environment.
#[derive(Debug, Clone)]
pub struct LaunchConfig {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    pub timeouts: Timeouts,
    /// Programs that a new worker runs before it is given any other.
    pub canaries: Arc<[Canary]>,
    /// When a worker is replaced. `None`: never.
    pub lifetime: Option<WorkerLifetime>,
    /// Connections beside the first, which cells run on. 0: the worker has no kernels.
    pub connections: usize,
    /// How to install a worker of this version in place of another, as the end of a sentence.
    pub update: String,
}

impl LaunchConfig {
    /// Returns a configuration with the default timeouts, without canaries, kernels and a limited lifetime.
    pub fn new(program: PathBuf, arguments: Vec<OsString>) -> Self {
        Self {
            program,
            arguments,
            timeouts: Timeouts::default(),
            canaries: Arc::default(),
            lifetime: None,
            connections: 0,
            update: "restart switchtower: its executable was replaced while it ran".to_owned(),
        }
    }
}

/// How long the parent waits for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// The time from the start of the process to its ready report, without the canaries.
    pub ready: Duration,
    /// After its deadline a program has this long to be stopped by its worker; then the worker is killed.
    pub grace: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { ready: Duration::from_secs(20), grace: Duration::from_millis(40) }
    }
}

/// When a worker is replaced by a new one. This renews what all programs of a worker share: a hash seed, an address
/// layout, leaked memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerLifetime {
    /// Programs, cells and other jobs.
    pub max_runs: u64,
    pub max_age: Duration,
}

/// Why a worker could not be started. The message has the worker's own reason.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{} cannot be started: {source}", program.display())]
    Spawn { program: PathBuf, source: io::Error },
    #[error("the worker cannot start: {0}")]
    Failed(String),
    #[error("{mismatch}: {update}")]
    Protocol { mismatch: ProtocolMismatch, update: String },
    #[error("the worker ended before it was ready: {0}")]
    Ended(io::Error),
    #[error("the worker was not ready within {}", switchtower_contract::rounded(*.0))]
    NotReady(Duration),
}

impl StartError {
    /// Returns how a worker of this version is installed, where another version is the reason.
    pub fn update(&self) -> Option<&str> {
        match self {
            Self::Protocol { update, .. } => Some(update),
            Self::Spawn { .. } | Self::Failed(_) | Self::Ended(_) | Self::NotReady(_) => None,
        }
    }
}

/// A running worker. Dropping it kills the process.
pub(crate) struct Process {
    child: Child,
    /// The first connection.
    connection: Connection,
    /// The other connections, which cells run on.
    connections: Vec<Connection>,
    pub(crate) layers: Vec<Layer>,
    /// A new one for each process: its hash seed and memory layout are drawn at its start.
    pub(crate) interpreter: InterpreterId,
}

impl Process {
    pub(crate) async fn start(config: &LaunchConfig) -> Result<Self, StartError> {
        let spawn_error = |source| StartError::Spawn { program: config.program.clone(), source };
        let (parents_end, workers_end) = std::os::unix::net::UnixStream::pair().map_err(spawn_error)?;
        let mut command = tokio::process::Command::new(&config.program);
        command
            .args(&config.arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(workers_end)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A signal to the process group of this process, as a terminal sends it, is not for its workers.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = spawn(command).await.map_err(spawn_error)?;
        if let Some(stderr) = child.stderr.take() {
            // The task ends with the process, which closes its end of the pipe.
            tokio::spawn(log(stderr));
        }
        let Timeouts { ready, grace } = config.timeouts;
        let connections = match connection::send_connections(&parents_end, config.connections) {
            // The process has ended already. Its reason may be in the socket, and is read below.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Vec::new(),
            sent => sent.map_err(spawn_error)?,
        };
        let connections: io::Result<Vec<Connection>> =
            connections.into_iter().map(|socket| Connection::new(socket, grace)).collect();
        let (connection, connections) =
            (Connection::new(parents_end, grace).map_err(spawn_error)?, connections.map_err(spawn_error)?);
        let interpreter = InterpreterId::next();
        let mut process = Self { child, connection, connections, layers: Vec::new(), interpreter };
        match timeout(ready, process.connection.ready_report()).await {
            Ok(Ok(report)) => process.layers = protocol::accept(&report, &config.update)?,
            Ok(Err(e)) => return Err(StartError::Ended(e)),
            Err(_) => return Err(StartError::NotReady(ready)),
        }
        process.run_canaries(&config.canaries).await?;
        Ok(process)
    }

    /// Executes a command on the first connection; see [`Connection::execute`]. If the connection closes, the fault
    /// describes how the process ended.
    pub(crate) async fn execute(
        &mut self,
        command: &WorkerCommand,
        time_limit: Duration,
        events: Option<&Events>,
        caller_left: impl Future<Output = ()>,
    ) -> (Result<WorkerReport, CommandError>, Condition) {
        match self.connection.execute(command, time_limit, events, caller_left).await {
            (Err(CommandError::Disconnected(error)), condition) => {
                let status = timeout(CANCEL_GRACE, self.child.wait()).await;
                let how = match status {
                    Ok(Ok(status)) => format!("the worker ended while a program ran ({status})"),
                    _ => format!("the worker's connection broke while a program ran ({error})"),
                };
                tracing::warn!("{how}");
                (Err(CommandError::Fault(Fault::Lost { reason: how })), condition)
            }
            ended => ended,
        }
    }

    /// Takes the connections beside the first. A second call returns none.
    pub(crate) fn take_connections(&mut self) -> Vec<Connection> {
        std::mem::take(&mut self.connections)
    }

    /// Runs a program to its end; cancels it when `caller_left` resolves.
    pub(crate) async fn run(
        &mut self,
        program: Program,
        limits: Limits,
        events: &Events,
        caller_left: impl Future<Output = ()>,
    ) -> (Result<Outcome, Fault>, Condition) {
        let (time_limit, escalation) = (limits.wall, limits.escalation);
        let command = WorkerCommand::RunProgram { program, limits };
        let (ended, condition) = self.execute(&command, time_limit, Some(events), caller_left).await;
        match ended {
            Ok(WorkerReport::ProgramEnded(ended)) => (ended, condition),
            Ok(_) => unexpected_report(),
            Err(CommandError::Fault(fault)) => (Err(fault), condition),
            Err(CommandError::Disconnected(error)) => (Err(Fault::Lost { reason: error.to_string() }), condition),
            Err(CommandError::DeadlineExceeded(ran)) => {
                (killed_at_its_deadline(time_limit, escalation, ran), condition)
            }
        }
    }

    /// Kills the process and waits for its end.
    pub(crate) async fn stop(mut self) {
        // It may have ended already.
        let _ = self.child.kill().await;
    }

    /// Resolves when the process ends by itself; returns its status.
    pub(crate) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(e) => e.to_string(),
        }
    }
}

fn killed_at_its_deadline(time_limit: Duration, escalation: Escalation, ran: Duration) -> Result<Outcome, Fault> {
    match escalation {
        Escalation::OnNeed => Err(Fault::Unsupported(Need::Time(time_limit))),
        Escalation::Never => Ok(Outcome {
            exit: Exit::TimedOut,
            observed: None,
            truncated: false,
            usage: Usage { wall: ran, ..Usage::default() },
            unmet_need: None,
        }),
    }
}

/// Logs what a worker writes to standard error: a panic, at most, since programs cannot write there. Reads 64 KiB.
async fn log(stderr: tokio::process::ChildStderr) {
    let mut lines = BufReader::new(stderr.take(64 << 10)).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::warn!(line, "a worker wrote to standard error");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Returns the parent's error for a shell that writes this as its first frame, and then waits.
    async fn started_with(frame: &str) -> String {
        let script = format!("printf '{frame}' >&0; exec sleep 60");
        let config = LaunchConfig::new("/bin/sh".into(), vec!["-c".into(), script.into()]);
        Process::start(&config).await.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[tokio::test]
    #[allow(clippy::disallowed_methods, reason = "a process starts in real time")]
    async fn a_process_of_another_protocol_is_refused_at_once_and_not_waited_for() {
        let began = Instant::now();
        // A ready report from before protocol versions; one of protocol 127, version 9.
        let before = started_with(r"\013\000\000\000\000\001\007seccomp\000").await;
        assert!(before.starts_with("the worker is older than protocol versions"), "{before}");
        let other = started_with(r"\026\000\000\000switchtower worker\n\177\0019").await;
        assert!(other.starts_with("the worker (version 9) uses protocol 127"), "{other}");
        assert!(began.elapsed() < Timeouts::default().ready, "{:?}", began.elapsed());
    }
}
