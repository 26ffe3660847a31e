//! Promotion: the move of a session to a machine of its own, with its contexts and files.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::{Change, Kernel, Language, Machine};
use tokio::sync::MutexGuard;
use tokio::time::{Instant, timeout_at};

use super::context::{Context, ContextState};
use super::files::Files;
use super::history::NotReplayable;
use super::leased_machine::{LeasedMachine, MachineMove};
use super::leasing::lease;
use super::onward::{may_move_on, move_on_for_command};
use super::placement::RemoteKernel;
use super::session::Session;
use super::state_transfer::{
    ExportedState, MachineDestination, MachineFiles, export_ahead, file_corrections, open_restored,
};
use crate::decide::no_language;
use crate::error::Error;
use crate::request::Request;
use crate::route::TierName;
use crate::tier::attempt::Attempt;

/// Longest time that a command, a port or a file waits for a session's machine: the request timeout of E2B's clients.
const PROMOTION_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a move waits for the contexts in which a cell runs: those of cells that wait for the move are free at once.
const CONTEXTS_TIMEOUT: Duration = Duration::from_millis(500);
/// How often another machine is leased after one that turned out to be gone.
const MAX_RETRIES: u32 = 2;

/// A request for a machine, for a cell or a command.
pub(super) struct Promotion<'a> {
    /// Tiers of machines, the preferred one first.
    pub(super) tiers: &'a [TierName],
    pub(super) reason: &'a str,
    /// Whether a cell of the context follows, which needs its kernel.
    pub(super) for_cell: bool,
    pub(super) deadline: Instant,
    pub(super) attempts: &'a mut Vec<Attempt>,
}

/// Whether a context has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContextMove {
    Done,
    /// Another move is in progress, which takes the context along if its state is free: wait for it without the state.
    InProgress,
}

impl Session {
    /// Returns whether it has a machine or can move to one.
    pub fn can_promote(&self) -> bool {
        self.machine().is_some() || self.machine_tiers("").is_ok_and(|tiers| !tiers.is_empty())
    }

    /// Returns what would let it move to a machine; `None` if nothing is known.
    pub fn machine_remedy(&self) -> Option<String> {
        self.services().tiers().remedies(true)
    }

    /// Returns its machine, after moving it to one if it has none. `need` is the reason in words: "a command", "the file
    /// /etc/hosts".
    ///
    /// # Errors
    /// The session does not run, or no machine is available. `NotMovable`: its state cannot be moved.
    pub async fn promote(&self, need: &str) -> Result<Arc<dyn Machine>, Error> {
        self.check_running()?;
        self.lifetime().touch();
        match self.machine() {
            Some(machine) => Ok(machine),
            None => self.promote_to(self.machine_tiers("")?, need).await,
        }
    }

    /// Returns a machine for a command of the shell, as [`promote`](Self::promote) does. A session on a machine of this host
    /// moves on to a cloud if the command needs the internet, and everything of the session can move; otherwise it stays.
    ///
    /// # Errors
    /// As [`promote`](Self::promote).
    pub async fn promote_for_command(&self, line: &str) -> Result<Arc<dyn Machine>, Error> {
        self.check_running()?;
        self.lifetime().touch();
        let tiers = self.machine_tiers(line)?;
        match self.machine() {
            Some(machine) => Ok(move_on_for_command(self, &tiers).await.unwrap_or(machine)),
            None => self.promote_to(tiers, "a command").await,
        }
    }

    async fn promote_to(&self, tiers: Vec<TierName>, need: &str) -> Result<Arc<dyn Machine>, Error> {
        let reason = format!("{need} needs a machine");
        if tiers.is_empty() {
            return Err(no_machine(self, &reason));
        }
        let promoted = async {
            let context = self.contexts().get(None)?;
            let deadline = Instant::now() + PROMOTION_TIMEOUT;
            loop {
                let mut state = tokio::select! {
                    biased;
                    // The running cell has moved the session.
                    () = self.machine_slot().moved() => return self.machine().ok_or_else(|| self.not_running()),
                    state = context.lock() => state,
                };
                let attempts = &mut Vec::new();
                let promotion = Promotion { tiers: &tiers, reason: &reason, for_cell: false, deadline, attempts };
                if move_context(self, &context, &mut state, promotion).await? == ContextMove::Done {
                    return self.machine().ok_or_else(|| self.not_running());
                }
                drop(state);
                self.machine_slot().wait_for_move().await;
            }
        };
        tokio::select! {
            biased;
            promoted = promoted => promoted,
            () = self.lifetime().stopped() => Err(self.not_running()),
        }
    }

    /// Returns the tiers of machines in the route that the rules choose for a command.
    pub(super) fn machine_tiers(&self, line: &str) -> Result<Vec<TierName>, Error> {
        let services = self.services();
        let request = Request::command(self.caller().clone(), services.request_limits.default_timeout, line);
        let decision = services.router.explain(&request).decision?;
        let is_machine = |name: &&TierName| services.tiers().get(name).is_some_and(|tier| tier.offer().machine);
        Ok(decision.route.tiers().filter(is_machine).cloned().collect())
    }
}

/// Returns the error for a session that cannot have a machine.
fn no_machine(session: &Session, reason: &str) -> Error {
    let remedy = session.services().tiers().remedies(true);
    let remedy = remedy.unwrap_or_else(|| "none may be used here".to_owned());
    Error::NoTier { reason: format!("{reason}: {remedy}") }
}

/// Moves a context to the session's machine, after leasing one if the session has none. On an error, nothing has moved.
pub(super) async fn move_context(
    session: &Session,
    context: &Context,
    state: &mut ContextState,
    promotion: Promotion<'_>,
) -> Result<ContextMove, Error> {
    let Promotion { tiers, reason, for_cell, deadline, attempts } = promotion;
    let Some(mut machine_move) = session.machine_slot().try_begin_move() else { return Ok(ContextMove::InProgress) };
    if let Some(machine) = machine_move.existing() {
        return move_to_existing(session, context, state, machine).await.map(|()| ContextMove::Done);
    }
    let needed = needed_languages(session, context, state, for_cell);
    let tiers = &tiers_with(session, tiers, &needed)?;
    // A state that cannot move is found before a machine is leased.
    let exported = match available(session, tiers) {
        Some(tier) => export_ahead(session, context, state, tier).await?,
        None => None,
    };
    let mut retries = MAX_RETRIES;
    loop {
        let promotion = Promotion { tiers, reason, for_cell, deadline, attempts: &mut *attempts };
        match move_session(session, context, state, exported.as_ref(), promotion, &mut machine_move).await {
            Ok(()) => return Ok(ContextMove::Done),
            // A prewarmed machine may turn out to be gone; another one may work.
            Err(Error::Unavailable { .. }) if retries > 0 && Instant::now() < deadline => retries -= 1,
            Err(error) => return Err(error),
        }
    }
}

/// Returns the languages that a machine of the session must have: those of the contexts with a state, which moves with them.
fn needed_languages(session: &Session, own: &Context, state: &ContextState, for_cell: bool) -> BTreeSet<Language> {
    let others = session.contexts().all();
    let others = others.iter().filter(|other| other.id() != own.id());
    // In one whose state is in use, a cell runs.
    let others = others.filter(|other| other.try_lock().map_or(true, |state| !state.history().is_empty()));
    let others = others.map(|other| other.language());
    others.chain((for_cell || !state.history().is_empty()).then(|| own.language())).collect()
}

/// Returns those of these tiers whose machines have kernels for the languages.
///
/// # Errors
/// None has. Its contexts would be lost there, so the session stays where it is.
fn tiers_with(session: &Session, tiers: &[TierName], needed: &BTreeSet<Language>) -> Result<Vec<TierName>, Error> {
    let lacks = |name: &TierName| {
        let offer = session.services().tiers().get(name)?.offer();
        needed.iter().find(|language| !offer.languages.has(**language)).copied()
    };
    let having: Vec<_> = tiers.iter().filter(|name| lacks(name).is_none()).cloned().collect();
    match tiers.first().and_then(|first| Some((first, lacks(first)?))) {
        Some((first, language)) if having.is_empty() => Err(without_language(first, language)),
        _ => Ok(having),
    }
}

/// Returns the error of a context in a language that machines of this tier do not have.
fn without_language(tier: &TierName, language: Language) -> Error {
    let remedy = no_language::remedy(language, tier).map(|remedy| format!(": {remedy}")).unwrap_or_default();
    let reason = format!("the session has cells in {language}, which machines of {tier} do not run{remedy}");
    Error::NotMovable { reason }
}

/// Returns the first of these tiers from which a machine may be leased now.
fn available<'a>(session: &Session, tiers: &'a [TierName]) -> Option<&'a TierName> {
    let tier = |name: &&TierName| session.services().tiers().get(name).is_some_and(|tier| tier.status().up);
    tiers.iter().find(tier)
}

/// Moves the session: this context, the contexts in which no cell runs, and the files.
async fn move_session(
    session: &Session,
    context: &Context,
    state: &mut ContextState,
    exported: Option<&ExportedState>,
    promotion: Promotion<'_>,
    machine_move: &mut MachineMove<'_>,
) -> Result<(), Error> {
    let (reason, for_cell) = (promotion.reason, promotion.for_cell);
    let none = no_machine(session, reason);
    let Promotion { tiers, deadline, attempts, .. } = promotion;
    let machine = Arc::new(lease(session, tiers, deadline, attempts, none).await?);
    let tier = session.services().tier(machine.tier())?;
    let destination = MachineDestination {
        tier,
        machine: &machine,
        files: MachineFiles::Absent,
        is_online: session.network().is_open(),
    };
    // A context in which nothing has run gets its kernel with its first cell.
    let kernel = match (exported, state.history().is_empty()) {
        (None, true) if !for_cell => None,
        _ => Some(open_restored(session, context, state, exported, &destination).await?),
    };
    let others: Vec<_> = session.contexts().all().into_iter().filter(|other| other.id() != context.id()).collect();
    let mut touched = state.history().touched_paths().clone();
    let others = restore_idle(session, &others, &destination, &mut touched).await;

    // From here on, nothing can change the local files.
    let (files, closed) = ClosedFiles::close(session.files());
    let applied = machine.apply(&file_corrections(&touched, files)).await;
    applied.map_err(|fault| Error::from_fault(tier.name(), &fault))?;
    let mut without_metadata = 0_usize;
    for (path, content, metadata) in session.files().with_metadata() {
        let is_kept = machine.machine().write_with(&path, content, &metadata).await;
        without_metadata += usize::from(!is_kept.map_err(|fault| Error::from_fault(tier.name(), &fault))?);
    }
    closed.hand_over();
    if without_metadata > 0 {
        let (session, tier) = (session.id(), tier.name().as_str());
        tracing::warn!(
            session,
            tier,
            files = without_metadata,
            "the machine keeps no metadata of files: theirs is lost"
        );
    }

    // Everything is on the machine now. Nothing is awaited from here on, so the move cannot be interrupted halfway.
    tracing::info!(session = session.id(), tier = tier.name().as_str(), reason, "a session moved to a machine");
    let _none = machine_move.complete(Arc::clone(&machine));
    let is_recorded = may_move_on(tier);
    session.files().drop_contents();
    if let Some(kernel) = kernel {
        state.place_remotely(RemoteKernel { kernel, is_recorded });
    }
    for mut other in others {
        other.state.place_remotely(RemoteKernel { kernel: other.kernel, is_recorded });
    }
    Ok(())
}

/// Moves a context to the machine that the session has already. The files there may have changed since, so a context whose
/// cells wrote files cannot move, and files that its cells were given must exist there unchanged.
async fn move_to_existing(
    session: &Session,
    context: &Context,
    state: &mut ContextState,
    machine: &LeasedMachine,
) -> Result<(), Error> {
    if let Some(cell) = state.history().first_write() {
        let why = NotReplayable::new(cell, "it wrote files, and those have changed on the machine since");
        let reason = format!("the context cannot move to {}: {why}", machine.tier());
        return Err(Error::NotMovable { reason });
    }
    let tier = session.services().tier(machine.tier())?;
    if !tier.offer().languages.has(context.language()) {
        return Err(without_language(tier.name(), context.language()));
    }
    let destination =
        MachineDestination { tier, machine, files: MachineFiles::InUse, is_online: session.network().is_open() };
    let kernel = open_restored(session, context, state, None, &destination).await?;
    state.place_remotely(RemoteKernel { kernel, is_recorded: may_move_on(tier) });
    Ok(())
}

/// A context whose state has been restored in a kernel of the machine.
struct RestoredContext<'a> {
    state: MutexGuard<'a, ContextState>,
    kernel: Box<dyn Kernel>,
}

/// Restores the contexts in which no cell runs; the others move with their next cells. Adds the paths that their cells touch
/// to `touched`.
async fn restore_idle<'a>(
    session: &Session,
    contexts: &'a [Arc<Context>],
    destination: &MachineDestination<'_>,
    touched: &mut BTreeSet<String>,
) -> Vec<RestoredContext<'a>> {
    let mut restored = Vec::new();
    let deadline = Instant::now() + CONTEXTS_TIMEOUT;
    for context in contexts {
        let Ok(mut state) = timeout_at(deadline, context.lock()).await else { continue };
        if state.history().is_empty() {
            continue;
        }
        // Added before the restore: if it fails, some cells may have run there.
        touched.extend(state.history().touched_paths().iter().cloned());
        match open_restored(session, context, &mut state, None, destination).await {
            Ok(kernel) => restored.push(RestoredContext { state, kernel }),
            Err(error) => {
                tracing::info!(session = session.id(), context = context.id(), %error, "a context cannot move yet");
            }
        }
    }
    restored
}

/// The files of a session, closed for its move. Dropping this before [`hand_over`](Self::hand_over) opens them again.
struct ClosedFiles<'a>(Option<&'a Files>);

impl<'a> ClosedFiles<'a> {
    /// Closes the files, and returns them.
    fn close(files: &'a Files) -> (Vec<Change>, Self) {
        (files.close(), Self(Some(files)))
    }

    /// Leaves the files closed, because the machine has them.
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
