//! Promotion: the move of a session to a machine of its own, with its contexts and its files.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::{Change, Kernel, Machine};
use tokio::sync::MutexGuard;
use tokio::time::Instant;

use super::context::{Context, ContextState};
use super::files::Files;
use super::history::NotReplayable;
use super::leased_machine::{LeasedMachine, MachineMove};
use super::session::Session;
use super::state_transfer::{Destination, MachineDestination, MachineFiles, file_corrections, transfer};
use crate::error::Error;
use crate::request::{Priority, Request};
use crate::route::TierName;
use crate::tier::attempt::Attempt;

/// Longest that a command, a port or a file waits for a session's first machine, which is how long E2B's clients wait for a
/// call.
const PROMOTION_TIMEOUT: Duration = Duration::from_secs(60);
/// Machines that are leased after the first, where one turns out to be gone.
const MAX_RETRIES: u32 = 2;

/// A request for a machine, on behalf of a cell or a command.
pub(super) struct Promotion<'a> {
    /// Tiers of machines, the preferred one first.
    pub(super) tiers: &'a [TierName],
    pub(super) reason: &'a str,
    pub(super) deadline: Instant,
    pub(super) attempts: &'a mut Vec<Attempt>,
}

impl Session {
    /// Returns whether it has a machine, or could be given one.
    pub fn can_promote(&self) -> bool {
        self.machine().is_some() || !self.options().offline && self.machine_tiers().is_ok_and(|tiers| !tiers.is_empty())
    }

    /// Moves it to a machine for `need` ("a command", "the file /etc/hosts"). Returns the machine that it has, where it has
    /// one.
    ///
    /// # Errors
    /// No machine is available, or the session's state cannot be moved.
    pub async fn promote(&self, need: &str) -> Result<Arc<dyn Machine>, Error> {
        self.check_running()?;
        self.touch();
        if let Some(machine) = self.machine() {
            return Ok(machine);
        }
        let (tiers, reason) = (self.machine_tiers()?, format!("{need} needs a cloud sandbox"));
        if tiers.is_empty() {
            return Err(no_machine(self, &reason));
        }
        let promoted = async {
            let context = self.context(None)?;
            let mut state = tokio::select! {
                biased;
                // The cell whose turn it is has moved the session.
                () = self.machine_slot().arrived() => return self.machine().ok_or_else(|| self.gone()),
                state = context.lock() => state,
            };
            let deadline = Instant::now() + PROMOTION_TIMEOUT;
            let promotion = Promotion { tiers: &tiers, reason: &reason, deadline, attempts: &mut Vec::new() };
            move_context(self, &context, &mut state, promotion).await?;
            self.machine().ok_or_else(|| self.gone())
        };
        tokio::select! {
            biased;
            promoted = promoted => promoted,
            () = self.stopped() => Err(self.gone()),
        }
    }

    /// Returns the tiers of machines that the rules send a command to.
    fn machine_tiers(&self) -> Result<Vec<TierName>, Error> {
        if self.options().offline {
            return Ok(Vec::new());
        }
        let services = self.services();
        let request = Request::command(self.caller().clone(), services.request_limits.default_timeout);
        let decision = services.router.explain(&request).decision?;
        let is_machine = |name: &&TierName| services.tiers().get(name).is_some_and(|tier| tier.offer().machine);
        Ok(decision.route.tiers().filter(is_machine).cloned().collect())
    }
}

/// Returns the refusal where a session has no machine and may not have one.
fn no_machine(session: &Session, reason: &str) -> Error {
    if session.options().offline {
        return Error::NoTier { reason: format!("{reason}, but this session was created without the internet") };
    }
    let remedy = session.services().tiers().remedies(true);
    let remedy = remedy.unwrap_or_else(|| "none may be used here".to_owned());
    Error::NoTier { reason: format!("{reason}: {remedy}") }
}

/// Moves a context to the session's machine, which is leased where the session has none. On an error, everything stays where
/// it is.
pub(super) async fn move_context(
    session: &Session,
    context: &Context,
    state: &mut ContextState,
    promotion: Promotion<'_>,
) -> Result<(), Error> {
    let Promotion { tiers, reason, deadline, attempts } = promotion;
    let mut machine_move = session.machine_slot().begin_move().await;
    if let Some(machine) = machine_move.earlier() {
        return follow(session, context, state, machine).await;
    }
    let mut retries = MAX_RETRIES;
    loop {
        let promotion = Promotion { tiers, reason, deadline, attempts: &mut *attempts };
        match move_session(session, context, state, promotion, &mut machine_move).await {
            Ok(()) => return Ok(()),
            // A prewarmed machine may turn out to be gone: there are others.
            Err(Error::Unavailable { .. }) if retries > 0 && Instant::now() < deadline => retries -= 1,
            Err(error) => return Err(error),
        }
    }
}

/// Moves the session: this context, those in which no cell runs, and the files.
async fn move_session(
    session: &Session,
    context: &Context,
    state: &mut ContextState,
    promotion: Promotion<'_>,
    machine_move: &mut MachineMove<'_>,
) -> Result<(), Error> {
    let reason = promotion.reason;
    let machine = Arc::new(lease(session, promotion).await?);
    let tier = session.services().tier(machine.tier())?;
    let destination = MachineDestination { tier, machine: &machine, files: MachineFiles::Absent };
    let kernel = open_restored(session, context, state, &destination).await?;
    let others: Vec<_> = session.all_contexts().into_iter().filter(|other| other.id() != context.id()).collect();
    let mut touched = state.history().touched_paths().clone();
    let others = restore_idle(session, &others, &destination, &mut touched).await;

    // From here on nothing writes to the local files.
    let (files, closed) = ClosedFiles::close(session.files());
    let applied = machine.apply(&file_corrections(&touched, files)).await;
    applied.map_err(|fault| Error::from_fault(tier.name(), &fault))?;
    closed.hand_over();

    // All of it is on the machine now. Nothing is awaited from here on, so no part of it can be left out.
    tracing::info!(session = session.id(), tier = tier.name().as_str(), reason, "a session moved to a machine");
    machine_move.complete(Arc::clone(&machine));
    session.files().drop_contents();
    state.place_remotely(kernel);
    for mut other in others {
        other.state.place_remotely(other.kernel);
    }
    Ok(())
}

/// Moves a context to the machine that others have moved to before. The files there have changed meanwhile: cells that wrote
/// files are not run again, and the files that cells were given must be there as they were.
async fn follow(
    session: &Session,
    context: &Context,
    state: &mut ContextState,
    machine: &LeasedMachine,
) -> Result<(), Error> {
    if let Some(cell) = state.history().first_write() {
        let why = NotReplayable::new(cell, "it wrote files, and those have changed on the machine since");
        let reason = format!("the context cannot follow to {}: {why}", machine.tier());
        return Err(Error::NotMovable { reason });
    }
    let tier = session.services().tier(machine.tier())?;
    let destination = MachineDestination { tier, machine, files: MachineFiles::InUse };
    let kernel = open_restored(session, context, state, &destination).await?;
    state.place_remotely(kernel);
    Ok(())
}

/// Returns a kernel of the machine with a context's state. One in which the state was not restored as a whole is closed.
async fn open_restored(
    session: &Session,
    context: &Context,
    state: &mut ContextState,
    destination: &MachineDestination<'_>,
) -> Result<Box<dyn Kernel>, Error> {
    let opened = destination.machine.open_kernel(&session.kernel_options(context)).await;
    let mut kernel = opened.map_err(|fault| Error::from_fault(destination.tier.name(), &fault))?;
    match transfer(session, context, state, &Destination::Machine(destination), &mut kernel).await {
        Ok(()) => Ok(kernel),
        Err(error) => {
            drop(kernel.close().await);
            Err(error)
        }
    }
}

/// A context whose state is in a kernel of the machine as well.
struct RestoredContext<'a> {
    state: MutexGuard<'a, ContextState>,
    kernel: Box<dyn Kernel>,
}

/// Restores those contexts in which no cell runs; the others follow with their next cells. `touched` gets the paths that
/// their cells touch.
async fn restore_idle<'a>(
    session: &Session,
    contexts: &'a [Arc<Context>],
    destination: &MachineDestination<'_>,
    touched: &mut BTreeSet<String>,
) -> Vec<RestoredContext<'a>> {
    let mut restored = Vec::new();
    for context in contexts {
        let Ok(mut state) = context.try_lock() else { continue };
        if state.history().is_empty() {
            continue;
        }
        // Where the restore fails, cells may have run there all the same.
        touched.extend(state.history().touched_paths().iter().cloned());
        match open_restored(session, context, &mut state, destination).await {
            Ok(kernel) => restored.push(RestoredContext { state, kernel }),
            Err(error) => {
                tracing::info!(session = session.id(), context = context.id(), %error, "a context cannot move yet");
            }
        }
    }
    restored
}

/// Leases a machine from the first of these tiers that has one.
async fn lease(session: &Session, promotion: Promotion<'_>) -> Result<LeasedMachine, Error> {
    let Promotion { tiers, reason, deadline, attempts } = promotion;
    let mut error = no_machine(session, reason);
    for name in tiers {
        let tier = session.services().tier(name)?;
        let mut lease = match tier.lease_machine(session.caller(), Priority::Normal, deadline, attempts).await {
            Ok(lease) => lease,
            Err(refused) => {
                error = refused.into();
                if Instant::now() >= deadline {
                    break;
                }
                continue;
            }
        };
        if let Some(machine) = lease.sandbox().machine() {
            return Ok(LeasedMachine::new(name.clone(), lease, machine));
        }
    }
    Err(error)
}

/// The files of a session that are closed for its move. They open again when this is dropped before the machine has them.
struct ClosedFiles<'a>(Option<&'a Files>);

impl<'a> ClosedFiles<'a> {
    /// Closes the files, and returns what they are.
    fn close(files: &'a Files) -> (Vec<Change>, Self) {
        (files.close(), Self(Some(files)))
    }

    /// Leaves them closed: the machine has them.
    fn hand_over(mut self) {
        self.0 = None;
    }
}

impl Drop for ClosedFiles<'_> {
    fn drop(&mut self) {
        if let Some(files) = self.0 {
            files.reopen();
        }
    }
}
