//! The two traits: what can open sandboxes, and one live sandbox.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::events::Events;
use crate::fault::{Fault, Need};
use crate::kernel::{Kernel, Opening};
use crate::limits::Limits;
use crate::machine::Machine;
use crate::outcome::Outcome;
use crate::program::{Language, Program};

/// Can open sandboxes: an embedded engine, a cloud account.
#[async_trait]
pub trait Backend: Send + Sync {
    fn offer(&self) -> Offer;

    /// A sandbox that nothing has run in yet.
    async fn open(&self, spec: &Spec) -> Result<Box<dyn Sandbox>, Fault>;

    /// A kernel in a sandbox of its own, for a backend that can keep many of them at little cost.
    async fn kernel(&self, _opening: &Opening) -> Result<Box<dyn Kernel>, Fault> {
        Err(Fault::Unsupported(Need::Language("a kernel that is kept".to_owned())))
    }
}

/// One live, isolated environment; state lasts from run to run until [`reset`](Self::reset). Dropping it kills it,
/// and dropping a run in the middle ends the program.
#[async_trait]
pub trait Sandbox: Send {
    /// Runs a program to its end. Every event has been sent when this returns.
    async fn run(&mut self, program: &Program, limits: &Limits, events: &Events) -> Result<Outcome, Fault>;

    /// As fresh as when it was opened. `Err`: do not use it again.
    async fn reset(&mut self) -> Result<(), Fault>;

    /// Looks whether it still lives, running nothing in it, and keeps it for later. `Err`: do not use it again.
    async fn keep(&mut self, how: Upkeep) -> Result<(), Fault>;

    /// One more kernel in this sandbox. The kernels of a sandbox share its files and run side by side.
    async fn kernel(&mut self, _opening: &Opening) -> Result<Box<dyn Kernel>, Fault> {
        Err(Fault::Unsupported(Need::Language("a kernel that is kept".to_owned())))
    }

    /// The machine that it is, where it is one.
    fn machine(&self) -> Option<Arc<dyn Machine>> {
        None
    }
}

/// How a sandbox that nobody uses is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upkeep {
    /// The next run begins at once.
    Awake,
    /// As cheaply as may be; the next run may take longer to begin.
    Asleep,
}

/// What a backend has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub languages: Vec<Language>,
    /// Names everything about the runtime that can show in a result (guest hash, package versions, BUILD_TAG): part
    /// of every cache key. Empty where that is not known: then no result is kept.
    pub runtime: Arc<str>,
    pub modules: Modules,
    pub isolation: Isolation,
    /// Most that [`Limits`] may ask for.
    pub memory: u64,
    pub wall: Duration,
    /// The outcome says what the program asked the world for.
    pub observes: bool,
    /// A program can reach something outside its sandbox, so what may have run must not run twice.
    pub effectful: bool,
    /// It can keep kernels, each in a sandbox of its own.
    pub kernels: bool,
    /// Its sandboxes are machines, and keep kernels side by side.
    pub machines: bool,
}

/// Which modules can be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Modules {
    /// Not known before it is tried.
    Any,
    /// These top-level names.
    Named(Arc<BTreeSet<String>>),
}

impl Modules {
    pub fn named<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self::Named(Arc::new(names.into_iter().map(Into::into).collect()))
    }

    /// True where the top-level package of `module` can be imported, or may be.
    pub fn has(&self, module: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Named(names) => names.contains(module.split('.').next().unwrap_or(module)),
        }
    }
}

/// What a sandbox is opened for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    pub language: Language,
}

/// How strong the wall is, weakest first. A request can set a floor; falling back never goes below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// A jailed process: the kernel's system calls are the wall.
    Process,
    /// WebAssembly: a memory-safe engine is the wall.
    Wasm,
    /// A virtual machine of its own.
    MicroVm,
}

impl Isolation {
    pub const ALL: [Self; 3] = [Self::Process, Self::Wasm, Self::MicroVm];

    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Wasm => "wasm",
            Self::MicroVm => "micro_vm",
        }
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is no isolation level that we know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown isolation {0:?}: known are process, wasm, micro_vm")]
pub struct UnknownIsolation(pub String);

impl FromStr for Isolation {
    type Err = UnknownIsolation;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|level| level.name() == text).ok_or_else(|| UnknownIsolation(text.to_owned()))
    }
}
