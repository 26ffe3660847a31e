//! Events of a budget: one each time that usage crosses a threshold, one for each refusal.

/// A warning is logged from this percentage on.
const WARNING_PERCENT: u64 = 80;
/// An alert is logged above this percentage.
const ALERT_PERCENT: u64 = 90;

/// Logs that a creation was counted after `before` others.
pub(super) fn log_creation(before: u32, limit: u32) {
    let (before, limit) = (u64::from(before), u64::from(limit));
    let count = before + 1;
    // Only thresholds that this creation crosses. Usage falls with time, so one may be crossed again.
    if before * 100 < WARNING_PERCENT * limit && count * 100 >= WARNING_PERCENT * limit {
        let percent = percent(count, limit);
        tracing::warn!(target: "e2b_metrics", event = "rate_limit_warning", count, limit, percent, "[E2B_METRICS]");
    }
    if before * 100 <= ALERT_PERCENT * limit && count * 100 > ALERT_PERCENT * limit {
        let percent = percent(count, limit);
        tracing::warn!(target: "e2b_metrics", event = "rate_limit_alert", count, limit, percent, "[E2B_METRICS]");
    }
}

/// Logs that a creation was refused.
pub(super) fn log_refusal(count: u32, limit: u32) {
    let (count, limit) = (u64::from(count), u64::from(limit));
    let percent = percent(count, limit);
    tracing::warn!(target: "e2b_metrics", event = "rate_limit_exceeded", count, limit, percent, "[E2B_METRICS]");
}

fn percent(count: u64, limit: u64) -> u64 {
    (count * 100).checked_div(limit).unwrap_or(100)
}
