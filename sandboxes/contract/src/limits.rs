//! What a run may use.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The ceilings of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Wall time from the first instruction; time slept on a program's own clock counts.
    pub wall: Duration,
    /// Bytes of memory that the program may have beyond what its interpreter starts with.
    pub memory: u64,
    /// Bytes kept of stdout and stderr together; what follows is dropped and the outcome says so.
    pub output: u64,
    pub escalation: Escalation,
}

impl Default for Limits {
    fn default() -> Self {
        Self { wall: Duration::from_secs(30), memory: 256 << 20, output: 1 << 20, escalation: Escalation::Never }
    }
}

/// What a backend does when a program turns out to need what it does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Escalation {
    /// End the run at once with [`Fault::Unsupported`](crate::Fault::Unsupported): another tier stands ready.
    OnNeed,
    /// Let the program see its own exception and go on; the outcome names the need.
    Never,
}
