//! One attempt of a walk: a slot of the tier's queue, a sandbox, a run, and whether its outcome is final.

use std::time::Duration;

use switchtower_contract::{
    Escalation, Events, Exit, Fault, InterpreterId, Limits, Need, NetworkPolicy, Outcome, Spec, Usage,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::super::attempt::AttemptRecorder;
use super::super::breaker::Permit;
use super::super::queue::Slot;
use super::{
    AttemptError, Completed, DEADLINE_GRACE, NO_SANDBOX, NO_SLOT, STARTING, Walk, WalkOptions, requested_delay,
};
use crate::analyse;
use crate::request::{Request, SideEffects};
use crate::route::Leg;
use crate::tier::relay::Relay;
use crate::tier::{StartWaitError, Tier};

impl Walk<'_> {
    /// Runs the program once on a tier. `number`: the number of the attempt on this tier, from 1.
    pub(super) async fn attempt(
        &mut self,
        tier: &Tier,
        limits: &Limits,
        later: &[(&Tier, &Leg)],
        number: u32,
        permit: &mut Option<Permit>,
    ) -> Result<Completed, AttemptError> {
        let (request, options) = (self.request, self.options);
        // A program that ends because of an unmet need moves on if there is a later tier and it may run twice.
        let is_final = later.is_empty() || tier.is_effectful(options.side_effects);
        let mut recorder = AttemptRecorder::new(&tier.name, self.attempts);
        let slot = match admit(tier, request, options.deadline, permit).await {
            Ok(slot) => slot,
            Err(error) => {
                let (outcome, detail) = error.recorded();
                recorder.finish(outcome, Some(detail));
                return Err(error);
            }
        };
        let (events, from) = Events::channel();
        let (over, is_over) = oneshot::channel();
        let sandbox_run = SandboxRun { tier, request, options, limits, number };
        let run = async {
            // The slot is released after the sandbox, and both before the caller has read the last event.
            let _slot = slot;
            let ran = sandbox_run.run(&events, &mut recorder).await;
            let _ = over.send(());
            ran
        };
        // If no later tier can continue the program, there is no reason to hold its output back.
        let output_delay = if is_final { Duration::ZERO } else { tier.config.output_delay };
        let (ran, ()) = tokio::join!(run, self.relay.attempt(output_delay, from, is_over));
        let result = ran.and_then(|ran| {
            let need = sandbox_run.need_to_move(&ran, later, is_final, self.relay);
            match need.filter(|_| Instant::now() < options.deadline) {
                Some(need) => Err(AttemptError::Fault(Fault::Unsupported(need))),
                None => Ok((ran.outcome, ran.interpreter)),
            }
        });
        match &result {
            Ok((outcome, _)) => recorder.finish(outcome.exit.name(), outcome.harmful_need().map(Need::to_string)),
            Err(error) => {
                self.relay.discard_attempt();
                let (outcome, detail) = error.recorded();
                recorder.finish(outcome, Some(detail))
            }
        };
        if let (Err(AttemptError::Fault(fault)), Some(attempt)) = (&result, self.attempts.last_mut()) {
            attempt.retry_after = requested_delay(fault);
        }
        result
    }
}

/// Waits until the tier has started and for a slot of it, and takes a permit of its breaker.
async fn admit(
    tier: &Tier,
    request: &Request,
    deadline: Instant,
    permit: &mut Option<Permit>,
) -> Result<Slot, AttemptError> {
    tier.wait_until_started(deadline).await.map_err(|error| match error {
        StartWaitError::DeadlinePassed => AttemptError::DeadlinePassed(STARTING),
        StartWaitError::Refused(refusal) => AttemptError::NoSlot(refusal),
    })?;
    // Checked before the queue, so that a request does not wait for a slot only to be rejected.
    tier.check_breaker(permit.as_ref()).map_err(AttemptError::Open)?;
    let slot = timeout_at(deadline, tier.queue.slot(&request.caller.user, request.priority)).await;
    let slot = slot.map_err(|_| AttemptError::DeadlinePassed(NO_SLOT))?.map_err(AttemptError::NoSlot)?;
    // Checked again after the queue: the breaker may have opened meanwhile.
    *permit = tier.permit(permit.take()).map_err(AttemptError::Open)?;
    Ok(slot)
}

/// A run of a request's program in a sandbox of a tier.
struct SandboxRun<'a> {
    tier: &'a Tier,
    request: &'a Request,
    options: &'a WalkOptions<'a>,
    limits: &'a Limits,
    /// The number of the attempt on this tier, from 1.
    number: u32,
}

/// A program that ended, or that has used all of the request's time.
struct Ran {
    outcome: Outcome,
    interpreter: Option<InterpreterId>,
    /// The program's time limit.
    wall: Duration,
    /// The request's remaining time when the program started.
    remaining: Duration,
}

impl SandboxRun<'_> {
    async fn run(&self, events: &Events, recorder: &mut AttemptRecorder<'_>) -> Result<Ran, AttemptError> {
        let &Self { tier, request, options, limits, number } = self;
        // Other backends reach nothing, and keep no policy.
        let network = if tier.offer().machine { request.caller.network() } else { NetworkPolicy::OPEN };
        let avoid_interpreter = options.avoid_interpreter;
        let spec = Spec { avoid_interpreter, network, ..Spec::new(request.program.language) };
        let opened = timeout_at(options.deadline, tier.sandbox(&spec, limits.wall, number)).await;
        let opened = opened.map_err(|_| AttemptError::DeadlinePassed(NO_SANDBOX))?;
        let mut guard = opened.map_err(AttemptError::Fault)?;
        let remaining = options.deadline.saturating_duration_since(Instant::now());
        let wall = limits.wall.min(remaining);
        let limits = Limits { wall, ..limits.clone() };
        recorder.start();
        (options.on_start)();
        let longest = (wall + tier.config.grace_period).min(remaining + DEADLINE_GRACE);
        let sandbox = guard.sandbox().map_err(AttemptError::Fault)?;
        let ran = match timeout(longest, sandbox.run(&request.program, &limits, events)).await {
            Ok(ran) => ran,
            // The program has used all of its time.
            Err(_) if Instant::now() >= options.deadline => Ok(timed_out(wall)),
            Err(_) => Err(Fault::Lost { reason: "run did not return within its grace period".to_owned() }),
        };
        let interpreter = sandbox.interpreter();
        match &ran {
            Ok(Outcome { exit: Exit::Finished(_) | Exit::Raised, .. }) => guard.release(options.side_effects),
            // Nothing ran in it: a rate limit is no reason to pay for another sandbox.
            Err(Fault::Refused { .. }) => guard.release(SideEffects::None),
            // A program that was interrupted may still be running inside.
            Ok(_) | Err(Fault::Unsupported(_)) => drop(guard),
            Err(Fault::Unavailable { .. } | Fault::Lost { .. }) => guard.discard(),
        }
        match ran {
            // The program needs more time than the whole request allows, which no other tier can provide.
            Err(Fault::Unsupported(Need::Time(_))) if wall >= remaining => Ok(timed_out(wall)),
            ran => ran,
        }
        .map(|outcome| Ran { outcome, interpreter, wall, remaining })
        .map_err(AttemptError::Fault)
    }

    /// Returns the need because of which a program that ended moves to a later tier; `None` if its outcome is final.
    fn need_to_move(&self, ran: &Ran, later: &[(&Tier, &Leg)], is_final: bool, relay: &Relay) -> Option<Need> {
        let &Self { tier, request, options, limits, .. } = self;
        let need = if is_final { None } else { exceeded_limit(limits, ran, request.memory) };
        match limits.escalation {
            Escalation::OnNeed => need,
            // The program ended by itself. That outcome is final unless a later tier may provide what it needs.
            Escalation::Never => {
                need.or_else(|| unmet_need(tier, request, options.side_effects, &ran.outcome, relay)).filter(|need| {
                    later.iter().any(|(tier, _)| tier.may_provide(need, request.program.language, request.memory))
                })
            }
        }
    }
}

/// Returns the need that made a program raise in a tier that reports needs only after the program has ended. `None`
/// unless the program may run again: nothing that it has done can have had effects outside its sandbox.
fn unmet_need(
    tier: &Tier,
    request: &Request,
    side_effects: SideEffects,
    outcome: &Outcome,
    relay: &Relay,
) -> Option<Need> {
    let need = outcome.unmet_need.clone().filter(|_| outcome.exit == Exit::Raised)?;
    if !tier.is_effectful(side_effects) {
        return Some(need);
    }
    // Analysis found effects on the world, but the program may have ended before it reached them.
    let line = relay.error_line().filter(|_| matches!(need, Need::Module(_) | Need::Library(_)))?;
    let effects_until_then = analyse::side_effects_before_import(&request.program, line);
    (!tier.is_effectful(effects_until_then)).then_some(need)
}

/// Returns the outcome of a program that used all of its time, `wall`.
fn timed_out(wall: Duration) -> Outcome {
    let usage = Usage { wall, ..Usage::default() };
    Outcome { exit: Exit::TimedOut, observed: None, truncated: false, usage, unmet_need: None }
}

/// Returns the need of a program that exceeded a limit of this tier which is lower than what the request allows: its
/// remaining time, and its `memory` in bytes.
fn exceeded_limit(limits: &Limits, ran: &Ran, memory: Option<u64>) -> Option<Need> {
    match ran.outcome.exit {
        Exit::TimedOut if ran.wall < ran.remaining => Some(Need::Time(ran.wall)),
        Exit::OutOfMemory if memory.is_none_or(|memory| limits.memory < memory) => Some(Need::Memory(limits.memory)),
        _ => None,
    }
}
