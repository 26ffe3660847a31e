//! Kernels: what runs the code of one context.

mod messages;
mod python;
mod scripted;

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::row_stream::RowSender;

pub(crate) use python::PythonKernel;
pub(crate) use scripted::{ScriptedKernel, backend};

/// An interpreter with its state. Dropping it ends it.
#[async_trait]
pub(crate) trait ContextKernel: Send {
    /// Runs a cell and sends its rows, the count first, without the row that ends an execution. A client that leaves
    /// interrupts the cell; this returns when the interpreter is idle again.
    async fn run(&mut self, cell: &CellCode, rows: &RowSender) -> KernelState;
}

/// The language of a context's cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Python,
    Bash,
}

impl Language {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Bash => "bash",
        }
    }
}

/// The code of one execution.
#[derive(Debug, Clone)]
pub(crate) struct CellCode {
    pub(crate) code: String,
    /// Set for this cell only.
    pub(crate) env: BTreeMap<String, String>,
}

/// The state of a kernel after a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KernelState {
    Idle,
    /// It died; the next cell gets a new one.
    Dead,
    /// The connection to it broke in the middle of the cell.
    Disconnected,
}
