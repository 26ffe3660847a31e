//! The run of an instance, shared by its store and the objects that its calls use.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::run::{Run, Stop};

/// The lock is short and never held over a call into the guest.
#[derive(Clone)]
pub(crate) struct SharedRun(Arc<Mutex<Run>>);

impl Default for SharedRun {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Run::without_program())))
    }
}

impl SharedRun {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Run> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends on output and checks the deadline; called a thousand times a second while the program computes.
    pub(crate) fn tick(&self) -> Result<(), Stop> {
        let mut run = self.lock();
        run.output.tick();
        run.check()
    }
}
