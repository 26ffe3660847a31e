//! Attempts: one try of a program on a tier each.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::route::TierName;
use crate::schema::{Storable, micros, optional_micros};

/// One try of a program on a tier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    pub tier: TierName,
    /// Time until the program's first instruction: in the queue, and for its sandbox.
    #[serde(rename = "waited_micros", with = "micros")]
    pub waited: Duration,
    #[serde(rename = "ran_micros", with = "micros")]
    pub ran: Duration,
    /// The program's exit, the tier's fault, `overloaded` where there was no slot, `deadline` where the request's time was
    /// over before anything ran, or `abandoned`.
    pub outcome: String,
    pub detail: Option<String>,
    /// The pause that the tier asked for.
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

/// An attempt that is under way. Dropping it adds it to the attempts, as `abandoned` if it was not finished.
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

    /// Notes the program's first instruction.
    pub(crate) fn start(&mut self) {
        self.started = Some(Instant::now());
    }

    /// Records how it ended, and returns how long the program ran.
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
