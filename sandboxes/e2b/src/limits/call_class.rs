//! The classes of calls that E2B limits.

use serde::Serialize;

/// Calls that are limited together. E2B counts creations among the lifecycle calls too, and executions among the
/// operations: such calls need a reservation of both classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallClass {
    /// A new sandbox.
    Creation,
    /// Calls of the management API: look up, extend, pause, resume and end a sandbox.
    Lifecycle,
    /// Calls into a sandbox: files, processes.
    Operation,
    /// Starts of programs in a sandbox.
    Execution,
}

impl CallClass {
    /// Returns the name in statistics and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Creation => "creation",
            Self::Lifecycle => "lifecycle",
            Self::Operation => "operation",
            Self::Execution => "execution",
        }
    }

    /// Returns the plural for messages.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Creation => "sandbox creations",
            Self::Lifecycle => "calls of the management API",
            Self::Operation => "sandbox operations",
            Self::Execution => "executions",
        }
    }
}
