//! The restore of an exported state in another kernel.
//!
//! The kernel runs the cells again, compares the digest of each name with the exported one, overwrites values that differ with
//! the exported pickled ones, and prints its verdict. The code that runs there is in `sandboxes/python/transfer`.

use std::time::Duration;

use serde_json::{Value, json};
use switchtower_contract::{Change, Content, Fault, Kernel};

use super::super::history::{History, NotReplayable};
use super::schema::{ReplayCell, RestoreRequest, RestoreVerdict};
use super::{Destination, EXPORT_TIMEOUT, MachineFiles, sources};

/// Longest time that a restore may take in addition to the cells.
const RESTORE_TIMEOUT: Duration = EXPORT_TIMEOUT;
/// Longest request in bytes that is sent as a literal in the code; a longer one is sent as a file.
pub(super) const MAX_LITERAL_BYTES: usize = 192 << 10;
const REQUEST_FILE: &str = "/tmp/.switchtower-restore.json";

/// Why a state was not restored.
pub(super) enum RestoreError {
    NotMovable(NotReplayable),
    Fault(Fault),
}

/// Restores an exported state in `kernel`. `history` has the cells that led to it, `last_cell` is the number of the last one,
/// `home` is the working folder in which the context started.
///
/// # Errors
/// A name came out different and cannot be overwritten, or the kernel failed.
pub(super) async fn restore(
    home: &str,
    history: &History,
    last_cell: u32,
    exported: &Value,
    destination: &Destination<'_>,
    kernel: &mut dyn Kernel,
) -> Result<(), RestoreError> {
    let not_movable = |why: String| RestoreError::NotMovable(NotReplayable::new(last_cell, why));
    // The tier in which the cells ran first is the slowest one.
    let replay_time = RESTORE_TIMEOUT / 2 + history.cpu_time();
    let cells = history.all_cells().map_err(RestoreError::NotMovable)?;
    let request = RestoreRequest {
        cells: match destination {
            Destination::Machine(to) if to.is_online => cells.iter().map(ReplayCell::for_machine).collect(),
            // Without the internet, pip would try for longer than a restore may take.
            Destination::Machine(_) | Destination::Local(_) => cells.iter().map(ReplayCell::from).collect(),
        },
        state: exported,
        time_limit_s: replay_time.as_secs(),
        home,
        files_in_use: destination.files() == MachineFiles::InUse,
    };
    let Delivery { code, file } = Delivery::of(json!(request).to_string());
    destination.prepare(kernel, file).await.map_err(RestoreError::Fault)?;
    let printed = kernel.run_internal(&code, replay_time + RESTORE_TIMEOUT).await.map_err(RestoreError::Fault)?;
    let verdict: RestoreVerdict = serde_json::from_str(printed.trim())
        .map_err(|error| not_movable(format!("the kernel there printed {printed:?}: {error}")))?;
    verdict.check(last_cell).map_err(RestoreError::NotMovable)
}

impl RestoreVerdict {
    pub(super) fn check(self, last_cell: u32) -> Result<(), NotReplayable> {
        if self.ok {
            return Ok(());
        }
        let why = self.reason.unwrap_or_else(|| "it came out different there".to_owned());
        let why = self.name.map_or(why.clone(), |name| format!("{name}: {why}"));
        Err(NotReplayable::new(self.cell.unwrap_or(last_cell), why))
    }
}

/// A restore request as code for a kernel.
struct Delivery {
    code: String,
    /// The request, if it is too large for a literal.
    file: Option<Change>,
}

impl Delivery {
    fn of(request: String) -> Self {
        let (argument, cleanup, file) = if request.len() > MAX_LITERAL_BYTES {
            let file = Change { path: REQUEST_FILE.to_owned(), content: Content::File(request.into_bytes().into()) };
            let cleanup = format!("__import__('os').unlink({})\n", json!(REQUEST_FILE));
            (json!(REQUEST_FILE), cleanup, Some(file))
        } else {
            (json!(request), String::new(), None)
        };
        let code = format!("{}{cleanup}", sources::restore(&argument.to_string()));
        Self { code, file }
    }
}
