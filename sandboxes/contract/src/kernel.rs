//! A kernel: an interpreter that keeps its state from cell to cell, as a notebook's does.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::events::Events;
use crate::fault::Fault;
use crate::language::Language;
use crate::limits::Limits;
use crate::outcome::Outcome;

/// Opens kernels: a backend that keeps each in a sandbox of its own, or a machine whose kernels share its files.
#[async_trait]
pub trait Kernels: Send + Sync {
    /// Opens a kernel in which nothing has run yet. Fails with [`Unsupported`](Fault::Unsupported) where there is no kernel
    /// for the language.
    async fn open_kernel(&self, language: Language, options: &KernelOptions) -> Result<Box<dyn Kernel>, Fault>;
}

/// A live interpreter that keeps its state. Dropping it ends it. Dropping the future of a run ends the cell, and the
/// kernel too unless it [survives that](Kernel::survives_interrupt).
#[async_trait]
pub trait Kernel: Send {
    /// Runs a cell to its end. All events have been sent when this returns. After a fault the kernel is gone, unless
    /// the fault is `Refused`: then nothing ran.
    async fn run(&mut self, cell: &Cell, limits: &Limits, events: &Events) -> Result<CellOutcome, Fault>;

    /// Runs code of Switchtower's own in the kernel and returns what it prints. The code has a namespace of its own and
    /// is not counted as a cell; it may take at most `time_limit`.
    async fn run_internal(&mut self, code: &str, time_limit: Duration) -> Result<String, Fault>;

    /// Ends what runs in the kernel and begins again without any state.
    async fn restart(&mut self) -> Result<(), Fault>;

    /// Ends the kernel and waits until its resources are free.
    async fn close(self: Box<Self>) -> Result<(), Fault> {
        Ok(())
    }

    /// Returns whether the kernel keeps its state when a cell is interrupted: when its run is dropped, or reaches its
    /// time limit.
    fn survives_interrupt(&self) -> bool {
        false
    }
}

/// The options with which a kernel is opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelOptions {
    /// Environment variables that every cell sees.
    pub env: BTreeMap<String, String>,
    /// The working directory, created if it is missing. `None`: the user's home folder.
    pub folder: Option<String>,
}

/// One cell with its inputs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    pub source: String,
    /// The execution count.
    pub number: u32,
    /// Environment variables for this cell alone.
    pub env: BTreeMap<String, String>,
    /// The whole of standard input. `None`: reading it is an error, as in a notebook without an input prompt.
    pub stdin: Option<String>,
    /// Changes made to files from outside since the last cell.
    pub changes: Vec<Change>,
    /// The recorded clock and randomness of an earlier run of this cell, to be given to it again.
    pub tape: Option<Tape>,
}

/// The new state of one path in the scratch file system.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// An absolute path.
    pub path: String,
    pub content: Content,
}

/// What a path holds.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Clones share the bytes.
    File(Bytes),
    Folder,
    /// Nothing: it was removed.
    Removed,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::File(content) => write!(f, "{} ({} bytes)", self.path, content.len()),
            Content::Folder => write!(f, "{}/", self.path),
            Content::Removed => write!(f, "{} removed", self.path),
        }
    }
}

/// The clock readings and the randomness that a cell was given. With the same ones, the same interpreter reaches the
/// same state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tape {
    /// The seed of its random stream.
    pub seed: [u8; 32],
    /// Every clock reading in nanoseconds, in order.
    pub clock: Vec<u64>,
    /// More was read than is recorded: the tape cannot be replayed.
    pub incomplete: bool,
}

/// How a cell ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellOutcome {
    pub outcome: Outcome,
    /// What the cell changed in files, for backends that keep files in the kernel.
    pub changes: Vec<Change>,
    /// The clock and randomness it was given, for backends whose kernels can be rebuilt by running the same cells
    /// again.
    pub tape: Option<Tape>,
    /// Whether the kernel can run the next cell.
    pub alive: bool,
}
