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
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::Child;
use tokio::time::{Instant, timeout};

use crate::canary::Canary;
use crate::frames::{self, Order, Reader, Report};
use crate::jail::Layer;
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
}

impl Command {
    /// With the usual patience, and nothing to prove.
    pub fn new(program: PathBuf, arguments: Vec<OsString>) -> Self {
        Self { program, arguments, patience: Patience::default(), canaries: Arc::default(), renewal: None }
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
    #[error("the worker ended before it was ready: {0}")]
    Ended(io::Error),
    #[error("the worker was not ready within {}", switchtower_contract::rounded(*.0))]
    Slow(Duration),
}

/// A cancelled program is given this long at least.
const CANCEL_GRACE: Duration = Duration::from_millis(100);

/// A live worker. Dropping it kills the process.
pub(crate) struct Process {
    child: Child,
    reports: Reader<OwnedReadHalf>,
    orders: OwnedWriteHalf,
    grace: Duration,
    pub(crate) layers: Vec<Layer>,
    /// Another for each process: a hash seed and a layout of memory are drawn at its start.
    pub(crate) interpreter: InterpreterId,
}

/// What became of the worker by a run.
pub(crate) enum After {
    /// It can take the next program.
    Whole,
    /// It must go.
    Broken,
}

impl Process {
    pub(crate) async fn start(command: &Command) -> Result<Self, StartError> {
        let spawn_error = |source| StartError::Spawn { program: command.program.clone(), source };
        let (near, far) = std::os::unix::net::UnixStream::pair().map_err(spawn_error)?;
        near.set_nonblocking(true).map_err(spawn_error)?;
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
        let (reports, orders) = UnixStream::from_std(near).map_err(spawn_error)?.into_split();
        let Patience { ready, grace } = command.patience;
        let (reports, interpreter) = (Reader::new(reports), InterpreterId::next());
        let mut process = Self { child, reports, orders, grace, layers: Vec::new(), interpreter };
        match timeout(ready, process.reports.next()).await {
            Ok(Ok(Report::Ready { layers })) => process.layers = layers,
            Ok(Ok(Report::Failed { reason })) => return Err(StartError::Failed(reason)),
            Ok(Ok(_)) => return Err(StartError::Failed("it spoke out of turn".into())),
            Ok(Err(e)) => return Err(StartError::Ended(e)),
            Err(_) => return Err(StartError::Slow(ready)),
        }
        process.proves(&command.canaries).await?;
        Ok(process)
    }

    /// Gives an order and waits for its end, or until `left` resolves: then it is cancelled. `wall` is how long what is
    /// ordered may take by itself.
    pub(crate) async fn carry_out(
        &mut self,
        order: &Order,
        wall: Duration,
        events: Option<&Events>,
        left: impl Future<Output = ()>,
    ) -> (Result<Report, Stopped>, After) {
        let started = Instant::now();
        let deadline = started + wall + self.grace;
        if let Err(e) = frames::send(&mut self.orders, order).await {
            // Nothing ran: an order that is not whole is no order.
            let fault = Fault::Unavailable { reason: format!("the worker is gone: {e}") };
            return (Err(Stopped::Fault(fault)), After::Broken);
        }
        let lost = |reason: &str| (Err(Stopped::Fault(Fault::Lost { reason: reason.to_owned() })), After::Broken);
        tokio::pin!(left);
        let mut until = deadline;
        let mut cancelled = false;
        loop {
            let report = tokio::select! {
                report = self.reports.next() => report,
                () = &mut left, if !cancelled => {
                    cancelled = true;
                    until = until.min(Instant::now() + CANCEL_GRACE.max(self.grace));
                    if frames::send(&mut self.orders, &Order::Cancel).await.is_err() {
                        return lost("it was cancelled");
                    }
                    continue;
                }
                () = tokio::time::sleep_until(until) => {
                    if cancelled {
                        return lost("it was cancelled");
                    }
                    tracing::warn!(?wall, "a worker did not heed its deadline and was killed");
                    return (Err(Stopped::Late(started.elapsed())), After::Broken);
                }
            };
            match report {
                Ok(Report::Event(event)) => {
                    let Some(events) = events.filter(|_| !cancelled) else { continue };
                    // A reader that is slow must not hold the deadline up.
                    tokio::select! {
                        _ = events.send(event) => {}
                        () = tokio::time::sleep_until(until) => {}
                    }
                }
                Ok(Report::Ready { .. } | Report::Failed { .. }) => return lost("the worker spoke out of turn"),
                Ok(end) => return (Ok(end), After::Whole),
                Err(e) => {
                    let status = timeout(CANCEL_GRACE, self.child.wait()).await;
                    let how = match status {
                        Ok(Ok(status)) => format!("the worker ended in the middle of a program ({status})"),
                        _ => format!("the worker's connection broke in the middle of a program ({e})"),
                    };
                    tracing::warn!("{how}");
                    return lost(&how);
                }
            }
        }
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
            Err(Stopped::Late(ran)) => (killed_at_its_deadline(wall, escalation, ran), after),
        }
    }

    /// Gives an order that nothing is reported of.
    pub(crate) async fn order(&mut self, order: &Order) -> io::Result<()> {
        frames::send(&mut self.orders, order).await
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

/// Why there is no report of an end.
pub(crate) enum Stopped {
    Fault(Fault),
    /// It did not heed its deadline and was killed, after so long.
    Late(Duration),
}

/// A report that answers no order of this kind.
pub(crate) fn out_of_turn<T>() -> (Result<T, Fault>, After) {
    (Err(Fault::Lost { reason: "the worker spoke out of turn".to_owned() }), After::Broken)
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
