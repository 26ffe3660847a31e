//! How much of an account's limits is in use, for figures and probes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Plan;
use crate::budget::BudgetStatus;

/// One account.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub plan: Plan,
    /// From 0 to 100: how well calls do lately.
    pub health: u8,
    pub creation: Flow,
    pub lifecycle: Flow,
    pub operation: Flow,
    pub execution: Flow,
    /// Places in use: sandboxes that run or are being created.
    pub running: usize,
    /// Sandboxes that may run at once.
    pub cap: usize,
    pub budget: BudgetStatus,
    /// What was asked of E2B in the last hour.
    pub by_operation: BTreeMap<String, u64>,
}

/// The rights of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    /// How many start in a second in the long run, as things are now.
    pub per_second: f64,
    /// Tokens: how many could start at once now.
    pub available: u32,
    /// How many wait for a right.
    pub waiting: usize,
    /// Calls that did well.
    pub succeeded: u64,
    /// Calls that did not; those that E2B refused for their rate are not among them.
    pub failed: u64,
    /// Calls that E2B refused for their rate.
    pub rate_limited: u64,
}
