//! The parent's end of a connection to a worker process. A connection carries one command at a time. A process with
//! kernels has several connections, so that several cells run in it at once and none waits for another's end or for
//! another's slow reader.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use switchtower_contract::{Events, Fault};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Instant;

use crate::descriptors;
use crate::frames::{self, Reader, WorkerCommand, WorkerReport};

/// The least time that a cancelled program has to stop before its worker is killed.
pub(crate) const CANCEL_GRACE: Duration = Duration::from_millis(100);

/// The parent's end of a connection.
pub(crate) struct Connection {
    reports: Reader<OwnedReadHalf>,
    commands: OwnedWriteHalf,
    grace: Duration,
}

/// Whether a connection can be used after a command.
pub(crate) enum Condition {
    /// It can carry the next command.
    Usable,
    /// Its process must be ended.
    Broken,
}

/// Why a command has no final report.
pub(crate) enum CommandError {
    Fault(Fault),
    /// The process has ended, or the connection is closed.
    Disconnected(io::Error),
    /// The command did not end within its time limit and the grace period. It had run for this long.
    DeadlineExceeded(Duration),
}

/// Returns the fault for a final report that does not belong to the command.
pub(crate) fn unexpected_report<T>() -> (Result<T, Fault>, Condition) {
    (Err(Fault::Lost { reason: "the worker sent an unexpected report".to_owned() }), Condition::Broken)
}

impl Connection {
    /// # Errors
    /// The runtime cannot register the descriptor.
    pub(crate) fn new(socket: StdUnixStream, grace: Duration) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let (reports, commands) = UnixStream::from_std(socket)?.into_split();
        Ok(Self { reports: Reader::new(reports), commands, grace })
    }

    /// Reads the bytes of the worker's first frame, its ready report.
    ///
    /// # Errors
    /// The process has ended, or the frame is too long.
    pub(crate) async fn ready_report(&mut self) -> io::Result<Vec<u8>> {
        self.reports.next_bytes().await
    }

    /// Sends a command and waits for its final report; cancels it when `caller_left` resolves. `time_limit` is the time
    /// that the command may take, without the grace period.
    pub(crate) async fn execute(
        &mut self,
        command: &WorkerCommand,
        time_limit: Duration,
        events: Option<&Events>,
        caller_left: impl Future<Output = ()>,
    ) -> (Result<WorkerReport, CommandError>, Condition) {
        let started = Instant::now();
        if let Err(e) = frames::send(&mut self.commands, command).await {
            // Nothing ran: a worker ignores a command that is not complete.
            let fault = Fault::Unavailable { reason: format!("the worker has ended: {e}") };
            return (Err(CommandError::Fault(fault)), Condition::Broken);
        }
        let lost =
            |reason: &str| (Err(CommandError::Fault(Fault::Lost { reason: reason.to_owned() })), Condition::Broken);
        tokio::pin!(caller_left);
        let mut deadline = started + time_limit + self.grace;
        let mut cancelled = false;
        loop {
            let report = tokio::select! {
                report = self.reports.next() => report,
                () = &mut caller_left, if !cancelled => {
                    cancelled = true;
                    deadline = deadline.min(Instant::now() + CANCEL_GRACE.max(self.grace));
                    if frames::send(&mut self.commands, &WorkerCommand::Cancel).await.is_err() {
                        return lost("it was cancelled");
                    }
                    continue;
                }
                () = tokio::time::sleep_until(deadline) => {
                    if cancelled {
                        return lost("it was cancelled");
                    }
                    tracing::warn!(?time_limit, "a run did not return within its grace period; its worker is killed");
                    return (Err(CommandError::DeadlineExceeded(started.elapsed())), Condition::Broken);
                }
            };
            match report {
                Ok(WorkerReport::Event(event)) => {
                    let Some(events) = events.filter(|_| !cancelled) else { continue };
                    // A slow reader must not delay the deadline.
                    tokio::select! {
                        _ = events.send(event) => {}
                        () = tokio::time::sleep_until(deadline) => {}
                    }
                }
                Ok(end) => return (Ok(end), Condition::Usable),
                Err(e) => return (Err(CommandError::Disconnected(e)), Condition::Broken),
            }
        }
    }
}

/// Opens `count` more connections and sends the worker its ends of them, in one message before all frames. Returns the
/// parent's ends.
///
/// # Errors
/// The system has no more descriptors.
pub(crate) fn send_connections(first: &StdUnixStream, count: usize) -> io::Result<Vec<StdUnixStream>> {
    let count = count.min(descriptors::MAX_PER_MESSAGE);
    let pairs: Vec<_> = (0..count).map(|_| StdUnixStream::pair()).collect::<io::Result<_>>()?;
    let workers_ends: Vec<BorrowedFd<'_>> = pairs.iter().map(|(_, worker)| worker.as_fd()).collect();
    // The socket is new, so that one byte fits without waiting.
    descriptors::send(first.as_fd(), &workers_ends)?;
    Ok(pairs.into_iter().map(|(parent, _)| parent).collect())
}
