//! The history of a context: its cells as they ran, from which its state is rebuilt locally or restored in another kernel.

use std::collections::BTreeSet;
use std::time::Duration;

use switchtower_contract::{Cell, CellOutcome, Change, Content, Effects, Exit, Outcome, Usage};

use crate::memory::Charge;

/// Maximum size of one history, with the files that its cells were given.
const MAX_BYTES: usize = 32 << 20;

/// Bytes that are counted for a cell in addition to its parts, for a variable in addition to its text, and for a path in
/// addition to its name.
const CELL_BYTES: usize = 512;
const VARIABLE_BYTES: usize = 96;
const PATH_BYTES: usize = 64;

/// A cell that ran.
pub(super) struct PastCell {
    pub(super) cell: Cell,
    /// What the client sent, where pip was answered in it.
    pub(super) sent: Option<String>,
    /// Whether it was observed to use no clock, randomness, environment or identity.
    pub(super) pure: bool,
    pub(super) exit: Exit,
    cpu: Duration,
    /// Whether it was cut short, or lacked something that a machine has. On a machine it would have effects that it did not
    /// have here, so it is not run again there.
    pub(super) incomplete: bool,
}

/// A cell that runs.
struct RunningCell {
    cell: Cell,
    sent: Option<String>,
}

/// The cells that led to the state of a context.
#[derive(Default)]
pub(super) struct History {
    cells: Vec<PastCell>,
    /// The bytes of the history; `None`: they are not charged.
    charge: Option<Charge>,
    /// The cell that runs in a kernel that survives an interrupt. If its end is not recorded, it was interrupted.
    running: Option<RunningCell>,
    /// Bytes of the cells.
    size: usize,
    /// Bytes of the touched paths.
    path_size: usize,
    /// The number of the first cell that is not kept, and the reason. Without it, the state cannot be restored.
    lost: Option<(u32, &'static str)>,
    /// The number of the first cell without a tape: run again, it may lead to another state.
    unobserved: Option<u32>,
    /// Paths that cells changed or were given.
    touched: BTreeSet<String>,
    /// The number of the first cell that changed files, or may have.
    first_write: Option<u32>,
}

/// The state can be neither rebuilt nor restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state after cell {cell} cannot be rebuilt: {why}")]
pub(super) struct NotReplayable {
    cell: u32,
    why: String,
}

impl NotReplayable {
    pub(super) fn new(cell: u32, why: impl Into<String>) -> Self {
        Self { cell, why: why.into() }
    }
}

impl History {
    /// Returns an empty history whose bytes are charged to `charge`.
    pub(super) fn charged(charge: Charge) -> Self {
        Self { charge: Some(charge), ..Self::default() }
    }

    /// Returns an empty history that is charged to the same caller.
    pub(super) fn restart(&self) -> Self {
        Self { charge: self.charge.as_ref().map(Charge::another), ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty() && self.running.is_none() && self.lost.is_none()
    }

    /// Records that a cell starts in a kernel that survives an interrupt.
    pub(super) fn begin(&mut self, cell: &Cell, sent: Option<&str>) {
        self.record_interrupted();
        // Without its changes to files: if it is interrupted, the next cell gets them again.
        let Cell { source, number, env, stdin, .. } = cell.clone();
        let cell = Cell { source, number, env, stdin, ..Cell::default() };
        self.running = Some(RunningCell { cell, sent: sent.map(str::to_owned) });
    }

    /// Removes the cell that was recorded as started: it did not run.
    pub(super) fn cancel(&mut self) {
        self.running = None;
    }

    /// Records the started cell, whose end was not recorded, as interrupted.
    pub(super) fn record_interrupted(&mut self) {
        let Some(RunningCell { cell, sent }) = self.running.take() else { return };
        self.unobserved.get_or_insert(cell.number);
        self.first_write.get_or_insert(cell.number);
        let usage = Usage::default();
        let outcome = Outcome { exit: Exit::Killed, observed: None, truncated: false, usage, unmet_need: None };
        self.push(cell, sent, &CellOutcome { outcome, changes: Vec::new(), tape: None, alive: true });
    }

    /// Records a cell that has run.
    pub(super) fn record(&mut self, mut cell: Cell, sent: Option<String>, ran: &CellOutcome) {
        self.running = None;
        self.touch(cell.changes.iter().chain(&ran.changes));
        if !ran.changes.is_empty() {
            self.first_write.get_or_insert(cell.number);
        }
        match &ran.tape {
            None => drop(self.unobserved.get_or_insert(cell.number)),
            Some(tape) if tape.incomplete => {
                self.discard(cell.number, "it read the clock more often than is kept");
                return;
            }
            Some(tape) => cell.tape = Some(tape.clone()),
        }
        self.push(cell, sent, ran);
    }

    /// Adds paths. Where the history is lost, no cell is run again, so they are not needed.
    fn touch<'a>(&mut self, changes: impl Iterator<Item = &'a Change>) {
        for Change { path, .. } in changes {
            if self.lost.is_none() && !self.touched.contains(path) {
                self.path_size += path.len() + PATH_BYTES;
                self.touched.insert(path.clone());
            }
        }
    }

    fn push(&mut self, cell: Cell, sent: Option<String>, ran: &CellOutcome) {
        if self.lost.is_some() {
            return;
        }
        self.size += cell_bytes(&cell) + sent.as_ref().map_or(0, String::len);
        if self.size > MAX_BYTES {
            self.discard(cell.number, "it and the cells before it are too large to be kept");
            return;
        }
        let bytes = (self.size + self.path_size) as u64;
        if self.charge.as_ref().is_some_and(|charge| charge.resize(bytes).is_err()) {
            let why = "there was no space left in its caller's share of memory to keep it and the cells before it";
            self.discard(cell.number, why);
            return;
        }
        let Outcome { exit, observed, unmet_need, usage, .. } = &ran.outcome;
        let incomplete = unmet_need.is_some() || !matches!(exit, Exit::Finished(_) | Exit::Raised);
        let pure = observed.is_some_and(Effects::is_empty);
        self.cells.push(PastCell { cell, sent, pure, exit: *exit, cpu: usage.cpu, incomplete });
    }

    /// Drops all cells: without this one, the state cannot be restored from the others.
    fn discard(&mut self, cell: u32, why: &'static str) {
        self.cells = Vec::new();
        self.touched = BTreeSet::new();
        (self.size, self.path_size) = (0, 0);
        if let Some(charge) = &self.charge {
            charge.shrink(0);
        }
        self.lost.get_or_insert((cell, why));
    }

    /// Returns the cells with their tapes, to rebuild exactly the same state locally.
    ///
    /// # Errors
    /// A cell is not kept or has no tape.
    pub(super) fn replayable_cells(&self) -> Result<&[PastCell], NotReplayable> {
        match (self.lost, self.unobserved.or(self.running.as_ref().map(|running| running.cell.number))) {
            (Some((cell, why)), _) => Err(NotReplayable::new(cell, why)),
            (None, Some(cell)) => Err(NotReplayable::new(cell, "it ran where clock and randomness are not recorded")),
            (None, None) => Ok(&self.cells),
        }
    }

    /// Returns all cells, to run them again in another kernel whose state is then compared with the exported one.
    ///
    /// # Errors
    /// A cell is not kept.
    pub(super) fn all_cells(&self) -> Result<&[PastCell], NotReplayable> {
        match self.lost {
            Some((cell, why)) => Err(NotReplayable::new(cell, why)),
            None => Ok(&self.cells),
        }
    }

    /// Returns the processor time of a rebuild; `None` if the kernel cannot be rebuilt.
    pub(super) fn rebuild_cost(&self) -> Option<Duration> {
        self.replayable_cells().is_ok().then(|| self.cpu_time())
    }

    /// Returns the processor time that the cells used.
    pub(super) fn cpu_time(&self) -> Duration {
        self.cells.iter().map(|past| past.cpu).sum()
    }

    /// Returns the paths that running the cells again touches.
    pub(super) fn touched_paths(&self) -> &BTreeSet<String> {
        &self.touched
    }

    /// Returns the number of the first cell that changed files, or may have.
    pub(super) fn first_write(&self) -> Option<u32> {
        self.first_write.or(self.running.as_ref().map(|running| running.cell.number))
    }
}

fn cell_bytes(cell: &Cell) -> usize {
    let clock = cell.tape.as_ref().map_or(0, |tape| tape.clock.len() * size_of::<u64>());
    let env = cell.env.iter().map(|(name, value)| name.len() + value.len() + VARIABLE_BYTES).sum::<usize>();
    let stdin = cell.stdin.as_ref().map_or(0, String::len);
    let changes = cell.changes.iter().map(change_bytes).sum::<usize>();
    CELL_BYTES + cell.source.len() + env + stdin + clock + changes
}

fn change_bytes(change: &Change) -> usize {
    PATH_BYTES
        + change.path.len()
        + match &change.content {
            Content::File(content) => content.len(),
            Content::Folder | Content::Removed => 0,
        }
}
