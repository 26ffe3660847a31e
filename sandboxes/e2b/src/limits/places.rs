//! How many sandboxes run at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Limited;

/// The account's places, as far as this process knows.
pub(crate) struct Places {
    cap: usize,
    free: Arc<Semaphore>,
    /// Whose turn it is. One at a time, so that nobody holds a place while the account is full.
    line: Semaphore,
    /// Protects until when E2B is taken to be full though we count less; held for a look.
    full_until: Mutex<Instant>,
}

/// One of the account's concurrent sandboxes: held for as long as it runs. Dropping it frees the place.
#[must_use = "a place is held for as long as the sandbox runs"]
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

/// How long E2B's word that the account is full is believed, and when to ask again for a place: nobody knows when a
/// sandbox ends.
const FULL: Duration = Duration::from_secs(5);

impl Places {
    pub(crate) fn new(cap: usize, now: Instant) -> Self {
        let cap = cap.clamp(1, Semaphore::MAX_PERMITS);
        Self { cap, free: Arc::new(Semaphore::new(cap)), line: Semaphore::new(1), full_until: Mutex::new(now) }
    }

    /// Waits for a place, in the order of asking.
    ///
    /// # Errors
    /// None is free before the deadline.
    pub(crate) async fn place(&self, deadline: Instant) -> Result<Place, Limited> {
        let wait = async {
            let line = self.line.acquire().await?;
            let permit = self.free.clone().acquire_owned().await?;
            Ok::<_, tokio::sync::AcquireError>((line, permit))
        };
        // The semaphores are never closed: anything else is the deadline.
        let Ok(Ok((_line, permit))) = timeout_at(deadline, wait).await else { return Err(self.refusal()) };
        self.open(deadline).await?;
        Ok(Place { _permit: permit })
    }

    /// Waits until E2B may have room again, if it said that it has none.
    ///
    /// # Errors
    /// That is after the deadline.
    pub(crate) async fn open(&self, deadline: Instant) -> Result<(), Limited> {
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

    /// E2B says that the account is full.
    pub(crate) fn capped(&self) {
        *self.full_until.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + FULL;
    }

    pub(crate) fn cap(&self) -> usize {
        self.cap
    }

    pub(crate) fn running(&self) -> usize {
        self.cap - self.free.available_permits()
    }

    fn refusal(&self) -> Limited {
        let left = self.full_until().saturating_duration_since(Instant::now());
        Limited::Concurrency { cap: self.cap, retry_after: if left.is_zero() { FULL } else { left } }
    }

    fn full_until(&self) -> Instant {
        *self.full_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
