//! Says when the budget runs low: one event each time that usage crosses a mark, one for each refusal.

/// From this percentage on there is a warning.
const WARNING: u64 = 80;
/// Above this percentage there is an alert.
const ALERT: u64 = 90;

/// A creation was counted after `before` others.
pub(super) fn spent(before: u32, limit: u32) {
    let (before, limit) = (u64::from(before), u64::from(limit));
    let count = before + 1;
    // Only what this creation crosses: after some have left the hour, the same mark may be crossed again.
    if before * 100 < WARNING * limit && count * 100 >= WARNING * limit {
        let percent = percent(count, limit);
        tracing::warn!(target: "e2b_metrics", event = "rate_limit_warning", count, limit, percent, "[E2B_METRICS]");
    }
    if before * 100 <= ALERT * limit && count * 100 > ALERT * limit {
        let percent = percent(count, limit);
        tracing::error!(target: "e2b_metrics", event = "rate_limit_alert", count, limit, percent, "[E2B_METRICS]");
    }
}

/// A creation was refused.
pub(super) fn refused(count: u32, limit: u32) {
    let (count, limit) = (u64::from(count), u64::from(limit));
    let percent = percent(count, limit);
    tracing::warn!(target: "e2b_metrics", event = "rate_limit_exceeded", count, limit, percent, "[E2B_METRICS]");
}

fn percent(count: u64, limit: u64) -> u64 {
    (count * 100).checked_div(limit).unwrap_or(100)
}
