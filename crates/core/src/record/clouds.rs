//! Figures of breakers, pools and accounts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::metrics::{ByTier, Name, number};
use crate::tier::Tier;
use crate::tier::breaker::State;

/// What breakers, pools and accounts say of themselves; taken in when somebody asks.
#[derive(Default)]
pub(super) struct Clouds {
    breaker: Family<ByTier, Gauge>,
    failures: Family<ByTier, Gauge>,
    sandboxes: Family<ByTierAndState, Gauge>,
    created: Family<ByTier, Gauge>,
    reused: Family<ByTier, Gauge>,
    warm_hit_ratio: Family<ByTier, Real>,
    health: Family<ByTier, Gauge>,
    seconds: Family<ByTier, Real>,
    cost: Family<ByTier, Real>,
}

/// A figure that is no whole number.
type Real = Gauge<f64, std::sync::atomic::AtomicU64>;

impl Clouds {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("breaker_state", "0 closed, 1 half open, 2 open", self.breaker.clone());
        registry.register("breaker_failures", "Failures in a row", self.failures.clone());
        registry.register("pool_sandboxes", "Sandboxes of a pool by what they do", self.sandboxes.clone());
        registry.register("pool_created", "Sandboxes that a pool has opened", self.created.clone());
        registry.register("pool_reused", "Runs that found a sandbox warm", self.reused.clone());
        registry.register("warm_hit_ratio", "The share of runs that found a sandbox warm", self.warm_hit_ratio.clone());
        registry.register("rate_limiter_health", "From 0 to 100: calls that did well of late", self.health.clone());
        registry.register("sandbox_bought_seconds", "Time of sandboxes that was bought", self.seconds.clone());
        registry.register("cost_usd", "What it cost", self.cost.clone());
    }

    pub(super) fn see(&self, tier: &Tier) {
        let label = ByTier { tier: Name(tier.name().clone()) };
        if let Some(breaker) = tier.breaker() {
            let status = breaker.status();
            let state = match status.state {
                State::Closed => 0,
                State::HalfOpen => 1,
                State::Open => 2,
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
