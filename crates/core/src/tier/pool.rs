//! A pool of warm sandboxes: opened ahead of demand, leased for a run, reset and reused after a clean run, and checked
//! while idle.
//!
//! Idle sandboxes cost as much as busy ones. So as many are kept as recent arrivals are likely to need, and without
//! requests none, unless the settings say otherwise.
//!
//! Sandboxes are kept by the [`Spec`] that they were opened for, and a caller gets one of its own spec. Callers of all
//! specs are served in the order of their arrival: if the pool is full, a sandbox of another spec is ended for them.
//!
//! A semaphore with [`Config::max`] permits bounds the pool. Each sandbox holds one permit from before it is opened
//! until after it has ended, so starting, warm and busy sandboxes are counted together, each exactly once. A caller
//! that finds no warm sandbox waits for the next one that becomes available: opened for it, or returned by another
//! caller. Opening a sandbox continues even if the caller that it was started for leaves.

mod demand;
mod entry;
mod lease;
mod maintenance;
mod state;
mod status;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::{Backend, Fault, Spec, duration, rounded};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::request::SideEffects;
use crate::route::TierName;
use entry::PoolEntry;
pub use entry::SandboxStatus;
pub use lease::Lease;
use state::{State, Waiter};
pub use status::{PoolCounts, Status};

/// How many sandboxes the pool keeps, and how long each is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Idle sandboxes that are kept from the start and without requests; one that has been idle for `sleep_after` is
    /// asleep. 0: none. At most `target`. They are counted for each language: for the tier's first one from the start,
    /// for others from their first request. Machines of this host run every language and are counted together.
    pub min: usize,
    /// Most idle sandboxes that are kept warm ahead of requests, counted as those of `min`. 0: none. At most `max`.
    pub target: usize,
    /// Whether the number of idle sandboxes follows demand: between `min` and `target`, as many as recent requests
    /// are likely to need while one opens. If not, `target` are kept, from the start, until no request has arrived for
    /// `sleep_after`.
    pub follow_demand: bool,
    /// How long a sandbox stays idle that is more than are kept.
    #[serde(with = "duration")]
    pub surplus_idle: Duration,
    /// Most sandboxes at once: warm, busy and starting, all languages together; at least 1, at most 10,000.
    pub max: usize,
    /// Runs after which a sandbox is ended, at least 1.
    pub max_runs: u32,
    /// Time awake after which a sandbox is ended. Runs are not interrupted: a sandbox that would reach this age during
    /// a run is not used for it.
    #[serde(with = "duration")]
    pub max_age: Duration,
    /// Time between two checks of the idle sandboxes.
    #[serde(with = "duration")]
    pub maintenance_interval: Duration,
    /// A sandbox that has been idle for this long is put to sleep; 0: never.
    #[serde(with = "duration")]
    pub sleep_after: Duration,
    /// After which runs a sandbox is reused: `never`, none; `contained`, programs that according to analysis have no
    /// side effects; `clean`, all programs that ended by themselves.
    pub reuse: Reuse,
    /// Sandboxes that must have been warm at once before `/ready` returns 200; 0: none. At most those that are kept from
    /// the start: `min`, or `target` where they do not follow demand.
    pub min_ready: usize,
}

/// Upper limit of `max`: while all callers wait, so many sandboxes are opened.
const MAX_SANDBOXES: usize = 10_000;

impl Config {
    /// Returns the first invalid setting: a message that starts with its name. `None` if all are valid.
    pub fn problem(&self) -> Option<String> {
        if self.max == 0 {
            return Some("max must be at least 1: with 0 nothing would ever run".to_owned());
        }
        if self.max > MAX_SANDBOXES {
            return Some(format!("max is {}: it must be at most {MAX_SANDBOXES}", self.max));
        }
        if self.max_runs == 0 {
            return Some("max_runs must be at least 1: with 0 nothing would ever run".to_owned());
        }
        let (ready, kept) = (self.min_ready, self.kept_from_start());
        if ready > kept {
            let setting = if self.follow_demand { "min" } else { "target" };
            return Some(format!(
                "min_ready is {ready}: it must be at most {setting}, {kept}, the sandboxes that are kept from the start, \
                 or the server is never ready"
            ));
        }
        let times = [("max_age", self.max_age), ("maintenance_interval", self.maintenance_interval)];
        let zero = times.into_iter().find_map(|(name, time)| time.is_zero().then_some(name))?;
        Some(format!("{zero} must be longer than 0s"))
    }
}

impl Config {
    /// Returns how many sandboxes are opened at the start and kept without requests until they sleep.
    pub fn kept_from_start(&self) -> usize {
        let kept = if self.follow_demand { self.min } else { self.target };
        kept.min(self.target).min(self.max)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            min: 0,
            target: 3,
            max: 10,
            follow_demand: true,
            surplus_idle: Duration::from_secs(10),
            max_runs: 50,
            max_age: Duration::from_secs(3600),
            maintenance_interval: Duration::from_secs(30),
            sleep_after: Duration::from_secs(300),
            reuse: Reuse::Contained,
            min_ready: 0,
        }
    }
}

/// After which runs a sandbox is reused; in any case only after a program that ended by itself, and only if the reset
/// of the sandbox succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reuse {
    /// After no run.
    Never,
    /// After programs that according to analysis have no side effects.
    Contained,
    /// After every program: all users of the tier trust each other.
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
    config: Config,
    /// Longest time to open a sandbox.
    open_timeout: Duration,
    /// One permit for each sandbox that may exist.
    capacity: Arc<Semaphore>,
    /// Requests a check of the idle sandboxes before the next interval.
    check_requested: Notify,
    /// Held for a few instructions and never over an await.
    state: Mutex<State>,
}

/// Longest time to reset a sandbox.
const RESET_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause after a failed opening before the next sandbox is opened ahead of demand; it doubles with each consecutive
/// failure.
const FIRST_OPEN_PAUSE: Duration = Duration::from_secs(1);
const MAX_OPEN_PAUSE: Duration = Duration::from_secs(60);

impl Pool {
    /// Returns a pool that opens no sandbox before [`start`](Self::start) or the first [`take`](Self::take). `spec`: the
    /// spec of the sandboxes that [`start`](Self::start) opens.
    pub fn new(tier: TierName, backend: Arc<dyn Backend>, spec: Spec, config: Config, open_timeout: Duration) -> Self {
        let max = config.max.clamp(1, Semaphore::MAX_PERMITS);
        let config =
            Config { max, target: config.target.min(max), min: config.min.min(config.target).min(max), ..config };
        let capacity = Arc::new(Semaphore::new(max));
        let (check_requested, state) = (Notify::new(), Mutex::new(State::new(spec)));
        let inner = Inner { tier, backend, config, open_timeout, capacity, check_requested, state };
        Self { inner: Arc::new(inner) }
    }

    /// Opens the first sandboxes and starts the maintenance task. Call this once, inside a tokio runtime.
    pub fn start(&self) {
        self.inner.fill();
        let maintenance = maintenance::run(Arc::downgrade(&self.inner), self.inner.config.clone());
        self.inner.state().tasks.spawn(maintenance);
    }

    /// Leases a fresh sandbox of this spec that will not reach its maximum age within a run of at most `wall`. The pool
    /// keeps sandboxes of a spec warm from the first call for it on, and forgets no spec: the caller must use few.
    ///
    /// # Errors
    /// The sandbox that was opened for this call failed to open, or the pool is closed.
    pub async fn take(&self, spec: &Spec, wall: Duration) -> Result<Lease, Fault> {
        self.take_attempt(spec, wall, 1).await
    }

    /// As [`take`](Self::take). `attempt`: the number of the request's attempt on this tier, from 1.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub async fn take_attempt(&self, spec: &Spec, wall: Duration, attempt: u32) -> Result<Lease, Fault> {
        let warm = {
            let mut state = self.inner.state();
            let now = Instant::now();
            if state.closed {
                return Err(Fault::Unavailable { reason: "the pool is closed".to_owned() });
            }
            state.counts.taken += 1;
            state.spec_state(spec).record_arrival(now);
            if let Some(entry) = state.pick(spec, now, wall, &self.inner.config) {
                state.counts.reused += 1;
                Ok(entry)
            } else {
                let (sender, receiver) = oneshot::channel();
                state.waiters.push_back(Waiter { spec: spec.clone(), wall, attempt, sender });
                Err(lease::PendingLease::new(self.inner.clone(), receiver))
            }
        };
        self.inner.fill();
        let entry = match warm {
            Ok(entry) => entry,
            Err(pending) => pending.entry().await?,
        };
        Ok(Lease::new(self.inner.clone(), entry))
    }

    /// Returns the settings in force.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Returns whether [`Config::min_ready`] sandboxes have been warm at once.
    pub fn is_ready(&self) -> bool {
        self.inner.config.min_ready == 0 || self.inner.state().was_ready
    }

    /// Ends all idle sandboxes and opens no more. Returns after the pool's tasks have ended. Leased sandboxes end with
    /// their leases.
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
    /// Drops all idle sandboxes and waiters. Returns the pool's tasks, which the caller must end.
    fn close(&self) -> JoinSet<()> {
        let mut state = self.state();
        state.closed = true;
        let tasks = std::mem::take(&mut state.tasks);
        let dropped: (Vec<_>, VecDeque<_>) = (std::mem::take(&mut state.warm), std::mem::take(&mut state.waiters));
        drop(state);
        drop(dropped);
        tasks
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens as many sandboxes as are needed and the capacity allows: for waiters at once, ahead of demand only after
    /// the pause that follows a failed opening.
    fn fill(self: &Arc<Self>) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        while state.tasks.try_join_next().is_some() {}
        while let Some(at) = state.first_unserved() {
            let permit = match self.capacity.clone().try_acquire_owned() {
                Ok(permit) => permit,
                // The pool is full, and its warm sandboxes are of other specs or too old for the runs of the waiters:
                // replace the least recently used one.
                Err(_) if !state.warm.is_empty() => {
                    state.counts.retired += 1;
                    state.warm.remove(0).into_permit()
                }
                Err(_) => return,
            };
            self.open_for(&mut state, at, permit);
        }
        let now = Instant::now();
        while let Some(below) = state.first_below_target(now, &self.config) {
            let Ok(permit) = self.capacity.clone().try_acquire_owned() else { return };
            // Ahead of demand, consecutive failures are counted as attempts.
            let (spec, attempt) = (below.spec.clone(), below.failures + 1);
            self.open(&mut state, spec, attempt, permit);
        }
    }

    /// Starts to open a sandbox for the waiter at this index.
    fn open_for(self: &Arc<Self>, state: &mut State, at: usize, permit: OwnedSemaphorePermit) {
        let (spec, attempt) = (state.waiters[at].spec.clone(), state.waiters[at].attempt);
        self.open(state, spec, attempt, permit);
    }

    /// Starts to open a sandbox that holds this permit.
    fn open(self: &Arc<Self>, state: &mut State, spec: Spec, attempt: u32, permit: OwnedSemaphorePermit) {
        state.spec_state(&spec).starting += 1;
        let task = OpenTask { inner: self.clone(), spec, attempt };
        state.tasks.spawn(task.run(permit));
    }

    /// Hands a sandbox to the first waiter whose run it can serve, or adds it to the warm ones. If a caller of another
    /// spec has waited for longer and the pool is full, the sandbox is ended and one is opened for that caller.
    fn make_available(self: &Arc<Self>, mut entry: PoolEntry) {
        let mut state = self.state();
        let now = Instant::now();
        state.waiters.retain(|waiter| !waiter.sender.is_closed());
        loop {
            let can_serve =
                |waiter: &Waiter| waiter.spec == *entry.spec() && entry.can_serve(now, waiter.wall, &self.config);
            let served = state.waiters.iter().position(can_serve);
            let other = state.first_unserved().filter(|at| state.waiters[*at].spec != *entry.spec());
            if let Some(other) = other.filter(|other| served.is_none_or(|served| *other < served)) {
                if let Ok(permit) = self.capacity.clone().try_acquire_owned() {
                    self.open_for(&mut state, other, permit);
                    continue;
                }
                state.counts.retired += 1;
                self.open_for(&mut state, other, entry.into_permit());
                return;
            }
            let Some(at) = served else { break };
            let Some(Waiter { sender, .. }) = state.waiters.remove(at) else { break };
            match sender.send(Ok(entry)) {
                Ok(()) => return,
                // The caller stopped waiting at this moment.
                Err(Ok(returned)) => entry = returned,
                Err(Err(_)) => return,
            }
        }
        if !state.closed {
            state.warm.push(entry);
            state.was_ready |= state.warm.len() >= self.config.min_ready;
        }
    }

    /// Records a failed opening and reports its fault to the first waiter of its spec.
    fn report_failure(&self, spec: &Spec, fault: Fault) {
        let mut state = self.state();
        state.counts.errors += 1;
        let spec_state = state.spec_state(spec);
        spec_state.failures += 1;
        let pause = FIRST_OPEN_PAUSE.saturating_mul(2u32.saturating_pow(spec_state.failures - 1)).min(MAX_OPEN_PAUSE);
        spec_state.open_ahead_from = Instant::now() + pause;
        let mut fault = Err(fault);
        while let Some(at) = state.waiters.iter().position(|waiter| waiter.spec == *spec) {
            let Some(Waiter { sender, .. }) = state.waiters.remove(at) else { return };
            match sender.send(fault) {
                Ok(()) => return,
                Err(returned) => fault = returned,
            }
        }
    }
}

/// A task that opens a sandbox. It is counted as starting until it is dropped.
struct OpenTask {
    inner: Arc<Inner>,
    spec: Spec,
    attempt: u32,
}

impl OpenTask {
    async fn run(self, permit: OwnedSemaphorePermit) {
        let (inner, spec) = (self.inner.clone(), self.spec.clone());
        let timed_out =
            |_| Err(Fault::Unavailable { reason: format!("no sandbox opened within {}", rounded(inner.open_timeout)) });
        let started = Instant::now();
        let opened = timeout(inner.open_timeout, inner.backend.open_attempt(&spec, self.attempt)).await;
        let opened = opened.unwrap_or_else(timed_out);
        drop(self);
        match opened {
            Ok(sandbox) => {
                let mut state = inner.state();
                state.counts.created += 1;
                state.spec_state(&spec).record_opening(started.elapsed());
                drop(state);
                inner.make_available(PoolEntry::new(sandbox, permit, spec));
            }
            Err(fault) => {
                drop(permit);
                inner.report_failure(&spec, fault);
            }
        }
        inner.fill();
    }
}

impl Drop for OpenTask {
    fn drop(&mut self) {
        self.inner.state().spec_state(&self.spec).starting -= 1;
    }
}

#[cfg(test)]
mod tests;
