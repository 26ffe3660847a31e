//! Attempts: one attempt is one try of a program on one tier.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::stored::{micros, optional_micros};
use tokio::time::Instant;

use crate::route::TierName;
use crate::schema::Storable;

/// One try of a program on one tier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    pub tier: TierName,
    /// Time until the program started: in the queue and opening its sandbox.
    #[serde(rename = "waited_micros", with = "micros")]
    pub waited: Duration,
    /// Time from the program's start to the attempt's end.
    #[serde(rename = "ran_micros", with = "micros")]
    pub ran: Duration,
    /// The program's exit, the tier's fault, `open` if the circuit breaker rejected the attempt, `overloaded` if no
    /// slot was granted, `deadline` if the request's deadline passed before the program started, `lent` if a machine
    /// was leased, or `abandoned` if the attempt was dropped.
    pub outcome: String,
    pub detail: Option<String>,
    /// The delay that the backend requested before the next try.
    #[serde(rename = "retry_after_micros", with = "optional_micros", default)]
    pub retry_after: Option<Duration>,
    /// The pause before the next attempt on this tier.
    #[serde(rename = "paused_micros", with = "optional_micros", default)]
    pub paused: Option<Duration>,
}

impl Storable for Attempt {
    const NAME: &'static str = "attempt";
    const SCHEMA: u32 = 1;
}

/// Records an attempt in progress. Dropping it appends the attempt to the list, as `abandoned` unless it was finished.
pub(crate) struct AttemptRecorder<'a> {
    attempts: &'a mut Vec<Attempt>,
    tier: &'a TierName,
    created: Instant,
    started: Option<Instant>,
    outcome: &'static str,
    detail: Option<String>,
}

impl<'a> AttemptRecorder<'a> {
    pub(crate) fn new(tier: &'a TierName, attempts: &'a mut Vec<Attempt>) -> Self {
        Self { attempts, tier, created: Instant::now(), started: None, outcome: "abandoned", detail: None }
    }

    /// Records that the program starts now.
    pub(crate) fn start(&mut self) {
        self.started = Some(Instant::now());
    }

    /// Records the outcome and returns how long the program ran; zero if it did not start.
    pub(crate) fn finish(mut self, outcome: &'static str, detail: Option<String>) -> Duration {
        (self.outcome, self.detail) = (outcome, detail);
        self.started.map_or(Duration::ZERO, |started| started.elapsed())
    }
}

impl Drop for AttemptRecorder<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let started = self.started.unwrap_or(now);
        self.attempts.push(Attempt {
            tier: self.tier.clone(),
            waited: started - self.created,
            ran: now - started,
            outcome: self.outcome.to_owned(),
            detail: self.detail.take(),
            retry_after: None,
            paused: None,
        });
    }
}
