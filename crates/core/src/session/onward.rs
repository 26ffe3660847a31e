//! The move of a session from a machine of this host on to a cloud, for what needs the internet.
//!
//! Files and the state of its contexts move, as far as the state can be recomputed or copied: a machine's cells are recorded for
//! that. A session whose processes run, or part of whose state can be neither, stays.

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::{Location, Machine};
use tokio::sync::MutexGuard;
use tokio::time::{Instant, timeout, timeout_at};

use super::context::{Context, ContextState};
use super::leased_machine::LeasedMachine;
use super::leasing::lease;
use super::placement::{ContextPlacement, RemoteKernel};
use super::session::Session;
use super::state_transfer::{
    ExportedState, MachineDestination, MachineFiles, export_ahead, file_corrections, open_restored,
};
use crate::error::Error;
use crate::request::Request;
use crate::route::TierName;
use crate::tier::Tier;
use crate::tier::attempt::Attempt;

/// Longest time of such a move.
const MOVE_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a move waits for calls of clients and for cells that run.
const CALLS_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of files that move.
const MAX_FILES: u64 = 256 << 20;

/// Returns whether a session may move on from the machines of a tier: those of this host whose programs reach nothing outside. What has
/// reached something there must not be run again elsewhere.
pub(super) fn may_move_on(tier: &Tier) -> bool {
    let offer = tier.offer();
    offer.location == Location::Local && !offer.effectful
}

/// How an attempt to move on has ended.
pub(super) enum Onward {
    /// The session has no machine of this host, or its tier is one of those that may be used.
    NotNeeded,
    Moved(Arc<dyn Machine>),
    /// The session stays on its machine; the error says why.
    Stays(Error),
}

/// Returns the turn of a cell that is to move its session on, once no other cell has it; `None` if this cell is not. Cells that need
/// the internet at once move their session once, and each other's contexts with it.
pub(super) async fn turn_to_move_on<'a>(session: &'a Session, request: &Request) -> Option<MutexGuard<'a, ()>> {
    // A session without such a machine need not ask the rules.
    local_machine(session)?;
    let tiers = session.services().tiers();
    let is_machine = |name: &&TierName| tiers.get(name).is_some_and(|tier| tier.offer().machine);
    let decision = session.services().router.explain(request).decision.ok()?;
    let machines: Vec<_> = decision.route.tiers().filter(is_machine).cloned().collect();
    machine_to_leave(session, &machines)?;
    Some(session.machine_slot().begin_onward().await)
}

/// Returns the machine of a session if it is one of this host.
fn local_machine(session: &Session) -> Option<Arc<LeasedMachine>> {
    let leased = session.machine_slot().get()?;
    session.services().tiers().get(leased.tier()).is_some_and(is_local).then_some(leased)
}

/// Returns it if its tier is none of these.
fn machine_to_leave(session: &Session, tiers: &[TierName]) -> Option<Arc<LeasedMachine>> {
    local_machine(session).filter(|leased| !tiers.is_empty() && !tiers.contains(leased.tier()))
}

/// Moves a session on to a machine of one of these tiers for a command. Returns the new machine; `None` if the session stays.
pub(super) async fn move_on_for_command(session: &Session, tiers: &[TierName]) -> Option<Arc<dyn Machine>> {
    machine_to_leave(session, tiers)?;
    let _turn = session.machine_slot().begin_onward().await;
    match move_on(session, None, tiers, "a command that needs the internet", &mut Vec::new()).await {
        Onward::Moved(machine) => Some(machine),
        Onward::NotNeeded | Onward::Stays(_) => None,
    }
}

/// Moves a session on to a machine of one of these tiers, if none of them is that of its machine. `own`: the context of the cell that
/// needs it, with its state.
pub(super) async fn move_on(
    session: &Session,
    own: Option<(&Context, &mut ContextState)>,
    tiers: &[TierName],
    reason: &str,
    attempts: &mut Vec<Attempt>,
) -> Onward {
    let Some(leased) = machine_to_leave(session, tiers) else { return Onward::NotNeeded };
    let Some(tier) = session.services().tiers().get(leased.tier()) else { return Onward::NotNeeded };
    let stays = |why: &str| Error::NotMovable { reason: format!("the session stays in {}: {why}", leased.tier()) };
    let moved = if may_move_on(tier) {
        let onward = OnwardMove { session, leased: &leased, stays: &stays };
        let moved = timeout(MOVE_TIMEOUT, onward.run(own, tiers, attempts)).await;
        moved.unwrap_or_else(|_| Err(stays("the move took too long")))
    } else {
        Err(stays("its programs may have had effects outside, which would happen twice"))
    };
    let (id, from) = (session.id(), leased.tier().as_str());
    match moved {
        Ok(machine) => {
            tracing::info!(session = id, from, reason, "a session moved on to a cloud");
            Onward::Moved(machine)
        }
        Err(why) => {
            tracing::info!(session = id, from, %why, reason, "a session stays on its machine");
            Onward::Stays(why)
        }
    }
}

fn is_local(tier: &Tier) -> bool {
    tier.offer().location == Location::Local
}

/// A context and its state, which nothing else changes meanwhile.
struct HeldContext<'a> {
    context: &'a Context,
    state: HeldState<'a>,
    /// `None`: no cell has run.
    exported: Option<ExportedState>,
}

enum HeldState<'a> {
    Locked(MutexGuard<'a, ContextState>),
    /// The running cell's.
    Own(&'a mut ContextState),
}

impl Deref for HeldState<'_> {
    type Target = ContextState;

    fn deref(&self) -> &ContextState {
        match self {
            Self::Locked(state) => state,
            Self::Own(state) => state,
        }
    }
}

impl DerefMut for HeldState<'_> {
    fn deref_mut(&mut self) -> &mut ContextState {
        match self {
            Self::Locked(state) => state,
            Self::Own(state) => state,
        }
    }
}

struct OnwardMove<'a> {
    session: &'a Session,
    /// The machine of this host.
    leased: &'a Arc<LeasedMachine>,
    /// Returns the error that says why the session stays.
    stays: &'a (dyn Fn(&str) -> Error + Sync),
}

impl OnwardMove<'_> {
    async fn run(
        &self,
        own: Option<(&Context, &mut ContextState)>,
        tiers: &[TierName],
        attempts: &mut Vec<Attempt>,
    ) -> Result<Arc<dyn Machine>, Error> {
        let session = self.session;
        if session.network().internet == Some(false) {
            return Err((self.stays)("it may not reach the internet"));
        }
        if let Some(why) = session.machine_slot().stuck() {
            return Err((self.stays)(&why));
        }
        let mut machine_move = session.machine_slot().begin_move().await;
        if !machine_move.existing().is_some_and(|current| Arc::ptr_eq(current, self.leased)) {
            return session.machine().ok_or_else(|| session.not_running());
        }
        // From here on no call of a client changes anything on the machine.
        let held = timeout(CALLS_TIMEOUT, session.machine_slot().hold_calls()).await;
        let _held = held.map_err(|_| (self.stays)("a call of its client runs"))?;
        if self.leased.machine().has_processes().await.map_err(|fault| (self.stays)(&fault.detail()))? {
            return Err((self.stays)("processes of it run"));
        }
        // A session that cannot move is found before a machine is leased.
        let all = session.contexts().all();
        let mut contexts = self.hold(&all, own, tiers).await?;
        let files =
            self.leased.machine().export_files(MAX_FILES).await.map_err(|fault| (self.stays)(&fault.detail()))?;
        let none = (self.stays)("no cloud is available");
        let next = lease(session, tiers, Instant::now() + MOVE_TIMEOUT, attempts, none).await?;
        let failed = |fault| Error::from_fault(next.tier(), &fault);
        next.apply(&files).await.map_err(failed)?;
        let mut touched = BTreeSet::new();
        let mut kernels = Vec::new();
        for held in &mut contexts {
            touched.extend(held.state.history().touched_paths().iter().cloned());
            let kernel = self.restored(held, &next).await;
            if let Err(Error::NotMovable { reason }) = &kernel {
                // It would end the same way the next time.
                session.machine_slot().set_stuck(reason);
            }
            kernels.push(kernel?);
        }
        // Cells that ran again may have changed them.
        if kernels.iter().any(Option::is_some) {
            next.apply(&file_corrections(&touched, files)).await.map_err(failed)?;
        }
        let machine = Arc::clone(next.machine());
        // Nothing is awaited until all of it is on the new machine, so the move cannot be interrupted halfway.
        let before = machine_move.complete(Arc::new(next));
        for (mut held, kernel) in contexts.into_iter().zip(kernels) {
            drop(held.state.take_remote_kernel());
            if let Some(kernel) = kernel {
                held.state.place_remotely(RemoteKernel { kernel, is_recorded: false });
            }
        }
        if let Some(before) = before {
            before.give_back().await;
        }
        Ok(machine)
    }

    /// Returns the contexts with their exported states, held until the move has ended.
    async fn hold<'b>(
        &self,
        all: &'b [Arc<Context>],
        own: Option<(&'b Context, &'b mut ContextState)>,
        tiers: &[TierName],
    ) -> Result<Vec<HeldContext<'b>>, Error> {
        let to = tiers.first().ok_or_else(|| (self.stays)("no cloud may be used"))?;
        let mut held = Vec::new();
        if let Some((context, state)) = own {
            held.push((context, HeldState::Own(state)));
        }
        let own_id = held.first().map(|(context, _)| context.id().to_owned());
        let deadline = Instant::now() + CALLS_TIMEOUT;
        for context in all.iter().filter(|context| own_id.as_deref() != Some(context.id())) {
            let state = timeout_at(deadline, context.lock()).await.map_err(|_| (self.stays)("a cell runs"))?;
            held.push((context, HeldState::Locked(state)));
        }
        let mut exported = Vec::new();
        for (context, mut state) in held {
            let ahead = export_ahead(self.session, context, &mut state, to).await;
            let ahead = ahead.map_err(|error| (self.stays)(&error.to_string()))?;
            exported.push(HeldContext { context, state, exported: ahead });
        }
        Ok(exported)
    }

    /// Restores a context in a kernel of the next machine; `None`: no cell has run in it, so that its next cell opens one.
    async fn restored(
        &self,
        held: &mut HeldContext<'_>,
        next: &LeasedMachine,
    ) -> Result<Option<Box<dyn switchtower_contract::Kernel>>, Error> {
        // The plan of the running cell opens a kernel only where the context had none.
        let is_running = matches!(held.state, HeldState::Own(_)) && held.state.placement() == ContextPlacement::Remote;
        if held.exported.is_none() && !is_running {
            return Ok(None);
        }
        let tier = self.session.services().tier(next.tier())?;
        let is_online = self.session.network().is_open();
        let destination = MachineDestination { tier, machine: next, files: MachineFiles::Absent, is_online };
        open_restored(self.session, held.context, &mut held.state, held.exported.as_ref(), &destination).await.map(Some)
    }
}
