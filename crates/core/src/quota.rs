//! The rate limit of each caller: a long-run rate and a burst (GCRA). It comes first in the request path because it is the
//! cheapest check.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::rounded;
use tokio::time::Instant;

use crate::request::Caller;

/// The rate limit of each caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Requests of one caller per minute, in the long run; 0: unlimited.
    pub per_minute: u32,
    /// Requests of one caller that may arrive at once, at least 1. Has no effect if `per_minute` is 0.
    pub burst: u32,
}

impl Config {
    /// Returns a message about the first invalid setting, beginning with its name; `None` if all are valid.
    pub fn problem(&self) -> Option<String> {
        (self.burst == 0).then(|| "burst must be at least 1: with 0 no request would be accepted".to_owned())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { per_minute: 0, burst: 10 }
    }
}

/// The rate limiter of all callers.
pub struct Quota {
    /// Time between two requests at the long-run rate; `None`: unlimited.
    interval: Option<Duration>,
    /// How far ahead of the long-run rate a caller may be.
    tolerance: Duration,
    /// Held for one look-up.
    arrivals: Mutex<Arrivals>,
}

/// When the next request of each caller is due at the long-run rate. A caller without an entry is due now.
struct Arrivals {
    due: BTreeMap<Arc<str>, Instant>,
    /// Number of entries at which the next sweep runs: twice the number that the last one left, at least [`MIN_SWEEP`].
    sweep_at: usize,
}

/// The caller has exceeded its rate limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rate limit exceeded; retry after {}", rounded(*.retry_after))]
pub struct QuotaExceeded {
    pub retry_after: Duration,
}

/// Number of entries below which none are removed.
const MIN_SWEEP: usize = 1024;

impl Quota {
    /// Returns a limiter that has counted no request.
    pub fn new(config: &Config) -> Self {
        let interval = (config.per_minute > 0).then(|| Duration::from_secs(60) / config.per_minute);
        let tolerance = interval.unwrap_or_default() * config.burst.saturating_sub(1);
        let arrivals = Mutex::new(Arrivals { due: BTreeMap::new(), sweep_at: MIN_SWEEP });
        Self { interval, tolerance, arrivals }
    }

    /// Counts a request of this caller.
    ///
    /// # Errors
    /// The rate limit is exceeded; the request is not counted.
    pub fn admit(&self, caller: &Caller) -> Result<(), QuotaExceeded> {
        let Some(interval) = self.interval else { return Ok(()) };
        let now = Instant::now();
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let due = arrivals.due.get(&caller.user).copied().unwrap_or(now).max(now);
        let early = (due - now).saturating_sub(self.tolerance);
        if !early.is_zero() {
            return Err(QuotaExceeded { retry_after: early });
        }
        arrivals.due.insert(caller.user.clone(), due + interval);
        arrivals.sweep(now);
        Ok(())
    }
}

impl Arrivals {
    /// Removes callers whose next request is due, which equals having no entry.
    fn sweep(&mut self, now: Instant) {
        if self.due.len() >= self.sweep_at {
            self.due.retain(|_, due| *due > now);
            self.sweep_at = MIN_SWEEP.max(self.due.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn caller(name: &str) -> Caller {
        Caller::named(name)
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_admitted_and_then_the_rate_applies() {
        let quota = Quota::new(&Config { per_minute: 60, burst: 3 });
        let a = caller("a");
        for _ in 0..3 {
            quota.admit(&a).unwrap();
        }
        assert_eq!(quota.admit(&a), Err(QuotaExceeded { retry_after: Duration::from_secs(1) }));
        quota.admit(&caller("b")).unwrap();
        advance(Duration::from_millis(999)).await;
        assert!(quota.admit(&a).is_err());
        advance(Duration::from_millis(1)).await;
        quota.admit(&a).unwrap();
        assert!(quota.admit(&a).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_every_request_is_admitted() {
        let quota = Quota::new(&Config::default());
        assert!((0..1000).all(|_| quota.admit(&caller("a")).is_ok()));
    }

    #[tokio::test(start_paused = true)]
    async fn entries_of_inactive_callers_are_removed() {
        let quota = Quota::new(&Config { per_minute: 60, burst: 1 });
        for number in 0..10_000 {
            quota.admit(&caller(&number.to_string())).unwrap();
            advance(Duration::from_millis(10)).await;
        }
        assert!(quota.arrivals.lock().unwrap().due.len() <= MIN_SWEEP);
    }
}
