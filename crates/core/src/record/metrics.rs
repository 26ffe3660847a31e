//! Metrics of requests, tiers and the cache: as Prometheus text, and as JSON with the keys that existing dashboards read.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use serde_json::{Value, json};

use super::Record;
use super::tier_metrics::TierMetrics;
use crate::cache::{CacheCounts, CacheStatus};
use crate::route::TierName;
use crate::tier::breaker::BreakerState;
use crate::tier::pool::Pool;
use crate::tier::{Tier, Tiers};

/// The metrics of a router.
pub struct Metrics {
    registry: Registry,
    requests: Family<ByOutcome, Counter>,
    answers: Family<ByTier, Counter>,
    cache: Family<ByStatus, Counter>,
    attempts: Family<ByAttempt, Counter>,
    took: Family<ByStatus, Histogram>,
    waited: Family<ByTier, Histogram>,
    ran: Family<ByTier, Histogram>,
    running: Family<ByTier, Gauge>,
    queued: Family<ByTier, Gauge>,
    slots: Family<ByTier, Gauge>,
    results: Family<ByFate, Gauge>,
    records_dropped: Counter,
    by_tier: TierMetrics,
    totals: Totals,
}

/// Returns a count as the value of a gauge.
pub(super) fn number(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// Sums for the JSON.
#[derive(Default)]
struct Totals {
    requests: Counter,
    hits: Counter,
    misses: Counter,
    enqueued: Counter,
    completed: Counter,
    remote: Remote,
}

/// Sums of the tier named `e2b`.
#[derive(Default)]
struct Remote {
    answers: Counter,
    attempts: Counter,
    faults: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: Cow<'static, str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByTier {
    pub(super) tier: Name,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStatus {
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByAttempt {
    tier: Name,
    outcome: String,
}

/// A label of cached results: `candidate`, `verified`, `rechecked` or `different`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByFate {
    fate: &'static str,
}

/// A tier's name as a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name(pub(super) TierName);

impl EncodeLabelValue for Name {
    fn encode(&self, encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.as_str().encode(encoder)
    }
}

/// The tier that the JSON reports as the remote one.
const REMOTE: &str = "e2b";

/// Returns a histogram of seconds with buckets from 10 µs to about 3 minutes, each four times the one before.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_01, 4.0, 13))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("switchtower");
        let (requests, answers, cache, attempts) =
            (Family::default(), Family::default(), Family::default(), Family::default());
        let took = Family::new_with_constructor(seconds as fn() -> Histogram);
        let waited = Family::new_with_constructor(seconds as fn() -> Histogram);
        let ran = Family::new_with_constructor(seconds as fn() -> Histogram);
        let (running, queued, slots) = (Family::default(), Family::default(), Family::default());
        let results = Family::default();
        let records_dropped = Counter::default();
        registry.register("records_dropped", "Records that the sink did not write", records_dropped.clone());
        registry.register("requests", "Finished requests by outcome", requests.clone());
        registry.register("answers", "Answers by the tier that produced them", answers.clone());
        registry.register("cache", "Answers by cache status", cache.clone());
        registry.register("attempts", "Tries of a program on a tier", attempts.clone());
        registry.register_with_unit("took", "Time from request to answer", Unit::Seconds, took.clone());
        registry.register_with_unit("waited", "Time waited for a slot and a sandbox", Unit::Seconds, waited.clone());
        registry.register_with_unit("ran", "Time that a program ran", Unit::Seconds, ran.clone());
        registry.register("running", "Programs that run", running.clone());
        registry.register("queued", "Requests that wait for a slot", queued.clone());
        registry.register("slots", "Programs that may run at once", slots.clone());
        registry.register(
            "cache_results",
            "Results since the start: candidates, verified by an independent run, run again on a hit, different",
            results.clone(),
        );
        let (by_tier, totals) = (TierMetrics::default(), Totals::default());
        by_tier.register(&mut registry);
        Self {
            registry,
            requests,
            answers,
            cache,
            attempts,
            took,
            waited,
            ran,
            running,
            queued,
            slots,
            results,
            records_dropped,
            by_tier,
            totals,
        }
    }
}

impl Metrics {
    /// Counts a finished request.
    pub(super) fn count(&self, record: &Record) {
        self.totals.requests.inc();
        self.requests.get_or_create(&ByOutcome { outcome: record.outcome.clone() }).inc();
        if let Some(tier) = &record.tier {
            self.answers.get_or_create(&ByTier { tier: Name(tier.clone()) }).inc();
            if tier.as_str() == REMOTE {
                self.totals.remote.answers.inc();
            }
        }
        if let Some(status) = record.cache {
            let label = ByStatus { status: status.name() };
            self.cache.get_or_create(&label).inc();
            self.took.get_or_create(&label).observe(record.took.as_secs_f64());
            match status {
                CacheStatus::Hit | CacheStatus::Coalesced => self.totals.hits.inc(),
                CacheStatus::Miss => self.totals.misses.inc(),
                CacheStatus::Bypass => 0,
            };
        }
        for attempt in &record.attempts {
            let tier = Name(attempt.tier.clone());
            self.attempts.get_or_create(&ByAttempt { tier: tier.clone(), outcome: attempt.outcome.clone() }).inc();
            self.waited.get_or_create(&ByTier { tier: tier.clone() }).observe(attempt.waited.as_secs_f64());
            self.ran.get_or_create(&ByTier { tier }).observe(attempt.ran.as_secs_f64());
            let completed = EXITS.contains(&attempt.outcome.as_str());
            self.totals.enqueued.inc();
            self.totals.completed.inc_by(u64::from(completed));
            if attempt.tier.as_str() == REMOTE {
                self.totals.remote.attempts.inc();
                self.totals.remote.faults.inc_by(u64::from(FAULTS.contains(&attempt.outcome.as_str())));
            }
        }
    }

    /// Sets the gauges to the current state of the tiers and the cache, and the counter of dropped records to the sink's count.
    pub fn update(&self, tiers: &Tiers, cache: CacheCounts, records_dropped: u64) {
        // A counter never decreases, so a reader with an older count does not replace a newer one.
        self.records_dropped.inner().fetch_max(records_dropped, Ordering::Relaxed);
        let CacheCounts { candidates, verified, rechecked, differences } = cache;
        let fates =
            [("candidate", candidates), ("verified", verified), ("rechecked", rechecked), ("different", differences)];
        for (fate, count) in fates {
            self.results.get_or_create(&ByFate { fate }).set(number(count));
        }
        tiers.iter().for_each(|tier| self.by_tier.update(tier));
        for status in tiers.statuses() {
            let label = ByTier { tier: Name(status.tier.clone()) };
            self.running.get_or_create(&label).set(number(status.running));
            self.queued.get_or_create(&label).set(number(status.queued));
            self.slots.get_or_create(&label).set(number(status.slots));
        }
    }

    /// Returns the metrics in Prometheus' text format (OpenMetrics).
    pub fn prometheus(&self) -> String {
        let mut text = String::new();
        // Fails only if a value cannot be encoded; then there is nothing to scrape.
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(_) => String::new(),
        }
    }

    /// Returns the sums as JSON with the keys that existing dashboards read. Pool, breaker and rate limiter are those of the
    /// tier `e2b`; without that tier they are reported as empty, closed and healthy.
    pub fn json(&self, tiers: &Tiers) -> Value {
        let totals = &self.totals;
        let (hits, misses) = (totals.hits.get(), totals.misses.get());
        let remote = &totals.remote;
        let failure_rate = share(remote.faults.get(), remote.attempts.get());
        let cloud = tiers.iter().find(|tier| tier.name().as_str() == REMOTE);
        let pool = cloud.and_then(Tier::pool).map(Pool::status);
        let breaker = cloud.and_then(Tier::breaker).map(|breaker| breaker.status().state);
        let account = cloud.and_then(Tier::account);
        json!({
            "orchestrator": {
                "totalRequests": totals.requests.get(),
                "cacheHitRate": share(hits, hits + misses),
                "e2bRate": share(remote.answers.get(), totals.requests.get()),
            },
            "pool": {
                "poolSize": pool.as_ref().map_or(0, |pool| pool.size),
                "created": pool.as_ref().map_or(0, |pool| pool.counts.created),
                "reused": pool.as_ref().map_or(0, |pool| pool.counts.reused),
                "errors": pool.as_ref().map_or(0, |pool| pool.counts.errors),
                "warmHitRatio": pool.as_ref().map_or(0.0, |pool| pool.warm_hit_ratio),
            },
            "queue": {
                "enqueued": totals.enqueued.get(),
                "completed": totals.completed.get(),
                "successRate": share(totals.completed.get(), totals.enqueued.get()),
            },
            "circuitBreaker": {
                "state": breaker.unwrap_or(BreakerState::Closed),
                "failureRate": failure_rate,
            },
            "cache": { "hits": hits, "misses": misses, "hitRate": share(hits, hits + misses) },
            "rateLimiter": {
                "healthScore": account.as_ref().map_or(100, |account| account.health),
                "availableTokens": account.as_ref().map_or(0.0, |account| account.available_tokens),
            },
            "cost": {
                "sandboxSeconds": account.as_ref().map_or(0.0, |account| account.sandbox_seconds),
                "usd": account.as_ref().map_or(0.0, |account| account.cost_usd),
            },
        })
    }
}

/// Outcomes of attempts in which the program ended.
const EXITS: [&str; 5] = ["finished", "raised", "timed_out", "out_of_memory", "killed"];
/// Outcomes of attempts in which the tier failed.
const FAULTS: [&str; 3] = ["unavailable", "refused", "lost"];

/// Returns `part / whole`; 0 if `whole` is 0.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_the_keys_that_dashboards_read() {
        let json = Metrics::default().json(&Tiers::new([]));
        let keys = |part: &str| json[part].as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(json.as_object().unwrap().len(), 7);
        assert_eq!(keys("orchestrator"), "cacheHitRate e2bRate totalRequests");
        assert_eq!(keys("pool"), "created errors poolSize reused warmHitRatio");
        assert_eq!(keys("queue"), "completed enqueued successRate");
        assert_eq!(keys("circuitBreaker"), "failureRate state");
        assert_eq!(keys("cache"), "hitRate hits misses");
        assert_eq!(keys("rateLimiter"), "availableTokens healthScore");
    }

    #[test]
    fn the_text_ends_as_openmetrics_requires() {
        let metrics = Metrics::default();
        metrics.update(&Tiers::new([]), CacheCounts::default(), 0);
        assert!(metrics.prometheus().ends_with("# EOF\n"));
    }
}
