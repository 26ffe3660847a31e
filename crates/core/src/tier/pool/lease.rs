//! A sandbox on loan, and the wait for one.

use std::sync::Arc;

use switchtower_contract::{Fault, Sandbox};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::entry::PoolEntry;
use super::{Inner, RESET};
use crate::request::SideEffects;

/// A sandbox on loan. Dropped, it is given up; given back, it becomes fresh and is lent again.
pub struct Lease {
    inner: Arc<Inner>,
    entry: Option<PoolEntry>,
}

impl Lease {
    pub(super) fn new(inner: Arc<Inner>, mut entry: PoolEntry) -> Self {
        entry.lent();
        Self { inner, entry: Some(entry) }
    }

    /// The sandbox itself; none once it was given back.
    pub fn sandbox(&mut self) -> Option<&mut dyn Sandbox> {
        self.entry.as_mut().map(PoolEntry::sandbox)
    }

    /// After a run that came to its own end. Whether it is used again is for the pool's settings to say.
    pub fn give_back(mut self, side_effects: SideEffects) {
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
        let reset = async move {
            if fresh(&mut entry).await {
                inner.offer(entry);
            } else {
                inner.state().counts.evicted += 1;
                drop(entry);
                inner.fill();
            }
        };
        let mut state = self.inner.state();
        if !state.closed {
            state.tasks.spawn(reset);
        }
    }

    /// For somebody who keeps it: it is none of the pool's any more, which opens another for its programs.
    pub fn into_sandbox(mut self) -> Option<Box<dyn Sandbox>> {
        self.entry.take().map(PoolEntry::into_sandbox)
    }

    /// The backend failed while it was lent: it is given up, and the others are looked at.
    pub fn give_up(self) {
        self.inner.look.notify_one();
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

/// Makes it fresh. A backend that asks for patience gets it: to give the sandbox up for that would cost it a new one, and
/// more calls.
async fn fresh(entry: &mut PoolEntry) -> bool {
    for _ in 0..PATIENCE {
        match timeout(RESET, entry.reset()).await {
            Ok(Ok(())) => return true,
            Ok(Err(Fault::Refused { retry_after: Some(after), .. })) if after <= RESET => sleep(after).await,
            Ok(Err(_)) | Err(_) => return false,
        }
    }
    false
}

/// Times that a reset is put off.
const PATIENCE: u32 = 3;

/// Waits for a sandbox. Whoever leaves at the moment it comes passes it on.
pub(super) struct Waiting {
    inner: Arc<Inner>,
    given: oneshot::Receiver<Result<PoolEntry, Fault>>,
}

impl Waiting {
    pub(super) fn new(inner: Arc<Inner>, given: oneshot::Receiver<Result<PoolEntry, Fault>>) -> Self {
        Self { inner, given }
    }

    pub(super) async fn entry(mut self) -> Result<PoolEntry, Fault> {
        let closed = |_| Err(Fault::Unavailable { reason: "the pool is closed".to_owned() });
        (&mut self.given).await.unwrap_or_else(closed)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.given.close();
        if let Ok(Ok(entry)) = self.given.try_recv() {
            self.inner.offer(entry);
        }
    }
}
