//! The usage of an account's limits, for status pages and metrics.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Plan;
use crate::budget::BudgetStatus;

/// The usage of one account.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub plan: Plan,
    /// The percentage of recent calls that succeeded.
    pub health: u8,
    pub creation: RateStatus,
    pub lifecycle: RateStatus,
    pub operation: RateStatus,
    pub execution: RateStatus,
    /// Sandboxes that run or are being created.
    pub running: usize,
    /// Sandboxes that may run at once.
    pub cap: usize,
    pub budget: BudgetStatus,
    /// Calls of the last hour, by operation.
    pub by_operation: BTreeMap<String, u64>,
}

/// The calls of one class.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RateStatus {
    /// Calls in a second in the long run, at the present rate.
    pub per_second: f64,
    /// Calls that could start now.
    pub available: u32,
    /// Calls that wait.
    pub waiting: usize,
    /// Calls that succeeded.
    pub succeeded: u64,
    /// Calls that failed, without those that E2B refused for their rate.
    pub failed: u64,
    /// Calls that E2B refused for their rate.
    pub rate_limited: u64,
}
