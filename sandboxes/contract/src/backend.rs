//! The two main traits: [`Backend`] opens sandboxes, [`Sandbox`] is one that is open.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::events::Events;
use crate::fault::Fault;
use crate::kernel::Kernels;
use crate::language::Language;
use crate::limits::Limits;
use crate::machine::Machine;
use crate::outcome::{Outcome, Price};
use crate::program::Program;

/// Opens sandboxes: an embedded engine, a cloud account.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Returns what this backend provides. It may change while the process runs.
    fn offer(&self) -> Offer;

    /// Returns an id of everything about the runtime that can change a result: the guest's hash, the packages'
    /// versions, the BUILD_TAG, the processor's features where code is native. Part of every cache key. Empty while it
    /// is not known: then no result is stored. It changes only when sandboxes that are opened from then on differ.
    fn runtime(&self) -> Arc<str>;

    /// Returns the packages that programs find: a distribution's name and its version. Empty where that is not known.
    fn packages(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Opens a sandbox in which nothing has run yet.
    async fn open(&self, spec: &Spec) -> Result<Box<dyn Sandbox>, Fault>;

    /// Opens a sandbox as [`open`](Self::open) does. `attempt` is the number of this try of the same request, from 1,
    /// for backends that record it.
    async fn open_attempt(&self, spec: &Spec, _attempt: u32) -> Result<Box<dyn Sandbox>, Fault> {
        self.open(spec).await
    }

    /// Returns what opens kernels, each in a sandbox of its own, for backends that can keep many at little cost. A
    /// machine opens kernels too, see [`Machine`]. A backend that wraps another one passes on what that one returns.
    fn kernels(&self) -> Option<&dyn Kernels> {
        None
    }
}

/// One live, isolated environment. State lasts from run to run until [`reset`](Self::reset). Dropping the sandbox kills
/// it; dropping the future of a run ends the program.
#[async_trait]
pub trait Sandbox: Send {
    /// Runs a program to its end. All events have been sent when this returns.
    async fn run(&mut self, program: &Program, limits: &Limits, events: &Events) -> Result<Outcome, Fault>;

    /// Brings the sandbox back to the state in which it was opened. After `Err` it must not be used again.
    async fn reset(&mut self) -> Result<(), Fault>;

    /// Checks that an idle sandbox is still alive, without running anything in it, and prepares it for further waiting.
    /// After `Err` it must not be used again.
    async fn maintain(&mut self, how: Maintenance) -> Result<(), Fault>;

    /// Returns the id of the interpreter in which the last run took place. `None`: not known, so two runs cannot be
    /// shown to be independent of each other.
    fn interpreter(&self) -> Option<InterpreterId> {
        None
    }

    /// Returns the sandbox as a machine, where it is one.
    fn machine(&self) -> Option<Arc<dyn Machine>> {
        None
    }

    /// Returns how the sandbox's provider knows it, for operators. A sandbox without a provider has no label.
    fn label(&self) -> SandboxLabel {
        SandboxLabel::default()
    }
}

/// How the provider of a sandbox knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SandboxLabel {
    /// The provider's id of the sandbox.
    pub id: Option<String>,
    /// The build tag that was read in the sandbox when it was opened. `None` if it is not checked.
    pub build_tag: Option<String>,
}

/// How an idle sandbox is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maintenance {
    /// Running: the next run begins at once.
    Awake,
    /// As cheaply as possible, for example paused: the next run may take longer to begin.
    Asleep,
}

/// What a backend provides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub languages: Languages,
    pub isolation: Isolation,
    /// Where its sandboxes run.
    pub location: Location,
    /// Its sandboxes are machines: they have commands, files and ports, see [`Sandbox::machine`].
    pub machine: bool,
    /// Programs reach the internet, unless the sandbox's [`NetworkPolicy`] forbids it.
    pub internet: bool,
    /// Every effect of a program is reported, see [`Outcome::observed`].
    pub observes: bool,
    /// A kernel can be rebuilt by running its cells again with their [tapes](crate::Tape).
    pub replayable: bool,
    /// A program can reach something outside its sandbox, so what may have run must not run twice.
    pub effectful: bool,
    /// What one second of a sandbox costs. `None`: nothing.
    pub price_per_second: Option<Price>,
    /// The highest [`Limits::memory`], in bytes.
    pub max_memory: u64,
    /// The highest [`Limits::wall`].
    pub max_wall: Duration,
}

impl Offer {
    /// Returns the offer of a backend that can run nothing.
    pub fn nothing() -> Self {
        Self {
            languages: Languages::default(),
            isolation: Isolation::Process,
            location: Location::Local,
            machine: false,
            internet: false,
            observes: false,
            replayable: false,
            effectful: false,
            price_per_second: None,
            max_memory: 0,
            max_wall: Duration::ZERO,
        }
    }
}

/// Where a sandbox runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Location {
    /// On this machine: programs and files do not leave it.
    Local,
    /// On another machine.
    Remote,
}

impl Location {
    /// Returns the name used in rules and their cases.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }
}

/// The languages of a backend, and the modules that programs in each of them can import. The first one is the language of
/// a pool's sandboxes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Languages(BTreeMap<Language, Modules>);

impl Languages {
    /// Returns one language and its modules.
    pub fn only(language: Language, modules: Modules) -> Self {
        [(language, modules)].into_iter().collect()
    }

    /// Returns whether programs in this language run.
    pub fn has(&self, language: Language) -> bool {
        self.0.contains_key(&language)
    }

    /// Returns whether a program in `language` can import the top-level package of `module`, or may. False for a language
    /// that does not run.
    pub fn has_module(&self, language: Language, module: &str) -> bool {
        self.modules(language).is_some_and(|modules| modules.has(module))
    }

    /// Returns the modules of a language; `None` for one that does not run.
    pub fn modules(&self, language: Language) -> Option<&Modules> {
        self.0.get(&language)
    }

    /// Returns the first language.
    pub fn first(&self) -> Option<Language> {
        self.0.keys().next().copied()
    }
}

impl FromIterator<(Language, Modules)> for Languages {
    fn from_iter<I: IntoIterator<Item = (Language, Modules)>>(languages: I) -> Self {
        Self(languages.into_iter().collect())
    }
}

/// Which modules can be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Modules {
    /// Not known before an import is tried.
    Any,
    /// Exactly these top-level names.
    Named(Arc<BTreeSet<String>>),
}

impl Modules {
    /// Returns exactly these top-level names.
    pub fn named<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self::Named(Arc::new(names.into_iter().map(Into::into).collect()))
    }

    /// Returns whether the top-level package of `module` can be imported, or may be.
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
    /// The interpreter of an earlier run. Another one is preferred, so that the two runs are independent of each other;
    /// [`Sandbox::interpreter`] returns the one that was used.
    pub avoid_interpreter: Option<InterpreterId>,
    /// What its machine may reach. Only backends of machines keep a policy that is not open.
    pub network: NetworkPolicy,
}

impl Spec {
    /// Returns a spec that any interpreter of this language satisfies.
    pub const fn new(language: Language) -> Self {
        Self { language, avoid_interpreter: None, network: NetworkPolicy::OPEN }
    }
}

/// What a machine may reach on the internet, and who may reach its ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// Whether it reaches the internet: all of it, or with `false` only what `allow_out` names. `None`: not set, which
    /// means all of it.
    pub internet: Option<bool>,
    /// Addresses, ranges and names that it reaches even if another rule denies them.
    pub allow_out: Vec<String>,
    /// Addresses and ranges that it does not reach.
    pub deny_out: Vec<String>,
    /// The service that runs the machine requires its token for calls to the machine's ports.
    pub private_ports: bool,
    /// The host name that programs on the ports see in requests. `None`: the one that was called.
    pub host: Option<String>,
}

impl NetworkPolicy {
    /// The policy that restricts nothing.
    pub const OPEN: Self =
        Self { internet: None, allow_out: Vec::new(), deny_out: Vec::new(), private_ports: false, host: None };

    /// Returns whether any machine satisfies the policy. For another one a machine must be opened.
    pub fn is_open(&self) -> bool {
        let Self { internet, allow_out, deny_out, private_ports, host } = self;
        *internet != Some(false) && allow_out.is_empty() && deny_out.is_empty() && !private_ports && host.is_none()
    }
}

/// Identifies one interpreter process among all that this process has started. Runs with different ids shared neither a
/// hash seed nor a memory layout; children that are forked from one process have its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InterpreterId(u64);

impl InterpreterId {
    /// Returns a new, unique id, for an interpreter that was just started.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The isolation levels, weakest first. A request can set a floor; falling back never goes below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// A jailed process: the boundary is the operating system's system calls, of which it has few.
    Process,
    /// A container: the same boundary, with namespaces and users of its own and most system calls.
    Container,
    /// A container whose system calls are answered by a kernel of its own in user space.
    Gvisor,
    /// WebAssembly: the boundary is a memory-safe engine.
    Wasm,
    /// A virtual machine for each sandbox.
    MicroVm,
}

impl Isolation {
    pub const ALL: [Self; 5] = [Self::Process, Self::Container, Self::Gvisor, Self::Wasm, Self::MicroVm];

    /// Returns the name used in requests, settings and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Container => "container",
            Self::Gvisor => "gvisor",
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

/// The text names no isolation level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown isolation {given:?}: allowed are {allowed}", given = .0, allowed = Isolation::ALL.map(Isolation::name).join(", "))]
pub struct UnknownIsolation(pub String);

impl FromStr for Isolation {
    type Err = UnknownIsolation;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|level| level.name() == text).ok_or_else(|| UnknownIsolation(text.to_owned()))
    }
}
