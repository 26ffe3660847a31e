//! The limit of sandboxes that run at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::LimitExceeded;

/// The account's concurrent sandboxes of this process.
pub(crate) struct ConcurrencyLimit {
    cap: usize,
    permits: Arc<Semaphore>,
    /// One caller waits at a time, so that no other one has a permit while the account is full.
    turn: Semaphore,
    /// The time until which the account counts as full, although this process has fewer sandboxes. Held for a few
    /// instructions.
    full_until: Mutex<Instant>,
}

/// The reservation of one running sandbox, until it is dropped.
#[must_use = "a sandbox needs its reservation for as long as it runs"]
#[derive(Debug)]
pub struct SandboxReservation {
    _permit: OwnedSemaphorePermit,
}

/// How long the account counts as full after E2B has reported that, and the retry time of refusals: it is not known
/// when a sandbox ends.
const FULL_TIME: Duration = Duration::from_secs(5);

impl ConcurrencyLimit {
    pub(crate) fn new(cap: usize, now: Instant) -> Self {
        let cap = cap.clamp(1, Semaphore::MAX_PERMITS);
        Self { cap, permits: Arc::new(Semaphore::new(cap)), turn: Semaphore::new(1), full_until: Mutex::new(now) }
    }

    /// Waits until one more sandbox may run, in the order of calls.
    ///
    /// # Errors
    /// None may run before the deadline.
    pub(crate) async fn reserve(&self, deadline: Instant) -> Result<SandboxReservation, LimitExceeded> {
        let wait = async {
            let turn = self.turn.acquire().await?;
            let permit = self.permits.clone().acquire_owned().await?;
            Ok::<_, tokio::sync::AcquireError>((turn, permit))
        };
        // The semaphores are never closed, so an error is the deadline.
        let Ok(Ok((_turn, permit))) = timeout_at(deadline, wait).await else { return Err(self.refusal()) };
        self.wait_while_full(deadline).await?;
        Ok(SandboxReservation { _permit: permit })
    }

    /// Waits while the account counts as full.
    ///
    /// # Errors
    /// It is full beyond the deadline.
    pub(crate) async fn wait_while_full(&self, deadline: Instant) -> Result<(), LimitExceeded> {
        loop {
            let until = self.full_until();
            if until <= Instant::now() {
                return Ok(());
            }
            if until > deadline {
                return Err(self.refusal());
            }
            sleep_until(until).await;
        }
    }

    /// Records that E2B has reported the account as full.
    pub(crate) fn set_full(&self) {
        *self.full_until.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + FULL_TIME;
    }

    pub(crate) fn cap(&self) -> usize {
        self.cap
    }

    pub(crate) fn running(&self) -> usize {
        self.cap - self.permits.available_permits()
    }

    fn refusal(&self) -> LimitExceeded {
        let left = self.full_until().saturating_duration_since(Instant::now());
        LimitExceeded::Concurrency { cap: self.cap, retry_after: if left.is_zero() { FULL_TIME } else { left } }
    }

    fn full_until(&self) -> Instant {
        *self.full_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
