//! What a call to E2B asks for, as its limits count it.

use serde::Serialize;

/// The calls that are limited together. E2B counts creations among the lifecycle calls too, and executions among the
/// operations; who wants to be exact asks for both rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A new sandbox.
    Creation,
    /// The management API: look at a sandbox, keep it, pause it, wake it, end it.
    Lifecycle,
    /// A call into a sandbox: files, processes.
    Operation,
    /// A program that starts in a sandbox.
    Execution,
}

impl Kind {
    /// Its name in figures and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Creation => "creation",
            Self::Lifecycle => "lifecycle",
            Self::Operation => "operation",
            Self::Execution => "execution",
        }
    }

    /// More than one of them, in a sentence.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Creation => "sandbox creations",
            Self::Lifecycle => "calls of the management API",
            Self::Operation => "sandbox operations",
            Self::Execution => "executions",
        }
    }
}
