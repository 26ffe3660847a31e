//! The workers of one backend: kept alive, given one program at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use switchtower_contract::{Backend, Events, Fault, Limits, Offer, Outcome, Program, Sandbox, Spec, Upkeep};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::jail::Layer;
use crate::keeper::{Work, keep};
use crate::process::{After, Command, Process, StartError};

/// How many workers, and how they are started.
#[derive(Debug, Clone)]
pub struct Config {
    pub command: Command,
    /// Programs that run at once. One per core: more share the cores, and none is faster for it.
    pub workers: usize,
}

/// A backend whose programs run in worker processes.
pub struct Workers {
    offer: Offer,
    bench: Arc<Bench>,
    layers: Vec<Layer>,
    stop: watch::Sender<bool>,
    /// The keepers, one per worker: they end when `stop` is set, and die with this.
    keepers: tokio::sync::Mutex<JoinSet<()>>,
}

/// Workers that wait for a program, the longest rested first: it has had the most time to prepare.
struct Bench {
    resting: Mutex<VecDeque<mpsc::UnboundedSender<Job>>>,
    seats: Arc<Semaphore>,
}

struct Job {
    program: Program,
    limits: Limits,
    events: Events,
    /// Closed when the caller leaves.
    ended: oneshot::Sender<Result<Outcome, Fault>>,
}

impl Workers {
    /// Starts all workers and waits until they are ready.
    ///
    /// # Errors
    /// One of them did not come up.
    pub async fn start(offer: Offer, config: &Config) -> Result<Self, StartError> {
        let bench = Arc::new(Bench { resting: Mutex::default(), seats: Arc::new(Semaphore::new(config.workers)) });
        let (stop, stopped) = watch::channel(false);
        let mut starting = JoinSet::new();
        for _ in 0..config.workers {
            let command = config.command.clone();
            starting.spawn(async move { Process::start(&command).await });
        }
        let mut layers = Vec::new();
        let mut keepers = JoinSet::new();
        while let Some(started) = starting.join_next().await {
            let process = started.map_err(|e| StartError::Failed(e.to_string()))??;
            layers.clone_from(&process.layers);
            let (jobs, queue) = mpsc::unbounded_channel();
            bench.rest(jobs);
            keepers.spawn(keep(Some(process), config.command.clone(), queue, stopped.clone(), || true));
        }
        Ok(Self { offer, bench, layers, stop, keepers: tokio::sync::Mutex::new(keepers) })
    }

    /// The layers of the workers' jail, as the workers found them.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Ends every worker and waits for it. Programs that still run are lost.
    pub async fn shutdown(&self) {
        self.bench.seats.close();
        // Nobody listening means that all keepers have ended.
        let _ = self.stop.send(true);
        let mut keepers = self.keepers.lock().await;
        while keepers.join_next().await.is_some() {}
    }
}

impl Bench {
    fn rest(&self, worker: mpsc::UnboundedSender<Job>) {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner).push_back(worker);
    }

    fn rise(&self) -> Option<mpsc::UnboundedSender<Job>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

#[async_trait]
impl Backend for Workers {
    fn offer(&self) -> Offer {
        self.offer.clone()
    }

    async fn open(&self, _spec: &Spec) -> Result<Box<dyn Sandbox>, Fault> {
        let closed = || Fault::Unavailable { reason: "the workers are shut down".into() };
        let seat = Arc::clone(&self.bench.seats).acquire_owned().await.map_err(|_| closed())?;
        let worker = self.bench.rise().ok_or_else(closed)?;
        Ok(Box::new(Leased { worker: Some(worker), bench: Arc::clone(&self.bench), _seat: seat }))
    }
}

/// A worker that somebody has. It goes back to the bench when this is dropped; a program that still runs then is being
/// cancelled, and the next one waits for that.
struct Leased {
    worker: Option<mpsc::UnboundedSender<Job>>,
    bench: Arc<Bench>,
    /// Freed after the worker is back on the bench: fields are dropped after `drop`.
    _seat: tokio::sync::OwnedSemaphorePermit,
}

impl Drop for Leased {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            self.bench.rest(worker);
        }
    }
}

#[async_trait]
impl Sandbox for Leased {
    async fn run(&mut self, program: &Program, limits: &Limits, events: &Events) -> Result<Outcome, Fault> {
        let gone = || Fault::Unavailable { reason: "the worker's keeper has ended".into() };
        let (ended, outcome) = oneshot::channel();
        let job = Job { program: program.clone(), limits: limits.clone(), events: events.clone(), ended };
        self.worker.as_ref().ok_or_else(gone)?.send(job).map_err(|_| gone())?;
        outcome.await.unwrap_or_else(|_| Err(Fault::Lost { reason: "the workers were shut down".into() }))
    }

    async fn reset(&mut self) -> Result<(), Fault> {
        // Every program has an instance of its own.
        Ok(())
    }

    async fn keep(&mut self, _how: Upkeep) -> Result<(), Fault> {
        // Its keeper starts a worker that died again.
        Ok(())
    }
}

impl Work for Job {
    async fn done_by(self, process: &mut Process) -> After {
        let Self { program, limits, events, mut ended } = self;
        let (outcome, after) = process.run(program, limits, &events, ended.closed()).await;
        drop(events);
        // The caller may have left; then nobody waits for this.
        let _ = ended.send(outcome);
        after
    }

    fn refused(self, error: &StartError) {
        let _ = self.ended.send(Err(Fault::Unavailable { reason: error.to_string() }));
    }
}
