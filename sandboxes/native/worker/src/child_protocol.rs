//! The messages between a worker and its children. Those of a child are not trusted: the program in it can forge them.

use std::io;

use serde::{Deserialize, Serialize};
use switchtower_contract::{Cell, Change, Effects, Failure, KernelOptions, MimeBundle, Need, Program};
use switchtower_worker::frames;

/// To a child.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToChild {
    /// Warm up ahead of the next run: write to the pages that nearly every program writes to. It has no answer.
    WarmUp,
    Program {
        program: Program,
        /// Another tier is available: a need ends the run.
        on_need: bool,
    },
    Cell {
        options: Option<KernelOptions>,
        cell: Cell,
        on_need: bool,
    },
    Internal(String),
}

/// From a child.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromChild {
    /// A value is shown. The child waits until the worker confirms it, so that it keeps its order with the output.
    Show { data: MimeBundle, main: bool },
    /// The program needs something that this tier does not provide.
    Need(Need),
    /// The effects that a program's libc calls had, sent at its end.
    Observed(Effects),
    /// The end of a program or of internal code.
    Ended(ChildRunEnd),
    /// The end of a cell.
    CellEnded { ending: ChildRunEnd, changes: Vec<Change> },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ChildRunEnd {
    Finished(i32),
    Raised(Failure),
}

/// The byte that confirms a shown value.
pub(crate) const VALUE_TAKEN: u8 = 1;

/// Assembles the messages of a child from its bytes.
#[derive(Default)]
pub(crate) struct FrameBuffer(Vec<u8>);

impl FrameBuffer {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Returns the next message, once it is complete.
    ///
    /// # Errors
    /// The bytes are no valid message.
    pub(crate) fn next(&mut self) -> io::Result<Option<FromChild>> {
        let Some(prefix) = self.0.first_chunk::<4>() else { return Ok(None) };
        let end = 4 + frames::length(*prefix)?;
        let Some(frame) = self.0.get(4..end) else { return Ok(None) };
        let message = frames::decode(frame)?;
        self.0.drain(..end);
        Ok(Some(message))
    }
}

/// Returns the need of this name; None where there is none.
pub(crate) fn need(what: &str, detail: String) -> Option<Need> {
    Some(match what {
        "MODULE" => Need::Module(detail),
        "FILES" => Need::Files(detail),
        "NETWORK" => Need::Network(detail),
        "PROCESS" => Need::Process(detail),
        "THREADS" => Need::Threads,
        "LANGUAGE" => Need::Language(detail),
        _ => return None,
    })
}

/// Returns representations by MIME type from Python's list of pairs.
pub(crate) fn bundle(data: Vec<(String, String)>) -> MimeBundle {
    data.into_iter().collect()
}
