//! A kernel: an interpreter whose names last from cell to cell, as a notebook's do.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::events::Events;
use crate::fault::Fault;
use crate::limits::Limits;
use crate::outcome::Outcome;

/// A live interpreter. Dropping it ends it; dropping a run in the middle ends the cell, and the kernel too, unless it
/// [outlives that](Kernel::outlives_a_break).
#[async_trait]
pub trait Kernel: Send {
    /// Runs a cell to its end. Every event has been sent when this returns. After a fault the kernel is gone, unless the
    /// fault is `Refused`: then nothing ran.
    async fn run(&mut self, cell: &Cell, limits: &Limits, events: &Events) -> Result<Ran, Fault>;

    /// What code of our own prints. It runs beside the kernel's names and is no cell.
    async fn own(&mut self, code: &str, most: Duration) -> Result<String, Fault>;

    /// All names are gone, and whatever ran in it.
    async fn restart(&mut self) -> Result<(), Fault>;

    /// Ends it, and waits for that.
    async fn close(self: Box<Self>) -> Result<(), Fault> {
        Ok(())
    }

    /// A cell that is dropped in the middle, or runs out of time, is interrupted, and the kernel goes on with its names.
    fn outlives_a_break(&self) -> bool {
        false
    }
}

/// What a kernel is opened with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// Variables that every cell sees.
    pub env: BTreeMap<String, String>,
    /// Its working directory, made where it is not there; the user's home where none is given.
    pub folder: Option<String>,
}

/// A piece of a notebook with what it is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    pub source: String,
    /// Its execution count.
    pub number: u32,
    /// Variables for this cell alone.
    pub env: BTreeMap<String, String>,
    /// The whole of standard input. `None`: asking for input is an error, as in a notebook without a keyboard.
    pub stdin: Option<String>,
    /// What happened to files from outside since the last cell.
    pub changes: Vec<Change>,
    /// Answers of the world to give again, where the cell ran before.
    pub tape: Option<Tape>,
}

/// What became of a path in the scratch file system.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Absolute.
    pub path: String,
    pub content: Content,
}

/// What is at a path now.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Clones share it.
    File(Bytes),
    Folder,
    Gone,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::File(content) => write!(f, "{} ({} bytes)", self.path, content.len()),
            Content::Folder => write!(f, "{}/", self.path),
            Content::Gone => write!(f, "{} gone", self.path),
        }
    }
}

/// What the world answered to a cell: with the same answers, the same interpreter comes to the same state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tape {
    /// Where its randomness came from.
    pub seed: [u8; 32],
    /// Every reading of a clock, in nanoseconds, in the order of asking.
    pub clock: Vec<u64>,
    /// More was asked than is kept: it cannot be played.
    pub torn: bool,
}

/// How a cell ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    pub outcome: Outcome,
    /// What the cell did to files, where the backend keeps them in the kernel.
    pub changes: Vec<Change>,
    /// For a backend whose kernels can run the same cells again to the same state.
    pub tape: Option<Tape>,
    /// The kernel can run the next cell.
    pub alive: bool,
}
