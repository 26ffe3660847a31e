//! The state of a context of another language than Python: its cells are run again in the other kernel.

use serde_json::Value;
use switchtower_contract::{Escalation, Exit, Kernel, Limits};

use super::super::history::{History, NotReplayable, PastCell};
use super::super::local_kernel::run_silently;
use super::{Destination, EXPORT_TIMEOUT, ExportedState, not_movable};
use crate::error::Error;

/// Returns the exported state, which is empty: the history has all of it.
///
/// # Errors
/// A cell may lead to another state when it is run again.
pub(super) fn check(history: &History) -> Result<ExportedState, NotReplayable> {
    let impure = |past: &&PastCell| !past.pure;
    match history.all_cells()?.iter().find(impure) {
        Some(past) => {
            let why = "it used the clock, randomness or its environment, and would not lead to the same values again";
            Err(NotReplayable::new(past.cell.number, why))
        }
        None => Ok(ExportedState { state: Value::Null, stuck: None }),
    }
}

/// Runs all cells of the history again.
///
/// # Errors
/// `NotMovable`: a cell ends in another way there. Or the tier failed.
pub(super) async fn replay(
    history: &History,
    destination: &Destination<'_>,
    kernel: &mut dyn Kernel,
) -> Result<(), Error> {
    let tier = destination.tier();
    let cells = history.all_cells().map_err(|why| not_movable(tier.name(), &why))?;
    for past in cells {
        let wall = EXPORT_TIMEOUT;
        let limits = Limits { wall, memory: tier.memory(None), output: 0, escalation: Escalation::Never };
        let ran = run_silently(kernel, &past.cell, &limits).await;
        let ran = ran.map_err(|fault| Error::from_fault(tier.name(), &fault))?;
        let is_same = |one: Exit, other: Exit| {
            matches!((one, other), (Exit::Finished(a), Exit::Finished(b)) if a == b) || one == other
        };
        if !is_same(ran.outcome.exit, past.exit) {
            let why = NotReplayable::new(past.cell.number, "it ended in another way there");
            return Err(not_movable(tier.name(), &why));
        }
    }
    Ok(())
}
