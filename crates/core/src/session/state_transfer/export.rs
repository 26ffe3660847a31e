//! The export of a context's state from its local kernel.
//!
//! The export uses up a kernel that can be rebuilt: it moves objects about, so the next state would not be the one that the
//! history leads to. A kernel that cannot be rebuilt is asked and goes on. The effects of the export on it: classes of the
//! program's own are asked for their parts as `pickle` asks (`__reduce_ex__`, `__getstate__`), the exception of a task that
//! failed counts as seen, and lazy caches may be filled. Only a class whose `__reduce_ex__` changes its object is another
//! one afterwards.

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

/// Returns the exported state of a context, as JSON.
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
    // A rebuild costs as much as the cells did: it waits for a slot as any cell does.
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
