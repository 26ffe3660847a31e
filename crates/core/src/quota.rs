//! How often a caller may ask: a rate with a burst (GCRA). The cheapest refusal, so it comes first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::rounded;
use tokio::time::Instant;

use crate::request::Caller;

/// How many requests one caller may send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Requests of one caller in a minute, in the long run; 0: any number.
    pub per_minute: u32,
    /// Requests of one caller that may come at once, at least 1. Without effect where `per_minute` is 0.
    pub burst: u32,
}

impl Config {
    /// Returns the first setting that cannot be used and why, in words that begin with its name; `None` when all can.
    pub fn problem(&self) -> Option<String> {
        (self.burst == 0).then(|| "burst must be at least 1: with 0 no request would be accepted".to_owned())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { per_minute: 0, burst: 10 }
    }
}

/// What each caller has asked for lately.
pub struct Quota {
    /// Time between two requests in the long run; none where there is no limit.
    every: Option<Duration>,
    /// How far ahead of that rate a caller may be.
    ahead: Duration,
    /// Protects the arrivals; held for a look-up.
    arrivals: Mutex<Arrivals>,
}

/// When a caller's next request would be due at the long-run rate. Who is not in it is due at once.
struct Arrivals {
    due: BTreeMap<Arc<str>, Instant>,
    /// Callers that were busy at the last sweep, twice over.
    sweep_at: usize,
}

/// The caller must wait.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rate limit exceeded; retry after {}", rounded(*.retry_after))]
pub struct QuotaExceeded {
    pub retry_after: Duration,
}

const SMALL: usize = 1024;

impl Quota {
    pub fn new(config: &Config) -> Self {
        let every = (config.per_minute > 0).then(|| Duration::from_secs(60) / config.per_minute);
        let ahead = every.unwrap_or_default() * config.burst.saturating_sub(1);
        let arrivals = Mutex::new(Arrivals { due: BTreeMap::new(), sweep_at: SMALL });
        Self { every, ahead, arrivals }
    }

    /// Counts a request of this caller.
    ///
    /// # Errors
    /// It has asked too often; the request does not count.
    pub fn admit(&self, caller: &Caller) -> Result<(), QuotaExceeded> {
        let Some(every) = self.every else { return Ok(()) };
        let now = Instant::now();
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let due = arrivals.due.get(&caller.user).copied().unwrap_or(now).max(now);
        let early = (due - now).saturating_sub(self.ahead);
        if !early.is_zero() {
            return Err(QuotaExceeded { retry_after: early });
        }
        arrivals.due.insert(caller.user.clone(), due + every);
        arrivals.sweep(now);
        Ok(())
    }
}

impl Arrivals {
    /// Forgets callers who have been quiet long enough: they stand as if they had never come.
    fn sweep(&mut self, now: Instant) {
        if self.due.len() >= self.sweep_at {
            self.due.retain(|_, due| *due > now);
            self.sweep_at = SMALL.max(self.due.len() * 2);
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
    async fn a_burst_passes_and_then_the_rate_holds() {
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
    async fn without_a_rate_nobody_is_refused() {
        let quota = Quota::new(&Config::default());
        assert!((0..1000).all(|_| quota.admit(&caller("a")).is_ok()));
    }

    #[tokio::test(start_paused = true)]
    async fn callers_who_went_away_are_forgotten() {
        let quota = Quota::new(&Config { per_minute: 60, burst: 1 });
        for number in 0..10_000 {
            quota.admit(&caller(&number.to_string())).unwrap();
            advance(Duration::from_millis(10)).await;
        }
        assert!(quota.arrivals.lock().unwrap().due.len() <= SMALL);
    }
}
