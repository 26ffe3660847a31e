//! A thread that runs programs, and the reserve of instances made ahead for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use switchtower_contract::{Fault, Limits, Outcome, Program};

use crate::engine::{Image, THREAD_STACK};
use crate::instance::Instance;
use crate::sink::Send;

/// Ends a run from another thread, within a tick.
#[derive(Clone, Default)]
pub(crate) struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// One program to run.
pub(crate) struct Job {
    pub(crate) program: Program,
    pub(crate) limits: Limits,
    pub(crate) send: Send,
    pub(crate) cancel: Cancel,
    /// Told how it ended, on the runner's thread.
    pub(crate) done: Box<dyn FnOnce(Result<Outcome, Fault>) + std::marker::Send>,
}

/// A thread with a stack deep enough for the guest. It ends when this is dropped and its last program is done.
pub(crate) struct Runner {
    jobs: mpsc::Sender<Job>,
}

impl Runner {
    pub(crate) fn start(image: Arc<Image>, reserve: Arc<Reserve>) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        // WASI's blocking calls poll futures that are always ready. Without a runtime to do it in, they would start one
        // with threads and descriptors of its own.
        let context = tokio::runtime::Builder::new_current_thread().build()?;
        std::thread::Builder::new().name("runner".into()).stack_size(THREAD_STACK).spawn(move || {
            let _entered = context.enter();
            while let Ok(job) = queue.recv() {
                let busy = reserve.busy();
                match reserve.take().map_or_else(|| Instance::fresh(&image), Ok) {
                    Ok(mut instance) => {
                        // The answer goes out before the instance is cleared away.
                        (job.done)(instance.run(&image, &job.program, &job.limits, job.send, job.cancel));
                    }
                    Err(e) => {
                        let reason = format!("no instance could be made: {e:#}");
                        (job.done)(Err(Fault::Unavailable { reason }));
                    }
                }
                drop(busy);
            }
        })?;
        Ok(Self { jobs })
    }

    /// Gives the thread a program. It fails only when the thread is gone.
    pub(crate) fn run(&self, job: Job) -> Result<(), Fault> {
        self.jobs.send(job).map_err(|_| Fault::Unavailable { reason: "the runner has ended".into() })
    }
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
            let context = tokio::runtime::Builder::new_current_thread().build()?;
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
