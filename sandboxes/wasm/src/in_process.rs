//! Programs on threads of this process: for the library and for one-shot runs.
//!
//! WebAssembly is the only wall here: a fault of the engine itself would be a fault of this process. Servers use
//! [`Workers`](crate::Workers).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use async_trait::async_trait;
use switchtower_contract::{Backend, Events, Fault, Limits, Offer, Outcome, Program, Sandbox, Spec, Upkeep};
use tokio::sync::oneshot;

use crate::compiled::{Compiled, GuestError};
use crate::engine::{Image, THREAD_STACK};
use crate::runner::{Job, Reserve, Runner};

/// The WebAssembly tier inside this process.
pub struct InProcess {
    image: Arc<Image>,
    reserve: Arc<Reserve>,
    offer: Offer,
}

impl InProcess {
    /// Loads the guest; `reserve` instances are kept made ahead, `programs` may run at once.
    ///
    /// # Errors
    /// The compiled guest cannot be loaded, or the system gives no thread.
    pub fn new(compiled: &Compiled, programs: usize, reserve: usize) -> Result<Self, GuestError> {
        let instances = u32::try_from(programs + reserve + 1).unwrap_or(u32::MAX);
        let image = compiled.load(instances)?;
        let reserve = Reserve::start(&image, reserve).map_err(GuestError::Thread)?;
        Ok(Self { image, reserve, offer: crate::offer::offer(compiled) })
    }
}

#[async_trait]
impl Backend for InProcess {
    fn offer(&self) -> Offer {
        self.offer.clone()
    }

    async fn open(&self, _spec: &Spec) -> Result<Box<dyn Sandbox>, Fault> {
        OneThread::start(Arc::clone(&self.image), Arc::clone(&self.reserve))
            .map(|thread| Box::new(thread) as Box<dyn Sandbox>)
            .map_err(|e| Fault::Unavailable { reason: format!("no thread for a program: {e}") })
    }
}

/// A thread that runs one program after the other, each in an instance of its own. It ends when this is dropped and its
/// last program is done.
struct OneThread {
    jobs: mpsc::Sender<Job>,
}

impl OneThread {
    fn start(image: Arc<Image>, reserve: Arc<Reserve>) -> std::io::Result<Self> {
        let runner = Runner::new(image, reserve)?;
        let (jobs, queue) = mpsc::channel();
        std::thread::Builder::new()
            .name("runner".into())
            .stack_size(THREAD_STACK)
            .spawn(move || queue.into_iter().for_each(|job| runner.run(job)))?;
        Ok(Self { jobs })
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
        let lost = || Fault::Lost { reason: "the runner ended in the middle of a program".into() };
        let (done, ended) = oneshot::channel();
        let left = CancelOnDrop::default();
        let (cancelled, events) = (Arc::clone(&left.0), events.clone());
        let job = Job {
            program: program.clone(),
            limits: limits.clone(),
            send: Box::new(move |event| events.send_blocking(event)),
            cancel: Box::new(move || cancelled.load(Ordering::Relaxed)),
            done: Box::new(move |outcome| {
                // Nobody waits any more: the caller has left.
                let _ = done.send(outcome);
            }),
        };
        self.jobs.send(job).map_err(|_| lost())?;
        ended.await.unwrap_or_else(|_| Err(lost()))
    }

    async fn reset(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    async fn keep(&mut self, _how: Upkeep) -> Result<(), Fault> {
        Ok(())
    }
}
