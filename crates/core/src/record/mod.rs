//! Records: one [`Record`] per request, however it ends. An [`OpenRecord`] that is dropped without an outcome is written with
//! the outcome `abandoned`.
//!
//! The latest records stay in memory; all of them go to a [`sink::Sink`] if one is configured. No record contains environment
//! variables, standard input, files or output. The source is only in records that go to the sink, and only if the setting
//! `record.include_source` is true.

pub mod ledger;
pub mod metrics;
pub mod sink;
mod tier_metrics;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::{Language, Outcome};
use tokio::time::Instant;

use crate::analyse::summary::ProfileSummary;
use crate::cache::{CacheStatus, Digest};
use crate::clock::WallClock;
use crate::decide::Decision;
use crate::error::{Error, RequestError};
use crate::request::{Priority, Request};
use crate::route::TierName;
use crate::schema::Storable;
use crate::tier::attempt::Attempt;
use ledger::Ledger;
use metrics::Metrics;
use sink::{JsonLines, RecordFileError, Sink, SinkQueue};

/// The record of one request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub id: String,
    /// Time of arrival, in milliseconds since the Unix epoch.
    #[serde(rename = "at_unix_millis")]
    pub at: u64,
    pub user: Arc<str>,
    pub priority: Priority,
    pub language: Language,
    /// Length of the source in bytes.
    pub source_bytes: u64,
    /// The digest of the program with its inputs.
    pub program: Option<Digest>,
    /// The source, if the setting `record.include_source` is true.
    #[serde(default)]
    pub source: Option<String>,
    pub profile: Option<Arc<ProfileSummary>>,
    /// The number of the rule set that decided: 1 at the start of the server, one more with each reload.
    pub rules_revision: Option<u64>,
    pub decision: Option<Arc<Decision>>,
    pub cache: Option<CacheStatus>,
    /// The tier that produced the answer.
    pub tier: Option<TierName>,
    /// The program's exit, the name of the error, or `abandoned`.
    pub outcome: Cow<'static, str>,
    pub exit_code: Option<i32>,
    pub pure: Option<bool>,
    /// The error's message, if there was no answer.
    pub detail: Option<String>,
    pub attempts: Vec<Attempt>,
    /// Time from arrival to end.
    #[serde(rename = "took_micros", with = "switchtower_contract::stored::micros")]
    pub took: Duration,
}

impl Storable for Record {
    const NAME: &'static str = "record";
    const SCHEMA: u32 = 1;
}

/// Which records are kept, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Maximum number of records in memory, the latest ones, at most 1,000,000; 0: none.
    pub max_records: usize,
    /// File to which every record is appended as a line of JSON. Not set: none.
    pub file: Option<PathBuf>,
    /// Whether records in `file` include the source of programs. Records in memory never do.
    pub include_source: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_records: 10_000, file: None, include_source: false }
    }
}

/// Upper limit of `max_records`: all are in memory, about 1 KB each.
const MAX_RECORDS: usize = 1_000_000;

impl Config {
    /// Returns a message about the first invalid setting, beginning with its name; `None` if all are valid.
    pub fn problem(&self) -> Option<String> {
        let count = self.max_records;
        (count > MAX_RECORDS).then(|| format!("max_records is {count}: it must be at most {MAX_RECORDS}"))
    }
}

/// Opens records, and writes them to the ledger, the metrics, the log and the sink when they are dropped.
pub struct Recorder {
    wall: WallClock,
    with_source: bool,
    ledger: Ledger,
    metrics: Metrics,
    sink: Option<SinkQueue>,
}

impl Recorder {
    /// Returns a recorder, with a sink if the settings name a file; then it must be called inside a runtime.
    ///
    /// # Errors
    /// `record.file` cannot be opened; the message names it.
    pub fn new(config: &Config, wall: WallClock) -> Result<Self, RecordFileError> {
        let (ledger, metrics) = (Ledger::new(config.max_records), Metrics::default());
        let recorder = Self { wall, with_source: config.include_source, ledger, metrics, sink: None };
        Ok(match &config.file {
            Some(path) => recorder.with_sink(JsonLines::open(path)?, sink::QUEUE),
            None => recorder,
        })
    }

    /// Adds a sink that gets every record. Up to `capacity` records wait for it. Call it inside a runtime.
    #[must_use]
    pub fn with_sink(self, sink: impl Sink, capacity: usize) -> Self {
        Self { sink: Some(SinkQueue::start(sink, capacity)), ..self }
    }

    /// Returns how many records the sink did not write.
    pub fn dropped(&self) -> u64 {
        self.sink.as_ref().map_or(0, SinkQueue::dropped)
    }

    /// Stops sending records to the sink, and waits until it has written the earlier ones, at most for `limit`.
    pub async fn close_sink(&self, limit: Duration) {
        if let Some(sink) = &self.sink
            && !sink.close(limit).await
        {
            tracing::warn!("some records were not written: the sink did not write them in time");
        }
    }

    /// Opens the record of a request that has just arrived.
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
            outcome: "abandoned".into(),
            exit_code: None,
            pure: None,
            detail: None,
            attempts: Vec::new(),
            took: Duration::ZERO,
        };
        OpenRecord { recorder: self, arrived: Instant::now(), record: Some(record), attempts: Vec::new() }
    }

    /// Returns the latest records.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns the metrics, with gauges as of their last update.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn write(&self, record: Record) {
        tracing::info!(
            id = record.id,
            user = &*record.user,
            outcome = &*record.outcome,
            tier = record.tier.as_ref().map(TierName::as_str),
            cache = record.cache.map(CacheStatus::name),
            rule = record.decision.as_ref().map(|decision| decision.rule.as_str()),
            attempts = record.attempts.len(),
            took_ms = record.took.as_secs_f64() * 1000.0,
            detail = record.detail,
            "request"
        );
        self.metrics.count(&record);
        let mut record = Arc::new(record);
        if let Some(sink) = &self.sink {
            sink.send(&record);
        }
        // A caller chooses how long its sources are, and thousands of records stay in memory.
        if record.source.is_some() {
            record = Arc::new(Record { source: None, ..Record::clone(&record) });
        }
        self.ledger.write(record);
    }
}

/// The record of a request in progress. Dropping it writes it.
pub struct OpenRecord<'a> {
    recorder: &'a Recorder,
    arrived: Instant,
    record: Option<Record>,
    /// The attempts, in the order in which they ended.
    pub attempts: Vec<Attempt>,
}

impl OpenRecord<'_> {
    /// Returns the request's id.
    pub fn id(&self) -> &str {
        self.record.as_ref().map_or("", |record| &record.id)
    }

    /// Records the analysis, and the number of the rule set that will decide.
    pub(crate) fn analysed(&mut self, program: &Digest, profile: Arc<ProfileSummary>, rules_revision: u64) {
        self.update(|record| {
            record.program = Some(*program);
            record.profile = Some(profile);
            record.rules_revision = Some(rules_revision);
        });
    }

    /// Records the decision.
    pub fn decided(&mut self, decision: Arc<Decision>) {
        self.update(|record| record.decision = Some(decision));
    }

    /// Records the answer.
    pub fn answered(&mut self, tier: &TierName, outcome: &Outcome, cache: CacheStatus, pure: bool) {
        self.update(|record| {
            record.tier = Some(tier.clone());
            record.outcome = outcome.exit.name().into();
            record.exit_code = Some(outcome.exit.code());
            record.cache = Some(cache);
            record.pure = Some(pure);
        });
    }

    /// Records an error, and returns it with the attempts.
    pub fn refused(&mut self, error: Error) -> RequestError {
        self.update(|record| {
            record.outcome = error.name().into();
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
            record.took = self.arrived.elapsed();
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
    async fn a_dropped_record_is_written_as_abandoned() {
        let recorder = Recorder::new(
            &Config { max_records: 2, ..Config::default() },
            WallClock::starting_at(std::time::UNIX_EPOCH),
        )
        .unwrap();
        let request = Request::new(Program::python("1"), &RequestLimits::default()).unwrap();
        for id in ["a", "b", "c"] {
            let mut record = recorder.open(id.to_owned(), &request);
            if id == "c" {
                record.refused(Error::Quota { retry_after: Duration::from_secs(1) });
            }
            tokio::time::advance(Duration::from_millis(5)).await;
        }
        let outcomes: Vec<_> =
            recorder.ledger().all().iter().map(|r| (r.id.clone(), r.outcome.clone(), r.at)).collect();
        assert_eq!(outcomes, [("b".to_owned(), "abandoned".into(), 5), ("c".to_owned(), "quota".into(), 10)]);
        assert!(recorder.ledger().find("a").is_none() && recorder.ledger().find("c").is_some());
        assert_eq!(recorder.metrics().json(&crate::tier::Tiers::new([]))["orchestrator"]["totalRequests"], 3);
    }
}
