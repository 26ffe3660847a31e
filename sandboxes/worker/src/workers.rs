//! The workers of one backend: kept alive, given one program at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use switchtower_contract::{
    Backend, Events, Fault, InterpreterId, Limits, Offer, Outcome, Program, Sandbox, Spec, Upkeep,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::connection::After;
use crate::jail::Layer;
use crate::keeper::{Presence, Reply, Work, keep};
use crate::process::{Command, Process, StartError};

/// How many workers, and how they are started.
#[derive(Debug, Clone)]
pub struct Config {
    pub command: Command,
    /// Programs that run at once. More than there are cores share them, and none is faster for it; at least two, so that
    /// there is one while another is started again.
    pub workers: usize,
}

/// A backend whose programs run in worker processes.
pub struct Workers {
    offer: Offer,
    runtime: Arc<str>,
    idle: Arc<IdleWorkers>,
    layers: Vec<Layer>,
    stop: watch::Sender<bool>,
    /// The keepers, one per worker: they end when `stop` is set, and die with this.
    keepers: tokio::sync::Mutex<JoinSet<()>>,
}

/// Workers that wait for a program.
struct IdleWorkers {
    /// How many there are, the busy ones included.
    workers: usize,
    /// Protects which are idle; held for a few instructions and never over an await.
    state: Mutex<VecDeque<Worker>>,
    /// One for each worker: who has one finds a worker here, sooner or later, in the order of asking.
    permits: Arc<Semaphore>,
    /// A worker was pushed, or the presence of one changed.
    changed: Notify,
}

/// A worker's keeper, and whether there is a process behind it.
#[derive(Clone)]
struct Worker {
    jobs: mpsc::UnboundedSender<Job>,
    presence: Arc<Mutex<Presence>>,
}

struct Job {
    program: Program,
    limits: Limits,
    events: Events,
    /// Closed when the caller leaves.
    ended: oneshot::Sender<(Result<Outcome, Fault>, Option<InterpreterId>)>,
}

impl Workers {
    /// Starts all workers and waits until they are ready. `runtime` is what [`Backend::runtime`] returns.
    ///
    /// # Errors
    /// One of them did not come up.
    pub async fn start(offer: Offer, runtime: Arc<str>, config: &Config) -> Result<Self, StartError> {
        let idle = Arc::new(IdleWorkers {
            workers: config.workers,
            state: Mutex::default(),
            permits: Arc::new(Semaphore::new(config.workers)),
            changed: Notify::new(),
        });
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
            let worker = Worker { jobs, presence: Arc::new(Mutex::new(Presence::Up(process.interpreter))) };
            let (presence, watched) = (Arc::clone(&worker.presence), Arc::clone(&idle));
            let changed = move |now| {
                *presence.lock().unwrap_or_else(PoisonError::into_inner) = now;
                watched.changed.notify_waiters();
            };
            idle.push(worker);
            keepers.spawn(keep(Some(process), config.command.clone(), queue, stopped.clone(), || true, changed));
        }
        Ok(Self { offer, runtime, idle, layers, stop, keepers: tokio::sync::Mutex::new(keepers) })
    }

    /// The layers of the workers' jail, as the workers found them.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Ends every worker and waits for it. Programs that still run are lost.
    pub async fn shutdown(&self) {
        self.idle.permits.close();
        self.idle.changed.notify_waiters();
        // Nobody listening means that all keepers have ended.
        let _ = self.stop.send(true);
        let mut keepers = self.keepers.lock().await;
        while keepers.join_next().await.is_some() {}
    }
}

impl IdleWorkers {
    fn state(&self) -> MutexGuard<'_, VecDeque<Worker>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, worker: Worker) {
        self.state().push_back(worker);
        self.changed.notify_waiters();
    }

    /// Waits for a worker that is up: another one than `apart_from`, if such a one is idle. `None`: shut down.
    async fn pop(&self, apart_from: Option<InterpreterId>) -> Option<(Worker, OwnedSemaphorePermit)> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            if self.permits.is_closed() {
                return None;
            }
            if let Some(worker) = self.pick(apart_from) {
                return Some((worker, permit));
            }
            changed.await;
        }
    }

    /// The best of those that are idle. Of equals it is the one that has waited longest, which has had the most time to
    /// prepare. None where all are being started; one that does not come up where none does, which then says why.
    fn pick(&self, apart_from: Option<InterpreterId>) -> Option<Worker> {
        let mut state = self.state();
        let presences: Vec<Presence> = state.iter().map(Worker::presence).collect();
        let is = |fits: &dyn Fn(InterpreterId) -> bool| {
            presences.iter().position(|presence| matches!(presence, Presence::Up(id) if fits(*id)))
        };
        let at = is(&|id| Some(id) != apart_from).or_else(|| is(&|_| true)).or_else(|| {
            let all_fail = presences.iter().all(|presence| *presence == Presence::Failing);
            (all_fail && presences.len() == self.workers).then_some(0)
        })?;
        state.remove(at)
    }
}

impl Worker {
    fn presence(&self) -> Presence {
        *self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Backend for Workers {
    fn offer(&self) -> Offer {
        self.offer.clone()
    }

    fn runtime(&self) -> Arc<str> {
        Arc::clone(&self.runtime)
    }

    async fn open(&self, spec: &Spec) -> Result<Box<dyn Sandbox>, Fault> {
        let closed = || Fault::Unavailable { reason: "the workers are shut down".into() };
        let (worker, permit) = self.idle.pop(spec.apart_from).await.ok_or_else(closed)?;
        let idle = Arc::clone(&self.idle);
        Ok(Box::new(Leased { worker: Some(worker), idle, interpreter: None, _permit: permit }))
    }
}

/// A worker in use. It is idle again when this is dropped; a program that still runs then is being cancelled, and the next
/// one waits for that.
struct Leased {
    worker: Option<Worker>,
    idle: Arc<IdleWorkers>,
    /// That of the last run.
    interpreter: Option<InterpreterId>,
    /// Freed after the worker is idle again: fields are dropped after `drop`.
    _permit: OwnedSemaphorePermit,
}

impl Drop for Leased {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            self.idle.push(worker);
        }
    }
}

#[async_trait]
impl Sandbox for Leased {
    async fn run(&mut self, program: &Program, limits: &Limits, events: &Events) -> Result<Outcome, Fault> {
        let gone = || Fault::Unavailable { reason: "the worker's keeper has ended".into() };
        let (ended, outcome) = oneshot::channel();
        let job = Job { program: program.clone(), limits: limits.clone(), events: events.clone(), ended };
        self.worker.as_ref().ok_or_else(gone)?.jobs.send(job).map_err(|_| gone())?;
        let shut_down = || (Err(Fault::Lost { reason: "the workers were shut down".into() }), None);
        let (ran, interpreter) = outcome.await.unwrap_or_else(|_| shut_down());
        self.interpreter = interpreter;
        ran
    }

    async fn reset(&mut self) -> Result<(), Fault> {
        // Every program has an instance of its own.
        Ok(())
    }

    async fn keep(&mut self, _how: Upkeep) -> Result<(), Fault> {
        // Its keeper starts a worker that died again.
        Ok(())
    }

    fn interpreter(&self) -> Option<InterpreterId> {
        self.interpreter
    }
}

impl Work for Job {
    async fn done_by(self, process: &mut Process) -> (After, Reply) {
        let Self { program, limits, events, mut ended } = self;
        let (outcome, after) = process.run(program, limits, &events, ended.closed()).await;
        drop(events);
        let interpreter = Some(process.interpreter);
        // The caller may have left; then nobody waits for this.
        (after, Box::new(move || drop(ended.send((outcome, interpreter)))))
    }

    fn refused(self, error: &StartError) {
        let _ = self.ended.send((Err(Fault::Unavailable { reason: error.to_string() }), None));
    }
}
