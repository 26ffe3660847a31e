//! One worker process, seen from the parent.

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
use crate::connection::{self, After, CANCEL_GRACE, Connection, Stopped, out_of_turn};
use crate::frames::{Order, Report};
use crate::jail::Layer;
use crate::protocol::{self, ProtocolMismatch};
use crate::spawn::spawn;

/// How a worker is started: a program and its arguments. It gets no environment.
#[derive(Debug, Clone)]
pub struct Command {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    pub patience: Patience,
    /// What it must prove before it gets programs.
    pub canaries: Arc<[Canary]>,
    /// When it is replaced although it is well. `None`: never.
    pub renewal: Option<Renewal>,
    /// Connections beside the first: as many cells may run in the process at once. 0: it keeps no kernels.
    pub connections: usize,
    /// How a worker of this version is installed in place of one of another, as the end of a sentence.
    pub update: String,
}

impl Command {
    /// With the usual patience, and nothing to prove.
    pub fn new(program: PathBuf, arguments: Vec<OsString>) -> Self {
        Self {
            program,
            arguments,
            patience: Patience::default(),
            canaries: Arc::default(),
            renewal: None,
            connections: 0,
            update: "restart switchtower: its executable was replaced while it ran".to_owned(),
        }
    }
}

/// How long a worker is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// It may take this long to load its engine.
    pub ready: Duration,
    /// After its deadline a program is given this long to be stopped from inside, then its worker is killed.
    pub grace: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { ready: Duration::from_secs(20), grace: Duration::from_millis(40) }
    }
}

/// When a worker has served its time: what all its programs share (a hash seed, an address layout, what leaked) is then
/// made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// Pieces of work.
    pub after: u64,
    pub age: Duration,
}

/// A worker did not come up. The message says what it said.
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
    Slow(Duration),
}

impl StartError {
    /// How a worker of this version is installed, where another version is the reason.
    pub fn update(&self) -> Option<&str> {
        match self {
            Self::Protocol { update, .. } => Some(update),
            Self::Spawn { .. } | Self::Failed(_) | Self::Ended(_) | Self::Slow(_) => None,
        }
    }
}

/// A live worker. Dropping it kills the process.
pub(crate) struct Process {
    child: Child,
    /// The first connection.
    connection: Connection,
    /// The further ones, which cells run on.
    connections: Vec<Connection>,
    pub(crate) layers: Vec<Layer>,
    /// Another for each process: a hash seed and a layout of memory are drawn at its start.
    pub(crate) interpreter: InterpreterId,
}

impl Process {
    pub(crate) async fn start(command: &Command) -> Result<Self, StartError> {
        let spawn_error = |source| StartError::Spawn { program: command.program.clone(), source };
        let (near, far) = std::os::unix::net::UnixStream::pair().map_err(spawn_error)?;
        let mut process = tokio::process::Command::new(&command.program);
        process
            .args(&command.arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(far)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = spawn(process).await.map_err(spawn_error)?;
        if let Some(stderr) = child.stderr.take() {
            // Ends with the process: its end of the pipe closes.
            tokio::spawn(log(stderr));
        }
        let Patience { ready, grace } = command.patience;
        let connections = match connection::hand_over(&near, command.connections) {
            // It has ended already, and may have said why: that is read below.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Vec::new(),
            handed_over => handed_over.map_err(spawn_error)?,
        };
        let connections: io::Result<Vec<Connection>> =
            connections.into_iter().map(|near| Connection::new(near, grace)).collect();
        let (connection, connections) =
            (Connection::new(near, grace).map_err(spawn_error)?, connections.map_err(spawn_error)?);
        let interpreter = InterpreterId::next();
        let mut process = Self { child, connection, connections, layers: Vec::new(), interpreter };
        match timeout(ready, process.connection.ready_report()).await {
            Ok(Ok(report)) => process.layers = protocol::accept(&report, &command.update)?,
            Ok(Err(e)) => return Err(StartError::Ended(e)),
            Err(_) => return Err(StartError::Slow(ready)),
        }
        process.proves(&command.canaries).await?;
        Ok(process)
    }

    /// Gives an order on the first connection, as [`Connection::carry_out`].
    pub(crate) async fn carry_out(
        &mut self,
        order: &Order,
        wall: Duration,
        events: Option<&Events>,
        left: impl Future<Output = ()>,
    ) -> (Result<Report, Stopped>, After) {
        match self.connection.carry_out(order, wall, events, left).await {
            (Err(Stopped::Gone(error)), after) => {
                let status = timeout(CANCEL_GRACE, self.child.wait()).await;
                let how = match status {
                    Ok(Ok(status)) => format!("the worker ended in the middle of a program ({status})"),
                    _ => format!("the worker's connection broke in the middle of a program ({error})"),
                };
                tracing::warn!("{how}");
                (Err(Stopped::Fault(Fault::Lost { reason: how })), after)
            }
            ended => ended,
        }
    }

    /// The connections beside the first, which are given away once.
    pub(crate) fn take_connections(&mut self) -> Vec<Connection> {
        std::mem::take(&mut self.connections)
    }

    /// Runs a program to its end, or until `left` resolves.
    pub(crate) async fn run(
        &mut self,
        program: Program,
        limits: Limits,
        events: &Events,
        left: impl Future<Output = ()>,
    ) -> (Result<Outcome, Fault>, After) {
        let (wall, escalation) = (limits.wall, limits.escalation);
        let (ended, after) = self.carry_out(&Order::Run { program, limits }, wall, Some(events), left).await;
        match ended {
            Ok(Report::Done(ended)) => (ended, after),
            Ok(_) => out_of_turn(),
            Err(Stopped::Fault(fault)) => (Err(fault), after),
            Err(Stopped::Gone(error)) => (Err(Fault::Lost { reason: error.to_string() }), after),
            Err(Stopped::Late(ran)) => (killed_at_its_deadline(wall, escalation, ran), after),
        }
    }

    /// Ends the process and waits for it.
    pub(crate) async fn stop(mut self) {
        // Already gone is as good.
        let _ = self.child.kill().await;
    }

    /// Resolves when the process ends by itself.
    pub(crate) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(e) => e.to_string(),
        }
    }
}

fn killed_at_its_deadline(wall: Duration, escalation: Escalation, ran: Duration) -> Result<Outcome, Fault> {
    match escalation {
        Escalation::OnNeed => Err(Fault::Unsupported(Need::Time(wall))),
        Escalation::Never => Ok(Outcome {
            exit: Exit::TimedOut,
            observed: None,
            truncated: false,
            usage: Usage { wall: ran, ..Usage::default() },
            lacked: None,
        }),
    }
}

/// What a worker says on standard error is for the operator: a panic, at most. Programs cannot write there.
async fn log(stderr: tokio::process::ChildStderr) {
    let mut lines = BufReader::new(stderr.take(64 << 10)).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::warn!(worker = line, "a worker said");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Starts a shell that writes this frame as its first, then waits: what the parent makes of it.
    async fn started_with(frame: &str) -> String {
        let script = format!("printf '{frame}' >&0; exec sleep 60");
        let command = Command::new("/bin/sh".into(), vec!["-c".into(), script.into()]);
        Process::start(&command).await.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[tokio::test]
    #[allow(clippy::disallowed_methods, reason = "a process starts in real time")]
    async fn a_process_of_another_protocol_is_refused_at_once_and_not_waited_for() {
        let began = Instant::now();
        // A ready report from before there were protocol versions; one of protocol 127, version 9.
        let before = started_with(r"\013\000\000\000\000\001\007seccomp\000").await;
        assert!(before.starts_with("the worker is older than protocol versions"), "{before}");
        let other = started_with(r"\026\000\000\000switchtower worker\n\177\0019").await;
        assert!(other.starts_with("the worker (version 9) speaks protocol 127"), "{other}");
        assert!(began.elapsed() < Patience::default().ready, "{:?}", began.elapsed());
    }
}
