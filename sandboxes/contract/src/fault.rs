//! Failures of a backend, as opposed to the ends of a program, and what may be done after each.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::language::Language;
use crate::rounded::rounded;

/// A run that did not take place, or whose end is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Fault {
    /// The backend cannot be reached. Nothing ran; the same request may be tried elsewhere, or here later.
    #[error("unavailable: {reason}")]
    Unavailable { reason: String },
    /// The backend refused before anything ran: credentials, a rate limit, a cap.
    #[error("refused: {reason}")]
    Refused { reason: String, retry_after: Option<Duration> },
    /// The connection or the worker was lost and the program may have run. The sandbox must not be used again.
    #[error("lost: {reason}")]
    Lost { reason: String },
    /// This backend cannot run this program. What the program did until then stayed inside the sandbox.
    #[error("unsupported here: {0}")]
    Unsupported(Need),
}

/// What may be done after a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The same tier may succeed when tried again.
    RetryHere,
    /// Another tier may succeed.
    TryNextTier,
    /// The program must not be run again.
    GiveUp,
}

impl Fault {
    /// Decides what may be tried again; nothing else does. `effectful`: the run could reach something outside its
    /// sandbox (the network, another system), so what may have run must not run twice.
    pub fn remedy(&self, effectful: bool) -> Remedy {
        match self {
            Self::Unavailable { .. } => Remedy::RetryHere,
            Self::Refused { retry_after, .. } if retry_after.is_some() => Remedy::RetryHere,
            Self::Refused { .. } | Self::Unsupported(_) => Remedy::TryNextTier,
            Self::Lost { .. } if effectful => Remedy::GiveUp,
            Self::Lost { .. } => Remedy::RetryHere,
        }
    }

    /// Checks that a backend has kernels for `language`.
    ///
    /// # Errors
    /// `Unsupported`: it has none.
    pub fn check_language(language: Language, has: impl FnOnce(Language) -> bool) -> Result<(), Self> {
        if has(language) {
            return Ok(());
        }
        Err(Self::Unsupported(Need::Language(format!("a kernel for {language}"))))
    }

    /// Returns the reason without the kind, which is [`name`](Self::name).
    pub fn detail(&self) -> String {
        match self {
            Self::Unavailable { reason } | Self::Refused { reason, .. } | Self::Lost { reason } => reason.clone(),
            Self::Unsupported(need) => need.to_string(),
        }
    }

    /// Returns one word for records and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "unavailable",
            Self::Refused { .. } => "refused",
            Self::Lost { .. } => "lost",
            Self::Unsupported(_) => "unsupported",
        }
    }
}

/// Something that a program needs and a backend does not provide.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// A module that cannot be imported.
    Module(String),
    /// A shared library that a module loads, by its file name.
    Library(String),
    /// A file outside the scratch file system.
    Files(String),
    Network(String),
    /// Another process, or a signal to one.
    Process(String),
    Threads,
    /// More memory than this many bytes.
    Memory(u64),
    /// More space for files.
    Disk,
    /// More time than this.
    Time(Duration),
    /// A language or a feature of it.
    Language(String),
}

impl Need {
    /// Returns one word for records, rules and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Module(_) => "module",
            Self::Library(_) => "library",
            Self::Files(_) => "files",
            Self::Network(_) => "network",
            Self::Process(_) => "process",
            Self::Threads => "threads",
            Self::Memory(_) => "memory",
            Self::Disk => "disk",
            Self::Time(_) => "time",
            Self::Language(_) => "language",
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module(name) => write!(f, "the module {name}"),
            Self::Library(name) => write!(f, "the shared library {name}"),
            Self::Files(path) => write!(f, "files outside its memory ({path})"),
            Self::Network(what) => write!(f, "the network ({what})"),
            Self::Process(what) => write!(f, "other processes ({what})"),
            Self::Threads => f.write_str("threads"),
            Self::Memory(bytes) => write!(f, "more than {} MB of memory", bytes >> 20),
            Self::Disk => f.write_str("more space for files"),
            Self::Time(time) => write!(f, "more than {}", rounded(*time)),
            Self::Language(what) => f.write_str(what),
        }
    }
}
