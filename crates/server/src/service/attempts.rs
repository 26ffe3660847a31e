//! An [`Attempt`] as JSON, as answers and problems list it.

use std::time::Duration;

use serde::Serialize;
use switchtower_core::route::TierName;
use switchtower_core::tier::Attempt;

/// One attempt to run a program.
#[derive(Serialize)]
pub(crate) struct AttemptView<'a> {
    tier: &'a TierName,
    waited_ms: f64,
    ran_ms: f64,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused_ms: Option<f64>,
}

impl<'a> From<&'a Attempt> for AttemptView<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        Self {
            tier: &attempt.tier,
            waited_ms: millis(attempt.waited),
            ran_ms: millis(attempt.ran),
            outcome: &attempt.outcome,
            detail: attempt.detail.as_deref(),
            retry_after_ms: attempt.retry_after.map(millis),
            paused_ms: attempt.paused.map(millis),
        }
    }
}

/// Milliseconds, to the microsecond.
pub fn millis(time: Duration) -> f64 {
    thousandths(time.as_secs_f64() * 1000.0)
}

/// Returns a number rounded to three decimals.
pub(crate) fn thousandths(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
