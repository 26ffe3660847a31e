//! The restore of an exported state in another kernel.
//!
//! The kernel runs the cells again, compares each name's digest with the exported one, overwrites what differs from the
//! pickled values, and prints its verdict. `sandboxes/python/transfer` has the code that runs there.

use std::time::Duration;

use serde_json::{Value, json};
use switchtower_contract::{Change, Content, Fault, Kernel};

use super::super::history::{History, NotReplayable};
use super::schema::{ReplayCell, RestoreRequest, Verdict};
use super::{Destination, EXPORT_TIMEOUT, MachineFiles, sources};

/// Longest that a kernel gets to restore, beside the time that the cells took.
const RESTORE_TIMEOUT: Duration = EXPORT_TIMEOUT;
/// A request of more bytes than this goes as a file, not as a literal of the code.
const MAX_LITERAL_BYTES: usize = 192 << 10;
const REQUEST_FILE: &str = "/tmp/.switchtower-restore.json";

/// Why a state was not restored.
pub(super) enum RestoreError {
    NotMovable(NotReplayable),
    Fault(Fault),
}

/// Restores the state that a history led to, as it was exported after its last cell, in `kernel`. `home`: the folder that
/// the context began in.
///
/// # Errors
/// A name came out different and cannot be overwritten, or the kernel failed.
pub(super) async fn restore(
    home: &str,
    history: &History,
    last_cell: u32,
    exported: &str,
    destination: &Destination<'_>,
    kernel: &mut dyn Kernel,
) -> Result<(), RestoreError> {
    let not_movable = |why: String| RestoreError::NotMovable(NotReplayable::new(last_cell, why));
    let exported: Value = serde_json::from_str(exported)
        .map_err(|error| not_movable(format!("its exported state cannot be read: {error}")))?;
    // No other tier is slower than the one in which its cells ran first.
    let replay_time = RESTORE_TIMEOUT / 2 + history.cpu_time();
    let cells = history.all_cells().map_err(RestoreError::NotMovable)?;
    let request = RestoreRequest {
        cells: cells.iter().map(ReplayCell::from).collect(),
        state: &exported,
        time_limit_s: replay_time.as_secs(),
        home,
        files_in_use: destination.files() == MachineFiles::InUse,
    };
    let Delivery { code, file } = Delivery::of(json!(request).to_string());
    destination.prepare(kernel, file).await.map_err(RestoreError::Fault)?;
    let printed = kernel.run_internal(&code, replay_time + RESTORE_TIMEOUT).await.map_err(RestoreError::Fault)?;
    let verdict: Verdict = serde_json::from_str(printed.trim())
        .map_err(|error| not_movable(format!("the kernel there printed {printed:?}: {error}")))?;
    verdict.check(last_cell).map_err(RestoreError::NotMovable)
}

impl Verdict {
    fn check(self, last_cell: u32) -> Result<(), NotReplayable> {
        if self.ok {
            return Ok(());
        }
        let why = self.reason.unwrap_or_else(|| "it came out different there".to_owned());
        let why = self.name.map_or(why.clone(), |name| format!("{name}: {why}"));
        Err(NotReplayable::new(self.cell.unwrap_or(last_cell), why))
    }
}

/// A restore request on its way into a kernel.
struct Delivery {
    code: String,
    /// The request itself, where it is too large for a literal.
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
