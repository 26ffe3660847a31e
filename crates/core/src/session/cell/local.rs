//! The run of a cell in a local kernel.

use std::time::Duration;

use switchtower_contract::{
    CellOutcome, Change, Escalation, Event, Exit, Failure, Fault, Kernel, Limits, Need, Outcome, rounded,
};

use super::super::files::{FileError, Revision, Writer};
use super::super::kernel_permits::KernelPermit;
use super::super::local_kernel::KernelUnavailable;
use super::super::placement::Rebuild;
use super::super::session::Session;
use super::kernel::{ReadyKernel, RunningKernel, ready_kernel};
use super::plan::LocalLeg;
use super::steps::{CellRun, ended, kernel_gone_note};
use crate::error::Error;
use crate::tier::attempt::AttemptRecorder;
use crate::tier::{Relay, StartWaitError, Tier, overloaded};

/// The outcome of a cell in a local tier.
pub(super) enum LocalOutcome {
    Ran {
        outcome: Outcome,
        /// Whether the kernel ended with the cell; its state is lost then.
        restarted: bool,
        note: Option<String>,
    },
    /// The cell needs something that this tier does not provide. Its context is unchanged.
    Unsupported(Need),
    /// The cell cannot start here. Its context is unchanged.
    Refused(Error),
}

/// The conditions under which a cell runs in a local tier.
struct RunConditions {
    limits: Limits,
    /// How long the output is held back because the cell may move to another tier.
    output_delay: Duration,
    /// The timeout of the whole request.
    timeout: Duration,
    rebuild: Rebuild,
    /// Whether the context's state is in this tier and cannot be rebuilt. Then the cell never moves to another tier after it
    /// has started, because its effects on the state cannot be undone.
    bound: bool,
}

impl CellRun<'_> {
    /// Runs the cell in a kernel of a local tier.
    ///
    /// # Errors
    /// The cell did not reach its end, and would not in another tier either.
    pub(super) async fn run_local(&mut self, leg: &LocalLeg) -> Result<LocalOutcome, Error> {
        let services = self.session.services();
        let tier = services.tier(&leg.tier)?;
        let conditions = self.conditions(tier, leg);
        tier.wait_until_started(self.deadline).await.map_err(|error| match error {
            StartWaitError::DeadlinePassed => {
                let after = rounded(self.request.timeout);
                let reason = format!("after {after} while waiting for tier {}: it is still starting", tier.name());
                Error::TimedOut { reason }
            }
            StartWaitError::Refused(refusal) => overloaded(tier.name(), refusal).into(),
        })?;
        let slot = services.queue(tier).slot(&self.request.caller.user, self.request.priority).await;
        let _slot = slot.map_err(|refusal| Error::from(overloaded(tier.name(), refusal)))?;
        // A kernel that turns out to be lost is rebuilt once.
        let mut retry = CellRetry::Once;
        loop {
            if let Some(outcome) = self.try_local(tier, &conditions, retry).await? {
                return Ok(outcome);
            }
            retry = CellRetry::Never;
        }
    }

    fn conditions(&self, tier: &Tier, leg: &LocalLeg) -> RunConditions {
        let rebuild = Rebuild::of(tier);
        let bound = rebuild == Rebuild::Never && self.state.is_placed_in(tier.name());
        let budget = leg.budget.filter(|_| !bound);
        let escalation = if budget.is_some() { Escalation::OnNeed } else { Escalation::Never };
        let timeout = self.request.timeout;
        let limits = Limits {
            wall: timeout.min(budget.unwrap_or(timeout)),
            memory: tier.memory(self.request.memory),
            output: self.session.services().config.max_output,
            escalation,
        };
        let output_delay = if budget.is_some() { tier.config().output_delay } else { Duration::ZERO };
        RunConditions { limits, output_delay, timeout, rebuild, bound }
    }

    /// `None`: the kernel was lost, and the cell may be tried again.
    async fn try_local(
        &mut self,
        tier: &Tier,
        conditions: &RunConditions,
        retry: CellRetry,
    ) -> Result<Option<LocalOutcome>, Error> {
        let mut attempt = AttemptRecorder::new(tier.name(), &mut *self.attempts);
        let ready = match ready_kernel(self.session, tier, self.context, self.state).await {
            Ok(ready) => ready,
            Err(unavailable) => {
                let (name, detail) = recorded(&unavailable);
                attempt.finish(name, Some(detail));
                return self.without_kernel(tier, conditions, unavailable).map(Some);
            }
        };
        let ReadyKernel { kernel, permit, changes, recorded_changes, revision } = ready;
        self.cell.changes = changes;
        attempt.start();
        if conditions.bound {
            self.state.history_mut().begin(&self.cell, self.sent.as_deref());
        }
        let mut running = RunningKernel::new(kernel, tier.name(), self.state);
        let ran = running.run(&self.cell, &conditions.limits, conditions.output_delay, self.relay).await;
        let result = classify(ran, conditions, retry);
        let (name, detail) = result.recorded();
        let wall = attempt.finish(name, detail);
        let kernel = match &result {
            RunResult::NotStarted(_) => {
                running.put_back();
                self.state.history_mut().cancel();
                None
            }
            _ => running.take(),
        };
        if let RunResult::Ended(ran) = result {
            if let Some(changes) = recorded_changes {
                self.cell.changes = changes;
            }
            let alive = kernel.filter(|_| ran.alive).map(|kernel| LiveKernel { kernel, permit, revision });
            return self.finish(tier, conditions, alive, ran).await.map(Some);
        }
        if kernel.is_some() {
            self.state.record_kernel_lost();
        }
        drop(kernel);
        self.relay.discard_attempt();
        self.not_ended(tier, conditions, result, wall)
    }

    /// Returns the outcome of a cell for which there is no kernel.
    fn without_kernel(
        &mut self,
        tier: &Tier,
        conditions: &RunConditions,
        why: KernelUnavailable,
    ) -> Result<LocalOutcome, Error> {
        match why {
            KernelUnavailable::NotReplayable(why) => {
                // Reported once: the next cell starts with an empty context.
                self.state.restart();
                if conditions.bound {
                    return Ok(died("a cell in it was interrupted", Duration::ZERO));
                }
                Err(Error::NotMovable { reason: format!("{why}; the context starts anew") })
            }
            KernelUnavailable::Fault(fault) => Err(Error::from_fault(tier.name(), &fault)),
            KernelUnavailable::Refused(error) => Ok(LocalOutcome::Refused(error)),
        }
    }

    /// Records a cell that reached its end. `kernel`: `None` if the kernel ended with the cell.
    async fn finish(
        &mut self,
        tier: &Tier,
        conditions: &RunConditions,
        kernel: Option<LiveKernel>,
        ran: CellOutcome,
    ) -> Result<LocalOutcome, Error> {
        let mut outcome = ran.outcome.clone();
        let Some(LiveKernel { kernel, permit, revision }) = kernel else {
            self.state.record_kernel_lost();
            // After a timeout, the history can rebuild the state before the cell, so the context is not restarted.
            let restarted = conditions.bound || outcome.exit != Exit::TimedOut;
            if restarted {
                self.state.restart();
            }
            return Ok(LocalOutcome::Ran { outcome, restarted, note: None });
        };
        self.state.history_mut().record(std::mem::take(&mut self.cell), self.sent.take(), &ran);
        self.state.place_locally(tier.name(), kernel, permit, revision, outcome.usage.memory);
        let not_kept = apply_files(self.session, ran.changes, self.context.writer()).await?;
        let note = not_kept.and_then(|why| report_no_space(&mut outcome, self.relay, why));
        Ok(LocalOutcome::Ran { outcome, restarted: false, note })
    }

    /// Returns the outcome of a cell that did not reach its end. `None`: it may be tried again.
    fn not_ended(
        &mut self,
        tier: &Tier,
        conditions: &RunConditions,
        result: RunResult,
        wall: Duration,
    ) -> Result<Option<LocalOutcome>, Error> {
        let error = |fault: &Fault| Error::from_fault(tier.name(), fault);
        match result {
            RunResult::Ended(_) | RunResult::Retry(_) => Ok(None),
            RunResult::OutOfTime(_) => {
                let outcome = ended(Exit::TimedOut, conditions.limits.wall);
                Ok(Some(LocalOutcome::Ran { outcome, restarted: false, note: None }))
            }
            RunResult::MoveOn(need) => Ok(Some(LocalOutcome::Unsupported(need))),
            RunResult::KernelDied(fault) => {
                // Its state is lost with it, as when the kernel of a notebook dies.
                self.state.restart();
                Ok(Some(died(&fault.detail(), wall)))
            }
            RunResult::NotStarted(fault) if conditions.bound => Err(error(&fault)),
            RunResult::NotStarted(fault) | RunResult::Failed(fault) => match conditions.rebuild {
                Rebuild::ByReplay => Err(error(&fault)),
                Rebuild::Never => Ok(Some(LocalOutcome::Refused(error(&fault)))),
            },
        }
    }
}

/// A kernel that is alive after its cell; its context is placed in it.
struct LiveKernel {
    kernel: Box<dyn Kernel>,
    permit: Option<KernelPermit>,
    revision: Revision,
}

/// Whether a lost kernel is rebuilt to run the cell again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CellRetry {
    Once,
    Never,
}

/// The result of a run in a local kernel, and what follows from it.
#[derive(Debug)]
enum RunResult {
    /// The cell reached its end.
    Ended(CellOutcome),
    /// The cell needs something that this tier does not provide, or more time than its budget here.
    MoveOn(Need),
    /// The cell needs more time than the whole request has.
    OutOfTime(Need),
    /// The kernel refused the cell before it started.
    NotStarted(Fault),
    /// The kernel is lost, and its state cannot be rebuilt.
    KernelDied(Fault),
    /// The kernel is lost, and is rebuilt to run the cell again.
    Retry(Fault),
    Failed(Fault),
}

impl RunResult {
    /// Returns the outcome and the detail for the record of the attempt.
    fn recorded(&self) -> (&'static str, Option<String>) {
        match self {
            Self::Ended(ran) => (ran.outcome.exit.name(), ran.outcome.harmful_need().map(Need::to_string)),
            Self::MoveOn(need) | Self::OutOfTime(need) => ("unsupported", Some(need.to_string())),
            Self::NotStarted(fault) | Self::KernelDied(fault) | Self::Retry(fault) | Self::Failed(fault) => {
                (fault.name(), Some(fault.detail()))
            }
        }
    }
}

/// Classifies the result of a run.
fn classify(ran: Result<CellOutcome, Fault>, conditions: &RunConditions, retry: CellRetry) -> RunResult {
    let Limits { wall, memory, escalation, .. } = conditions.limits;
    match ran {
        Ok(ran) if ran.outcome.exit == Exit::OutOfMemory && escalation == Escalation::OnNeed => {
            RunResult::MoveOn(Need::Memory(memory))
        }
        // The cell was interrupted at its budget, and another tier gives it more time.
        Ok(ran) if ran.outcome.exit == Exit::TimedOut && wall < conditions.timeout => {
            RunResult::MoveOn(Need::Time(wall))
        }
        Ok(ran) => RunResult::Ended(ran),
        Err(fault @ Fault::Refused { .. }) => RunResult::NotStarted(fault),
        Err(fault) if conditions.bound => RunResult::KernelDied(fault),
        Err(Fault::Unsupported(need @ Need::Time(_))) if wall >= conditions.timeout => RunResult::OutOfTime(need),
        Err(Fault::Unsupported(need)) => RunResult::MoveOn(need),
        Err(fault @ Fault::Lost { .. }) if retry == CellRetry::Once => RunResult::Retry(fault),
        Err(fault) => RunResult::Failed(fault),
    }
}

fn recorded(unavailable: &KernelUnavailable) -> (&'static str, String) {
    match unavailable {
        KernelUnavailable::NotReplayable(why) => ("not_replayable", why.to_string()),
        KernelUnavailable::Fault(fault) => (fault.name(), fault.detail()),
        KernelUnavailable::Refused(error) => (error.name(), error.to_string()),
    }
}

/// Returns the outcome of a cell whose kernel died and cannot be rebuilt.
fn died(why: &str, wall: Duration) -> LocalOutcome {
    LocalOutcome::Ran { outcome: ended(Exit::Killed, wall), restarted: true, note: Some(kernel_gone_note(why)) }
}

/// Applies a cell's changes to files, locally or on the machine that the session has moved to meanwhile. Returns the reason if
/// they are not kept.
async fn apply_files(session: &Session, changes: Vec<Change>, writer: Writer) -> Result<Option<String>, Error> {
    if changes.is_empty() {
        return Ok(None);
    }
    let not_kept = |refused: FileError| format!("the files that this cell wrote are not kept: {refused}");
    // The clone shares the contents.
    match session.files().apply(changes.clone(), writer) {
        Ok(()) => return Ok(None),
        // The session moves, or has moved, for another context while this cell ran.
        Err(FileError::Moved) => {}
        Err(refused) => return Ok(Some(not_kept(refused))),
    }
    match session.machine_slot().after_move().await {
        Some(machine) => {
            let applied = machine.apply(&changes).await;
            applied.map_err(|fault| Error::from_fault(machine.tier(), &fault))?;
            Ok(None)
        }
        None => Ok(session.files().apply(changes, writer).err().map(not_kept)),
    }
}

/// Ends a cell whose files are not kept with Python's exception for a full disk. A cell that did not finish keeps its outcome,
/// and the reason is returned as its note.
fn report_no_space(outcome: &mut Outcome, relay: &mut Relay, why: String) -> Option<String> {
    if !matches!(outcome.exit, Exit::Finished(_)) {
        return Some(why);
    }
    outcome.exit = Exit::Raised;
    let value = format!("[Errno 28] No space left on device: {why}");
    let traceback = format!("OSError: {value}");
    relay.add(Event::Error(Failure { name: "OSError".to_owned(), value, traceback, line: None }));
    None
}

#[cfg(test)]
mod tests {
    use switchtower_contract::Usage;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    fn conditions(rebuild: Rebuild, bound: bool, budget: Option<u64>) -> RunConditions {
        let escalation = if budget.is_some() { Escalation::OnNeed } else { Escalation::Never };
        let wall = budget.map_or(TIMEOUT, Duration::from_secs);
        let limits = Limits { wall, memory: 1 << 20, output: 0, escalation };
        RunConditions { limits, output_delay: Duration::ZERO, timeout: TIMEOUT, rebuild, bound }
    }

    fn ran(exit: Exit) -> Result<CellOutcome, Fault> {
        let usage = Usage::default();
        let outcome = Outcome { exit, observed: None, truncated: false, usage, unmet_need: None };
        Ok(CellOutcome { outcome, changes: Vec::new(), tape: None, alive: true })
    }

    fn fault(name: &str) -> Result<CellOutcome, Fault> {
        let reason = "why".to_owned();
        Err(match name {
            "module" => Fault::Unsupported(Need::Module("x".into())),
            "time" => Fault::Unsupported(Need::Time(TIMEOUT)),
            "refused" => Fault::Refused { reason, retry_after: None },
            "lost" => Fault::Lost { reason },
            _ => Fault::Unavailable { reason },
        })
    }

    fn name(result: &RunResult) -> &'static str {
        match result {
            RunResult::Ended(_) => "ended",
            RunResult::MoveOn(_) => "move on",
            RunResult::OutOfTime(_) => "out of time",
            RunResult::NotStarted(_) => "not started",
            RunResult::KernelDied(_) => "kernel died",
            RunResult::Retry(_) => "retry",
            RunResult::Failed(_) => "failed",
        }
    }

    #[test]
    fn a_run_is_classified_by_its_end_by_whether_another_tier_follows_and_by_whether_its_state_can_be_rebuilt() {
        let run = |name| match name {
            "finished" => ran(Exit::Finished(0)),
            "timed out" => ran(Exit::TimedOut),
            "out of memory" => ran(Exit::OutOfMemory),
            name => fault(name),
        };
        let runs = ["finished", "timed out", "out of memory", "module", "time", "refused", "lost", "unavailable"];
        let with_budget = conditions(Rebuild::ByReplay, false, Some(10));
        let last = conditions(Rebuild::ByReplay, false, None);
        let bound = conditions(Rebuild::Never, true, None);
        let classified = runs.map(|ran| {
            let class = |conditions: &RunConditions, retry| name(&classify(run(ran), conditions, retry));
            (ran, class(&with_budget, CellRetry::Once), class(&last, CellRetry::Never), class(&bound, CellRetry::Once))
        });
        assert_eq!(
            classified,
            [
                ("finished", "ended", "ended", "ended"),
                ("timed out", "move on", "ended", "ended"),
                ("out of memory", "move on", "ended", "ended"),
                ("module", "move on", "move on", "kernel died"),
                ("time", "move on", "out of time", "kernel died"),
                ("refused", "not started", "not started", "not started"),
                ("lost", "retry", "failed", "kernel died"),
                ("unavailable", "failed", "failed", "kernel died"),
            ]
        );
    }
}
