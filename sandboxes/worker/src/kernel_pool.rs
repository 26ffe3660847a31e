//! Kernels in worker processes, many in each. As many cells run in a process at once as it has connections, each in
//! another kernel; a cell waits for the earlier cells of its own kernel alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use switchtower_contract::{Cell, CellOutcome, Events, Fault, Kernel, KernelOptions, Kernels, Language, Limits};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::frames::KernelNumber;
use crate::kernel_job::{
    ClosingGuard, CountGuard, CountedKernel, KernelClosings, KernelJob, KernelLock, QueuedCell, process_ended,
};
use crate::kernel_supervisor::supervise_kernels;
use crate::process::LaunchConfig;

/// The number of processes with kernels, and the limits of the kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelConfig {
    /// The number of processes.
    pub workers: usize,
    /// Cells that run in one process at once.
    pub concurrent_cells: usize,
    /// Bytes of memory that a kernel may have whose first run is internal code, which has no limits of its own.
    pub memory: u64,
    /// A cell that is cancelled is interrupted, and its kernel lives on.
    pub survives_interrupt: bool,
    /// The languages of the kernels.
    pub languages: &'static [Language],
}

/// Connections of a process beyond one for each concurrent cell: for short jobs, such as closing a kernel.
const SPARE_CONNECTIONS: usize = 2;
/// The time after which a cell may be retried that found the queue of its process full.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A few worker processes with kernels. A process that ends takes its kernels with it; their next cells fail.
pub struct KernelPool {
    workers: Vec<KernelWorker>,
    next_number: AtomicU64,
    config: KernelConfig,
    stop: watch::Sender<bool>,
    supervisors: Mutex<JoinSet<()>>,
}

/// A process and its load.
#[derive(Clone)]
struct KernelWorker {
    /// The queue of its supervisor. It is bounded by what kernels send: one cell each, `max_cells` in all, and their
    /// closings.
    jobs: mpsc::UnboundedSender<KernelJob>,
    /// Kernels in the process.
    kernels: Arc<AtomicUsize>,
    closings: Arc<KernelClosings>,
    /// Cells that run in it or wait for a connection.
    cells: Arc<AtomicUsize>,
    max_cells: usize,
}

impl KernelPool {
    /// Starts the processes and does not wait for them: the first cells do. Call it inside a runtime.
    pub fn start(launch: &LaunchConfig, config: KernelConfig) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut supervisors = JoinSet::new();
        let concurrent = config.concurrent_cells.max(1);
        let launch = LaunchConfig { connections: concurrent + SPARE_CONNECTIONS, ..launch.clone() };
        let workers = (0..config.workers.max(1)).map(|_| {
            let (jobs, queue) = mpsc::unbounded_channel();
            let kernels = Arc::<AtomicUsize>::default();
            let count = Arc::clone(&kernels);
            let has_no_kernels = move || count.load(Ordering::Relaxed) == 0;
            supervisors.spawn(supervise_kernels(launch.clone(), queue, stopped.clone(), has_no_kernels));
            let max_cells = concurrent * 2;
            KernelWorker { jobs, kernels, closings: Arc::default(), cells: Arc::default(), max_cells }
        });
        let workers = workers.collect();
        Self { workers, next_number: AtomicU64::new(0), config, stop, supervisors: Mutex::new(supervisors) }
    }

    /// Returns a new kernel in the worker with the fewest cells, and of those in the one with the fewest kernels. The
    /// worker creates it with its first cell.
    pub fn open(&self, language: Language, options: &KernelOptions) -> Box<dyn Kernel> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let load =
            |worker: &&KernelWorker| (worker.cells.load(Ordering::Relaxed), worker.kernels.load(Ordering::Relaxed));
        // There is at least one worker.
        let worker = self.workers.iter().min_by_key(load).unwrap_or(&self.workers[0]).clone();
        let counted = Some(CountedKernel(CountGuard::new(&worker.kernels)));
        Box::new(PooledKernel {
            worker,
            number,
            language,
            options: options.clone(),
            memory: self.config.memory,
            is_created: Arc::default(),
            locks: Arc::default(),
            counted,
            was_given_a_cell: false,
            survives_interrupt: self.config.survives_interrupt,
        })
    }

    /// Ends every worker and waits for it.
    pub async fn shutdown(&self) {
        // An error means that all supervisors have ended.
        let _ = self.stop.send(true);
        let mut supervisors = self.supervisors.lock().await;
        while supervisors.join_next().await.is_some() {}
    }
}

/// A handle to a kernel in a worker process. Dropping it closes the kernel.
struct PooledKernel {
    worker: KernelWorker,
    number: KernelNumber,
    language: Language,
    options: KernelOptions,
    /// The memory limit in bytes until a cell sets one.
    memory: u64,
    /// The command to create it has been sent to the worker.
    is_created: Arc<AtomicBool>,
    /// Serialises the jobs of this kernel.
    locks: Arc<Mutex<()>>,
    counted: Option<CountedKernel>,
    was_given_a_cell: bool,
    survives_interrupt: bool,
}

impl Drop for PooledKernel {
    fn drop(&mut self) {
        // A kernel without a cell was never created. The job waits for a cell that still runs or is about to.
        if self.was_given_a_cell {
            let (lock, counted) = (Arc::clone(&self.locks).try_lock_owned().ok(), self.counted.take());
            self.close(lock, counted);
        }
    }
}

impl PooledKernel {
    /// Creates the kernel with an empty cell, for internal code that runs before the first cell.
    async fn create(&mut self) -> Result<(), Fault> {
        // An empty cell prints nothing.
        let (events, _) = Events::channel();
        let limits = Limits { memory: self.memory, ..Limits::default() };
        let ran = self.run(&Cell::default(), &limits, &events).await?;
        if ran.alive { Ok(()) } else { Err(Fault::Lost { reason: "the kernel could not be created".to_owned() }) }
    }

    /// Has the worker close the kernel. Without `lock` a cell may still run, which is waited for.
    fn close(&self, lock: Option<KernelLock>, counted: Option<CountedKernel>) {
        let closing = ClosingGuard::new(&self.worker.closings);
        let job = KernelJob::Close { kernel: self.number, locks: Arc::clone(&self.locks), lock, counted, closing };
        // Without a supervisor there is no kernel either.
        let _ = self.worker.jobs.send(job);
    }

    /// Waits until no other job of this kernel runs, and takes a slot in the queue of its process.
    async fn admit(&self) -> Result<(KernelLock, QueuedCell), Fault> {
        let lock = Arc::clone(&self.locks).lock_owned().await;
        let counted = CountGuard::new(&self.worker.cells);
        let (max, cells) = (self.worker.max_cells, self.worker.cells.load(Ordering::Relaxed));
        if cells > max {
            let reason = format!("{} cells run or wait in this kernel's process; the limit is {max}", cells - 1);
            return Err(Fault::Refused { reason, retry_after: Some(RETRY_AFTER) });
        }
        Ok((lock, QueuedCell(counted)))
    }
}

fn shut_down() -> Fault {
    Fault::Unavailable { reason: "the workers are shut down".to_owned() }
}

#[async_trait]
impl Kernels for KernelPool {
    async fn open_kernel(&self, language: Language, options: &KernelOptions) -> Result<Box<dyn Kernel>, Fault> {
        Fault::check_language(language, |given| self.config.languages.contains(&given))?;
        Ok(self.open(language, options))
    }
}

#[async_trait]
impl Kernel for PooledKernel {
    async fn run(&mut self, cell: &Cell, limits: &Limits, events: &Events) -> Result<CellOutcome, Fault> {
        let guards = self.admit().await?;
        self.was_given_a_cell = true;
        let (reply, end) = oneshot::channel();
        let job = KernelJob::Cell {
            kernel: self.number,
            language: self.language,
            options: self.options.clone(),
            is_created: Arc::clone(&self.is_created),
            closings: Arc::clone(&self.worker.closings),
            cell: Box::new(cell.clone()),
            limits: limits.clone(),
            events: events.clone(),
            reply,
            guards,
        };
        self.worker.jobs.send(job).map_err(|_| shut_down())?;
        end.await.unwrap_or_else(|_| Err(process_ended()))
    }

    async fn run_internal(&mut self, code: &str, most: Duration) -> Result<String, Fault> {
        if !self.is_created.load(Ordering::Relaxed) {
            self.create().await?;
        }
        let guards = self.admit().await?;
        let (reply, end) = oneshot::channel();
        let job = KernelJob::Internal { kernel: self.number, code: code.to_owned(), max_time: most, reply, guards };
        self.worker.jobs.send(job).map_err(|_| shut_down())?;
        end.await.unwrap_or_else(|_| Err(process_ended()))
    }

    async fn restart(&mut self) -> Result<(), Fault> {
        // The next cell creates another under the same number, after this one is closed.
        let lock = Arc::clone(&self.locks).lock_owned().await;
        if self.is_created.swap(false, Ordering::Relaxed) {
            self.close(Some(lock), None);
        }
        Ok(())
    }

    fn survives_interrupt(&self) -> bool {
        self.survives_interrupt
    }
}
