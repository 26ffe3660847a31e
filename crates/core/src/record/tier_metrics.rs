//! Metrics of breakers, pools and cloud accounts, by tier.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::metrics::{ByTier, Name, number};
use crate::tier::Tier;
use crate::tier::breaker::BreakerState;

/// Gauges of breakers, pools and accounts, set when metrics are read.
#[derive(Default)]
pub(super) struct TierMetrics {
    breaker: Family<ByTier, Gauge>,
    failures: Family<ByTier, Gauge>,
    sandboxes: Family<ByTierAndState, Gauge>,
    created: Family<ByTier, Gauge>,
    reused: Family<ByTier, Gauge>,
    warm_hit_ratio: Family<ByTier, FloatGauge>,
    health: Family<ByTier, Gauge>,
    seconds: Family<ByTier, FloatGauge>,
    cost: Family<ByTier, FloatGauge>,
}

type FloatGauge = Gauge<f64, std::sync::atomic::AtomicU64>;

impl TierMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("breaker_state", "0 closed, 1 half open, 2 open", self.breaker.clone());
        registry.register("breaker_failures", "Consecutive failures", self.failures.clone());
        registry.register("pool_sandboxes", "Sandboxes of a pool by state", self.sandboxes.clone());
        registry.register("pool_created", "Sandboxes that a pool has opened", self.created.clone());
        registry.register("pool_reused", "Runs that found a warm sandbox", self.reused.clone());
        registry.register("warm_hit_ratio", "Share of runs that found a warm sandbox", self.warm_hit_ratio.clone());
        registry.register("rate_limiter_health", "Recent calls that succeeded, 0 to 100", self.health.clone());
        registry.register("sandbox_bought_seconds", "Sandbox time bought, idle time included", self.seconds.clone());
        registry.register("cost_usd", "Price of the sandbox time bought, in US dollars", self.cost.clone());
    }

    /// Sets the gauges of a tier.
    pub(super) fn update(&self, tier: &Tier) {
        let label = ByTier { tier: Name(tier.name().clone()) };
        if let Some(breaker) = tier.breaker() {
            let status = breaker.status();
            let state = match status.state {
                BreakerState::Closed => 0,
                BreakerState::HalfOpen => 1,
                BreakerState::Open => 2,
            };
            self.breaker.get_or_create(&label).set(state);
            self.failures.get_or_create(&label).set(i64::from(status.failures));
        }
        if let Some(pool) = tier.pool() {
            let status = pool.status();
            for (state, count) in [("warm", status.warm), ("busy", status.busy), ("starting", status.starting)] {
                let label = ByTierAndState { tier: label.tier.clone(), state };
                self.sandboxes.get_or_create(&label).set(number(count));
            }
            self.created.get_or_create(&label).set(number(status.counts.created));
            self.reused.get_or_create(&label).set(number(status.counts.reused));
            self.warm_hit_ratio.get_or_create(&label).set(status.warm_hit_ratio);
        }
        if let Some(account) = tier.account() {
            self.health.get_or_create(&label).set(i64::from(account.health));
            self.seconds.get_or_create(&label).set(account.sandbox_seconds);
            self.cost.get_or_create(&label).set(account.cost_usd);
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTierAndState {
    tier: Name,
    state: &'static str,
}
