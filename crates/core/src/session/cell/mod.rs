//! The execution of a cell: quota, the context's lock, decision, plan, steps, record.
//!
//! [`plan`](plan::plan) decides the steps; [`CellRun`] takes them.

mod kernel;
mod local;
mod notebook_magics;
mod plan;
mod remote;
mod steps;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use switchtower_contract::{Cell, Effects, Events, File, Language, Location, Program, rounded};
use tokio::sync::{MutexGuard, mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::context::{Context, ContextState};
use super::messages::{CellAnswer, CellEvent, ExecuteCell};
use super::onward::turn_to_move_on;
use super::pip;
use super::session::Session;
use crate::cache::CacheStatus;
use crate::decide::Decision;
use crate::error::{Error, RequestError};
use crate::record::OpenRecord;
use crate::request::{CacheMode, Invalid, Request, RequestKind};
use crate::tier::{DEADLINE_GRACE, Relay};
use steps::{CellEnd, CellRun};

/// A cell that the quota has admitted.
struct Admitted<'a> {
    cell: ExecuteCell,
    /// What the client sent, where pip was answered in it.
    sent: Option<String>,
    request: &'a Request,
    events: &'a mpsc::Sender<CellEvent>,
    /// Changes when its context is restarted or closed.
    interrupts: watch::Receiver<()>,
    deadline: Instant,
    /// Its turn to move the session on to another machine, if it is to.
    onward: Option<MutexGuard<'a, ()>>,
}

impl Session {
    /// Runs a cell after the earlier cells of its context. `events` gets `Started`, then the output. Dropping the future ends
    /// the cell.
    ///
    /// # Errors
    /// Before `Started`: nothing ran. After it: the cell did not reach its end.
    pub async fn execute(
        &self,
        cell: ExecuteCell,
        events: &mpsc::Sender<CellEvent>,
    ) -> Result<CellAnswer, RequestError> {
        self.check_running()?;
        self.lifetime().touch();
        let answer = tokio::select! {
            biased;
            answer = run_and_record(self, cell, events) => answer,
            () = self.lifetime().stopped() => Err(self.not_running().into()),
        };
        self.lifetime().touch();
        answer
    }
}

async fn run_and_record(
    session: &Session,
    cell: ExecuteCell,
    events: &mpsc::Sender<CellEvent>,
) -> Result<CellAnswer, RequestError> {
    let router = &session.services().router;
    // A language that no tier has is refused before the cell counts.
    let context = session.context_of(&cell)?;
    router.admit(session.caller())?;
    let WithAnswersOfPip { cell, sent, request } = with_answers_of_pip(session, &context, cell)?;
    let deadline = Instant::now() + request.timeout;
    let mut record = router.open(&request);
    let admitted =
        Admitted { cell, sent, request: &request, events, interrupts: context.interrupts(), deadline, onward: None };
    let turn = async {
        let _turn = context.turn().await;
        let onward = turn_to_move_on(session, &request).await;
        let mut admitted = Admitted { onward, ..admitted };
        let mut number = None;
        loop {
            let mut state = context.lock().await;
            context.touch();
            let ran = run_locked(session, &context, &mut state, &mut admitted, &mut number, &mut record).await?;
            drop(state);
            match ran {
                Some(answer) => return Ok(answer),
                None => session.machine_slot().wait_for_move().await,
            }
        }
    };
    // The kernel limits the time of a running cell. This limits everything before it: waiting for the context, a slot, a
    // kernel, a machine, the transfer of the state.
    let answer = timeout_at(deadline + DEADLINE_GRACE, turn).await.unwrap_or_else(|_| Err(timed_out(&request)));
    context.touch();
    match answer {
        Ok(answer) => {
            let pure = answer.outcome.observed.is_some_and(Effects::is_empty);
            record.answered(&answer.tier, &answer.outcome, CacheStatus::Bypass, pure);
            Ok(answer)
        }
        Err(error) => Err(record.refused(error)),
    }
}

/// Decides where a cell runs, and runs it. `state` is the locked state of its context; `number`: its number, once it has one. `None`: it
/// has not run, because the session is moving for another context.
async fn run_locked(
    session: &Session,
    context: &Context,
    state: &mut ContextState,
    admitted: &mut Admitted<'_>,
    number: &mut Option<u32>,
    record: &mut OpenRecord<'_>,
) -> Result<Option<CellAnswer>, Error> {
    let Admitted { sent, request, events, interrupts, deadline, .. } = admitted;
    let (sent, request, events, interrupts, deadline) =
        (sent.clone(), *request, *events, interrupts.clone(), *deadline);
    let ExecuteCell { source, env, stdin, .. } = admitted.cell.clone();
    let onward = admitted.onward.take();
    session.services().tiers().wait_for_offers(request, deadline).await?;
    let decision = session.services().router.explain(request).decision?;
    record.decided(Arc::clone(&decision));
    let number = match *number {
        Some(number) => number,
        None => {
            let started = *number.insert(state.start_cell(&source));
            // Nobody receives it if the client has left; then this future is dropped soon.
            let _ = events.send(CellEvent::Started { number: started }).await;
            started
        }
    };
    let cell = Cell { source, number, env, stdin, ..Cell::default() };

    let id = record.id().to_owned();
    let (output, mut outputs) = Events::channel();
    let mut relay = Relay::new(Some(output));
    let is_remote = AtomicBool::new(false);
    let run = async {
        let mut run = CellRun {
            session,
            context,
            state,
            request,
            cell,
            sent,
            deadline,
            relay: &mut relay,
            attempts: &mut record.attempts,
            is_remote: &is_remote,
            interrupts,
            onward,
        };
        let end = run.run(&decision).await;
        drop(run);
        if matches!(end, Ok(Some(_))) {
            relay.finish();
        }
        relay.deliver().await;
        drop(relay);
        end
    };
    let forward = async {
        while let Some(event) = outputs.recv().await {
            let remote = is_remote.load(Ordering::Relaxed);
            let _ = events.send(CellEvent::Output { event, remote }).await;
        }
    };
    let (end, ()) = tokio::join!(run, forward);
    Ok(end?.map(|end| answer(session, request, decision, id, number, end)))
}

fn answer(
    session: &Session,
    request: &Request,
    decision: Arc<Decision>,
    id: String,
    number: u32,
    end: CellEnd,
) -> CellAnswer {
    let CellEnd { outcome, tier, moved, restarted, note } = end;
    let tiers = session.services().tiers();
    // No other tier has more than a cloud, so there is nothing to recommend.
    let is_cloud = tiers.get(&tier).is_some_and(|tier| tier.offer().location == Location::Remote);
    let unmet_need = outcome.harmful_need().filter(|_| !is_cloud);
    let note = note.or_else(|| unmet_need.map(|need| tiers.note(need, request, &tier)));
    CellAnswer { id, number, outcome, tier, decision, moved, note, restarted }
}

fn timed_out(request: &Request) -> Error {
    let timeout = rounded(request.timeout);
    Error::TimedOut { reason: format!("after {timeout}: the cell had not ended, including all waits before it") }
}

/// Longest file of requirements that is read for an answer of pip.
const MAX_REQUIREMENTS_BYTES: usize = 64 << 10;

/// A cell and its request.
struct WithAnswersOfPip {
    cell: ExecuteCell,
    /// What the client sent, where pip was answered in it.
    sent: Option<String>,
    request: Request,
}

/// Returns the cell and its request. Commands for pip are replaced by their output where the local tiers have the packages, unless
/// the cell goes to a machine, which has a pip of its own.
fn with_answers_of_pip(session: &Session, context: &Context, cell: ExecuteCell) -> Result<WithAnswersOfPip, Error> {
    let language = context.language();
    let as_sent = |cell| {
        let request = request(session, language, &cell)?;
        Ok(WithAnswersOfPip { cell, sent: None, request })
    };
    let Some(source) = answered_source(session, context, &cell.source) else { return as_sent(cell) };
    let answered = ExecuteCell { source, ..cell.clone() };
    // The answers may make it too long.
    let Ok(request) = request(session, language, &answered) else { return as_sent(cell) };
    let decision = session.services().router.explain(&request).decision;
    let first = decision.ok().and_then(|decision| decision.route.tiers().next().cloned());
    let first = first.and_then(|tier| session.services().tiers().get(&tier));
    if first.is_some_and(|tier| tier.offer().machine) && session.can_promote() {
        return as_sent(cell);
    }
    Ok(WithAnswersOfPip { cell: answered, sent: Some(cell.source), request })
}

fn answered_source(session: &Session, context: &Context, source: &str) -> Option<String> {
    if !pip::may_be_asked(source) || context.language() != Language::Python || session.machine().is_some() {
        return None;
    }
    let tiers = session.services().tiers();
    let mut packages = pip::Packages::default();
    for tier in tiers.iter().filter(|tier| tier.kernels().is_some()) {
        packages.add_tier(!tier.offer().replayable, tier.packages());
    }
    let remedy = |package: &str| tiers.package_remedy(package);
    let read = |path: &str| {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", context.folder()) };
        let content = session.files().read(&path).ok()?;
        if content.len() > MAX_REQUIREMENTS_BYTES {
            return None;
        }
        String::from_utf8(content.to_vec()).ok()
    };
    let around =
        pip::Surroundings { packages: &packages, machine: session.can_promote(), remedy: &remedy, read: &read };
    pip::rewrite(source, &around)
}

/// Returns the request of a cell, for quota, analysis, rules and records. It has the names of the session's files, without
/// contents.
fn request(session: &Session, language: Language, cell: &ExecuteCell) -> Result<Request, Error> {
    let services = session.services();
    let source = match language {
        Language::Python => notebook_magics::without_local_magics(&cell.source),
        _ => cell.source.clone(),
    };
    let mut program = Program::new(language, source);
    program.stdin.clone_from(&cell.stdin);
    program.env = Some(cell.env.clone());
    let mut request = Request::new(program, &services.request_limits)?;
    request.kind = RequestKind::Cell;
    request.caller = session.caller().clone();
    request.cache = CacheMode::Bypass;
    let max = services.config.cell_timeout;
    request.timeout = cell.timeout.unwrap_or(max);
    if request.timeout.is_zero() || request.timeout > max {
        return Err(Invalid::new("timeout", format!("between 1ms and {}", rounded(max))).into());
    }
    let files = session.files().paths().into_iter().map(|path| File { path, content: Vec::new() });
    request.program.files = files.collect();
    Ok(request)
}
