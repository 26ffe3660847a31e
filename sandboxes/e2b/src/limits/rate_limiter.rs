//! A rate limiter with a queue: calls start in order, and a caller that leaves the queue delays no other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::adaptive::AdaptiveRate;
use super::gcra::Gcra;
use super::status::RateStatus;
use super::window::{Wait, Window};
use super::{CallClass, LimitExceeded};

/// The rate limiter of one class of calls.
pub(crate) struct RateLimiter {
    class: CallClass,
    /// Held by the first caller of the queue.
    turn: Semaphore,
    /// Callers in the queue, with the first one.
    waiting: AtomicUsize,
    /// Notifies the first caller of the end of a call.
    call_ended: Notify,
    /// Held for a few instructions, never over an await.
    state: Mutex<State>,
}

struct State {
    /// Spreads the starts.
    gcra: Gcra,
    /// Limits the arrivals.
    window: Window,
    /// For classes without a published rate.
    adaptive: Option<AdaptiveRate>,
    /// Share of calls that succeed.
    health: f64,
    succeeded: u64,
    failed: u64,
    rate_limited: u64,
}

/// The reservation of one call. Hold it until the response begins: until then the call may still arrive. A
/// reservation that is dropped without a call counts like a call.
#[must_use = "a reservation is held until the response of its call has begun"]
pub struct CallReservation(Arc<RateLimiter>);

impl Drop for CallReservation {
    fn drop(&mut self) {
        self.0.state().window.end(Instant::now());
        self.0.call_ended.notify_one();
    }
}

impl std::fmt::Debug for CallReservation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CallReservation").field(&self.0.class).finish()
    }
}

/// The turn of the first caller in the queue, until it is dropped.
pub(crate) struct Turn<'a> {
    limiter: &'a Arc<RateLimiter>,
    _turn: SemaphorePermit<'a>,
    _waiting: Waiting<'a>,
}

/// A caller in the queue.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The shortest retry time of a refusal.
const MIN_RETRY_AFTER: Duration = Duration::from_millis(100);

impl RateLimiter {
    /// Returns a limiter with a constant rate: as many calls as the window allows, spread by `gcra`.
    pub(crate) fn fixed(class: CallClass, gcra: Gcra, window: Window) -> Arc<Self> {
        Self::new(class, gcra, window, None)
    }

    /// Returns a limiter with a rate that adapts to refusals, below a constant one.
    pub(crate) fn adaptive(class: CallClass, gcra: Gcra, window: Window, adaptive: AdaptiveRate) -> Arc<Self> {
        Self::new(class, gcra, window, Some(adaptive))
    }

    fn new(class: CallClass, gcra: Gcra, window: Window, adaptive: Option<AdaptiveRate>) -> Arc<Self> {
        let state = State { gcra, window, adaptive, health: 1.0, succeeded: 0, failed: 0, rate_limited: 0 };
        let (turn, waiting, call_ended) = (Semaphore::new(1), AtomicUsize::new(0), Notify::new());
        Arc::new(Self { class, turn, waiting, call_ended, state: Mutex::new(state) })
    }

    /// Waits until a call may start. Dropping the future leaves the queue and reserves nothing.
    ///
    /// # Errors
    /// None may start before the deadline. Fails at once where that is certain.
    pub(crate) async fn reserve(self: &Arc<Self>, deadline: Instant) -> Result<CallReservation, LimitExceeded> {
        let turn = self.turn(deadline).await?;
        loop {
            match turn.try_reserve() {
                Ok(reservation) => return Ok(reservation),
                Err(wait) => turn.wait(wait, deadline).await?,
            }
        }
    }

    /// Waits to be the first in the queue.
    ///
    /// # Errors
    /// No call may start before the deadline.
    pub(crate) async fn turn(self: &Arc<Self>, deadline: Instant) -> Result<Turn<'_>, LimitExceeded> {
        let ahead = self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.waiting);
        if self.state().earliest_start(ahead, Instant::now()) > deadline {
            return Err(self.exceeded(ahead));
        }
        match timeout_at(deadline, self.turn.acquire()).await {
            Ok(Ok(turn)) => Ok(Turn { limiter: self, _turn: turn, _waiting: waiting }),
            // The semaphore is never closed, so this is the deadline.
            _ => Err(self.exceeded(ahead)),
        }
    }

    /// Records that E2B refused a call for its rate and accepts none for `retry_after`.
    pub(crate) fn rate_limited(&self, retry_after: Duration) {
        let now = Instant::now();
        let until = now + retry_after;
        let mut state = self.state();
        state.rate_limited += 1;
        if let Some(adaptive) = &mut state.adaptive {
            adaptive.record_refusal(now, until);
        }
        state.gcra(now).hold(until);
    }

    pub(crate) fn succeeded(&self) {
        self.state().succeeded += 1;
    }

    pub(crate) fn failed(&self) {
        self.state().failed += 1;
    }

    /// Sets the share of calls that succeed.
    pub(crate) fn set_health(&self, share: f64) {
        self.state().health = share;
    }

    pub(crate) fn status(&self) -> RateStatus {
        let now = Instant::now();
        let mut state = self.state();
        let by_window = u32::try_from(state.window.available(now)).unwrap_or(u32::MAX);
        let gcra = state.gcra(now);
        let (per_second, available) = (gcra.per_second(), gcra.available(now).min(by_window));
        RateStatus {
            per_second,
            available,
            waiting: self.waiting.load(Ordering::Relaxed),
            succeeded: state.succeeded,
            failed: state.failed,
            rate_limited: state.rate_limited,
        }
    }

    /// Returns the error of a caller with so many ahead of it.
    pub(crate) fn exceeded(&self, ahead: usize) -> LimitExceeded {
        let now = Instant::now();
        let next = self.state().earliest_start(ahead, now);
        let retry_after = next.saturating_duration_since(now).max(MIN_RETRY_AFTER);
        LimitExceeded::Rate { class: self.class, retry_after }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Reserves a call, if one may start now.
    ///
    /// # Errors
    /// No call may start now. Returns what to wait for.
    pub(crate) fn try_reserve(&self) -> Result<CallReservation, Wait> {
        let now = Instant::now();
        let mut state = self.limiter.state();
        state.window.check(now)?;
        state.gcra(now).take(now).map_err(Wait::Until)?;
        state.window.start();
        drop(state);
        Ok(CallReservation(self.limiter.clone()))
    }

    /// Waits for what [`Turn::try_reserve`] returned.
    ///
    /// # Errors
    /// The wait is longer than the deadline allows.
    pub(crate) async fn wait(&self, wait: Wait, deadline: Instant) -> Result<(), LimitExceeded> {
        match wait {
            Wait::Until(next) if next > deadline => Err(self.limiter.exceeded(0)),
            Wait::Until(next) => {
                sleep_until(next).await;
                Ok(())
            }
            // Only the first in the queue waits for it, so no notification is lost to another caller.
            Wait::ForEnd => {
                timeout_at(deadline, self.limiter.call_ended.notified()).await.map_err(|_| self.limiter.exceeded(0))
            }
        }
    }
}

impl State {
    /// Returns the GCRA at the present rate.
    fn gcra(&mut self, now: Instant) -> &mut Gcra {
        if let Some(adaptive) = &self.adaptive {
            self.gcra.set_interval(adaptive.interval(self.health, now), now);
        }
        &mut self.gcra
    }

    /// Returns the earliest start of a call with `waiting` calls ahead of it.
    fn earliest_start(&mut self, waiting: usize, now: Instant) -> Instant {
        self.window.earliest_start(waiting, now).max(self.gcra(now).earliest_start(waiting, now))
    }
}
