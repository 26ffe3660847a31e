//! The settings of an account's limits, and the rates that follow from them.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::duration;
use tokio::time::Instant;

use super::adaptive::AdaptiveRate;
use super::gcra::Gcra;
use super::rate_limiter::RateLimiter;
use super::window::Window;
use super::{CallClass, CreationBudget, Plan};
use crate::budget::HourlyLimit;

/// What an account may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The plan of the account: `hobby`, `pro` or `enterprise`. It gives the numbers that are not set below.
    pub plan: Plan,
    /// Sandboxes that may be created in a second, at least 1. Not set: by the plan (1, 5, 50).
    pub creations_per_second: Option<u32>,
    /// Sandboxes that may run at once, at least 1. Not set: by the plan (20, 100, 1100).
    pub max_sandboxes: Option<usize>,
    /// Programs that may start in a minute while the service does not refuse, at least 1. E2B publishes no number for
    /// these.
    pub executions_per_minute: u32,
    /// Sandboxes that this server may create in an hour: a number, 0 for none, or `plan`: 50, 100 or 500 by the plan.
    /// Not set: as many as the rate allows, with warnings in the log towards and above the plan's number.
    pub max_creations_per_hour: Option<CreationBudget>,
    /// Connections to one sandbox at once, at least 1: commands, streams, watchers and port proxies together. E2B
    /// refuses more than 2,500, and connections that are kept for the next call count there too.
    pub max_connections_per_sandbox: usize,
    /// Longest wait for one of these limits; after it the request is refused, with the time to retry at.
    #[serde(with = "duration")]
    pub wait_timeout: Duration,
}

impl Config {
    /// Returns the first setting that cannot be used and why, in words that begin with its name; `None` when all can.
    pub fn problem(&self) -> Option<String> {
        let counts = [
            ("creations_per_second", self.creations_per_second == Some(0)),
            ("max_sandboxes", self.max_sandboxes == Some(0)),
            ("executions_per_minute", self.executions_per_minute == 0),
            ("max_connections_per_sandbox", self.max_connections_per_sandbox == 0),
        ];
        let name = counts.into_iter().find_map(|(name, is_zero)| is_zero.then_some(name))?;
        Some(format!("{name} must be at least 1: with 0 nothing would ever run"))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            plan: Plan::default(),
            creations_per_second: None,
            max_sandboxes: None,
            executions_per_minute: 600,
            max_creations_per_hour: None,
            max_connections_per_sandbox: 2_400,
            wait_timeout: Duration::from_secs(30),
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

impl Config {
    pub(crate) fn hourly_limit(&self) -> HourlyLimit {
        let budget = self.max_creations_per_hour;
        let creations = budget.unwrap_or(CreationBudget::Plan).creations(self.plan);
        HourlyLimit { creations, is_enforced: budget.is_some() }
    }

    /// Returns the rate limiter of creations. It has no burst: a burst after a creation would exceed the rate.
    pub(crate) fn creation(&self, now: Instant) -> Arc<RateLimiter> {
        let limit = self.creations_per_second.unwrap_or(self.plan.creations_per_second());
        RateLimiter::fixed(CallClass::Creation, Gcra::new(limit, SECOND, 1, now), Window::new(limit as usize, SECOND))
    }

    /// Returns the rate limiter of executions.
    pub(crate) fn execution(&self, now: Instant) -> Arc<RateLimiter> {
        // A second's worth may start at once, but no more than ten: a burst must not undo the effect of a halved rate.
        let burst = (self.executions_per_minute / 60).clamp(1, 10);
        let gcra = Gcra::new(self.executions_per_minute, MINUTE, burst, now);
        let adaptive = AdaptiveRate::new(self.executions_per_minute, gcra.interval(), now);
        let window = Window::new(self.executions_per_minute as usize, MINUTE);
        RateLimiter::adaptive(CallClass::Execution, gcra, window, adaptive)
    }
}
