//! Kernels in worker processes: many in each. As many cells run in a process at once as it has connections, each of
//! another kernel; a cell waits for those of its own kernel alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use switchtower_contract::{Cell, Events, Fault, Kernel, Limits, Opening, Ran};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::frames::Number;
use crate::kernel_job::{Admitted, Counted, EndingKernel, Endings, Held, Job, Turn, ended_with_its_process};
use crate::kernel_keeper::keep_kernels;
use crate::process::Command;

/// How kernels are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// Processes.
    pub workers: usize,
    /// Cells that run in one process at once.
    pub cells: usize,
    /// Bytes of memory that a kernel may have which begins without a cell.
    pub memory: u64,
    /// A cell that is broken off is interrupted, and the kernel goes on.
    pub outlives_a_break: bool,
}

/// Connections of a process beyond those that cells run on at once: for what is short, such as the end of a kernel.
const SPARE_CONNECTIONS: usize = 2;
/// A cell that finds a process's queue full is told to come back after this long.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Keeps kernels in a few processes. A process that dies takes its kernels with it: their next cell is told so.
pub struct Kernels {
    workers: Vec<Worker>,
    numbers: AtomicU64,
    keeping: Keeping,
    stop: watch::Sender<bool>,
    keepers: Mutex<JoinSet<()>>,
}

#[derive(Clone)]
struct Worker {
    /// Bounded by what its kernels ask: one cell of each, `most_jobs` in all, and the ends of kernels.
    jobs: mpsc::UnboundedSender<Job>,
    /// Kernels that it holds.
    holds: Arc<AtomicUsize>,
    endings: Arc<Endings>,
    /// Cells that run in it or wait for a connection.
    cells: Arc<AtomicUsize>,
    most_cells: usize,
}

impl Kernels {
    /// Starts the processes and does not wait for them: the first cells do. Call it inside a runtime.
    pub fn start(command: &Command, keeping: Keeping) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut keepers = JoinSet::new();
        let cells = keeping.cells.max(1);
        let command = Command { connections: cells + SPARE_CONNECTIONS, ..command.clone() };
        let workers = (0..keeping.workers.max(1)).map(|_| {
            let (jobs, queue) = mpsc::unbounded_channel();
            let holds = Arc::<AtomicUsize>::default();
            let empty = Arc::clone(&holds);
            let is_free = move || empty.load(Ordering::Relaxed) == 0;
            keepers.spawn(keep_kernels(command.clone(), queue, stopped.clone(), is_free));
            Worker { jobs, holds, endings: Arc::default(), cells: Arc::default(), most_cells: cells * 2 }
        });
        let workers = workers.collect();
        Self { workers, numbers: AtomicU64::new(0), keeping, stop, keepers: Mutex::new(keepers) }
    }

    /// A new kernel, in the worker that runs the fewest cells, and of those in the one that holds the fewest kernels.
    /// Nothing is made before its first cell.
    pub fn open(&self, opening: &Opening) -> Box<dyn Kernel> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let load = |worker: &&Worker| (worker.cells.load(Ordering::Relaxed), worker.holds.load(Ordering::Relaxed));
        // There is at least one worker.
        let worker = self.workers.iter().min_by_key(load).unwrap_or(&self.workers[0]).clone();
        let held = Some(Held(Counted::new(&worker.holds)));
        Box::new(Kept {
            worker,
            number,
            opening: opening.clone(),
            memory: self.keeping.memory,
            begun: Arc::default(),
            turns: Arc::default(),
            held,
            was_given_a_cell: false,
            outlives_a_break: self.keeping.outlives_a_break,
        })
    }

    /// Ends every worker and waits for it.
    pub async fn shutdown(&self) {
        // Nobody listening means that all keepers have ended.
        let _ = self.stop.send(true);
        let mut keepers = self.keepers.lock().await;
        while keepers.join_next().await.is_some() {}
    }
}

/// A kernel, seen from here.
struct Kept {
    worker: Worker,
    number: Number,
    opening: Opening,
    /// Bytes that it may have, where no cell says so first.
    memory: u64,
    /// The worker has been told of it.
    begun: Arc<AtomicBool>,
    /// Whose turn it is in this kernel.
    turns: Arc<Mutex<()>>,
    held: Option<Held>,
    was_given_a_cell: bool,
    outlives_a_break: bool,
}

impl Drop for Kept {
    fn drop(&mut self) {
        // A kernel that was never given a cell is known to nobody. A cell that is under way still, or about to begin, is
        // waited for by the job.
        if self.was_given_a_cell {
            let (turn, held) = (Arc::clone(&self.turns).try_lock_owned().ok(), self.held.take());
            self.forget(turn, held);
        }
    }
}

impl Kept {
    /// Code of our own comes first: an empty cell makes the kernel.
    async fn opens(&mut self) -> Result<(), Fault> {
        // It says nothing that anybody would hear.
        let (events, _) = Events::channel();
        let limits = Limits { memory: self.memory, ..Limits::default() };
        let ran = self.run(&Cell::default(), &limits, &events).await?;
        if ran.alive { Ok(()) } else { Err(Fault::Lost { reason: "the kernel does not begin".to_owned() }) }
    }

    /// `turn`: none where a cell may still be on its way out, which is then waited for.
    fn forget(&self, turn: Option<Turn>, held: Option<Held>) {
        let ending = EndingKernel::new(&self.worker.endings);
        let job = Job::Forget { kernel: self.number, turns: Arc::clone(&self.turns), turn, held, ending };
        // Without a keeper there is no kernel either.
        let _ = self.worker.jobs.send(job);
    }

    /// Waits for its turn in this kernel, and for a place in the queue of its process.
    async fn admitted(&self) -> Result<(Turn, Admitted), Fault> {
        let turn = Arc::clone(&self.turns).lock_owned().await;
        let counted = Counted::new(&self.worker.cells);
        let (most, cells) = (self.worker.most_cells, self.worker.cells.load(Ordering::Relaxed));
        if cells > most {
            let reason = format!("{} cells run or wait in this kernel's process, {most} may", cells - 1);
            return Err(Fault::Refused { reason, retry_after: Some(RETRY_AFTER) });
        }
        Ok((turn, Admitted(counted)))
    }
}

fn shut_down() -> Fault {
    Fault::Unavailable { reason: "the workers are shut down".to_owned() }
}

#[async_trait]
impl Kernel for Kept {
    async fn run(&mut self, cell: &Cell, limits: &Limits, events: &Events) -> Result<Ran, Fault> {
        let held = self.admitted().await?;
        self.was_given_a_cell = true;
        let (ended, end) = oneshot::channel();
        let (opening, begun, events) = (self.opening.clone(), Arc::clone(&self.begun), events.clone());
        let (cell, limits, endings) = (Box::new(cell.clone()), limits.clone(), Arc::clone(&self.worker.endings));
        let job = Job::Cell { kernel: self.number, opening, begun, endings, cell, limits, events, ended, held };
        self.worker.jobs.send(job).map_err(|_| shut_down())?;
        end.await.unwrap_or_else(|_| Err(ended_with_its_process()))
    }

    async fn own(&mut self, code: &str, most: Duration) -> Result<String, Fault> {
        if !self.begun.load(Ordering::Relaxed) {
            self.opens().await?;
        }
        let held = self.admitted().await?;
        let (ended, end) = oneshot::channel();
        let job = Job::Own { kernel: self.number, code: code.to_owned(), most, ended, held };
        self.worker.jobs.send(job).map_err(|_| shut_down())?;
        end.await.unwrap_or_else(|_| Err(ended_with_its_process()))
    }

    async fn restart(&mut self) -> Result<(), Fault> {
        // The next cell opens another under the same number, once this one is no more.
        let turn = Arc::clone(&self.turns).lock_owned().await;
        if self.begun.swap(false, Ordering::Relaxed) {
            self.forget(Some(turn), None);
        }
        Ok(())
    }

    fn outlives_a_break(&self) -> bool {
        self.outlives_a_break
    }
}
