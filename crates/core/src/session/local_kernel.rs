//! The local kernel of a context: the existing one, or one rebuilt from its history.

use std::time::Duration;

use switchtower_contract::{Cell, CellOutcome, Escalation, Events, Fault, Kernel, Limits};

use super::context::{Context, ContextState};
use super::history::NotReplayable;
use super::session::Session;
use crate::error::Error;
use crate::tier::Tier;

/// Time that a replayed cell may take in addition to `cell_timeout`, because the host may be busier than before.
const REPLAY_MARGIN: Duration = Duration::from_secs(60);

/// Why there is no kernel to run a cell in.
pub(super) enum KernelUnavailable {
    /// The history cannot rebuild the state.
    NotReplayable(NotReplayable),
    /// The tier failed.
    Fault(Fault),
    /// No kernel may be opened, or the state cannot be moved to it.
    Refused(Error),
}

/// Returns a context's kernel in `tier` in the state after its last cell: the existing one, or one rebuilt from its history.
/// The caller must put it back after its cell.
pub(super) async fn take_or_rebuild(
    session: &Session,
    tier: &Tier,
    context: &Context,
    state: &mut ContextState,
) -> Result<Box<dyn Kernel>, KernelUnavailable> {
    if let Some(kernel) = state.take_local_kernel(tier.name()) {
        return Ok(kernel);
    }
    let past_cells = state.history().replayable_cells().map_err(KernelUnavailable::NotReplayable)?;
    let mut kernel = tier
        .open_kernel(context.language(), &context.kernel_options(&session.options().env))
        .await
        .map_err(KernelUnavailable::Fault)?;
    // A cell that slept sleeps again, so it may need all of its time. Its memory is limited as before, so that an allocation
    // that failed fails again.
    let limits = Limits {
        wall: session.services().config.cell_timeout + REPLAY_MARGIN,
        memory: tier.memory(None),
        output: u64::MAX,
        escalation: Escalation::Never,
    };
    for past in past_cells {
        let ran = run_silently(kernel.as_mut(), &past.cell, &limits).await.map_err(KernelUnavailable::Fault)?;
        if !ran.alive || ran.outcome.exit != past.exit || ran.tape.is_none() {
            let why = NotReplayable::new(past.cell.number, "it did not run as it did before");
            return Err(KernelUnavailable::NotReplayable(why));
        }
    }
    Ok(kernel)
}

/// Runs a cell and drops its output.
pub(super) async fn run_silently(kernel: &mut dyn Kernel, cell: &Cell, limits: &Limits) -> Result<CellOutcome, Fault> {
    let (events, mut from) = Events::channel();
    let run = async {
        let ran = kernel.run(cell, limits, &events).await;
        drop(events);
        ran
    };
    let (ran, ()) = tokio::join!(run, async { while from.recv().await.is_some() {} });
    ran
}
