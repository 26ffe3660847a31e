//! The mutable state of a pool: warm sandboxes, waiting callers, running tasks.

use std::collections::VecDeque;
use std::time::Duration;

use switchtower_contract::Fault;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Config;
use super::entry::PoolEntry;
use super::status::Counts;

pub(super) struct State {
    /// Idle sandboxes, the most recently returned one last.
    pub(super) warm: Vec<PoolEntry>,
    pub(super) waiters: VecDeque<Waiter>,
    /// Sandboxes that are being opened.
    pub(super) starting: usize,
    /// Consecutive failed openings.
    pub(super) failures: u32,
    /// No sandbox is opened ahead of demand before this time.
    pub(super) open_ahead_from: Instant,
    /// Whether `min_ready` sandboxes have been warm at once.
    pub(super) was_ready: bool,
    pub(super) last_taken: Instant,
    pub(super) closed: bool,
    pub(super) counts: Counts,
    /// Maintenance, and the openings and resets in progress.
    pub(super) tasks: JoinSet<()>,
}

/// A caller that waits for a sandbox.
pub(super) struct Waiter {
    /// Time limit of its run.
    pub(super) wall: Duration,
    /// The number of the request's attempt on this tier, from 1.
    pub(super) attempt: u32,
    pub(super) sender: oneshot::Sender<Result<PoolEntry, Fault>>,
}

impl State {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            warm: Vec::new(),
            waiters: VecDeque::new(),
            starting: 0,
            failures: 0,
            open_ahead_from: now,
            was_ready: false,
            last_taken: now,
            closed: false,
            counts: Counts::default(),
            tasks: JoinSet::new(),
        }
    }

    /// Returns how many idle sandboxes to keep: `target`, or `min` after no request has arrived for `sleep_after`.
    pub(super) fn warm_target(&self, now: Instant, config: &Config) -> usize {
        let quiet = !config.sleep_after.is_zero() && now - self.last_taken >= config.sleep_after;
        if quiet { config.min } else { config.target }
    }

    /// Takes the most recently returned warm sandbox that can serve a run of at most `wall`, preferably one that is
    /// awake. Sandboxes that have reached their maximum age are ended.
    pub(super) fn pick(&mut self, now: Instant, wall: Duration, config: &Config) -> Option<PoolEntry> {
        let before = self.warm.len();
        self.warm.retain(|entry| entry.age(now) < config.max_age);
        self.counts.retired += (before - self.warm.len()) as u64;
        let can_serve = |entry: &PoolEntry| entry.can_serve(now, wall, config);
        let awake = self.warm.iter().rposition(|entry| !entry.is_asleep() && can_serve(entry));
        let at = awake.or_else(|| self.warm.iter().rposition(can_serve))?;
        Some(self.warm.remove(at))
    }
}
