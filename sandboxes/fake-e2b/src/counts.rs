//! What happened so far.

use serde::Serialize;

/// Everything that a stand-in counts. `created` is always the sum of `killed`, `expired`, `vanished`, `closed`,
/// `running` and `paused_now`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Counts {
    pub created: u64,
    /// Creations that were refused: a rate, the cap, an unknown template, a fault.
    pub create_refused: u64,
    /// Ended by a client.
    pub killed: u64,
    /// Ended by their time-out.
    pub expired: u64,
    /// Ended by a fault, silently.
    pub vanished: u64,
    /// Ended because the stand-in was closed.
    pub closed: u64,
    pub paused: u64,
    pub resumed: u64,
    /// Sandboxes that run now.
    pub running: u64,
    /// Sandboxes that are paused now.
    pub paused_now: u64,
    /// Most that ran at once.
    pub most_running: u64,
    /// Programs that were given to a kernel.
    pub executions: u64,
    pub execute_refused: u64,
    /// Contexts that clients made.
    pub contexts: u64,
    pub commands: u64,
    pub file_reads: u64,
    pub file_writes: u64,
    /// Control plane: looks at one sandbox.
    pub gets: u64,
    /// Control plane: looks at all.
    pub lists: u64,
    pub timeouts_set: u64,
    /// All requests to the control plane.
    pub api_calls: u64,
    /// Time that sandboxes ran: what is billed.
    pub sandbox_seconds: f64,
}

impl Counts {
    /// Sandboxes that nobody ended: they are still there, or ran into their time-out.
    pub fn leaked(&self) -> u64 {
        self.running + self.paused_now + self.expired
    }
}
