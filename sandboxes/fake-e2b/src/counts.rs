//! Counts of all that clients did.

use serde::Serialize;

/// Counts since the start or the last reset. `created` is always the sum of `killed`, `expired`, `vanished`, `closed`,
/// `running` and `paused_now`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Counts {
    pub created: u64,
    /// Creations that were refused: for the rate, the limit of sandboxes, an unknown template, or a fault.
    pub create_refused: u64,
    /// Ended by a client.
    pub killed: u64,
    /// Ended by their time-out.
    pub expired: u64,
    /// Ended by a fault, without notice.
    pub vanished: u64,
    /// Ended because the stand-in was closed.
    pub closed: u64,
    pub paused: u64,
    pub resumed: u64,
    /// Sandboxes that run now.
    pub running: u64,
    /// Sandboxes that are paused now.
    pub paused_now: u64,
    /// Most sandboxes that ran at once.
    pub max_running: u64,
    /// Executions that reached a kernel.
    pub executions: u64,
    pub execute_refused: u64,
    /// Contexts that clients created.
    pub contexts: u64,
    pub commands: u64,
    pub file_reads: u64,
    pub file_writes: u64,
    /// Requests for one sandbox (`GET /sandboxes/{id}`).
    pub gets: u64,
    /// Requests for the list of sandboxes.
    pub lists: u64,
    pub timeouts_set: u64,
    /// All requests to the control plane.
    pub api_calls: u64,
    /// Seconds that sandboxes ran, which E2B bills.
    pub sandbox_seconds: f64,
}

impl Counts {
    /// Returns how many sandboxes no client ended: they still exist, or their time-out ended them.
    pub fn leaked(&self) -> u64 {
        self.running + self.paused_now + self.expired
    }
}
