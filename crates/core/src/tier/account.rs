//! The status of a paid backend's account, for operators.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

/// A snapshot of an account.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AccountSnapshot {
    /// The percentage of recent calls that succeeded, 0 to 100.
    pub health: u8,
    /// The number of programs that may start now, limited by the provider's rate limit.
    pub available_tokens: f64,
    /// Seconds of sandbox time bought since the server started.
    pub sandbox_seconds: f64,
    pub cost_usd: f64,
    /// The hourly limit on sandboxes: `count`, `limit`, `exceeded`, `remaining`.
    pub budget: Value,
    /// Calls to the provider in the last hour: `totalRequests`, `byOperation`.
    pub usage: Value,
    /// Why no sandbox can be created in the account, where that is known, and how to fix it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Further figures that are specific to the provider.
    pub detail: Value,
}

/// Returns a snapshot of the account.
pub type AccountReader = Arc<dyn Fn() -> AccountSnapshot + Send + Sync>;
