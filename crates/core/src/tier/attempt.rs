//! One try of a program on a tier, as it is told afterwards.

use std::time::Duration;

use serde::{Serialize, Serializer};
use tokio::time::Instant;

use crate::route::TierName;

/// One try of a program on a tier.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attempt {
    pub tier: TierName,
    /// Until the program's first instruction: in the queue, and for its sandbox.
    #[serde(rename = "waited_ms", serialize_with = "millis")]
    pub waited: Duration,
    #[serde(rename = "ran_ms", serialize_with = "millis")]
    pub ran: Duration,
    /// The program's exit, the tier's fault, `overloaded` where there was no slot, `deadline` where the request's time was
    /// over before anything ran, or `abandoned`.
    pub outcome: String,
    pub detail: Option<String>,
    /// How long the tier asked to be left alone.
    #[serde(rename = "retry_after_ms", serialize_with = "some_millis", skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
    /// How long was waited after it before the next attempt on this tier.
    #[serde(rename = "paused_ms", serialize_with = "some_millis", skip_serializing_if = "Option::is_none")]
    pub paused: Option<Duration>,
}

fn some_millis<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    millis(&time.unwrap_or_default(), serializer)
}

/// Writes a time as milliseconds with microseconds behind the point.
pub fn millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_micros() as f64 / 1000.0)
}

/// An attempt that goes on. However it ends, dropped in the middle too, it is written down.
pub(crate) struct AttemptRecorder<'a> {
    attempts: &'a mut Vec<Attempt>,
    tier: &'a TierName,
    asked: Instant,
    started: Option<Instant>,
    outcome: &'static str,
    detail: Option<String>,
}

impl<'a> AttemptRecorder<'a> {
    pub(crate) fn new(tier: &'a TierName, attempts: &'a mut Vec<Attempt>) -> Self {
        Self { attempts, tier, asked: Instant::now(), started: None, outcome: "abandoned", detail: None }
    }

    /// The program's first instruction.
    pub(crate) fn start(&mut self) {
        self.started = Some(Instant::now());
    }

    /// Writes it down; how long the program ran.
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
            waited: started - self.asked,
            ran: now - started,
            outcome: self.outcome.to_owned(),
            detail: self.detail.take(),
            retry_after: None,
            paused: None,
        });
    }
}
