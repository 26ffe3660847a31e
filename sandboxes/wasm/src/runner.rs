//! What runs programs one after the other, and the reserve of instances made ahead for it.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use switchtower_contract::{Cell, CellOutcome, Event, Fault, KernelOptions, Limits, Outcome, Program};
use switchtower_worker::output::SendEvent;
use tokio::runtime::{Builder, Runtime};

use crate::engine::{Image, THREAD_STACK};
use crate::instance::Instance;
use crate::run::Cancel;

/// One program to run.
pub(crate) struct Job {
    pub(crate) program: Program,
    pub(crate) limits: Limits,
    pub(crate) send: SendEvent,
    pub(crate) cancel: Cancel,
    /// Told how it ended, on the runner's thread.
    pub(crate) done: Box<dyn FnOnce(Result<Outcome, Fault>) + Send>,
}

/// A cell to run in a kernel.
pub(crate) struct CellJob {
    pub(crate) kernel: u64,
    /// Given where the kernel is a new one.
    pub(crate) opening: Option<KernelOptions>,
    pub(crate) cell: Cell,
    pub(crate) limits: Limits,
    pub(crate) send: SendEvent,
    pub(crate) cancel: Cancel,
    /// Told how it ended, on the runner's thread.
    pub(crate) done: Box<dyn FnOnce(Result<CellOutcome, Fault>) + Send>,
}

/// An instance that is kept.
struct Kernel {
    instance: Instance,
    opening: KernelOptions,
}

/// Runs programs on the thread that asks, which needs [`THREAD_STACK`] bytes of stack. Several threads may ask at once, each
/// for another kernel.
pub(crate) struct Runner {
    image: Arc<Image>,
    reserve: Arc<Reserve>,
    /// WASI's blocking calls poll futures that are always ready. Without a runtime to do it in, they would start one with
    /// threads and descriptors of its own.
    context: Runtime,
    /// Those that no cell runs in. Held for a look.
    kernels: Mutex<HashMap<u64, Kernel>>,
}

impl Runner {
    pub(crate) fn new(image: Arc<Image>, reserve: Arc<Reserve>) -> std::io::Result<Self> {
        Ok(Self { image, reserve, context: context()?, kernels: Mutex::default() })
    }

    fn kernels(&self) -> MutexGuard<'_, HashMap<u64, Kernel>> {
        self.kernels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn run(&self, job: Job) {
        let _entered = self.context.enter();
        let _busy = self.reserve.busy();
        match self.instance() {
            Ok(mut instance) => {
                // The answer goes out before the instance is cleared away.
                (job.done)(instance.run(&self.image, &job.program, &job.limits, job.send, job.cancel));
            }
            Err(fault) => (job.done)(Err(fault)),
        }
    }

    /// Runs a cell; its kernel is kept for the next one if it can run one.
    pub(crate) fn cell(&self, job: CellJob) {
        let _entered = self.context.enter();
        let _busy = self.reserve.busy();
        let kernel = match job.opening {
            Some(opening) => self.instance().map(|instance| Kernel { instance, opening }),
            None => self.kernels().remove(&job.kernel).ok_or_else(gone),
        };
        match kernel {
            Ok(mut kernel) => {
                let Kernel { instance, opening } = &mut kernel;
                let ran = instance.cell(&self.image, opening, &job.cell, &job.limits, job.send, job.cancel);
                // Before its end is heard: its next cell may come to another thread at once.
                let gone = if ran.as_ref().is_ok_and(|ran| ran.alive) {
                    self.kernels().insert(job.kernel, kernel)
                } else {
                    Some(kernel)
                };
                (job.done)(ran);
                // Cleared away after the answer.
                drop(gone);
            }
            Err(fault) => (job.done)(Err(fault)),
        }
    }

    /// Runs code of the host's own beside a kernel's names.
    pub(crate) fn own(&self, kernel: u64, code: &str, most: Duration, cancel: Cancel) -> Result<String, Fault> {
        let _entered = self.context.enter();
        let _busy = self.reserve.busy();
        let mut kept = self.kernels().remove(&kernel).ok_or_else(gone)?;
        let printed = Arc::new(Mutex::new(String::new()));
        let to = Arc::clone(&printed);
        let send: SendEvent = Box::new(move |event| {
            if let Event::Stdout(text) = event {
                to.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
            true
        });
        kept.instance.own(&self.image, code, most, send, cancel)?;
        self.kernels().insert(kernel, kept);
        Ok(std::mem::take(&mut *printed.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    pub(crate) fn forget(&self, kernel: u64) {
        let gone = self.kernels().remove(&kernel);
        // Clearing it away takes longer than the look.
        drop(gone);
    }

    fn instance(&self) -> Result<Instance, Fault> {
        let failed = |e| Fault::Unavailable { reason: format!("no instance could be made: {e:#}") };
        self.reserve.take().map_or_else(|| Instance::fresh(&self.image), Ok).map_err(failed)
    }
}

fn gone() -> Fault {
    Fault::Lost { reason: "the kernel is gone".to_owned() }
}

fn context() -> std::io::Result<Runtime> {
    Builder::new_current_thread().build()
}

/// Instances made ahead, while no program runs.
pub(crate) struct Reserve {
    /// Protects the instances and the count of running programs.
    state: Mutex<State>,
    changed: Condvar,
    target: usize,
}

#[derive(Default)]
struct State {
    ready: Vec<Instance>,
    running: usize,
}

/// While this lives, no instance is made ahead: programs have the processor.
pub(crate) struct Busy<'a>(&'a Reserve);

impl Reserve {
    /// A reserve that keeps itself at `target` instances on a thread of its own. Zero makes none.
    pub(crate) fn start(image: &Arc<Image>, target: usize) -> std::io::Result<Arc<Self>> {
        let reserve = Arc::new(Self { state: Mutex::default(), changed: Condvar::new(), target });
        if target > 0 {
            let context = context()?;
            let (weak, image) = (Arc::downgrade(&reserve), Arc::downgrade(image));
            std::thread::Builder::new().name("reserve".into()).stack_size(THREAD_STACK).spawn(move || {
                let _entered = context.enter();
                fill(&weak, &image);
            })?;
        }
        Ok(reserve)
    }

    /// The one made last: its memory is still in the processor's caches.
    pub(crate) fn take(&self) -> Option<Instance> {
        self.lock().ready.pop()
    }

    /// Waits until the reserve is full, or the time is over.
    pub(crate) fn wait_until_full(&self, at_most: Duration) {
        let state = self.lock();
        let _full = self.changed.wait_timeout_while(state, at_most, |s| s.ready.len() < self.target);
    }

    fn busy(&self) -> Busy<'_> {
        self.lock().running += 1;
        Busy(self)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.changed.notify_all();
    }
}

fn fill(reserve: &Weak<Reserve>, image: &Weak<Image>) {
    loop {
        let (Some(reserve), Some(image)) = (reserve.upgrade(), image.upgrade()) else { return };
        let state = reserve.lock();
        if state.running > 0 || state.ready.len() >= reserve.target {
            // Not for ever, so that the thread ends with its reserve.
            let _woken = reserve.changed.wait_timeout(state, Duration::from_millis(500));
            continue;
        }
        drop(state);
        match Instance::fresh(&image) {
            Ok(instance) => {
                reserve.lock().ready.push(instance);
                reserve.changed.notify_all();
            }
            Err(error) => {
                tracing::warn!(%error, "no instance could be made ahead");
                let state = reserve.lock();
                let _paused = reserve.changed.wait_timeout(state, Duration::from_secs(1));
            }
        }
    }
}
