//! Runs programs on threads of this process: for the library and for one-shot runs.
//!
//! WebAssembly is the only isolation here: a fault of the engine would be a fault of this process. Servers use
//! [`WasmWorkers`](crate::WasmWorkers).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use switchtower_contract::{
    Backend, Cell, CellOutcome, Events, Fault, InterpreterId, Kernel, KernelOptions, Kernels, Language, Limits,
    Machine, Maintenance, Offer, Outcome, Program, Sandbox, Spec,
};
use tokio::sync::oneshot;

use crate::compiled::{Compiled, GuestError};
use crate::engine::{Images, THREAD_STACK};
use crate::runner::{GuestCellRun, Prewarmed, ProgramRun, Runner};

/// Most kernels in one process.
const MAX_KERNELS: usize = 64;

/// The WebAssembly tier inside this process.
pub struct InProcess {
    images: Arc<Images>,
    prewarmed: Arc<Prewarmed>,
    offer: Offer,
    runtime: Arc<str>,
}

impl InProcess {
    /// Loads the guest. `programs` may run at once, beside the kernels; `prewarmed` instances are made ahead.
    ///
    /// # Errors
    /// The compiled guest cannot be loaded, or the system gives no thread.
    pub fn new(compiled: &Compiled, programs: usize, prewarmed: usize) -> Result<Self, GuestError> {
        let instances = u32::try_from(programs + prewarmed + MAX_KERNELS + 1).unwrap_or(u32::MAX);
        let images = compiled.load(instances)?;
        let prewarmed = Prewarmed::start(&images, prewarmed).map_err(GuestError::Thread)?;
        Ok(Self { images, prewarmed, offer: crate::offer::offer(compiled), runtime: compiled.runtime.clone() })
    }
}

#[async_trait]
impl Backend for InProcess {
    fn offer(&self) -> Offer {
        self.offer.clone()
    }

    fn runtime(&self) -> Arc<str> {
        Arc::clone(&self.runtime)
    }

    fn packages(&self) -> Vec<(String, String)> {
        crate::offer::packages()
    }

    async fn open(&self, _spec: &Spec) -> Result<Box<dyn Sandbox>, Fault> {
        RunnerThread::start(Arc::clone(&self.images), Arc::clone(&self.prewarmed))
            .map(|thread| Box::new(thread) as Box<dyn Sandbox>)
            .map_err(no_thread)
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}

#[async_trait]
impl Kernels for InProcess {
    async fn open_kernel(&self, language: Language, options: &KernelOptions) -> Result<Box<dyn Kernel>, Fault> {
        Fault::check_language(language, |given| self.offer.languages.has(given))?;
        let thread = RunnerThread::start(Arc::clone(&self.images), Arc::clone(&self.prewarmed)).map_err(no_thread)?;
        Ok(Box::new(ThreadKernel { thread, language, options: options.clone(), is_created: false }))
    }
}

fn no_thread(error: std::io::Error) -> Fault {
    Fault::Unavailable { reason: format!("no thread for a program: {error}") }
}

/// A task for a runner thread.
type Task = Box<dyn FnOnce(&Runner) + Send>;

/// A thread that runs one program after the other, each in an instance of its own. It ends after this is dropped and
/// its last program has ended.
struct RunnerThread {
    tasks: mpsc::Sender<Task>,
}

impl RunnerThread {
    fn start(images: Arc<Images>, prewarmed: Arc<Prewarmed>) -> std::io::Result<Self> {
        let runner = Runner::new(images, prewarmed)?;
        let (tasks, queue) = mpsc::channel::<Task>();
        std::thread::Builder::new()
            .name("runner".into())
            .stack_size(THREAD_STACK)
            .spawn(move || queue.into_iter().for_each(|task| task(&runner)))?;
        Ok(Self { tasks })
    }
}

impl RunnerThread {
    /// Runs a task on the thread and waits for its result.
    async fn run_task<T: Send + 'static>(
        &self,
        task: impl FnOnce(&Runner, oneshot::Sender<Result<T, Fault>>) + Send + 'static,
    ) -> Result<T, Fault> {
        let lost = || Fault::Lost { reason: "the runner ended while a program ran".into() };
        let (done, ended) = oneshot::channel();
        self.tasks.send(Box::new(move |runner| task(runner, done))).map_err(|_| lost())?;
        ended.await.unwrap_or_else(|_| Err(lost()))
    }
}

/// Cancels the program when the run is dropped before its end.
#[derive(Default)]
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl Sandbox for RunnerThread {
    async fn run(&mut self, program: &Program, limits: &Limits, events: &Events) -> Result<Outcome, Fault> {
        let left = CancelOnDrop::default();
        let (cancelled, events) = (Arc::clone(&left.0), events.clone());
        let (program, limits) = (program.clone(), limits.clone());
        self.run_task(move |runner, done| {
            runner.run(ProgramRun {
                program,
                limits,
                send: Box::new(move |event| events.send_blocking(event)),
                cancel: Box::new(move || cancelled.load(Ordering::Relaxed)),
                // An error means that the caller has left.
                done: Box::new(move |outcome| drop(done.send(outcome))),
            });
        })
        .await
    }

    async fn reset(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    async fn maintain(&mut self, _how: Maintenance) -> Result<(), Fault> {
        Ok(())
    }

    fn interpreter(&self) -> Option<InterpreterId> {
        // Every run has an instance of its own, and its effects are observed.
        None
    }

    fn machine(&self) -> Option<Arc<dyn Machine>> {
        None
    }
}

/// A kernel on a thread of its own.
struct ThreadKernel {
    thread: RunnerThread,
    language: Language,
    options: KernelOptions,
    /// Whether its first cell has been sent.
    is_created: bool,
}

#[async_trait]
impl Kernel for ThreadKernel {
    async fn run(&mut self, cell: &Cell, limits: &Limits, events: &Events) -> Result<CellOutcome, Fault> {
        let left = CancelOnDrop::default();
        let (cancelled, events) = (Arc::clone(&left.0), events.clone());
        let options = (!self.is_created).then(|| self.options.clone());
        self.is_created = true;
        let (cell, limits, language) = (cell.clone(), limits.clone(), self.language);
        self.thread
            .run_task(move |runner, done| {
                runner.cell(GuestCellRun {
                    kernel: 0,
                    language,
                    options,
                    cell,
                    limits,
                    send: Box::new(move |event| events.send_blocking(event)),
                    cancel: Box::new(move || cancelled.load(Ordering::Relaxed)),
                    done: Box::new(move |ran| drop(done.send(ran))),
                });
            })
            .await
    }

    async fn run_internal(&mut self, code: &str, most: Duration) -> Result<String, Fault> {
        let left = CancelOnDrop::default();
        let (cancelled, code) = (Arc::clone(&left.0), code.to_owned());
        self.thread
            .run_task(move |runner, done| {
                let cancel = Box::new(move || cancelled.load(Ordering::Relaxed));
                drop(done.send(runner.own(0, &code, most, cancel)));
            })
            .await
    }
    async fn restart(&mut self) -> Result<(), Fault> {
        // The next cell creates another in its place.
        self.is_created = false;
        Ok(())
    }
}
