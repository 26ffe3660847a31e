//! The resource limits of a run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one run may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Wall-clock time from the first instruction; time slept on a program's virtual clock counts.
    pub wall: Duration,
    /// Bytes of memory that the program may use beyond what its interpreter starts with.
    pub memory: u64,
    /// Bytes kept of stdout and stderr together. The rest is dropped and [`Outcome::truncated`](crate::Outcome) is set.
    pub output: u64,
    pub escalation: Escalation,
}

impl Default for Limits {
    fn default() -> Self {
        Self { wall: Duration::from_secs(30), memory: 256 << 20, output: 1 << 20, escalation: Escalation::Never }
    }
}

/// What a backend does when a running program needs something that it does not provide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Escalation {
    /// Ends the run at once with [`Fault::Unsupported`](crate::Fault::Unsupported): another tier can take it.
    OnNeed,
    /// Raises an exception in the program, which continues; the outcome names the need.
    Never,
}
