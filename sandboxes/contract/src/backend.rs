//! The two traits: what can open sandboxes, and one live sandbox.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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

    /// Returns what names everything about the runtime that can show in a result: the guest's hash, the packages'
    /// versions, the BUILD_TAG, the processor's features where code is native. Part of every cache key. Empty while that
    /// is not known: then no result is stored. It changes only where sandboxes are opened that show something new.
    fn runtime(&self) -> Arc<str>;

    /// A sandbox that nothing has run in yet.
    async fn open(&self, spec: &Spec) -> Result<Box<dyn Sandbox>, Fault>;

    /// As [`open`](Self::open). `attempt`: which try of the same request this is, from 1, for what the backend records of
    /// it.
    async fn open_attempt(&self, spec: &Spec, _attempt: u32) -> Result<Box<dyn Sandbox>, Fault> {
        self.open(spec).await
    }

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

    /// Returns the interpreter that the last run took place in. `None`: not known, so no two runs are known to have been
    /// independent of each other.
    fn interpreter(&self) -> Option<InterpreterId>;

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
    /// An earlier run's interpreter: another one is taken where one is free, so that the two runs are independent of
    /// each other. [`Sandbox::interpreter`] says which one it was.
    pub apart_from: Option<InterpreterId>,
}

impl Spec {
    /// Returns what any interpreter of this language satisfies.
    pub const fn new(language: Language) -> Self {
        Self { language, apart_from: None }
    }
}

/// Names one interpreter process among all that this process has seen. Runs with different ids shared neither a hash seed
/// nor a layout of memory; children forked from one process have its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InterpreterId(u64);

impl InterpreterId {
    /// Returns the id of an interpreter that was just started: one that no other has.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
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
