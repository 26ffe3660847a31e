//! Programs on threads of this process: for the library and for one-shot runs.
//!
//! WebAssembly is the only wall here: a fault of the engine itself would be a fault of this process. Servers use
//! [`Workers`](crate::Workers).

use std::sync::Arc;

use async_trait::async_trait;
use switchtower_contract::{Backend, Events, Fault, Limits, Offer, Outcome, Program, Sandbox, Spec};
use tokio::sync::oneshot;

use crate::compiled::{Compiled, GuestError};
use crate::engine::Image;
use crate::runner::{Cancel, Job, Reserve, Runner};

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
        let runner = Runner::start(Arc::clone(&self.image), Arc::clone(&self.reserve))
            .map_err(|e| Fault::Unavailable { reason: format!("no thread for a program: {e}") })?;
        Ok(Box::new(OneThread { runner }))
    }
}

/// A thread that runs one program after the other, each in an instance of its own.
struct OneThread {
    runner: Runner,
}

/// Ends the program when the run is dropped in the middle.
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

#[async_trait]
impl Sandbox for OneThread {
    async fn run(&mut self, program: &Program, limits: &Limits, events: &Events) -> Result<Outcome, Fault> {
        let (done, ended) = oneshot::channel();
        let cancel = CancelOnDrop(Cancel::default());
        let events = events.clone();
        self.runner.run(Job {
            program: program.clone(),
            limits: limits.clone(),
            send: Box::new(move |event| events.send_blocking(event)),
            cancel: cancel.0.clone(),
            done: Box::new(move |outcome| {
                // Nobody waits any more: the caller has left.
                let _ = done.send(outcome);
            }),
        })?;
        ended
            .await
            .unwrap_or_else(|_| Err(Fault::Lost { reason: "the runner ended in the middle of a program".into() }))
    }

    async fn reset(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}
