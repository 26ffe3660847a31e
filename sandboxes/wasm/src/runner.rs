//! Runs programs and cells, and makes instances ahead.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use switchtower_contract::{Cell, CellOutcome, Event, Fault, KernelOptions, Language, Limits, Outcome, Program};
use switchtower_worker::output::SendEvent;
use tokio::runtime::{Builder, Runtime};

use crate::engine::{Images, THREAD_STACK};
use crate::instance::{Instance, PythonInstance};
use crate::javascript;
use crate::run::Cancel;
use crate::thread_stack;

/// One program to run.
pub(crate) struct ProgramRun {
    pub(crate) program: Program,
    pub(crate) limits: Limits,
    pub(crate) send: SendEvent,
    pub(crate) cancel: Cancel,
    /// Called with the outcome, on the runner's thread.
    pub(crate) done: Box<dyn FnOnce(Result<Outcome, Fault>) + Send>,
}

/// A cell to run in a kernel.
pub(crate) struct GuestCellRun {
    pub(crate) kernel: u64,
    pub(crate) language: Language,
    /// Given where the kernel is to be created.
    pub(crate) options: Option<KernelOptions>,
    pub(crate) cell: Cell,
    pub(crate) limits: Limits,
    pub(crate) send: SendEvent,
    pub(crate) cancel: Cancel,
    /// Called with the outcome, on the runner's thread.
    pub(crate) done: Box<dyn FnOnce(Result<CellOutcome, Fault>) + Send>,
}

/// An instance that is a kernel.
struct GuestKernel {
    instance: Box<dyn Instance>,
    options: KernelOptions,
}

/// Runs programs on the calling thread, which needs [`THREAD_STACK`] bytes of stack. Several threads may call it at
/// once, each for another kernel.
pub(crate) struct Runner {
    images: Arc<Images>,
    prewarmed: Arc<Prewarmed>,
    /// WASI's blocking calls poll futures that are always ready. Without this runtime they would start one with threads
    /// and descriptors of its own.
    context: Runtime,
    /// Idle kernels. The lock is short.
    kernels: Mutex<HashMap<u64, GuestKernel>>,
}

impl Runner {
    pub(crate) fn new(images: Arc<Images>, prewarmed: Arc<Prewarmed>) -> std::io::Result<Self> {
        Ok(Self { images, prewarmed, context: context()?, kernels: Mutex::default() })
    }

    fn kernels(&self) -> MutexGuard<'_, HashMap<u64, GuestKernel>> {
        self.kernels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn run(&self, job: ProgramRun) {
        let _entered = self.context.enter();
        let _busy = self.prewarmed.busy();
        match self.instance(job.program.language) {
            Ok(mut instance) => {
                // The outcome is sent before the instance is dropped, which takes longer.
                (job.done)(instance.run(&self.images, &job.program, &job.limits, job.send, job.cancel));
            }
            Err(fault) => (job.done)(Err(fault)),
        }
        thread_stack::release_unused();
    }

    /// Runs a cell; its kernel is kept for the next one if it is alive.
    pub(crate) fn cell(&self, job: GuestCellRun) {
        let _entered = self.context.enter();
        let _busy = self.prewarmed.busy();
        let kernel = match job.options {
            Some(options) => self.instance(job.language).map(|instance| GuestKernel { instance, options }),
            None => self.kernels().remove(&job.kernel).ok_or_else(gone),
        };
        match kernel {
            Ok(mut kernel) => {
                let GuestKernel { instance, options } = &mut kernel;
                let ran = instance.cell(&self.images, options, &job.cell, &job.limits, job.send, job.cancel);
                // Before the outcome is sent: the next cell may come to another thread at once.
                let gone = if ran.as_ref().is_ok_and(|ran| ran.alive) {
                    self.kernels().insert(job.kernel, kernel)
                } else {
                    Some(kernel)
                };
                (job.done)(ran);
                // Dropped after the outcome is sent.
                drop(gone);
            }
            Err(fault) => (job.done)(Err(fault)),
        }
        thread_stack::release_unused();
    }

    /// Runs internal code outside a kernel's names.
    pub(crate) fn own(&self, kernel: u64, code: &str, most: Duration, cancel: Cancel) -> Result<String, Fault> {
        let _entered = self.context.enter();
        let _busy = self.prewarmed.busy();
        let mut kept = self.kernels().remove(&kernel).ok_or_else(gone)?;
        let printed = Arc::new(Mutex::new(String::new()));
        let to = Arc::clone(&printed);
        let send: SendEvent = Box::new(move |event| {
            if let Event::Stdout(text) = event {
                to.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
            true
        });
        kept.instance.own(&self.images, code, most, send, cancel)?;
        self.kernels().insert(kernel, kept);
        Ok(std::mem::take(&mut *printed.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    pub(crate) fn close_kernel(&self, kernel: u64) {
        let gone = self.kernels().remove(&kernel);
        // Dropped outside the lock, since it takes time.
        drop(gone);
    }

    fn instance(&self, language: Language) -> Result<Box<dyn Instance>, Fault> {
        let made = match language {
            // Made in the time that taking a prepared one takes.
            Language::JavaScript | Language::TypeScript => {
                javascript::Instance::fresh(&self.images, language).map(|made| Box::new(made) as Box<dyn Instance>)
            }
            _ => self
                .prewarmed
                .take()
                .map_or_else(|| PythonInstance::fresh(&self.images), Ok)
                .map(|made| Box::new(made) as Box<dyn Instance>),
        };
        made.map_err(|e| Fault::Unavailable { reason: format!("no instance could be made: {e:#}") })
    }
}

fn gone() -> Fault {
    Fault::Lost { reason: "the kernel has ended".to_owned() }
}

fn context() -> std::io::Result<Runtime> {
    Builder::new_current_thread().build()
}

/// Instances of Python that are made ahead, while no program runs.
pub(crate) struct Prewarmed {
    /// Protects the instances and the count of running programs.
    state: Mutex<PrewarmedState>,
    changed: Condvar,
    target: usize,
}

#[derive(Default)]
struct PrewarmedState {
    ready: Vec<PythonInstance>,
    running: usize,
}

/// Prevents that instances are made ahead until it is dropped: programs have the processor.
pub(crate) struct BusyGuard<'a>(&'a Prewarmed);

impl Prewarmed {
    /// Starts to keep `target` instances ready, on a thread of its own. Zero makes none.
    pub(crate) fn start(images: &Arc<Images>, target: usize) -> std::io::Result<Arc<Self>> {
        let prewarmed = Arc::new(Self { state: Mutex::default(), changed: Condvar::new(), target });
        if target > 0 {
            let context = context()?;
            let (weak, images) = (Arc::downgrade(&prewarmed), Arc::downgrade(images));
            std::thread::Builder::new().name("prewarm".into()).stack_size(THREAD_STACK).spawn(move || {
                let _entered = context.enter();
                fill(&weak, &images);
            })?;
        }
        Ok(prewarmed)
    }

    /// Takes the instance made last, whose memory is still in the processor's caches.
    pub(crate) fn take(&self) -> Option<PythonInstance> {
        self.lock().ready.pop()
    }

    /// Waits until all instances are ready, at most this long.
    pub(crate) fn wait_until_full(&self, at_most: Duration) {
        let state = self.lock();
        let _full = self.changed.wait_timeout_while(state, at_most, |s| s.ready.len() < self.target);
    }

    fn busy(&self) -> BusyGuard<'_> {
        self.lock().running += 1;
        BusyGuard(self)
    }

    fn lock(&self) -> MutexGuard<'_, PrewarmedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for BusyGuard<'_> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.changed.notify_all();
    }
}

fn fill(prewarmed: &Weak<Prewarmed>, images: &Weak<Images>) {
    loop {
        let (Some(prewarmed), Some(images)) = (prewarmed.upgrade(), images.upgrade()) else { return };
        let state = prewarmed.lock();
        if state.running > 0 || state.ready.len() >= prewarmed.target {
            // Not without end, so that the thread ends with its owner.
            let _woken = prewarmed.changed.wait_timeout(state, Duration::from_millis(500));
            continue;
        }
        drop(state);
        match PythonInstance::fresh(&images) {
            Ok(instance) => {
                prewarmed.lock().ready.push(instance);
                prewarmed.changed.notify_all();
            }
            Err(error) => {
                tracing::warn!(%error, "no instance could be made ahead");
                let state = prewarmed.lock();
                let _paused = prewarmed.changed.wait_timeout(state, Duration::from_secs(1));
            }
        }
    }
}
