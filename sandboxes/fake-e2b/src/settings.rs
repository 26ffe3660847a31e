//! What a stand-in is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::faults::Faults;
use crate::latency::Latency;
use crate::plan::Plan;

/// How a stand-in behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    pub plan: Plan,
    pub latency: Latency,
    pub faults: Faults,
    pub rates: Rates,
    /// All chance comes from this number.
    pub seed: u64,
    /// The API key that is accepted. `None`: any that is not empty.
    pub key: Option<String>,
    pub kernels: Kernels,
    /// The templates that exist, by name. Empty: every name is known.
    pub templates: BTreeMap<String, Template>,
}

/// Limits beyond the plan's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    /// More executions than this in a minute are answered with 429, over the whole account.
    pub executions_per_minute: Option<u32>,
    /// Executions that may come at once before the rate counts.
    pub burst: u32,
    /// Whether a 429 for a rate carries `Retry-After`.
    pub retry_after: bool,
}

/// What a sandbox is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// What `/etc/build-tag` holds.
    pub tag: String,
    /// Modules that programs can import beyond the standard library. `None`: all that the kernel has.
    pub modules: Option<BTreeSet<String>>,
}

/// What runs the code.
#[derive(Clone)]
pub enum Kernels {
    /// A Python process per context.
    Python {
        /// The interpreter: a path, or a name to be found on the path.
        program: PathBuf,
    },
    /// The scripted backend of the contract: no process, no file, all waiting on tokio's clock.
    Scripted {
        /// What code without a line that begins with `#:` prints.
        unscripted: Arc<dyn Fn(&str) -> String + Send + Sync>,
    },
}

impl Kernels {
    /// `python3`, as the path has it.
    pub fn python() -> Self {
        Self::Python { program: PathBuf::from("python3") }
    }

    /// Scripted; code without a script prints nothing.
    pub fn scripted() -> Self {
        Self::Scripted { unscripted: Arc::new(|_| String::new()) }
    }
}

impl fmt::Debug for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Python { program } => f.debug_struct("Python").field("program", program).finish(),
            Self::Scripted { .. } => f.write_str("Scripted"),
        }
    }
}

impl Default for Settings {
    /// The Hobby plan, at once, without faults, any key, any template, Python.
    fn default() -> Self {
        Self {
            plan: Plan::default(),
            latency: Latency::default(),
            faults: Faults::default(),
            rates: Rates::default(),
            seed: 0,
            key: None,
            kernels: Kernels::python(),
            templates: BTreeMap::new(),
        }
    }
}

impl Default for Rates {
    /// No limit; a 429 says when to come back.
    fn default() -> Self {
        Self { executions_per_minute: None, burst: 1, retry_after: true }
    }
}

impl Default for Template {
    fn default() -> Self {
        Self { tag: "default".to_owned(), modules: None }
    }
}
