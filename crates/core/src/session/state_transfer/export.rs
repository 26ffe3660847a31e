//! The export of a context's state from its local kernel.
//!
//! A kernel that can be rebuilt is dropped after the export, because the export moves objects in memory and its state would no
//! longer be the one that the history leads to. A kernel that cannot be rebuilt is kept. The export affects it as `pickle`
//! would: it calls `__reduce_ex__` and `__getstate__` of the program's own classes, marks the exception of a failed task as
//! retrieved, and may fill lazy caches. Only an object whose `__reduce_ex__` changes it is different afterwards.

use serde_json::json;

use super::super::context::{Context, ContextState};
use super::super::history::NotReplayable;
use super::super::local_kernel::{KernelUnavailable, take_or_rebuild};
use super::super::placement::{ContextPlacement, Rebuild};
use super::super::session::Session;
use super::EXPORT_TIMEOUT;
use super::schema::ExportOptions;
use crate::request::Priority;
use crate::tier::overloaded;

/// Returns the state of a context, as JSON.
pub(super) async fn export(
    session: &Session,
    context: &Context,
    state: &mut ContextState,
) -> Result<String, KernelUnavailable> {
    let placed = match state.placement() {
        ContextPlacement::Local { tier, rebuild } => session.services().tiers().get(&tier).map(|tier| (tier, rebuild)),
        ContextPlacement::Unplaced | ContextPlacement::Remote => None,
    };
    let none = NotReplayable::new(state.count(), "no local tier has its kernel");
    let (tier, rebuild) = placed.ok_or(KernelUnavailable::NotReplayable(none))?;
    let code = export_code(session, context);
    if rebuild == Rebuild::Never
        && let Some(kernel) = state.local_kernel(tier.name())
    {
        return kernel.run_internal(&code, EXPORT_TIMEOUT).await.map_err(KernelUnavailable::Fault);
    }
    // A rebuild costs as much as the cells did, so it waits for a slot like any cell.
    let slot = session.services().queue(tier).slot(&session.caller().user, Priority::Normal).await;
    let refused = |refusal| KernelUnavailable::Refused(overloaded(tier.name(), refusal).into());
    let _slot = slot.map_err(refused)?;
    let mut kernel = take_or_rebuild(session, tier, context, state).await?;
    state.record_kernel_lost();
    kernel.run_internal(&code, EXPORT_TIMEOUT).await.map_err(KernelUnavailable::Fault)
}

fn export_code(session: &Session, context: &Context) -> String {
    let options = json!(ExportOptions { home: context.folder(), env: &session.options().env }).to_string();
    format!(
        "import json\nfrom _switchtower import tracebacks\n\
         from _switchtower.state_transfer.export.state import export_state\n\
         print(export_state(json.dumps({{**json.loads({}), 'files': tracebacks.cell_numbers}})))",
        json!(options)
    )
}
