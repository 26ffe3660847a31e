//! The settings of a stand-in.

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
    /// The seed of all randomness.
    pub seed: u64,
    /// The API key that is accepted. `None`: any key that is not empty.
    pub key: Option<String>,
    pub kernels: KernelMode,
    /// The templates that exist, by name. Empty: every name exists.
    pub templates: BTreeMap<String, Template>,
}

/// Limits beyond the plan's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    /// Executions in a minute, over the whole account; further ones are refused with 429. `None`: no limit.
    pub executions_per_minute: Option<u32>,
    /// Executions at once, after a quiet time.
    pub burst: u32,
    /// Whether a 429 for a rate carries `Retry-After`.
    pub send_retry_after: bool,
}

/// A template of sandboxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The content of `/etc/build-tag`.
    pub tag: String,
    /// Modules that programs can import beyond the standard library. `None`: all that the interpreter has.
    pub modules: Option<BTreeSet<String>>,
}

/// What runs programs.
#[derive(Clone)]
pub enum KernelMode {
    /// A Python process per context.
    Python {
        /// The interpreter: a path, or a name to be found in `PATH`.
        program: PathBuf,
    },
    /// The scripted backend of `switchtower-contract`: no process, no file, tokio's clock.
    Scripted {
        /// Returns what code prints that has no line beginning with `#:`.
        unscripted: Arc<dyn Fn(&str) -> String + Send + Sync>,
    },
}

impl KernelMode {
    /// Returns Python kernels that run the `python3` of `PATH`.
    pub fn python() -> Self {
        Self::Python { program: PathBuf::from("python3") }
    }

    /// Returns scripted kernels in which code without a script prints nothing.
    pub fn scripted() -> Self {
        Self::Scripted { unscripted: Arc::new(|_| String::new()) }
    }
}

impl fmt::Debug for KernelMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Python { program } => f.debug_struct("Python").field("program", program).finish(),
            Self::Scripted { .. } => f.write_str("Scripted"),
        }
    }
}

impl Default for Settings {
    /// The Hobby plan without latency and faults, any key, any template, Python kernels.
    fn default() -> Self {
        Self {
            plan: Plan::default(),
            latency: Latency::default(),
            faults: Faults::default(),
            rates: Rates::default(),
            seed: 0,
            key: None,
            kernels: KernelMode::python(),
            templates: BTreeMap::new(),
        }
    }
}

impl Default for Rates {
    /// No limit of executions; a 429 says when to come back.
    fn default() -> Self {
        Self { executions_per_minute: None, burst: 1, send_retry_after: true }
    }
}

impl Default for Template {
    fn default() -> Self {
        Self { tag: "default".to_owned(), modules: None }
    }
}
