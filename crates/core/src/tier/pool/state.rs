//! The mutable state of a pool: warm sandboxes, waiting callers, running tasks.

use std::collections::VecDeque;
use std::time::Duration;

use switchtower_contract::{Fault, Spec};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Config;
use super::demand::Demand;
use super::entry::PoolEntry;
use super::status::PoolCounts;

pub(super) struct State {
    /// Idle sandboxes, the most recently returned one last.
    pub(super) warm: Vec<PoolEntry>,
    /// In the order of their arrival, whatever their spec.
    pub(super) waiters: VecDeque<Waiter>,
    /// The specs in use, in the order of their first use.
    pub(super) specs: Vec<SpecState>,
    /// Whether `min_ready` sandboxes have been warm at once.
    pub(super) was_ready: bool,
    pub(super) closed: bool,
    pub(super) counts: PoolCounts,
    /// Maintenance, and the openings and resets in progress.
    pub(super) tasks: JoinSet<()>,
}

/// Openings and use of the sandboxes of one spec.
pub(super) struct SpecState {
    pub(super) spec: Spec,
    /// Sandboxes that are being opened.
    pub(super) starting: usize,
    /// Consecutive failed openings.
    pub(super) failures: u32,
    /// No sandbox is opened ahead of demand before this time.
    pub(super) open_ahead_from: Instant,
    last_taken: Instant,
    demand: Demand,
}

/// A caller that waits for a sandbox.
pub(super) struct Waiter {
    pub(super) spec: Spec,
    /// Time limit of its run.
    pub(super) wall: Duration,
    /// The number of the request's attempt on this tier, from 1.
    pub(super) attempt: u32,
    pub(super) sender: oneshot::Sender<Result<PoolEntry, Fault>>,
}

impl SpecState {
    fn new(spec: Spec) -> Self {
        let now = Instant::now();
        Self { spec, starting: 0, failures: 0, open_ahead_from: now, last_taken: now, demand: Demand::new(now) }
    }

    pub(super) fn record_arrival(&mut self, now: Instant) {
        self.last_taken = now;
        self.demand.record_arrival(now);
    }

    /// Records an opening that succeeded.
    pub(super) fn record_opening(&mut self, took: Duration) {
        self.failures = 0;
        self.demand.record_opening(took);
    }

    /// Returns how many idle sandboxes to keep.
    pub(super) fn wanted(&self, now: Instant, config: &Config) -> usize {
        if config.follow_demand {
            return self.demand.sandboxes(now).clamp(config.min, config.target);
        }
        let quiet = !config.sleep_after.is_zero() && now - self.last_taken >= config.sleep_after;
        if quiet { config.min } else { config.target }
    }
}

impl State {
    /// Returns the state of a pool that uses this spec from its start.
    pub(super) fn new(spec: Spec) -> Self {
        Self {
            warm: Vec::new(),
            waiters: VecDeque::new(),
            specs: vec![SpecState::new(spec)],
            was_ready: false,
            closed: false,
            counts: PoolCounts::default(),
            tasks: JoinSet::new(),
        }
    }

    /// Returns the state of a spec, which from now on is in use.
    pub(super) fn spec_state(&mut self, spec: &Spec) -> &mut SpecState {
        let at = self.specs.iter().position(|state| state.spec == *spec).unwrap_or_else(|| {
            self.specs.push(SpecState::new(spec.clone()));
            self.specs.len() - 1
        });
        &mut self.specs[at]
    }

    /// Returns the index of the first waiter for which no sandbox is being opened.
    pub(super) fn first_unserved(&self) -> Option<usize> {
        let unserved = |state: &SpecState| {
            let waiters = self.waiters.iter().enumerate().filter(|(_, waiter)| waiter.spec == state.spec);
            waiters.map(|(at, _)| at).nth(state.starting)
        };
        self.specs.iter().filter_map(unserved).min()
    }

    /// Returns the first spec of which a sandbox is to be opened ahead of demand.
    pub(super) fn first_below_target(&self, now: Instant, config: &Config) -> Option<&SpecState> {
        self.specs.iter().find(|state| {
            let waiting = self.waiters.iter().filter(|waiter| waiter.spec == state.spec).count();
            let available = self.warm_of(&state.spec) + state.starting;
            now >= state.open_ahead_from && available < state.wanted(now, config) + waiting
        })
    }

    /// Returns the index of the first surplus sandbox that has been idle for `surplus_idle`.
    pub(super) fn first_surplus(&self, now: Instant, config: &Config) -> Option<usize> {
        let is_surplus = |state: &&SpecState| self.warm_of(&state.spec) > state.wanted(now, config);
        let surplus: Vec<&SpecState> = self.specs.iter().filter(is_surplus).collect();
        self.warm.iter().position(|entry| {
            entry.idle(now) >= config.surplus_idle && surplus.iter().any(|state| state.spec == *entry.spec())
        })
    }

    fn warm_of(&self, spec: &Spec) -> usize {
        self.warm.iter().filter(|entry| entry.spec() == spec).count()
    }

    /// Takes the most recently returned warm sandbox of a spec that can serve a run of at most `wall`, preferably one
    /// that is awake. Sandboxes that have reached their maximum age are ended.
    pub(super) fn pick(&mut self, spec: &Spec, now: Instant, wall: Duration, config: &Config) -> Option<PoolEntry> {
        let before = self.warm.len();
        self.warm.retain(|entry| entry.age(now) < config.max_age);
        self.counts.retired += (before - self.warm.len()) as u64;
        let can_serve = |entry: &PoolEntry| entry.spec() == spec && entry.can_serve(now, wall, config);
        let awake = self.warm.iter().rposition(|entry| !entry.is_asleep() && can_serve(entry));
        let at = awake.or_else(|| self.warm.iter().rposition(can_serve))?;
        Some(self.warm.remove(at))
    }
}
