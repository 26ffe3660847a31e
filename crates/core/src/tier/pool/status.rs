//! A snapshot of a pool, for operators.

use serde::Serialize;
use tokio::time::Instant;

use super::Pool;
use super::entry::SandboxStatus;

/// Counters since the pool was created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PoolCounts {
    pub created: u64,
    /// Sandboxes requested by runs and machine leases.
    pub taken: u64,
    /// Of those, the requests that got a warm sandbox at once.
    pub reused: u64,
    /// Failed openings.
    pub errors: u64,
    /// Sandboxes that were ended because a check or a reset failed.
    pub evicted: u64,
    /// Sandboxes that were ended because of their age or number of runs, or because there were more than needed.
    pub retired: u64,
}

/// A snapshot of a pool.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Sandboxes: warm, busy and starting together.
    pub size: usize,
    /// Idle sandboxes.
    pub warm: usize,
    /// Idle sandboxes that are asleep.
    pub asleep: usize,
    /// Sandboxes that are leased, being reset or being checked.
    pub busy: usize,
    pub starting: usize,
    /// Callers that wait for a sandbox.
    pub waiting: usize,
    /// Idle sandboxes that are kept at this moment.
    pub wanted: usize,
    pub min: usize,
    pub target: usize,
    pub max: usize,
    #[serde(flatten)]
    pub counts: PoolCounts,
    /// `reused` divided by `taken`; 0 if nothing was taken.
    pub warm_hit_ratio: f64,
    pub sandboxes: Vec<SandboxStatus>,
}

impl Pool {
    pub fn status(&self) -> Status {
        let config = &self.inner.config;
        let state = self.inner.state();
        let size = config.max - self.inner.capacity.available_permits();
        let (warm, now) = (state.warm.len(), Instant::now());
        let wanted = state.specs.iter().map(|state| state.wanted(now, config)).sum();
        let starting = state.specs.iter().map(|state| state.starting).sum();
        let counts = state.counts;
        let ratio = if counts.taken == 0 { 0.0 } else { counts.reused as f64 / counts.taken as f64 };
        Status {
            size,
            warm,
            asleep: state.warm.iter().filter(|entry| entry.is_asleep()).count(),
            busy: size.saturating_sub(warm + starting),
            starting,
            waiting: state.waiters.len(),
            wanted,
            min: config.min,
            target: config.target,
            max: config.max,
            counts,
            warm_hit_ratio: ratio,
            sandboxes: state.warm.iter().map(|entry| entry.status(now)).collect(),
        }
    }
}
