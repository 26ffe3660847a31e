//! The move of a session from a machine of this host on to a cloud, for what needs the internet.

use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::{Location, Machine};
use tokio::sync::MutexGuard;
use tokio::time::{Instant, timeout};

use super::context::{Context, ContextState};
use super::leased_machine::LeasedMachine;
use super::leasing::lease;
use super::session::Session;
use crate::error::Error;
use crate::route::TierName;

/// Longest time of such a move.
const MOVE_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a move waits for calls of clients that run.
const CALLS_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of files that move.
const MAX_FILES: u64 = 256 << 20;

/// Moves a session on to a machine of one of these tiers, if none of them is that of its machine, which is one of this host.
/// Returns the new machine; `None` if the session stays: it need not move, or part of it cannot.
pub(super) async fn move_on(session: &Session, tiers: &[TierName], reason: &str) -> Option<Arc<dyn Machine>> {
    let leased = session.machine_slot().get()?;
    let is_local = |tier: &TierName| {
        session.services().tiers().get(tier).is_some_and(|tier| tier.offer().location == Location::Local)
    };
    if tiers.is_empty() || tiers.contains(leased.tier()) || !is_local(leased.tier()) {
        return None;
    }
    match timeout(MOVE_TIMEOUT, try_move(session, &leased, tiers)).await {
        Ok(Ok(machine)) => {
            let (from, session) = (leased.tier().as_str(), session.id());
            tracing::info!(session, from, reason, "a session moved on to a cloud");
            Some(machine)
        }
        Ok(Err(why)) => {
            tracing::info!(session = session.id(), %why, reason, "a session stays on its machine");
            None
        }
        Err(_) => None,
    }
}

async fn try_move(
    session: &Session,
    leased: &Arc<LeasedMachine>,
    tiers: &[TierName],
) -> Result<Arc<dyn Machine>, Error> {
    let stays = |why: &str| Error::NotMovable { reason: format!("the session stays on {}: {why}", leased.tier()) };
    if session.network().internet == Some(false) {
        return Err(stays("it may not reach the internet"));
    }
    let mut machine_move = session.machine_slot().begin_move().await;
    if !machine_move.existing().is_some_and(|current| Arc::ptr_eq(current, leased)) {
        return session.machine().ok_or_else(|| session.not_running());
    }
    let contexts = session.contexts().all();
    // A session that cannot move is found before a machine is leased.
    drop(movable(leased, &contexts, stays).await?);
    let deadline = Instant::now() + MOVE_TIMEOUT;
    let next = lease(session, tiers, deadline, &mut Vec::new(), stays("no cloud is available")).await?;
    // From here on no call of a client changes anything on the machine.
    let held = timeout(CALLS_TIMEOUT, session.machine_slot().hold_calls()).await;
    let _held = held.map_err(|_| stays("a call of its client runs"))?;
    let states = movable(leased, &contexts, stays).await?;
    let files = leased.machine().export_files(MAX_FILES).await.map_err(|fault| stays(&fault.detail()))?;
    next.apply(&files).await.map_err(|fault| Error::from_fault(next.tier(), &fault))?;
    for mut state in states {
        // No cell has run in it.
        drop(state.take_remote_kernel());
    }
    let machine = Arc::clone(next.machine());
    if let Some(before) = machine_move.complete(Arc::new(next)) {
        before.give_back().await;
    }
    Ok(machine)
}

/// Returns the states of the contexts, locked, if nothing but files is on the machine.
async fn movable<'a>(
    leased: &LeasedMachine,
    contexts: &'a [Arc<Context>],
    stays: impl Fn(&str) -> Error,
) -> Result<Vec<MutexGuard<'a, ContextState>>, Error> {
    if leased.machine().has_processes().await.map_err(|fault| stays(&fault.detail()))? {
        return Err(stays("processes of it run"));
    }
    let mut states = Vec::new();
    for context in contexts {
        let state = context.try_lock().map_err(|_| stays("a cell runs"))?;
        if state.count() > 0 || !state.history().is_empty() {
            return Err(stays("cells have run, whose variables are there"));
        }
        states.push(state);
    }
    Ok(states)
}
