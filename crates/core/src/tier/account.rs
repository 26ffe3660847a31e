//! What a backend that is paid for tells of itself: figures for the operator.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

/// How an account stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Account {
    /// From 0 to 100: the share of calls that did well of late.
    pub health: u8,
    /// Programs that it may start at this moment.
    pub available_tokens: f64,
    /// Time of sandboxes that was bought since the start.
    pub sandbox_seconds: f64,
    pub cost_usd: f64,
    /// The hour's budget of sandboxes: `count`, `limit`, `exceeded`, `remaining`.
    pub budget: Value,
    /// What was asked of it in the last hour: `totalRequests`, `byOperation`.
    pub usage: Value,
    /// Why no sandbox can be made in it, where that is known; with how to fix it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// All else that there is to see.
    pub detail: Value,
}

/// Asks for it.
pub type Ask = Arc<dyn Fn() -> Account + Send + Sync>;
