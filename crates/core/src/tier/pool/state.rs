//! What of a pool changes: who stands ready, who waits, what goes on.

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
    pub(super) warm: Vec<PoolEntry>,
    pub(super) waiting: VecDeque<Waiter>,
    pub(super) starting: usize,
    /// Openings that failed in a row: those ahead of need wait longer after each.
    pub(super) failed: u32,
    pub(super) not_before: Instant,
    pub(super) was_ready: bool,
    pub(super) last_taken: Instant,
    pub(super) closed: bool,
    pub(super) counts: Counts,
    /// Openings and resets that go on.
    pub(super) tasks: JoinSet<()>,
}

/// Somebody who waits, and how long the run will be.
pub(super) struct Waiter {
    pub(super) wall: Duration,
    /// Which try of its request this is, from 1.
    pub(super) attempt: u32,
    pub(super) give: oneshot::Sender<Result<PoolEntry, Fault>>,
}

impl State {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            warm: Vec::new(),
            waiting: VecDeque::new(),
            starting: 0,
            failed: 0,
            not_before: now,
            was_ready: false,
            last_taken: now,
            closed: false,
            counts: Counts::default(),
            tasks: JoinSet::new(),
        }
    }

    /// How many are to stand ready beyond those that are asked for.
    pub(super) fn aim(&self, now: Instant, config: &Config) -> usize {
        let quiet = !config.sleep_after.is_zero() && now - self.last_taken >= config.sleep_after;
        if quiet { config.min } else { config.target }
    }

    /// The one that was used last: it is awake, and its caches are. One that would not last is given up.
    pub(super) fn pick(&mut self, now: Instant, wall: Duration, config: &Config) -> Option<PoolEntry> {
        let before = self.warm.len();
        self.warm.retain(|entry| entry.age(now) < config.max_age);
        self.counts.retired += (before - self.warm.len()) as u64;
        let lasts = |entry: &PoolEntry| entry.lasts(now, wall, config);
        let awake = self.warm.iter().rposition(|entry| !entry.is_asleep() && lasts(entry));
        let at = awake.or_else(|| self.warm.iter().rposition(lasts))?;
        Some(self.warm.remove(at))
    }
}
