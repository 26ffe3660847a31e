//! Keeps one worker process alive, gives it one piece of work at a time, and starts another when it must go.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::process::{After, Command, Process, StartError};

/// A worker that does not come up is tried again after this long, then twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a worker is given.
pub(crate) trait Work {
    /// Has it done, and tells whoever waits for it.
    async fn done_by(self, process: &mut Process) -> After;

    /// There is no worker to do it.
    fn refused(self, error: &StartError);
}

/// Keeps one worker alive until it is told to stop. Nothing is lost by starting without a process: the work waits.
pub(crate) async fn keep<W: Work>(
    mut current: Option<Process>,
    command: Command,
    mut queue: mpsc::UnboundedReceiver<W>,
    mut stop: watch::Receiver<bool>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let Some(process) = &mut current else {
            tokio::select! {
                started = Process::start(&command) => match started {
                    Ok(process) => {
                        current = Some(process);
                        pause = FIRST_PAUSE;
                    }
                    Err(error) => {
                        tracing::error!(%error, "a worker does not come up");
                        refuse_while(&mut queue, &error, sleep(pause)).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                },
                () = told_to(&mut stop) => return,
            }
            continue;
        };
        let work = tokio::select! {
            work = queue.recv() => work,
            how = process.ended() => {
                tracing::warn!(how, "an idle worker ended");
                current = None;
                continue;
            }
            () = told_to(&mut stop) => None,
        };
        let after = match work {
            Some(work) => tokio::select! {
                after = work.done_by(process) => after,
                () = told_to(&mut stop) => After::Broken,
            },
            None => {
                if let Some(process) = current.take() {
                    process.stop().await;
                }
                return;
            }
        };
        if matches!(after, After::Broken)
            && let Some(process) = current.take()
        {
            process.stop().await;
        }
    }
}

/// Resolves when the workers are shut down, or nobody is left to do so.
async fn told_to(stop: &mut watch::Receiver<bool>) {
    // An error says that the sender is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// While a worker cannot be had, whoever comes is told so at once rather than kept waiting.
async fn refuse_while<W: Work>(
    queue: &mut mpsc::UnboundedReceiver<W>,
    error: &StartError,
    pause: impl Future<Output = ()>,
) {
    tokio::pin!(pause);
    loop {
        tokio::select! {
            () = &mut pause => return,
            work = queue.recv() => match work {
                Some(work) => work.refused(error),
                None => return,
            },
        }
    }
}
