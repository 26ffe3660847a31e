//! What there is to see of a pool.

use serde::Serialize;
use tokio::time::Instant;

use super::Pool;
use super::entry::Seen;

/// What a pool has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub created: u64,
    /// Sandboxes lent.
    pub taken: u64,
    /// Of those, the ones that stood ready.
    pub reused: u64,
    /// Openings that failed.
    pub errors: u64,
    /// Given up because a look at them went wrong.
    pub evicted: u64,
    /// Given up for their age, their runs, or because there were more than needed.
    pub retired: u64,
}

/// What there is to see of a pool.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Warm, busy and starting together.
    pub size: usize,
    pub warm: usize,
    /// Of the warm, those that sleep.
    pub asleep: usize,
    /// Lent, or being made fresh again.
    pub busy: usize,
    pub starting: usize,
    pub waiting: usize,
    pub min: usize,
    pub target: usize,
    pub max: usize,
    #[serde(flatten)]
    pub counts: Counts,
    /// The share of all lent that stood ready.
    pub warm_hit_ratio: f64,
    pub sandboxes: Vec<Seen>,
}

impl Pool {
    pub fn status(&self) -> Status {
        let config = &self.inner.config;
        let state = self.inner.state();
        let size = config.max - self.inner.places.available_permits();
        let (warm, now) = (state.warm.len(), Instant::now());
        let counts = state.counts;
        let ratio = if counts.taken == 0 { 0.0 } else { counts.reused as f64 / counts.taken as f64 };
        Status {
            size,
            warm,
            asleep: state.warm.iter().filter(|entry| entry.is_asleep()).count(),
            busy: size.saturating_sub(warm + state.starting),
            starting: state.starting,
            waiting: state.waiting.len(),
            min: config.min,
            target: config.target,
            max: config.max,
            counts,
            warm_hit_ratio: ratio,
            sandboxes: state.warm.iter().map(|entry| entry.seen(now)).collect(),
        }
    }
}
