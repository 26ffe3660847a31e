//! Kernels in worker processes: many in each, one cell at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use switchtower_contract::{Cell, Escalation, Events, Exit, Fault, Kernel, Limits, Need, Opening, Outcome, Ran, Usage};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::frames::{Number, Order, Report};
use crate::keeper::{Work, keep};
use crate::process::{After, Command, Process, StartError, Stopped, out_of_turn};

/// How kernels are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// Processes.
    pub workers: usize,
    /// Bytes of memory that a kernel may have which begins without a cell.
    pub memory: u64,
    /// A cell that is broken off is interrupted, and the kernel goes on.
    pub outlives_a_break: bool,
}

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
    jobs: mpsc::UnboundedSender<Job>,
    /// Kernels that it holds.
    holds: Arc<AtomicUsize>,
}

/// What a keeper is given. Bounded by what its kernels ask: each has one cell under way at most.
enum Job {
    Cell {
        kernel: Number,
        opening: Opening,
        /// Set when the worker is told of the kernel.
        begun: Arc<AtomicBool>,
        cell: Box<Cell>,
        limits: Limits,
        events: Events,
        /// Closed when the caller leaves.
        ended: oneshot::Sender<Result<Ran, Fault>>,
    },
    Own {
        kernel: Number,
        code: String,
        most: Duration,
        ended: oneshot::Sender<Result<String, Fault>>,
    },
    Forget(Number),
}

impl Kernels {
    /// Starts the processes and does not wait for them: the first cells do. Call it inside a runtime.
    pub fn start(command: &Command, keeping: Keeping) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut keepers = JoinSet::new();
        let workers = (0..keeping.workers.max(1)).map(|_| {
            let (jobs, queue) = mpsc::unbounded_channel();
            let holds = Arc::<AtomicUsize>::default();
            let empty = Arc::clone(&holds);
            let free = move || empty.load(Ordering::Relaxed) == 0;
            keepers.spawn(keep(None, command.clone(), queue, stopped.clone(), free, |_| ()));
            Worker { jobs, holds }
        });
        let workers = workers.collect();
        Self { workers, numbers: AtomicU64::new(0), keeping, stop, keepers: Mutex::new(keepers) }
    }

    /// A new kernel, in the worker that holds the fewest. Nothing is made before its first cell.
    pub fn open(&self, opening: &Opening) -> Box<dyn Kernel> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let holds = |at: &usize| self.workers[*at].holds.load(Ordering::Relaxed);
        // There is at least one worker.
        let worker = self.workers[(0..self.workers.len()).min_by_key(holds).unwrap_or(0)].clone();
        worker.holds.fetch_add(1, Ordering::Relaxed);
        Box::new(Kept {
            worker,
            number,
            opening: opening.clone(),
            memory: self.keeping.memory,
            begun: Arc::default(),
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
    outlives_a_break: bool,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.worker.holds.fetch_sub(1, Ordering::Relaxed);
        self.forget();
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

    fn forget(&mut self) {
        if self.begun.swap(false, Ordering::Relaxed) {
            // Without a keeper there is no kernel either.
            let _ = self.worker.jobs.send(Job::Forget(self.number));
        }
    }
}

fn shut_down() -> Fault {
    Fault::Unavailable { reason: "the workers are shut down".to_owned() }
}

#[async_trait]
impl Kernel for Kept {
    async fn run(&mut self, cell: &Cell, limits: &Limits, events: &Events) -> Result<Ran, Fault> {
        let (ended, end) = oneshot::channel();
        let (opening, begun, events) = (self.opening.clone(), Arc::clone(&self.begun), events.clone());
        let (cell, limits) = (Box::new(cell.clone()), limits.clone());
        let job = Job::Cell { kernel: self.number, opening, begun, cell, limits, events, ended };
        self.worker.jobs.send(job).map_err(|_| shut_down())?;
        end.await.unwrap_or_else(|_| Err(shut_down()))
    }

    async fn own(&mut self, code: &str, most: Duration) -> Result<String, Fault> {
        if !self.begun.load(Ordering::Relaxed) {
            self.opens().await?;
        }
        let (ended, end) = oneshot::channel();
        let job = Job::Own { kernel: self.number, code: code.to_owned(), most, ended };
        self.worker.jobs.send(job).map_err(|_| shut_down())?;
        end.await.unwrap_or_else(|_| Err(shut_down()))
    }

    async fn restart(&mut self) -> Result<(), Fault> {
        // The next cell opens another under the same number.
        self.forget();
        Ok(())
    }

    fn outlives_a_break(&self) -> bool {
        self.outlives_a_break
    }
}

impl Work for Job {
    async fn done_by(self, process: &mut Process) -> After {
        match self {
            Self::Cell { kernel, opening, begun, cell, limits, events, mut ended } => {
                if ended.is_closed() {
                    // Its caller left while it waited: the kernel is as it was.
                    return After::Whole;
                }
                let opening = (!begun.swap(true, Ordering::Relaxed)).then_some(opening);
                let is_new = opening.is_some();
                let (wall, escalation) = (limits.wall, limits.escalation);
                let order = Order::Cell { kernel, opening, cell: *cell, limits };
                let (end, after) = process.carry_out(&order, wall, Some(&events), ended.closed()).await;
                let (ran, after) = match end {
                    Ok(Report::Ran(ran)) => (ran, after),
                    Ok(_) => out_of_turn(),
                    Err(Stopped::Fault(fault)) => (Err(fault), after),
                    Err(Stopped::Late(ran)) => (killed_at_its_deadline(wall, escalation, ran), after),
                };
                if is_new && matches!(ran, Err(Fault::Refused { .. })) {
                    // Nothing ran, and there is no such kernel: the next cell may open it.
                    begun.store(false, Ordering::Relaxed);
                }
                drop(events);
                // The caller may have left; then nobody waits for this.
                let _ = ended.send(ran);
                after
            }
            Self::Own { kernel, code, most, mut ended } => {
                let (end, after) =
                    process.carry_out(&Order::Own { kernel, code, most }, most, None, ended.closed()).await;
                let (printed, after) = match end {
                    Ok(Report::Printed(printed)) => (printed, after),
                    Ok(_) => out_of_turn(),
                    Err(Stopped::Fault(fault)) => (Err(fault), after),
                    Err(Stopped::Late(_)) => {
                        (Err(Fault::Lost { reason: "a kernel does not answer".to_owned() }), after)
                    }
                };
                let _ = ended.send(printed);
                after
            }
            Self::Forget(kernel) => match process.order(&Order::Forget { kernel }).await {
                Ok(()) => After::Whole,
                Err(_) => After::Broken,
            },
        }
    }
    fn refused(self, error: &StartError) {
        let why = || Fault::Unavailable { reason: error.to_string() };
        match self {
            // Nobody may wait any more.
            Self::Cell { ended, .. } => drop(ended.send(Err(why()))),
            Self::Own { ended, .. } => drop(ended.send(Err(why()))),
            Self::Forget(_) => {}
        }
    }
}

fn killed_at_its_deadline(wall: Duration, escalation: Escalation, ran: Duration) -> Result<Ran, Fault> {
    match escalation {
        Escalation::OnNeed => Err(Fault::Unsupported(Need::Time(wall))),
        Escalation::Never => {
            let usage = Usage { wall: ran, ..Usage::default() };
            let outcome = Outcome { exit: Exit::TimedOut, observed: None, truncated: false, usage, lacked: None };
            Ok(Ran { outcome, changes: Vec::new(), tape: None, alive: false })
        }
    }
}
