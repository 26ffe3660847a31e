//! What runs programs one after the other, and the reserve of instances made ahead for it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use switchtower_contract::{Fault, Limits, Outcome, Program};
use tokio::runtime::{Builder, Runtime};

use crate::engine::{Image, THREAD_STACK};
use crate::instance::Instance;
use crate::run::Cancel;
use crate::sink::Send;

/// One program to run.
pub(crate) struct Job {
    pub(crate) program: Program,
    pub(crate) limits: Limits,
    pub(crate) send: Send,
    pub(crate) cancel: Cancel,
    /// Told how it ended, on the runner's thread.
    pub(crate) done: Box<dyn FnOnce(Result<Outcome, Fault>) + std::marker::Send>,
}

/// Runs programs on the thread that asks, which needs [`THREAD_STACK`] bytes of stack.
pub(crate) struct Runner {
    image: Arc<Image>,
    reserve: Arc<Reserve>,
    /// WASI's blocking calls poll futures that are always ready. Without a runtime to do it in, they would start one with
    /// threads and descriptors of its own.
    context: Runtime,
}

impl Runner {
    pub(crate) fn new(image: Arc<Image>, reserve: Arc<Reserve>) -> std::io::Result<Self> {
        Ok(Self { image, reserve, context: context()? })
    }

    pub(crate) fn run(&self, job: Job) {
        let _entered = self.context.enter();
        let _busy = self.reserve.busy();
        match self.reserve.take().map_or_else(|| Instance::fresh(&self.image), Ok) {
            Ok(mut instance) => {
                // The answer goes out before the instance is cleared away.
                (job.done)(instance.run(&self.image, &job.program, &job.limits, job.send, job.cancel));
            }
            Err(e) => {
                let reason = format!("no instance could be made: {e:#}");
                (job.done)(Err(Fault::Unavailable { reason }));
            }
        }
    }
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
