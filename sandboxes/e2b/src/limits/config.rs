//! The settings of an account's limits, and the rates that follow from them.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::adaptive::Adaptive;
use super::bucket::Bucket;
use super::gcra::Gcra;
use super::window::Window;
use super::{Kind, Plan};

/// What an account may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is paid for. Gives the numbers that are not set below.
    pub plan: Plan,
    /// Sandboxes that may be created in a second, at least 1. None: as the plan has it (1, 5, 50).
    pub creations_per_second: Option<u32>,
    /// Sandboxes that may run at once, at least 1. None: as the plan has it (20, 100, 1100).
    pub max_concurrent: Option<usize>,
    /// Programs that may start in a minute while E2B does not refuse, at least 1. E2B publishes no number for these.
    pub executions_per_minute: u32,
    /// Our own budget: sandboxes that may be created in an hour. None: as many as the rate allows. Sensible numbers are
    /// 50 for a free account, 100 for Pro, 500 for Enterprise.
    pub max_per_hour: Option<u32>,
    /// Connections to one sandbox that may be open at once: commands, streams, watchers and port proxies together, at
    /// least 1. E2B refuses what is beyond 2,500; connections that are kept for the next call count there too, hence less.
    pub max_connections_per_sandbox: usize,
    /// Longest wait for a right; beyond it the answer is a refusal that says when to come back.
    #[serde(with = "humantime_serde")]
    pub wait_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            plan: Plan::default(),
            creations_per_second: None,
            max_concurrent: None,
            executions_per_minute: 600,
            max_per_hour: None,
            max_connections_per_sandbox: 2_400,
            wait_timeout: Duration::from_secs(30),
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

impl Config {
    /// Without a burst: five at once are five in a second only if none came just before.
    pub(crate) fn creation(&self, now: Instant) -> Arc<Bucket> {
        let most = self.creations_per_second.unwrap_or(self.plan.creations_per_second());
        Bucket::fixed(Kind::Creation, Gcra::new(most, SECOND, 1, now), Window::new(most as usize, SECOND))
    }

    pub(crate) fn execution(&self, now: Instant) -> Arc<Bucket> {
        // A second's worth may start at once, but not so much that half the rate is no relief.
        let burst = (self.executions_per_minute / 60).clamp(1, 10);
        let gcra = Gcra::new(self.executions_per_minute, MINUTE, burst, now);
        let adaptive = Adaptive::new(self.executions_per_minute, gcra.interval(), now);
        let window = Window::new(self.executions_per_minute as usize, MINUTE);
        Bucket::adaptive(Kind::Execution, gcra, window, adaptive)
    }
}
