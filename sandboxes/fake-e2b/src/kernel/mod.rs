//! What runs the cells of one context.

mod python;
mod scripted;

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::line::Lines;

pub(crate) use python::PythonKernel;
pub(crate) use scripted::{ScriptedKernel, backend};

/// One interpreter with its state. Dropping it ends it.
#[async_trait]
pub(crate) trait Kernel: Send {
    /// Runs a cell and sends its lines, the count first; without the line that ends an execution. A reader that
    /// leaves interrupts the cell, and this returns when the interpreter is idle again.
    async fn run(&mut self, cell: &Cell, lines: &Lines) -> After;
}

/// One piece of code.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(crate) code: String,
    /// Set for this cell only.
    pub(crate) env: BTreeMap<String, String>,
}

/// How an interpreter stands after a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Idle,
    /// It died; the next cell begins with a new one.
    Dead,
    /// The line to it broke in the middle.
    Lost,
}
