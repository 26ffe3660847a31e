//! The cells of a kernel as they ran, so that its state can be made again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use switchtower_contract::{Cell, Change, Content, Exit, Ran};

/// Bytes of cells and of the files that came with them that are kept of one kernel.
const MOST: usize = 32 << 20;

/// A cell that ran to its own end.
pub(super) struct Past {
    pub(super) cell: Cell,
    /// It asked the world for nothing.
    pure: bool,
    pub(super) exit: Exit,
    cpu: Duration,
}

/// What a kernel has run since it was opened.
#[derive(Default)]
pub(super) struct History {
    cells: Vec<Past>,
    size: usize,
    /// The first cell that cannot be run again, and why.
    broken: Option<(u32, &'static str)>,
    /// The first cell that was refused what a machine has. Run again here it is refused again; on a machine it would do
    /// what it did not do here.
    refused: Option<u32>,
    /// Paths that cells changed, or were given.
    touched: BTreeSet<String>,
    /// The first cell that changed any.
    wrote: Option<u32>,
}

/// A state that cannot be made again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state after cell {cell} cannot be made again: {why}")]
pub(super) struct Stuck {
    pub(super) cell: u32,
    pub(super) why: String,
}

impl Stuck {
    pub(super) fn new(cell: u32, why: impl Into<String>) -> Self {
        Self { cell, why: why.into() }
    }
}

impl History {
    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty() && self.broken.is_none()
    }

    /// Takes in a cell that has run.
    pub(super) fn add(&mut self, mut cell: Cell, ran: &Ran) {
        let number = cell.number;
        if self.broken.is_some() {
            return;
        }
        let clock = ran.tape.as_ref().map_or(0, |tape| tape.clock.len() * size_of::<u64>());
        self.size += cell.source.len() + clock + cell.changes.iter().map(bytes_of).sum::<usize>();
        self.touched.extend(cell.changes.iter().chain(&ran.changes).map(|change| change.path.clone()));
        if !ran.changes.is_empty() {
            self.wrote.get_or_insert(number);
        }
        self.broken = match &ran.tape {
            _ if self.size > MOST => Some((number, "it and the cells before it are too large to be kept")),
            None => Some((number, "this tier does not keep what it answered")),
            Some(tape) if tape.torn => Some((number, "it read the clock more often than is kept")),
            Some(tape) => {
                cell.tape = Some(tape.clone());
                None
            }
        };
        if self.broken.is_some() {
            // What was kept is of no use any more.
            self.cells = Vec::new();
            return;
        }
        if ran.outcome.lacked.is_some() {
            self.refused.get_or_insert(number);
        }
        let pure = ran.outcome.observed.is_some_and(switchtower_contract::Effects::is_empty);
        self.cells.push(Past { cell, pure, exit: ran.outcome.exit, cpu: ran.outcome.usage.cpu });
    }

    /// The cells, to be run again.
    pub(super) fn cells(&self) -> Result<&[Past], Stuck> {
        match self.broken {
            Some((cell, why)) => Err(Stuck::new(cell, why)),
            None => Ok(&self.cells),
        }
    }

    /// Processor time that running them again takes; None where they cannot be.
    pub(super) fn cost(&self) -> Option<Duration> {
        self.broken.is_none().then(|| self.cells.iter().map(|past| past.cpu).sum())
    }

    /// Paths that running the cells again touches.
    pub(super) fn touched(&self) -> &BTreeSet<String> {
        &self.touched
    }

    /// The first cell that changed a file.
    pub(super) fn wrote(&self) -> Option<u32> {
        self.wrote
    }

    /// What a cloud kernel is told to run again, as `arrive/` reads it.
    pub(super) fn told(&self) -> Result<Value, Stuck> {
        let cell = |past: &Past| {
            json!({
                "number": past.cell.number,
                "code": past.cell.source,
                "env": past.cell.env,
                "changes": past.cell.changes.iter().map(change).collect::<Vec<_>>(),
                "pure": past.pure,
                "raised": past.exit == Exit::Raised,
            })
        };
        if let Some(cell) = self.refused {
            // There it would not be refused, and do what it did not do here.
            return Err(Stuck::new(cell, "it was refused what a machine has"));
        }
        Ok(self.cells()?.iter().map(cell).collect())
    }
}

fn bytes_of(change: &Change) -> usize {
    change.path.len()
        + match &change.content {
            Content::File(content) => content.len(),
            Content::Folder | Content::Gone => 0,
        }
}

fn change(change: &Change) -> Value {
    let mut told: BTreeMap<&str, Value> = [("path", json!(change.path))].into();
    match &change.content {
        Content::File(content) => drop(told.insert("content", json!(STANDARD.encode(content)))),
        Content::Folder => drop(told.insert("folder", json!(true))),
        Content::Gone => drop(told.insert("gone", json!(true))),
    }
    json!(told)
}
