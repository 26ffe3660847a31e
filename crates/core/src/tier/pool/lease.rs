//! Leases of sandboxes, and waiting for one.

use std::sync::Arc;

use switchtower_contract::{Fault, Sandbox};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::entry::PoolEntry;
use super::{Inner, RESET_TIMEOUT};
use crate::request::SideEffects;

/// A leased sandbox. Dropping the lease ends the sandbox; [`release`](Self::release) returns it to the pool.
pub struct Lease {
    inner: Arc<Inner>,
    entry: Option<PoolEntry>,
}

impl Lease {
    pub(super) fn new(inner: Arc<Inner>, mut entry: PoolEntry) -> Self {
        entry.begin_run();
        Self { inner, entry: Some(entry) }
    }

    /// Returns the sandbox; `None` after it was released.
    pub fn sandbox(&mut self) -> Option<&mut dyn Sandbox> {
        self.entry.as_mut().map(PoolEntry::sandbox)
    }

    /// Ends the lease after a run that ended by itself. The sandbox is reset and reused if the pool's settings allow
    /// it.
    pub fn release(mut self, side_effects: SideEffects) {
        let config = &self.inner.config;
        let Some(mut entry) = self.entry.take() else { return };
        if !config.reuse.allows(side_effects) {
            return;
        }
        if entry.runs >= config.max_runs || entry.age(Instant::now()) >= config.max_age {
            self.inner.state().counts.retired += 1;
            return;
        }
        let inner = self.inner.clone();
        let task = async move {
            if reset(&mut entry).await {
                inner.make_available(entry);
            } else {
                inner.state().counts.evicted += 1;
                drop(entry);
                inner.fill();
            }
        };
        let mut state = self.inner.state();
        if !state.closed {
            state.tasks.spawn(task);
        }
    }

    /// Removes the sandbox from the pool and returns it. The pool opens another one in its place.
    pub fn into_sandbox(mut self) -> Option<Box<dyn Sandbox>> {
        self.entry.take().map(PoolEntry::into_sandbox)
    }

    /// Ends the sandbox after a fault of its backend and requests a check of the idle sandboxes.
    pub fn discard(self) {
        self.inner.check_requested.notify_one();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            drop(entry);
        }
        self.inner.fill();
    }
}

/// Resets a sandbox. Returns whether it succeeded. If the backend requests a delay, the reset is retried after it:
/// replacing the sandbox instead would cost more calls to a backend that limits their rate.
async fn reset(entry: &mut PoolEntry) -> bool {
    for _ in 0..MAX_RESETS {
        match timeout(RESET_TIMEOUT, entry.reset()).await {
            Ok(Ok(())) => return true,
            Ok(Err(Fault::Refused { retry_after: Some(after), .. })) if after <= RESET_TIMEOUT => sleep(after).await,
            Ok(Err(_)) | Err(_) => return false,
        }
    }
    false
}

/// Most attempts to reset a sandbox.
const MAX_RESETS: u32 = 3;

/// A wait for a sandbox. If it is dropped after a sandbox was sent to it, the sandbox goes to the next waiter.
pub(super) struct PendingLease {
    inner: Arc<Inner>,
    receiver: oneshot::Receiver<Result<PoolEntry, Fault>>,
}

impl PendingLease {
    pub(super) fn new(inner: Arc<Inner>, receiver: oneshot::Receiver<Result<PoolEntry, Fault>>) -> Self {
        Self { inner, receiver }
    }

    pub(super) async fn entry(mut self) -> Result<PoolEntry, Fault> {
        let closed = |_| Err(Fault::Unavailable { reason: "the pool is closed".to_owned() });
        (&mut self.receiver).await.unwrap_or_else(closed)
    }
}

impl Drop for PendingLease {
    fn drop(&mut self) {
        self.receiver.close();
        if let Ok(Ok(entry)) = self.receiver.try_recv() {
            self.inner.make_available(entry);
        }
    }
}
