//! Supervises one worker process with kernels: gives it as many jobs at a time as it has connections.

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::connection::{Condition, Connection};
use crate::kernel_job::KernelJob;
use crate::process::{LaunchConfig, Process};
use crate::supervisor::{Age, FIRST_PAUSE, MAX_PAUSE, Reply, reject_during, stopped, warn_of_no_replacement};

/// A worker process and the jobs that run on its connections.
struct KernelProcess {
    process: Process,
    idle: Vec<Connection>,
    jobs: JoinSet<FinishedJob>,
    age: Age,
}

/// The result of a job for the supervisor.
enum FinishedJob {
    /// Its connection, which can be used again. The caller has its answer.
    Usable(Connection),
    /// The answer for the caller, who gets it after the process is out of use.
    Broken(Reply),
}

impl KernelProcess {
    fn new(mut process: Process, config: &LaunchConfig) -> Self {
        let idle = process.take_connections();
        Self { process, idle, jobs: JoinSet::new(), age: Age::start(config.lifetime) }
    }

    /// Ends the process. The jobs that run in it are lost.
    async fn end(mut self) {
        self.jobs.shutdown().await;
        self.process.stop().await;
    }
}

/// Keeps one worker process running until `stop` is set. Jobs wait in the queue while there is no process. A process
/// that has served its lifetime is replaced when the next one is ready and `has_no_kernels` holds.
pub(crate) async fn supervise_kernels(
    config: LaunchConfig,
    mut queue: mpsc::UnboundedReceiver<KernelJob>,
    mut stop: watch::Receiver<bool>,
    has_no_kernels: impl Fn() -> bool,
) {
    let mut pause = FIRST_PAUSE;
    let mut current: Option<KernelProcess> = None;
    // The next process while it starts. There is at most one.
    let mut next = JoinSet::new();
    loop {
        let Some(running) = &mut current else {
            next.shutdown().await;
            tokio::select! {
                started = Process::start(&config) => match started {
                    Ok(process) => {
                        current = Some(KernelProcess::new(process, &config));
                        pause = FIRST_PAUSE;
                    }
                    Err(error) => {
                        tracing::error!(%error, "a worker cannot be started");
                        reject_during(&mut queue, |job: KernelJob| job.reject(&error), sleep(pause)).await;
                        pause = (pause * 2).min(MAX_PAUSE);
                    }
                },
                () = stopped(&mut stop) => return,
            }
            continue;
        };
        if next.is_empty() && running.age.is_over(config.lifetime) && running.jobs.is_empty() && has_no_kernels() {
            let config = config.clone();
            next.spawn(async move { Process::start(&config).await });
        }
        let is_usable = tokio::select! {
            job = queue.recv(), if !running.idle.is_empty() => match (job, running.idle.pop()) {
                (Some(job), Some(mut connection)) => {
                    running.jobs.spawn(async move {
                        match job.perform(&mut connection).await {
                            (Condition::Usable, reply) => {
                                reply();
                                FinishedJob::Usable(connection)
                            }
                            (Condition::Broken, reply) => FinishedJob::Broken(reply),
                        }
                    });
                    true
                }
                _ => {
                    if let Some(running) = current.take() {
                        running.end().await;
                    }
                    return;
                }
            },
            Some(finished) = running.jobs.join_next() => {
                running.age.runs += 1;
                match finished {
                    Ok(FinishedJob::Usable(connection)) => {
                        running.idle.push(connection);
                        true
                    }
                    Ok(FinishedJob::Broken(reply)) => {
                        if let Some(running) = current.take() {
                            running.end().await;
                        }
                        reply();
                        continue;
                    }
                    Err(_) => false,
                }
            }
            Some(started) = next.join_next() => {
                running.age = Age::start(config.lifetime);
                match started {
                    // The old process has got a kernel meanwhile and stays.
                    Ok(Ok(_)) if !running.jobs.is_empty() || !has_no_kernels() => {}
                    Ok(Ok(process)) => {
                        if let Some(old) = current.replace(KernelProcess::new(process, &config)) {
                            old.end().await;
                        }
                        continue;
                    }
                    Ok(Err(error)) => warn_of_no_replacement(&error),
                    Err(error) => warn_of_no_replacement(&error),
                }
                true
            }
            () = Age::wait_until(running.age.expires_at),
                if next.is_empty() && running.jobs.is_empty() && has_no_kernels() => true,
            status = running.process.ended() => {
                tracing::warn!(status, "a worker with kernels ended");
                false
            }
            () = stopped(&mut stop) => {
                if let Some(running) = current.take() {
                    running.end().await;
                }
                return;
            }
        };
        if !is_usable && let Some(running) = current.take() {
            running.end().await;
        }
    }
}
