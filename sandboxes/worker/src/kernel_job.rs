//! The jobs of a worker process with kernels: cells, internal code, and the closing of kernels.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use switchtower_contract::{
    Cell, CellOutcome, Escalation, Events, Exit, Fault, KernelOptions, Language, Limits, Need, Outcome, Usage,
};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot, watch};
use tokio::time::timeout;

use crate::connection::{CommandError, Condition, Connection, unexpected_report};
use crate::frames::{KernelNumber, WorkerCommand, WorkerReport};
use crate::process::StartError;
use crate::supervisor::Reply;

/// The longest that closing a kernel may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Adds one to a count until it is dropped.
pub(crate) struct CountGuard(Arc<AtomicUsize>);

impl CountGuard {
    pub(crate) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for CountGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Exclusive use of a kernel. A cell whose caller has left holds it until the cell has ended.
pub(crate) type KernelLock = OwnedMutexGuard<()>;

/// A job that a supervisor sends to its process.
pub(crate) enum KernelJob {
    Cell {
        kernel: KernelNumber,
        language: Language,
        options: KernelOptions,
        /// Set when the command to create the kernel has been sent to the worker.
        is_created: Arc<AtomicBool>,
        closings: Arc<KernelClosings>,
        cell: Box<Cell>,
        limits: Limits,
        events: Events,
        /// Closed when the caller leaves.
        reply: oneshot::Sender<Result<CellOutcome, Fault>>,
        guards: (KernelLock, QueuedCell),
    },
    Internal {
        kernel: KernelNumber,
        code: String,
        max_time: Duration,
        reply: oneshot::Sender<Result<String, Fault>>,
        guards: (KernelLock, QueuedCell),
    },
    Close {
        kernel: KernelNumber,
        locks: Arc<Mutex<()>>,
        /// `None`: a cell of the kernel may still run, and the job waits for it.
        lock: Option<KernelLock>,
        /// `None`: the kernel is restarted, and stays in the count.
        counted: Option<CountedKernel>,
        closing: ClosingGuard,
    },
}

/// A cell that waits for a process, or runs in it.
pub(crate) struct QueuedCell(#[allow(dead_code, reason = "counts until it is dropped")] pub(crate) CountGuard);
/// A kernel of a process.
pub(crate) struct CountedKernel(#[allow(dead_code, reason = "counts until it is dropped")] pub(crate) CountGuard);

/// The numbers of kernel closings that were sent to a process, and of those that are complete.
#[derive(Default)]
pub(crate) struct KernelClosings {
    begun: AtomicU64,
    complete: watch::Sender<u64>,
}

impl KernelClosings {
    /// Waits for the closings that are under way. Returns whether there were any.
    async fn wait(&self) -> bool {
        let begun = self.begun.load(Ordering::Relaxed);
        if *self.complete.borrow() >= begun {
            return false;
        }
        // The sender is a field of this value. A closing that takes too long ends its process.
        let _ = timeout(CLOSE_TIMEOUT, self.complete.subscribe().wait_for(|complete| *complete >= begun)).await;
        true
    }
}

/// A closing that is under way until this is dropped.
pub(crate) struct ClosingGuard(Arc<KernelClosings>);

impl ClosingGuard {
    pub(crate) fn new(closings: &Arc<KernelClosings>) -> Self {
        closings.begun.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(closings))
    }
}

impl Drop for ClosingGuard {
    fn drop(&mut self) {
        self.0.complete.send_modify(|complete| *complete += 1);
    }
}

/// Returns the fault for a job whose process ended before the job did.
pub(crate) fn process_ended() -> Fault {
    Fault::Lost { reason: "the kernel's process has ended".to_owned() }
}

impl KernelJob {
    /// Runs the job. Returns whether the connection can be used again, and the answer to the caller.
    pub(crate) async fn perform(self, connection: &mut Connection) -> (Condition, Reply) {
        match self {
            Self::Cell { kernel, language, options, is_created, closings, cell, limits, events, mut reply, guards } => {
                if reply.is_closed() {
                    // The caller left while the job waited; the kernel is unchanged.
                    return (Condition::Usable, Box::new(|| ()));
                }
                let options = (!is_created.swap(true, Ordering::Relaxed)).then_some(options);
                let is_new = options.is_some();
                let (time_limit, escalation) = (limits.wall, limits.escalation);
                let command = WorkerCommand::RunCell { kernel, language, options, cell: *cell, limits };
                let (mut end, mut condition) =
                    connection.execute(&command, time_limit, Some(&events), reply.closed()).await;
                let is_refused = matches!(&end, Ok(WorkerReport::CellEnded(Err(Fault::Refused { .. }))));
                if is_new && is_refused && closings.wait().await {
                    // The process was full while other kernels were being closed.
                    (end, condition) = connection.execute(&command, time_limit, Some(&events), reply.closed()).await;
                }
                let (outcome, condition) = match end {
                    Ok(WorkerReport::CellEnded(outcome)) => (outcome, condition),
                    Ok(_) => unexpected_report(),
                    Err(CommandError::Fault(fault)) => (Err(fault), condition),
                    Err(CommandError::Disconnected(_)) => (Err(process_ended()), condition),
                    Err(CommandError::DeadlineExceeded(ran)) => {
                        (killed_at_its_deadline(time_limit, escalation, ran), condition)
                    }
                };
                if is_new && matches!(outcome, Err(Fault::Refused { .. })) {
                    // Nothing ran, and there is no such kernel: the next cell may create it.
                    is_created.store(false, Ordering::Relaxed);
                }
                drop(events);
                let answer = move || {
                    // An error means that the caller has left.
                    let _ = reply.send(outcome);
                    drop(guards);
                };
                (condition, Box::new(answer))
            }
            Self::Internal { kernel, code, max_time, mut reply, guards } => {
                let command = WorkerCommand::RunInternal { kernel, code, max_time };
                let (end, condition) = connection.execute(&command, max_time, None, reply.closed()).await;
                let (printed, condition) = match end {
                    Ok(WorkerReport::InternalOutput(printed)) => (printed, condition),
                    Ok(_) => unexpected_report(),
                    Err(CommandError::Fault(fault)) => (Err(fault), condition),
                    Err(CommandError::Disconnected(_)) => (Err(process_ended()), condition),
                    Err(CommandError::DeadlineExceeded(_)) => {
                        (Err(Fault::Lost { reason: "a kernel does not answer".to_owned() }), condition)
                    }
                };
                let answer = move || {
                    let _ = reply.send(printed);
                    drop(guards);
                };
                (condition, Box::new(answer))
            }
            Self::Close { kernel, locks, lock, counted: _counted, closing: _closing } => {
                let _lock = match lock {
                    Some(lock) => lock,
                    None => locks.lock_owned().await,
                };
                let command = WorkerCommand::CloseKernel { kernel };
                match connection.execute(&command, CLOSE_TIMEOUT, None, std::future::pending()).await {
                    (Ok(WorkerReport::KernelClosed), condition) => (condition, Box::new(|| ())),
                    _ => (Condition::Broken, Box::new(|| ())),
                }
            }
        }
    }

    /// Answers the caller that there is no process to run the job.
    pub(crate) fn reject(self, error: &StartError) {
        let why = || Fault::Unavailable { reason: error.to_string() };
        match self {
            // An error means that the caller has left.
            Self::Cell { reply, .. } => drop(reply.send(Err(why()))),
            Self::Internal { reply, .. } => drop(reply.send(Err(why()))),
            Self::Close { .. } => {}
        }
    }
}

fn killed_at_its_deadline(time_limit: Duration, escalation: Escalation, ran: Duration) -> Result<CellOutcome, Fault> {
    match escalation {
        Escalation::OnNeed => Err(Fault::Unsupported(Need::Time(time_limit))),
        Escalation::Never => {
            let usage = Usage { wall: ran, ..Usage::default() };
            let outcome = Outcome { exit: Exit::TimedOut, observed: None, truncated: false, usage, unmet_need: None };
            Ok(CellOutcome { outcome, changes: Vec::new(), tape: None, alive: false })
        }
    }
}
