//! One [`Record`] per request, whatever happens to it. An [`OpenRecord`] that is dropped before its end was told is written
//! down as abandoned.

mod clouds;
pub mod ledger;
pub mod metrics;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::{Language, Outcome};
use tokio::time::Instant;

use crate::cache::CacheStatus;
use crate::clock::WallClock;
use crate::decide::Decision;
use crate::error::{Error, RequestError};
use crate::request::{Priority, Request};
use crate::route::TierName;
use crate::tier::attempt::{Attempt, millis};
use ledger::Ledger;
use metrics::Metrics;

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    pub id: String,
    /// When it came, in milliseconds since 1970.
    pub at: u64,
    pub user: Arc<str>,
    pub priority: Priority,
    pub language: Language,
    /// Bytes of source.
    pub code: usize,
    pub decision: Option<Decision>,
    pub cache: Option<CacheStatus>,
    /// The tier whose answer was given.
    pub tier: Option<TierName>,
    /// The program's exit, the refusal's name, or `abandoned`.
    pub outcome: &'static str,
    pub exit_code: Option<i32>,
    pub pure: Option<bool>,
    /// Why there was no answer.
    pub detail: Option<String>,
    pub attempts: Vec<Attempt>,
    /// From its coming to its end.
    #[serde(rename = "took_ms", serialize_with = "millis")]
    pub took: Duration,
}

/// What is kept of requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The latest records that are kept in memory; 0: none.
    pub max_records: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_records: 10_000 }
    }
}

/// Opens records, and keeps and counts them when they close.
pub struct Recorder {
    wall: WallClock,
    ledger: Ledger,
    metrics: Metrics,
}

impl Recorder {
    pub fn new(config: &Config, wall: WallClock) -> Self {
        Self { wall, ledger: Ledger::new(config.max_records), metrics: Metrics::default() }
    }

    /// A record of a request that has just come.
    pub fn open(&self, id: String, request: &Request) -> OpenRecord<'_> {
        let record = Record {
            id,
            at: self.wall.unix_millis(),
            user: request.caller.user.clone(),
            priority: request.priority,
            language: request.program.language,
            code: request.program.source.len(),
            decision: None,
            cache: None,
            tier: None,
            outcome: "abandoned",
            exit_code: None,
            pure: None,
            detail: None,
            attempts: Vec::new(),
            took: Duration::ZERO,
        };
        OpenRecord { recorder: self, came: Instant::now(), record: Some(record), attempts: Vec::new() }
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn close(&self, record: Record) {
        tracing::info!(
            id = record.id,
            user = &*record.user,
            outcome = record.outcome,
            tier = record.tier.as_ref().map(TierName::as_str),
            cache = record.cache.map(CacheStatus::name),
            rule = record.decision.as_ref().map(|decision| decision.rule.as_str()),
            attempts = record.attempts.len(),
            took_ms = record.took.as_secs_f64() * 1000.0,
            detail = record.detail,
            "request"
        );
        self.metrics.count(&record);
        self.ledger.write(record);
    }
}

/// A record that is still open. Dropping it closes it.
pub struct OpenRecord<'a> {
    recorder: &'a Recorder,
    came: Instant,
    record: Option<Record>,
    /// Where a walk writes its attempts, as they end.
    pub attempts: Vec<Attempt>,
}

impl OpenRecord<'_> {
    /// What the request's id is.
    pub fn id(&self) -> &str {
        self.record.as_ref().map_or("", |record| &record.id)
    }

    pub fn decided(&mut self, decision: &Decision) {
        self.tell(|record| record.decision = Some(decision.clone()));
    }

    pub fn answered(&mut self, tier: &TierName, outcome: &Outcome, cache: CacheStatus, pure: bool) {
        self.tell(|record| {
            record.tier = Some(tier.clone());
            record.outcome = outcome.exit.name();
            record.exit_code = Some(outcome.exit.code());
            record.cache = Some(cache);
            record.pure = Some(pure);
        });
    }

    /// Records that the caller got no answer, and returns the refusal with what was tried.
    pub fn refused(&mut self, error: Error) -> RequestError {
        self.tell(|record| {
            record.outcome = error.name();
            record.detail = Some(error.to_string());
        });
        RequestError { error, attempts: self.attempts.clone() }
    }

    fn tell(&mut self, what: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut self.record {
            what(record);
        }
    }
}

impl Drop for OpenRecord<'_> {
    fn drop(&mut self) {
        if let Some(mut record) = self.record.take() {
            record.attempts = std::mem::take(&mut self.attempts);
            record.took = self.came.elapsed();
            self.recorder.close(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use switchtower_contract::Program;

    use super::*;
    use crate::request::RequestLimits;

    #[tokio::test(start_paused = true)]
    async fn an_entry_that_is_dropped_is_written_down_as_abandoned() {
        let recorder = Recorder::new(&Config { max_records: 2 }, WallClock::starting_at(std::time::UNIX_EPOCH));
        let request = Request::new(Program::python("1"), &RequestLimits::default()).unwrap();
        for id in ["a", "b", "c"] {
            let mut entry = recorder.open(id.to_owned(), &request);
            if id == "c" {
                entry.refused(Error::Quota { retry_after: Duration::from_secs(1) });
            }
            tokio::time::advance(Duration::from_millis(5)).await;
        }
        let told: Vec<_> = recorder.ledger().all().iter().map(|r| (r.id.clone(), r.outcome, r.at)).collect();
        assert_eq!(told, [("b".to_owned(), "abandoned", 5), ("c".to_owned(), "quota", 10)]);
        assert!(recorder.ledger().find("a").is_none() && recorder.ledger().find("c").is_some());
        assert_eq!(recorder.metrics().json(&crate::tier::Tiers::new([]))["orchestrator"]["totalRequests"], 3);
    }
}
