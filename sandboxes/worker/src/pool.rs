//! The worker pool of one backend: processes that run one program at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use switchtower_contract::{
    Backend, Events, Fault, InterpreterId, Kernels, Limits, Machine, Maintenance, Offer, Outcome, Program, Sandbox,
    Spec,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::connection::Condition;
use crate::jail::Layer;
use crate::process::{LaunchConfig, Process, StartError};
use crate::supervisor::{Availability, Reply, Work, supervise};

/// The number of workers, and how they are started.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    pub launch: LaunchConfig,
    /// Programs that run at once. More than there are cores share them, and none is faster for it. At least two, so
    /// that one works while another is being replaced.
    pub workers: usize,
}

/// A backend whose programs run in worker processes.
pub struct WorkerPool {
    offer: Offer,
    runtime: Arc<str>,
    idle: Arc<IdleWorkers>,
    layers: Vec<Layer>,
    stop: watch::Sender<bool>,
    /// One supervisor for each worker. They end when `stop` is set, or when this is dropped.
    supervisors: tokio::sync::Mutex<JoinSet<()>>,
}

/// The workers that wait for a program.
struct IdleWorkers {
    /// The number of all workers, the busy ones included.
    workers: usize,
    /// The idle workers. The lock is held for a few instructions and never over an await.
    state: Mutex<VecDeque<Worker>>,
    /// One permit for each worker, given in the order of requests: its owner finds a worker here, once one is up.
    permits: Arc<Semaphore>,
    /// A worker was pushed, or the availability of one changed.
    changed: Notify,
}

/// The queue of a worker's supervisor, and whether there is a process behind it.
#[derive(Clone)]
struct Worker {
    jobs: mpsc::UnboundedSender<ProgramJob>,
    availability: Arc<Mutex<Availability>>,
}

struct ProgramJob {
    program: Program,
    limits: Limits,
    events: Events,
    /// Closed when the caller leaves.
    reply: oneshot::Sender<(Result<Outcome, Fault>, Option<InterpreterId>)>,
}

impl WorkerPool {
    /// Starts all workers and waits until they are ready. `runtime` is what [`Backend::runtime`] returns.
    ///
    /// # Errors
    /// One of them cannot be started.
    pub async fn start(offer: Offer, runtime: Arc<str>, config: &PoolConfig) -> Result<Self, StartError> {
        let idle = Arc::new(IdleWorkers {
            workers: config.workers,
            state: Mutex::default(),
            permits: Arc::new(Semaphore::new(config.workers)),
            changed: Notify::new(),
        });
        let (stop, stopped) = watch::channel(false);
        let mut starting = JoinSet::new();
        for _ in 0..config.workers {
            let launch = config.launch.clone();
            starting.spawn(async move { Process::start(&launch).await });
        }
        let mut layers = Vec::new();
        let mut supervisors = JoinSet::new();
        while let Some(started) = starting.join_next().await {
            let process = started.map_err(|e| StartError::Failed(e.to_string()))??;
            layers.clone_from(&process.layers);
            let (jobs, queue) = mpsc::unbounded_channel();
            let availability = Arc::new(Mutex::new(Availability::Up(process.interpreter)));
            let worker = Worker { jobs, availability: Arc::clone(&availability) };
            let pool = Arc::clone(&idle);
            let set_availability = move |now| {
                *availability.lock().unwrap_or_else(PoisonError::into_inner) = now;
                pool.changed.notify_waiters();
            };
            idle.push(worker);
            let launch = config.launch.clone();
            supervisors.spawn(supervise(Some(process), launch, queue, stopped.clone(), || true, set_availability));
        }
        Ok(Self { offer, runtime, idle, layers, stop, supervisors: tokio::sync::Mutex::new(supervisors) })
    }

    /// Returns the layers of the workers' jail, as the workers reported them.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Ends every worker and waits for it. Programs that still run are lost.
    pub async fn shutdown(&self) {
        self.idle.permits.close();
        self.idle.changed.notify_waiters();
        // An error means that all supervisors have ended.
        let _ = self.stop.send(true);
        let mut supervisors = self.supervisors.lock().await;
        while supervisors.join_next().await.is_some() {}
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

    /// Waits for a worker that is up: another one than `avoid_interpreter`, if such a one is idle. `None`: the pool is
    /// shut down.
    async fn pop(&self, avoid_interpreter: Option<InterpreterId>) -> Option<(Worker, OwnedSemaphorePermit)> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            if self.permits.is_closed() {
                return None;
            }
            if let Some(worker) = self.pick(avoid_interpreter) {
                return Some((worker, permit));
            }
            changed.await;
        }
    }

    /// Removes the best idle worker: one that is up and not `avoid_interpreter`, else any that is up; of equals the one
    /// that has been idle longest, which has had the most time to prepare. `None` where all are being started. If every
    /// worker fails to start, one of those: its answer has the reason.
    fn pick(&self, avoid_interpreter: Option<InterpreterId>) -> Option<Worker> {
        let mut state = self.state();
        let availability: Vec<Availability> = state.iter().map(Worker::availability).collect();
        let first = |fits: &dyn Fn(InterpreterId) -> bool| {
            availability.iter().position(|found| matches!(found, Availability::Up(id) if fits(*id)))
        };
        let at = first(&|id| Some(id) != avoid_interpreter).or_else(|| first(&|_| true)).or_else(|| {
            let all_fail = availability.iter().all(|found| *found == Availability::Failing);
            (all_fail && availability.len() == self.workers).then_some(0)
        })?;
        state.remove(at)
    }
}

impl Worker {
    fn availability(&self) -> Availability {
        *self.availability.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Backend for WorkerPool {
    fn offer(&self) -> Offer {
        self.offer.clone()
    }

    fn runtime(&self) -> Arc<str> {
        Arc::clone(&self.runtime)
    }

    async fn open(&self, spec: &Spec) -> Result<Box<dyn Sandbox>, Fault> {
        let closed = || Fault::Unavailable { reason: "the workers are shut down".into() };
        let (worker, permit) = self.idle.pop(spec.avoid_interpreter).await.ok_or_else(closed)?;
        let idle = Arc::clone(&self.idle);
        Ok(Box::new(LeasedWorker { worker: Some(worker), idle, interpreter: None, _permit: permit }))
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        None
    }
}

/// A worker in use. Dropping it makes the worker idle; a program that still runs then is being cancelled, and the next
/// one waits for its end.
struct LeasedWorker {
    worker: Option<Worker>,
    idle: Arc<IdleWorkers>,
    /// The interpreter of the last run.
    interpreter: Option<InterpreterId>,
    /// Released after the worker is idle again: fields are dropped after `drop`.
    _permit: OwnedSemaphorePermit,
}

impl Drop for LeasedWorker {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            self.idle.push(worker);
        }
    }
}

#[async_trait]
impl Sandbox for LeasedWorker {
    async fn run(&mut self, program: &Program, limits: &Limits, events: &Events) -> Result<Outcome, Fault> {
        let gone = || Fault::Unavailable { reason: "the worker's supervisor has ended".into() };
        let (reply, outcome) = oneshot::channel();
        let job = ProgramJob { program: program.clone(), limits: limits.clone(), events: events.clone(), reply };
        self.worker.as_ref().ok_or_else(gone)?.jobs.send(job).map_err(|_| gone())?;
        let shut_down = || (Err(Fault::Lost { reason: "the workers were shut down".into() }), None);
        let (outcome, interpreter) = outcome.await.unwrap_or_else(|_| shut_down());
        self.interpreter = interpreter;
        outcome
    }

    async fn reset(&mut self) -> Result<(), Fault> {
        // Every program has an instance of its own.
        Ok(())
    }

    async fn maintain(&mut self, _how: Maintenance) -> Result<(), Fault> {
        // The supervisor replaces a worker that has ended.
        Ok(())
    }

    fn interpreter(&self) -> Option<InterpreterId> {
        self.interpreter
    }

    fn machine(&self) -> Option<Arc<dyn Machine>> {
        None
    }
}

impl Work for ProgramJob {
    async fn perform(self, process: &mut Process) -> (Condition, Reply) {
        let Self { program, limits, events, mut reply } = self;
        let (outcome, condition) = process.run(program, limits, &events, reply.closed()).await;
        drop(events);
        let interpreter = Some(process.interpreter);
        // An error means that the caller has left.
        (condition, Box::new(move || drop(reply.send((outcome, interpreter)))))
    }

    fn reject(self, error: &StartError) {
        let _ = self.reply.send((Err(Fault::Unavailable { reason: error.to_string() }), None));
    }
}
