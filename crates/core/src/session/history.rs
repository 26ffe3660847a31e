//! The cells of a context as they ran, so that its state can be made again, here or elsewhere.

use std::collections::BTreeSet;
use std::time::Duration;

use switchtower_contract::{Cell, CellOutcome, Change, Content, Exit, Outcome, Usage};

use super::transfer_schema::{PastCell, PastChange};
use crate::memory::Charge;

/// Bytes of cells and of the files that came with them that are kept of one context.
const MOST: usize = 32 << 20;

/// A cell that ran.
pub(super) struct Past {
    pub(super) cell: Cell,
    /// It asked the world for nothing.
    pure: bool,
    pub(super) exit: Exit,
    cpu: Duration,
    /// It did not come to its own end, or was refused what a machine has: on a machine it would do what it did not do
    /// here.
    cut: bool,
}

/// Bytes that a cell takes beside what its client sent, a variable beside its text, and a path beside its name.
const CELL: usize = 512;
const PAIR: usize = 96;
const PATH: usize = 64;

/// What led to a context's names.
#[derive(Default)]
pub(super) struct History {
    cells: Vec<Past>,
    /// Pays for all of it; None: nobody is charged.
    charge: Option<Charge>,
    /// A cell that runs in a kernel which outlives it. Where nobody hears of its end, it was broken off in the middle.
    begun: Option<Cell>,
    /// Bytes of the cells.
    size: usize,
    /// Bytes of the paths that were touched.
    names: usize,
    /// The first cell that cannot be run again anywhere, and why.
    broken: Option<(u32, &'static str)>,
    /// The first cell of which nobody knows what the world answered: run again, it may come to another state.
    live: Option<u32>,
    /// Paths that cells changed, or were given.
    touched: BTreeSet<String>,
    /// The first cell that changed any, or may have.
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
    /// An empty one that is paid for by this charge.
    pub(super) fn charged(charge: Charge) -> Self {
        Self { charge: Some(charge), ..Self::default() }
    }

    /// An empty one, paid for by whoever paid for this.
    pub(super) fn begin_anew(&self) -> Self {
        Self { charge: self.charge.as_ref().map(Charge::another), ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty() && self.begun.is_none() && self.broken.is_none()
    }

    /// A cell begins in a kernel that outlives it.
    pub(super) fn begins(&mut self, cell: &Cell) {
        self.cut_short();
        // Where it is broken off, the next one is given the same changes once more.
        let Cell { source, number, env, stdin, .. } = cell.clone();
        self.begun = Some(Cell { source, number, env, stdin, ..Cell::default() });
    }

    /// The cell that began did not begin after all.
    pub(super) fn did_not_begin(&mut self) {
        self.begun = None;
    }

    /// Where a cell began and nobody heard of its end, it is one that was cut short.
    fn cut_short(&mut self) {
        let Some(cell) = self.begun.take() else { return };
        self.live.get_or_insert(cell.number);
        self.wrote.get_or_insert(cell.number);
        let usage = Usage::default();
        let outcome = Outcome { exit: Exit::Killed, observed: None, truncated: false, usage, unmet_need: None };
        self.keep(cell, &CellOutcome { outcome, changes: Vec::new(), tape: None, alive: true });
    }

    /// Takes in a cell that has run.
    pub(super) fn add(&mut self, mut cell: Cell, ran: &CellOutcome) {
        self.begun = None;
        self.touch(cell.changes.iter().chain(&ran.changes));
        if !ran.changes.is_empty() {
            self.wrote.get_or_insert(cell.number);
        }
        match &ran.tape {
            None => drop(self.live.get_or_insert(cell.number)),
            Some(tape) if tape.incomplete => {
                self.breaks(cell.number, "it read the clock more often than is kept");
                return;
            }
            Some(tape) => cell.tape = Some(tape.clone()),
        }
        self.keep(cell, ran);
    }

    /// Remembers paths, as far as they are paid for. Where they are not, no cell is run again, so they are not needed.
    fn touch<'a>(&mut self, changes: impl Iterator<Item = &'a Change>) {
        for Change { path, .. } in changes {
            if self.broken.is_none() && !self.touched.contains(path) {
                self.names += path.len() + PATH;
                self.touched.insert(path.clone());
            }
        }
    }

    fn keep(&mut self, cell: Cell, ran: &CellOutcome) {
        if self.broken.is_some() {
            return;
        }
        self.size += bytes_of_cell(&cell);
        if self.size > MOST {
            self.breaks(cell.number, "it and the cells before it are too large to be kept");
            return;
        }
        let bytes = (self.size + self.names) as u64;
        if self.charge.as_ref().is_some_and(|charge| charge.resize(bytes).is_err()) {
            let why = "there was no space left in its caller's share of memory to keep it and the cells before it";
            self.breaks(cell.number, why);
            return;
        }
        let (exit, unmet_need) = (ran.outcome.exit, ran.outcome.unmet_need.is_some());
        let pure = ran.outcome.observed.is_some_and(switchtower_contract::Effects::is_empty);
        let cut = unmet_need || !matches!(exit, Exit::Finished(_) | Exit::Raised);
        self.cells.push(Past { cell, pure, exit, cpu: ran.outcome.usage.cpu, cut });
    }

    fn breaks(&mut self, cell: u32, why: &'static str) {
        // What was kept is of no use any more.
        self.cells = Vec::new();
        self.touched = BTreeSet::new();
        (self.size, self.names) = (0, 0);
        if let Some(charge) = &self.charge {
            charge.shrink(0);
        }
        self.broken.get_or_insert((cell, why));
    }

    /// The cells, to be run again to the same state, with what the world answered to them.
    pub(super) fn cells(&self) -> Result<&[Past], Stuck> {
        match (self.broken, self.live.or(self.begun.as_ref().map(|cell| cell.number))) {
            (Some((cell, why)), _) => Err(Stuck::new(cell, why)),
            (None, Some(cell)) => Err(Stuck::new(cell, "it ran where nobody keeps what the world answered")),
            (None, None) => Ok(&self.cells),
        }
    }

    /// Processor time that making the state again takes; None where it cannot be.
    pub(super) fn cost(&self) -> Option<Duration> {
        self.cells().is_ok().then(|| self.spent())
    }

    /// Processor time that the cells took.
    pub(super) fn spent(&self) -> Duration {
        self.cells.iter().map(|past| past.cpu).sum()
    }

    /// Paths that running the cells again touches.
    pub(super) fn touched(&self) -> &BTreeSet<String> {
        &self.touched
    }

    /// The first cell that changed a file, or may have.
    pub(super) fn wrote(&self) -> Option<u32> {
        self.wrote.or(self.begun.as_ref().map(|cell| cell.number))
    }

    /// Returns the cells that another kernel runs again.
    pub(super) fn past_cells(&mut self) -> Result<Vec<PastCell<'_>>, Stuck> {
        self.cut_short();
        match self.broken {
            Some((cell, why)) => Err(Stuck::new(cell, why)),
            None => Ok(self.cells.iter().map(PastCell::from).collect()),
        }
    }
}

impl<'a> From<&'a Past> for PastCell<'a> {
    fn from(past: &'a Past) -> Self {
        Self {
            number: past.cell.number,
            code: &past.cell.source,
            env: &past.cell.env,
            changes: past.cell.changes.iter().map(PastChange::from).collect(),
            pure: past.pure && !past.cut,
            raised: past.exit == Exit::Raised,
            incomplete: past.cut,
        }
    }
}

fn bytes_of_cell(cell: &Cell) -> usize {
    let clock = cell.tape.as_ref().map_or(0, |tape| tape.clock.len() * size_of::<u64>());
    let env = cell.env.iter().map(|(name, value)| name.len() + value.len() + PAIR).sum::<usize>();
    let stdin = cell.stdin.as_ref().map_or(0, String::len);
    let changes = cell.changes.iter().map(bytes_of).sum::<usize>();
    CELL + cell.source.len() + env + stdin + clock + changes
}

fn bytes_of(change: &Change) -> usize {
    PATH + change.path.len()
        + match &change.content {
            Content::File(content) => content.len(),
            Content::Folder | Content::Removed => 0,
        }
}
