//! A line in front of a rate: who asked first starts first, and whoever leaves holds nobody up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::adaptive::Adaptive;
use super::gcra::Gcra;
use super::status::Flow;
use super::{Kind, Limited};

/// The rights of one kind.
pub(crate) struct Bucket {
    kind: Kind,
    /// Whose turn it is. Only the first in line takes from the rate.
    line: Semaphore,
    /// How many are in the line, its first included.
    waiting: AtomicUsize,
    /// Protects the rate and the figures; held for a few instructions and never over an await.
    state: Mutex<State>,
}

struct State {
    gcra: Gcra,
    /// Where E2B publishes no rate.
    adaptive: Option<Adaptive>,
    /// Share of calls that do well.
    health: f64,
    /// What became of the calls.
    succeeded: u64,
    failed: u64,
    rate_limited: u64,
}

/// The first in line. Dropping it lets the next one come first.
pub(crate) struct Turn<'a> {
    bucket: &'a Bucket,
    _line: SemaphorePermit<'a>,
    _waiting: Waiting<'a>,
}

/// One of those in the line.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The shortest time that a refusal asks for.
const SOONEST: Duration = Duration::from_millis(100);

impl Bucket {
    /// A rate that stays as it is.
    pub(crate) fn fixed(kind: Kind, gcra: Gcra) -> Self {
        Self::new(kind, gcra, None)
    }

    /// A rate that is felt out. No faster than this rate at any time.
    pub(crate) fn adaptive(kind: Kind, gcra: Gcra, adaptive: Adaptive) -> Self {
        Self::new(kind, gcra, Some(adaptive))
    }

    fn new(kind: Kind, gcra: Gcra, adaptive: Option<Adaptive>) -> Self {
        let state = State { gcra, adaptive, health: 1.0, succeeded: 0, failed: 0, rate_limited: 0 };
        Self { kind, line: Semaphore::new(1), waiting: AtomicUsize::new(0), state: Mutex::new(state) }
    }

    /// Waits for a right. Dropping the future leaves the line and spends nothing.
    ///
    /// # Errors
    /// There is none before the deadline: at once where that is certain.
    pub(crate) async fn right(&self, deadline: Instant) -> Result<(), Limited> {
        let turn = self.turn(deadline).await?;
        while let Err(next) = turn.take() {
            turn.wait(next, deadline).await?;
        }
        Ok(())
    }

    /// Waits to be the first in line.
    ///
    /// # Errors
    /// There is no right before the deadline.
    pub(crate) async fn turn(&self, deadline: Instant) -> Result<Turn<'_>, Limited> {
        let ahead = self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.waiting);
        let now = Instant::now();
        if self.state().paced(now).behind(ahead, now) > deadline {
            return Err(self.refusal(ahead));
        }
        match timeout_at(deadline, self.line.acquire()).await {
            Ok(Ok(line)) => Ok(Turn { bucket: self, _line: line, _waiting: waiting }),
            // The line is never closed: this is the deadline.
            _ => Err(self.refusal(ahead)),
        }
    }

    /// E2B refused a call of this kind, and wants none for so long.
    pub(crate) fn rate_limited(&self, retry_after: Duration) {
        let now = Instant::now();
        let until = now + retry_after;
        let mut state = self.state();
        state.rate_limited += 1;
        if let Some(adaptive) = &mut state.adaptive {
            adaptive.refused(now, until);
        }
        state.paced(now).hold(until);
    }

    pub(crate) fn succeeded(&self) {
        self.state().succeeded += 1;
    }

    pub(crate) fn failed(&self) {
        self.state().failed += 1;
    }

    /// The share of calls that do well changed.
    pub(crate) fn health(&self, share: f64) {
        self.state().health = share;
    }

    pub(crate) fn flow(&self) -> Flow {
        let now = Instant::now();
        let mut state = self.state();
        let gcra = state.paced(now);
        let (per_second, available) = (gcra.per_second(), gcra.available(now));
        Flow {
            per_second,
            available,
            waiting: self.waiting.load(Ordering::Relaxed),
            succeeded: state.succeeded,
            failed: state.failed,
            rate_limited: state.rate_limited,
        }
    }

    /// The refusal of one that has so many before it.
    pub(crate) fn refusal(&self, ahead: usize) -> Limited {
        let now = Instant::now();
        let next = self.state().paced(now).behind(ahead, now);
        Limited::Rate { what: self.kind, retry_after: next.saturating_duration_since(now).max(SOONEST) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Takes a right, if there is one now.
    ///
    /// # Errors
    /// When there may be one.
    pub(crate) fn take(&self) -> Result<(), Instant> {
        let now = Instant::now();
        self.bucket.state().paced(now).take(now)
    }

    /// Waits until then.
    ///
    /// # Errors
    /// That is after the deadline.
    pub(crate) async fn wait(&self, next: Instant, deadline: Instant) -> Result<(), Limited> {
        if next > deadline {
            return Err(self.bucket.refusal(0));
        }
        sleep_until(next).await;
        Ok(())
    }
}

impl State {
    /// The rate as it is now.
    fn paced(&mut self, now: Instant) -> &mut Gcra {
        if let Some(adaptive) = &self.adaptive {
            self.gcra.pace(adaptive.every(self.health, now), now);
        }
        &mut self.gcra
    }
}
