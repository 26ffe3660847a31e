//! Programs on threads of this process: for the library and for one-shot runs.
//!
//! WebAssembly is the only wall here: a fault of the engine itself would be a fault of this process. Servers use
//! [`WasmWorkers`](crate::WasmWorkers).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use switchtower_contract::{
    Backend, Cell, CellOutcome, Events, Fault, InterpreterId, Kernel, KernelOptions, Limits, Maintenance, Offer,
    Outcome, Program, Sandbox, Spec,
};
use tokio::sync::oneshot;

use crate::compiled::{Compiled, GuestError};
use crate::engine::{Image, THREAD_STACK};
use crate::runner::{CellJob, Job, Reserve, Runner};

/// Kernels that one process has room for.
const KERNELS: usize = 64;

/// The WebAssembly tier inside this process.
pub struct InProcess {
    image: Arc<Image>,
    reserve: Arc<Reserve>,
    offer: Offer,
    runtime: Arc<str>,
}

impl InProcess {
    /// Loads the guest; `reserve` instances are kept made ahead, `programs` may run at once, beside the
    /// kernels.
    ///
    /// # Errors
    /// The compiled guest cannot be loaded, or the system gives no thread.
    pub fn new(compiled: &Compiled, programs: usize, reserve: usize) -> Result<Self, GuestError> {
        let instances = u32::try_from(programs + reserve + KERNELS + 1).unwrap_or(u32::MAX);
        let image = compiled.load(instances)?;
        let reserve = Reserve::start(&image, reserve).map_err(GuestError::Thread)?;
        Ok(Self { image, reserve, offer: crate::offer::offer(compiled), runtime: compiled.runtime.clone() })
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

    async fn open(&self, _spec: &Spec) -> Result<Box<dyn Sandbox>, Fault> {
        OneThread::start(Arc::clone(&self.image), Arc::clone(&self.reserve))
            .map(|thread| Box::new(thread) as Box<dyn Sandbox>)
            .map_err(no_thread)
    }

    async fn kernel(&self, opening: &KernelOptions) -> Result<Box<dyn Kernel>, Fault> {
        let thread = OneThread::start(Arc::clone(&self.image), Arc::clone(&self.reserve)).map_err(no_thread)?;
        Ok(Box::new(OneKernel { thread, opening: opening.clone(), begun: false }))
    }
}

fn no_thread(error: std::io::Error) -> Fault {
    Fault::Unavailable { reason: format!("no thread for a program: {error}") }
}

/// What a runner does next.
type Task = Box<dyn FnOnce(&Runner) + Send>;

/// A thread that runs one program after the other, each in an instance of its own. It ends when this is dropped and its
/// last program is done.
struct OneThread {
    tasks: mpsc::Sender<Task>,
}

impl OneThread {
    fn start(image: Arc<Image>, reserve: Arc<Reserve>) -> std::io::Result<Self> {
        let runner = Runner::new(image, reserve)?;
        let (tasks, queue) = mpsc::channel::<Task>();
        std::thread::Builder::new()
            .name("runner".into())
            .stack_size(THREAD_STACK)
            .spawn(move || queue.into_iter().for_each(|task| task(&runner)))?;
        Ok(Self { tasks })
    }
}

impl OneThread {
    /// Has the runner do something, and waits for what it tells.
    async fn ask<T: Send + 'static>(
        &self,
        task: impl FnOnce(&Runner, oneshot::Sender<Result<T, Fault>>) + Send + 'static,
    ) -> Result<T, Fault> {
        let lost = || Fault::Lost { reason: "the runner ended in the middle of a program".into() };
        let (done, ended) = oneshot::channel();
        self.tasks.send(Box::new(move |runner| task(runner, done))).map_err(|_| lost())?;
        ended.await.unwrap_or_else(|_| Err(lost()))
    }
}

/// Ends the program when the run is dropped in the middle.
#[derive(Default)]
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl Sandbox for OneThread {
    async fn run(&mut self, program: &Program, limits: &Limits, events: &Events) -> Result<Outcome, Fault> {
        let left = CancelOnDrop::default();
        let (cancelled, events) = (Arc::clone(&left.0), events.clone());
        let (program, limits) = (program.clone(), limits.clone());
        self.ask(move |runner, done| {
            runner.run(Job {
                program,
                limits,
                send: Box::new(move |event| events.send_blocking(event)),
                cancel: Box::new(move || cancelled.load(Ordering::Relaxed)),
                // Nobody may wait any more: the caller has left.
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
        // Every run has an instance of its own, and what it asks for is observed.
        None
    }
}

/// A thread with one kernel.
struct OneKernel {
    thread: OneThread,
    opening: KernelOptions,
    /// It has had its first cell.
    begun: bool,
}

#[async_trait]
impl Kernel for OneKernel {
    async fn run(&mut self, cell: &Cell, limits: &Limits, events: &Events) -> Result<CellOutcome, Fault> {
        let left = CancelOnDrop::default();
        let (cancelled, events) = (Arc::clone(&left.0), events.clone());
        let opening = (!self.begun).then(|| self.opening.clone());
        self.begun = true;
        let (cell, limits) = (cell.clone(), limits.clone());
        self.thread
            .ask(move |runner, done| {
                runner.cell(CellJob {
                    kernel: 0,
                    opening,
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
            .ask(move |runner, done| {
                let cancel = Box::new(move || cancelled.load(Ordering::Relaxed));
                drop(done.send(runner.own(0, &code, most, cancel)));
            })
            .await
    }
    async fn restart(&mut self) -> Result<(), Fault> {
        // The next cell opens another in its place.
        self.begun = false;
        Ok(())
    }
}
