//! Keeps one worker process alive, gives it one piece of work at a time, and starts another when it must go.

use std::time::Duration;

use switchtower_contract::InterpreterId;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::connection::After;
use crate::process::{Command, Process, Renewal, StartError};

/// A worker that does not come up is tried again after this long, then twice as long, up to [`LONGEST_PAUSE`].
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(50);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Whether a worker process is there to be given work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It is being started.
    Starting,
    Up(InterpreterId),
    /// The last start failed; it is tried again.
    Failing,
}

/// Answers the caller of a piece of work. A keeper calls it once a broken process is out of use, so that what the caller
/// does next is not given to that process.
pub(crate) type Reply = Box<dyn FnOnce() + Send>;

/// What a worker is given.
pub(crate) trait Work {
    /// Has it done; returns what became of the process, and the answer to the caller.
    async fn done_by(self, process: &mut Process) -> (After, Reply);

    /// There is no worker to do it.
    fn refused(self, error: &StartError);
}

/// How long a process has served.
pub(crate) struct Service {
    pub(crate) work: u64,
    pub(crate) until: Option<Instant>,
}

impl Service {
    pub(crate) fn begins(renewal: Option<Renewal>) -> Self {
        Self { work: 0, until: renewal.map(|renewal| Instant::now() + renewal.age) }
    }

    pub(crate) fn is_over(&self, renewal: Option<Renewal>) -> bool {
        renewal.is_some_and(|renewal| self.work >= renewal.after)
            || self.until.is_some_and(|until| until <= Instant::now())
    }

    /// Resolves when it is too old.
    pub(crate) async fn ages(until: Option<Instant>) {
        match until {
            Some(until) => sleep_until(until).await,
            None => std::future::pending().await,
        }
    }
}

/// Keeps one worker alive until it is told to stop. Nothing is lost by starting without a process: the work waits. A worker
/// that has served its time is replaced when the next one is ready, and when it is `free` to go.
pub(crate) async fn keep<W: Work>(
    mut current: Option<Process>,
    command: Command,
    mut queue: mpsc::UnboundedReceiver<W>,
    mut stop: watch::Receiver<bool>,
    free: impl Fn() -> bool,
    changed: impl Fn(Presence),
) {
    let mut pause = FIRST_PAUSE;
    let mut service = Service::begins(command.renewal);
    // The next process, while it starts. At most one.
    let mut next = JoinSet::new();
    loop {
        let Some(process) = &mut current else {
            if pause == FIRST_PAUSE {
                changed(Presence::Starting);
            }
            next.shutdown().await;
            tokio::select! {
                started = Process::start(&command) => match started {
                    Ok(process) => {
                        changed(Presence::Up(process.interpreter));
                        current = Some(process);
                        pause = FIRST_PAUSE;
                        service = Service::begins(command.renewal);
                    }
                    Err(error) => {
                        tracing::error!(%error, "a worker does not come up");
                        changed(Presence::Failing);
                        refuse_while(&mut queue, |work: W| work.refused(&error), sleep(pause)).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                },
                () = told_to(&mut stop) => return,
            }
            continue;
        };
        if next.is_empty() && service.is_over(command.renewal) && free() {
            let command = command.clone();
            next.spawn(async move { Process::start(&command).await });
        }
        let work = tokio::select! {
            work = queue.recv() => work,
            Some(started) = next.join_next() => {
                service = Service::begins(command.renewal);
                match started {
                    // What came to live in the old one meanwhile is not taken from it.
                    Ok(Ok(_)) if !free() => {}
                    Ok(Ok(process)) => {
                        changed(Presence::Up(process.interpreter));
                        if let Some(old) = current.replace(process) {
                            old.stop().await;
                        }
                    }
                    Ok(Err(error)) => tracing::warn!(%error, "a worker's replacement does not come up: the old one stays"),
                    Err(error) => tracing::warn!(%error, "a worker's replacement does not come up: the old one stays"),
                }
                continue;
            }
            () = Service::ages(service.until), if next.is_empty() && free() => continue,
            how = process.ended() => {
                tracing::warn!(how, "an idle worker ended");
                current = None;
                continue;
            }
            () = told_to(&mut stop) => None,
        };
        let (after, reply) = match work {
            Some(work) => tokio::select! {
                (after, reply) = work.done_by(process) => {
                    service.work += 1;
                    (after, Some(reply))
                }
                () = told_to(&mut stop) => (After::Broken, None),
            },
            None => {
                if let Some(process) = current.take() {
                    process.stop().await;
                }
                return;
            }
        };
        let is_broken = matches!(after, After::Broken);
        if is_broken {
            changed(Presence::Starting);
        }
        if let Some(reply) = reply {
            reply();
        }
        if is_broken && let Some(process) = current.take() {
            process.stop().await;
        }
    }
}

/// Resolves when the workers are shut down, or nobody is left to do so.
pub(crate) async fn told_to(stop: &mut watch::Receiver<bool>) {
    // An error says that the sender is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// While a worker cannot be had, whoever comes is told so at once rather than kept waiting.
pub(crate) async fn refuse_while<W>(
    queue: &mut mpsc::UnboundedReceiver<W>,
    refuse: impl Fn(W),
    pause: impl Future<Output = ()>,
) {
    tokio::pin!(pause);
    loop {
        tokio::select! {
            () = &mut pause => return,
            work = queue.recv() => match work {
                Some(work) => refuse(work),
                None => return,
            },
        }
    }
}
