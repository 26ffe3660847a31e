//! Sandboxes kept ready: opened ahead, lent for a run, taken back when the run was clean, looked after meanwhile.
//!
//! Every sandbox holds one of [`Config::max`] places from before it is opened until after it is gone, so warm, busy and
//! starting ones are counted in one place, and none can be counted twice or forgotten. Whoever finds no warm one waits for
//! the next that is free, opened for it or given back by another; an opening outlives the caller it was begun for.

mod entry;
mod lease;
mod state;
mod status;
mod upkeep;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::{Backend, Fault, Spec, rounded};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::request::SideEffects;
use crate::route::TierName;
use entry::PoolEntry;
pub use entry::Seen;
pub use lease::Lease;
use state::{State, Waiter};
pub use status::{Counts, Status};

/// How many sandboxes are kept ready, and how long each is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Sandboxes that are kept, asleep, when no request has come for `sleep_after`; 0: none. Never more than `target`.
    pub min: usize,
    /// Sandboxes that are kept warm while there is work, and opened at the start; 0: none. Never more than `max`.
    pub target: usize,
    /// Sandboxes at once: warm, busy and starting together, at least 1.
    pub max: usize,
    /// Runs that one sandbox is used for, at least 1.
    pub max_runs: u32,
    /// Time awake after which a sandbox is ended. A run is not broken off for it: a sandbox that would not last is not used.
    #[serde(with = "humantime_serde")]
    pub max_age: Duration,
    /// Time between two checks of the sandboxes that wait.
    #[serde(with = "humantime_serde")]
    pub maintenance_interval: Duration,
    /// A sandbox that has been idle for this long is put to sleep; 0: never.
    #[serde(with = "humantime_serde")]
    pub sleep_after: Duration,
    /// After which runs a sandbox is used again: `never`, after none; `contained`, after programs that by their text leave
    /// nothing behind; `clean`, after every program that came to its own end.
    pub reuse: Reuse,
    /// Sandboxes that must have been warm before `/ready` answers 200, at most `max`; 0: it does not wait for any.
    pub min_ready: usize,
}

impl Config {
    /// Returns the first setting that cannot be used and why, in words that begin with its name; `None` when all can.
    pub fn problem(&self) -> Option<String> {
        if self.max == 0 {
            return Some("max must be at least 1: with 0 nothing would ever run".to_owned());
        }
        if self.max_runs == 0 {
            return Some("max_runs must be at least 1: with 0 nothing would ever run".to_owned());
        }
        if self.min_ready > self.max {
            let (ready, max) = (self.min_ready, self.max);
            return Some(format!("min_ready is {ready}: it must be at most max, {max}, or the server is never ready"));
        }
        let times = [("max_age", self.max_age), ("maintenance_interval", self.maintenance_interval)];
        let zero = times.into_iter().find_map(|(name, time)| time.is_zero().then_some(name))?;
        Some(format!("{zero} must be longer than 0s"))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            min: 2,
            target: 3,
            max: 10,
            max_runs: 50,
            max_age: Duration::from_secs(3600),
            maintenance_interval: Duration::from_secs(30),
            sleep_after: Duration::from_secs(300),
            reuse: Reuse::Contained,
            min_ready: 0,
        }
    }
}

/// After which runs a sandbox is used again. Always only after one that came to its own end, and only when its reset
/// went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reuse {
    /// After none.
    Never,
    /// After those of programs that leave nothing behind, as analysis has it.
    Contained,
    /// After any: whoever runs programs here trusts the others who do.
    Clean,
}

impl Reuse {
    fn allows(self, side_effects: SideEffects) -> bool {
        match self {
            Self::Never => false,
            Self::Contained => side_effects == SideEffects::None,
            Self::Clean => true,
        }
    }
}

/// The pool of one tier.
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    tier: TierName,
    backend: Arc<dyn Backend>,
    spec: Spec,
    config: Config,
    /// Longest that an opening may take.
    opening: Duration,
    /// One place for each sandbox there may be.
    places: Arc<Semaphore>,
    /// Asks for a look at those that wait, before its time.
    look: Notify,
    /// Protects what is warm and who waits; held for a few instructions and never over an await.
    state: Mutex<State>,
}

/// Longest that a sandbox may take to become fresh again.
const RESET: Duration = Duration::from_secs(60);
/// Pause before opening ahead of need after a failure; it doubles with each, up to the second.
const AFTER_FAILURE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

impl Pool {
    /// Opens nothing before [`start`](Self::start), or before the first sandbox is asked for.
    pub fn new(tier: TierName, backend: Arc<dyn Backend>, spec: Spec, config: Config, opening: Duration) -> Self {
        let max = config.max.clamp(1, Semaphore::MAX_PERMITS);
        let config =
            Config { max, target: config.target.min(max), min: config.min.min(config.target).min(max), ..config };
        let places = Arc::new(Semaphore::new(max));
        let (look, state) = (Notify::new(), Mutex::new(State::new()));
        Self { inner: Arc::new(Inner { tier, backend, spec, config, opening, places, look, state }) }
    }

    /// Returns whether the pool's sandboxes are fit for what this spec asks for.
    pub fn serves(&self, spec: &Spec) -> bool {
        self.inner.spec.language == spec.language
    }

    /// Warms it, and begins to look after it. Call it inside a runtime, once.
    pub fn start(&self) {
        self.inner.fill();
        let upkeep = upkeep::upkeep(Arc::downgrade(&self.inner), self.inner.config.maintenance_interval);
        self.inner.state().tasks.spawn(upkeep);
    }

    /// A sandbox, fresh, that lasts for a run of this length.
    ///
    /// # Errors
    /// One that was opened for this call did not come up.
    pub async fn take(&self, wall: Duration) -> Result<Lease, Fault> {
        self.take_attempt(wall, 1).await
    }

    /// As [`take`](Self::take). `attempt`: which try of its request this is, from 1.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub async fn take_attempt(&self, wall: Duration, attempt: u32) -> Result<Lease, Fault> {
        let warm = {
            let mut state = self.inner.state();
            let now = Instant::now();
            if state.closed {
                return Err(Fault::Unavailable { reason: "the pool is closed".to_owned() });
            }
            state.counts.taken += 1;
            state.last_taken = now;
            if let Some(entry) = state.pick(now, wall, &self.inner.config) {
                state.counts.reused += 1;
                Ok(entry)
            } else {
                let (give, given) = oneshot::channel();
                state.waiting.push_back(Waiter { wall, attempt, give });
                Err(lease::Waiting::new(self.inner.clone(), given))
            }
        };
        self.inner.fill();
        let entry = match warm {
            Ok(entry) => entry,
            Err(waiting) => waiting.entry().await?,
        };
        Ok(Lease::new(self.inner.clone(), entry))
    }

    /// Whether as many as [`Config::min_ready`] have been warm at once.
    pub fn is_ready(&self) -> bool {
        self.inner.config.min_ready == 0 || self.inner.state().was_ready
    }

    /// Gives up every sandbox that nobody uses, and opens no more. Returns when those are let go.
    pub async fn close(&self) {
        let mut tasks = self.inner.close();
        tasks.shutdown().await;
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.inner.close().abort_all();
    }
}

impl Inner {
    /// Lets all go; what still goes on is for the caller to end.
    fn close(&self) -> JoinSet<()> {
        let mut state = self.state();
        state.closed = true;
        let tasks = std::mem::take(&mut state.tasks);
        let gone: (Vec<_>, VecDeque<_>) = (std::mem::take(&mut state.warm), std::mem::take(&mut state.waiting));
        drop(state);
        drop(gone);
        tasks
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens as many as are wanted and there are places for: for those who wait at once, ahead of need with patience.
    fn fill(self: &Arc<Self>) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        while state.tasks.try_join_next().is_some() {}
        let waiting = state.waiting.len().saturating_sub(state.starting);
        let coming = state.warm.len() + state.starting;
        let now = Instant::now();
        let ahead = if now < state.not_before {
            0
        } else {
            (state.aim(now, &self.config) + state.waiting.len()).saturating_sub(coming)
        };
        for _ in 0..waiting.max(ahead) {
            let place = match self.places.clone().try_acquire_owned() {
                Ok(place) => place,
                // All places are taken, and those that stand here would not last for whoever waits.
                Err(_) if state.waiting.len() > state.starting && !state.warm.is_empty() => {
                    state.counts.retired += 1;
                    state.warm.remove(0).into_place()
                }
                Err(_) => return,
            };
            // Of whoever it is opened for; ahead of need, each failure in a row is followed by another attempt.
            let attempt = state.waiting.get(state.starting).map_or(state.failed + 1, |waiter| waiter.attempt);
            state.starting += 1;
            let opening = Opening { inner: self.clone(), attempt };
            state.tasks.spawn(opening.open(place));
        }
    }

    /// Gives a sandbox to whoever waits longest of those that it lasts for, or keeps it.
    fn offer(&self, mut entry: PoolEntry) {
        let mut state = self.state();
        let now = Instant::now();
        state.waiting.retain(|waiter| !waiter.give.is_closed());
        while let Some(at) = state.waiting.iter().position(|waiter| entry.lasts(now, waiter.wall, &self.config)) {
            let Some(Waiter { give, .. }) = state.waiting.remove(at) else { break };
            match give.send(Ok(entry)) {
                Ok(()) => return,
                // Whoever this was has left at this moment.
                Err(Ok(back)) => entry = back,
                Err(Err(_)) => return,
            }
        }
        if !state.closed {
            state.warm.push(entry);
            state.was_ready |= state.warm.len() >= self.config.min_ready;
        }
    }

    /// Tells whoever waits longest that there is none.
    fn refuse(&self, fault: Fault) {
        let mut state = self.state();
        state.counts.errors += 1;
        state.failed += 1;
        let (first, most) = AFTER_FAILURE;
        state.not_before = Instant::now() + first.saturating_mul(2u32.saturating_pow(state.failed - 1)).min(most);
        let mut fault = Err(fault);
        while let Some(Waiter { give, .. }) = state.waiting.pop_front() {
            match give.send(fault) {
                Ok(()) => return,
                Err(back) => fault = back,
            }
        }
    }
}

/// An opening that goes on. However it ends, it is no longer counted.
struct Opening {
    inner: Arc<Inner>,
    attempt: u32,
}

impl Opening {
    async fn open(self, place: OwnedSemaphorePermit) {
        let inner = self.inner.clone();
        let late = |_| Err(Fault::Unavailable { reason: format!("no sandbox within {}", rounded(inner.opening)) });
        let opened = timeout(inner.opening, inner.backend.open_attempt(&inner.spec, self.attempt)).await;
        let opened = opened.unwrap_or_else(late);
        drop(self);
        match opened {
            Ok(sandbox) => {
                let mut state = inner.state();
                state.counts.created += 1;
                state.failed = 0;
                drop(state);
                inner.offer(PoolEntry::new(sandbox, place));
            }
            Err(fault) => {
                drop(place);
                inner.refuse(fault);
            }
        }
        inner.fill();
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.inner.state().starting -= 1;
    }
}

#[cfg(test)]
mod tests;
