//! The local kernel that a cell runs in: how it is made ready before the cell and put back after it.

use std::time::Duration;

use switchtower_contract::{Cell, CellOutcome, Change, Events, Fault, Kernel, Limits};
use tokio::sync::oneshot;

use super::super::context::{Context, ContextState};
use super::super::files::Revision;
use super::super::kernel_permits::{KernelPermit, PermitRequest};
use super::super::local_kernel::{KernelUnavailable, take_or_rebuild};
use super::super::placement::Rebuild;
use super::super::session::Session;
use super::super::state_transfer::{Destination, file_corrections, transfer};
use crate::error::Error;
use crate::route::TierName;
use crate::tier::{Relay, Tier};

/// A kernel for the next cell, and the changes to files that the kernel does not have.
pub(super) struct ReadyKernel {
    pub(super) kernel: Box<dyn Kernel>,
    /// Set if the kernel cannot be rebuilt and its context is not placed in it yet.
    pub(super) permit: Option<KernelPermit>,
    pub(super) changes: Vec<Change>,
    /// The changes that the history records, if these are only a part: a replay of the earlier cells makes the rest.
    pub(super) recorded_changes: Option<Vec<Change>>,
    /// The revision of the files that the kernel has with these changes.
    pub(super) revision: Revision,
}

/// Returns a kernel in `tier` for a context's next cell: the existing one, or one rebuilt from its history; or a new one with
/// its state, if the context moves to a tier whose kernels cannot be rebuilt.
pub(super) async fn ready_kernel(
    session: &Session,
    tier: &Tier,
    context: &Context,
    state: &mut ContextState,
) -> Result<ReadyKernel, KernelUnavailable> {
    if !state.is_placed_in(tier.name()) && Rebuild::of(tier) == Rebuild::Never {
        return move_to_tier(session, tier, context, state).await.map_err(KernelUnavailable::Refused);
    }
    let is_new = state.history().is_empty();
    let kernel = take_or_rebuild(session, tier, context, state).await?;
    let files = session.files();
    // A new kernel gets all files, those included that this context wrote before it was restarted.
    let (changes, revision) =
        if is_new { files.snapshot() } else { files.changes_since(state.seen_files(), context.writer()) };
    session.services().file_transfers.admit(&changes).await;
    Ok(ReadyKernel { kernel, permit: None, changes, recorded_changes: None, revision })
}

/// Opens a kernel in another local tier with a context's state. The context is placed there once a cell has run in it.
async fn move_to_tier(
    session: &Session,
    tier: &Tier,
    context: &Context,
    state: &mut ContextState,
) -> Result<ReadyKernel, Error> {
    let services = session.services();
    let permit_request =
        PermitRequest { caller: &session.caller().user, session: session.shared_id(), holder: context.as_holder() };
    let permit = services.kernel_permits.acquire(tier.name(), &permit_request)?;
    let opened = tier.open_kernel(context.language(), &context.kernel_options(&session.options().env)).await;
    let mut kernel = opened.map_err(|fault| Error::from_fault(tier.name(), &fault))?;
    let moves = !state.history().is_empty();
    if moves {
        let tier_name = tier.name().as_str();
        tracing::info!(session = session.id(), context = context.id(), tier = tier_name, "a context moves");
        transfer(session, context, state, &Destination::Local(tier), &mut kernel).await?;
    }
    let recorded_changes = moves.then(|| session.files().changes_since(state.seen_files(), context.writer()).0);
    let (files, revision) = session.files().snapshot();
    services.file_transfers.admit(&files).await;
    let changes = file_corrections(state.history().touched_paths(), files);
    Ok(ReadyKernel { kernel, permit: Some(permit), changes, recorded_changes, revision })
}

/// A kernel in which a cell runs. Dropping it during the run returns a kernel that survives an interrupt to its context, and
/// drops any other.
pub(super) struct RunningKernel<'a> {
    kernel: Option<Box<dyn Kernel>>,
    tier: &'a TierName,
    state: &'a mut ContextState,
}

impl<'a> RunningKernel<'a> {
    pub(super) fn new(kernel: Box<dyn Kernel>, tier: &'a TierName, state: &'a mut ContextState) -> Self {
        Self { kernel: Some(kernel), tier, state }
    }

    pub(super) async fn run(
        &mut self,
        cell: &Cell,
        limits: &Limits,
        output_delay: Duration,
        relay: &mut Relay,
    ) -> Result<CellOutcome, Fault> {
        match &mut self.kernel {
            Some(kernel) => run_relayed(kernel.as_mut(), cell, limits, output_delay, relay).await,
            None => Err(Fault::Lost { reason: "there is no kernel".to_owned() }),
        }
    }

    /// Takes the kernel.
    pub(super) fn take(mut self) -> Option<Box<dyn Kernel>> {
        self.kernel.take()
    }

    /// Returns the kernel to its context, because no cell has started in it.
    pub(super) fn put_back(mut self) {
        self.return_kernel();
    }

    fn return_kernel(&mut self) {
        if let Some(kernel) = self.kernel.take() {
            self.state.return_local_kernel(self.tier, kernel);
        }
    }
}

impl Drop for RunningKernel<'_> {
    fn drop(&mut self) {
        if self.kernel.as_ref().is_some_and(|kernel| kernel.survives_interrupt()) {
            self.return_kernel();
        }
    }
}

/// Runs a cell in a kernel, and passes its output to the relay.
pub(super) async fn run_relayed(
    kernel: &mut dyn Kernel,
    cell: &Cell,
    limits: &Limits,
    output_delay: Duration,
    relay: &mut Relay,
) -> Result<CellOutcome, Fault> {
    let (events, from) = Events::channel();
    let (over, is_over) = oneshot::channel();
    let run = async {
        let ran = kernel.run(cell, limits, &events).await;
        let _ = over.send(());
        ran
    };
    let (ran, ()) = tokio::join!(run, relay.attempt(output_delay, from, is_over));
    ran
}
