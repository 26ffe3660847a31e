//! What goes between a worker and its children. What a child says is the word of a program that nobody trusts.

use std::io;

use serde::{Deserialize, Serialize};
use switchtower_contract::{Cell, Change, Effects, Failure, KernelOptions, MimeBundle, Need, Program};
use switchtower_worker::frames;

/// To a child.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToChild {
    /// It is next, and there is time: what nearly every program writes to becomes its own now. Nothing is said to that.
    WarmUp,
    Program {
        program: Program,
        /// Another tier stands ready: a need ends it.
        on_need: bool,
    },
    Cell {
        opening: Option<KernelOptions>,
        cell: Cell,
        on_need: bool,
    },
    Internal(String),
}

/// From a child.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromChild {
    /// A value is shown. The child waits until it is taken, so that it keeps its place between what is printed.
    Show { data: MimeBundle, main: bool },
    /// What it met a wall for.
    Need(Need),
    /// What a program that has come to its end was noticed to ask the world for.
    Observed(Effects),
    /// The end of a program or of own code.
    Ended(RunEnd),
    /// The end of a cell.
    CellEnded { ending: RunEnd, changes: Vec<Change> },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum RunEnd {
    Finished(i32),
    Raised(Failure),
}

/// The child's answer to a shown value has been taken.
pub(crate) const VALUE_TAKEN: u8 = 1;

/// Bytes of a child, made into what it said.
#[derive(Default)]
pub(crate) struct FrameBuffer(Vec<u8>);

impl FrameBuffer {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// What it said next, where all of it has come.
    ///
    /// # Errors
    /// That is nothing that a child says.
    pub(crate) fn next(&mut self) -> io::Result<Option<FromChild>> {
        let Some(prefix) = self.0.first_chunk::<4>() else { return Ok(None) };
        let end = 4 + frames::length(*prefix)?;
        let Some(frame) = self.0.get(4..end) else { return Ok(None) };
        let said = frames::decode(frame)?;
        self.0.drain(..end);
        Ok(Some(said))
    }
}

/// Text for a need that a child names.
pub(crate) fn need(what: &str, detail: String) -> Need {
    match what {
        "MODULE" => Need::Module(detail),
        "FILES" => Need::Files(detail),
        "NETWORK" => Need::Network(detail),
        "PROCESS" => Need::Process(detail),
        "THREADS" => Need::Threads,
        _ => Need::Language(detail),
    }
}

/// Representations by MIME type, as Python lists them.
pub(crate) fn bundle(data: Vec<(String, String)>) -> MimeBundle {
    data.into_iter().collect()
}
