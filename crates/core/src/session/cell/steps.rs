//! The walk: takes the steps of a cell's plan.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use switchtower_contract::{Cell, Exit, Location, Outcome, Usage};
use tokio::sync::{MutexGuard, watch};
use tokio::time::Instant;

use super::super::context::{Context, ContextState, GivenUp};
use super::super::onward::{Onward, move_on};
use super::super::placement::Rebuild;
use super::super::promotion::{ContextMove, Promotion, move_context};
use super::super::session::Session;
use super::local::LocalOutcome;
use super::plan::{
    LocalLeg, MachineAccess, OfferedLeg, SessionOffer, Situation, Step, Steps, next_machine, plan, steps_after_need,
    steps_after_promotion,
};
use super::remote::RemoteEnd;
use crate::decide::Decision;
use crate::error::Error;
use crate::request::Request;
use crate::route::{Leg, Route, TierName};
use crate::tier::{Attempt, Relay};

/// A cell and everything that its steps need.
pub(super) struct CellRun<'a> {
    pub(super) session: &'a Session,
    pub(super) context: &'a Context,
    pub(super) state: &'a mut ContextState,
    pub(super) request: &'a Request,
    pub(super) cell: Cell,
    /// What the client sent, where pip was answered in it: a machine has a pip of its own.
    pub(super) sent: Option<String>,
    pub(super) deadline: Instant,
    pub(super) relay: &'a mut Relay,
    pub(super) attempts: &'a mut Vec<Attempt>,
    /// Set before the cell runs on a machine, whose output is marked as remote.
    pub(super) is_remote: &'a AtomicBool,
    /// Changes when its context is restarted or closed.
    pub(super) interrupts: watch::Receiver<()>,
    /// Its turn to move the session on to another machine, until it has.
    pub(super) onward: Option<MutexGuard<'a, ()>>,
}

/// How a cell ended, and where.
pub(super) struct CellEnd {
    pub(super) outcome: Outcome,
    pub(super) tier: TierName,
    pub(super) moved: Option<String>,
    pub(super) restarted: bool,
    pub(super) note: Option<String>,
}

impl CellEnd {
    /// Returns the end of a cell that was killed with its kernel.
    fn killed(tier: TierName, wall: Duration, note: Option<String>) -> Self {
        Self { outcome: ended(Exit::Killed, wall), tier, moved: None, restarted: true, note }
    }
}

/// Returns the outcome of a cell that did not report its own end.
pub(super) fn ended(exit: Exit, wall: Duration) -> Outcome {
    let usage = Usage { wall, ..Usage::default() };
    Outcome { exit, observed: None, truncated: false, usage, unmet_need: None }
}

/// Returns the note on a kernel that cannot be rebuilt.
pub(super) fn kernel_gone_note(why: &str) -> String {
    format!("its kernel is gone: {why}")
}

/// The state between steps.
struct Progress {
    /// Why the next step is taken; also the reason for a move of the context.
    reason: String,
    /// The reason of the move, once the context has moved.
    moved: Option<String>,
    /// The local tier of the context, or the first one of the plan.
    first_tier: Option<TierName>,
    /// Why the session stays on a machine that lacks what the cell needs.
    note: Option<String>,
    started: Instant,
}

impl CellRun<'_> {
    /// Plans the cell and takes its steps until one ends it. `None`: the session is moving for another context, which takes this one
    /// along; the cell has not run, and is to be planned again after that.
    ///
    /// # Errors
    /// The cell did not reach its end.
    pub(super) async fn run(&mut self, decision: &Decision) -> Result<Option<CellEnd>, Error> {
        let mut steps = plan(&self.offered(&decision.route), &self.situation());
        if !steps.iter().any(|step| matches!(step, Step::MoveOn(_))) {
            // Another cell has moved the session meanwhile.
            self.onward = None;
        }
        let first_tier = self.state.local_tier().or_else(|| first_local(&steps)).cloned();
        let reason = decision.reason.clone();
        let mut progress = Progress { reason, moved: None, first_tier, note: None, started: Instant::now() };
        while let Some(step) = steps.pop_front() {
            match step {
                Step::ReportGivenUp(given_up) => return Ok(Some(self.report_given_up(given_up))),
                Step::TryPromote(tiers) => match self.try_promote(&tiers, &mut progress).await? {
                    Some(ContextMove::Done) => steps = steps_after_promotion(),
                    Some(ContextMove::InProgress) => return Ok(None),
                    None => {}
                },
                Step::RunLocal(leg) => match self.run_local_step(&leg, steps, &mut progress).await? {
                    Next::End(end) => return Ok(Some(end)),
                    Next::Steps(left) => steps = left,
                },
                Step::Promote(tiers) => {
                    if self.promote_step(&tiers, &mut progress).await? == ContextMove::InProgress {
                        return Ok(None);
                    }
                }
                Step::MoveOn(tiers) => self.move_on_step(&tiers, &mut progress).await,
                Step::RunRemote => return self.run_remote_step(progress).await.map(Some),
            }
        }
        // Not reached: the last step of a plan ends the cell.
        Err(Error::NoTier { reason: progress.reason })
    }

    fn offered(&self, route: &Route) -> Vec<OfferedLeg> {
        let tiers = self.session.services().tiers();
        let offer = |tier: &TierName| match tiers.get(tier) {
            Some(tier) if tier.offer().machine => SessionOffer::Machine,
            Some(tier) if tier.kernels().is_some() => SessionOffer::Kernels,
            Some(_) | None => SessionOffer::Nothing,
        };
        let leg = |leg: &Leg| OfferedLeg { tier: leg.tier.clone(), budget: leg.budget, offer: offer(&leg.tier) };
        route.0.iter().map(leg).collect()
    }

    fn situation(&self) -> Situation {
        let leased = self.session.machine_slot().tier();
        let machine = if leased.is_some() { MachineAccess::Leased } else { MachineAccess::Allowed };
        let tiers = self.session.services().tiers();
        let is_here = |tier: &TierName| tiers.get(tier).is_some_and(|tier| tier.offer().location == Location::Local);
        Situation {
            placement: self.state.placement(),
            machine,
            local_machine: leased.filter(is_here),
            given_up: self.state.given_up().cloned(),
            needs_machine: self.state.pending_need().is_some(),
        }
    }

    fn report_given_up(&mut self, given_up: GivenUp) -> CellEnd {
        let GivenUp { tier, why } = given_up;
        self.state.restart();
        let note = format!("{}; the context starts anew: run its earlier cells again", kernel_gone_note(&why));
        CellEnd::killed(tier, Duration::ZERO, Some(note))
    }

    /// Moves the session to a machine because an earlier cell needed one. `None`: none is available now.
    async fn try_promote(&mut self, tiers: &[TierName], progress: &mut Progress) -> Result<Option<ContextMove>, Error> {
        let Some(need) = self.state.pending_need().cloned() else { return Ok(None) };
        self.state.set_pending_need(None);
        let reason = format!("a cell before it needed {need}");
        match self.promote(tiers, &reason).await {
            Ok(ContextMove::Done) => {
                progress.moved = Some(reason);
                Ok(Some(ContextMove::Done))
            }
            Ok(ContextMove::InProgress) => {
                self.state.set_pending_need(Some(need));
                Ok(Some(ContextMove::InProgress))
            }
            // The cell may not need a machine.
            Err(Error::Unavailable { .. } | Error::Overloaded { .. }) => {
                self.state.set_pending_need(Some(need));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn promote(&mut self, tiers: &[TierName], reason: &str) -> Result<ContextMove, Error> {
        let (deadline, attempts) = (self.deadline, &mut *self.attempts);
        let promotion = Promotion { tiers, reason, for_cell: true, deadline, attempts };
        move_context(self.session, self.context, self.state, promotion).await
    }

    async fn promote_step(&mut self, tiers: &[TierName], progress: &mut Progress) -> Result<ContextMove, Error> {
        let moved = self.promote(tiers, &progress.reason).await?;
        progress.moved = (moved == ContextMove::Done).then(|| progress.reason.clone());
        Ok(moved)
    }

    async fn move_on_step(&mut self, tiers: &[TierName], progress: &mut Progress) {
        let own = Some((self.context, &mut *self.state));
        match move_on(self.session, own, tiers, &progress.reason, self.attempts).await {
            Onward::NotNeeded => {}
            Onward::Moved(_) => progress.moved = Some(progress.reason.clone()),
            // Nothing of it is lost, and the cell may not need what its text names.
            Onward::Stays(why) => progress.note = Some(why.to_string()),
        }
        self.onward = None;
    }

    async fn run_local_step(&mut self, leg: &LocalLeg, left: Steps, progress: &mut Progress) -> Result<Next, Error> {
        let mut interrupts = self.interrupts.clone();
        let ran = tokio::select! {
            biased;
            Ok(()) = interrupts.changed() => {
                self.state.record_kernel_lost();
                return Ok(Next::End(CellEnd::killed(leg.tier.clone(), progress.started.elapsed(), None)));
            }
            ran = self.run_local(leg) => ran?,
        };
        match ran {
            LocalOutcome::Ran { outcome, restarted, note } => {
                let note = self.record_need(leg, &outcome, &left).or(note);
                let moved = (progress.first_tier.as_ref() != Some(&leg.tier)).then(|| progress.reason.clone());
                Ok(Next::End(CellEnd { outcome, tier: leg.tier.clone(), moved, restarted, note }))
            }
            LocalOutcome::Unsupported(need) => {
                progress.reason = format!("it needs {need}");
                let (tiers, request) = (self.session.services().tiers(), &self.request);
                let (language, memory) = (request.program.language, request.memory);
                let provides =
                    |tier: &TierName| tiers.get(tier).is_some_and(|tier| tier.may_provide(&need, language, memory));
                Ok(Next::Steps(steps_after_need(left, leg, provides)))
            }
            LocalOutcome::Refused(error) if left.is_empty() => Err(error),
            LocalOutcome::Refused(error) => {
                progress.reason = error.to_string();
                Ok(Next::Steps(left))
            }
        }
    }

    /// Records what a cell lacked in a kernel that it could not leave, so that the next cell runs on a machine. Returns a note
    /// about it; `None` if it lacked nothing, or there is no machine to move to.
    fn record_need(&mut self, leg: &LocalLeg, outcome: &Outcome, left: &Steps) -> Option<String> {
        let machine = next_machine(left)?;
        let need = outcome.unmet_need.as_ref().filter(|_| outcome.exit == Exit::Raised)?;
        let tier = self.session.services().tiers().get(&leg.tier)?;
        if Rebuild::of(tier) == Rebuild::ByReplay {
            return None;
        }
        self.state.set_pending_need(Some(need.clone()));
        Some(format!("it needs {need}; its effects so far remain, and the next cell runs in {machine}"))
    }

    async fn run_remote_step(&mut self, progress: Progress) -> Result<CellEnd, Error> {
        let tier = self.session.machine_slot().tier();
        let tier = tier.and_then(|tier| self.session.services().tiers().get(&tier));
        let is_remote = tier.is_some_and(|tier| tier.offer().location == Location::Remote);
        self.is_remote.store(is_remote, Ordering::Relaxed);
        let mut interrupts = self.interrupts.clone();
        let RemoteEnd { outcome, tier, restarted } = tokio::select! {
            biased;
            Ok(()) = interrupts.changed() => {
                let tier = self.session.machine_slot().tier().ok_or_else(|| self.session.not_running())?;
                return Ok(CellEnd::killed(tier.clone(), progress.started.elapsed(), None));
            }
            ran = self.run_remote() => ran?,
        };
        Ok(CellEnd { outcome, tier, moved: progress.moved, restarted, note: progress.note })
    }
}

/// What follows a local step.
enum Next {
    End(CellEnd),
    Steps(Steps),
}

fn first_local(steps: &Steps) -> Option<&TierName> {
    steps.iter().find_map(|step| match step {
        Step::RunLocal(leg) => Some(&leg.tier),
        _ => None,
    })
}
