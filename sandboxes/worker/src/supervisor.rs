//! Supervises one worker process: gives it one piece of work at a time, and starts another when it ends or has served
//! its lifetime.

use std::time::Duration;

use switchtower_contract::InterpreterId;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::connection::Condition;
use crate::process::{LaunchConfig, Process, StartError, WorkerLifetime};

/// The pause after a failed start. It doubles with every further failure, up to [`MAX_PAUSE`].
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(50);
pub(crate) const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Whether a worker process is available for work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Availability {
    /// It is being started.
    Starting,
    Up(InterpreterId),
    /// The last start failed, and the next attempt follows.
    Failing,
}

/// Answers the caller of a piece of work. A supervisor calls it after a broken process is out of use, so that the
/// caller's next work does not go to that process.
pub(crate) type Reply = Box<dyn FnOnce() + Send>;

/// A piece of work for a worker process.
pub(crate) trait Work {
    /// Has the process do it. Returns whether the process can be used again, and the answer to the caller.
    async fn perform(self, process: &mut Process) -> (Condition, Reply);

    /// Answers the caller that there is no process to do it.
    fn reject(self, error: &StartError);
}

/// How much of its [`WorkerLifetime`] a process has used.
pub(crate) struct Age {
    pub(crate) runs: u64,
    pub(crate) expires_at: Option<Instant>,
}

impl Age {
    pub(crate) fn start(lifetime: Option<WorkerLifetime>) -> Self {
        Self { runs: 0, expires_at: lifetime.map(|lifetime| Instant::now() + lifetime.max_age) }
    }

    pub(crate) fn is_over(&self, lifetime: Option<WorkerLifetime>) -> bool {
        lifetime.is_some_and(|lifetime| self.runs >= lifetime.max_runs)
            || self.expires_at.is_some_and(|at| at <= Instant::now())
    }

    /// Resolves at this time; `None`: never.
    pub(crate) async fn wait_until(expires_at: Option<Instant>) {
        match expires_at {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

/// Keeps one worker process running until `stop` is set. It may begin without a process: work waits in the queue
/// meanwhile. A process that has served its lifetime is replaced when the next one is ready and `may_replace` allows
/// it.
pub(crate) async fn supervise<W: Work>(
    mut current: Option<Process>,
    config: LaunchConfig,
    mut queue: mpsc::UnboundedReceiver<W>,
    mut stop: watch::Receiver<bool>,
    may_replace: impl Fn() -> bool,
    set_availability: impl Fn(Availability),
) {
    let mut pause = FIRST_PAUSE;
    let mut age = Age::start(config.lifetime);
    // The next process while it starts. There is at most one.
    let mut next = JoinSet::new();
    loop {
        let Some(process) = &mut current else {
            if pause == FIRST_PAUSE {
                set_availability(Availability::Starting);
            }
            next.shutdown().await;
            tokio::select! {
                started = Process::start(&config) => match started {
                    Ok(process) => {
                        set_availability(Availability::Up(process.interpreter));
                        current = Some(process);
                        pause = FIRST_PAUSE;
                        age = Age::start(config.lifetime);
                    }
                    Err(error) => {
                        tracing::error!(%error, "a worker cannot be started");
                        set_availability(Availability::Failing);
                        reject_during(&mut queue, |work: W| work.reject(&error), sleep(pause)).await;
                        pause = (pause * 2).min(MAX_PAUSE);
                    }
                },
                () = stopped(&mut stop) => return,
            }
            continue;
        };
        if next.is_empty() && age.is_over(config.lifetime) && may_replace() {
            let config = config.clone();
            next.spawn(async move { Process::start(&config).await });
        }
        let work = tokio::select! {
            work = queue.recv() => work,
            Some(started) = next.join_next() => {
                age = Age::start(config.lifetime);
                match started {
                    // The old process has got work or kernels meanwhile that it must keep.
                    Ok(Ok(_)) if !may_replace() => {}
                    Ok(Ok(process)) => {
                        set_availability(Availability::Up(process.interpreter));
                        if let Some(old) = current.replace(process) {
                            old.stop().await;
                        }
                    }
                    Ok(Err(error)) => warn_of_no_replacement(&error),
                    Err(error) => warn_of_no_replacement(&error),
                }
                continue;
            }
            () = Age::wait_until(age.expires_at), if next.is_empty() && may_replace() => continue,
            status = process.ended() => {
                tracing::warn!(status, "an idle worker ended");
                current = None;
                continue;
            }
            () = stopped(&mut stop) => None,
        };
        let (condition, reply) = match work {
            Some(work) => tokio::select! {
                (condition, reply) = work.perform(process) => {
                    age.runs += 1;
                    (condition, Some(reply))
                }
                () = stopped(&mut stop) => (Condition::Broken, None),
            },
            None => {
                if let Some(process) = current.take() {
                    process.stop().await;
                }
                return;
            }
        };
        let is_broken = matches!(condition, Condition::Broken);
        if is_broken {
            set_availability(Availability::Starting);
        }
        if let Some(reply) = reply {
            reply();
        }
        if is_broken && let Some(process) = current.take() {
            process.stop().await;
        }
    }
}

pub(crate) fn warn_of_no_replacement(error: &dyn std::fmt::Display) {
    tracing::warn!(%error, "the replacement of a worker cannot be started; the old worker stays");
}

/// Resolves when the workers are shut down, or when the sender has been dropped.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender has been dropped.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Rejects all work that comes until `pause` resolves: while there is no worker, callers get an error at once.
pub(crate) async fn reject_during<W>(
    queue: &mut mpsc::UnboundedReceiver<W>,
    reject: impl Fn(W),
    pause: impl Future<Output = ()>,
) {
    tokio::pin!(pause);
    loop {
        tokio::select! {
            () = &mut pause => return,
            work = queue.recv() => match work {
                Some(work) => reject(work),
                None => return,
            },
        }
    }
}
