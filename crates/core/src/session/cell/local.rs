//! A cell in a local kernel, and what becomes of the kernel with it.

use std::time::Duration;

use switchtower_contract::{
    CellOutcome, Change, Escalation, Event, Exit, Failure, Fault, Kernel, Limits, Need, Outcome,
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
use crate::tier::{Relay, Tier, overloaded};

/// How a cell fared in a local tier.
pub(super) enum LocalOutcome {
    Ran {
        outcome: Outcome,
        /// The kernel ended with it, and its names are lost.
        restarted: bool,
        note: Option<String>,
    },
    /// It needs what this tier does not provide. Its context is as it was.
    Lacks(Need),
    /// It cannot begin here. Its context is as it was.
    Refused(Error),
}

/// What a cell runs under in a local tier.
struct Terms {
    limits: Limits,
    /// How long the output is held back, since the cell may move on.
    hold_back: Duration,
    /// The time of the whole request.
    timeout: Duration,
    rebuild: Rebuild,
    /// The context's names are in this tier and cannot be rebuilt: the cell does not leave its kernel in the middle, since
    /// nothing could undo there what it has done.
    bound: bool,
}

impl CellRun<'_> {
    /// Runs the cell in a kernel of a local tier.
    ///
    /// # Errors
    /// It did not run to an end, and no other tier would change that.
    pub(super) async fn run_local(&mut self, leg: &LocalLeg) -> Result<LocalOutcome, Error> {
        let services = self.session.services();
        let tier = services.tier(&leg.tier)?;
        let terms = self.terms(tier, leg);
        let slot = services.queue(tier).slot(&self.request.caller.user, self.request.priority).await;
        let _slot = slot.map_err(|refusal| Error::from(overloaded(tier.name(), refusal)))?;
        // A kernel that turns out to be lost is rebuilt once.
        let mut may_retry = true;
        loop {
            if let Some(outcome) = self.try_local(tier, &terms, may_retry).await? {
                return Ok(outcome);
            }
            may_retry = false;
        }
    }

    fn terms(&self, tier: &Tier, leg: &LocalLeg) -> Terms {
        let rebuild = Rebuild::of(tier);
        let bound = rebuild == Rebuild::Never && self.state.is_placed_in(tier.name());
        let budget = leg.budget.filter(|_| !bound);
        let escalation = if budget.is_some() { Escalation::OnNeed } else { Escalation::Never };
        let timeout = self.request.timeout;
        let limits = Limits {
            wall: timeout.min(budget.unwrap_or(timeout)),
            memory: tier.memory(self.request.memory),
            output: self.session.services().config.output,
            escalation,
        };
        let hold_back = if budget.is_some() { tier.config().hold_back } else { Duration::ZERO };
        Terms { limits, hold_back, timeout, rebuild, bound }
    }

    /// `None`: the kernel was lost, and the cell may be tried again.
    async fn try_local(&mut self, tier: &Tier, terms: &Terms, may_retry: bool) -> Result<Option<LocalOutcome>, Error> {
        let mut attempt = AttemptRecorder::new(tier.name(), &mut *self.attempts);
        let ready = match ready_kernel(self.session, tier, self.context, self.state).await {
            Ok(ready) => ready,
            Err(unavailable) => {
                let (name, detail) = recorded(&unavailable);
                attempt.finish(name, Some(detail));
                return self.without_kernel(tier, terms, unavailable).map(Some);
            }
        };
        let ReadyKernel { kernel, permit, changes, recorded_changes, revision } = ready;
        self.cell.changes = changes;
        attempt.start();
        if terms.bound {
            self.state.history_mut().begin(&self.cell);
        }
        let mut running = RunningKernel::new(kernel, tier.name(), self.state);
        let ran = running.run(&self.cell, &terms.limits, terms.hold_back, self.relay).await;
        let judgement = judge(ran, terms, may_retry);
        let (name, detail) = judgement.recorded();
        let wall = attempt.finish(name, detail);
        let kernel = match &judgement {
            Judgement::NotBegun(_) => {
                running.put_back();
                self.state.history_mut().cancel();
                None
            }
            _ => running.take(),
        };
        if let Judgement::Ended(ran) = judgement {
            if let Some(changes) = recorded_changes {
                self.cell.changes = changes;
            }
            let kept = kernel.filter(|_| ran.alive).map(|kernel| KeptKernel { kernel, permit, revision });
            return self.finish(tier, terms, kept, ran).await.map(Some);
        }
        if kernel.is_some() {
            self.state.record_kernel_lost();
        }
        drop(kernel);
        self.relay.discard_attempt();
        self.not_ended(tier, terms, judgement, wall)
    }

    /// There is no kernel to run the cell in.
    fn without_kernel(&mut self, tier: &Tier, terms: &Terms, why: KernelUnavailable) -> Result<LocalOutcome, Error> {
        match why {
            KernelUnavailable::NotReplayable(why) => {
                // Reported once: the context starts anew with its next cell.
                self.state.restart();
                if terms.bound {
                    return Ok(died("a cell in it was interrupted", Duration::ZERO));
                }
                Err(Error::NotMovable { reason: format!("{why}; the context starts anew") })
            }
            KernelUnavailable::Fault(fault) => Err(Error::from_fault(tier.name(), &fault)),
            KernelUnavailable::Refused(error) => Ok(LocalOutcome::Refused(error)),
        }
    }

    /// The cell ran to its end. `kernel`: none where it did not outlive the cell.
    async fn finish(
        &mut self,
        tier: &Tier,
        terms: &Terms,
        kernel: Option<KeptKernel>,
        ran: CellOutcome,
    ) -> Result<LocalOutcome, Error> {
        let mut outcome = ran.outcome.clone();
        let Some(KeptKernel { kernel, permit, revision }) = kernel else {
            self.state.record_kernel_lost();
            // A history leads to the state before the cell again, which is where a cell without time left is to leave it.
            let restarted = terms.bound || outcome.exit != Exit::TimedOut;
            if restarted {
                self.state.restart();
            }
            return Ok(LocalOutcome::Ran { outcome, restarted, note: None });
        };
        self.state.history_mut().record(std::mem::take(&mut self.cell), &ran);
        self.state.place_locally(tier.name(), kernel, permit, revision, outcome.usage.memory);
        let not_kept = keep_files(self.session, ran.changes, self.context.writer()).await?;
        let note = not_kept.and_then(|why| report_no_space(&mut outcome, self.relay, why));
        Ok(LocalOutcome::Ran { outcome, restarted: false, note })
    }

    /// The cell did not run to its end. `None`: it may be tried again.
    fn not_ended(
        &mut self,
        tier: &Tier,
        terms: &Terms,
        judgement: Judgement,
        wall: Duration,
    ) -> Result<Option<LocalOutcome>, Error> {
        let error = |fault: &Fault| Error::from_fault(tier.name(), fault);
        match judgement {
            Judgement::Ended(_) | Judgement::Retry(_) => Ok(None),
            Judgement::OutOfTime(_) => {
                let outcome = ended(Exit::TimedOut, terms.limits.wall);
                Ok(Some(LocalOutcome::Ran { outcome, restarted: false, note: None }))
            }
            Judgement::MoveOn(need) => Ok(Some(LocalOutcome::Lacks(need))),
            Judgement::KernelDied(fault) => {
                // Its names are lost with it, as when a notebook's kernel dies.
                self.state.restart();
                Ok(Some(died(&fault.detail(), wall)))
            }
            Judgement::NotBegun(fault) if terms.bound => Err(error(&fault)),
            Judgement::NotBegun(fault) | Judgement::Failed(fault) => match terms.rebuild {
                Rebuild::ByReplay => Err(error(&fault)),
                Rebuild::Never => Ok(Some(LocalOutcome::Refused(error(&fault)))),
            },
        }
    }
}

/// A kernel that outlives its cell: its context is placed in it.
struct KeptKernel {
    kernel: Box<dyn Kernel>,
    permit: Option<KernelPermit>,
    revision: Revision,
}

/// What a run in a local kernel came to.
#[derive(Debug)]
enum Judgement {
    /// The cell came to its end.
    Ended(CellOutcome),
    /// It needs what this tier does not provide, or more time than it has here.
    MoveOn(Need),
    /// It needs more time than the whole request has.
    OutOfTime(Need),
    /// The kernel refused it before it began.
    NotBegun(Fault),
    /// The kernel is gone, with names that cannot be rebuilt.
    KernelDied(Fault),
    /// The kernel is gone, and may be rebuilt for one more try.
    Retry(Fault),
    Failed(Fault),
}

impl Judgement {
    /// Returns the outcome and the detail of the attempt in its record.
    fn recorded(&self) -> (&'static str, Option<String>) {
        match self {
            Self::Ended(ran) => (ran.outcome.exit.name(), ran.outcome.unmet_need.as_ref().map(Need::to_string)),
            Self::MoveOn(need) | Self::OutOfTime(need) => ("unsupported", Some(need.to_string())),
            Self::NotBegun(fault) | Self::KernelDied(fault) | Self::Retry(fault) | Self::Failed(fault) => {
                (fault.name(), Some(fault.detail()))
            }
        }
    }
}

/// Judges a run. `may_retry`: its kernel may be rebuilt for one more try.
fn judge(ran: Result<CellOutcome, Fault>, terms: &Terms, may_retry: bool) -> Judgement {
    let Limits { wall, memory, escalation, .. } = terms.limits;
    match ran {
        Ok(ran) if ran.outcome.exit == Exit::OutOfMemory && escalation == Escalation::OnNeed => {
            Judgement::MoveOn(Need::Memory(memory))
        }
        // The cell was interrupted at its budget, and another tier gives it more time.
        Ok(ran) if ran.outcome.exit == Exit::TimedOut && wall < terms.timeout => Judgement::MoveOn(Need::Time(wall)),
        Ok(ran) => Judgement::Ended(ran),
        Err(fault @ Fault::Refused { .. }) => Judgement::NotBegun(fault),
        Err(fault) if terms.bound => Judgement::KernelDied(fault),
        Err(Fault::Unsupported(need @ Need::Time(_))) if wall >= terms.timeout => Judgement::OutOfTime(need),
        Err(Fault::Unsupported(need)) => Judgement::MoveOn(need),
        Err(fault @ Fault::Lost { .. }) if may_retry => Judgement::Retry(fault),
        Err(fault) => Judgement::Failed(fault),
    }
}

fn recorded(unavailable: &KernelUnavailable) -> (&'static str, String) {
    match unavailable {
        KernelUnavailable::NotReplayable(why) => ("not_replayable", why.to_string()),
        KernelUnavailable::Fault(fault) => (fault.name(), fault.detail()),
        KernelUnavailable::Refused(error) => (error.name(), error.to_string()),
    }
}

/// Returns the end of a kernel that cannot be rebuilt, which is reported as the end of a notebook's kernel is.
fn died(why: &str, wall: Duration) -> LocalOutcome {
    LocalOutcome::Ran { outcome: ended(Exit::Killed, wall), restarted: true, note: Some(kernel_gone_note(why)) }
}

/// Applies what a cell did to files, here or on the machine that its session has moved to meanwhile. Returns why they are
/// not kept, where they are not.
async fn keep_files(session: &Session, changes: Vec<Change>, writer: Writer) -> Result<Option<String>, Error> {
    if changes.is_empty() {
        return Ok(None);
    }
    let not_kept = |refused: FileError| format!("the files that this cell wrote are not kept: {refused}");
    // Contents are shared with the copy.
    match session.files().apply(changes.clone(), writer) {
        Ok(()) => return Ok(None),
        // The session moves, or has moved, for another context's sake while this cell ran.
        Err(FileError::Moved) => {}
        Err(refused) => return Ok(Some(not_kept(refused))),
    }
    match session.machine_slot().settled().await {
        Some(machine) => {
            let applied = machine.apply(&changes).await;
            applied.map_err(|fault| Error::from_fault(machine.tier(), &fault))?;
            Ok(None)
        }
        None => Ok(session.files().apply(changes, writer).err().map(not_kept)),
    }
}

/// Ends a cell whose files are not kept with the exception that Python has for that. A cell that ended with another one
/// keeps it, and the reason is returned as its note.
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

    fn terms(rebuild: Rebuild, bound: bool, budget: Option<u64>) -> Terms {
        let escalation = if budget.is_some() { Escalation::OnNeed } else { Escalation::Never };
        let wall = budget.map_or(TIMEOUT, Duration::from_secs);
        let limits = Limits { wall, memory: 1 << 20, output: 0, escalation };
        Terms { limits, hold_back: Duration::ZERO, timeout: TIMEOUT, rebuild, bound }
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

    fn name(judgement: &Judgement) -> &'static str {
        match judgement {
            Judgement::Ended(_) => "ended",
            Judgement::MoveOn(_) => "move on",
            Judgement::OutOfTime(_) => "out of time",
            Judgement::NotBegun(_) => "not begun",
            Judgement::KernelDied(_) => "kernel died",
            Judgement::Retry(_) => "retry",
            Judgement::Failed(_) => "failed",
        }
    }

    #[test]
    fn a_run_is_judged_by_its_end_by_whether_another_tier_follows_and_by_whether_its_names_can_be_rebuilt() {
        let run = |name| match name {
            "finished" => ran(Exit::Finished(0)),
            "timed out" => ran(Exit::TimedOut),
            "out of memory" => ran(Exit::OutOfMemory),
            name => fault(name),
        };
        let runs = ["finished", "timed out", "out of memory", "module", "time", "refused", "lost", "unavailable"];
        let free = terms(Rebuild::ByReplay, false, Some(10));
        let last = terms(Rebuild::ByReplay, false, None);
        let bound = terms(Rebuild::Never, true, None);
        let judged = runs.map(|ran| {
            let of = |terms: &Terms, may_retry| name(&judge(run(ran), terms, may_retry));
            (ran, of(&free, true), of(&last, false), of(&bound, true))
        });
        assert_eq!(
            judged,
            [
                ("finished", "ended", "ended", "ended"),
                ("timed out", "move on", "ended", "ended"),
                ("out of memory", "move on", "ended", "ended"),
                ("module", "move on", "move on", "kernel died"),
                ("time", "move on", "out of time", "kernel died"),
                ("refused", "not begun", "not begun", "not begun"),
                ("lost", "retry", "failed", "kernel died"),
                ("unavailable", "failed", "failed", "kernel died"),
            ]
        );
    }
}
