//! A line in front of a rate: who asked first starts first, and whoever leaves holds nobody up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::adaptive::Adaptive;
use super::gcra::Gcra;
use super::status::Flow;
use super::window::{Wait, Window};
use super::{Kind, Limited};

/// The rights of one kind.
pub(crate) struct Bucket {
    kind: Kind,
    /// Whose turn it is. Only the first in line takes from the rate.
    line: Semaphore,
    /// How many are in the line, its first included.
    waiting: AtomicUsize,
    /// A call ended, for the first in line.
    ended: Notify,
    /// Protects the rate and the figures; held for a few instructions and never over an await.
    state: Mutex<State>,
}

struct State {
    /// How they are spread.
    gcra: Gcra,
    /// How many may arrive over there.
    window: Window,
    /// Where E2B publishes no rate.
    adaptive: Option<Adaptive>,
    /// Share of calls that do well.
    health: f64,
    /// What became of the calls.
    succeeded: u64,
    failed: u64,
    rate_limited: u64,
}

/// The right to one call, held until its answer has begun: until then it may still arrive. Dropped without a call, it
/// counts as one all the same.
#[must_use = "a reservation is held until the answer of its call has begun"]
pub struct Reservation(Arc<Bucket>);

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.state().window.end(Instant::now());
        self.0.ended.notify_one();
    }
}

impl std::fmt::Debug for Reservation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Reservation").field(&self.0.kind).finish()
    }
}

/// The first in line. Dropping it lets the next one come first.
pub(crate) struct Turn<'a> {
    bucket: &'a Arc<Bucket>,
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
    /// A rate that stays as it is: no more than the window has places for, spread as `gcra` has it.
    pub(crate) fn fixed(kind: Kind, gcra: Gcra, window: Window) -> Arc<Self> {
        Self::new(kind, gcra, window, None)
    }

    /// A rate that is felt out. No faster than this rate at any time.
    pub(crate) fn adaptive(kind: Kind, gcra: Gcra, window: Window, adaptive: Adaptive) -> Arc<Self> {
        Self::new(kind, gcra, window, Some(adaptive))
    }

    fn new(kind: Kind, gcra: Gcra, window: Window, adaptive: Option<Adaptive>) -> Arc<Self> {
        let state = State { gcra, window, adaptive, health: 1.0, succeeded: 0, failed: 0, rate_limited: 0 };
        let (line, waiting, ended) = (Semaphore::new(1), AtomicUsize::new(0), Notify::new());
        Arc::new(Self { kind, line, waiting, ended, state: Mutex::new(state) })
    }

    /// Waits for a right. Dropping the future leaves the line and spends nothing.
    ///
    /// # Errors
    /// There is none before the deadline: at once where that is certain.
    pub(crate) async fn right(self: &Arc<Self>, deadline: Instant) -> Result<Reservation, Limited> {
        let turn = self.turn(deadline).await?;
        loop {
            match turn.take() {
                Ok(reservation) => return Ok(reservation),
                Err(wait) => turn.wait(wait, deadline).await?,
            }
        }
    }

    /// Waits to be the first in line.
    ///
    /// # Errors
    /// There is no right before the deadline.
    pub(crate) async fn turn(self: &Arc<Self>, deadline: Instant) -> Result<Turn<'_>, Limited> {
        let ahead = self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.waiting);
        if self.state().behind(ahead, Instant::now()) > deadline {
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
        let places = u32::try_from(state.window.available(now)).unwrap_or(u32::MAX);
        let gcra = state.paced(now);
        let (per_second, available) = (gcra.per_second(), gcra.available(now).min(places));
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
        let next = self.state().behind(ahead, now);
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
    /// What to wait for.
    pub(crate) fn take(&self) -> Result<Reservation, Wait> {
        let now = Instant::now();
        let mut state = self.bucket.state();
        state.window.room(now)?;
        state.paced(now).take(now).map_err(Wait::Until)?;
        state.window.start();
        drop(state);
        Ok(Reservation(self.bucket.clone()))
    }

    /// Waits for that.
    ///
    /// # Errors
    /// It is after the deadline.
    pub(crate) async fn wait(&self, wait: Wait, deadline: Instant) -> Result<(), Limited> {
        match wait {
            Wait::Until(next) if next > deadline => Err(self.bucket.refusal(0)),
            Wait::Until(next) => {
                sleep_until(next).await;
                Ok(())
            }
            // Only the first in line waits for it, so a notice is never somebody else's.
            Wait::ForOne => {
                timeout_at(deadline, self.bucket.ended.notified()).await.map_err(|_| self.bucket.refusal(0))
            }
        }
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

    /// When one could start that has `waiting` before it.
    fn behind(&mut self, waiting: usize, now: Instant) -> Instant {
        self.window.behind(waiting, now).max(self.paced(now).behind(waiting, now))
    }
}
