//! The transfer of a context's state into a kernel of another local tier, or of the session's machine.
//!
//! The state is exported from the current kernel. The other kernel then runs the cells again, compares the result with the
//! exported state name by name, and overwrites values that differ. That is so for Python; the cells of other languages are only
//! run again, so that all must have been pure.

mod export;
mod replay;
mod restore;
mod schema;
mod sources;

use std::collections::BTreeSet;
use std::time::Duration;

use switchtower_contract::{Cell, Change, Content, Escalation, Exit, Fault, Kernel, Language, Limits};

pub(super) use export::ExportedState;
pub use sources::restore_prelude;

use super::context::{Context, ContextState};
use super::history::NotReplayable;
use super::leased_machine::LeasedMachine;
use super::local_kernel::{KernelUnavailable, run_silently};
use super::session::Session;
use crate::error::Error;
use crate::route::TierName;
use crate::tier::Tier;

/// Longest time that a local kernel may take to export its state. A restore may take this long in addition to its cells.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(60);

/// Where the kernel is that a state is transferred into.
pub(super) enum Destination<'a> {
    Machine(&'a MachineDestination<'a>),
    /// In another local tier; no cell has run in the kernel.
    Local(&'a Tier),
}

/// The session's machine as a destination.
pub(super) struct MachineDestination<'a> {
    pub(super) tier: &'a Tier,
    pub(super) machine: &'a LeasedMachine,
    pub(super) files: MachineFiles,
    /// Whether the machine reaches the whole internet, so that its pip finds packages.
    pub(super) is_online: bool,
}

/// Whether the session's files are on its machine when a context is restored there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MachineFiles {
    /// They are written after the restore.
    Absent,
    /// They are there, and other contexts use them.
    InUse,
}

impl Destination<'_> {
    fn tier(&self) -> &Tier {
        match self {
            Self::Machine(to) => to.tier,
            Self::Local(tier) => tier,
        }
    }

    fn files(&self) -> MachineFiles {
        match self {
            Self::Machine(to) => to.files,
            Self::Local(_) => MachineFiles::Absent,
        }
    }

    /// Makes the kernel ready for internal code, and writes the file that the code needs.
    async fn prepare(&self, kernel: &mut dyn Kernel, file: Option<Change>) -> Result<(), Fault> {
        match (self, file) {
            (Self::Machine(to), Some(file)) => to.machine.apply(&[file]).await,
            (Self::Machine(_), None) => Ok(()),
            (Self::Local(tier), file) => {
                // A local kernel starts with its first cell. An empty cell starts it without changing its state or count.
                let cell = Cell { changes: file.into_iter().collect(), ..Cell::default() };
                let (memory, escalation) = (tier.memory(None), Escalation::Never);
                let limits = Limits { wall: EXPORT_TIMEOUT, memory, output: 0, escalation };
                let ran = run_silently(kernel, &cell, &limits).await?;
                match ran.outcome.exit {
                    Exit::Finished(_) if ran.alive => Ok(()),
                    exit => Err(Fault::Unavailable { reason: format!("an empty cell did not run: {}", exit.name()) }),
                }
            }
        }
    }
}

/// Returns a context's state, before there is a kernel to restore it in. `None`: it has none. `tier` is where it is to go.
///
/// # Errors
/// `NotMovable`: part of the state can be neither recomputed nor copied; the message names the cell. Or a tier failed.
pub(super) async fn export_ahead(
    session: &Session,
    context: &Context,
    state: &mut ContextState,
    tier: &TierName,
) -> Result<Option<ExportedState>, Error> {
    if state.history().is_empty() {
        return Ok(None);
    }
    let not_movable = |why: NotReplayable| not_movable(tier, &why);
    state.history_mut().record_interrupted();
    // A state that cannot be restored need not be exported.
    state.history().all_cells().map_err(not_movable)?;
    if context.language() != Language::Python {
        return replay::check(state.history()).map(Some).map_err(not_movable);
    }
    let count = state.count();
    let exported = export::export(session, context, state).await.map_err(|unavailable| match unavailable {
        KernelUnavailable::NotReplayable(why) => not_movable(why),
        KernelUnavailable::Fault(fault) => not_movable(NotReplayable::new(count, fault.detail())),
        KernelUnavailable::Refused(error) => error,
    })?;
    match exported.stuck {
        Some(why) => Err(not_movable(why)),
        None => Ok(Some(exported)),
    }
}

fn not_movable(tier: &TierName, why: &NotReplayable) -> Error {
    Error::NotMovable { reason: format!("the session cannot move to {tier}: {why}") }
}

/// Transfers a context's state into another kernel.
///
/// # Errors
/// As [`export_ahead`]. Or a tier failed.
pub(super) async fn transfer(
    session: &Session,
    context: &Context,
    state: &mut ContextState,
    destination: &Destination<'_>,
    kernel: &mut Box<dyn Kernel>,
) -> Result<(), Error> {
    match export_ahead(session, context, state, destination.tier().name()).await? {
        Some(exported) => restore_exported(context, state, &exported, destination, kernel).await,
        None => Ok(()),
    }
}

/// Restores a context's exported state in another kernel.
///
/// # Errors
/// `NotMovable`: part of the state came out different there and cannot be copied; the message names the cell. Or a tier failed.
pub(super) async fn restore_exported(
    context: &Context,
    state: &mut ContextState,
    exported: &ExportedState,
    destination: &Destination<'_>,
    kernel: &mut Box<dyn Kernel>,
) -> Result<(), Error> {
    let tier = destination.tier().name();
    if context.language() != Language::Python {
        return replay::replay(state.history(), destination, kernel.as_mut()).await;
    }
    let count = state.count();
    let restored =
        restore::restore(context.folder(), state.history(), count, &exported.state, destination, kernel.as_mut()).await;
    restored.map_err(|failed| match failed {
        restore::RestoreError::NotMovable(why) => not_movable(tier, &why),
        restore::RestoreError::Fault(fault) => Error::from_fault(tier, &fault),
    })
}

/// Opens a kernel on the machine and restores a context's state in it, which is exported now unless it has been. If that
/// fails, the kernel is closed.
pub(super) async fn open_restored(
    session: &Session,
    context: &Context,
    state: &mut ContextState,
    exported: Option<&ExportedState>,
    destination: &MachineDestination<'_>,
) -> Result<Box<dyn Kernel>, Error> {
    let opened =
        destination.machine.open_kernel(context.language(), &context.kernel_options(&session.options().env)).await;
    let mut kernel = opened.map_err(|fault| Error::from_fault(destination.tier.name(), &fault))?;
    let destination = Destination::Machine(destination);
    let restored = match exported {
        Some(exported) => restore_exported(context, state, exported, &destination, &mut kernel).await,
        None => transfer(session, context, state, &destination, &mut kernel).await,
    };
    match restored {
        Ok(()) => Ok(kernel),
        Err(error) => {
            drop(kernel.close().await);
            Err(error)
        }
    }
}

/// Returns the changes that set the files to those of the session after its cells were run again: all existing files, and
/// before them the removal of files that the cells create and that were removed since.
pub(super) fn file_corrections(touched: &BTreeSet<String>, files: Vec<Change>) -> Vec<Change> {
    let exists: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let removed = touched.iter().filter(|path| !exists.contains(path.as_str()));
    let removed: Vec<_> = removed.map(|path| Change { path: path.clone(), content: Content::Removed }).collect();
    removed.into_iter().chain(files).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_the_cells_create_and_that_was_removed_since_is_removed_before_the_others_are_written() {
        let touched = ["/tmp/a", "/tmp/b"].map(str::to_owned).into();
        let kept = Change { path: "/tmp/b".to_owned(), content: Content::Folder };
        let corrections = file_corrections(&touched, vec![kept.clone()]);
        assert_eq!(corrections, [Change { path: "/tmp/a".to_owned(), content: Content::Removed }, kept]);
    }
}
