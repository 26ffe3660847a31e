//! Keeps one worker process of kernels alive and gives it cells: as many at a time as it has connections.

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::connection::{After, Connection};
use crate::keeper::{FIRST_PAUSE, LONGEST_PAUSE, Reply, Service, refuse_while, told_to};
use crate::kernel_job::Job;
use crate::process::{Command, Process};

/// A process, and who uses its connections.
struct Busy {
    process: Process,
    idle: Vec<Connection>,
    /// What has broken its connection is answered once the process is out of use.
    jobs: JoinSet<Done>,
    service: Service,
}

/// A connection that a job is done with.
enum Done {
    Whole(Connection),
    Broken(Reply),
}

impl Busy {
    fn new(mut process: Process, command: &Command) -> Self {
        let idle = process.take_connections();
        Self { process, idle, jobs: JoinSet::new(), service: Service::begins(command.renewal) }
    }

    /// Ends the process. What still runs in it is lost.
    async fn end(mut self) {
        self.jobs.shutdown().await;
        self.process.stop().await;
    }
}

/// Keeps one worker alive until it is told to stop. Work waits while there is no process. A process that has served its
/// time is replaced when the next one is ready and it holds no kernels, which `is_free` tells.
pub(crate) async fn keep_kernels(
    command: Command,
    mut queue: mpsc::UnboundedReceiver<Job>,
    mut stop: watch::Receiver<bool>,
    is_free: impl Fn() -> bool,
) {
    let mut pause = FIRST_PAUSE;
    let mut current: Option<Busy> = None;
    // The next process, while it starts. At most one.
    let mut next = JoinSet::new();
    loop {
        let Some(busy) = &mut current else {
            next.shutdown().await;
            tokio::select! {
                started = Process::start(&command) => match started {
                    Ok(process) => {
                        current = Some(Busy::new(process, &command));
                        pause = FIRST_PAUSE;
                    }
                    Err(error) => {
                        tracing::error!(%error, "a worker does not come up");
                        refuse_while(&mut queue, |job: Job| job.refused(&error), sleep(pause)).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                },
                () = told_to(&mut stop) => return,
            }
            continue;
        };
        if next.is_empty() && busy.service.is_over(command.renewal) && busy.jobs.is_empty() && is_free() {
            let command = command.clone();
            next.spawn(async move { Process::start(&command).await });
        }
        let is_sound = tokio::select! {
            job = queue.recv(), if !busy.idle.is_empty() => match (job, busy.idle.pop()) {
                (Some(job), Some(mut connection)) => {
                    busy.jobs.spawn(async move {
                        match job.done_by(&mut connection).await {
                            (After::Whole, reply) => {
                                reply();
                                Done::Whole(connection)
                            }
                            (After::Broken, reply) => Done::Broken(reply),
                        }
                    });
                    true
                }
                _ => {
                    if let Some(busy) = current.take() {
                        busy.end().await;
                    }
                    return;
                }
            },
            Some(done) = busy.jobs.join_next() => {
                busy.service.work += 1;
                match done {
                    Ok(Done::Whole(connection)) => {
                        busy.idle.push(connection);
                        true
                    }
                    Ok(Done::Broken(reply)) => {
                        if let Some(busy) = current.take() {
                            busy.end().await;
                        }
                        reply();
                        continue;
                    }
                    Err(_) => false,
                }
            }
            Some(started) = next.join_next() => {
                busy.service = Service::begins(command.renewal);
                match started {
                    // What came to live in the old one meanwhile is not taken from it.
                    Ok(Ok(_)) if !busy.jobs.is_empty() || !is_free() => {}
                    Ok(Ok(process)) => {
                        if let Some(old) = current.replace(Busy::new(process, &command)) {
                            old.end().await;
                        }
                        continue;
                    }
                    Ok(Err(error)) => tracing::warn!(%error, "a worker's replacement does not come up: the old one stays"),
                    Err(error) => tracing::warn!(%error, "a worker's replacement does not come up: the old one stays"),
                }
                true
            }
            () = Service::ages(busy.service.until), if next.is_empty() && busy.jobs.is_empty() && is_free() => true,
            how = busy.process.ended() => {
                tracing::warn!(how, "a worker that keeps kernels ended");
                false
            }
            () = told_to(&mut stop) => {
                if let Some(busy) = current.take() {
                    busy.end().await;
                }
                return;
            }
        };
        if !is_sound && let Some(busy) = current.take() {
            busy.end().await;
        }
    }
}
