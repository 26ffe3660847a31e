//! One [`Record`] per request, however it ends. An [`OpenRecord`] that is dropped before it has an outcome becomes a record
//! with the outcome `abandoned`.
//!
//! The latest records stay in memory; all of them go to a [`sink::Sink`] where one is configured. Environment
//! variables, standard input, files and output are in no record; the source is only where the settings say so.

mod clouds;
pub mod ledger;
pub mod metrics;
pub mod sink;
pub mod summary;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::{Language, Outcome};
use tokio::time::Instant;

use crate::analyse::Profile;
use crate::cache::{CacheStatus, Digest};
use crate::clock::WallClock;
use crate::decide::Decision;
use crate::error::{Error, RequestError};
use crate::request::{Priority, Request};
use crate::route::TierName;
use crate::schema::{Storable, micros};
use crate::tier::attempt::Attempt;
use ledger::Ledger;
use metrics::Metrics;
use sink::{JsonLines, Sink, SinkQueue};
use summary::ProfileSummary;

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub id: String,
    /// When it came, in milliseconds since 1970.
    #[serde(rename = "at_unix_millis")]
    pub at: u64,
    pub user: Arc<str>,
    pub priority: Priority,
    pub language: Language,
    /// Length of the source in bytes.
    pub source_bytes: u64,
    /// The digest of the program with its inputs, in hexadecimal.
    pub program: Option<String>,
    /// The source, where the setting `record.source` says so.
    #[serde(default)]
    pub source: Option<String>,
    pub profile: Option<ProfileSummary>,
    /// Which rules decided: counts the sets of rules since the start of the server, from 1.
    pub rules_revision: Option<u64>,
    pub decision: Option<Decision>,
    pub cache: Option<CacheStatus>,
    /// The tier whose answer was given.
    pub tier: Option<TierName>,
    /// The program's exit, the refusal's name, or `abandoned`.
    pub outcome: String,
    pub exit_code: Option<i32>,
    pub pure: Option<bool>,
    /// Why there was no answer.
    pub detail: Option<String>,
    pub attempts: Vec<Attempt>,
    /// From its coming to its end.
    #[serde(rename = "took_micros", with = "micros")]
    pub took: Duration,
}

impl Storable for Record {
    const NAME: &'static str = "record";
    const SCHEMA: u32 = 1;
}

/// What is kept of requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The latest records that are kept in memory; 0: none.
    pub max_records: usize,
    /// A file to which every record is appended as a line of JSON. Not set: none.
    pub file: Option<PathBuf>,
    /// Whether records hold the source of programs.
    pub source: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_records: 10_000, file: None, source: false }
    }
}

/// Opens records, and keeps and counts them when they close.
pub struct Recorder {
    wall: WallClock,
    with_source: bool,
    ledger: Ledger,
    metrics: Metrics,
    sink: Option<SinkQueue>,
}

impl Recorder {
    pub fn new(config: &Config, wall: WallClock) -> Self {
        let (ledger, metrics) = (Ledger::new(config.max_records), Metrics::default());
        let recorder = Self { wall, with_source: config.source, ledger, metrics, sink: None };
        match &config.file {
            Some(path) => recorder.with_sink(JsonLines::new(path), sink::QUEUE),
            None => recorder,
        }
    }

    /// Sends every record to a sink too; up to `capacity` may wait for it. Call it inside a runtime.
    #[must_use]
    pub fn with_sink(self, sink: impl Sink, capacity: usize) -> Self {
        Self { sink: Some(SinkQueue::start(sink, capacity)), ..self }
    }

    /// Returns how many records the sink did not get.
    pub fn dropped(&self) -> u64 {
        self.sink.as_ref().map_or(0, SinkQueue::dropped)
    }

    /// Waits until the sink has all records, at most for `limit`, and sends it none from then on.
    pub async fn close_sink(&self, limit: Duration) {
        if let Some(sink) = &self.sink
            && !sink.close(limit).await
        {
            tracing::warn!("some records were not written: the sink did not take them in time");
        }
    }

    /// Opens the record of a request that has just come.
    pub fn open(&self, id: String, request: &Request) -> OpenRecord<'_> {
        let record = Record {
            id,
            at: self.wall.unix_millis(),
            user: request.caller.user.clone(),
            priority: request.priority,
            language: request.program.language,
            source_bytes: request.program.source.len() as u64,
            program: None,
            source: self.with_source.then(|| request.program.source.clone()),
            profile: None,
            rules_revision: None,
            decision: None,
            cache: None,
            tier: None,
            outcome: "abandoned".to_owned(),
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

    fn write(&self, record: Record) {
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
        let record = Arc::new(record);
        if let Some(sink) = &self.sink {
            sink.send(&record);
        }
        self.ledger.write(record);
    }
}

/// A record that is still open. Dropping it writes it.
pub struct OpenRecord<'a> {
    recorder: &'a Recorder,
    came: Instant,
    record: Option<Record>,
    /// What was tried, in the order in which it ended.
    pub attempts: Vec<Attempt>,
}

impl OpenRecord<'_> {
    /// Returns the request's id.
    pub fn id(&self) -> &str {
        self.record.as_ref().map_or("", |record| &record.id)
    }

    /// Records what analysis found, and which rules are to decide.
    pub(crate) fn analysed(&mut self, program: &Digest, profile: &Profile, rules_revision: u64) {
        self.update(|record| {
            record.program = Some(program.to_string());
            record.profile = Some(profile.into());
            record.rules_revision = Some(rules_revision);
        });
    }

    pub fn decided(&mut self, decision: &Decision) {
        self.update(|record| record.decision = Some(decision.clone()));
    }

    pub fn answered(&mut self, tier: &TierName, outcome: &Outcome, cache: CacheStatus, pure: bool) {
        self.update(|record| {
            record.tier = Some(tier.clone());
            record.outcome = outcome.exit.name().to_owned();
            record.exit_code = Some(outcome.exit.code());
            record.cache = Some(cache);
            record.pure = Some(pure);
        });
    }

    /// Records that the caller got no answer, and returns the refusal with what was tried.
    pub fn refused(&mut self, error: Error) -> RequestError {
        self.update(|record| {
            record.outcome = error.name().to_owned();
            record.detail = Some(error.to_string());
        });
        RequestError { error, attempts: self.attempts.clone() }
    }

    fn update(&mut self, change: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut self.record {
            change(record);
        }
    }
}

impl Drop for OpenRecord<'_> {
    fn drop(&mut self) {
        if let Some(mut record) = self.record.take() {
            record.attempts = std::mem::take(&mut self.attempts);
            record.took = self.came.elapsed();
            self.recorder.write(record);
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
        let recorder = Recorder::new(
            &Config { max_records: 2, ..Config::default() },
            WallClock::starting_at(std::time::UNIX_EPOCH),
        );
        let request = Request::new(Program::python("1"), &RequestLimits::default()).unwrap();
        for id in ["a", "b", "c"] {
            let mut entry = recorder.open(id.to_owned(), &request);
            if id == "c" {
                entry.refused(Error::Quota { retry_after: Duration::from_secs(1) });
            }
            tokio::time::advance(Duration::from_millis(5)).await;
        }
        let outcomes: Vec<_> =
            recorder.ledger().all().iter().map(|r| (r.id.clone(), r.outcome.clone(), r.at)).collect();
        assert_eq!(outcomes, [("b".to_owned(), "abandoned".to_owned(), 5), ("c".to_owned(), "quota".to_owned(), 10)]);
        assert!(recorder.ledger().find("a").is_none() && recorder.ledger().find("c").is_some());
        assert_eq!(recorder.metrics().json(&crate::tier::Tiers::new([]))["orchestrator"]["totalRequests"], 3);
    }
}
