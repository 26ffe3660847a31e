//! The export of a context's state from its kernel: a local one, or one on a machine of this host.
//!
//! A kernel that can be rebuilt is dropped after the export, because the export moves objects in memory and its state would no
//! longer be the one that the history leads to. A kernel that cannot be rebuilt is kept. The export affects it as `pickle`
//! would: it calls `__reduce_ex__` and `__getstate__` of the program's own classes, marks the exception of a failed task as
//! retrieved, and may fill lazy caches. Only an object whose `__reduce_ex__` changes it is different afterwards.

use serde_json::{Value, json};
use switchtower_contract::{Fault, Kernel};

use super::super::context::{Context, ContextState};
use super::super::history::{History, NotReplayable};
use super::super::local_kernel::{KernelUnavailable, take_or_rebuild};
use super::super::placement::{ContextPlacement, Rebuild};
use super::super::session::Session;
use super::restore::MAX_LITERAL_BYTES;
use super::schema::{ExportOptions, PredictionRequest, ReplayCell, RestoreVerdict};
use super::{EXPORT_TIMEOUT, sources};
use crate::request::Priority;
use crate::tier::overloaded;

/// The state of a context.
pub(in super::super) struct ExportedState {
    /// What `export_state` returned.
    pub(super) state: Value,
    /// Why no kernel can restore it, as far as that is known before one has tried; `None`: it may be restored.
    pub(super) stuck: Option<NotReplayable>,
}

/// Returns the state of a context.
pub(super) async fn export(
    session: &Session,
    context: &Context,
    state: &mut ContextState,
) -> Result<ExportedState, KernelUnavailable> {
    let last_cell = state.count();
    let code = export_code(session, context);
    if let Some((kernel, history)) = state.recorded_remote_kernel() {
        return run_export(kernel.as_mut(), &code, history, last_cell).await;
    }
    let placed = match state.placement() {
        ContextPlacement::Local { tier, rebuild } => session.services().tiers().get(&tier).map(|tier| (tier, rebuild)),
        ContextPlacement::Unplaced | ContextPlacement::Remote => None,
    };
    let none = NotReplayable::new(last_cell, "no local tier has its kernel");
    let (tier, rebuild) = placed.ok_or(KernelUnavailable::NotReplayable(none))?;
    if rebuild == Rebuild::Never
        && let Some((kernel, history)) = state.local_kernel(tier.name())
    {
        return run_export(kernel.as_mut(), &code, history, last_cell).await;
    }
    // A rebuild costs as much as the cells did, so it waits for a slot like any cell.
    let slot = session.services().queue(tier).slot(&session.caller().user, Priority::Normal).await;
    let refused = |refusal| KernelUnavailable::Refused(overloaded(tier.name(), refusal).into());
    let _slot = slot.map_err(refused)?;
    let mut kernel = take_or_rebuild(session, tier, context, state).await?;
    state.record_kernel_lost();
    run_export(kernel.as_mut(), &code, state.history(), last_cell).await
}

async fn run_export(
    kernel: &mut dyn Kernel,
    code: &str,
    history: &History,
    last_cell: u32,
) -> Result<ExportedState, KernelUnavailable> {
    let printed = kernel.run_internal(code, EXPORT_TIMEOUT).await.map_err(KernelUnavailable::Fault)?;
    let unreadable = |error| {
        let reason = format!("its exported state cannot be read: {error}");
        KernelUnavailable::Fault(Fault::Unavailable { reason })
    };
    let state: Value = serde_json::from_str(&printed).map_err(unreadable)?;
    let stuck = match prediction_code(&state, history) {
        Some(code) => {
            let printed = kernel.run_internal(&code, EXPORT_TIMEOUT).await.map_err(KernelUnavailable::Fault)?;
            let verdict: RestoreVerdict = serde_json::from_str(printed.trim()).map_err(unreadable)?;
            verdict.check(last_cell).err()
        }
        None => None,
    };
    Ok(ExportedState { state, stuck })
}

/// Returns code that predicts the end of a restore; `None` if the state has no value that may prevent it, or the history is too
/// large for a literal.
fn prediction_code(state: &Value, history: &History) -> Option<String> {
    let cells = history.all_cells().ok()?;
    let groups = state["groups"].as_array()?;
    let prevents = |group: &Value| {
        group.get("pickled").is_none() && group["opaque"].as_object().is_some_and(|opaque| !opaque.is_empty())
    };
    if cells.iter().all(|past| past.pure) || !groups.iter().any(prevents) {
        return None;
    }
    let without_values = |group: &Value| {
        let mut group = group.clone();
        group["pickled"] = json!(group.get("pickled").is_some());
        group
    };
    let request = PredictionRequest {
        cells: cells.iter().map(ReplayCell::without_changes).collect(),
        groups: groups.iter().map(without_values).collect(),
    };
    let request = json!(request).to_string();
    (request.len() <= MAX_LITERAL_BYTES).then(|| sources::predict(&json!(request).to_string()))
}

fn export_code(session: &Session, context: &Context) -> String {
    let options = json!(ExportOptions { home: context.folder(), env: &session.options().env }).to_string();
    format!(
        "from _switchtower import tracebacks\n\
         from _switchtower.state_transfer.export.state import export_state\n\
         print(export_state({}, tracebacks.cell_numbers))",
        json!(options)
    )
}
